"""The set of all 65 features."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core import FeatureSet, Param, step, steps
from nexus_core.market.features import NEEDS
from nexus_features import book, momentum, price, volatility, volume
from nexus_features.facts import Feature, checked

CATEGORIES: dict[str, tuple[Feature, ...]] = {
    "price": price.FEATURES,
    "volume": volume.FEATURES,
    "book": book.FEATURES,
    "momentum": momentum.FEATURES,
    "volatility": volatility.FEATURES,
}
"""The features of each category, in the order in which they are computed."""

FEATURES = tuple(each for features in CATEGORIES.values() for each in features)
NAMES = tuple(each.name for each in FEATURES)

_ENDS = np.cumsum([len(each) for each in CATEGORIES.values()]).tolist()
_PRICE, _VOLUME, _BOOK, _MOMENTUM, _VOLATILITY = _ENDS
_DEVIATION, _VWAP, _IMBALANCE, _RETURN = (
    NAMES.index(each) for each in ("vwap_deviation", "vwap", "volume_imbalance", "log_return")
)
_BAR_UNKNOWN, _VOLUME_UNKNOWN, _TRADE_UNKNOWN, _BOOK_UNKNOWN = (1 << n for n in range(len(NEEDS)))


class Standard(FeatureSet):
    """Compute price, volume, book, momentum and volatility: 65 features a row.

    A row that does not carry what a feature needs is passed over by it: its value is NaN there, and what
    follows is as if that row had never been.
    """

    nexus_api = 1
    names = NAMES
    needs = set(NEEDS)
    year = Param(365.0, low=1.0, high=366.0, help="Days of 24 hours that the market trades in a year")
    garch_alpha = Param(0.08, low=0.0, high=1.0, help="Share of the newest squared return in the variance")
    garch_beta = Param(0.90, low=0.0, high=1.0, help="Share of the variance before in the variance")

    @staticmethod
    def state(params: Any, interval: int) -> dict[str, Any]:
        """Return the state before the first row of bars of `interval` nanoseconds, at least a second."""
        needs = [NEEDS.index(each.needs) for each in FEATURES]
        warmups = [each.warmup(checked(interval)) for each in FEATURES]
        return {
            "counts": np.zeros(len(NEEDS), np.int64),
            "needs": np.array(needs, np.int64),
            "warmups": np.array(warmups, np.int64),
            "longest": max(warmups) + 1,
            "price": price.state(interval),
            "volume": volume.state(),
            "sides": volume.sides(),
            "book": book.state(),
            "momentum": momentum.state(),
            "volatility": volatility.state(interval, params.year, params.garch_alpha, params.garch_beta),
        }

    @staticmethod
    def step(row: Any, view: Any, state: Any, params: Any, out: Any) -> int:
        """Take one row and the book at its time, write the features, and answer what was missing."""
        missing = _missing(row, view)
        if missing & _BAR_UNKNOWN == 0:
            _of_prices(row, state, out)
        if missing & _VOLUME_UNKNOWN == 0:
            volume.push(row, state.volume, out[_PRICE:_VOLUME])
            out[_DEVIATION] = row.close / out[_VWAP] - 1.0
        if missing & _TRADE_UNKNOWN == 0:
            out[_IMBALANCE] = volume.imbalance(row, state.sides)
        if missing & _BOOK_UNKNOWN == 0:
            book.push(view, state.book, out[_VOLUME:_BOOK])
        _blank(missing, state, out)
        return missing


@step
def _is_amount(x: float) -> bool:
    return 0.0 <= x < np.inf


@step
def _missing(row: Any, view: Any) -> int:
    missing = 0
    if not (0.0 < row.low < np.inf and 0.0 < row.high < np.inf and 0.0 < row.open < np.inf):
        missing = _BAR_UNKNOWN
    if not 0.0 < row.close < np.inf:
        missing = _BAR_UNKNOWN
    if missing != 0 or not _is_amount(row.volume):
        missing |= _VOLUME_UNKNOWN
    if missing & _BAR_UNKNOWN != 0 or not (_is_amount(row.buy_volume) and _is_amount(row.sell_volume)):
        missing |= _TRADE_UNKNOWN
    return missing if book.is_usable(view) else missing | _BOOK_UNKNOWN


@step
def _of_prices(row: Any, state: Any, out: Any) -> None:
    price.push(row, state.price, out[:_PRICE])
    momentum.push(row, state.momentum, out[_BOOK:_MOMENTUM])
    level = state.price.level.whole
    width = 4.0 * (steps.sqrt(level.squares / level.n) / level.mean)
    volatility.push(row, out[_RETURN], width, state.volatility, out[_MOMENTUM:_VOLATILITY])


@step
def _blank(missing: int, state: Any, out: Any) -> None:
    """Count the rows that carried each need, and make unknown what is missing or not yet warm."""
    counts, least = state.counts, state.longest
    for n in range(counts.size):
        counts[n] += 1 - ((missing >> n) & 1)
        least = min(least, counts[n])
    if missing == 0 and least == state.longest:
        return
    for k in range(state.needs.size):
        need = state.needs[k]
        if (missing >> need) & 1 == 1 or counts[need] <= state.warmups[k]:
            out[k] = np.nan
