"""Which symbols move together: the exponentially weighted correlation of their returns, pair by pair.

Mean, variance and covariance follow West (1979), *Updating mean and variance estimates*, with weights that
halve every `halflife` common returns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core import step, steps
from nexus_core.steps.tool import capacity

LN2 = 0.6931471805599453
NEVER = -(2**62)
"""Before any time."""

_PAIR = np.dtype([("n", "i8"), *((name, "f8") for name in ("weight", "x", "y", "xx", "yy", "xy"))])


def start(symbols: int) -> dict[str, Any]:
    """Return what is known before the first row: of each symbol, and of each pair of symbols.

    There is room for the next power of two of symbols, so that few sizes are ever compiled.
    """
    room = capacity(symbols)
    return {
        "close": np.zeros(room),
        "began": np.full(room, NEVER),
        "ended": np.full(room, NEVER),
        "move": np.full(room, math.nan),
        "pairs": np.zeros(max(room * (room - 1) // 2, 1), _PAIR),
    }


@step
def take(state: Any, symbol: int, ts: int, close: float, halflife: float) -> None:
    """Take the close of a symbol's row, and compare its return with those of the same span of time.

    A row that came late, or whose close is no price, changes nothing.
    """
    if ts <= state.ended[symbol] or not 0.0 < close < np.inf:
        return
    before = state.close[symbol]
    state.close[symbol] = close
    state.began[symbol] = state.ended[symbol]
    state.ended[symbol] = ts
    if not before > 0.0:
        return
    move = steps.log(close / before)
    state.move[symbol] = move
    if move - move == 0.0:
        _compare(state, symbol, move, steps.exp(-LN2 / halflife))


@step
def between(state: Any, one: int, other: int, least: int) -> float:
    """Return the correlation of two symbols in [-1, 1]; NaN with fewer than `least` common returns."""
    pair = state.pairs[_place(one, other)]
    if pair.n < least or not (pair.xx > 0.0 and pair.yy > 0.0):
        return np.float64(np.nan)
    return steps.clip(pair.xy / (steps.sqrt(pair.xx) * steps.sqrt(pair.yy)), -1.0, 1.0)


@step
def _compare(state: Any, symbol: int, move: float, decay: float) -> None:
    began = state.began[symbol]
    ended = state.ended[symbol]
    for other in range(state.ended.size):
        same = state.ended[other] == ended and state.began[other] == began
        theirs = state.move[other]
        if same and other != symbol and theirs - theirs == 0.0:
            _push(state.pairs[_place(symbol, other)], move, theirs, symbol > other, decay)


@step
def _place(one: int, other: int) -> int:
    high = max(one, other)
    return high * (high - 1) // 2 + min(one, other)


@step
def _push(pair: Any, move: float, theirs: float, is_later: bool, decay: float) -> None:
    """Take a common return of two symbols, of which the one with the higher index is `x`."""
    x = move if is_later else theirs
    y = theirs if is_later else move
    pair.n += 1
    pair.weight = 1.0 + decay * pair.weight
    gain = 1.0 / pair.weight
    right = x - pair.x
    up = y - pair.y
    pair.x += gain * right
    pair.y += gain * up
    pair.xx = (1.0 - gain) * (pair.xx + gain * right * right)
    pair.yy = (1.0 - gain) * (pair.yy + gain * up * up)
    pair.xy = (1.0 - gain) * (pair.xy + gain * right * up)
