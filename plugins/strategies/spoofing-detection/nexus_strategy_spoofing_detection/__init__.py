"""Detect large orders that are shown and pulled as price comes to them, and trade against their side.

A spoof is an order that is not meant to trade: shown away from the touch, large enough to move what others
think of the book, and withdrawn before it is reached. Lee, Eom and Park (2013), *Microstructure-based
manipulation: strategic behavior and performance of spoofing traders*, Journal of Financial Markets 16, tell
one by its size (twice the usual), its distance from the touch, and its withdrawal; Cartea, Jaimungal and Wang
(2020), *Spoofing and price manipulation in order-driven markets*, Applied Mathematical Finance 27, show why
it leans against the side that its owner trades on. The order gone, price is free to go on to where it stood,
and the signal is against its side.

Large orders are withdrawn all the time. Each withdrawal is therefore weighed, as a sum of log odds: how far
price came towards the order while it rested, how near it was and how promptly the order then went, its size,
and whether it gave up a place before others in its queue, which an owner who means to trade would rather keep
(Moallemi and Yuan 2016, *A model for queue position valuation in a limit order book*). What is not clear at
once is held for some rows, in which price may bear it out.

The feed is a book by levels, without the numbers of orders. An order is therefore what one change added to a
level, and it is pulled when one change takes the same quantity away, without a trade at that price between.
Orders of several owners that are changed at once, or pulled piece by piece, are not seen.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.market.events import LEVEL, SNAPSHOT, TRADE
from nexus_core.strategy import Param, Strategy
from nexus_strategy_spoofing_detection.orders import PLACES, come, follow, go, lose, trade, volatility

_BORNE = 0.27  # log odds for each volatility of a row, up to 6, that price then goes on


class SpoofingDetection(Strategy):
    """Sell where a large bid is pulled as price comes down to it; buy where a large ask is."""

    nexus_api = 1
    category = "order_flow"
    needs = {"trade", "book"}
    horizon = 60
    row_seconds = 1.0
    slot = "pattern-recognition"
    targets = {"within": 5, "hits": 0.95, "false": 0.5, "precision": 0.8, "recall": 0.6}

    large = Param(2.2, low=1.0, high=50.0, help="Size from which an order is watched, in usual orders")
    clear = Param(3.5, low=1.0, high=100.0, help="Size of an order that is clearly large, in usual orders")
    far = Param(
        2.0, low=0.0, high=100.0, help="Distance from the touch at which it is shown, in usual spreads"
    )
    least = Param(4.0, low=0.0, high=60.0, help="Seconds that it is shown for at the least")
    most = Param(95.0, low=1.0, high=3600.0, help="Seconds that it is shown for at the most")
    confirm = Param(5, low=0, high=60, help="Rows after a withdrawal in which price may bear it out")
    sure = Param(0.57, low=0.0, high=1.0, help="Score from which a pulled order is a signal")
    rest = Param(
        60, low=0, high=3600, help="Rows after a signal in which weaker ones of its side are not given"
    )

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        orders, none = np.zeros((2, PLACES)), np.full(2, math.nan)
        return {
            "bids": steps.ewm(500), "asks": steps.ewm(500),  # sizes of the orders that came
            "spread": steps.ewm(500),  # at each move of the touch
            "bid": math.nan, "ask": math.nan, "last": math.nan, "variance": steps.ewm(300),
            "watched": np.zeros(2, np.int64),
            "price": orders, "size": orders, "offset": orders, "middle": orders, "behind": orders,
            "born": orders.astype(np.int64), "near": orders.astype(np.int64),
            "left": np.zeros(2, np.int64), "odds": np.zeros(2), "began": none, "at": none,
            "said": np.zeros(2), "resting": np.zeros(2, np.int64),
        }  # fmt: skip

    @staticmethod
    def on_event(event, book, state, params):
        """Watch large orders that come, and weigh those that go."""
        if event.kind == LEVEL:
            if book.known == 0 or event.flags & SNAPSHOT != 0 or book.crossed != 0:
                lose(state)
                return
            if book.bid != state.bid or book.ask != state.ask:
                follow(event.ts, book, state)
            if book.change > 0.0:
                come(event, book, state, params)
            elif book.change < 0.0:
                go(event, book, state, params)
        elif event.kind == TRADE:
            trade(event, state)
        elif book.known == 0:
            lose(state)

    @staticmethod
    def step(row, state, params):
        """Take one row; answer against the side on which an order was pulled, with how clearly it was."""
        middle = (state.bid + state.ask) / 2.0
        steps.ewm.push(state.variance, (middle - state.last) * (middle - state.last))
        state.last = middle
        bid, ask = _score(state, 0, middle), _score(state, 1, middle)
        state.resting[0] -= 1
        state.resting[1] -= 1
        if row.close - row.close != 0.0 or bid == ask:
            return 0, 0.0
        one, score = (0, bid) if bid > ask else (1, ask)
        if score < params.sure:
            return 0, 0.0
        state.left[one] = 0
        if state.resting[one] >= 0 and score <= state.said[one]:
            return 0, 0.0
        state.said[one], state.resting[one] = score, params.rest
        return (-1 if one == 0 else 1), score

    @staticmethod
    def blend(row, signal, score, opinion):
        """Return signal and score with three tenths of the model's opinion."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _score(state, one, middle):
    """Return how clearly a side's pulled order was a spoof, by how price went on; 0 where there is none."""
    state.at[one] = math.nan  # a trade that comes later does not explain it
    if state.left[one] == 0:
        return 0.0
    state.left[one] -= 1
    on = middle - state.began[one] if one == 1 else state.began[one] - middle
    moves = steps.clip(on / volatility(state), -6.0, 6.0)
    return steps.squash(steps.exp(state.odds[one] + _BORNE * moves))
