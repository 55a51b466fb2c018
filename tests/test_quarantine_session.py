"""Strategies that fail, dawdle or remember, in runs that are stopped, killed and gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_core import safety, session
from nexus_core.compile import JIT
from nexus_core.engine import assemble
from nexus_core.journal import FILE, Journal
from nexus_core.records import ABSENT, EVENT
from nexus_core.strategy import OVERRUN, QUARANTINE, RELEASE
from nexus_core.styles import WindowLoop
from nexus_core.types import Mode
from nexus_core.upkeep import recovery
from nexus_core.upkeep.sources import load

BARS = 400 if JIT else 150
BENCH = Path(__file__).parent.parent / "bench" / "crash.py"


class Killed(Exception):
    """What ends a run in the middle, without a word to it."""


@pytest.fixture
def chosen(sets):
    def made(strategies="swing,tripping", **changes):
        return load(None, sets=sets(BARS, run__strategies=strategies, **changes)).settings

    return made


@pytest.fixture
def home(ram):
    (ram / "runs").mkdir()
    return ram / "runs"


def quiet(_):
    pass


def play(home, chosen, block=16, on_commit=quiet, speed=0.0):
    return finish(session.begin(home, assemble(chosen), block), on_commit, speed)


def finish(work, on_commit=quiet, speed=0.0):
    try:
        work.play(on_commit, speed)
    except Killed:
        pass
    finally:
        work.close()
    return work


def go_on(folder, block=16, on_commit=quiet, speed=0.0):
    return finish(recovery.resume(folder, block, quiet), on_commit, speed)


def at(tick, act):
    """Return what acts once, at the first commit that reaches a tick."""
    left = [tick]

    def on_commit(batch):
        if left and batch.tick >= left[0]:
            left.clear()
            act()

    return on_commit


def kill():
    raise Killed


def stop():
    os.kill(os.getpid(), 15)


def written(work):
    """Return what a run came to: its hash, its events and decisions, and who is silent since when."""
    with Journal(work.folder) as journal:
        journal.check()
        traces = [b"".join(map(bytes, parts)) for parts in zip(*journal.traces(), strict=True)]
        return work.engine.ledger.run_hash, journal.events().tobytes(), traces, work.engine.ward.silent()


def notices(folder, *kinds):
    """Return the journalled events of these kinds with their reasons."""
    with Journal(folder) as journal:
        found = [(np.frombuffer(each.record, EVENT)[0], each.why) for each in journal.inputs()]
    return [(event, why) for event, why in found if event["kind"] in kinds]


def states(work):
    made = {name: array.tobytes() for name, (array, _) in work.engine.states().items()}
    return {name: raw for name, raw in made.items() if name.startswith("strategy:") or name == "quarantine"}


# -- one that raises and answers nonsense --------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
@pytest.mark.parametrize("strategies", ["swing,tripping", "tripping,wild,dozing,remembering"])
def test_the_size_of_blocks_changes_nothing_that_is_written(home, chosen, block, strategies):
    one, other = (play(home, chosen(strategies), size) for size in (16, block))
    assert written(one) == written(other)
    assert states(one) == states(other)
    told = [
        [(event.tobytes(), why) for event, why in notices(work.folder, QUARANTINE)] for work in (one, other)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == strategies.count("tripping") + strategies.count("wild")


def test_a_quarantine_is_journalled_with_its_row_and_its_reason(home, chosen):
    work = play(home, chosen())
    ((event, why),) = notices(work.folder, QUARANTINE)
    assert why.startswith("tripping: 3 faults in ")
    assert (event["reason"], event["symbol"]) == (1, -1)
    assert int(event["ts"]) == int(work.engine.ward.books["since"][1]) > 0
    assert work.finished
    assert work.engine.loops[1].faults() == 3


ends = st.lists(
    st.tuples(st.integers(1, BARS), st.sampled_from([kill, stop]), st.sampled_from([1, 16, 33, 200])),
    min_size=1,
    max_size=3,
)


@given(ends=ends)
@settings(max_examples=12 if JIT else 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_ended_again_and_again_ends_the_same(ram, chosen, ends):
    home = Path(tempfile.mkdtemp(dir=ram))
    lively = chosen("swing,tripping,remembering,dozing", performance__snapshot_every=3, run__bars=BARS // 2)
    whole = play(home, lively)
    (tick, end, block), *others = ends
    work = play(home, lively, block, at(tick, end))
    for tick, end, block in others:
        work = go_on(work.folder, block, at(tick, end))
    again = go_on(work.folder)
    assert written(again) == written(whole)
    assert states(again) == states(whole)


@pytest.mark.parametrize("end", [kill, stop])
@pytest.mark.parametrize("tick", [20, 60, 130])
def test_a_resumed_run_keeps_its_quarantine(home, chosen, end, tick):
    whole = play(home, chosen())
    work = play(home, chosen(performance__snapshot_every=4), 7, at(tick, end))
    since = work.engine.ward.silent()
    resumed = recovery.resume(work.folder, 16, quiet)
    assert resumed.engine.ward.silent() == since
    assert bool(since) == (tick > 50)
    assert written(finish(resumed)) == written(whole)
    assert len(notices(work.folder, QUARANTINE)) == 1


def test_killed_by_force_it_ends_as_if_nothing_had_been(shelf, ram):
    script = f"""
