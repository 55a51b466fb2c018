"""Kyle's lambda, Roll's spread and Amihud's illiquidity, against slow definitions and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from nexus_core import compile, steps
from nexus_core.errors import PluginError

NAN = math.nan
_TWO = """
def entry(states, xs, ys, out):
    for i in range(xs.size):
        out[i, 0] = push(states[0], xs[i], ys[i])
        out[i, 1] = states[0].t
"""
_ONE = """
def entry(states, xs, out):
    for i in range(xs.size):
        out[i] = push(states[0], xs[i])
"""
_PAIR = """
def entry(states, xs, ys, out):
    for i in range(xs.size):
        out[i] = push(states[0], xs[i], ys[i])
"""


def fitted(flow, change, window, origin=False):
    states, out = np.array([steps.kyle_lambda(window, origin)]), np.zeros((len(flow), 2))
    entry = compile.entry("two", _TWO, {"push": steps.kyle_lambda.push})
    compile.call(entry, states, np.array(flow, float), np.array(change, float), out)
    return out


def rolled(tool, state, *columns):
    out = np.zeros(len(columns[0]))
    entry = compile.entry("one", _ONE if len(columns) == 1 else _PAIR, {"push": tool.push})
    compile.call(entry, np.array([state]), *[np.array(each, float) for each in columns], out)
    return out


def market(seed, size=120):
    rng = np.random.default_rng(seed)
    flow = rng.normal(size=size)
    return flow, 0.3 * flow + rng.normal(size=size)


@pytest.mark.parametrize("window", [8, 30])
def test_lambda_is_the_slope_of_least_squares_with_its_t(window):
    flow, change = market(1)
    flow[20], change[50], change[51] = NAN, math.inf, NAN
    found = fitted(flow, change, window)
    for i in range(3, len(flow)):
        x, y = flow[max(i + 1 - window, 0) : i + 1], change[max(i + 1 - window, 0) : i + 1]
        known = np.isfinite(x + y)
        line = linregress(x[known], y[known])
        assert found[i] == pytest.approx((line.slope, line.slope / line.stderr), rel=1e-9)


def test_through_the_origin_what_goes_on_counts_as_impact():
    flow, change = market(2)
    found = fitted(flow + 2.0, change + 1.0, 25, origin=True)
    for i in range(25, len(flow)):
        x, y = (flow + 2.0)[i - 24 : i + 1], (change + 1.0)[i - 24 : i + 1]
        slope = (x @ y) / (x @ x)
        error = math.sqrt(((y - slope * x) ** 2).sum() / 24 / (x @ x))
        assert found[i] == pytest.approx((slope, slope / error), rel=1e-9)
    steady = fitted([2.0] * 10, [1.0] * 10, 5, origin=True)[-1]
    assert steady[0] == 0.5


def test_where_nothing_can_be_fitted_lambda_is_not_known():
    assert np.isnan(fitted([1, 2], [1, 2], 5)).all()
    assert np.isnan(fitted([1.0] * 6, [1, 2, 3, 1, 2, 3], 5)).all()
    assert np.isnan(fitted([0.0] * 6, [1, 2, 3, 1, 2, 3], 5, origin=True)).all()
    assert fitted([1, 2, 3], [2, 4, 6], 3)[-1].tolist() == [2.0, math.inf]
    assert fitted([1, 2, 3], [-2, -4, -6], 3)[-1].tolist() == [-2.0, -math.inf]


def test_turning_both_over_leaves_lambda_as_it_is():
    flow, change = market(3)
    assert fitted(-flow, -change, 20).tobytes() == fitted(flow, change, 20).tobytes()


def test_the_spread_of_a_price_between_bid_and_ask_is_found():
    rng = np.random.default_rng(4)
    price = 1000 + np.cumsum(rng.normal(size=20_000) * 0.1) + rng.choice([-1.0, 1.0], 20_000)
    assert rolled(steps.roll_spread, steps.roll_spread(19_000), price)[-1] == pytest.approx(2.0, rel=0.05)


@given(st.lists(st.floats(-1e3, 1e3) | st.just(NAN), max_size=40))
def test_the_spread_is_that_of_the_covariance_of_changes(prices):
    found = rolled(steps.roll_spread, steps.roll_spread(6), prices)
    change = np.diff(np.array([NAN, *prices]))
    for i in range(len(prices)):
        x, y = change[max(i - 6, 0) : i][-6:], change[max(i - 5, 1) : i + 1]
        x = x[len(x) - len(y) :] if len(x) >= len(y) else x
        y = y[len(y) - len(x) :]
        known = np.isfinite(x + y)
        if known.sum() < 2:
            assert math.isnan(found[i])
        else:
            x, y = x[known], y[known]
            covariance = ((x - x.mean()) * (y - y.mean())).mean()
            assert found[i] == pytest.approx(2 * math.sqrt(max(-covariance, 0)), rel=1e-4, abs=1e-2)


def test_a_trend_has_no_spread():
    assert rolled(steps.roll_spread, steps.roll_spread(10), np.arange(20.0))[-1] == 0.0


def test_illiquidity_is_the_mean_return_over_value_of_rows_with_trades():
    found = rolled(steps.amihud, steps.amihud(3), [0.1, -0.2, 0.5, NAN, 0.3], [1.0, 2.0, 0.0, 5.0, 1.0])
    assert found == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.3])
    assert np.isnan(rolled(steps.amihud, steps.amihud(3), [0.1], [0.0])).all()


@pytest.mark.parametrize(("tool", "least"), [("kyle_lambda", 3), ("roll_spread", 2), ("amihud", 1)])
def test_a_window_that_is_too_short_is_refused(tool, least):
    with pytest.raises(PluginError, match=rf"steps\.{tool}: .* at least {least}"):
        getattr(steps, tool)(least - 1)
