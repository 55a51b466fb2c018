"""Killed at a random moment, or cut at a random byte, a run goes on as if nothing had happened."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nexus_core.compile import JIT

BENCH = Path(__file__).parent.parent / "bench" / "crash.py"


@pytest.fixture
def crash():
    spec = importlib.util.spec_from_file_location("bench_crash", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def twin(events):
    """Return a copy to the byte, which numpy's own is not."""
    return np.frombuffer(bytearray(events.tobytes()), events.dtype)


def test_nothing_acknowledged_is_lost_or_repeated(ram):
    count, bars = ("8", "2000") if JIT else ("2", "150")
    # a process of its own: it forks what it kills
    done = subprocess.run(
        [sys.executable, BENCH, count, "11", bars], capture_output=True, text=True, cwd=ram, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in done.stdout.splitlines()]
    table = {name: cells for name, *cells in rows}
    assert table["trials"] == [count, count]
    faults = [name for name in table if any(word in name for word in ("lost", "repeated", "unlike"))]
    assert len(faults) == 5
    assert [table[name] for name in faults] == [["0", "0"]] * 5


@pytest.mark.parametrize("what", ["nothing", "a commit", "an event", "an order", "the end", "the portfolio"])
def test_the_trial_would_notice_a_loss(crash, ram, monkeypatch, what):
    trial = crash.Trial(ram, 300 if JIT else 100)
    run = trial.begin()
    run.play(lambda _: None)
    run.close()
    _, events = crash.state(run.folder)
    said, before = [], twin(events)
    if what == "a commit":
        said.append("999999 never")
    if what == "an event":
        before["qty"][-1] += 1
    if what == "an order":
        twice = twin(events)
        twice["order"][twice["kind"] == crash.APPROVAL] = 1
        monkeypatch.setattr(crash, "state", lambda _: (trial.hash, twice))
        before = twice
    if what == "the end":
        trial.hash = "0" * 32
    if what == "the portfolio":
        monkeypatch.setattr(crash, "portfolio", lambda *_: (0, [0, 0, 0]))
    trial.check("trial", run.folder, said, before)
    assert (crash.faults(trial.counts) > 0) == (what != "nothing")


@pytest.mark.parametrize(
    ("said", "moment"),
    [([], "before the first commit"), (["99 h"], "while running"), (["16 h", "100 h"], "after the last")],
)
def test_where_a_kill_hit_is_told_by_what_was_acknowledged(crash, ram, said, moment):
    assert crash.Trial(ram, 100).moment(said) == moment
