"""The order book of one symbol, rebuilt from a snapshot and the changes after it: one flat record, compiled.

Both sides are kept alike: a level has a key that grows away from the touch, its price in ticks for asks and
that negated for bids, so the best level is the least key of its side. From the best level on, `window` keys
are indexed directly; the window moves with the touch, and as the slots before the best are empty it moves
without copying. Levels beyond it, and all of them where the tick is not known (keys are prices then), lie
sorted, the best at the end, where what changes most moves least.

The book is `known` from the end of a snapshot until updates are lost. Before that, changes are not applied.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.market.events import AGAIN, BREAK, BUY, CLEAR, DEPTH, LAST, LEVEL, SNAPSHOT, TRADE
from nexus_core.steps.tool import Tool, capacity, record

GROUP = 64
"""Slots that are passed over at once where all are empty."""

ADDED, CANCELLED, TRADED, PENDING, SHOWN = range(5)
"""What is counted of a level, in quantity: came, went without a trade, was traded; traded since the level
last changed; and the most that was ever displayed."""

NEVER = 2**62


def book(tick: str | float = 0, window: int = 16_384, beyond: int = 8192, counters: bool = False) -> np.void:
    """Give an empty book: `push(state, event)` takes the next market event of its symbol.

    `tick` is the price step, as text or number, 0 where the feed tells (as the price of CLEAR) or nobody
    knows it; `window` the keys of a side that are indexed directly, `beyond` how many levels of a side are
    kept outside it: of more, the farthest are dropped and counted in `dropped`. With `counters` each level
    counts what was added, cancelled and traded.
    A price off the tick's grid, or that is no finite number, or whose size is none from 0 on, is not applied
    and counted in `off_grid`.

    Fields to read: `known`, `bid`, `bid_size`, `ask`, `ask_size` (NaN where nothing is known; they change at
    the last event of a message), `crossed` (the touch makes no sense: bid at or above ask), `breaks`,
    `ignored` (changes that came while the book was not known), `change` (by how much the newest LEVEL event
    changed what is displayed at its price; 0 where it was part of a snapshot or was not applied).
    """
    step_up, parts = Decimal(str(tick)).as_integer_ratio()
    slots = max(capacity(window), GROUP)
    counted = (slots, beyond) if counters else (1, 1)
    return record(
        known=0, crossed=0, breaks=0, ignored=0, dropped=0, off_grid=0, updates=0, last_id=0,
        change=0.0, bid=math.nan, bid_size=math.nan, ask=math.nan, ask_size=math.nan,
        indexed=int(step_up > 0), told=0, counting=int(counters), up=float(step_up), parts=float(parts),
        best=np.full(2, NEVER), base=np.zeros(2, np.int64), levels=np.zeros(2, np.int64),
        sizes=np.zeros((2, slots)), groups=np.zeros((2, slots // GROUP), np.int64),
        far=np.zeros(2, np.int64), keys=np.zeros((2, beyond)), far_sizes=np.zeros((2, beyond)),
        counts=np.zeros((2, counted[0], 5)), far_counts=np.zeros((2, counted[1], 5)),
    )  # fmt: skip


@step
def _push(state: Any, event: Any) -> None:
    kind = event.kind
    if kind == LEVEL:
        state.change = 0.0
        if state.known == 0 and event.flags & SNAPSHOT == 0:
            state.ignored += 1
            return
        _change(state, 0 if event.side == BUY else 1, event.price, event.size, event.flags & SNAPSHOT)
        if event.flags & LAST:
            state.known = 1
            _settle(state, event.id)
    elif kind == TRADE:
        if state.counting and state.known and event.side != 0 and event.flags & AGAIN == 0:
            _trade(state, 1 if event.side == BUY else 0, event.price, event.size)
    elif kind == CLEAR:
        _clear(state)
        _grid(state, event.price)
        if event.flags & LAST:
            state.known = 1
            _settle(state, event.id)
    elif kind == BREAK:
        state.breaks += 1
        _forget(state)


@step
def ignore(state: Any, event: Any) -> None:
    """Leave a book as it is: for who hears events and wants no book."""


@step
def _settle(state: Any, last_id: int) -> None:
    """Show the touch as it is at the end of a message."""
    state.last_id = last_id
    state.updates += 1
    state.bid, state.bid_size = _best(state, 0)
    state.ask, state.ask_size = _best(state, 1)
    state.crossed = int(state.bid >= state.ask)


@step
def _best(state: Any, side: int) -> tuple[float, float]:
    best, far = state.best[side], state.far[side] - 1
    if best < NEVER:
        slot = best & (state.sizes.shape[1] - 1)
        return price_of(state, side, np.float64(best)), state.sizes[side, slot]
    if far >= 0:
        return price_of(state, side, state.keys[side, far]), state.far_sizes[side, far]
    return np.float64(np.nan), np.float64(np.nan)


@step
def _forget(state: Any) -> None:
    state.known = 0
    state.crossed = 0
    state.bid = state.bid_size = state.ask = state.ask_size = np.nan


@step
def _clear(state: Any) -> None:
    _forget(state)
    slots = state.sizes.shape[1]
    for side in range(2):
        for group in range(slots // GROUP):
            if state.groups[side, group] > 0:
                for slot in range(group * GROUP, group * GROUP + GROUP):
                    state.sizes[side, slot] = 0.0
                state.groups[side, group] = 0
        state.best[side], state.far[side], state.levels[side] = NEVER, 0, 0


@step
def _grid(state: Any, tick: float) -> None:
    """Take the tick that the feed tells, as a fraction: prices are then the ones the venue writes.

    Where it tells none any more, the one it told before does not hold, and keys are prices.
    """
    if not tick > 0.0:
        state.indexed = int(state.indexed == 1 and state.told == 0)
        return
    parts = np.floor(1.0 / tick + 0.5)
    whole = parts >= 1.0 and abs(parts * tick - 1.0) < 1e-9
    parts, up = (parts, 1.0) if whole else (1.0, tick)
    if state.counting and (parts != state.parts or up != state.up):  # keys are other prices from here on
        _erase(state, 0, 0, state.sizes.shape[1])
        _erase(state, 1, 0, state.sizes.shape[1])
    state.indexed, state.told, state.parts, state.up = 1, 1, parts, up


@step
def price_of(state: Any, side: int, key: float) -> float:
    """Return the price of a key of side 0 (bids) or 1 (asks)."""
    price = -key if side == 0 else key
    return price * state.up / state.parts if state.indexed else price


@step
def key_of(state: Any, side: int, price: float) -> float:
    """Return the key of a price on side 0 (bids) or 1 (asks); NaN for a price off the grid."""
    key = price
    if state.indexed:
        exact = price * state.parts / state.up
        key = np.floor(exact + 0.5)
        if abs(exact - key) > 1e-3:
            return np.float64(np.nan)
    return -key if side == 0 else key


@step
def _change(state: Any, side: int, price: float, size: float, snapshot: int) -> None:
    key = key_of(state, side, price)
    if key - key != 0.0 or not 0.0 <= size < np.inf:
        state.off_grid += 1
        return
    if state.indexed == 0:
        _change_far(state, side, key, size, snapshot)
        return
    whole = int(key)
    slots = state.sizes.shape[1]
    far = state.far[side]
    # nothing nearer is known: the window comes to the new best
    alone = state.best[side] == NEVER and (far == 0 or key < state.keys[side, far - 1])
    if size > 0.0 and (alone or whole < state.base[side]):
        _move(state, side, whole - slots // 8)
    if whole >= state.base[side] + slots:
        _change_far(state, side, key, size, snapshot)
    elif whole >= state.base[side]:
        _change_near(state, side, whole, size, snapshot)


@step
def _change_near(state: Any, side: int, key: int, size: float, snapshot: int) -> None:
    slot = key & (state.sizes.shape[1] - 1)
    before = state.sizes[side, slot]
    state.sizes[side, slot] = size
    if snapshot == 0:
        state.change = size - before
    if state.counting:
        _count(state.counts[side, slot], before, size, snapshot)
    if before == 0.0 and size > 0.0:
        state.groups[side, slot // GROUP] += 1
        state.levels[side] += 1
        state.best[side] = min(state.best[side], key)
    elif before > 0.0 and size == 0.0:
        state.groups[side, slot // GROUP] -= 1
        state.levels[side] -= 1
        if key == state.best[side]:
            _find_best(state, side, key + 1)


@step
def _find_best(state: Any, side: int, key: int) -> None:
    """Look for the best level from a key on; take the window to it where it has run far ahead."""
    slots = state.sizes.shape[1]
    end = state.base[side] + slots
    while key < end:
        slot = key & (slots - 1)
        if slot & (GROUP - 1) == 0 and state.groups[side, slot // GROUP] == 0:
            key += GROUP
        elif state.sizes[side, slot] > 0.0:
            break
        else:
            key += 1
    if key < end:
        state.best[side] = key
        if key - state.base[side] > slots // 2:
            _move(state, side, key - slots // 8)
        return
    state.best[side] = NEVER
    if state.far[side] > 0:
        _move(state, side, int(state.keys[side, state.far[side] - 1]) - slots // 8)


@step
def _move(state: Any, side: int, base: int) -> None:
    """Begin the window at another key: what falls out at its end goes beyond it, what it reaches comes in."""
    slots = state.sizes.shape[1]
    mask = slots - 1
    old = state.base[side]
    if base < old and state.best[side] < NEVER:
        for key in range(old + slots - 1, max(base + slots, state.best[side]) - 1, -1):
            slot = key & mask
            if state.sizes[side, slot] > 0.0:
                at = _insert(state, side, np.float64(key), state.sizes[side, slot])
                if state.counting and at >= 0:
                    _carry(state.counts[side, slot], state.far_counts[side, at])
                state.sizes[side, slot] = 0.0
                state.groups[side, slot // GROUP] -= 1
        if state.best[side] >= base + slots:
            state.best[side] = NEVER
    state.base[side] = base
    if state.counting:
        if base < old:
            _erase(state, side, max(base + slots, old), old + slots)
        else:
            _erase(state, side, max(old, base - slots), base)
    while state.far[side] > 0 and state.keys[side, state.far[side] - 1] < base + slots:
        at = state.far[side] - 1
        key = int(state.keys[side, at])
        slot = key & mask
        state.sizes[side, slot] = state.far_sizes[side, at]
        state.groups[side, slot // GROUP] += 1
        if state.counting:
            _carry(state.far_counts[side, at], state.counts[side, slot])
        state.far[side] = at
        state.best[side] = min(state.best[side], key)


@step
def _erase(state: Any, side: int, key: int, end: int) -> None:
    """Forget the counts of keys that leave the window: their slots are others' now."""
    while key < end:
        for k in range(5):
            state.counts[side, key & (state.sizes.shape[1] - 1), k] = 0.0
        key += 1


