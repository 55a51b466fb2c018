"""The journal of a run: append-only, in SQLite, the truth after a crash.

One process writes, and holds the run's lock while it does; any number may read. Everything of one commit
is written in one transaction with `synchronous=FULL`: nothing counts as having happened before that. Each
commit carries check sums of all that stands in the journal up to it, so that a file of which a single
byte was changed since is not believed.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from attrs import Factory, define, frozen

from nexus_core.errors import JournalError
from nexus_core.interfaces import IStore
from nexus_core.records import CONTEXT, EVENT, OPINION, VERDICT, Records, decisions

FILE, LOCK, REACHED = "journal.db", "lock.db", "reached"
KEPT_SNAPSHOTS = 2
PATIENCE = 10.0
"""Seconds to wait for a file that somebody else has locked."""

_TABLES = """
create table commits (
    seq integer primary key, tick integer not null, ts integer not null, events integer not null,
    decisions integer not null, run_hash text not null, sums text not null);
create table events (seq integer primary key, ts integer not null, record blob not null);
create table approvals (
    seq integer primary key, order_id integer not null unique, content blob not null,
    sent integer not null default 0);
create table inputs (seq integer primary key, tick integer not null, record blob not null, why text not null);
create table traces (
    seq integer primary key, first integer not null, last integer not null,
    decisions blob not null, verdicts blob not null, opinions blob not null);
create table snapshots (
    seq integer primary key, tick integer not null, state blob not null, crc integer not null);
"""

_SUMMED = {
    "commits": "seq, tick, ts, events, decisions, run_hash",
    "events": "record",
    "approvals": "order_id, content",
    "inputs": "tick, record, why",
    "traces": "decisions, verdicts, opinions",
}
"""The columns that go into each table's check sum."""

_BROKEN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB}
"""What SQLite says of a file that is not what was written; all else lies in the machine around it."""

_MARK = 0x4E580000
"""What the file says beside its schema, that many more."""

_LEAST = 512
"""A shorter file is to SQLite an empty one, which it fills."""

MIGRATIONS: Sequence[str] = (_TABLES,)
"""What takes a journal of schema n to n + 1; the first makes one out of nothing."""


class DamagedError(JournalError):
    """The journal's file is not what was written to it."""


@frozen
class Input:
    """Something that came from outside, and stands in the journal where it was applied."""

    tick: int
    record: bytes
    why: str


Trace = tuple[Records, Records, Records]
"""Decisions with all their verdicts and all their opinions."""


@define
class Batch:
    """What one commit writes. Records are copies: the engine's buffers go on being written."""

    tick: int
    """Number of the first tick that is not yet in the journal after this commit."""
    ts: int
    run_hash: str
    decisions: int
    """How many decisions the run has made so far."""
    events: list[Records] = Factory(list[Records])
    traces: list[Trace] = Factory(list[Trace])
    inputs: list[Input] = Factory(list[Input])
    approvals: list[tuple[int, bytes]] = Factory(list[tuple[int, bytes]])
    """Order and content hash of what a venue is to be sent."""
    snapshot: bytes | None = None


@frozen
class Commit:
    """One line of the journal: how far the run was, and the run hash there."""

    seq: int
    tick: int
    ts: int
    events: int
    decisions: int
    run_hash: str


