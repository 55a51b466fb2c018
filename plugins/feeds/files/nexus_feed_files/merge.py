"""Several symbols' rows on one clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nexus_core.market.blocks import Chunk
from nexus_core.records import ROW, Records, empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


def merged(symbols: Sequence[Iterator[Records]], start: int, ticks: int) -> Iterator[Chunk]:
    """Yield each symbol's rows in chunks of whole ticks, from tick number `start` on, up to `ticks` of them.

    A chunk reaches as far as the rows of every symbol that has more are known, so of each symbol one piece
    is kept in memory, and `seq` counts rows in the order of time from the very first one on.
    """
    waiting = [empty(ROW, 0) for _ in symbols]
    tick = seq = 0
    try:
        while tick < ticks:
            for s, rows in enumerate(symbols):
                while not len(waiting[s]) and (more := next(rows, None)) is not None:
                    waiting[s] = more
            if not any(map(len, waiting)):
                return
            edge = min(rows["ts"][-1] for rows in waiting if len(rows))
            ends = [int(np.searchsorted(rows["ts"], edge, "right")) for rows in waiting]
            parts = [rows[:end] for rows, end in zip(waiting, ends, strict=True)]
            waiting = [rows[end:] for rows, end in zip(waiting, ends, strict=True)]
            made, times = _numbered(parts, seq)
            seq += sum(map(len, made))
            low, high = max(start - tick, 0), min(ticks - tick, len(times))
            tick += len(times)
            if low < high:
                yield _chunk([rows[_between(rows, times[low], times[high - 1])] for rows in made])
    finally:
        for rows in symbols:
            close = getattr(rows, "close", None)
            if close is not None:
                close()


def _numbered(parts: list[Records], seq: int) -> tuple[list[Records], NDArray[np.int64]]:
    """Give the rows of each symbol their symbol and place; return them with the instants they have."""
    for s, rows in enumerate(parts):
        rows["symbol"] = s
    if len(parts) == 1:
        parts[0]["seq"] = np.arange(seq, seq + len(parts[0]))
        return parts, parts[0]["ts"]
    times = np.concatenate([rows["ts"] for rows in parts])
    places = np.empty(len(times), np.int64)
    places[np.argsort(times, kind="stable")] = np.arange(seq, seq + len(times))
    at = 0
    for rows in parts:
        rows["seq"] = places[at : at + len(rows)]
        at += len(rows)
    return parts, np.unique(times)


def _between(rows: Records, first: int, last: int) -> slice:
    low, high = np.searchsorted(rows["ts"], first), np.searchsorted(rows["ts"], last, "right")
    return slice(int(low), int(high))


def _chunk(parts: list[Records]) -> Chunk:
    starts = np.cumsum([0, *map(len, parts)])
    if len(parts) == 1:
        return Chunk(parts[0], starts)
    rows = empty(ROW, int(starts[-1]))
    for part, at in zip(parts, starts, strict=False):
        rows[at : at + len(part)] = part
    return Chunk(rows, starts)
