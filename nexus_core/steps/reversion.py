"""How fast a value comes back to its mean.

The regression is rolled like the moments: the end of the block of rows before, merged with the start of this
one (van Herk 1992; Chan, Golub and LeVeque 1983). No value is taken out of a sum again, so nothing drifts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.plain import log
from nexus_core.steps.tool import Tool, capacity, checked, record

_PART = np.dtype([("n", "i8"), ("x", "f8"), ("y", "f8"), ("xx", "f8"), ("xy", "f8")])
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
    none, size = np.zeros((), _PART)[()], capacity(checked("half_life", window, 3))
    ends, bias = np.zeros(size, _PART), 1.0 if corrected else 0.0
    return record(window=window, bias=bias, at=0, before=math.nan, start=none, whole=none, ends=ends)


@step
def _merge(into: Any, old: Any, new: Any) -> None:
    n = old.n + new.n
    x, y, xx, xy = old.x, old.y, old.xx + new.xx, old.xy + new.xy
    if old.n == 0:
        x, y = new.x, new.y
    elif new.n > 0:
        part = new.n / n
        right, up = new.x - x, new.y - y
        x += right * part
        y += up * part
        xx += right * right * (old.n * part)
        xy += right * up * (old.n * part)
    into.n, into.x, into.y, into.xx, into.xy = n, x, y, xx, xy


@step
def _push_pair(state: Any, known: bool, x: float, y: float) -> None:
    at = state.at
    one = state.ends[at]
    one.n, one.xx, one.xy = int(known), 0.0, 0.0
    one.x, one.y = (x, y) if known else (0.0, 0.0)
    start, whole = state.start, state.whole
    _merge(start, start, one)
    if at + 1 < state.window:
        _merge(whole, state.ends[at + 1], start)
        state.at = at + 1
        return
    whole.n, whole.x, whole.y, whole.xx, whole.xy = start.n, start.x, start.y, start.xx, start.xy
    start.n, start.x, start.y, start.xx, start.xy = 0, 0.0, 0.0, 0.0, 0.0
    for i in range(at - 1, -1, -1):
        _merge(state.ends[i], state.ends[i], state.ends[i + 1])
    state.at = 0


def _push_half_life(state: Any, x: float) -> float:
    before = state.before
    state.before = x
    _push_pair(state, x - x == 0.0 and before - before == 0.0, before, x)
    whole = state.whole
    if whole.n < 3 or not whole.xx > 0.0:
        return np.float64(np.nan)
    slope = whole.xy / whole.xx
    slope += state.bias * (1.0 + 3.0 * slope) / whole.n
    if slope >= 1.0:
        return np.float64(np.inf)
    return _LOG_HALF / log(slope) if slope > 0.0 else np.float64(0.0)


speed = Tool(half_life, _push_half_life)
