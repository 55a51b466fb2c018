"""Ticks of a live market: bars as they arrive, gathered into instants over all symbols.

A tick closes `grace` after its bars end, or at once when every symbol's has come; a symbol whose bar has not
come is absent from it. Ticks close in the order of time: one that is whole waits for an earlier one that is
not, so that no bar that keeps its time is late. A bar that comes after its tick has closed, or a second one
of its symbol for the same instant, is late: flagged LATE, it travels before the rows of the next tick after
its own time, to change states there and never to decide.

Nothing here reads a clock: who came when decides everything. Keep each row with `now` as it is after the row
was taken, and the same pairs give the same ticks again.
"""

from __future__ import annotations

import numpy as np

from nexus_core.errors import DataError
from nexus_core.market.blocks import Chunk
from nexus_core.records import LATE, ROW, Records
from nexus_core.types import iso

GRACE = 750_000_000
"""Nanoseconds from the end of a bar in which it can come."""

AHEAD = 60_000_000_000
"""Nanoseconds that a bar's end may lie after its arrival: clocks differ, but not by more."""


class Ticks:
    """The bars of `symbols` symbols on their way to ticks that close `grace` nanoseconds after their end."""

    def __init__(self, symbols: int, grace: int = GRACE) -> None:
        self.symbols, self.grace = symbols, grace
        self.now = -(2**63)
        """The latest time it was told, in nanoseconds; it never goes back, even if a clock does."""
        self.late: Records = np.zeros(0, ROW)
        """Rows that came late and wait for a tick after their own time."""
        self._open: dict[int, dict[int, bytes]] = {}  # rows as they lie: joining records goes field by field
        self._closed = -(2**63)  # every instant up to it is closed

    @property
    def due(self) -> int | None:
        """Return when the next tick closes by itself, or None while none is open."""
        return min(self._open) + self.grace if self._open else None

    def take(self, rows: Records, arrived: int) -> list[Chunk]:
        """Take rows, in the order they came in, at a time; return the ticks that this closes."""
        ts, symbol, now = rows["ts"], rows["symbol"], max(self.now, arrived)
        for i in np.flatnonzero((symbol < 0) | (symbol >= self.symbols) | (ts > now + AHEAD))[:1]:
            what = f"a bar of symbol {symbol[i]} (of {self.symbols}, from 0) that ends at {iso(ts[i])}"
            raise DataError(f"{what} came at {iso(now)}. Check the feed, and the clock.")
        made, pieces = self.close(now), np.ascontiguousarray(rows, ROW).view(f"V{ROW.itemsize}").tolist()
        for piece, *place in zip(pieces, ts.tolist(), symbol.tolist(), strict=True):
            self._put(piece, *place)
            while self._open and len(self._open[first := min(self._open)]) == self.symbols:
                made.append(self._tick(first))
        return made

    def close(self, now: int) -> list[Chunk]:
        """Return the ticks that close by a time, each as a chunk with what came late before it."""
        self.now = max(self.now, now)
        made = [self._tick(ts) for ts in sorted(self._open) if ts + self.grace <= self.now]
        self._closed = max(self._closed, self.now - self.grace)
        return made

    def finish(self) -> list[Chunk]:
        """Return all ticks that are still open, at the end of a session. What is `late` then stays so."""
        return [self._tick(ts) for ts in sorted(self._open)]

    def _put(self, row: bytes, ts: int, symbol: int) -> None:
        if ts <= self._closed or symbol in self._open.get(ts, {}):
            self.late = np.append(self.late, _rows([row]))
            self.late["flags"][-1] |= LATE
        else:
            self._open.setdefault(ts, {})[symbol] = row

    def _tick(self, ts: int) -> Chunk:
        rows, self._closed = self._open.pop(ts), ts
        earlier = self.late["ts"] < ts
        late, self.late = self.late[earlier], self.late[~earlier]
        starts = np.cumsum([0, *(symbol in rows for symbol in range(self.symbols))])
        made = _rows([rows[symbol] for symbol in sorted(rows)])
        return Chunk(made, starts, late=late[np.lexsort((late["ts"], late["symbol"]))])


def _rows(pieces: list[bytes]) -> Records:
    return np.frombuffer(bytearray().join(pieces), ROW)
