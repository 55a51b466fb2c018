"""The straight line through the newest values, and their mean with weights that rise in a line."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.pairs import pairs, push_pair
from nexus_core.steps.tool import Tool, checked, record


def rolling_slope(window: int) -> np.void:
    """Give the slope of the line fitted to the newest `window` values by least squares, in their unit a row.

    `push(state, x)`. NaN and infinity take a row of the window and count for nothing. Until the window is
    full the line is through the values so far; through fewer than two there is none, and the answer is NaN.
    """
    return record(pairs=pairs(checked("rolling_slope", window, 2)))


def wma(window: int) -> np.void:
    """Give the mean of the newest `window` values with weights 1, 2, …, `window`, the newest weighing most.

    `push(state, x)` answers in the unit of `x`. It comes from the fitted line: with the weights' mean k and
    the n known values, sum(w·x) / sum(w) = mean(x) + sum((w - k)·x) / (n·k). NaN and infinity take a row of
    the window and count for nothing. Until the window is full the answer is that of the values so far, with
    the weights they have; where no value is known it is NaN.
    """
    return record(pairs=pairs(checked("wma", window)))


@step
def _push_row(line: Any, x: float) -> int:
    """Take a value at its row's number, counted from the start of this block; return that number."""
    at = line.at
    push_pair(line, x - x == 0.0, float(at), x)
    if line.at == 0:  # the next block counts from 0 again, so that no figures go to large numbers
        for i in range(line.window):
            line.ends[i].x -= line.window
    return at


def _push_slope(state: Any, x: float) -> float:
    _push_row(state.pairs, x)
    whole = state.pairs.whole
    return whole.xy / whole.xx if whole.n > 1 else np.float64(np.nan)


def _push_wma(state: Any, x: float) -> float:
    line = state.pairs
    at = _push_row(line, x)
    whole = line.whole
    if whole.n == 0:
        return np.float64(np.nan)
    return whole.y + whole.xy / (whole.n * (whole.x + (line.window - at)))


slope = Tool(rolling_slope, _push_slope)
weighted = Tool(wma, _push_wma)
