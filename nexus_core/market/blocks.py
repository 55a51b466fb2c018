"""Market rows on their way through the engine: chunks as a feed makes them, blocks as the engine cuts them.

A chunk holds rows symbol by symbol, each symbol's in the order of time, so that a strategy runs over a
symbol without jumping; `order` walks the same rows by time, and at equal time by symbol, for the ledger.
A tick is one instant over all symbols. A block is a run of whole ticks of one chunk; it copies nothing.

Rows that came after their tick was closed travel with the chunk that came next, as a block of their own
before its first tick. They change states and never decide; a chunk begins where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nexus_core import compile
from nexus_core.errors import DataError
from nexus_core.market.events import EVENT
from nexus_core.records import LATE, ROW, Records

Ints = NDArray[np.int64]

_MERGE = """
def entry(rows, starts, order, bounds, times):
    symbols = starts.size - 1
    head = starts[:-1].copy()
    placed = 0
    ticks = 0
    while placed < order.size:
        now = LAST
        for s in range(symbols):
            if head[s] < starts[s + 1] and rows[head[s]].ts < now:
                now = rows[head[s]].ts
        if now == LAST:
            return -1 - placed
        bounds[ticks] = placed
        times[ticks] = now
        ticks += 1
        for s in range(symbols):
            i = head[s]
            if i < starts[s + 1] and rows[i].ts == now:
                if rows[i].symbol != s:
                    return -1 - i
                order[placed] = i
                placed += 1
                head[s] = i + 1
                if i + 1 < starts[s + 1] and rows[i + 1].ts <= now:
                    return -2 - i
    bounds[ticks] = placed
    return ticks
"""

_FOLLOW = """
def entry(rows, times):
    for i in range(times.size):
        ts = rows[i].ts
        if rows[i].symbol != 0 or ts == LAST or (i > 0 and ts <= times[i - 1]):
            return -1 - i
        times[i] = ts
    return times.size
"""

_PASS = """
    for s in range(first.size):  # by doubling and halving a stride
        low = first[s]
        stride = 1
        while low + stride <= starts[s + 1] and records[low + stride - 1].ts <= until:
            low += stride
            stride *= 2
        while stride > 0:
            if low + stride <= starts[s + 1] and records[low + stride - 1].ts <= until:
                low += stride
            stride //= 2
        last[s] = low
"""

_UNTIL = f"""
def entry(records, starts, until, first, last):{_PASS}"""

_IN_ORDER = """
def entry(events, starts, until):
    for s in range(starts.size - 1):
        for i in range(starts[s], starts[s + 1]):
            event = events[i]
            if event.symbol != s or event.ts > until:
                return i
            if i > starts[s] and (event.ts < events[i - 1].ts or event.seq <= events[i - 1].seq):
                return i
    return -1
"""

_REACH = f"""
def entry(records, starts, times, at, to, edge, first, last):
    # the last tick at or before the edge
    reach = at + 1
    stride = 1
    while reach + stride <= to and times[reach + stride - 1] <= edge:
        reach += stride
        stride *= 2
    while stride > 0:
        if reach + stride <= to and times[reach + stride - 1] <= edge:
            reach += stride
        stride //= 2
    until = times[reach - 1]{_PASS}    return reach
"""


@dataclass(slots=True)
class Between:
    """Market events of some ticks, those of symbol `s` at `events[first[s]:last[s]]`, in the feed's order.

    At a row a symbol has had its events up to the row's time. `seq` rises, over all chunks of a symbol.
    """

    events: Records
    first: Ints
    last: Ints
    rest: bool = True
    """Whether those after a symbol's last row are taken too."""


QUIET = Between(np.zeros(0, EVENT), np.zeros(0, np.int64), np.zeros(0, np.int64))
"""No events, of no symbol."""


