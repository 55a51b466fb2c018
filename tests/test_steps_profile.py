"""The volume profile against dictionaries of exact fractions, and worked out by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import compile, steps
from nexus_core.errors import PluginError

NAN, INF = math.nan, math.inf

_PUSH = """
def entry(states, low, high, volume):
    for i in range(low.size):
        push(states[0], low[i], high[i], volume[i])
"""
_WIDTH = """
def entry(states, width):
    change(states[0], width[0])
"""
_AREA = """
def entry(states, share, out):
    low, control, high = value_area(states[0], share[0])
    out[0] = low
    out[1] = control
    out[2] = high
"""
_VALLEY = """
def entry(states, price, way, depth, part, out):
    near, far, thin = valley(states[0], price[0], way[0], depth[0], part[0])
    out[0] = near
    out[1] = far
    out[2] = thin
"""
_DENSITY = """
def entry(states, price, out):
    out[0] = density(states[0], price[0])
"""


def run(text, names, *arguments):
    compile.call(compile.entry("profile", text, names), *arguments)


def made(bars=(), size=16, half_life=0, width=1.0):
    states = np.array([steps.profile(size, half_life)])
    run(_WIDTH, {"change": steps.profile.clear}, states, np.array([width]))
    return more(states, bars)


def more(states, bars):
    columns = np.array(bars, float).reshape(-1, 3).T.copy()
    run(_PUSH, {"push": steps.profile.push}, states, *columns)
    return states


def fit(states, width):
    run(_WIDTH, {"change": steps.profile.fit}, states, np.array([float(width)]))
    return states


def area(states, share=0.7):
    out = np.zeros(3)
    run(_AREA, {"value_area": steps.profile.value_area}, states, np.array([share]), out)
    return out.tolist()


def valley(states, price, way, depth=0.5, part=0.3):
    out = np.zeros(3)
    given = np.array([float(price)]), np.array([way]), np.array([depth]), np.array([part])
    run(_VALLEY, {"valley": steps.profile.valley}, states, *given, out)
    return out.tolist()


def density(states, price):
    out = np.zeros(1)
    run(_DENSITY, {"density": steps.profile.density}, states, np.array([float(price)]), out)
    return out[0]


def held(states):
    """The lots by bin."""
    one, size = states[0], states["mass"].shape[1]
    if one["empty"]:
        return {}
    found = {k: int(one["mass"][k % size]) for k in range(one["low"], one["high"] + 1)}
    assert sum(found.values()) == one["mass"].sum()  # what lies outside is empty
    return {k: each for k, each in found.items() if each}


def shares(states):
    """The lots by bin, in lots of the first volume."""
    return {k: each / (1 << 20) for k, each in held(states).items()}


def test_a_bar_spreads_its_volume_evenly_over_its_range():
    # bins of 2: bin 0 is -1 to 1, bin 1 is 1 to 3, bin 2 is 3 to 5
    assert shares(made([(0.0, 4.0, 10.0)], width=2.0)) == {0: 0.25, 1: 0.5, 2: 0.25}
    assert shares(made([(1.5, 1.5, 10.0)], width=2.0)) == {1: 1.0}
    assert shares(made([(1.0, 1.0, 10.0)], width=2.0)) == {0: 0.5, 1: 0.5}
    assert shares(made([(-3.0, 1.0, 10.0)], width=2.0)) == {-1: 0.5, 0: 0.5}


@pytest.mark.parametrize(
    "bar",
    [
        *[(NAN, 1, 1), (0, NAN, 1), (0, 1, NAN), (0, INF, 1), (-INF, 1, 1), (0, 1, INF)],
        *[(0, 1, 0), (0, 1, -1), (1, 0, 1), (1e300, 1e300, 1)],
    ],
)
def test_what_is_unknown_changes_nothing(bar):
    whole = [(0.0, 3.0, 2.0), (1.0, 5.0, 3.0)]
    assert more(made(whole[:1]), [bar, whole[1]]).tobytes() == made(whole).tobytes()


def test_without_a_width_nothing_is_taken():
    states = more(np.array([steps.profile(16)]), [(0, 1, 1)])
    assert held(states) == {}
    assert all(math.isnan(each) for each in area(states))
    assert math.isnan(density(states, 0.0))


bars = st.lists(
    st.tuples(st.integers(-90, 90), st.integers(0, 40), st.integers(1, 900)).map(
        lambda one: (one[0] / 8, (one[0] + one[1]) / 8, one[2] / 4)
    ),
    min_size=1,
    max_size=30,
)


def slowly(bars, size=None, half_life=0):
    """Bins in a dictionary, volumes as fractions of the first; the range follows the bars."""
    found, unit = {}, Fraction(bars[0][2])
    for n, (low, high, volume) in enumerate(bars):
        into = {}
        low, high = Fraction(low), Fraction(high)
        weight = Fraction(volume) / unit * Fraction(2 ** ((n % half_life) / half_life) if half_life else 1)
        for k in range(math.floor(low) - 1, math.ceil(high) + 2):
            left, right = k - Fraction(1, 2), k + Fraction(1, 2)
            if high > low:
                part = max(min(high, right) - max(low, left), 0) / (high - low)
            else:
                part = Fraction(int(left <= low <= right), 2 if low in (left, right) else 1)
            if part:
                into[k] = weight * part
        for k, each in into.items():
            found[k] = found.get(k, 0) + each
        if size:
            found = {k: v for k, v in found.items() if k > max(into) - size and k < min(into) + size}
        if half_life and n % half_life == half_life - 1:
            found = {k: each / 2 for k, each in found.items()}
    return found


@settings(max_examples=60, deadline=None)
@given(bars)
def test_it_holds_what_a_dictionary_holds(bars):
    got, expected = shares(made(bars, size=64)), slowly(bars)
    for k in got.keys() | expected.keys():
        assert got.get(k, 0.0) == pytest.approx(float(expected.get(k, 0)), abs=len(bars) / (1 << 20))


@settings(max_examples=60, deadline=None)
@given(bars)
def test_it_forgets_by_half_lives(bars):
    got, expected = shares(made(bars, size=64, half_life=5)), slowly(bars, half_life=5)
    for k in got.keys() | expected.keys():
        assert got.get(k, 0.0) == pytest.approx(float(expected.get(k, 0)), abs=2 * len(bars) / (1 << 20))


def test_bins_too_far_from_the_bar_are_let_go():
    first = [(0.0, 0.0, 1.0), (7.0, 7.0, 1.0)]
    assert shares(made(first, size=8)) == {0: 1.0, 7: 1.0}
    assert shares(made([*first, (8.0, 8.0, 1.0)], size=8)) == {7: 1.0, 8: 1.0}
    assert shares(made([*first, (-1.0, -1.0, 1.0)], size=8)) == {-1: 1.0, 0: 1.0}
    assert shares(made([*first, (900.0, 900.0, 1.0)], size=8)) == {900: 1.0}
    assert shares(made([*first, (-900.0, -900.0, 1.0)], size=8)) == {-900: 1.0}
    wide = shares(made([(-10.0, 10.0, 20.0)], size=8))
    assert set(wide) == set(range(-3, 4))
    assert set(wide.values()) == {float(int((1 << 20) * 0.05)) / (1 << 20)}


@settings(max_examples=60, deadline=None)
@given(bars, st.sampled_from([0.25, 1.0, 4.0]), st.sampled_from([0, 3]))
def test_turned_over_it_is_the_same_turned_over(bars, width, half_life):
    turned = [(-high, -low, volume) for low, high, volume in bars]
    usual, other = made(bars, 16, half_life), made(turned, 16, half_life)
    for states in (usual, other):
        fit(states, width)
    assert held(other) == {-k: each for k, each in held(usual).items()}
    low, control, high = area(usual)
    assert area(other) == [-high, -control, -low]
    for price in (-3.3, 0.5, 2.0):
        near, far, thin = valley(usual, price, 1)
        expected = [-near, -far, thin]
        np.testing.assert_array_equal(valley(other, -price, -1), expected)


@settings(max_examples=60, deadline=None)
@given(bars, st.sampled_from([0.26, 0.5, 0.9, 1.0, 1.9, 2.0, 4.1]))
def test_another_width_keeps_the_volume_where_it_was(bars, width):
    states = made(bars, size=256)
    before, middle = (
        sum(held(states).values()),
        np.average(list(held(states)), weights=[*held(states).values()]),
    )
    fit(states, width)
    step = states["width"][0]
    assert width / 2 < step < 2 * width
    after = held(states)
    assert before - 4 * 64 <= sum(after.values()) <= before
    assert np.average(list(after), weights=[*after.values()]) * step == pytest.approx(middle, abs=1e-3)
    more(states, bars)  # and it goes on
    assert sum(held(states).values()) == pytest.approx(2 * before, abs=2_000)


def test_bins_are_shared_out_by_halves_and_quarters():
    assert shares(fit(made([(0, 0, 1), (1, 1, 2)]), 2.0)) == {0: 2.0, 1: 1.0}
    assert shares(fit(made([(0, 0, 1), (1, 1, 2)]), 0.5)) == {-1: 0.25, 0: 0.5, 1: 0.75, 2: 1.0, 3: 0.5}
    assert shares(fit(made([(0, 0, 1)]), NAN)) == {0: 1.0}


# volumes by bin, 0 to 6: 1 3 9 6 4 2 1 of 26; 70 % are 18.2
LADDER = [(float(k), float(k), float(v)) for k, v in enumerate([1, 3, 9, 6, 4, 2, 1])]


def test_the_value_area_grows_from_the_point_of_control_by_the_thicker_pair():
    # from bin 2 (9): above 6 + 4 = 10, below 3 + 1 = 4; up, that is 19 of 26: enough
    assert area(made(LADDER)) == [1.5, 2.0, 4.5]
    # 80 % are 20.8: now above 2 + 1 = 3, below 4; down, 23
    assert area(made(LADDER), 0.8) == [-0.5, 2.0, 4.5]
    assert area(made(LADDER), 1.0) == [-0.5, 2.0, 6.5]
    # pairs that hold the same come in together
    assert area(made([(0, 0, 2), (1, 1, 4), (2, 2, 2)]), 0.6) == [-0.5, 1.0, 2.5]


def test_of_equal_bins_the_one_nearest_the_middle_is_the_point_of_control():
    assert area(made([(0, 0, 1), (1, 1, 5), (2, 2, 1), (5, 5, 5)]))[1] == 1.0
    assert area(made([(0, 0, 5), (1, 1, 1), (4, 4, 5)]))[1] == 2.0


def test_the_valley_between_two_nodes():
    # smoothed by 1 2 1: bins 0 to 6 of 8 1 0 0 1 6 2 give 17 10 1 1 8 15 10, and 8 at bin -1
    states = made([(float(k), float(k), float(v)) for k, v in enumerate([8, 1, 0, 0, 1, 6, 2]) if v])
    near, far, thin = valley(states, 3.0, 1)
    # nodes are at 0 and 5: the thinnest between them, 1, lacks 14 of 15
    assert (near, far) == (0.0, 5.0)
    assert thin == pytest.approx(1 - 1 / 15)
    assert valley(states, 3.0, -1)[:2] == [5.0, 0.0]
    assert all(map(math.isnan, valley(states, 3.0, 1, depth=0.95)))
    assert all(map(math.isnan, valley(states, 3.0, 1, part=0.9)))  # 15 is less than 0.9 of 17
    assert all(map(math.isnan, valley(states, 0.0, 1)))  # nothing behind
    assert all(map(math.isnan, valley(states, 9.0, 1)))  # out of it
    assert density(states, 5.2) == 15 / 17
    assert density(states, 50.0) == 0.0


@pytest.mark.parametrize("given", [{"size": 3}, {"size": 2.5}, {"size": 16, "half_life": -1}])
def test_what_it_cannot_be_made_with_is_refused(given):
    with pytest.raises(PluginError, match=r"steps\.profile"):
        steps.profile(**given)
