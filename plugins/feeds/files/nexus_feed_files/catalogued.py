"""Feed what the catalog keeps: bars as rows, events with the bars that they make, a split at a time."""

from __future__ import annotations

from datetime import date
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_core import Feed, Text, folders
from nexus_core.errors import ConfigError, DataError, hint
from nexus_core.types import ns
from nexus_feed_files.adjusted import adjusted, digest
from nexus_feed_files.merge import merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_catalog.series import Series
    from nexus_catalog.store import Catalog

    from nexus_core import Market
    from nexus_core.market.blocks import Chunk
    from nexus_core.market.sessions import Calendar
    from nexus_core.records import Records

SPLITS = ("open", "calibrate", "choose", "final")
"""The parts of a series that can be played; open is calibrate and choose."""

_EVENTS = {
    "book": {"bar", "volume", "quote", "trade", "book"},
    "trades": {"bar", "volume", "trade"},
    "quotes": {"bar", "quote"},
}
_CARRY = {
    "volume": ("volume",),
    "quote": ("bid", "ask"),
    "trade": ("buy_volume", "sell_volume"),
}


class Moment(Text):
    """A parameter that is a time, as ISO text."""

    def checked(self, who: str, value: Any) -> Any:
        """Return the text if it is a time, or raise with what it was."""
        if isinstance(value, date):  # a run's settings are kept as text and numbers
            raise ConfigError(f'{who}: {self.name} was a date; put it in quotation marks: "{value}".')
        try:
            _time(super().checked(who, value), 0)
        except DataError as error:
            raise ConfigError(f"{who}: {self.name}: {error}") from None
        return value


