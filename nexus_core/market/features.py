"""What takes a set of features through rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.market import loops
from nexus_core.market.blocks import Between
from nexus_core.market.book import depth, look
from nexus_core.records import Records
from nexus_core.steps.tool import record

NEEDS = ("bar", "volume", "trade", "book")
"""What a feature may need: prices, volume, volume by side, the view of a book."""


class FeatureLoop:
    """A feature set at work on symbols, whose bars are `interval` nanoseconds long."""

    def __init__(self, name: str, features: Any, symbols: int, interval: int) -> None:
        self._first: Any = np.array([record(**features.state(features.params, interval))])
        self._parameters: Records = features.params.record()
        self.states: Records = np.repeat(self._first, symbols)
        """The state of each symbol: what its bytes are copied back into goes on from there."""
        bindings: dict[str, Any] = {"step": features.step}
        self._run = compile.Fixed(compile.entry(re.sub(r"\W", "_", name), loops.FEATURES, bindings))

    def run(self, rows: Records, first: Any, last: Any, views: Records, out: Any, missing: Any) -> None:
        """Take rows `first[s]` to `last[s]` of every symbol s; write its features and what was missing.

        There is a view for each row, or one for all of them, such as `market.events.unknown()`. `out` has a
        line of floats with a place for each name, and `missing` a number (int64), for each row.
        """
        self._run(rows, first, last, self.states, self._parameters, views, out, missing)

    def reset(self) -> None:
        """Forget all rows, as before the first."""
        self.states[:] = self._first


class Views:
    """The books of some symbols, which show themselves as they are at each row."""

    def __init__(self, symbols: int) -> None:
        self.books: Records = np.repeat(np.array([depth()]), symbols)
        """The book of each symbol, to keep and to put back."""
        bindings: dict[str, Any] = {"push": depth.push, "look": look}
        self._run = compile.Fixed(compile.entry("views", loops.VIEWS, bindings))

    def run(self, rows: Records, first: Any, last: Any, between: Between, views: Records) -> None:
        """Take a block's rows, `first[s]` to `last[s]` of every symbol s, and its events; write row views."""
        self._run(rows, first, last, between.events, between.first, between.last, self.books, views)
