"""What the catalog costs: `python bench/catalog.py [RECORDING] [--name BTCUSDT] [--times 7] [--peer]`.

Changes of a book of one symbol, made here (or the events of a recording, played as many times as `--times`
says, one after another), are imported into a catalog, read back, and replayed into the kernel's book; so are
one-minute bars out of a CSV file. Each figure is the best of several turns. Beside them stand pyarrow and
pandas with the catalog's own files, and with files that hold the same fields plainly; with `--peer`
hftbacktest, in an environment of its own, that replays the same trades and changes of the book out of memory
in steps of 100 ms. It keeps two books, the venue's and the trader's, and takes no quotes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "peers")]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from nexus_catalog import tables  # noqa: E402
from nexus_catalog.series import Series  # noqa: E402
from nexus_catalog.store import Catalog  # noqa: E402
from nexus_recording import Recording  # noqa: E402

from nexus_core import compile  # noqa: E402
from nexus_core.market.book import book, depth  # noqa: E402
from nexus_core.market.events import BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT, TRADE  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS, BARS, TURNS = 4_000_000, 1_000_000, 5
START = 1_704_067_200 * 10**9
BOOK, MINUTES = Series("X-USD", "book"), Series("X-USD", "bars", 60 * 10**9)


_REPLAY = """
def entry(events, states):
    state = states[0]
    for i in range(events.size):
        push(state, events[i])
"""


def repeated(path: str, name: str, times: int) -> np.ndarray:
    """Return the events of a recording, some times over, each time a moment after the time before."""
    events = np.concatenate(list(Recording(path, [name]).events()))
    made, step = np.tile(events, times), int(events["ts"][-1] - events["ts"][0]) + 10**6
    later = np.repeat(np.arange(times), len(events))
    made["ts"] += later * step
    made["local"] += later * step
    made["seq"] += later * len(events)
    return made


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
    made["kind"][0], made["price"][0], made["flags"][0] = CLEAR, 0.1, LAST | SNAPSHOT
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
    replay = compile.Fixed(compile.entry("replay", _REPLAY, {"push": depth.push}))

    def kept_in_memory() -> Any:
        states = np.array([book()])
        replay(events, states)
        return states

    def whole() -> Any:
        states = np.array([book()])
        for each in catalog.every(BOOK.name):
            replay(each, states)
        return states

    assert kept_in_memory().tobytes() == whole().tobytes()
    told("book events in memory into the kernel's book", len(events), kept_in_memory)
    told("book events decoded and into the book", len(events), whole)
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


def beside(folder: Path, events: np.ndarray, tick: float) -> None:
    """Let hftbacktest replay the same trades and changes of the book."""
    import compare

    chosen = events[(events["kind"] == LEVEL) | ((events["kind"] == TRADE) & (events["side"] != 0))]
    kinds = np.where(chosen["kind"] == TRADE, 2, np.where(chosen["flags"] & SNAPSHOT, 4, 1))
    fields = [("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8")]
    fields += [("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")]
    made = np.zeros(len(chosen), np.dtype(fields, align=True))
    made["ev"] = kinds | 3 << 30 | np.where(chosen["side"] == BUY, 1 << 29, 1 << 28)
    made["exch_ts"], made["px"], made["qty"] = chosen["ts"], chosen["price"], chosen["size"]
    made["local_ts"] = np.maximum.accumulate(np.maximum(chosen["local"], chosen["ts"] + 1))
    np.save(folder / "theirs.npy", made)
    theirs = compare.Peer("hftbacktest", "on_hftbacktest.py", "hftbacktest", ("hftbacktest==2.4.4",), 0)
    command = [compare.installed(theirs), HERE / "peers" / theirs.script, folder / "theirs.npy", str(tick)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | compare.ONE_THREAD, check=False
    )
    if done.returncode:
        sys.exit(f"hftbacktest: {(done.stderr.strip() or 'no output').splitlines()[-1]}")
    said = json.loads(done.stdout.splitlines()[-1])
    rate = said["events"] / said["replay"] / 1e6
    what = f"  hftbacktest {said['version']}, {said['events']:,} of them in memory"
    print(f"{what:58} {'':12}   {rate:8.2f} M/s of processor time")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Measure what the catalog costs.")
    parser.add_argument("recording", nargs="?", help="a recording, in place of events made here")
    parser.add_argument("--name", default="BTCUSDT", help="the venue's name of its symbol")
    parser.add_argument("--times", type=int, default=7, help="how many times over its events are played")
    parser.add_argument("--tick", type=float, default=0.1, help="step of prices, for hftbacktest")
    parser.add_argument("--peer", action="store_true", help="measure hftbacktest too")
    given = parser.parse_args()
    made = repeated(given.recording, given.name, given.times) if given.recording else changes(EVENTS)
    with tempfile.TemporaryDirectory() as name:
        books(Path(name) / "book", made)
        if given.peer:
            beside(Path(name), made, given.tick)
        bars(Path(name))


if __name__ == "__main__":
    main()
