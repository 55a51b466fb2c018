"""How fast bars are made of events, and higher frames of bars: `python bench/bars.py [trades.parquet]`.

Best of several runs in one process on one core, compiled, beside `resample` of pandas on the same data. The
trades are drawn, or read from a Parquet file with the columns ts, price and size; rows of other sizes than
above 0 are left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from nexus_synthetic import Generator

from nexus_core import compile
from nexus_core.market.bars import Bars
from nexus_core.market.events import EVENT, LAST, TRADE
from nexus_core.records import Records
from nexus_core.steps.flow import flow
from nexus_core.steps.frames import framed, frames

MINUTE = 60_000_000_000
EVENTS, ROWS = 2_000_000, 500_000
RULES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}

_FRAMES = """
def entry(rows, states):
    for i in range(rows.size):
        frames.push(states[0], rows[i])
"""
_FLOW = """
def entry(events, states):
    for i in range(events.size):
        flow.push(states[0], events[i])
"""


def main() -> None:
    trades = read(sys.argv[1]) if len(sys.argv) > 1 else drawn()
    print(f"{len(trades):,} trades, {ROWS:,} rows\n\n| what | measured | target |\n|---|--:|--:|")
    for name, measured, target in (*bars(trades), *higher(), *flows(trades)):
        print(f"| {name} | {measured} | {target} |", flush=True)


def bars(trades: Records) -> Iterator[tuple[str, str, str]]:
    money = float((trades["price"] * trades["size"]).mean())
    sizes = {"time": MINUTE, "tick": 100, "volume": 100 * float(trades["size"].mean()), "dollar": 100 * money}
    for kind, size in {**sizes, "imbalance": 100}.items():
        taken = best(partial(made_of, trades, kind, size))
        yield f"{kind} bars", rate(taken, len(trades)), "20 million events/s"
    pieces = [trades[at : at + 64] for at in range(0, min(len(trades), 200_000), 64)]
    taken = best(lambda: in_pieces(pieces))
    yield "time bars, 64 events at a time", rate(taken, sum(map(len, pieces))), ""
    prices = pd.Series(trades["price"], pd.to_datetime(trades["ts"]))
    sizes_of = pd.Series(trades["size"], prices.index)
    yield "pandas resample: ohlc, sum", rate(best(lambda: resampled(prices, sizes_of)), len(trades)), ""


def made_of(trades: Records, kind: str, size: float) -> None:
    Bars(kind, size, 1).take(trades)


def in_pieces(pieces: list[Records]) -> None:
    made = Bars("time", MINUTE, 1)
    for piece in pieces:
        made.take(piece)


def resampled(prices: Any, sizes: Any) -> None:
    prices.resample("1min", closed="right", label="right").ohlc()
    sizes.resample("1min", closed="right", label="right").sum()


def higher() -> Iterator[tuple[str, str, str]]:
    rows, _ = Generator(1, 1).take(ROWS)
    five = frames([MINUTE * k for k in (1, 5, 15, 60, 240)], 20)
    push = compile.entry("frames", _FRAMES, {"frames": frames})
    taken = best(lambda: compile.call(push, rows, np.array([five])))
    yield "five frames inside a step", f"{taken / ROWS * 1e9:.0f} ns a row", "100 ns a row"
    yield "one frame of an array", f"{best(lambda: framed(rows, 15 * MINUTE)) / ROWS * 1e9:.0f} ns a row", ""
    table = pd.DataFrame({name: rows[name] for name in RULES}, pd.to_datetime(rows["ts"]))
    theirs = best(lambda: table.resample("15min", closed="right", label="right").agg(RULES))
    yield "pandas resample: one frame of an array", f"{theirs / ROWS * 1e9:.0f} ns a row", ""


def flows(trades: Records) -> Iterator[tuple[str, str, str]]:
    push, state = compile.entry("flow", _FLOW, {"flow": flow}), flow(10_000_000_000, 4096)
    taken = best(lambda: compile.call(push, trades, np.array([state])))
    yield "trade flow over ten seconds", f"{taken / len(trades) * 1e9:.0f} ns an event", ""


def drawn() -> Records:
    """Return trades some 30 ms apart."""
    rng, trades = np.random.default_rng(1), np.zeros(EVENTS, EVENT)
    trades["ts"] = np.cumsum(rng.integers(0, 60_000_000, EVENTS))
    trades["price"] = 100 * np.exp(np.cumsum(rng.normal(0, 1e-5, EVENTS)))
    trades["size"], trades["side"] = rng.exponential(size=EVENTS), rng.choice([1, -1], EVENTS)
    trades["kind"], trades["flags"], trades["seq"] = TRADE, LAST, np.arange(EVENTS)
    return trades


def read(path: str) -> Records:
    """Return the trades of a file."""
    table = pd.read_parquet(path, columns=["ts", "price", "size"])
    table = table[table["size"] > 0]
    trades = np.zeros(len(table), EVENT)
    for name in table:
        trades[name] = table[name]
    trades["kind"], trades["flags"], trades["seq"] = TRADE, LAST, np.arange(len(trades))
    return trades


def best(work: Callable[[], Any], runs: int = 7) -> float:
    """Return the seconds of the quickest of some runs, after one that compiles."""
    work()
    taken: list[float] = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def rate(seconds: float, events: int) -> str:
    return f"{events / seconds / 1e6:.1f} million events/s"


if __name__ == "__main__":
    main()
