"""Market rows made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.records import ROW, Records, empty
from nexus_core.types import ns

START = ns("2026-03-02T00:00:00Z")
"""Where rows begin unless they are told otherwise: a Monday, in nanoseconds UTC."""

MINUTE = 60_000_000_000
"""One minute in nanoseconds."""


def rows(
    closes: Any, *, symbol: int = 0, start: int = START, interval: int = MINUTE, **fields: Any
) -> Records:
    """Return bars of one symbol with these closes, the first stamped one interval after the start.

    Each bar opens at the close before it (the first at its own), and its high and low are the higher and the
    lower of open and close; bid and ask are its close, its volume and sizes 1. `fields` sets any field of a
    row otherwise, to one value for all bars or to one for each.
    """
    close = np.asarray(closes, np.float64)
    made = empty(ROW, close.size)
    made["seq"] = np.arange(close.size)
    made["ts"] = start + (made["seq"] + 1) * interval
    made["symbol"] = symbol
    made["open"], made["close"] = np.concatenate([close[:1], close[:-1]]), close
    for name in ("bid", "ask"):
        made[name] = close
    for name in ("volume", "bid_size", "ask_size", "trades"):
        made[name] = 1
    for name in fields.keys() & {"ts", "open", "close"}:
        made[name] = fields[name]
    made["high"], made["low"] = np.maximum(made["open"], close), np.minimum(made["open"], close)
    for row in made:
        row["session_id"], row["minute_of_session"], row["minutes_to_close"] = utc_session(int(row["ts"]))
    for name, value in fields.items():
        made[name] = value
    return made


def utc_session(ts_ns: int) -> tuple[int, int, int]:
    """Return session id, whole minutes since the session began, and minutes to its close, for a UTC day.

    A day holds the instants after its midnight, up to and with the next one: 00:00 is the close of the day
    that ends. The id is the days from 1970-01-01 to the session's start; the minute counts add up to 1440.
    """
    session, elapsed = divmod(ts_ns - 1, 1440 * MINUTE)
    minute = (elapsed + 1) // MINUTE
    return session, minute, 1440 - minute
