"""What plugins cost: `python bench/plugins.py`.

Seventy packages are written by `nexus new` and put on the path; whole processes are timed with them, the
best and the median of several. Then one run is played with and without its calls of hooks in turns, while
nobody listens.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nexus_core import engine, log, session, templates
from nexus_core.config import Settings
from nexus_core.news import News
from nexus_core.upkeep import homes

PACKAGES, REPEATS, TURNS = 70, 7, 20
STYLES = ("step", "window", "classic")
KINDS = [*(("strategy", each) for each in STYLES), ("gate", None), ("feed", None)]


def install(folder: Path) -> None:
    """Write packages and lay them down as installed, each with its metadata."""
    for n in range(PACKAGES):
        kind, style = KINDS[n % len(KINDS)]
        made = templates.write(kind, f"made-{n}", style, folder / "sources")
        package = next(each for each in made.iterdir() if each.name.startswith("nexus_"))
        package.rename(folder / package.name)
        info = folder / f"{package.name}-0.1.0.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {made.name}\nVersion: 0.1.0\nSummary: Made for timing\n"
        (info / "METADATA").write_text(about + "\n" + (made / "README.md").read_text())
        text = (made / "pyproject.toml").read_text()
        group = text.split('entry-points."')[1].split('"')[0]
        point = text.split('entry-points."')[1].splitlines()[1].replace('"', "")
        (info / "entry_points.txt").write_text(f"[{group}]\n{point}\n")


def timed(*arguments: str) -> tuple[float, float]:
    """Return best and median seconds of a whole process."""
    taken: list[float] = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        subprocess.run([Path(sys.executable).parent / "nexus", *arguments], check=True, capture_output=True)
        taken.append(time.perf_counter() - begun)
    return min(taken), statistics.median(taken)


def played(folder: Path, told: bool) -> float:
    """Return the seconds of one run's loop, with its calls of hooks or without."""
    settings: dict[str, Any] = {
        "run": {
            "strategies": ["vwap"],
            "symbols": ["BTC-USD"],
            "bars": 100_000,
            "blocked": ["alert"],
        },
        "performance": {"trace": "orders"},
    }
    work = session.begin(folder, engine.assemble(Settings.from_dict(settings)))
    tell = News.tell
    if not told:
        News.tell = lambda self, batch: None
    begun = time.perf_counter()
    work.play(lambda batch: None)
    taken = time.perf_counter() - begun
    News.tell = tell
    work.close()
    return taken


def main() -> None:
    """Print the table."""
    log.setup(-1)
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder)
        os.environ["PYTHONPATH"] = str(folder)
        os.environ["NEXUS_HOME"] = str(folder / "home")
        for arguments, target in (
            (("--help",), "< 0.35 s"),
            (("plugins", "list"), "< 0.5 s"),
            (("plugins", "check", "strategies:made-0"), "< 20 s"),
        ):
            best, median = timed(*arguments)
            what = f"nexus {' '.join(arguments)}, {PACKAGES} packages more, whole process"
            rows.append((what, f"{best:.2f} s (median {median:.2f})", target))
        home = homes.home(folder / "runs")
        played(home, told=True)
        turns = [(played(home, told=True), played(home, told=False)) for _ in range(TURNS)]
    with_hooks, without = (statistics.median(each) for each in zip(*turns, strict=True))
    spread = max(without for _, without in turns) - min(without for _, without in turns)
    told = f"{(with_hooks - without) * 1e3:+.1f} ms of {without * 1e3:.0f} ms"
    rows.append(
        (f"hooks that nobody listens to, {TURNS} runs in turns", told, f"spread {spread * 1e3:.1f} ms")
    )
    print("| what | measured | target |\n|---|--:|--:|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
