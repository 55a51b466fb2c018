"""Imbalance of the book, against slow definitions written from the papers."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import steps
from nexus_core.errors import PluginError

TOUCHES = st.lists(
    st.tuples(st.integers(100, 110), st.integers(1, 4), st.integers(0, 20), st.integers(0, 20)),
    min_size=1,
    max_size=60,
)


def pushed(tool, state, touches):
    """Return what a tool answers to touches, one after another."""
    one = np.array([state]).view(np.recarray)
    return [float(tool.push(one[0], *touch)) for touch in touches]


def quotes(drawn):
    """Return touches (bid, bid size, ask, ask size) as floats, prices on a grid of halves."""
    return [(b / 2, float(p), (b + s) / 2, float(q)) for b, s, p, q in drawn]


def turned(touches):
    return [(-ask, asks, -bid, bids) for bid, bids, ask, asks in touches]


def cont(touches):
    """Order-flow imbalance as Cont, Kukanov and Stoikov write it."""
    made = [0.0]
    for (b0, p0, a0, q0), (b, p, a, q) in pairwise(touches):
        made.append((b >= b0) * p - (b <= b0) * p0 - (a <= a0) * q + (a >= a0) * q0)
    return made


def micro(touches, classes):
    """Return the first order of the micro-price over all that was seen, without forgetting."""
    made, mids = [], [(b + a) / 2 for b, _, a, _ in touches]
    for t in range(len(touches)):
        samples, mine = [], steps.tilt(touches[t][1], touches[t][3])
        if math.isnan(mine):
            made.append(math.nan)
            continue
        for i in range(t):
            later = [mids[j] for j in range(i + 1, t + 1) if mids[j] != mids[i]]
            leaning = steps.tilt(touches[i][1], touches[i][3])
            if later and min(int(abs(leaning) * classes), classes - 1) == min(
                int(abs(mine) * classes), classes - 1
            ):
                samples.append(np.sign(leaning) * (later[0] - mids[i]))
        made.append(float(np.sign(mine) * np.mean(samples)) if samples else 0.0)
    return made


@given(TOUCHES)
@settings(max_examples=50, deadline=None)
def test_order_flow_imbalance_is_what_the_paper_says(drawn):
    touches = quotes(drawn)
    made = pushed(steps.order_flow_imbalance, steps.order_flow_imbalance(), touches)
    assert made == pytest.approx(cont(touches))
    mirrored = pushed(steps.order_flow_imbalance, steps.order_flow_imbalance(), turned(touches))
    assert mirrored == [-each for each in made]


@given(st.lists(st.tuples(st.integers(100, 104), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=50, deadline=None)
def test_the_micro_price_is_the_mean_next_move_of_the_middle(drawn):
    touches = quotes(drawn)
    made = pushed(steps.micro_price, steps.micro_price(4, 10**12), touches)
    assert made == pytest.approx(micro(touches, 4), abs=1e-6)
    mirrored = pushed(steps.micro_price, steps.micro_price(4, 10**12), turned(touches))
    assert mirrored == [-each for each in made]


def test_the_micro_price_forgets():
    # tilts of 1/2 are followed by a rise of 1, then by a fall, and so on: with memory 2 each halves the past
    up, down = (10.0, 3.0, 11.0, 1.0), (9.0, 3.0, 10.0, 1.0)
    state = np.array([steps.micro_price(10, 2)]).view(np.recarray)
    made = [float(steps.micro_price.push(state[0], *each)) for each in (down, up, down, up, down)]
    # of the moves 1, -1, 1, -1: 1; (0.5 - 1) / 1.5; (-0.25 + 1) / 1.75; (0.375 - 1) / 1.875
    assert made == pytest.approx([0.0, 1.0, -0.5 / 1.5, 0.75 / 1.75, -0.625 / 1.875])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_unknown_touch_is_forgotten_and_poisons_nothing(bad):
    touches = [(10.0, 5.0, 11.0, 1.0), (10.0, 6.0, 11.0, 1.0), (bad, 1.0, 11.0, 1.0), (12.0, 9.0, 13.0, 1.0)]
    flow = pushed(
        steps.order_flow_imbalance, steps.order_flow_imbalance(), [*touches, (12.0, 7.0, 13.0, 1.0)]
    )
    assert flow == [0.0, 1.0, 0.0, 0.0, -2.0]
    made = pushed(steps.micro_price, steps.micro_price(), [*touches, (12.0, 7.0, 13.0, 1.0)])
    assert math.isnan(made[2])
    assert [each for each in made if each == each] == [0.0, 0.0, 0.0, 0.0]  # no move was seen from end to end


@given(
    st.lists(st.floats(0.0, 1e6), min_size=10, max_size=10),
    st.lists(st.floats(0.0, 1e6), min_size=10, max_size=10),
    st.integers(1, 12),
)
def test_depth_imbalance_weighs_the_best_most(bids, asks, levels):
    bids, asks = np.array(bids), np.array(asks)
    made = steps.depth_imbalance(bids, asks, levels)
    weights = np.clip((levels - np.arange(10)) / levels, 0.0, None)
    bid, ask = (weights * bids).sum(), (weights * asks).sum()
    if bid + ask > 0.0:
        assert made == pytest.approx((bid - ask) / (bid + ask), abs=1e-12)
        assert steps.depth_imbalance(asks, bids, levels) == -made
    else:
        assert math.isnan(made)


def test_tilt_of_nothing_is_not_known():
    assert steps.tilt(3.0, 1.0) == 0.5
    assert math.isnan(steps.tilt(0.0, 0.0))
    assert math.isnan(steps.tilt(math.nan, 1.0))


def test_sizes_are_checked():
    with pytest.raises(PluginError, match="micro_price"):
        steps.micro_price(0)
    with pytest.raises(PluginError, match="micro_price"):
        steps.micro_price(10, 0)
