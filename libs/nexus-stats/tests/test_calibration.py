"""Calibration recovers a known curve, finds nothing in noise, and keeps to its file."""

from __future__ import annotations

import json
import math

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_stats.calibration import KNOTS, LEAST, Table, fit, isotonic
from nexus_stats.quality import ece
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

from nexus_core.errors import ConfigError, DataError

CURVES = {
    "straight": lambda score: 0.4 + 0.3 * score,
    "step": lambda score: np.where(score < 0.6, 0.48, 0.62),
    "steep": lambda score: 1 / (1 + np.exp(-8 * (score - 0.5))),
    "flat": lambda score: np.full(len(score), 0.52),
}


def signals(curve, size, seed):
    random = np.random.default_rng(seed)
    score = random.beta(2, 2, size)
    return score, random.random(size) < CURVES[curve](score)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 100)), min_size=1, max_size=60),
)
def test_isotonic_regression_is_that_of_scipy(pairs):
    values, weights = (np.array(each) for each in zip(*pairs, strict=True))
    expected = isotonic_regression(values, weights=weights).x
    got = isotonic(values, weights)
    assert np.allclose(got, expected, rtol=1e-9, atol=1e-6)
    assert (np.diff(got) >= 0).all()


def test_isotonic_regression_by_hand():
    assert isotonic([1, 3, 2, 4]).tolist() == [1, 2.5, 2.5, 4]
    assert isotonic([3, 1], [1, 3]).tolist() == [1.5, 1.5]
    assert isotonic([]).tolist() == []
    with pytest.raises(DataError, match="weight above 0"):
        isotonic([1.0, 2.0], [1.0, 0.0])


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_known_curve_is_recovered(curve, seed):
    table = fit(*signals(curve, 20_000, seed))
    score, right = signals(curve, 20_000, 100 + seed)
    assert ece(table.p_right(score)[0], right) <= 0.03
    usual = np.linspace(0.1, 0.9, 81)
    p, low, high = table.p_right(usual)
    true = CURVES[curve](usual)
    assert np.mean((low <= true) & (true <= high)) >= 0.9
    if curve != "step":
        assert np.abs(p - true).max() < 0.06


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_outcomes_come_out_flat(seed):
    score, right = signals("steep", 20_000, seed)
    table = fit(score, np.random.default_rng(seed).permutation(right))
    p, low, high = table.p_right(np.linspace(0, 1, 101))
    assert np.ptp(p) <= 0.02
    assert ((low <= table.base) & (table.base <= high)).all()
    assert abs(p.mean() - table.base) < 0.01


def test_scores_turned_over_come_out_flat():
    score, right = signals("straight", 5000, 1)
    assert np.ptp(fit(-score, right).p) < 0.01


def test_confidence_is_the_rank_among_the_signals():
    score, right = signals("straight", 5000, 1)
    table = fit(score, right)
    ranks = (rankdata(score) - 0.5) / len(score)
    assert np.abs(table.confidence(score) - ranks).max() < 0.011
    assert table.confidence([-5, 5]).tolist() == [0, 1]
    assert math.isnan(table.confidence(math.nan))
    assert np.isnan(table.p_right([math.nan])).all()


def test_equal_scores_share_their_mean_rank_and_chance():
    score = np.repeat([0.6, 0.7, 0.9], [600, 300, 100])
    right = np.concatenate([np.arange(600) < 300, np.arange(300) < 180, np.arange(100) < 80])
    order = np.random.default_rng(0).permutation(1000)
    table = fit(score[order], right[order], pseudo=0)
    assert table.confidence([0.6, 0.7, 0.9]) == pytest.approx([0.3, 0.75, 0.95], abs=0.01)
    assert table.p_right([0.6, 0.7, 0.9])[0] == pytest.approx([0.5, 0.6, 0.8], abs=0.03)
    same = fit(np.full(100, 0.8), np.arange(100) < 55)
    assert same.p == (0.55,)
    assert same.confidence([0.1, 0.8, 0.9]).tolist() == [0.5] * 3


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(LEAST, 2000), st.integers(1, 30), st.floats(0, 1))
def test_any_table_ascends_and_survives_its_file(seed, size, distinct, base):
    random = np.random.default_rng(seed)
    score = np.round(random.random(size) * distinct) / distinct
    table = fit(score, random.random(size) < base * score)
    assert len(table.scores) <= KNOTS
    assert Table.from_dict(json.loads(json.dumps(table.to_dict()))) == table
    asked = np.sort(random.random(200) * 1.4 - 0.2)
    p, low, high = table.p_right(asked)
    for each in (p, low, high, table.confidence(asked)):
        assert (np.diff(each) >= 0).all()
        assert 0 <= each.min() <= each.max() <= 1
    assert ((low <= p) & (p <= high)).all()


