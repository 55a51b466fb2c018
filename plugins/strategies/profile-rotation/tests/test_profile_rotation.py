"""profile-rotation: reads the last session's value area, by the contract of a strategy."""

import numpy as np
import pytest
from nexus_strategy_profile_rotation import ProfileRotation

from nexus_core import compile
from nexus_core.market.loops import StrategyLoop
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

WITHIN = int(ProfileRotation.targets["within"])
DAY = 144
"""Rows of ten minutes in a session."""


class TestProfileRotation(StrategyContract):
    strategy = "profile-rotation"


def fired(signals):
    return np.flatnonzero((signals != 0) & (signals != ABSENT))


def scenario(seed: int) -> bool:
    """Tell whether a session accepted back into value is answered in time, toward the other edge."""
    made = scenarios.rotation(seed, side=1 if seed % 2 else -1)
    signals, _ = scenarios.answers(ProfileRotation(), made.rows)
    return made.side in signals[made.at : made.at + WITHIN + 1].tolist()


def null(seed: int) -> tuple[int, int]:
    """Return the signals in a market without drift, all of them false, and its rows."""
    signals, _ = scenarios.answers(ProfileRotation(), scenarios.driftless(seed, 7_200))
    return len(fired(signals)), len(signals)


@pytest.mark.skipif(not compile.JIT, reason="these markets take long in plain Python")
def test_it_answers_a_return_into_value_in_time():
    assert sum(map(scenario, range(20))) >= 20 * ProfileRotation.targets["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_without_the_pattern_its_signals_keep_to_their_rate():
    false, size = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1_000 * false / size <= ProfileRotation.targets["false"]


# -- the scenario -----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_the_laid_session_opens_outside_comes_back_and_crosses(side):
    made = scenarios.rotation(10_003, side)
    close, volume = made.rows["close"][:2_880], made.rows["volume"][:2_880]
    low, high = (np.quantile(np.repeat(close, np.rint(volume).astype(int)), q) for q in (0.15, 0.85))
    day = side * made.rows["close"][2_880:]
    near, far = (low, high) if side > 0 else (-high, -low)
    assert day[:45].max() < near
    assert (day[60:115] > near).all()
    assert (day[60:115] < far).all()
    assert np.median(day[300:]) > far - 0.2 * (far - near)
    assert made.at == 2_880 + 90


# -- worked by hand ---------------------------------------------------------------------------------

LADDER = ([100.0] * 6 + [99.0] * 3 + [101.0] * 3 + [98.0] * 2 + [102.0] * 2) * 9
"""A session in sixteenths: 6 at 100, 3 each at 99 and 101, 2 each at 98 and 102: 12 of 16 are 75 %."""
SMALL = {"window": 5, "settle": 30, "bin": 0.6}


def market(*days, **fields):
    closes = np.concatenate([np.asarray(day, float) for day in days])
    made = rows(closes, interval=600_000_000_000, **fields)
    firsts = np.cumsum([0, *map(len, days[:-1])])
    for first in firsts:  # no session opens at the close before
        made["open"][first] = closes[first]
    made["high"], made["low"] = np.maximum(made["open"], closes), np.minimum(made["open"], closes)
    return made


def answers(made, **params):
    signals, scores = scenarios.answers(ProfileRotation(**{**SMALL, **params}), made)
    return signals.tolist(), scores.tolist()


def test_the_value_area_of_the_last_session():
    made = market(LADDER, [100.0])
    loop = StrategyLoop("rotation", ProfileRotation(**SMALL), 1)
    loop.run(made, np.array([0]), np.array([len(made)]), np.zeros(len(made), np.int8), np.zeros(len(made)))
    own = loop.states["own"][0]
    # prices are counted from the first close, 100; the area is 99 to 101, but for the width of a bin
    assert own["control"] == pytest.approx(0.0, abs=0.6)
    assert own["low"] == pytest.approx(-1.0, abs=0.8)
    assert own["high"] == pytest.approx(1.0, abs=0.8)


# an hour beyond the value area, an hour inside, and the row at which the second half hour is over
BACK = [110.0] * 6 + [100.5] * 7


def test_accepted_back_in_value_it_goes_to_the_other_edge():
    signals, scores = answers(market(LADDER, BACK))
    assert np.flatnonzero(np.array(signals[DAY:])).tolist() == [12]
    assert signals[-1] == -1
    assert 0.5 < scores[-1] < 1.0  # more than half of the way is left


def test_the_score_falls_with_the_way_that_is_left():
    def score(price):
        return answers(market(LADDER, [110.0] * 6 + [price] * 7))[1][-1]

    assert score(100.6) > score(100.0) > score(99.4) > 0.5


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ([110.0] * 6 + [100.5] * 3 + [110.0] * 10, "one half hour is no acceptance"),
        ([100.0] * 19, "it opened inside"),
        ([110.0] * 19, "there is no second value area that it moved on from"),
    ],
)
def test_no_signal_where(day, why):
    assert not any(answers(market(LADDER, day))[0][DAY:]), why


