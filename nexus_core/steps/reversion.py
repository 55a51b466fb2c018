"""How fast a value comes back to its mean.

The regression is that of `pairs`, which neither drifts nor keeps anything of what has left the window.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps.pairs import pairs, push_pair
from nexus_core.steps.plain import log
from nexus_core.steps.tool import Tool, checked, record

_LOG_HALF = math.log(0.5)


def half_life(window: int, corrected: bool = False) -> np.void:
    """Give the rows until half of a deviation from the mean is gone, fitted on the newest `window` pairs.

    Least squares of x[t] on x[t-1] gives the slope b; for the process of Uhlenbeck and Ornstein (1930), *On
    the theory of the Brownian motion*, b = exp(-speed), and the half-life is ln(1/2) / ln(b). It is infinite
    for b >= 1 (no return) and 0 for b <= 0 (each row overshoots the mean). From n pairs b comes out too small
    by about (1 + 3b) / n, so that a random walk seems to revert (Kendall 1954, *Note on bias in the
    estimation of autocorrelation*); `corrected` adds it.

    `push(state, x)`. A pair with NaN or infinity takes a row of the window and counts for nothing. Until the
    window is full the fit is over the pairs so far. With fewer than three known pairs, or where x[t-1] does
    not change, the answer is NaN.
    """
    bias = 1.0 if corrected else 0.0
    return record(bias=bias, before=math.nan, pairs=pairs(checked("half_life", window, 3)))


def _push_half_life(state: Any, x: float) -> float:
    before = state.before
    state.before = x
    push_pair(state.pairs, x - x == 0.0 and before - before == 0.0, before, x)
    whole = state.pairs.whole
    if whole.n < 3 or not whole.xx > 0.0:
        return np.float64(np.nan)
    slope = whole.xy / whole.xx
    slope += state.bias * (1.0 + 3.0 * slope) / whole.n
    if slope >= 1.0:
        return np.float64(np.inf)
    return _LOG_HALF / log(slope) if slope > 0.0 else np.float64(0.0)


speed = Tool(half_life, _push_half_life)
