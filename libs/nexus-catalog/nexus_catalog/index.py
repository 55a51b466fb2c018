"""The catalog's index: one SQLite file that says which series there are, in which files, cut and read how.

A change is one transaction, begun before anything is read, so two processes change it one after another and
a process that dies has changed nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from nexus_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "index.sqlite"
WAIT = 60.0
"""Seconds to wait for another process that changes the catalog."""

_VERSION = 1
_NOWHERE = ":memory:"
_TABLES = """
CREATE TABLE series (name TEXT PRIMARY KEY, calibrate_to INTEGER, choose_to INTEGER);
CREATE TABLE files (
    path TEXT PRIMARY KEY, series TEXT, period TEXT, rows INTEGER,
    first INTEGER, last INTEGER, bytes INTEGER, sha256 TEXT
);
CREATE INDEX by_time ON files (series, first);
CREATE TABLE sources (
    series TEXT, source TEXT, sha256 TEXT, at TEXT, rows INTEGER, added INTEGER, faults TEXT
);
CREATE TABLE readings (
    series TEXT, at TEXT, who TEXT, why TEXT, first INTEGER, last INTEGER
);
"""


class Index:
    """The index in a folder; made at the first change."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open it to be read, as of one moment; an empty one stands for one not made yet."""
        # writable even so: what a process that died in the midst of a change left is undone on opening
        address = f"{self.path.resolve().as_uri()}?mode=rw" if self.path.exists() else _NOWHERE
        with self._told(), closing(_connected(address)) as db:
            db.execute("BEGIN")
            if self._is_made(db):
                yield db
                return
        self._refuse_lost()
        with closing(_connected(_NOWHERE)) as db:  # another process may be about to make the file
            self._make(db)
            yield db

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Open it to be changed by this process alone: all of the change is kept, or nothing of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._told(), closing(_connected(self.path.resolve().as_uri())) as db:
            self._begin(db)
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _begin(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        if self._is_made(db):
            return
        try:
            self._refuse_lost()
            self._make(db)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")  # it is there before the first file is: files without it are another's
        db.execute("BEGIN IMMEDIATE")

    def _refuse_lost(self) -> None:
        folder = self.path.parent
        if any(folder.rglob("*.parquet")):
            raise DataError(
                f"{folder} holds data, and its {FILE} is gone or empty. Put that file back, or move the "
                "folder away and import the sources again; what it knew of readings is lost with it."
            )

    def _make(self, db: sqlite3.Connection) -> None:
        for each in _TABLES.split(";"):
            db.execute(each)
        db.execute(f"PRAGMA user_version = {_VERSION}")

    def _is_made(self, db: sqlite3.Connection) -> bool:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise DataError(f"{self.path} is of version {version}, this program knows {_VERSION}. Update it.")
        return bool(version)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            what = (
                f"another process has been changing it for {WAIT:.0f} s" if "locked" in str(error) else error
            )
            raise DataError(f"{self.path} cannot be used: {what}. Try again.") from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path} is damaged ({error}). Move the catalog away and import its sources again."
            ) from error


def _connected(address: str) -> sqlite3.Connection:
    db = sqlite3.connect(address, timeout=WAIT, isolation_level=None, uri=True)
    db.row_factory = sqlite3.Row
    return db
