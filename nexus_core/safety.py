"""Safety modes, and how a person changes them on a going run.

NORMAL trades. PAUSED makes no new entries and keeps what stands. REDUCED halves entries and limits.
EMERGENCY cancels every entry and closes every position. The account's circuit breaker pauses by itself;
only a person goes back to NORMAL.
"""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from nexus_core.errors import JournalError
from nexus_core.ledger import orders
from nexus_core.records import EVENT, Records, empty
from nexus_core.types import Mode

FILE = "control.db"

_TABLE = """
create table if not exists requests (
    id integer primary key, mode integer not null, why text not null, who text not null, at text not null,
    tick integer)
"""


@frozen
class Request:
    """Somebody's wish for another safety mode; `tick` is where the run took it up, None until then."""

    id: int
    mode: Mode
    why: str
    who: str
    at: str
    tick: int | None


class Control:
    """The requests made of one run. They outlive the run's process and its journal."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with ExitStack() as opened, self._careful():
            self._db = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
            opened.enter_context(closing(self._db))
            self._db.execute("pragma synchronous=full")
            self._db.execute(_TABLE)
            self._opened = opened.pop_all()

    def ask(self, mode: Mode, why: str, who: str = "") -> None:
        """Write down a request, by default of the user; the run takes it up at its next tick edge."""
        values = (int(mode), why, who or _user(), datetime.now(UTC).isoformat(timespec="seconds"))
        with self._careful():
            self._db.execute("insert into requests (mode, why, who, at) values (?,?,?,?)", values)

    def due(self, tick: int, waiting: bool) -> list[Request]:
        """Return what was taken up at a tick and, if asked, what still waits; oldest first."""
        return self._requests("tick = ? or (? and tick is null)", tick, waiting)

    def take_up(self, requests: list[Request], tick: int) -> None:
        """Write down at which tick requests were taken up."""
        with self._careful():
            for each in requests:
                self._db.execute("update requests set tick = ? where id = ?", (tick, each.id))

    def taken_up(self) -> list[Request]:
        """Return every request that was taken up, oldest first."""
        return self._requests("tick is not null")

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def _requests(self, where: str, *values: Any) -> list[Request]:
        with self._careful():
            return [
                _request(row)
                for row in self._db.execute(f"select * from requests where {where} order by id", values)
            ]

    @contextmanager
    def _careful(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(
                f"{self._path.parent.name}: requests cannot be kept in {self._path} ({error}). See what "
                "holds the file or forbids writing it; if it is damaged, move it away and ask again."
            ) from error


def ask(folder: Path, mode: Mode, why: str, who: str = "") -> None:
    """Ask a run for another safety mode, by default as the user."""
    with closing(Control(folder)) as control:
        control.ask(mode, why, who)


def as_events(requests: list[Request], ts: int) -> Records:
    """Return requests as the events that the ledger takes at a tick edge."""
    made = empty(EVENT, len(requests))
    made["kind"], made["ts"], made["reason"] = orders.MODE, ts, -1
    made["mode"] = [int(each.mode) for each in requests]
    return made


def _request(row: tuple[int, int, str, str, str, int | None]) -> Request:
    number, mode, why, who, at, tick = row
    return Request(number, Mode(mode), why, who, at, tick)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