class Catalogued(Feed):
    """Series of the catalog, one for each symbol, of the split that is asked for."""

    nexus_api = 1
    name = "catalog"

    catalog = Text("", help="Folder of the catalog; empty takes the user's")
    kind = Text("bars", among=("bars", "book", "trades", "quotes"), help="Which series of a symbol is played")
    split = Text("open", among=SPLITS, help="Part that is played: open is calibrate and choose together")
    why = Text("", help="Why the final split is read; the reading is written down and counted")
    since = Moment("", help="Time of the first record, like 2024-03-01; empty is the begin of the split")
    until = Moment("", help="Time of the last record; empty is the end of the split")
    calendar = Text("", help="When the market is open, like XNYS; empty keeps UTC days as sessions")
    actions = Text(
        "", help="File of splits and dividends of bars: ts, symbol, split, dividend; empty is none"
    )

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        told = self.params
        if (told.split == "final") != bool(told.why.strip()):
            raise ConfigError(
                "catalog: the final split is read with a reason, the others without. Set "
                "plugins.catalog.split=final and plugins.catalog.why=REASON, or neither."
            )
        if told.actions and told.kind != "bars":
            raise ConfigError(
                f"catalog: actions are applied to bars, and kind was {told.kind}. Leave them out."
            )
        self._first, self._last = _time(told.since, -(2**63) + 1), _time(told.until, 2**63 - 1)
        if told.kind != "bars":
            self.offers, self.clocks = _EVENTS[told.kind], {"bar", "every", "event"}  # pyright: ignore[reportAttributeAccessIssue]
        else:
            self.offers = {"bar"} | self._carried()  # pyright: ignore[reportAttributeAccessIssue]

    def warm(self) -> None:
        """Compile the bars of events, or load them from the cache."""
        if self.params.kind != "bars":
            from nexus_core.market.bars import Bars

            Bars("time", 1, 1).flush(0)

    def recording(self, market: Market) -> dict[str, Any]:
        """Return the files of the catalog by their hashes, and which of their records are played."""
        told, kept = self.params, self._catalog()
        names = [self._series(each, market).name for each in market.symbols]
        made: dict[str, Any] = {"feed": self.name, "interval": market.interval, "clock": market.clock}
        made |= {name: getattr(told, name) for name in ("split", "since", "until", "calendar")}
        made["series"] = []
        for name in names:
            splits = kept.find(name).splits
            span = splits.span(told.split) if splits else (0, 0)
            files = [each for each in kept.files(name) if each["first"] <= min(span[1], self._last)]
            hashes = [each["sha256"] for each in files]
            made["series"].append({"name": name, "after": span[0], "to": span[1], "files": hashes})
        return made | ({"actions": digest(Path(told.actions))} if told.actions else {})

    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield rows from tick `start` on, up to the market's number of ticks, and the events before each."""
        calendar = self._calendar()
        series = [self._series(each, market) for each in market.symbols]
        if self.params.kind == "bars":
            rows = [adjusted(each.symbol, self._bars(each, calendar), self.params.actions) for each in series]
            yield from merged(rows, start, market.ticks)
            return
        from nexus_recording.rows import chunks_of, woven

        yield from chunks_of(woven([self._events(each) for each in series]), market, start, calendar)

    # -- what is read ------------------------------------------------------------------------------

    def _bars(self, series: Series, calendar: Calendar | None) -> Iterator[Records]:
        kept, told = self._catalog(), self.params
        first, last = self._first, self._last
        if told.split == "final":
            found = kept.final(series.name, told.why, first=first, last=last)
        else:
            found = kept.read(series.name, told.split, first, last)
        for rows in found:
            if calendar is not None:
                calendar.stamp(rows)
            yield rows

    def _events(self, series: Series) -> Iterator[Records]:
        """Yield the events of the split, and before them the book as those before it left it."""
        from nexus_recording.standing import begun

        kept, told = self._catalog(), self.params
        splits = kept.find(series.name).splits
        after, to = splits.span(told.split) if splits else (0, 0)
        last = min(to, self._last)
        before = kept.read(series.name, last=last)
        final = kept.final(series.name, told.why, last=last) if told.split == "final" else iter(())
        yield from begun(chain(before, final), max(after + 1, self._first))

    def _series(self, symbol: str, market: Market) -> Series:
        """Return the series of a symbol, or say what there is in its place."""
        from nexus_catalog.series import Series

        kind = self.params.kind
        wanted = Series(symbol, kind, market.interval if kind == "bars" else 0)
        known = {each.series.name: each.series for each in self._catalog().facts()}
        if wanted.name in known:
            return wanted
        has = [name for name, each in known.items() if each.symbol == symbol]
        there = (
            f"Of {symbol} there is {', '.join(has)}" if has else f"There is {', '.join(known) or 'nothing'}"
        )
        advice = "Set run.interval or plugins.catalog.kind to it, or bring it in with nexus data import."
        near = "" if has else hint(wanted.name, known)
        raise ConfigError(f"catalog: {self._folder()} has no {wanted.name}.{near} {there}. {advice}")

    def _carried(self) -> set[str]:
        """Return what some series of bars has values of; a symbol that has none of them has NaN."""
        import numpy as np

        found: set[str] = set()
        kept = self._catalog()
        for each in kept.facts():
            rows = next(kept.read(each.series.name), None) if each.series.kind == "bars" else None
            if rows is not None:
                found |= {o for o, names in _CARRY.items() if all(not np.isnan(rows[n]).all() for n in names)}
            if len(found) == len(_CARRY):
                break
        return found

    def _calendar(self) -> Calendar | None:
        from nexus_core.market.sessions import Calendar

        return Calendar(self.params.calendar) if self.params.calendar else None

    def _catalog(self) -> Catalog:
        from nexus_catalog.store import Catalog

        return Catalog(self._folder())

    def _folder(self) -> Path:
        homes = folders.homes()
        if not self.params.catalog and not homes:
            raise ConfigError("catalog: there is no home folder. Set plugins.catalog.catalog to a folder.")
        return Path(self.params.catalog) if self.params.catalog else homes[0] / "catalog"


def _time(text: str, otherwise: int) -> int:
    return ns(text) if text else otherwise
