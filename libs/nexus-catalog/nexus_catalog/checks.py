"""What can be wrong with market data, found row by row and event by event by compiled checks with a state.

A check answers with a bit for each fault; 0 is a clean row. A fault is *refused* where the row cannot be
used, else *odd*: kept, counted, reported. What is refused leaves no trace in the state but in the quality
score: the row after it is compared with the one before it. Nothing is repaired.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_core import compile
from nexus_core.compile import step
from nexus_core.errors import ConfigError, hint
from nexus_core.market.events import BACK, BUY, EVENT, LAST, LEVEL, QUOTE, SELL, TRADE
from nexus_core.records import Records
from nexus_core.steps.plain import log
from nexus_core.steps.ranks import place
from nexus_core.steps.tool import record


class Fault(NamedTuple):
    """A kind of fault: its name, what it means in a sentence, and whether what has it is refused."""

    name: str
    sentence: str
    refused: bool = False


FAULTS = (
    Fault("symbol", "its symbol is none of those asked for", True),
    Fault("price", "a price is not a finite number above 0", True),
    Fault("size", "a volume or size is below 0 or absurdly large", True),
    Fault("range", "high or low does not enclose open and close", True),
    Fault("crossed", "bid is above ask", True),
    Fault("back", "its time is before that of the row before", True),
    Fault("duplicate", "it repeats the row before, with equal content", True),
    Fault("contradiction", "it has the time or id of the row before, with other content", True),
    Fault("drift", "its time is too far from the clock", True),
    Fault("exception", "checking it ended in an error", True),
    Fault("locked", "bid equals ask"),
    Fault("zero-volume", "nothing was traded"),
    Fault("gap", "rows are missing between the one before and this one"),
    Fault("off-grid", "its time lies between two bars of the interval"),
    Fault("stale", "its values have not changed for many rows"),
    Fault("far-price", "its return lies far from what is usual"),
    Fault("spike", "the price came back at once: the row before was a spike"),
    Fault("jump", "the price stayed: the row before was a jump"),
    Fault("far-size", "its volume or size lies far from what is usual"),
    Fault("late", "its own time was before that of the event before"),
)
"""Every fault; the code of one is its place here, and its bit `1 << code`."""

_BITS = tuple(1 << n for n in range(len(FAULTS)))
UNKNOWN, PRICE, SIZE, RANGE, CROSSED, BACKWARDS, DUPLICATE, CONTRADICTION, DRIFT, EXCEPTION = _BITS[:10]
LOCKED, ZERO, GAP, OFF_GRID, STALE, FAR_PRICE, SPIKE, JUMP, FAR_SIZE, LATE = _BITS[10:]

REFUSED = sum(1 << n for n, each in enumerate(FAULTS) if each.refused)
"""The bits of all faults that refuse."""

LIMITS = {"drift": 0, "stale": 60, "window": 127, "far": 20.0}
"""Limits of the checks: nanoseconds a row may be from the clock, 0 asking no clock; equal rows or quotes from
which on they are stale, 0 for never; newest rows whose median is the usual; and how many usual deviations
from it a return, or the log of a size, is far. The usual deviation is the median one (Leys et al. 2013,
*Detecting outliers: do not use standard deviation around the mean, use absolute deviation around the
median*), or where that is more 1/2.44 of the one that nine tenths do not exceed: of normal values the two are
the same, and in a market that mostly stands still, where the median is nearly 0, the second tells how far it
goes when it moves. It counts as at least 0.01 % of a price and 10 % of a size, so that not everything is far
where nothing moves."""

ABSURD = 1e18
"""A volume or size above this is no size."""

_MINUTE, _DAY = 60_000_000_000, 86_400_000_000_000
_LEAST, _LEAST_SIZE, _SOME = 1e-4, 0.1, 31  # the last: values before a median is believed

# no field is shorter than eight bytes: there is nothing between them that a copy might leave out
_COUNTED = "ts first rows same id side session to_close pending moved"
_SEEN = "open high low close volume bid ask bid_size ask_size was_bid was_ask base"

_LOOP = """
def entry(rows, states, now, found):
    for i in range(rows.size):
        symbol = rows[i].symbol
        if 0 <= symbol < states.size:
            found[i] = check(rows[i], states[symbol], now)
        else:
            found[i] = UNKNOWN
