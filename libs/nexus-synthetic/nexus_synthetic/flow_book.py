"""The book of a symbol: orders by price and time, and the events that tell of its changes.

A book spans `TICKS` ticks; a level lies at its tick's number modulo that. Each level is a queue of orders,
linked through their numbers. No side is ever empty: what would take its last lot does not happen.
"""

from __future__ import annotations

from typing import Any

from nexus_core.compile import step
from nexus_core.market.events import CLEAR, LAST, LEVEL, QUOTE, SNAPSHOT, TRADE
from nexus_core.records import UNIT
from nexus_synthetic.flow_law import TICKS

_MASK = TICKS - 1
REACH = TICKS // 2 - 24
"""Ticks from the centre to the farthest level."""

_STRIDE = 40
"""Ticks by which the centre follows the price in a second at the most."""

_SWEEP = 48
"""Levels that one market order takes at the most."""

ROOM = 2048
"""Events that what happens at one instant needs at the most."""


@step
def say(events: Any, state: Any, kind: int, side: int, tick: int, lots: int, ident: int, flags: int) -> None:
    """Write an event of the present instant, if events are wanted at all."""
    if events.size > 0:
        event = events[state.written]
        event.ts = state.now
        event.local = 0
        event.seq = state.said * state.symbols + state.symbol
        event.id = ident
        event.price = tick * state.unit / UNIT
        event.size = lots * state.lot / UNIT
        event.symbol = state.symbol
        event.kind = kind
        event.side = side
        event.flags = flags
        state.written += 1
    state.said += 1


@step
def say_level(events: Any, state: Any, side: int, tick: int) -> None:
    """Tell what is left at a price."""
    say(events, state, LEVEL, side, tick, state.level_lots[tick & _MASK], state.messages, 0)


@step
def end_message(events: Any, state: Any) -> None:
    """End the message that the events since the last one make, and quote the touch if it changed."""
    if events.size > 0:
        events[state.written - 1].flags |= LAST
    state.messages += 1
    bids, asks = state.level_lots[state.bid & _MASK], state.level_lots[state.ask & _MASK]
    told = state.told_bid == state.bid and state.told_ask == state.ask
    if not (told and state.told_bids == bids and state.told_asks == asks):
        state.told_bid, state.told_bids = state.bid, bids
        state.told_ask, state.told_asks = state.ask, asks
        say(events, state, QUOTE, 1, state.bid, bids, state.messages, 0)
        say(events, state, QUOTE, -1, state.ask, asks, state.messages, LAST)
        state.messages += 1


@step
def say_book(events: Any, state: Any) -> None:
    """Tell the whole book as a snapshot."""
    say(events, state, CLEAR, 0, 1, 0, state.messages, SNAPSHOT)  # its price is the tick
    tick = state.bid
    while tick >= max(state.centre - REACH, 1):
        if state.level_lots[tick & _MASK] > 0:
            say(events, state, LEVEL, 1, tick, state.level_lots[tick & _MASK], state.messages, SNAPSHOT)
        tick -= 1
    tick = state.ask
    while tick <= state.centre + REACH:
        if state.level_lots[tick & _MASK] > 0:
            say(events, state, LEVEL, -1, tick, state.level_lots[tick & _MASK], state.messages, SNAPSHOT)
        tick += 1
    state.told_bid = 0
    end_message(events, state)


@step
def place_order(state: Any, side: int, tick: int, lots: int, owner: int) -> bool:
    """Put an order into the book that crosses nothing. Return whether there was a place for it."""
    if state.free == 0 or lots <= 0 or tick < 1 or abs(tick - state.centre) > REACH:
        return False
    if (tick >= state.ask) if side > 0 else (tick <= state.bid):
        return False
    state.free -= 1
    order = state.places[state.free]
    at = tick & _MASK
    last = state.level_last[at]
    state.order_ticks[order], state.order_lots[order] = tick, lots
    state.order_sides[order], state.order_owners[order] = side, owner
    state.order_before[order], state.order_next[order] = last, -1
    if last < 0:
        state.level_first[at] = order
    else:
        state.order_next[last] = order
    state.level_last[at] = order
    state.level_lots[at] += lots
    if side > 0:
        state.bids += lots
        state.bid = max(state.bid, tick)
    else:
        state.asks += lots
        state.ask = min(state.ask, tick)
    if owner > 0:
        state.held[owner] = order
    return True


