"""Features of volatility: of returns, of ranges, and what is expected of the next row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core import step, steps
from nexus_core.errors import ConfigError
from nexus_core.steps.tool import record
from nexus_features.facts import DAY, Feature

WINDOW, LONG, RANK, WILDER = 20, 100, 100, 14
LONG_RUN = 500
"""Span of the weights of the variance that GARCH goes back to."""
BESSEL = math.sqrt(WINDOW / (WINDOW - 1)), math.sqrt(LONG / (LONG - 1))
"""From the population's deviation to the sample's, of the short and of the long window."""

_SHORT, _OVER = BESSEL[0], BESSEL[0] / BESSEL[1]
_PARKINSON = 1.0 / (4.0 * math.log(2.0))
_OPEN_CLOSE = 2.0 * math.log(2.0) - 1.0

FEATURES = (
    Feature(
        name="historical_volatility",
        formula="sample deviation of log returns over 20 rows·sqrt(rows a year)",
        unit="fraction a year",
        reference="Hull (2018), Options, futures, and other derivatives, 15.4",
        window=WINDOW,
        lead=1,
    ),
    Feature(
        name="realised_volatility",
        formula="sqrt(sum of squared log returns over the rows spanning a day, at least 20)",
        unit="fraction a window",
        reference="Andersen, Bollerslev (1998), Answering the skeptics",
        window=WINDOW,
        horizon=DAY,
        lead=1,
    ),
    Feature(
        name="parkinson_volatility",
        formula="sqrt(mean of ln(h/l)² over 20 rows / (4 ln 2)·rows a year)",
        unit="fraction a year",
        reference="Parkinson (1980), The extreme value method",
        window=WINDOW,
    ),
    Feature(
        name="garman_klass_volatility",
        formula="sqrt(mean of ln(h/l)²/2 - (2 ln 2 - 1) ln(c/o)² over 20 rows·rows a year), at least 0",
        unit="fraction a year",
        reference="Garman, Klass (1980), On the estimation of security price volatilities",
        window=WINDOW,
    ),
    Feature(
        name="atr",
        formula="Wilder's average of the true range over 14 rows",
        unit="price",
        reference="Wilder (1978), New concepts in technical trading systems",
        window=WILDER,
        lead=1,
    ),
    Feature(
        name="bollinger_width",
        formula="4·deviation / mean of c over 20 rows",
        unit="fraction",
        reference="Bollinger (2001), Bollinger on Bollinger bands",
        window=WINDOW,
    ),
    Feature(
        name="volatility_ratio",
        formula="sample deviation of log returns over 20 rows / over 100; 1 where nothing moved",
        unit="ratio",
        reference="Natenberg (1994), Option volatility and pricing (short beside long volatility)",
        window=LONG,
        lead=1,
    ),
    Feature(
        name="volatility_percentile",
        formula="average rank of historical_volatility, to 7 figures, among 100 rows, over 100",
        unit="share",
        reference="Sinclair (2013), Volatility trading (volatility cones)",
        window=RANK,
        lead=WINDOW,
    ),
    Feature(
        name="garch_volatility",
        formula="sqrt(s·rows a year), s = (1 - a - b)·V + a·r² + b·s[t - 1], V = ema(r², 500)",
        unit="fraction a year",
        reference="Bollerslev (1986), Generalized ARCH; Engle, Mezrich (1996), GARCH for groups (targeting)",
        window=LONG,
        lead=1,
    ),
    Feature(
        name="volatility_of_volatility",
        formula="sample deviation of historical_volatility over 20 rows",
        unit="fraction a year",
        reference="Corsi, Mittnik, Pigorsch, Pigorsch (2008), The volatility of realized volatility",
        window=WINDOW,
        lead=WINDOW,
    ),
)


def state(interval: int, year: float, alpha: float, beta: float) -> np.void:
    """Return the state before the first row; a year has `year` days of 24 hours of trading."""
    if alpha + beta >= 1.0:
        raise ConfigError(
            f"features: garch_alpha {alpha} and garch_beta {beta} come to {alpha + beta:g}, must be below 1: "
            "a variance that goes back to no level. Lower one of them."
        )
    return record(
        returns=0,
        year=math.sqrt(year * DAY / interval),
        alpha=alpha,
        beta=beta,
        short=steps.rolling_std(WINDOW),
        long=steps.rolling_std(LONG),
        realised=steps.rolling_sum(FEATURES[1].rows(interval)),
        ranges=steps.rolling_mean(WINDOW),
        bars=steps.rolling_mean(WINDOW),
        atr=steps.atr(WILDER),
        rank=steps.rolling_rank(RANK),
        level=steps.ewm(LONG_RUN),
        next=0.0,
        spread=steps.rolling_std(WINDOW),
    )


@step
def _returns(state: Any, change: float, out: Any) -> None:
    state.returns += int(change == change)
    short = steps.rolling_std.push(state.short, change)
    long = steps.rolling_std.push(state.long, change)
    volatility = _SHORT * short * state.year
    out[0] = volatility
    square = change * change
    out[1] = steps.sqrt(steps.rolling_sum.push(state.realised, square))
    out[6] = _OVER * (short / long) if long > 0.0 else 1.0
    # the deviation of fewer returns is none of this window
    known = volatility if state.returns >= WINDOW else np.float64(np.nan)
    # windows of equal returns are equal, though rounding sets them apart: seven figures are compared
    out[7] = steps.rolling_rank.push(state.rank, np.float64(np.float32(known)))
    out[9] = _SHORT * steps.rolling_std.push(state.spread, known)
    level = steps.ewm.push(state.level, square)
    if state.returns == 1:
        state.next = level
    elif state.returns > 1:
        news = state.alpha * square + state.beta * state.next
        state.next = (1.0 - state.alpha - state.beta) * level + news
    out[8] = steps.sqrt(state.next) * state.year


@step
def push(row: Any, change: float, width: float, state: Any, out: Any) -> None:
    """Write the features of a row whose prices are known, its log return, and the width of its bands."""
    reach, body = steps.log(row.high / row.low), steps.log(row.close / row.open)
    _returns(state, change, out)
    out[2] = steps.sqrt(steps.rolling_mean.push(state.ranges, reach * reach) * _PARKINSON) * state.year
    variance = steps.rolling_mean.push(state.bars, 0.5 * (reach * reach) - _OPEN_CLOSE * (body * body))
    out[3] = steps.sqrt(max(variance, 0.0)) * state.year
    out[4] = steps.atr.push(state.atr, row.high, row.low, row.close)
    out[5] = width
