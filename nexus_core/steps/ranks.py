"""Where a value stands among the newest ones, and the value that stands at a given place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.errors import PluginError
from nexus_core.steps.tool import Tool, capacity, checked, record


def rolling_rank(window: int) -> np.void:
    """Give the rank of the newest of `window` values among them, as a share in (0, 1].

    `push(state, x)` answers (below + (equal + 1) / 2) / known: how many are below it, how many equal to it,
    itself among them, and how many are known; the greatest of n different values has 1, the least 1 / n. It
    is the average rank of Hollander, Wolfe and Chicken (2014), *Nonparametric statistical methods*. NaN takes
    a row of the window, counts for nothing, and has the answer NaN. Until the window is full the rank is
    among the values so far. A row costs a pass over the window, some values at a time.
    """
    return record(window=checked("rolling_rank", window), at=0, ring=np.full(capacity(window), math.nan))


def _push_rank(state: Any, x: float) -> float:
    ring, at = state.ring, state.at
    ring[at] = x
    state.at = at + 1 if at + 1 < state.window else 0
    below, equal, known = 0, 0, 0
    for i in range(ring.size):
        each = ring[i]
        below += int(each < x)
        equal += int(each == x)
        known += int(each == each)
    return (below + 0.5 * (equal + 1)) / known if equal > 0 else np.float64(np.nan)


def rolling_quantile(window: int, share: float = 0.5) -> np.void:
    """Give the value below which a `share` of the newest `window` values lie, in their unit; 0.5: the median.

    `push(state, x)`. Between two values it lies on the line from one to the other: definition 7 of Hyndman
    and Fan (1996), *Sample quantiles in statistical packages*. The window is kept sorted; a row costs two
    searches by halving, and moves what lies above the value that leaves and the one that comes. NaN and
    infinity take a row of the window and count for nothing. Until the window is full the answer is that of
    the values so far; where no value is known it is NaN.
    """
    if isinstance(share, bool) or not 0.0 <= share <= 1.0:
        raise PluginError(
            f"steps.rolling_quantile: the share was {share!r}, must be in [0, 1]. "
            "Give the parameter it comes from those bounds."
        )
    size = capacity(checked("rolling_quantile", window))
    ring, line = np.full(size, math.nan), np.full(size, math.nan)
    return record(window=window, at=0, n=0, share=float(share), ring=ring, line=line)


@step
def place(line: Any, n: int, x: float) -> int:
    """Return how many of the first `n` of a rising line are below `x`."""
    low = 0
    while low < n:
        middle = (low + n) // 2
        if line[middle] < x:
            low = middle + 1
        else:
            n = middle
    return low


@step
def _leave(state: Any, x: float) -> None:
    line = state.line
    state.n -= 1
    for i in range(place(line, state.n + 1, x), state.n):
        line[i] = line[i + 1]


@step
def _enter(state: Any, x: float) -> None:
    line = state.line
    at = place(line, state.n, x)
    for i in range(state.n, at, -1):
        line[i] = line[i - 1]
    line[at] = x
    state.n += 1


def _push_quantile(state: Any, x: float) -> float:
    ring, at = state.ring, state.at
    old, new = ring[at], x if x - x == 0.0 else np.float64(np.nan)
    ring[at] = new
    state.at = at + 1 if at + 1 < state.window else 0
    if old == old:
        _leave(state, old)
    if new == new:
        _enter(state, new)
    if state.n == 0:
        return np.float64(np.nan)
    reach = state.share * (state.n - 1)
    low = int(reach)
    part = reach - low
    least = state.line[low]
    return least + part * (state.line[low + 1] - least) if part > 0.0 else least


rank = Tool(rolling_rank, _push_rank)
quantile = Tool(rolling_quantile, _push_quantile)
