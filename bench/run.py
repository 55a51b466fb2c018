"""Run every benchmark and print one report in Markdown: `python bench/run.py`. `make bench` calls it.

Exit 1 says that one of them failed: that two ledgers disagreed, say, or that an order was lost. No time
fails it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = (
    ("Speed of the core", ("speed.py",)),
    ("What plugins cost", ("plugins.py",)),
    ("Bars, frames and the flow of trades", ("bars.py",)),
    ("The 65 features", ("features.py",)),
    ("The strategies", ("strategies.py",)),
    ("Recordings", ("recorded.py",)),
    ("Recordings that are spoiled", ("recorded.py", "--spoiled", "200000")),
    ("The catalog", ("catalog.py",)),
    ("The ledger against decimals", ("decimal_oracle.py", "--fills", "200000")),
    ("Killed and started again", ("crash.py", "30")),
    ("Beside other backtesters", ("peers/compare.py", "--quick")),
)
LAST = 20
"""Lines of a failed part's error output that are shown."""


def main() -> int:
    """Run what is there, one after another; return 1 if one of them failed."""
    print(f"# Benchmarks\n\n{machine()}", flush=True)
    failed = False
    for title, (script, *arguments) in PARTS:
        if not (HERE / script).exists():
            continue
        command = [sys.executable, HERE / script, *arguments]
        print(f"\n## {title}\n\n`python {' '.join(('bench/' + script, *arguments))}`\n", flush=True)
        begun = time.perf_counter()
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        result = "passed" if done.returncode == 0 else f"**failed, exit {done.returncode}**"
        print(f"\n{result}, {time.perf_counter() - begun:.0f} s", flush=True)
        if done.returncode:
            print("", *(f"    {line}" for line in done.stderr.splitlines()[-LAST:]), sep="\n", flush=True)
            failed = True
    return 1 if failed else 0


def machine() -> str:
    """Return one line on processor, system, Python and load, for a figure means nothing without them."""
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [
        line.partition(":")[2].strip() for line in described.splitlines() if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor() or platform.machine()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} x {processor}{load}, {platform.system()} {platform.release()}, {python}"


if __name__ == "__main__":
    sys.exit(main())
