"""Exponentially weighted mean and deviation, and Wilder's average."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps.tool import Tool, checked, record


def ewm(span: float) -> np.void:
    """Give the exponentially weighted mean: weight 2 / (span + 1) for the newest value, started at the first.

    `push(state, x)` answers in the unit of `x`. NaN and infinity are skipped: the mean stays. Until a value
    has come the mean is NaN.
    """
    return record(n=0, weight=2.0 / (span + 1.0), mean=math.nan)


def _push_ewm(state: Any, x: float) -> float:
    if x - x == 0.0:
        if state.n == 0:
            state.mean = x
        else:
            state.mean += state.weight * (x - state.mean)
        state.n += 1
    return state.mean


def ewm_std(span: float) -> np.void:
    """Give the exponentially weighted standard deviation around the mean of `ewm` with the same span.

    The variance follows West (1979), *Updating mean and variance estimates*, with constant weight.
    `push(state, x)` answers in the unit of `x`. NaN and infinity are skipped. Until a value has come it is
    NaN, at the first value 0.
    """
    return record(n=0, weight=2.0 / (span + 1.0), mean=math.nan, var=0.0)


def _push_ewm_std(state: Any, x: float) -> float:
    if x - x == 0.0:
        if state.n == 0:
            state.mean = x
        else:
            move = state.weight * (x - state.mean)
            state.var = (1.0 - state.weight) * (state.var + move * (x - state.mean))
            state.mean += move
        state.n += 1
    return np.sqrt(state.var) if state.n > 0 else state.mean


def wilder(window: int) -> np.void:
    """Average as Wilder does: a + (x - a) / window, started at the mean of the first `window` values.

    From Wilder (1978), *New concepts in technical trading systems*. `push(state, x)` answers in the unit of
    `x`. NaN and infinity are skipped. Until `window` values have come the answer is NaN.
    """
    return record(window=checked("wilder", window), n=0, mean=0.0, none=math.nan)


def _push_wilder(state: Any, x: float) -> float:
    if x - x == 0.0:
        state.n = min(state.n + 1, state.window)
        state.mean += (x - state.mean) / state.n
    return state.mean if state.n == state.window else state.none


mean = Tool(ewm, _push_ewm)
std = Tool(ewm_std, _push_ewm_std)
smoothed = Tool(wilder, _push_wilder)
