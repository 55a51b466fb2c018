"""Markets that every strategy is tried on: bars of three symbols from a seed, and all that can befall them.

Prices lie on a grid of 1/64, so that turning them over is exact. Nothing here is drawn from what others
draw from: a market is a function of its size and seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nexus_core.market.blocks import Chunk
from nexus_core.market.events import (
    BREAK,
    BUY,
    CLEAR,
    EVENT,
    LAST,
    LEVEL,
    QUOTE,
    SELL,
    SNAPSHOT,
    TRADE,
)  # fmt: skip
from nexus_core.records import ROW, Records, empty
from nexus_core.testing.market import MINUTE, START, utc_session

SYMBOLS = ("AAA-USD", "BBB-USD", "CCC-USD")
INTERVAL = 5 * MINUTE
"""Length of a bar in nanoseconds."""
TICK = 1 / 64
"""The grid of prices: a power of two, so that sums and differences of prices are exact."""
PRICES = ("open", "high", "low", "close", "bid", "ask")
AMOUNTS = ("volume", "bid_size", "ask_size", "buy_volume", "sell_volume")
STRETCH = 100
"""Rows that `unknown`, `gapped` and `still` spoil."""

Floats = NDArray[np.float64]

_LEVEL, _DAYS = 1000.0, (1440, 1380, 1440, 1500)
_SWAPPED = (("high", "low"), ("bid", "ask"), ("bid_size", "ask_size"), ("buy_volume", "sell_volume"))


@lru_cache(maxsize=16)
def market(size: int, seed: int = 1) -> Chunk:
    """Return bars without gaps, `size` of each symbol.

    The first symbol's price is pulled to a mean, the second's walks at random with a volatility that
    wanders, the third's trends up and down by turns.
    """
    paths = (_pulled, _walking, _trending)
    return _chunk([_bars(s, paths[s], size, np.random.default_rng((seed, s))) for s in range(len(SYMBOLS))])


def unknown(of: Chunk, first: int) -> Chunk:
    """Return a market where from row `first` of each symbol on one field after the other is NaN, then all."""
    fields = (*PRICES, *AMOUNTS)
    parts = _parts(of)
    for rows in parts:
        for k, field in enumerate(fields):
            rows[field][first + 8 * k : first + 8 * k + 5] = math.nan
        for field in fields:
            rows[field][first + 8 * len(fields) : first + STRETCH] = math.nan
    return _chunk(parts)


def gapped(of: Chunk, first: int) -> Chunk:
    """Return a market where bars are missing: every second one, then a stretch, then all of three days."""
    parts: list[Records] = []
    for s, rows in enumerate(_parts(of)):
        rows["ts"][first + 80 :] += 3 * 1440 * MINUTE
        kept = np.ones(len(rows), np.bool_)
        kept[first + s % 2 : first + 50 : 2] = False
        kept[first + 55 + s : first + 70] = False
        parts.append(_stamped(rows[kept]))
    return _chunk(parts)


def still(of: Chunk, first: int) -> Chunk:
    """Return a market without volume for a while, then without a change of price, then without both."""
    parts = _parts(of)
    for rows in parts:
        for low, high in ((first, first + 35), (first + 65, first + STRETCH)):
            for field in (*AMOUNTS, "trades"):
                rows[field][low:high] = 0
        for field in PRICES:
            rows[field][first + 35 : first + STRETCH] = rows["close"][first + 34]
    return _chunk(parts)


def daylight(size: int) -> Chunk:
    """Return one symbol's bars on a calendar whose days have 24, 23, 24 and 25 hours by turns."""
    rows = market(size).rows[:size].copy()
    closes = np.cumsum([_DAYS[n % 4] for n in range(2 + size * INTERVAL // (1380 * MINUTE))])
    minutes = (np.arange(size) + 1) * (INTERVAL // MINUTE)
    day = np.searchsorted(closes, minutes)
    rows["session_id"] = START // (1440 * MINUTE) + day
    rows["minutes_to_close"] = closes[day] - minutes
    rows["minute_of_session"] = minutes - np.concatenate([[0], closes])[day]
    return _chunk([rows])


def mirrored(of: Chunk, how: Literal["price", "log"] | str, about: float | None = None) -> Chunk:
    """Return the market upside down: price p turned to 2 p0 - p, or (log) to p0 squared / p.

    p0 is `about`, without it the first close of each symbol. What belongs to a side changes with it: highs
    and lows, bids and asks, bought and sold, and the sides of market events.
    """
    parts = _parts(of)
    origins = [rows["close"][0] if about is None else about for rows in parts]
    for rows, origin in zip(parts, origins, strict=True):
        for field in PRICES:
            rows[field] = _over(rows[field], how, origin)
        turned = rows.copy()
        for left, right in _SWAPPED:
            rows[left], rows[right] = turned[right], turned[left]
    made = _chunk(parts)
    if of.events is None or of.event_starts is None:
        return made
    events = of.events.copy()
    for low, high, origin in zip(of.event_starts[:-1], of.event_starts[1:], origins, strict=True):
        own = events[low:high]
        own["side"] = -own["side"]
        priced = np.isin(own["kind"], (TRADE, QUOTE, LEVEL))
        own["price"][priced] = _over(own["price"][priced], how, origin)
    return Chunk(made.rows, made.starts, events, of.event_starts)


def _over(prices: Any, how: str, origin: float) -> Any:
    return 2 * origin - prices if how == "price" else origin * (origin / prices)


def scaled(of: Chunk, price: float, amount: float, interval: int) -> Chunk:
    """Return the market with prices and amounts times a factor, and bars of another length (ns)."""
    parts = _parts(of)
    for rows in parts:
        for field in PRICES:
            rows[field] *= price
        for field in AMOUNTS:
            rows[field] *= amount
        rows["ts"] = START + (rows["seq"] + 1) * interval
        _stamped(rows)
    return _chunk(parts)


def until(of: Chunk, row: int) -> Chunk:
    """Return the market's first `row` bars of each symbol; where one has fewer, all of its."""
    return _chunk([rows[:row] for rows in _parts(of)])


def only(of: Chunk, symbol: int) -> Chunk:
    """Return the market with the bars of one symbol alone; the others have none."""
    return _chunk([rows if s == symbol else rows[:0] for s, rows in enumerate(_parts(of))])


def changed(of: Chunk, row: int) -> Chunk:
    """Return the market with other prices and amounts from number `row` of each symbol on; times are kept."""
    parts = _parts(of)
    for rows in parts:
        for n, field in enumerate((*PRICES, *AMOUNTS)):
            rows[field][row:] *= 1.5 if n % 2 else 1.25
        rows["high"][row:] *= 2.0
    return _chunk(parts)


def heard(of: Chunk) -> Chunk:
    """Return the market with what may have been said in its bars: trades, quotes, a book of six levels.

    All of it follows from the rows, so whatever is done to a market is done to its events. Turned over, the
    market says the same the other way round. Where a bar's values are not known nothing is said, and the
    book breaks.
    """
    parts = [_said(rows) for rows in _parts(of)]
    starts = np.cumsum([0, *map(len, parts)])
    events = np.concatenate(parts)
    for s, (low, high) in enumerate(pairwise(starts)):
        events["symbol"][low:high], events["seq"][low:high] = s, np.arange(high - low)
    return Chunk(of.rows, of.starts, events, starts)


_TRADES, _LEVELS = 4, 3
_MESSAGE = _TRADES + 2 + 1 + 4 * _LEVELS
"""Events of a bar at the most: trades, a quote, one that begins a book, levels that go and that come."""


def _said(rows: Records) -> Records:
    made = np.zeros((len(rows), _MESSAGE), EVENT)
    made["ts"] = rows["ts"][:, None] - (_MESSAGE - 1 - np.arange(_MESSAGE)) * 1_000
    known = np.ones(made.shape, np.bool_)
    known[:, :_TRADES] = _trades(rows, made[:, :_TRADES])
    known[:, _TRADES:] = _book(rows, made[:, _TRADES:])
    return made[known]


def _trades(rows: Records, made: Any) -> Any:
    """Write trades that make the bar; where it rose it went to its low first, where it fell to its high."""
    rose, fell = rows["close"] > rows["open"], rows["close"] < rows["open"]
    away = np.where(rose, rows["low"], rows["high"]), np.where(rose, rows["high"], rows["low"])
    side = np.where(rose, BUY, np.where(fell, SELL, 0))
    made["kind"], made["flags"] = TRADE, LAST
    for k, (price, sign) in enumerate(
        ((rows["open"], side), (away[0], -side), (away[1], side), (rows["close"], side))
    ):
        made["price"][:, k], made["side"][:, k] = price, sign
    amounts = np.stack([rows["buy_volume"], rows["sell_volume"]], axis=1)
    shares = np.where(made["side"] > 0, amounts[:, :1], amounts[:, 1:])
    with np.errstate(invalid="ignore"):
        made["size"] = shares / np.where(made["side"] == side[:, None], 3, 1)
    moved = (side != 0)[:, None]  # of a bar that ended where it began nobody knows who pushed
    return np.isfinite(made["price"]) & (made["size"] > 0) & moved


def _book(rows: Records, made: Any) -> Any:
    prices, sizes = _levels(rows)
    there = np.isfinite(prices).all(axis=(1, 2)) & np.isfinite(sizes).all(axis=(1, 2))
    before = np.concatenate([[False], there[:-1]])
    made["kind"] = LEVEL
    made["kind"][:, :2], made["side"][:, :2], made["flags"][:, 1] = QUOTE, (BUY, SELL), LAST
    made["price"][:, :2], made["size"][:, :2] = prices[:, :, 0], sizes[:, :, 0]
    made["kind"][:, 2] = np.where(there, CLEAR, BREAK)
    made["price"][:, 2], made["flags"][:, 2] = 0.0, np.where(there, SNAPSHOT, LAST)
    gone, come = made[:, 3 : 3 + 2 * _LEVELS], made[:, 3 + 2 * _LEVELS :]
    for part in (gone, come):
        part["side"] = np.repeat((BUY, SELL), _LEVELS)
    levels = (len(rows), 2 * _LEVELS)
    come["price"], come["size"] = prices.reshape(levels), sizes.reshape(levels)
    gone["price"][1:] = come["price"][:-1]
    come["flags"] = np.where(before, 0, SNAPSHOT)[:, None]
    come["flags"][:, -1] |= LAST
    known = np.empty(made.shape, np.bool_)
    known[:, :2], known[:, 2] = there[:, None], (there & ~before) | (~there & before)
    known[:, 3 : 3 + 2 * _LEVELS], known[:, 3 + 2 * _LEVELS :] = (there & before)[:, None], there[:, None]
    return known


def _levels(rows: Records) -> tuple[Any, Any]:
    """Return prices and sizes of the book's levels at each row, by side and distance from the touch."""
    steps = np.arange(_LEVELS)
    step = (rows["ask"] - rows["bid"])[:, None] * steps / 2
    prices = np.stack([rows["bid"][:, None] - step, rows["ask"][:, None] + step], axis=1)
    sizes = np.stack([rows["bid_size"], rows["ask_size"]], axis=1)[:, :, None] + 2.0 * steps
    return prices, np.where(prices > 0, sizes, np.nan)


def _parts(of: Chunk) -> list[Records]:
    return [of.rows[low:high].copy() for low, high in zip(of.starts[:-1], of.starts[1:], strict=True)]


def _chunk(parts: Sequence[Records]) -> Chunk:
    rows = empty(ROW, sum(map(len, parts)))
    starts = np.cumsum([0, *map(len, parts)])
    for part, low, high in zip(parts, starts[:-1], starts[1:], strict=True):
        rows[low:high] = part
    return Chunk(rows, starts)


def _bars(
    symbol: int, path: Callable[[int, np.random.Generator], Any], size: int, rng: np.random.Generator
) -> Records:
    rows = empty(ROW, size)
    away: Floats = np.clip(path(size, rng), -_LEVEL / 4, _LEVEL / 4)
    close: Floats = _LEVEL + np.round(away / TICK) * TICK
    opened = np.concatenate([close[:1], close[:-1]])
    wicks, half = TICK * rng.integers(0, 24, (2, size)), TICK * rng.integers(1, 4, size)
    rows["seq"], rows["symbol"], rows["open"], rows["close"] = np.arange(size), symbol, opened, close
    rows["high"], rows["low"] = np.maximum(opened, close) + wicks[0], np.minimum(opened, close) - wicks[1]
    rows["bid"], rows["ask"] = close - half, close + half
    rows["volume"] = 1 + np.floor(rng.lognormal(4.0, 0.7, size))
    rows["buy_volume"] = np.floor(rows["volume"] * rng.uniform(0.2, 0.8, size))
    rows["sell_volume"] = rows["volume"] - rows["buy_volume"]
    rows["bid_size"], rows["ask_size"] = 1 + rng.integers(0, 50, (2, size))
    rows["trades"] = 1 + rows["volume"] // 4
    rows["ts"] = START + (rows["seq"] + 1) * INTERVAL
    return _stamped(rows)


def _stamped(rows: Records) -> Records:
    times: Any = rows["ts"]
    rows["session_id"], rows["minute_of_session"], rows["minutes_to_close"] = utc_session(times)
    return rows


def _pulled(size: int, rng: np.random.Generator) -> Any:
    made, keep = np.zeros(size), 0.5 ** (1 / 6)
    for i, shock in enumerate(rng.normal(size=size)):
        made[i] = keep * made[i - 1] + shock
    return made


def _walking(size: int, rng: np.random.Generator) -> Any:
    volatility, level = np.zeros(size), 0.0
    for i, shock in enumerate(rng.normal(size=size)):
        level = 0.97 * level + 0.15 * shock
        volatility[i] = math.exp(level)
    return np.cumsum(rng.normal(size=size) * volatility)


def _trending(size: int, rng: np.random.Generator) -> Any:
    drift = np.where(np.arange(size) // 90 % 2 == 0, 0.3, -0.3)
    return np.cumsum(drift + rng.normal(size=size))
