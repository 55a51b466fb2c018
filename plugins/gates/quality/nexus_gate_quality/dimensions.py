"""The six dimensions of a market's quality, each in [0, 1], and NaN where nothing of it is known.

None has a unit: a market whose prices or volumes are all multiplied by a number has the same values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nexus_features import NAMES

from nexus_core import step, steps
from nexus_core.steps.tool import record

WINDOW = 20
"""Rows of the features' windows, and of the averages that stand beside them here."""

_ADX, _EFFICIENCY, _SMA, _ATR, _LOCATION = (
    NAMES.index(each) for each in ("trend_strength", "efficiency_ratio", "sma", "atr", "close_location")
)
_SIDES, _BALANCE, _AMIHUD = (
    NAMES.index(each) for each in ("volume_imbalance", "on_balance_volume", "amihud_illiquidity")
)
_REALISED, _GARCH = (NAMES.index(each) for each in ("historical_volatility", "garch_volatility"))

_SIGNS = math.sqrt(WINDOW)
"""One over the deviation of the mean of `WINDOW` signs drawn by a coin."""


def usual() -> np.void:
    """Return a mean before its first value."""
    return record(n=0, mean=0.0)


def state(short: int, medium: int, long: int) -> np.void:
    """Return the state before the first row; the horizons are in rows."""
    return record(
        # the usual, of logarithms
        spread=usual(), size=usual(), volume=usual(), impact=usual(), range=usual(),
        realised=usual(), garch=usual(), jump=usual(),
        # what is smoothed before it is held against the usual
        sizes=steps.ewm(medium), volumes=steps.ewm(medium),
        touch=steps.ewm(WINDOW), location=steps.rolling_mean(WINDOW), largest=steps.rolling_max(WINDOW),
        bodies=steps.ewm(WINDOW), ranges=steps.ewm(WINDOW), slow=steps.ewm(long),
        # the logarithm of the close and its changes, over a row and over the horizons
        level=math.nan, change=math.nan, quick=math.nan, middling=math.nan, lasting=math.nan,
        short=steps.lag(short), medium=steps.lag(medium), long=steps.lag(long),
        squares=usual(), drifts=usual(),
        is_spike=0, spikes=0.0,
        # which way, from -1 to 1: momentum, imbalance, the short and the long return
        side=math.nan, flow=math.nan, turn=math.nan, course=math.nan,
    )  # fmt: skip


# -- what they are made of ----------------------------------------------------------------------------


@step
def share(x: float, half: float) -> float:
    """Return x² / (x² + half²): 0 at 0, one half at `half`, towards 1 beyond."""
    square = x * x
    return square / (square + half * half)


@step
def learn(mean: Any, x: float, rows: int) -> None:
    """Take a value into a mean: a plain one of the first `rows`, from then on with the weight 1 / `rows`."""
    mean.n = min(mean.n + 1, rows)
    mean.mean += (x - mean.mean) / mean.n


@step
def place(mean: Any, x: float, slope: float, rows: int) -> float:
    """Return the place of a value among what was usual before it, and take it in; 0.5 is the usual itself.

    What is below 0 or not finite is not known; 0 has the place 0 and is not taken in.
    """
    found = np.float64(np.nan)
    if x == 0.0 and mean.n > 0:
        found = np.float64(0.0)
    if 0.0 < x < np.inf:
        level = steps.log(x)
        if mean.n > 0:
            found = 1.0 / (1.0 + steps.exp(-slope * (level - mean.mean)))
        learn(mean, level, rows)
    return found


@step
def _mean(a: float, b: float, c: float) -> float:
    """Return the mean of those that are known, NaN where none is."""
    total, count = np.float64(0.0), 0
    if a == a:
        total, count = total + a, count + 1
    if b == b:
        total, count = total + b, count + 1
    if c == c:
        total, count = total + c, count + 1
    return total / count if count > 0 else np.float64(np.nan)


@step
def _over(x: float, unit: float) -> float:
    """Return tanh of x in units; 0 where x is 0, NaN where the unit is not above 0."""
    if x == 0.0:
        return np.float64(0.0)
    return steps.tanh(x / unit) if unit > 0.0 else np.float64(np.nan)


@step
def is_sized(row: Any) -> bool:
    """Tell whether the sizes at the touch are known."""
    return 0.0 < row.bid_size < np.inf and 0.0 < row.ask_size < np.inf


@step
def move(row: Any, state: Any, params: Any) -> None:
    """Take the close of a row whose prices are known: its changes, their usual size, and spikes."""
    level = steps.log(row.close)
    change, before = level - state.level, state.change
    far = params.spike * steps.sqrt(state.squares.mean)
    is_back = change * before < 0.0 and min(abs(change), abs(before)) > far
    state.is_spike = int(is_back and state.squares.n >= WINDOW)
    state.spikes += (state.is_spike - state.spikes) / WINDOW
    if change == change:
        learn(state.squares, change * change, params.long)
    state.quick = level - steps.lag.push(state.short, level)
    state.middling = level - steps.lag.push(state.medium, level)
    state.lasting = level - steps.lag.push(state.long, level)
    if state.quick == state.quick:
        learn(state.drifts, state.quick * state.quick, params.long)
    state.level, state.change = level, change


