"""Trade where the trends of several timeframes agree.

Elder's triple screen (1993, *Trading for a living*) reads a market on several timeframes at once, and enters
the trend of the longer ones where the shortest resumes it. A trend is measured as momentum over time series
is: by its drift in units of volatility (Moskowitz, Ooi and Pedersen 2012, *Time series momentum*, Journal of
Financial Economics 104). Four stages: alignment of the frames, the pattern that enters, the blend with a
model's opinion, and the calibration of the score, which is the kernel's. Prices turned over, p -> 2 p0 - p,
give the negated signals.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

FRAMES = (1, 5, 15, 60, 240)
"""Rows of a bar of each frame."""
WEIGHTS = (0.1, 0.2, 0.25, 0.25, 0.2)


class MultiTimeframeAlignment(Strategy):
    """Buy where rising timeframes agree and price goes on, sell where falling ones do."""

    nexus_api = 1
    category = "trend_following"
    needs = {"bar"}
    horizon = 60
    row_seconds = 60.0
    slot = "trend-forecast"
    targets = {"within": 150, "hits": 0.95, "false": 4.0}

    span = Param(8, low=2, high=200, help="Bars of a frame in its average")
    full = Param(0.5, low=0.05, high=5.0, help="Slope in average true ranges a bar that is a full trend")
    agree = Param(0.65, low=0.1, high=1.0, help="Weighted agreement of the frames that counts")
    pattern = Param(15, low=2, high=1_000, help="Rows whose extreme the close passes as the trend goes on")

    @property
    def warmup(self) -> int:
        """Return the rows that fill the average of the longest frame."""
        return FRAMES[-1] * self.params.span + self.params.pattern

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        count = len(FRAMES)
        return {
            "rows": np.array(FRAMES),
            "weights": np.array(WEIGHTS),
            "origin": math.nan,  # prices are taken from here, so that turning them over turns only the sign
            "n": np.zeros(count, np.int64),  # rows of the forming bar
            "bars": np.zeros(count, np.int64),  # closed
            "high": np.zeros(count),  # of the forming bar
            "low": np.zeros(count),
            "before": np.zeros(count),  # close of the bar before
            "average": np.zeros(count),
            "range": np.zeros(count),
            "top": steps.rolling_max(params.pattern),
            "bottom": steps.rolling_min(params.pattern),
            "highest": math.nan,  # close of the rows before this
            "lowest": math.nan,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side on which the frames agree, where price goes on."""
        if not (row.low > -math.inf and row.high < math.inf and row.close - row.close == 0.0):
            return 0, 0.0
        if state.origin != state.origin:
            state.origin = row.close
        close = row.close - state.origin
        aligned = 0.0
        for k in range(state.rows.size):
            aligned += state.weights[k] * _trend(
                state, params, k, row.high - state.origin, row.low - state.origin, close
            )
        highest, lowest = state.highest, state.lowest
        state.highest = steps.rolling_max.push(state.top, close)
        state.lowest = steps.rolling_min.push(state.bottom, close)
        goes_on = close > highest if aligned > 0.0 else close < lowest
        if not goes_on or not abs(aligned) >= params.agree:
            return 0, 0.0
        side = 1 if aligned > 0.0 else -1
        part = (abs(aligned) - params.agree) / (1.0 - params.agree) if params.agree < 1.0 else 1.0
        return side, steps.clip(0.5 + 0.5 * part, 0.0, 1.0)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Blend a model's opinion in: the less the wilder the market, the more the calmer it is."""
        volatility, trend = (row.high - row.low) / row.close, row.close / row.open - 1.0
        momentum = 100.0 * trend
        share = 0.30
        if volatility > 0.04:
            share = 0.15
        elif volatility < 0.01:
            share = 0.40
        elif abs(trend) > 0.03:
            share = 0.20
        elif abs(momentum) > 1.5:
            share = 0.35
        return steps.blend(signal, score, opinion, share)


@compile.step
def _trend(state, params, k, high, low, close):
    """Take a row into frame k; return the slope of its average, the forming bar in it, in [-1, 1]."""
    if state.n[k] == 0:
        state.high[k], state.low[k] = high, low
    else:
        state.high[k], state.low[k] = max(state.high[k], high), min(state.low[k], low)
    state.n[k] += 1
    weight = 2.0 / (params.span + 1.0)
    known = state.bars[k] > 0
    slope = weight * (close - state.average[k]) if known else 0.0
    usual = state.range[k]
    if state.n[k] == state.rows[k]:
        before = state.before[k] if known else close
        reach = max(state.high[k], before) - min(state.low[k], before)
        state.bars[k] += 1
        state.range[k] += (reach - state.range[k]) / min(state.bars[k], params.span)
        state.average[k] = state.average[k] + slope if known else close
        state.before[k], state.n[k] = close, 0
    if not usual > 0.0:
        return 0.0
    return steps.clip(slope / usual / params.full, -1.0, 1.0)
