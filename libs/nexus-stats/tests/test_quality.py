"""Quality against slow loops and known laws: what chance adds is taken away, and intervals hold."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_stats.intervals import overlap_length
from nexus_stats.labels import Outcomes, outcomes
from nexus_stats.quality import (
    brier,
    brier_skill,
    calibration_error,
    coverage,
    ece,
    hit_rates,
    reliability,
    turnover,
)
from statsmodels.stats.proportion import proportion_confint

from nexus_core.errors import ConfigError, DataError
from nexus_core.records import ABSENT, ROW


def foretold(size, seed, off=0.0):
    """Return chances, and outcomes that come `off` oftener."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.3, 0.7, size)
    return p, random.random(size) < p + off


def slow_ece(p, right, bins):
    """Return the error over bins of equal count, of chances that all differ."""
    order = np.argsort(p)
    cuts = [place * len(p) // bins for place in range(bins + 1)]
    total = 0.0
    for begin, end in pairwise(cuts):
        part = order[begin:end]
        total += abs(sum(p[each] - right[each] for each in part))
    return total / len(p)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 300), st.integers(1, 20))
def test_ece_is_that_of_a_slow_loop(seed, size, bins):
    p, right = foretold(size, seed)
    assert ece(p, right, bins) == pytest.approx(slow_ece(p, right.astype(float), bins))


def test_ece_by_hand():
    assert ece([0.2, 0.2, 0.8, 0.8], [0, 1, 1, 1], bins=2) == pytest.approx((0.3 + 0.2) / 2)
    assert ece([0.0, 1.0], [False, True]) == 0.0
    assert ece([0.3] * 10, [1, 0] * 5) == pytest.approx(0.2)  # equal chances stay in one bin


def test_what_chance_adds_to_the_error_is_as_written():
    p = np.full(3000, 0.5) + np.linspace(0, 1e-9, 3000)
    got = np.mean([ece(p, np.random.default_rng(seed).random(3000) < 0.5) for seed in range(50)])
    assert got == pytest.approx(0.4 * math.sqrt(15 / 3000), rel=0.1)


def test_the_error_without_chance_is_right_in_the_mean():
    for off, bound in ((0.0, 0.0006), (0.05, 0.0006)):
        squares = []
        for seed in range(60):
            p, right = foretold(1500, seed, off)
            diagram = reliability(p, right)
            noise = diagram.seen * (1 - diagram.seen) / (diagram.count - 1)
            expected = (diagram.count * ((diagram.foretold - diagram.seen) ** 2 - noise)).sum() / 1500
            got = calibration_error(p, right, block=1, draws=2).value
            assert got == pytest.approx(math.sqrt(max(expected, 0.0)), abs=1e-9)
            squares.append(expected)
        assert np.mean(squares) == pytest.approx(off**2, abs=bound)


@pytest.mark.parametrize("off", [0.0, 0.06])
def test_the_interval_of_the_error_holds(off):
    held = []
    for seed in range(60):
        got = calibration_error(*foretold(1000, seed, off), block=1, draws=150, seed=seed)
        assert got.low <= got.value <= got.high
        held.append(got.low <= off <= got.high)
    assert np.mean(held) >= 0.88


def test_reliability_counts_everything_and_has_wilsons_bounds():
    p, right = foretold(1000, 3)
    got = reliability(p, right, bins=10)
    assert got.count.tolist() == [100] * 10
    assert (got.foretold * got.count).sum() == pytest.approx(p.sum())
    assert (np.diff(got.foretold) > 0).all()
    for share, low, high in zip(got.seen, got.low, got.high, strict=True):
        assert (low, high) == pytest.approx(proportion_confint(round(share * 100), 100, 0.05, "wilson"))
    assert len(reliability([0.5] * 20, [1] * 20).count) == 1


def test_brier_by_hand():
    assert brier([0.5, 0.5], [0, 1]) == 0.25
    assert brier([1.0, 0.0, 0.8], [1, 0, 0]) == pytest.approx(0.64 / 3)
    assert brier_skill([1, 0] * 10, [1, 0] * 10, 0.5, block=1, draws=10).value == 1.0
    assert brier_skill([0.5] * 20, [1, 0] * 10, 0.5, block=1, draws=10).value == 0.0
    assert brier_skill([0.9] * 20, [1, 0] * 10, 0.5, block=1, draws=10).value == pytest.approx(
        1 - 0.41 / 0.25
    )


def test_the_interval_of_the_skill_holds():
    # the loss saved by p over a half is its variance: 0.4^2 / 12 of 0.25
    true = 0.4**2 / 12 / 0.25
    got = [brier_skill(*foretold(500, seed), 0.5, block=1, draws=200) for seed in range(100)]
    assert 0.88 <= np.mean([each.low <= true <= each.high for each in got]) <= 0.99


