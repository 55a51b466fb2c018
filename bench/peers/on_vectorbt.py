"""The cross in vectorbt: averages and signals as arrays, then one simulated portfolio."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import vectorbt as vbt
from measured import CASH, FAST, FEE, QUANTITY, SLOW, answer
from vectorbt.generic.dispatch import ewm_mean_1d

ENGINE = sys.argv[4]  # rust or numba


def prepare(bars: Any) -> tuple[Any, Any]:
    return np.ascontiguousarray(bars["open"]), np.ascontiguousarray(bars["close"])


def run(columns: tuple[Any, Any]) -> Any:
    opens, closes = columns
    # not `vbt.MA`, whose averages begin after a window of rows: these begin at the first close
    fast, slow = (ewm_mean_1d(closes, span, minp=0, adjust=False, engine=ENGINE) for span in (FAST, SLOW))
    above = fast > slow
    entries, exits = np.zeros(len(closes), np.bool_), np.zeros(len(closes), np.bool_)
    # the first side known, in the second row, is no cross; a cross is acted on one row later, at its open
    entries[3:] = above[2:-1] & ~above[1:-2]
    exits[3:] = ~above[2:-1] & above[1:-2]
    return vbt.Portfolio.from_signals(
        closes, entries, exits, price=opens, size=QUANTITY, fees=FEE, init_cash=CASH, direction="longonly",
        engine=ENGINE,
    )  # fmt: skip


def read(portfolio: Any) -> tuple[Any, float]:
    orders = portfolio.orders.values
    sides = 1 - 2 * orders["side"]
    return zip(orders["idx"], sides, orders["price"], orders["fees"], strict=True), portfolio.final_value()


answer(f"{vbt.__version__}", prepare, run, read)