@step
def _place(state: Any, side: int, key: float) -> int:
    """Return where among the levels beyond the window, farthest first, a key stands or would stand."""
    low, high = 0, state.far[side]
    while low < high:
        middle = (low + high) // 2
        if state.keys[side, middle] > key:
            low = middle + 1
        else:
            high = middle
    return low


@step
def _insert(state: Any, side: int, key: float, size: float) -> int:
    """Put a level beyond the window; return its place, -1 if it is the farthest of too many."""
    at, far = _place(state, side, key), state.far[side]
    if far == state.keys.shape[1]:
        state.dropped += 1
        state.levels[side] -= 1
        if at == 0:
            return -1
        at -= 1
        for i in range(at):  # the farthest, at 0, makes room
            _shift(state, side, i + 1, i)
    else:
        for i in range(far, at, -1):
            _shift(state, side, i - 1, i)
        state.far[side] = far + 1
    state.keys[side, at] = key
    state.far_sizes[side, at] = size
    if state.counting:
        for k in range(5):
            state.far_counts[side, at, k] = 0.0
    return at


@step
def _shift(state: Any, side: int, source: int, target: int) -> None:
    state.keys[side, target] = state.keys[side, source]
    state.far_sizes[side, target] = state.far_sizes[side, source]
    if state.counting:
        _carry(state.far_counts[side, source], state.far_counts[side, target])


