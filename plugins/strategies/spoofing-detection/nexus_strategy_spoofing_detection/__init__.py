"""Detect large orders that are shown and pulled as price nears, and trade against their side.

A spoof is an order that is not meant to trade: shown away from the touch, large enough to move what others
think of the book, and withdrawn before it is reached. Lee, Eom and Park (2013), *Microstructure-based
manipulation: strategic behavior and performance of spoofing traders*, Journal of Financial Markets 16, tell
one by its size (twice the usual), its distance from the touch, and its withdrawal; Cartea, Jaimungal and Wang
(2020), *Spoofing and price manipulation in order-driven markets*, Applied Mathematical Finance 27, show why
it leans against the side that its owner trades on. The order gone, price is free to go on to where it stood,
and the signal is against its side.

The feed is a book by levels, without the numbers of orders. An order is therefore what one change added to a
level, and it is pulled when one change takes the same quantity away, without a trade at that price between.
Orders of several owners that are changed at once, or pulled piece by piece, are not seen.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.market.events import BUY, LEVEL, SNAPSHOT, TRADE
from nexus_core.strategy import Param, Strategy

PLACES = 16
"""Large orders that are watched on a side."""

THIRD = 0.34
"""Share of its first distance within which price is near an order: a third, rounded up."""

_SAME = 1e-6  # share by which sizes may differ and still be of one order: they are sums
_PROMPT, _FADES = 0.5, 0.7  # seconds: an order pulled within the first is pulled at once; the rest fade by e
_AT_ONCE, _CLOSEST, _HALF = 3.0, 0.2, 0.55  # what it is worth to be pulled at once; to be pulled at the
# nearest that price has come, where that is no more than this part of the first distance


class SpoofingDetection(Strategy):
    """Sell where a large bid is pulled as price comes down to it; buy where a large ask is."""

    nexus_api = 1
    category = "order_flow"
    needs = {"trade", "book"}
    horizon = 60
    row_seconds = 1.0
    slot = "pattern-recognition"
    targets = {"within": 5, "hits": 0.95, "false": 0.5, "precision": 0.75, "recall": 0.4}

    large = Param(2.5, low=1.0, high=50.0, help="Size from which an order is watched, in usual orders")
    clear = Param(3.5, low=1.0, high=100.0, help="Size of an order that is clearly large, in usual orders")
    far = Param(
        2.5, low=0.0, high=100.0, help="Distance from the touch at which it is shown, in usual spreads"
    )
    least = Param(4.0, low=0.0, high=60.0, help="Seconds that it is shown for at the least")
    most = Param(95.0, low=1.0, high=3600.0, help="Seconds that it is shown for at the most")
    sure = Param(0.57, low=0.0, high=1.0, help="Score from which a pulled order is a signal")
    rest = Param(
        60, low=0, high=3600, help="Rows after a signal in which weaker ones of its side are not given"
    )

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        orders = np.zeros((2, PLACES))
        return {
            "bids": steps.ewm(500), "asks": steps.ewm(500),  # sizes of the orders that came
            "spread": steps.ewm(500),  # at each move of the touch
            "bid": math.nan, "ask": math.nan,
            "watched": np.zeros(2, np.int64),
            "price": orders, "size": orders, "offset": orders, "closest": orders,
            "born": orders.astype(np.int64), "near": orders.astype(np.int64),
            "pulled": np.zeros(2), "at": np.full(2, math.nan),
            "said": np.zeros(2), "resting": np.zeros(2, np.int64),
        }  # fmt: skip

    @staticmethod
    def on_event(event, book, state, params):
        """Watch large orders that come, and weigh those that go."""
        if event.kind == LEVEL:
            if book.known == 0 or event.flags & SNAPSHOT != 0 or book.crossed != 0:
                state.watched[0] = state.watched[1] = 0
                return
            if book.bid != state.bid or book.ask != state.ask:
                _follow(event.ts, book, state)
            if book.change > 0.0:
                _come(event, book, state, params)
            elif book.change < 0.0:
                _go(event, book, state, params)
        elif event.kind == TRADE:
            _trade(event, state)
        elif book.known == 0:
            state.watched[0] = state.watched[1] = 0

    @staticmethod
    def step(row, state, params):
        """Take one row; answer against the side on which an order was pulled, with how clearly it was."""
        bid, ask = state.pulled[0], state.pulled[1]
        state.pulled[0] = state.pulled[1] = 0.0
        state.at[0] = state.at[1] = math.nan
        state.resting[0] -= 1
        state.resting[1] -= 1
        if row.close - row.close != 0.0 or bid == ask:
            return 0, 0.0
        one, score = (0, bid) if bid > ask else (1, ask)
        if score < params.sure or (state.resting[one] >= 0 and score <= state.said[one]):
            return 0, 0.0
        state.said[one], state.resting[one] = score, params.rest
        return (-1 if one == 0 else 1), score

    @staticmethod
    def blend(row, signal, score, opinion):
        """Return signal and score with three tenths of the model's opinion."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _away(book, one, price):
    """Return how far a price of side 0 (bids) or 1 (asks) is from its touch."""
    return book.bid - price if one == 0 else price - book.ask


