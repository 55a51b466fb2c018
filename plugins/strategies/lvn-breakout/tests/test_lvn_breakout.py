"""lvn-breakout: fires where price travels between two nodes, by the contract of a strategy."""

import numpy as np
import pytest
from nexus_strategy_lvn_breakout import LvnBreakout

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

WITHIN = int(LvnBreakout.targets["within"])
SETTLED = 145  # the first row at which a plant counts: the warm-up and a market seen


class TestLvnBreakout(StrategyContract):
    strategy = "lvn-breakout"


def fired(signals):
    return np.flatnonzero((signals != 0) & (signals != ABSENT))


def scenario(seed: int) -> bool:
    """Tell whether the first travel after the warm-up is answered in time, on its side."""
    session = scenarios.flow(seed, 900, ["travel"], ease=1.0, rate=3.0)
    signals, _ = scenarios.answers(LvnBreakout(), session)
    market = session.chunk.rows
    real = session.real[session.real["turn"] > market["ts"][SETTLED]][:1]
    return scenarios.met(market, signals, real, WITHIN).found == 1


def null(seed: int) -> tuple[int, int]:
    """Return the signals in a market without drift, all of them false, and its rows."""
    signals, _ = scenarios.answers(LvnBreakout(), scenarios.driftless(seed, 7_200))
    return len(fired(signals)), len(signals)


@pytest.mark.skipif(not compile.JIT, reason="these markets take long in plain Python")
def test_it_answers_the_travel_between_nodes_in_time():
    assert sum(map(scenario, range(20))) >= 20 * LvnBreakout.targets["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_without_the_pattern_its_signals_keep_to_their_rate():
    false, size = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1_000 * false / size <= LvnBreakout.targets["false"]


# -- worked by hand ---------------------------------------------------------------------------------

SMALL = {"window": 10, "half_life": 30, "body": 0.99, "node": 0.1}


def two_nodes(*ending, volume=1.0, **fields):
    """Forty rows around 100, forty around 80, no trade between, and an ending."""
    closes = [100.0, 101.0] * 20 + [80.0, 81.0] * 20 + list(ending)
    opened = np.array([*closes[:1], *closes[:-1]])
    opened[40] = 81.0  # the market jumped
    return rows(closes, open=opened, high=np.maximum(opened, closes), low=np.minimum(opened, closes),
                volume=volume, buy_volume=np.nan, sell_volume=np.nan, **fields)  # fmt: skip


def answers(market, **params):
    signals, scores = scenarios.answers(LvnBreakout(**{**SMALL, **params}), market)
    return signals.tolist(), scores.tolist()


def test_price_that_enters_the_thin_place_is_taken_to_the_far_node():
    # moves of the last ten rows are +1 and -1 by turns: the usual move is 1, bins are 0.5 wide.
    # From 81 three rows before price is at 90: a move of 9 in 3 rows, 9 usual ones, on buying.
    signals, scores = answers(two_nodes(90.0))
    assert signals[-1] == 1
    assert not any(signals[71:-1])
    # nodes are near 80.5 and 100.5, nothing between: half the way is left, depth is 1, so
    # the score is squash(9 x (0.25 + 1/2)) = 6.75 / 7.75
    assert scores[-1] == pytest.approx(6.75 / 7.75, abs=0.01)


def test_the_score_falls_with_the_way_that_is_left():
    marks = [answers(two_nodes(close))[1][-1] / (close - 81.0) for close in (90.0, 93.0, 96.0)]
    assert marks[0] > marks[1] > marks[2] > 0.0


def test_there_is_one_signal_for_one_way():
    signals, _ = answers(two_nodes(90.0, 93.0, 95.0, 97.0))
    assert signals[-4:] == [1, 0, 0, 0]


def test_after_a_signal_it_rests():
    again = two_nodes(90.0, 80.0, 92.0)  # back in the node: that way has ended
    assert answers(again)[0][-3:] == [1, 0, 0]
    assert answers(again, rest=0)[0][-3:] == [1, 0, 1]


def test_jumps_do_not_hide_a_travel_behind_them():
    # taken whole, moves of 14 and 15 would leave a usual one of 3.4 four rows later: 9 were no momentum
    assert answers(two_nodes(95.0, 80.0, 81.0, 80.0, 81.0, 90.0))[0][-1] == 1


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ([82.0], "it is still in the node"),
        ([70.0], "there is no node ahead"),
        ([81.0, 80.0], "nothing happens"),
    ],
)
def test_no_signal_where(ending, why):
    assert answers(two_nodes(*ending))[0][-1] == 0, why


