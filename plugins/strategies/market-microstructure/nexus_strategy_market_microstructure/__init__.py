"""Follow informed order flow, by its toxicity and by the impact that stays.

Who knows more than the market trades to one side, and price goes with it for good (Kyle 1985, *Continuous
auctions and insider trading*, Econometrica 53). Four measures of that are taken together:

- VPIN, how one-sided volume is in buckets of equal volume (Easley, Lopez de Prado and O'Hara 2012, *Flow
  toxicity and liquidity in a high-frequency world*, Review of Financial Studies 25). It has to be in the
  upper tail of its own past.
- Kyle's lambda, the slope of the mid's change on signed volume, through the origin. It is fitted on changes
  within a row, and on those over ten rows. The impact of flow that knows nothing goes back within those;
  that of informed flow stays (Hasbrouck 1991, *Measuring the information content of stock trades*, Journal of
  Finance 46). So a part of lambda has to be left from the one to the other, and that has to be sure.
- Roll's spread (Roll 1984, *A simple implicit measure of the effective bid-ask spread in an efficient
  market*, Journal of Finance 39). The way of the mid to that side has to be longer than it.
- The illiquidity of Amihud (2002, *Illiquidity and stock returns*, Journal of Financial Markets 5). Where it
  is far above the usual the market is thin, and its price moves without anybody knowing anything.

Signed trades and the book are needed. Price turned over, p -> 2 p0 - p, gives the negated signals.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import steps
from nexus_core.market.events import AGAIN, LAST, TRADE
from nexus_core.strategy import Param, Strategy

_LONG = 900
_USUAL = 2.0 * _LONG
_SPAN = 10
_PAST = 60
_BUSY = 2.0 * 60


class MarketMicrostructure(Strategy):
    """Go with one-sided flow whose impact stays."""

    nexus_api = 1
    category = "order_flow"
    needs = {"bar", "volume", "trade", "book"}
    row_seconds = 1.0
    horizon = 60
    warmup = _LONG
    targets = {"within": 30, "hits": 0.95, "false": 1.5}

    window = Param(200, low=20, high=1_000, help="Rows over which the impact of flow is fitted")
    bucket = Param(20.0, low=1.0, high=1_000.0, help="Volume of a bucket, in usual volumes of a row")
    buckets = Param(15, low=2, high=500, help="Buckets over which VPIN is taken")
    tail = Param(
        0.7, low=0.0, high=1.0, help="Rank among its last 60 values from which VPIN is in its upper tail"
    )
    busy = Param(
        1.4, low=0.0, high=100.0, help="Volume of the last minute of rows that counts, in usual ones"
    )
    lean = Param(0.45, low=0.0, high=1.0, help="Share by which one side's volume exceeds the other's")
    stay = Param(0.1, low=0.0, high=10.0, help="Lambda over ten rows, in lambdas over one, that counts")
    sure = Param(2.0, low=0.0, high=100.0, help="Least t-value of lambda over ten rows")
    thin = Param(
        5.0, low=0.1, high=100.0, help="Amihud illiquidity from which a market is thin, in usual ones"
    )

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "bought": 0.0,
            "sold": 0.0,
            "mid": math.nan,
            "before": math.nan,
            "volume": steps.ewm(_USUAL),
            "recent": steps.ewm(_BUSY),
            "vpin": steps.vpin(params.buckets),
            "rank": steps.rolling_rank(_PAST),
            "place": math.nan,
            "full": 0,
            "flow": steps.rolling_sum(_SPAN),
            "change": steps.lag(_SPAN),
            "near": steps.kyle_lambda(params.window, origin=True),
            "far": steps.kyle_lambda(params.window, origin=True),
            "spread": steps.roll_spread(params.window),
            "way": steps.lag(params.window),
            "amihud": steps.amihud(params.window),
            "illiquid": steps.ewm(_USUAL),
            "side": 0,
            "since": 0,
        }

    @staticmethod
    def on_event(event, book, state, params):
        """Add up the trades of the forming row by their aggressor, and keep the mid of the book."""
        if event.kind == TRADE:
            if event.flags & AGAIN == 0 and 0.0 < event.size < np.inf:
                if event.side > 0:
                    state.bought += event.size
                elif event.side < 0:
                    state.sold += event.size
        elif event.flags & LAST:
            state.mid = 0.5 * (book.bid + book.ask) if book.bid <= book.ask else np.nan

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side of flow that is one-sided, and moves the price for good."""
        bought, sold, mid = state.bought, state.sold, state.mid
        state.bought = state.sold = 0.0
        traded, flow, change = bought + sold, bought - sold, mid - state.before
        state.before = mid
        volume = steps.ewm.push(state.volume, traded)
        recent = steps.ewm.push(state.recent, traded)
        toxic = steps.vpin.push(state.vpin, bought, sold, params.bucket * volume)
        if state.vpin.full != state.full:
            state.full, state.place = state.vpin.full, steps.rolling_rank.push(state.rank, toxic)
        near = steps.kyle_lambda.push(state.near, flow, change)
        flow = steps.rolling_sum.push(state.flow, flow)
        late = mid - steps.lag.push(state.change, mid)
        far = steps.kyle_lambda.push(state.far, flow, late)
        spread = steps.roll_spread.push(state.spread, row.close)
        way = mid - steps.lag.push(state.way, mid)
        amihud = steps.amihud.push(state.amihud, change, traded)
        illiquid = steps.ewm.push(state.illiquid, amihud)
        state.since += 1
        lean, side = abs(state.vpin.lean), 1 if state.vpin.lean > 0.0 else -1
        if not (state.place >= params.tail and lean >= params.lean and recent >= params.busy * volume):
            state.side = 0 if state.since > params.window else state.side
            return 0, 0.0
        stays = far >= params.stay * near and state.far.t >= params.sure and side * way > spread
        # what the newest trades moved may go back: the price has to have come to rest
        if side == state.side or not (stays and side * late <= 0.0 and amihud <= params.thin * illiquid):
            return 0, 0.0
        state.side, state.since = side, 0
        return side, 0.5 * (1.0 + lean) * steps.squash(1.5 * state.far.t / params.sure)