class Journal(IStore, AbstractContextManager["Journal"]):
    """The journal of one run, open for writing or for reading."""

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self.folder, self._write = folder, write
        if not write and not (folder / FILE).is_file():
            raise _unbegun(folder)
        with ExitStack() as opened:
            if write:
                _lock(folder, opened)
            with self._careful():
                if (folder / FILE).exists() and 0 < (size := (folder / FILE).stat().st_size) < _LEAST:
                    raise self._damaged(f"it was cut to {size} bytes")
                self._db = opened.enter_context(closing(_connected(folder / FILE, write)))
                if write:
                    self._db.executescript("pragma journal_mode=wal; pragma synchronous=full")
                _migrate(self._db, folder, write)
                self._seq, self._events, self._sums = self._standing()
            self._reached = reached(folder)
            self._opened = opened.pop_all()

    # -- writing ----------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> int:
        """Write a batch whole, wait until it is on the disk, and return its sequence number."""
        seq, events = self._seq + 1, self._events + sum(len(each) for each in batch.events)
        sums = dict(self._sums)
        # the connection commits at the end of the block, or rolls back
        with self._careful(), self._db:
            self._mark(batch.tick)
            self._db.execute("begin immediate")
            self._insert(seq, batch, sums)
            line = (seq, batch.tick, batch.ts, events, batch.decisions, batch.run_hash)
            _add(sums, "commits", line)
            self._db.execute("insert into commits values (?,?,?,?,?,?,?)", (*line, json.dumps(sums)))
        self._seq, self._events, self._sums = seq, events, sums
        return seq

    def _mark(self, tick: int) -> None:
        # written over in place, by one call: a kill leaves the old number or the new one
        if tick > self._reached:
            file = os.open(self.folder / REACHED, os.O_WRONLY | os.O_CREAT, 0o644)
            with open(file, "wb", buffering=0) as stream:
                stream.write(b"%020d" % tick)
            self._reached = tick

    def _insert(self, seq: int, batch: Batch, sums: dict[str, int]) -> None:
        run = self._db.execute
        for records in batch.events:
            raw = records.tobytes()
            _add(sums, "events", (raw,))
            each_raw = np.frombuffer(raw, f"V{records.itemsize}").tolist()
            rows = zip(records["seq"].tolist(), records["ts"].tolist(), each_raw, strict=True)
            self._db.executemany("insert into events values (?,?,?)", rows)
        for trace in batch.traces:
            if len(times := trace[0]["ts"]):
                parts = [records.tobytes() for records in trace]
                _add(sums, "traces", parts)
                row = (int(times.min()), int(times.max()), *parts)
                run("insert into traces values (null,?,?,?,?,?)", row)
        for each in batch.inputs:
            _add(sums, "inputs", (each.tick, each.record, each.why))
            run("insert into inputs values (null,?,?,?)", (each.tick, each.record, each.why))
        for approval in batch.approvals:
            _add(sums, "approvals", approval)
            run("insert into approvals (order_id, content) values (?,?)", approval)
        if batch.snapshot is not None:
            state, kept = batch.snapshot, "select seq from snapshots order by seq desc limit ?"
            run("insert into snapshots values (?,?,?,?)", (seq, batch.tick, state, crc32(state, batch.tick)))
            run(f"delete from snapshots where seq not in ({kept})", (KEPT_SNAPSHOTS,))

    def mark_sent(self, order: int, content: bytes) -> bool:
        """Mark a committed approval as sent, on the disk; False where none of that content is left unsent."""
        query = "update approvals set sent = 1 where order_id = ? and content = ? and sent = 0"
        with self._careful():
            return self._db.execute(query, (order, content)).rowcount == 1

    # -- reading ----------------------------------------------------------------------------------

    def approval(self, order: int) -> tuple[bytes, bool] | None:
        """Return an order's approved content and whether it was sent, or None where it was never approved."""
        query = "select content, sent from approvals where order_id = ?"
        return next(((content, bool(sent)) for content, sent in self._rows(query, order)), None)

    def last(self) -> Commit | None:
        """Return the newest commit, or None in a new journal."""
        return next(self.commits(newest_first=True), None)

    def commits(self, newest_first: bool = False) -> Iterator[Commit]:
        """Yield every commit in order, or the newest first."""
        order = "desc" if newest_first else "asc"
        query = f"select {_SUMMED['commits']} from commits order by seq {order}"
        return (Commit(*row) for row in self._rows(query))

    def events(self, first: int = 1, last: int | None = None) -> Records:
        """Return events `first` to `last` by sequence number, both included."""
        query = "select cast(record as blob) from events where seq between ? and ? order by seq"
        rows = self._rows(query, first, 2**62 if last is None else last)
        return self._read(b"".join(row[0] for row in rows), EVENT)

    def traces(
        self, newest_first: bool = False, at: int | None = None, fields: Sequence[str] = (*CONTEXT,)
    ) -> Iterator[Trace]:
        """Yield decisions, verdicts and opinions, a block at a time; `at` keeps the blocks around a time.

        `fields` are those of the context that the run's decisions have, as its manifest says.
        """
        kind = decisions(fields)
        blobs = ", ".join(f"cast({each} as blob)" for each in ("decisions", "verdicts", "opinions"))
        order = "desc" if newest_first else "asc"
        query = f"select {blobs} from traces where ifnull(? between first and last, 1) order by seq {order}"
        for row in self._rows(query, at):
            yield self._read(row[0], kind), self._read(row[1], VERDICT), self._read(row[2], OPINION)

    def inputs(self) -> list[Input]:
        """Return everything that came from outside, in order."""
        return [Input(*row) for row in self._rows("select tick, record, why from inputs order by seq")]

    def snapshot(self) -> tuple[int, bytes] | None:
        """Return the newest snapshot with the number of the first tick after it."""
        query = "select tick, state, crc from snapshots order by seq desc limit 1"
        for tick, state, crc in self._rows(query):
            if crc32(state, tick) != crc:
                raise self._damaged("its newest snapshot was altered")
            return int(tick), bytes(state)
        return None

    def check(self) -> None:
        """Raise DamagedError unless every byte is as it was written."""
        for (said,) in self._rows("pragma quick_check(1)"):
            if said != "ok":
                raise self._damaged(" ".join(said.split()))
        for table, columns in _SUMMED.items():
            sums = dict.fromkeys(_SUMMED, 0)
            for row in self._rows(f"select {columns} from {table} order by seq"):
                _add(sums, table, row)
            if sums[table] != self._sums[table]:
                raise self._damaged(f"its {table} are not those that were written")
        for held, newest in self._rows("select count(*), ifnull(max(seq), 0) from events"):
            if (held, newest) != (self._events, self._events):
                raise self._damaged(f"it has {held} events up to {newest}, and should have {self._events}")
        self.snapshot()

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._opened.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- believing it -----------------------------------------------------------------------------

    def _rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        with self._careful():
            for row in self._db.execute(query, values):
                if None in row:
                    raise self._damaged("a value is missing")
                yield row

    def _read(self, raw: bytes, dtype: np.dtype[np.void]) -> Records:
        if len(raw) % dtype.itemsize:
            raise self._damaged("a record is not whole")
        return np.frombuffer(raw, dtype)

    def _standing(self) -> tuple[int, int, dict[str, int]]:
        query = "select seq, events, sums from commits order by seq desc limit 1"
        for seq, events, sums in self._rows(query):
            try:
                read: dict[str, int] = json.loads(sums)
                return seq, events, {table: read[table] for table in _SUMMED}
            except (ValueError, KeyError, TypeError) as error:
                raise self._damaged("its newest commit has no check sums") from error
        return 0, 0, dict.fromkeys(_SUMMED, 0)

    @contextmanager
    def _careful(self) -> Generator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise self._damaged("it holds text that is none") from error
        except (sqlite3.Error, OSError) as error:
            # a column of text that is none comes without a code
            unnamed = sqlite3.SQLITE_CORRUPT if isinstance(error, sqlite3.OperationalError) else 0
            if getattr(error, "sqlite_errorcode", unnamed) & 0xFF in _BROKEN:
                raise self._damaged(str(error)) from error
            name, what = self.folder.name, f"read ({error}). See what holds or hides it, then try again."
            if self._write:
                advice = f"make room, lift the lock or get the right to write, then nexus run --resume {name}"
                what = f"written ({error}). Nothing of this block counts as done; {advice}."
            raise JournalError(f"{name}: the journal could not be {what}") from error

    def _damaged(self, what: str) -> DamagedError:
        name = self.folder.name
        advice = "" if self._write else f" nexus run --resume {name} puts it aside and plays the run again."
        return DamagedError(f"{name}: the journal is damaged ({what}).{advice}")


