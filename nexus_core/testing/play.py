"""A strategy at work on a market, here or in another process: what it answers, and how that is told."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, cast

import numpy as np
from attrs import frozen

from nexus_core import compile
from nexus_core.errors import PluginError
from nexus_core.journal import unpack
from nexus_core.market.blocks import QUIET, Between, Block, Chunk, blocks
from nexus_core.market.loops import FAULT, StrategyLoop
from nexus_core.records import ABSENT, Records
from nexus_core.styles import WindowLoop, loop
from nexus_core.testing import markets
from nexus_core.testing.contract import Broken, Subject
from nexus_core.types import iso

PATIENCE = 120.0
"""Seconds another process may take to answer."""

_WHOLE = 1 << 40


@frozen
class Answers:
    """What a strategy made of a market: signals and scores by row, and its states after the last."""

    market: Chunk
    signals: Any
    scores: Any
    states: bytes

    def of(self, symbol: int) -> tuple[Any, Any]:
        """Return signals and scores of one symbol."""
        span = slice(self.market.starts[symbol], self.market.starts[symbol + 1])
        return self.signals[span], self.scores[span]


# -- at work -----------------------------------------------------------------------------------------


def at_work(of: Subject) -> StrategyLoop:
    """Put a new instance of the strategy to work on the symbols of the markets."""
    return loop(of.name, of.make(), markets.SYMBOLS)


def play(made: StrategyLoop, market: Chunk, size: int = _WHOLE) -> Answers:
    """Take a market in blocks of so many ticks through a loop."""
    signals, scores = np.zeros(len(market.rows), np.int8), np.zeros(len(market.rows))
    for block in cut(told(made, market), size):
        run(made, block, signals, scores)
    return Answers(market, signals, scores, made.states.tobytes())


def told(made: StrategyLoop, market: Chunk) -> Chunk:
    """Return the market as a strategy is given it: with events, if it hears them."""
    return markets.heard(market) if made.hears and market.events is None else market


def cut(market: Chunk, size: int) -> Iterator[Block]:
    """Cut a market into blocks of so many ticks."""
    return blocks(market, 0, size, lambda _: np.iinfo(np.int64).max)


def run(made: StrategyLoop, block: Block, signals: Any, scores: Any) -> None:
    """Take one block through a loop; a step that raises breaks its contract."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a division by zero is judged by what is answered
        try:
            made.run(block.rows, block.first, block.last, signals, scores, block.between)
        except Exception as error:
            span = f"{iso(int(block.times[0]))} to {iso(int(block.times[-1]))}"
            raise Broken(
                f"step raised {type(error).__name__}: {error}, on rows of {span}. Answer (0, 0.0) where "
                "there is nothing to say."
            ) from error


# -- in another process ------------------------------------------------------------------------------


def homeless(of: Subject) -> str:
    """Return why another process cannot play the strategy; empty where it can."""
    return "" if _home(of) else "another process cannot import it: it is defined inside a function"


def _home(of: Subject) -> tuple[str, str, str] | None:
    """Return module, file and dotted name of the class."""
    kind = of.plugin
    where = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if where is None or "<locals>" in kind.__qualname__:
        return None
    return kind.__module__, where, kind.__qualname__


def elsewhere(
    of: Subject, packed: bytes, rows: Records, first: Any, last: Any, between: Between = QUIET, **changes: str
) -> Sequence[Any]:
    """Play rows in another process; return whether a state does not fit, signals, scores and states."""
    job = (_home(of), of.name, dict(of.params), packed, rows, first, last, between)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _THERE.replace("PATH", repr(sys.path))],
            input=pickle.dumps(job),
            capture_output=True,
            env={**os.environ, **changes},
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"another process did not answer within {PATIENCE:g} s. Make its step quicker."
        raise Broken(text) from None
    if done.returncode:
        last_line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Broken(
            f"another process could not play its rows: {last_line}. Let it depend on nothing but its package."
        )
    return pickle.loads(done.stdout)


