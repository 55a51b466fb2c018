"""Swings against a slow look at the bars around each, and what is kept of them."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexus_core import compile, steps
from nexus_core.errors import PluginError

NAN, INF = math.nan, math.inf

_SWINGS = """
def entry(states, high, low, value, least, found, newest):
    for i in range(high.size):
        found[i, 0], found[i, 1] = push(states[0], high[i], low[i], value[i], least)
        for k in range(3):
            newest[i, k, 0], newest[i, k, 1], newest[i, k, 2] = last_high(states[0], k)
            newest[i, k, 3], newest[i, k, 4], newest[i, k, 5] = last_low(states[0], k)
"""


def run(bars, side=2, keep=2, least=0.0):
    high, low, value = np.array(bars, float).reshape(-1, 3).T.copy()
    found, newest = np.zeros((len(bars), 2), np.bool_), np.zeros((len(bars), 3, 6))
    tool = steps.swings
    bound = {"push": tool.push, "last_high": tool.high, "last_low": tool.low}
    entry = compile.entry("swings", _SWINGS, bound)
    compile.call(entry, np.array([tool(side, keep)]), high, low, value, least, found, newest)
    return found, newest


def slowly(bars, side, least):
    """The swings confirmed at each row: highs and lows as (price, value, its row), oldest first."""
    highs, lows, out = [], [], []
    for t in range(len(bars)):
        c = t - side
        if c - side >= 0:
            around = bars[c - side : t + 1]
            top, bottom = max(b[0] for b in around), min(b[1] for b in around)
            if top - bottom >= least:
                if bars[c][0] == top and all(b[0] < top for b in bars[c + 1 : t + 1]):
                    highs.append((top, bars[c][2], c))
                if bars[c][1] == bottom and all(b[1] > bottom for b in bars[c + 1 : t + 1]):
                    lows.append((bottom, bars[c][2], c))
        out.append((highs[::-1][:3], lows[::-1][:3], len(highs), len(lows)))
    return out


low_and_reach = st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(-9, 9))
markets = st.lists(low_and_reach.map(lambda b: (b[0] + b[1], b[0], b[2])), max_size=60)


@given(markets, st.sampled_from([1, 2, 5]), st.sampled_from([0.0, 8.0]))
@example([(5, 5, 1)] * 12, 2, 0.0)
def test_swings_are_those_of_a_slow_look_at_the_bars_around(bars, side, least):
    found, newest = run(bars, side, keep=4, least=least)
    seen_highs = seen_lows = 0
    for t, (highs, lows, high_count, low_count) in enumerate(slowly(bars, side, least)):
        assert found[t].tolist() == [high_count > seen_highs, low_count > seen_lows]
        seen_highs, seen_lows = high_count, low_count
        for kept, columns in ((highs, slice(0, 3)), (lows, slice(3, 6))):
            for k in range(3):
                price, value, ago = newest[t, k, columns]
                if k < len(kept):
                    assert (price, value, ago) == (kept[k][0], kept[k][1], t - kept[k][2])
                else:
                    assert math.isnan(price)
                    assert math.isnan(value)


def test_by_hand():
    # a peak of 7 in row 2; it is confirmed in row 4, two bars later, and the dip of row 4 in row 6
    bars = [(3, 2, 0), (5, 4, 1), (7, 6, 2), (6, 5, 3), (4, 1, 4), (5, 3, 5), (6, 4, 6)]
    found, newest = run(bars)
    assert np.flatnonzero(found[:, 0]).tolist() == [4]
    assert np.flatnonzero(found[:, 1]).tolist() == [6]
    assert newest[6, 0].tolist() == [7, 2, 4, 1, 4, 2]


def test_what_is_no_longer_kept_is_not_answered():
    bars = [(n % 4, n % 4 - 1, n) for n in range(40)]
    _, newest = run(bars, side=1, keep=2)
    assert newest[-1, 0, 0] == newest[-1, 1, 0] == 3
    assert math.isnan(newest[-1, 2, 0])


@given(markets, st.sampled_from([NAN, INF, -INF]), st.integers(0, 60), st.booleans())
def test_a_bar_of_unknown_prices_is_as_if_it_had_not_been(bars, odd, at, which):
    other = (odd, 1.0, 0.0) if which else (1.0, odd, 0.0)
    found, newest = run(bars)
    told, others = run([*bars[:at], other, *bars[at:]])
    at = min(at, len(bars))
    assert not told[at].any()
    assert np.delete(told, at, axis=0).tolist() == found.tolist()
    assert np.array_equal(np.delete(others, at, axis=0), newest, equal_nan=True)


@given(markets)
def test_turned_over_highs_are_lows(bars):
    found, newest = run(bars)
    told, turned = run([(-low, -high, -value) for high, low, value in bars])
    assert told.tolist() == found[:, ::-1].tolist()
    assert np.array_equal(turned[..., 3:5], -newest[..., 0:2], equal_nan=True)


def test_a_value_that_is_unknown_is_attached_as_such():
    bars = [(1, 0, 1), (2, 1, NAN), (1, 0, 3)]
    _, newest = run(bars, side=1)
    assert newest[-1, 0, 0] == 2
    assert math.isnan(newest[-1, 0, 1])


@pytest.mark.parametrize("given_rows", [0, 1.5, True])
def test_rows_that_make_no_sense_are_refused(given_rows):
    with pytest.raises(PluginError, match=r"steps\.swings"):
        steps.swings(given_rows)
