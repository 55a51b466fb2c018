"""Make the pictures and reports of docs/concepts/data-quality.md, from files of real markets.

`python docs/pictures.py --eth BARS --spy BARS --minutes BARS --book RECORDING`

Each file is brought into a new catalog, and drawn without its final split; the reports are of the first four
fifths of a file. Pictures go to docs/pictures, reports to the screen, from where they are copied.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).resolve().parent / "pictures"
NEXUS = Path(sys.executable).with_name("nexus")
LARGEST = 250_000
"""Bytes of a picture."""


def nexus(*arguments: object) -> str:
    """Run a command and return what it prints; a check may find something."""
    done = subprocess.run([NEXUS, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 5):
        sys.exit(done.stderr)
    return done.stdout


def drawn(path: str, symbol: str, kind: str, picture: str, *more: str) -> None:
    """Bring a file in and draw what is open of it."""
    nexus("data", "import", path, "--symbol", symbol)
    target = PICTURES / picture
    nexus("data", "show", f"{symbol}/{kind}", "--plot", target, *more)
    size = target.stat().st_size
    print(f"{target}: {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"{target} is larger than {LARGEST:,} bytes.")


def begun(path: str, folder: Path) -> Path:
    """Write the first four fifths of a recording into a file of its own."""
    lines = gzip.decompress(Path(path).read_bytes()).splitlines(keepends=True)
    made = folder / "btcusdt.jsonl.gz"
    made.write_bytes(gzip.compress(b"".join(lines[: len(lines) * 4 // 5])))
    return made


def main() -> None:
    """Make all that is asked for."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documents.")
    parser.add_argument("--eth", help="one-minute bars of Coinbase ETH-USD")
    parser.add_argument("--spy", help="daily bars of SPY")
    parser.add_argument("--minutes", help="one-minute bars of SPY")
    parser.add_argument("--book", help="a recording of Binance USD-M BTCUSDT, compressed by gzip")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NEXUS_HOME"] = name
        if given.eth:
            drawn(given.eth, "ETH-USD", "bars-60s", "eth-usd.png")
        if given.spy:
            drawn(given.spy, "SPY", "bars-86400s", "spy-days.png", "--calendar", "XNYS")
        if given.minutes:
            nexus("data", "import", given.minutes, "--symbol", "SPY")
            nexus("data", "export", "SPY/bars-60s", folder / "spy.csv.gz")
            print(nexus("data", "check", folder / "spy.csv.gz", "--calendar", "XNYS"))
        if given.book:
            drawn(given.book, "BTC-USDT", "book", "btc-usdt-book.png")
            print(nexus("data", "check", begun(given.book, folder)))


if __name__ == "__main__":
    main()