import importlib.util, random, sys, tempfile
from pathlib import Path
spec = importlib.util.spec_from_file_location("bench_crash", {str(BENCH)!r})
crash = importlib.util.module_from_spec(spec)
spec.loader.exec_module(crash)
from nexus_core.config import Settings

def lively(bars):
    facts = crash_lively(bars).to_dict()
    facts["run"]["strategies"] = ["vwap", "tripping", "remembering", "dozing"]
    return Settings.from_dict(facts)

crash_lively, crash.lively = crash.lively, lively
counts = crash.trials({3 if JIT else 1}, 5, Path({str(ram)!r}), {600 if JIT else 100})
print(dict(counts))
assert counts["kill -9: trials"] and not crash.faults(counts), counts
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- release -------------------------------------------------------------------------------------------


def ask(folder, name):
    safety.ask(folder, Mode.NORMAL, "mended", "ada", strategy=name)


class Plan:
    """Lets strategies back when ticks are reached, each once; kills the run at one of them."""

    def __init__(self, home, chosen, killed_at=None):
        self.left, self.killed_at = [(60, "tripping"), (76, "tripping"), (76, "remembering")], killed_at
        self.work = session.begin(home, assemble(chosen), 16)
        finish(self.work, self)

    def __call__(self, batch):
        for tick, name in [each for each in self.left if each[0] == batch.tick]:
            self.left.remove((tick, name))
            ask(self.work.folder, name)
        if batch.tick == self.killed_at:
            self.killed_at = None
            raise Killed


THREE = "swing,tripping,remembering"


def test_a_released_strategy_warms_up_and_speaks_again(home, chosen):
    spoke = []
    work = session.begin(home, assemble(chosen(plugins__tripping__every=97)), 1)
    since = []

    def on_commit(batch):
        (rows, silent) = work.engine.loops[1].states["rows"].tolist(), work.engine.ward.silent()
        spoke.append((batch.tick, rows, bool(silent)))
        if silent and not since:
            since.append(batch.tick)
            ask(work.folder, "tripping")

    finish(work, on_commit)
    with Journal(work.folder) as journal:
        released = [
            each.tick for each in journal.inputs() if np.frombuffer(each.record, EVENT)["kind"] == RELEASE
        ]
    assert released == since
    by_tick = {tick: (rows, silent) for tick, rows, silent in spoke}
    rows, silent = by_tick[since[0] + 1]
    assert max(rows) <= 1  # it begins with nothing
    assert not silent
    assert [why for _, why in notices(work.folder, RELEASE)] == ["ada: mended"]
    assert len(notices(work.folder, QUARANTINE)) >= 2  # it fails again
    with Journal(work.folder) as journal:
        says = [
            (int(d["ts"]), int(o["signal"]))
            for decisions, _, opinions in journal.traces()
            for d, at in zip(decisions, np.cumsum(decisions["opinions"]), strict=True)
            for o in opinions[at - d["opinions"] : at]
            if o["strategy"] == 1 and o["signal"] != ABSENT
        ]
    quarantined = [int(event["ts"]) for event, _ in notices(work.folder, QUARANTINE)]
    spoken_after = [ts for ts, _ in says if quarantined[0] < ts <= quarantined[1]]
    assert spoken_after
    # five rows of its warm-up pass before that, of one symbol at the least
    assert min(spoken_after) > quarantined[0] + 5 * 60_000_000_000