@step
def may_take(state: Any, order: int) -> bool:
    """Tell whether something is left of its side when an order goes."""
    return state.order_lots[order] < (state.bids if state.order_sides[order] > 0 else state.asks)


@step
def take_order(state: Any, order: int) -> None:
    """Take an order out of the book."""
    take_lots(state, order, state.order_lots[order])
    find_touch(state)


@step
def take_lots(state: Any, order: int, lots: int) -> None:
    """Take lots of an order; it is gone with its last. The touch is then to be found again."""
    at = state.order_ticks[order] & _MASK
    state.level_lots[at] -= lots
    state.order_lots[order] -= lots
    if state.order_sides[order] > 0:
        state.bids -= lots
    else:
        state.asks -= lots
    if state.order_lots[order] == 0:
        _unlink(state, order, at)


@step
def _unlink(state: Any, order: int, at: int) -> None:
    before, after = state.order_before[order], state.order_next[order]
    if before < 0:
        state.level_first[at] = after
    else:
        state.order_next[before] = after
    if after < 0:
        state.level_last[at] = before
    else:
        state.order_before[after] = before
    owner = state.order_owners[order]
    if owner > 0:
        state.held[owner] = -1
    state.order_sides[order] = 0
    state.places[state.free] = order
    state.free += 1


@step
def find_touch(state: Any) -> None:
    """Find the best bid and the best ask, from where they were outwards."""
    while state.level_lots[state.bid & _MASK] == 0:
        state.bid -= 1
    while state.level_lots[state.ask & _MASK] == 0:
        state.ask += 1


@step
def trade(events: Any, state: Any, side: int, lots: int, limit: int, flags: int) -> int:
    """Trade lots against the book up to a limit, in ticks, and tell of it. Return the lots that traded."""
    rest = lots
    levels = 0
    while rest > 0 and levels < _SWEEP:
        tick = state.ask if side > 0 else state.bid
        if (tick > limit) if side > 0 else (tick < limit):
            break
        at = tick & _MASK
        size = min(rest, state.level_lots[at], (state.asks if side > 0 else state.bids) - 1)
        if size <= 0:
            break
        rest -= size
        _fill(state, at, size)
        state.trades += 1
        state.highest = max(state.highest, tick)
        state.lowest = min(state.lowest, tick) if state.lowest > 0 else tick
        say(events, state, TRADE, side, tick, size, state.trades, flags)
        say_level(events, state, -side, tick)
        find_touch(state)
        levels += 1
    if rest < lots:
        end_message(events, state)
    return lots - rest


@step
def _fill(state: Any, at: int, lots: int) -> None:
    left = lots
    while left > 0:
        order = state.level_first[at]
        size = min(left, state.order_lots[order])
        take_lots(state, order, size)
        left -= size


@step
def follow_price(events: Any, state: Any) -> None:
    """Move the ticks that the book can span after the price; orders that fall out of it are taken away."""
    middle = (state.bid + state.ask) // 2
    dropped = 0
    for _ in range(_STRIDE):
        if state.centre == middle:
            break
        up = 1 if middle > state.centre else -1
        edge = state.centre - up * REACH
        order = state.level_first[edge & _MASK]
        while order >= 0 and may_take(state, order):
            take_lots(state, order, state.order_lots[order])
            order = state.level_first[edge & _MASK]
            if order < 0:
                say_level(events, state, up, edge)
                dropped += 1
        if order >= 0:
            break
        state.centre += up
    if dropped > 0:
        find_touch(state)
        end_message(events, state)
