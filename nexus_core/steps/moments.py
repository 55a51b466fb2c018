"""Rolling mean and deviation that neither drift nor lose figures to a large offset.

Rows fall into blocks of the window's length. The window is the end of the block before, merged with the
start of this one (van Herk 1992, *A fast algorithm for local minimum and maximum filters*); two parts merge
by Chan, Golub and LeVeque (1983), *Algorithms for computing the sample variance*. No value is ever taken
out of a sum again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.tool import Tool, capacity, checked, record

_PART = np.dtype([("n", "i8"), ("mean", "f8"), ("squares", "f8")])


def rolling_mean(window: int) -> np.void:
    """Give the mean of the newest `window` values, in their unit; of equal values exactly that value.

    `push(state, x)`. NaN and infinity take a row of the window and count for nothing. Until the window is
    full the answer is the mean so far; where no value is known it is NaN.
    """
    return _moments("rolling_mean", window)


def rolling_std(window: int) -> np.void:
    """Give the deviation of the newest `window` values, in their unit: sqrt(sum((x - mean)²) / n).

    `push(state, x)`. It is the population's (n, not n - 1), as in Bollinger's bands; of equal values exactly
    0. NaN and infinity take a row of the window and count for nothing. Until the window is full the answer is
    the deviation so far; where no value is known it is NaN.
    """
    return _moments("rolling_std", window)


def _moments(tool: str, window: int) -> np.void:
    none, size = np.zeros((), _PART)[()], capacity(checked(tool, window))
    return record(window=window, at=0, start=none, whole=none, ends=np.zeros(size, _PART))


@step
def _merge(into: Any, old: Any, new: Any) -> None:
    n = old.n + new.n
    mean, squares = old.mean, old.squares + new.squares
    if old.n == 0:
        mean = new.mean
    elif new.n > 0:
        move = new.mean - mean
        mean += move * (new.n / n)
        squares += move * move * (old.n * (new.n / n))
    into.n, into.mean, into.squares = n, mean, squares


@step
def _push_moments(state: Any, x: float) -> None:
    at = state.at
    one = state.ends[at]
    known = x - x == 0.0
    one.n, one.mean, one.squares = int(known), x if known else 0.0, 0.0
    _merge(state.start, state.start, one)
    if at + 1 < state.window:
        _merge(state.whole, state.ends[at + 1], state.start)
        state.at = at + 1
        return
    start = state.start
    state.whole.n, state.whole.mean, state.whole.squares = start.n, start.mean, start.squares
    start.n, start.mean, start.squares = 0, 0.0, 0.0
    for i in range(at - 1, -1, -1):
        _merge(state.ends[i], state.ends[i], state.ends[i + 1])
    state.at = 0


def _push_mean(state: Any, x: float) -> float:
    _push_moments(state, x)
    whole = state.whole
    return whole.mean if whole.n > 0 else np.float64(np.nan)


def _push_std(state: Any, x: float) -> float:
    _push_moments(state, x)
    whole = state.whole
    return np.sqrt(whole.squares / whole.n) if whole.n > 0 else np.float64(np.nan)


mean = Tool(rolling_mean, _push_mean)
std = Tool(rolling_std, _push_std)
