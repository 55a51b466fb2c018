"""What trading does to the price: Kyle's lambda, Roll's spread, and the illiquidity of Amihud."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.moments import mean as rolling_mean
from nexus_core.steps.pairs import pairs, push_pair
from nexus_core.steps.plain import sqrt
from nexus_core.steps.tool import Tool, checked, record


def kyle_lambda(window: int, origin: bool = False) -> np.void:
    """Give Kyle's lambda: the slope of the price's change on signed volume, in price over quantity.

    `push(state, flow, change)` takes what was bought less what was sold, and the change of the mid at once
    with it, and answers the slope of their least squares over the newest `window` pairs (Kyle 1985,
    *Continuous auctions and insider trading*, Econometrica 53; the regression is that of Hasbrouck 2007,
    *Empirical market microstructure*, chapter 7). `state.t` is the slope over its standard error. With
    `origin` the line goes through 0: what flow that stays one-sided moves is then impact too, and not drift.

    A pair with NaN or infinity takes a row of the window and counts for nothing. Where fewer than three
    pairs are known, or the flow does not vary (through the origin: is always 0), both are NaN; t is infinite
    where the fit is perfect.
    """
    rows = checked("kyle_lambda", window, 3)
    return record(line=pairs(rows), back=pairs(rows), origin=int(origin), slope=math.nan, t=math.nan)


def _push_lambda(state: Any, flow: float, change: float) -> float:
    known = flow - flow == 0.0 and change - change == 0.0
    push_pair(state.line, known, flow, change)
    push_pair(state.back, known, change, flow)
    line = state.line.whole
    n, xx, xy, yy, fitted = line.n, line.xx, line.xy, state.back.whole.xx, 2
    if state.origin == 1:
        xx, xy, yy, fitted = xx + n * line.x * line.x, xy + n * line.x * line.y, yy + n * line.y * line.y, 1
    state.slope = state.t = np.nan
    if n >= 3 and xx > 0.0:
        state.slope = xy / xx
        left = max(yy - state.slope * xy, 0.0)
        error = sqrt(left / (n - fitted) / xx)
        if error > 0.0:
            state.t = state.slope / error
        elif state.slope != 0.0:
            state.t = np.inf if state.slope > 0.0 else -np.inf
    return state.slope


def roll_spread(window: int) -> np.void:
    """Give the spread that trades at bid and ask by turns imply, in the unit of the price.

    `push(state, price)` answers 2 sqrt(-c), where c is the covariance of a change of price with the one
    before it, over the newest `window` pairs of changes (Roll 1984, *A simple implicit measure of the
    effective bid-ask spread in an efficient market*, Journal of Finance 39); 0 where c is above zero. NaN
    and infinity are no price, nor is there a change to or from them. Until two pairs are known it is NaN.
    """
    return record(lines=pairs(checked("roll_spread", window, 2)), price=math.nan, change=math.nan)


def _push_roll(state: Any, price: float) -> float:
    change = price - state.price
    known = change - change == 0.0 and state.change - state.change == 0.0
    push_pair(state.lines, known, state.change, change)
    state.price, state.change = price, change
    whole = state.lines.whole
    if whole.n < 2:
        return np.float64(np.nan)
    return 2.0 * sqrt(max(-whole.xy / whole.n, 0.0))


@step
def _ratio(change: float, value: float) -> float:
    return abs(change) / value if value > 0.0 else np.float64(np.nan)


def amihud(window: int) -> np.void:
    """Give the mean of the absolute return over the value traded, of the newest `window` rows.

    `push(state, change, value)` takes a row's return, and price times quantity traded in it (Amihud 2002,
    *Illiquidity and stock returns*, Journal of Financial Markets 5). A row in which nothing was traded, or
    whose values are not known, takes a row of the window and counts for nothing; where no row is known the
    answer is NaN.
    """
    return record(mean=rolling_mean(checked("amihud", window)))


def _push_amihud(state: Any, change: float, value: float) -> float:
    return rolling_mean.push(state.mean, _ratio(change, value))


impact = Tool(kyle_lambda, _push_lambda)
implied = Tool(roll_spread, _push_roll)
illiquidity = Tool(amihud, _push_amihud)
