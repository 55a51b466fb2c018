"""The ledger: orders, positions and money as flat records, advanced by one compiled pass.

Backtest, paper and live advance the same ledger. On paper the pass matches orders itself; with a venue it
books what the venue reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from attrs import define

from nexus_core import compile, records
from nexus_core.config import Risk
from nexus_core.errors import ConfigError
from nexus_core.ledger import judge, loop, orders
from nexus_core.ledger.loop import CostStep, GateStep, LayerStep
from nexus_core.records import Records, empty
from nexus_core.types import Instrument, to_units

__all__ = ["CostStep", "GateStep", "Judged", "LayerStep", "Ledger", "Written", "instrument_records", "rules"]

_BUFFER = 4096
"""Records that the pass writes before it hands them over."""


class Judged:
    """What the market pass hands to the ledger pass: columns over a chunk's rows."""

    def __init__(
        self,
        rows: int,
        at_once: int,
        market_gates: int,
        strategies: int,
        context: np.dtype[Any],
        voices: int = 1,
    ) -> None:
        self.directions: Any = np.zeros(rows, np.int8)
        self.confidences: Any = np.zeros(rows)
        self.reasons: Any = np.zeros(rows, np.int16)
        self.values: Any = np.zeros(rows)
        self.limits: Any = np.zeros(rows)
        self.market: Any = np.zeros((market_gates, rows))
        """A row of values for each market gate."""
        self.bounds: Any = np.zeros((market_gates, rows))
        """And of their limits."""
        self.signals: Any = np.zeros((strategies, rows), np.int8)
        self.scores: Any = np.zeros((strategies, rows))
        self.told: Any = np.zeros((strategies, rows), np.int8)
        """What became known with a row of each strategy's signals."""
        # of the rows at hand, in the order of time
        self.weights: Any = np.zeros((at_once, strategies), np.float32)
        self.contexts: Any = np.zeros(at_once, context)
        self.voices: Any = np.zeros((voices, strategies), records.VOICE)


@define
class Written:
    """Records the pass has written, in the order of time."""

    events: Records
    decisions: Records
    verdicts: Records
    opinions: Records


class Ledger:
    """Orders, positions and money of one account, and the compiled pass over them."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        chain: Any,  # of the room above
        fee: CostStep,
        slippage: CostStep,
        rules: Records,
        capital: int,
    ) -> None:
        symbols = len(instruments)
        self.account = empty(records.ACCOUNT)
        self.account["cash"] = self.account["peak"] = capital
        self.account["day_start"] = self.account["week_start"] = capital
        for edge in ("next_hour", "next_day", "next_week"):
            self.account[edge] = np.iinfo(np.int64).min  # the first row begins all three
        self.positions = empty(records.POSITION, symbols)
        self.orders = np.zeros((symbols, records.SLOTS), records.ORDER)
        self._instruments = instrument_records(instruments)
        kept: list[str] = chain.noted
        self.entry, self._given = loop.build(chain.ledger_gates, fee, slippage, rules, kept, chain.assessor)
        """The compiled pass, and the record of all it is given."""
        self._layer = {"layer": chain.assessor.state} if chain.assessor else {}
        self._pass = compile.Fixed(self.entry)
        self._asked, self._layers = chain.asked, chain.layers
        self._used = np.zeros(4, np.int64)
        self._blank = Judged(0, 0, chain.market_gates, chain.strategies, records.contexts(chain.fields))
        self._most = 4 * symbols + loop.ROOM
        self._buffers: tuple[Records, Records, Records, Records] = (
            empty(records.EVENT, _BUFFER + 2 * self._most),
            empty(records.decisions(kept), _BUFFER),
            empty(records.VERDICT, _BUFFER + 2 * len(chain.layers)),
            empty(records.OPINION, _BUFFER + 2 * chain.strategies),
        )

    @property
    def run_hash(self) -> str:
        """Return the run hash so far."""
        return orders.run_hash(self.account[0])

    def records(self) -> dict[str, Records]:
        """Return the records that are the ledger's whole state, to save or to restore into."""
        return {"account": self.account, "positions": self.positions, "orders": self.orders, **self._layer}

    def advance(self, rows: Records, order: Any, judged: Judged, told: Records) -> Iterator[Written]:
        """Take `rows[order]`, after what was `told` before them; yield what was written as buffers fill.

        The yielded records are views that the next step overwrites.
        """
        room = (len(told) + 2) * self._most
        if len(self._buffers[0]) < room:
            self._buffers = (empty(records.EVENT, 2 * room), *self._buffers[1:])
        events, decisions, verdicts, opinions = buffers = self._buffers
        at, none = 0, told[:0]
        while at < len(order) or len(told):
            self._used[:] = 0
            at = self._ledger_pass(rows, order, at, judged, told, *buffers)
            told, used = none, self._used.tolist()
            if any(used):
                yield Written(
                    events[: used[0]], decisions[: used[1]], verdicts[: used[2]], opinions[: used[3]]
                )

    def warm(self) -> None:
        """Compile the pass, or load it from the cache, by running over no rows."""
        judged = self._blank
        rows, order, told = empty(records.ROW, 0), np.zeros(0, np.int64), empty(records.EVENT, 0)
        self._ledger_pass(rows, order, 0, judged, told, *self._buffers)

    def _ledger_pass(
        self, rows: Records, order: Any, at: int, judged: Judged, told: Records, *buffers: Any
    ) -> int:
        return self._pass(
            rows, order, at,
            judged.directions, judged.confidences, judged.reasons, judged.values, judged.limits,
            judged.market, judged.bounds, self._asked, judged.signals, judged.scores, judged.weights,
            judged.contexts, self._layer.get("layer", self.account),
            self.account, self.positions, self.orders, self._instruments, self._given, told, self._layers,
            *buffers, self._used,
        )  # fmt: skip


def instrument_records(instruments: Sequence[Instrument]) -> Records:
    """Return the instruments as the records that steps read."""
    made = empty(records.INSTRUMENT, len(instruments))
    for one, each in zip(made, instruments, strict=True):
        if each.inverse:
            raise ConfigError(f"{each.symbol}: inverse contracts cannot be traded. Choose a linear one.")
        if each.per != 1:
            raise ConfigError(f"{each.symbol}: per was {each.per}, must be 1. Quote the price of one.")
        one["tick"], one["lot"] = to_units(each.tick), max(1, to_units(each.lot))
        one["min_notional"], one["multiplier"] = to_units(each.min_notional), each.multiplier
        one["margin_rate"], one["shortable"] = to_units(each.margin_rate), each.shortable
    return made


def rules(risk: Risk, trace: str, on_paper: bool) -> Records:
    """Return the settings that the pass reads, as a record."""
    made = empty(judge.RULES)
    made["quantity"], made["notional"] = to_units(risk.quantity), to_units(risk.notional)
    made["risk_fraction"], made["max_position"] = risk.risk_fraction, risk.max_position_size
    made["stop_loss"], made["take_profit"] = to_units(risk.stop_loss_pct), to_units(risk.take_profit_pct)
    made["breaker_loss"], made["breaker_rejects"] = risk.breaker_loss, risk.breaker_rejects
    made["sizing"] = judge.SIZINGS.index(risk.sizing)
    made["on_opposite"] = judge.OPPOSITES.index(risk.on_opposite)
    made["allow_short"], made["brackets"] = risk.allow_short, risk.brackets
    made["on_paper"], made["trace"] = on_paper, judge.TRACES.index(trace)
    return made
