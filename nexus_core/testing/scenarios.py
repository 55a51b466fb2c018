"""Markets with a known event in them, for tests of what a strategy detects.

An event is laid over the synthetic bars, or planted in the market of order flow. They stand on the library
nexus-synthetic (`pip install nexus-core[testing]`). The market without an event is `quiet`: what fires there
is false.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nexus_core.errors import NotFoundError
from nexus_core.market.bars import Bars
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.records import UNIT, Records
from nexus_core.strategy import Strategy
from nexus_core.styles import loop
from nexus_core.testing.market import MINUTE
from nexus_core.testing.market import rows as rows_of
from nexus_core.testing.markets import mirrored

Floats = NDArray[np.float64]


@frozen
class Scenario:
    """Bars of one symbol, and the event that was laid into them."""

    rows: Records
    at: int
    """The first row that shows it."""
    side: int
    """1 where price goes up at it, -1 where it goes down."""


@frozen
class Session:
    """Rows and events of one symbol of the market of order flow, and what was planted in it."""

    chunk: Chunk
    planted: Records
    """As `nexus_synthetic.PLANTED`: kind, side, decoy, start, turn and end in nanoseconds, and more."""

    @property
    def real(self) -> Records:
        """Return the plants that are no decoys."""
        return self.planted[self.planted["decoy"] == 0]


Played = TypeVar("Played", Session, Records)
"""What a strategy can be played over: rows and events, or rows alone."""


@frozen
class Detection:
    """How a strategy's signals met what was planted."""

    plants: int
    """Plants that are no decoys."""
    found: int
    """Of those, the ones with a signal of their side in time."""
    signals: int
    """Stretches of signals of one side."""
    right: int
    """Of those, the ones that met a plant of their side in time."""

    @property
    def recall(self) -> float:
        """Return the share of plants that were found; NaN where there was none."""
        return self.found / self.plants if self.plants else math.nan

    @property
    def precision(self) -> float:
        """Return the share of signals that were right; NaN where there was none."""
        return self.right / self.signals if self.signals else math.nan


def flow(
    seed: int,
    minutes: int,
    kinds: Sequence[str] = (),
    *,
    interval: int = MINUTE,
    ease: float | None = None,
    rate: float = 6.0,
    activity: float = 1.0,
) -> Session:
    """Return minutes of the market of order flow, as rows of `interval` nanoseconds with their events.

    It is sown with plants of these `kinds` (`nexus_synthetic.KINDS`) and their decoys, half and half, `rate`
    of them an hour; without kinds with none, which is the market to be silent in. `ease` from 0 to 1 sets how
    clear they are; None draws that of each. Where rows are shorter than a minute there is one for each
    interval in which anything happened, else for each in which somebody traded.
    """
    synthetic: Any = _synthetic()
    made = synthetic.Flow(
        seed, 1, activity=activity, plants=bool(kinds), rate=rate, kinds=tuple(kinds), ease=ease
    )
    events, starts = made.take(minutes)
    bars = Bars("time", interval, 1, origin=synthetic.START, quiet=interval < MINUTE)
    rows, row_starts = bars.take(events, starts, until=synthetic.START + minutes * MINUTE)
    last = int(rows["ts"][-1]) if len(rows) else 0
    kept = int(np.searchsorted(events["ts"], last, side="right"))
    return Session(Chunk(rows, row_starts, events[:kept], np.array([0, kept])), made.planted)


def driftless(seed: int, size: int = 2_000) -> Records:
    """Return bars without drift whose volatility wanders: patterns are there but by chance."""
    rng, level = np.random.default_rng((seed, 3)), 0.0
    volatility = np.zeros(size)
    for i, shock in enumerate(rng.normal(size=size)):
        level = 0.98 * level + 0.1 * shock
        volatility[i] = 0.0005 * math.exp(level)
    inside: Floats = rng.normal(size=(size, 60)) * volatility[:, None] / math.sqrt(60.0)
    path = np.log(30_000.0) + np.cumsum(inside).reshape(size, 60)
    opened = np.concatenate([[30_000.0], np.exp(path[:-1, -1])])
    inner = np.exp(path)
    volume: Floats = 100.0 * np.exp(rng.normal(size=size) * 0.5) * volatility / 0.0005
    bought: Floats = volume * np.clip(
        0.5 + (inner[:, -1] / opened - 1.0) / volatility / 8.0 + rng.normal(size=size) / 10, 0.05, 0.95
    )
    grid = 64.0
    made = rows_of(
        np.rint(inner[:, -1] * grid) / grid,
        open=np.rint(opened * grid) / grid,
        volume=volume, buy_volume=bought, sell_volume=volume - bought, trades=60,
    )  # fmt: skip
    made["high"] = np.maximum(
        np.rint(inner.max(axis=1) * grid) / grid, np.maximum(made["open"], made["close"])
    )
    made["low"] = np.minimum(
        np.rint(inner.min(axis=1) * grid) / grid, np.minimum(made["open"], made["close"])
    )
    made["bid"], made["ask"] = made["close"] - 1.0 / grid, made["close"] + 1.0 / grid
    return made


