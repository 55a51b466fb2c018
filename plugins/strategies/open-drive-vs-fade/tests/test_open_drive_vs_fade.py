"""open-drive-vs-fade: tells what follows an opening, by the contract of a strategy."""

import numpy as np
import pytest
from nexus_strategy_open_drive_vs_fade import OpenDriveVsFade

from nexus_core import compile
from nexus_core.market.loops import StrategyLoop
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios
from nexus_core.testing.market import MINUTE, START

WITHIN = int(OpenDriveVsFade.targets["within"])
DAY = 1_440


class TestOpenDriveVsFade(StrategyContract):
    strategy = "open-drive-vs-fade"


def fired(signals):
    return np.flatnonzero((signals != 0) & (signals != ABSENT))


def scenario(seed: int) -> bool:
    """Tell whether the first opening that goes on is answered in time, on the side of what follows."""
    for days in (1, 3, 9):
        session = scenarios.flow(seed, days * DAY + 60, ["drive"], ease=1.0)
        market = session.chunk.rows
        real = session.real[session.real["start"] > market["ts"][DAY // 2]][:1]
        if len(real):
            signals, _ = scenarios.answers(OpenDriveVsFade(), session)
            return scenarios.met(market, signals, real, WITHIN).found == 1
    return False


def null(seed: int) -> tuple[int, int]:
    """Return the signals in a market without drift, all of them false, and its rows."""
    signals, _ = scenarios.answers(OpenDriveVsFade(), scenarios.driftless(seed, 7_200))
    return len(fired(signals)), len(signals)


@pytest.mark.skipif(not compile.JIT, reason="these markets take long in plain Python")
def test_it_answers_what_follows_an_opening_in_time():
    assert sum(map(scenario, range(10))) >= 10 * OpenDriveVsFade.targets["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_without_the_pattern_its_signals_keep_to_their_rate():
    false, size = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1_000 * false / size <= OpenDriveVsFade.targets["false"]


# -- worked by hand ---------------------------------------------------------------------------------

BEFORE = 200  # rows of the session before: +1 and -1 by turns, the usual move of a row is 1
RISE = [102.0 + i for i in range(15)]  # a quarter of an hour from 101 to 116
SMALL = {"window": 10}


def market(opening, after, bought=0.5, then=0.5):
    """A quiet session, an opening, and what follows; the share of the volume bought in each of the two."""
    closes = [100.0, 101.0] * (BEFORE // 2) + [*opening, *after]
    share = np.array([0.5] * BEFORE + [bought] * len(opening) + [then] * len(after))
    made = rows(closes, start=START - BEFORE * MINUTE, volume=10.0)
    made["buy_volume"], made["sell_volume"] = 10.0 * share, 10.0 * (1.0 - share)
    return made


def answers(made, **params):
    signals, scores = scenarios.answers(OpenDriveVsFade(**{**SMALL, **params}), made)
    return signals.tolist(), scores.tolist()


def went(made, **params):
    loop = StrategyLoop("opened", OpenDriveVsFade(**{**SMALL, **params}), 1)
    loop.run(made, np.array([0]), np.array([len(made)]), np.zeros(len(made), np.int8), np.zeros(len(made)))
    return int(loop.states["own"]["went"][0])


def test_a_drive_whose_side_goes_on_is_followed():
    made = market(RISE, [116.0] * 10, bought=0.8, then=0.8)
    signals, scores = answers(made)
    # minute 21 is the sixth after the opening range: of 60 traded 48 were bought, the lead is 36 of 60
    assert np.flatnonzero(np.array(signals[BEFORE:])).tolist() == [20]
    assert signals[BEFORE + 20] == 1
    assert scores[BEFORE + 20] == pytest.approx(3.0 / 4.0)  # squash(5 x 0.6)
    assert went(made) == 1


def test_a_drive_that_the_other_side_takes_over_is_faded():
    made = market(RISE, [115.0, 114.0, 113.0, 112.0, 111.0, 110.0], bought=0.8, then=0.2)
    signals, scores = answers(made)
    assert signals[-1] == -1
    assert scores[-1] == pytest.approx(1.8 / 2.8)  # squash(3 x 0.6): a fade counts less
    assert went(made) == -1


def test_without_signed_volume_the_way_of_price_is_the_measure():
    made = market(RISE, [117.0, 118.0, 119.0, 120.0, 121.0, 122.0])
    made["buy_volume"] = np.nan
    signals, scores = answers(made)
    lean = 6.0 / (4.0 * 6.0**0.5)  # six usual moves in six rows
    assert signals[-1] == 1
    assert scores[-1] == pytest.approx(5.0 * lean / (1.0 + 5.0 * lean))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (market([101.0, 102.0] * 7 + [101.0], [101.0] * 20, then=0.9), "the opening was an auction"),
        (market(RISE, [116.0] * 20, then=0.6), "nobody leads by a quarter"),
        (market(RISE, [116.0] * 24, then=0.5), "both trade alike"),
        (market(RISE, [116.0] * 5, then=0.9), "it is too early"),
    ],
)
def test_no_signal_where(made, why):
    assert not any(answers(made)[0][BEFORE:]), why


def test_an_opening_of_one_side_counts_though_price_stood_still():
    made = market([101.0] * 15, [101.0] * 10, bought=0.9, then=0.9)
    assert answers(made)[0][BEFORE + 20] == 1


def test_after_the_deadline_nothing_is_judged():
    made = market(RISE, [116.0] * 40)
    made["buy_volume"][BEFORE + 41 :], made["sell_volume"][BEFORE + 41 :] = 1e6, 0.0
    assert not any(answers(made)[0][BEFORE:])
    assert 1 in answers(made, deadline=30)[0][BEFORE:]


def test_each_parameter_has_its_effect():
    made = market(RISE, [116.0] * 10, then=0.8)

    def at(**params):
        return np.flatnonzero(np.array(answers(made, **params)[0][BEFORE:])).tolist()

    assert at() == [20]
    assert at(confirm=8) == [22]
    assert at(opening=17, confirm=4) == [20]
    assert at(opening=17) == [22]
    assert at(lean=0.7) == []
    assert at(drive=16.0) == []
    assert at(window=190) == [20]
    assert 1 not in answers(made, window=230)[0]


def test_a_session_that_is_not_seen_from_its_begin_is_not_judged():
    made = market(RISE, [116.0] * 10, then=0.9)
    assert not any(answers(np.delete(made, np.s_[BEFORE : BEFORE + 15]))[0][BEFORE:])


@pytest.mark.parametrize(("field", "value"), [("close", np.nan), ("open", np.inf), ("low", -np.inf)])
def test_a_row_that_is_not_known_changes_nothing(field, value):
    made = market(RISE, [116.0] * 10, then=0.8)
    usual = answers(made)
    odd = np.insert(made, BEFORE + 18, made[BEFORE + 18])
    odd["ts"][BEFORE + 18] -= 1
    odd[field][BEFORE + 18] = value
    signals, scores = answers(odd)
    assert signals[BEFORE + 18] == 0
    assert (signals[BEFORE + 19 :], scores[BEFORE + 19 :]) == (
        usual[0][BEFORE + 18 :],
        usual[1][BEFORE + 18 :],
    )


@pytest.mark.parametrize("then", [0.8, 0.2, np.nan])
def test_the_market_upside_down_gives_the_opposite_signals_with_the_same_scores(then):
    made = market(RISE, [117.0, 118.0, 119.0, 120.0, 121.0, 122.0], then=then)
    signals, scores = scenarios.answers(OpenDriveVsFade(), made)
    others, same = scenarios.answers(OpenDriveVsFade(), scenarios.turned(made))
    heard = signals != ABSENT
    assert len(fired(signals)) == 1
    assert (others[heard] == -signals[heard]).all()
    assert same.tobytes() == scores.tobytes()
