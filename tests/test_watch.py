"""A feed that falls silent is noticed while the run still waits for it."""

import threading
import time

import pytest

from nexus_core import session
from nexus_core.engine import assemble
from nexus_core.journal import Journal
from nexus_core.ledger.orders import APPROVAL, ENTRY_SLOT, MODE
from nexus_core.types import Mode
from nexus_core.upkeep.sources import load
from nexus_core.watch import watched


def test_a_silent_source_is_told_of_while_it_is_waited_for():
    told = threading.Event()

    def slow():
        yield 1
        assert told.wait(10.0)  # goes on only once it was noticed
        yield 2

    assert list(watched(slow(), 0.01, told.set)) == [1, 2]


def test_a_source_that_keeps_up_is_never_told_of():
    told = []

    assert list(watched(iter(range(100)), 60.0, lambda: told.append(1))) == list(range(100))
    assert told == []


def test_each_wait_is_told_of_once():
    told, release = [], [threading.Event(), threading.Event()]

    def slow():
        for n, event in enumerate(release):
            assert event.wait(10.0)
            yield n

    def silent():
        told.append(1)
        release[len(told) - 1].set()

    assert list(watched(slow(), 0.01, silent)) == [0, 1]
    assert told == [1, 1]


def test_a_source_that_raises_passes_its_error_on_and_leaves_no_timer():
    def broken():
        yield 1
        raise RuntimeError("line cut")

    before = threading.active_count()
    source = watched(broken(), 60.0, lambda: None)
    assert next(source) == 1
    with pytest.raises(RuntimeError, match="line cut"):
        next(source)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(5.0)
    assert threading.active_count() <= before


def test_a_live_feed_that_falls_silent_pauses_the_account(shelf, sets, tmp_path, monkeypatch):
    settings = load(None, sets=sets(300, execution__stale_after=0.5)).settings
    played = shelf.Walk.chunks
    assembly = assemble(settings)
    assembly.warm(lambda _: None)
    run = session.begin(tmp_path, assembly, 16)

    def stalls(self, market, start):
        for n, chunk in enumerate(played(self, market, start)):
            yield chunk
            while n == 0 and not run.control.due(0, waiting=True):
                time.sleep(0.005)

    monkeypatch.setattr(shelf.Walk, "live", True)
    monkeypatch.setattr(shelf.Walk, "chunks", stalls)
    run.play(lambda _: None)
    run.close()

    with Journal(run.folder) as journal:
        (put_in,) = journal.inputs()
        events = journal.events()
    paused = events[events["kind"] == MODE]
    assert paused["mode"].tolist() == [int(Mode.PAUSED)]
    assert put_in.tick == 97  # the tick after the silence
    assert put_in.why == "circuit breaker: the feed was silent for 0.5 s"
    after = events[events["seq"] > paused["seq"][0]]
    assert not ((after["kind"] == APPROVAL) & (after["purpose"] == ENTRY_SLOT)).any()
