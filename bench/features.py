"""How fast all 65 features are, on one core: `python bench/features.py [ROWS]`.

Beside them, in the same process and on the same rows, TA-Lib and pandas do those of the 65 they can: in
whole columns, of which a trader has none, and one row at a time as a window anew. Each figure is the best of
several runs after a warm-up. What each part of the set costs is timed alone, through loops of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import talib
from nexus_features import NAMES, Standard, book, momentum, price, volatility, volume
from nexus_synthetic import Generator

from nexus_core import compile
from nexus_core.market.events import DEPTH, VIEW
from nexus_core.market.features import FeatureLoop
from nexus_core.records import empty

MINUTE = 60_000_000_000
ROWS = 200_000
ONES = 50_000


def main() -> None:
    rows, views = market(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
    print("| what | measured | target |\n|---|--:|--:|")
    for name, measured, target in figures(rows, views):
        print(f"| {name} | {measured} | {target} |", flush=True)


def market(size: int) -> tuple[Any, Any]:
    """Return rows of the synthetic market, and a book of ten levels around each close."""
    rows, _ = Generator(7, 1, MINUTE).take(size)
    draws = np.random.default_rng(7)
    views, levels = empty(VIEW, size), np.arange(1, DEPTH + 1) * 1e-4
    views["known"] = 1
    views["bids"] = rows["close"][:, None] * (1.0 - levels)
    views["asks"] = rows["close"][:, None] * (1.0 + levels)
    for name in ("bid_sizes", "ask_sizes"):
        views[name] = draws.lognormal(0.0, 1.0, (size, DEPTH))
    return rows, views


def best(work: Callable[[], Any], runs: int = 7) -> float:
    """Return the seconds of the quickest of some runs."""
    taken: list[float] = []
    for _ in range(runs):
        begun = time.thread_time()  # others on the machine are not its cost
        work()
        taken.append(time.thread_time() - begun)
    return min(taken)


def figures(rows: Any, views: Any) -> Iterator[tuple[str, str, str]]:
    begun = time.perf_counter()
    loop = FeatureLoop("standard", Standard(), 1, MINUTE)
    size = len(rows)
    out, missing = np.zeros((size, len(NAMES))), np.zeros(size, np.int64)
    none, one, all_ = np.array([0]), np.array([1]), np.array([size])
    loop.run(rows, none, one, views, out, missing)
    yield "compiling, or loading from the cache", f"{time.perf_counter() - begun:.2f} s", "timed apart"
    seconds = best(lambda: loop.run(rows, none, all_, views, out, missing))
    yield "all 65 in one block", rate(seconds, size), ">= 600,000/s, goal 1 million"
    edges = [(np.array([at]), np.array([min(at + 4096, size)])) for at in range(0, size, 4096)]

    def in_blocks() -> None:
        for first, last in edges:
            loop.run(rows, first, last, views, out, missing)

    yield "all 65 in blocks of 4,096", rate(best(in_blocks), size), "as above"
    yield "all 65, one row at a time", singly(loop, rows, views, out, missing), "<= 5 µs"
    for name, seconds in parts(rows, views, out):
        yield f"of that: {name}", f"{seconds / size * 1e9:.0f} ns a row", "none"
    columns = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}
    for name, count, work in peers(columns):
        yield f"{name}, {count} features, whole columns", rate(best(work, 3), size), "none"
    yield "pandas, one feature (SMA) anew for each row", pandas_singly(columns), "none"


def rate(seconds: float, size: int) -> str:
    return f"{size / seconds:,.0f} rows/s ({seconds / size * 1e9:.0f} ns a row)"


def singly(loop: FeatureLoop, rows: Any, views: Any, out: Any, missing: Any) -> str:
    taken, first, last = np.empty(min(ONES, len(rows))), np.array([0]), np.array([1])
    for n in range(taken.size):
        first[0], last[0] = n, n + 1
        begun = time.perf_counter_ns()
        loop.run(rows, first, last, views, out, missing)
        taken[n] = time.perf_counter_ns() - begun
    median, tail = np.median(taken) / 1e3, np.percentile(taken, 99) / 1e3
    return f"{median:.2f} µs (p99 {tail:.2f})"


LOOP = """
def entry(rows, views, states, out):
    state = states[0]
    for i in range(rows.size):
        push({arguments}, state, out[i, {first}:{last}])
"""


def parts(rows: Any, views: Any, out: Any) -> Iterator[tuple[str, float]]:
    """Yield the seconds that each category takes alone."""
    made = (
        ("price", price.push, price.state(MINUTE), "rows[i]", 0, 20),
        ("volume", volume.push, volume.state(), "rows[i]", 20, 35),
        ("book", book.push, book.state(), "views[i]", 35, 45),
        ("momentum", momentum.push, momentum.state(), "rows[i]", 45, 55),
        ("volatility", volatility.push, volatility.state(MINUTE, 365.0, 0.1, 0.8),
         "rows[i], 1e-4, 0.0", 55, 65),
    )  # fmt: skip
    for name, push, state, arguments, first, last in made:
        text = LOOP.format(arguments=arguments, first=first, last=last)
        entry, states = compile.entry(f"only_{name}", text, {"push": push}), np.array([state])
        entry(rows[:1], views[:1], states, out)
        yield name, best(lambda entry=entry, states=states: entry(rows, views, states, out))


def peers(bars: dict[str, Any]) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    h, low, c, v = (bars[each] for each in ("high", "low", "close", "volume"))
    close, size = pd.Series(c), pd.Series(v)

    def with_talib() -> None:
        for days in (1, 5, 15, 60, 1440, 10):
            talib.ROCP(c, days)
        talib.MOM(c, 10), talib.SMA(c, 20), talib.EMA(c, 20), talib.WMA(c, 20), talib.MFI(h, low, c, v, 14)
        talib.RSI(c, 14), talib.STOCH(h, low, c, 14, 3, 0, 1, 0), talib.MACD(c), talib.WILLR(h, low, c, 14)
        talib.CCI(h, low, c, 20), talib.ADX(h, low, c, 14), talib.PLUS_DI(h, low, c, 14)
        talib.MINUS_DI(h, low, c, 14), talib.LINEARREG_SLOPE(c, 20), talib.ATR(h, low, c, 14)
        talib.BBANDS(c, 20), talib.MAX(c, 1440)

    def with_pandas() -> None:
        for days in (1, 5, 15, 60, 1440, 10):
            close.pct_change(days)
        returns = np.log(close / close.shift())
        close.rolling(20).mean(), close.ewm(span=20, adjust=False).mean(), close.rolling(100).rank(pct=True)
        close.rolling(1440).max(), size.rolling(20).mean(), size.rolling(100).rank(pct=True)
        (close * size).rolling(20).sum() / size.rolling(20).sum()
        short = returns.rolling(20).std()
        short / returns.rolling(100).std(), short.rolling(100).rank(pct=True), short.rolling(20).std()
        (returns**2).rolling(1440).sum() ** 0.5

    yield "TA-Lib", 22, with_talib
    yield "pandas", 17, with_pandas


def pandas_singly(bars: dict[str, Any]) -> str:
    close, taken = pd.Series(bars["close"]), np.empty(500)
    for n in range(taken.size):
        begun = time.perf_counter_ns()
        close.iloc[n : n + 20].mean()
        taken[n] = time.perf_counter_ns() - begun
    return f"{np.median(taken) / 1e3:.1f} µs"


if __name__ == "__main__":
    main()
