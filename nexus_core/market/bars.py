"""Bars of market events, of any kind, as they come: the same rows in whatever pieces the events are given.

A bar holds what was said after the one before it ended, up to and with the instant it ends: (start, end].
So an event stamped exactly at the end belongs to the bar that ends there, and all that is stamped with one
time to one bar: a bar that fills up in the middle of an instant still takes the rest of it, and no two bars
of a symbol have the same time. A bar comes out when an event after its end comes, or when `until` says that
nothing up to then will come any more.

What nobody said is not made up. No row stands for an interval without a price, unless `quiet` asks for one,
and then only where some event came. `buy_volume` and `sell_volume` are NaN in a bar with a trade whose
aggressor is not known, the quote is NaN before the first, and after a break until the next. A trade flagged
AGAIN is in no bar. The session fields are those of the UTC day; `market.sessions` knows other calendars.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.errors import ConfigError, DataError
from nexus_core.market.blocks import Ints
from nexus_core.market.events import AGAIN, BREAK, BUY, CLEAR, EVENT, LAST, QUOTE, SELL, TRADE
from nexus_core.records import ROW, Records, empty, layout
from nexus_core.steps.tool import record

TICK_RULE = 2
"""Row flag: the side of a trade that an imbalance bar counts was not said, but taken from the tick rule."""

_KINDS = ("time", "tick", "volume", "dollar", "imbalance")
_TIME, _TICK, _VOLUME, _DOLLAR, _IMBALANCE = range(5)
_FAR, _NEVER, _DAY, _MINUTE = 2**63 - 1, -(2**63), 86_400_000_000_000, 60_000_000_000
_ALMOST, _SPAN, _REACH, _MOST = 1.0 - 1e-12, 20, 2.0, 10  # almost: ten times 0.1 fill a bar of 1

_PRICES = ("open", "high", "low", "close", "bid", "ask")
_VOLUMES = ("volume", "buy_volume", "sell_volume")
_STATE = layout(
    # the instant the bar ends with, the far future while that is open; what is older than `earliest` is late;
    # prices in the bar, how many fill it whatever else does, and trades that the tick rule signed
    ("end earliest seq count most guessed", "i8"),
    # `close` and the quote stay: they are the last known
    ("open high low close volume buy_volume sell_volume bid ask bid_size ask_size", "f8"),
    # what fills the bar, and how much of it, either way, is enough; the sign of the last trade; the sign
    # expected of a trade; trades expected in a bar
    ("filled full sign mean_sign length", "f8"),
)

_LOOP = """
def entry(events, starts, until, states, settings, rows, ends):
    how = settings[0]
    n = 0
    for s in range(ends.size):
        state = states[s]
        for i in range(starts[s], starts[s + 1]):
            event = events[i]
            if event.ts < state.earliest or event.symbol != s:
                return -1 - i
            if event.ts > state.end:
                n += close(rows[n], state, s, how)
            if not move(state, event, how):
                return -1 - i
        if until >= state.end:
            n += close(rows[n], state, s, how)
        state.earliest = max(state.earliest, until + 1)
        ends[s] = n
    return n
