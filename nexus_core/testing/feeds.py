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
    "book": ("bid_size", "ask_size"),
}
"""What may be offered, with the fields of a row that carry it."""


def _needless(of: Subject) -> str:
    try:
        _declares(of)
    except Exception:
        return "it does not declare what it offers: see NX-F01"
    return "its rows come as they happen, and only once" if of.plugin.live else ""


def _no_speed(of: Subject) -> str:
    return _needless(of) or ("" if compile.JIT else "NEXUS_JIT=0: nothing is compiled")


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
    chunks = list(of.make().chunks(market, 0))
    _in_order(chunks, market)
    for rows in _by_symbol(chunks, len(market.instruments)):
        _spaced(rows, market)
        _sound(rows, of.plugin.offers)


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
    for offer in sorted(offers):
        for name in _OFFERED[offer]:
            if np.isnan(row[name]).all():
                raise Broken(
                    f"offers {offer}, and {name} of symbol {rows['symbol'][0]} was always NaN. Offer less."
                )


@check("NX-F03", Grade.BRONZE, "feeds", needless=_needless)
def _repeats(of: Subject) -> None:
    """Asked twice, a market has the same bits."""
    once, again = (_rows(of.make(), _market()) for _ in range(2))
    _alike(once, again, "differed when the same market was asked for again. Draw from its seed alone.")


@check("NX-F04", Grade.SILVER, "feeds", needless=_needless)
def _starts_anywhere(of: Subject) -> None:
    """No tick's rows depend on the tick that was begun with."""
    whole = _rows(of.make(), _market())
    times = np.unique(np.concatenate([rows["ts"] for rows in whole]))
    for start in sorted({1, times.size // 3, times.size - 1}):
        tail = [rows[rows["ts"] >= times[start]] for rows in whole]
        late = _rows(of.make(), _market(), start)
        _alike(
            tail,
            late,
            f"differed when tick {start} was begun with. Give the rows of tick n whatever the start.",
        )


@check("NX-F05", Grade.SILVER, "feeds", needless=_correlated)
def _keeps_symbols_apart(of: Subject) -> None:
    """No symbol's rows depend on how many symbols follow it."""
    whole = _rows(of.make(), _market())
    for count in range(1, len(_SYMBOLS)):
        fewer = _rows(of.make(), _market(symbols=count))
        # where symbols miss instants, fewer of them reach further in as many ticks
        end = min(rows["ts"][-1] for rows in (*whole[:count], *fewer) if len(rows))
        kept, early = ([rows[rows["ts"] <= end] for rows in each] for each in (whole[:count], fewer))
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
    """At least 100,000 rows come in a second."""
    feed, market = of.make(), _market(symbols=1, ticks=_MANY)
    feed.warm()
    most = max(_speed(feed, market) for _ in range(3))
    if most < _LEAST:
        raise Broken(f"gave {most:,.0f} rows a second, must give {_LEAST:,}. Make whole columns at a time.")


def _speed(feed: Feed, market: Market) -> float:
    begun = time.perf_counter()
    count = sum(len(chunk.rows) for chunk in feed.chunks(market, 0))
    return count / (time.perf_counter() - begun)


def _market(symbols: int = len(_SYMBOLS), ticks: int = _TICKS, interval: int = MINUTE) -> Market:
    traded = tuple(Instrument(each, tick=Decimal("0.01")) for each in _SYMBOLS[:symbols])
    return Market(traded, interval, 7, ticks)


def _rows(feed: Feed, market: Market, start: int = 0) -> list[Records]:
    """Return each symbol's rows."""
    return _by_symbol(list(feed.chunks(market, start)), len(market.instruments))


def _by_symbol(chunks: list[Chunk], symbols: int) -> list[Records]:
    parts = [[chunk.rows[chunk.starts[s] : chunk.starts[s + 1]] for chunk in chunks] for s in range(symbols)]
    return [np.concatenate(each) for each in parts]


def _alike(one: list[Records], other: list[Records], told: str, apart: tuple[str, ...] = ()) -> None:
    for left, right in zip(one, other, strict=True):
        size = min(len(left), len(right))
        for name in left.dtype.names or ():
            a, b = left[name][:size], right[name][:size]
            wrong = np.flatnonzero((a != b) & ((a == a) | (b == b)))
            if name not in apart and wrong.size:
                raise Broken(f"{name} of {_where(left, int(wrong[0]))} {told}")
        if len(left) != len(right):
            raise Broken(f"the number of a symbol's rows, {len(left)} and {len(right)}, {told}")


def _where(rows: Records, n: int) -> str:
    return f"row {n} (symbol {rows['symbol'][n]}, {iso(rows['ts'][n])})"
