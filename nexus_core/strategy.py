"""From a step to a strategy: declared parameters, a state record for each symbol, and the loop over rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from nexus_core import compile
from nexus_core.errors import ConfigError, PluginError, hint
from nexus_core.records import ABSENT, ROW, Records
from nexus_core.steps.tool import record


class Param:
    """A parameter with its default and bounds; a value outside them is refused by name."""

    def __init__(self, default: float, *, low: float, high: float, help: str) -> None:
        self.default, self.low, self.high, self.help = default, low, high, help
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def checked(self, who: str, value: Any) -> bool | int | float:
        """Return `value` as this parameter's type, or raise with what is allowed and what it means."""
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise ConfigError(
                    f"{who}: parameter {self.name} was {value!r}, must be true or false. {self.help}."
                )
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{who}: parameter {self.name} was {value!r}, must be a number. {self.help}.")
        whole = isinstance(self.default, int)
        if math.isnan(value) or not self.low <= value <= self.high or (whole and value != int(value)):
            kind = "a whole number in" if whole else "in"
            bounds = f"{kind} [{self.low}, {self.high}]"
            raise ConfigError(f"{who}: parameter {self.name} was {value!r}, must be {bounds}. {self.help}.")
        return int(value) if whole else float(value)


class Parameters:
    """The checked values of a plugin's parameters, as attributes."""

    def __init__(self, values: Mapping[str, bool | int | float]) -> None:
        self.__dict__.update(values)

    def record(self) -> Records:
        """Return the values as an array of one record, for steps."""
        return np.array([record(**self.__dict__) if self.__dict__ else record(none=0)])


class Plugin:
    """What every kind of plugin shares: an API number of its own, and declared parameters."""

    nexus_api: ClassVar[int]
    name: ClassVar[str] = ""

    def __init__(self, **given: Any) -> None:
        who = self.name or type(self).__name__
        declared = self.parameters()
        for key in given:
            if key not in declared:
                raise ConfigError(f"{who}: unknown parameter {key}.{hint(key, declared)}")
        self.params: Any = Parameters(
            {k: p.checked(who, given.get(k, p.default)) for k, p in declared.items()}
        )

    @classmethod
    def parameters(cls) -> dict[str, Param]:
        """Return the declared parameters by name."""
        found = {
            k: v for base in reversed(cls.__mro__) for k, v in vars(base).items() if isinstance(v, Param)
        }
        return {k: v for k, v in found.items() if isinstance(getattr(cls, k), Param)}


class Strategy(Plugin):
    """A strategy: sees one row after another, keeps a state record, and answers `(signal, score)`.

    A subclass declares facts as class attributes and writes `state(params)` and `step(row, state, params)`
    as static methods. The signal is one of -2, -1, 0, 1, 2; the score lies in [0, 1].
    """

    category: ClassVar[str]
    needs: ClassVar[set[str]] = {"bar"}
    warmup: Any = 0
    """Rows before which it is absent. A property may compute it from the parameters."""
    horizon: int = 60
    """Rows until a signal is judged."""

    @staticmethod
    def state(params: Any) -> Mapping[str, Any]:
        """Return the first state of one symbol: field names with numbers, arrays or tools."""
        return {"none": 0}

    @staticmethod
    def step(row: Any, state: Any, params: Any) -> tuple[int, float]:
        """Take one row, change the state, and answer signal and score."""
        raise PluginError("a strategy has no step. Write step(row, state, params) as a static method.")


_LOOP = """
def entry(rows, first, last, states, parameters, warmup, signals, scores):
    params = parameters[0]
    for symbol in range(first.size):
        state = states[symbol]
        for i in range(first[symbol], last[symbol]):
            signal, score = step(rows[i], state.own, params)
            state.rows += 1
            if state.rows <= warmup:
                signals[i] = ABSENT
                scores[i] = 0.0
            elif 0.0 <= score <= 1.0 and -2 <= signal <= 2:
                signals[i] = signal
                scores[i] = score
                if signals[i] != signal:  # 1.5 is no signal
                    state.faults += 1
                    signals[i] = ABSENT
                    scores[i] = 0.0
            else:
                state.faults += 1
                signals[i] = ABSENT
                scores[i] = 0.0
"""


class StrategyLoop:
    """A strategy at work on the symbols of a run: its states, and the compiled loop over a block."""

    def __init__(self, name: str, strategy: Strategy, symbols: int) -> None:
        self.name, self.strategy = name, strategy
        own = record(**strategy.state(strategy.params))
        first = record(rows=0, faults=0, own=own)
        self.states: Records = np.repeat(np.array([first]), symbols)
        self.parameters = strategy.params.record()
        self.warmup = int(strategy.warmup)
        bindings = {"step": type(strategy).step, "ABSENT": ABSENT}
        self.entry = compile.entry(_safe(name), _LOOP, bindings)
        self._run = compile.Fixed(self.entry)
        self.code = state_code(type(strategy).step, first.dtype, self.parameters)

    def run(self, rows: Records, first: Any, last: Any, signals: Any, scores: Any) -> None:
        """Take rows `first[s]` to `last[s]` of every symbol s; write a signal and a score for each."""
        self._run(rows, first, last, self.states, self.parameters, self.warmup, signals, scores)

    def warm(self) -> None:
        """Compile, or load from the cache, by running over no rows."""
        none = np.zeros(len(self.states), np.int64)
        self.run(np.zeros(0, ROW), none, none, np.zeros(0, np.int8), np.zeros(0))

    def faults(self) -> int:
        """Return how many answers so far were outside the contract and counted as absent."""
        return int(self.states["faults"].sum())


def state_code(step: compile.Step, dtype: np.dtype[Any], parameters: Records) -> str:
    """Return the hash that says whether a saved state belongs to this code, layout and parameters."""
    digest = hashlib.sha256(compile.closure(step).encode())
    digest.update(repr((dtype.descr, parameters.tolist())).encode())
    return digest.hexdigest()[:32]


@lru_cache(maxsize=1024)
def _safe(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
