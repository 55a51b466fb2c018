"""A paper run from its first row to its last: play, journal, take up requests, and go on after a crash."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
from attrs import Factory, define, field

from nexus_core import journal as journals
from nexus_core import log, plugins, runs, safety
from nexus_core.config import Settings
from nexus_core.engine import Assembly, Engine, assemble
from nexus_core.errors import JournalError
from nexus_core.journal import Batch, Commit, DamagedError, Input, Journal
from nexus_core.ledger import Written
from nexus_core.ledger.orders import FILL
from nexus_core.market.blocks import Block
from nexus_core.records import EVENT, UNIT, Records
from nexus_core.safety import Control, as_events
from nexus_core.types import Instrument, Mode, Outcome, to_units
from nexus_core.watch import watched

OnCommit = Callable[[Batch], None]

NAP = 0.1
"""Seconds."""

GO_ON = "Go on with the versions in the run's manifest, or begin a new run."


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
    finished: bool = field(default=False, init=False)
    """Whether the market's last tick was played."""
    _stopping: bool = field(default=False, init=False)
    _commits: int = field(default=0, init=False)

    @property
    def engine(self) -> Engine:
        """Return what decides."""
        return self.assembly.engine

    def play(self, on_commit: OnCommit, pause: float = 0.0) -> None:
        """Play on to the last tick, or until the process is asked to stop; end with a snapshot.

        Between two blocks it sleeps for `pause` seconds.
        """
        # where requests were taken up before, should the run be played again from an earlier tick
        stops = sorted(
            {self.reached, *(each.tick for each in self.control.taken_up() if each.tick is not None)}
        )
        with self._stop_on_signals():
            for block in self._watched(self._blocks(stops)):
                batch = self._advance(block)
                self._commits += 1
                if self._commits % self.assembly.settings.performance.snapshot_every == 0:
                    batch.snapshot = journals.pack(self.engine.states())
                self.journal.commit(batch)
                on_commit(batch)
                self._sleep(pause)
                if self._stopping:
                    break
            else:
                self.finished = True
        self._snapshot()

    def restore(self) -> None:
        """Bring the engine to where the journal ends, and prove that it is there."""
        self.journal.check()
        last, saved = self.journal.last(), self.journal.snapshot()
        if last is None:
            if self.reached and (text := changed(self.folder, self.assembly)):
                raise JournalError(f"{self.folder.name}: nothing is left of its journal, and {text}")
            return
        if saved is not None:
            tick, state = saved
            foreign = journals.unpack(state, self.engine.states())
            if foreign:
                self._rebuild(foreign, tick, last)
            self.engine.tick = tick
            if foreign:
                self._save(last)
        self._replay(last)
        if self.engine.tick != last.tick or self.engine.ledger.run_hash != last.run_hash:
            raise JournalError(
                f"{self.folder.name}: playing again to tick {last.tick} ended at {self.engine.tick} with "
                f"another run hash. {changed(self.folder, self.assembly) or GO_ON}"
            )
        self._prove_portfolio()
        for decisions, _, _ in self.journal.traces():
            self._count(decisions)

    def close(self) -> None:
        """Close the files and give up the run's lock."""
        self.journal.close()
        self.control.close()

    # -- playing ----------------------------------------------------------------------------------

    def _blocks(self, stops: Sequence[int] = ()) -> Iterator[Block]:
        for chunk in self.assembly.feed.chunks(self.assembly.market, self.engine.tick):
            yield from self.engine.blocks(chunk, self.block, stops)

    def _watched(self, blocks: Iterator[Block]) -> Iterator[Block]:
        seconds = self.assembly.settings.execution.stale_after
        why = f"the feed was silent for {seconds:g} s"
        if not self.assembly.feed.live:
            return blocks

        def pause() -> None:
            if self.engine.ledger.account["mode"][0] in (Mode.NORMAL, Mode.REDUCED):
                safety.ask(self.folder, Mode.PAUSED, why, "circuit breaker")

        return watched(blocks, seconds, pause)

    def _advance(self, block: Block) -> Batch:
        engine = self.engine
        requests = self.control.due(block.tick, waiting=block.tick >= self.reached)
        self.control.take_up(requests, block.tick)
        before_first_row = int(block.times[0]) - engine.market.interval
        told = as_events(requests, before_first_row)
        batch = Batch(block.tick + len(block.times), int(block.times[-1]), "", 0)
        batch.inputs = [
            Input(block.tick, told[n].tobytes(), f"{r.who}: {r.why}") for n, r in enumerate(requests)
        ]
        for written in engine.advance(block, told):
            self._keep(batch, written)
        batch.run_hash, batch.decisions = engine.ledger.run_hash, int(engine.ledger.account["decisions"][0])
        return batch

    def _keep(self, batch: Batch, written: Written) -> None:
        if len(written.events):
            batch.events.append(_copied(written.events))
        if len(written.decisions):
            parts = _copied(written.decisions), _copied(written.verdicts), _copied(written.opinions)
            batch.traces.append(parts)
            self._count(written.decisions)

    def _count(self, decisions: Records) -> None:
        counted = np.bincount(decisions["reason"][decisions["outcome"] != Outcome.APPROVED] + 1)
        self.reasons.update({n - 1: int(count) for n, count in enumerate(counted) if count})

    def _snapshot(self) -> None:
        last, saved = self.journal.last(), self.journal.snapshot()
        if last is not None and (saved is None or saved[0] < last.tick):
            self._save(last)

    def _save(self, last: Commit) -> None:
        batch = Batch(last.tick, last.ts, last.run_hash, last.decisions)
        batch.snapshot = journals.pack(self.engine.states())
        self.journal.commit(batch)

    def _sleep(self, seconds: float) -> None:
        # in short naps: whoever asks the process to stop does not wait for the next bar
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0.0:
            time.sleep(min(left, NAP))

    @contextmanager
    def _stop_on_signals(self) -> Generator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        # signals reach the main thread only; played elsewhere, a run is stopped by whoever holds that thread
        mine = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if mine else ()
        kept = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    # -- going on after a crash -------------------------------------------------------------------

    def _replay(self, last: Commit) -> None:
        told: dict[int, list[bytes]] = {}
        for each in self.journal.inputs():
            told.setdefault(each.tick, []).append(each.record)
        for block in self._blocks(sorted({*told, last.tick})):
            if block.tick >= last.tick:
                return
            inputs = np.frombuffer(b"".join(told.get(block.tick, [])), EVENT).copy()
            for _ in self.engine.advance(block, inputs):
                pass

    def _rebuild(self, foreign: Sequence[str], tick: int, last: Commit) -> None:
        names = ", ".join(foreign)
        if tick != last.tick or any(":" not in name for name in foreign):
            raise JournalError(
                f"{self.folder.name}: {names} changed since the snapshot, and {last.tick - tick} ticks after "
                f"it were decided by the old code. {GO_ON}"
            )
        log.info("%s changed since the snapshot: its state is built again from the first row", names)
        scratch = assemble(self.assembly.settings).engine
        for chunk in self.assembly.feed.chunks(self.assembly.market, 0):
            for block in scratch.blocks(chunk, self.block, [tick]):
                if block.tick >= tick:
                    break
                scratch.decide(block)
                scratch.tick = block.tick + len(block.times)
            if scratch.tick >= tick:
                break
        built, states = scratch.states(), self.engine.states()
        for name in foreign:
            states[name][0][...] = built[name][0]

    def _prove_portfolio(self) -> None:
        events = self.journal.events()
        cash, held = portfolio(
            events, to_units(self.assembly.settings.risk.capital), self.engine.market.instruments
        )
        ledger = self.engine.ledger
        if cash != int(ledger.account["cash"][0]) or held != ledger.positions["qty"].tolist():
            raise JournalError(
                f"{self.folder.name}: the journal's fills do not add up to the portfolio. {GO_ON}"
            )