@step
def _carry(source: Any, target: Any) -> None:
    for k in range(5):
        target[k] = source[k]


@step
def _change_far(state: Any, side: int, key: float, size: float, snapshot: int) -> None:
    at = _place(state, side, key)
    there = at < state.far[side] and state.keys[side, at] == key
    if snapshot == 0:
        state.change = size - (state.far_sizes[side, at] if there else 0.0)
    if not there and size > 0.0:
        state.levels[side] += 1
        at = _insert(state, side, key, size)
        if state.counting and at >= 0:
            _count(state.far_counts[side, at], 0.0, size, snapshot)
    elif there and size > 0.0:
        if state.counting:
            _count(state.far_counts[side, at], state.far_sizes[side, at], size, snapshot)
        state.far_sizes[side, at] = size
    elif there:
        for i in range(at, state.far[side] - 1):
            _shift(state, side, i + 1, i)
        state.far[side] -= 1
        state.levels[side] -= 1


@step
def _count(counts: Any, before: float, size: float, snapshot: int) -> None:
    counts[SHOWN] = max(counts[SHOWN], size)
    if snapshot == 0:
        net = size - before + counts[PENDING]
        if net > 0.0:
            counts[ADDED] += net
        else:
            counts[CANCELLED] -= net
    counts[PENDING] = 0.0


