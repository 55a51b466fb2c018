"""A run in miniature: gates, costs and a ledger over rows whose signals are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nexus_core.broker import FeeModel, FixedFee, HalfSpread, SlippageModel
from nexus_core.calibration import Table
from nexus_core.config import Risk
from nexus_core.engine import Engine
from nexus_core.feed import Market
from nexus_core.gates import Chain, Gate
from nexus_core.layers import Layer
from nexus_core.ledger import CostStep, Ledger, Written, rules
from nexus_core.market.blocks import QUIET, Between, Chunk
from nexus_core.market.loops import StrategyLoop
from nexus_core.records import EVENT, Records, empty
from nexus_core.strategy import Strategy
from nexus_core.testing.market import MINUTE
from nexus_core.types import Instrument, to_units


class _Given(StrategyLoop):
    """Answers what it was given, row by row."""

    def __init__(self, name: str, strategy: Strategy) -> None:
        self.name, self.strategy = name, strategy
        self.entry, self.code = None, ""
        self.states = np.zeros(0, [("rows", "i8"), ("faults", "i8")])
        self.signals: Any = None
        self.scores: Any = None

    def run(
        self, rows: Records, first: Any, last: Any, signals: Any, scores: Any, between: Between = QUIET
    ) -> int:
        for low, high in zip(first, last, strict=True):
            signals[low:high], scores[low:high] = self.signals[low:high], self.scores[low:high]
        return 0


class Trial:
    """A chain, a ledger and trading costs, taken over rows whose signals are given; keeps what they write.

    Without gates every signal becomes an entry. Without costs nothing is paid. `risk` are settings of
    `nexus_core.config.Risk`; the least confidence is 0 unless it is among them. Of several strategies that
    give signals `categories` has the category of each, `tables` what is known of their scores, and `horizon`
    is the row after a signal at which it is judged.
    """

    def __init__(
        self,
        gates: Mapping[str, Gate] | None = None,
        *,
        fee: FeeModel | None = None,
        slippage: SlippageModel | None = None,
        instruments: Sequence[Instrument] = (Instrument("BTC-USD"),),
        on_paper: bool = True,
        trace: str = "full",
        layers: Mapping[str, Layer] | None = None,
        categories: Sequence[str] = ("",),
        tables: Sequence[Table | None] = (),
        horizon: int = Strategy.horizon,
        **risk: Any,
    ) -> None:
        chosen: dict[str, Any] = {"min_confidence": 0.0, **risk}
        settings = Risk(**chosen)
        given = list((gates or {}).items()), len(categories), len(instruments), settings.min_confidence
        self.chain = Chain(*given, tables, list((layers or {}).items()), categories, MINUTE)
        self.ledger = Ledger(
            instruments,
            self.chain,
            _cost(fee or FixedFee(rate=0.0)),
            _cost(slippage or HalfSpread(half=0.0)),
            rules(settings, trace, on_paper),
            to_units(settings.capital),
        )
        kind = type("_Judged", (Strategy,), {"horizon": horizon})
        self._given = [_Given(f"given-{k}" if k else "given", kind()) for k in range(len(categories))]
        market = Market(tuple(instruments), MINUTE, 0, 0)
        barriers = settings.stop_loss_pct, settings.take_profit_pct
        self.engine = Engine(
            market, [*self._given], self.chain, self.ledger, tables=tables, barriers=barriers
        )
        self.written: list[Written] = []
        """What the ledger pass handed over so far, in pieces."""

    def run(
        self, rows: Records, signals: Any, scores: Any = 1.0, told: Records | None = None, block: int = 10_000
    ) -> None:
        """Take rows, which lie symbol by symbol, with a signal and a score each, after what was `told`.

        Of several strategies there is a row of signals for each, or one for all; and so of scores. `block`
        is the most ticks decided at once; it changes no decision.
        """
        size = len(rows)
        shape = len(self._given), size
        all_signals = np.broadcast_to(np.asarray(signals, np.int8), shape)
        all_scores = np.broadcast_to(np.asarray(scores, np.float64), shape)
        for each, own, score in zip(self._given, all_signals, all_scores, strict=True):
            each.signals, each.scores = own, score
        starts = np.searchsorted(rows["symbol"], np.arange(len(self.ledger.positions) + 1))
        before = empty(EVENT, 0) if told is None else told
        for each in self.engine.blocks(Chunk(rows, starts), block):
            for written in self.engine.advance(each, before):
                self.written.append(
                    Written(
                        written.events.copy(),
                        written.decisions.copy(),
                        written.verdicts.copy(),
                        written.opinions.copy(),
                    )
                )
            before = before[:0]

    @property
    def account(self) -> Any:
        """Return the account's record."""
        return self.ledger.account[0]

    @property
    def events(self) -> Records:
        """Return every event so far."""
        return self._all("events")

    @property
    def decisions(self) -> Records:
        """Return every decision of the trace so far."""
        return self._all("decisions")

    @property
    def verdicts(self) -> Records:
        """Return every verdict of the trace so far; each decision says how many are its own."""
        return self._all("verdicts")

    @property
    def opinions(self) -> Records:
        """Return every opinion of the trace so far; each decision says how many are its own."""
        return self._all("opinions")

    def _all(self, name: str) -> Records:
        return np.concatenate([getattr(each, name) for each in self.written])


def _cost(model: FeeModel | SlippageModel) -> CostStep:
    return CostStep(type(model).step, model.params.record())