# -- the dimensions -----------------------------------------------------------------------------------


@step
def liquidity(row: Any, out: Any, state: Any, params: Any) -> float:
    """Return how easily and cheaply can be traded: spread, size at the touch, volume, impact."""
    cheap, tight = np.float64(np.nan), np.float64(np.nan)
    size, volume = np.float64(np.nan), np.float64(np.nan)
    rows = params.usual
    place(state.range, (row.high - row.low) / row.close, 1.0, rows)
    if 0.0 < row.bid <= row.ask < np.inf:
        spread = 2.0 * ((row.ask - row.bid) / (row.ask + row.bid))
        if state.range.n > 0:
            cheap = 1.0 - share(spread / steps.exp(state.range.mean), params.cost)
        tight = 1.0 - place(state.spread, spread, params.slope, rows)
    if is_sized(row):
        shown = steps.ewm.push(state.sizes, row.bid_size + row.ask_size)
        size = place(state.size, shown, params.amount_slope, rows)
    if 0.0 <= row.volume < np.inf:
        traded = steps.ewm.push(state.volumes, row.volume)
        volume = place(state.volume, traded, params.amount_slope, rows)
    spreads = _mean(cheap, tight, np.float64(np.nan))
    amounts = _mean(size, volume, np.float64(np.nan))
    impact = place(state.impact, out[_AMIHUD], params.amount_slope, rows)
    return _mean(spreads, amounts, 1.0 - impact)


@step
def volatility(out: Any, state: Any, params: Any) -> float:
    """Return how far the market moves beside the usual: so far, as is to be expected, and in one leap."""
    slope, rows = params.slope, params.usual
    realised = place(state.realised, out[_REALISED], slope, rows)
    expected = place(state.garch, out[_GARCH], slope, rows)
    largest = steps.rolling_max.push(state.largest, abs(state.change))
    leap = place(state.jump, largest, slope, rows)
    return _mean(realised, expected, leap)


@step
def _way(moved: float, rows: int, unit: float) -> float:
    return _over(moved, unit * steps.sqrt(np.float64(rows)))


@step
def momentum(state: Any, params: Any) -> float:
    """Return how far the short, the medium and the long return go one way; `side` says which."""
    unit = params.pace * steps.sqrt(state.squares.mean)
    state.turn = _way(state.quick, params.short, unit)
    state.course = _way(state.lasting, params.long, unit)
    state.side = _mean(state.turn, _way(state.middling, params.medium, unit), state.course)
    return abs(state.side)


@step
def imbalance(row: Any, out: Any, state: Any, params: Any) -> float:
    """Return how one-sided trading is: its flow, where rows close, and the touch; `flow` says which side."""
    flow = out[_SIDES] if out[_SIDES] == out[_SIDES] else out[_BALANCE]
    closes = steps.rolling_mean.push(state.location, 2.0 * out[_LOCATION] - 1.0)
    touch = np.float64(np.nan)
    if is_sized(row):
        tilt = (row.bid_size - row.ask_size) / (row.bid_size + row.ask_size)
        touch = steps.tanh(_SIGNS * steps.ewm.push(state.touch, tilt) / params.tilt)
    flow = steps.tanh(_SIGNS * flow / params.tilt)
    state.flow = _mean(flow, steps.tanh(_SIGNS * closes / params.tilt), touch)
    return abs(state.flow)


@step
def trend_strength(row: Any, out: Any, state: Any, params: Any) -> float:
    """Return how much of a trend there is: ADX, the order of averages, and how straight the path is."""
    slow = steps.ewm.push(state.slow, row.close)
    order = 0.5 * abs(_over(row.close - out[_SMA], out[_ATR]) + _over(out[_SMA] - slow, out[_ATR]))
    return _mean(share(out[_ADX], params.adx), share(out[_EFFICIENCY], params.efficiency), order)


@step
def noise(row: Any, state: Any, params: Any) -> float:
    """Return how much of what moves comes to nothing: within rows, from row to row, and in spikes."""
    body = steps.ewm.push(state.bodies, abs(row.close - row.open))
    reach = steps.ewm.push(state.ranges, row.high - row.low)
    wicks, back = np.float64(np.nan), np.float64(np.nan)
    if reach > 0.0:
        wicks = np.float64(max(1.0 - body / reach, 0.0))
    if state.drifts.n > 0 and state.squares.mean > 0.0:
        back = 1.0 - share(state.drifts.mean / (params.short * state.squares.mean), 1.0)
    calm = 1.0 - _mean(wicks, back, np.float64(np.nan))
    return 1.0 - calm * (1.0 - state.spikes / (state.spikes + params.spikes))
