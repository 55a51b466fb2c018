"""Functions of one value that give the same bits compiled and as plain Python."""

from __future__ import annotations

import math

from nexus_core.compile import step


@step
def exp(x: float) -> float:
    """Return e to the power of `x`; infinity where that is too large."""
    if x > 709.782712893384:
        return math.inf
    return math.exp(x)


@step
def log(x: float) -> float:
    """Return the natural logarithm of `x`; NaN below zero, minus infinity at zero."""
    if x > 0.0:
        return math.log(x)
    return -math.inf if x == 0.0 else math.nan


@step
def sqrt(x: float) -> float:
    """Return the square root of `x`; NaN below zero."""
    return math.sqrt(x) if x >= 0.0 else math.nan


@step
def squash(x: float) -> float:
    """Map a strength in [0, infinity) to a score in [0, 1): x / (1 + x); below zero, and for NaN, 0."""
    if not x > 0.0:
        return 0.0
    return 1.0 if x == math.inf else x / (1.0 + x)


@step
def clip(x: float, low: float, high: float) -> float:
    """Return `x` held within [low, high]; NaN stays NaN."""
    if x < low:
        return low
    return high if x > high else x