def _add(sums: dict[str, int], table: str, values: Sequence[Any]) -> None:
    for value in values:
        sums[table] = crc32(value if isinstance(value, bytes) else f"{value} ".encode(), sums[table])


def _connected(path: Path, write: bool) -> sqlite3.Connection:
    if write:
        return sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    # without a folder to write in, no helper file can be made; without a log of changes, none is needed
    still = not os.access(path.parent, os.W_OK) and not path.with_name(f"{FILE}-wal").exists()
    uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)


def _migrate(db: sqlite3.Connection, folder: Path, write: bool) -> None:
    version, newest = db.execute("pragma user_version").fetchone()[0], len(MIGRATIONS)
    if version and db.execute("pragma application_id").fetchone()[0] != _MARK + version:
        raise sqlite3.OperationalError("its schema is none of ours")
    name = folder.name
    found = f"{name}: the journal has schema {version}, this Nexus"
    if version > newest:
        raise JournalError(f"{found} knows {newest}. Upgrade nexus-core.")
    if version == 0 and not write:
        raise _unbegun(folder)
    if version < newest and not write:
        raise JournalError(f"{found} writes {newest}. Bring it up to date with nexus run --resume {name}.")
    for number in range(version, newest):
        marks = f"pragma user_version = {number + 1};pragma application_id = {_MARK + number + 1}"
        db.executescript(f"begin immediate;{MIGRATIONS[number]};{marks};commit;")


