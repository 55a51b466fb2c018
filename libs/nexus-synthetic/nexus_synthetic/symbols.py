"""What a symbol is before its first tick: its keys, and traits that hang on its index, not on the seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nexus_core import compile
from nexus_core.records import UNIT, Records
from nexus_synthetic.draws import mix
from nexus_synthetic.law import FOLLOW, MINUTE, STREAMS, SYMBOL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def anchor(symbol: int) -> float:
    """Return the price at which a symbol starts and around which it lives; of the first 60,000."""
    if symbol == 0:
        return 60_000.0
    return float(f"{0.5 * math.exp(traits(symbol)[0] * math.log(120_000.0)):.3g}")


def default_price_tick(symbol: int) -> int:
    """Return a sensible price tick in 1e-8: a power of ten, at most 1/5,000 of the anchor, at most 0.01."""
    unit, price = UNIT // 100, anchor(symbol) * UNIT
    while unit * 5000 > price:
        unit //= 10
    return unit


def keys(seed: int, place: int, first: int = 0, count: int = STREAMS) -> NDArray[np.uint64]:
    """Return keys of streams of the market (place 0) or of symbol `place - 1`, the bars unless told."""
    scramble = compile.plain(mix)
    with np.errstate(over="ignore"):
        own = scramble(scramble(np.uint64(seed)) + np.uint64(place))
        return scramble(own + np.arange(first + 1, first + count + 1, dtype=np.uint64))


def found(seed: int, interval: int, units: Sequence[int]) -> Records:
    """Return the states before the first tick of symbols with these price ticks, in 1e-8."""
    states = np.zeros(len(units), SYMBOL)
    minutes = interval / MINUTE
    for symbol, unit in enumerate(units):
        _, agitation, bond, trade = traits(symbol)
        price = max(anchor(symbol), 1000 * unit / UNIT)
        loading = 0.5 + 0.3 * bond
        fields = {
            "keys": keys(seed, symbol + 1),
            "symbol": symbol,
            "unit": unit,
            "anchor": round(price * UNIT / unit),
            "base": 0.0008 * (0.8 + 0.8 * agitation) * min(math.sqrt(minutes), 8.0),
            "turnover": (200_000.0 + 1_800_000.0 * trade) * minutes / price,
            "deals": 200.0 * minutes,
            "loading": loading,
            "rest": math.sqrt(1.0 - loading * loading),
            "regime": FOLLOW,
            "level": 1.0,
            "fair": 1.0,
            "closed": round(price * UNIT / unit),
        }
        for name, value in fields.items():
            states[name][symbol] = value
    return states


def traits(symbol: int) -> list[float]:
    """Return the four numbers in [0, 1) that make a symbol what it is, with every seed."""
    return [int(key >> np.uint64(12)) / (1 << 52) for key in keys(0, symbol + 1)[:4]]
