"""Strategies as other tools write them: `execute(data)`, with a dict of fields or a table of rows."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal

import numpy as np

from nexus_core.errors import PluginError
from nexus_core.interfaces import IStrategy
from nexus_core.market.loops import StrategyLoop
from nexus_core.records import Records
from nexus_core.strategy import Strategy
from nexus_core.styles import WindowLoop
from nexus_core.types import SignalType, StrategyCategory

__all__ = ["ClassicStrategy"]

FIELDS = ("open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size")
"""What a classic strategy is told of a row besides `symbol`, `timestamp` and `sequence_num`."""


class ClassicLoop(WindowLoop):
    """A classic strategy at work on the symbols of a run."""

    opaque = True
    method = "execute"

    def __init__(self, name: str, strategy: Any, symbols: Sequence[str]) -> None:
        super().__init__(name, strategy, symbols)
        self._pandas = _pandas(name) if strategy.takes == "frame" else None
        strategy.initialize(strategy.params.by_name())

    def reset(self) -> None:
        """Forget all rows, and let the strategy begin anew."""
        super().reset()
        values = self.strategy.params.by_name()
        fresh: Any = type(self.strategy)(**values)
        self.strategy = fresh
        try:
            fresh.initialize(values)
        except (Exception, SystemExit) as error:  # its rows will be faults; the run goes on
            self.error = error

    def _data(self, symbol: int, rows: Records) -> Any:
        columns = {name: rows[name] for name in FIELDS}
        for side in ("bid", "ask"):
            columns[side] = np.where(columns[side] == columns[side], columns[side], columns["close"])
        columns |= {"timestamp": rows["ts"], "sequence_num": rows["seq"]}
        whose = {"symbol": self.symbols[symbol]}
        if self._pandas is None:
            return {name: column[-1].item() for name, column in columns.items()} | whose
        return self._pandas.DataFrame(columns | whose, index=self._pandas.to_datetime(rows["ts"], utc=True))

    def _read(self, answer: Any) -> tuple[float, float]:
        if answer is None:
            return 0.0, 0.0
        value = float(answer["signal"])
        return (math.nan if math.isnan(value) else SignalType.of(value)), float(answer["confidence"])


class ClassicStrategy(Strategy, IStrategy):
    """A strategy written as `execute(data)`, which may remember what it likes from row to row.

    `data` is a dict of twelve fields (open, high, low, close, volume, bid, ask, bid_size, ask_size, symbol,
    timestamp in nanoseconds UTC, sequence_num); with `takes = "frame"` a pandas table of the latest `warmup`
    rows with these columns, of fewer while it warms up. Where the feed has no quote, bid and ask are the
    close. The answer is a mapping with `signal` (the strongest whole one it reaches counts) and `confidence`
    in [0, 1]; None is neutral.
    """

    at_work: ClassVar[type[StrategyLoop] | None] = ClassicLoop
    takes: ClassVar[Literal["dict", "frame"]] = "dict"

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Take the parameters by name, before the first row. A strategy that keeps anything makes it here."""

    @abstractmethod
    def execute(self, data: Any) -> Mapping[str, Any] | None:
        """Answer to one row, or to the table that ends with it."""

    def get_category(self) -> StrategyCategory:
        """Return what it lives on."""
        return StrategyCategory(self.category)

    def get_metrics(self) -> Mapping[str, float]:
        """Return figures about its own work, by name: none, unless it is written to keep some."""
        return {}


def _pandas(name: str) -> Any:
    try:
        return import_module("pandas")
    except ImportError as error:
        raise PluginError(f"strategies:{name} takes tables, which need pandas: pip install pandas") from error