def test_overlapping_outcomes_are_drawn_in_blocks():
    random = np.random.default_rng(0)
    horizon, size = 20, 4000
    moves = np.cumsum(random.standard_normal(size + horizon))
    right = moves[horizon:] > moves[:-horizon]
    p = np.full(size, 0.55)
    widths = {
        "alone": brier_skill(p, right, 0.5, block=1, draws=300),
        "overlap": brier_skill(p, right, 0.5, times=np.arange(size), horizon=horizon, draws=300),
    }
    assert widths["overlap"].high - widths["overlap"].low > 2.5 * (widths["alone"].high - widths["alone"].low)
    error = calibration_error(p, right, times=np.arange(size), horizon=horizon, draws=300)
    alone = calibration_error(p, right, block=1, draws=300)
    assert error.high > alone.high
    same = brier_skill(p, right, 0.5, times=np.arange(size), horizon=horizon, draws=300)
    assert same == widths["overlap"]


def test_blocks_are_no_shorter_than_outcomes_overlap():
    p, right = foretold(1000, 1)  # nothing in these outcomes themselves asks for blocks
    times = np.arange(1000)
    asked = brier_skill(p, right, 0.5, times=times, horizon=40, draws=100)
    assert asked == brier_skill(p, right, 0.5, block=overlap_length(times, 40), draws=100)
    assert asked != brier_skill(p, right, 0.5, draws=100)


def closes(prices):
    rows = np.zeros(len(prices), ROW)
    rows["ts"], rows["close"] = np.arange(len(prices)), prices
    return rows


def test_hit_rates_by_hand():
    one = Outcomes(
        np.array([0, 10, 20, 30]),
        np.array([5, 15, 25, 35]),
        np.array([1, -1, 1, -1]),
        np.array([0.01, -0.02, 0.001, 0.03]),
        np.full(4, 0.002),
    )
    got = hit_rates(one, draws=50)
    assert got.hit.value == 0.5
    assert (got.long, got.random) == (0.5, 3 / 8)  # bought: yes, no, no, yes; tossed: .5 .5 0 .5
    assert got.over_long.value == 0.0
    assert got.over_random.value == 1 / 8
    assert got.independent == pytest.approx(4)
    assert (got.hit.low, got.hit.high) == pytest.approx(proportion_confint(2, 4, 0.05, "wilson"))


def test_a_rising_market_makes_no_skill():
    random = np.random.default_rng(1)
    rows = closes(100 * np.exp(np.cumsum(random.normal(0.001, 0.005, 4000))))
    bought = hit_rates(outcomes(rows, np.ones(4000), 10), draws=200)
    assert bought.hit.value > 0.6
    assert bought.over_long.value == bought.over_long.low == bought.over_long.high == 0.0
    assert bought.independent == pytest.approx(400, rel=0.05)
    tossed = [hit_rates(outcomes(rows, random.choice([-1, 1], 4000), 10), draws=100) for _ in range(30)]
    assert np.mean([each.over_random.low <= 0 <= each.over_random.high for each in tossed]) >= 0.85
    assert all(each.over_long.high < 0 for each in tossed)
    assert np.mean([each.over_random.value for each in tossed]) == pytest.approx(0, abs=0.005)


def test_coverage_and_turnover_by_hand():
    signals = [0, 1, 2, -1, math.nan, ABSENT, 0.5, -2]
    assert coverage(signals) == 4 / 8
    assert coverage(signals, least=0.5) == 5 / 8
    assert turnover(signals) == (1 + 2 + 1 + 1) / 8
    assert turnover([1] * 4) == 1 / 4
    assert (coverage([]), turnover([])) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ece([], []), DataError, "at least one"),
        (lambda: ece([0.5], [1, 0]), DataError, "one each"),
        (lambda: ece([1.2], [1]), DataError, "between 0 and 1"),
        (lambda: ece([math.nan], [1]), DataError, "between 0 and 1"),
        (lambda: brier([0.5], [0.5]), DataError, "true or false"),
        (lambda: ece([0.5], [1], bins=0), ConfigError, "bins"),
        (lambda: brier_skill([0.5], [1], 1.5), ConfigError, "base"),
        (lambda: brier_skill([0.5] * 3, [1] * 3, 1.0), DataError, "no skill over"),
        (lambda: brier_skill([0.5] * 3, [1] * 3, 0.5, times=[1, 2, 3]), ConfigError, "together"),
        (lambda: brier_skill([0.5] * 3, [1] * 3, 0.5, times=[1, 2], horizon=2), DataError, "one for every"),
        (lambda: hit_rates(outcomes(closes([1, 2]), [1, 0], 1)), DataError, "at least 2"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
