"""Middle and spread that a few wild values cannot move: the median, and the deviation around it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.tool import Tool, capacity, checked, record

_NORMAL = 1.482602218505602  # 1 / 0.6745: what makes the deviation of a normal distribution of it


def mad(window: int) -> np.void:
    """Give median and median absolute deviation, med |x - med x|, of the newest `window` values.

    From Hampel (1974), *The influence curve and its role in robust estimation*; half of the values may be
    wild before it is. `push(state, x)` answers (median, deviation) in the unit of `x`, of an even number of
    values the mean of the two in the middle. The window is kept sorted: a row costs two searches by halving,
    moves what lies between the value that leaves and the one that comes, and finds the deviation by halving.
    NaN and infinity take a row of the window and count for nothing. Until the window is full the answer is
    that of the values so far; where no value is known both are NaN.
    """
    size = capacity(checked("mad", window))
    return record(window=window, at=0, n=0, ring=np.full(size, math.nan), line=np.full(size, math.nan))


def _push_mad(state: Any, x: float) -> tuple[float, float]:
    old, new = state.ring[state.at], x if x - x == 0.0 else np.float64(np.nan)
    state.ring[state.at] = new
    state.at = state.at + 1 if state.at + 1 < state.window else 0
    _exchange(state, old, new)
    return _middle(state)


@step
def _place(line: Any, n: int, x: float) -> int:
    """Return how many of the first `n` of a rising line are below `x`; without a branch to be guessed."""
    low = 0
    while n > 0:
        half = n // 2
        low += (n - half) * int(line[low + half] < x)
        n = half
    return low


@step
def _exchange(state: Any, old: float, new: float) -> None:
    """Let `old` leave the sorted line and `new` come; NaN is none."""
    line, leaves, comes = state.line, old == old, new == new
    if not leaves and not comes:
        return
    free = _place(line, state.n, old) if leaves else state.n
    to = _place(line, state.n, new) if comes else state.n
    if to > free:
        to -= 1
        for i in range(np.uint64(free), np.uint64(to)):  # an index without a sign is moved many at a time
            line[i] = line[i + np.uint64(1)]
    else:
        for i in range(np.uint64(free - to)):
            line[np.uint64(free) - i] = line[np.uint64(free - 1) - i]
    if comes:
        line[to] = new
    state.n += int(comes) - int(leaves)


@step
def _middle(state: Any) -> tuple[float, float]:
    line, n = state.line, state.n
    if n == 0:
        return np.float64(np.nan), np.float64(np.nan)
    half = n // 2
    median = line[half] if n % 2 == 1 else line[half - 1] + 0.5 * (line[half] - line[half - 1])
    # distances rise from the middle to both sides: so many of the left are among the least n // 2
    left, open_ = 0, half
    while open_ > 0:
        part = open_ // 2
        at = left + part
        left += (open_ - part) * int(median - line[half - 1 - at] < line[2 * half - at - 1] - median)
        open_ = part
    right = half - left
    least = min(
        median - line[half - 1 - left] if left < half else math.inf,
        line[half + right] - median if half + right < n else math.inf,
    )
    if n % 2 == 1:
        return median, least
    below = max(
        median - line[half - left] if left > 0 else 0.0,
        line[half + right - 1] - median if right > 0 else 0.0,
    )
    return median, below + 0.5 * (least - below)


def robust_score(window: int) -> np.void:
    """Give the distance of a value from the median of the `window` values before it, in robust deviations.

    `push(state, x)` answers (x - median) / (1.4826 mad), both of `mad`: 1.4826 makes the deviation
    that of a normal distribution (Iglewicz and Hoaglin 1993, *How to detect and handle outliers*). The value
    itself is not among those it is held against. NaN and infinity take a row of the window and are answered
    NaN, as is every value until one before it is known, and where half of the values before it or more are
    equal: a deviation of 0 measures nothing.
    """
    return record(median=math.nan, deviation=math.nan, known=mad(window))


def _push_score(state: Any, x: float) -> float:
    away, usual = x - state.median, _NORMAL * state.deviation
    state.median, state.deviation = deviation.push(state.known, x)
    if usual > 0.0 and away - away == 0.0:
        return away / usual
    return np.float64(np.nan)


deviation = Tool(mad, _push_mad)
score = Tool(robust_score, _push_score)
