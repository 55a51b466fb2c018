"""Detect levels that trade more than they ever displayed, and trade with who refills them.

An iceberg shows a small peak of a large order; the peak eaten, the next is shown at the same price. Frey and
Sandås (2009), *The impact of iceberg orders in limit order books*, find them by the peaks that come back, and
that price moves in their favour while they are not yet recognised. Christensen and Woodmansey (2013),
*Prediction of hidden liquidity in the limit order book of GLOBEX futures*, Journal of Trading 8, and Zotikov
and Antonov (2019), *CME iceberg order detection and prediction*, follow peaks from the trade that ate the one
before to the change of the book that shows the next, and estimate how much is hidden.

The feed is a book by levels, without the numbers of orders. A refill is what one change adds to a level, soon
after a trade there, of the size of one that was there before, when at least as much has been traded since.
Some are alike by chance; the signal is given where more are than chance makes, and more is traded than was
ever displayed: the rest was hidden. It is of the side that is refilled: a bid that is refilled is support, an
ask resistance. Trades without a known aggressor are passed over.
"""

from __future__ import annotations

import numpy as np

from nexus_core import compile, steps
from nexus_core.market.book import size_at
from nexus_core.market.events import AGAIN, BUY, LEVEL, SELL, SNAPSHOT, TRADE
from nexus_core.strategy import Param, Strategy

LEVELS, PEAKS = 8, 8
"""Levels of a side that are watched, those traded last; and sizes of peaks that are remembered of each."""

_MOST = 4.0  # usual orders beyond which a larger peak is no stronger evidence


