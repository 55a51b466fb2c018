"""What the strategies find, and what they cost: `python bench/strategies.py [patterns] [speed] [compile]`.

`patterns` asks each strategy's own tests for 100 seeds: in how many a market with its pattern is answered on
the right side in time, and how often a market without it is. `speed` takes all of them through bars, and
through the order flow of a symbol, on one core. `compile` starts with an empty cache. Without a word it does
all three. Exit 1 says that a strategy does not keep to what it declares.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from nexus_core import plugins
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.styles import loop
from nexus_core.testing import scenarios

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/strategies/*/pyproject.toml"))
SEEDS, NULLS = 100, 20
SECOND = 1_000_000_000
ENDLESS = np.iinfo(np.int64).max


def main() -> int:
    """Do what was asked for; return 1 if a strategy does not keep to what it declares."""
    asked = sys.argv[1:] or ["patterns", "speed", "compile"]
    kept = patterns() if "patterns" in asked else True
    if "speed" in asked:
        speed()
    if "compile" in asked:
        compiling()
    return 0 if kept else 1


# -- what they find ----------------------------------------------------------------------------------


def patterns() -> bool:
    """Print a line for each strategy; tell whether all keep to what they declare."""
    print("| strategy | answered in time | within, rows | in 1,000 rows without it | at most | |")
    print("|---|--:|--:|--:|--:|---|")
    kept = True
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for name, answered, false in pool.map(tried, [each.name for each in FOLDERS]):
            targets = plugins.load("strategies", name).targets
            good = answered >= SEEDS * targets["hits"] and false <= targets["false"]
            kept &= good
            word = "kept" if good else "**missed**"
            print(
                f"| {name} | {answered} of {SEEDS} | {targets['within']} | {false:.2f} "
                f"| {targets['false']:g} | {word} |",
                flush=True,
            )
    return kept


def tried(name: str) -> tuple[str, int, float]:
    """Return in how many seeds its pattern is answered, and the signals in 1,000 rows without it."""
    tests = module_of(ROOT / f"plugins/strategies/{name}/tests/test_{name.replace('-', '_')}.py")
    answered = sum(bool(tests.scenario(seed)) for seed in range(SEEDS))
    false, rows = np.sum([tests.null(seed) for seed in range(NULLS)], axis=0)
    return name, answered, 1000.0 * float(false) / float(rows)


def module_of(path: Path) -> Any:
    """Import a test file, which no package holds."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


# -- what they cost ----------------------------------------------------------------------------------


def speed() -> None:
    """Print what a row costs, alone and together, in blocks and one at a time."""
    bars = scenarios.quiet(7, 100_000)
    flow = scenarios.flow(7, 120, ["informed"], interval=SECOND).chunk
    fine = scenarios.flow(7, 20, ["informed"], interval=SECOND // 10).chunk
    markets = {
        "bars of a minute": Chunk(bars, np.array([0, len(bars)])),
        "order flow, rows of a second": flow,
        "order flow, rows of 100 ms": fine,
    }
    print("\n| strategy | " + " | ".join(f"{each}, ns a row" for each in markets) + " |")
    print("|---|" + "--:|" * len(markets))
    whole = dict.fromkeys(markets, 0.0)
    for folder in FOLDERS:
        cells: list[str] = []
        for name, market in markets.items():
            cost = cost_of(folder.name, market, 4096)
            whole[name] += cost or 0.0
            cells.append("inactive" if cost is None else f"{cost * 1e9:,.0f}")
        print(f"| {folder.name} | " + " | ".join(cells) + " |", flush=True)
    print("\n| all that are active | events a row | rows/s in blocks | a row, one at a time | targets |")
    print("|---|--:|--:|--:|---|")
    for name, market in markets.items():
        events = 0 if market.events is None else len(market.events)
        ones = sum(cost_of(folder.name, first_of(market, 5_000), 1) or 0.0 for folder in FOLDERS)
        print(
            f"| {name} | {events / len(market.rows):.1f} | {1 / whole[name]:,.0f} | {ones * 1e6:.1f} us "
            "| >= 250,000 rows/s, <= 25 us |",
            flush=True,
        )


def first_of(market: Chunk, rows: int) -> Chunk:
    """Return the market's first rows, with their events."""
    part = market.rows[:rows]
    if market.events is None:
        return Chunk(part, np.array([0, len(part)]))
    kept = int(np.searchsorted(market.events["ts"], part["ts"][-1], side="right"))
    return Chunk(part, np.array([0, len(part)]), market.events[:kept], np.array([0, kept]))


def cost_of(name: str, market: Chunk, size: int) -> float | None:
    """Return the seconds of a processor that a row takes in blocks of so many; None where it is not fed."""
    strategy = plugins.load("strategies", name)()
    heard = market.events is not None
    offers = {"bar", "volume", "quote"} | ({"trade", "book"} if heard else set[str]())
    if strategy.lacks(offers, {"bar", "event"} if heard else {"bar"}):
        return None
    work = loop(name, strategy, ["BTC-USD"])
    signals, scores = np.zeros(len(market.rows), np.int8), np.zeros(len(market.rows))
    cut = list(blocks(market, 0, size, lambda _: ENDLESS))
    taken: list[float] = []
    for _ in range(4):
        work.reset()
        begun = time.thread_time()
        for block in cut:
            work.run(block.rows, block.first, block.last, signals, scores, block.between)
        taken.append(time.thread_time() - begun)
    return min(taken[1:]) / len(market.rows)


# -- what the compiler costs -------------------------------------------------------------------------


def compiling() -> None:
    """Print how long the first compilation takes, and a start after it."""
    names = ",".join(each.name for each in FOLDERS)
    given = ["--set", f"run.strategies={names}", "--set", "plugins.synthetic.market=flow"]
    given += ["--set", "run.clock=every", "--set", "run.every=1000"]
    nexus = [str(Path(sys.executable).with_name("nexus"))]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NEXUS_CACHE_DIR": cache, "NEXUS_HOME": f"{cache}/home"}
        for what, command, target in (
            ("first compilation of all, over the cores", [*nexus, "compile", *given], "< 60 s"),
            ("the same, from the cache", [*nexus, "compile", *given], "< 3 s"),
            ("a run of 60 rows, from the cache", [*nexus, "run", *given, "--bars", "60"], ""),
        ):
            begun = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            print(f"| {what} | {time.perf_counter() - begun:.1f} s | {target} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
