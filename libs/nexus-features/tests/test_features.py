"""All 65 features against independent oracles, across gaps, in blocks, restored, and cut short."""

import math

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_features import CATEGORIES, FEATURES, NAMES, Standard
from nexus_synthetic import Generator
from scipy import stats

from nexus_core.errors import ConfigError
from nexus_core.market.events import DEPTH, VIEW, unknown
from nexus_core.market.features import NEEDS, FeatureLoop

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 1440 * MINUTE
FIVE = 5 * MINUTE
SETTLED = 700
"""Rows after which nothing is left of how TA-Lib begins Wilder's averages: (13/14)^700 is 3e-23."""
TOLERANCE = 1e-9


def market(size=2500, interval=FIVE, seed=11):
    """Return rows of the synthetic market, and books made up around their closes."""
    rows, _ = Generator(seed, 1, interval).take(size)
    return rows, books(rows, seed)


def books(rows, seed=11):
    draws = np.random.default_rng(seed)
    size = len(rows)
    views = np.zeros(size, VIEW)
    views["known"] = 1
    gaps = draws.integers(1, 5, (2, size, DEPTH)).cumsum(axis=2) * 1e-4
    views["bids"] = rows["close"][:, None] * (1.0 - gaps[0])
    views["asks"] = rows["close"][:, None] * (1.0 + gaps[1])
    for side in ("bid", "ask"):
        views[f"{side}_sizes"] = draws.lognormal(0.0, 1.0, (size, DEPTH))
        shown = draws.integers(3, DEPTH + 1, size)[:, None] > np.arange(DEPTH)
        views[f"{side}_sizes"][~shown] = 0.0
        views[f"{side}s"][~shown] = np.nan
    return views


def run(rows, views, interval=FIVE, size=None, loop=None, **params):
    """Return the features of the rows and what was missing, taken in blocks of `size`."""
    loop = loop or FeatureLoop("standard", Standard(**params), 1, interval)
    out, missing = np.full((len(rows), len(NAMES)), -1.0), np.full(len(rows), -1)
    for at in range(0, len(rows), size or max(len(rows), 1)):
        to = min(at + (size or len(rows)), len(rows))
        loop.run(rows, np.array([at]), np.array([to]), views, out, missing)
    return out, missing


def same(a, b):
    return a.tobytes() == b.tobytes()


# -- oracles: another way to the same number --------------------------------------------------------------


def oracles(rows, views, interval, year=365.0, alpha=0.08, beta=0.9):
    """Return each feature by its definition, from TA-Lib, pandas, SciPy or a loop written here."""
    bars = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}
    found = {**of_price(bars, interval), **of_volume(bars), **of_book(views), **of_momentum(bars)}
    found |= of_volatility(bars, interval, math.sqrt(year * DAY / interval), alpha, beta)
    found["vwap_deviation"] = bars["close"] / found["vwap"] - 1.0
    return {name: np.asarray(values, float) for name, values in found.items()}


