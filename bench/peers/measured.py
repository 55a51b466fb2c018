"""What the peers' scripts share: the bars, the clock and the answer. It needs NumPy alone.

A peer's script is called with the file of the bars, their number, and the file to write its fills to.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

CASH, FEE, QUANTITY, FAST, SLOW = 1e7, 0.001, 1, 10, 30
WARM, RUNS = 20_000, 3
FILL = np.dtype([("row", "i8"), ("side", "i8"), ("price", "f8"), ("fee", "f8")])
"""A fill: the number of the bar it happened in, 1 or -1, its price, and its fee in money."""


def best(ready: Callable[[], Any], run: Callable[[Any], Any]) -> tuple[float, float, Any]:
    """Return the least CPU seconds and the least wall seconds of some runs, and what the last one gave."""
    cpu, wall, done = float("inf"), float("inf"), None
    for _ in range(RUNS):
        given = ready()
        done = None  # the memory of one run at a time
        gc.collect()
        begun = time.process_time(), time.perf_counter()
        done = run(given)
        ended = time.process_time(), time.perf_counter()
        cpu, wall = min(cpu, ended[0] - begun[0]), min(wall, ended[1] - begun[1])
    return cpu, wall, done


def answer(
    version: str,
    prepare: Callable[[Any], Any],
    run: Callable[[Any], Any],
    read: Callable[[Any], tuple[Iterable[tuple[int, int, float, float]], float]],
) -> None:
    """Warm up, measure `run(prepare(bars))` without the preparing, and print version, times and equity."""
    path, count, target = sys.argv[1:4]
    bars = np.load(path)[: int(count)]
    run(prepare(bars[:WARM]))
    cpu, wall, done = best(lambda: prepare(bars), run)
    fills, equity = read(done)
    np.save(target, np.array(list(fills), FILL))
    print(json.dumps({"version": version, "cpu": cpu, "wall": wall, "equity": float(equity)}))
