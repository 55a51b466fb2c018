"""The example on the events of a book: by the contract, and on events made by hand."""

import math

import numpy as np
import pytest
from nexus_strategy_book_pressure import BookPressure

from nexus_core.market.blocks import Chunk
from nexus_core.market.events import BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT
from nexus_core.testing import MINUTE, START, StrategyContract, rows, scenarios

SECOND = 1_000_000_000


class TestBookPressure(StrategyContract):
    strategy = "book-pressure"


def said(*levels):
    """Return a book's beginning, then one change of a level after another: second, side, price, size."""
    told = [(0, 0, 0.0, 0.0, CLEAR, SNAPSHOT), (0, BUY, 99.0, 3.0, LEVEL, SNAPSHOT)]
    told += [(0, SELL, 101.0, 1.0, LEVEL, SNAPSHOT | LAST)]
    told += [(*each, LEVEL, LAST) for each in levels]
    made = np.zeros(len(told), EVENT)
    for n, (second, side, price, size, kind, flags) in enumerate(told):
        made[n]["ts"], made[n]["seq"] = START + second * SECOND, n
        made[n]["side"], made[n]["price"], made[n]["size"] = side, price, size
        made[n]["kind"], made[n]["flags"] = kind, flags
    return made


def answer(*levels, **params):
    events = said(*levels)
    bars = rows([100.0], start=START, interval=MINUTE)
    session = scenarios.Session(Chunk(bars, np.array([0, 1]), events, np.array([0, len(events)])), bars[:0])
    signals, scores = scenarios.answers(BookPressure(**params), session)
    return int(signals[0]), float(scores[0])


def test_the_mean_forgets_by_the_time_that_passed():
    # 3 against 1 is 0.5, for 10 seconds of memory 10: 0.5 (1 - 1/e); then 1 against 1, for ever after
    assert answer((10, BUY, 99.0, 1.0), memory=10.0, least=0.1) == (
        1,
        pytest.approx(0.5 * (1 - math.exp(-1))),
    )


def test_the_larger_ask_sells():
    side, score = answer((0, SELL, 101.0, 9.0), (50, SELL, 101.0, 9.5), memory=1.0, least=0.1)
    assert (side, round(score, 6)) == (-1, 0.5)


def test_below_the_least_pressure_it_is_silent():
    assert answer((10, BUY, 99.0, 1.0), memory=10.0, least=0.4) == (0, 0.0)