def test_a_place_that_is_filled_is_no_thin_place():
    filled = two_nodes(90.0)
    filled["low"][:80], filled["high"][:80] = 78.0, 103.0
    assert answers(filled, body=0.01)[0][-1] == 0


def test_the_thicker_the_way_the_harder_the_move_must_be():
    thick = two_nodes(90.0)
    thick["low"][20:60], thick["high"][20:60] = 78.0, 103.0
    assert answers(thick, body=0.2, push=7.0, dense=0.0)[0][-1] == 1
    assert answers(thick, body=0.2, push=7.0, dense=20.0)[0][-1] == 0
    assert answers(two_nodes(90.0), push=7.0, dense=20.0)[0][-1] == 1


def test_it_comes_from_a_node_that_was_accepted():
    heavy = two_nodes(90.0)
    heavy["volume"][:40] *= 5.0
    assert answers(heavy)[0][-1] == 0
    assert answers(heavy, beyond=5.0)[0][-1] == 1


def test_the_signed_trades_of_a_bar_decide_where_they_are_known():
    market = two_nodes(90.0)
    market["buy_volume"], market["sell_volume"] = 0.8, 0.2
    assert answers(market)[0][-1] == 1
    market["buy_volume"], market["sell_volume"] = 0.2, 0.8  # 0.6 of the volume against the move
    assert answers(market)[0][-1] == 0
    assert answers(market, against=0.7)[0][-1] == 1
    market["buy_volume"], market["sell_volume"] = 0.4, 0.6  # price goes all the same
    assert answers(market)[0][-1] == 1
    assert answers(market, against=0.1)[0][-1] == 0


@pytest.mark.parametrize(
    "params",
    [{"push": 9.1}, {"gap": 22.0}, {"entered": 0.6}, {"rows": 60, "push": 20.0}],
)
def test_each_bound_silences_it(params):
    assert answers(two_nodes(90.0))[0][-1] == 1
    assert answers(two_nodes(90.0), **params)[0][-1] == 0


def test_a_lesser_node_counts_by_its_share():
    market = two_nodes(90.0)
    assert answers(market)[0][-1] == 1
    assert answers(market, node=0.9)[0][-1] == 0  # it is 40 rows old: less than half is left


@pytest.mark.parametrize(
    ("field", "value"), [("close", np.nan), ("high", np.inf), ("volume", 0.0), ("volume", np.nan)]
)
def test_a_row_that_is_not_known_changes_nothing(field, value):
    usual = answers(two_nodes(90.0))
    odd = np.insert(two_nodes(90.0), 75, two_nodes(90.0)[75])
    odd["ts"][76:] += 60_000_000_000
    odd[field][75] = value
    signals, scores = answers(odd)
    assert signals[75] == 0
    assert (signals[76:], scores[76:]) == (usual[0][75:], usual[1][75:])


def test_the_market_upside_down_gives_the_opposite_signals_with_the_same_scores():
    market = scenarios.driftless(10_003, 7_200)
    signals, scores = scenarios.answers(LvnBreakout(), market)
    others, same = scenarios.answers(LvnBreakout(), scenarios.turned(market))
    heard = signals != ABSENT
    assert len(fired(signals)) > 20
    assert (others[heard] == -signals[heard]).all()
    assert same.tobytes() == scores.tobytes()


def test_a_models_opinion_has_three_tenths_of_the_score():
    assert LvnBreakout.blend(None, 1, 0.8, 1.0) == (1, pytest.approx(0.86))
    assert LvnBreakout.blend(None, -1, 0.8, 1.0) == (-1, pytest.approx(0.26))
    assert LvnBreakout.blend(None, 1, 0.8, np.nan) == (1, 0.8)