"""


class Bars:
    """Makes bars of one kind, time, tick, volume, dollar or imbalance, for each of some symbols.

    `size` is the length in nanoseconds (time), or what fills a bar: trades (tick), quantity (volume), price
    times quantity (dollar). An imbalance bar is full when the signs of its trades, BUY and SELL, add up to
    as much either way as is expected of a bar: the tick imbalance bars of López de Prado (2018), *Advances
    in Financial Machine Learning*, ch. 2. The expected sign of a trade is an exponentially weighted mean over
    trades of span `size`, the expected trades of a bar one over bars of span 20; the first bar has `size`
    trades. Left alone these expectations feed on themselves, so (not in the book) the expected trades stay
    within half and double of `size`, and ten times `size` fill any bar. Where the aggressor is not known a
    trade has the sign of the last change of price, and the row is flagged TICK_RULE.

    With `mid` prices are the middles of quotes, volume is NaN, and a tick is a quote: for markets that
    publish no trades. Time bars end at `origin`, in nanoseconds, plus whole lengths.
    """

    state: Records
    """All that is remembered, a flat record for each symbol: copy it to save, write into it to restore."""

    def __init__(
        self, kind: str, size: float, symbols: int, *, mid: bool = False, quiet: bool = False, origin: int = 0
    ) -> None:
        _check(kind, size, symbols, mid)
        which, length = _KINDS.index(kind), int(size)
        self._settings = np.array([record(kind=which, length=length, origin=origin, mid=mid, quiet=quiet)])
        self.state = np.zeros(symbols, _STATE)
        for name in (*_PRICES, *(_VOLUMES if mid else ())):
            self.state[name] = math.nan
        self.state["end"], self.state["earliest"], self.state["length"] = _FAR, _NEVER, size
        self.state["most"] = length if kind == "imbalance" else _FAR
        self.state["full"] = math.inf if kind in ("time", "imbalance") else size * _ALMOST
        self._make = compile.Fixed(compile.entry("bars", _LOOP, {"move": _move, "close": _close}))

    def take(self, events: Records, starts: Any = None, until: int = _NEVER) -> tuple[Records, Ints]:
        """Take the next events and return the bars they complete, as rows and starts of a chunk.

        Events lie symbol by symbol, each symbol's in the order of time: symbol `s` owns
        `events[starts[s]:starts[s + 1]]`. `until` says that no event stamped up to then, in nanoseconds, is
        to come for any symbol, and completes what has ended by it. Where an event cannot be taken none is.
        """
        size, symbols, before = len(events), len(self.state), self.state.tobytes()
        cuts = np.array([0, size] if starts is None else starts, np.int64)
        cut = cuts.tolist()
        rises = len(cut) == symbols + 1 and cut == sorted(cut) and (cut[0], cut[-1]) == (0, size)
        if events.dtype != EVENT or not rises:
            wanted = f"{symbols + 1} starts that rise from 0 to {size}, not {cut}"
            raise DataError(f"bars: give events as records of dtype market.events.EVENT, and {wanted}.")
        rows, first = empty(ROW, size + symbols), np.zeros(symbols + 1, np.int64)
        given, until = np.ascontiguousarray(events), int(min(until, _FAR - 1))
        made = self._make(given, cuts, until, self.state, self._settings, rows, first[1:])
        if made < 0:
            symbol = int((cuts <= -1 - made).sum()) - 1
            why = _fault(events[-1 - made], symbol, int(self.state["earliest"][symbol]))
            self.state[:] = np.frombuffer(before, _STATE)
            raise DataError(f"bars: event {-1 - made} {why}.")
        return rows[:made], first

    def flush(self, until: int) -> tuple[Records, Ints]:
        """Return the bars that have ended by `until`, in nanoseconds; no event up to then may come later."""
        return self.take(np.zeros(0, EVENT), np.zeros(len(self.state) + 1, np.int64), until)


def _check(kind: str, size: float, symbols: int, mid: bool) -> None:
    whole = kind in ("volume", "dollar") or size % 1 == 0
    for holds, why in (
        (kind in _KINDS, f"kind was {kind!r}; it is one of {', '.join(_KINDS)}"),
        (0 < size < math.inf and whole, f"size was {size}; it is above 0, and whole for time and for trades"),
        (symbols > 0, f"symbols was {symbols}; it is at least one"),
        (not mid or kind in ("time", "tick"), f"{kind} bars need trades; bars of mids are time or tick"),
    ):
        if not holds:
            raise ConfigError(f"bars: {why}.")


def _fault(event: Any, symbol: int, earliest: int) -> str:
    if event["symbol"] != symbol:
        return f"is of symbol {event['symbol']} among those of {symbol}; give events symbol by symbol"
    if event["ts"] < earliest:
        return f"is stamped {event['ts']}, before {earliest}; stamp a late one with that, and flag it BACK"
    known = f"is a trade of price {event['price']} and size {event['size']}"
    return f"{known}; a price is finite, a size at least 0, and known where it fills the bar"


@compile.step
def _move(state: Any, event: Any, how: Any) -> bool:
    kind, length = event.kind, how.length
    state.earliest, state.seq = event.ts, event.seq
    if how.kind == _TIME and state.end == _FAR:
        state.end = how.origin - (how.origin - event.ts) // length * length
    if kind == TRADE and event.flags & AGAIN == 0 and not how.mid:
        return _trade(state, event, how)
    # the quote is known from here alone: the best of a book would be told here too
    if kind == QUOTE and event.side == BUY:
        state.bid, state.bid_size = event.price, event.size
    elif kind == QUOTE:
        state.ask, state.ask_size = event.price, event.size
    elif kind in (BREAK, CLEAR):
        state.bid, state.ask, state.bid_size, state.ask_size = np.nan, np.nan, 0.0, 0.0
    middle = (state.bid + state.ask) / 2.0
    if how.mid and kind == QUOTE and event.flags & LAST != 0 and middle - middle == 0.0:
        _price(state, event.ts, middle, 1.0)
    return True


@compile.step
def _trade(state: Any, event: Any, how: Any) -> bool:
    price, size, side = event.price, event.size, event.side
    amount, rise = 1.0, int(price > state.close) - int(price < state.close)
    if how.kind in (_VOLUME, _DOLLAR):
        amount = size if how.kind == _VOLUME else abs(price * size)
    if price - price != 0.0 or size < 0.0 or size == np.inf or amount != amount:
        return False
    if how.kind == _IMBALANCE:
        state.guessed += int(side == 0)
        sign = side if side != 0 else rise
        state.sign = amount = float(sign) if sign != 0 else state.sign
        state.mean_sign += 2.0 / (how.length + 1.0) * (amount - state.mean_sign)
    state.volume += size
    state.buy_volume += size if side == BUY else 0.0 if side == SELL else np.nan
    state.sell_volume += size if side == SELL else 0.0 if side == BUY else np.nan
    _price(state, event.ts, price, amount)
    return True


@compile.step
def _price(state: Any, ts: int, price: float, amount: float) -> None:
    if state.count == 0:
        state.open = state.high = state.low = price
    state.high, state.low, state.close = max(state.high, price), min(state.low, price), price
    state.count += 1
    state.filled += amount
    if abs(state.filled) >= state.full or state.count >= state.most:
        state.end = ts


@compile.step
def _close(row: Any, state: Any, symbol: int, how: Any) -> int:
    made = int(state.count > 0 or how.quiet)
    if made:
        _write(row, state, symbol, how)
    if how.kind == _IMBALANCE:
        length = state.length + 2.0 / (_SPAN + 1.0) * (state.count - state.length)
        state.length = min(max(length, how.length / _REACH), how.length * _REACH)
        state.full, state.most = state.length * abs(state.mean_sign), how.length * _MOST
    state.end, state.count, state.guessed = _FAR, 0, 0
    state.open = state.high = state.low = state.close
    state.volume = state.buy_volume = state.sell_volume = np.nan if how.mid else 0.0
    state.filled = 0.0
    return made


@compile.step
def _write(row: Any, state: Any, symbol: int, how: Any) -> None:
    ts = state.end
    row.ts, row.seq, row.symbol, row.flags = ts, state.seq, symbol, TICK_RULE if state.guessed > 0 else 0
    row.open, row.high, row.low, row.close = state.open, state.high, state.low, state.close
    row.volume, row.buy_volume, row.sell_volume = state.volume, state.buy_volume, state.sell_volume
    row.trades = 0 if how.mid else state.count
    row.bid, row.ask, row.bid_size, row.ask_size = state.bid, state.ask, state.bid_size, state.ask_size
    minute = (ts - (ts - 1) // _DAY * _DAY) // _MINUTE
    row.session_id, row.minute_of_session, row.minutes_to_close = (ts - 1) // _DAY, minute, 1440 - minute
