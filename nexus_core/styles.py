"""Strategies in plain Python at work: asked row by row in the order of time, with the rows up to that one.

A `signal(window)` answers from its window alone, so its state is the rows it will see again. A row that came
late takes its place among them by its time, and nothing is asked at it. A style of somebody's own derives its
loop from `WindowLoop`; one whose strategies remember what they like is `opaque`, and hears late rows too.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from nexus_core.compile import closure
from nexus_core.errors import PluginError
from nexus_core.market.blocks import QUIET, Between, newest
from nexus_core.market.loops import FAULT, StrategyLoop, warmup
from nexus_core.records import ABSENT, LATE, ROW, Records
from nexus_core.steps.tool import record
from nexus_core.strategy import Strategy
from nexus_core.watch import Guard, LateError


class Window:
    """The latest rows of one symbol, oldest first: each field of a row is an array that cannot be written."""

    __slots__ = ("rows",)

    def __init__(self, rows: Records) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getattr__(self, field: str) -> Any:
        if field not in (ROW.names or ()):
            raise AttributeError(f"a market row has no {field}")
        return self.rows[field]


class WindowLoop(StrategyLoop):
    """A strategy in plain Python at work on the symbols of a run."""

    method: ClassVar[str] = "signal"
    entry = None

    def __init__(self, name: str, strategy: Strategy, symbols: Sequence[str]) -> None:
        self.name, self.strategy, self.symbols = name, strategy, symbols
        self.warmup = warmup(strategy)
        self.keep = max(self.warmup, 1)
        """How many rows it is shown."""
        self._first = np.array([record(rows=0, faults=0, tail=np.zeros(self.keep, ROW))])
        self.states = np.repeat(self._first, len(symbols))
        self.code = _code(strategy)
        self.guard: Guard | None = None
        """What drops answers that come too late; none where the market waits."""
        self.overran: list[tuple[int, int, bool]] = []
        """Symbol and time of the rows whose answers were dropped, and whether it was asked at all: it is not
        while it is busy with an earlier row. Whoever journals them clears the list."""
        self.late: dict[tuple[int, int], bool] = {}
        """Rows whose answers were dropped when they were first played, and whether it was asked."""
        self.slowest = 0.0
        """Seconds that the longest call took."""
        self.error: BaseException | None = None
        """What it raised last."""

    def run(
        self, rows: Records, first: Any, last: Any, signals: Any, scores: Any, between: Between = QUIET
    ) -> int:
        """Take rows `first[s]` to `last[s]` of every symbol s, in the order of time; events pass it by."""
        spans: list[tuple[int, int]] = list(zip(first.tolist(), last.tolist(), strict=True))
        joined: dict[int, Records] = {}
        for s in np.flatnonzero(first < last).tolist():
            joined[s] = np.concatenate([self.states["tail"][s], rows[slice(*spans[s])]])
            joined[s].flags.writeable = False
        before = self.faults()
        symbols = np.repeat(np.arange(len(spans)), last - first)
        places = np.concatenate([np.arange(low, high) for low, high in spans])
        # at equal time by symbol, as they lie: the sort is stable
        for n in np.argsort(rows["ts"][places], kind="stable"):
            s, i = int(symbols[n]), int(places[n])
            self.states["rows"][s] += 1
            end = i + 1 - spans[s][0] + self.keep
            shown = min(self.keep, int(self.states["rows"][s]))
            signals[i], scores[i] = self._judged(s, joined[s][end - shown : end])
        for s, each in joined.items():
            self.states["tail"][s] = newest(each, int(self.states["rows"][s]), self.keep)
        return self.faults() - before

    def warm(self) -> None:
        """Do nothing: plain Python needs no compiling."""

    def _judged(self, symbol: int, rows: Records) -> tuple[int, float]:
        warm = self.states["rows"][symbol] > self.warmup
        if not self.opaque and (not warm or rows["flags"][-1] & LATE):  # of a late row nobody is told
            return ABSENT, 0.0
        signal, score = self._asked(symbol, rows, warm)
        if 0.0 <= score <= 1.0 and signal in (-2, -1, 0, 1, 2):
            return (int(signal), score) if warm else (ABSENT, 0.0)
        self.states["faults"][symbol] += 1
        return FAULT, 0.0

    def _asked(self, symbol: int, rows: Records, warm: bool) -> tuple[float, float]:
        row = symbol, int(rows["ts"][-1])
        dropped = row in self.late
        if dropped and not (self.opaque and self.late[row]):
            return math.nan, math.nan
        begun = time.perf_counter()
        try:
            data = self._data(symbol, rows)
            ask = getattr(self.strategy, self.method)
            said = ask(data) if self.guard is None else self.guard(ask, data)
            answer = self._read(said) if warm else (0.0, 0.0)
        except LateError as error:
            self.overran.append((*row, error.made))
            return math.nan, math.nan
        except (Exception, SystemExit) as error:
            self.error = error
            return math.nan, math.nan
        self.slowest = max(self.slowest, time.perf_counter() - begun)
        return (math.nan, math.nan) if dropped else answer

    def _data(self, symbol: int, rows: Records) -> Any:
        return Window(rows)

    def _read(self, answer: Any) -> tuple[float, float]:
        signal, score = answer
        return float(signal), float(score)


def loop(name: str, strategy: Strategy, symbols: Sequence[str]) -> StrategyLoop:
    """Put a strategy to work on symbols, in the style it is written in."""
    kind = type(strategy)
    if kind.at_work is not None:
        return kind.at_work(name, strategy, symbols)
    written = [each for each in ("step", "signal") if getattr(kind, each) is not getattr(Strategy, each)]
    if len(written) != 1:
        both = "both a step and a signal" if written else "neither a step nor a signal"
        raise PluginError(f"strategies:{name} has {both}. Its author writes one of them.")
    if written == ["signal"]:
        return WindowLoop(name, strategy, symbols)
    return StrategyLoop(name, strategy, len(symbols))


def _code(strategy: Strategy) -> str:
    """Return the hash that says whether a saved state belongs to this class and these parameters."""
    digest = hashlib.sha256(repr(strategy.params.by_name()).encode())
    for kind in type(strategy).__mro__:
        for name, part in vars(kind).items() if not issubclass(Strategy, kind) else ():
            if callable(part) or not name.startswith("__"):  # the rest differs between processes
                digest.update(f"{name} {closure(getattr(part, 'fget', part))}".encode())
    return digest.hexdigest()[:32]
