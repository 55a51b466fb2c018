"""The rows of a run made of market events, and the events that come before each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nexus_core.market.bars import Bars
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import EVENT
from nexus_core.records import Records, empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from nexus_core import Market
    from nexus_core.market.sessions import Calendar


def chunks_of(
    stream: Iterable[Records], market: Market, start: int, calendar: Calendar | None = None
) -> Iterator[Chunk]:
    """Yield rows from tick `start` on, up to the market's number of ticks, and the events before each.

    `stream` gives the events of all symbols in the order of time. Rows are bars of the market's interval; the
    last, whose end the events do not reach, is not played. Sessions are the calendar's, else UTC days.
    """
    made = Rows(market)
    for events in stream:
        rows, played = made.take(events)
        ticks = np.unique(rows["ts"])
        first, made.tick = made.tick, made.tick + len(ticks)
        ticks = ticks[max(start - first, 0) : max(market.ticks - first, 0)]
        if calendar is not None:
            calendar.stamp(rows)
        if len(ticks):
            yield made.chunk(rows, played, first >= start, ticks)
        if made.tick >= market.ticks:
            return


def woven(streams: Sequence[Iterator[Records]]) -> Iterator[Records]:
    """Yield the events of several symbols, each in the order of time, as one feed; `seq` counts them.

    The stream at place s is of symbol s. At one time events stand symbol by symbol, however they were cut.
    """
    waiting = [empty(EVENT, 0) for _ in streams]
    open_ones, seq = set(range(len(streams))), 0
    while True:
        for s in sorted(open_ones):
            while len(waiting[s]) == 0 or waiting[s]["ts"][0] == waiting[s]["ts"][-1]:
                more = next(streams[s], None)
                if more is None:
                    open_ones.remove(s)
                    break
                waiting[s] = joined([waiting[s], more])
        if not any(map(len, waiting)):
            return
        # of the last time that a stream has told, more may follow
        edge = min((int(waiting[s]["ts"][-1]) for s in open_ones), default=None)
        ends = [len(each) if edge is None else int(np.searchsorted(each["ts"], edge)) for each in waiting]
        made = joined([each[:end] for each, end in zip(waiting, ends, strict=True)])
        starts = np.cumsum([0, *ends])
        for s in range(len(streams)):
            made["symbol"][starts[s] : starts[s + 1]] = s
        waiting = [each[end:] for each, end in zip(waiting, ends, strict=True)]
        if len(streams) > 1:
            made = made[np.argsort(made["ts"], kind="stable")]
        made["seq"] = np.arange(seq, seq + len(made))
        seq += len(made)
        if len(made):
            yield made


def joined(parts: Sequence[Records]) -> Records:
    """Return events one after another, in an array of its own."""
    # as bytes: records are put together field by field otherwise, which takes ten times as long
    return np.concatenate([np.ascontiguousarray(each).view(np.uint8) for each in parts]).view(EVENT)


class Rows:
    """Makes rows of events, and keeps the events that come after the last row."""

    def __init__(self, market: Market) -> None:
        self.symbols, self.tick = len(market.symbols), 0
        self._bars = Bars("time", market.interval, self.symbols, quiet=market.clock != "bar")
        self._waiting: list[Records] = []

    def take(self, events: Records) -> tuple[Records, Records]:
        """Return the rows that are complete, and the events up to the last of them in the feed's order."""
        said, starts = by_symbol(events, self.symbols)
        rows, _ = self._bars.take(said, starts, int(events["ts"][-1]) - 1)
        self._waiting.append(events)
        if not len(rows):
            return rows, empty(EVENT, 0)
        waiting = joined(self._waiting)
        cut = int(np.searchsorted(waiting["ts"], rows["ts"].max(), "right"))
        self._waiting = [waiting[cut:]]
        return rows, waiting[:cut]

    def chunk(self, rows: Records, events: Records, whole: bool, ticks: NDArray[np.int64]) -> Chunk:
        """Return the rows of these ticks, and the events before them; all events so far if `whole`."""
        before = rows["ts"] < ticks[0]
        first = 0 if whole else int(np.searchsorted(events["ts"], rows["ts"][before].max(), "right"))
        rows = rows[~before & (rows["ts"] <= ticks[-1])]
        events = events[first : int(np.searchsorted(events["ts"], ticks[-1], "right"))]
        return Chunk(*by_symbol(rows, self.symbols), *by_symbol(events, self.symbols))


def by_symbol(records: Records, symbols: int) -> tuple[Records, NDArray[np.int64]]:
    """Return records symbol by symbol, each symbol's in the order given, and where each begins."""
    starts = np.zeros(symbols + 1, np.int64)
    starts[1:] = np.cumsum(np.bincount(records["symbol"], minlength=symbols))
    if symbols > 1:
        records = records[np.argsort(records["symbol"], kind="stable")]
    return records, starts
