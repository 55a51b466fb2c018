"""The market as an object: rows of any number of symbols, one tick after another, without an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core import compile
from nexus_core.errors import ConfigError, UsageError
from nexus_core.records import ROW, UNIT, Records, empty
from nexus_synthetic import law
from nexus_synthetic.law import DAY, MARKET, MARKET_STREAMS, MINUTE, RANGE, STREAMS, TICK
from nexus_synthetic.symbols import default_price_tick, found, keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

START = 1_767_225_600_000_000_000
"""Open of the first bar if nothing else is said: 2026-01-01 00:00 UTC, in nanoseconds."""

TRUTH = np.dtype([("regime", "i8"), ("volatility", "f8"), ("fair", "f8")])
"""What a row does not show: regime, volatility of the bar (a fraction of the price), fair value (a price)."""

_PIECE = 1024  # ticks a pass of the loop, so that its columns stay in the processor's cache
_LONGEST, _COARSEST, _END = 7 * DAY, 10**13, 2**63 - 1

_LOOP = """
def entry(market, symbols, ticks, places, draws, count, rows, truth, offset, stride):
    draw_market(market[0], places, draws, count)
    for i in range(count):
        move_market(market[0], ticks[i], draws, i)
    for s in range(symbols.size):
        state = symbols[s]
        draw_symbol(state, ticks, places, draws, count)
        for i in range(count):
            move_symbol(state, ticks[i], draws, i)
            if rows.size > 0:
                write_row(rows[s * stride + offset + i], state, ticks[i], symbols.size, draws, i)
            if truth.size > 0:
                reveal(truth[s * stride + offset + i], state)
"""


class Generator:
    """A market of `symbols` symbols, from its first tick on.

    `interval` is the length of a bar and `start` the open of the first, in nanoseconds; `price_ticks` are
    the symbols' price grids in 1e-8, if given, else `default_price_tick`. The rows are a function of these,
    the seed, the tick and the symbol's index: not of how many ticks are asked for at a time and, but for
    `seq`, not of how many symbols there are.
    """

    def __init__(
        self,
        seed: int,
        symbols: int,
        interval: int = MINUTE,
        start: int = START,
        price_ticks: Sequence[int] | None = None,
    ) -> None:
        units = [default_price_tick(s) for s in range(symbols)] if price_ticks is None else list(price_ticks)
        _check(seed, symbols, interval, start, units)
        self.symbols = symbols
        self._states = found(seed, interval, units)
        self._market = np.zeros(1, MARKET)
        self._market["keys"] = keys(seed, 0)[:MARKET_STREAMS]
        self._market["start"], self._market["interval"], self._market["regime"] = start, interval, RANGE
        self._columns = np.zeros(_PIECE, TICK), np.zeros(_PIECE, np.uint64), np.zeros((STREAMS, _PIECE))
        steps = (law.draw_market, law.move_market, law.draw_symbol, law.move_symbol, law.write_row)
        bindings = {compile.plain(each).__name__: each for each in steps}
        self._entry = compile.entry("synthetic", _LOOP, {**bindings, "reveal": _reveal})

    @property
    def tick(self) -> int:
        """Return the number of the next tick, from 0."""
        return int(self._market["number"][0])

    def take(self, n: int) -> tuple[Records, NDArray[np.int64]]:
        """Return each symbol's next `n` rows, symbol by symbol: `s` owns `rows[starts[s]:starts[s + 1]]`."""
        return self._take(n, np.zeros(0, TRUTH))

    def take_with_truth(self, n: int) -> tuple[Records, NDArray[np.int64], Records]:
        """Return what `take` returns, and for each row what lies behind it, as `TRUTH`."""
        truth = np.zeros(max(n, 0) * self.symbols, TRUTH)
        return *self._take(n, truth), truth

    def skip(self, n: int) -> None:
        """Move on by `n` ticks, as if their rows had been taken."""
        self._advance(n, np.zeros(0, ROW), np.zeros(0, TRUTH))

    def _take(self, n: int, truth: Records) -> tuple[Records, NDArray[np.int64]]:
        rows = empty(ROW, max(n, 0) * self.symbols)
        self._advance(n, rows, truth)
        return rows, np.arange(self.symbols + 1, dtype=np.int64) * n

    def _advance(self, n: int, rows: Records, truth: Records) -> None:
        if n < 0:
            raise UsageError(f"synthetic market: {n} ticks were asked for. Ask for none or more.")
        if int(self._market["start"][0]) + (self.tick + n) * int(self._market["interval"][0]) > _END:
            raise UsageError(
                "synthetic market: its time went beyond the year 2262. Take fewer or shorter bars."
            )
        for offset in range(0, n, _PIECE):
            count = min(_PIECE, n - offset)
            compile.call(
                self._entry, self._market, self._states, *self._columns, count, rows, truth, offset, n
            )


@compile.step
def _reveal(truth: Any, state: Any) -> None:
    truth.regime = state.current
    truth.volatility = state.volatility
    truth.fair = state.fair * state.anchor * state.unit / UNIT


def _check(seed: int, symbols: int, interval: int, start: int, units: Sequence[int]) -> None:
    rules = (
        (0 <= seed < 2**64, f"seed was {seed}; it is a whole number from 0 to 2**64 - 1"),
        (symbols > 0, f"symbols was {symbols}; it takes at least one"),
        (0 < interval <= _LONGEST, f"interval was {interval} ns; it is from 1 ns to 7 days"),
        (start >= 0, f"start was {start}; it is in nanoseconds from 1970 on"),
        (len(units) == symbols, f"price_ticks were {len(units)}; each of {symbols} symbols needs one"),
        (
            all(0 < unit <= _COARSEST for unit in units),
            f"price_ticks were {units}; each is from 1 to 10**13, in 1e-8",
        ),
    )
    for holds, why in rules:
        if not holds:
            raise ConfigError(f"synthetic market: {why}.")
