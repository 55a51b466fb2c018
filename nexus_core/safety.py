"""Safety modes, and how a person changes them, or lets a strategy back, on a going run.

NORMAL trades. PAUSED makes no new entries and keeps what stands. REDUCED halves entries and limits.
EMERGENCY cancels every entry and closes every position. The account's circuit breaker pauses by itself;
only a person goes back to NORMAL.
"""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nexus_core.errors import JournalError
from nexus_core.ledger import orders
from nexus_core.records import EVENT, Records, empty
from nexus_core.strategy import RELEASE
from nexus_core.types import Mode

FILE = "control.db"

_TABLE = """
create table if not exists requests (
    id integer primary key, mode integer not null, why text not null, who text not null, at text not null,
    tick integer, strategy text not null default '')
"""


@frozen
class Request:
    """Somebody's wish: another safety mode, or (where one is named) that a strategy may speak again.

    `tick` is where the run took it up, None until then.
    """

    id: int
    mode: Mode = field(converter=Mode)
    why: str
    who: str
    at: str
    tick: int | None
    strategy: str = ""


class Control:
    """The requests made of one run. They outlive the run's process and its journal."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with ExitStack() as opened, self._careful():
            self._db = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
            opened.enter_context(closing(self._db))
            self._db.executescript(f"pragma synchronous=full;{_TABLE}")
            opened.pop_all()

    def ask(self, mode: Mode, why: str, who: str = "", strategy: str = "") -> None:
        """Write down a request, by default of the user; the run takes it up at its next tick edge."""
        values = (int(mode), why, who or _user(), datetime.now(UTC).isoformat(timespec="seconds"), strategy)
        with self._careful():
            self._db.execute("insert into requests (mode, why, who, at, strategy) values (?,?,?,?,?)", values)

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
        self._db.close()

    def _requests(self, where: str, *values: Any) -> list[Request]:
        query = f"select * from requests where {where} order by id"
        with self._careful():
            return [Request(*row) for row in self._db.execute(query, values)]

    @contextmanager
    def _careful(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            what = f"{self._path.parent.name}: requests cannot be kept in {self._path} ({error})"
            advice = "See what holds the file or forbids writing it; if it is damaged, move it away"
            raise JournalError(f"{what}. {advice} and ask again.") from error


def ask(folder: Path, mode: Mode, why: str, who: str = "", strategy: str = "") -> None:
    """Ask a run for another safety mode, or for a strategy's release, by default as the user."""
    with closing(Control(folder)) as control:
        control.ask(mode, why, who, strategy)


def as_events(requests: Sequence[Request], ts: int, strategies: Sequence[str] = ()) -> Records:
    """Return requests as the events that the engine takes at a tick edge."""
    made = empty(EVENT, len(requests))
    made["ts"], made["mode"] = ts, [int(each.mode) for each in requests]
    made["kind"] = [RELEASE if each.strategy else orders.MODE for each in requests]
    places = {name: n for n, name in enumerate(strategies)}
    made["reason"] = [places.get(each.strategy, -1) for each in requests]  # -1 where nothing is meant
    return made


def _user() -> str:
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return "unknown"
