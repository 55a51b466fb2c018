"""What became of signals: whether price had moved their way at the horizon, known from that row on.

The price is the middle of bid and ask, for closes jump between them, or the close where these are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.market.blocks import Block
from nexus_core.records import ABSENT, ROW, Records

COUNTS = np.dtype([("at", "i8"), ("signals", "i8"), ("right", "i8"), ("wrong", "i8"), ("scores", "f8")])
"""Of one strategy and symbol: the place in its ring, how many signals, how many of them were right and wrong
at the horizon, and the sum of the scores."""

_SCAN = """
def entry(rows, first, last, counts, sides, prices, middles, signals, scores):
    size = sides.shape[1]
    for symbol in range(first.size):
        count = counts[symbol]
        at = count.at
        for i in range(first[symbol], last[symbol]):
            side = sides[symbol, at]
            signal = signals[i]
            if side == 0 and (signal == 0 or signal == ABSENT):  # most rows
                at = at + 1 if at + 1 < size else 0
                continue
            close = rows[i].close
            middle = 0.5 * (rows[i].bid + rows[i].ask)
            if not (0.0 < rows[i].bid <= rows[i].ask < np.inf):
                middle = np.nan
            if side != 0 and close - close == 0.0:
                move = middle - middles[symbol, at]
                if move != move:
                    move = close - prices[symbol, at]
                if side * move > 0.0:
                    count.right += 1
                else:
                    count.wrong += 1
            side = 0
            if signal != 0 and signal != ABSENT and close - close == 0.0:
                side = 1 if signal > 0 else -1
                prices[symbol, at] = close
                middles[symbol, at] = middle
                count.signals += 1
                count.scores += scores[i]
            sides[symbol, at] = side
            at = at + 1 if at + 1 < size else 0
        count.at = at
"""


class Outcomes:
    """The outcomes of a run's strategies, counted as rows go by."""

    def __init__(self, horizons: Sequence[int], symbols: int) -> None:
        self.counts: Records = np.zeros((len(horizons), symbols), COUNTS)
        self._sides = [np.zeros((symbols, each), np.int8) for each in horizons]
        self._prices = [np.zeros((symbols, each)) for each in horizons]
        self._middles = [np.zeros((symbols, each)) for each in horizons]
        self.entry = compile.entry("outcomes", _SCAN, {"ABSENT": ABSENT, "np": np})
        self._scan = compile.Fixed(self.entry)

    def run(self, block: Block, signals: Any, scores: Any) -> None:
        """Take a block's rows, with the signals and scores of every strategy."""
        for k in range(len(self.counts)):
            self._take(k, block.rows, block.first, block.last, signals[k], scores[k])

    def warm(self) -> None:
        """Compile, or load from the cache."""
        none = np.zeros(self.counts.shape[1], np.int64)
        self._take(0, np.zeros(0, ROW), none, none, np.zeros(0, np.int8), np.zeros(0))

    def of(self, k: int) -> dict[str, float]:
        """Return what is known of one strategy: signals, how many were right and wrong, the mean score."""
        counts = self.counts[k]
        signals, right, wrong = (int(counts[name].sum()) for name in ("signals", "right", "wrong"))
        mean = float(counts["scores"].sum()) / signals if signals else 0.0
        return {"signals": signals, "right": right, "wrong": wrong, "score": mean}

    def records(self, names: Sequence[str]) -> dict[str, tuple[Any, str]]:
        """Return all that it remembers, by the strategies' names."""
        made: dict[str, tuple[Any, str]] = {}
        for k, name in enumerate(names):
            parts = {"counts": self.counts[k], "sides": self._sides[k]}
            parts |= {"prices": self._prices[k], "middles": self._middles[k]}
            made |= {f"outcomes:{name}:{part}": (array, "") for part, array in parts.items()}
        return made

    def _take(self, k: int, rows: Records, first: Any, last: Any, signals: Any, scores: Any) -> None:
        rings = self._sides[k], self._prices[k], self._middles[k]
        self._scan(rows, first, last, self.counts[k], *rings, signals, scores)
