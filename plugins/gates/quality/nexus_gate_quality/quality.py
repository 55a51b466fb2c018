"""The layer: from a market row to its dimensions, its score, its grade and its regime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from nexus_features import NAMES, Standard

from nexus_core import Param, step
from nexus_core.layers import Layer
from nexus_core.market.events import unknown
from nexus_core.steps.tool import record
from nexus_gate_quality import dimensions, regimes

GRADES = ("A+", "A", "B+", "B", "C+", "C", "D", "F")

_SCALARS = (
    "mqscore liquidity volatility momentum imbalance trend_strength noise data_quality regime "
    "regime_confidence grade danger"
)
_features = step(Standard.step)


def _weight(default: float, dimension: str) -> Param:
    return Param(default, low=0.0, high=1.0, help=f"weight of {dimension} in mqscore, beside the others")


def _cut(default: float, grade: str) -> Param:
    return Param(default, low=0.0, high=1.0, help=f"mqscore from which the grade is {grade}")


class Quality(Layer):
    """Say of every row how good the market is: six dimensions, a score, a grade and a regime."""

    nexus_api = 1
    layer = 1
    writes = {
        **dict.fromkeys(_SCALARS.split(), 1),
        "probabilities": len(regimes.WORDS),
        "features": len(NAMES),
    }
    words = {"regime": regimes.WORDS, "grade": GRADES}

    year, garch_alpha, garch_beta = Standard.year, Standard.garch_alpha, Standard.garch_beta

    bars = Param(20, low=2, high=10_000, help="rows with prices before anything is said")
    usual = Param(1000, low=20, high=1_000_000, help="rows over which is learned what is usual")
    slope = Param(2.0, low=0.1, high=20.0, help="steepness of the places of spread and volatility")
    amount_slope = Param(1.0, low=0.1, high=20.0, help="steepness of the places of amounts and of impact")
    short = Param(5, low=1, high=1_000, help="rows of the short return")
    medium = Param(15, low=1, high=1_000, help="rows of the medium return, and of smoothed amounts")
    long = Param(60, low=2, high=10_000, help="rows of the long return, and of the usual move of a row")
    pace = Param(0.5, low=0.01, high=100.0, help="usual deviations of a return that count as one")
    tilt = Param(0.75, low=0.01, high=100.0, help="deviations of a coin's mean that count as one")
    cost = Param(0.5, low=0.01, high=100.0, help="spread, in usual ranges of a row, that is half cheap")
    adx = Param(25.0, low=1.0, high=100.0, help="ADX at which its part of the trend is one half")
    efficiency = Param(0.3, low=0.01, high=1.0, help="efficiency ratio at which its part is one half")
    spike = Param(3.0, low=0.1, high=100.0, help="usual moves that a spike goes out, and comes back")
    spikes = Param(0.1, low=0.001, high=1.0, help="share of rows with spikes at which half is noise")

    weight_liquidity = _weight(0.15, "liquidity")
    weight_volatility = _weight(0.15, "volatility, inverted")
    weight_momentum = _weight(0.15, "momentum")
    weight_imbalance = _weight(0.15, "imbalance")
    weight_trend_strength = _weight(0.20, "trend strength")
    weight_noise = _weight(0.20, "noise, inverted")

    grade_a_plus, grade_a = _cut(0.90, "A+"), _cut(0.80, "A")
    grade_b_plus, grade_b = _cut(0.70, "B+"), _cut(0.60, "B")
    grade_c_plus, grade_c = _cut(0.50, "C+"), _cut(0.45, "C")
    grade_d = _cut(0.30, "D, and below which it is F")

    margin = Param(0.20, low=0.0, high=1.0, help="by how much another regime must be more probable")
    rows = Param(3, low=1, high=1_000, help="for how many rows it must be so before the regime changes")
    stale = Param(10, low=1, high=10_000, help="rows without another close from which on they are stale")
    memory = Param(100, low=1, high=100_000, help="rows over which data_quality is averaged")

    @staticmethod
    def state(params: Any, interval: int) -> Mapping[str, Any]:
        """Return the state of a symbol before its first row."""
        return {
            "features": record(**Standard.state(params, interval)),
            "book": unknown()[0],
            "of": dimensions.state(params.short, params.medium, params.long),
            "regime": regimes.state(),
            "bars": 0,
            "interval": interval,
            "ts": 0,
            "session": 0,
            "close": math.nan,
            "still": 0,
            "quality": 1.0,
        }

    @staticmethod
    def watch(row: Any, context: Any, state: Any, params: Any) -> None:
        """Take one row of a symbol, and write what is known of its market then."""
        missing = _features(row, state.book, state.features, params, context.features)
        has_prices = missing & 1 == 0
        if has_prices:
            dimensions.move(row, state.of, params)
            state.bars = min(state.bars + 1, params.bars)
            _measure(row, context, state.of, params)
        context.data_quality = _of_data(row, has_prices, state, params)
        if not (has_prices and state.bars == params.bars):
            _measure_nothing(context)
        _score(context, params)
        if context.mqscore == context.mqscore:
            regimes.weigh(state.of, context)
            regimes.report(context, state.regime, params)
        else:
            regimes.report_nothing(context)


@step
def _measure(row: Any, context: Any, of: Any, params: Any) -> None:
    out = context.features
    context.liquidity = dimensions.liquidity(row, out, of, params)
    context.volatility = dimensions.volatility(out, of, params)
    context.momentum = dimensions.momentum(of, params)
    context.imbalance = dimensions.imbalance(row, out, of, params)
    context.trend_strength = dimensions.trend_strength(row, out, of, params)
    context.noise = dimensions.noise(row, of, params)


@step
def _measure_nothing(context: Any) -> None:
    context.liquidity = context.volatility = context.momentum = np.nan
    context.imbalance = context.trend_strength = context.noise = np.nan


@step
def _score(context: Any, params: Any) -> None:
    """Write the weighted mean of the dimensions, volatility and noise inverted, and its grade."""
    volatility, noise = 1.0 - context.volatility, 1.0 - context.noise
    good = params.weight_liquidity * context.liquidity + params.weight_volatility * volatility
    good += params.weight_momentum * context.momentum + params.weight_imbalance * context.imbalance
    good += params.weight_trend_strength * context.trend_strength + params.weight_noise * noise
    whole = params.weight_liquidity + params.weight_volatility + params.weight_momentum
    whole += params.weight_imbalance + params.weight_trend_strength + params.weight_noise
    context.mqscore = good / whole if whole > 0.0 else np.nan
    context.grade = grade(context.mqscore, params)


@step
def grade(score: float, params: Any) -> float:
    """Return the place of a score's grade among `GRADES`; NaN has none."""
    if score != score:
        return np.float64(np.nan)
    if score >= params.grade_b:
        if score >= params.grade_a_plus:
            return np.float64(0.0)
        if score >= params.grade_a:
            return np.float64(1.0)
        return np.float64(2.0 if score >= params.grade_b_plus else 3.0)
    if score >= params.grade_c_plus:
        return np.float64(4.0)
    if score >= params.grade_c:
        return np.float64(5.0)
    return np.float64(6.0 if score >= params.grade_d else 7.0)


@step
def _of_data(row: Any, has_prices: bool, state: Any, params: Any) -> float:
    """Return the average of marks: 1 for a clean row, 0.5 for an odd one, 0 for one that is no use."""
    since = row.ts - state.ts
    is_gap = row.session_id == state.session and state.ts > 0 and since > state.interval + state.interval // 2
    state.ts, state.session = row.ts, row.session_id
    is_odd = is_gap or row.volume == 0.0
    if has_prices:
        state.still = state.still + 1 if row.close == state.close else 0
        state.close = row.close
        is_odd = is_odd or state.still >= params.stale or state.of.is_spike == 1
    mark = 0.5 if is_odd else 1.0
    if not has_prices or row.bid > row.ask or row.volume < 0.0 or row.volume == np.inf:
        mark = 0.0
    state.quality += (mark - state.quality) / params.memory
    return state.quality