def met(
    rows: Records, signals: Any, planted: Records, within: int, *, since: str = "turn", again: int = 0
) -> Detection:
    """Hold the signals of one symbol's rows against what was planted there.

    A plant is found by a signal of its side from its turn (or its `start`) to `within` rows after its turn.
    Rows that signal the same side with gaps of at most `again` rows are one signal; it is right where its
    first row finds a plant that is no decoy. Plants whose time does not lie within the rows do not count.
    """
    times: Any = rows["ts"]
    firsts, lasts = np.searchsorted(times, planted[since]), np.searchsorted(times, planted["turn"]) + within
    counts = (planted["decoy"] == 0) & (lasts < len(times))
    real, firsts, lasts = planted[counts], firsts[counts], lasts[counts]
    signs = np.where((signals >= -2) & (signals <= 2), np.sign(signals), 0)  # neither absent nor a fault
    begun = _begun(signs, again)
    found = sum(
        bool(np.any(signs[low : high + 1] == side))
        for low, high, side in zip(firsts.tolist(), lasts.tolist(), real["side"].tolist(), strict=True)
    )
    right = sum(
        bool(np.any((firsts <= at) & (at <= lasts) & (real["side"] == signs[at]))) for at in begun.tolist()
    )
    return Detection(len(real), found, len(begun), right)


def _begun(signs: Any, again: int) -> Any:
    """Return the rows at which a signal begins."""
    at = np.flatnonzero(signs)
    apart = np.diff(at, prepend=-(1 << 40)) > again + 1
    return at[apart | (np.diff(signs[at], prepend=0) != 0)]


def answers(strategy: Strategy, session: Session | Records, name: str = "tried") -> tuple[Any, Any]:
    """Return the signals and scores of a strategy's rows of one symbol, in one block."""
    chunk = session.chunk if isinstance(session, Session) else Chunk(session, np.array([0, len(session)]))
    work = loop(name, strategy, ["BTC-USD"])
    signals, scores = np.zeros(len(chunk.rows), np.int8), np.zeros(len(chunk.rows))
    for block in blocks(chunk, 0, 1 << 40, lambda _: np.iinfo(np.int64).max):
        work.run(block.rows, block.first, block.last, signals, scores, block.between)
    return signals, scores


def curve(
    strategy: Strategy, sessions: Iterable[Session], within: int, *, since: str = "turn", again: int = 0
) -> Detection:
    """Return how a strategy's signals met what was planted, in all these sessions together: see `met`."""
    found = [
        met(each.chunk.rows, answers(strategy, each)[0], each.planted, within, since=since, again=again)
        for each in sessions
    ]
    return Detection(
        sum(each.plants for each in found),
        sum(each.found for each in found),
        sum(each.signals for each in found),
        sum(each.right for each in found),
    )


def turned(of: Played, about: float | None = None) -> Played:
    """Return the market of one symbol upside down: p turned to 2 p0 - p, p0 being `about` or the first close.

    Bids become asks and bought becomes sold, in the rows and in the events, and what was planted changes its
    side.
    """
    if not isinstance(of, Session):
        return mirrored(Chunk(of, np.array([0, len(of)])), "price", about).rows
    planted = of.planted.copy()
    planted["side"] = -planted["side"]
    return Session(mirrored(of.chunk, "price", about), planted)


def quiet(seed: int, size: int = 2_000) -> Records:
    """Return bars of the synthetic market as they come: no event but by chance."""
    return _synthetic().Generator(seed, 1).take(size)[0]


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


def rotation(seed: int, side: int = 1, days: int = 2, out: int = 45, accepted: int = 75) -> Scenario:
    """Return sessions in balance, and one that opens outside their value, is accepted back, and crosses it.

    The price of `days` UTC days of minutes is pulled to a mean. The day after opens beyond them, against the
    `side` to which it will go, for `out` rows; it is inside their value for `accepted` rows, and then goes
    through to the other edge within two hours. `at` is the first row after two half hours that closed inside.
    """
    rng, day = np.random.default_rng((seed, 4)), 1_440
    size = (days + 1) * day
    away: Floats = rng.normal(size=size)
    for i in range(1, size):
        away[i] += 0.97 * away[i - 1]
    low, high = np.quantile(away[(days - 1) * day : days * day], (0.15, 0.85))
    near, width = (low, high - low) if side > 0 else (high, low - high)
    rows = np.arange(day)
    back = np.clip((rows - out) / 10.0, 0.0, 1.0)
    across = np.clip((rows - out - accepted) / 120.0, 0.0, 1.0)
    away[days * day :] = 0.2 * away[days * day :] + near + width * (-0.8 + 1.2 * back + 0.6 * across)
    price: Floats = np.rint((30_000.0 + 10.0 * away) * 64.0) / 64.0
    wick = np.rint(np.abs(rng.normal(size=(2, size))) * 5.0 * 64.0) / 64.0
    made = rows_of(price, volume=100.0 * np.exp(rng.normal(size=size) * 0.5))
    made["open"][days * day] = price[days * day]  # the session opens with a gap
    made["high"] = np.maximum(made["open"], made["close"]) + wick[0]
    made["low"] = np.minimum(made["open"], made["close"]) - wick[1]
    within = -(-(out + 10) // 30) * 30  # the first half hour that is inside from its begin
    return Scenario(made, days * day + within + 30, side)


def usual(rows: Records) -> float:
    """Return the usual move of a bar: the standard deviation of the closes' log returns."""
    return float(np.diff(np.log(rows["close"])).std())


def _synthetic() -> Any:
    try:
        return import_module("nexus_synthetic")
    except ImportError as error:
        raise NotFoundError("scenarios need nexus-synthetic: pip install nexus-core[testing]") from error


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
