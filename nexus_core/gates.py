"""The chain of gates: six layers in fixed order, judged in two passes, a verdict from every gate asked.

The market pass (layers 1 to 5) works on columns and knows no portfolio. The ledger pass asks the gates that
need the account, row by row in the order of time. The first gate that refuses ends a decision.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from attrs import define, field, frozen

from nexus_core import compile, log
from nexus_core.errors import ConfigError, PluginError
from nexus_core.ledger import GateStep, Judged
from nexus_core.ledger.judge import KERNEL_GATES, LATE_ROW, NO_DIRECTION, NO_SIGNAL
from nexus_core.market.blocks import Block
from nexus_core.records import ABSENT, LATE, ROW, Records, empty
from nexus_core.steps.tool import record
from nexus_core.strategy import Param, Plugin, state_code

PASSES = {"above": operator.le, "from": operator.lt, "below": operator.ge}
"""How a value must stand to the limit to pass, by what the gate refuses."""

LAYERS = {1: "quality", 2: "signals", 3: "selection", 4: "aggregation", 5: "routing", 6: "risk"}

_LAYER_2 = """
def entry(rows, order, signals, scores, least, directions, confidences, reasons, values, limits):
    strategies = signals.shape[0]
    for n in range(order.size):
        i = np.uint64(order[n])  # an index that cannot be negative needs no wrapping around
        if reasons[i] >= 0:
            continue
        total = 0
        best = 0.0
        confidence = 0.0
        kept = 0
        for k in range(strategies):
            signal = signals[k, i]
            if signal == 0 or signal == ABSENT:
                continue
            score = scores[k, i]
            best = max(best, score)
            if score >= least:
                total += signal
                confidence += score
                kept += 1
        if kept == 0:
            reasons[i] = NO_SIGNAL
            values[i] = best
            limits[i] = least
        elif rows[i].flags & LATE != 0:
            reasons[i] = LATE_ROW
        elif total == 0:
            reasons[i] = NO_DIRECTION
        else:
            directions[i] = 1 if total > 0 else -1
            confidences[i] = confidence / kept
