"""What the rows are like: sane at every row, and like a market over many."""

import math

import numpy as np
import pytest
from nexus_synthetic import DOWN, RANGE, TURBULENT, UP, Generator, anchor, default_price_tick

from nexus_core import compile
from nexus_core.records import ROW

SYMBOLS = 3
DAY, MINUTE, HOUR = 86_400 * 10**9, 60 * 10**9, 3600 * 10**9
compiled = pytest.mark.skipif(not compile.JIT, reason="NEXUS_JIT=0: too slow as plain Python")


def market(seed, bars, **more):
    rows, _, truth = Generator(seed, SYMBOLS, **more).take_with_truth(bars)
    return rows.reshape(SYMBOLS, bars), truth.reshape(SYMBOLS, bars)


@pytest.fixture(scope="module")
def short():
    return market(3, 1500)


@pytest.fixture(scope="module", params=range(1, 6))
def long(request):
    return market(request.param, 100_000)


def test_every_number_is_finite_and_prices_and_sizes_are_above_zero(short):
    rows, _ = short
    for name in ROW.names:
        assert np.isfinite(rows[name]).all()
    for name in ("open", "high", "low", "close", "bid", "ask", "bid_size", "ask_size", "volume", "trades"):
        assert (rows[name] > 0).all()


def test_high_and_low_bound_the_bar_and_the_last_trade_is_at_the_touch(short):
    rows, _ = short
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert (rows["bid"] < rows["ask"]).all()
    rose = rows["close"] > rows["open"]
    assert (np.where(rose, rows["ask"], rows["bid"]) == rows["close"]).all()


def test_bought_and_sold_make_the_volume(short):
    rows, _ = short
    assert (rows["buy_volume"] + rows["sell_volume"] == rows["volume"]).all()
    assert (np.minimum(rows["buy_volume"], rows["sell_volume"]) > 0).all()


def test_a_bar_opens_within_a_small_gap_of_the_close_before_it(short):
    rows, truth = short
    gap = np.abs(rows["open"][:, 1:] - rows["close"][:, :-1])
    ticks = np.array([[default_price_tick(s) / 1e8] for s in range(SYMBOLS)])
    assert (gap <= 0.2 * truth["volatility"][:, 1:] * rows["close"][:, :-1] + 0.51 * ticks).all()
    assert rows["open"][:, 0] == pytest.approx([anchor(s) for s in range(SYMBOLS)], rel=0.001)


@pytest.mark.parametrize("given", [None, [1, 25_000_000, 10**11], [10**13, 7, 10**8]])
def test_prices_lie_on_the_grid_as_the_nearest_floats(given):
    units = given or [default_price_tick(s) for s in range(SYMBOLS)]
    rows, _ = market(5, 400, price_ticks=given)
    for s, unit in enumerate(units):
        for name in ("open", "high", "low", "close", "bid", "ask"):
            whole = np.rint(rows[name][s] * 1e8 / unit)
            assert (rows[name][s] == whole * unit / 1e8).all()
            assert (whole >= 1).all()
    assert len(np.unique(rows["close"][0])) > 3


def test_anchors_and_default_ticks_of_the_first_thousand_symbols():
    assert (anchor(0), default_price_tick(0)) == (60_000.0, 1_000_000)
    prices = [anchor(s) for s in range(1000)]
    assert 0.5 <= min(prices) < 1.0
    assert 40_000.0 < max(prices) <= 60_000.0
    for s, price in enumerate(prices):
        tick = default_price_tick(s)
        assert tick * 5000 <= price * 1e8
        assert tick == 1_000_000 or tick * 50_000 > price * 1e8


