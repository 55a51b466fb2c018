"""The example as a compiled step: by the contract, and on a market made by hand."""

import math

import pytest
from nexus_strategy_fall_step import FallStep

from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios


class TestFallStep(StrategyContract):
    strategy = "fall-step"


def test_the_score_is_the_fall_in_three_drops():
    signals, scores = scenarios.answers(FallStep(window=2, drop=0.1), rows([100, 100, 80, 75, 40, 40]))
    assert signals.tolist() == [ABSENT, ABSENT, 1, 0, 1, 0]
    # 80 is 0.2 below 100; 75 is 0.0625 below 80; 40 is 0.47 below 75, and 3 drops are 0.3
    assert scores[[2, 4]] == pytest.approx([0.2 / 0.3, 1.0])


def test_an_unknown_close_is_no_opinion():
    signals, _ = scenarios.answers(FallStep(window=3), rows([100, 100, 100, math.nan, 90]))
    assert signals[3:].tolist() == [0, 1]