@pytest.mark.parametrize("killed_at", [60, 76, 92, 113])
@pytest.mark.parametrize("end", ["kept", "damaged"])
def test_releases_stand_where_they_stood_after_a_crash(home, chosen, killed_at, end):
    lively = chosen(THREE, performance__snapshot_every=3)
    whole = Plan(home, lively).work
    plan = Plan(home, lively, killed_at)
    if end == "damaged":
        raw = bytearray((plan.work.folder / FILE).read_bytes())
        raw[100:] = b"\xff" * (len(raw) - 100)
        (plan.work.folder / FILE).write_bytes(raw)
    again = go_on(plan.work.folder, 16, plan)
    assert written(again) == written(whole)
    assert states(again) == states(whole)
    assert len(notices(whole.folder, RELEASE)) == len(notices(again.folder, RELEASE)) == 3


def test_a_release_changes_no_mode(home, chosen):
    work = play(home, chosen(), 16, at(60, lambda: None))
    released = session.begin(home, assemble(chosen()), 16)
    finish(released, at(60, lambda: safety.ask(released.folder, Mode.PAUSED, "mended", strategy="tripping")))
    assert work.engine.ledger.account["mode"][0] == released.engine.ledger.account["mode"][0] == Mode.NORMAL


def test_a_release_of_nobody_is_journalled_and_changes_nothing(home, chosen):
    whole = play(home, chosen())
    work = session.begin(home, assemble(chosen()), 16)
    finish(work, at(60, lambda: ask(work.folder, "nobody")))
    assert written(work) == written(whole)
    assert [why for _, why in notices(work.folder, RELEASE)] == ["ada: mended"]
    assert go_on(work.folder).finished


# -- one that remembers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [kill, stop])
@pytest.mark.parametrize("tick", [16, 97, 130])
def test_a_classic_strategy_goes_on_with_all_it_remembered(home, chosen, end, tick):
    remembers = chosen("remembering", performance__snapshot_every=2)
    whole = play(home, remembers)
    work = play(home, remembers, 16, at(tick, end))
    again = recovery.resume(work.folder, 33, quiet)
    assert again.engine.loops[0].strategy.figure == work.engine.loops[0].strategy.figure
    assert written(finish(again)) == written(whole)
    assert int(whole.engine.ledger.account["fills"][0]) > 10


def test_a_run_left_by_another_process_goes_on(home, chosen, shelf):
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from nexus_core import session
from nexus_core.config import Settings
from nexus_core.engine import assemble
work = session.begin(Path({str(home)!r}), assemble(Settings.from_dict({{tables}})), 16)
def leave(batch):
    if batch.tick >= 60:
        work._stopping = True
