"""Kill paper runs and cut their journals at random places, and see what comes back.

`python bench/crash.py [TRIALS] [SEED] [BARS]` makes so many kills and so many cuts, prints a table, and exits
with 1 if anything acknowledged was lost or repeated, or if a run did not end as if nothing had happened.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from nexus_core import session
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.journal import FILE, Batch, Journal
from nexus_core.ledger.orders import APPROVAL
from nexus_core.records import EVENT, Records, empty
from nexus_core.types import Instrument, to_units
from nexus_core.upkeep import recovery
from nexus_core.upkeep.recovery import portfolio

BLOCK = 16


def lively(bars: int) -> Settings:
    """Return the settings of a run with many commits, orders and fills."""
    return Settings.from_dict(
        {
            "run": {"strategies": ["vwap", "ema-cross"], "bars": bars},
            "risk": {"max_daily_loss": 1.0, "max_weekly_loss": 1.0, "max_drawdown": 1.0, "breaker_loss": 0.0},
            "performance": {"snapshot_every": 7},
        }
    )


class Trial:
    """What an uninterrupted run gives, and what to hold the others against."""

    def __init__(self, folder: Path, bars: int) -> None:
        self.folder, self.settings = folder, lively(bars)
        assemble(self.settings).warm(lambda _: None)
        begun = time.perf_counter()
        run = self.begin()
        run.play(lambda _: None)
        run.close()
        self.seconds = time.perf_counter() - begun
        self.hash, self.events = state(run.folder)
        self.counts: Counter[str] = Counter()

    def begin(self) -> session.Session:
        """Open a new run."""
        return session.begin(self.folder, assemble(self.settings), BLOCK)

    def killed(self, chance: random.Random) -> tuple[Path, list[str]]:
        """Play a run in a process of its own, kill it at a random moment, and return what it acknowledged."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self._play(writer)
        os.close(writer)
        folder = Path(os.fsdecode(_line(reader)))
        time.sleep(chance.uniform(0.0, 1.1 * self.seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as stream:
            said = stream.read().splitlines(keepends=True)
        return folder, [line.strip() for line in said if line.endswith("\n")]

    def moment(self, said: list[str]) -> str:
        """Tell where a run was when it was killed, by what it had acknowledged."""
        if not said:
            return "before the first commit"
        return "after the last" if int(said[-1].split()[0]) >= self.settings.run.bars else "while running"

    def _play(self, writer: int) -> None:
        def acknowledge(batch: Batch) -> None:
            os.write(writer, f"{batch.tick} {batch.run_hash}\n".encode())

        try:
            run = self.begin()
            os.write(writer, f"{run.folder}\n".encode())
            run.play(acknowledge)
        finally:
            os._exit(0)  # the parent's work is not the child's

    def check(self, kind: str, folder: Path, said: list[str], before: Records) -> None:
        """Resume a run, and hold its end against what was acknowledged and against the uninterrupted run."""
        rebuilt = len(list(folder.glob(f"{FILE}.damaged-*[0-9]")))
        run = recovery.resume(folder, BLOCK, lambda _: None)
        rebuilt = len(list(folder.glob(f"{FILE}.damaged-*[0-9]"))) - rebuilt
        run.play(lambda _: None)
        run.close()
        last, after = state(folder)
        with Journal(folder) as journal:
            commits = {f"{each.tick} {each.run_hash}" for each in journal.commits()}
        ids = after["order"][after["kind"] == APPROVAL]
        cash, held = portfolio(after, to_units(self.settings.risk.capital), self.instruments)
        self.counts[f"{kind}: trials"] += 1
        self.counts[f"{kind}: commits acknowledged"] += len(said)
        self.counts[f"{kind}: played again from the first row"] += rebuilt
        self.counts[f"{kind}: acknowledged commits lost"] += sum(line not in commits for line in said)
        self.counts[f"{kind}: acknowledged events lost or changed"] += not _is_prefix(before, after)
        self.counts[f"{kind}: orders repeated"] += len(ids) - len(np.unique(ids))
        ledger = run.engine.ledger
        agree = cash == int(ledger.account["cash"][0]) and held == ledger.positions["qty"].tolist()
        self.counts[f"{kind}: portfolio unlike the journal"] += not agree
        self.counts[f"{kind}: final hash unlike the uninterrupted run's"] += last != self.hash

    @property
    def instruments(self) -> list[Instrument]:
        """Return what is traded."""
        return [Instrument(each) for each in self.settings.run.symbols]


def state(folder: Path) -> tuple[str, Records]:
    """Return the run hash and the events that a journal holds."""
    if not (folder / FILE).is_file():
        return "", empty(EVENT, 0)
    with Journal(folder) as journal:
        last = journal.last()
        return (last.run_hash if last else ""), journal.events()


def cut(folder: Path, chance: random.Random) -> None:
    """Cut the journal, or what was written ahead of it, at a random byte."""
    files = [
        each for each in (folder / FILE, folder / f"{FILE}-wal") if each.is_file() and each.stat().st_size
    ]
    sizes = [each.stat().st_size for each in files]
    (file,) = chance.choices(files, sizes)
    os.truncate(file, chance.randrange(file.stat().st_size))


def trials(count: int, seed: int, folder: Path, bars: int) -> Counter[str]:
    """Make `count` kills and `count` cuts; return what was counted."""
    trial, chance = Trial(folder, bars), random.Random(seed)
    for kind in ("kill -9", "cut"):
        for _ in range(count):
            run, said = trial.killed(chance)
            trial.counts[f"{kind}: hit {trial.moment(said)}"] += 1
            _, before = state(run) if (run / FILE).is_file() else ("", trial.events[:0])
            if kind == "cut" and (run / FILE).is_file():
                cut(run, chance)
            trial.check(kind, run, said, before)
    return trial.counts


def faults(counts: Counter[str]) -> int:
    """Return how many of the counts should have been none."""
    bad = ("lost", "repeated", "unlike")
    return sum(number for name, number in counts.items() if any(word in name for word in bad))


def _is_prefix(before: Any, after: Any) -> bool:
    return after[: len(before)].tobytes() == before.tobytes()


def _line(reader: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(reader, 1)
    return line.strip()


def main() -> None:
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # threads begun by numpy would not come along into a child
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    given = [int(each) for each in sys.argv[1:4]]
    count, seed, bars = given + [300, 7, 8_000][len(given) :]
    with tempfile.TemporaryDirectory() as folder:
        counts = trials(count, seed, Path(folder), bars)
    print("| what | kill -9 | journal cut |\n|---|--:|--:|")
    for name in dict.fromkeys(each.split(": ", 1)[1] for each in counts):
        print(f"| {name} | {counts[f'kill -9: {name}']:,} | {counts[f'cut: {name}']:,} |")
    sys.exit(1 if faults(counts) else 0)


if __name__ == "__main__":
    main()
