"""Features of the book: its best ten levels of either side at the time of the row."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core import step, steps
from nexus_core.market.events import DEPTH
from nexus_core.steps.tool import record
from nexus_features.facts import Feature

NEAR, WINDOW = 3, 60


def _of_book(name: str, formula: str, unit: str, reference: str, window: int = 1) -> Feature:
    return Feature(name=name, formula=formula, unit=unit, reference=reference, needs="book", window=window)


FEATURES = (
    _of_book(
        "bid_ask_spread",
        "1e4·(ask - bid) / mid",
        "basis points",
        "Harris (2003), Trading and exchanges, 14",
    ),
    _of_book(
        "order_book_imbalance",
        "(B - A) / (B + A), sizes of 10 levels of bids and of asks",
        "share, signed",
        "Cao, Hansch, Wang (2009), The information content of an open limit-order book",
    ),
    _of_book(
        "market_depth",
        "sum of price·size over 10 levels of both sides",
        "quote currency",
        "Kyle (1985), Continuous auctions and insider trading (depth)",
    ),
    _of_book(
        "liquidity_score",
        "ln(market_depth / bid_ask_spread)",
        "log",
        "Chordia, Roll, Subrahmanyam (2001), Market liquidity and trading activity (their measure, inverted)",
    ),
    _of_book(
        "bid_ask_ratio",
        "size at the best bid / size at the best ask",
        "ratio",
        "Cont, Kukanov, Stoikov (2014), The price impact of order book events",
    ),
    _of_book(
        "order_size_distribution",
        "skewness of the sizes of all levels shown: m3 / m2^1.5; 0 where all are equal",
        "skewness",
        "Joanes, Gill (1998), Comparing measures of sample skewness and kurtosis (g1)",
    ),
    _of_book(
        "top_of_book",
        "1e4·(micro - mid) / mid, micro = (bid·ask_size + ask·bid_size) / (bid_size + ask_size)",
        "basis points",
        "Gatheral, Oomen (2010), Zero-intelligence realized variance estimation (micro price)",
    ),
    _of_book(
        "depth_ratio",
        "sizes of the best 3 levels of both sides / those of 10",
        "share",
        "Biais, Hillion, Spatt (1995), An empirical analysis of the limit order book",
    ),
    _of_book(
        "spread_volatility",
        "deviation of bid_ask_spread over 60 rows with a book",
        "basis points",
        "Hasbrouck (2007), Empirical market microstructure",
        WINDOW,
    ),
    _of_book(
        "liquidity_concentration",
        "sum of (size / all sizes)² over the levels shown",
        "share",
        "Hirschman (1964), The paternity of an index (Herfindahl's)",
    ),
)


def state() -> np.void:
    """Return the state before the first row."""
    return record(spread=steps.rolling_std(WINDOW))


@step
def is_usable(view: Any) -> bool:
    """Tell whether both sides of the book are known and have a size, and its best prices do not cross."""
    sizes = view.bid_sizes[0] > 0.0 and view.ask_sizes[0] > 0.0
    return view.known == 1 and sizes and 0.0 < view.bids[0] < view.asks[0] < np.inf


@step
def push(view: Any, state: Any, out: Any) -> None:
    """Write the features of a usable book."""
    bid, ask = view.bids[0], view.asks[0]
    bid_size, ask_size = view.bid_sizes[0], view.ask_sizes[0]
    middle = 0.5 * (bid + ask)
    spread = 1e4 * ((ask - bid) / middle)
    bids, asks, near, worth = 0.0, 0.0, 0.0, 0.0
    levels = 0
    for i in range(DEPTH):
        size, other = view.bid_sizes[i], view.ask_sizes[i]
        bids += size
        asks += other
        levels += int(size > 0.0) + int(other > 0.0)
        # beyond the last level there is no price
        worth += (size * view.bids[i] if size > 0.0 else 0.0) + (other * view.asks[i] if other > 0.0 else 0.0)
        if i < NEAR:
            near += size + other
    total = bids + asks
    out[0] = spread
    out[1] = (bids - asks) / total
    out[2] = worth
    out[3] = steps.log(worth / spread)
    out[4] = bid_size / ask_size
    out[6] = 1e4 * (((bid * ask_size + ask * bid_size) / (bid_size + ask_size) - middle) / middle)
    out[7] = near / total
    out[8] = steps.rolling_std.push(state.spread, spread)
    _sizes(view, total, levels, out)


@step
def _sizes(view: Any, total: float, levels: int, out: Any) -> None:
    mean = total / levels
    second, third, squares = 0.0, 0.0, 0.0
    for i in range(DEPTH):
        size, other = view.bid_sizes[i], view.ask_sizes[i]
        squares += size * size + other * other
        above = size - mean if size > 0.0 else 0.0
        beyond = other - mean if other > 0.0 else 0.0
        second += above * above + beyond * beyond
        third += above * above * above + beyond * beyond * beyond
    second /= levels
    # of equal sizes only rounding is left
    is_even = second <= 1e-24 * (mean * mean)
    out[5] = 0.0 if is_even else (third / levels) / (second * steps.sqrt(second))
    out[9] = squares / (total * total)
