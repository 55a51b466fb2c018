"""The catalog: series of bars and events in a folder, as checked Parquet files and an index.

    FOLDER/index.sqlite
    FOLDER/BTC-USD/bars-60s/2024-08-3f0c…ab.parquet

A file holds at most `PART` records of one period and is never changed: a change writes new files, then the
index in one transaction, then removes the files that are out of it. So whatever dies when, the index names
whole files only, and what lies beside them is removed at the next import.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_catalog import coding, merge
from nexus_catalog.index import Index
from nexus_catalog.series import Series
from nexus_catalog.splits import BEGIN, END, OPEN, PARTS, Splits, cut
from nexus_core.errors import DataError, NotFoundError, UsageError, hint
from nexus_core.types import iso

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

    from nexus_core.records import Records

PART = 2**20
"""Records of a file at most, but for a single time that has more."""


@dataclass(slots=True)
class Added:
    """What an import did: records given, records that were new, and whether the source was known before."""

    rows: int = 0
    added: int = 0
    known: bool = False


@dataclass(slots=True)
class Facts:
    """What the index says of a series. Times are in nanoseconds UTC, both None where there is no record."""

    series: Series
    rows: int
    first: int | None
    last: int | None
    bytes: int
    files: int
    splits: Splits | None
    sources: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)


class Catalog:
    """The series kept in a folder, which is made at the first import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = Index(folder)

    def add(
        self,
        series: Series,
        chunks: Iterable[Records],
        source: str,
        sha256: str = "",
        faults: Mapping[str, int] | None = None,
    ) -> Added:
        """Import records in the order of time, all of them or, where anything raises, none.

        A source of a `sha256` that the series has had is not read again. `faults`, by name and count, is
        looked at after the last chunk. The first import cuts the series into its splits.
        """
        done = Added()
        with self._index.changing() as db:
            if sha256 and _known(db, series, sha256):
                return Added(known=True)
            self._sweep(db, series)
            for piece in merge.pieces(series, iter(chunks), PART):
                done.rows += len(piece)
                done.added += self._put(db, series, piece)
            if not done.rows:
                raise DataError(f"{source}: has no record that could be kept. Look at its faults.")
            _cut_once(db, series)
            row = (series.name, source, sha256, _now(), done.rows, done.added, json.dumps(dict(faults or {})))
            db.execute("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        with self._index.changing() as db:
            self._sweep(db, series)
        return done

    def facts(self) -> list[Facts]:
        """Return what there is, by name of the series."""
        with self._index.reading() as db:
            return [_facts(db, each["name"]) for each in db.execute("SELECT name FROM series ORDER BY name")]

    def find(self, name: str) -> Facts:
        """Return what the index says of one series."""
        with self._index.reading() as db:
            known = [each["name"] for each in db.execute("SELECT name FROM series ORDER BY name")]
            if name not in known:
                raise NotFoundError(
                    f"{name} is not in the catalog {self.folder}.{hint(name, known)} "
                    "See nexus data list, or bring it in with nexus data import."
                )
            return _facts(db, name)

    def read(
        self, name: str, part: str = OPEN, first: int = BEGIN + 1, last: int = END, symbol: int = 0
    ) -> Iterator[Records]:
        """Yield the records of a split from time `first` to `last`, both in, in chunks, as of index `symbol`.

        The part is calibrate, choose, or open for both. The final part is not read by this call.
        """
        splits = self.find(name).splits
        if part == "final" or splits is None:
            raise UsageError(f"{name}: the final split is sealed. Say who reads it and why: Catalog.final.")
        after, to = splits.span(part)
        return self._records(name, max(after, first - 1), min(to, last), symbol)

    def final(
        self,
        name: str,
        why: str,
        who: str = "",
        first: int = BEGIN + 1,
        last: int = END,
        symbol: int = 0,
    ) -> Iterator[Records]:
        """Yield the records of the final split. The reading is counted in the index, with who and why."""
        splits = self.find(name).splits
        if not why.strip() or splits is None:
            raise UsageError(f"{name}: a reading of the final split needs its reason.")
        after, to = splits.span("final")
        span = max(after, first - 1), min(to, last)
        with self._index.changing() as db:
            row = (name, _now(), who or _user(), why, span[0] + 1, span[1])
            db.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)", row)
        return self._records(name, *span, symbol)

    def counts(self, name: str) -> dict[str, int]:
        """Return how many records each part has; only files that a cut goes through are opened for it."""
        splits = self.find(name).splits
        if splits is None:
            return dict.fromkeys(PARTS, 0)
        with self._index.reading() as db:
            files = _overlapping(db, name, BEGIN, END)
        made = {}
        for part in PARTS:
            after, to = splits.span(part)
            whole = [each for each in files if after < each["first"] and each["last"] <= to]
            cut = [
                each for each in files if each not in whole and each["last"] > after and each["first"] <= to
            ]
            parted = (len(rows) for each in cut for rows in self._decoded(each, Series.of(name), after, to))
            made[part] = sum(each["rows"] for each in whole) + sum(parted)
        return made

    def files(self, name: str) -> list[dict[str, Any]]:
        """Return the files of a series by time: path, sha256, rows, first and last time in ns."""
        self.find(name)
        with self._index.reading() as db:
            found = [dict(each) for each in _overlapping(db, name, BEGIN, END)]
        return [{key: each[key] for key in ("path", "sha256", "rows", "first", "last")} for each in found]

    def every(self, name: str) -> Iterator[Records]:
        """Yield all records, the sealed ones among them, for checks of their quality; nothing is counted."""
        self.find(name)
        return self._records(name, BEGIN, END, 0)

    def _records(self, name: str, after: int, to: int, symbol: int) -> Iterator[Records]:
        with self._index.reading() as db:
            files = _overlapping(db, name, after + 1, to)
        for each in files:
            yield from self._decoded(each, Series.of(name), after, to, symbol)

    def _decoded(
        self, file: sqlite3.Row, series: Series, after: int = BEGIN, to: int = END, symbol: int = 0
    ) -> Iterator[Records]:
        path = self.folder / file["path"]
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise DataError(
                f"{path} is gone: an import has just replaced it, or somebody removed it. Read again; if it "
                "stays away, import its sources again into a new catalog."
            ) from error
        if hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise DataError(
                f"{path} is not what was written: its sha256 differs from the index. Restore it from a copy, "
                "or import its sources again into a new catalog."
            )
        yield from coding.decode(data, series.record, symbol, after, to)

    def _put(self, db: sqlite3.Connection, series: Series, piece: Records) -> int:
        """Keep records of one period beside those it has; return how many were new."""
        first, last = int(piece["ts"][0]), int(piece["ts"][-1])
        period = series.period_of(iso(first))
        touched = _overlapping(db, series.name, first, last) or _room_before(
            db, series, period, first, len(piece)
        )
        if not touched:
            self._write(db, series, period, piece)
            return len(piece)
        kept = merge.joined([each for file in touched for each in self._decoded(file, series)])
        both = merge.merged(series, kept, piece)
        if both is not kept:
            db.executemany("DELETE FROM files WHERE path = ?", [(each["path"],) for each in touched])
            for part in merge.pieces(series, iter([both]), PART):
                self._write(db, series, period, part)
        return len(both) - len(kept)

    def _write(self, db: sqlite3.Connection, series: Series, period: str, records: Records) -> None:
        data = coding.encode(records)
        digest = hashlib.sha256(data).hexdigest()
        folder = self.folder / series.folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{period.replace(':', '')}-{digest[:16]}.parquet"
        with open(path, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        first, last = int(records["ts"][0]), int(records["ts"][-1])
        at = path.relative_to(self.folder).as_posix()
        row = (at, series.name, period, len(records), first, last, len(data), digest)
        db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _sweep(self, db: sqlite3.Connection, series: Series) -> None:
        """Remove the files of a series that are not, or no longer, in the index."""
        # of all series: where case means nothing to the file system, btc and BTC share a folder
        named = {row["path"].casefold() for row in db.execute("SELECT path FROM files")}
        for path in (self.folder / series.folder).glob("*.parquet"):
            if path.relative_to(self.folder).as_posix().casefold() not in named:
                path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _overlapping(db: sqlite3.Connection, name: str, first: int, last: int) -> list[sqlite3.Row]:
    query = "SELECT * FROM files WHERE series = ? AND last >= ? AND first <= ? ORDER BY first"
    return db.execute(query, (name, first, last)).fetchall()


def _room_before(
    db: sqlite3.Connection, series: Series, period: str, first: int, size: int
) -> list[sqlite3.Row]:
    """Return the file before a time, if it is of the same period and has room for more."""
    query = "SELECT * FROM files WHERE series = ? AND period = ? AND last < ? ORDER BY last DESC LIMIT 1"
    found = db.execute(query, (series.name, period, first)).fetchall()
    return [each for each in found if each["rows"] + size <= PART]


def _known(db: sqlite3.Connection, series: Series, sha256: str) -> bool:
    query = "SELECT 1 FROM sources WHERE series = ? AND sha256 = ?"
    return db.execute(query, (series.name, sha256)).fetchone() is not None


def _cut_once(db: sqlite3.Connection, series: Series) -> None:
    row = db.execute("SELECT MIN(first), MAX(last) FROM files WHERE series = ?", (series.name,)).fetchone()
    made = cut(*row)
    values = (series.name, made.calibrate_to, made.choose_to)
    db.execute("INSERT OR IGNORE INTO series VALUES (?, ?, ?)", values)


def _facts(db: sqlite3.Connection, name: str) -> Facts:
    total = "SELECT TOTAL(rows), MIN(first), MAX(last), TOTAL(bytes), COUNT(*) FROM files WHERE series = ?"
    rows, first, last, size, files = db.execute(total, (name,)).fetchone()
    cuts = db.execute("SELECT calibrate_to, choose_to FROM series WHERE name = ?", (name,)).fetchone()
    found = Facts(Series.of(name), int(rows), first, last, int(size), files, Splits(*cuts) if cuts else None)
    for each in db.execute("SELECT * FROM sources WHERE series = ? ORDER BY at", (name,)):
        found.sources.append({**each, "faults": json.loads(each["faults"])})
    for each in db.execute("SELECT * FROM readings WHERE series = ? ORDER BY at", (name,)):
        found.readings.append(dict(each))
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
