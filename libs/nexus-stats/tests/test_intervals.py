"""Intervals against statsmodels, slow loops, and known laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_stats.intervals import (
    Interval,
    between,
    block_length,
    bootstrap,
    effective,
    mean,
    overlap_length,
    resample,
    wilson,
)
from statsmodels.stats.proportion import proportion_confint

from nexus_core.errors import ConfigError, DataError


def autoregressive(random, size, phi, count=1):
    """Return series of variance 1 whose neighbours correlate by phi."""
    noise = random.standard_normal((count, size)) * math.sqrt(1 - phi**2)
    noise[:, 0] /= math.sqrt(1 - phi**2)
    for at in range(1, size):
        noise[:, at] += phi * noise[:, at - 1]
    return noise


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_is_that_of_statsmodels(count, share, level):
    hits = round(count * share)
    low, high = proportion_confint(hits, count, 1 - level, "wilson")
    got = wilson(hits, count, level)
    assert np.allclose(got, (low, high), atol=1e-12)
    assert got[0] <= hits / count <= got[1]


def test_wilson_takes_arrays_and_counts_of_nothing():
    low, high = wilson([0, 0, 5, 10], [0, 10, 10, 10])
    assert low.tolist()[:2] == [0.0, 0.0]
    assert (high[0], high[3]) == (1.0, 1.0)
    assert low[2] == pytest.approx(0.2366, abs=1e-4)  # as tables have it
    assert high[2] == pytest.approx(0.7634, abs=1e-4)


@pytest.mark.parametrize(("hits", "count"), [(2, 1), (-1, 3), (math.nan, 3)])
def test_wilson_refuses_hits_that_cannot_be(hits, count):
    with pytest.raises(DataError, match="between 0 and count"):
        wilson(hits, count)


def slow_effective(starts, ends):
    total = 0.0
    for start, end in zip(starts, ends, strict=True):
        shares = [
            1 / sum(a < moment <= b for a, b in zip(starts, ends, strict=True))
            for moment in range(start + 1, end + 1)
        ]
        total += sum(shares) / len(shares)
    return total


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=20))
def test_overlapping_outcomes_are_worth_their_uniqueness(spans):
    starts = [start for start, _ in spans]
    ends = [start + length for start, length in spans]
    assert effective(starts, ends) == pytest.approx(slow_effective(starts, ends))


def test_outcomes_apart_count_whole_and_equal_ones_once():
    assert effective([0, 5, 10], [5, 10, 15]) == pytest.approx(3)
    assert effective([3] * 8, [9] * 8) == pytest.approx(1)
    assert effective(np.arange(1000), np.arange(1000) + 10) == pytest.approx(100, rel=0.03)
    assert effective([], []) == 0.0
    nanoseconds = 1_700_000_000_000_000_000 + np.arange(3) * 60_000_000_000
    assert effective(nanoseconds, nanoseconds + 60_000_000_000) == pytest.approx(3)
    with pytest.raises(DataError, match="end after"):
        effective([1], [1])


def slow_block_length(values):
    """Politis and White's recipe, lag by lag."""
    n, centre = len(values), float(np.mean(values))
    ahead = max(5, math.ceil(math.sqrt(math.log10(n))))
    most = math.ceil(math.sqrt(n)) + ahead

    def covariance(lag):
        return sum((values[i] - centre) * (values[i + lag] - centre) for i in range(n - lag)) / n

    def is_far(lag):
        return abs(covariance(lag) / covariance(0)) < 2 * math.sqrt(math.log10(n) / n)

    settled = next((m for m in range(most + 1) if all(is_far(m + k) for k in range(1, ahead + 1))), most)
    reach = min(2 * max(settled, 1), most)
    spectrum = slope = 0.0
    for lag in range(-reach, reach + 1):
        share = abs(lag) / reach
        taper = 1.0 if share <= 0.5 else 2 * (1 - share)
        spectrum += taper * covariance(abs(lag))
        slope += taper * abs(lag) * covariance(abs(lag))
    best = (2 * slope**2 / (2 * spectrum**2)) ** (1 / 3) * n ** (1 / 3)
    return min(max(best, 1.0), 3 * math.sqrt(n), n / 3)


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("seed", [1, 2])
def test_block_length_is_that_of_the_slow_recipe(phi, seed):
    values = autoregressive(np.random.default_rng(seed), 300, phi)[0]
    assert block_length(values) == pytest.approx(slow_block_length(values.tolist()), rel=1e-9)


