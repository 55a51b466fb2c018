"""How fast the core is, on one core: `python bench/speed.py`. Compiling and writing files are timed apart.

Each figure is the best of several runs in one process after a warm-up: what the code costs when the
machine lets it. The target stands beside it.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nexus_synthetic import Generator

from nexus_core import compile
from nexus_core.config import Settings
from nexus_core.engine import Engine, assemble
from nexus_core.journal import Batch, Journal
from nexus_core.ledger.orders import FILLED, OPEN, PENDING, SUBMITTED, move
from nexus_core.market.blocks import Chunk
from nexus_core.records import EVENT, ORDER, ROW, empty

MINUTE = 60_000_000_000
ROWS = 65_536

# EMA(10/30) of the close, long only, entry and exit by signal, fixed quantity, next open, 0.1 %,
# risk gates only
CROSS: dict[str, Any] = {
    "run": {"strategies": ["ema-cross"], "symbols": ["BTC-USD"], "bars": 1_000_000},
    "risk": {
        "capital": 1e7, "sizing": "fixed-quantity", "quantity": 1.0, "allow_short": False, "brackets": False,
        "max_position_size": 1.0, "max_daily_loss": 1.0, "max_weekly_loss": 1.0, "max_drawdown": 1.0,
        "breaker_loss": 0.0, "breaker_rejects": 0,
    },
    "performance": {"trace": "orders"},
    "plugins": {"stop-loss": {"limit": 0.0}, "paper": {"fee": 0.001, "half_spread": 0.0}},
}  # fmt: skip


def main() -> None:
    print("| what | measured | target |\n|---|--:|--:|")
    for name, measured, target in figures():
        print(f"| {name} | {measured} | {target} |", flush=True)


def figures() -> Iterator[tuple[str, str, str]]:
    yield from _step()
    yield from _cross()
    yield from _orders()
    yield from _risk()
    yield from _journal()
    yield from _process()


def best(work: Callable[[], Any], runs: int = 7) -> float:
    """Return the seconds of the quickest of some runs."""
    taken: list[float] = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def repeated(work: Callable[[], Any], times: int = 50_000) -> tuple[float, float]:
    """Return median and 99th percentile of one call, in microseconds."""
    taken = np.empty(times)
    for n in range(times):
        begun = time.perf_counter_ns()
        work()
        taken[n] = time.perf_counter_ns() - begun
    return float(np.median(taken)) / 1e3, float(np.percentile(taken, 99)) / 1e3


def _step() -> Iterator[tuple[str, str, str]]:
    loop = assemble(Settings.from_dict(CROSS)).engine.loops[0]
    rows, first, last = np.zeros(1, ROW), np.array([0]), np.array([1])
    rows["close"] = 100.0
    signals, scores = np.zeros(1, np.int8), np.zeros(1)
    loop.warm()
    median, tail = repeated(lambda: loop.run(rows, first, last, signals, scores))
    yield "a compiled step, one row at a time", f"{median:.2f} µs (p99 {tail:.2f})", "<= 1.0 µs"


def fresh(settings: dict[str, Any] = CROSS) -> Engine:
    """Return a new engine, compiled."""
    assembly = assemble(Settings.from_dict(settings))
    assembly.warm(lambda _: None)
    return assembly.engine


def bars(ticks: int, symbols: int = 1, seed: int = 7) -> list[tuple[Any, Any]]:
    """Return rows of the synthetic market in pieces as a feed makes them."""
    generator = Generator(seed, symbols, MINUTE)
    size = ROWS // symbols
    return [generator.take(min(size, ticks - at)) for at in range(0, ticks, size)]


def play(engine: Engine, pieces: list[tuple[Any, Any]], block: int = 4096) -> None:
    """Take an engine over rows that lie in memory."""
    none = empty(EVENT, 0)
    for rows, starts in pieces:
        for each in engine.blocks(Chunk(rows, starts), block):
            for _ in engine.advance(each, none):
                pass


def _cross() -> Iterator[tuple[str, str, str]]:
    begun = time.perf_counter()
    fresh()
    bars(1)
    compiled = time.perf_counter() - begun
    begun = time.perf_counter()
    pieces = bars(1_000_000)
    made = time.perf_counter() - begun
    for block in (4096, 64, 1):
        seconds, fills = _played(pieces, block, 8 if block > 1 else 3)
        what = f"EMA cross, 1,000,000 bars, {fills:,} fills, blocks of {block:,}"
        target = ">= 17 million/s, goal 30" if block == 4096 else "none"
        yield what, f"{1 / seconds:.1f} million bars/s ({seconds * 1e3:.0f} ns a bar)", target
    yield "the same, compiling or loading from the cache", f"{compiled:.2f} s", "timed apart"
    yield "the same, making the rows", f"{made * 1e3:.0f} ns a row", "timed apart"


def _played(pieces: list[tuple[Any, Any]], block: int, runs: int) -> tuple[float, int]:
    engines = [fresh() for _ in range(runs)]
    waiting = iter(engines)
    seconds = best(lambda: play(next(waiting), pieces, block), runs)
    return seconds, int(engines[0].ledger.account["fills"][0])


_MOVES = """
def entry(orders, states):
    for k in range(states.size):
        for n in range(orders.size):
            move(orders[n], states[k])
