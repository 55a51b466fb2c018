"""What the catalog costs: `python bench/catalog.py [EVENTS.npy]`.

Changes of a book of one symbol, made here (or EVENT records out of a NumPy file), are imported into a catalog
and read back; so are one-minute bars out of a CSV file. Each figure is the best of several turns. Beside
them stand pyarrow and pandas with the catalog's own files, and with files that hold the same fields plainly.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from nexus_catalog import tables
from nexus_catalog.series import Series
from nexus_catalog.store import Catalog

from nexus_core.market.events import BUY, EVENT, LAST, LEVEL, SELL

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS, BARS, TURNS = 4_000_000, 1_000_000, 5
START = 1_704_067_200 * 10**9
BOOK, MINUTES = Series("X-USD", "book"), Series("X-USD", "bars", 60 * 10**9)


def changes(size: int) -> np.ndarray:
    """Return changes of a book: messages of some levels near a price that wanders, sizes in thousandths."""
    random = np.random.default_rng(7)
    made = np.zeros(size, EVENT)
    message = np.cumsum(random.random(size) < 0.12)
    made["ts"] = START + np.cumsum(random.exponential(40, message[-1] + 1))[message].astype(np.int64) * 10**6
    made["local"] = made["ts"] + 5_000_000 + random.integers(0, 2_000_000, message[-1] + 1)[message]
    made["seq"] = np.arange(size)
    made["id"] = 5_000_000_000 + np.cumsum(random.integers(1, 60, message[-1] + 1))[message]
    side = np.where(random.random(size) < 0.5, BUY, SELL)
    touch = 600_000 + np.cumsum(random.integers(-3, 4, message[-1] + 1))[message]
    made["price"] = (touch - side * random.geometric(0.02, size)) / 10
    made["size"] = np.where(random.random(size) < 0.35, 0, random.geometric(0.002, size)) / 1000
    made["kind"], made["side"] = LEVEL, side
    made["flags"] = np.append(np.diff(message) > 0, True) * LAST
    return made


def told(what: str, count: int, work: Callable[[], Any], turns: int = TURNS) -> None:
    """Print how many a second the quickest turn did, by the clock and by the time on the processor."""
    taken: list[tuple[float, float]] = []
    for _ in range(turns):
        begun = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    clock, processor = (count / min(each) / 1e6 for each in zip(*taken, strict=True))
    print(f"{what:58} {clock:8.2f} M/s   {processor:8.2f} M/s of processor time")


def books(folder: Path, events: np.ndarray) -> None:
    """Measure the events of a book."""
    catalog = Catalog(folder)
    chunks = [events[at : at + 65_536] for at in range(0, len(events), 65_536)]
    told("book events imported", len(events), lambda: catalog.add(BOOK, chunks, "made"), 1)
    files = sorted(folder.rglob("*.parquet"))
    size = sum(each.stat().st_size for each in files)
    print(f"{'bytes of an event on disk':58} {size / len(events):8.2f} B   ({len(files)} files)")

    def decode() -> int:
        return sum(len(each) for each in catalog.every(BOOK.name))

    assert decode() == len(events)
    told("book events decoded into records, checksums verified", len(events), decode)
    told(
        "  pyarrow, the same files, to a table",
        len(events),
        lambda: [pq.read_table(each) for each in files],
    )
    told(
        "  pandas, the same files, to a frame",
        len(events),
        lambda: [pd.read_parquet(each) for each in files],
    )
    plain = folder / "plain.parquet"
    fields = [name for name in EVENT.names or () if name != "symbol"]
    pq.write_table(
        pa.table({name: np.ascontiguousarray(events[name]) for name in fields}), plain, compression="zstd"
    )
    size = plain.stat().st_size
    print(f"{'  bytes of an event, fields written plainly with zstd':58} {size / len(events):8.2f} B")

    def fill() -> None:
        table = pq.read_table(plain)
        made = np.empty(table.num_rows, EVENT)
        for name in fields:
            made[name] = table.column(name).to_numpy()

    told("  pyarrow, fields written plainly, into records", len(events), fill)
    told("  pandas, fields written plainly, to a frame", len(events), lambda: pd.read_parquet(plain))


def bars(folder: Path) -> None:
    """Measure bars out of a CSV file."""
    random = np.random.default_rng(7)
    close = np.round(30_000 + np.cumsum(random.normal(0, 5, BARS)), 2)
    stamps = pd.to_datetime(START + np.arange(1, BARS + 1) * MINUTES.interval, utc=True)
    frame = pd.DataFrame({"time": stamps, "open": close, "high": close + 3, "low": close - 3, "close": close})
    frame["volume"] = np.round(random.exponential(10, BARS), 3)
    path = folder / "bars.csv"
    frame.to_csv(path, index=False)
    catalog = Catalog(folder / "catalog")
    next(tables.read(path))  # compiles the checks

    told("bars read from CSV and checked", BARS, lambda: sum(map(len, tables.read(path))), 2)
    told(
        "bars read from CSV, checked and imported",
        BARS,
        lambda: catalog.add(MINUTES, tables.read(path), "made"),
        1,
    )
    facts = catalog.find(MINUTES.name)
    size = path.stat().st_size
    print(f"{'bytes of a bar on disk':58} {facts.bytes / BARS:8.2f} B   (CSV {size / BARS:.1f} B)")
    told(
        "bars decoded into records, checksums verified",
        BARS,
        lambda: sum(map(len, catalog.every(MINUTES.name))),
    )
    told(
        "  pandas, the CSV file with its times parsed",
        BARS,
        lambda: pd.read_csv(path, parse_dates=["time"]),
        2,
    )


if __name__ == "__main__":
    given = np.load(sys.argv[1]) if sys.argv[1:] else changes(EVENTS)
    with tempfile.TemporaryDirectory() as name:
        books(Path(name) / "book", given)
        bars(Path(name))