@step
def _find(state: Any, side: int, price: float) -> int:
    """Return the slot of a price, or -2 - its place beyond the window; -1 where no level is."""
    key = key_of(state, side, price)
    slots = state.sizes.shape[1]
    if state.indexed and state.base[side] <= key < state.base[side] + slots:
        return int(key) & (slots - 1)
    at = _place(state, side, key)
    return -2 - at if at < state.far[side] and state.keys[side, at] == key else -1


@step
def _trade(state: Any, side: int, price: float, size: float) -> None:
    at = _find(state, side, price)
    if at >= 0:
        state.counts[side, at, TRADED] += size
        state.counts[side, at, PENDING] += size
    elif at < -1:
        state.far_counts[side, -2 - at, TRADED] += size
        state.far_counts[side, -2 - at, PENDING] += size


@step
def size_at(state: Any, side: int, price: float) -> float:
    """Return what is displayed at a price of a side (BUY: bids, SELL: asks), 0 where nothing is."""
    one = 0 if side == BUY else 1
    at = _find(state, one, price)
    if at >= 0:
        return state.sizes[one, at]
    return state.far_sizes[one, -2 - at] if at < -1 else np.float64(0.0)


@step
def counted_at(state: Any, side: int, price: float, what: int) -> float:
    """Return one of the counts (ADDED to SHOWN) of the level at a price of a side; 0 where there is none.

    Where a feed tells of a trade after the change that it caused, the change counts as cancelled, and the
    trade as added when the level next changes: both are too large by the same quantity. Without `counters`
    it is NaN.
    """
    one = 0 if side == BUY else 1
    at = _find(state, one, price)
    if state.counting == 0:
        return np.float64(np.nan)
    if at >= 0:
        return state.counts[one, at, what]
    return state.far_counts[one, -2 - at, what] if at < -1 else np.float64(0.0)


@step
def look(state: Any, view: Any) -> None:
    """Write the best levels to a view (`nexus_core.market.events.VIEW`); a crossed book is not shown."""
    view.known = int(state.known == 1 and state.crossed == 0)
    _show(state, 0, view.bids, view.bid_sizes, view.known)
    _show(state, 1, view.asks, view.ask_sizes, view.known)


@step
def _show(state: Any, side: int, prices: Any, sizes: Any, known: int) -> None:
    slots = state.sizes.shape[1]
    shown = 0
    key = state.best[side]
    end = state.base[side] + slots
    while known and shown < DEPTH and key < end:
        slot = key & (slots - 1)
        if slot & (GROUP - 1) == 0 and state.groups[side, slot // GROUP] == 0:
            key += GROUP
            continue
        if state.sizes[side, slot] > 0.0:
            prices[shown] = price_of(state, side, np.float64(key))
            sizes[shown] = state.sizes[side, slot]
            shown += 1
        key += 1
    at = state.far[side] - 1
    while known and shown < DEPTH and at >= 0:
        prices[shown] = price_of(state, side, state.keys[side, at])
        sizes[shown] = state.far_sizes[side, at]
        shown += 1
        at -= 1
    while shown < DEPTH:
        prices[shown] = np.nan
        sizes[shown] = 0.0
        shown += 1


depth = Tool(book, _push)
