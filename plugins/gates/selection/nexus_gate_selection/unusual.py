"""How unusual a row is: its return, range, volume and spread against what they usually are."""

import math

import numpy as np

from nexus_core import step, steps

NORMAL = 1.482602218505602
"""What makes the median absolute deviation of a normal distribution its standard deviation."""

FLOOR = 0.35
"""Least deviation of a logarithm. A spread of one tick hardly varies: without it two ticks were a miracle."""

SHARE = 0.75
"""Of the standard deviation: the least that the deviation may be."""


def usual(window):
    """Return what is known of a quantity before its first value: the middle and the deviation of others."""
    return steps.record(
        median=math.nan, deviation=math.nan, known=steps.mad(window), spread=steps.ewm_std(window)
    )


@step
def away(state, x, floor):
    """Return how far a value is from the median of those before it, in deviations of at least `floor`.

    The deviation is the robust one, or the standard one where that is larger: of a price that mostly stands
    still the robust one says nothing.
    """
    off, usual = x - state.median, state.deviation if state.deviation > floor else floor
    state.median, middling = steps.mad.push(state.known, x)
    robust, plain = NORMAL * middling, SHARE * steps.ewm_std.push(state.spread, x)
    state.deviation = robust if robust > plain else plain
    if off - off != 0.0:  # also of NaN
        return np.float64(math.nan)
    if usual > 0.0:
        return off / usual
    return np.float64(0.0 if off == 0.0 else math.copysign(math.inf, off))


@step
def spread_of(row):
    """Return the logarithm of ask - bid over their middle: -inf where both are one, NaN where unknown."""
    if not (row.bid > 0.0 and row.ask >= row.bid and row.ask < math.inf):
        return np.float64(math.nan)
    return steps.log((row.ask - row.bid) / (0.5 * row.bid + 0.5 * row.ask))


@step
def is_crossed(row):
    """Tell whether the ask is below the bid."""
    return row.ask < row.bid


@step
def is_bar(row):
    """Tell whether close, high and low are prices, and the low is not above the high."""
    return row.close > 0.0 and row.low > 0.0 and row.low <= row.high < math.inf and row.close < math.inf


QUANTITIES = ("return", "range", "volume", "spread")


@step
def score(change, span, volume, spread, far):
    """Return the anomaly in [0, 1], and the place in QUANTITIES of the farthest of the four, which decides.

    It is 0.8 at `far` deviations. A volume or a spread that is unknown says nothing; only what is above the
    usual counts, but of the return, which counts both ways. A return that is unknown leaves all unknown.
    """
    if change != change:
        return np.float64(math.nan), np.float64(math.nan)
    farthest, which = abs(change), 0.0
    if span > farthest:
        farthest, which = span, 1.0
    if volume > farthest:
        farthest, which = volume, 2.0
    if spread > farthest:
        farthest, which = spread, 3.0
    reach = farthest / far
    return steps.squash(4.0 * reach * reach), which
