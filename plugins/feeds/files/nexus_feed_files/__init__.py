"""Feed bars from files, in chunks: CSV, gzipped or zipped too, Parquet, Feather."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_core import Feed, Text, folders, log
from nexus_core.errors import ConfigError
from nexus_feed_files.adjusted import adjusted, digest
from nexus_feed_files.merge import merged
from nexus_feed_files.places import any_file, file_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_catalog.tables import Reading

    from nexus_core import Market
    from nexus_core.market.blocks import Chunk
    from nexus_core.records import Records

SECOND = 1_000_000_000

_BEGIN = 1_767_225_660
"""Seconds since 1970 of the close of the first bar of an example: 2026-01-01 00:01 UTC."""

_CARRY = {
    "volume": ("volume",),
    "quote": ("bid", "ask"),
    "trade": ("buy_volume", "sell_volume"),
}
"""What rows offer beside bars, with the columns that it needs."""


class Files(Feed):
    """Bars of files, one for each symbol, on the interval that they have."""

    nexus_api = 1
    name = "files"

    path = Text("", help="A file, a folder with a file for each symbol, or a pattern like data/{symbol}.csv")
    columns = Text(
        "", help="Which column is which, like ts=Date,open=Open; empty finds those of common names"
    )
    zone = Text("UTC", help="Time zone of times that are text without an offset, like America/New_York")
    unit = Text(
        "", help="How times are written: s, ms, us, ns, iso or a format like %d/%m/%Y; empty finds out"
    )
    stamp = Text(
        "close", among=("close", "open"), help="Whether a bar's time is that of its close or its open"
    )
    calendar = Text("", help="When the market is open, like XNYS; empty is always, in sessions of a UTC day")
    actions = Text("", help="File of splits and dividends: ts, symbol, split, dividend; empty is none")
    quarantine = Text("", help="File for refused rows; empty takes the user's data folder")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if not self.params.path:
            raise ConfigError("files: no path. Name a file: --set plugins.files.path=data/{symbol}.csv")
        reading = self._read(any_file(self.params.path))
        rows = next(reading, None)
        # what a file has no column for, or no value where it begins, no strategy of this run can be given
        found = {
            offer for offer, fields in _CARRY.items()
            if all(each in reading.columns and _is_known(rows, each) for each in fields)
        }  # fmt: skip
        self.offers = {"bar"} | found  # pyright: ignore[reportAttributeAccessIssue]
        self._readings: dict[str, Reading] = {}

    @property
    def quality(self) -> dict[str, float]:
        """Return the running score of each symbol's rows, 0 to 1."""
        return {symbol: each.facts.quality for symbol, each in self._readings.items()}

    @staticmethod
    def example(folder: Path) -> dict[str, Any]:
        """Write two weeks of minutes of three symbols, and return where they lie."""
        for number, symbol in enumerate(("BTC-USD", "ETH-USD", "SOL-USD")):
            bars = [f"{_bar(minute, 100 * (number + 1))}\n" for minute in range(20_160)]
            (folder / f"{symbol}.csv").write_text("".join(["ts,open,high,low,close,volume\n", *bars]))
        return {"path": str(folder), "quarantine": str(folder / "{symbol}.refused")}

    def warm(self) -> None:
        """Compile what checks rows, or load it from the cache."""
        from nexus_catalog import checks

        from nexus_core.records import ROW, empty

        checks.check(empty(ROW, 1), checks.states())

    def recording(self, market: Market) -> dict[str, Any]:
        """Return the files with their hashes, and all that says how they are read."""
        params = self.params.by_name()
        how = {name: params[name] for name in ("columns", "zone", "unit", "stamp", "calendar")}
        files = [self._recorded(symbol, market) for symbol in market.symbols]
        made = {"feed": self.name, "interval": market.interval, **how, "files": files}
        if self.params.actions:
            made["actions"] = digest(Path(self.params.actions))
        return made

    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield the files' rows from tick number `start` on, up to the market's number of ticks."""
        yield from merged([self._rows(each, market) for each in market.symbols], start, market.ticks)

    def _recorded(self, symbol: str, market: Market) -> dict[str, Any]:
        file = self._file(symbol, market)
        reading = self._read(file)
        next(reading, None)
        _fits(reading, market)
        columns = dict(sorted(reading.columns.items()))
        return {"symbol": symbol, "file": str(file), "bytes": file.stat().st_size, "sha256": digest(file),
                "columns": columns, "times": reading.facts.times}  # fmt: skip

    def _rows(self, symbol: str, market: Market) -> Iterator[Records]:
        yield from adjusted(symbol, self._read_rows(symbol, market), self.params.actions)

    def _read_rows(self, symbol: str, market: Market) -> Iterator[Records]:
        from nexus_catalog.quarantine import Quarantine

        file = self._file(symbol, market)
        with Quarantine(self._place(file), fresh=True) as quarantine:
            reading = self._readings[symbol] = self._read(file, quarantine)
            try:
                for rows in reading:
                    _fits(reading, market)
                    yield rows
            finally:
                if quarantine.total:
                    log.warning(
                        "files: %s: %s rows were refused (%s); they are in %s.",
                        file, f"{quarantine.total:,}", quarantine.summary(), quarantine.path,
                    )  # fmt: skip

    def _read(self, file: Path, quarantine: Any = None) -> Reading:
        from nexus_catalog.tables import read

        params = self.params.by_name()
        how: dict[str, Any] = {
            name: params[name] for name in ("columns", "zone", "unit", "stamp", "calendar")
        }
        return read(file, quarantine=quarantine, **how)

    def _file(self, symbol: str, market: Market) -> Path:
        return file_of(self.params.path, symbol, alone=len(market.symbols) == 1)

    def _place(self, file: Path) -> Path | None:
        if self.params.quarantine:
            return Path(self.params.quarantine.replace("{symbol}", file.stem))
        homes = folders.homes()
        return homes[0] / "quarantine" / f"{file.name}.quarantine.jsonl" if homes else None


def _bar(minute: int, base: int) -> str:
    """Return a line of a price that swings by a tenth in four hours, with a wick at either end."""
    opened, close = (base + base / 1200 * abs(each % 240 - 120) for each in (minute, minute + 1))
    high, low = max(opened, close) + 0.5, min(opened, close) - 0.5
    return f"{_BEGIN + 60 * minute},{opened:.2f},{high:.2f},{low:.2f},{close:.2f},{1 + minute % 50}"


def _is_known(rows: Records | None, column: str) -> bool:
    """Tell whether some of a file's first rows have a value."""
    return rows is None or not (rows[column] != rows[column]).all()


def _fits(reading: Reading, market: Market) -> None:
    has = reading.facts.interval
    if has and has != market.interval:
        told = f"it has bars of {has / SECOND:g} s, and the run asks for {market.interval / SECOND:g} s"
        advice = f"Set run.interval={has // SECOND}, or convert the file."
        raise ConfigError(f"files: {reading.source}: {told}. {advice}")
