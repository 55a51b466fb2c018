"""The markets that strategies are judged on: files, recordings and series cut by time, or synthetic seeds.

Rows and events come from the installed feeds, so they are those of a run.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen
from nexus_catalog.splits import BEGIN, END, PARTS, Splits, cut

from nexus_core import Market, folders, plugins
from nexus_core.errors import DataError, NotFoundError, UsageError, hint
from nexus_core.feed import ALL
from nexus_core.market.blocks import Chunk
from nexus_core.types import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nexus_catalog.series import Series
    from nexus_catalog.store import Catalog

    from nexus_core.records import Records

SECOND, MINUTE = 1_000_000_000, 60_000_000_000

MOST_SEEDS = 10_000

_SYMBOL = "BTC-USD"
"""What the symbol of a file is called; no strategy is told it."""

_EVENTS = {"bar", "every", "event"}
_OFFERS = {
    "book": {"bar", "volume", "quote", "trade", "book"},
    "trades": {"bar", "volume", "trade"},
    "quotes": {"bar", "quote"},
}
_SYNTHETIC: dict[str, dict[str, Any]] = {
    "bars": {"market": "bars"},
    "flow": {"market": "flow"},
    "plants": {"market": "flow", "plants": True},
}


@frozen
class Source:
    """A market of one symbol that strategies can be played on."""

    name: str
    offers: frozenset[str]
    clocks: frozenset[str]
    played: Callable[[Market], Iterator[Chunk]]
    """Its chunks from the begin on."""
    interval: int = 0
    """Nanoseconds of its bars; 0 where they are made of events, of any length."""
    symbol: str = _SYMBOL
    population: str = "real"
    seed: int = 0
    after: int = BEGIN
    """Time up to which rows only warm strategies up, in nanoseconds."""
    to: int = END
    """Time of the last row."""
    counted: bool = False
    """Whether readings of its final split are counted."""

    def chunks(self, interval: int) -> Iterator[Chunk]:
        """Yield its rows of so many nanoseconds, and the events before each, none later than the end."""
        fine = interval < MINUTE and "every" in self.clocks
        currencies: dict[str, Any] = {} if "-" in self.symbol else {"base": self.symbol, "quote": "USD"}
        instrument = Instrument(self.symbol, **currencies)
        market = Market((instrument,), interval, self.seed, ALL, "every" if fine else "bar")
        for whole in self.played(market):
            part = upto(whole, self.to)
            if len(part.rows):
                yield part
            if len(part.rows) < len(whole.rows):
                return


def upto(chunk: Chunk, time: int) -> Chunk:
    """Return a chunk of one symbol without the rows after a time, and without the events after its last."""
    size = int(np.searchsorted(chunk.rows["ts"], time, "right"))
    if size == len(chunk.rows):
        return chunk
    rows, starts = chunk.rows[:size], np.array([0, size])
    if chunk.events is None:
        return Chunk(rows, starts, late=chunk.late)
    known = int(np.searchsorted(chunk.events["ts"], rows["ts"][-1], "right")) if size else 0
    return Chunk(rows, starts, chunk.events[:known], np.array([0, known]), late=chunk.late)


@frozen
class Given:
    """What the user asked for: data, or a synthetic market, and which part of it."""

    data: Sequence[str] = ()
    synthetic: str = ""
    seeds: str = "1000-1019"
    minutes: int = 240
    split: str = "calibrate"
    why: str = ""
    catalog: Path | None = None

    @property
    def named(self) -> str:
        """Return the name of the part that is judged."""
        return f"seeds {self.seeds}" if self.synthetic else self.split

    def sources(self) -> list[Source]:
        """Return the markets, or say what is wrong with what was asked for."""
        if bool(self.data) == bool(self.synthetic):
            raise UsageError(
                "strategies: say what market: --data FILE, RECORDING or SERIES, or --synthetic bars, flow or "
                "plants; one of the two."
            )
        if self.synthetic:
            return _synthetic(self)
        if self.split not in PARTS:
            text = f"--split was {self.split}, must be one of {', '.join(PARTS)}.{hint(self.split, PARTS)}"
            raise UsageError(text)
        if self.split == "final" and not self.why.strip():
            raise UsageError("the final split is sealed. To read it, say why: --why REASON.")
        return [source for each in dict.fromkeys(self.data) for source in self._found(each)]

    def _found(self, name: str) -> list[Source]:
        from nexus_app_data.recordings import is_recording

        path = Path(name)
        if path.exists():
            return _recorded(path, self.split) if is_recording(path) else [_file(path, self.split)]
        if "/" not in name or path.suffix or path.is_absolute():
            raise NotFoundError(f"{name}: there is no such file, and it is no name of a series.")
        homes = folders.homes()
        if self.catalog is None and not homes:
            raise UsageError("there is no home folder to keep a catalog in. Name one with --catalog.")
        return [_series(self, name, self.catalog or homes[0] / "catalog")]


def numbers(text: str) -> range:
    """Return the seeds of a text such as 1000-1019 or 7."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()) or int(last or first) < int(first):
        raise UsageError(f"--seeds was {text}, must be a number or a span such as 1000-1019.")
    made = range(int(first), int(last or first) + 1)
    if made.stop - made.start > MOST_SEEDS:
        raise UsageError(f"--seeds was {text}, must be {MOST_SEEDS:,} of them at the most.")
    return made


# -- synthetic ---------------------------------------------------------------------------------------


