"""The journal of a run: append-only, in SQLite, the truth after a crash.

One process writes, and holds the run's lock while it does; any number may read. Everything of one commit
is written in one transaction with `synchronous=FULL`: nothing counts as having happened before that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from attrs import Factory, define, frozen

from nexus_core.errors import JournalError
from nexus_core.records import DECISION, EVENT, OPINION, VERDICT, Records

FILE, LOCK = "journal.db", "lock.db"
KEPT_SNAPSHOTS = 2

_TABLES = """
create table meta (key text primary key, value text not null) without rowid;
create table commits (
    seq integer primary key, tick integer not null, ts integer not null,
    events integer not null, decisions integer not null, run_hash text not null);
create table events (seq integer primary key, commit_seq integer not null, ts integer not null, record blob not null);
create table approvals (order_id integer primary key, content blob not null, sent integer not null default 0);
create table inputs (seq integer primary key, tick integer not null, record blob not null, why text not null);
create table traces (
    seq integer primary key, commit_seq integer not null, first integer not null, last integer not null,
    decisions blob not null, verdicts blob not null, opinions blob not null);
create table snapshots (seq integer primary key, tick integer not null, state blob not null);
"""

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


@define
class Batch:
    """What one commit writes. Records are copies: the engine's buffers go on being written."""

    tick: int
    """Number of the first tick that is not yet in the journal after this commit."""
    ts: int
    run_hash: str
    decisions: int
    """How many decisions the run has made so far."""
    events: list[Records] = Factory(list)
    traces: list[tuple[Records, Records, Records]] = Factory(list)
    inputs: list[Input] = Factory(list)
    approvals: list[tuple[int, bytes]] = Factory(list)
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


