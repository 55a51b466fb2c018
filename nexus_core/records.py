"""The flat records that cross the hot path: market row, event, account, position, order, decision, verdict.

Prices, quantities and money in the ledger's records are int64 in units of 1e-8. Times are int64
nanoseconds UTC. A market row carries float64 values as the feed gave them; NaN means unknown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_core.types import UNIT as UNIT

Records = NDArray[np.void]
"""A one-dimensional array of flat records."""

ABSENT = -128
"""The signal of a strategy that has no opinion yet: in warm-up, inactive or faulty. Not the same as 0."""

LATE = 1
"""Row flag: came after its tick was closed; changes state, never decides."""

SLOTS = 4
"""Orders a symbol can have at work at once: entry, exit, stop, target, in this order."""


def _dtype(*fields: tuple[str, str] | tuple[str, Any]) -> np.dtype[np.void]:
    return np.dtype(list(fields), align=True)


ROW = _dtype(
    ("ts", "i8"),  # close of the bar: the row is visible only from then
    ("seq", "i8"),  # position in the feed
    ("symbol", "i4"),  # index in the run's configured order
    ("flags", "i4"),
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),
    ("bid", "f8"),
    ("ask", "f8"),
    ("bid_size", "f8"),
    ("ask_size", "f8"),
    ("buy_volume", "f8"),
    ("sell_volume", "f8"),
    ("trades", "i4"),
    ("session_id", "i4"),  # days since 1970 of the session's start
    ("minute_of_session", "i4"),
    ("minutes_to_close", "i4"),
)

EVENT = _dtype(
    ("seq", "i8"),
    ("ts", "i8"),
    ("order", "i8"),  # counter of the order, 0 where none is meant
    ("decision", "i8"),  # time of the decision behind the order
    ("qty", "i8"),
    ("price", "i8"),
    ("fee", "i8"),
    ("cash", "i8"),  # after the event
    ("position", "i8"),  # after the event
    ("content", "u8"),  # hash of the order's content, of an approval
    ("symbol", "i4"),
    ("reason", "i2"),
    ("kind", "i1"),
    ("side", "i1"),
    ("order_kind", "i1"),
    ("purpose", "i1"),
    ("state", "i1"),
    ("mode", "i1"),
)

ACCOUNT = _dtype(
    ("cash", "i8"),
    ("value", "i8"),  # of all positions at their marks
    ("peak", "i8"),  # highest equity seen
    ("day_start", "i8"),  # equity at the start of the UTC day
    ("week_start", "i8"),  # equity at the start of the UTC week (Monday)
    ("realised", "i8"),  # profit of closed quantity, before fees
    ("fees", "i8"),
    ("margin", "i8"),  # held by open positions
    ("hour_loss", "i8"),  # net realised result of the current hour, losses negative
    ("hour_rejects", "i8"),
    ("next_hour", "i8"),  # time from which the hour's counters start anew
    ("next_day", "i8"),
    ("next_week", "i8"),
    ("orders", "i8"),  # counter of order ids
    ("events", "i8"),  # counter of events
    ("fills", "i8"),
    ("trades", "i8"),  # positions closed
    ("wins", "i8"),  # of those, with a profit after fees
    ("decisions", "i8"),
    ("approved", "i8"),
    ("rejected", "i8"),
    ("mode", "i8"),
    ("hash_low", "u8"),  # the run hash, two lanes
    ("hash_high", "u8"),
)

POSITION = _dtype(
    ("qty", "i8"),  # signed: long above zero
    ("cost", "i8"),  # signed: what the open quantity cost at entry
    ("value", "i8"),  # signed: what it is worth at the mark
    ("mark", "i8"),
    ("margin", "i8"),
    ("realised", "i8"),
    ("fees", "i8"),
    ("trade", "i8"),  # net result so far of the position now open
    ("opened", "i8"),  # time of the fill that opened it
    ("working", "i8"),  # bit n is set while slot n holds an order at work
)

ORDER = _dtype(
    ("id", "i8"),
    ("ts", "i8"),
    ("decision", "i8"),
    ("qty", "i8"),
    ("filled", "i8"),
    ("cost", "i8"),  # of the filled quantity
    ("price", "i8"),  # limit or stop price; of a market order the mark at approval
    ("stop", "i8"),  # bracket to set when an entry has filled
    ("target", "i8"),
    ("content", "u8"),
    ("symbol", "i4"),
    ("side", "i1"),
    ("kind", "i1"),
    ("purpose", "i1"),
    ("state", "i1"),
)

INSTRUMENT = _dtype(
    ("tick", "i8"),
    ("lot", "i8"),
    ("min_notional", "i8"),
    ("multiplier", "i8"),  # whole units of the underlying in one of quantity
    ("margin_rate", "i8"),  # share of the notional held as margin, in 1e-8
    ("shortable", "i8"),
)

DECISION = _dtype(
    ("ts", "i8"),
    ("value", "f8"),  # of the gate that decided
    ("limit", "f8"),
    ("confidence", "f8"),
    ("equity", "i8"),
    ("order", "i8"),
    ("symbol", "i4"),
    ("reason", "i2"),  # index of the gate that decided; -1 where all passed
    ("verdicts", "i2"),  # how many verdicts of the trace are this decision's
    ("opinions", "i2"),
    ("outcome", "i1"),
    ("direction", "i1"),
    ("mode", "i1"),
)

VERDICT = _dtype(("value", "f8"), ("limit", "f8"), ("gate", "i2"), ("passed", "i1"))

OPINION = _dtype(("score", "f8"), ("strategy", "i2"), ("signal", "i1"))


_LINE = 64
"""Bytes of a cache line: what a step reads of a market row lies in the first of its two."""


def empty(dtype: np.dtype[np.void], size: int = 1) -> Records:
    """Return `size` zeroed records that begin on a cache line."""
    raw = np.zeros(size * dtype.itemsize + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size * dtype.itemsize].view(dtype)
