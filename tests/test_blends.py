"""A model's opinion is blended into a signal where its slot is filled, and absent without harm."""

import numpy as np
import pytest

from nexus_core import steps
from nexus_core.market.blends import Blends
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.records import ABSENT
from nexus_core.strategy import Strategy
from nexus_core.testing import rows


class Asking(Strategy):
    nexus_api = 1
    category, slot = "momentum", "direction"

    @staticmethod
    def blend(row, signal, score, opinion):
        return steps.blend(signal, score, opinion, 0.5)


def blended(opinions, signals, scores, size=100, strategy=Asking):
    made = Blends([strategy()], opinions)
    made.warm()
    bars = rows(np.arange(1.0, len(signals) + 1))
    told, worth = np.array([signals], np.int8), np.array([scores], np.float64)
    for block in blocks(Chunk(bars, np.array([0, len(bars)])), 0, size, lambda _: 2**62):
        made.run(block, told, worth)
    return told[0].tolist(), worth[0].tolist()


def test_an_empty_slot_changes_nothing():
    assert blended({}, [1, 0], [0.3, 0.0]) == ([1, 0], [0.3, 0.0])
    assert blended({"other": lambda rows: rows["close"]}, [1], [0.3]) == ([1], [0.3])


@pytest.mark.parametrize("size", [1, 2, 100])
def test_only_rows_with_a_signal_are_asked_for_and_mixed(size):
    asked = []

    def opinions(told):
        asked.extend(told["close"].tolist())
        return np.where(told["close"] == 5, -0.6, 0.6)

    signals, scores = blended({"direction": opinions}, [1, 0, -2, ABSENT, 1], [0.8, 0, 0.8, 0, 0.8], size)
    assert asked == [1.0, 3.0, 5.0]
    # half of 0.8 and half of 0.6; of -0.6 against the signal's side
    assert signals == [1, 0, -2, ABSENT, 1]
    assert scores == pytest.approx([0.7, 0.0, 0.1, 0.0, 0.1])


@pytest.mark.parametrize("size", [1, 2, 100])
def test_an_opinion_out_of_bounds_takes_no_other_with_it(size):
    """What a row is told does not depend on the block it is in."""

    def opinions(told):
        return np.where(told["close"] == 2, 1.5, 1.0)

    assert blended({"direction": opinions}, [1, 1, 1], [0.5, 0.5, 0.5], size)[1] == [0.75, 0.5, 0.75]


def test_an_opinion_that_outweighs_a_signal_silences_it():
    assert blended({"direction": lambda told: np.full(len(told), -1.0)}, [1], [0.4]) == ([0], [0.0])


@pytest.mark.parametrize(
    "bad",
    [
        lambda told: np.full(len(told), np.nan),
        lambda told: np.full(len(told), 1.5),
        lambda told: np.zeros(len(told) + 1),
        lambda told: 1 / 0,
    ],
)
def test_a_model_without_an_opinion_leaves_signals_as_they_are(bad):
    assert blended({"direction": bad}, [1, -1], [0.4, 0.6]) == ([1, -1], [0.4, 0.6])


@pytest.mark.parametrize(
    ("signal", "score", "opinion", "share", "answer"),
    [
        (1, 0.6, 1.0, 0.3, (1, 0.72)),
        (-2, 0.6, 1.0, 0.3, (-2, 0.12)),
        (-1, 0.6, -0.5, 0.3, (-1, 0.57)),
        (1, 0.6, -5.0, 0.3, (1, 0.12)),
        (0, 0.0, 1.0, 0.3, (0, 0.0)),
        (1, 0.2, -1.0, 0.5, (0, 0.0)),
    ],
)
def test_blend_is_the_weighted_mean_on_the_side_of_the_signal(signal, score, opinion, share, answer):
    assert steps.blend(signal, score, opinion, share) == pytest.approx(answer)
