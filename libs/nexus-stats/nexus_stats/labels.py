"""What became of signals: the net move at their horizon, or which of target, stop and time came first.

Source of the triple barrier: Lopez de Prado (2018), "Advances in Financial Machine Learning", chapter 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from nexus_core.errors import ConfigError, DataError
from nexus_core.records import ABSENT, Records
from nexus_stats.intervals import Floats, Ints

TARGET, TIME, STOP = 1, 0, -1
"""Labels of the triple barrier: what was touched first."""

_STRONGEST = 2
_AHEAD = 16
"""Rows looked at in one go, a power of two."""


@frozen(eq=False)
class Outcomes:
    """What became of signals at their horizon, in order of time; one entry for each signal."""

    at: Ints
    """Row of the signal."""
    to: Ints
    """Row at which it was judged."""
    side: Ints
    """1 for up, -1 for down."""
    move: Floats
    """Move of the price from one to the other, as a fraction, whatever the side."""
    cost: Floats
    """What getting in and out cost, as a fraction of the price."""

    @property
    def net(self) -> Floats:
        """The move in the signal's direction, less costs."""
        return self.side * self.move - self.cost

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether something was left after costs."""
        return self.net > 0


@frozen(eq=False)
class Touches:
    """Which barrier was touched first; one entry for each signal whose whole horizon is known."""

    at: Ints
    """Row of the signal."""
    to: Ints
    """Row of the exit."""
    side: Ints
    """1 for up, -1 for down."""
    label: Ints
    """`TARGET`, `STOP` or `TIME`."""
    move: Floats
    """Return in the signal's direction from entry to exit, as a fraction, before costs."""


def outcomes(
    rows: Records, signals: ArrayLike, horizon: int, fee: float = 0.0, least: float = 1.0
) -> Outcomes:
    """Judge every signal of one symbol `horizon` rows later, net of costs.

    `signals` has a value for each row, -2 to 2; those weaker than `least` either way, NaN and absent ones are
    none. The net move is `side * (price[t + h] / price[t] - 1)` less `2 * fee`, the half spread at entry and
    the half spread at exit, each as a fraction of the middle. The price is the middle of bid and
    ask, for closes jump between them; of a signal at either of whose ends these are unknown or crossed it is
    the close, and such a row costs the fee only. Left out are signals whose horizon lies beyond the data and
    those with an unknown close at either end.
    """
    sides = _sides(rows, signals, least)
    _check_horizon(horizon)
    if not 0 <= fee < 1:
        raise ConfigError(f"fee was {fee}, must be a fraction from 0 to below 1")
    close = np.asarray(rows["close"], np.float64)
    at = np.flatnonzero(sides)
    at = at[at + horizon < len(rows)]
    at = at[_is_price(close[at]) & _is_price(close[at + horizon])]
    to = at + horizon
    cost = 2 * fee + _half_spread(rows, at) + _half_spread(rows, to)
    begin, end = (_middle(rows, each) for each in (at, to))
    move = np.where(np.isnan(begin + end), close[to] / close[at], end / begin) - 1.0
    return Outcomes(at, to, sides[at], move, cost)


def triple_barrier(
    rows: Records, at: ArrayLike, sides: ArrayLike, up: ArrayLike, down: ArrayLike, horizon: int
) -> Touches:
    """Tell which of target, stop and time each signal of one symbol met first.

    A signal of row t enters at the open of row t + 1. Its target lies `up` ahead of that in its direction,
    its stop `down` behind (fractions of the entry, one for all or one for each; infinite for none). From row
    t + 1 to t + horizon: an open at or beyond a barrier exits at that open; else the stop is met where the
    low (for a sale the high) reaches it, else the target where the other does: of both in one row, the stop.
    Time exits at the close of row t + horizon. Values of a row that are unknown meet nothing.

    Left out are signals whose horizon lies beyond the data (also where a barrier was met before: keeping
    those alone would favour quick exits), and those of unknown entry, barriers, or close at the end.
    """
    rising(rows)
    _check_horizon(horizon)
    where, side, target, stop = np.broadcast_arrays(
        np.asarray(at, np.int64), np.asarray(sides, np.int64), np.asarray(up, float), np.asarray(down, float)
    )
    _check_touch(where, side, target, stop, len(rows))
    prices = {name: _known(rows[name]) for name in ("open", "high", "low", "close")}
    known = where + horizon < len(rows)
    known &= ~np.isnan(target) & ~np.isnan(stop)
    where, side, target, stop = (each[known] for each in (where, side, target, stop))
    known = ~np.isnan(prices["open"][where + 1]) & ~np.isnan(prices["close"][where + horizon])
    where, side, target, stop = (each[known] for each in (where, side, target, stop))
    entry = prices["open"][where + 1]
    levels = entry * (1.0 + side * target), entry * (1.0 - side * stop)
    label, to, price = _first_touch(prices, where, side, *levels, horizon)
    return Touches(where, to, side, label, side * (price / entry - 1.0))