def test_few_signals_say_little():
    score, right = signals("steep", 60, 1)
    _, low, high = fit(score, right).p_right([0.2, 0.8])
    assert (high - low > 0.2).all()
    widths = [np.ptp(fit(*signals("straight", size, 1)).p_right(0.5)[1:]) for size in (200, 2000, 20_000)]
    assert widths[0] > widths[1] > widths[2]


def test_overlapping_outcomes_widen_the_interval():
    score, right = signals("straight", 4000, 1)
    alone, shared = fit(score, right), fit(score, right, independent=400)
    assert np.ptp(shared.p_right(0.5)[1:]) > 1.5 * np.ptp(alone.p_right(0.5)[1:])
    assert np.ptp(shared.p) <= np.ptp(alone.p)


def test_pseudo_counts_draw_to_the_base_rate():
    score, right = signals("steep", 1000, 1)
    spans = [np.ptp(fit(score, right, pseudo=pseudo).p) for pseudo in (0, 10, 100, 1e9)]
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] < 1e-3


def test_the_file_holds_what_a_kernel_looks_up():
    content = fit(*signals("straight", 1000, 1)).to_dict()
    assert list(content) == ["scores", "ranks", "p", "low", "high", "signals", "base"]
    assert content["signals"] == 1000
    assert len({len(content[each]) for each in ("scores", "ranks", "p", "low", "high")}) == 1
    assert (np.diff(content["scores"]) > 0).all()


def test_a_table_does_not_change():
    table = fit(*signals("straight", 100, 1))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        table.base = 0.9
    assert fit(*signals("straight", 100, 1)) == table


GOOD = {"scores": [0.5, 0.9], "ranks": [0, 1], "p": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scores": [0.9, 0.5]}, "ascend"),
        ({"scores": [0.5, 0.5]}, "ascend"),
        ({"p": [0.6, 0.5]}, "ascend"),
        ({"p": [0.5, 0.8]}, "low <= p <= high"),
        ({"ranks": [0, 2]}, "ranks from 0 to 1"),
        ({"p": [0.5, math.nan]}, "all of them numbers"),
        ({"p": [0.5]}, "as many"),
        ({"p": ["a", 0.5]}, "holds numbers"),
        ({"signals": 0}, "at least 1 signal"),
        ({"base": 1.5}, "share"),
        ({"more": 1}, "more"),
        ({each: [] for each in GOOD}, "knots"),
    ],
)
def test_a_file_that_is_no_table_is_refused(change, match):
    whole = {**GOOD, "signals": 50, "base": 0.5}
    assert Table.from_dict(whole).p_right(0.7)[0] == pytest.approx(0.55)
    with pytest.raises(DataError, match=match):
        Table.from_dict({**whole, **change})


def test_too_few_signals_are_refused():
    with pytest.raises(DataError, match="49 signals are too few"):
        fit(*signals("straight", 49, 1))
    with pytest.raises(DataError, match="worth 30"):
        fit(*signals("straight", 1000, 1), independent=30)
    fit(*signals("straight", 50, 1))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"scores": np.full(60, math.nan)}, DataError, "finite"),
        ({"scores": np.zeros(59)}, DataError, "one each"),
        ({"right": np.full(60, 0.5)}, DataError, "true or false"),
        ({"independent": 61}, ConfigError, "independent"),
        ({"least": 0}, ConfigError, "least"),
        ({"pseudo": -1}, ConfigError, "pseudo"),
        ({"level": 1}, ConfigError, "level"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, error, match):
    with pytest.raises(error, match=match):
        fit(**{"scores": np.zeros(60), "right": np.zeros(60), **change})
