"""What became of signals, known from the row on that shows it.

At the horizon a signal is right where price has moved its way: the middle of bid and ask, for closes jump
between them, or the close where these are not known. And of a trade made at a signal's close it is seen
whether it came to its target or to its stop first; a bar that touches both came to the stop. Of one strategy,
symbol and side one such trade is open at a time, so that no two tell of the same moves.
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

TRADE = np.dtype([("stop", "f8"), ("target", "f8")])
"""A trade that is open: its prices; 0 where there is none."""

RIGHT, WRONG, HIT, MISS = 1, 2, 4, 16
"""What becomes known with a row, as a sum; there may be two hits or misses, one of each side."""

_SCAN = """
def entry(rows, first, last, counts, sides, prices, middles, trades, signals, scores, told, loss, gain):
    size = sides.shape[1]
    for symbol in range(first.size):
        count = counts[symbol]
        at = count.at
        long = trades[symbol, 0]
        short = trades[symbol, 1]
        for i in range(first[symbol], last[symbol]):
            side = sides[symbol, at]
            signal = signals[i]
            said = 0
            if long.target != 0.0 or short.target != 0.0:
                low = rows[i].low
                high = rows[i].high
                if long.target != 0.0 and 0.0 < low <= high and (low <= long.stop or high >= long.target):
                    said += MISS if low <= long.stop else HIT
                    long.target = 0.0
                if short.target != 0.0 and 0.0 < low <= high and (high >= short.stop or low <= short.target):
                    said += MISS if high >= short.stop else HIT
                    short.target = 0.0
            elif side == 0 and (signal == 0 or signal == ABSENT):  # most rows
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
                    said += RIGHT
                else:
                    count.wrong += 1
                    said += WRONG
            side = 0
            if signal != 0 and signal != ABSENT and close - close == 0.0:
                side = 1 if signal > 0 else -1
                prices[symbol, at] = close
                middles[symbol, at] = middle
                count.signals += 1
                count.scores += scores[i]
                trade = long if side > 0 else short
                if trade.target == 0.0 and close > 0.0:
                    trade.stop = close * (1.0 - side * loss)
                    trade.target = close * (1.0 + side * gain)
            sides[symbol, at] = side
            told[i] = said
            at = at + 1 if at + 1 < size else 0
        count.at = at
"""


class Outcomes:
    """The outcomes of a run's strategies, counted as rows go by."""

    def __init__(self, horizons: Sequence[int], symbols: int, loss: float = 0.02, gain: float = 0.04) -> None:
        self._barriers = loss, gain  # shares of the price
        self.counts: Records = np.zeros((len(horizons), symbols), COUNTS)
        self._sides = [np.zeros((symbols, each), np.int8) for each in horizons]
        self._prices = [np.zeros((symbols, each)) for each in horizons]
        self._middles = [np.zeros((symbols, each)) for each in horizons]
        self._trades = np.zeros((len(horizons), symbols, 2), TRADE)
        numbers = {"ABSENT": ABSENT, "RIGHT": RIGHT, "WRONG": WRONG, "HIT": HIT, "MISS": MISS}
        self.entry = compile.entry("outcomes", _SCAN, {"np": np, **numbers})
        self._scan = compile.Fixed(self.entry)

    def run(self, block: Block, signals: Any, scores: Any, told: Any) -> None:
        """Take a block's rows, with the signals and scores of every strategy; write what becomes known.

        Where nothing does, `told` stays as it is.
        """
        for k in range(len(self.counts)):
            self._take(k, block.rows, block.first, block.last, signals[k], scores[k], told[k])

    def warm(self) -> None:
        """Compile, or load from the cache."""
        none = np.zeros(self.counts.shape[1], np.int64)
        self._take(0, np.zeros(0, ROW), none, none, np.zeros(0, np.int8), np.zeros(0), np.zeros(0, np.int8))

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
            parts |= {"prices": self._prices[k], "middles": self._middles[k], "trades": self._trades[k]}
            made |= {f"outcomes:{name}:{part}": (array, "") for part, array in parts.items()}
        return made

    def _take(
        self, k: int, rows: Records, first: Any, last: Any, signals: Any, scores: Any, told: Any
    ) -> None:
        rings = self._sides[k], self._prices[k], self._middles[k], self._trades[k]
        self._scan(rows, first, last, self.counts[k], *rings, signals, scores, told, *self._barriers)
