"""A paper run from its first row to its last: play, journal, take up requests, and go on after a crash."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from attrs import Factory, define, field

from nexus_core import journal as journals
from nexus_core import plugins, runs, safety
from nexus_core.engine import SECOND, Assembly, Engine
from nexus_core.journal import Batch, Commit, Input, Journal
from nexus_core.market.blocks import Block
from nexus_core.news import News
from nexus_core.records import Records
from nexus_core.safety import Control, as_events
from nexus_core.types import Mode, Outcome
from nexus_core.watch import watched

OnCommit = Callable[[Batch], None]

NAP = 0.1
"""Seconds."""


@define
class Session:
    """One run at work on its folder."""

    folder: Path
    assembly: Assembly
    journal: Journal
    control: Control
    block: int
    """Ticks in a block at the most."""
    reached: int
    """Tick before which no waiting request is taken up: up to it, all was decided without."""
    reasons: Counter[int] = Factory(Counter[int])
    """How many of the decisions kept in the trace each gate ended."""
    news: News = field(init=False)
    finished: bool = field(default=False, init=False)
    """Whether the market's last tick was played."""
    _stopping: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        engine = self.engine
        self.news = News(self.assembly.listeners, self.folder.name, engine.market, engine.chain.places)

    @property
    def engine(self) -> Engine:
        """Return what decides."""
        return self.assembly.engine

    def play(self, on_commit: OnCommit, speed: float = 0.0) -> None:
        """Play on to the last tick, or until the process is asked to stop; end with a snapshot.

        `speed` is how many seconds of the market pass in one; at 0 it goes as fast as it can.
        """
        # where requests were taken up before, should the run be played again from an earlier tick
        stops = sorted({self.reached, *(each.tick or 0 for each in self.control.taken_up())})
        if speed or self.assembly.feed.live:
            self.engine.ward.guard()
        told = self.assembly.listeners
        if told.heard("nexus_trade_closed"):
            self.news.told_of(self.journal.events())
        told.call("nexus_start", run=self.folder.name, settings=self.assembly.settings)
        with self._stop_on_signals(), self._farewell():
            for number, block in enumerate(self._watched(self.blocks(self.engine, stops)), 1):
                if speed and number > 1:
                    self._sleep((int(block.times[-1]) - self.engine.time) / SECOND / speed)
                if self._stopping:
                    break
                batch = self._advance(block)
                if number % self.assembly.settings.performance.snapshot_every == 0:
                    batch.snapshot = journals.pack(self.engine.states())
                self.journal.commit(batch)
                self.news.tell(batch)
                on_commit(batch)
            else:
                self.finished = True
            last, saved = self.journal.last(), self.journal.snapshot()
            if last is not None and (saved is None or saved[0] < last.tick):
                self.save(last)

    def close(self) -> None:
        """Close the files and give up the run's lock."""
        self.journal.close()
        self.control.close()

    # -- playing ----------------------------------------------------------------------------------

    def blocks(self, engine: Engine, stops: Sequence[int]) -> Iterator[Block]:
        """Cut the feed's rows, from an engine's next tick on, into blocks of the session's size."""
        for chunk in self.assembly.feed.chunks(self.assembly.market, engine.tick):
            yield from engine.blocks(chunk, self.block, stops)

    def _watched(self, blocks: Iterator[Block]) -> Iterator[Block]:
        seconds = self.assembly.settings.execution.stale_after
        why = f"the feed was silent for {seconds:g} s"

        def pause() -> None:
            if self.engine.ledger.account["mode"][0] in (Mode.NORMAL, Mode.REDUCED):
                safety.ask(self.folder, Mode.PAUSED, why, "circuit breaker")

        return watched(blocks, seconds, pause) if self.assembly.feed.live else blocks

    def _advance(self, block: Block) -> Batch:
        engine = self.engine
        requests = self.control.due(block.tick, waiting=block.tick >= self.reached)
        self.control.take_up(requests, block.tick)
        before_first_row = int(block.times[0]) - engine.market.interval
        told = as_events(requests, before_first_row, [loop.name for loop in engine.loops])
        batch = Batch(block.tick + len(block.times), int(block.times[-1]), "", 0)
        said = [(told[n], f"{each.who}: {each.why}") for n, each in enumerate(requests)]
        for written in engine.advance(block, told):
            if len(written.events):
                batch.events.append(_copied(written.events))
            if len(written.decisions):
                parts = _copied(written.decisions), _copied(written.verdicts), _copied(written.opinions)
                batch.traces.append(parts)
                self.count(written.decisions)
        said += sorted(engine.ward.notices, key=lambda notice: notice[0]["ts"][0])
        batch.inputs = [Input(block.tick, record.tobytes(), why) for record, why in said]
        engine.ward.notices.clear()
        batch.run_hash, batch.decisions = engine.ledger.run_hash, int(engine.ledger.account["decisions"][0])
        return batch

    def count(self, decisions: Records) -> None:
        """Add decisions to the reasons."""
        counted = np.bincount(decisions["reason"][decisions["outcome"] != Outcome.APPROVED] + 1)
        self.reasons.update({n - 1: int(count) for n, count in enumerate(counted) if count})

    def save(self, last: Commit) -> None:
        """Write a snapshot, which adds nothing else to the newest commit."""
        state = journals.pack(self.engine.states())
        self.journal.commit(Batch(last.tick, last.ts, last.run_hash, last.decisions, snapshot=state))

    def _sleep(self, seconds: float) -> None:
        # in short naps: whoever asks the process to stop does not wait for the next bar
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0.0:
            time.sleep(min(left, NAP))

    @contextmanager
    def _farewell(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            self.news.alert("broke off", f"{type(error).__name__}: {error}")
            raise
        finally:
            self.assembly.listeners.call("nexus_stop", run=self.folder.name, finished=self.finished)

    @contextmanager
    def _stop_on_signals(self) -> Generator[None]:
        def stop(*_: object) -> None:
            self._stopping = True

        # signals reach the main thread only; played elsewhere, a run is stopped by whoever holds that thread
        mine = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if mine else ()
        with ExitStack() as kept:
            for number in numbers:
                kept.callback(signal.signal, number, signal.signal(number, stop))
            yield


def gates(engine: Engine) -> list[list[Any]]:
    """Return the gates of an engine's chain as the manifest has them: name, layer, and what each refuses."""
    return [[each.name, each.layer, each.refuses] for each in engine.chain.places]


def _copied(records: Records) -> Records:
    # byte by byte: numpy would leave what lies between the fields to chance
    return np.frombuffer(records.tobytes(), records.dtype)


def begin(home: Path, assembly: Assembly, block: int | None = None) -> Session:
    """Make the folder of a new run with its manifest, and put a session on it.

    `block` is how many ticks are decided at once; without it, what the settings say.
    """
    run, engine = assembly.settings.run, assembly.engine
    named = {f"strategies:{each}" for each in run.strategies} | {f"feeds:{run.feed}", f"brokers:{run.broker}"}
    named |= {f"gates:{each}" for each in assembly.settings.risk.gates}
    named |= {f"layers:{each}" for each in assembly.settings.chain.layers}
    facts = {
        "settings": assembly.settings.to_dict(),
        "recording": assembly.feed.recording(assembly.market),
        "strategies": [loop.name for loop in engine.loops],
        "inactive": {each.name: each.reason for each in engine.inactive},
        "gates": gates(engine),
        "context": engine.chain.noted,
        "layers": [[name, each.layer, [*each.writes]] for name, each in engine.chain.working],
        "words": engine.chain.words,
        "guards": engine.chain.guards,
        "plugins": {o.key: f"{o.distribution} {o.version}" for o in plugins.offers() if o.key in named},
        "code": assembly.code,
        "calibration": assembly.known,
    }
    return opened(runs.create(home, facts), assembly, block)


def opened(folder: Path, assembly: Assembly, block: int | None = None) -> Session:
    """Put a session on the folder of a run, as it was before its first row.

    `block` is how many ticks are decided at once; without it, what the settings say.
    """
    with ExitStack() as kept:
        journal = kept.enter_context(Journal(folder, write=True))
        control = kept.enter_context(closing(Control(folder)))
        size = block or assembly.settings.performance.block
        session = Session(folder, assembly, journal, control, size, journals.reached(folder))
        kept.pop_all()
    return session