def test_blocks_are_longer_the_longer_a_series_remembers():
    lengths = [
        np.mean([block_length(each) for each in autoregressive(np.random.default_rng(3), 1000, phi, 20)])
        for phi in (0.0, 0.5, 0.9)
    ]
    assert lengths[0] < 4 < lengths[1] < 20 < lengths[2]
    # of an autoregression the best length is known: (2 phi / (1 - phi^2))^(2/3) n^(1/3), (9.5)^(2/3) 10 = 45
    assert lengths[2] == pytest.approx(45, rel=0.3)


def test_a_constant_or_short_series_has_blocks_of_one():
    assert block_length(np.full(1000, 0.1)) == 1.0
    assert block_length([1.0, 2.0, 3.0]) == 1.0
    assert block_length([]) == 1.0
    one = autoregressive(np.random.default_rng(0), 500, 0.8)[0]
    assert block_length(np.column_stack([np.zeros(500), one])) == block_length(one)


def test_overlap_length_counts_those_that_begin_within_the_horizon():
    assert overlap_length(np.arange(0, 100, 10), 10) == 1.0
    assert overlap_length(np.arange(10_000), 10) == pytest.approx(10, rel=0.01)
    assert overlap_length([], 3) == 1.0
    with pytest.raises(DataError, match="go back"):
        overlap_length([2, 1], 3)
    with pytest.raises(ConfigError, match="horizon"):
        overlap_length([1, 2], 0)


def test_resamples_are_of_blocks_with_the_mean_length_asked_for():
    drawn = resample(500, 400, 8.0, np.random.default_rng(0))
    assert drawn.shape == (400, 500)
    goes_on = (drawn[:, 1:] - drawn[:, :-1]) % 500 == 1
    assert 1 / (1 - goes_on.mean()) == pytest.approx(8.0, rel=0.03)
    assert np.bincount(drawn.ravel(), minlength=500).std() / 400 < 0.2  # every sample as often
    single = resample(500, 400, 1.0, np.random.default_rng(0))
    assert ((single[:, 1:] - single[:, :-1]) % 500 == 1).mean() < 0.01


def test_the_same_seed_draws_the_same():
    values = np.random.default_rng(0).standard_normal(3000)

    def median(samples):
        return np.median(samples, axis=1)

    one, same, other = (bootstrap(values, median, 700, 5, seed) for seed in (1, 1, 2))
    assert one.shape == (700,)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_statistic_of_several_columns_keeps_rows_together():
    x = np.random.default_rng(0).standard_normal(400)
    drawn = bootstrap(
        np.column_stack([x, 2 * x]), lambda each: (each[:, :, 1] - 2 * each[:, :, 0]).sum(axis=1)
    )
    assert np.abs(drawn).max() < 1e-9


@pytest.mark.parametrize(("phi", "size"), [(0.0, 200), (0.5, 500)])
def test_intervals_hold_the_true_mean_as_often_as_they_say(phi, size):
    series = autoregressive(np.random.default_rng(7), size, phi, 300)
    held = [each.low <= 0 <= each.high for each in (mean(one, draws=300) for one in series)]
    assert 0.89 <= np.mean(held) <= 0.98


def test_taking_dependent_samples_for_independent_is_too_sure():
    series = autoregressive(np.random.default_rng(7), 500, 0.8, 100)
    alone, held = (
        np.mean(
            [each.low <= 0 <= each.high for each in (mean(one, draws=200, block=block) for one in series)]
        )
        for block in (1, None)
    )
    assert alone < 0.65
    assert held > 0.85


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="at least 2"):
        mean([1.0])
    with pytest.raises(DataError, match="finite"):
        mean([1.0, math.nan])
    with pytest.raises(ConfigError, match="block"):
        mean([1.0, 2.0], block=0.5)
    with pytest.raises(ConfigError, match="level"):
        mean([1.0, 2.0], level=95)
    with pytest.raises(ConfigError, match="level"):
        wilson(1, 2, 0.0)
    assert between(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert Interval(1, 0, 2) == Interval(1, 0, 2)
