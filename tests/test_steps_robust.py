"""Median, median absolute deviation and robust score against slow definitions."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from nexus_core import compile, steps
from nexus_core.errors import PluginError

NAN, INF = math.nan, math.inf

_PAIR = """
def entry(states, xs, median, deviation):
    for i in range(xs.size):
        median[i], deviation[i] = push(states[0], xs[i])
"""
_ONE = """
def entry(states, xs, out):
    for i in range(xs.size):
        out[i] = push(states[0], xs[i])
"""

numbers = st.floats(-1e6, 1e6) | st.sampled_from([NAN, INF, -INF, 0.0, 1.0, 2.0, -3.0])
series = st.lists(numbers, max_size=60)
windows = st.sampled_from((1, 2, 5, 8))


def spread(xs, window):
    median, deviation = np.zeros(len(xs)), np.zeros(len(xs))
    entry = compile.entry("mad", _PAIR, {"push": steps.mad.push})
    compile.call(entry, np.array([steps.mad(window)]), np.array(xs, float), median, deviation)
    return median, deviation


def scores(xs, window):
    out = np.zeros(len(xs))
    entry = compile.entry("robust", _ONE, {"push": steps.robust_score.push})
    compile.call(entry, np.array([steps.robust_score(window)]), np.array(xs, float), out)
    return out


def known(xs, first, last):
    part = np.array(xs[max(first, 0) : last], float)
    return part[np.isfinite(part)]


@given(series, windows)
@example([3.0, 1.0, 2.0, NAN, NAN, 5.0, 4.0, 9.0], 5)
@example([1.0, 1.0, 1.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0], 8)
def test_median_and_deviation_are_those_of_exactly_the_window(xs, window):
    median, deviation = spread(xs, window)
    for t in range(len(xs)):
        values = known(xs, t + 1 - window, t + 1)
        if len(values) == 0:
            assert math.isnan(median[t])
            assert math.isnan(deviation[t])
            continue
        scale = np.abs(values).max() * 1e-14
        assert median[t] == pytest.approx(np.median(values), rel=0, abs=scale)
        assert deviation[t] == pytest.approx(median_abs_deviation(values), rel=0, abs=2 * scale)


def test_by_hand():
    # 1 2 4 7 100: median 4, distances 3 2 0 3 96, their median 3
    median, deviation = spread([7, 100, 1, 4, 2], 5)
    assert (median[-1], deviation[-1]) == (4.0, 3.0)
    # 1 2 4 8: median 3, distances 2 1 1 5, their median 1.5
    median, deviation = spread([8, 1, 4, 2], 4)
    assert (median[-1], deviation[-1]) == (3.0, 1.5)


def test_over_many_rows_it_is_scipys():
    xs = np.random.default_rng(1).standard_t(2, 2_000)
    median, deviation = spread(xs, 240)
    for t in range(240, 2_000, 97):
        assert median[t] == pytest.approx(np.median(xs[t - 239 : t + 1]), rel=1e-12)
        assert deviation[t] == pytest.approx(median_abs_deviation(xs[t - 239 : t + 1]), rel=1e-12)


def test_almost_half_of_the_values_may_be_wild():
    xs = [1.0, 2.0, 3.0, 4.0, 5.0, 1e300, -1e300, 1e300, -1e300]
    median, deviation = spread(xs, 9)
    assert median[-1] == 3.0
    assert deviation[-1] == 2.0


@given(series, windows)
def test_the_score_holds_a_value_against_those_before_it(xs, window):
    made = scores(xs, window)
    for t, x in enumerate(xs):
        before = known(xs, t - window, t)
        usual = median_abs_deviation(before, scale="normal") if len(before) else NAN
        if not usual > 1e-9 or not math.isfinite(x):
            assert math.isnan(made[t]) or abs(usual) <= 1e-9
        else:
            assert made[t] == pytest.approx((x - np.median(before)) / usual, rel=1e-6, abs=1e-6)


def test_of_normal_values_the_score_is_the_distance_in_deviations():
    xs = np.random.default_rng(2).normal(5.0, 3.0, 20_000)
    made = scores(xs, 5_000)
    assert made[5_000:].std() == pytest.approx(1.0, abs=0.03)
    assert made[-1] == pytest.approx((xs[-1] - 5.0) / 3.0, abs=0.1)


def test_where_half_of_the_values_are_equal_nothing_is_measured():
    assert math.isnan(scores([1.0, 1.0, 1.0, 9.0], 8)[-1])


def test_turned_over_the_score_turns_bit_for_bit():
    xs = np.round(np.random.default_rng(3).normal(size=500) * 64) / 64
    made, other = scores(xs, 30), scores(-xs, 30)
    assert np.array_equal(made, -other, equal_nan=True)


@pytest.mark.parametrize("name", ["mad", "robust_score"])
@pytest.mark.parametrize("rows", [0, 2.0, True])
def test_a_number_of_rows_that_makes_no_sense_is_refused(name, rows):
    with pytest.raises(PluginError, match="at least 1"):
        getattr(steps, name)(rows)
