"""Trade against aggressors whose volume the touch absorbs until they are spent.

Market orders of one side hit a price again and again; the price does not give way, because what was taken is
offered anew, by a hidden order or by others who step in. That books refill where they were eaten was first
measured by Biais, Hillion and Spatt (1995), *An empirical analysis of the limit order book and the order flow
in the Paris Bourse*, Journal of Finance 50; that long runs of one-sided orders are met by such liquidity, so
that prices stay unpredictable, by Bouchaud, Farmer and Lillo (2009), *How markets slowly digest changes in
supply and demand*. When the run ends, the liquidity that leaned against it is what is left: price goes to its
side.

For the latest prices that were hit it keeps what was eaten there (forgotten by halves), what was
offered anew, and what was displayed. All of it lives in price space: a market turned over
gives the negated signals.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.market.book import size_at
from nexus_core.market.events import AGAIN, BREAK, CLEAR, LAST, LEVEL, TRADE
from nexus_core.records import layout
from nexus_core.strategy import Param, Strategy

PLACES = 8
"""Prices of a side that are remembered; of more, the one least eaten is forgotten."""

HIT = layout(("price shown eaten refilled size pending owed", "f8"), ("at beyond", "i8"))
"""A price that was hit: mean size displayed when it was; quantity eaten and offered anew; size now, and what
was traded since, or gone before its trade was told; time of the latest hit; rows beyond it."""

_SECOND, _HALF = 1e9, math.log(0.5)


class LiquidityAbsorption(Strategy):
    """Buy above a bid that ate the sellers, once they are spent; sell below an ask that ate the buyers."""

    nexus_api = 1
    category = "liquidity_analysis"
    needs = {"trade", "book"}
    horizon = 60
    row_seconds = 1.0
    slot = "order-book"
    targets = {"within": 60, "hits": 0.95, "false": 1.5, "precision": 0.35, "recall": 0.6}

    ratio = Param(3.0, low=1.0, high=1_000.0, help="Quantity eaten over quantity displayed that counts")
    share = Param(0.1, low=0.0, high=1.0, help="Part of all that its side lost, at one price alone")
    refill = Param(0.8, low=0.0, high=2.0, help="Share of what was eaten that must have been offered anew")
    memory = Param(180.0, low=1.0, high=3_600.0, help="Seconds until half of what was eaten is forgotten")
    quiet = Param(15, low=1, high=600, help="Rows over which the aggressors' volume now is averaged")
    usual = Param(120, low=2, high=10_000, help="Rows over which their usual volume is averaged")
    spent = Param(0.6, low=0.0, high=2.0, help="Volume now over usual volume at which they are spent")
    lift = Param(1.0, low=0.0, high=100.0, help="Spreads by which the touch must have left the price")
    patience = Param(2, low=0, high=600, help="Rows beyond a price after which it has given way")

    @property
    def warmup(self):
        """Return the rows that tell the usual volume."""
        return self.params.usual

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        hits = np.zeros((2, PLACES), HIT)
        hits["price"] = math.nan
        usual = [steps.ewm(params.usual) for _ in range(2)]
        return {
            "hits": hits,  # of bids and asks
            "touch": np.full(2, math.nan),
            "all": np.zeros(2),  # eaten of bids and asks, forgotten as at each price
            "at": 0,
            "hitting": np.zeros(2),
            "quiet_buys": steps.ewm(params.quiet),
            "quiet_sells": steps.ewm(params.quiet),
            "usual_buys": usual[0],
            "usual_sells": usual[1],
        }

    @staticmethod
    def on_event(event, book, state, params):
        """Take a trade at the price it hit, and what is displayed there after it."""
        kind = event.kind
        if kind == LEVEL:
            _show(state.hits[0 if event.side > 0 else 1], event.price, event.size)
        elif kind == TRADE:
            if event.side != 0 and event.flags & AGAIN == 0 and 0.0 < event.size < math.inf:
                one = 0 if event.side < 0 else 1
                state.hitting[one] += 1.0
                kept = _kept(event.ts - state.at, params.memory)
                state.all[0] *= kept
                state.all[1] *= kept
                state.all[one] += event.size
                state.at = event.ts
                if book.known:
                    displayed = size_at(book, -event.side, event.price)
                    _hit(state.hits[one], event, displayed, params.memory)
        elif kind in (CLEAR, BREAK):
            for one in range(2):
                for i in range(PLACES):
                    state.hits[one, i].price = math.nan
        if kind != TRADE and event.flags & LAST:
            sound = book.known == 1 and book.crossed == 0
            state.touch[0] = book.bid if sound else math.nan
            state.touch[1] = book.ask if sound else math.nan

    @staticmethod
    def step(row, state, params):
        """Close the row's volumes; answer at a price that held, has been left, and is hit no more."""
        sells, buys = state.hitting[0], state.hitting[1]
        now_sells = steps.ewm.push(state.quiet_sells, sells)
        now_buys = steps.ewm.push(state.quiet_buys, buys)
        usual_sells = steps.ewm.push(state.usual_sells, sells)
        usual_buys = steps.ewm.push(state.usual_buys, buys)
        state.hitting[0] = state.hitting[1] = 0.0
        lift = params.lift * (state.touch[1] - state.touch[0])
        bid = _held(state.hits[0], 1, state.touch[0], lift, state.at, state.all[0], params)
        ask = _held(state.hits[1], -1, state.touch[1], lift, state.at, state.all[1], params)
        below = _ratio(state.hits[0], bid, row.ts, params) if now_sells <= params.spent * usual_sells else 0.0
        above = _ratio(state.hits[1], ask, row.ts, params) if now_buys <= params.spent * usual_buys else 0.0
        if row.close - row.close != 0.0 or not max(below, above) >= params.ratio or below == above:
            return 0, 0.0
        side = 1 if below > above else -1
        if side > 0:
            state.hits[0, bid].eaten = state.hits[0, bid].refilled = 0.0
        else:
            state.hits[1, ask].eaten = state.hits[1, ask].refilled = 0.0
        return side, steps.squash(1.5 * max(below, above) / params.ratio)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Return signal and score with a share of the slot's opinion."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _find(hits, price):
    """Return the place of a price, -1 where it has none."""
    for i in range(PLACES):
        if hits[i].price == price:
            return i
    return -1


