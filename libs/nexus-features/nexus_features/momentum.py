"""Features of momentum: oscillators and trend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core import step, steps
from nexus_core.steps.tool import record
from nexus_features.facts import Feature

WILDER, SMOOTH, CHANGE, CHANNEL, LINE = 14, 3, 10, 20, 20
FAST, SLOW, SIGNAL = 12, 26, 9
SETTLED = 100
"""Rows after which Wilder's averages hold less than a thousandth of how they began."""

_WILDER = "Wilder (1978), New concepts in technical trading systems"

FEATURES = (
    Feature(
        name="rsi",
        formula="100·up / (up + down), Wilder's averages over 14 rows of rises and falls of c",
        unit="0 to 100",
        reference=_WILDER,
        window=WILDER,
        lead=1,
    ),
    Feature(
        name="stochastic",
        formula="mean over 3 rows of 100·(c - L) / (H - L), lowest and highest of 14 rows; 50 if H = L",
        unit="0 to 100",
        reference="Lane (1984), Lane's stochastics (slow %K)",
        window=WILDER,
        lead=SMOOTH - 1,
    ),
    Feature(
        name="macd",
        formula="ema(c, 12) - ema(c, 26)",
        unit="price",
        reference="Appel (2005), Technical analysis: power tools for active investors",
        window=SLOW,
        lead=2 * SLOW,
    ),
    Feature(
        name="roc",
        formula="100·(c[t] / c[t - 10] - 1)",
        unit="percent",
        reference="Achelis (2000), Technical analysis from A to Z",
        window=CHANGE,
        lead=1,
    ),
    Feature(
        name="williams_r",
        formula="100·(c - L) / (H - L) - 100, lowest and highest of 14 rows; -50 if H = L",
        unit="-100 to 0",
        reference="Williams (1973), How I made one million dollars",
        window=WILDER,
    ),
    Feature(
        name="cci",
        formula="(p - mean) / (0.015·mean(|p - mean|)) over 20 rows, p = (h + l + c) / 3; 0 if none moved",
        unit="index",
        reference="Lambert (1980), Commodity channel index",
        window=CHANNEL,
    ),
    Feature(
        name="momentum_oscillator",
        formula="100·(U - D) / (U + D), sums of rises and falls of c over 14 rows; 0 where nothing moved",
        unit="-100 to 100",
        reference="Chande, Kroll (1994), The new technical trader (CMO)",
        window=WILDER,
        lead=1,
    ),
    Feature(
        name="trend_strength",
        formula="ADX over 14 rows",
        unit="0 to 100",
        reference=_WILDER,
        window=WILDER,
        lead=SETTLED,
    ),
    Feature(
        name="directional_movement",
        formula="+DI - -DI over 14 rows",
        unit="-100 to 100",
        reference=_WILDER,
        window=WILDER,
        lead=1,
    ),
    Feature(
        name="linear_slope",
        formula="slope of the line of least squares through c over 20 rows",
        unit="price a row",
        reference="Chande, Kroll (1994), The new technical trader (linear regression slope)",
        window=LINE,
    ),
)


def state() -> np.void:
    """Return the state before the first row."""
    return record(
        last=math.nan,
        rsi=steps.rsi(WILDER),
        place=steps.stochastic(WILDER),
        smooth=steps.rolling_mean(SMOOTH),
        macd=steps.macd(FAST, SLOW, SIGNAL),
        back=steps.lag(CHANGE),
        cci=steps.cci(CHANNEL),
        rises=steps.rolling_sum(WILDER),
        falls=steps.rolling_sum(WILDER),
        adx=steps.adx(WILDER),
        line=steps.rolling_slope(LINE),
    )


@step
def push(row: Any, state: Any, out: Any) -> None:
    """Write the features of a row whose prices are known."""
    high, low, close = row.high, row.low, row.close
    out[0] = steps.rsi.push(state.rsi, close)
    place = steps.stochastic.push(state.place, high, low, close)
    out[1] = steps.rolling_mean.push(state.smooth, place)
    line, _ = steps.macd.push(state.macd, close)
    out[2] = line
    out[3] = 100.0 * (close / steps.lag.push(state.back, close) - 1.0)
    out[4] = place - 100.0
    out[5] = steps.cci.push(state.cci, high, low, close)
    move = close - state.last
    rises = steps.rolling_sum.push(state.rises, move if move > 0.0 else 0.0)
    falls = steps.rolling_sum.push(state.falls, -move if move < 0.0 else 0.0)
    out[6] = 100.0 * ((rises - falls) / (rises + falls)) if rises + falls > 0.0 else 0.0
    up, down, strength = steps.adx.push(state.adx, high, low, close)
    out[7] = strength
    out[8] = up - down
    out[9] = steps.rolling_slope.push(state.line, close)
    state.last = close
