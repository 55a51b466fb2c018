"""Splits and dividends: rows comparable with those before them, and never changed by what comes later."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_catalog.actions import ACTION, ADJUSTED, Adjuster

from nexus_core.errors import DataError
from nexus_core.records import ROW, empty

PRICES = ("open", "high", "low", "close", "bid", "ask")
AMOUNTS = ("volume", "bid_size", "ask_size", "buy_volume", "sell_volume")


def rows_of(closes, times=None):
    rows = empty(ROW, len(closes))
    rows["ts"] = range(1, len(closes) + 1) if times is None else times
    for n, name in enumerate(PRICES):
        rows[name] = np.asarray(closes, np.float64) + n / 10 - 0.3  # the close as it is
    for n, name in enumerate(AMOUNTS):
        rows[name] = 1000.0 + n
    return rows


def actions_of(*given):
    return np.array(list(given), ACTION)


def adjusted(rows, *given):
    return Adjuster("A", actions_of(*given)).adjust(rows)


def test_after_a_split_prices_are_scaled_up_and_volumes_down():
    # four for one after the second row: 400 becomes 100
    made = adjusted(rows_of([396.0, 400.0, 101.0, 102.0]), (2, 4.0, 0.0))
    assert made["close"].tolist() == [396.0, 400.0, 404.0, 408.0]
    assert made["volume"].tolist() == [1000.0, 1000.0, 250.0, 250.0]
    raw = rows_of([396.0, 400.0, 101.0, 102.0])
    for name in PRICES:
        assert made[name].tolist() == (raw[name] * [1, 1, 4, 4]).tolist()
    for name in AMOUNTS:
        assert made[name].tolist() == (raw[name] / [1, 1, 4, 4]).tolist()
    for name in set(ROW.names) - {*PRICES, *AMOUNTS}:
        assert made[name].tolist() == raw[name].tolist()


def test_a_reverse_split_does_the_opposite():
    made = adjusted(rows_of([1.0, 10.0]), (1, 0.1, 0.0))
    assert made["close"].tolist() == [1.0, 1.0]
    assert made["volume"].tolist() == [1000.0, 10_000.0]


def test_a_dividend_is_put_back_into_the_price():
    # 100 less a dividend of 2 is 98: who holds it and buys more has 100 again
    made = adjusted(rows_of([100.0, 98.0, 49.0]), (1, 1.0, 2.0))
    assert made["close"].tolist() == pytest.approx([100.0, 100.0, 50.0], rel=1e-15)
    assert made["volume"].tolist() == [1000.0] * 3


def test_factors_grow_with_each_action():
    # 100, a dividend of 10: 90; two for one: 45; a dividend of 5 of it: 40
    given = (1, 1.0, 10.0), (2, 2.0, 0.0), (3, 1.0, 5.0)
    adjuster = Adjuster("A", actions_of(*given))
    made = adjuster.adjust(rows_of([100.0, 90.0, 45.0, 40.0]))
    assert made["close"].tolist() == pytest.approx([100.0] * 4, rel=1e-14)
    assert adjuster.state["price_factor"][0] == pytest.approx(2.5, rel=1e-14)
    assert adjuster.state["share_factor"][0] == 2.0


def test_two_actions_between_two_rows_follow_each_other():
    # a dividend of 10 leaves 90, the split 45 of it, and the next dividend of 5 is one of 45
    together = adjusted(rows_of([100.0, 40.0]), (1, 1.0, 10.0), (1, 2.0, 0.0), (1, 1.0, 5.0))
    assert together["close"].tolist() == pytest.approx([100.0, 100.0], rel=1e-14)
    # in one action the dividend is for one old share
    at_once = adjusted(rows_of([100.0, 45.0]), (1, 2.0, 10.0))
    assert at_once["close"].tolist() == pytest.approx([100.0, 100.0], rel=1e-14)


@pytest.mark.parametrize(("at", "scaled"), [(10, False), (11, False), (19, False), (20, True), (21, True)])
def test_an_action_takes_effect_at_the_first_row_after_it(at, scaled):
    rows = rows_of([8.0, 8.0, 8.0], [10, 20, 30])
    made = adjusted(rows, (at, 2.0, 0.0))
    assert made["close"].tolist() == [8.0, 8.0 if scaled else 16.0, 16.0]


def test_an_action_before_the_first_known_close_scales_nothing():
    rows = rows_of([math.nan, math.nan, 50.0, 25.0])
    made = adjusted(rows, (0, 3.0, 1.0), (1, 5.0, 7.0), (3, 2.0, 0.0))
    assert made["close"][2:].tolist() == [50.0, 50.0]
    assert made["volume"].tolist() == [1000.0, 1000.0, 1000.0, 500.0]


def test_an_unknown_close_is_left_unknown_and_the_last_known_one_counts():
    made = adjusted(rows_of([100.0, math.nan, 98.0]), (2, 1.0, 2.0))
    assert math.isnan(made["close"][1])
    assert made["close"][2] == pytest.approx(100.0, rel=1e-15)


def test_the_given_rows_stay_as_they_are():
    rows = rows_of([4.0, 2.0])
    before = rows.tobytes()
    Adjuster("A", actions_of((1, 2.0, 0.0))).adjust(rows)
    assert rows.tobytes() == before


def test_no_rows_and_no_actions_are_fine():
    assert len(adjusted(rows_of([]), (1, 2.0, 0.0))) == 0
    rows = rows_of([3.0, 4.0])
    assert adjusted(rows).tobytes() == rows.tobytes()


# -- any actions, any blocks ----------------------------------------------------------------------

# six splits of four for one and as many dividends leave something of the lowest price
closes = st.lists(st.one_of(st.floats(2000.0, 50_000.0), st.just(math.nan)), min_size=1, max_size=30)
actions = st.lists(
    st.tuples(
        st.integers(-5, 70), st.sampled_from([1.0, 2.0, 4.0, 0.5, 1.5]), st.sampled_from([0.0, 0.1, 0.3])
    ),
    max_size=6,
).map(sorted)


def in_blocks(adjuster, rows, size):
    return b"".join(adjuster.adjust(rows[n : n + size]).tobytes() for n in range(0, len(rows), size))


@given(closes, actions)
def test_any_block_size_gives_the_same_bits(values, given):
    rows = rows_of(values, np.arange(len(values)) * 2)
    whole = Adjuster("A", actions_of(*given))
    expected = whole.adjust(rows).tobytes()
    for size in (1, 7, 64):
        cut = Adjuster("A", actions_of(*given))
        assert in_blocks(cut, rows, size) == expected
        assert cut.state.tobytes() == whole.state.tobytes()


@given(closes, actions, st.integers(0, 30))
def test_a_state_that_was_kept_goes_on_the_same(values, given, cut):
    rows = rows_of(values, np.arange(len(values)) * 2)
    expected = adjusted(rows, *given).tobytes()
    before, after = (Adjuster("A", actions_of(*given)) for _ in range(2))
    first = before.adjust(rows[:cut]).tobytes()
    after.state[:] = np.frombuffer(before.state.tobytes(), ADJUSTED)
    assert first + after.adjust(rows[cut:]).tobytes() == expected


@given(closes, actions, actions)
def test_no_later_action_and_no_later_row_changes_an_earlier_row(values, given, more):
    rows = rows_of(values, np.arange(len(values)) * 2)
    made = adjusted(rows, *given)
    for n in range(len(rows)):
        ts = int(rows["ts"][n])
        known = [each for each in given if each[0] < ts]
        later = [each for each in more if each[0] >= ts]
        assert adjusted(rows[: n + 1], *known, *later)[n].tobytes() == made[n].tobytes()


@given(closes, actions)
def test_returns_are_those_of_the_usual_backward_adjustment(values, given):
    rows = rows_of([4000.0 if math.isnan(each) else each for each in values], np.arange(len(values)) * 2)
    made = adjusted(rows, *given)["close"]
    raw, times = rows["close"], rows["ts"]
    backward = raw.copy()
    for ts, split, dividend in given:
        before = times <= ts
        if before.any():
            # what a share was worth by the actions before this one at the same place
            price = raw[before][-1]
            for other, ratio, paid in given[: given.index((ts, split, dividend))]:
                if times[before][-1] <= other:
                    price = (price - paid) / ratio
            backward[before] *= (price - dividend) / price / split
    if len(set(given)) == len(given):
        assert made[1:] / made[:-1] == pytest.approx(backward[1:] / backward[:-1], rel=1e-12)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        [(1, 0.0, 0.0)],
        [(1, -2.0, 0.0)],
        [(1, math.nan, 0.0)],
        [(1, math.inf, 0.0)],
        [(1, 1.0, -1.0)],
        [(1, 1.0, math.nan)],
        [(2, 1.0, 0.1), (1, 1.0, 0.1)],
    ],
)
def test_actions_that_cannot_be_are_refused(given):
    with pytest.raises(DataError, match=r"AAPL: action at 1970-01-01T00:00:00.*order of time"):
        Adjuster("AAPL", actions_of(*given))


def test_a_dividend_of_the_whole_price_is_refused_and_changes_nothing():
    adjuster = Adjuster("AAPL", actions_of((1, 2.0, 0.0), (2, 1.0, 10.0)))
    before = adjuster.state.tobytes()
    with pytest.raises(
        DataError, match=r"AAPL: dividend of 10.0 at .* is not below the close before it, 10.0"
    ):
        adjuster.adjust(rows_of([20.0, 10.0, 1.0]))
    assert adjuster.state.tobytes() == before


def test_an_action_that_becomes_known_after_its_rows_were_read_is_refused():
    adjuster = Adjuster("A", actions_of((9, 2.0, 0.0)))
    adjuster.adjust(rows_of([5.0, 5.0, 5.0]))
    told = Adjuster("A", actions_of((1, 1.0, 0.5), (9, 2.0, 0.0)))
    told.state[:] = adjuster.state
    with pytest.raises(DataError, match=r"actions before .* are others than they were.*begin anew"):
        told.adjust(rows_of([5.0], [4]))


def test_rows_that_go_back_in_time_are_refused():
    with pytest.raises(DataError, match="A: rows go back"):
        adjusted(rows_of([5.0, 5.0], [2, 1]))
    adjuster = Adjuster("A", actions_of())
    adjuster.adjust(rows_of([5.0], [7]))
    with pytest.raises(DataError, match="A: rows go back"):
        adjuster.adjust(rows_of([5.0], [6]))