def test_session_columns_follow_the_utc_day():
    rows, _ = market(1, 1442)
    day = 20_454  # 2026-01-01
    columns = ("session_id", "minute_of_session", "minutes_to_close")
    seen = {i: tuple(int(rows[name][0, i]) for name in columns) for i in (0, 1438, 1439, 1440)}
    assert seen == {0: (day, 1, 1439), 1438: (day, 1439, 1), 1439: (day, 1440, 0), 1440: (day + 1, 1, 1439)}
    assert rows["ts"][0, 1439] == (day + 1) * DAY
    half, _ = market(1, 3, interval=MINUTE // 2)
    assert half["minute_of_session"][0].tolist() == [0, 1, 1]


@pytest.mark.parametrize("interval", [1, 10**6, 10**9, HOUR, DAY, 7 * DAY])
def test_bars_of_every_length_are_sane(interval):
    rows, truth = market(2, 300, interval=interval)
    assert (np.diff(rows["ts"]) == interval).all()
    assert (rows["low"] > 0).all()
    assert (rows["high"] >= rows["low"]).all()
    assert (rows["bid"] < rows["ask"]).all()
    assert (rows["trades"] > 0).all()
    assert (truth["volatility"] > 0).all()
    assert (truth["volatility"] <= 0.03).all()


def returns(rows):
    return np.diff(np.log(rows["close"]), axis=-1)


def echo(x, lag, where=None):
    """Autocorrelation at a lag, over the pairs that `where` admits at both ends."""
    early, late = x[:-lag], x[lag:]
    if where is not None:
        both = where[:-lag] & where[lag:]
        early, late = early[both], late[both]
    return float(np.corrcoef(early, late)[0, 1])


@compiled
def test_tails_are_fat_and_volatility_clusters(long):
    for moves in returns(long[0]):
        z = (moves - moves.mean()) / moves.std()
        assert (z**4).mean() - 3.0 > 3.0
        assert echo(np.abs(moves), 1) > 0.15
        assert echo(np.abs(moves), 50) > 0.05


@compiled
def test_outside_a_range_a_return_says_nothing_of_the_next_and_within_one_the_price_comes_back(long):
    rows, truth = long
    for s in range(SYMBOLS):
        # in units of the bar's own volatility and cut at four, so that no jump decides
        z = np.clip(returns(rows)[s] / truth["volatility"][s, 1:], -4.0, 4.0)
        ranging = truth["regime"][s, 1:] == RANGE
        assert abs(echo(z, 1, ~ranging)) < 0.025
        away = (rows["close"][s] / truth["fair"][s] - 1.0)[:-1] / truth["volatility"][s, 1:]
        assert np.corrcoef(away[ranging], z[ranging])[0, 1] < -0.08
        assert np.corrcoef(away[~ranging], z[~ranging])[0, 1] > -0.02


@compiled
def test_all_regimes_come_and_each_does_what_its_name_says(long):
    rows, truth = long
    for s in range(SYMBOLS):
        regime = truth["regime"][s, 1:]
        assert (np.bincount(regime, minlength=4) / regime.size > 0.02).all()
        z = np.clip(returns(rows)[s] / truth["volatility"][s, 1:], -4.0, 4.0)
        assert z[regime == UP].mean() > 0.03
        assert z[regime == DOWN].mean() < -0.03
        size = np.abs(returns(rows)[s])
        assert size[regime == TURBULENT].mean() > 1.7 * size[regime != TURBULENT].mean()


@compiled
def test_symbols_move_together_but_not_as_one(long):
    correlation = np.corrcoef(returns(long[0]))[np.triu_indices(SYMBOLS, 1)]
    assert (correlation > 0.25).all()
    assert (correlation < 0.75).all()


@compiled
def test_the_day_has_its_hours_and_volume_comes_with_movement(long):
    rows, _ = long
    hour = (rows["minute_of_session"][0] - 1) // 60
    for s in range(SYMBOLS):
        size = np.abs(np.log(rows["close"][s] / rows["open"][s]))
        assert size[hour == 14].mean() > 1.3 * size[hour == 4].mean()
        assert rows["volume"][s, hour == 14].mean() > 1.3 * rows["volume"][s, hour == 4].mean()
        assert np.corrcoef(size, rows["volume"][s])[0, 1] > 0.4
        bought = rows["buy_volume"][s] / rows["volume"][s]
        assert np.corrcoef(bought, rows["close"][s] - rows["open"][s])[0, 1] > 0.3


@compiled
def test_extremes_are_those_of_a_brownian_bridge(long):
    # high (high - close), both counted from the open, is half the variance times a standard exponential
    # number, and so is the same of the low: Rogers and Satchell (1991) build their estimator on it
    rows, truth = long
    s, variance = 0, truth["volatility"][0] ** 2
    high, low, close = (rows[name][s] / rows["open"][s] - 1.0 for name in ("high", "low", "close"))
    up, down = 2.0 * high * (high - close) / variance, 2.0 * low * (low - close) / variance
    for part in (up, down):
        assert part.mean() == pytest.approx(1.0, abs=0.02)
        assert np.median(part) == pytest.approx(math.log(2.0), abs=0.02)
        assert (part > 3.0).mean() == pytest.approx(math.exp(-3.0), abs=0.004)
    assert abs(np.corrcoef(up, down)[0, 1]) < 0.02


@compiled
@pytest.mark.parametrize("seed", [1, 2])
def test_half_a_million_bars_neither_explode_nor_die(seed):
    rows, _ = market(seed, 500_000)
    for s in range(SYMBOLS):
        assert rows["low"][s].min() > anchor(s) / 3.0
        assert rows["high"][s].max() < anchor(s) * 3.0
        halves = np.log(rows["close"][s]).reshape(10, -1).mean(axis=1)
        assert np.ptp(halves) < 0.5
