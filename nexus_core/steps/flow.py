"""Trade flow: who bought and who sold, in the bar, in the session, and over the newest nanoseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.market.events import AGAIN, BUY, SELL, TRADE
from nexus_core.records import layout
from nexus_core.steps.tool import Tool, capacity, checked, record

SUMS = layout(("volume notional buy_volume sell_volume largest", "f8"), ("trades buys sells", "i8"))
"""What some trades come to: quantity, price times quantity, quantity bought and sold by the aggressor, the
largest single quantity, and how many. A trade whose aggressor is not known is in neither buys nor sells."""


def _flow(window: int, most: int = 1024) -> np.void:
    """Add up trades: of the forming bar, the last bar, the session, and of the newest `window` nanoseconds.

    `flow.push(state, event)`, in `on_event`, takes a trade into `state.forming` and `state.recent`. Other
    events, and trades flagged AGAIN, are passed over; trades of a price or size that is NaN or infinite, or
    a size below 0, count in `skipped` alone. `flow.close(state, row)`, first thing in a step, makes the
    forming bar `state.bar`, adds it to `state.session`, which starts anew with another `session_id`, and
    leaves in `state.recent` the trades of (row.ts - window, row.ts].

    `flow.measures(sums)` answers for any of the four: delta, the quantity bought less that sold; the
    volume-weighted average price; the mean quantity of a trade; and the bought part of what has a known
    aggressor. All but delta are NaN where there is nothing to divide by.

    `recent` holds at most `most` trades, rounded up to a power of two; `cut` counts those let go early. No
    trade is taken out of a sum again, so nothing drifts: trades lie in two stacks, the older one with sums
    up to its end (as in van Herk 1992, for windows of any length).
    """
    none, size = np.zeros((), SUMS)[()], capacity(checked("flow", most))
    return record(
        window=checked("flow", window), day=-1, skipped=0, cut=0, first=0, middle=0, last=0, none=none,
        forming=none, bar=none, session=none, recent=none, newer=none, times=np.zeros(size, np.int64),
        ring=np.zeros(size, SUMS),
    )  # fmt: skip


def _push(state: Any, event: Any) -> None:
    price, size, mask = event.price, event.size, state.ring.size - 1
    traded = event.kind == TRADE and event.flags & AGAIN == 0
    if not traded or price - price != 0.0 or size - size != 0.0 or size < 0.0:
        state.skipped += int(traded)
        return
    _forget(state, event.ts)
    if state.last - state.first > mask:
        state.cut += 1
        _drop(state)
    one = state.ring[state.last & mask]
    state.times[state.last & mask] = event.ts
    one.volume, one.notional, one.largest, one.trades = size, price * size, size, 1
    one.buys, one.sells, state.last = int(event.side == BUY), int(event.side == SELL), state.last + 1
    one.buy_volume, one.sell_volume = size * one.buys, size * one.sells
    _add(state.newer, state.newer, one)
    _add(state.forming, state.forming, one)
    _forget(state, event.ts)


@step
def _close(state: Any, row: Any) -> None:
    if row.session_id != state.day:
        state.day = row.session_id
        _add(state.session, state.none, state.none)
    _add(state.bar, state.none, state.forming)
    _add(state.session, state.session, state.bar)
    _add(state.forming, state.none, state.none)
    _forget(state, row.ts)


@step
def _forget(state: Any, now: int) -> None:
    mask = state.ring.size - 1
    while state.first < state.last and state.times[state.first & mask] <= now - state.window:
        _drop(state)
    older = state.ring[state.first & mask] if state.first < state.middle else state.none
    _add(state.recent, older, state.newer)


@step
def _drop(state: Any) -> None:
    mask = state.ring.size - 1
    if state.first >= state.middle:
        for i in range(state.last - 2, state.first - 1, -1):
            _add(state.ring[i & mask], state.ring[i & mask], state.ring[(i + 1) & mask])
        state.middle = state.last
        _add(state.newer, state.none, state.none)
    state.first += 1


@step
def _add(into: Any, old: Any, new: Any) -> None:
    into.volume, into.notional = old.volume + new.volume, old.notional + new.notional
    into.buy_volume, into.sell_volume = old.buy_volume + new.buy_volume, old.sell_volume + new.sell_volume
    into.largest, into.trades = max(old.largest, new.largest), old.trades + new.trades
    into.buys, into.sells = old.buys + new.buys, old.sells + new.sells


@step
def _measures(sums: Any) -> tuple[float, float, float, float]:
    delta, known = sums.buy_volume - sums.sell_volume, sums.buy_volume + sums.sell_volume
    return delta, sums.notional / sums.volume, sums.volume / sums.trades, sums.buy_volume / known


flow = Tool(_flow, _push)
flow.__dict__.update(close=_close, measures=_measures)
