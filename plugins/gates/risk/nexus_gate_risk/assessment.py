"""What an assessment leaves of an entry: risk score and multiplier, class of the market, flags, correlation.

What layer 1 left unknown of a row that it spoke of is taken for the worst. Where it said nothing at all there
is no layer 1, and what it would have said is taken for neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nexus_core import Layer, Param, step, steps
from nexus_core.types import Mode
from nexus_gate_risk import correlation

REDUCED = int(Mode.REDUCED)

TRENDING_BULL, TRENDING_BEAR = 0, 1
HIGH_VOLATILITY, HIGH_VOLATILITY_LOW_LIQUIDITY, CRISIS = 7, 9, 11
"""Numbers of the regimes that matter here."""

FLAGS = (
    "LOW_CONFIDENCE",
    "POOR_MODEL_PERFORMANCE",
    "VOLATILE_REGIME",
    "HIGH_VOLATILITY",
    "LOW_MARKET_QUALITY",
    "LOW_LIQUIDITY",
    "HIGH_NOISE",
)
"""What the bits of the field `risk_flags` stand for, from the lowest."""

CLASSES = ("FAVORABLE", "NEUTRAL", "ADVERSE")
FAVORABLE, NEUTRAL, ADVERSE = range(3)

Z95 = 1.645
"""The 95 % quantile of the normal distribution."""


@step
def metrics(
    size: float, price: float, side: int, stop_loss: float, take_profit: float, confidence: float
) -> tuple[float, float, float, float, float, float]:
    """Return stop, target, max loss, expected return, sharpe and VaR95 of an entry.

    `size` is a share of equity, `stop_loss` and `take_profit` are shares of the price. Stop and target are
    in the unit of `price`; max loss, expected return and VaR95 are shares of equity. Sharpe is expected
    return / max loss, NaN where nothing can be lost.
    """
    stop = price * (1.0 - side * stop_loss)
    target = price * (1.0 + side * take_profit)
    max_loss = size * stop_loss
    expected = size * take_profit * confidence
    sharpe = expected / max_loss if max_loss > 0.0 else np.nan
    return stop, target, max_loss, expected, sharpe, max_loss * Z95


@step
def risk_score(volatility: float, quality: float, fall: float, confidence: float) -> float:
    """Return the mean of four factors in [0, 1], 1 the worst.

    All arguments lie in [0, 1]. `fall` is the share of the drawdown limit that is used up.
    """
    return 0.25 * (volatility + (1.0 - quality) + fall + (1.0 - confidence))


@step
def used(since: float, equity: float, limit: float) -> float:
    """Return the share of a limit that the loss since a level of equity uses up, in [0, 1]; unknown is 1."""
    if not since > 0.0:
        return np.float64(1.0)
    return _known((since - equity) / since / limit, 1.0)


@step
def room(share: float, taper: float) -> float:
    """Return the most the multiplier may be where a share of a limit is used up.

    It is 1 up to the share `taper`, and falls from there in a straight line to 0 at the limit.
    """
    return steps.clip((1.0 - share) / (1.0 - taper), 0.0, 1.0)


@step
def _known(value: float, unknown: float) -> float:
    """Return a value held within [0, 1], or where it is NaN what stands for it."""
    return steps.clip(value, 0.0, 1.0) if value == value else np.float64(unknown)


@step
def _is_silent(context: Any) -> bool:
    """Tell whether layer 1 said nothing at all of the row."""
    said = context.mqscore == context.mqscore or context.liquidity == context.liquidity
    said = said or context.volatility == context.volatility or context.noise == context.noise
    # of a row without a price it knows no more than how good the data are
    return not (said or context.regime == context.regime or context.data_quality == context.data_quality)


@step
def _is_volatile(regime: float) -> bool:
    return regime in (HIGH_VOLATILITY, HIGH_VOLATILITY_LOW_LIQUIDITY, CRISIS)


@step
def flags(context: Any, confidence: float, params: Any) -> int:
    """Return the flags that are known to be set, as bits in the order of `FLAGS`."""
    bits = 1 if confidence < params.low_confidence else 0
    bits += 2 if context.mean_trust < params.poor_trust else 0
    bits += 4 if _is_volatile(context.regime) else 0
    bits += 8 if context.volatility > params.high_volatility else 0
    bits += 16 if context.mqscore < params.low_quality else 0
    bits += 32 if context.liquidity < params.low_liquidity else 0
    bits += 64 if context.noise > params.high_noise else 0
    return bits


@step
def _count(bits: int, bit: int, value: float, silent: bool) -> int:
    """Return 1 where a flag is set, or cannot be told although layer 1 spoke of the row."""
    return 1 if bits & bit != 0 or (value != value and not silent) else 0


@step
def market_class(context: Any, bad: int, params: Any) -> int:
    """Return the class of a market of which `bad` of four flags count."""
    regime = context.regime
    if bad >= params.adverse_flags or regime in (HIGH_VOLATILITY_LOW_LIQUIDITY, CRISIS):
        return ADVERSE
    good = context.mqscore >= params.favorable_quality and context.liquidity >= params.favorable_liquidity
    calm = context.volatility <= params.favorable_volatility and context.noise <= params.favorable_noise
    return FAVORABLE if good and calm and regime == regime and not _is_volatile(regime) else NEUTRAL


@step
def against(context: Any, side: int, silent: bool, params: Any) -> float:
    """Return 1 where the market goes against the side, else 0; NaN where its regime should be known."""
    if context.regime != context.regime:
        return np.float64(0.0 if silent else np.nan)
    opposite = TRENDING_BEAR if side > 0 else TRENDING_BULL
    unsure = context.regime_confidence <= params.trend_confidence
    return np.float64(1.0 if context.regime == opposite and not unsure else 0.0)


@step
def alike(positions: Any, state: Any, symbol: int, side: int, params: Any) -> float:
    """Return the highest correlation of an entry with what is open or being opened on other symbols.

    It is signed by the sides: 1 where both win together and lose together. Of an entry at work the side is
    not known, and the worse one counts. It is 0 where nothing else is open, and NaN where a correlation is
    not known that counts, unless the parameters let it count as 0.
    """
    highest = -2.0
    for other in range(positions.size):
        qty = positions[other].qty
        entering = positions[other].working & 1 == 1
        if other == symbol or (qty == 0 and not entering):
            continue
        found = correlation.between(state, symbol, other, params.least_returns)
        if found != found:
            if not params.assume_apart:
                return np.float64(np.nan)
            found = 0.0
        if entering:
            found = abs(found)
        elif (qty > 0) != (side > 0):
            found = -found
        highest = max(highest, found)
    return np.float64(highest if highest >= -1.0 else 0.0)


@step
def _judge_market(context: Any, confidence: float, side: int, silent: bool, params: Any) -> float:
    """Write flags, class and against; return the factor of the class."""
    bits = flags(context, confidence, params)
    critical = _count(bits, 16, context.mqscore, silent) + _count(bits, 32, context.liquidity, silent)
    bad = critical + _count(bits, 8, context.volatility, silent) + _count(bits, 64, context.noise, silent)
    grade = market_class(context, bad, params)
    context.risk_flags = float(bits)
    context.critical_flags = float(critical)
    context.market_class = float(grade)
    context.against = against(context, side, silent, params)
    if grade == FAVORABLE:
        return params.favorable_scale
    return params.adverse_scale if grade == ADVERSE else 1.0


@step
def _judge_risk(
    context: Any, account: Any, equity: float, confidence: float, silent: bool, params: Any
) -> float:
    """Write risk score and multiplier; return the multiplier."""
    half = 0.5 if account.mode == REDUCED else 1.0
    fall = used(float(account.peak), equity, params.max_drawdown * half)
    day = used(float(account.day_start), equity, params.max_daily_loss * half)
    unknown = 0.5 if silent else 1.0
    volatility = _known(context.volatility, unknown)
    quality = _known(context.mqscore, 1.0 - unknown)
    score = risk_score(volatility, quality, fall, _known(confidence, 0.0))
    left = room(max(fall, day), params.taper)
    context.risk_score = score
    context.risk_multiplier = min(1.0 - score, left)
    return context.risk_multiplier


class Assessment(Layer):
    """Assess an entry before it has a size: what the market, the account and other positions leave of it."""

    nexus_api = 1
    layer = 6
    reads = (
        "data_quality", "mqscore", "liquidity", "volatility", "noise", "regime", "regime_confidence",
        "mean_trust",
    )  # fmt: skip
    writes = {
        "risk_score": 1,
        "risk_multiplier": 1,
        "market_class": 1,
        "against": 1,
        "risk_flags": 1,
        "critical_flags": 1,
        "correlation": 1,
        "max_loss": 1,
        "expected_return": 1,
        "var95": 1,
    }
    words = {"market_class": CLASSES}

    max_drawdown = Param(0.15, low=0.0001, high=1.0, help="fall from the highest equity that counts as 1")
    max_daily_loss = Param(0.02, low=0.0001, high=1.0, help="loss of the UTC day at which nothing is left")
    taper = Param(0.5, low=0.0, high=0.99, help="share of these limits from which the multiplier falls")
    low_confidence = Param(0.7, low=0.0, high=1.0, help="confidence below which LOW_CONFIDENCE is set")
    poor_trust = Param(0.6, low=0.0, high=1.0, help="mean trust below which POOR_MODEL_PERFORMANCE is set")
    high_volatility = Param(0.8, low=0.0, high=1.0, help="volatility above which HIGH_VOLATILITY is set")
    low_quality = Param(0.5, low=0.0, high=1.0, help="MQScore below which LOW_MARKET_QUALITY is set")
    low_liquidity = Param(0.3, low=0.0, high=1.0, help="liquidity below which LOW_LIQUIDITY is set")
    high_noise = Param(0.7, low=0.0, high=1.0, help="noise above which HIGH_NOISE is set")
    trend_confidence = Param(0.5, low=0.0, high=1.0, help="confidence above which a trending regime counts")
    adverse_flags = Param(2, low=1, high=5, help="flags of four from which a market is ADVERSE; 5 is never")
    favorable_quality = Param(0.7, low=0.0, high=1.0, help="MQScore from which a market may be FAVORABLE")
    favorable_liquidity = Param(0.5, low=0.0, high=1.0, help="liquidity from which one may be FAVORABLE")
    favorable_volatility = Param(0.5, low=0.0, high=1.0, help="volatility to which one may be FAVORABLE")
    favorable_noise = Param(0.5, low=0.0, high=1.0, help="noise to which one may be FAVORABLE")
    favorable_scale = Param(1.2, low=1.0, high=1.2, help="factor of the size in a FAVORABLE market")
    adverse_scale = Param(0.5, low=0.0, high=1.0, help="factor of the size in an ADVERSE market")
    stop_loss = Param(0.02, low=0.0001, high=0.9999, help="distance of the stop, share of the price")
    take_profit = Param(0.04, low=0.0001, high=100.0, help="distance of the target, share of the price")
    max_position = Param(0.1, low=0.0001, high=100.0, help="share of equity that the metrics are written for")
    halflife = Param(200, low=1, high=1_000_000, help="common returns in which one's weight halves")
    least_returns = Param(50, low=2, high=1_000_000, help="common returns that make a correlation known")
    assume_apart = Param(False, low=0, high=1, help="whether a correlation that is not known counts as 0")

    @staticmethod
    def state(params: Any, symbols: int) -> Mapping[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return what is known of the symbols' returns before the first row."""
        return correlation.start(symbols)

    @staticmethod
    def watch(row: Any, state: Any, params: Any) -> None:
        """Take a row of any symbol into its correlations with the others."""
        correlation.take(state, int(row.symbol), row.ts, row.close, params.halflife)

    @staticmethod
    def step(
        row: Any, context: Any, account: Any, positions: Any, proposal: Any, state: Any, params: Any
    ) -> None:
        """Assess a proposed entry, and scale what its size will be."""
        side = int(proposal.side)
        confidence = float(proposal.confidence)
        silent = _is_silent(context)
        factor = _judge_market(context, confidence, side, silent, params)
        factor *= _judge_risk(context, account, float(proposal.equity), confidence, silent, params)
        context.scale *= factor
        context.correlation = alike(positions, state, int(row.symbol), side, params)
        _, _, max_loss, expected, _, var95 = metrics(
            params.max_position, float(proposal.price), side, params.stop_loss, params.take_profit, confidence
        )
        context.max_loss = max_loss
        context.expected_return = expected
        context.var95 = var95