@dataclass(slots=True)
class Chunk:
    """Rows of all symbols over some ticks: symbol `s` owns `rows[starts[s]:starts[s + 1]]`.

    Market events come with them where the feed has any: those of a symbol at
    `events[event_starts[s]:event_starts[s + 1]]`, none later than the chunk's last tick.
    """

    rows: Records
    starts: Ints
    events: Records | None = None
    event_starts: Ints | None = None
    late: Records = field(default_factory=lambda: np.zeros(0, ROW))
    """Rows that came late, symbol by symbol, each symbol's in the order of time, before the first tick."""
    order: Ints = field(init=False)
    bounds: Ints = field(init=False)
    times: Ints = field(init=False)

    def __post_init__(self) -> None:
        if self.rows.dtype != ROW or self.late.dtype != ROW:
            raise DataError(
                "a chunk's rows are not market rows. Make them with dtype nexus_core.records.ROW."
            )
        self.rows = np.ascontiguousarray(self.rows)
        self.starts = np.ascontiguousarray(self.starts, np.int64)
        size = len(self.rows)
        if [*self.starts[[0, -1]]] != [0, size] or (np.diff(self.starts) < 0).any():
            raise DataError(
                f"a chunk's starts were {self.starts.tolist()}. They rise from 0 to the {size} rows it has."
            )
        times = np.empty(size, np.int64)
        if len(self.starts) == 2:  # the rows of one symbol lie in the order of time
            self.order, bounds = _counted(size), _counted(size + 1)
            ticks = compile.call(_follow(), self.rows, times)
        else:
            self.order, bounds = np.empty(size, np.int64), np.empty(size + 1, np.int64)
            ticks = compile.call(_merge(), self.rows, self.starts, self.order, bounds, times)
        if ticks < 0:
            raise DataError(
                f"row {-1 - ticks} of a chunk is out of place: rows lie symbol by symbol, "
                "each symbol's with strictly rising time. Sort them, and drop rows of equal time."
            )
        self.bounds, self.times = bounds[: ticks + 1], times[:ticks]
        if self.events is not None:
            self._check(self.events)
        if len(self.late):
            self._check_late()

    def _check(self, events: Records) -> None:
        starts = np.ascontiguousarray(self.event_starts, np.int64)
        if events.dtype != EVENT or len(starts) != len(self.starts) or starts[-1] != len(events):
            raise DataError("a chunk's events are not market events, or event_starts does not fit them.")
        self.events, self.event_starts = np.ascontiguousarray(events), starts
        wrong = compile.call(_in_order(), self.events, starts, self.times[-1] if self.ticks else 0)
        if wrong >= 0:
            raise DataError(
                f"event {wrong} of a chunk is out of place: events lie symbol by symbol, time never goes "
                "back, seq rises, and none is later than the chunk's last tick."
            )

    def between(self) -> Between:
        """Return the chunk's events before its first tick: none yet."""
        symbols = len(self.starts) - 1
        if self.events is None or self.event_starts is None:
            none = np.zeros(symbols, np.int64)
            return Between(QUIET.events, none, none)
        return Between(self.events, self.event_starts[:-1], self.event_starts[:-1])

    def _check_late(self) -> None:
        ts, symbol, flags = (self.late[name] for name in ("ts", "symbol", "flags"))
        places = (symbol >= 0) & (symbol < len(self.starts) - 1) & (flags & LATE != 0)
        in_order = (np.diff(np.lexsort((ts, symbol))) == 1).all()
        if not self.ticks or not in_order or not (places & (ts < self.times[0])).all():
            raise DataError(
                "a chunk's late rows are flagged LATE, are older than its first tick, and lie symbol by "
                "symbol, each symbol's in the order of time. Sort them, and flag them."
            )

    @property
    def ticks(self) -> int:
        """Return how many instants the chunk spans."""
        return len(self.times)