"""


def names(found: int) -> list[str]:
    """Return the names of the faults in an answer, refused ones first."""
    return [each.name for n, each in enumerate(FAULTS) if found >> n & 1]


def states(symbols: int = 1, *, interval: int = 0, sessions: bool = False, **limits: float) -> Records:
    """Return the states before the first row of each symbol; times are in nanoseconds.

    A gap is more than an `interval` to the row or event before; 0 knows no gap. With `sessions` the rows'
    session fields are those of a calendar, and only time in session counts: what is missing is then what was
    left of the last row's session and had gone of this one's, and whole sessions are not missed. `LIMITS`
    may be given by name.
    """
    if unknown := sorted(limits.keys() - LIMITS.keys()):
        raise ConfigError(f"checks: {unknown[0]} is no limit.{hint(unknown[0], LIMITS)}")
    asked = {name: type(each)(limits.get(name, each)) for name, each in LIMITS.items()}
    if asked["window"] < _SOME or not asked["far"] > 0 or min(asked.values()) < 0:
        raise ConfigError(f"checks: {asked}; window is at least {_SOME}, far above 0, the others 0 or more.")
    usual = record(n=0, at=0, ring=np.zeros(int(asked["window"])), ranked=np.zeros(int(asked["window"])))
    counted = dict.fromkeys(_COUNTED.split(), 0)
    seen = dict.fromkeys(_SEEN.split(), math.nan)
    own = {"interval": interval, "sessions": int(sessions), "quality": 1.0, "moves": usual, "sizes": usual}
    return np.repeat(np.array([record(**own, **asked, **counted, **seen)]), symbols)


def check(rows: Records, states: Records, now: int = 0) -> NDArray[np.int64]:
    """Return the faults of market rows or events, each symbol's in the order of time; change the states.

    `now` is the clock in nanoseconds, 0 where the data is history. Of a quote, its last event has the faults
    of both sides together.
    """
    found = np.zeros(len(rows), np.int64)
    compile.call(_loop(rows.dtype == EVENT), rows, states, now, found)
    return found


def score(states: Records) -> NDArray[np.float64]:
    """Return each symbol's quality, in [0, 1].

    q is 1 at first and moves with every row by (x - q) / 500, x being 1 for a clean row, 0.5 for one that is
    odd, and 0 for one that is refused: an average that has forgotten half after 347 rows.
    """
    return states["quality"].copy()


@step
def silent(state: Any, now: int, limit: int) -> bool:
    """Tell whether the last accepted row or event is older than `limit` nanoseconds at the time `now`."""
    return state.rows > 0 and now - state.ts > limit


@step
def bar(row: Any, state: Any, now: int) -> int:
    """Check one bar; `now` is the clock in nanoseconds, 0 where the data is history."""
    found = _impossible(row) | _misplaced(row.ts, state, now)
    if state.rows > 0 and row.ts == state.ts:
        found |= DUPLICATE if _is_same(row, state) else CONTRADICTION
    if not found & REFUSED:
        found |= _odd_bar(row, state)
        state.rows += 1
        state.ts, state.session, state.to_close = row.ts, row.session_id, row.minutes_to_close
        state.open, state.high, state.low, state.close = row.open, row.high, row.low, row.close
        state.volume, state.bid, state.ask = row.volume, row.bid, row.ask
    return _scored(state, found)


@step
def event(event: Any, state: Any, now: int) -> int:
    """Check one event; `now` is the clock in nanoseconds, 0 where the data is history."""
    found = _misplaced(event.ts, state, now)
    if event.kind == TRADE or event.kind == LEVEL or event.kind == QUOTE:
        # a side of the book that is empty has no price, and nothing in it
        is_empty = event.kind == QUOTE and event.price != event.price and not event.size > 0.0
        found |= 0 if 0.0 < event.price < math.inf or is_empty else PRICE
        is_unknown = event.kind != LEVEL and event.size != event.size
        found |= 0 if 0.0 <= event.size <= ABSURD or is_unknown else SIZE
    if event.kind == TRADE and event.id != 0 and event.id == state.id:
        same = event.price == state.close and _alike(event.size, state.volume) and event.side == state.side
        found |= DUPLICATE if same else CONTRADICTION
    if event.kind == QUOTE and not found & REFUSED:
        found |= _quoted(event, state)
    if not found & REFUSED:
        found |= LATE if event.flags & BACK else 0
        found |= GAP if state.rows > 0 and 0 < state.interval < event.ts - state.ts else 0
        if event.kind == TRADE:
            found |= _odd_move(event.price, event.size, state)
            state.id, state.close, state.volume, state.side = event.id, event.price, event.size, event.side
        state.ts = event.ts
        state.rows += 1
    return _scored(state, found)


@step
def _impossible(row: Any) -> int:
    found, total = 0, row.open + row.high + row.low + row.close
    if not (total - total == 0.0 and row.open > 0.0 and row.high > 0.0 and row.low > 0.0 and row.close > 0.0):
        found = PRICE
    if row.bid <= 0.0 or row.ask <= 0.0 or row.bid == math.inf or row.ask == math.inf:
        found |= PRICE
    if row.volume < 0.0 or row.volume > ABSURD or row.bid_size < 0.0 or row.ask_size < 0.0:
        found |= SIZE
    if max(row.open, row.close) > row.high or min(row.open, row.close) < row.low or row.high < row.low:
        found |= RANGE
    return found | (CROSSED if row.bid > row.ask else 0)


@step
def _misplaced(ts: int, state: Any, now: int) -> int:
    found = BACKWARDS if state.rows > 0 and ts < state.ts else 0
    return found | (DRIFT if now != 0 and state.drift > 0 and abs(ts - now) > state.drift else 0)


@step
def _alike(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


@step
def _is_same(row: Any, state: Any) -> bool:
    prices = row.open == state.open and row.high == state.high and row.low == state.low
    quotes = _alike(row.bid, state.bid) and _alike(row.ask, state.ask)
    return prices and row.close == state.close and _alike(row.volume, state.volume) and quotes


@step
def _odd_bar(row: Any, state: Any) -> int:
    found = (LOCKED if row.bid == row.ask else 0) | (ZERO if row.volume == 0.0 else 0)
    if state.rows == 0:
        state.first = row.ts
    elif state.interval > 0:
        missing = row.ts - state.ts - state.interval
        if state.sessions and (row.session_id != state.session or row.minute_of_session < 0):
            minutes = state.to_close + row.minute_of_session
            missing = min(missing, minutes * _MINUTE - state.interval)
        found |= GAP if missing > 0 else 0
        if state.interval < _DAY and (row.ts - state.first) % state.interval != 0:
            found |= OFF_GRID
    state.same = state.same + 1 if _is_same(row, state) else 1
    found |= STALE if state.same >= state.stale > 0 else 0
    return found | _odd_move(row.close, row.volume, state)


@step
def _odd_move(price: float, size: float, state: Any) -> int:
    found = 0
    if state.pending:
        came_back = 3.0 * abs(price - state.base) <= abs(state.close - state.base)
        found = SPIKE if came_back else JUMP
        state.pending = 0
    is_far = _far(state.moves, log(price / state.close), state.far, _LEAST)
    if is_far and not found & SPIKE:
        found |= FAR_PRICE
        state.pending = 1
        state.base = state.close
    if size > 0.0 and _far(state.sizes, log(size), state.far, _LEAST_SIZE):
        found |= FAR_SIZE
    return found


@step
def _quoted(event: Any, state: Any) -> int:
    if event.side == BUY:
        state.moved |= not (_alike(event.price, state.bid) and _alike(event.size, state.bid_size))
        state.bid, state.bid_size = event.price, event.size
    if event.side == SELL:
        state.moved |= not (_alike(event.price, state.ask) and _alike(event.size, state.ask_size))
        state.ask, state.ask_size = event.price, event.size
    if not event.flags & LAST:
        return 0
    if state.bid > state.ask:  # the quote is refused whole: what was before it stands
        state.bid, state.ask = state.was_bid, state.was_ask
        return CROSSED
    state.was_bid, state.was_ask = state.bid, state.ask
    state.same = 1 if state.moved else state.same + 1
    state.moved = 0
    return (LOCKED if state.bid == state.ask else 0) | (STALE if state.same >= state.stale > 0 else 0)


@step
def _scored(state: Any, found: int) -> int:
    worth = 0.0 if found & REFUSED else 0.5 if found else 1.0
    state.quality += (worth - state.quality) / 500.0
    return found


@step
def _far(state: Any, x: float, far: float, least: float) -> bool:
    if x - x != 0.0:
        return False
    n, is_far = state.n, False
    if n >= _SOME:
        centre = state.ranked[n // 2]
        reach = abs(x - centre) / far
        # the median deviation is below `reach` just where more than half of the values are so near
        near = place(state.ranked, n, centre + reach) - place(state.ranked, n, centre - reach)
        # and nine tenths of normal values lie within 2.44 median deviations
        wide = place(state.ranked, n, centre + 2.44 * reach) - place(state.ranked, n, centre - 2.44 * reach)
        is_far = reach > least and near > n // 2 and 10 * wide > 9 * n
    if n == state.ring.size:
        n -= 1
        for i in range(place(state.ranked, n + 1, state.ring[state.at]), n):
            state.ranked[i] = state.ranked[i + 1]
    new = place(state.ranked, n, x)
    for i in range(n, new, -1):
        state.ranked[i] = state.ranked[i - 1]
    state.ranked[new] = state.ring[state.at] = x
    state.at = (state.at + 1) % state.ring.size
    state.n = n + 1
    return is_far


@cache
def _loop(is_of_events: bool) -> compile.Step:
    return compile.entry("check", _LOOP, {"check": event if is_of_events else bar, "UNKNOWN": UNKNOWN})