work.play(leave)
work.close()
print(work.folder)
"""
    lively = chosen("remembering,dozing,tripping")
    done = subprocess.run(
        [sys.executable, "-c", script.replace("{tables}", repr(lively.to_dict()))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    folder = Path(done.stdout.strip())
    assert recovery.changed(folder, assemble(lively)) == ""
    assert written(go_on(folder)) == written(play(home, lively))


# -- one that dawdles -----------------------------------------------------------------------------------


SLOW = {"quarantine__budget": 0.4, "run__bars": 60}


class Alarm:
    """Wakes a strategy after the tick in which it overran, and goes on once it has answered."""

    def __init__(self, shelf, engine, then=quiet):
        self.wake, self.engine, self.then = shelf.wake, engine, then
        self.wake.clear()

    def __call__(self, batch):
        if any(np.frombuffer(each.record, EVENT)["kind"] == OVERRUN for each in batch.inputs):
            self.wake.set()
            for guard in (work.guard for work in self.engine.loops if isinstance(work, WindowLoop)):
                while guard._late and guard._answers.empty():
                    time.sleep(0.001)
            self.wake.clear()
        self.then(batch)


@pytest.mark.parametrize("block", [1, 5, 64])
def test_late_answers_in_long_blocks_are_found_again_in_short_ones(home, chosen, shelf, asleep, block):
    slow = chosen("remembering,swing", plugins__remembering__nap=23, quarantine__faults=1000, **SLOW)
    work = session.begin(home, assemble(slow), 16)
    finish(work, Alarm(shelf, work.engine, at(48, kill)), 1e9)
    assert len(notices(work.folder, OVERRUN)) > 3
    asleep.set()
    again = recovery.resume(work.folder, block, quiet)
    assert states(again) == states(work)
    assert finish(again).finished


@pytest.fixture
def asleep(shelf):
    """Let strategies doze, and wake them when the test is over."""
    shelf.wake.clear()
    yield shelf.wake
    shelf.wake.set()


def paced(home, shelf, chosen, then=quiet):
    """Play tick by tick as in real time, waking whoever overslept."""
    work = session.begin(home, assemble(chosen), 1)
    return finish(work, Alarm(shelf, work.engine, then), 1e9)


def test_a_strategy_that_does_not_wake_is_silenced_and_others_go_on(home, chosen, asleep):
    slow = chosen("swing,dozing", plugins__dozing__nap=23, plugins__walk__gaps="false", **SLOW)
    work = play(home, slow, 1, quiet, 1e9)
    assert work.finished
    assert list(work.engine.ward.silent()) == ["dozing"]
    late = notices(work.folder, OVERRUN)
    ((silenced, why),) = notices(work.folder, QUARANTINE)
    # one row is asked about; while it sleeps, the next two are not
    assert [(event["symbol"], event["state"]) for event, _ in late] == [(0, 1), (1, 0), (2, 0)]
    assert {int(event["ts"]) for event, _ in late} == {int(silenced["ts"])}
    assert {why for _, why in late} == {"dozing: took longer than 0.4 s"}
    assert why == "dozing: 3 faults in 3 rows"
    asleep.set()
    quick = play(home, chosen("swing,dozing", plugins__walk__gaps="false", run__bars=60))
    assert states(work)["strategy:swing"] == states(quick)["strategy:swing"]


@pytest.mark.parametrize("name", ["dozing", "remembering"])
@pytest.mark.parametrize("end", [kill, stop])
@pytest.mark.parametrize(("faults", "tick"), [(1000, 30), (1000, 55), (3, 55)])
def test_a_run_with_late_answers_is_played_again_as_it_was(
    home, chosen, shelf, asleep, name, end, faults, tick
):
    also = {f"plugins__{name}__nap": 23, "quarantine__faults": faults, "performance__snapshot_every": 9}
    slow = chosen(f"{name},swing", **SLOW, **also)
    work = paced(home, shelf, slow, at(tick, end))
    late = len(notices(work.folder, OVERRUN))
    assert late
    at_the_end = states(work)
    asleep.set()  # the second time it does not sleep at all
    again = recovery.resume(work.folder, 16, quiet)
    assert states(again) == at_the_end
    assert again.engine.ledger.run_hash == work.engine.ledger.run_hash
    finish(again)
    assert len(notices(work.folder, OVERRUN)) == late
    assert again.finished
    # and once more, all of it from the first row
    with Journal(work.folder) as journal:
        wanted = journal.last().run_hash
    fresh = assemble(slow)
    whole = session.Session(
        work.folder, fresh, Journal(work.folder, write=True), safety.Control(work.folder), 64, 0
    )
    recovery.replay(whole, whole.journal.last())
    whole.close()
    assert fresh.engine.ledger.run_hash == wanted


def test_where_the_market_waits_a_slow_strategy_is_told_of_once_and_nothing_changes(home, chosen, caplog):
    quick = play(home, chosen("dozing,remembering", quarantine__budget=3600))
    with caplog.at_level("WARNING", logger="nexus"):
        slow = play(home, chosen("dozing,remembering", quarantine__budget=1e-9))
    assert written(quick) == written(slow)
    assert notices(slow.folder, OVERRUN, QUARANTINE) == []
    told = [each for each in caplog.messages if "its budget is" in each]
    assert [each.split(":")[0] for each in told] == ["dozing", "remembering"]
    assert all(each.endswith("In real time such an answer is dropped.") for each in told)


def test_a_call_that_never_returns_does_not_keep_the_process(home, chosen, shelf):
    slow = chosen("swing,dozing", plugins__dozing__nap=23, run__bars=40, quarantine__budget=0.2)
    script = f"""
import nexus_test_shelf
from pathlib import Path
from nexus_core import session
from nexus_core.config import Settings
from nexus_core.engine import assemble
nexus_test_shelf.wake.clear()
work = session.begin(Path({str(home)!r}), assemble(Settings.from_dict({slow.to_dict()!r})), 1)
work.play(lambda batch: None, 1e9)
work.close()
print(work.finished, list(work.engine.ward.silent()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert (done.stdout, done.returncode) == ("True ['dozing']\n", 0), done.stderr