_THERE = """
import os, pickle, sys
sys.path[:] = PATH
out = os.dup(1)
os.dup2(2, 1)  # what a plugin prints is no answer
from nexus_core.testing.play import answered
answer = answered(*pickle.load(sys.stdin.buffer))
with os.fdopen(out, "wb") as stream:
    pickle.dump(answer, stream)
"""


def answered(
    home: tuple[str, str, str],
    name: str,
    params: Mapping[str, Any],
    packed: bytes,
    rows: Records,
    first: Any,
    last: Any,
    between: Between = QUIET,
) -> Sequence[Any]:
    """Play rows from a packed state on; return whether it does not fit, signals, scores and states."""
    made = loop(name, _at(home)(**params), markets.SYMBOLS)
    foreign = unpack(packed, {name: (made.states, "")}) if packed else []
    signals, scores = np.zeros(len(rows), np.int8), np.zeros(len(rows))
    made.run(rows, first, last, signals, scores, between)
    return bool(foreign), signals, scores, made.states.tobytes()


def _at(home: tuple[str, str, str]) -> Any:
    module, file, name = home
    try:
        found: Any = import_module(module)
    except ImportError:
        found = None
    if found is None or getattr(found, "__file__", None) != file:
        spec = spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise PluginError(f"{file} is no Python module. Put the class into one.")
        found = sys.modules[module] = module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found


# -- saying it ---------------------------------------------------------------------------------------


def first_difference(mine: Sequence[Any], its: Sequence[Any]) -> int | None:
    """Return the first row whose signal or score differs in a bit."""
    differ = (mine[0] != its[0]) | (mine[1].view(np.int64) != its[1].view(np.int64))
    return int(np.flatnonzero(differ)[0]) if differ.any() else None


def said(answers: Sequence[Any], at: int) -> str:
    """Return what was answered at a row, as a reader sees it."""
    signal = int(answers[0][at])
    if signal == ABSENT:
        return "not at all"
    return "outside the bounds" if signal == FAULT else f"({signal}, {float(answers[1][at])!r})"


_ONE = """
def entry(rows, at, states, symbol, parameters):
    return step(rows[at], states[symbol].own, parameters[0])
"""


def asked_at(of: Subject, market: Chunk, symbol: int, row: int) -> str:
    """Return what it answers to one row after those before it, or what it raises."""
    made = loop(of.name, of.make(), markets.SYMBOLS[: len(market.starts) - 1])
    kept = _Kept(made)
    at = int(market.starts[symbol]) + row
    signals, scores = np.zeros(len(market.rows), np.int8), np.zeros(len(market.rows))
    for block in cut(told(made, market), 1):
        if block.times[0] >= market.rows["ts"][at]:
            break
        run(made, block, signals, scores)
    if isinstance(made, WindowLoop):
        first, last = np.full_like(market.starts[:-1], at), np.full_like(market.starts[:-1], at)
        last[symbol] += 1
        made.run(market.rows, first, last, signals, scores)
        return kept.text
    one = compile.entry("one", _ONE, {"step": of.plugin.step})
    answer = compile.call(one, market.rows, at, made.states, symbol, made.parameters)
    return f"was answered {_shown(answer)}"


class _Kept:
    """Keeps what a strategy in plain Python answered last."""

    def __init__(self, made: StrategyLoop) -> None:
        self.text = "was not answered"
        if isinstance(made, WindowLoop):
            self._ask: Callable[[Any], Any] = getattr(made.strategy, made.method)
            setattr(made.strategy, made.method, self)

    def __call__(self, data: Any) -> Any:
        try:
            answer = self._ask(data)
        except Exception as error:
            self.text = f"raised {type(error).__name__}: {error}"
            raise
        self.text = f"was answered {_shown(answer)}"
        return answer


def _shown(answer: Any) -> str:
    if isinstance(answer, tuple):
        parts: list[Any] = list(cast("tuple[Any, ...]", answer))
        return repr(tuple(getattr(each, "tolist", lambda each=each: each)() for each in parts))
    return repr(answer)
