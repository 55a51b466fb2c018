"""multi-timeframe-alignment: fires where trends were laid, and keeps the contract of a strategy."""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from nexus_strategy_multi_timeframe_alignment import FRAMES, WEIGHTS, MultiTimeframeAlignment

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

TARGETS = MultiTimeframeAlignment.targets
AT, AGAIN = 2_600, 30
PLANTED = [(name, "f8") for name in ("kind", "side", "decoy", "start", "turn", "end")]


class TestMultiTimeframeAlignment(StrategyContract):
    strategy = "multi-timeframe-alignment"


@cache
def strategy():
    return MultiTimeframeAlignment()


def heard(signals):
    return np.where(signals == ABSENT, 0, signals)


def scenario(seed: int) -> bool:
    """Return whether it answers a trend of half a usual bar a row in time, on the right side."""
    side = 1 if seed % 2 else -1
    made = scenarios.trend(seed, AT + 400, at=AT, drift=0.5, length=400, side=side)
    signals = heard(scenarios.answers(strategy(), made.rows)[0])
    return bool((signals[AT : AT + TARGETS["within"] + 1] == side).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of a market without drift, and its rows; what is not far apart is one."""
    made = scenarios.driftless(seed, 7_200)
    signals, _ = scenarios.answers(strategy(), made)
    return scenarios.met(made, signals, np.zeros(0, PLANTED), 0, again=AGAIN).signals, len(made)


def test_it_fires_on_the_side_of_a_trend():
    assert np.mean([scenario(seed) for seed in range(10)]) >= TARGETS["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_without_drift_it_fires_seldom():
    false, count = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1_000 * false / count <= TARGETS["false"]


# -- worked out by hand -----------------------------------------------------------------------------


def ramp(size, step=1.0):
    """A price that rises by `step` a row, in bars from the close before to the close."""
    close = 10_000.0 + step * np.arange(size)
    opened = close - step
    return rows(close, open=opened, high=np.maximum(opened, close), low=np.minimum(opened, close))


def ask(made, **params):
    return scenarios.answers(MultiTimeframeAlignment(**params), made)


def test_a_straight_line_by_hand():
    # an average of span 3 (weight 1/2) lags a line of slope 1 by 1, so the forming bar moves it by
    # (1 + 1) / 2 = 1 a bar, which has a range of 1. A longer frame's forming bar has come part of the way:
    # with j of its n rows it moves it by (n + j) / 2, of ranges of n, so by (1 + j / n) / 2 ranges
    made = ramp(3_000)
    signals, scores = ask(made, span=3, full=2.0, agree=0.25)
    t = np.arange(2_000, 3_000)
    expected = sum(w * (1 + (t % n + 1) / n) / 2 / 2.0 for w, n in zip(WEIGHTS, FRAMES, strict=True))
    assert set(signals[2_000:]) == {1}
    assert scores[2_000:] == pytest.approx(0.5 + 0.5 * (expected - 0.25) / 0.75, abs=1e-3)


def test_a_falling_line_is_sold_and_a_still_one_left_alone():
    assert set(ask(ramp(3_000, -1.0))[0][2_000:]) == {-1}
    assert not heard(ask(ramp(3_000, 0.0))[0]).any()


def test_frames_that_disagree_are_no_signal():
    made = ramp(3_000)
    made[2_900:] = made[2_900:]
    for name in ("open", "high", "low", "close"):
        made[name][2_900:] = made[name][2_899] - (made[name][2_900:] - made[name][2_899])
    low, high = made["low"].copy(), made["high"].copy()
    made["high"], made["low"] = np.maximum(low, high), np.minimum(low, high)
    assert not (heard(ask(made)[0][2_900:2_940]) != 0).any()


def test_it_enters_only_where_price_goes_on():
    made = ramp(3_000)
    for name in ("open", "high", "low", "close"):  # every tenth row falls back by three
        made[name][2_009::10] -= 3.0
    made["low"] = np.minimum(made["low"], made["close"])
    signals, _ = ask(made)
    assert not signals[2_009::10].any()
    assert (signals[2_014::10] == 1).all()


@pytest.mark.parametrize(
    ("params", "more"),
    [({"agree": 0.9}, False), ({"full": 0.25}, True), ({"pattern": 120}, False), ({"pattern": 3}, True)],
)
def test_each_parameter_has_its_effect(params, more):
    made = scenarios.driftless(10_001, 6_000)
    usual = np.count_nonzero(heard(ask(made)[0])[2_100:])
    other = np.count_nonzero(heard(ask(made, **params)[0])[2_100:])
    assert other > usual if more else other < usual


def test_the_span_sets_warmup_and_haste():
    assert MultiTimeframeAlignment().warmup == 240 * 8 + 15
    assert MultiTimeframeAlignment(span=3, pattern=20).warmup == 740
    made = scenarios.driftless(10_001, 6_000)
    assert not np.array_equal(ask(made, span=4)[0][2_000:], ask(made)[0][2_000:])


@pytest.mark.parametrize(("column", "value"), [("close", np.nan), ("high", np.inf), ("low", np.nan)])
def test_a_row_of_unknown_price_is_passed_over(column, value):
    made = ramp(2_500)
    odd = np.insert(made, 2_200, made[2_199])
    odd["ts"] = made["ts"][0] + 60_000_000_000 * np.arange(len(odd))
    odd[column][2_200] = value
    signals, scores = ask(odd)
    plain, same = ask(made)
    assert signals[2_200] == 0
    assert np.delete(signals, 2_200)[2_000:].tolist() == plain[2_000:].tolist()
    assert np.delete(scores, 2_200)[2_000:].tolist() == same[2_000:].tolist()


# -- a model's opinion ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened", "close", "reach", "share"),
    [
        (100.0, 104.0, 5.0, 0.15),  # wild, whatever else
        (100.0, 100.1, 0.5, 0.40),  # calm
        (100.0, 103.5, 4.0, 0.20),  # a trend of 3.5 %
        (100.0, 98.0, 2.5, 0.35),  # momentum of 2 %
        (100.0, 100.5, 2.0, 0.30),
    ],
)
def test_the_share_of_an_opinion_follows_the_row(opened, close, reach, share):
    row = SimpleNamespace(open=opened, close=close, high=100.0 + reach, low=100.0)
    signal, score = MultiTimeframeAlignment.blend(row, 1, 0.8, -0.5)
    assert (signal, score) == (1, pytest.approx((1 - share) * 0.8 - share * 0.5))


def test_no_opinion_leaves_it_and_a_contrary_one_silences_it():
    row = SimpleNamespace(open=100.0, close=100.1, high=100.5, low=100.0)
    assert MultiTimeframeAlignment.blend(row, -1, 0.8, math.nan) == (-1, 0.8)
    assert MultiTimeframeAlignment.blend(row, -1, 0.5, 1.0) == (0, 0.0)
    assert MultiTimeframeAlignment.blend(row, 0, 0.0, 1.0) == (0, 0.0)
