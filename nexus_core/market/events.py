"""Market events: what a venue says, one flat record each, in the order it was said.

A message of a venue may be several events: a quote is two (bid, then ask), a change of the book one for
each level. The last event of a message carries LAST, and only there is the book whole. `ts` never goes back
along a feed: an event whose own time is older than one before it is given that one's, and the flag BACK.
"""

from __future__ import annotations

import numpy as np

from nexus_core.records import Records, layout

EVENT = layout(
    ("ts", "i8"),  # by the venue's clock, never going back
    ("local", "i8"),  # when it was received; 0 where nobody said
    ("seq", "i8"),  # position in the feed
    ("id", "i8"),  # the venue's: number of a trade, last update of a change to the book or of a quote
    ("price size", "f8"),
    ("symbol", "i4"),  # index in the run's configured order
    ("kind side", "i1"),
    ("flags", "i2"),
)

TRADE, QUOTE, LEVEL, CLEAR, BREAK = 1, 2, 3, 4, 5
"""Kinds: a trade; the best price of a side; the new size at a price of the book, 0 where nothing is left; the
book is empty and a snapshot follows (its price is the tick of prices, 0 where that is not known); updates
were lost, and the book is not known until the next CLEAR."""

BUY, SELL = 1, -1
"""Side of the aggressor of a trade (0: not known), and of the book: bids are BUY, asks SELL."""

LAST, SNAPSHOT, LIQUIDATION, BACK, AGAIN = 1, 2, 4, 8, 16
"""Flags: ends its message; part of a snapshot; a trade that was forced; its own time was older than `ts`; a
trade of which the venue tells by itself too: nothing that adds trades up takes it."""

DEPTH = 10
"""Levels of a side that a view of the book shows."""

VIEW = np.dtype(
    [
        (
            "known",
            "i8",
        ),  # 1 where there is a book, whole and in step with the venue; else all is NaN, sizes 0
        ("bids", "f8", (DEPTH,)),
        ("bid_sizes", "f8", (DEPTH,)),
        ("asks", "f8", (DEPTH,)),
        ("ask_sizes", "f8", (DEPTH,)),
    ],
    align=True,
)
"""The best levels of a book, best first; beyond the last level prices are NaN and sizes 0."""


def unknown(size: int = 1) -> Records:
    """Return `size` views of no book."""
    views = np.zeros(size, VIEW)
    for name in ("bids", "asks"):
        views[name] = np.nan
    return views