def _synthetic(given: Given) -> list[Source]:
    if given.synthetic not in _SYNTHETIC:
        told = f"--synthetic was {given.synthetic}, must be one of {', '.join(_SYNTHETIC)}."
        raise UsageError(told + hint(given.synthetic, _SYNTHETIC))
    feed = plugins.load("feeds", "synthetic")(**_SYNTHETIC[given.synthetic])
    facts = frozenset(feed.offers), frozenset(feed.clocks)
    played = partial(_minutes, feed, given.minutes)
    return [
        Source(f"seed {seed}", *facts, played, population=feed.population, seed=seed)
        for seed in numbers(given.seeds)
    ]


def _minutes(feed: Any, minutes: int, market: Market) -> Iterator[Chunk]:
    """Yield a market that has no end for so many minutes."""
    end = None
    for chunk in feed.chunks(evolve(market, ticks=-(-minutes * MINUTE // market.interval)), 0):
        if end is None:
            end = int(chunk.rows["ts"][0]) - market.interval + minutes * MINUTE
        part = upto(chunk, end)
        yield part
        if len(part.rows) < len(chunk.rows):
            return


# -- files and recordings ----------------------------------------------------------------------------


def _file(path: Path, split: str) -> Source:
    """Open a file of bars, trades or quotes; it is read once to know where it is cut."""
    from nexus_app_data.incoming import How, opened

    source = opened(path, _SYMBOL, How())
    splits = _cut(path.name, (rows["ts"] for rows in source.chunks))
    after, to = splits.span(split)
    if source.series.kind == "bars":
        feed = plugins.load("feeds", "files")(path=str(path))
        facts = frozenset(feed.offers), frozenset(feed.clocks)
        played = partial(_from_start, feed)
        return Source(path.name, *facts, played, source.series.interval, after=after, to=to)

    def made(market: Market) -> Iterator[Chunk]:
        return _rows(opened(path, _SYMBOL, How()).chunks, market)

    facts = frozenset(_OFFERS[source.series.kind]), frozenset(_EVENTS)
    return Source(path.name, *facts, made, after=after, to=to)


def _recorded(path: Path, split: str) -> list[Source]:
    """Open a recording: a source for each symbol that it speaks of."""
    from nexus_recording import Recording

    from nexus_app_data.recordings import names_in

    names, load, made = sorted(names_in(path)), plugins.load("feeds", "recorded"), list[Source]()
    if not names:
        raise UsageError(f"{path}: names no symbol in its first MB. Bring it in with nexus data import.")
    for name in names:
        feed = load(path=str(path), names=name)
        splits = _cut(path.name, (each["ts"] for each in Recording(str(path), [name]).events()))
        after, to = splits.span(split)
        played = partial(_from_start, feed)
        facts = frozenset(feed.offers), frozenset(feed.clocks)
        title = path.name if len(names) == 1 else f"{path.name} {name}"
        made.append(Source(title, *facts, played, after=after, to=to))
    return made


def _from_start(feed: Any, market: Market) -> Iterator[Chunk]:
    return feed.chunks(market, 0)


def _cut(name: str, times: Iterator[Any]) -> Splits:
    first, last = None, 0
    for each in times:
        if len(each):
            first, last = int(each[0]) if first is None else first, int(each[-1])
    if first is None:
        raise DataError(f"{name}: has no record that can be used.")
    return cut(first, last)


def _rows(events: Iterator[Records], market: Market) -> Iterator[Chunk]:
    from nexus_recording.rows import chunks_of, woven

    return chunks_of(woven([events]), market, 0)


# -- the catalog -------------------------------------------------------------------------------------


def _series(given: Given, name: str, folder: Path) -> Source:
    from nexus_catalog.store import Catalog

    kept = Catalog(folder)
    found = kept.find(name)
    series, splits = found.series, found.splits
    if splits is None:
        raise DataError(f"{name}: has no record yet. Bring some in with nexus data import.")
    part = "calibrate" if given.split == "calibrate" else "open"
    feed = plugins.load("feeds", "catalog")(catalog=str(folder), kind=series.kind, split=part)
    if series.kind != "bars":
        played = partial(_events, kept, series, part, given)
        offers = _OFFERS[series.kind]
    else:
        final = None
        if given.split == "final":
            told = {"catalog": str(folder), "kind": "bars", "split": "final", "why": given.why}
            final = plugins.load("feeds", "catalog")(**told)
        played = partial(_bars, feed, final)
        offers = _offered(kept, series)
    after, to = splits.span(given.split)
    facts = frozenset(offers), frozenset(feed.clocks)
    return Source(name, *facts, played, series.interval, series.symbol, after=after, to=to, counted=True)


def _bars(feed: Any, final: Any, market: Market) -> Iterator[Chunk]:
    for each in (feed, final) if final is not None else (feed,):
        yield from each.chunks(market, 0)


def _events(kept: Catalog, series: Series, part: str, given: Given, market: Market) -> Iterator[Chunk]:
    """Yield the events of a split and all before it, so that nobody's book is cut in two."""
    before = kept.read(series.name, part)
    final = kept.final(series.name, given.why) if given.split == "final" else iter(())
    return _rows(chain(before, final), market)


def _offered(kept: Catalog, series: Series) -> set[str]:
    """Return what a series of bars has values of."""
    carry = {"volume": ("volume",), "quote": ("bid", "ask"), "trade": ("buy_volume", "sell_volume")}
    rows = next(kept.read(series.name), None)
    if rows is None:
        return {"bar"}
    return {"bar"} | {o for o, names in carry.items() if all(not np.isnan(rows[n]).all() for n in names)}
