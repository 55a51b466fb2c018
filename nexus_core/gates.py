"""The chain of gates: six layers in fixed order, judged in two passes, a verdict from every gate asked.

The market pass (layers 1 to 5) works on columns and knows no portfolio. The ledger pass asks the gates that
need the account, row by row in the order of time. The first gate that refuses ends a decision.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from attrs import define, frozen

from nexus_core import compile, log
from nexus_core.calibration import Table, ranks
from nexus_core.errors import ConfigError, PluginError
from nexus_core.ledger import GateStep, Judged
from nexus_core.ledger.judge import KERNEL_GATES, LATE_ROW, NO_DIRECTION, NO_SIGNAL
from nexus_core.market.blocks import Block
from nexus_core.market.loops import state_code
from nexus_core.market.signals import weighing
from nexus_core.records import ROW, Records, empty
from nexus_core.steps.tool import record
from nexus_core.strategy import Param, Plugin

PASSES = {"above": operator.le, "from": operator.lt, "below": operator.ge}
"""How a value must stand to the limit to pass, by what the gate refuses."""


class Gate(Plugin):
    """A gate: one value, one limit, one verdict. NaN refuses, and so does a gate that raises.

    A market gate writes `values(columns, state, params)` and answers an array with a value for each row; a
    ledger gate writes the compiled `step(row, account, position, proposal, params)` and answers one value.
    Both are static methods. The limit is the parameter `limit`.
    """

    layer: ClassVar[int]
    passes: ClassVar[Literal["market", "ledger"]]
    refuses: ClassVar[Literal["above", "from", "below"]] = "above"
    """Which values: above the limit, from the limit on, or below the limit."""
    halves: ClassVar[bool] = False
    """Whether the limit is halved in the safety mode REDUCED."""
    setting: ClassVar[str] = ""
    """The risk setting that its limit follows, unless a limit is given."""
    guard: ClassVar[bool] = False
    """Whether it can refuse only if an earlier gate is loosened."""
    before: ClassVar[str] = ""
    after: ClassVar[str] = ""

    @staticmethod
    def state(params: Any) -> Mapping[str, Any]:
        """Return the first state of one symbol, for a market gate that keeps one."""
        return {"none": 0}

    @staticmethod
    def values(columns: Any, state: Records, params: Any) -> Any:
        """Return the value of each row of the columns, which come in the order of time."""
        raise PluginError("a market gate has no values(columns, state, params).")

    @staticmethod
    def step(row: Any, account: Any, position: Any, proposal: Any, params: Any) -> float:
        """Return the value of one proposed entry."""
        raise PluginError("a ledger gate has no step(row, account, position, proposal, params).")


class Missing(Gate):
    """Stands for a gate that the settings name and nobody provides: it refuses everything."""

    nexus_api = 1
    layer, passes = 6, "ledger"
    limit = Param(0.0, low=0.0, high=0.0, help="nothing is let through")

    @staticmethod
    def step(row: Any, account: Any, position: Any, proposal: Any, params: Any) -> float:
        """Return NaN, which no limit lets through."""
        return np.nan


@frozen
class Place:
    """A gate's place in a run's chain."""

    number: int
    name: str
    layer: int
    refuses: str = "above"
    halves: bool = False


class Columns:
    """The rows a market gate sees, in the order of time: each field of a row is an array."""

    def __init__(self, rows: Records, order: Any, judged: Judged) -> None:
        self._rows, self._order, self._judged = rows, order, judged

    def __len__(self) -> int:
        return len(self._order)

    def __getattr__(self, name: str) -> Any:
        if name in ("direction", "confidence"):
            column = getattr(self._judged, name + "s")[self._order]
        elif name in (ROW.names or ()):
            column = self._rows[name][self._order]
        else:
            raise AttributeError(f"a market row has no {name}")
        self.__dict__[name] = column
        return column

    @property
    def mid(self) -> Any:
        """Return the middle of bid and ask."""
        return (self.bid + self.ask) / 2.0


@define
class _MarketGate:
    place: Place
    gate: Gate
    row: int
    states: Records
    code: str
    told: bool = False

    def ask(self, rows: Records, order: Any, judged: Judged) -> Any:
        name, before = self.place.name, self.states.copy()
        try:
            with np.errstate(all="ignore"):  # what a division gives must not depend on how warnings are set
                values = self.gate.values(Columns(rows, order, judged), self.states, self.gate.params)
            found = np.asarray(values, np.float64)
            if found.shape == (len(order),):  # one value for many rows would depend on the size of the block
                return found
            raise PluginError(f"gate {name}: its values had shape {found.shape}, not one for each row.")
        except Exception as error:
            self.states[:] = before
            if not self.told:
                what = f"{type(error).__name__}: {error}"
                log.warning("gate %s raised %s. Rows it raises on are refused.", name, what)
            self.told = True
        if len(order) < 2:
            return np.full(len(order), np.nan)
        # what raises on a row must refuse that row whatever the size of the block it came in
        return np.concatenate([self.ask(rows, order[n : n + 1], judged) for n in range(len(order))])


class Chain:
    """The gates of a run, in order and numbered, and the market pass over them."""

    def __init__(
        self,
        gates: Sequence[tuple[str, Gate]],
        strategies: int,
        symbols: int,
        min_confidence: float,
        tables: Sequence[Table | None] = (),
    ) -> None:
        self.strategies, self._least = strategies, min_confidence
        self._known = ranks(tables or [None] * strategies)
        self.places = [Place(n, name, layer) for n, (name, layer) in enumerate(KERNEL_GATES)]
        self._market: list[_MarketGate] = []
        self.ledger_gates: list[GateStep] = []
        for name, gate in sorted(_ordered(gates), key=lambda each: each[1].passes == "ledger"):
            place = Place(len(self.places), name, gate.layer, gate.refuses, gate.halves)
            self.places.append(place)
            if gate.passes == "market":
                states = np.repeat(np.array([record(**gate.state(gate.params))]), symbols)
                code = state_code(type(gate).values, states.dtype, gate.params.record())
                self._market.append(_MarketGate(place, gate, len(self._market), states, code))
            else:
                facts = type(gate).step, gate.params.record(), gate.refuses, gate.halves
                self.ledger_gates.append(GateStep(place.number, gate.layer, *facts))
        self._columns = Judged(0, len(self._market), strategies)
        self.layers = np.array([each.layer for each in self.places])
        self.market_limits = np.array([each.gate.params.limit for each in self._market], np.float64)
        self.entry = weighing(LATE_ROW, NO_SIGNAL, NO_DIRECTION)
        """The compiled part of the market pass."""
        self._layer_2 = compile.Fixed(self.entry)

    @property
    def asked(self) -> Any:
        """Return, for each gate that can end a decision, how many market gates were asked before it ended."""
        reach = {LATE_ROW: 1, NO_SIGNAL: 1, NO_DIRECTION: 3}
        reached = (reach.get(place.number, 5) for place in self.places)
        made = np.array([sum(each.place.layer <= layer for each in self._market) for layer in reached])
        for each in self._market:
            made[each.place.number] = each.row + 1
        return made

    def records(self) -> dict[str, tuple[Records, str]]:
        """Return the states of the market gates, with the hash of the code they belong to."""
        return {f"gate:{each.place.name}": (each.states, each.code) for each in self._market}

    def columns(self, rows: int) -> Judged:
        """Return the columns for a chunk of `rows` rows, cleared; they are the same arrays at every call."""
        if rows > self._columns.directions.size:
            self._columns = Judged(rows, len(self._market), self.strategies)
        columns = self._columns
        for column in (columns.directions, columns.confidences, columns.values, columns.limits):
            column[:rows] = 0
        columns.reasons[:rows], columns.market[:, :rows] = -1, np.nan
        return columns

    def judge(self, block: Block, judged: Judged) -> None:
        """Run the market pass over a block whose signals and scores are in the columns."""
        self._ask(block, judged, 1, 1)
        self._signals(block.rows, block.order, judged)
        self._ask(block, judged, 3, 5)

    def warm(self) -> None:
        """Compile, or load from the cache, what the market pass needs."""
        self._signals(empty(ROW, 0), np.zeros(0, np.int64), self.columns(0))

    def _signals(self, rows: Records, order: Any, judged: Judged) -> None:
        self._layer_2(
            rows, order, judged.signals, judged.scores, self._known, self._least,
            judged.directions, judged.confidences, judged.reasons, judged.values, judged.limits,
        )  # fmt: skip

    def _ask(self, block: Block, judged: Judged, low: int, high: int) -> None:
        for each in (gate for gate in self._market if low <= gate.place.layer <= high):
            values = each.ask(block.rows, block.order, judged)
            judged.market[each.row, block.order] = values
            limit, ended = self.market_limits[each.row], judged.reasons[block.order]
            passed, alive = PASSES[each.place.refuses](values, limit), ended < 0
            if each.place.layer == 3:  # comes before layer 4, which ends what has no direction
                alive |= ended == NO_DIRECTION
            refused = block.order[~passed & alive]
            judged.reasons[refused], judged.limits[refused] = each.place.number, limit
            judged.values[refused] = judged.market[each.row, refused]
            judged.directions[refused] = 0


def _ordered(gates: Sequence[tuple[str, Gate]]) -> list[tuple[str, Gate]]:
    """Return the gates by layer, market gates first; within these as given, or before or after another."""
    rooms = {name: _room(name, gate) for name, gate in gates}
    placed: list[tuple[str, Gate]] = []
    waiting = sorted(gates, key=lambda each: rooms[each[0]])
    while waiting:
        names = {name for name, _ in waiting}
        ready = [each for each in waiting if _beside(*each, rooms) not in names]
        if not ready:
            stuck = ", ".join(sorted(names))
            raise ConfigError(f"gates {stuck}: each waits for another. Drop a before or after.")
        # each comes to stand right beside the other: of several after the same one, the last goes first
        after = [each for each in ready if not each[1].before and _beside(*each, rooms)]
        for name, gate in [*(each for each in ready if each not in after), *reversed(after)]:
            here = [n for n, (other, _) in enumerate(placed) if other == _beside(name, gate, rooms)]
            placed.insert((here[0] + (not gate.before)) if here else len(placed), (name, gate))
        waiting = [each for each in waiting if each not in ready]
    return sorted(placed, key=lambda each: rooms[each[0]])


def _beside(name: str, gate: Gate, rooms: Mapping[str, tuple[int, bool]]) -> str:
    beside = gate.before or gate.after
    return beside if rooms.get(beside) == rooms[name] else ""


def _room(name: str, gate: Gate) -> tuple[int, bool]:
    layer, passes, refuses = (getattr(gate, fact, None) for fact in ("layer", "passes", "refuses"))
    is_a_layer, in_ledger = layer in (1, 3, 4, 5, 6), passes == "ledger"
    halves_wrongly = gate.halves and (not in_ledger or refuses == "below")
    faults = {
        f"layer was {layer}, must be 1, 3, 4, 5 or 6; layer 2 is the strategies": not is_a_layer,
        "has before and after. Name one of them": gate.before and gate.after,
        "only a ledger gate that refuses above or from its limit can halve it": halves_wrongly,
        f"passes was {passes!r}, must be market or ledger": passes not in ("market", "ledger"),
        f"refuses was {refuses!r}, must be {', '.join(PASSES)}": refuses not in PASSES,
        "has no limit. Declare limit = Param(…)": "limit" not in type(gate).parameters(),
        "layer 6 needs the account. Set passes to ledger": layer == 6 and not in_ledger,
    }
    for fault in (text for text, is_so in faults.items() if is_so):
        raise ConfigError(f"gate {name}: {fault}.")
    return gate.layer, in_ledger
