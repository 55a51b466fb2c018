"""Features of price: returns, averages, and where the close lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core import step, steps
from nexus_core.steps.tool import capacity, record
from nexus_features.facts import DAY, HOUR, MINUTE, Feature

WINDOW, MOMENTUM, RANK, SPAN = 20, 10, 100, 20

_RETURN = "Campbell, Lo, MacKinlay (1997), The econometrics of financial markets, 1.4"
_ACHELIS = "Achelis (2000), Technical analysis from A to Z"


def _simple(name: str, horizon: int) -> Feature:
    formula = "c[t] / c[t - h] - 1, h rows spanning the time, at least one"
    return Feature(name=name, formula=formula, unit="fraction", reference=_RETURN, horizon=horizon, lead=1)


FEATURES = (
    _simple("return_1min", MINUTE),
    _simple("return_5min", 5 * MINUTE),
    _simple("return_15min", 15 * MINUTE),
    _simple("return_1h", HOUR),
    _simple("return_1d", DAY),
    Feature(
        name="log_return",
        formula="ln(c[t] / c[t - 1])",
        unit="fraction",
        reference=_RETURN,
        lead=1,
    ),
    Feature(
        name="price_momentum",
        formula="c[t] - c[t - 10]",
        unit="price",
        reference=_ACHELIS,
        window=MOMENTUM,
        lead=1,
    ),
    Feature(
        name="price_acceleration",
        formula="(c[t] - c[t - 10]) - (c[t - 10] - c[t - 20])",
        unit="price",
        reference="the second difference of price; the change of price_momentum over its own window",
        window=2 * MOMENTUM,
        lead=1,
    ),
    Feature(
        name="sma",
        formula="mean of c over 20 rows",
        unit="price",
        reference=_ACHELIS,
        window=WINDOW,
    ),
    Feature(
        name="ema",
        formula="a + (c - a)·2/21, begun at the first c",
        unit="price",
        reference="Hunter (1986), The exponentially weighted moving average",
        window=SPAN,
        lead=2 * SPAN,
    ),
    Feature(
        name="wma",
        formula="sum(w·c) / sum(w) over 20 rows, w = 1 (oldest) to 20",
        unit="price",
        reference=_ACHELIS,
        window=WINDOW,
    ),
    Feature(
        name="vwap_deviation",
        formula="c / vwap - 1",
        unit="fraction",
        reference="Berkowitz, Logue, Noser (1988), The total cost of transactions on the NYSE",
        needs="volume",
    ),
    Feature(
        name="price_percentile_rank",
        formula="average rank of c among 100 rows, over 100",
        unit="share",
        reference="Connors (2012), An introduction to ConnorsRSI (PercentRank)",
        window=RANK,
    ),
    Feature(
        name="high_low_range",
        formula="(h - l) / c",
        unit="fraction",
        reference="Parkinson (1980), The extreme value method",
    ),
    Feature(
        name="open_close_spread",
        formula="(c - o) / o",
        unit="fraction",
        reference="Nison (1991), Japanese candlestick charting techniques (the real body)",
    ),
    Feature(
        name="gap_percentage",
        formula="100·(o[t] - c[t - 1]) / c[t - 1]",
        unit="percent",
        reference=_ACHELIS,
        lead=1,
    ),
    Feature(
        name="price_zscore",
        formula="(c - mean) / deviation over 20 rows; 0 where nothing moved",
        unit="deviations",
        reference="Bollinger (2001), Bollinger on Bollinger bands",
        window=WINDOW,
    ),
    Feature(
        name="close_location",
        formula="(c - l) / (h - l); 0.5 where h = l",
        unit="share",
        reference="Williams (1973), How I made one million dollars (accumulation)",
    ),
    Feature(
        name="drawdown_1d",
        formula="c / highest c of the rows spanning a day, at least 20, - 1",
        unit="fraction",
        reference="Magdon-Ismail, Atiya (2004), Maximum drawdown",
        window=WINDOW,
        horizon=DAY,
    ),
    Feature(
        name="efficiency_ratio",
        formula="|c[t] - c[t - 10]| / sum of |c[i] - c[i - 1]| over 10 rows; 0 where nothing moved",
        unit="share",
        reference="Kaufman (1995), Smarter trading",
        window=MOMENTUM,
        lead=1,
    ),
)


def state(interval: int) -> np.void:
    """Return the state before the first row."""
    day = FEATURES[-2].rows(interval)
    horizons = [each.rows(interval) for each in FEATURES[:5]]
    return record(
        at=0,
        horizons=np.array(horizons, np.int64),
        closes=np.full(capacity(max(day, 2 * MOMENTUM) + 1), math.nan),
        level=steps.rolling_std(WINDOW),
        ema=steps.ewm(SPAN),
        wma=steps.wma(WINDOW),
        rank=steps.rolling_rank(RANK),
        top=steps.rolling_max(day),
        path=steps.rolling_sum(MOMENTUM),
    )


@step
def push(row: Any, state: Any, out: Any) -> None:
    """Write the features of a row whose prices are known; that of vwap is written with the volume's."""
    close, closes, at = row.close, state.closes, state.at
    mask = closes.size - 1
    closes[at & mask] = close
    state.at = at + 1
    for k in range(5):
        out[k] = close / closes[(at - state.horizons[k]) & mask] - 1.0
    before, past = closes[(at - 1) & mask], closes[(at - MOMENTUM) & mask]
    out[5] = steps.log(close / before)
    out[6] = close - past
    out[7] = (close - past) - (past - closes[(at - 2 * MOMENTUM) & mask])
    deviation = steps.rolling_std.push(state.level, close)
    middle = state.level.whole.mean
    out[8] = middle
    out[9] = steps.ewm.push(state.ema, close)
    out[10] = steps.wma.push(state.wma, close)
    out[12] = steps.rolling_rank.push(state.rank, close)
    reach = row.high - row.low
    out[13] = reach / close
    out[14] = (close - row.open) / row.open
    out[15] = 100.0 * ((row.open - before) / before)
    out[16] = (close - middle) / deviation if deviation > 0.0 else 0.0
    out[17] = (close - row.low) / reach if reach > 0.0 else 0.5
    out[18] = close / steps.rolling_max.push(state.top, close) - 1.0
    path = steps.rolling_sum.push(state.path, abs(close - before))
    out[19] = abs(close - past) / path if path > 0.0 else 0.0
