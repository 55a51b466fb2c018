"""What is measured from the start of a session."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps.tool import Tool, record


def session_vwap() -> np.void:
    """Give the volume-weighted average price since the session's start, and the deviation around it.

    vwap = sum(v·p) / sum(v), deviation = sqrt(sum(v·(p - vwap)²) / sum(v)), both in price. The average is
    from Berkowitz, Logue and Noser (1988), *The total cost of transactions on the NYSE*; the updating from
    West (1979), *Updating mean and variance estimates*. `push(state, session, price, volume)` answers (vwap,
    deviation); another `session` than the row before's starts anew. A price or volume that is NaN or
    infinite, and a volume not above 0, change nothing else. Until a session's first known row both are NaN;
    at it the deviation is 0.
    """
    return record(session=0, n=0, volume=0.0, first=math.nan, mean=0.0, squares=0.0)


def _push_session_vwap(state: Any, session: int, price: float, volume: float) -> tuple[float, float]:
    if session != state.session:
        state.session, state.n, state.first = session, 0, math.nan
        state.volume, state.mean, state.squares = 0.0, 0.0, 0.0
    if 0.0 < volume < math.inf and price - price == 0.0:
        if state.n == 0:
            state.first = price
        state.n += 1
        state.volume += volume
        away = price - state.first  # the mean is kept from the first price: no figures go to its size
        move = away - state.mean
        state.mean += move * (volume / state.volume)
        state.squares += volume * (move * (away - state.mean))
    if state.n == 0:
        return state.first, state.first
    return state.first + state.mean, np.sqrt(state.squares / state.volume)


vwap = Tool(session_vwap, _push_session_vwap)
