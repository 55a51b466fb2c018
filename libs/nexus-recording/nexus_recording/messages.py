"""What the venues say, one line each: which message it is, its numbers by key, and its levels as events.

Keys may come in any order, and keys nobody asks for are passed over. The objects under `data` (a combined
stream's) and `o` (a forced order's) are read as if their keys stood beside the others: none clash.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.market.events import BUY, LEVEL, SELL, TRADE
from nexus_core.market.events import QUOTE as QUOTE_KIND
from nexus_core.records import layout
from nexus_recording.scan import (
    CLOSE,
    CLOSE_LIST,
    COLON,
    COMMA,
    NEWLINE,
    OPEN,
    OPEN_LIST,
    QUOTE,
    code,
    decimal_at,
    named_at,
    number_at,
    value_end,
    word_at,
)

KEYS = (
    *("e", "E", "T", "s", "U", "u", "pu", "b", "a", "B", "A", "t", "p", "q", "m", "X", "S", "ap", "z", "o"),
    *("stream", "data", "lastUpdateId", "bids", "asks", "symbol"),  # Binance
    *("channel", "coin", "levels", "time", "px", "sz", "side", "tid"),  # Hyperliquid
)
"""The keys that mean something, each by its place here."""

_EVENT, _MADE, _AT, _SYMBOL, _FIRST, _FINAL, _PREVIOUS = (KEYS.index(k) for k in ("e", *"ETsUu", "pu"))
_BID, _ASK, _BID_SIZE, _ASK_SIZE, _ID, _PRICE, _QUANTITY = (KEYS.index(k) for k in "baBAtpq")
_MAKER, _SORT, _SIDE, _AVERAGE, _FILLED, _ORDER = (KEYS.index(k) for k in ("m", "X", "S", "ap", "z", "o"))
_STREAM, _DATA, _LAST_ID, _BIDS, _ASKS, _NAME = range(_ORDER + 1, _ORDER + 7)
_CHANNEL, _COIN, _LEVELS, _TIME, _PX, _SZ, _WHOSE, _TID = range(_NAME + 1, len(KEYS))

DEPTH, TICKER, TAPE, AGGREGATE, FORCED, REST, BOOK, TRADES = range(1, 9)
"""Messages: a change of the book, a best bid and ask, a trade, trades of one order taken together, a forced
order, a snapshot asked for, a book as a whole, and a list of trades."""

NAMES = ("", "depth", "ticker", "trade", "aggTrade", "forceOrder", "snapshot", "l2Book", "trades")
"""The messages in words."""

UNSAID, ANOTHER = -1, -2
"""Symbols of a message that says none, or one that nobody asked for."""

GARBLED, ALIEN, INCOMPLETE, CLOCK, WHOSE = 1, 2, 3, 4, 5
"""Why a line is not understood: no JSON of this shape; none of the messages above; one with something
missing or impossible; times of venue and recorder more than an hour apart; of no symbol that it could be."""

MESSAGE = layout(
    ("kind why", "i8"),
    ("local", "i8"),  # as the recorder stamped it, then by the venue's clock, in nanoseconds; 0: not known
    ("made", "i8"),  # by the venue's clock, in nanoseconds; 0 where it does not say
    ("ts", "i8"),  # the same, or the best that is known
    ("symbol", "i8"),
    ("first last", "i8"),  # its events in the array of events
    ("previous final", "i8"),  # the updates of a change to the book: after the one, up to the other
    ("numbers texts lists", "i8"),  # a bit for each key that had a number, a string, a list
)
"""A line as it was read."""

_CODES = np.array([code(key) for key in KEYS])
_SLOTS = next(n for n in range(len(KEYS), 10_000) if len({int(each) % n for each in _CODES}) == len(KEYS))
_PLACES = np.full(_SLOTS, -1)
_PLACES[_CODES % _SLOTS] = range(len(KEYS))

_NUMBER, _WORD, _SYMBOL_NAME = 1, 2, 3
_TEXTS = np.zeros(len(KEYS), np.int64)  # what a key's string is read as
_TEXTS[[_BID, _ASK, _BID_SIZE, _ASK_SIZE, _PRICE, _QUANTITY, _AVERAGE, _FILLED, _PX, _SZ]] = _NUMBER
_TEXTS[[_EVENT, _SORT, _SIDE, _CHANNEL, _WHOSE]] = _WORD
_TEXTS[[_SYMBOL, _NAME, _COIN, _STREAM]] = _SYMBOL_NAME

_EVENTS = np.array([code(e) for e in ("depthUpdate", "bookTicker", "trade", "aggTrade", "forceOrder")])
_L2_BOOK, _TRADES = code("l2Book"), code("trades")
_BUYER, _MARKET, _BUYERS = code("BUY"), code("MARKET"), code("B")
_TRUE, _FALSE = 116, 102
_MILLISECOND, _LATEST = 1_000_000, 9_000_000_000_000


def _bits(*keys: int) -> int:
    return sum(1 << key for key in keys)


_QUOTED = _bits(_BID, _ASK, _BID_SIZE, _ASK_SIZE)
_TRADED, _OF_LEVEL = _bits(_PRICE, _QUANTITY), _bits(_PX, _SZ)
_OF_TRADE = _bits(_PX, _SZ, _WHOSE, _TIME, _TID)
_NEEDED = np.array([  # by message: the keys that need a number (or a flag), a string, a list
    (0, 0, 0),
    (_bits(_FIRST, _FINAL, _MADE), 0, _bits(_BID, _ASK)),
    (_bits(_FINAL), _QUOTED, 0),
    (_bits(_ID, _MAKER, _MADE), _TRADED, 0),
    (_bits(_ASK, _MAKER, _MADE), _TRADED, 0),
    (_bits(_MADE), _bits(_SIDE, _AVERAGE, _FILLED), 0),
    (_bits(_LAST_ID), 0, _bits(_BIDS, _ASKS)),
    (_bits(_TIME), 0, _bits(_LEVELS)),
    (0, 0, _bits(_DATA)),
])  # fmt: skip


@step
def read(data: Any, i: int, message: Any, whole: Any, parts: Any, names: Any, out: Any) -> int:
    """Read the line at `i` into `message`: the position of the next line, or -1 with the reason in `why`.

    Events are written to `out` from `message.first` on, up to `message.last`: price, size and side of each.
    """
    message.numbers, message.texts, message.lists = 0, 0, 0
    message.symbol, message.made, message.last = UNSAID, 0, message.first
    message.why = GARBLED
    i, message.local = number_at(data, i)
    if i < 0 or data[i] != 32 or data[i + 1] != OPEN:
        return -1
    i = members(data, i + 2, message, whole, parts, names, out)
    if i < 0 or data[i] != NEWLINE:
        return -1
    message.kind = sort(message, whole)
    if message.kind == 0:
        message.why = ALIEN
        return -1
    if not complete(message, whole, parts, out):
        message.why = INCOMPLETE
        return -1
    return i + 1


@step
def members(data: Any, i: int, message: Any, whole: Any, parts: Any, names: Any, out: Any) -> int:
    """Read keys and values after an opening brace, down into `data` and `o`: the position after the last."""
    depth = 1
    while True:
        if data[i] != QUOTE:
            return -1
        i, key = word_at(data, i + 1)
        if i < 0 or data[i] != COLON:
            return -1
        i += 1
        place = _PLACES[key % _SLOTS]
        if place >= 0 and _CODES[place] != key:
            place = -1
        if place in (_DATA, _ORDER) and data[i] == OPEN:
            depth += 1
            i += 1
            continue
        i = value_end(data, i) if place < 0 else value(data, i, place, message, whole, parts, names, out)
        if i < 0:
            return -1
        while data[i] == CLOSE:
            depth -= 1
            i += 1
            if depth == 0:
                return i
        if data[i] != COMMA:
            return -1
        i += 1


@step
def value(data: Any, i: int, place: int, message: Any, whole: Any, parts: Any, names: Any, out: Any) -> int:
    """Read the value of a known key by how it begins: the position after it."""
    c, bit = int(data[i]), 1 << place
    if (message.numbers | message.texts | message.lists) & bit != 0:
        return -1  # said twice: the slow way knows which of them counts
    if c == QUOTE:
        message.texts |= bit
        return text(data, i + 1, place, message, whole, parts, names)
    if c == OPEN_LIST:
        message.lists |= bit
        return entries(data, i, place, message, whole, parts, names, out)
    if 48 <= c <= 57:
        i, whole[place] = number_at(data, i)
        message.numbers |= bit
        return i
    if place == _MAKER and c in (_TRUE, _FALSE):
        whole[place] = 1 if c == _TRUE else 0
        message.numbers |= bit
    return value_end(data, i)


@step
def text(data: Any, i: int, place: int, message: Any, whole: Any, parts: Any, names: Any) -> int:
    """Read the string of a known key as what the key calls for: the position after its closing quote."""
    meant = _TEXTS[place]
    if meant == _NUMBER:
        i, parts[place] = decimal_at(data, i)
        return i + 1 if i > 0 and data[i] == QUOTE else -1
    if meant == _WORD:
        i, whole[place] = word_at(data, i)
        return i
    if meant == _SYMBOL_NAME:
        i, s = named_at(data, i, names)
        if i > 0 and (place != _STREAM or message.symbol == UNSAID):
            message.symbol = s if s >= 0 else ANOTHER
    return quote_end(data, i) if i > 0 else -1


@step
def quote_end(data: Any, i: int) -> int:
    """Return the position after the quote that closes the string `i` is in."""
    while data[i] != QUOTE:
        if data[i] == NEWLINE or data[i] == 92:
            return -1
        i += 1
    return i + 1


@step
def entries(data: Any, i: int, place: int, message: Any, whole: Any, parts: Any, names: Any, out: Any) -> int:
    """Read a list: levels of the book, or trades, as events; any other is passed over."""
    if place in (_BID, _BIDS):
        return pairs(data, i, BUY, message, out)
    if place in (_ASK, _ASKS):
        return pairs(data, i, SELL, message, out)
    if place == _LEVELS:
        return sides(data, i, message, whole, parts, names, out)
    if place == _DATA and whole[_CHANNEL] == _TRADES and message.texts & (1 << _CHANNEL) != 0:
        return trades(data, i, message, whole, parts, names, out)
    return value_end(data, i)


@step
def pairs(data: Any, i: int, side: int, message: Any, out: Any) -> int:
    """Read [["price","size"],...] as levels of a side: the position after the list."""
    i += 1
    if data[i] == CLOSE_LIST:
        return i + 1
    n = message.last
    while data[i] == OPEN_LIST and data[i + 1] == QUOTE:
        i, price = decimal_at(data, i + 2)
        if i < 0 or data[i] != QUOTE or data[i + 1] != COMMA or data[i + 2] != QUOTE:
            return -1
        i, size = decimal_at(data, i + 3)
        if i < 0 or price <= 0.0 or data[i] != QUOTE or data[i + 1] != CLOSE_LIST:
            return -1
        level = out[n]
        level.price, level.size, level.side, level.kind = price, size, side, LEVEL
        n += 1
        i += 2
        if data[i] == CLOSE_LIST:
            message.last = n
            return i + 1
        if data[i] != COMMA:
            return -1
        i += 1
    return -1


@step
def sides(data: Any, i: int, message: Any, whole: Any, parts: Any, names: Any, out: Any) -> int:
    """Read [[{"px":..,"sz":..},...],[...]]: bids, then asks."""
    side = BUY
    i += 1
    while data[i] == OPEN_LIST:
        i += 1
        while data[i] == OPEN:
            i, known = part(data, i + 1, message, whole, parts, names)
            if i < 0 or known & _OF_LEVEL != _OF_LEVEL or parts[_PX] <= 0.0:
                return -1
            level = out[message.last]
            level.price, level.size, level.side, level.kind = parts[_PX], parts[_SZ], side, LEVEL
            message.last += 1
            i = next_part(data, i)
        if i < 0 or data[i] != CLOSE_LIST:
            return -1
        i += 1
        if side == SELL:
            return i + 1 if data[i] == CLOSE_LIST else -1
        if data[i] != COMMA:
            return -1
        side = SELL
        i += 1
    return -1


@step
def trades(data: Any, i: int, message: Any, whole: Any, parts: Any, names: Any, out: Any) -> int:
    """Read [{"px":..,"sz":..,"side":..,"time":..,"tid":..},...] as trades, each with its time and number."""
    i += 1
    while data[i] == OPEN:
        i, known = part(data, i + 1, message, whole, parts, names)
        if i < 0 or known & _OF_TRADE != _OF_TRADE or parts[_PX] <= 0.0 or parts[_SZ] <= 0.0:
            return -1
        if whole[_TIME] > _LATEST:
            return -1
        trade = out[message.last]
        trade.price, trade.size, trade.kind = parts[_PX], parts[_SZ], TRADE
        trade.side = BUY if whole[_WHOSE] == _BUYERS else SELL
        trade.id, trade.ts = whole[_TID], whole[_TIME] * _MILLISECOND
        message.last += 1
        i = next_part(data, i)
    return i + 1 if i > 0 and data[i] == CLOSE_LIST else -1


@step
def next_part(data: Any, i: int) -> int:
    """Return where the list goes on after one of its objects, past a comma that another follows."""
    if data[i] == COMMA:
        return i + 1 if data[i + 1] == OPEN else -1
    return i


@step
def part(data: Any, i: int, message: Any, whole: Any, parts: Any, names: Any) -> tuple[int, int]:
    """Read an object in a list after its opening brace: the position after it, and its keys as bits."""
    known: Any = 0
    while True:
        if data[i] != QUOTE:
            return -1, 0
        i, key = word_at(data, i + 1)
        if i < 0 or data[i] != COLON:
            return -1, 0
        i += 1
        place = _PLACES[key % _SLOTS]
        if place < 0 or _CODES[place] != key or known & (1 << place) != 0:
            i = value_end(data, i)
        elif data[i] == QUOTE:
            known |= 1 << place
            i = text(data, i + 1, place, message, whole, parts, names)
        elif 48 <= data[i] <= 57:
            known |= 1 << place
            i, whole[place] = number_at(data, i)
        else:
            i = value_end(data, i)
        if i < 0:
            return -1, 0
        if data[i] == CLOSE:
            return i + 1, known
        if data[i] != COMMA:
            return -1, 0
        i += 1


@step
def sort(message: Any, whole: Any) -> int:
    """Return which message it is by the event or channel it names, or by what it holds; 0 where none."""
    if message.texts & (1 << _EVENT) != 0:
        for k in range(_EVENTS.size):
            if whole[_EVENT] == _EVENTS[k]:
                return k + 1
        return 0
    if message.texts & (1 << _CHANNEL) != 0:
        if whole[_CHANNEL] == _L2_BOOK:
            return BOOK
        return TRADES if whole[_CHANNEL] == _TRADES else 0
    if message.numbers & (1 << _LAST_ID) != 0:
        return REST
    return TICKER if message.texts & _QUOTED == _QUOTED else 0


@step
def complete(message: Any, whole: Any, parts: Any, out: Any) -> bool:
    """Make of what was read the message's times, updates and events; tell whether all that needs is there."""
    kind = message.kind
    number, string, listed = _NEEDED[kind, 0], _NEEDED[kind, 1], _NEEDED[kind, 2]
    if message.numbers & number != number or message.texts & string != string:
        return False
    if message.lists & listed != listed:
        return False
    for place in (_TIME, _AT, _MADE):
        if message.numbers & (1 << place) != 0:
            if whole[place] > _LATEST:
                return False
            message.made = whole[place] * _MILLISECOND
    if kind == DEPTH:
        return updates(message, whole)
    if kind == TICKER:
        return quotes(message, whole, parts, out)
    if kind in (TAPE, AGGREGATE):
        return traded(message, whole, parts, out)
    if kind == FORCED:
        return forced(message, whole, parts, out)
    message.final = whole[_LAST_ID] if kind == REST else whole[_TIME]
    return True


