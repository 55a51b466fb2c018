"""VPIN against buckets that are filled by hand, quantity by quantity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import compile, steps

NAN = math.nan
_PLAY = """
def entry(states, bought, sold, bucket, out):
    for i in range(bought.size):
        out[i, 0] = push(states[0], bought[i], sold[i], bucket[i])
        out[i, 1], out[i, 2] = states[0].lean, states[0].full
"""


def pushed(rows, window=4, bucket=10.0):
    states, out = np.array([steps.vpin(window)]), np.zeros((len(rows), 3))
    bought, sold = np.array(rows, float).reshape(-1, 2).T.copy()
    entry = compile.entry("play", _PLAY, {"push": steps.vpin.push})
    compile.call(entry, states, bought, sold, np.broadcast_to(bucket, len(rows)).astype(float), out)
    return out


UNEVEN = 3 * math.pi  # whole quantities never end where such a bucket does


def slowly(rows, window=4, bucket=UNEVEN):
    """Fill buckets one after another; of a row both sides go in the same proportion."""
    leans, bought, sold, out = [], 0.0, 0.0, []
    for more, less in rows:
        left = more + less
        while left > 0:
            part = min(left, bucket - bought - sold)
            bought += part * more / (more + less)
            sold += part * less / (more + less)
            left -= part
            if left > 0:
                leans.append((bought - sold) / bucket)
                bought = sold = 0.0
        last = leans[-window:]
        out.append((np.mean(np.abs(last)), np.mean(last), len(leans)) if last else (NAN, NAN, 0))
    return np.array(out)


@given(st.lists(st.tuples(st.integers(0, 35), st.integers(0, 35)), min_size=1, max_size=30))
def test_it_is_the_mean_over_the_newest_full_buckets(rows):
    expected = slowly(rows)
    assert pushed(rows, bucket=UNEVEN) == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


def test_buckets_worked_out_by_hand():
    # 8 bought and 2 sold fill one: 0.6. 5 sold, then 10 sold: the second is all sold, a third half full
    found = pushed([(8, 2), (0, 5), (0, 10)])
    assert found[:, 0].tolist() == pytest.approx([0.6, 0.6, 0.8])
    assert found[:, 1].tolist() == pytest.approx([0.6, 0.6, -0.2])
    assert found[:, 2].tolist() == [1, 1, 2]


def test_a_row_of_many_buckets_leaves_only_its_own():
    found = pushed([(8, 2), (0, 1e12)], window=3)
    assert found[-1].tolist() == [1.0, -1.0, 1 + 1e11]


def test_what_is_not_known_changes_nothing():
    odd = [(NAN, 1), (1, math.inf), (-1, 5), (0, 0)]
    assert pushed([(8, 2), *odd, (0, 10)])[-1].tolist() == pushed([(8, 2), (0, 10)])[-1].tolist()
    assert np.isnan(pushed([(5, 5)], bucket=NAN)[0, 0])


def test_a_smaller_bucket_closes_what_it_finds():
    found = pushed([(6, 0), (0, 1)], bucket=np.array([10.0, 4.0]))
    assert found[-1].tolist() == [1.0, 1.0, 1]


def test_flow_of_both_sides_alike_is_not_toxic():
    rng = np.random.default_rng(1)
    sides = rng.random(50_000) < 0.5
    mixed = pushed(np.stack([sides, ~sides], 1), window=50, bucket=400.0)[-1]
    assert mixed[0] == pytest.approx(math.sqrt(2 / math.pi / 400), rel=0.3)
    informed = np.stack([rng.random(20_000) < 0.9, np.zeros(20_000)], 1)
    informed[:, 1] = 1 - informed[:, 0]
    assert pushed(informed, 50, 400.0)[-1, 0] == pytest.approx(0.8, abs=0.05)