@compile.step
def _show(hits, price, size):
    """Count as offered anew what a price shows beyond what was left of it."""
    at = _find(hits, price)
    if at >= 0:
        one = hits[at]
        more = size - one.size + one.pending
        if more > 0.0:
            one.refilled += more
        one.owed = max(-more, 0.0)
        one.pending, one.size = 0.0, size


@compile.step
def _hit(hits, event, displayed, memory):
    """Count a trade as eaten at its price; a feed may tell of it before or after the change it made."""
    at = _find(hits, event.price)
    if at < 0:
        at = _weakest(hits, event.ts, memory)
        one = hits[at]
        one.price, one.size, one.shown, one.at = event.price, displayed, displayed, event.ts
        one.eaten = one.refilled = one.pending = one.owed = 0.0
        one.beyond = 0
    one = hits[at]
    kept = _kept(event.ts - one.at, memory)
    one.eaten = kept * one.eaten + event.size
    one.refilled *= kept
    one.shown += 0.2 * (displayed - one.shown)
    one.at = event.ts
    told = min(one.owed, event.size)
    one.owed -= told
    one.pending += event.size - told


@compile.step
def _kept(nanoseconds, memory):
    return steps.exp(_HALF * nanoseconds / _SECOND / memory)


@compile.step
def _weakest(hits, now, memory):
    """Return a free place, else the one least eaten by now."""
    at, least = 0, math.inf
    for i in range(PLACES):
        if hits[i].price != hits[i].price:
            return i
        left = hits[i].eaten * _kept(now - hits[i].at, memory)
        if left < least:
            at, least = i, left
    return at


@compile.step
def _held(hits, side, touch, lift, now, all_of_it, params):
    """Let go of prices that gave way; return the place of the most eaten one that the touch has left."""
    best, most = -1, params.share * all_of_it
    for i in range(PLACES):
        one = hits[i]
        away = side * (touch - one.price)
        one.beyond = one.beyond + 1 if away < 0.0 else 0
        if one.beyond > params.patience:
            one.price = math.nan
        elif away > 0.0 and away >= lift and one.refilled >= params.refill * one.eaten:
            eaten = one.eaten * _kept(now - one.at, params.memory)
            if eaten > most:
                best, most = i, eaten
    return best


@compile.step
def _ratio(hits, at, now, params):
    """Return what was eaten over what is displayed at a place; 0 for none."""
    if at < 0 or not hits[at].shown > 0.0:
        return 0.0
    return hits[at].eaten * _kept(now - hits[at].at, params.memory) / hits[at].shown
