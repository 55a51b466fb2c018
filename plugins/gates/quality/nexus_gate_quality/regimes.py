"""Which regime a market is in: probabilities from fixed memberships, and a report that is slow to change."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core import step
from nexus_core.steps.tool import record

WORDS = (
    "TRENDING_BULL",
    "TRENDING_BEAR",
    "RANGING",
    "BREAKOUT",
    "REVERSAL",
    "ACCUMULATION",
    "DISTRIBUTION",
    "HIGH_VOLATILITY",
    "LOW_VOLATILITY",
    "HIGH_VOLATILITY_LOW_LIQUIDITY",
    "HIGH_NOISE",
    "CRISIS",
)
"""The regimes, by their numbers."""

BULL, BEAR, RANGING, BREAKOUT, REVERSAL, GATHERING, GIVING, VOLATILE, QUIET, THIN, NOISY, CRISIS = range(12)
"""Their numbers: GATHERING is accumulation, GIVING distribution, THIN volatile with low liquidity."""

ORDINARY = VOLATILE + 2
"""How many are no danger; they come first."""

LEAST = 0.05
"""Membership that ranging has at the least, so that a market that is nothing else is ranging."""


def state() -> np.void:
    """Return the state before the first row."""
    return record(now=-1, rival=-1, rows=0)


@step
def ramp(x: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and between them the line from one to the other; 0 for NaN."""
    if not x > low:
        return np.float64(0.0)
    return np.float64(1.0 if x >= high else (x - low) / (high - low))


@step
def _ordinary(of: Any, made: Any, volatile: float, illiquid: float) -> None:
    """Write the memberships of the regimes that are no danger; `made` has the dimensions."""
    trend, strong = ramp(made.trend_strength, 0.40, 0.70), ramp(made.momentum, 0.60, 0.90)
    loose, calm = 1.0 - trend, 1.0 - volatile
    rises, falls = ramp(of.side, 0.2, 0.7), ramp(-of.side, 0.2, 0.7)
    bought, sold = ramp(of.flow, 0.5, 0.8), ramp(-of.flow, 0.5, 0.8)
    is_flat = (1.0 - ramp(made.momentum, 0.3, 0.8)) * (1.0 - bought) * (1.0 - sold)
    probabilities = made.probabilities
    probabilities[BULL] = trend * rises
    probabilities[BEAR] = trend * falls
    probabilities[RANGING] = max(loose * calm * is_flat, LEAST)
    probabilities[BREAKOUT] = strong * volatile * (1.0 - ramp(made.trend_strength, 0.60, 0.80))
    probabilities[REVERSAL] = ramp(-of.turn * of.course, 0.4, 0.9)
    probabilities[GATHERING] = loose * (1.0 - rises) * bought
    probabilities[GIVING] = loose * (1.0 - falls) * sold
    probabilities[VOLATILE] = volatile * (1.0 - illiquid) * (1.0 - strong)
    probabilities[QUIET] = ramp(1.0 - made.volatility, 0.65, 0.85)


@step
def weigh(of: Any, made: Any) -> None:
    """Write the probabilities of all regimes: dangers first, then what they leave, shared by membership."""
    volatile, illiquid = ramp(made.volatility, 0.60, 0.80), ramp(1.0 - made.liquidity, 0.55, 0.75)
    probabilities = made.probabilities
    _ordinary(of, made, volatile, illiquid)
    total = np.float64(0.0)
    for n in range(ORDINARY):
        total += probabilities[n]
    crisis = illiquid * ramp(made.volatility, 0.85, 0.95)
    left = 1.0 - crisis
    thin = left * (volatile * illiquid)
    left -= thin
    noisy = left * ramp(made.noise, 0.60, 0.80)
    left -= noisy
    for n in range(ORDINARY):
        probabilities[n] = left * (probabilities[n] / total)
    probabilities[THIN], probabilities[NOISY], probabilities[CRISIS] = thin, noisy, crisis


@step
def report(made: Any, state: Any, params: Any) -> None:
    """Write the regime: the one before, until another is more probable by the margin for some rows."""
    probabilities, best = made.probabilities, 0
    for n in range(probabilities.size):
        if probabilities[n] > probabilities[best]:
            best = n
    if state.now < 0 or best == CRISIS:
        state.now = best
    if best == state.now or not probabilities[best] > probabilities[state.now] + params.margin:
        state.rival, state.rows = -1, 0
    else:
        state.rows = state.rows + 1 if best == state.rival else 1
        state.rival = best
        if state.rows >= params.rows:
            state.now, state.rival, state.rows = best, -1, 0
    made.regime, made.regime_confidence = state.now, probabilities[state.now]
    made.danger = danger(state.now)


@step
def danger(regime: int) -> float:
    """Return how dangerous a regime is: 3 a crisis, 2 volatile with low liquidity, 1 noisy, else 0."""
    if regime < ORDINARY:
        return np.float64(0.0)
    return np.float64(3.0 if regime == CRISIS else 2.0 if regime == THIN else 1.0)


@step
def report_nothing(made: Any) -> None:
    """Write that no regime is known."""
    made.regime = made.regime_confidence = made.danger = np.nan
    for n in range(made.probabilities.size):
        made.probabilities[n] = np.nan
