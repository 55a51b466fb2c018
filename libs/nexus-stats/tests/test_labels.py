"""Outcomes and barriers: worked by hand, and against a loop that goes row by row."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_stats.labels import STOP, TARGET, TIME, outcomes, triple_barrier

from nexus_core.errors import ConfigError, DataError
from nexus_core.records import ABSENT, ROW

UNKNOWN = math.nan


def market(*bars):
    """Return rows of bars (open, high, low, close), one a second, with unknown quotes."""
    rows = np.zeros(len(bars), ROW)
    rows["ts"] = np.arange(len(bars)) * 1_000_000_000
    for name, column in zip(("open", "high", "low", "close"), zip(*bars, strict=True), strict=True):
        rows[name] = column
    rows["bid"] = rows["ask"] = UNKNOWN
    return rows


def closes(*prices):
    return market(*[(each, each, each, each) for each in prices])


def test_the_net_move_by_hand():
    rows = closes(100, 101, 102, 99, 100, 98)
    rows["bid"][0], rows["ask"][0] = 99.9, 100.1  # half a spread: 0.1 of 100
    rows["bid"][2], rows["ask"][2] = 101.49, 102.51  # 0.51 of 102
    rows["bid"][3], rows["ask"][3] = 100, 98  # crossed: not believed
    got = outcomes(rows, [1, 0, 0, -2, 2, 1], horizon=2, fee=0.001)
    assert got.at.tolist() == [0, 3]
    assert got.to.tolist() == [2, 5]
    assert got.side.tolist() == [1, -1]
    assert got.net == pytest.approx([0.02 - 0.002 - 0.001 - 0.005, 1 - 98 / 99 - 0.002])
    assert got.right.tolist() == [True, True]


def test_the_move_is_that_of_the_middle_where_both_ends_have_a_quote():
    rows = closes(101, 99, 99)  # the close jumps from the ask to the bid, the middle rises from 100 to 100.5
    rows["bid"][:2], rows["ask"][:2] = (99, 99), (101, 102)
    got = outcomes(rows, [1, 1, 0], 1)
    assert got.move == pytest.approx([0.005, 0.0])
    assert got.cost == pytest.approx([1 / 100 + 1.5 / 100.5, 1.5 / 100.5])


def test_nothing_left_after_costs_is_not_right():
    rows = closes(100, 100, 100.1, 100.1)
    assert outcomes(rows, [1, 1, 0, 0], 1, fee=0.0).right.tolist() == [False, True]
    assert outcomes(rows, [1, 1, 0, 0], 1, fee=0.0005).right.tolist() == [False, False]


def test_weak_absent_and_unknown_signals_and_prices_are_left_out():
    rows = closes(100, UNKNOWN, 100, math.inf, 100, 0, 100, 100, 100)
    ones = outcomes(rows, np.ones(9), 1)
    assert ones.at.tolist() == [6, 7]
    got = outcomes(closes(*[100] * 7), [0.9, ABSENT, UNKNOWN, -1.5, 0, 1, 2], 1)
    assert got.at.tolist() == [3, 5]
    assert outcomes(closes(*[100] * 4), [0.4, 0.6, 1, 0], 1, least=0.5).at.tolist() == [1, 2]
    assert len(outcomes(closes(100, 100), [1, 1], 5).net) == 0
    assert len(outcomes(np.zeros(0, ROW), [], 5).net) == 0


def test_outcomes_turned_over_in_the_log_of_price_change_sides():
    random = np.random.default_rng(0)
    price = np.exp(np.cumsum(random.normal(0, 0.01, 500)))
    signals = random.integers(-2, 3, 500)
    one = outcomes(closes(*price), signals, 7)
    other = outcomes(closes(*(1 / price)), -signals, 7)
    assert np.array_equal(one.right, other.right)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"signals": [1, 1]}, DataError, "one for each"),
        ({"signals": [1, 3, 0]}, DataError, "between -2 and 2"),
        ({"horizon": 0}, ConfigError, "horizon"),
        ({"fee": -0.1}, ConfigError, "fee"),
        ({"least": 0}, ConfigError, "least"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, error, match):
    with pytest.raises(error, match=match):
        outcomes(closes(1, 2, 3), **{"signals": [1, 0, 0], "horizon": 1, **change})


def test_rows_of_several_symbols_or_out_of_order_are_refused():
    rows = closes(1, 2, 3)
    rows["symbol"] = [0, 1, 0]
    with pytest.raises(DataError, match="several symbols"):
        outcomes(rows, [1, 0, 0], 1)
    rows = closes(1, 2, 3)[::-1]
    with pytest.raises(DataError, match="back in time"):
        triple_barrier(rows, [0], [1], 0.1, 0.1, 1)


def touch(*bars, side=1, up=0.02, down=0.01, horizon=None):
    """Return what the signal of a row before these bars met first: label, row, return."""
    rows = market((1, 1, 1, 1), *bars)
    got = triple_barrier(rows, [0], [side], up, down, horizon or len(bars))
    return (int(got.label[0]), int(got.to[0]), float(got.move[0])) if len(got.at) else None


QUIET = (100, 100.5, 99.5, 100.2)


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ([QUIET, (100, 102, 99.5, 101)], (TARGET, 2, 0.02)),
        ([QUIET, (100, 101.9, 99.0, 101)], (STOP, 2, -0.01)),
        ([QUIET, QUIET, (100, 101, 99.5, 100.7)], (TIME, 3, 0.007)),
        ([(100, 103, 98, 100)], (STOP, 1, -0.01)),  # both in one row
        ([QUIET, (98, 103, 97, 100)], (STOP, 2, -0.02)),  # a gap through the stop fills at the open
        ([QUIET, (103, 104, 98, 100)], (TARGET, 2, 0.03)),  # and through the target, before the low
        ([QUIET, (102, 103, 98, 100)], (TARGET, 2, 0.02)),  # an open at the target is beyond it
        ([(100, 102, 99.5, 100)], (TARGET, 1, 0.02)),  # the row of entry counts
        ([QUIET, (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN), (100, 102, 100, 101)], (TARGET, 3, 0.02)),
        ([QUIET, (100, math.inf, 99.5, 100)], (TIME, 2, 0.0)),
        ([(UNKNOWN, 102, 99.5, 101), QUIET], None),  # no entry is known
        ([QUIET, (100, 102, 99.5, UNKNOWN)], None),  # nor how it would have ended
    ],
)
def test_barriers_by_hand(bars, expected):
    got = touch(*bars)
    assert got is None if expected is None else got == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ([QUIET, (100, 100.5, 98, 99)], (TARGET, 2, 0.02)),
        ([QUIET, (100, 101, 98, 99)], (STOP, 2, -0.01)),
        ([QUIET, (103, 104, 97, 99)], (STOP, 2, -0.03)),
        ([QUIET, (97, 104, 96, 99)], (TARGET, 2, 0.03)),
        ([QUIET, (100, 100.5, 99.5, 99.5)], (TIME, 2, 0.005)),
    ],
)
def test_a_sale_is_the_same_turned_over(bars, expected):
    assert touch(*bars, side=-1) == pytest.approx(expected)


def test_the_row_of_the_signal_itself_meets_nothing():
    rows = market((100, 200, 50, 100), QUIET, QUIET)
    got = triple_barrier(rows, [0], [1], 0.02, 0.01, 2)
    assert (got.label[0], got.to[0]) == (TIME, 2)


def test_a_horizon_beyond_the_data_is_left_out_even_where_a_barrier_was_met():
    assert touch((100, 102, 99.5, 101), QUIET, horizon=3) is None
    assert touch((100, 102, 99.5, 101), QUIET, horizon=2) is not None


def test_no_barrier_is_an_infinite_one_and_an_unknown_one_is_left_out():
    assert touch(QUIET, (100, 150, 40, 120), up=math.inf, down=math.inf) == pytest.approx((TIME, 2, 0.2))
    assert touch(QUIET, (100, 150, 40, 120), side=-1, up=math.inf, down=math.inf)[0] == TIME
    assert touch(QUIET, up=UNKNOWN) is None


def slow_touch(rows, at, side, up, down, horizon):
    if at + horizon >= len(rows):
        return None
    entry, end = rows["open"][at + 1], rows["close"][at + horizon]
    if not (entry > 0 and end > 0):
        return None
    target, stop = entry * (1 + side * up), entry * (1 - side * down)
    for row in range(at + 1, at + horizon + 1):
        first, high, low = (rows[name][row] for name in ("open", "high", "low"))
        if side * first <= side * stop:
            return STOP, row, side * (first / entry - 1)
        if side * first >= side * target:
            return TARGET, row, side * (first / entry - 1)
        if (low <= stop) if side > 0 else (high >= stop):
            return STOP, row, -down
        if (high >= target) if side > 0 else (low <= target):
            return TARGET, row, up
    return TIME, at + horizon, side * (end / entry - 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 70), st.floats(0.001, 0.05), st.floats(0.001, 0.05))
def test_barriers_are_those_of_a_slow_loop(seed, horizon, up, down):
    random = np.random.default_rng(seed)
    size = 150
    path = 100 * np.exp(np.cumsum(random.normal(0, 0.006, (size, 4)).ravel()).reshape(size, 4))
    rows = market(*np.column_stack([path[:, 0], path.max(axis=1), path.min(axis=1), path[:, 3]]))
    for name in ("open", "high", "low", "close"):
        rows[name][random.random(size) < 0.03] = UNKNOWN
    at = random.integers(0, size, 40)
    sides = random.choice([-1, 1], 40)
    got = triple_barrier(rows, at, sides, up, down, horizon)
    expected = [
        (int(one), int(side), *found)
        for one, side in zip(at, sides, strict=True)
        if (found := slow_touch(rows, one, side, up, down, horizon))
    ]
    assert list(zip(got.at, got.side, got.label, got.to, strict=True)) == [each[:4] for each in expected]
    assert got.move == pytest.approx([each[4] for each in expected])


def test_barriers_may_differ_by_signal():
    rows = market(*[QUIET] * 5)
    got = triple_barrier(rows, [0, 1, 2], [1, 1, -1], [0.004, 0.1, 0.1], [0.1, 0.004, 0.1], 2)
    assert got.label.tolist() == [TARGET, STOP, TIME]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"at": [9]}, DataError, "rows from 0"),
        ({"at": [-1]}, DataError, "rows from 0"),
        ({"sides": [0]}, DataError, "1 or -1"),
        ({"up": 0.0}, ConfigError, "above 0"),
        ({"down": -0.1}, ConfigError, "above 0"),
        ({"horizon": 0}, ConfigError, "horizon"),
    ],
)
def test_barriers_that_cannot_be_are_refused(change, error, match):
    with pytest.raises(error, match=match):
        triple_barrier(
            market(*[QUIET] * 5), **{"at": [0], "sides": [1], "up": 0.1, "down": 0.1, "horizon": 2, **change}
        )


def test_a_million_rows_take_little_time():
    random = np.random.default_rng(0)
    size = 1_000_000
    rows = np.zeros(size, ROW)
    rows["ts"] = np.arange(size)
    rows["close"] = 100 * np.exp(np.cumsum(random.normal(0, 0.001, size)))
    rows["open"] = rows["high"] = rows["low"] = rows["close"]
    signals = np.zeros(size)
    at = np.arange(0, size, 20)
    signals[at] = random.choice([-1, 1], len(at))
    begin = time.process_time()
    triple_barrier(rows, at, signals[at].astype(np.int64), 0.02, 0.01, 240)
    outcomes(rows, signals, 240, 0.001)
    assert time.process_time() - begin < 3  # 0.5 s where nothing else runs
