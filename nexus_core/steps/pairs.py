"""Least squares over the newest pairs of numbers, for tools that fit a line.

The regression is rolled like the moments: the end of the block of rows before, merged with the start of this
one (van Herk 1992, *A fast algorithm for local minimum and maximum filters*; Chan, Golub and LeVeque 1983,
*Algorithms for computing the sample variance*). No value is taken out of a sum again, so nothing drifts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.tool import capacity, record

_PART = np.dtype([("n", "i8"), ("x", "f8"), ("y", "f8"), ("xx", "f8"), ("xy", "f8")])


def pairs(window: int) -> np.void:
    """Return the state before the first pair; `whole` holds what is known of the newest `window` pairs.

    That is their number `n`, the means `x` and `y`, and the sums `xx` of (x - mean)² and `xy` of
    (x - mean)(y - mean).
    """
    none = np.zeros((), _PART)[()]
    return record(window=window, at=0, start=none, whole=none, ends=np.zeros(capacity(window), _PART))


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
def push_pair(state: Any, known: bool, x: float, y: float) -> None:
    """Take the next pair; one that is not `known` takes a row of the window and counts for nothing."""
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