def test_a_short_session_leaves_the_value_area_as_it_was():
    short = [200.0] * DAY
    assert answers(market(LADDER, BACK), settle=200)[0][-1] == 0
    assert answers(market(LADDER, short, BACK), settle=100)[0][-1] == 0


HIGHER = list(np.array(LADDER) + 10.0)


def test_value_that_moves_on_is_followed():
    signals, scores = answers(market(LADDER, HIGHER, [120.0] * 7))
    assert signals[-1] == 1
    assert scores[-1] == pytest.approx(0.8)  # the two areas have nothing in common: 0.4 + 0.4
    assert answers(market(LADDER, HIGHER, [100.0] * 7))[0][-1] == 0  # it opened on the other side
    assert answers(market(LADDER, LADDER, [120.0] * 7))[0][-1] == 0  # value has not moved
    near = list(np.array(LADDER) + 1.0)
    assert answers(market(LADDER, near, [120.0] * 7))[0][-1] == 0
    assert answers(market(LADDER, near, [120.0] * 7), apart=1.0)[0][-1] == 1


PROBE = [100.0] * 3 + [100.0, 108.0, 101.0, 101.0]  # a look beyond, closed inside, within one half hour


def test_in_balance_a_look_beyond_the_edge_is_faded():
    signals, scores = answers(market(LADDER, LADDER, PROBE))
    assert signals[-1] == -1
    assert 0.35 < scores[-1] <= 0.7
    assert answers(market(LADDER, LADDER, PROBE), probe=20.0)[0][-1] == 0
    near = list(np.array(LADDER) + 1.0)
    assert answers(market(LADDER, near, PROBE), balance=1.0)[0][-1] == 0
    assert answers(market(LADDER, HIGHER, PROBE))[0][-1] == 0  # no balance


def test_an_edge_is_faded_once_a_session():
    signals, _ = answers(market(LADDER, LADDER, PROBE[:-1] * 4 + [100.0]))
    assert sum(each != 0 for each in signals[2 * DAY :]) == 1


def test_a_wider_area_takes_longer_to_be_left():
    # 102 is outside of 70 % of the volume, and inside of 95 %
    assert answers(market(LADDER, [103.5] * 6 + [102.0] * 7))[0][-1] == 0
    assert answers(market(LADDER, [103.5] * 6 + [102.0] * 7), value=0.95)[0][-1] == -1


@pytest.mark.parametrize(
    ("field", "value"), [("close", np.nan), ("low", -np.inf), ("volume", 0.0), ("volume", np.nan)]
)
def test_a_row_that_is_not_known_changes_nothing(field, value):
    usual = answers(market(LADDER, BACK))
    odd = market(LADDER, BACK)
    odd = np.insert(odd, 150, odd[150])
    odd["ts"][150] -= 1
    odd[field][150] = value
    signals, scores = answers(odd)
    assert signals[150] == 0
    assert (signals[151:], scores[151:]) == (usual[0][150:], usual[1][150:])


@pytest.mark.parametrize("made", [scenarios.rotation(10_004).rows, market(LADDER, HIGHER, [120.0] * 7)])
def test_the_market_upside_down_gives_the_opposite_signals_with_the_same_scores(made):
    signals, scores = scenarios.answers(ProfileRotation(), made)
    others, same = scenarios.answers(ProfileRotation(), scenarios.turned(made))
    heard = signals != ABSENT
    assert len(fired(signals)) > 0
    assert (others[heard] == -signals[heard]).all()
    assert same.tobytes() == scores.tobytes()


def test_a_models_opinion_has_three_tenths_of_the_score():
    assert ProfileRotation.blend(None, 1, 0.8, 1.0) == (1, pytest.approx(0.86))
    assert ProfileRotation.blend(None, -1, 0.8, 1.0) == (-1, pytest.approx(0.26))
    assert ProfileRotation.blend(None, 1, 0.8, np.nan) == (1, 0.8)
