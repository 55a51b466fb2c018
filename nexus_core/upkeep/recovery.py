"""A run that was left: brought to where its journal ends, and proved to be there, before it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from nexus_core import journal, log, runs
from nexus_core.config import Settings
from nexus_core.engine import Assembly, Engine, assemble
from nexus_core.errors import JournalError
from nexus_core.journal import Commit, DamagedError
from nexus_core.ledger.orders import FILL
from nexus_core.market.blocks import Block
from nexus_core.records import EVENT, Records
from nexus_core.session import Session, gates, opened
from nexus_core.strategy import QUARANTINE
from nexus_core.types import Instrument, half_even, to_units

GO_ON = "Go on with the versions in the run's manifest, or begin a new run."


def resume(folder: Path, block: int | None, progress: Callable[[str], None]) -> Session:
    """Open a run that was left, and bring it to where its journal ends.

    On paper all of a run can be played again from its rows and requests. So a journal that was damaged is
    put aside, and written anew from the first row.
    """
    facts = runs.manifest(folder)
    settings, known = Settings.from_dict(facts["settings"]), facts.get("calibration", {})
    assembly = assemble(settings, known=known)
    if facts["recording"] != json.loads(json.dumps(assembly.feed.recording(assembly.market))):
        raise JournalError(f"{folder.name}: the feed's rows changed since the run began. {GO_ON}")
    assembly.warm(progress)
    try:
        with ExitStack() as kept:
            session = kept.enter_context(closing(opened(folder, assembly, block)))
            restore(session)
            kept.pop_all()
        return session
    except DamagedError as error:
        assembly = assemble(settings, known=known)
        if text := changed(folder, assembly):
            raise JournalError(f"{error} It cannot be played again as it was: {text}") from error
        aside = journal.set_aside(folder)
        log.warning("%s It is kept as %s; the run is played again from its first row.", error, aside.name)
        assembly.warm(progress)
        return opened(folder, assembly, block)


def restore(session: Session) -> None:
    """Bring a session's engine to where its journal ends, and prove that it is there."""
    folder, engine, book = session.folder, session.engine, session.journal
    book.check()
    if runs.manifest(folder)["gates"] != gates(engine):
        raise JournalError(f"{folder.name}: has other gates now than when it began. {GO_ON}")
    last, saved = book.last(), book.snapshot()
    if last is None:
        if session.reached and (text := changed(folder, session.assembly)):
            raise JournalError(f"{folder.name}: nothing is left of its journal, and {text}")
        return
    if saved is not None:
        tick, state = saved
        foreign = journal.unpack(state, engine.states())
        _rebuild(session, foreign, tick, last)
        engine.tick = tick
        if foreign:
            session.save(last)
    replay(session, last)
    if engine.tick != last.tick or engine.ledger.run_hash != last.run_hash:
        found = f"playing again to tick {last.tick} ended at {engine.tick} with another run hash"
        why = changed(folder, session.assembly) or GO_ON
        raise JournalError(f"{folder.name}: {found}. {why}")
    _prove_portfolio(session)
    for decisions, _, _ in book.traces(fields=engine.chain.noted):
        session.count(decisions)


def replay(session: Session, last: Commit) -> None:
    """Play a session's engine on to a commit, as it went before."""
    engine = session.engine
    for block, told in _again(session, engine, last.tick):
        for _ in engine.advance(block, told):
            pass
    engine.ward.notices.clear()


def changed(folder: Path, assembly: Assembly) -> str:
    """Return a sentence that names what decides otherwise than when the run began, or an empty one."""
    facts, code = runs.manifest(folder), assembly.code
    names = [name for name in {**facts["code"], **code} if facts["code"].get(name) != code.get(name)]
    return f"{', '.join(sorted(names))} changed since the run began. {GO_ON}" if names else ""


def portfolio(events: Records, capital: int, instruments: Sequence[Instrument]) -> tuple[int, list[int]]:
    """Add up the fills of a journal: cash in units, and the quantity of each symbol."""
    fills = events[events["kind"] == FILL]
    held = [0] * len(instruments)
    cash = capital
    rows: list[tuple[int, int, int, int, int]] = fills[["symbol", "side", "qty", "price", "fee"]].tolist()
    for symbol, side, qty, price, fee in rows:
        held[symbol] += side * qty
        cash -= side * half_even(price * qty * instruments[symbol].multiplier) + fee
    return cash, held


def _again(session: Session, engine: Engine, end: int) -> Iterator[tuple[Block, Records]]:
    """Cut an engine's blocks up to a tick as they were; yield each with what it was told."""
    told: dict[int, list[bytes]] = {}
    for each in session.journal.inputs():
        told.setdefault(each.tick, []).append(each.record)
    for block in session.blocks(engine, sorted({*told, end})):
        if block.tick >= end:
            return
        events = np.frombuffer(b"".join(told.get(block.tick, [])), EVENT).copy()
        # faults are found again: a quarantine needs no telling
        yield block, events[events["kind"] != QUARANTINE]


def _rebuild(session: Session, foreign: Sequence[str], tick: int, last: Commit) -> None:
    """Make anew what a snapshot taken at a tick does not give back: states of other code, and opaque ones."""
    engine, assembly = session.engine, session.assembly
    opaque = [k for k, loop in enumerate(engine.loops) if loop.opaque]
    names = ", ".join(foreign)
    if foreign and (tick != last.tick or any(":" not in name for name in foreign)):
        old = f"{last.tick - tick} ticks after it were decided by the old code"
        raise JournalError(f"{session.folder.name}: {names} changed since the snapshot, and {old}. {GO_ON}")
    if foreign:
        log.info("%s changed since the snapshot: its state is built again from the first row", names)
    elif not opaque:
        return
    # another engine takes its market pass from the first row
    scratch = assemble(assembly.settings, known=assembly.known).engine
    for block, told in _again(session, scratch, tick):
        scratch.hear(told)
        scratch.decide(block)
        scratch.tick = block.tick + len(block.times)
    built, states = scratch.states(), engine.states()
    for name in foreign:
        states[name][0][...] = built[name][0]
    for k in opaque:
        engine.loops[k] = scratch.loops[k]


def _prove_portfolio(session: Session) -> None:
    name, engine = session.folder.name, session.engine
    capital = to_units(session.assembly.settings.risk.capital)
    found = portfolio(session.journal.events(), capital, engine.market.instruments)
    if found != (int(engine.ledger.account["cash"][0]), engine.ledger.positions["qty"].tolist()):
        raise JournalError(f"{name}: the journal's fills do not add up to the portfolio. {GO_ON}")
