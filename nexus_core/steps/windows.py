"""Values some rows back, and extremes and sums over the newest rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps.tool import Tool, capacity, checked, record


def lag(rows: int) -> np.void:
    """Give the value of `rows` rows ago: `push(state, x[t])` answers x[t - rows], in the unit of `x`.

    `rows` is at least 0. A NaN is kept and comes back like any value. Until `rows` values have come the
    answer is NaN.
    """
    return record(rows=checked("lag", rows, 0), at=0, ring=np.full(capacity(rows + 1), math.nan))


def _push_lag(state: Any, x: float) -> float:
    mask = state.ring.size - 1
    state.ring[state.at & mask] = x
    back = state.ring[(state.at - state.rows) & mask]
    state.at += 1
    return back


def rolling_max(window: int) -> np.void:
    """Give the greatest of the newest `window` values, in their unit.

    `push(state, x)` keeps a queue of falling values (Lemire 2006, *Streaming maximum-minimum filter*), so a
    row costs a constant on average. A NaN takes a row of the window and counts for nothing. Until the window
    is full the answer is the greatest so far; where no value is known it is NaN.
    """
    return _queue("rolling_max", window)


def rolling_min(window: int) -> np.void:
    """Give the least of the newest `window` values, in their unit; of NaN and cost `rolling_max` holds."""
    return _queue("rolling_min", window)


def _queue(tool: str, window: int) -> np.void:
    size = capacity(checked(tool, window))
    ring = record(values=np.zeros(size), rows=np.zeros(size, np.int64))
    return record(window=window, row=0, first=0, last=0, none=math.nan, ring=ring)


def _push_max(state: Any, x: float) -> float:
    ring, first, last = state.ring, state.first, state.last
    mask = ring.values.size - 1
    if first < last and ring.rows[first & mask] <= state.row - state.window:
        first += 1
    if x == x:
        while first < last and ring.values[(last - 1) & mask] <= x:
            last -= 1
        ring.values[last & mask] = x
        ring.rows[last & mask] = state.row
        last += 1
    state.row += 1
    state.first, state.last = first, last
    return ring.values[first & mask] if first < last else state.none


def _push_min(state: Any, x: float) -> float:
    return -highest.push(state, -x)


def rolling_sum(window: int) -> np.void:
    """Sum the newest `window` values, in their unit.

    `push(state, x)`. No value is taken out of a sum again, so nothing drifts: rows fall into blocks of
    `window`, and a sum is the end of the block before plus the start of this one (van Herk 1992, *A fast
    algorithm for local minimum and maximum filters*, with + for max). The error is that of one plain
    summation over the window. NaN and infinity take a row of the window and count for nothing. Until the
    window is full the answer is the sum so far; where no value is known it is 0.
    """
    return record(window=checked("rolling_sum", window), at=0, start=0.0, ends=np.zeros(capacity(window)))


def _push_sum(state: Any, x: float) -> float:
    at = state.at
    state.at = at + 1
    state.ends[at] = x if x - x == 0.0 else 0.0
    state.start += state.ends[at]
    if at + 1 < state.window:
        return state.start + state.ends[at + 1]
    total = state.start
    for i in range(at - 1, -1, -1):
        state.ends[i] += state.ends[i + 1]
    state.at = 0
    state.start = 0.0
    return total


back = Tool(lag, _push_lag)
highest = Tool(rolling_max, _push_max)
lowest = Tool(rolling_min, _push_min)
total = Tool(rolling_sum, _push_sum)
