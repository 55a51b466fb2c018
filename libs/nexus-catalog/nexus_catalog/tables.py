"""Bars, trades and quotes out of files and data frames, in chunks, with every refused row named.

Memory holds a chunk or two, whatever the size of the table. Text is parsed by Arrow; only where a piece of it
holds something that is no number, no time or no row does each of its lines get looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from attrs import frozen

from nexus_catalog import checks
from nexus_catalog.columns import FIELDS, NEEDED, mapped, used
from nexus_catalog.pieces import Piece, opened
from nexus_catalog.times import Clock, Problem, cast_each, filled
from nexus_core.errors import ConfigError, DataError, hint
from nexus_core.market import sessions
from nexus_core.market.events import BACK, BUY, EVENT, LAST, QUOTE, SELL, TRADE
from nexus_core.records import ROW, Records, empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nexus_catalog.quarantine import Quarantine

compute: Any = import_module("pyarrow.compute")  # its functions are made when it is imported

HELD = 256
"""Rows at the end of a chunk that wait for the next: a time that runs ahead shows by the rows behind it."""

LATEST = 1_000_000_000
"""Nanoseconds that an event may come after one of a later time and still be kept, with the flag BACK."""

_DAY, _MINUTE = 86_400_000_000_000, 60_000_000_000
_BACK = ("back", "before that of the row before")
_INTEGERS = ("id", "local", "trades")
_BUYS, _SELLS = ("buy", "b", "bid", "1", "false", "long"), ("sell", "s", "ask", "-1", "true", "short")


@frozen
class Facts:
    """What is known of a table that was read."""

    source: str
    kind: str
    columns: dict[str, str]
    """The column of each field."""
    times: str
    """How times are written, in words."""
    zone: str
    interval: int
    """Nanoseconds from bar to bar; 0 where it is not known."""
    rows: int
    """Rows that were kept."""
    first: int
    """Time of the first and of the last row kept, in nanoseconds UTC; 0 where there is none."""
    last: int
    refused: dict[str, int]
    """How many rows were refused for each fault."""
    odd: dict[str, int]
    """How many of those kept were odd, for each fault."""
    quality: float
    """The score of `nexus_catalog.checks.score` after the last row."""


def read(
    source: Any,
    *,
    kind: str = "bars",
    columns: str = "",
    zone: str = "UTC",
    unit: str = "",
    stamp: str = "close",
    interval: int = 0,
    quarantine: Quarantine | None = None,
    chunk: int = 65_536,
    calendar: str = "",
) -> Reading:
    """Read a table in chunks: iterate over what is returned, and ask it for `facts` at any time.

    `source` is the path of a CSV file (alone, .gz, or in a .zip), of Parquet, Feather or Arrow, or a data
    frame of pandas, polars or Arrow. `kind` is bars, which are `ROW` records; trades or quotes, which are
    `EVENT` records, a quote two of them, or one where it says nothing of the other side. `columns` names
    columns, as `ts=Date,open=Open`; those of common names need none. Times that are text without an offset
    are of the time `zone`; `unit` says how they are written (s, ms, us, ns, iso, or a format such as
    %d/%m/%Y), if that is not to be found out. Bars stamped at their `open` are moved by the `interval`, in
    nanoseconds, found from the data where it is 0. About `chunk` rows come at a time; what is unknown is NaN.

    Rows that cannot be used go to the `quarantine`, with the number of their line (from 1; of a frame's row)
    and the reason. Where rows are out of the order of time, the fewest are refused that leave it rising; of
    bars of one time the first is kept. Without a quarantine they are counted in the facts alone. A market
    that is closed by its `calendar` (a name of `nexus_core.market.sessions`) makes no gap; without one every
    missing bar does, and a session is the UTC day.
    """
    reading = Reading(source, kind, columns, zone, unit, stamp, interval, quarantine, chunk)
    reading.calendar = sessions.Calendar(calendar) if calendar else None
    return reading


def facts(source: Any, **how: Any) -> Facts:
    """Read a table from end to end and return what is known of it; `how` are the arguments of `read`."""
    reading = read(source, **how)
    deque(reading, maxlen=0)
    return reading.facts


class _Batch(NamedTuple):
    """Rows on their way: records not yet in order, and the number of the line of each."""

    rows: Records
    lines: NDArray[np.int64]


class Reading(Iterator[Records]):
    """A table being read: an iterator over chunks of records, and the facts found so far."""

    def __init__(
        self, source: Any, kind: str, columns: str, zone: str, unit: str, stamp: str, interval: int,
        quarantine: Quarantine | None, chunk: int,
    ) -> None:  # fmt: skip
        name = str(source) if isinstance(source, str) or hasattr(source, "suffix") else type(source).__name__
        _one_of(name, "kind", kind, FIELDS)
        _one_of(name, "stamp", stamp, ("close", "open"))
        self._table = opened(source, chunk)
        self.source, self.kind, self._interval, self._quarantine = name, kind, interval, quarantine
        self.columns = mapped(name, kind, self._table.names, columns)
        self._clock = Clock(name, self._stamps(self._table.sample), unit, zone)
        self._is_open, self._states = stamp == "open" and kind == "bars", empty(ROW, 0)
        self._refused, self._odd = Counter[str](), Counter[str]()
        self._rows, self._first, self._last = 0, 0, 0
        self._pieces: deque[Piece] = deque(maxlen=2)
        self.calendar: sessions.Calendar | None = None
        """Whose sessions bars lie in; None for the UTC day, and a market that never closes."""
        self._chunks = self._read()

    def __next__(self) -> Records:
        return next(self._chunks)

    @property
    def facts(self) -> Facts:
        """Return what is known of the table, from the rows read so far."""
        quality = float(checks.score(self._states)[0]) if len(self._states) else 1.0
        return Facts(
            self.source, self.kind, dict(self.columns), self._clock.words, self._clock.zone, self._interval,
            self._rows, self._first, self._last, dict(self._refused), dict(self._odd), quality,
        )  # fmt: skip

    # -- the way of a row -------------------------------------------------------------------------

    def _read(self) -> Iterator[Records]:
        types = {self.columns[field]: _type(field) for field in self.columns if field != "ts"}
        stamps = self.columns["ts"].split("+")
        types |= dict.fromkeys(stamps, pa.string() if len(stamps) > 1 else self._clock.type)
        needed = set(used({field: self.columns[field] for field in NEEDED[self.kind].split()}))
        if self.kind == "quotes":
            needed = set(stamps)
        held: _Batch | None = None
        for piece in self._table.pieces(types, needed):
            self._pieces.append(piece)
            batch = self._batch(piece)
            held = batch if held is None else _joined(held, batch)
            ready, held = self._in_order(held, HELD)
            yield from self._checked(ready)
        if held is not None:
            ready, _ = self._in_order(held, 0)
            yield from self._checked(ready)

    def _batch(self, piece: Piece) -> _Batch:
        size = len(next(iter(piece.columns.values())))
        offsets = np.arange(size) if piece.lines is None else np.array(piece.lines, np.int64)
        lines = offsets + piece.first
        for offset, (fault, reason) in sorted(piece.refused.items()):
            self._refuse(piece.first + offset, fault, reason)
        ts, problems = self._clock.read(self._stamps(piece.columns.__getitem__))
        values: dict[str, Any] = {}
        for field, column in self.columns.items():
            if field != "ts":
                values[field], found = self._values(field, piece.columns[column])
                problems += found
        good = np.ones(size, np.bool_)
        for problem in problems:
            for n in np.flatnonzero(problem.rows & good):
                self._refuse(int(lines[n]), problem.fault, problem.reason)
            good &= ~problem.rows
        if not good.all():
            ts, lines, values = ts[good], lines[good], {name: each[good] for name, each in values.items()}
        if self.kind == "bars":
            ts = ts + self._shift(ts)
        return _Batch(_records(self.kind, ts, values), lines)

    def _values(self, field: str, cells: Any) -> tuple[NDArray[Any], list[Problem]]:
        missing = np.asarray(cells.is_null())
        if field == "side":
            return _sides(cells, missing)
        kind = _type(field)
        if pa.types.is_string(cells.type):
            cells = compute.utf8_trim_whitespace(cells)
        made = cells if cells.type == kind else cast_each(cells, kind)
        strange = np.asarray(made.is_null()) & ~missing
        problems = [Problem(strange, "number", f"its {field} is no number")]
        if field in NEEDED[self.kind].split() and self.kind != "quotes":
            if kind == pa.float64():
                missing = missing | np.isnan(np.asarray(made.fill_null(0.0)))
            problems.append(Problem(missing, "missing", f"its {field} is missing"))
        values = filled(made) if field in _INTEGERS else np.asarray(made.fill_null(np.nan))
        return values, [each for each in problems if each.rows.any()]

    def _in_order(self, batch: _Batch, hold: int) -> tuple[_Batch, _Batch | None]:
        """Return the rows that can go on, times never falling, and those that wait for more."""
        rows, lines = batch
        ts = rows["ts"]
        keep = np.ones(len(ts), np.bool_)
        steps_back = np.flatnonzero(ts[1:] < ts[:-1])
        if steps_back.size or (len(ts) and self._rows and ts[0] < self._last):
            keep = _rising(ts, self._last if self._rows else -(2**63))
            if self.kind != "bars":
                keep |= _briefly_late(rows, keep, self._last if self._rows else -(2**63))
        cut = max(len(ts) - hold, 0)
        bad = np.flatnonzero(~keep[:cut])
        if bad.size:
            behind = np.minimum.accumulate(np.where(keep, ts, 2**63 - 1)[::-1])[::-1]
            for n in bad.tolist():
                fault, where = ("ahead", "after that of rows behind it") if behind[n] < ts[n] else _BACK
                self._refuse(int(lines[n]), fault, f"its time is {where}", int(ts[n]))
        waiting = _Batch(rows[cut:].copy(), lines[cut:]) if hold else None
        kept = np.flatnonzero(keep[:cut])
        return (
            _Batch(rows[:cut], lines[:cut]) if kept.size == cut else _Batch(rows[kept], lines[kept])
        ), waiting

    def _checked(self, batch: _Batch) -> Iterator[Records]:
        rows, lines = batch
        if not len(rows):
            return
        records = rows if self.kind != "quotes" else _as_events(rows)
        if not len(self._states):
            known = self.calendar is not None
            self._states = checks.states(interval=self._interval, sessions=known)
        if self.calendar is not None and self.kind == "bars":
            self.calendar.stamp(records)
        found = checks.check(records, self._states)
        if self.kind == "quotes":  # what is wrong with a side is wrong with its quote
            starts = np.flatnonzero(np.concatenate([[LAST], records["flags"][:-1] & LAST]))
            both = np.bitwise_or.reduceat(found, starts)
            kept = np.repeat(both & checks.REFUSED == 0, np.diff(starts, append=len(records)))
        else:
            both, kept = found, found & checks.REFUSED == 0
        if self.calendar is not None and self.kind == "bars":
            both = self._by_calendar(self.calendar, records, both)
        self._tell(rows, lines, both)
        records = records if kept.all() else records[kept]
        if len(records):
            records["seq"] = np.arange(self._rows, self._rows + len(records))
            self._first = self._first if self._rows else int(records["ts"][0])
            self._rows, self._last = self._rows + len(records), int(records["ts"][-1])
            yield records

    def _by_calendar(
        self, calendar: sessions.Calendar, rows: Records, found: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the faults with gaps where bars are missing by the calendar, whole sessions too."""
        places = np.flatnonzero(found & checks.REFUSED == 0)
        ts = rows["ts"][places]
        before = np.concatenate([[self._last if self._rows else ts[0]], ts])[:-1] if ts.size else ts
        found = found & ~checks.GAP
        for n in np.flatnonzero(ts - before > self._interval):
            if calendar.gap(int(before[n]), int(ts[n]), self._interval):
                found[places[n]] |= checks.GAP
        return found

    # -- what is told -----------------------------------------------------------------------------

    def _tell(self, rows: Records, lines: NDArray[np.int64], found: NDArray[np.int64]) -> None:
        for n in np.flatnonzero(found & checks.REFUSED):
            wrong = [each for code, each in enumerate(checks.FAULTS) if each.refused and found[n] >> code & 1]
            reason = "; ".join(each.sentence for each in wrong)
            self._refuse(int(lines[n]), wrong[0].name, reason, int(rows["ts"][n]))
        kept = found[found & checks.REFUSED == 0]
        if kept.any():
            for code, fault in enumerate(checks.FAULTS):
                if count := int(np.count_nonzero(kept >> code & 1)):
                    self._odd[fault.name] += count

    def _refuse(self, line: int, fault: str, reason: str, time: int | None = None) -> None:
        self._refused[fault] += 1
        if self._quarantine is not None:
            piece = next(each for each in reversed(self._pieces) if each.first <= line)
            self._quarantine.add(self.source, line, fault, reason, piece.raw(line - piece.first), time)

    # -- times ------------------------------------------------------------------------------------

    def _stamps(self, column: Any) -> Any:
        parts = [column(each) for each in self.columns["ts"].split("+")]
        if len(parts) == 1:
            return parts[0]
        texts = [each if pa.types.is_string(each.type) else compute.cast(each, pa.string()) for each in parts]
        return compute.binary_join_element_wise(*texts, " ")

    def _shift(self, ts: NDArray[np.int64]) -> int:
        if not self._interval and len(ts) > 1:
            steps = np.diff(ts)
            sizes, counts = np.unique(steps[steps > 0], return_counts=True)
            self._interval = int(sizes[np.argmax(counts)]) if sizes.size else 0
        if self._is_open and not self._interval:
            told = "one row does not say how long a bar is"
            raise DataError(f"{self.source}: {told}, and it is stamped at its open. Give the interval.")
        return self._interval if self._is_open else 0


def _one_of(source: str, what: str, given: str, allowed: Any) -> None:
    if given not in allowed:
        told = f"{what} was {given!r}, must be {' or '.join(allowed)}"
        raise ConfigError(f"{source}: {told}.{hint(given, allowed)}")


def _type(field: str) -> Any:
    return pa.string() if field == "side" else pa.int64() if field in _INTEGERS else pa.float64()


def _joined(one: _Batch, other: _Batch) -> _Batch:
    rows = empty(one.rows.dtype, len(one.rows) + len(other.rows))
    rows[: len(one.rows)], rows[len(one.rows) :] = one.rows, other.rows
    return _Batch(rows, np.concatenate([one.lines, other.lines]))


def _records(kind: str, ts: NDArray[np.int64], values: dict[str, NDArray[Any]]) -> Records:
    rows = empty(EVENT if kind == "trades" else ROW, len(ts))
    rows["ts"] = ts
    if kind == "trades":
        rows["kind"], rows["flags"] = TRADE, LAST
    else:
        for field in ("volume", "bid", "ask", "bid_size", "ask_size", "buy_volume", "sell_volume"):
            if field not in values:
                rows[field] = np.nan
        session, elapsed = np.divmod(ts - 1, _DAY)  # the UTC day, whose last instant is the next midnight
        rows["session_id"], rows["minute_of_session"] = session, (elapsed + 1) // _MINUTE
        rows["minutes_to_close"] = 1440 - rows["minute_of_session"]
    for field, each in values.items():
        if field in (rows.dtype.names or ()):
            rows[field] = each
    if kind == "quotes" and "local" in values:
        rows["seq"] = values["local"]
    return rows


def _sides(cells: Any, missing: NDArray[np.bool_]) -> tuple[NDArray[Any], list[Problem]]:
    words = compute.utf8_lower(compute.utf8_trim_whitespace(compute.cast(cells, pa.string())))
    buys, sells = (
        np.asarray(compute.is_in(words, pa.array(each)).fill_null(False)) for each in (_BUYS, _SELLS)
    )
    strange = ~(buys | sells | missing)
    problem = Problem(strange, "side", "its side is neither buy nor sell")
    return np.where(buys, BUY, np.where(sells, SELL, 0)), [problem] if strange.any() else []


def _rising(ts: NDArray[np.int64], last: int) -> NDArray[np.bool_]:
    """Return which rows to keep so that times never fall from `last` on, and the most are kept.

    The longest rising subsequence, by patience sorting (Fredman 1975, *On computing the length of longest
    increasing subsequences*).
    """
    tails: list[int] = []
    places: list[int] = []
    before = np.full(len(ts), -1)
    for n, each in enumerate(ts.tolist()):
        if each < last:
            continue
        at = bisect_right(tails, each)
        before[n] = places[at - 1] if at else -1
        if at == len(tails):
            tails.append(each)
            places.append(n)
        else:
            tails[at], places[at] = each, n
    keep = np.zeros(len(ts), np.bool_)
    n = places[-1] if places else -1
    while n >= 0:
        keep[n] = True
        n = int(before[n])
    return keep


def _briefly_late(rows: Records, keep: NDArray[np.bool_], last: int) -> NDArray[np.bool_]:
    """Mark events that came a moment after one of a later time, and give them that one's time."""
    ts = rows["ts"]
    reached = np.maximum.accumulate(np.where(keep, ts, last))
    late = ~keep & (ts < reached) & (ts >= reached - LATEST)
    rows["ts"][late] = reached[late]
    rows["flags"][late] |= BACK
    return late


def _as_events(quotes: Records) -> Records:
    """Return a bid and an ask event for each quote; only one where the other side's price is not told."""
    pairs = np.zeros((len(quotes), 2), EVENT)
    for side, (name, sign) in enumerate((("bid", BUY), ("ask", SELL))):
        made = pairs[:, side]
        made["ts"], made["side"], made["kind"] = quotes["ts"], sign, QUOTE
        made["price"], made["size"] = quotes[name], quotes[f"{name}_size"]
        made["flags"], made["local"] = quotes["flags"], quotes["seq"]
    told = ~np.isnan(pairs["price"])
    told[~told.any(axis=1)] = True
    last = np.where(told[:, 1], 1, 0)
    pairs["flags"][np.arange(len(quotes)), last] |= LAST
    return pairs[told]
