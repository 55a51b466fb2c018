"""Features of volume: how much is traded beside before, at what prices, and by whom."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core import step, steps
from nexus_core.steps.tool import capacity, record
from nexus_features.facts import Feature

WINDOW, SHORT, RANK, FLOW = 20, 5, 100, 14
FAST, SLOW, SIGNAL = 12, 26, 9
CLUSTER = 1.5
ROUNDING = 1e-12
"""A mean price that differs by less than this share is the same, and rounding is all that moved."""

_MURPHY = "Murphy (1999), Technical analysis of the financial markets, 7"
_APPEL = "Appel (2005), Technical analysis: power tools (MACD, applied to volume as the PVO)"

FEATURES = (
    Feature(
        name="volume_ratio",
        formula="mean of v over 5 rows / mean of v over 20",
        unit="ratio",
        reference=_MURPHY,
        needs="volume",
        window=WINDOW,
    ),
    Feature(
        name="volume_momentum",
        formula="p = 100·(ema(v, 12) - ema(v, 26)) / ema(v, 26)",
        unit="percent",
        reference=_APPEL,
        needs="volume",
        window=SLOW,
        lead=2 * SLOW,
    ),
    Feature(
        name="volume_acceleration",
        formula="p - ema(p, 9) of p in volume_momentum",
        unit="percent",
        reference=_APPEL,
        needs="volume",
        window=SLOW,
        lead=2 * SLOW + SIGNAL,
    ),
    Feature(
        name="volume_profile",
        formula="share of the volume of 100 rows that was traded at closes below c, half of that at c",
        unit="share",
        reference="Steidlmayer, Hawkins (2003), Steidlmayer on markets (volume at price)",
        needs="volume",
        window=RANK,
    ),
    Feature(
        name="vwap",
        formula="sum(v·p) / sum(v) since the session began, p = (h + l + c) / 3",
        unit="price",
        reference="Berkowitz, Logue, Noser (1988), The total cost of transactions on the NYSE",
        needs="volume",
    ),
    Feature(
        name="volume_weighted_price",
        formula="sum(v·c) / sum(v) over 20 rows",
        unit="price",
        reference="Arms (1989), The Arms index (volume-weighted moving average)",
        needs="volume",
        window=WINDOW,
    ),
    Feature(
        name="relative_volume",
        formula="v / mean of v over the 20 rows before",
        unit="ratio",
        reference="Bulkowski (2005), Encyclopedia of chart patterns; usual screeners (RVOL)",
        needs="volume",
        window=WINDOW,
        lead=1,
    ),
    Feature(
        name="volume_percentile",
        formula="average rank of v among 100 rows, over 100",
        unit="share",
        reference="Gervais, Kaniel, Mingelgrin (2001), The high-volume return premium",
        needs="volume",
        window=RANK,
    ),
    Feature(
        name="volume_clusters",
        formula="share of 20 rows whose relative_volume was above 1.5",
        unit="share",
        reference="Lamoureux, Lastrapes (1990), Heteroskedasticity in stock return data: volume in clusters",
        needs="volume",
        window=WINDOW,
        lead=WINDOW,
    ),
    Feature(
        name="volume_imbalance",
        formula="(buys - sells) / (buys + sells) over 20 rows",
        unit="share, signed",
        reference="Chordia, Roll, Subrahmanyam (2002), Order imbalance, liquidity, and market returns",
        needs="trade",
        window=WINDOW,
    ),
    Feature(
        name="on_balance_volume",
        formula="sum(sign(c[t] - c[t - 1])·v) / sum(v) over 20 rows",
        unit="share, signed",
        reference="Granville (1963), New key to stock market profits; over a window and its volume",
        needs="volume",
        window=WINDOW,
        lead=1,
    ),
    Feature(
        name="money_flow_index",
        formula="100·up / (up + down), sums of v·p over 14 rows where p = (h + l + c) / 3 rose and fell",
        unit="0 to 100",
        reference="Quong, Soudack (1989), Volume-weighted RSI: money flow",
        needs="volume",
        window=FLOW,
        lead=1,
    ),
    Feature(
        name="chaikin_money_flow",
        formula="sum(v·(2c - h - l) / (h - l)) / sum(v) over 20 rows; rows of h = l add no flow",
        unit="share, signed",
        reference="Achelis (2000), Technical analysis from A to Z (Chaikin)",
        needs="volume",
        window=WINDOW,
    ),
    Feature(
        name="amihud_illiquidity",
        formula="1e6·mean of |c[t] / c[t - 1] - 1| / (c·v) over 20 rows, of those with volume",
        unit="per million traded",
        reference="Amihud (2002), Illiquidity and stock returns",
        needs="volume",
        window=WINDOW,
        lead=1,
    ),
    Feature(
        name="volume_zscore",
        formula="(v - mean) / deviation over 20 rows; 0 where it did not change",
        unit="deviations",
        reference="Ajinkya, Jain (1989), The behavior of daily stock market trading volume (standardised)",
        needs="volume",
        window=WINDOW,
    ),
)


def state() -> np.void:
    """Return the state before the first row."""
    total, size = steps.rolling_sum(WINDOW), capacity(RANK)
    return record(
        close=math.nan,
        typical=math.nan,
        at=0,
        prices=np.zeros(size),
        sizes=np.zeros(size),
        all=steps.rolling_sum(RANK),
        short=steps.rolling_mean(SHORT),
        usual=steps.rolling_std(WINDOW),
        fast=steps.ewm(FAST),
        slow=steps.ewm(SLOW),
        signal=steps.ewm(SIGNAL),
        vwap=steps.session_vwap(),
        traded=total,
        worth=total,
        signed=total,
        chaikin=total,
        rank=steps.rolling_rank(RANK),
        clusters=steps.rolling_sum(WINDOW),
        up=steps.rolling_sum(FLOW),
        down=steps.rolling_sum(FLOW),
        impact=steps.rolling_mean(WINDOW),
    )


def sides() -> np.void:
    """Return the state before the first row whose volume is known by side."""
    return record(bought=steps.rolling_sum(WINDOW), sold=steps.rolling_sum(WINDOW))


@step
def ratio(x: float, y: float) -> float:
    """Return x / y where y is above 0, else NaN: nothing was traded."""
    return x / y if y > 0.0 else np.float64(np.nan)


@step
def _profile(state: Any, close: float, volume: float) -> float:
    prices, sizes, at = state.prices, state.sizes, state.at
    prices[at], sizes[at] = close, volume
    state.at = at + 1 if at + 1 < RANK else 0
    # sums of several lanes wait less for each other
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(0, RANK, 2):
        a += sizes[i] if prices[i] < close else 0.0
        b += sizes[i] if prices[i] <= close else 0.0
        c += sizes[i + 1] if prices[i + 1] < close else 0.0
        d += sizes[i + 1] if prices[i + 1] <= close else 0.0
    return ratio(0.5 * ((a + c) + (b + d)), steps.rolling_sum.push(state.all, volume))


@step
def _pace(state: Any, volume: float, out: Any) -> None:
    before = state.usual.whole.mean
    short = steps.rolling_mean.push(state.short, volume)
    deviation = steps.rolling_std.push(state.usual, volume)
    usual = state.usual.whole.mean
    out[0] = ratio(short, usual)
    fast, slow = steps.ewm.push(state.fast, volume), steps.ewm.push(state.slow, volume)
    momentum = 100.0 * ratio(fast - slow, slow)
    out[1] = momentum
    out[2] = momentum - steps.ewm.push(state.signal, momentum)
    out[6] = ratio(volume, before)
    out[7] = steps.rolling_rank.push(state.rank, volume)
    out[8] = steps.rolling_sum.push(state.clusters, 1.0 if out[6] > CLUSTER else 0.0) / WINDOW
    out[14] = (volume - usual) / deviation if deviation > 0.0 else 0.0


@step
def push(row: Any, state: Any, out: Any) -> None:
    """Write the features of a row whose prices and volume are known, but for `volume_imbalance`."""
    close, volume, last = row.close, row.volume, state.close
    typical = (row.high + row.low + close) / 3.0
    _pace(state, volume, out)
    out[3] = _profile(state, close, volume)
    vwap, _ = steps.session_vwap.push(state.vwap, row.session_id, typical, volume)
    out[4] = vwap
    traded = steps.rolling_sum.push(state.traded, volume)
    out[5] = ratio(steps.rolling_sum.push(state.worth, volume * close), traded)
    sign = int(close > last) - int(close < last)
    out[10] = ratio(steps.rolling_sum.push(state.signed, sign * volume), traded)
    flow = typical * volume
    move, least = typical - state.typical, ROUNDING * typical
    up = steps.rolling_sum.push(state.up, flow if move > least else 0.0)
    down = steps.rolling_sum.push(state.down, flow if move < -least else 0.0)
    out[11] = 100.0 * (up / (up + down)) if up + down > 0.0 else 50.0
    reach = row.high - row.low
    location = ((close - row.low) - (row.high - close)) / reach if reach > 0.0 else 0.0
    out[12] = ratio(steps.rolling_sum.push(state.chaikin, location * volume), traded)
    impact = 1e6 * ratio(abs(close / last - 1.0), close * volume)
    out[13] = steps.rolling_mean.push(state.impact, impact)
    state.close, state.typical = close, typical


@step
def imbalance(row: Any, state: Any) -> float:
    """Return `volume_imbalance` of a row whose volume is known by side."""
    bought = steps.rolling_sum.push(state.bought, row.buy_volume)
    sold = steps.rolling_sum.push(state.sold, row.sell_volume)
    return ratio(bought - sold, bought + sold)