def _unbegun(folder: Path) -> JournalError:
    name = folder.name
    return JournalError(f"{name}: has no journal in {folder} yet. Begin it with nexus run --resume {name}.")


def _lock(folder: Path, opened: ExitStack) -> None:
    # a lock of its own leaves readers free, and goes with the process that held it
    try:
        lock = sqlite3.connect(folder / LOCK, isolation_level=None, timeout=0.2)
        opened.enter_context(closing(lock)).execute("begin exclusive")
    except sqlite3.Error as error:
        why = "another process is writing this run. Stop it first."
        if not is_busy(error):
            advice = "Give yourself the right to write there, or name another folder with --out."
            why = f"no journal can be written in {folder} ({error}). {advice}"
        raise JournalError(f"{folder.name}: {why}") from error


def reached(folder: Path) -> int:
    """Return the tick that the run's commits reached at the most, even if its journal cannot be read."""
    with suppress(OSError, ValueError):
        return int((folder / REACHED).read_bytes())
    return 0


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether an error of SQLite says that somebody else holds the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def set_aside(folder: Path) -> Path:
    """Move a damaged journal out of the way, and return where it lies now."""
    aside = next(path for n in count(1) if not (path := folder / f"{FILE}.damaged-{n}").exists())
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            (folder / f"{FILE}{ending}").rename(f"{aside}{ending}")
    return aside


# -- snapshots --------------------------------------------------------------------------------------


def pack(states: Mapping[str, tuple[Any, str]]) -> bytes:
    """Return records as bytes, each with its name, layout and the hash of the code it belongs to."""
    head = {name: [_layout(array), list(array.shape), code] for name, (array, code) in states.items()}
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array, _ in states.values())


def unpack(packed: bytes, states: Mapping[str, tuple[Any, str]]) -> list[str]:
    """Fill the records from bytes made by `pack`; return the names whose layout or code has changed since.

    Those are left as they are: a state is rebuilt by replay, never cast.
    """
    size = int.from_bytes(packed[:8], "little")
    at, foreign = 8 + size, dict.fromkeys(states)
    for name, (layout, shape, code) in json.loads(packed[8 : 8 + size]).items():
        array, wanted = states.get(name, (None, ""))
        if array is not None and (layout, shape, code) == (_layout(array), list(array.shape), wanted):
            array[...] = np.frombuffer(packed, array.dtype, array.size, at).reshape(shape)
            del foreign[name]
        at += int(layout.split(" ", 1)[0]) * math.prod(shape)
    return list(foreign)


def _layout(array: Any) -> str:
    return f"{array.itemsize} {array.dtype!r}"
