"""Killed at a random moment, or cut at a random byte, a run goes on as if nothing had happened."""

import importlib.util
import logging
from pathlib import Path

import pytest

from nexus_core.compile import JIT

BENCH = Path(__file__).parent.parent / "bench" / "crash.py"


@pytest.fixture
def crash():
    spec = importlib.util.spec_from_file_location("bench_crash", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_acknowledged_is_lost_or_repeated(crash, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    counts = crash.trials(6 if JIT else 1, seed=11, folder=tmp_path, bars=3_000 if JIT else 150)

    assert crash.faults(counts) == 0, counts
    assert counts["kill -9: trials"] == counts["cut: trials"] > 0


def test_the_trial_would_notice_a_loss(crash, tmp_path):
    trial = crash.Trial(tmp_path, 300 if JIT else 100)
    run = trial.begin()
    run.play(lambda _: None)
    run.close()
    _, events = crash.state(run.folder)

    trial.check("lost", run.folder, ["999999 never"], events)
    other = events.copy()
    other["qty"][:1] += 1
    trial.check("changed", run.folder, [], other)

    assert trial.counts["lost: acknowledged commits lost"] == 1
    assert trial.counts["changed: acknowledged events lost or changed"] == (1 if len(events) else 0)
    assert crash.faults(trial.counts) >= 1