class Journal:
    """The journal of one run, open for writing or for reading."""

    def __init__(self, folder: Path, *, write: bool = False) -> None:
        self.folder, self._write = folder, write
        if not write and not (folder / FILE).is_file():
            raise JournalError(f"{folder.name}: has no journal in {folder}.")
        self._lock = _locked(folder) if write else None
        self._db = self._open(folder / FILE)
        self._seq = self._events = 0
        if write:
            last = self.last()
            self._seq, self._events = (last.seq, last.events) if last else (0, 0)

    # -- writing ----------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> int:
        """Write a batch whole, wait until it is on the disk, and return its sequence number."""
        seq, events = self._seq + 1, self._events + sum(len(each) for each in batch.events)
        try:
            self._db.execute("begin immediate")
            self._insert(seq, events, batch)
            self._db.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("rollback")
            raise JournalError(
                f"{self.folder.name}: the journal could not be written ({error}). Nothing of this block counts as "
                "done; make room or lift the lock, then go on with --resume."
            ) from error
        self._seq, self._events = seq, events
        return seq

    def _insert(self, seq: int, events: int, batch: Batch) -> None:
        run = self._db.execute
        run("insert into commits values (?,?,?,?,?,?)",
            (seq, batch.tick, batch.ts, events, batch.decisions, batch.run_hash))  # fmt: skip
        for records in batch.events:
            size, raw, first = (
                records.itemsize,
                records.tobytes(),
                int(records["seq"][0]) if len(records) else 0,
            )
            times = records["ts"].tolist()
            self._db.executemany(
                "insert into events values (?,?,?,?)",
                [(first + n, seq, ts, raw[n * size : (n + 1) * size]) for n, ts in enumerate(times)],
            )
        for decisions, verdicts, opinions in batch.traces:
            if len(decisions):
                parts = (decisions.tobytes(), verdicts.tobytes(), opinions.tobytes())
                span = (int(decisions["ts"].min()), int(decisions["ts"].max()))
                run("insert into traces values (null,?,?,?,?,?,?)", (seq, *span, *parts))
        self._db.executemany(
            "insert into inputs values (null,?,?,?)",
            [(each.tick, each.record, each.why) for each in batch.inputs],
        )
        self._db.executemany("insert into approvals (order_id, content) values (?,?)", batch.approvals)
        if batch.snapshot is not None:
            run("insert into snapshots values (?,?,?)", (seq, batch.tick, batch.snapshot))
            run("delete from snapshots where seq not in (select seq from snapshots order by seq desc limit ?)",
                (KEPT_SNAPSHOTS,))  # fmt: skip

    def mark_sent(self, order: int, content: bytes) -> bool:
        """Mark a committed approval as sent, on the disk; False where none of that content is left unsent."""
        done = self._db.execute(
            "update approvals set sent = 1 where order_id = ? and content = ? and sent = 0", (order, content)
        )
        return done.rowcount == 1

    def approval(self, order: int) -> tuple[bytes, bool] | None:
        """Return an order's approved content and whether it was sent, or None where it was never approved."""
        row = self._db.execute("select content, sent from approvals where order_id = ?", (order,)).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    # -- reading ----------------------------------------------------------------------------------

    def last(self) -> Commit | None:
        """Return the newest commit, or None in a new journal."""
        row = self._db.execute("select * from commits order by seq desc limit 1").fetchone()
        return None if row is None else Commit(*row)

    def commits(self) -> Iterator[Commit]:
        """Yield every commit in order."""
        for row in self._db.execute("select * from commits order by seq"):
            yield Commit(*row)

    def events(self, first: int = 1, last: int | None = None) -> Records:
        """Return events `first` to `last` by sequence number, both included."""
        rows = self._db.execute(
            "select record from events where seq >= ? and seq <= ? order by seq",
            (first, 2**62 if last is None else last),
        )
        return np.frombuffer(b"".join(row[0] for row in rows), EVENT)

    def traces(
        self, newest_first: bool = False, at: int | None = None
    ) -> Iterator[tuple[Records, Records, Records]]:
        """Yield decisions with their verdicts and opinions, a block at a time; `at` keeps those around a time."""
        where, values = ("where first <= ? and last >= ?", (at, at)) if at is not None else ("", ())
        order = "desc" if newest_first else "asc"
        query = f"select decisions, verdicts, opinions from traces {where} order by seq {order}"
        for decisions, verdicts, opinions in self._db.execute(query, values):
            yield (
                np.frombuffer(decisions, DECISION),
                np.frombuffer(verdicts, VERDICT),
                np.frombuffer(opinions, OPINION),
            )

    def inputs(self) -> list[Input]:
        """Return everything that came from outside, in order."""
        return [Input(*row) for row in self._db.execute("select tick, record, why from inputs order by seq")]

    def snapshot(self) -> tuple[int, bytes] | None:
        """Return the newest snapshot with the number of the first tick after it."""
        return self._db.execute("select tick, state from snapshots order by seq desc limit 1").fetchone()

    def meta(self, key: str) -> str | None:
        """Return a fact about the journal."""
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def check(self) -> None:
        """Raise DamagedError unless the file is whole and its counts agree."""
        try:
            told = self._db.execute("pragma quick_check").fetchone()[0]
            last = self.last()
            counts = self._db.execute(
                "select (select count(*) from commits), (select count(*) from events), (select max(seq) from events)"
            ).fetchone()
        except sqlite3.DatabaseError as error:
            raise DamagedError(f"{self.folder.name}: the journal cannot be read ({error}).") from error
        expected = (last.seq, last.events, last.events or None) if last else (0, 0, None)
        if told != "ok" or counts != expected:
            raise DamagedError(
                f"{self.folder.name}: the journal is damaged ({told}; {counts} for {expected})."
            )

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- opening ----------------------------------------------------------------------------------

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            if self._write:
                db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
                db.execute("pragma journal_mode=wal")
                db.execute("pragma synchronous=full")
            else:
                db = sqlite3.connect(
                    f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10.0
                )
            _migrate(db, path, self._write)
        except sqlite3.DatabaseError as error:
            self._give_up()
            raise DamagedError(
                f"{path.parent.name}: the journal {path} cannot be opened ({error})."
            ) from error
        except JournalError:
            self._give_up()
            raise
        return db

    def _give_up(self) -> None:
        if self._lock is not None:
            self._lock.close()


