"""The compiled loops that take steps through rows, and through the market events between them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np

from nexus_core import compile
from nexus_core.errors import PluginError
from nexus_core.market.blocks import QUIET, Between
from nexus_core.market.book import depth, ignore
from nexus_core.records import ABSENT, ROW, Records
from nexus_core.steps.tool import record

FAULT = ABSENT + 1
"""How a loop marks the row of an answer outside the contract; whoever counts faults makes it absent."""

LONGEST = 1_000_000
"""Rows until a signal is judged, at the most: so many are remembered of each symbol."""

DEAF = 2**63 - 1
"""`seen` of a strategy that raised at an event after its last row: it raises at each row to come."""

_ANSWER = """
            signal, score = step(rows[i], state.own, params)
            state.rows += 1
            if state.rows <= warmup:
                signals[i] = ABSENT
                scores[i] = 0.0
                continue
            if 0.0 <= score <= 1.0 and -2 <= signal <= 2:
                signals[i] = signal
                scores[i] = score
                if signals[i] == signal:  # 1.5 is no signal
                    continue
            state.faults += 1
            faults += 1
            signals[i] = FAULT
            scores[i] = 0.0
"""

ROWS = f"""
def entry(rows, first, last, states, parameters, warmup, signals, scores):
    params = parameters[0]
    faults = 0
    for symbol in range(first.size):
        state = states[symbol]
        for i in range(first[symbol], last[symbol]):{_ANSWER}
    return faults
"""

EVENTS = f"""
def entry(rows, first, last, events, begin, end, rest, states, parameters, warmup, signals, scores):
    params = parameters[0]
    faults = 0
    for symbol in range(first.size):
        state = states[symbol]
        e = begin[symbol]
        high = end[symbol]
        while e < high:  # to the first event it has not had
            middle = (e + high) // 2
            if events[middle].seq <= state.seen:
                e = middle + 1
            else:
                high = middle
        for i in range(first[symbol], last[symbol]):
            while e < end[symbol] and events[e].ts <= rows[i].ts:
                push(state.book, events[e])
                on_event(events[e], state.book, state.own, params)
                state.seen = events[e].seq
                e += 1
            if state.seen == DEAF:
                raise ValueError("it raised at an event before this row"){_ANSWER}
        while rest and e < end[symbol]:
            push(state.book, events[e])
            on_event(events[e], state.book, state.own, params)
            state.seen = events[e].seq
            e += 1
    return faults
"""

VIEWS = """
def entry(rows, first, last, events, begin, end, books, views):
    for symbol in range(first.size):
        e = begin[symbol]
        for i in range(first[symbol], last[symbol]):
            while e < end[symbol] and events[e].ts <= rows[i].ts:
                push(books[symbol], events[e])
                e += 1
            look(books[symbol], views[i])
        while e < end[symbol]:
            push(books[symbol], events[e])
            e += 1
"""

FEATURES = """
def entry(rows, first, last, states, parameters, views, out, missing):
    params = parameters[0]
    stride = 1 if views.size > 1 else 0
    for symbol in range(first.size):
        state = states[symbol]
        for i in range(first[symbol], last[symbol]):
            missing[i] = step(rows[i], views[i * stride], state, params, out[i])
"""


def warmup(strategy: Any) -> int:
    """Return the rows before which a strategy is absent; its horizon must be one that can be waited for."""
    horizon = strategy.horizon
    if not isinstance(horizon, (int, np.integer)) or not 1 <= horizon <= LONGEST:
        must = f"must be a whole number of rows from 1 to {LONGEST:,}"
        raise PluginError(f"{strategy.name}: its horizon was {horizon!r}, {must}. Ask its author.")
    return int(strategy.warmup)


class StrategyLoop:
    """A strategy at work on the symbols of a run: its states, and the compiled loop over a block."""

    opaque: ClassVar[bool] = False
    """Whether it remembers more than its states say."""
    hears: bool = False
    """Whether it takes market events."""
    entry: compile.Step | None
    """The generated loop, where there is one."""

    def __init__(self, name: str, strategy: Any, symbols: int) -> None:
        self.name, self.strategy = name, strategy
        kind = cast("Any", type(strategy))
        parts: dict[str, Any] = {"rows": 0, "faults": 0, "own": record(**strategy.state(strategy.params))}
        bindings: dict[str, Any] = {"step": kind.step, "ABSENT": ABSENT, "FAULT": FAULT}
        self.hears = kind.on_event is not None
        if self.hears:
            whole = "book" in strategy.needs
            book = depth(counters=kind.counts_levels) if whole else depth(window=64, beyond=1)
            parts |= {"seen": -1, "book": book}
            push = depth.push if whole else ignore
            bindings |= {"on_event": kind.on_event, "push": push, "DEAF": DEAF}
        self._first: Any = np.array([record(**parts)])
        self.states: Records = np.repeat(self._first, symbols)
        self.parameters = strategy.params.record()
        self.warmup = warmup(strategy)
        text = EVENTS if self.hears else ROWS
        self.entry = compile.entry(re.sub(r"\W", "_", name), text, bindings)
        self._run = compile.Fixed(self.entry)
        self.code = state_code(self.entry, self.states.dtype, self.parameters)
        none = np.zeros(symbols, np.int64)
        self._quiet = Between(QUIET.events, none, none)

    def run(
        self, rows: Records, first: Any, last: Any, signals: Any, scores: Any, between: Between = QUIET
    ) -> int:
        """Take rows `first[s]` to `last[s]` of every symbol s; write a signal and a score for each.

        Return how many answers were outside the contract; those rows are marked FAULT. Events before a row
        are taken first, and those after the last row unless `between` leaves the rest.
        """
        told = between if len(between.first) else self._quiet
        events = (told.events, told.first, told.last, told.rest) if self.hears else ()
        return self._run(
            rows, first, last, *events, self.states, self.parameters, self.warmup, signals, scores
        )

    def finish(self, rows: Records, none: Any, signals: Any, scores: Any, between: Between) -> Any:
        """Take the events after the last rows, symbol by symbol, and return what it raised at last, if so.

        A symbol at whose event it raises keeps the state from before, and is DEAF: its next row is a fault,
        as it would be if the event came in one block with that row.
        """
        error = None
        for s in np.flatnonzero(between.first < between.last) if self.hears else ():
            before, last = self.states[s : s + 1].copy(), between.first.copy()
            last[s] = between.last[s]
            try:
                self.run(rows, none, none, signals, scores, replace(between, last=last))
            except (Exception, SystemExit) as raised:
                error, before["seen"] = raised, DEAF
                self.states[s : s + 1] = before
        return error

    def warm(self) -> None:
        """Compile, or load from the cache, by running over no rows."""
        none = self._quiet.first
        self.run(np.zeros(0, ROW), none, none, np.zeros(0, np.int8), np.zeros(0))

    def reset(self) -> None:
        """Forget all rows, as before the first."""
        self.states[:] = self._first

    def faults(self) -> int:
        """Return how many answers so far were outside the contract."""
        return int(self.states["faults"].sum())


def state_code(step: compile.Step, dtype: np.dtype[Any], parameters: Records) -> str:
    """Return the hash that says whether a saved state belongs to this code, layout and parameters."""
    depends = f"{compile.closure(step)}{(dtype.descr, parameters.tolist())!r}"
    return hashlib.sha256(depends.encode()).hexdigest()[:32]
