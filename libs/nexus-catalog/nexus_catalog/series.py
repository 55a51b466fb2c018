"""The name of a series: what of which symbol, and for bars how long each is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from nexus_core.errors import UsageError, hint
from nexus_core.market import events
from nexus_core.records import ROW

SECOND = 1_000_000_000
KINDS = ("bars", "trades", "quotes", "book")
"""`bars` are rows (ROW), the others events: trades alone, quotes alone, or all that a recording told."""

_UNITS = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
_PERIODS = ((60, "hour"), (3_600, "month"), (86_400, "year"))
_MARKS = {"hour": 13, "day": 10, "month": 7, "year": 4}


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of data of one symbol; `interval` is the length of a bar in nanoseconds, 0 for events."""

    symbol: str
    kind: str
    interval: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"kind was {self.kind!r}, must be one of {', '.join(KINDS)}.{hint(self.kind, KINDS)}"
            )
        if not self.symbol or not self.symbol.isprintable() or self.symbol != self.symbol.strip():
            raise UsageError(f"symbol was {self.symbol!r}, must be a name such as BTC-USD.")
        if (self.interval > 0) != (self.kind == "bars") or self.interval < 0:
            raise UsageError(
                f"interval of {self.symbol} {self.kind} was {self.interval} ns: bars have one, events none."
            )

    @classmethod
    def of(cls, name: str) -> Series:
        """Return the series of a name such as `BTC-USD/bars-60s` or `BTC-USD/trades`."""
        symbol, _, rest = name.rpartition("/")
        kind, _, length = rest.partition("-")
        found = re.fullmatch(r"(\d+)(s|ms|us|ns)", length)
        if not symbol or kind not in KINDS or (kind == "bars") != (found is not None):
            raise UsageError(
                f"{name!r} is no name of a series. Write SYMBOL/bars-60s, SYMBOL/trades, SYMBOL/quotes or "
                "SYMBOL/book; nexus data list shows what there is."
            )
        return cls(symbol, kind, int(found[1]) * _UNITS[found[2]] if found else 0)

    @property
    def name(self) -> str:
        """Return the name, `of` which is this series again."""
        if not self.interval:
            return f"{self.symbol}/{self.kind}"
        unit = next(unit for unit, size in _UNITS.items() if self.interval % size == 0)
        return f"{self.symbol}/{self.kind}-{self.interval // _UNITS[unit]}{unit}"

    @property
    def folder(self) -> str:
        """Return the folder of its files below the catalog's: safe on every file system."""
        below = quote(self.symbol, safe=" ").replace(".", "%2E")  # `..` would lead out of the catalog
        return f"{below}/{self.name.rpartition('/')[2]}"

    @property
    def record(self):
        """Return the dtype of its records."""
        return ROW if self.kind == "bars" else events.EVENT

    @property
    def period(self) -> str:
        """Return the span of time that one folder's file never crosses: hour, day, month, year or all."""
        if self.kind != "bars":
            return "hour" if self.kind == "book" else "day"
        return next((name for size, name in _PERIODS if self.interval < size * SECOND), "all")

    def period_of(self, iso: str) -> str:
        """Return the period of a time written as ISO text, such as 2024-08 for the period of a month."""
        return iso[: _MARKS[self.period]] if self.period in _MARKS else "all"
