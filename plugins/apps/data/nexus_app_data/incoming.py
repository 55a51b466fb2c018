"""Files of market data on their way in: read, checked, and what is refused written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from nexus_catalog.quarantine import Quarantine
from nexus_catalog.series import Series

from nexus_app_data.quality import Unread
from nexus_core.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nexus_core.records import Records

TABLES = ("bars", "trades", "quotes")
"""The kinds a table can be of, in the order they are tried."""


@dataclass(slots=True)
class How:
    """How a file is to be read; what is left empty is found out from the file."""

    kind: str = ""
    columns: str = ""
    zone: str = "UTC"
    unit: str = ""
    stamp: str = "close"
    interval: float = 0.0
    """Seconds of a bar."""


class Refusals(Quarantine):
    """A quarantine that remembers of each fault how often and where first."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self.seen: dict[str, Unread] = {}

    def add(self, source: str, line: int, fault: str, reason: str, raw: Any, time: int | None = None) -> None:
        """Append a refused row."""
        self.seen.setdefault(fault, Unread(0, line, time, reason)).count += 1
        super().add(source, line, fault, reason, raw, time)


@dataclass(slots=True)
class Incoming:
    """A file being read: what series it holds, its records in chunks, and what was refused so far."""

    series: Series
    chunks: Iterator[Records]
    refusals: Refusals
    reading: Any
    odd: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return the faults of what was read so far, by name: refused ones and odd ones."""
        return {**self.reading.facts.odd, **self.refusals.counts}


def opened(path: Path, symbol: str, how: How, quarantine: Path | None = None) -> Incoming:
    """Open a file; the first chunk is read, so that the interval of its bars is known."""
    refusals = Refusals(quarantine)
    reading = _reading(path, how, refusals)
    first = next(reading, None)
    facts = reading.facts
    interval = facts.interval if facts.kind == "bars" else 0
    if first is None:
        raise DataError(f"{path}: has no row that can be used: {refusals.summary()} refused.")
    if facts.kind == "bars" and not interval:
        raise UsageError(
            f"{path}: one row does not say how long a bar is. "
            "Say so, in seconds, with --interval of nexus data import."
        )
    return Incoming(Series(symbol, facts.kind, interval), chain([first], reading), refusals, reading)


def _reading(path: Path, how: How, refusals: Refusals) -> Any:
    from nexus_catalog import tables

    common = {"columns": how.columns, "zone": how.zone, "unit": how.unit, "quarantine": refusals}
    bars = {"stamp": how.stamp, "interval": round(how.interval * 1e9)}
    wrong: list[str] = []
    for kind in [how.kind] if how.kind else TABLES:
        try:
            return tables.read(path, kind=kind, **common, **(bars if kind == "bars" else {}))
        except DataError as error:
            if how.kind or "no column for" not in str(error):
                raise
            wrong.append(f"no {kind}: {str(error).removeprefix(f'{path}: ').partition('. ')[0]}")
    raise DataError(f"{path}: {'; '.join(wrong)}. Say which they are with --columns of nexus data import.")