"""


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
    code: str = field(init=False)
    told: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.code = state_code(type(self.gate).values, self.states.dtype, self.gate.params.record())

    def ask(self, rows: Records, order: Any, judged: Judged) -> Any:
        before = self.states.copy()
        try:
            return self._values(rows, order, judged)
        except Exception as error:
            self.states[:] = before
            self._tell(error)
        return np.array([self._one(rows, order[n : n + 1], judged) for n in range(len(order))])

    def _tell(self, error: Exception) -> None:
        if not self.told:
            self.told = True
            name = self.place.name
            log.warning(
                "gate %s raised %s: %s. Rows it raises on are refused.", name, type(error).__name__, error
            )

    def _one(self, rows: Records, order: Any, judged: Judged) -> float:
        # what raises on a row must refuse that row whatever the size of the block it came in
        before = self.states.copy()
        try:
            return float(self._values(rows, order, judged)[0])
        except Exception:
            self.states[:] = before
            return np.nan

    def _values(self, rows: Records, order: Any, judged: Judged) -> Any:
        with np.errstate(all="ignore"):  # what a division gives must not depend on how warnings are set
            values = self.gate.values(Columns(rows, order, judged), self.states, self.gate.params)
        found = np.asarray(values, np.float64)
        if found.shape != (len(order),):  # one value for many rows would depend on the size of the block
            raise PluginError(
                f"gate {self.place.name}: its values had shape {found.shape}, not one for each row."
            )
        return found


class Chain:
    """The gates of a run, in order and numbered, and the market pass over them."""

    def __init__(
        self, gates: Sequence[tuple[str, Gate]], strategies: int, symbols: int, min_confidence: float
    ) -> None:
        self._strategies, self._least = strategies, min_confidence
        ordered = _ordered(gates)
        market = [each for each in ordered if each[1].passes == "market"]
        ledger = [each for each in ordered if each[1].passes == "ledger"]
        self.places = [Place(n, name, layer) for n, (name, layer) in enumerate(KERNEL_GATES)]
        self._market = [
            _MarketGate(
                self._place(name, gate),
                gate,
                n,
                np.repeat(np.array([record(**gate.state(gate.params))]), symbols),
            )
            for n, (name, gate) in enumerate(market)
        ]
        self.ledger_gates = [self._ledger_gate(name, gate) for name, gate in ledger]
        self._columns = self._new(0)
        self.layers = np.array([each.layer for each in self.places])
        self.market_limits = np.array([each.gate.params.limit for each in self._market], np.float64)
        self._entry = compile.entry("signals", _LAYER_2, {
            "LATE": LATE, "ABSENT": ABSENT, "LATE_ROW": LATE_ROW, "NO_SIGNAL": NO_SIGNAL,
            "NO_DIRECTION": NO_DIRECTION, "np": np,
        })  # fmt: skip
        self._layer_2 = compile.Fixed(self._entry)

    @property
    def asked(self) -> Any:
        """Return, for each gate that can end a decision, how many market gates were asked before it ended."""
        reach = {LATE_ROW: 1, NO_SIGNAL: 1, NO_DIRECTION: 3}
        made = np.zeros(len(self.places), np.int64)
        for place in self.places:
            layer = reach.get(place.number, 5)
            made[place.number] = sum(each.place.layer <= layer for each in self._market)
        for each in self._market:
            made[each.place.number] = each.row + 1
        return made

    def records(self) -> dict[str, tuple[Records, str]]:
        """Return the states of the market gates, with the hash of the code they belong to."""
        return {f"gate:{each.place.name}": (each.states, each.code) for each in self._market}

    def columns(self, rows: int) -> Judged:
        """Return the columns for a chunk of `rows` rows, cleared; they are the same arrays at every call."""
        if rows > self._columns.directions.size:
            self._columns = self._new(rows)
        columns = self._columns
        for column, value in ((columns.directions, 0), (columns.reasons, -1), (columns.values, 0.0)):
            column[:rows] = value
        columns.confidences[:rows] = columns.limits[:rows] = 0.0
        columns.market[:, :rows] = np.nan
        return columns

    def _new(self, rows: int) -> Judged:
        return Judged(
            directions=np.zeros(rows, np.int8),
            confidences=np.zeros(rows),
            reasons=np.zeros(rows, np.int16),
            values=np.zeros(rows),
            limits=np.zeros(rows),
            market=np.zeros((len(self._market), rows)),
            signals=np.zeros((self._strategies, rows), np.int8),
            scores=np.zeros((self._strategies, rows)),
        )

    def judge(self, block: Block, judged: Judged) -> None:
        """Run the market pass over a block whose signals and scores are in the columns."""
        self._ask(block, judged, 1, 1)
        self._signals(block.rows, block.order, judged)
        self._ask(block, judged, 3, 5)

    def warm(self) -> None:
        """Compile, or load from the cache, what the market pass needs."""
        self._signals(empty(ROW, 0), np.zeros(0, np.int64), self.columns(0))

    @property
    def entry(self) -> compile.Step:
        """Return the compiled part of the market pass."""
        return self._entry

    def _signals(self, rows: Records, order: Any, judged: Judged) -> None:
        self._layer_2(
            rows, order, judged.signals, judged.scores, self._least,
            judged.directions, judged.confidences, judged.reasons, judged.values, judged.limits,
        )  # fmt: skip

    def _ask(self, block: Block, judged: Judged, low: int, high: int) -> None:
        for each in self._market:
            if low <= each.place.layer <= high:
                values = each.ask(block.rows, block.order, judged)
                judged.market[each.row, block.order] = values
                limit = self.market_limits[each.row]
                passed = PASSES[each.place.refuses](values, limit)
                ended = judged.reasons[block.order]
                alive = ended < 0
                if each.place.layer == 3:  # comes before layer 4, which ends what has no direction
                    alive |= ended == NO_DIRECTION
                refused = block.order[~passed & alive]
                judged.reasons[refused], judged.limits[refused] = each.place.number, limit
                judged.values[refused] = judged.market[each.row, refused]
                judged.directions[refused] = 0

    def _place(self, name: str, gate: Gate) -> Place:
        place = Place(len(self.places), name, gate.layer, gate.refuses, gate.halves)
        self.places.append(place)
        return place

    def _ledger_gate(self, name: str, gate: Gate) -> GateStep:
        place = self._place(name, gate)
        return GateStep(
            place.number, gate.layer, type(gate).step, gate.params.record(), gate.refuses, gate.halves
        )


def _ordered(gates: Iterable[tuple[str, Gate]]) -> list[tuple[str, Gate]]:
    """Return the gates by layer, market gates first; within these as given, or before or after another."""
    given = list(gates)
    rooms = {name: _room(name, gate) for name, gate in given}
    placed: list[tuple[str, Gate]] = []
    waiting = sorted(given, key=lambda each: rooms[each[0]])
    while waiting:
        names = {name for name, _ in waiting}
        ready = [each for each in waiting if _beside(*each, rooms) not in names]
        if not ready:
            raise ConfigError(
                f"gates {', '.join(sorted(names))}: each waits for another. Drop a before or after."
            )
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
    if layer not in LAYERS or layer == 2:
        raise ConfigError(
            f"gate {name}: layer was {layer}, must be 1, 3, 4, 5 or 6; layer 2 is the strategies."
        )
    if gate.before and gate.after:
        raise ConfigError(f"gate {name}: has before and after. Name one of them.")
    if gate.halves and (passes, refuses == "below") != ("ledger", False):
        raise ConfigError(
            f"gate {name}: only a ledger gate that refuses above or from its limit can halve it."
        )
    if passes not in ("market", "ledger"):
        raise ConfigError(f"gate {name}: passes was {passes!r}, must be market or ledger.")
    if refuses not in PASSES:
        raise ConfigError(f"gate {name}: refuses was {refuses!r}, must be {', '.join(PASSES)}.")
    if "limit" not in type(gate).parameters():
        raise ConfigError(f"gate {name}: has no limit. Declare limit = Param(…).")
    if passes == "market" and layer == 6:
        raise ConfigError(f"gate {name}: layer 6 needs the account. Set passes to ledger.")
    return layer, passes == "ledger"
