"""Play raw exchange recordings: trades, quotes and the whole order book, and the bars they make."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_recording import Decoder, Recording
from nexus_recording.rows import chunks_of

from nexus_core import Feed, Param, Text, log
from nexus_core.errors import ConfigError, DataError
from nexus_core.market.bars import Bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_core import Market
    from nexus_core.market.blocks import Chunk

PARSER = 2
"""The version of what events a recording means; one that means others has another."""

PIECE = 2**20
"""Bytes of text that are read at a time."""

SHOWN = 5
"""Faults that are told one by one."""


class Recorded(Feed):
    """Market events as a recorder wrote them down, and bars of the run's interval made of them."""

    nexus_api = 1
    name = "recorded"
    offers = {"bar", "volume", "quote", "trade", "book"}
    clocks = {"bar", "every", "event"}
    correlated = True  # one recorder's stamps are set right, and never go back, over all that it is asked for

    path = Text("", help="the recording: a file, a folder, or a pattern")
    names = Text("", help="the venue's names of the run's symbols, with commas; else theirs without marks")
    clock = Text("auto", help="nanoseconds to add to the recorder's stamps, or auto")
    base = Param(0, low=0, high=10**9, help="least time a message takes, in nanoseconds, where clock is auto")
    tick = Param(0.0, low=0.0, high=1e6, help="step of prices; 0: taken from the first of them")
    quarantine = Text("", help="file that lines which cannot be used are appended to")

    @staticmethod
    def example(folder: Path) -> dict[str, Any]:
        """Record four hours of a pretended venue, which is slow, and return where they lie."""
        from nexus_recording.rehearsal import recorded

        with (folder / "venue.jsonl").open("wb") as file:
            file.writelines(recorded(("BTCUSD", "ETHUSD", "SOLUSD"), 4_000, slow=2_000))
        return {"path": str(folder)}

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._playing: Recording | None = None
        self._symbols: tuple[str, ...] = ()

    @property
    def quality(self) -> dict[str, float]:
        """Return the share of each symbol's changes to its book that could be applied so far, 0 to 1."""
        books = self._playing.summary().books.values() if self._playing else ()
        return dict(zip(self._symbols, map(_sound, books), strict=False))

    def warm(self) -> None:
        """Compile the parser and the bars, or load them from the cache."""
        Decoder(["X"]).decode(b"\n", [])
        Bars("time", 1, 1).flush(0)

    def recording(self, market: Market) -> dict[str, Any]:
        """Return what the rows are a function of: the files, and how they are read."""
        opened = self._opened(market, None)
        return {
            "feed": self.name,
            "parser": PARSER,
            "files": [{"path": str(each), "sha256": _digest(each)} for each in opened.files],
            "symbols": list(market.symbols),
            "names": list(opened.names),
            "offset": opened.summary().offset,
            "tick": self.params.tick,
            "interval": market.interval,
            "clock": market.clock,
        }

    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield rows from tick `start` on, up to the market's number of ticks, and the events before each."""
        quarantine = Path(self.params.quarantine) if self.params.quarantine else None
        recording = self._playing = self._opened(market, None if start else quarantine)
        self._symbols = market.symbols
        try:
            yield from chunks_of(recording.events(PIECE), market, start)
            self._refuse_silence(recording)
        finally:
            _tell(recording)

    def _refuse_silence(self, recording: Recording) -> None:
        # a run on nothing would end well and say that nothing was to be traded
        found = recording.summary()
        if found.events:
            return
        names, others = ", ".join(recording.names), f"{found.others:,} are of other symbols"
        raise DataError(
            f"{self.name}: {self.params.path}: none of its {found.lines:,} lines gave an event of {names}"
            f"{f'; {others}' if found.others else ''}. Name the file of a recorder, and the venue's symbols "
            f"with plugins.{self.name}.names."
        )

    def _opened(self, market: Market, quarantine: Path | None) -> Recording:
        given = self.params
        if not given.path:
            raise ConfigError(
                f"{self.name}: there is no path. Set [plugins.{self.name}] path to a file, a folder or "
                "a pattern."
            )
        return Recording(
            given.path,
            _names(given.names, market.symbols),
            clock=given.clock,
            base=given.base,
            tick=given.tick,
            quarantine=quarantine,
        )


def _sound(book: dict[str, Any]) -> float:
    asked = book["depth"] - book["stale"]  # what is older than the snapshot is in it
    if asked <= 0:
        return float(book["book"] == "synced")
    return min(book["applied"] / asked, 1.0)


def _names(given: str, symbols: tuple[str, ...]) -> list[str]:
    if not given:
        return ["".join(c for c in each if c.isalnum()) for each in symbols]
    names = [each.strip() for each in given.split(",")]
    if len(names) != len(symbols):
        raise ConfigError(
            f"recorded: names has {len(names)} of them, and the run {len(symbols)} symbols. Name each, in "
            "their order."
        )
    return names


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(recording: Recording) -> None:
    for each in recording.faults[:SHOWN]:
        log.warning(f"recorded: {each}")
    summary = recording.summary()
    for symbol, book in summary.books.items():
        if book["book"] == "unsynced":
            log.warning(
                f"recorded: {symbol} is unsynced: {book['depth']:,} changes, and no snapshot they follow"
            )
    for line in str(summary).splitlines():
        log.info(f"recorded: {line}")