class IcebergDetection(Strategy):
    """Buy at a bid that is refilled again and again as it is eaten; sell at such an ask."""

    nexus_api = 1
    category = "liquidity_analysis"
    needs = {"trade", "book"}
    horizon = 60
    row_seconds = 1.0
    slot = "pattern-recognition"
    targets = {"within": 10, "hits": 0.95, "false": 0.5, "precision": 0.8, "recall": 0.6}

    clear = Param(1.5, low=0.1, high=100.0, help="Usual orders that came back, at a score of a half")
    sure = Param(0.5, low=0.0, high=1.0, help="Score from which a refilled level is a signal")
    alike = Param(0.005, low=0.0, high=0.5, help="Share by which the sizes of two peaks may differ")
    prompt = Param(3.0, low=0.01, high=60.0, help="Seconds after a trade within which a refill comes")
    beyond = Param(
        1.0, low=0.1, high=100.0, help="Quantity traded from which it counts, in the most displayed"
    )
    chance = Param(
        0.1, low=0.0, high=1.0, help="Share of orders that are taken to be of a like size by chance"
    )
    share = Param(0.1, low=0.0, high=1.0, help="Share of what was traded that refills must explain")
    memory = Param(
        120.0, low=1.0, high=3600.0, help="Seconds without a trade after which a level is forgotten"
    )

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        levels, peaks = np.zeros((2, LEVELS)), np.zeros((2, LEVELS, PEAKS))
        return {
            "bids": steps.ewm(500), "asks": steps.ewm(500),  # sizes of the orders that came
            "price": np.full((2, LEVELS), np.nan),
            "shown": levels, "traded": levels, "told": levels, "tried": levels,
            "last": levels.astype(np.int64), "latest": np.zeros(2, np.int64),
            "size": peaks, "count": peaks.astype(np.int64), "mark": peaks,
            "found": np.zeros(2),
            "hidden": np.zeros(2),  # traded beyond the most displayed, at the iceberg last found of each side
        }  # fmt: skip

    @staticmethod
    def on_event(event, book, state, params):
        """Add up what is traded at a level, and count the peaks that come back to it."""
        if book.known == 0:
            _forget(state)
        elif event.kind == TRADE:
            whole = event.flags & AGAIN == 0 and 0.0 < event.size < np.inf
            if event.side != 0 and whole and event.price - event.price == 0.0:
                _trade(event, book, state, params)
        elif event.kind == LEVEL and event.flags & SNAPSHOT == 0 and book.change > 0.0:
            _refill(event, book, state, params)

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side on which an iceberg was found since the row before."""
        bid, ask = state.found[0], state.found[1]
        state.found[0] = state.found[1] = 0.0
        if bid == ask or row.close - row.close != 0.0:
            return 0, 0.0
        return (1, bid) if bid > ask else (-1, ask)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Return signal and score with three tenths of the model's opinion."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _forget(state):
    """Watch no level: what went on while the book was not known is not known."""
    for one in range(2):
        for i in range(LEVELS):
            state.price[one, i], state.last[one, i] = np.nan, 0


@compile.step
def _place(state, one, price):
    """Return where a level of side 0 (bids) or 1 (asks) is watched, -1 where it is not."""
    prices = state.price[one]
    for i in range(LEVELS):
        if prices[i] == price:
            return i
    return -1


@compile.step
def _trade(event, book, state, params):
    """Add a trade to the level it took from; of a level that is new or was forgotten begin anew."""
    one, side = (1, SELL) if event.side == BUY else (0, BUY)
    i, displayed = _place(state, one, event.price), size_at(book, side, event.price)
    if i < 0 or (event.ts - state.last[one, i]) * 1e-9 > params.memory:
        if i < 0:
            i = 0
            for k in range(LEVELS):
                if state.last[one, k] < state.last[one, i]:
                    i = k
        state.price[one, i] = event.price
        state.shown[one, i] = state.traded[one, i] = state.told[one, i] = state.tried[one, i] = 0.0
        for k in range(PEAKS):
            state.size[one, i, k], state.count[one, i, k], state.mark[one, i, k] = 0.0, 0, 0.0
        state.size[one, i, 0], state.count[one, i, 0] = displayed, 1
    state.shown[one, i] = max(state.shown[one, i], displayed)
    state.traded[one, i] += event.size
    state.last[one, i] = state.latest[one] = event.ts


@compile.step
def _refill(event, book, state, params):
    """Take what was added to a watched level as the next peak of an iceberg, if it is like one before."""
    one, size = 0 if event.side == BUY else 1, book.change
    if one == 0:
        steps.ewm.push(state.bids, size)
    else:
        steps.ewm.push(state.asks, size)
    if (event.ts - state.latest[one]) * 1e-9 > params.prompt:
        return
    i = _place(state, one, event.price)
    if i < 0 or (event.ts - state.last[one, i]) * 1e-9 > params.prompt:
        return
    state.shown[one, i] = max(state.shown[one, i], event.size)
    traded = state.traded[one, i]
    state.tried[one, i] += 1.0
    rarest = 0
    for k in range(PEAKS):
        peak = state.size[one, i, k]
        if abs(size - peak) <= params.alike * peak:
            if traded - state.mark[one, i, k] >= (1.0 - params.alike) * peak:
                state.count[one, i, k] += 1
                state.mark[one, i, k] = traded
                _judge(state, one, i, k, params)
            return
        more = state.count[one, i, k] - state.count[one, i, rarest]
        if more < 0 or (more == 0 and state.mark[one, i, k] < state.mark[one, i, rarest]):
            rarest = k
    if traded >= size:
        state.size[one, i, rarest], state.count[one, i, rarest], state.mark[one, i, rarest] = size, 1, traded


@compile.step
def _judge(state, one, i, k, params):
    """Weigh what came back against usual orders, what was displayed and what was traded."""
    usual, size, count = (
        (state.bids.mean + state.asks.mean) / 2.0,
        state.size[one, i, k],
        state.count[one, i, k],
    )
    traded, refilled = state.traded[one, i], (count - 1) * size
    if traded <= params.beyond * state.shown[one, i] or refilled < params.share * traded:
        return
    came = (count - 1 - params.chance * state.tried[one, i]) * min(size / usual, _MOST)
    score = steps.squash(came / params.clear)
    if score >= params.sure and came >= 2.0 * state.told[one, i]:
        state.told[one, i] = came
        state.found[one] = max(state.found[one], score)
        state.hidden[one] = traded - state.shown[one, i]
