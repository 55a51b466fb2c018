"""Signed volume and the session's sum of it, against plain definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nexus_core import compile, steps
from nexus_core.testing import rows

NAN, INF = math.nan, math.inf

_BARS = """
def entry(states, bars, out, estimated):
    for i in range(bars.size):
        out[i] = push(states[0], bars[i])
        estimated[i] = states[0].estimated
"""
_SESSION = """
def entry(states, session, delta, out):
    for i in range(out.size):
        out[i] = push(states[0], session[i], delta[i])
"""


def deltas(closes, span=5.0, **fields):
    bars = rows(closes, **fields)
    out, estimated = np.zeros(len(bars)), np.zeros(len(bars), np.bool_)
    entry = compile.entry("deltas", _BARS, {"push": steps.bar_delta.push})
    compile.call(entry, np.array([steps.bar_delta(span)]), bars, out, estimated)
    return out.tolist(), estimated.tolist()


def sums(session, delta):
    out = np.zeros(len(delta))
    entry = compile.entry("sums", _SESSION, {"push": steps.session_delta.push})
    states = np.array([steps.session_delta()])
    compile.call(entry, states, np.array(session, np.int32), np.array(delta, float), out)
    return out.tolist()


def slowly(closes, volumes, span):
    """Bulk classification over the whole past, from the definition, with SciPy's distribution."""
    out, changes = [], []
    for t, close in enumerate(closes):
        changes.append(close - closes[t - 1] if t else 0.0)
        mean, var, weight = changes[0], 0.0, 2 / (span + 1)
        for each in changes[1:]:
            move = weight * (each - mean)
            var = (1 - weight) * (var + move * (each - mean))
            mean += move
        part = 2 * stats.t.cdf(changes[-1] / math.sqrt(var), 2) - 1 if var else 0.0
        out.append(volumes[t] * part)
    return out


closes = st.lists(st.integers(1, 10_000).map(lambda n: n / 64), min_size=1, max_size=30)


@given(closes, st.data())
def test_without_known_sides_it_is_the_bulk_classification(prices, data):
    volumes = data.draw(st.lists(st.floats(0.1, 1e6), min_size=len(prices), max_size=len(prices)))
    out, estimated = deltas(prices, volume=volumes, buy_volume=NAN, sell_volume=NAN)
    assert out == pytest.approx(slowly(prices, volumes, 5.0), rel=1e-6, abs=1e-6)
    assert all(estimated)


@given(closes)
def test_prices_turned_over_turn_the_estimate_bit_for_bit(prices):
    out, _ = deltas(prices, volume=3.0, buy_volume=NAN, sell_volume=NAN)
    turned, _ = deltas([400.0 - p for p in prices], volume=3.0, buy_volume=NAN, sell_volume=NAN)
    assert turned == [-x for x in out]


def test_known_sides_are_believed_and_one_alone_is_not():
    out, estimated = deltas(
        [10, 11, 9, 9], volume=10.0, buy_volume=[7, 1, NAN, -1], sell_volume=[3, 9, 4.0, 3]
    )
    assert out[:2] == [4.0, -8.0]
    assert out[2] < 0
    assert estimated == [False, False, True, True]


def test_by_hand():
    # changes 0 and 2, weight 1/2: mean 1, variance (0 + 1·2)/2 = 1, x = 2, 2 / sqrt(2 + 4)
    out, _ = deltas([10, 12], span=3.0, volume=6.0, buy_volume=NAN, sell_volume=NAN)
    assert out == [0.0, 6.0 * (2 / math.sqrt(6.0))]


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_an_unknown_close_changes_nothing_and_has_no_answer(odd):
    plain, _ = deltas([10, 12, 11], volume=6.0, buy_volume=NAN, sell_volume=NAN)
    out, _ = deltas([10, odd, 12, odd, 11], volume=6.0, buy_volume=NAN, sell_volume=NAN)
    assert out[::2] == plain
    assert math.isnan(out[1])


@pytest.mark.parametrize("odd", [NAN, INF, -1.0])
def test_an_unknown_volume_has_no_estimate_but_known_sides_still_do(odd):
    out, _ = deltas([10, 12, 11], volume=odd, buy_volume=[NAN, NAN, 5.0], sell_volume=[NAN, NAN, 3.0])
    assert math.isnan(out[1])
    assert out[2] == 2.0


def test_closes_that_never_change_are_estimated_at_nothing():
    assert deltas([10] * 4, volume=6.0, buy_volume=NAN, sell_volume=NAN)[0] == [0.0] * 4


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6) | st.sampled_from([NAN, INF]))))
def test_the_sum_starts_anew_with_each_session_and_passes_over_what_is_no_number(given_rows):
    expected, total, day = [], 0.0, 0
    for session, delta in given_rows:
        total = (total if session == day else 0.0) + (delta if math.isfinite(delta) else 0.0)
        day = session
        expected.append(total)
    assert sums([s for s, _ in given_rows], [d for _, d in given_rows]) == expected
