"""Measure how fast files are read and traded, and how much memory that takes.

    python bench/files.py [--bars 10000000] [--folder DIR] [--file FILE ...]

Makes a CSV and a Parquet file of one-minute bars, or takes the files given, and for each prints rows a second
and the greatest memory of a process that reads it, and of one that trades it with `nexus run --feed files`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PIECE = 250_000
MEGA = 1 << 20
READ = """
import sys
from nexus_catalog.tables import read
print(sum(len(rows) for rows in read(sys.argv[1])))
"""


def _paths(folder: Path, bars: int) -> list[Path]:
    return [folder / f"bars-{bars}.{ending}" for ending in ("csv", "parquet")]


def made(folder: Path, bars: int) -> None:
    """Write the bars of a synthetic market as CSV and as Parquet; keep files that are there."""
    import pyarrow as pa
    from nexus_synthetic import Generator
    from pyarrow import csv, parquet

    names = ("open", "high", "low", "close", "volume")
    schema = pa.schema([("timestamp", pa.timestamp("ms")), *((name, pa.float64()) for name in names)])
    paths = _paths(folder, bars)
    if not all(path.exists() for path in paths):
        market = Generator(7, 1)
        with csv.CSVWriter(paths[0], schema) as text, parquet.ParquetWriter(paths[1], schema) as table:
            for at in range(0, bars, PIECE):
                rows, _ = market.take(min(PIECE, bars - at))
                columns = [pa.array(rows["ts"] // 1_000_000).cast(pa.timestamp("ms"))]
                columns += [pa.array(rows[name].copy()) for name in names]
                part = pa.table(columns, schema=schema)
                text.write_table(part)
                table.write_table(part)


def measured(command: list[str]) -> tuple[float, float, float, str]:
    """Run a command; return its seconds, those of the processor, its greatest memory in MiB, what it said."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    seconds = time.perf_counter() - begun
    if process.returncode:
        sys.exit(text)
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / MEGA, text


def show(what: str, count: int, seconds: float, busy: float, memory: float, _: str) -> None:
    """Print a line; times are of the whole process, start and all."""
    speeds = f"{count / seconds:>11,.0f} rows/s, {count / busy:>11,.0f} a second of the processor"
    print(f"  {what:<6}{speeds}, {memory:,.0f} MiB", flush=True)


def main() -> None:
    """Measure, and print a line for each file."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--bars", type=int, default=10_000_000)
    asked.add_argument("--folder", type=Path)
    asked.add_argument("--file", type=Path, nargs="*")
    asked.add_argument("--make", action="store_true", help="only make the files")
    given = asked.parse_args()
    if given.make:
        made(given.folder, given.bars)
        return
    with tempfile.TemporaryDirectory() as scratch:
        files = given.file
        if not files:
            # by another process: what one has ever used counts as used by those that it starts
            folder = given.folder or Path(scratch)
            make = [sys.executable, __file__, "--make", "--folder", str(folder), "--bars", str(given.bars)]
            subprocess.run(make, check=True)
            files = _paths(folder, given.bars)
        for path in files:
            told = measured([sys.executable, "-c", READ, str(path)])
            count = int(told[-1].split()[-1])
            print(f"{path.name}: {path.stat().st_size / MEGA:,.0f} MiB, {count:,} rows", flush=True)
            show("read", count, *told)
            run = [Path(sys.executable).with_name("nexus"), "run", "--feed", "files", "--symbols", "BTC-USD"]
            run += ["--bars", str(count), "--set", f"plugins.files.path={path}", "--out", scratch]
            show("trade", count, *measured([str(each) for each in run]))


if __name__ == "__main__":
    main()
