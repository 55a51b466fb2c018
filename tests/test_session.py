"""A run that is stopped, killed or damaged anywhere goes on as if nothing had been."""

from __future__ import annotations

import logging
import os
import random
import re
import signal
import tempfile
import threading
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_core import log, runs, safety, session
from nexus_core.compile import JIT
from nexus_core.engine import assemble
from nexus_core.errors import JournalError
from nexus_core.journal import FILE, DamagedError, Journal
from nexus_core.ledger.orders import APPROVAL, FILL, MODE
from nexus_core.records import EVENT, empty
from nexus_core.types import Instrument, Mode, Outcome, to_units
from nexus_core.upkeep import homes, recovery
from nexus_core.upkeep.recovery import portfolio
from nexus_core.upkeep.sources import load

BARS = 900 if JIT else 200
"""Blocks of 16 ticks end at 16, 32, 48, 60 (an epoch ends), 76, 92, 97 (a chunk ends), 113, and so on."""


class Killed(Exception):
    """What ends a run in the middle, without a word to it."""


@pytest.fixture
def chosen(sets):
    return lambda **changes: load(None, sets=sets(BARS, **changes)).settings


@pytest.fixture
def home(ram):
    return ram / "runs"


def quiet(_):
    pass


def play(home, chosen, block=16, on_commit=quiet):
    """Play a run from its beginning; return its folder and its session, closed."""
    home.mkdir(exist_ok=True)
    work = session.begin(home, assemble(chosen), block)
    return finish(work, on_commit)


def finish(work, on_commit=quiet):
    try:
        work.play(on_commit)
    except Killed:
        pass
    finally:
        work.close()
    return work


def go_on(folder, block=16, on_commit=quiet):
    return finish(recovery.resume(folder, block, quiet), on_commit)


def after(commits, act):
    """Return what acts when a number of commits have been made."""
    seen = []

    def on_commit(batch):
        seen.append(batch)
        if len(seen) == commits:
            act()

    return on_commit


def kill():
    raise Killed


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def hash_of(work):
    return work.engine.ledger.run_hash


def events_of(folder):
    with Journal(folder) as journal:
        journal.check()
        return journal.events()


def decisions_of(folder):
    with Journal(folder) as journal:
        return [b"".join(map(bytes, parts)) for parts in zip(*journal.traces(), strict=True)]


