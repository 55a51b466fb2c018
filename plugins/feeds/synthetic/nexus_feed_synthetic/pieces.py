"""Order flow in pieces of whole ticks: the bars that events make, and the events up to the last of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from nexus_synthetic import START

from nexus_core.market.bars import Bars
from nexus_core.market.blocks import Ints
from nexus_core.market.events import EVENT
from nexus_core.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_synthetic import Flow

Part = tuple[Records, Ints]
"""Records symbol by symbol, and where each symbol's start."""


def pieces(
    flow: Flow, step: int, size: int, interval: int, quiet: bool = False
) -> Iterator[tuple[Records, Ints, Records, Ints, Ints]]:
    """Yield rows, events and the times of the ticks, without an end.

    A piece is `size` times the flow's own `step`, its bars are `interval` long, all in nanoseconds; with
    `quiet` there is a row wherever there is an event. An event comes with the first tick at or after it,
    though that be in the next piece.
    """
    bars = Bars("time", interval, flow.symbols, origin=START, quiet=quiet)
    left: Part = np.zeros(0, EVENT), np.zeros(flow.symbols + 1, np.int64)
    while True:
        fresh = flow.take(size)
        rows, starts = bars.take(*fresh, until=START + flow.tick * step)
        events = _joined(left, fresh)
        times = np.unique(rows["ts"])
        if not len(times):
            left = events
            continue
        last = int(times[-1])
        yield rows, starts, *within(*events, -1, last), times
        left = within(*events, last, START + flow.tick * step)


def within(records: Records, starts: Ints, after: int, until: int) -> Part:
    """Return the records of each symbol stamped after one time and not after the other, in nanoseconds."""
    kept = (records["ts"] > after) & (records["ts"] <= until)
    if kept.all():
        return records, starts
    sizes = [int(np.count_nonzero(kept[first:last])) for first, last in pairwise(starts)]
    return records[kept], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _joined(left: Part, right: Part) -> Part:
    if not len(left[0]):
        return right
    parts = [part[0][part[1][s] : part[1][s + 1]] for s in range(len(left[1]) - 1) for part in (left, right)]
    return np.concatenate(parts), left[1] + right[1]
