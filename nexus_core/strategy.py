"""What an author writes: a plugin with declared parameters, and a strategy with its state and its step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar

import numpy as np

from nexus_core.errors import ConfigError, PluginError, hint
from nexus_core.records import Records
from nexus_core.steps.tool import record

OVERRUN, QUARANTINE, RELEASE = 16, 17, 18
"""Kinds of event that concern strategies; `reason` is the strategy's place in the run."""


class Param:
    """A parameter with its default and bounds; a value outside them is refused by name."""

    def __init__(self, default: float, *, low: float, high: float, help: str) -> None:
        self.default: Any = default
        self.low, self.high, self.help, self.name = low, high, help, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def checked(self, who: str, value: Any) -> bool | int | float:
        """Return `value` as this parameter's type, or raise with what is allowed and what it means."""
        whole = isinstance(self.default, int)
        if isinstance(self.default, bool):
            fits, wanted = isinstance(value, bool), "true or false"
        elif isinstance(value, bool) or not isinstance(value, int | float):
            fits, wanted = False, "a number"
        else:
            fits = self.low <= value <= self.high and not (whole and value != int(value))
            wanted = f"{'a whole number in' if whole else 'in'} [{self.low}, {self.high}]"
        if not fits:
            raise ConfigError(f"{who}: parameter {self.name} was {value!r}, must be {wanted}. {self.help}.")
        return value if isinstance(value, bool) else int(value) if whole else float(value)

    @property
    def allowed(self) -> str:
        """Return in words what it may be."""
        return f"[{self.low}, {self.high}]"


class Text(Param):
    """A parameter that is text, of a plugin that is no step: a path, a zone; one of `among`, if any."""

    def __init__(self, default: str, *, help: str, among: Sequence[str] = ()) -> None:
        super().__init__(0.0, low=math.nan, high=math.nan, help=help)
        self.default, self.among = default, among

    def checked(self, who: str, value: Any) -> Any:
        """Return `value` if it is allowed, or raise with what is and what it means."""
        if isinstance(value, str) and (value in self.among or not self.among):
            return value
        raise ConfigError(f"{who}: parameter {self.name} was {value!r}, must be {self.allowed}. {self.help}.")

    @property
    def allowed(self) -> str:
        """Return in words what it may be."""
        return " or ".join(self.among) or "text"


class Parameters:
    """The checked values of a plugin's parameters, as attributes."""

    def __init__(self, values: Mapping[str, bool | int | float | str]) -> None:
        self.__dict__.update(values)

    def by_name(self) -> dict[str, bool | int | float | str]:
        """Return the values by name."""
        return dict(self.__dict__)

    def record(self) -> Records:
        """Return the numbers among the values as an array of one record, for steps."""
        numbers = {name: each for name, each in self.__dict__.items() if not isinstance(each, str)}
        return np.array([record(**numbers or {"none": 0})])


class Plugin:
    """What every kind of plugin shares: an API number of its own, and declared parameters."""

    nexus_api: ClassVar[int]
    name: ClassVar[str] = ""

    def __init__(self, **given: Any) -> None:
        who = self.name or type(self).__name__
        declared = self.parameters()
        for unknown in (each for each in given if each not in declared):
            raise ConfigError(f"{who}: unknown parameter {unknown}.{hint(unknown, declared)}")
        checked = {name: each.checked(who, given.get(name, each.default)) for name, each in declared.items()}
        self.params: Any = Parameters(checked)

    @classmethod
    def parameters(cls) -> dict[str, Param]:
        """Return the declared parameters by name."""
        parts = [each for base in reversed(cls.__mro__) for each in vars(base).items()]
        return {k: v for k, v in parts if isinstance(v, Param) and isinstance(getattr(cls, k), Param)}


class Strategy(Plugin):
    """A strategy: sees one row after another, keeps a state record, and answers `(signal, score)`.

    A subclass declares facts as class attributes. It writes `state(params)` and `step(row, state, params)` as
    static methods, which are compiled; or, in plain Python, `signal(window)`. The signal is one of -2, -1, 0,
    1, 2; the score lies in [0, 1].
    """

    category: ClassVar[str]
    needs: ClassVar[set[str]] = {"bar"}
    warmup: Any = 0
    """Rows before which it is absent. A property may compute it from the parameters."""
    horizon: int = 60
    """Rows until a signal is judged."""
    on_event: Any = None
    """A static method `on_event(event, book, state, params)`, compiled: it takes the market events before a
    row and changes the state. `book` is the order book, where `book` is among the needs."""
    hears: ClassVar[str] = "needed"
    """Of a strategy with `on_event`. `needed`: it is inactive where a feed has no market events. `optional`:
    there it is at work on rows alone."""
    counts_levels: ClassVar[bool] = False
    """Whether the book counts what is added, cancelled and traded at each level."""
    at_work: ClassVar[Any] = None
    """The loop that takes it through the rows, where it is written in a style of somebody's own."""
    row_seconds: ClassVar[float] = 60.0
    """How long the rows last that it was made for."""
    targets: ClassVar[Mapping[str, float]] = {}
    """What its tests hold it to, by name."""
    slot: ClassVar[str] = ""
    """The slot of the model whose opinion it blends in, if there is one."""
    blend: Any = None
    """A static method `blend(row, signal, score, opinion)`: signal and score with an opinion in [-1, 1]."""
    mirror: ClassVar[str] = "price"
    """What turns the market upside down for it, so that its signals turn too: `price` (p to 2 p0 - p), `log`
    (log price negated), or a sentence that says why nothing does."""

    def lacks(self, offers: Set[str], clocks: Set[str]) -> list[str]:
        """Return what it cannot do without and a feed of these offers and clocks has not."""
        deaf = self.on_event is not None and self.hears == "needed" and "event" not in clocks
        return sorted({*self.needs} - offers | ({"market events"} if deaf else set[str]()))

    @staticmethod
    def state(params: Any) -> Mapping[str, Any]:
        """Return the first state of one symbol: field names with numbers, arrays or tools."""
        return {"none": 0}

    @staticmethod
    def step(row: Any, state: Any, params: Any) -> tuple[int, float]:
        """Take one row, change the state, and answer signal and score."""
        raise PluginError("a strategy has no step. Write step(row, state, params) as a static method.")

    def signal(self, window: Any) -> tuple[float, float]:
        """Answer signal and score from the latest `warmup` rows, and from nothing else."""
        raise PluginError("a strategy has no signal. Write signal(window), or a step.")
