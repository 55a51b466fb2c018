"""Markets with a known event in them, laid over the synthetic market, for tests of what a strategy detects.

They stand on the library nexus-synthetic (`pip install nexus-core[testing]`). The market without an event is
`quiet`: what fires there is false.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nexus_core.errors import NotFoundError
from nexus_core.records import UNIT, Records

Floats = NDArray[np.float64]


@frozen
class Scenario:
    """Bars of one symbol, and the event that was laid into them."""

    rows: Records
    at: int
    """The first row that shows it."""
    side: int
    """1 where price goes up at it, -1 where it goes down."""


def quiet(seed: int, size: int = 2_000) -> Records:
    """Return bars of the synthetic market as they come: no event but by chance."""
    try:
        synthetic: Any = import_module("nexus_synthetic")
    except ImportError as error:
        raise NotFoundError("scenarios need nexus-synthetic: pip install nexus-core[testing]") from error
    return synthetic.Generator(seed, 1).take(size)[0]


def shock(
    seed: int, size: int = 2_000, at: int = 1_000, moves: float = 10.0, volume: float = 10.0, side: int = 1
) -> Scenario:
    """Return a market with one bar that moves `moves` usual bars, on `volume` times the usual volume."""
    return _laid(seed, size, at, side, np.full(size - at, moves), {at: volume})


def trend(
    seed: int, size: int = 2_000, at: int = 1_000, drift: float = 0.5, length: int = 300, side: int = 1
) -> Scenario:
    """Return a market that drifts by `drift` usual bars a row, over `length` rows."""
    return _laid(seed, size, at, side, drift * np.minimum(np.arange(1, size - at + 1), length))


def excursion(
    seed: int, size: int = 2_000, at: int = 1_000, moves: float = 10.0, length: int = 30, side: int = 1
) -> Scenario:
    """Return a market that goes `moves` usual bars away within `length` rows, and back within as many."""
    rows = np.arange(1, size - at + 1)
    return _laid(
        seed, size, at, side, moves * np.clip(np.minimum(rows, 2 * length - rows) / length, 0.0, 1.0)
    )


def gap(seed: int, size: int = 2_000, at: int = 1_000, moves: float = 10.0, side: int = 1) -> Scenario:
    """Return a market whose price jumps by `moves` usual bars between one close and the next open."""
    return _laid(seed, size, at, side, np.full(size - at, moves), jumps=True)


def usual(rows: Records) -> float:
    """Return the usual move of a bar: the standard deviation of the closes' log returns."""
    return float(np.diff(np.log(rows["close"])).std())


def _laid(
    seed: int,
    size: int,
    at: int,
    side: int,
    away: Floats,
    volumes: dict[int, float] | None = None,
    jumps: bool = False,
) -> Scenario:
    """Lay a path, in usual bars from row `at` on, over the prices of the synthetic market."""
    rows = quiet(seed, size)
    path = np.zeros(size)
    path[at:] = side * away * usual(rows)
    after, before = np.exp(path), np.exp(np.concatenate([[0.0], path[:-1]]))
    if jumps:
        before[at] = after[at]
    opened, closed = rows["open"] * before, rows["close"] * after
    rows["high"] = np.maximum(np.maximum(rows["high"] * np.maximum(before, after), opened), closed)
    rows["low"] = np.minimum(np.minimum(rows["low"] * np.minimum(before, after), opened), closed)
    rows["open"], rows["close"] = opened, closed
    for name in ("bid", "ask"):
        rows[name] *= after
    for name in ("open", "high", "low", "close", "bid", "ask"):
        rows[name] = np.rint(rows[name] * UNIT) / UNIT
    for row, times in (volumes or {}).items():
        for name in ("volume", "buy_volume", "sell_volume"):
            rows[name][row] *= times
    return Scenario(rows, at, side)
