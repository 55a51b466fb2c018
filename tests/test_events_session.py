"""Strategies that hear events, in runs that are killed within a chunk and gone on with, at any block size."""

import pytest
from nexus_recording.rehearsal import USD_M, Venue

from nexus_core import session
from nexus_core.engine import assemble
from nexus_core.journal import Journal
from nexus_core.upkeep import recovery
from nexus_core.upkeep.sources import load

TICKS = 120
LISTENER = """
from nexus_core import Strategy
from nexus_core.market.events import TRADE


class Listener(Strategy):
    nexus_api = 1
    category = "test"
    needs = {"bar", "trade", "book"}
    warmup = 3

    @staticmethod
    def state(params):
        return {"heard": 0, "traded": 0.0, "last": -1, "lost": 0}

    @staticmethod
    def on_event(event, book, state, params):
        state.lost += int(event.seq <= state.last)
        state.last = event.seq
        state.heard += 1
        if event.kind == TRADE:
            state.traded += event.side * event.size

    @staticmethod
    def step(row, state, params):
        signal = 1 if state.traded > 0.0 else -1
        state.traded = 0.0
        return signal, 0.9 if state.heard % 2 == 0 else 0.6
"""


class Killed(Exception):
    """What ends a run in the middle, without a word to it."""


@pytest.fixture
def chosen(install, tmp_path):
    install("listening", {"strategies:listener": "listening:Listener"}, LISTENER)
    (tmp_path / "x.txt").write_bytes(b"".join(Venue(4, USD_M).lines(1_500)))
    feeds = {
        "synthetic": ["plugins.synthetic.market=flow", "run.symbols=BTC-USD,ETH-USD"],
        "recorded": [f"plugins.recorded.path={tmp_path / 'x.txt'}", "run.symbols=BTC-USDT"],
    }

    def made(feed):
        sets = ["run.strategies=listener", "run.clock=every", "run.every=50", f"run.feed={feed}"]
        sets += [f"run.bars={TICKS}", "performance.snapshot_every=3", *feeds[feed]]
        return load(None, sets=sets).settings

    return made


def finish(work, on_commit=lambda _: None):
    try:
        work.play(on_commit)
    except Killed:
        pass
    finally:
        work.close()
    return work


def written(work):
    """Return what a run came to, and what its strategy has heard."""
    (loop,) = work.engine.loops
    with Journal(work.folder) as journal:
        journal.check()
        return work.engine.ledger.run_hash, journal.events().tobytes(), loop.states.tobytes()


@pytest.mark.jit
@pytest.mark.parametrize("feed", ["synthetic", "recorded"])
def test_killed_and_gone_on_with_it_has_heard_every_event_once(chosen, feed, ram):
    (ram / "runs").mkdir()
    whole = finish(session.begin(ram / "runs", assemble(chosen(feed)), 1_000))
    own = whole.engine.loops[0].states["own"]
    assert (own["heard"].min() > 200, own["lost"].tolist()) == (True, [0] * len(own))
    for size, last in ((1, 50), (7, 30), (7, 83)):

        def kill(batch, last=last):
            if batch.tick >= last:
                raise Killed

        work = finish(session.begin(ram / "runs", assemble(chosen(feed)), size), kill)
        assert work.engine.tick < whole.engine.tick
        again = finish(recovery.resume(work.folder, 16, lambda _: None))
        assert again.finished
        assert written(again) == written(whole)
