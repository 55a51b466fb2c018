"""How far price moves in a bar, gaps included."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.steps.tool import Tool, checked, record


def true_range() -> np.void:
    """Give the true range, in price: max(high - low, |high - c|, |low - c|), c being the last known close.

    From Wilder (1978), *New concepts in technical trading systems*. `push(state, high, low, close)`; the
    first bar's is high - low. Where high or low is NaN so is the answer; a close that is NaN or infinite
    leaves the last known.
    """
    return record(close=np.nan)


def _push_true_range(state: Any, high: float, low: float, close: float) -> float:
    reach = high - low
    if state.close == state.close and reach == reach:
        reach = max(reach, abs(high - state.close), abs(low - state.close))
    if close - close == 0.0:
        state.close = close
    return reach


def atr(window: int) -> np.void:
    """Average the true range, in price: a + (range - a) / window, started at the mean of the first `window`.

    From Wilder (1978), *New concepts in technical trading systems*. `push(state, high, low, close)`. A true
    range that is NaN or infinite is skipped. Until `window` true ranges have come the answer is NaN.
    """
    return record(window=checked("atr", window), n=0, mean=0.0, none=np.nan, last=true_range())


def _push_atr(state: Any, high: float, low: float, close: float) -> float:
    reach = bar.push(state.last, high, low, close)
    if reach - reach == 0.0:
        state.n = min(state.n + 1, state.window)
        state.mean += (reach - state.mean) / state.n
    return state.mean if state.n == state.window else state.none


bar = Tool(true_range, _push_true_range)
average = Tool(atr, _push_atr)
