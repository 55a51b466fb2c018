"""The cross of two averages against a plain loop, and by the contract of a strategy."""

import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nexus_strategy_ema_cross import EmaCross

from nexus_core.errors import ConfigError
from nexus_core.market.loops import StrategyLoop
from nexus_core.records import ROW

NAN = math.nan


def watch(closes, cuts=(), **params):
    rows = np.zeros(len(closes), ROW)
    rows["close"] = closes
    loop = StrategyLoop("ema-cross", EmaCross(**params), 1)
    signals, scores = np.zeros(len(rows), np.int8), np.zeros(len(rows))
    for first, last in pairwise([0, *cuts, len(rows)]):
        loop.run(rows, np.array([first]), np.array([last]), signals, scores)
    assert loop.faults() == 0
    return signals, scores, loop


def plain_loop(closes, fast=10, slow=30):
    a = b = NAN
    side, signals = 0, []
    for close in closes:
        if not math.isnan(close):
            a = close if math.isnan(a) else a + 2 / (fast + 1) * (close - a)
            b = close if math.isnan(b) else b + 2 / (slow + 1) * (close - b)
        now = side if math.isnan(a) or a == b else int(math.copysign(1, a - b))
        signals.append(now if side != 0 and now != side else 0)
        side = now
    return signals


def random_walk(size=500, seed=2):
    closes = 100 + np.cumsum(np.random.default_rng(seed).normal(size=size))
    closes[[0, 40, 41, 300]] = NAN
    return closes


def bits(signals, scores, loop):
    return signals.tobytes(), scores.tobytes(), loop.states.tobytes()


def test_a_cross_by_hand():
    # weights 1 and 1/2: the fast average is the close, the slow one 8, 9, 9.5, 7.25, 5.125, 7.5625
    signals, scores, _ = watch([8.0, 10.0, 10.0, 5.0, 3.0, 10.0], fast=1, slow=3)
    assert signals.tolist() == [0, 0, 0, -1, 0, 1]
    assert scores.tolist() == [0.0, 0.0, 0.0, 1.0, 0.0, 1.0]


closes = st.lists(st.floats(1.0, 1e6) | st.sampled_from([NAN, 5.0, 6.0]), min_size=1, max_size=60)


@given(closes)
@example([NAN, NAN, 5.0, 5.0, 6.0, 1.0])
@example([5.0, 6.0, 5.0, 5.0, NAN, 5.0])
def test_it_answers_as_a_plain_loop_does(closes):
    signals, scores, _ = watch(closes, fast=2, slow=5)
    assert signals.tolist() == plain_loop(closes, 2, 5)
    assert scores.tolist() == [float(s != 0) for s in signals]


def test_signals_take_turns_and_come_with_the_usual_spans():
    closes = random_walk()
    signals, _, _ = watch(closes)
    crosses = signals[signals != 0]
    assert signals.tolist() == plain_loop(closes)
    assert len(crosses) > 5
    assert (crosses[1:] == -crosses[:-1]).all()


def test_equal_spans_never_cross_and_prices_that_stand_still_neither():
    assert not watch(random_walk(), fast=10, slow=10)[0].any()
    assert not watch(np.full(100, 5.0))[0].any()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_size_of_blocks_changes_no_bit(size):
    closes = random_walk()
    assert bits(*watch(closes, cuts=range(size, len(closes), size))) == bits(*watch(closes))


@pytest.mark.parametrize("cut", [1, 42, 250])
def test_a_restored_state_goes_on_where_it_was(cut):
    closes = random_walk()
    signals, _, loop = watch(closes)
    _, _, before = watch(closes[:cut])
    after, rows = StrategyLoop("ema-cross", EmaCross(), 1), np.zeros(len(closes), ROW)
    rows["close"] = closes
    rest, scores = np.zeros(len(closes), np.int8), np.zeros(len(closes))
    after.states[:] = np.frombuffer(before.states.tobytes(), before.states.dtype)
    after.run(rows, np.array([cut]), np.array([len(closes)]), rest, scores)
    assert rest[cut:].tolist() == signals[cut:].tolist()
    assert after.states.tobytes() == loop.states.tobytes()


def test_what_comes_later_changes_nothing_before():
    closes = random_walk()
    assert watch(closes[:300])[0].tolist() == watch(closes)[0][:300].tolist()


@pytest.mark.parametrize("given", [{"fast": 0}, {"slow": 10_001}, {"fast": 2.5}])
def test_a_parameter_outside_its_bounds_is_refused_by_name(given):
    with pytest.raises(ConfigError, match=f"parameter {next(iter(given))} was"):
        EmaCross(**given)


def test_the_readme_names_every_parameter_with_its_default_and_bounds():
    text = (Path(__file__).parent.parent / "README.md").read_text()
    for name, each in EmaCross.parameters().items():
        row = re.search(rf"^\| `{name}` \| (\S+) \| (\S+) to (\S+) \| (.+) \|$", text, re.MULTILINE)
        assert row is not None
        shown = [float(value.replace(",", "")) for value in row.groups()[:3]]
        assert shown == [each.default, each.low, each.high]
        assert row[4] == each.help