@dataclass(slots=True)
class Block:
    """Whole ticks of a chunk: for each symbol `rows[first[s]:last[s]]`, by time `rows[order]`."""

    rows: Records
    first: Ints
    last: Ints
    order: Ints
    times: Ints
    tick: int
    """The run's number of the block's first tick."""
    between: Between
    late: Block | None = None
    """Rows that came late, to be taken before this block: a block without ticks."""


def blocks(
    chunk: Chunk, tick: int, size: int, edges: Callable[[int], int], stops: Sequence[int] = ()
) -> Iterator[Block]:
    """Cut a chunk, whose first tick has the run's number `tick`, into blocks of at most `size` ticks.

    `edges(time)` gives the first epoch edge at or after a time, in nanoseconds; no block reaches across
    one. A tick stamped exactly at an edge is the last of its epoch. At the tick numbers in `stops`, which
    rise, a block begins.
    """
    first, at, ends = chunk.starts[:-1].copy(), 0, [each - tick for each in stops if each > tick]
    between = chunk.between()
    while at < chunk.ticks:
        while ends and ends[0] <= at:
            del ends[0]
        to = min(at + size, chunk.ticks, *ends[:1])
        last = np.empty_like(first)
        edge = edges(int(chunk.times[at]))
        to = _reach()(chunk.rows, chunk.starts, chunk.times, at, to, edge, first, last)
        order = chunk.order[chunk.bounds[at] : chunk.bounds[to]]
        if chunk.event_starts is not None:
            passed = np.empty_like(between.last)
            _until()(between.events, chunk.event_starts, chunk.times[to - 1], between.last, passed)
            between = Between(between.events, between.last, passed)
        late = _late(chunk, tick) if at == 0 and len(chunk.late) else None
        yield Block(chunk.rows, first, last, order, chunk.times[at:to], tick + at, between, late)
        first, at = last, to


def warm() -> None:
    """Compile, or load from the cache, what cuts chunks."""
    Chunk(np.zeros(0, ROW), np.zeros(3, np.int64))
    for _ in blocks(Chunk(np.zeros(1, ROW), np.array([0, 1])), 0, 1, lambda _: 0):
        pass


def newest(rows: Records, known: int, count: int) -> Records:
    """Return the newest `count` of a symbol's rows, oldest first; the last `known` of them are no empty ones.

    They are given as they came. Where the last came late each is put where its time belongs, and of two of
    one time the one that came first goes first.
    """
    if rows["flags"][-1] & LATE:
        empty = max(len(rows) - known, 0)
        places = np.argsort(rows["ts"][empty:], kind="stable") + empty
        rows = np.concatenate([rows[:empty], rows[places]])
    return rows[len(rows) - count :]


def _late(chunk: Chunk, tick: int) -> Block:
    ends = np.searchsorted(chunk.late["symbol"], np.arange(len(chunk.starts)))
    order = np.argsort(chunk.late["ts"], kind="stable")  # at equal time by symbol, as they lie
    none = np.zeros(len(ends) - 1, np.int64)
    return Block(
        chunk.late, ends[:-1], ends[1:], order, chunk.times[:0], tick, Between(QUIET.events, none, none)
    )


_numbers: list[Ints] = [np.arange(65_537)]


def _counted(size: int) -> Ints:
    """Return 0 to size - 1, of one array that all share and none writes."""
    if size > len(_numbers[0]):
        _numbers[0] = np.arange(size)
    return _numbers[0][:size]


@cache
def _follow() -> compile.Step:
    return compile.entry("follow", _FOLLOW, {"LAST": np.iinfo(np.int64).max})


@cache
def _merge() -> compile.Step:
    return compile.entry("merge", _MERGE, {"LAST": np.iinfo(np.int64).max})


@cache
def _reach() -> compile.Fixed:
    return compile.Fixed(compile.entry("reach", _REACH, {}))


@cache
def _until() -> compile.Fixed:
    return compile.Fixed(compile.entry("until", _UNTIL, {}))


@cache
def _in_order() -> compile.Step:
    return compile.entry("in_order", _IN_ORDER, {})
