"""Functions of one value that give the same bits compiled and as plain Python.

They answer with NumPy's float, whose division by zero gives infinity or NaN, as compiled code does.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core.compile import step


@step
def exp(x: float) -> float:
    """Return e to the power of `x`; infinity where that is too large. NaN stays NaN."""
    if x > 709.782712893384:
        return np.float64(np.inf)
    return np.float64(math.exp(x))


@step
def log(x: float) -> float:
    """Return the natural logarithm of `x`; NaN below zero, minus infinity at zero. NaN stays NaN."""
    if x > 0.0:
        return np.float64(math.log(x))
    return np.float64(-np.inf if x == 0.0 else np.nan)


@step
def sqrt(x: float) -> float:
    """Return the square root of `x`; NaN below zero. NaN stays NaN."""
    return np.float64(math.sqrt(x) if x >= 0.0 else np.nan)


@step
def tanh(x: float) -> float:
    """Return the hyperbolic tangent of `x`, in [-1, 1]. NaN stays NaN."""
    return np.float64(math.tanh(x))


@step
def squash(x: float) -> float:
    """Map a strength in [0, infinity) to a score in [0, 1]: x / (1 + x); below zero, and for NaN, 0."""
    if not x > 0.0:
        return np.float64(0.0)
    return np.float64(1.0 if x == np.inf else x / (1.0 + x))


@step
def clip(x: float, low: float, high: float) -> float:
    """Return `x` held within [low, high]. NaN stays NaN."""
    if x < low:
        return np.float64(low)
    return np.float64(high if x > high else x)


@step
def blend(signal: int, score: float, opinion: float, share: float) -> tuple[int, float]:
    """Return signal and score with a share of a model's opinion in [-1, 1]: (1 - share) own + share opinion.

    What is left on the signal's side is its score; an opinion that outweighs it silences it, and none (NaN)
    leaves it as it is.
    """
    if signal == 0 or opinion != opinion:
        return signal, score
    side = 1 if signal > 0 else -1
    left = (1.0 - share) * score + share * side * clip(opinion, -1.0, 1.0)
    if not left > 0.0:
        return 0, 0.0
    return signal, min(left, 1.0)
