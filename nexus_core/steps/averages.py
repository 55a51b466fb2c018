"""Exponentially weighted mean and deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps.tool import Tool, record


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


mean = Tool(ewm, _push_ewm)
std = Tool(ewm_std, _push_ewm_std)
