"""Trade lasting imbalance of the order book, where its orders and its flow agree.

Three readings of the book are taken, and must say the same for some rows on end:

- *depth*: how much more rests on one side within the best levels, the best weighing most (Cao, Hansch and
  Wang 2009, *The information content of an open limit-order book*, Journal of Futures Markets 29);
- *flow*: the order-flow imbalance at the touch, which drives the price over short times nearly in a line
  (Cont, Kukanov and Stoikov 2014, *The price impact of order book events*, Journal of Financial Econometrics
  12), in deviations from its own usual size;
- *micro-price* against the middle: where the queues at the touch have led so far (Stoikov 2018, *The
  micro-price*, Quantitative Finance 18).

Depth alone says little: large orders rest for long, and some are there to be seen. The flow says that
somebody acts on it. It needs no trades. All of it lives in price space: a book turned over
gives the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import steps
from nexus_core.market.book import look
from nexus_core.market.events import LAST, QUOTE, TRADE, unknown
from nexus_core.strategy import Param, Strategy

MILLISECOND = 1_000_000


class OrderBookImbalance(Strategy):
    """Go with the side on which depth, flow and micro-price have agreed for some rows."""

    nexus_api = 1
    category = "order_flow"
    needs = {"book"}
    horizon = 60
    row_seconds = 1.0
    slot = "order-book"
    targets = {"within": 30, "hits": 0.95, "false": 2.0}

    levels = Param(5, low=1, high=10, help="Levels of a side that count as depth")
    every = Param(250, low=0, high=60_000, help="Milliseconds from one look at the depth to the next")
    window = Param(60, low=2, high=3_600, help="Rows over which depth and micro-price are averaged")
    depth = Param(0.1, low=0.0, high=1.0, help="Mean tilt of the depth that counts, 0 even, 1 all on a side")
    burst = Param(20, low=1, high=3_600, help="Rows over which the order flow is summed")
    flow = Param(1.75, low=0.0, high=20.0, help="Order-flow imbalance that counts, in its usual deviations")
    usual = Param(900, low=10, high=100_000, help="Rows that the usual size of the order flow is taken over")
    persist = Param(2, low=1, high=600, help="Rows on end that all three must agree")
    rest = Param(30, low=0, high=3_600, help="Rows after a signal without another to its side")

    @property
    def warmup(self):
        """Return the rows until usual is known in the rough."""
        return max(self.params.window, self.params.burst, self.params.usual // 3)

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "touch": steps.order_flow_imbalance(),
            "micro": steps.micro_price(),
            "shown": unknown()[0],
            "looked": 0,
            "known": 0,
            "row": steps.record(flow=0.0, leans=0.0, touches=0, tilts=0.0, looks=0),
            "sum": steps.rolling_sum(params.burst),
            "ordinary": steps.ewm(params.usual),
            "tilt": steps.rolling_mean(params.window),
            "lean": steps.rolling_mean(params.window),
            "agreed": 0,
            "fired": 0,
            "since": 0,
        }

    @staticmethod
    def on_event(event, book, state, params):
        """Take the touch after each whole message of the book, and from time to time its depth."""
        kind = event.kind
        if kind in (TRADE, QUOTE) or event.flags & LAST == 0:
            return
        state.known = int(book.known == 1 and book.crossed == 0)
        if state.known == 0:
            steps.order_flow_imbalance.push(state.touch, math.nan, 0.0, math.nan, 0.0)
            steps.micro_price.push(state.micro, math.nan, 0.0, math.nan, 0.0)
            return
        one = state.row
        touch = book.bid, book.bid_size, book.ask, book.ask_size
        one.flow += steps.order_flow_imbalance.push(state.touch, *touch)
        lean = steps.micro_price.push(state.micro, *touch)
        if lean == lean:
            one.leans += lean
            one.touches += 1
        if event.ts - state.looked >= params.every * MILLISECOND:
            state.looked = event.ts
            look(book, state.shown)
            tilt = steps.depth_imbalance(state.shown.bid_sizes, state.shown.ask_sizes, params.levels)
            if tilt == tilt:
                one.tilts += tilt
                one.looks += 1

    @staticmethod
    def step(row, state, params):
        """Close the row's readings; answer a side once depth, flow and micro-price have agreed on it."""
        one = state.row
        flow = steps.rolling_sum.push(state.sum, one.flow)
        usual = steps.sqrt(state.ordinary.mean)  # before this row: a burst is not measured against itself
        steps.ewm.push(state.ordinary, flow * flow)
        tilt = steps.rolling_mean.push(state.tilt, one.tilts / one.looks if one.looks > 0 else math.nan)
        lean = steps.rolling_mean.push(state.lean, one.leans / one.touches if one.touches > 0 else math.nan)
        one.flow = one.leans = one.tilts = 0.0
        one.touches = one.looks = 0
        state.since += 1
        side = 1 if flow > 0.0 else -1
        strength = abs(flow) / usual
        agree = side * tilt > params.depth and strength > params.flow and side * lean > 0.0
        if state.known == 0 or row.close - row.close != 0.0 or not agree:
            state.agreed = 0
            return 0, 0.0
        state.agreed = state.agreed + side if state.agreed * side >= 0 else side
        if abs(state.agreed) < params.persist or (state.fired == side and state.since <= params.rest):
            return 0, 0.0
        state.fired, state.since, state.agreed = side, 0, 0
        return side, steps.squash(0.75 * strength * (1.0 + abs(tilt)))

    @staticmethod
    def blend(row, signal, score, opinion):
        """Return signal and score with a share of the slot's opinion."""
        return steps.blend(signal, score, opinion, 0.3)