def _migrate(db: sqlite3.Connection, path: Path, write: bool) -> None:
    version, newest = db.execute("pragma user_version").fetchone()[0], len(MIGRATIONS)
    if version > newest:
        raise JournalError(
            f"{path.parent.name}: the journal has schema {version}, this Nexus knows {newest}. Upgrade nexus-core."
        )
    if version == newest:
        return
    if not write:
        raise JournalError(
            f"{path.parent.name}: the journal has schema {version}, this Nexus writes {newest}. "
            "Bring it up to date with nexus run --resume."
        )
    for number in range(version, newest):
        db.executescript(f"begin immediate;{MIGRATIONS[number]};pragma user_version = {number + 1};commit;")


def _locked(folder: Path) -> sqlite3.Connection:
    # a lock of its own leaves readers free, and goes with the process that held it
    try:
        lock = sqlite3.connect(folder / LOCK, isolation_level=None, timeout=0.2)
    except sqlite3.Error as error:
        raise JournalError(f"{folder.name}: no journal can be written in {folder} ({error}).") from error
    try:
        lock.execute("begin exclusive")
    except sqlite3.DatabaseError as error:
        lock.close()
        if "locked" in str(error):
            raise JournalError(
                f"{folder.name}: another process is writing this run. Stop it first."
            ) from error
        raise JournalError(f"{folder.name}: the lock {folder / LOCK} cannot be taken ({error}).") from error
    return lock


def is_going(folder: Path) -> bool:
    """Tell whether some process is writing this run."""
    if not (folder / LOCK).is_file():
        return False
    with closing(sqlite3.connect(folder / LOCK, isolation_level=None, timeout=0.0)) as lock:
        try:
            lock.execute("begin exclusive")
        except sqlite3.OperationalError:
            return True
    return False


def set_aside(folder: Path) -> Path:
    """Move a damaged journal out of the way, and return where it lies now."""
    number = 1
    while (folder / f"{FILE}.damaged-{number}").exists():
        number += 1
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            (folder / f"{FILE}{ending}").rename(folder / f"{FILE}.damaged-{number}{ending}")
    return folder / f"{FILE}.damaged-{number}"


# -- snapshots --------------------------------------------------------------------------------------


def pack(states: Mapping[str, tuple[Any, str]]) -> bytes:
    """Return records as bytes, each with its name, layout and the hash of the code it belongs to."""
    head = {name: [_layout(array), list(array.shape), code] for name, (array, code) in states.items()}
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array, _ in states.values())


def unpack(packed: bytes, states: Mapping[str, tuple[Any, str]]) -> list[str]:
    """Fill the records from bytes made by `pack`; return the names whose layout or code is no longer the same.

    Those are left as they are: a state is rebuilt by replay, never cast.
    """
    size = int.from_bytes(packed[:8], "little")
    at, foreign = 8 + size, dict.fromkeys(states)
    for name, (layout, shape, code) in json.loads(packed[8 : 8 + size]).items():
        array, wanted = states.get(name, (None, ""))
        length = _length(layout, shape)
        if array is not None and (layout, shape, code) == (_layout(array), list(array.shape), wanted):
            array[...] = np.frombuffer(packed, array.dtype, array.size, at).reshape(shape)
            del foreign[name]
        at += length
    return list(foreign)


def _layout(array: Any) -> str:
    return f"{array.itemsize} {array.dtype!r}"


def _length(layout: str, shape: Sequence[int]) -> int:
    return int(layout.split(" ", 1)[0]) * int(np.prod(shape, dtype=np.int64))