def _copied(records: Records) -> Records:
    # byte by byte: numpy would leave what lies between the fields to chance
    return np.frombuffer(records.tobytes(), records.dtype)


def portfolio(events: Records, capital: int, instruments: Sequence[Instrument]) -> tuple[int, list[int]]:
    """Add up the fills of a journal: cash in units, and the quantity of each symbol."""
    fills = events[events["kind"] == FILL]
    held = [0] * len(instruments)
    cash = capital
    rows: list[tuple[int, int, int, int, int]] = fills[["symbol", "side", "qty", "price", "fee"]].tolist()
    for symbol, side, qty, price, fee in rows:
        held[symbol] += side * qty
        cash -= side * _half_even(price * qty * instruments[symbol].multiplier) + fee
    return cash, held


def _half_even(product: int) -> int:
    whole, rest = divmod(product, UNIT)
    return whole + (rest > UNIT // 2 or (rest == UNIT // 2 and whole & 1))


def begin(home: Path, assembly: Assembly, block: int | None = None) -> Session:
    """Make the folder of a new run with its manifest, and put a session on it.

    `block` is how many ticks are decided at once; without it, what the settings say.
    """
    run, engine = assembly.settings.run, assembly.engine
    named = {f"strategies:{each}" for each in run.strategies} | {f"feeds:{run.feed}", f"brokers:{run.broker}"}
    named |= {f"gates:{each}" for each in assembly.settings.risk.gates}
    facts = {
        "settings": assembly.settings.to_dict(),
        "recording": assembly.feed.recording(assembly.market),
        "strategies": [loop.name for loop in engine.loops],
        "inactive": {each.name: each.reason for each in engine.inactive},
        "gates": [[each.name, each.layer, each.refuses] for each in engine.chain.places],
        "plugins": {o.key: f"{o.distribution} {o.version}" for o in plugins.offers() if o.key in named},
        "code": assembly.code,
    }
    return _opened(runs.create(home, facts), assembly, block)


def resume(folder: Path, block: int | None, progress: Callable[[str], None]) -> Session:
    """Open a run that was left, and bring it to where its journal ends.

    On paper all of a run can be played again from its rows and requests. So a journal that was damaged is
    put aside, and written anew from the first row.
    """
    settings = Settings.from_dict(runs.manifest(folder)["settings"])
    assembly = assemble(settings)
    assembly.warm(progress)
    try:
        session = _opened(folder, assembly, block)
        try:
            session.restore()
        except JournalError:
            session.close()
            raise
    except DamagedError as error:
        assembly = assemble(settings)
        if text := changed(folder, assembly):
            raise JournalError(f"{error} It cannot be played again as it was: {text}") from error
        aside = journals.set_aside(folder)
        log.warning("%s It is kept as %s; the run is played again from its first row.", error, aside.name)
        assembly.warm(progress)
        session = _opened(folder, assembly, block)
    return session


def _opened(folder: Path, assembly: Assembly, block: int | None) -> Session:
    size = block or assembly.settings.performance.block
    journal = Journal(folder, write=True)
    try:
        return Session(folder, assembly, journal, Control(folder), size, journals.reached(folder))
    except JournalError:
        journal.close()
        raise


def changed(folder: Path, assembly: Assembly) -> str:
    """Return a sentence that names what decides otherwise than when the run began, or an empty one."""
    facts, code = runs.manifest(folder), assembly.code
    names = [name for name in {**facts["code"], **code} if facts["code"].get(name) != code.get(name)]
    if facts["recording"] != json.loads(json.dumps(assembly.feed.recording(assembly.market))):
        names.append("the feed's rows")
    return f"{', '.join(sorted(names))} changed since the run began. {GO_ON}" if names else ""
