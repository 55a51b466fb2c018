"""Tell how often rows are anomalies: `python bench/anomaly.py [FOLDER]`, of Parquet bars of a minute.

Of each file in the folder only the first 60 % of its time are read. Without a folder it is the synthetic
market alone. The table is printed; it stands in docs/chain/selection.md.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from nexus_gate_selection import Selection
from nexus_synthetic import Generator

from nexus_core import compile
from nexus_core.records import ROW, Records, empty
from nexus_core.steps import record

MINUTE, DAY = 60_000_000_000, 86_400_000_000_000
LEVELS = (0.5, 0.8, 0.9)
COLUMNS = {
    "ts": "ts", "open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume",
    "bid": "bid_close", "ask": "ask_close",
}  # fmt: skip

WATCH = """
def entry(rows, contexts, states, params):
    for n in range(rows.size):
        watch(rows[n], contexts[n], states[0], params[0])
"""


def main() -> int:
    """Print a line for each market."""
    names = ("market", "rows", "median", *(f"above {each}, in 1,000" for each in LEVELS), "unknown, in 1,000")
    print("| " + " | ".join(names) + " |\n|---|" + "--:|" * (len(names) - 1))
    made = [anomalies(Generator(seed, 1).take(100_000)[0]) for seed in range(100, 105)]
    tell("synthetic bars, five seeds", made)
    groups = defaultdict[str, list[Any]](list)
    for path in sorted(Path(sys.argv[1]).glob("*-1m-*.parquet")) if len(sys.argv) > 1 else ():
        groups[path.name.partition("-")[0]].append(anomalies(read(path)))
    for name, each in groups.items():
        tell(name, each)
    return 0


def read(path: Path) -> Records:
    """Return the first 60 % of a file's time as rows; what it has no column for is unknown."""
    table = pq.read_table(path)
    times = table["ts"].to_numpy()
    cut = times[0] + int(0.6 * (times[-1] - times[0]))
    cut = cut // DAY * DAY if times[-1] - times[0] >= 10 * DAY else cut
    rows = empty(ROW, int(np.searchsorted(times, cut, side="right")))
    for name in ("bid_size", "ask_size", "buy_volume", "sell_volume"):
        rows[name] = np.nan
    for name, column in COLUMNS.items():
        rows[name] = table[column].to_numpy()[: len(rows)] if column in table.column_names else np.nan
    return rows


def anomalies(rows: Records) -> Any:
    """Return the anomaly of each row once the window is full."""
    layer = Selection()
    fields = {name: layer.writes.get(name, 1) for name in (*layer.reads, *layer.writes)}
    contexts = np.zeros(len(rows), [(name, "f8", (n,) if n > 1 else ()) for name, n in fields.items()])
    states = np.array([record(**layer.state(layer.params, MINUTE))])
    entry = compile.entry("watch", WATCH, {"watch": Selection.watch})
    compile.call(entry, rows, contexts, states, layer.params.record())
    return contexts["anomaly"][layer.params.window :]


def tell(name: str, parts: list[Any]) -> None:
    """Print a line."""
    found = np.concatenate(parts)
    if not len(found):
        return
    shares = [f"{1000 * (found > each).mean():.1f}" for each in LEVELS]
    shares.append(f"{1000 * np.isnan(found).mean():.1f}")
    print(f"| {name} | {len(found):,} | {np.nanmedian(found):.2f} | " + " | ".join(shares) + " |")


if __name__ == "__main__":
    raise SystemExit(main())
