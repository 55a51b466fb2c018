"""Signed volume: what was bought less what was sold, in a bar and in a session."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps import averages
from nexus_core.steps.tool import Tool, record


def bar_delta(span: float = 120.0) -> np.void:
    """Give a row's signed volume: bought less sold, in the unit of its volume.

    `push(state, row)`. Where the row knows `buy_volume` and `sell_volume` it is their difference. Elsewhere
    it is estimated from the bar by the bulk volume classification of Easley, López de Prado and O'Hara
    (2012), *Flow toxicity and liquidity in a high-frequency world*: volume · (2 F(x) - 1), x the change from
    the last known close over the exponentially weighted deviation of such changes (`span` rows), F Student's
    distribution. It is taken with two degrees of freedom, whose 2 F(x) - 1 is x / sqrt(2 + x²). Where closes
    never changed, and at the first, the estimate is 0. Where the close, or the volume as well as what was
    bought and sold, is not a number or below 0, the answer is NaN, and an unknown close changes nothing.
    `state.estimated` is 1 where the newest answer was an estimate, else 0.
    """
    return record(close=math.nan, usual=averages.ewm_std(span), estimated=0, none=math.nan)


def _push_bar_delta(state: Any, row: Any) -> float:
    close = row.close
    if close - close != 0.0:
        return state.none
    change = close - state.close if state.close == state.close else 0.0
    state.close = close
    usual = averages.std.push(state.usual, change)
    bought, sold, volume = row.buy_volume, row.sell_volume, row.volume
    known = 0.0 <= bought < np.inf and 0.0 <= sold < np.inf
    state.estimated = int(not known)
    if known:
        return bought - sold
    if not 0.0 <= volume < np.inf:
        return state.none
    if not usual > 0.0:
        return np.float64(0.0)
    x = change / usual
    return volume * (x / math.sqrt(2.0 + x * x))


def session_delta() -> np.void:
    """Add up signed volume from the session's start: its cumulative delta, in the unit of the volume.

    `push(state, session, delta)`; another `session` than the row before's starts anew at this row's. A delta
    that is NaN or infinite is passed over: the sum stays.
    """
    return record(session=0, total=0.0)


def _push_session_delta(state: Any, session: int, delta: float) -> float:
    if session != state.session:
        state.session, state.total = session, 0.0
    if delta - delta == 0.0:
        state.total += delta
    return state.total


bar = Tool(bar_delta, _push_bar_delta)
session = Tool(session_delta, _push_session_delta)