@pytest.fixture
def told():
    """Collect what is said to the person at the terminal."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log.setup(1)
    logging.getLogger("nexus").handlers = [handler]
    return lines


# -- from the first row to the last -----------------------------------------------------------------


def test_a_run_trades_and_its_journal_holds_all_of_it(home, chosen):
    work = play(home, chosen())
    with Journal(work.folder) as journal:
        last, events = journal.last(), journal.events()
        assert last.tick == work.engine.tick == BARS
        assert work.finished
        assert last.run_hash == hash_of(work)
        assert (len(events), last.decisions) == tuple(work.engine.ledger.account[["events", "decisions"]][0])
        assert events["seq"].tolist() == list(range(1, len(events) + 1))
        assert {APPROVAL, FILL} <= set(events["kind"].tolist())
        decisions = np.concatenate([each[0] for each in journal.traces()])
        assert len(decisions) == last.decisions
        assert journal.snapshot()[0] == BARS
        ended = int((decisions["outcome"] != Outcome.APPROVED).sum())
        assert sum(work.reasons.values()) == ended
    approved = events[events["kind"] == APPROVAL]
    assert (
        len(set(approved["order"].tolist())) == len(approved) == int(work.engine.ledger.account["orders"][0])
    )


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_the_size_of_blocks_changes_nothing_that_is_written(home, chosen, block):
    one, other = play(home, chosen(), 16), play(home, chosen(), block)
    assert hash_of(one) == hash_of(other)
    assert events_of(one.folder).tobytes() == events_of(other.folder).tobytes()
    assert decisions_of(one.folder) == decisions_of(other.folder)
    assert one.reasons == other.reasons


def test_without_a_block_size_the_settings_say_it(home, chosen):
    sizes = []
    play(home, chosen(performance__block=40), None, lambda batch: sizes.append(batch.tick))
    assert sizes[0] == 40


def test_a_feed_that_ends_early_ends_the_run(home, chosen):
    work = play(home, chosen(plugins__walk__ends=50))
    assert (work.engine.tick, work.finished) == (50, True)
    again = go_on(work.folder)
    assert (hash_of(again), again.finished) == (hash_of(work), True)


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_a_snapshot_is_taken_every_so_many_blocks_and_at_the_end(home, chosen, every):
    taken = []
    work = play(home, chosen(performance__snapshot_every=every), 16, taken.append)
    numbers = [n for n, batch in enumerate(taken, 1) if batch.snapshot is not None]
    assert numbers == list(range(every, len(taken) + 1, every))
    with Journal(work.folder) as journal:
        assert journal.snapshot()[0] == BARS
        # at the end one more, unless the last block had one
        assert journal.last().seq == len(taken) + (len(taken) % every != 0)


def test_nothing_counts_before_its_commit(home, chosen):
    def look(batch):
        with Journal(folder[0]) as journal:
            assert journal.last().tick == batch.tick
            assert journal.last().run_hash == batch.run_hash

    home.mkdir()
    work = session.begin(home, assemble(chosen()), 64)
    folder = [work.folder]
    finish(work, look)


# -- stopped and killed -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", [kill, stop])
@pytest.mark.parametrize("commits", [1, 2, 9])
def test_a_run_ended_anywhere_ends_as_if_it_had_not_been(home, chosen, end, commits):
    whole = play(home, chosen(performance__snapshot_every=4))
    work = play(home, chosen(performance__snapshot_every=4), 16, after(commits, end))
    assert not work.finished
    before = events_of(work.folder)
    again = go_on(work.folder)
    assert again.finished
    assert hash_of(again) == hash_of(whole)
    events = events_of(work.folder)
    assert events[: len(before)].tobytes() == before.tobytes()
    assert events.tobytes() == events_of(whole.folder).tobytes()
    assert decisions_of(work.folder) == decisions_of(whole.folder)
    assert again.reasons == whole.reasons


ends = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from([kill, stop]), st.sampled_from([3, 16, 33, 200])),
    min_size=1,
    max_size=4,
)


@given(ends=ends)
@settings(max_examples=25 if JIT else 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_ended_again_and_again_ends_the_same(ram, chosen, ends):
    home = Path(tempfile.mkdtemp(dir=ram))
    lively = chosen(performance__snapshot_every=3, run__bars=BARS // 2)
    whole = play(home, lively)
    (commits, end, block), *others = ends
    work = play(home, lively, block, after(commits, end))
    for commits, end, block in others:
        work = go_on(work.folder, block, after(commits, end))
    again = go_on(work.folder)
    assert hash_of(again) == hash_of(whole)
    assert events_of(work.folder).tobytes() == events_of(whole.folder).tobytes()
    assert decisions_of(work.folder) == decisions_of(whole.folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_commit_at_hand_with_a_snapshot(home, chosen, number):
    before = signal.getsignal(number)
    work = play(home, chosen(), 16, after(3, lambda: os.kill(os.getpid(), number)))
    with Journal(work.folder) as journal:
        assert journal.last().tick == journal.snapshot()[0] == work.engine.tick < BARS
    assert signal.getsignal(number) is before
    assert not homes.is_going(work.folder)


def test_a_finished_run_has_nothing_more_to_do(home, chosen):
    work = play(home, chosen())
    with Journal(work.folder) as journal:
        last = journal.last()
    again = go_on(work.folder, on_commit=pytest.fail)
    assert (hash_of(again), again.finished) == (hash_of(work), True)
    with Journal(work.folder) as journal:
        assert journal.last() == last


def test_a_run_killed_before_its_first_commit_begins(home, chosen):
    home.mkdir()
    whole = play(home, chosen())
    session.begin(home, assemble(chosen()), 16).close()
    begun = next(each for each in home.iterdir() if each != whole.folder)
    assert hash_of(go_on(begun)) == hash_of(whole)


def test_a_run_that_is_going_cannot_go_on_a_second_time(home, chosen):
    home.mkdir()
    work = session.begin(home, assemble(chosen()), 16)
    with pytest.raises(JournalError, match="another process is writing this run"):
        recovery.resume(work.folder, 16, quiet)
    work.close()


def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(home, chosen):
    whole = play(home, chosen())
    home.mkdir(exist_ok=True)
    work = session.begin(home, assemble(chosen()), 16)

    def fill():
        pages = work.journal._db.execute("pragma page_count").fetchone()[0]
        work.journal._db.execute(f"pragma max_page_count = {pages}")

    with pytest.raises(JournalError, match=r"\(database or disk is full\)"):
        finish(work, after(4, fill))
    before = events_of(work.folder)
    again = go_on(work.folder)
    assert hash_of(again) == hash_of(whole)
    assert events_of(work.folder)[: len(before)].tobytes() == before.tobytes()


# -- damage -----------------------------------------------------------------------------------------


def damage(folder, seed):
    raw, rng = bytearray((folder / FILE).read_bytes()), random.Random(seed)
    for at in rng.sample(range(len(raw)), 400):
        raw[at] ^= 0xFF
    (folder / FILE).write_bytes(raw)


@pytest.mark.parametrize("commits", [2, 9])
def test_a_damaged_journal_is_kept_aside_and_written_again(home, chosen, told, commits):
    whole = play(home, chosen())
    work = play(home, chosen(), 16, after(commits, stop))
    before = events_of(work.folder)
    damage(work.folder, commits)
    raw = (work.folder / FILE).read_bytes()
    again = go_on(work.folder, 33)
    assert hash_of(again) == hash_of(whole)
    assert events_of(work.folder)[: len(before)].tobytes() == before.tobytes()
    assert again.reasons == whole.reasons
    assert (work.folder / f"{FILE}.damaged-1").read_bytes() == raw
    (line,) = [each for each in told if "damaged" in each]
    assert re.fullmatch(
        rf"{work.folder.name}: the journal is damaged \(.*\)\. It is kept as {FILE}\.damaged-1; "
        r"the run is played again from its first row\.",
        line,
    )


def test_a_run_whose_journal_is_gone_is_played_again(home, chosen):
    whole = play(home, chosen())
    work = play(home, chosen(), 16, after(3, stop))
    (work.folder / FILE).write_bytes(b"")
    assert hash_of(go_on(work.folder)) == hash_of(whole)


# -- requests ---------------------------------------------------------------------------------------


class Plan:
    """Asks for modes when ticks are reached, each once; kills the run at one of them."""

    STEPS = (
        (32, Mode.PAUSED),
        (60, Mode.REDUCED),
        (60, Mode.NORMAL),
        (76, Mode.EMERGENCY),
        (92, Mode.NORMAL),
    )

    def __init__(self, home, chosen, killed_at=None):
        home.mkdir(exist_ok=True)
        self.left, self.killed_at = list(self.STEPS), killed_at
        self.work = session.begin(home, assemble(chosen), 16)
        finish(self.work, self)

    def __call__(self, batch):
        for tick, mode in [each for each in self.left if each[0] == batch.tick]:
            self.left.remove((tick, mode))
            safety.ask(self.work.folder, mode, f"plan {mode.name}")
        if batch.tick == self.killed_at:
            self.killed_at = None
            raise Killed


def test_requests_are_taken_up_at_tick_edges_and_journalled_with_who_and_why(home, chosen, monkeypatch):
    monkeypatch.setattr(safety, "_user", lambda: "ada")
    work = Plan(home, chosen()).work
    with Journal(work.folder) as journal:
        inputs, events = journal.inputs(), journal.events()
    assert [each.tick for each in inputs] == [32, 60, 60, 76, 92]
    assert [each.why for each in inputs] == [f"ada: plan {mode.name}" for _, mode in Plan.STEPS]
    modes = events[events["kind"] == MODE]
    assert [Mode(int(mode)) for mode in modes["mode"]] == [mode for _, mode in Plan.STEPS]
    # nothing is entered from the pause on until it is lifted
    seqs = dict(zip([mode for _, mode in Plan.STEPS], modes["seq"].tolist(), strict=False))
    entries = events[(events["kind"] == APPROVAL) & (events["purpose"] == 0)]["seq"]
    assert not ((entries > seqs[Mode.PAUSED]) & (entries < modes["seq"][1])).any()
    assert hash_of(work) != hash_of(play(home, chosen()))


@pytest.mark.parametrize("killed_at", [48, 60, 76, 113])
@pytest.mark.parametrize("damaged", [False, True])
def test_requests_stand_where_they_stood_after_a_resume_and_a_rebuild(home, chosen, killed_at, damaged):
    lively = chosen(performance__snapshot_every=2)
    whole = Plan(home, lively).work
    plan = Plan(home, lively, killed_at)
    folder = plan.work.folder
    before = events_of(folder)
    if damaged:
        damage(folder, killed_at)
    assert hash_of(go_on(folder, 16, plan)) == hash_of(whole)
    events = events_of(folder)
    assert events[: len(before)].tobytes() == before.tobytes()
    assert events.tobytes() == events_of(whole.folder).tobytes()


def test_a_request_made_while_the_run_stands_still_waits_for_it(home, chosen):
    work = play(home, chosen(), 16, after(3, stop))
    safety.ask(work.folder, Mode.PAUSED, "first look")
    again = go_on(work.folder)
    with Journal(work.folder) as journal:
        (found,) = journal.inputs()
    assert found.tick == 48
    assert again.engine.ledger.account["mode"][0] == Mode.PAUSED


@pytest.mark.parametrize("kept", [b"", None])
def test_a_request_still_waiting_does_not_change_what_was_decided_before_the_damage(home, chosen, kept):
    work = play(home, chosen(), 16, after(5, kill))
    before = events_of(work.folder)
    safety.ask(work.folder, Mode.EMERGENCY, "at once")
    if kept is None:
        damage(work.folder, 2)
    else:
        (work.folder / FILE).write_bytes(kept)
    again = go_on(work.folder, 33)
    events = events_of(work.folder)
    assert events[: len(before)].tobytes() == before.tobytes()
    with Journal(work.folder) as journal:
        (found,) = journal.inputs()
    assert found.tick == 76
    assert again.engine.ledger.account["mode"][0] == Mode.EMERGENCY


def test_a_rebuild_killed_in_the_middle_still_holds_requests_back(home, chosen):
    work = play(home, chosen(), 16, after(6, kill))
    before = events_of(work.folder)
    damage(work.folder, 3)
    go_on(work.folder, 16, after(2, kill))
    safety.ask(work.folder, Mode.PAUSED, "in the middle")
    go_on(work.folder, 7)
    assert events_of(work.folder)[: len(before)].tobytes() == before.tobytes()


def test_a_request_taken_up_in_a_block_that_was_never_committed_is_taken_up_there_again(home, chosen):
    home.mkdir()
    work = session.begin(home, assemble(chosen()), 16)

    def on_commit(batch):
        if batch.tick == 48:
            safety.ask(work.folder, Mode.PAUSED, "soon")
            work.journal.commit = lambda batch: kill()

    finish(work, on_commit)
    go_on(work.folder, 16)
    with Journal(work.folder) as journal:
        assert [each.tick for each in journal.inputs()] == [48]


def test_requests_that_cannot_be_read_stop_the_run_before_it_begins(home, chosen):
    work = play(home, chosen(), 16, after(3, stop))
    (work.folder / safety.FILE).write_bytes(b"no database" * 100)
    with pytest.raises(JournalError, match=r"control\.db \(file is not a database\).* ask again\.$"):
        go_on(work.folder)
    assert not homes.is_going(work.folder)
    (work.folder / safety.FILE).unlink()
    assert go_on(work.folder).finished


# -- code that changed ------------------------------------------------------------------------------


def other_step(row, state, params):
    """Buy each time the close ends in a half."""
    state.seen += 2
    return (1, 0.9) if row.close * 2.0 % 2.0 == 1.0 else (0, 0.0)


GO_ON = r"Go on with the versions in the run's manifest, or begin a new run\.$"


def test_a_changed_strategy_is_built_again_where_the_snapshot_is_the_end(
    home, chosen, shelf, told, monkeypatch
):
    work = play(home, chosen(), 16, after(5, stop))
    before = events_of(work.folder)
    monkeypatch.setattr(shelf.Swing, "step", staticmethod(other_step))
    again = recovery.resume(work.folder, 16, quiet)
    assert "strategy:swing changed since the snapshot: its state is built again from the first row" in told
    assert again.engine.tick == 76
    fresh = assemble(chosen())
    for chunk in fresh.feed.chunks(fresh.market, 0):
        for block in fresh.engine.blocks(chunk, 16, [76]):
            if block.tick < 76:
                fresh.engine.decide(block)
                fresh.engine.tick += len(block.times)
    assert (
        again.engine.loops[0].states["own"]["seen"].tolist()
        == fresh.engine.loops[0].states["own"]["seen"].tolist()
    )
    assert (again.engine.loops[0].states["own"]["seen"] > 120).all()
    finish(again)
    assert events_of(work.folder)[: len(before)].tobytes() == before.tobytes()
    assert go_on(work.folder).finished


def test_a_changed_gate_is_built_again_too(home, chosen, shelf, monkeypatch):
    work = play(home, chosen(), 16, after(5, stop))

    def values(columns, state, params):
        for symbol in columns.symbol:
            state["seen"][symbol] += 3
        return np.zeros(len(columns))

    monkeypatch.setattr(shelf.Calm, "values", staticmethod(values))
    again = recovery.resume(work.folder, 16, quiet)
    states = again.engine.states()["gate:calm"][0]["seen"]
    assert (states % 3 == 0).all()
    assert (states > 180).all()
    finish(again)


def test_a_changed_strategy_is_refused_where_ticks_follow_the_snapshot(home, chosen, shelf, monkeypatch):
    work = play(home, chosen(performance__snapshot_every=4), 16, after(5, kill))
    raw = (work.folder / FILE).read_bytes()
    monkeypatch.setattr(shelf.Swing, "step", staticmethod(other_step))
    said = "strategy:swing changed since the snapshot, and 16 ticks after it were decided by the old code"
    with pytest.raises(JournalError, match=rf"^{work.folder.name}: {said}\. {GO_ON}") as error:
        go_on(work.folder)
    assert not isinstance(error.value, DamagedError)
    assert (work.folder / FILE).read_bytes() == raw
    monkeypatch.undo()


def test_a_changed_strategy_is_refused_where_there_is_no_snapshot(home, chosen, shelf, monkeypatch):
    work = play(home, chosen(), 16, after(5, kill))
    before = events_of(work.folder)
    with monkeypatch.context() as patch:
        patch.setattr(shelf.Swing, "step", staticmethod(other_step))
        ended = r"playing again to tick 76 ended at 76 with another run hash\."
        why = r"strategy:swing changed since the run began\."
        with pytest.raises(JournalError, match=rf"{ended} {why} {GO_ON}"):
            go_on(work.folder)
    assert events_of(work.folder).tobytes() == before.tobytes()
    assert go_on(work.folder).finished  # with the old code all is as it was


def test_changed_costs_and_gates_are_named(home, chosen, shelf, monkeypatch):
    from nexus_gate_risk import MinSize

    from nexus_core.broker import FixedFee

    work = play(home, chosen(), 16, after(5, kill))
    with monkeypatch.context() as patch:
        patch.setattr(FixedFee, "step", staticmethod(lambda row, order, account, params: params.rate * 2.0))
        with pytest.raises(
            JournalError, match=r"another run hash\. fee, ledger changed since the run began\."
        ):
            go_on(work.folder)
    with monkeypatch.context() as patch:
        patch.setattr(MinSize.limit, "default", 500.0)
        with pytest.raises(
            JournalError, match=r"another run hash\. gate:min-size changed since the run began\."
        ):
            go_on(work.folder)


def test_changed_rows_are_named(home, chosen, shelf, monkeypatch):
    work = play(home, chosen(), 16, after(5, kill))
    (monkeypatch.setattr)(shelf.Walk.salt, "default", 1)
    with pytest.raises(JournalError, match=r": the feed's rows changed since the run began\."):
        go_on(work.folder)


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_damaged_journal_is_not_written_again_by_other_code(home, chosen, shelf, monkeypatch, how):
    work = play(home, chosen(), 16, after(5, stop))
    if how == "damaged":
        damage(work.folder, 1)
    else:
        (work.folder / FILE).write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(shelf.Swing, "step", staticmethod(other_step))
        said = {
            "damaged": "It cannot be played again as it was: ",
            "gone": "nothing is left of its journal, and ",
        }
        with pytest.raises(
            JournalError, match=rf"{said[how]}strategy:swing changed since the run began\. {GO_ON}"
        ):
            go_on(work.folder)
    assert not list(work.folder.glob("*.damaged*"))
    assert not homes.is_going(work.folder)
    assert go_on(work.folder).finished


# -- the portfolio ----------------------------------------------------------------------------------


def test_the_fills_of_the_journal_add_up_to_the_ledger(home, chosen):
    work = play(home, chosen())
    instruments, ledger = work.engine.market.instruments, work.engine.ledger
    cash, held = portfolio(events_of(work.folder), to_units(100_000), instruments)
    assert cash == int(ledger.account["cash"][0])
    assert held == ledger.positions["qty"].tolist()
    assert int(ledger.account["fills"][0]) > 10


fills = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([1, -1]),
        st.integers(1, 10**12),
        st.integers(1, 10**12),
        st.integers(-50, 50),
    ),
    max_size=20,
)


@given(fills=fills, multiplier=st.integers(1, 1000))
def test_portfolio_is_exact_and_rounds_half_to_even(fills, multiplier):
    instruments = [Instrument("A-USD"), Instrument("B-USD", multiplier=multiplier), Instrument("C-USD")]
    events = empty(EVENT, 2 * len(fills))
    for row, (symbol, side, qty, price, fee) in zip(events[::2], fills, strict=True):
        row["kind"], row["symbol"], row["side"] = FILL, symbol, side
        row["qty"], row["price"], row["fee"] = qty, price, fee
    cash, held = Decimal(12345), [0, 0, 0]
    for symbol, side, qty, price, fee in fills:
        notional = Decimal(qty) * price * (multiplier if symbol == 1 else 1) / 10**8
        cash -= side * notional.quantize(Decimal(1), ROUND_HALF_EVEN) + fee
        held[symbol] += side * qty
    assert portfolio(events, 12345, instruments) == (int(cash), held)


def test_a_portfolio_that_does_not_add_up_is_refused(home, chosen, monkeypatch):
    work = play(home, chosen(), 16, after(5, stop))
    monkeypatch.setattr(recovery, "portfolio", lambda *_: (1, [0, 0, 0]))
    with pytest.raises(JournalError, match=rf"the journal's fills do not add up to the portfolio\. {GO_ON}"):
        go_on(work.folder)


# -- pace -------------------------------------------------------------------------------------------


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.naps, self.on_nap = 0.0, [], quiet

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds
        self.on_nap(self)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(session, "time", made)
    return made


def test_between_blocks_it_sleeps_in_short_naps(home, chosen, clock):
    home.mkdir()
    work = session.begin(home, assemble(chosen(run__bars=5)), 1)
    seen = []
    work.play(lambda batch: seen.append(clock.now), 240.0)
    work.close()
    assert seen == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert max(clock.naps) <= session.NAP


def test_who_asks_it_to_stop_does_not_wait_for_the_next_bar(home, chosen, clock):
    home.mkdir()
    work = session.begin(home, assemble(chosen(run__bars=5)), 1)
    clock.on_nap = lambda clock: stop() if clock.now > 120.05 else None
    work.play(quiet, 1.0)
    work.close()
    assert clock.now == pytest.approx(120.1)
    assert work.engine.tick == 3
    with Journal(work.folder) as journal:
        assert journal.snapshot()[0] == 3


# -- the manifest -----------------------------------------------------------------------------------


def test_the_manifest_says_what_the_run_is_made_of(home, chosen):
    work = play(home, chosen(run__strategies="swing,bookish", risk__gates="calm,duplicate,nobody"))
    facts = runs.manifest(work.folder)
    assert facts["id"] == work.folder.name
    assert facts["strategies"] == ["swing"]
    assert facts["inactive"] == {"bookish": "needs book, trade"}
    assert facts["recording"] == {"feed": "walk", "seed": 7, "salt": 0}
    assert [each[0] for each in facts["gates"]][-3:] == ["calm", "duplicate", "nobody"]
    assert facts["plugins"] == {
        "brokers:paper": "nexus-broker-paper 0.1.0",
        "feeds:walk": "nexus-test-shelf 1.0",
        "gates:calm": "nexus-test-shelf 1.0",
        "gates:duplicate": "nexus-gate-risk 0.1.0",
        "strategies:bookish": "nexus-test-shelf 1.0",
        "strategies:swing": "nexus-test-shelf 1.0",
    }
    assert {
        "strategy:swing",
        "gate:calm",
        "gate:duplicate",
        "gate:nobody",
        "fee",
        "slippage",
        "ledger",
    } <= set(facts["code"])
    assert (
        recovery.changed(
            work.folder,
            assemble(chosen(run__strategies="swing,bookish", risk__gates="calm,duplicate,nobody")),
        )
        == ""
    )


def test_a_run_can_be_played_outside_the_main_thread(home, chosen):
    whole = play(home, chosen())
    played = []
    thread = threading.Thread(target=lambda: played.append(play(home, chosen())))
    thread.start()
    thread.join(60.0)
    assert played[0].engine.ledger.run_hash == whole.engine.ledger.run_hash
