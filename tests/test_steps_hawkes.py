"""The intensity of points that excite one another, against its definition over all points."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import compile, steps
from nexus_core.errors import PluginError

SECOND = 1_000_000_000
_PLAY = """
def entry(states, times, marks, out):
    for i in range(times.size):
        out[i, 0] = push(states[0], times[i], marks[i])
        out[i, 1], out[i, 2] = states[0].base, states[0].ratio
"""


def pushed(times, marks, decay=2.0, memory=50.0, share=0.8):
    states, out = np.array([steps.hawkes(decay, memory, share)]), np.zeros((len(times), 3))
    entry = compile.entry("play", _PLAY, {"push": steps.hawkes.push})
    compile.call(entry, states, np.array(times, np.int64), np.array(marks, float), out)
    return out


def slowly(times, marks, decay=2.0, memory=50.0, share=0.8):
    out, known = [], [m if 0 < m < math.inf else 0.0 for m in marks]
    for i, now in enumerate(times):
        age = [(now - t) / SECOND for t in times[: i + 1]]
        excited = sum(m * math.exp(-a / decay) for m, a in zip(known, age, strict=False)) / decay
        usual = sum(m * math.exp(-a / memory) for m, a in zip(known[1:], age[1:], strict=False))
        span = memory * (1 - math.exp(-age[0] / memory))
        base = usual / span if span else math.nan
        intensity = (1 - share) * base + share * excited
        out.append((intensity, base, intensity / base if base else math.nan))
    return np.array(out)


points = st.lists(
    st.tuples(st.integers(1, 30 * SECOND), st.floats(0, 1e6) | st.sampled_from([0.0, 1.0, math.nan, -1.0])),
    min_size=1,
    max_size=30,
)


@given(points)
def test_it_is_the_sum_over_all_points(made):
    times = np.cumsum([gap for gap, _ in made]).tolist()
    marks = [mark for _, mark in made]
    assert pushed(times, marks) == pytest.approx(slowly(times, marks), rel=1e-6, abs=1e-9, nan_ok=True)


def test_points_worked_out_by_hand():
    # a mark of 1 at 0 s begins; 3 at 2 s: excited 3 + 1/e, the base is 3 over 50 (1 - exp(-0.04)) seconds
    intensity, base, ratio = pushed([0, 2 * SECOND], [1, 3])[1]
    assert base == pytest.approx(3 / (50 * (1 - math.exp(-0.04))))
    assert intensity == pytest.approx(0.2 * base + 0.8 * (3 + math.exp(-1)) / 2)
    assert ratio == pytest.approx(intensity / base)


def test_points_at_a_steady_rate_are_usual():
    times = np.arange(2_000) * SECOND // 4
    intensity, base, ratio = pushed(times, np.ones(2_000), decay=5.0)[-1]
    assert base == pytest.approx(4.0, rel=0.01)
    assert intensity == pytest.approx(4.0, rel=0.03)
    assert ratio == pytest.approx(1.0, abs=0.03)


def test_it_finds_the_mean_rate_of_points_that_excite_one_another():
    rng, times = np.random.default_rng(1), []
    family = list(rng.uniform(0, 4_000, 800))  # 0.2 a second by themselves, each brings about 0.6 others
    while family:
        now = family.pop()
        times.append(now)
        family += [now + late for late in rng.exponential(2.0, rng.poisson(0.6))]
    ends = sorted(t for t in times if t < 4_000)
    found = pushed([int(t * SECOND) for t in ends], np.ones(len(ends)), memory=2_000.0, share=0.6)
    assert found[-1, 1] == pytest.approx(0.2 / (1 - 0.6), rel=0.15)


def test_without_points_before_there_is_nothing_to_compare_with():
    found = pushed([SECOND, SECOND, 2 * SECOND], [1, 1, 0])
    assert np.isnan(found[:2]).all()
    assert found[2, 1] > 0


def test_a_time_before_the_newest_counts_as_the_newest():
    late, same = pushed([0, 5 * SECOND, SECOND], [1, 1, 1]), pushed([0, 5 * SECOND, 5 * SECOND], [1, 1, 1])
    assert late.tobytes() == same.tobytes()


@pytest.mark.parametrize(
    "given", [(0.0, 1.0), (1.0, -1.0), (1.0, math.inf), (1.0, 1.0, 1.0), (1.0, 1.0, -0.1)]
)
def test_what_makes_no_sense_is_refused(given):
    with pytest.raises(PluginError, match=r"steps\.hawkes: "):
        steps.hawkes(*given)
