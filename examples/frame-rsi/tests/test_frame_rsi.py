"""Somebody's function on a DataFrame: by the contract, and as the function itself answers."""

import numpy as np
import pandas as pd
import pytest
from nexus_strategy_frame_rsi import FrameRsi, rsi_signal

from nexus_core.testing import StrategyContract, rows, scenarios


class TestFrameRsi(StrategyContract):
    strategy = "frame-rsi"


def test_a_market_that_only_fell_is_bought():
    closes = np.concatenate([np.full(16, 100.0), 100.0 - np.arange(1, 4)])
    signals, scores = scenarios.answers(FrameRsi(), rows(closes))
    assert signals[-3:].tolist() == [1, 1, 1]
    assert scores[-3:].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("seed", range(3))
def test_it_answers_as_the_function_does(seed):
    bars = scenarios.quiet(seed, 160)
    signals, scores = scenarios.answers(FrameRsi(), bars)
    for i in range(15, 160, 7):
        signal, strength = rsi_signal(pd.DataFrame({"close": bars["close"][i - 14 : i + 1]}))
        assert signals[i] == signal
        assert scores[i] == (pytest.approx(strength) if signal else 0.0)
