"""Outcomes of signals: counted from the row on at which they are known, whatever the size of the blocks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.errors import PluginError
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.outcomes import Outcomes
from nexus_core.records import ABSENT
from nexus_core.strategy import Strategy
from nexus_core.styles import loop
from nexus_core.testing import rows


def counted(closes, signals, horizon, size=1 << 40, scores=None):
    """Return what is counted of one strategy on one symbol, in blocks of so many ticks."""
    made = Outcomes([horizon], 1)
    bars = rows(np.asarray(closes, np.float64))
    told = np.array([signals], np.int8)
    worth = np.full((1, len(closes)), 0.5) if scores is None else np.array([scores])
    for block in blocks(Chunk(bars, np.array([0, len(bars)])), 0, size, lambda _: 2**62):
        made.run(block, told, worth, np.zeros_like(told))
    return made.of(0)


def test_a_signal_is_right_where_price_moved_its_way_at_the_horizon():
    # bought at 10, two rows later 12: right. Sold at 11, then 11: not its way. Bought at 12, then 9: wrong
    made = counted([10, 11, 12, 11, 9, 9], [1, -2, 2, 0, 0, ABSENT], 2, scores=[0.2, 0.4, 0.9, 1, 1, 1])
    assert made == {"signals": 3, "right": 1, "wrong": 2, "score": pytest.approx(0.5)}


def test_what_is_not_known_yet_is_not_counted():
    assert counted([10, 11, 12], [1, 1, 1], 2) == {"signals": 3, "right": 1, "wrong": 0, "score": 0.5}


def test_an_unknown_price_makes_no_outcome():
    made = counted([10, math.nan, 12, 13], [1, 1, 0, 0], 1)
    assert made == {"signals": 1, "right": 0, "wrong": 0, "score": 0.5}


def test_a_strategy_without_signals_has_no_mean():
    assert counted([10, 11], [0, ABSENT], 1) == {"signals": 0, "right": 0, "wrong": 0, "score": 0.0}


def test_the_price_is_the_middle_of_the_quote_where_it_is_known():
    # bought at the ask 11, sold at the bid 11: the middle rose from 10.5 to 11.5. Then no quote: closes count
    bars = rows([11.0, 11.0, 11.0, 12.0], bid=[10.0, 11.0, math.nan, math.nan], ask=[11.0, 12.0, 12.0, 9.0])
    made, told = Outcomes([1], 1), np.array([[1, -1, 1, 0]], np.int8)
    for block in blocks(Chunk(bars, np.array([0, 4])), 0, 2, lambda _: 2**62):
        made.run(block, told, np.ones((1, 4)), np.zeros_like(told))
    assert made.of(0) == {"signals": 3, "right": 2, "wrong": 1, "score": 1.0}


def slowly(closes, signals, horizon):
    at = [i for i, each in enumerate(signals) if each not in (0, ABSENT)]
    ends = [(np.sign(signals[i]), closes[i], closes[i + horizon]) for i in at if i + horizon < len(closes)]
    right = sum(bool(side * (end - begin) > 0) for side, begin, end in ends)
    return {"signals": len(at), "right": right, "wrong": len(ends) - right}


@given(
    st.lists(
        st.tuples(st.integers(90, 110), st.sampled_from([-2, -1, 0, 1, 2, ABSENT])), min_size=1, max_size=60
    ),
    st.integers(1, 9),
    st.sampled_from([1, 3, 64]),
)
def test_it_counts_as_a_slow_definition_does_in_blocks_of_any_size(told, horizon, size):
    closes, signals = zip(*told, strict=True)
    made = counted(closes, signals, horizon, size)
    assert {name: made[name] for name in ("signals", "right", "wrong")} == slowly(closes, signals, horizon)


def test_symbols_and_strategies_are_counted_apart():
    made = Outcomes([1, 2], 2)
    bars = np.concatenate([rows([10.0, 11.0, 12.0]), rows([10.0, 9.0, 8.0], symbol=1)])
    signals = np.array([[1, 0, 0, 1, 0, 0], [-1, 0, 0, -1, 0, 0]], np.int8)
    for block in blocks(Chunk(bars, np.array([0, 3, 6])), 0, 2, lambda _: 2**62):
        made.run(block, signals, np.zeros((2, 6)), np.zeros_like(signals))
    assert made.counts["right"].tolist() == [[1, 0], [0, 1]]
    assert made.counts["wrong"].tolist() == [[0, 1], [1, 0]]


def test_what_it_remembers_makes_another_go_on():
    closes, signals = np.linspace(10, 20, 20), np.array([[1, -1] * 10], np.int8)
    whole, first, second = (Outcomes([3], 1) for _ in range(3))
    bars, scores = rows(closes), np.ones((1, 20))
    cut = list(blocks(Chunk(bars, np.array([0, 20])), 0, 10, lambda _: 2**62))
    for block in cut:
        whole.run(block, signals, scores, np.zeros_like(signals))
    first.run(cut[0], signals, scores, np.zeros_like(signals))
    for name, (array, _) in second.records(["x"]).items():
        array[...] = first.records(["x"])[name][0]
    second.run(cut[1], signals, scores, np.zeros_like(signals))
    assert second.of(0) == whole.of(0)


class Patient(Strategy):
    nexus_api = 1
    name = "patient"

    @staticmethod
    def step(row, state, params):
        return 0, 0.0


class Frank(Patient):
    step = Strategy.step

    def signal(self, window):
        return 0, 0.0


@pytest.mark.parametrize("kind", [Patient, Frank])
@pytest.mark.parametrize("horizon", [0, -1, 60.0, "60", 10**9])
def test_a_horizon_that_cannot_be_waited_for_is_refused(kind, horizon):
    made = kind()
    made.horizon = horizon
    with pytest.raises(PluginError, match="must be a whole number of rows from 1 to 1,000,000"):
        loop("patient", made, ["BTC-USD"])