"""


def _orders() -> Iterator[tuple[str, str, str]]:
    orders, states = np.zeros(10_000, ORDER), np.array([PENDING, SUBMITTED, OPEN, FILLED])
    entry = compile.Fixed(compile.entry("moves", _MOVES, {"move": move}))
    entry(orders, states)

    def again() -> None:
        orders["state"] = 0
        entry(orders, states)

    seconds = best(again, 50)
    yield "order transitions in a block", f"{4 * len(orders) / seconds / 1e6:.0f} million/s", ">= 5 million/s"
    one, to = np.zeros(1, ORDER), [np.array([state]) for state in states]
    state = one["state"]

    def life() -> None:
        state[0] = 0
        for each in to:
            entry(one, each)

    median, tail = repeated(life)
    yield "an order transition through Python", f"{median / 4:.2f} µs (p99 {tail / 4:.2f})", "<= 2 µs"


def _risk() -> Iterator[tuple[str, str, str]]:
    settings = {**CROSS, "plugins": {**CROSS["plugins"], "min-size": {"limit": 1000.0}}}
    settings["risk"] = {**CROSS["risk"], "quantity": 1e-8}  # refused by the last gate: every gate is asked
    engine = fresh(settings)
    rows, starts = Generator(7, 1, MINUTE).take(1)
    (block,) = engine.blocks(Chunk(rows, starts), 1)
    columns = engine.decide(block)
    columns.directions[0], columns.confidences[0] = 1, 1.0
    none = empty(EVENT, 0)
    median, tail = repeated(lambda: list(engine.ledger.advance(block.rows, block.order, columns, none)))
    rejected = int(engine.ledger.account["rejected"][0])
    assert rejected >= 50_000, "the last gate was not reached"
    yield (
        "a decision through every risk gate, one at a time",
        f"{median:.2f} µs, p99 {tail:.2f} µs",
        "p99 <= 10 µs",
    )
    yield "the same", f"{1e6 / median:,.0f} a second", ">= 120,000 a second"


def _journal() -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        events = empty(EVENT, 100)
        first = itertools.count(1)
        with Journal(Path(folder), write=True) as journal:

            def commit(count: int = 100) -> None:
                batch = Batch(0, 0, "", 0)
                events["seq"] = np.arange(100) + next(first)
                for _ in range(count - 1):
                    next(first)
                batch.events = [events[:count]]
                journal.commit(batch)

            commit()
            seconds = best(lambda: [commit() for _ in range(200)], 5)
            median, tail = repeated(lambda: commit(1), 1000)
        yield (
            "journal, events in groups of 100, FULL",
            f"{200 * 100 / seconds:,.0f} a second",
            ">= 100,000 a second",
        )
        with open(Path(folder) / "raw", "wb") as stream:

            def sync() -> None:
                stream.write(bytes(4096))
                stream.flush()
                os.fsync(stream.fileno())

            raw, raw_tail = repeated(sync, 1000)
        yield (
            "one intent committed",
            f"{median:.0f} µs (p99 {tail:.0f})",
            f"raw fsync {raw:.0f} µs (p99 {raw_tail:.0f})",
        )
        yield "SQLite", sqlite3.sqlite_version, "none"


def _process() -> Iterator[tuple[str, str, str]]:
    nexus = [str(Path(sys.executable).with_name("nexus"))]
    with tempfile.TemporaryDirectory() as home:

        def run(*arguments: str) -> Callable[[], Any]:
            environment = {**os.environ, "NEXUS_HOME": home}
            return lambda: subprocess.run(
                [*nexus, *arguments], check=True, capture_output=True, env=environment
            )

        run("run", "--bars", "10000")()
        yield "nexus --help, whole process", f"{best(run('--help')):.2f} s", "< 0.33 s"
        whole = best(run("run", "--bars", "10000"))
        yield (
            "nexus run of 10,000 bars x 3, warm, whole process",
            f"{whole:.2f} s",
            "first decision within 2 s",
        )


if __name__ == "__main__":
    main()