@step
def updates(message: Any, whole: Any) -> bool:
    """Set which updates a change to the book holds: after `previous`, up to `final`."""
    message.final = whole[_FINAL]
    message.previous = whole[_FIRST] - 1
    if message.numbers & (1 << _PREVIOUS) != 0:
        message.previous = whole[_PREVIOUS]
    return message.previous < message.final


@step
def quotes(message: Any, whole: Any, parts: Any, out: Any) -> bool:
    """Write the best bid and ask."""
    message.final = whole[_FINAL]
    for k in range(2):
        quote = out[message.last]
        quote.kind, quote.side = QUOTE_KIND, BUY if k == 0 else SELL
        quote.price, quote.size = parts[_BID if k == 0 else _ASK], parts[_BID_SIZE if k == 0 else _ASK_SIZE]
        message.last += 1
    return parts[_BID] > 0.0 and parts[_ASK] > 0.0


@step
def traded(message: Any, whole: Any, parts: Any, out: Any) -> bool:
    """Write a trade; one that did not go through the book has no event."""
    message.final = whole[_ID if message.kind == TAPE else _ASK]
    if message.texts & (1 << _SORT) != 0 and whole[_SORT] != _MARKET:
        return True
    trade = out[message.last]
    trade.kind, trade.side = TRADE, SELL if whole[_MAKER] == 1 else BUY  # the buyer was there first
    trade.price, trade.size = parts[_PRICE], parts[_QUANTITY]
    message.last += 1
    return parts[_PRICE] > 0.0 and parts[_QUANTITY] > 0.0


@step
def forced(message: Any, whole: Any, parts: Any, out: Any) -> bool:
    """Write a forced order as a trade of all it has filled, at its average price."""
    message.final = 0
    trade = out[message.last]
    trade.kind, trade.side = TRADE, BUY if whole[_SIDE] == _BUYER else SELL
    trade.price, trade.size = parts[_AVERAGE], parts[_FILLED]
    message.last += 1
    return parts[_AVERAGE] > 0.0 and parts[_FILLED] > 0.0