def span(horizon, interval, least=1):
    return max(horizon // interval, least)


def of_price(bars, interval):
    c, o, h, low = (pd.Series(bars[each]) for each in ("close", "open", "high", "low"))
    minutes = {"1min": 1, "5min": 5, "15min": 15, "1h": 60, "1d": 1440}
    path = c.diff().abs().rolling(10).sum()
    return {
        **{f"return_{k}": c.pct_change(span(n * MINUTE, interval)) for k, n in minutes.items()},
        "log_return": np.log(c).diff(),
        "price_momentum": talib.MOM(bars["close"], 10),
        "price_acceleration": c.diff(10).diff(10),
        "sma": talib.SMA(bars["close"], 20),
        "ema": c.ewm(span=20, adjust=False).mean(),
        "wma": talib.WMA(bars["close"], 20),
        "price_percentile_rank": c.rolling(100).rank(pct=True),
        "high_low_range": (h - low) / c,
        "open_close_spread": c / o - 1.0,
        "gap_percentage": 100.0 * (o / c.shift() - 1.0),
        "price_zscore": c.rolling(20).apply(lambda x: stats.zscore(x)[-1] if np.ptp(x) else 0.0, raw=True),
        "close_location": np.where(h > low, (c - low) / np.where(h > low, h - low, 1.0), 0.5),
        "drawdown_1d": c / c.rolling(span(DAY, interval, 20)).max() - 1.0,
        "efficiency_ratio": np.where(path > 0.0, c.diff(10).abs() / path.where(path > 0.0, 1.0), 0.0),
    }


def of_volume(bars):
    c, h, low, v = (pd.Series(bars[each]) for each in ("close", "high", "low", "volume"))
    typical = (h + low + c) / 3.0
    sessions = pd.Series(bars["session_id"])
    traded = v.rolling(20).sum()
    fast, slow = (v.ewm(span=each, adjust=False).mean() for each in (12, 26))
    pvo = 100.0 * (fast / slow - 1.0)
    relative = v / v.shift().rolling(20).mean()
    location = ((2.0 * c - h - low) / (h - low)).where(h > low, 0.0)
    bought, sold = (pd.Series(bars[f"{side}_volume"]).rolling(20).sum() for side in ("buy", "sell"))
    below = [
        profile(bars["close"][t - 99 : t + 1], bars["volume"][t - 99 : t + 1]) if t >= 99 else np.nan
        for t in range(len(c))
    ]
    return {
        "volume_ratio": v.rolling(5).mean() / v.rolling(20).mean(),
        "volume_momentum": pvo,
        "volume_acceleration": pvo - pvo.ewm(span=9, adjust=False).mean(),
        "volume_profile": below,
        "vwap": (v * typical).groupby(sessions).cumsum() / v.groupby(sessions).cumsum(),
        "volume_weighted_price": (c * v).rolling(20).sum() / traded,
        "relative_volume": relative,
        "volume_percentile": v.rolling(100).rank(pct=True),
        "volume_clusters": (relative > 1.5).rolling(20).mean(),
        "volume_imbalance": (bought - sold) / (bought + sold),
        "on_balance_volume": pd.Series(talib.OBV(bars["close"], bars["volume"])).diff(20) / traded,
        "money_flow_index": talib.MFI(*(bars[each] for each in ("high", "low", "close", "volume")), 14),
        "chaikin_money_flow": (location * v).rolling(20).sum() / traded,
        "amihud_illiquidity": 1e6
        * (c.pct_change().abs() / (c * v).where(v > 0.0)).rolling(20, min_periods=1).mean(),
        "volume_zscore": v.rolling(20).apply(lambda x: stats.zscore(x)[-1] if np.ptp(x) else 0.0, raw=True),
    }


def profile(closes, volumes):
    last = closes[-1]
    return (volumes[closes < last].sum() + 0.5 * volumes[closes == last].sum()) / volumes.sum()


def of_book(views):
    found = [of_one_book(each) for each in views]
    book = {name: [each[name] for each in found] for name in found[0]}
    book["spread_volatility"] = pd.Series(book["bid_ask_spread"]).rolling(60).std(ddof=0)
    return book


def of_one_book(view):
    bids, asks = (view[f"{side}s"][view[f"{side}_sizes"] > 0] for side in ("bid", "ask"))
    bid_sizes, ask_sizes = (view[f"{side}_sizes"][view[f"{side}_sizes"] > 0] for side in ("bid", "ask"))
    sizes = np.concatenate([bid_sizes, ask_sizes])
    middle, spread = (bids[0] + asks[0]) / 2.0, asks[0] - bids[0]
    bips, depth = spread / middle * 1e4, bids @ bid_sizes + asks @ ask_sizes
    lean = bid_sizes[0] / (bid_sizes[0] + ask_sizes[0])
    return {
        "bid_ask_spread": bips,
        "order_book_imbalance": (bid_sizes.sum() - ask_sizes.sum()) / sizes.sum(),
        "market_depth": depth,
        "liquidity_score": math.log(depth) - math.log(bips),
        "bid_ask_ratio": bid_sizes[0] / ask_sizes[0],
        "order_size_distribution": stats.skew(sizes),
        "top_of_book": 1e4 * (lean - 0.5) * spread / middle,
        "depth_ratio": (bid_sizes[:3].sum() + ask_sizes[:3].sum()) / sizes.sum(),
        "liquidity_concentration": ((sizes / sizes.sum()) ** 2).sum(),
    }


def of_momentum(bars):
    h, low, c = (bars[each] for each in ("high", "low", "close"))
    moves = pd.Series(c).diff()
    rises, falls = (moves.clip(lower=0).rolling(14).sum(), -moves.clip(upper=0).rolling(14).sum())
    flat = talib.MAX(h, 14) == talib.MIN(low, 14)
    place = np.where(flat, 50.0, talib.STOCHF(h, low, c, 14, 1)[0])
    settled = {
        "trend_strength": talib.ADX(h, low, c, 14),
        "directional_movement": talib.PLUS_DI(h, low, c, 14) - talib.MINUS_DI(h, low, c, 14),
    }
    for each in settled.values():
        each[:SETTLED] = np.nan
    fast, slow = (pd.Series(c).ewm(span=each, adjust=False).mean() for each in (12, 26))
    return settled | {
        "rsi": talib.RSI(c, 14),
        "stochastic": pd.Series(place).rolling(3).mean(),
        "macd": fast - slow,
        "roc": talib.ROC(c, 10),
        "williams_r": np.where(flat, -50.0, talib.WILLR(h, low, c, 14)),
        "cci": talib.CCI(h, low, c, 20),
        "momentum_oscillator": (100.0 * (rises - falls) / (rises + falls)).where(rises + falls > 0.0, 0.0),
        "linear_slope": pd.Series(c)
        .rolling(20)
        .apply(lambda x: np.polyfit(np.arange(20), x - x[0], 1)[0], raw=True),
    }


def of_volatility(bars, interval, year, alpha, beta):
    o, h, low, c = (pd.Series(bars[each]) for each in ("open", "high", "low", "close"))
    returns = np.log(c / c.shift())
    short, long = (returns.rolling(each).std() for each in (20, 100))
    squares = np.log(h / low) ** 2
    bodies = 0.5 * squares - (2.0 * math.log(2.0) - 1.0) * np.log(c / o) ** 2
    atr = talib.ATR(*(bars[each] for each in ("high", "low", "close")), 14)
    atr[:SETTLED] = np.nan
    upper, middle, lower = talib.BBANDS(bars["close"], 20, 2.0, 2.0)
    return {
        "historical_volatility": short * year,
        "realised_volatility": np.sqrt((returns**2).rolling(span(DAY, interval, 20)).sum()),
        "parkinson_volatility": np.sqrt(squares.rolling(20).mean() / (4.0 * math.log(2.0))) * year,
        "garman_klass_volatility": np.sqrt(bodies.rolling(20).mean().clip(lower=0.0)) * year,
        "atr": atr,
        "bollinger_width": (upper - lower) / middle,
        "volatility_ratio": short / long,
        "volatility_percentile": (short * year).astype(np.float32).rolling(100).rank(pct=True),
        "garch_volatility": garch(returns.to_numpy(), alpha, beta) * year,
        "volatility_of_volatility": (short * year).rolling(20).std(),
    }


def garch(returns, alpha, beta):
    """Return the deviation expected of the next row, after each row."""
    level, expected, found = math.nan, math.nan, [math.nan]
    for square in (returns[1:] ** 2).tolist():
        first = math.isnan(level)
        level = square if first else level + 2.0 / 501.0 * (square - level)
        omega = (1.0 - alpha - beta) * level
        expected = level if first else omega + alpha * square + beta * expected
        found.append(math.sqrt(expected))
    return np.array(found)


def apart(values, expected):
    """Return the greatest difference where both are known, relative to the value, or to its usual size."""
    known = ~np.isnan(values) & ~np.isnan(expected)
    usual = np.median(np.abs(expected[known])) if known.any() else 0.0
    sizes = np.maximum(np.abs(expected[known]), usual)
    gaps = np.abs(values[known] - expected[known])
    return float(np.max(gaps / np.where(sizes > 0.0, sizes, 1.0), initial=0.0))


@pytest.fixture(scope="module")
def compared():
    rows, views = market()
    return run(rows, views)[0], oracles(rows, views, FIVE)


def test_there_are_65_in_five_categories():
    sizes = {name: len(features) for name, features in CATEGORIES.items()}
    assert sizes == {"price": 20, "volume": 15, "book": 10, "momentum": 10, "volatility": 10}
    assert len(set(NAMES)) == len(FEATURES) == 65
    assert all(each.formula and each.unit and each.reference and each.needs in NEEDS for each in FEATURES)


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_is_what_its_oracle_says(compared, name):
    out, expected = compared
    values = out[:, NAMES.index(name)]
    assert np.sum(~np.isnan(expected[name])) > 1500
    assert apart(values, expected[name]) <= TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_the_first_value_comes_after_the_warmup_and_not_before(compared, name):
    values = compared[0][:, NAMES.index(name)]
    warmup = FEATURES[NAMES.index(name)].warmup(FIVE)
    assert np.isnan(values[:warmup]).all()
    assert not np.isnan(values[warmup:]).any()


@pytest.mark.parametrize("interval", [15 * MINUTE, DAY])
def test_windows_of_time_follow_the_interval(interval):
    rows, views = market(1700, interval)
    out, expected = run(rows, views, interval)[0], oracles(rows, views, interval)
    for name in ("return_15min", "return_1d", "drawdown_1d", "realised_volatility", "historical_volatility"):
        values = out[:, NAMES.index(name)]
        assert np.sum(~np.isnan(values)) > 200
        assert apart(values, expected[name]) <= TOLERANCE


def test_parameters_are_those_of_the_formula():
    rows, views = market(600)
    out, _ = run(rows, views, year=252.0, garch_alpha=0.2, garch_beta=0.5)
    expected = oracles(rows, views, FIVE, 252.0, 0.2, 0.5)
    for name in ("historical_volatility", "garch_volatility", "parkinson_volatility"):
        assert apart(out[:, NAMES.index(name)], expected[name]) <= TOLERANCE


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"garch_alpha 0\.2 and garch_beta 0\.8 come to 1, must be below 1"):
        run(*market(1), garch_alpha=0.2, garch_beta=0.8)
    with pytest.raises(ConfigError, match="interval was 500000000 ns, must be at least one second"):
        run(*market(1), interval=SECOND // 2)


# -- worked by hand ---------------------------------------------------------------------------------------


def test_a_book_worked_by_hand():
    rows, views = market(1)
    view = views[0]
    for side, best, step in (("bid", 99.0, -1.0), ("ask", 101.0, 1.0)):
        view[f"{side}s"] = best + step * np.arange(DEPTH)
    view["bid_sizes"], view["ask_sizes"] = 0.0, 0.0
    view["bid_sizes"][:4], view["ask_sizes"][:4] = (3.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0)
    found = dict(zip(NAMES, run(rows, views)[0][0].tolist(), strict=True))
    assert found["bid_ask_spread"] == 200.0  # 2 in 100
    assert found["order_book_imbalance"] == 0.2  # (6 - 4) / 10
    assert found["market_depth"] == 3 * 99 + 98 + 97 + 96 + 101 + 102 + 103 + 104
    assert found["bid_ask_ratio"] == 3.0
    assert found["top_of_book"] == pytest.approx(50.0)  # micro price (99 + 3·101) / 4 = 100.5
    assert found["depth_ratio"] == 0.8
    assert found["liquidity_concentration"] == pytest.approx(0.16)  # (9 + 7) / 100
    # mean 1.25; m2 = (1.75² + 7·0.25²) / 8; m3 = (1.75³ - 7·0.25³) / 8
    assert found["order_size_distribution"] == pytest.approx(0.65625 / 0.4375**1.5)
    assert math.isnan(found["spread_volatility"])


def test_a_market_that_stands_still_has_the_neutral_values():
    rows, views = market(600)
    for name in ("open", "high", "low", "close"):
        rows[name] = 128.0
    rows["volume"] = 4.0
    found = dict(zip(NAMES, run(rows, views)[0][-1].tolist(), strict=True))
    assert not any(math.isnan(each) for each in found.values())
    neutral = {
        "rsi": 50.0, "stochastic": 50.0, "williams_r": -50.0, "cci": 0.0, "momentum_oscillator": 0.0,
        "trend_strength": 0.0, "price_zscore": 0.0, "close_location": 0.5, "efficiency_ratio": 0.0,
        "money_flow_index": 50.0, "chaikin_money_flow": 0.0, "volume_zscore": 0.0, "volume_ratio": 1.0,
        "volatility_ratio": 1.0, "garch_volatility": 0.0, "price_percentile_rank": 0.505,
        "volume_profile": 0.5,
        "sma": 128.0, "ema": 128.0, "wma": 128.0, "vwap": 128.0, "linear_slope": 0.0, "atr": 0.0,
    }  # fmt: skip
    assert {name: found[name] for name in neutral} == neutral


# -- what is missing --------------------------------------------------------------------------------------


def of_need(need):
    return np.array([each.needs == need for each in FEATURES])


BREAKS = {
    "bar": (("close", np.nan), ("open", 0.0), ("high", np.inf), ("low", -1.0)),
    "volume": (("volume", np.nan), ("volume", -1.0), ("volume", np.inf)),
    "trade": (("buy_volume", np.nan), ("sell_volume", -1.0)),
}


@pytest.mark.parametrize(("need", "field", "value"), [(k, *each) for k, v in BREAKS.items() for each in v])
def test_a_row_without_what_a_feature_needs_is_passed_over(need, field, value):
    rows, views = market(500)
    gone = np.zeros(500, bool)
    gone[[0, 7, 250, 251, 252, 400]] = True
    whole, none = run(rows, views)
    assert not none.any()
    rows[field][gone] = value
    out, missing = run(rows, views)
    lost = {"bar": ("bar", "volume", "trade"), "volume": ("volume",), "trade": ("trade",)}[need]
    assert (missing[gone] == sum(1 << NEEDS.index(each) for each in lost)).all()
    assert not missing[~gone].any()
    hit = np.logical_or.reduce([of_need(each) for each in lost])
    assert np.isnan(out[np.ix_(gone, hit)]).all()
    assert same(out[:, ~hit], whole[:, ~hit])
    # what follows is as if those rows had never been
    assert same(out[np.ix_(~gone, hit)], run(rows[~gone], views[~gone])[0][:, hit])


BOOKS = [("known", 0), ("bids", np.nan), ("ask_sizes", 0.0), ("asks", 1e-9), ("asks", np.inf)]


@pytest.mark.parametrize(("field", "value"), BOOKS)
def test_a_row_without_a_book_has_nan_and_a_flag_and_they_come_back(field, value):
    rows, views = market(300)
    gone = np.zeros(300, bool)
    gone[100:180] = True
    views[field][gone] = value
    out, missing = run(rows, views)
    hit = of_need("book")
    assert hit.sum() == 10
    assert (missing == np.where(gone, 8, 0)).all()
    assert np.isnan(out[np.ix_(gone, hit)]).all()
    assert not np.isnan(out[np.ix_(~gone, hit)][59:]).any()
    assert same(out[np.ix_(~gone, hit)], run(rows[~gone], views[~gone])[0][:, hit])


def test_one_view_may_stand_for_all_rows():
    rows, _ = market(50)
    out, missing = run(rows, unknown())
    assert (missing == 8).all()
    assert np.isnan(out[:, of_need("book")]).all()


def test_a_window_without_volume_has_no_ratios_and_no_infinity():
    rows, views = market(300)
    rows["volume"][100:130] = 0.0
    out, missing = run(rows, views)
    assert not missing.any()
    assert not np.isinf(out).any()
    lost = [NAMES[k] for k in np.flatnonzero(np.isnan(out[125]) & ~np.isnan(out[99]))]
    assert lost == [
        "volume_ratio", "volume_weighted_price", "relative_volume", "on_balance_volume",
        "chaikin_money_flow", "amihud_illiquidity",
    ]  # fmt: skip
    assert not np.isnan(out[160, ~np.isnan(out[99])]).any()


# -- blocks, restoring, no look ahead ---------------------------------------------------------------------


def holed(size=400):
    """Return a market in which one row in ten lacks each thing."""
    rows, views = market(size)
    draws = np.random.default_rng(3)
    for name in ("close", "volume", "buy_volume"):
        rows[name][draws.random(size) < 0.1] = np.nan
    rows["volume"][draws.random(size) < 0.1] = 0.0
    views["known"][draws.random(size) < 0.1] = 0
    return rows, views


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_give_the_same_bits(size):
    rows, views = holed()
    one, other = (FeatureLoop("standard", Standard(), 1, FIVE) for _ in range(2))
    out, missing = run(rows, views, loop=one)
    cut, told = run(rows, views, size=size, loop=other)
    assert same(out, cut)
    assert same(missing, told)
    assert same(one.states, other.states)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400))
def test_no_feature_depends_on_later_rows_and_a_restored_state_goes_on(cut):
    rows, views = holed()
    out, _ = run(rows, views)
    early, late = (FeatureLoop("standard", Standard(), 1, FIVE) for _ in range(2))
    prefix, _ = run(rows[:cut], views[:cut], loop=early)
    assert same(prefix, out[:cut])
    late.states[:] = np.frombuffer(early.states.tobytes(), early.states.dtype)
    assert same(run(rows[cut:], views[cut:], loop=late)[0], out[cut:])


def test_symbols_are_kept_apart():
    (a, books_a), (b, books_b) = market(200), market(150, seed=5)
    loop = FeatureLoop("standard", Standard(), 2, FIVE)
    rows, views = np.concatenate([a, b]), np.concatenate([books_a, books_b])
    out, missing = np.zeros((350, 65)), np.zeros(350, np.int64)
    loop.run(rows, np.array([0, 200]), np.array([200, 350]), views, out, missing)
    assert same(out[:200], run(a, books_a)[0])
    assert same(out[200:], run(b, books_b)[0])
