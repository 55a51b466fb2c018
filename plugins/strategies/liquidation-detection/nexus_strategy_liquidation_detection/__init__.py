"""Detect cascades of forced trades: with them as they speed up, against them when they are spent.

A position that is closed by force moves the price, and the price forces the next one: trades come in bursts,
to one side, and the price runs faster and faster until nobody is left to be forced (Brunnermeier and Pedersen
2009, *Market liquidity and funding liquidity*, Review of Financial Studies 22; Cont and Wagalath 2013,
*Running for the exit: distressed selling and endogenous correlation in financial markets*, Mathematical
Finance 23). The burst is measured as the intensity of trades that excite one another (Hawkes 1971, *Spectra
of some self-exciting and mutually exciting point processes*, Biometrika 58), a row of the market being the
unit of time. Trades are counted, not weighed, and only so many of a row: one large print is no cascade.

Rows alone do; the sides of their trades are taken from the bar where the feed knows none. Where it tells of
forced trades each of them counts several times. Price turned over, p -> 2 p0 - p, gives the negated signals.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.market.events import LIQUIDATION, TRADE
from nexus_core.strategy import Param, Strategy

_ROW = 1_000_000_000  # a row stands for a second of the intensities' time
_MEMORY = 2400.0
_SHARE = 0.8
_PATIENCE = 180  # rows after which a cascade that never ended is given up


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


class LiquidationDetection(Strategy):
    """Go with a one-sided burst of trades while it runs faster, against it when its intensity has halved."""

    nexus_api = 1
    category = "order_flow"
    needs = {"bar", "volume"}
    hears = "optional"
    row_seconds = 1.0
    horizon = 30
    warmup = 300
    slot = "pattern-recognition"
    targets = {"within": 10, "hits": 0.95, "false": 1.0, "precision": 0.8, "recall": 0.6}

    decay = Param(5.0, low=1.0, high=100.0, help="Rows in which the excitement by a trade falls to 1/e")
    burst = Param(8.0, low=1.0, high=100.0, help="Intensity of one side that counts, in usual ones of a side")
    lean = Param(0.6, low=0.0, high=1.0, help="Share by which one side's intensity exceeds the other's")
    run = Param(0.5, low=0.0, high=50.0, help="Way of the price to that side that counts, in usual ways")
    spent = Param(
        0.5, low=0.05, high=0.95, help="Part of its peak to which a spent cascade's intensity falls"
    )
    forced = Param(
        3.0, low=1.0, high=20.0, help="How many trades a trade counts that was published as forced"
    )

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
            "forced_buys": 0,
            "forced_sells": 0,
            "buys": steps.hawkes(params.decay, _MEMORY, _SHARE),
            "sells": steps.hawkes(params.decay, _MEMORY, _SHARE),
            "usual": steps.ewm_std(2.0 * _MEMORY),
            "fast": steps.ewm(params.decay),
            "slow": steps.ewm(4.0 * params.decay),
            "side": 0,
            "peak": 0.0,
            "since": 0,
            "heat": 0.0,
        }

    @staticmethod
    def on_event(event, book, state, params):
        """Count a trade that was published as forced."""
        if event.kind == TRADE and event.flags & LIQUIDATION:
            state.forced_buys += int(event.side > 0)
            state.forced_sells += int(event.side < 0)

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side of a cascade that speeds up, and the other when it is spent."""
        extra = params.forced - 1.0
        more_buys, more_sells = extra * state.forced_buys, extra * state.forced_sells
        state.forced_buys = state.forced_sells = 0
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
        buys = steps.hawkes.push(state.buys, now, min(bought + more_buys, most))
        sells = steps.hawkes.push(state.sells, now, min(sold + more_sells, most))
        both = buys + sells
        base = state.buys.base + state.sells.base
        if not (both > 0.0 and base > 0.0 and usual > 0.0):
            return 0, 0.0
        one_sided = abs(buys - sells) / both
        heat = max(buys, sells) / (0.5 * base)
        if state.side == 0:
            side = 1 if buys > sells else -1
            way = side * fast * steps.sqrt(params.decay)
            quickens = heat >= params.burst and one_sided >= params.lean
            if not (quickens and way >= params.run * usual and side * fast > side * slow):
                return 0, 0.0
            state.side, state.peak, state.since, state.heat = side, max(buys, sells), 0, heat
            return side, one_sided * steps.squash(3.0 * heat / params.burst)
        mine = buys if state.side > 0 else sells
        state.peak, state.heat = max(state.peak, mine), max(state.heat, heat)
        state.since += 1
        if mine <= params.spent * state.peak or state.since > _PATIENCE:
            side = -state.side
            state.side = 0
            if state.since <= _PATIENCE:
                fierce = state.heat / params.burst
                return side, steps.squash(0.5 * fierce * fierce)
        return 0, 0.0
