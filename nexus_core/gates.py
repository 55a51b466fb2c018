"""The chain of gates: six layers in fixed order, judged in two passes, a verdict from every gate asked.

The market pass (layers 1 to 5) works on columns and knows no portfolio. The ledger pass asks the gates that
need the account, row by row in the order of time. The first gate that refuses ends a decision.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
from attrs import frozen

from nexus_core import compile
from nexus_core.calibration import Table, ranks
from nexus_core.compile import Step
from nexus_core.errors import ConfigError, PluginError
from nexus_core.layers import Layer, guarded
from nexus_core.ledger import GateStep, Judged, LayerStep
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.market import passes
from nexus_core.market.blocks import Block
from nexus_core.market.columns import ColumnGate
from nexus_core.market.loops import state_code
from nexus_core.records import (
    CONTEXT,
    LATE_ROW,
    LAYER,
    NO_DIRECTION,
    NO_SIGNAL,
    ROW,
    STANDING,
    Records,
    contexts,
    empty,
)
from nexus_core.steps.tool import record
from nexus_core.strategy import Param, Plugin
from nexus_core.types import StrategyCategory

MINUTE = 60_000_000_000
"""Nanoseconds between rows, where nobody says."""

PASSES = {"above": operator.le, "from": operator.lt, "below": operator.ge, "to": operator.gt}
"""How a value must stand to the limit to pass, by what the gate refuses."""


class Gate(Plugin):
    """A gate: one value, one limit, one verdict. NaN refuses, and so does a gate that raises.

    A gate that `reads` a field of the context needs no code. Another market gate writes `values(columns,
    state, params)` and answers an array with a value for each row; a ledger gate the compiled `step(row,
    account, position, proposal, params)` and answers one value. Both are static methods. The limit is the
    parameter `limit`.
    """

    layer: ClassVar[int]
    passes: ClassVar[Literal["market", "ledger"]]
    refuses: ClassVar[Literal["above", "from", "below", "to"]] = "above"
    """Which values: above the limit, from the limit on, below the limit, or up to the limit."""
    reads: ClassVar[str] = ""
    """The field of the context that is its value."""
    bound: ClassVar[str] = ""
    """The field of the context that is its limit wherever it is the stricter one; of a gate that reads."""
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


class Chain:
    """The layers and gates of a run, in order and numbered, and the market pass over them."""

    def __init__(
        self,
        gates: Sequence[tuple[str, Gate]],
        strategies: int,
        symbols: int,
        min_confidence: float,
        tables: Sequence[Table | None] = (),
        layers: Sequence[tuple[str, Layer]] = (),
        categories: Sequence[str] = (),
        interval: int = MINUTE,
    ) -> None:
        self.strategies, self._symbols, self._least = strategies, symbols, min_confidence
        self._known = ranks(tables or [None] * strategies)
        self.working = sorted(layers, key=lambda each: each[1].layer)
        self.places = [Place(n, name, layer) for n, (name, layer) in enumerate(KERNEL_GATES)]
        self.standings = empty(STANDING, strategies)
        known: list[str] = list(StrategyCategory)
        self.standings["category"] = [known.index(each) if each in known else -1 for each in categories] or -1
        self._market: list[tuple[Place, Gate]] = []
        self.ledger_gates: list[GateStep] = []
        self.guards = [name for name, gate in gates if gate.guard]
        """Those that refuse only where an earlier one was loosened."""
        self._python: dict[int, ColumnGate] = {}
        for name, gate in sorted(_ordered(gates), key=lambda each: each[1].passes == "ledger"):
            self._place(name, gate, symbols)
        self.fields = self._fields()
        """The fields of the context, with how many numbers each holds."""
        self._states = {
            k: np.repeat(np.array([record(**layer.state(layer.params, interval))]), symbols)
            for k, (_, layer) in enumerate(self.working)
            if layer.watch is not None and layer.layer < 6
        }
        self.layers = np.array([each.layer for each in self.places])
        self.market_gates = len(self._market)
        self.assessor = self._assessor()
        """The layer of the ledger pass."""
        self._generate()
        self._columns = self._made(0, 0)

    def _place(self, name: str, gate: Gate, symbols: int) -> None:
        place = Place(len(self.places), name, gate.layer, gate.refuses, gate.halves)
        self.places.append(place)
        if gate.passes == "ledger":
            facts = type(gate).step, gate.params.record(), gate.refuses, gate.halves, gate.reads, gate.bound
            self.ledger_gates.append(GateStep(place.number, gate.layer, *facts))
            return
        if not gate.reads:
            states = np.repeat(np.array([record(**gate.state(gate.params))]), symbols)
            code = state_code(type(gate).values, states.dtype, gate.params.record())
            self._python[len(self._market)] = ColumnGate(name, gate, states, code)
        self._market.append((place, gate))

    def _fields(self) -> dict[str, int]:
        fields = dict(CONTEXT)
        for _, layer in self.working:
            fields |= {name: size for name, size in layer.writes.items() if name not in fields}
        read = [name for _, layer in self.working for name in layer.reads]
        gates = [gate for _, gate in self._market] + self.ledger_gates
        read += [name for each in gates for name in (each.reads, each.bound) if name]
        return fields | {name: 1 for name in read if name not in fields}

    def _assessor(self) -> LayerStep | None:
        found = [layer for _, layer in self.working if layer.layer == 6]
        if len(found) > 1:
            raise ConfigError("layer 6 has two layers at work. Name one of them.")
        for layer in found:
            kind: Any = type(layer)
            state = np.array([record(**kind.state(layer.params, self._symbols))])
            return LayerStep(kind.step, kind.watch, layer.params.record(), state)
        return None

    def _generate(self) -> None:
        """Make the loops: one for what remembers, one for each stretch without a gate in plain Python."""
        layers = {k: layer for k, (_, layer) in enumerate(self.working) if layer.layer < 6}
        places = {k: each.layer for k, each in layers.items() if each.step is not None}
        gates = [(each.layer, g in self._python) for g, (each, _) in enumerate(self._market)]
        asking = [passes.gate(g, p.number, each.refuses, each.reads, each.bound)
                  for g, (p, each) in enumerate(self._market)]  # fmt: skip
        turns, self._asked = passes.stretches(places, gates, asking, bool(self._states))
        watches = {k: guarded(cast("Step", type(layers[k]).watch)) for k in self._states}
        acting = {k: each for k, each in layers.items() if each.step is not None}
        steps = {k: guarded(cast("Step", type(each).step)) for k, each in acting.items()}
        clear = passes.cleared(self.fields)
        made = [passes.judging(turns[0], steps, watches, clear)]
        made += [passes.judging(each, steps, {}, "") for each in turns[1:]]
        self._fixed = [compile.Fixed(each) for each in made]
        params = {f"l{k}": layer.params.record()[0] for k, layer in layers.items()}
        params |= {f"g{g}": gate.params.record()[0] for g, (_, gate) in enumerate(self._market)}
        self._given = np.array([record(**params or {"none": 0})])

    @property
    def noted(self) -> list[str]:
        """Return the fields of the context that the trace keeps."""
        return [name for name, size in self.fields.items() if size == 1]

    @property
    def words(self) -> dict[str, list[str]]:
        """Return what the numbers of the fields stand for, of those that are no measures."""
        return {name: [*said] for _, layer in self.working for name, said in layer.words.items()}

    @property
    def entry(self) -> Step:
        """Return a compiled part of the market pass, one that has still to be compiled if there is one."""
        made = [each.function for each in self._fixed]
        return next((each for each in made if not compile.is_warm(each)), made[0])

    @property
    def code(self) -> str:
        """Return the hash of the code of the market pass."""
        return " ".join(compile.closure(each.function) for each in self._fixed)

    @property
    def asked(self) -> Any:
        """Return, for each gate that can end a decision, how many market gates were asked before it ended."""
        reach = {LATE_ROW: 1, NO_SIGNAL: 1, NO_DIRECTION: 3, LAYER: 1}
        reached = (reach.get(place.number, 5) for place in self.places)
        made = np.array([sum(each.layer <= layer for each, _ in self._market) for layer in reached])
        for row, (place, _) in enumerate(self._market):
            made[place.number] = row + 1
        return made

    def records(self) -> dict[str, tuple[Records, str]]:
        """Return what it remembers by name, with the hash of the code it belongs to."""
        made = {f"gate:{each.name}": (each.states, each.code) for each in self._python.values()}
        for k, states in self._states.items():
            name, layer = self.working[k]
            code = state_code(cast("Step", type(layer).watch), states.dtype, layer.params.record())
            made[f"layer:{name}"] = states, code
        return made | {"standings": (self.standings, "")}

    def columns(self, rows: int, most: int | None = None) -> Judged:
        """Return the columns for a chunk of `rows` rows, cleared; they are the same arrays at every call.

        `most` is how many of them are judged at once at the most: all, unless it is given.
        """
        at_once = rows if most is None else min(rows, most)
        columns = self._columns
        if rows > columns.directions.size or at_once > len(columns.contexts):
            columns = self._columns = self._made(rows, at_once)
        for column in (columns.directions, columns.confidences, columns.values, columns.limits):
            column[:rows] = 0
        columns.reasons[:rows], columns.market[:, :rows], columns.told[:, :rows] = -1, np.nan, 0
        return columns

    def _made(self, rows: int, at_once: int) -> Judged:
        voices = at_once if len(self._asked) > 1 else 1
        return Judged(rows, at_once, len(self._market), self.strategies, contexts(self.fields), voices)

    def judge(self, block: Block, judged: Judged) -> None:
        """Run the market pass over a block whose signals and scores are in the columns."""
        self._run(block.rows, block.order, judged)

    def warm(self) -> None:
        """Compile, or load from the cache, what the market pass needs."""
        self._run(empty(ROW, 0), np.zeros(0, np.int64), self.columns(0))

    def _run(self, rows: Records, order: Any, judged: Judged) -> None:
        for n, (gates, each) in enumerate(zip(self._asked, self._fixed, strict=True)):
            for g in gates if len(order) else ():
                judged.market[g, order] = self._python[g].ask(rows, order, judged)
            each(
                rows, order, judged.signals, judged.scores, judged.told, self._known, self._least,
                self.standings, judged.voices, judged.contexts, judged.directions, judged.confidences,
                judged.reasons, judged.values, judged.limits, judged.market, judged.bounds, judged.weights,
                self._given, *(self._states.values() if n == 0 else ()),
            )  # fmt: skip


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