@compile.step
def _drop(state, one, i):
    """Watch an order no more: the last one takes its place."""
    last = state.watched[one] - 1
    state.watched[one] = last
    state.price[one, i], state.size[one, i] = state.price[one, last], state.size[one, last]
    state.offset[one, i], state.closest[one, i] = state.offset[one, last], state.closest[one, last]
    state.born[one, i], state.near[one, i] = state.born[one, last], state.near[one, last]


@compile.step
def _follow(now, book, state):
    """See how near the touch is to each order, now that it has moved."""
    state.bid, state.ask = book.bid, book.ask
    steps.ewm.push(state.spread, book.ask - book.bid)
    for one in range(2):
        for i in range(state.watched[one]):
            away = _away(book, one, state.price[one, i])
            state.closest[one, i] = min(state.closest[one, i], away)
            if state.near[one, i] == 0 and away <= THIRD * state.offset[one, i]:
                state.near[one, i] = now


@compile.step
def _come(event, book, state, params):
    """Watch what came if it is a large order, away from the touch."""
    one = 0 if event.side == BUY else 1
    usual = (state.bids.mean + state.asks.mean) / 2.0
    if one == 0:
        steps.ewm.push(state.bids, book.change)
    else:
        steps.ewm.push(state.asks, book.change)
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
    state.offset[one, i], state.closest[one, i], state.near[one, i] = away, away, 0


@compile.step
def _go(event, book, state, params):
    """Weigh what went, if it is an order that was watched."""
    one, gone = 0 if event.side == BUY else 1, -book.change
    for i in range(state.watched[one]):
        if state.price[one, i] == event.price and abs(state.size[one, i] - gone) <= _SAME * gone:
            usual = (state.bids.mean + state.asks.mean) / 2.0
            score = steps.squash(
                _weight(event.ts, book, state, one, i, params) * gone / (params.clear * usual)
            )
            if score > state.pulled[one]:
                state.pulled[one], state.at[one] = score, event.price
            _drop(state, one, i)
            return


@compile.step
def _weight(now, book, state, one, i, params):
    """Return what an order's withdrawal is worth: most at once when price is near, less at its closest."""
    age = (now - state.born[one, i]) * 1e-9
    if not params.least <= age <= params.most:
        return 0.0
    away = _away(book, one, state.price[one, i])
    if state.near[one, i] > 0 and away <= THIRD * state.offset[one, i]:
        waited = (now - state.near[one, i]) * 1e-9
        prompt = _AT_ONCE * steps.exp(-max(waited - _PROMPT, 0.0) / _FADES)
    else:
        prompt = 0.0
    closest = away <= state.closest[one, i] and away < _HALF * state.offset[one, i]
    return max(prompt, _CLOSEST if closest else 0.0)


@compile.step
def _trade(event, state):
    """Forget the orders that a trade reached, and those pulled in the moment that it explains."""
    for one in range(2):
        if event.side != 0 and (one == 0) == (event.side == BUY):
            continue  # a buyer takes from the asks
        if state.at[one] == event.price:
            state.pulled[one], state.at[one] = 0.0, math.nan
        i = 0
        while i < state.watched[one]:
            if state.price[one, i] == event.price:
                _drop(state, one, i)
            else:
                i += 1