def rising(rows: Records) -> None:
    """Refuse rows of several symbols, or out of the order of time."""
    if len(rows) and (rows["symbol"] != rows["symbol"][0]).any():
        raise DataError("rows of several symbols: outcomes are judged one symbol at a time")
    if (np.diff(rows["ts"]) < 0).any():
        raise DataError("rows go back in time: sort them by ts")


def _first_touch(
    prices: dict[str, Floats], at: Ints, side: Ints, target: Floats, stop: Floats, horizon: int
) -> tuple[Ints, Ints, Floats]:
    label, to = np.full(len(at), TIME), at + horizon
    price = prices["close"][to]
    lowest = _ahead(np.fmin(prices["open"], prices["low"]), np.fmin)
    highest = _ahead(np.fmax(prices["open"], prices["high"]), np.fmax)
    live = np.arange(len(at))
    for ahead in range(1, horizon + 1, _AHEAD):
        # most signals meet nothing in most spans, which the extremes of the span tell at once
        first, barriers = at[live] + ahead, (target[live], stop[live])
        near = lowest[first] <= np.fmin(*barriers)
        near |= highest[first] >= np.fmax(*barriers)
        some = live[near]
        looked = at[some, None] + np.arange(ahead, min(ahead + _AHEAD, horizon + 1))
        met, paid = _meet(prices, looked, side[some, None], target[some, None], stop[some, None])
        which = np.argmax(met != TIME, axis=1)[:, None]
        met, paid, looked = (np.take_along_axis(each, which, axis=1)[:, 0] for each in (met, paid, looked))
        is_out = met != TIME
        done = some[is_out]
        label[done], to[done], price[done] = met[is_out], looked[is_out], paid[is_out]
        live = live[label[live] == TIME]
    return label, to, price


def _ahead(values: Floats, extreme: np.ufunc) -> Floats:
    """Return for each row the extreme of it and those after it, `_AHEAD` in all; NaN counts for nothing."""
    reach, found = 1, values
    while reach < _AHEAD:
        found[:-reach] = extreme(found[:-reach], found[reach:])
        reach *= 2
    return found


def _meet(
    prices: dict[str, Floats], looked: Ints, side: Ints, target: Floats, stop: Floats
) -> tuple[Ints, Floats]:
    # turned over, a sale is a purchase: its high is the low, and every price is negative
    rises = side > 0
    begin = side * prices["open"][looked]
    low = np.where(rises, prices["low"][looked], -prices["high"][looked])
    high = np.where(rises, prices["high"][looked], -prices["low"][looked])
    floor, roof = side * stop, side * target
    gap_down, gap_up = begin <= floor, begin >= roof
    cases = [gap_down, gap_up, low <= floor, high >= roof]
    met = np.select(cases, [STOP, TARGET, STOP, TARGET], TIME)
    paid = np.select(
        cases, [begin, begin, np.broadcast_to(floor, low.shape), np.broadcast_to(roof, low.shape)]
    )
    return met, side * paid


def _sides(rows: Records, signals: ArrayLike, least: float) -> Ints:
    rising(rows)
    values = np.asarray(signals, np.float64)
    if values.shape != (len(rows),):
        raise DataError(f"signals must be one for each of the {len(rows)} rows, had shape {values.shape}")
    if not 0 < least <= _STRONGEST:
        raise ConfigError(f"least was {least}, must be above 0 and at most {_STRONGEST}")
    values = np.where(np.isnan(values) | (values == ABSENT), 0.0, values)
    if (np.abs(values) > _STRONGEST).any():
        raise DataError("signals must lie between -2 and 2")
    return np.where(np.abs(values) >= least, np.sign(values), 0).astype(np.int64)


def _half_spread(rows: Records, at: Ints) -> Floats:
    half = (rows["ask"][at] - rows["bid"][at]) / (2.0 * _middle(rows, at))
    return np.where(np.isnan(half), 0.0, half)


def _middle(rows: Records, at: Ints) -> Floats:
    bid, ask = rows["bid"][at], rows["ask"][at]
    known = _is_price(bid) & _is_price(ask) & (ask >= bid)
    return np.where(known, 0.5 * (bid + ask), np.nan)


def _known(values: NDArray[Any]) -> Floats:
    return np.where(_is_price(values), values, np.nan)


def _is_price(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isfinite(values) & (values > 0)


def _check_horizon(horizon: int) -> None:
    if horizon < 1:
        raise ConfigError(f"horizon was {horizon}, must be at least 1 row")


def _check_touch(at: Ints, side: Ints, target: Floats, stop: Floats, size: int) -> None:
    if at.ndim != 1:
        raise DataError("at must be a list of rows")
    if ((at < 0) | (at >= size)).any():
        raise DataError(f"at must be rows from 0 to {size - 1}")
    if (np.abs(side) != 1).any():
        raise DataError("sides must be 1 or -1")
    if (target <= 0).any() or (stop <= 0).any():
        raise ConfigError("up and down must be above 0")
