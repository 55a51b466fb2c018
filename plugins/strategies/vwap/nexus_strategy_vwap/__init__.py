"""Trade the return of price to the session's volume-weighted average price (VWAP).

VWAP is the benchmark price of the session (Berkowitz, Logue and Noser 1988, *The total cost of transactions
on the NYSE*, Journal of Finance 43). Price that leaves a band of k volume-weighted deviations and comes back
inside is taken to go on to VWAP if two things hold: the market has no trend, by the efficiency ratio of
Kaufman (1995), *Smarter trading*; and the distance to VWAP reverts faster than the signal's horizon, by the
half-life of the process of Uhlenbeck and Ornstein (1930), *On the theory of the Brownian motion*, Physical
Review 36. All of it lives in price space: prices turned over, p -> 2 p0 - p, give the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import steps
from nexus_core.strategy import Param, Strategy

HORIZON = 60
_LOG_HALF = math.log(0.5)


class Vwap(Strategy):
    """Buy the return into the band from below, sell the return into it from above."""

    nexus_api = 1
    category = "mean_reversion"
    needs = {"bar", "volume"}
    horizon = HORIZON
    row_seconds = 60.0
    slot = "signal-processing"
    targets = {"within": 3, "hits": 0.95, "false": 4.0, "precision": 0.05, "recall": 0.02}

    k = Param(2.0, low=0.5, high=6.0, help="Volume-weighted deviations from VWAP to the edge of the band")
    settle = Param(30, low=2, high=1_000, help="Rows of a session before its band is believed")
    window = Param(240, low=10, high=10_000, help="Rows over which trend and half-life are measured")
    flat = Param(0.1, low=0.0, high=1.0, help="Efficiency ratio up to which the market counts as flat")

    @property
    def warmup(self) -> int:
        """Return the rows that fill the window, and the one before it."""
        return self.params.window + 1

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "origin": math.nan,  # prices are taken from here, so that turning them over turns only the sign
            "before": 0.0,
            "vwap": steps.session_vwap(),
            "half_life": steps.half_life(params.window, corrected=True),
            "then": steps.lag(params.window),
            "path": steps.rolling_sum(params.window),
            "side": 0,
            "depth": 0.0,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer +1 or -1 at a return into the band, with what it is worth in [0, 1]."""
        known = row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        if state.origin != state.origin:
            state.origin = row.close
        close = row.close - state.origin
        typical = ((row.high - state.origin) + (row.low - state.origin) + close) / 3.0
        fresh = row.session_id != state.vwap.session
        vwap, deviation = steps.session_vwap.push(state.vwap, row.session_id, typical, row.volume)
        half_life = steps.half_life.push(state.half_life, math.nan if fresh else close - vwap)
        progress = abs(close - steps.lag.push(state.then, close))
        path = steps.rolling_sum.push(state.path, abs(close - state.before))
        state.before = close
        depth = abs(close - vwap) / deviation
        if fresh or state.vwap.n <= params.settle or not deviation > 0.0:
            state.side, state.depth = 0, 0.0
            return 0, 0.0
        if depth > params.k:
            side = 1 if close > vwap else -1
            state.depth = max(depth, state.depth) if side == state.side else depth
            state.side = side
            return 0, 0.0
        signal, deepest = -state.side, state.depth
        state.side, state.depth = 0, 0.0
        if signal == 0 or not progress <= params.flat * path or not half_life < HORIZON:
            return 0, 0.0
        gone = 1.0 - steps.exp(_LOG_HALF * HORIZON / half_life)
        return signal, gone * steps.squash(deepest)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Blend a model's opinion in."""
        return steps.blend(signal, score, opinion, 0.3)
