"""The example in plain Python: by the contract, on a market made by hand, and as its twin answers."""

import numpy as np
import pytest
from nexus_strategy_fall_step import FallStep
from nexus_strategy_fall_window import FallWindow

from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios


class TestFallWindow(StrategyContract):
    strategy = "fall-window"


def test_a_fall_of_two_hundredths_is_worth_two_thirds():
    closes = np.full(243, 100.0)
    closes[-2:] = 98.0, 99.5
    signals, scores = scenarios.answers(FallWindow(), rows(closes))
    assert signals[:240].tolist() == [ABSENT] * 240
    assert signals[240:].tolist() == [0, 1, 0]
    assert scores[241] == pytest.approx(2 / 3)


def test_the_compiled_twin_answers_the_same():
    bars = scenarios.quiet(1, 1500)
    mine, its = (scenarios.answers(each, bars) for each in (FallWindow(), FallStep(drop=0.01)))
    assert mine[0].tolist() == its[0].tolist()
    assert mine[1] == pytest.approx(its[1], abs=1e-12)
    assert np.count_nonzero(mine[0] == 1) > 0
