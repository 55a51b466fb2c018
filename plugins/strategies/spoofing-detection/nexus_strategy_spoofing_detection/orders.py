"""Which large orders are shown, and what speaks for it that one that is pulled was a spoof."""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.market.events import BUY

PLACES = 24
"""Large orders that are watched on a side."""

THIRD = 0.34
"""Share of its first distance within which price is near an order: a third, rounded up."""

# Log odds of a spoof against an ordinary withdrawal, from a logistic regression on planted markets.
_BASE = -2.1  # of an order that is clearly large, price as far from it as it was
_CAME = 1.2  # for each deviation that price came towards it while it rested, from -1 to 4 of them
_SIZE, _SIZE_NEAR = 0.5, 1.0  # for each e times the size; where price is near
_FIRST = 1.3  # others have joined its level behind it, and are still there
_AWAY = -2.5  # price not near: for each e times 1 + the distance left in usual spreads
_WAITED = -2.2  # price near: for each second, up to 3, since it came near

_SAME = 1e-6  # share by which sizes may differ and still be of one order: they are sums
_CALM = 0.1  # the least volatility of a row, in usual spreads


@compile.step
def lose(state):
    """Forget every order: the book is not known."""
    state.watched[0] = state.watched[1] = 0
    state.left[0] = state.left[1] = 0


@compile.step
def _away(book, one, price):
    """Return how far a price of side 0 (bids) or 1 (asks) is from its touch."""
    return book.bid - price if one == 0 else price - book.ask


@compile.step
def volatility(state):
    """Return the usual move of a row: at least a tenth of the usual spread."""
    least = _CALM * state.spread.mean
    return max(steps.sqrt(state.variance.mean), least) if state.variance.n > 0 else least


@compile.step
def _drop(state, one, i):
    """Watch an order no more: the last one takes its place."""
    last = state.watched[one] - 1
    state.watched[one] = last
    state.price[one, i], state.size[one, i] = state.price[one, last], state.size[one, last]
    state.offset[one, i], state.middle[one, i] = state.offset[one, last], state.middle[one, last]
    state.behind[one, i] = state.behind[one, last]
    state.born[one, i], state.near[one, i] = state.born[one, last], state.near[one, last]


@compile.step
def follow(now, book, state):
    """See which orders the touch is near, now that it has moved, and since when."""
    state.bid, state.ask = book.bid, book.ask
    steps.ewm.push(state.spread, book.ask - book.bid)
    for one in range(2):
        for i in range(state.watched[one]):
            if _away(book, one, state.price[one, i]) > THIRD * state.offset[one, i]:
                state.near[one, i] = 0
            elif state.near[one, i] == 0:
                state.near[one, i] = now


@compile.step
def come(event, book, state, params):
    """Watch what came if it is a large order, away from the touch; it is behind those of its level."""
    one = 0 if event.side == BUY else 1
    usual = (state.bids.mean + state.asks.mean) / 2.0
    if one == 0:
        steps.ewm.push(state.bids, book.change)
    else:
        steps.ewm.push(state.asks, book.change)
    for i in range(state.watched[one]):
        if state.price[one, i] == event.price:
            state.behind[one, i] += book.change
    away = _away(book, one, event.price)
    if not (book.change >= params.large * usual and away >= params.far * state.spread.mean and away > 0.0):
        return
    oldest, i = 0, 0
    while i < state.watched[one]:
        if (event.ts - state.born[one, i]) * 1e-9 > params.most:
            _drop(state, one, i)
            continue
        if state.born[one, i] < state.born[one, oldest]:
            oldest = i
        i += 1
    if i == PLACES:
        i = oldest
    else:
        state.watched[one] += 1
    state.price[one, i], state.size[one, i], state.born[one, i] = event.price, book.change, event.ts
    state.offset[one, i], state.middle[one, i] = away, (state.bid + state.ask) / 2.0
    state.behind[one, i], state.near[one, i] = 0.0, 0


@compile.step
def _find(state, one, price, size):
    """Return which of the orders that are watched has this price and size; -1 where none has."""
    for i in range(state.watched[one]):
        if state.price[one, i] == price and abs(state.size[one, i] - size) <= _SAME * size:
            return i
    return -1


@compile.step
def go(event, book, state, params):
    """Weigh what went, if it is an order that was watched; else it went from behind those of its level."""
    one, gone = 0 if event.side == BUY else 1, -book.change
    found = _find(state, one, event.price, gone)
    for i in range(state.watched[one]):
        if state.price[one, i] == event.price and (found < 0 or state.born[one, i] < state.born[one, found]):
            state.behind[one, i] = max(state.behind[one, i] - gone, 0.0)
    if found < 0:
        return
    age = (event.ts - state.born[one, found]) * 1e-9
    if params.least <= age <= params.most:
        odds = _weigh(event.ts, age, book, state, one, found, params)
        if state.left[one] == 0 or odds > state.odds[one]:
            state.odds[one], state.left[one] = odds, params.confirm + 1
            state.began[one], state.at[one] = (state.bid + state.ask) / 2.0, event.price
    _drop(state, one, found)


@compile.step
def _weigh(now, age, book, state, one, i, params):
    """Return the log odds that an order of this age, pulled now, was a spoof."""
    usual = (state.bids.mean + state.asks.mean) / 2.0
    came = (state.bid + state.ask) / 2.0 - state.middle[one, i]
    came = steps.clip((came if one == 1 else -came) / (volatility(state) * steps.sqrt(age)), -1.0, 4.0)
    odds = _BASE + _CAME * came
    large = steps.log(state.size[one, i] / (params.clear * usual))
    if state.behind[one, i] > _SAME * state.size[one, i]:
        odds += _FIRST
    if state.near[one, i] > 0:
        return odds + _SIZE_NEAR * large + _WAITED * min((now - state.near[one, i]) * 1e-9, 3.0)
    away = max(_away(book, one, state.price[one, i]), 0.0)
    return odds + _SIZE * large + _AWAY * steps.log(1.0 + away / state.spread.mean)


@compile.step
def trade(event, state):
    """Forget the orders that a trade reached, and those pulled in the moment that it explains."""
    for one in range(2):
        if event.side != 0 and (one == 0) == (event.side == BUY):
            continue  # a buyer takes from the asks
        if state.at[one] == event.price:
            state.left[one], state.at[one] = 0, math.nan
        i = 0
        while i < state.watched[one]:
            if state.price[one, i] == event.price:
                _drop(state, one, i)
            else:
                i += 1
