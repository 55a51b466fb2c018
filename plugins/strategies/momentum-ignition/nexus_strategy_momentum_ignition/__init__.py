"""Trade sudden bursts of one-sided trading by their phase: ignition, propagation, exhaustion.

Somebody who sends many orders to one side at once moves the price, others follow what they see, and when
they have followed nobody is left to pay the price that was reached: the impact of flow beyond what news is
worth goes back (Kyle and Obizhaeva 2023, *Large bets and stock market crashes*, Review of Finance 27, of
sudden bursts; Securities and Exchange Commission 2010, *Concept release on equity market structure*, of
momentum ignition). Trade intensity is that of points which excite one another (Hawkes 1971, *Spectra of some
self-exciting and mutually exciting point processes*, Biometrika 58), a row being the unit of time.

The phases must come in sequence: *ignition*, when one side's intensity jumps, the flow is one-sided and the
price speeds up to that side; *propagation*, when the burst is over and others follow; *exhaustion*, when that
side no longer leads, or next to nothing of its intensity is left. At the ignition it is silent, as a burst
overshoots; it goes with the propagation, and against it at exhaustion. Rows alone do; the sides of their
trades are taken from the bar where the feed knows none. Price turned over, p -> 2 p0 - p, gives the negated
signals.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

_ROW = 1_000_000_000  # a row stands for a second of the intensities' time
_MEMORY = 2400.0
_SHARE = 0.8
_PATIENCE = 120  # rows after which a burst that never ended is given up
_QUIET, _IGNITION, _PROPAGATION = 0, 1, 2


@compile.step
def price_of(row) -> float:
    """Return the mid of a row's quote, the close where nobody quotes."""
    mid = 0.5 * (row.bid + row.ask)
    return mid if row.bid <= row.ask and mid - mid == 0.0 else row.close


@compile.step
def trades_of(row) -> tuple[float, float]:
    """Return how many trades of a row bought and sold: by volume, or by where the close lies in the range."""
    if not row.volume > 0.0:
        return 0.0, 0.0
    count = float(max(row.trades, 1))
    known, wide = row.buy_volume + row.sell_volume, row.high - row.low
    if 0.0 < known < math.inf:
        return count * (row.buy_volume / known), count * (row.sell_volume / known)
    if wide > 0.0:
        return count * ((row.close - row.low) / wide), count * ((row.high - row.close) / wide)
    return 0.5 * count, 0.5 * count


class MomentumIgnition(Strategy):
    """Go with a burst while it propagates, against it at its exhaustion."""

    nexus_api = 1
    category = "momentum"
    needs = {"bar", "volume"}
    row_seconds = 1.0
    horizon = 30
    warmup = 300
    slot = "momentum-ignition"
    targets = {"within": 15, "hits": 0.95, "false": 1.0}

    decay = Param(5.0, low=1.0, high=100.0, help="Rows in which the excitement by a trade falls to 1/e")
    burst = Param(
        7.0, low=1.0, high=100.0, help="Intensity of one side that ignites, in usual ones of a side"
    )
    lean = Param(0.5, low=0.0, high=1.0, help="Share by which one side's intensity exceeds the other's")
    run = Param(0.2, low=0.0, high=50.0, help="Way of the price to that side that counts, in usual ways")
    fade = Param(0.8, low=0.05, high=0.95, help="Part of its peak at which the burst has become propagation")
    spent = Param(0.1, low=0.01, high=0.95, help="Part of its peak at which propagation is exhausted")

    @staticmethod
    def blend(row, signal, score, opinion):
        """Return signal and score with three tenths of a model's opinion in [-1, 1]."""
        return steps.blend(signal, score, opinion, 0.3)

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "rows": 0,
            "before": math.nan,
            "buys": steps.hawkes(params.decay, _MEMORY, _SHARE),
            "sells": steps.hawkes(params.decay, _MEMORY, _SHARE),
            "usual": steps.ewm_std(2.0 * 600.0),
            "fast": steps.ewm(2.0 * params.decay),
            "slow": steps.ewm(8.0 * params.decay),
            "phase": _QUIET,
            "side": 0,
            "since": 0,
            "peak": 0.0,
            "heat": 0.0,
            "way": 0.0,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side of a burst that propagates, and the other at its exhaustion."""
        price = price_of(row)
        if not (price - price == 0.0 and 0.0 <= row.volume < math.inf):
            return 0, 0.0
        change = price - state.before
        state.before = price
        if change != change:
            return 0, 0.0
        usual = steps.ewm_std.push(state.usual, change)
        fast = steps.ewm.push(state.fast, change)
        slow = steps.ewm.push(state.slow, change)
        state.rows += 1
        now = state.rows * _ROW
        bought, sold = trades_of(row)
        base = state.buys.base + state.sells.base
        # what counts of one row: a print through many levels is one order
        most = 2.0 + 5.0 * base if base > 0.0 else np.inf
        buys = steps.hawkes.push(state.buys, now, min(bought, most))
        sells = steps.hawkes.push(state.sells, now, min(sold, most))
        both, base = buys + sells, state.buys.base + state.sells.base
        if not (both > 0.0 and base > 0.0 and usual > 0.0):
            return 0, 0.0
        one_sided = abs(buys - sells) / both
        if state.phase == _QUIET:
            side = 1 if buys > sells else -1
            heat = max(buys, sells) / (0.5 * base)
            way = side * fast * steps.sqrt(params.decay)
            if not (heat >= params.burst and one_sided >= params.lean):
                return 0, 0.0
            if not (way >= params.run * usual and side * fast > side * slow):
                return 0, 0.0
            state.phase, state.side, state.since = _IGNITION, side, 0
            state.peak, state.heat, state.way = max(buys, sells), heat, 2.0 * params.decay * fast * side
            return 0, 0.0
        mine = buys if state.side > 0 else sells
        ahead = state.side * (buys - sells) / both
        state.since += 1
        state.way += change * state.side
        state.heat = max(state.heat, mine / (0.5 * base))
        state.peak = max(state.peak, mine)
        if state.since > _PATIENCE:
            state.phase = _QUIET
        elif state.phase == _PROPAGATION and (mine <= params.spent * state.peak or ahead <= 0.0):
            state.phase = _QUIET
            return -state.side, steps.squash(1.5 * state.way / (usual * steps.sqrt(float(state.since))))
        elif state.phase == _IGNITION and mine <= params.fade * state.peak:
            state.phase = _PROPAGATION
            return state.side, 0.5 * (1.0 + one_sided) * steps.squash(3.0 * state.heat / params.burst)
        return 0, 0.0
