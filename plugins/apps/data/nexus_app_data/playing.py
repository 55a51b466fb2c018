"""Strategies taken through markets: what they signalled at which rows, and how long they took."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, field

from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.loops import FAULT
from nexus_core.records import ABSENT, ROW, Records
from nexus_core.styles import loop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexus_app_data.markets import Source
    from nexus_core import Strategy

_KEPT = np.dtype([(name, ROW[name]) for name in ("ts", "symbol", "close", "bid", "ask")])
"""What of a row says what became of a signal."""

_ALONE = 1_000
"""Rows given one at a time to see how long that takes."""

_WHOLE = 1 << 40


@define
class Played:
    """What a strategy signalled on one market."""

    source: Source
    rows: Records
    """Time, close and quote of each row, the split's and those that warmed up."""
    signals: Any
    """For each row -2 to 2; 0 before the split, and where it had no opinion."""
    scores: Any
    """Of the rows with a signal."""
    faults: int

    @property
    def first(self) -> int:
        """Return the place of the split's first row."""
        return int(np.searchsorted(self.rows["ts"], self.source.after, "right"))

    def scored(self, at: Any) -> Any:
        """Return the scores of rows with a signal."""
        return self.scores[np.searchsorted(np.flatnonzero(self.signals), at)]


@define
class Player:
    """A strategy, what it signalled, and what kept it from playing."""

    name: str
    strategy: Strategy
    interval: int
    """Nanoseconds of its rows."""
    played: list[Played] = field(factory=list)
    unfed: str = ""
    """Why no market is for it."""
    broken: str = ""
    rows: int = 0
    seconds: float = 0.0
    alone: float | None = None
    """Seconds a row, given one at a time."""

    @property
    def block_ns(self) -> float | None:
        """Return the nanoseconds a row, given in blocks."""
        return self.seconds / self.rows * 1e9 if self.rows else None


def enlisted(name: str, strategy: Strategy, sources: Sequence[Source], seconds: float) -> Player:
    """Return a strategy ready to play, on rows of so many seconds or of its own length.

    Bars have the length they have: those of another length than its own are played if all are of that one.
    """
    fed = [each for each in sources if not strategy.lacks(each.offers, each.clocks)]
    if not fed:
        return Player(
            name,
            strategy,
            0,
            unfed=f"needs {', '.join(strategy.lacks(sources[0].offers, sources[0].clocks))}",
        )
    asked = round(1e9 * (seconds or strategy.row_seconds))
    lengths = sorted({asked if seconds else each.interval or asked for each in fed})
    if asked not in lengths and len(lengths) > 1:
        told = " and ".join(f"{each / 1e9:g} s" for each in lengths)
        return Player(name, strategy, 0, unfed=f"needs rows of one length, and the markets have {told}")
    return Player(name, strategy, asked if asked in lengths else lengths[0])


def play(players: Sequence[Player], sources: Sequence[Source]) -> Iterator[str]:
    """Take strategies through markets, those of one length of rows together; yield what was played."""
    for interval in sorted({each.interval for each in players if not each.unfed}):
        for source in sources:
            ready = [each for each in players if each.interval == interval and _is_for(source, each)]
            if ready:
                _through(ready, source, interval)
                yield source.name


def _is_for(source: Source, player: Player) -> bool:
    fits = source.interval in (0, player.interval)
    return (
        fits
        and not player.unfed
        and not player.broken
        and not player.strategy.lacks(source.offers, source.clocks)
    )


def _through(players: Sequence[Player], source: Source, interval: int) -> None:
    works = [_Work(each, source) for each in players]
    kept: list[Records] = []
    for chunk in source.chunks(interval):
        kept.append(_kept(chunk.rows))
        for each in works:
            each.take(chunk)
    if not kept:
        return
    rows = np.concatenate(kept)
    for each in works:
        each.end(rows)


def _kept(rows: Records) -> Records:
    kept = np.empty(len(rows), _KEPT)
    for name in _KEPT.names or ():
        kept[name] = rows[name]
    return kept


class _Work:
    """One strategy on one market."""

    def __init__(self, player: Player, source: Source) -> None:
        self.player, self.source, self.is_first = player, source, not player.played
        self.signals: list[Any] = []
        self.scores: list[Any] = []
        self.faults = 0
        try:
            self.loop = self._fresh()
            self.loop.warm()
        except (Exception, SystemExit) as error:
            self._break(error)

    def take(self, chunk: Chunk) -> None:
        """Take the next rows."""
        signals, scores = np.zeros(len(chunk.rows), np.int8), np.zeros(len(chunk.rows))
        self.signals.append(signals)
        self.scores.append(scores)
        if self.player.broken:
            return
        try:
            if self.is_first:
                self.is_first = False
                self.player.alone = _alone(self._fresh(), chunk)
            self.player.seconds += sum(_run(self.loop, chunk, _WHOLE, signals, scores))
        except (Exception, SystemExit) as error:
            self._break(error)
            return
        self.player.rows += len(chunk.rows)
        self.faults += int((signals == FAULT).sum())
        signals[(signals == ABSENT) | (signals == FAULT)] = 0

    def end(self, rows: Records) -> None:
        """Keep what was signalled."""
        if self.player.broken:
            return
        signals, scores = np.concatenate(self.signals), np.concatenate(self.scores)
        made = Played(self.source, rows, signals, scores, self.faults)
        signals[: made.first] = 0
        made.scores = scores[signals != 0]
        self.player.played.append(made)

    def _fresh(self) -> Any:
        return loop(self.player.name, self.player.strategy, (self.source.symbol,))

    def _break(self, error: BaseException) -> None:
        self.player.broken = f"{type(error).__name__}: {error}"


def _run(made: Any, chunk: Chunk, size: int, signals: Any, scores: Any) -> list[float]:
    """Take a chunk in blocks of so many ticks; return the seconds that the strategy took for each."""
    spent: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a division by zero is judged by what is answered
        for block in blocks(chunk, 0, size, lambda _: np.iinfo(np.int64).max):
            if block.late is not None:
                late = block.late
                unheard = np.zeros(len(late.rows), np.int8), np.zeros(len(late.rows))
                made.run(late.rows, late.first, late.last, *unheard, late.between)
            begun = time.perf_counter()
            made.run(block.rows, block.first, block.last, signals, scores, block.between)
            spent.append(time.perf_counter() - begun)
    return spent


def _alone(made: Any, chunk: Chunk) -> float | None:
    """Return the median seconds of a row where rows come one at a time, after those that warm up."""
    from nexus_app_data.markets import upto

    size = min(int(made.warmup) + _ALONE, len(chunk.rows))
    warm = max(size - _ALONE, 0)
    part = upto(chunk, int(chunk.rows["ts"][size - 1])) if size else chunk
    if warm:
        _run(made, upto(part, int(chunk.rows["ts"][warm - 1])), _WHOLE, *_room(warm))
        part = _after(part, warm)
    spent = _run(made, part, 1, *_room(len(part.rows)))
    return float(np.median(spent)) if spent else None


def _room(size: int) -> tuple[Any, Any]:
    return np.zeros(size, np.int8), np.zeros(size)


def _after(chunk: Chunk, first: int) -> Chunk:
    """Return a chunk from a row on."""
    rows = chunk.rows[first:]
    if chunk.events is None:
        return Chunk(rows, np.array([0, len(rows)]))
    known = int(np.searchsorted(chunk.events["ts"], chunk.rows["ts"][first - 1], "right"))
    events = chunk.events[known:]
    return Chunk(rows, np.array([0, len(rows)]), events, np.array([0, len(events)]))
