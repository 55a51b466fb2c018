"""The flat records that cross the hot path: market row, event, account, position, order, decision, verdict.

Prices, quantities and money in the ledger's records are int64 in units of 1e-8. Times are int64
nanoseconds UTC. A market row carries float64 values as the feed gave them; NaN means unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from nexus_core.types import UNIT as UNIT

Records = NDArray[np.void]
"""A one-dimensional array of flat records."""

ABSENT = -128
"""The signal of a strategy that has no opinion yet: in warm-up, inactive or faulty. Not the same as 0."""

LATE_ROW, NO_SIGNAL, NO_DIRECTION, OPPOSITE, SAFETY, SHORTING, SIZE, AMOUNTS = range(8)
AT_WORK, NO_EDGE, LAYER = range(8, 11)
"""Why the kernel itself ends a decision: the places of `ledger.judge.KERNEL_GATES`."""

LATE = 1
"""Row flag: came after its tick was closed; changes state, never decides."""

APPROVAL, MOVE, FILL, MODE = 1, 2, 3, 4
"""Kinds of event: an approved order, a step of an order, a fill, a change of the safety mode."""

SLOTS = 4
"""Orders a symbol can have at work at once: entry, exit, stop, target, in this order."""


def layout(*fields: tuple[str, str]) -> np.dtype[np.void]:
    """Return the aligned type of a record. Each pair names fields that follow one another, and their type."""
    return np.dtype([(name, kind) for names, kind in fields for name in names.split()], align=True)


ROW = layout(
    ("ts", "i8"),  # close of the bar: the row is visible only from then
    ("seq", "i8"),  # position in the feed
    ("symbol", "i4"),  # index in the run's configured order
    ("flags", "i4"),
    ("open high low close volume", "f8"),
    ("bid ask bid_size ask_size buy_volume sell_volume", "f8"),
    ("trades", "i4"),
    ("session_id", "i4"),  # days since 1970 of the session's start
    ("minute_of_session minutes_to_close", "i4"),
)

EVENT = layout(
    ("seq ts", "i8"),
    ("order", "i8"),  # counter of the order, 0 where none is meant
    ("decision", "i8"),  # time of the decision behind the order
    ("qty price fee", "i8"),
    ("cash position", "i8"),  # after the event
    ("content", "u8"),  # hash of the order's content, of an approval
    ("symbol", "i4"),
    ("reason", "i2"),
    ("kind side order_kind purpose state mode", "i1"),
)

ACCOUNT = layout(
    ("cash", "i8"),
    ("value", "i8"),  # of all positions at their marks
    ("peak", "i8"),  # highest equity seen
    ("day_start week_start", "i8"),  # equity at the start of the UTC day, and of its week (Monday)
    ("realised", "i8"),  # profit of closed quantity, before fees
    ("fees", "i8"),
    ("margin", "i8"),  # held by open positions
    ("hour_loss", "i8"),  # net realised result of the current hour, losses negative
    ("hour_rejects", "i8"),
    ("next_hour next_day next_week", "i8"),  # times from which what is counted for each starts anew
    ("orders events", "i8"),  # counters of order ids and of events
    ("fills", "i8"),
    ("trades", "i8"),  # positions closed
    ("wins", "i8"),  # of those, with a profit after fees
    ("decisions approved rejected", "i8"),
    ("mode", "i8"),
    ("hash_low hash_high", "u8"),  # the run hash, two lanes
)

POSITION = layout(
    ("qty", "i8"),  # signed: long above zero
    ("cost", "i8"),  # signed: what the open quantity cost at entry
    ("value", "i8"),  # signed: what it is worth at the mark
    ("mark margin realised fees", "i8"),
    ("trade", "i8"),  # net result so far of the position now open
    ("opened", "i8"),  # time of the fill that opened it
    ("working", "i8"),  # bit n is set while slot n holds an order at work
)

ORDER = layout(
    ("id ts decision qty filled", "i8"),
    ("cost", "i8"),  # of the filled quantity
    ("price", "i8"),  # limit or stop price; of a market order the mark at approval
    ("stop target", "i8"),  # bracket to set when an entry has filled
    ("content", "u8"),
    ("symbol", "i4"),
    ("side kind purpose state", "i1"),
)

INSTRUMENT = layout(
    ("tick lot min_notional", "i8"),
    ("multiplier", "i8"),  # whole units of the underlying in one of quantity
    ("margin_rate", "i8"),  # share of the notional held as margin, in 1e-8
    ("shortable", "i8"),
)

DECISION = layout(
    ("ts", "i8"),
    ("value limit", "f8"),  # of the gate that decided
    ("confidence", "f8"),
    ("equity order", "i8"),
    ("symbol", "i4"),
    ("reason", "i2"),  # index of the gate that decided; -1 where all passed
    ("verdicts opinions", "i2"),  # how many of the trace's are this decision's
    ("outcome direction mode", "i1"),
)

VOICE = layout(
    ("signal category", "i8"),  # its opinion, 0 where it was not kept; its place in types.StrategyCategory
    ("score confidence", "f8"),  # the score as given, and its rank among past ones
    ("right", "f8"),  # share of such scores that was right at the horizon, by its table; NaN without one
    ("weight", "f8"),  # that layer 3 gives it, from 0 to 1
    ("hits misses", "i8"),  # trades it would have made so far that came to the target, and to the stop
    ("rights wrongs", "i8"),  # signals so far that were right at their horizon, and those that were not
)
"""What a strategy says of a row, and what was known of it by then. Without a signal only that is told."""

STANDING = layout(("category hits misses rights wrongs", "i8"))
"""What is known of a strategy so far, over all symbols."""

CONTEXT = {
    "direction": 1,  # 1 to buy, -1 to sell, 0 to hold
    "lean": 1,  # what the direction comes from
    "hold": 1,  # how far that must reach
    "confidence": 1,  # of the decision
    "chance": 1,  # of the target before the stop; NaN where nothing is known
    "scale": 1,  # that multiplies the size
}
"""The fields of the context that the kernel writes and reads, with how many numbers each holds."""

VERDICT = layout(("value limit", "f8"), ("gate", "i2"), ("passed", "i1"))

OPINION = layout(("score", "f8"), ("weight", "f4"), ("strategy", "i2"), ("signal", "i1"))


def contexts(fields: Mapping[str, int]) -> np.dtype[np.void]:
    """Return the type of the context of a row, a number or several of each name."""
    return np.dtype([(name, "f8", () if size == 1 else (size,)) for name, size in fields.items()])


def decisions(fields: Iterable[str]) -> np.dtype[np.void]:
    """Return the type of a decision in the trace, with these fields of its context."""
    context = np.dtype([(name, "f4") for name in fields])
    kinds = {name: DECISION[name] for name in DECISION.names or ()}
    return np.dtype([*kinds.items(), *([("context", context)] if context.names else [])], align=True)


_LINE = 64
"""Bytes of a cache line: what a step reads of a market row lies in the first of its two."""


def empty(dtype: np.dtype[np.void], size: int = 1) -> Records:
    """Return `size` zeroed records that begin on a cache line."""
    raw = np.zeros(size * dtype.itemsize + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size * dtype.itemsize].view(dtype)
