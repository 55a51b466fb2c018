"""Which strategies the market at hand favours: regimes in three groups, and a weight for each category."""

import math

import numpy as np

from nexus_core import step, steps

REGIMES = 12
"""Regimes that layer 1 tells apart, in its order."""

TREND = (0, 1, 3)
"""TRENDING_BULL, TRENDING_BEAR, BREAKOUT: a move that goes on."""

RANGE = (2, 4, 5, 6, 8)
"""RANGING, REVERSAL, ACCUMULATION, DISTRIBUTION, LOW_VOLATILITY: a price that comes back."""

VOLATILE = (7, 9, 10, 11)
"""HIGH_VOLATILITY, HIGH_VOLATILITY_LOW_LIQUIDITY, HIGH_NOISE, CRISIS: neither holds for long."""

STATES = ("trending", "ranging", "volatile")

CATEGORIES = (
    "trend_following",
    "mean_reversion",
    "momentum",
    "breakout",
    "statistical_arbitrage",
    "arbitrage",
    "market_making",
    "event_driven",
    "volume_profile",
    "order_flow",
    "liquidity_analysis",
    "scalping",
    "swing_trading",
    "position_trading",
)
"""The categories of strategies, in the order of their numbers."""

AFFINITY = np.array(
    [
        # trending, ranging, volatile
        (0.80, 0.20, 0.30),  # trend_following
        (0.20, 0.90, 0.30),  # mean_reversion
        (0.90, 0.20, 0.30),  # momentum
        (0.85, 0.15, 0.30),  # breakout
        (0.15, 0.80, 0.30),  # statistical_arbitrage
        (0.50, 0.50, 0.60),  # arbitrage
        (0.10, 0.80, 0.30),  # market_making
        (0.50, 0.50, 0.30),  # event_driven
        (0.50, 0.85, 0.30),  # volume_profile
        (0.50, 0.50, 0.60),  # order_flow
        (0.50, 0.50, 0.60),  # liquidity_analysis
        (0.50, 0.50, 0.60),  # scalping
        (0.75, 0.20, 0.30),  # swing_trading
        (0.75, 0.15, 0.30),  # position_trading
        (0.50, 0.50, 0.30),  # of no category that is known
    ]
)
"""How much a strategy of each category counts in each state."""


@step
def group(probabilities, regimes):
    """Return the sum of some regimes' probabilities; NaN where one is unknown, or nobody tells any."""
    if isinstance(probabilities, float):  # without a layer that writes them it is one NaN
        return np.float64(math.nan)
    total = 0.0
    for k in regimes:
        total += probabilities[k]
    return total


@step
def largest(trend, ranging, volatile):
    """Return the place in STATES of the largest; of equal ones the more careful, NaN where one is unknown."""
    known = trend + ranging + volatile
    if known != known:
        return np.float64(math.nan)
    if volatile >= trend and volatile >= ranging:
        return 2.0
    return 1.0 if ranging >= trend else 0.0


@step
def affinity(category, state):
    """Return what a category counts in a state, 1 where the state is unknown."""
    if state != state:
        return 1.0
    row = category if 0 <= category < len(CATEGORIES) else len(CATEGORIES)
    return AFFINITY[row, int(state)]


@step
def accuracy(rights, wrongs, pseudo):
    """Return the share of signals right, with `pseudo` more of which half were right."""
    return (rights + 0.5 * pseudo) / (rights + wrongs + pseudo)


@step
def record_factor(shown):
    """Return what a record of this accuracy leaves of a weight: nothing is won, all can be lost."""
    return steps.clip(2.0 * shown, 0.0, 1.0)
