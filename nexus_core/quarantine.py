"""Faults of strategies, counted in the order of time, and the silence of one that has too many.

A strategy faults on a row where it raises, answers outside its contract, or (where the market does not wait)
takes too long. Too many faults within a stretch of rows quarantine it: from the next row on it is absent,
until a person releases it. Which row that is does not depend on the size of the blocks.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from attrs import define, field

from nexus_core import log
from nexus_core.config import Quarantine
from nexus_core.ledger import Judged
from nexus_core.market.blocks import Between, Block
from nexus_core.market.loops import FAULT, StrategyLoop
from nexus_core.records import ABSENT, EVENT, Records, empty
from nexus_core.steps.tool import record
from nexus_core.strategy import OVERRUN, QUARANTINE, RELEASE
from nexus_core.styles import WindowLoop
from nexus_core.types import iso
from nexus_core.watch import Guard

_LONG_AGO = -(2**62)
_PAST, _PAST_ROWS = 256, 4096
"""Blocks, and their rows, that a strategy may have to take again to undo one."""


@define
class _Past:
    """What a strategy knew some blocks ago and the blocks it took since: enough to take the last one back.

    Copying what it knows before every block would cost more than the block, where that is a single row.
    """

    loop: StrategyLoop
    _known: Any = None
    _since: list[Block] = field(factory=list[Block], init=False)
    _rows: int = field(default=0, init=False)

    def begin(self, block: Block) -> None:
        """Take note of a block that will be run."""
        self._rows += len(block.order)
        if self._known is None or self._rows > _PAST_ROWS or len(self._since) >= _PAST or not self.loop.entry:
            # a copy of the records themselves would go field by field
            self._known, self._rows = self.loop.states.view(np.uint8).copy(), len(block.order)
            self._since.clear()
        self._since.append(block)

    def undo(self) -> None:
        """Bring the strategy back to before the last block."""
        self.loop.states.view(np.uint8)[:] = self._known
        for block in self._since[:-1]:
            size = len(block.rows)
            unused = np.zeros(size, np.int8), np.zeros(size)
            self.loop.run(block.rows, block.first, block.last, *unused, block.between)
        self._known = None


@define
class Ward:
    """The strategies of a run, and the book of their faults."""

    loops: list[StrategyLoop]
    rules: Quarantine
    books: Records = field(init=False)
    """For each strategy: since when it is silent (0 if it is not), and the rows of its last faults."""
    notices: list[tuple[Records, str]] = field(factory=list[tuple[Records, str]], init=False)
    """Events not journalled yet, each with why it came about; whoever journals them clears the list."""
    _told: set[tuple[str, str]] = field(factory=set[tuple[str, str]], init=False)
    _pasts: list[_Past] = field(init=False)

    def __attrs_post_init__(self) -> None:
        book = record(since=0, recent=np.full(self.rules.faults, _LONG_AGO))
        self.books = np.repeat(np.array([book]), len(self.loops))
        self._pasts = [_Past(each) for each in self.loops]

    def run(self, block: Block, columns: Judged) -> None:
        """Take a block through every strategy; write a signal and a score for each of its rows."""
        for k, loop in enumerate(self.loops):
            signals, scores = columns.signals[k], columns.scores[k]
            if self.books["since"][k]:
                _silence(block.order, signals, scores)
            elif not isinstance(loop, WindowLoop):
                self._at_once(k, block, signals, scores)
            else:
                # what remembers, or has its time measured, is asked for no row twice
                once = loop.opaque or loop.guard
                (self._one_by_one if once else self._at_once)(k, block, signals, scores)
                self._see_to(k, loop)

    def silent(self) -> dict[str, str]:
        """Return who is in quarantine, and since when."""
        books = zip(self.loops, self.books["since"], strict=True)
        return {loop.name: iso(since) for loop, since in books if since}

    def guard(self) -> None:
        """Drop from now on the answers of plain Python that take too long."""
        for each in self.loops:
            if isinstance(each, WindowLoop):
                each.guard = Guard(self.rules.budget)

    def tell(self, events: Records) -> None:
        """Take what was told about strategies: a release, or a row whose answer came too late."""
        for event in events[events["reason"] >= 0]:
            loop: StrategyLoop = self.loops[int(event["reason"])]
            if event["kind"] == RELEASE:
                loop.reset()
                self._pasts[int(event["reason"])] = _Past(loop)
                self.books[event["reason"]] = 0, _LONG_AGO
            elif event["kind"] == OVERRUN and isinstance(loop, WindowLoop):
                loop.late[int(event["symbol"]), int(event["ts"])] = bool(event["state"])

    # -- one strategy over one block --------------------------------------------------------------

    def _at_once(self, k: int, block: Block, signals: Any, scores: Any) -> None:
        loop, size = self.loops[k], len(block.order)
        past = self._pasts[k]
        past.begin(block)
        begun = time.perf_counter()
        try:
            faults = loop.run(block.rows, block.first, block.last, signals, scores, block.between)
        except (Exception, SystemExit) as error:
            past.undo()
            self._warn(loop, f"raised {type(error).__name__}: {error}")
            self._one_by_one(k, block, signals, scores)
            return
        if (took := time.perf_counter() - begun) > size * self.rules.budget:
            self._warn_of_slowness(loop, took / size)
        if faults:
            rows = int(loop.states["rows"].sum()) - size
            order, rest = np.split(block.order, [self._counted(k, block, signals, rows)])
            if len(rest):  # it must not have seen what came after
                past.undo()
                seen = np.bincount(block.rows["symbol"][order], minlength=len(block.first))
                loop.run(block.rows, block.first, block.first + seen, signals, scores, _held(block))
                _silence(rest, signals, scores)
            _silence(order[signals[order] == FAULT], signals, scores)

    def _counted(self, k: int, block: Block, signals: Any, rows: int) -> int:
        """Note a block's faults, `rows` before it; return how many of its rows the strategy is given."""
        for place in np.flatnonzero(signals[block.order] == FAULT).tolist():
            if self._note(k, rows + place, int(block.rows["ts"][block.order[place]])):
                return place + 1
        return len(block.order)

    def _one_by_one(self, k: int, block: Block, signals: Any, scores: Any) -> None:
        loop, rows = self.loops[k], block.rows
        first, held = np.zeros(len(loop.states), np.int64), _held(block)
        last, given = first.copy(), int(loop.states["rows"].sum())
        for place, i in enumerate(block.order):
            s = int(rows["symbol"][i])
            first[s], last[s] = i, i + 1
            before = loop.states[s : s + 1].copy()
            try:
                faults = loop.run(rows, first, last, signals, scores, held)
            except (Exception, SystemExit) as error:
                self._warn(loop, f"raised {type(error).__name__}: {error}")
                loop.states[s : s + 1] = before
                loop.states["rows"][s] += 1
                loop.states["faults"][s] += 1
                faults = 1
            first[s] = last[s] = 0
            if faults:
                _silence(block.order[place : place + 1], signals, scores)
                if self._note(k, given + place, int(rows["ts"][i])):
                    _silence(block.order[place + 1 :], signals, scores)
                    return
        if (error := loop.finish(rows, first, signals, scores, block.between)) is not None:
            self._warn(loop, f"raised {type(error).__name__}: {error}")

    def _note(self, k: int, row: int, ts: int) -> bool:
        """Note a fault on a row; tell whether it is one too many."""
        book = self.books[k]
        book["recent"] = np.append(book["recent"][1:], row)
        span = row - int(book["recent"][0]) + 1
        if span > self.rules.rows:
            return False
        book["since"] = ts
        why = f"{self.rules.faults} faults in {span} rows"
        self._notice(QUARANTINE, k, ts, why)
        name = self.loops[k].name
        what = f"{name}: quarantined at {iso(ts)} after {why}."
        log.warning("%s Others go on; nexus plugins release %s lets it back.", what, name)
        return True

    def _see_to(self, k: int, loop: WindowLoop) -> None:
        """Journal and tell what a strategy in plain Python did."""
        if loop.error is not None:
            self._warn(loop, f"raised {type(loop.error).__name__}: {loop.error}")
            loop.error = None
        for symbol, ts, asked in loop.overran:
            self._notice(OVERRUN, k, ts, f"took longer than {self.rules.budget:g} s", symbol, asked)
            self._warn(loop, f"took longer than {self.rules.budget:g} s")
        loop.overran.clear()
        if loop.slowest > self.rules.budget:
            self._warn_of_slowness(loop, loop.slowest)

    def _notice(self, kind: int, k: int, ts: int, why: str, symbol: int = -1, asked: bool = False) -> None:
        event = empty(EVENT, 1)
        event[["kind", "reason", "ts", "symbol", "state"]] = kind, k, ts, symbol, asked
        self.notices.append((event, f"{self.loops[k].name}: {why}"))

    def _warn(self, loop: StrategyLoop, what: str) -> None:
        if (loop.name, what[:12]) not in self._told:
            self._told.add((loop.name, what[:12]))
            log.warning("%s: %s. Such a row counts as a fault, and the strategy as absent.", loop.name, what)

    def _warn_of_slowness(self, loop: StrategyLoop, seconds: float) -> None:
        if (loop.name, "slow") not in self._told:
            self._told.add((loop.name, "slow"))
            what = f"{loop.name}: a row took {seconds:.3f} s, its budget is {self.rules.budget:g} s."
            log.warning("%s In real time such an answer is dropped.", what)


def _silence(order: Any, signals: Any, scores: Any) -> None:
    signals[order] = ABSENT
    scores[order] = 0.0


def _held(block: Block) -> Between:
    """Return the events of a block without those after the last row that is asked for."""
    return replace(block.between, rest=False)
