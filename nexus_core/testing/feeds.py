"""The contract of feeds: what a row may be, and that the same rows come whenever they are asked for."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.errors import NexusError
from nexus_core.feed import Feed, Market
from nexus_core.market.blocks import Chunk
from nexus_core.market.book import depth
from nexus_core.market.events import CLEAR, EVENT, LAST, LEVEL, LIQUIDATION, TRADE
from nexus_core.records import Records
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.market import MINUTE
from nexus_core.types import Instrument, iso

_SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
_TICKS, _MANY = 250, 20_000
_LEAST = 100_000
"""Rows a second."""

_OFFERED = {
    "bar": ("open", "high", "low", "close"),
    "volume": ("volume",),
    "quote": ("bid", "ask"),
    "trade": ("buy_volume", "sell_volume"),
    "book": (),
}
"""What may be offered, with the fields of a row that carry it. Trades may be events, and books always are."""

_TOLD = {"trade": (TRADE,), "book": (CLEAR, LEVEL)}
"""The kinds of market events that carry what is offered: of a book, a snapshot and the levels of it."""

_EVENTS = """
def entry(events, books):
    for i in range(events.size):
        push(books[0], events[i])
        if events[i].flags & LAST and books[0].crossed:
            return i
    return -1
"""


def _needless(of: Subject) -> str:
    try:
        _declares(of)
    except Exception:
        return "it does not declare what it offers: see NX-F01"
    return "its rows come as they happen, and only once" if of.plugin.live else ""


def _no_speed(of: Subject) -> str:
    return _needless(of) or ("" if compile.JIT else "NEXUS_JIT=0: nothing is compiled")


def _no_events(of: Subject) -> str:
    return _needless(of) or ("" if "event" in of.plugin.clocks else "it has no clock of events")


def _correlated(of: Subject) -> str:
    alone = "it declares that its symbols are made together (correlated)"
    return _needless(of) or (alone if of.plugin.correlated else "")


@check("NX-F01", Grade.BRONZE, "feeds")
def _declares(of: Subject) -> None:
    """Kinds of rows it offers are declared, and whether it is live."""
    offers, live = of.plugin.offers, of.plugin.live
    named = ", ".join(_OFFERED)
    if not isinstance(offers, set | frozenset) or not offers:
        raise Broken(f"offers was {offers!r}, must be a set of some of {named}.")
    strange = sorted(str(each) for each in offers - _OFFERED.keys())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if strange:
        raise Broken(f"offers {', '.join(strange)}, which is nothing a row carries. Choose from {named}.")
    if not isinstance(live, bool):
        raise Broken(f"live was {live!r}, must be True or False.")


@check("NX-F02", Grade.BRONZE, "feeds", needless=_needless)
def _makes_rows(of: Subject) -> None:
    """Its rows are in order, possible, as far apart as asked for, and carry what it offers."""
    _possible(of, _market())
    try:
        _possible(of, _market(interval=5 * MINUTE))
    except Broken:
        raise
    except NexusError:
        return  # it says that it has no such bars


def _possible(of: Subject, market: Market) -> None:
    feed = of.make()
    chunks = list(feed.chunks(market, 0))
    _in_order(chunks, market)
    for symbol, (rows, events) in enumerate(zip(*_parts(chunks, market), strict=True)):
        if not len(rows):
            raise Broken(
                f"gave no row of symbol {symbol}, all were asked for. Refuse one that there is none of."
            )
        _spaced(rows, market)
        _sound(rows, feed.offers)
        _carried(rows, events, feed.offers)


def _in_order(chunks: list[Any], market: Market) -> None:
    symbols = len(market.instruments)
    for number, chunk in enumerate(chunks):
        if not isinstance(chunk, Chunk):
            raise Broken(f"chunk {number} was a {type(chunk).__name__}, must be a Chunk.")
        if len(chunk.starts) != symbols + 1:
            raise Broken(f"chunk {number} held {len(chunk.starts) - 1} symbols, {symbols} were asked for.")
        if not chunk.ticks:
            raise Broken(f"chunk {number} was empty. Yield no chunk where there are no rows.")
    for number, (one, other) in enumerate(pairwise(chunks)):
        if one.times[-1] >= other.times[0]:
            raise Broken(
                f"chunk {number + 1} began at {iso(other.times[0])}, not after chunk {number} had ended. "
                "Let chunks follow each other in time."
            )
    ticks = sum(chunk.ticks for chunk in chunks)
    if not 0 < ticks <= market.ticks:
        raise Broken(
            f"gave {ticks} ticks of the {market.ticks} asked for. Give them, or as many as there are."
        )


def _spaced(rows: Records, market: Market) -> None:
    steps = np.diff(rows["ts"])
    wrong = np.flatnonzero(steps % market.interval)
    if wrong.size:
        n = int(wrong[0]) + 1
        raise Broken(
            f"{_where(rows, n)} came {steps[n - 1]:,} ns after the one before it, bars of "
            f"{market.interval:,} ns were asked for. Refuse an interval that there are no bars of."
        )


def _sound(rows: Records, offers: set[str]) -> None:
    row = {name: rows[name] for name in rows.dtype.names or ()}
    top, bottom = np.fmax(row["open"], row["close"]), np.fmin(row["open"], row["close"])
    rules: list[tuple[Any, str]] = [
        (~np.isfinite(row[name]) | (row[name] <= 0), f"{name} was no price above 0")
        for name in _OFFERED["bar"]
    ]
    rules += [
        (row["high"] < top, "high was below open or close"),
        (row["low"] > bottom, "low was above open or close"),
        (row["volume"] < 0, "volume was below 0"),
    ]
    if "quote" in offers:
        rules += [
            ((row[name] <= 0) | np.isinf(row[name]), f"{name} was no price above 0")
            for name in ("bid", "ask")
        ]
        rules += [(row["bid"] > row["ask"], "bid was above ask")]
    for wrong, what in rules:
        if wrong.any():
            raise Broken(
                f"{what} at {_where(rows, int(np.argmax(wrong)))}. Leave out what is unknown, or mend it."
            )


def _carried(rows: Records, events: Records, offers: set[str]) -> None:
    for offer in sorted(offers):
        kinds = _TOLD.get(offer, ())
        if kinds and np.isin(kinds, events["kind"]).all():
            continue
        whose = f"of symbol {rows['symbol'][0]}"
        if offer == "book":
            raise Broken(f"offers book, and no event {whose} was of kind CLEAR or LEVEL. Offer less.")
        for name in _OFFERED[offer]:
            if np.isnan(rows[name]).all():
                raise Broken(f"offers {offer}, and {name} {whose} was always NaN. Offer less.")


@check("NX-F03", Grade.BRONZE, "feeds", needless=_needless)
def _repeats(of: Subject) -> None:
    """Asked twice, a market has the same bits."""
    once, again = (_played(of.make(), _market()) for _ in range(2))
    _alike(once, again, "differed when the same market was asked for again. Draw from its seed alone.")


@check("NX-F04", Grade.SILVER, "feeds", needless=_needless)
def _starts_anywhere(of: Subject) -> None:
    """No tick's rows and events depend on the tick that was begun with."""
    rows, events = _played(of.make(), _market())
    times = np.unique(np.concatenate([each["ts"] for each in rows]))
    for start in sorted({1, times.size // 3, times.size - 1}):
        tail = [each[each["ts"] >= times[start]] for each in rows]
        heard = [each[each["ts"] > times[start - 1]] for each in events]
        told = f"differed when tick {start} was begun with. Give what belongs to tick n whatever the start."
        _alike((tail, heard), _played(of.make(), _market(), start), told)


@check("NX-F05", Grade.SILVER, "feeds", needless=_correlated)
def _keeps_symbols_apart(of: Subject) -> None:
    """No symbol's rows and events depend on how many symbols follow it."""
    whole = _played(of.make(), _market())
    for count in range(1, len(_SYMBOLS)):
        fewer = _played(of.make(), _market(symbols=count))
        # where symbols miss instants, fewer of them reach further in as many ticks
        end = min(rows["ts"][-1] for rows in (*whole[0][:count], *fewer[0]) if len(rows))
        kept, early = (_until(each, count, end) for each in (whole, fewer))
        advice = "Make each symbol's rows by themselves, or declare correlated = True."
        # a place in the feed is counted over all symbols
        told = f"differed when {count} symbols were asked for and not {len(_SYMBOLS)}. {advice}"
        _alike(kept, early, told, apart=("seq",))


@check("NX-F06", Grade.SILVER, "feeds", needless=_needless)
def _records(of: Subject) -> None:
    """Its recording is JSON, and the same each time."""
    feed, market = of.make(), _market()
    found: list[str] = []
    for each in (feed, feed, of.make()):
        made: Any = each.recording(market)
        try:
            found.append(json.dumps(made, allow_nan=False, sort_keys=True))
        except (TypeError, ValueError) as error:
            raise Broken(
                f"its recording is no JSON: {error}. Take text, numbers, lists and dicts."
            ) from error
        if not isinstance(made, dict) or not made:
            raise Broken(f"its recording was {made!r}, must name what the rows are a function of.")
        for _ in each.chunks(market, 0):
            pass
    if len(set(found)) > 1:
        raise Broken("its recording of one market differed. Name only what the rows are a function of.")


@check("NX-F07", Grade.GOLD, "feeds", needless=_no_speed)
def _is_quick(of: Subject) -> None:
    """At least 100,000 rows, or market events, come in a second."""
    feed, market = of.make(), _market(symbols=1, ticks=_MANY)
    feed.warm()
    most = max(_speed(feed, market) for _ in range(3))
    if most < _LEAST:
        raise Broken(
            f"gave {most:,.0f} rows and events a second, must give {_LEAST:,}. Make whole columns at a time."
        )


def _speed(feed: Feed, market: Market) -> float:
    begun, count = time.perf_counter(), 0
    for chunk in feed.chunks(market, 0):
        count += len(chunk.rows) + (0 if chunk.events is None else len(chunk.events))
    return count / (time.perf_counter() - begun)


@check("NX-F08", Grade.SILVER, "feeds", needless=_no_events)
def _agrees_with_its_events(of: Subject) -> None:
    """Its market events follow each other, make its rows, and cross no book."""
    for market in (_market(), _market(interval=1, clock="event")):
        feed = of.make()
        chunks = list(feed.chunks(market, 0))
        for one, other in pairwise(chunks):
            _follows(one, other, len(market.instruments))
        for rows, events in zip(*_parts(chunks, market), strict=True):
            _has_rows(rows, events, market)
            _adds_up(rows, _trades(events))
            if "book" in feed.offers:
                _uncrossed(events)


def _follows(one: Chunk, other: Chunk, symbols: int) -> None:
    for before, after in zip(_events(one, symbols), _events(other, symbols), strict=True):
        early = np.flatnonzero(after["ts"] <= one.times[-1])
        if early.size:
            raise Broken(
                f"{_where(after, int(early[0]), 'event')} came in the chunk after the one to "
                f"{iso(one.times[-1])}. Give events before the row that ends at or after their time."
            )
        if len(before) and len(after) and after["seq"][0] <= before["seq"][-1]:
            raise Broken(
                f"seq of {_where(after, 0, 'event')} was {after['seq'][0]}, and {before['seq'][-1]} in the "
                "chunk before. Count on from chunk to chunk."
            )


def _has_rows(rows: Records, events: Records, market: Market) -> None:
    """Tell of an event that falls into no row; with a clock of bars only trades make rows."""
    asking = _trades(events) if market.clock == "bar" else events
    ends = np.append(rows["ts"], np.iinfo(np.int64).max)[np.searchsorted(rows["ts"], asking["ts"])]
    wrong = np.flatnonzero(ends - market.interval >= asking["ts"])
    if wrong.size:
        raise Broken(
            f"{_where(asking, int(wrong[0]), 'event')} fell into no row, with clock = {market.clock}. "
            "Make a row of the interval that it falls in."
        )


def _adds_up(rows: Records, trades: Records) -> None:
    """Tell of a row with another close than its last trade, or with another volume than all of them."""
    if not len(trades):  # what it knows of trades it has from elsewhere
        return
    counts = np.bincount(np.searchsorted(rows["ts"], trades["ts"]), minlength=len(rows))
    lasts = np.cumsum(counts)
    sums = np.diff(np.concatenate([[0.0], np.cumsum(trades["size"])])[np.concatenate([[0], lasts])])
    closes = np.where(counts > 0, trades["price"][lasts - 1], rows["close"])
    for name, due in (("close", closes), ("volume", sums)):
        # sums of many sizes differ by how they were added up
        apart = np.abs(rows[name] - due) > 1e-9 * trades["size"].sum() * (name == "volume")
        if apart.any():
            n = int(np.argmax(apart))
            raise Broken(
                f"{name} of {_where(rows, n)} was {rows[name][n]:g}, its trades make it {due[n]:g}. "
                "Make rows of the trades in (ts - interval, ts]."
            )


def _uncrossed(events: Records) -> None:
    books = np.array([depth(window=4096, beyond=4096)])
    wrong = int(
        compile.call(compile.entry("feed_books", _EVENTS, {"push": depth.push, "LAST": LAST}), events, books)
    )
    if wrong >= 0:
        bid, ask = books[0]["bid"], books[0]["ask"]
        raise Broken(
            f"after {_where(events, wrong, 'event')} the book's bid was {bid:g}, its ask {ask:g}. Flag LAST "
            "where a message ends, and say BREAK where updates were lost."
        )


def _trades(events: Records) -> Records:
    # a forced order is told beside the trades that it made
    return events[(events["kind"] == TRADE) & (events["flags"] & LIQUIDATION == 0)]


def _market(
    symbols: int = len(_SYMBOLS), ticks: int = _TICKS, interval: int = MINUTE, clock: str = "bar"
) -> Market:
    traded = tuple(Instrument(each, tick=Decimal("0.01")) for each in _SYMBOLS[:symbols])
    return Market(traded, interval, 7, ticks, clock)


def _played(feed: Feed, market: Market, start: int = 0) -> tuple[list[Records], list[Records]]:
    """Return each symbol's rows, and each symbol's events."""
    return _parts(list(feed.chunks(market, start)), market)


def _parts(chunks: list[Chunk], market: Market) -> tuple[list[Records], list[Records]]:
    symbols = range(len(market.instruments))
    rows = [
        np.concatenate([each.rows[each.starts[s] : each.starts[s + 1]] for each in chunks]) for s in symbols
    ]
    heard = [_events(each, len(symbols)) for each in chunks]
    return rows, [np.concatenate(each) for each in zip(*heard, strict=True)]


def _events(chunk: Chunk, symbols: int) -> list[Records]:
    if chunk.events is None or chunk.event_starts is None:
        return [np.zeros(0, EVENT)] * symbols
    return np.split(chunk.events, chunk.event_starts[1:-1])


def _until(played: tuple[list[Records], list[Records]], symbols: int, end: int) -> Any:
    return tuple([each[each["ts"] <= end] for each in part[:symbols]] for part in played)


def _alike(one: Any, other: Any, told: str, apart: tuple[str, ...] = ()) -> None:
    """Compare the rows, and the events, of each symbol; tell of the first field that differs."""
    for what, lefts, rights in zip(("row", "event"), one, other, strict=True):
        for left, right in zip(lefts, rights, strict=True):
            size = min(len(left), len(right))
            for name in left.dtype.names or ():
                a, b = left[name][:size], right[name][:size]
                wrong = np.flatnonzero((a != b) & ((a == a) | (b == b)))
                if name not in apart and wrong.size:
                    raise Broken(f"{name} of {_where(left, int(wrong[0]), what)} {told}")
            if len(left) != len(right):
                raise Broken(f"the number of a symbol's {what}s, {len(left)} and {len(right)}, {told}")


def _where(records: Records, n: int, what: str = "row") -> str:
    return f"{what} {n} (symbol {records['symbol'][n]}, {iso(records['ts'][n])})"
