"""Oscillators: how strong moves up are beside moves down, and where price stands in its range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.steps import averages, windows
from nexus_core.steps.moments import mean
from nexus_core.steps.tool import Tool, capacity, checked, record


def rsi(window: int) -> np.void:
    """Give the relative strength index, in [0, 100]: 100·up / (up + down).

    Up and down are Wilder's averages of the rises and falls from value to value. From Wilder (1978), *New
    concepts in technical trading systems*. `push(state, x)`. NaN and infinity are skipped: the index stays.
    Until `window` moves have come it is NaN; where nothing ever moved it is 50.
    """
    average = averages.wilder(checked("rsi", window))
    return record(last=math.nan, up=average, down=average, answer=math.nan)


def _push_rsi(state: Any, x: float) -> float:
    if x - x == 0.0:
        if state.last == state.last:
            move = x - state.last
            up = averages.smoothed.push(state.up, max(move, 0.0))
            total = up + averages.smoothed.push(state.down, max(-move, 0.0))
            state.answer = 50.0 if total == 0.0 else 100.0 * (up / total)
        state.last = x
    return state.answer


def macd(fast: float, slow: float, signal: float) -> np.void:
    """Give the convergence of two averages, in the unit of `x`: ewm(fast) - ewm(slow), and ewm(signal) of it.

    From Appel (2005), *Technical analysis: power tools for active investors*; `ewm` says how the averages
    begin. `push(state, x)` answers (line, signal). NaN and infinity are skipped: both stay. Until a value has
    come both are NaN.
    """
    spans = {"fast": fast, "slow": slow, "signal": signal}
    return record(**{name: averages.ewm(span) for name, span in spans.items()})


def _push_macd(state: Any, x: float) -> tuple[float, float]:
    line = averages.mean.push(state.fast, x) - averages.mean.push(state.slow, x)
    if x - x == 0.0:
        return line, averages.mean.push(state.signal, line)
    return line, state.signal.mean


def stochastic(window: int) -> np.void:
    """Give where the close lies between the lowest low and the highest high of `window` bars, in [0, 100].

    It is %K, unsmoothed, of Lane (1984), *Lane's stochastics*; %K - 100 is Williams' %R. `push(state, high,
    low, close)`. A NaN among high and low takes a row of the window and counts for nothing. Until the window
    is full the range is that of the bars so far. A range of nothing has 50, an unknown close or range NaN.
    """
    checked("stochastic", window)
    return record(high=windows.rolling_max(window), low=windows.rolling_min(window))


def _push_stochastic(state: Any, high: float, low: float, close: float) -> float:
    top, bottom = windows.highest.push(state.high, high), windows.lowest.push(state.low, low)
    return (
        np.float64(50.0) if top == bottom and close == close else 100.0 * ((close - bottom) / (top - bottom))
    )


def cci(window: int) -> np.void:
    """Give the commodity channel index: (p - mean) / (0.015·mean(|p - mean|)), p = (high + low + close) / 3.

    From Lambert (1980), *Commodity channel index*. `push(state, high, low, close)`. A price that is NaN or
    infinite takes a row of the window, counts for nothing, and has the answer NaN. Until the window is full
    the means are over the bars so far. Where no price is away from the mean the index is 0.
    """
    size = capacity(checked("cci", window))
    return record(window=window, at=0, mean=mean(window), ring=np.full(size, math.nan))


def _push_cci(state: Any, high: float, low: float, close: float) -> float:
    price, ring, at = (high + low + close) / 3.0, state.ring, state.at
    middle = mean.push(state.mean, price)
    ring[at] = price
    state.at = at + 1 if at + 1 < state.window else 0
    away = 0.0
    for i in range(state.window):
        gap = ring[i] - middle
        away += abs(gap) if gap - gap == 0.0 else 0.0
    if price - price != 0.0:
        return np.float64(np.nan)
    return (price - middle) / (0.015 * (away / state.mean.whole.n)) if away > 0.0 else np.float64(0.0)


def adx(window: int) -> np.void:
    """Give the directional movement, in [0, 100]: (up, down, strength), known as +DI, -DI and ADX.

    Up is 100·average(+DM) / average(true range), down the same of -DM, strength the average of
    100·|up - down| / (up + down), all averages being Wilder's. From Wilder (1978), *New concepts in technical
    trading systems*. `push(state, high, low, close)`. A bar with a value that is NaN or infinite is skipped:
    the answers stay. Until `window` moves have come up and down are NaN, and strength until `window` of both
    have; where nothing moved they are 0.
    """
    average = averages.wilder(checked("adx", window))
    return record(
        high=math.nan, low=math.nan, close=math.nan, ups=average, downs=average, reach=average,
        strengths=average, up=math.nan, down=math.nan, strength=math.nan,
    )  # fmt: skip


def _push_adx(state: Any, high: float, low: float, close: float) -> tuple[float, float, float]:
    if (high + low + close) - (high + low + close) == 0.0:
        if state.high == state.high:
            rise, fall = high - state.high, state.low - low
            reach = max(high - low, abs(high - state.close), abs(low - state.close))
            ups = averages.smoothed.push(state.ups, rise if rise > fall and rise > 0.0 else 0.0)
            downs = averages.smoothed.push(state.downs, fall if fall > rise and fall > 0.0 else 0.0)
            mean_reach = averages.smoothed.push(state.reach, reach)
            if mean_reach == mean_reach:
                state.up = 100.0 * (ups / mean_reach) if mean_reach > 0.0 else 0.0
                state.down = 100.0 * (downs / mean_reach) if mean_reach > 0.0 else 0.0
                moves = ups + downs
                share = 100.0 * (abs(ups - downs) / moves) if moves > 0.0 else 0.0
                state.strength = averages.smoothed.push(state.strengths, share)
        state.high, state.low, state.close = high, low, close
    return state.up, state.down, state.strength


strength_index = Tool(rsi, _push_rsi)
convergence = Tool(macd, _push_macd)
range_place = Tool(stochastic, _push_stochastic)
channel = Tool(cci, _push_cci)
direction = Tool(adx, _push_adx)
