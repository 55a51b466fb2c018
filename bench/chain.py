"""Measure the whole path from a row to its verdict: twenty strategies, six layers, every gate, rules only.

    python bench/chain.py [SECONDS] [--symbols 50]

Rows and market events are made beforehand; what is timed is `Engine.advance`: strategies, outcomes, layers,
gates, orders, fills and the records of the trace. Processor time of one core; each line is the best of
several turns, with the worst in brackets.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from nexus_core.compile import JIT
from nexus_core.config import Settings
from nexus_core.engine import Assembly, assemble

TURNS = 5
CHAIN = {"preset": "standard"}


def assembled(seconds: int, symbols: int, trace: str = "full") -> Assembly:
    """Put a run together: every official strategy on order flow with planted patterns."""
    tables: dict[str, Any] = {
        "run": {
            "feed": "synthetic", "interval": 1, "bars": seconds,
            "symbols": [f"S{n:02d}-USD" for n in range(symbols)],
        },
        "chain": CHAIN,
        "performance": {"trace": trace},
        "plugins": {"synthetic": {"market": "flow", "plants": True}},
    }  # fmt: skip
    made = assemble(Settings.from_dict(tables))
    made.warm(lambda text: print(f"  {text}", flush=True))
    return made


def chunks(made: Assembly) -> list[Any]:
    """Return the market of a run, in memory."""
    return list(made.feed.chunks(made.market, 0))


def played(
    made: Assembly, market: list[Any], size: int, each: list[float] | None = None
) -> tuple[float, int]:
    """Play a market in blocks of so many ticks; return processor seconds and decisions."""
    engine, begun, none = made.engine, time.process_time(), _none()
    for chunk in market:
        for block in engine.blocks(chunk, size):
            at = time.thread_time()
            for _ in engine.advance(block, none):
                pass
            if each is not None:
                each.append(time.thread_time() - at)
    return time.process_time() - begun, int(engine.ledger.account["decisions"][0])


def _none() -> Any:
    from nexus_core.records import EVENT, empty

    return empty(EVENT, 0)


def blocks_of(seconds: int, trace: str, market: list[Any], size: int = 4096) -> float:
    """Return decisions a second in blocks."""
    took, decisions = played(assembled(seconds, 1, trace), market, size)
    return decisions / took


def main() -> None:
    """Print the table."""
    given = argparse.ArgumentParser()
    given.add_argument("seconds", nargs="?", type=int, default=20_000)
    given.add_argument("--symbols", type=int, default=50)
    args = given.parse_args()
    if not JIT:
        raise SystemExit("NEXUS_JIT=0 measures plain Python. Run it without.")
    market = chunks(assembled(args.seconds, 1))
    rates: dict[str, list[float]] = {"full": [], "approved": [], "orders": []}
    for _ in range(TURNS):  # in turns, for the machine's speed wanders
        for trace, found in rates.items():
            found.append(blocks_of(args.seconds, trace, market))
    print("| what | measured | target |\n|---|--:|--:|")
    for trace, found in rates.items():
        best, worst = max(found), min(found)
        print(f"| blocks of 4,096, trace {trace} | {best:,.0f} decisions/s ({worst:,.0f}) | >= 150,000 |")
    for trace in ("full", "approved"):
        ratio = np.median(np.array(rates["orders"]) / np.array(rates[trace]) - 1.0)
        print(f"| what the trace `{trace}` adds to `orders`, median of {TURNS} turns | {ratio:+.1%} | |")
    medians, tails = [], []
    for _ in range(3):
        each: list[float] = []
        played(assembled(min(args.seconds, 5_000), 1), market, 1, each)
        medians.append(np.median(each[100:]) * 1e6)
        tails.append(np.quantile(each[100:], 0.99) * 1e6)
    print(
        f"| one symbol, one row at a time, median | {min(medians):.0f} µs ({max(medians):.0f}) | <= 150 µs |"
    )
    print(f"| the same, p99 | {min(tails):.0f} µs ({max(tails):.0f}) | <= 500 µs |")
    wide = assembled(300, args.symbols)
    each = []
    played(wide, chunks(wide), 1, each)
    print(f"| {args.symbols} symbols at one tick, median | {np.median(each[20:]) * 1e3:.2f} ms | <= 1.5 ms |")


if __name__ == "__main__":
    main()
