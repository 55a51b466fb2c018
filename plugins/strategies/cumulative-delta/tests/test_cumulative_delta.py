"""Cumulative delta: fires where orders of one side run ahead of price, seldom where they do by chance."""

import math

import numpy as np
import pytest
from nexus_strategy_cumulative_delta import CumulativeDelta

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

NAN = math.nan
SMALL = {"slope": 2, "z": 2.0, "lead": 0.5, "cut": 4.0, "rest": 3, "window": 10}


class TestCumulativeDelta(StrategyContract):
    strategy = "cumulative-delta"


def watch(market, **params):
    signals, scores = scenarios.answers(CumulativeDelta(**params), market)
    return np.where(signals == ABSENT, 0, signals), scores


# -- scenario ---------------------------------------------------------------------------------------


def met(seed, ease=1.0, first=1 << 30):
    """Hold the signals against the first plants after the warm-up: informed orders, and runs of one side."""
    session = scenarios.flow(seed, 480, ["informed", "run"], ease=ease, rate=2.0)
    signals, _ = watch(session)
    warmup, within = CumulativeDelta().warmup, int(CumulativeDelta.targets["within"])
    seen = session.chunk.rows[warmup:]
    inside = (session.planted["start"] > seen["ts"][0]) & (session.planted["end"] < seen["ts"][-within - 1])
    plants = session.planted[inside]
    plants = plants[np.cumsum(plants["decoy"] == 0) <= first]
    return scenarios.met(seen, signals[warmup:], plants, within, since="start")


def scenario(seed: int) -> bool:
    """Tell whether the first planted flow of one side was signalled, from its start to soon after its end."""
    return met(seed, first=1).found == 1


def null(seed: int) -> tuple[int, int]:
    """Return how many signals there were in bars without drift, and among how many rows."""
    signals, _ = watch(scenarios.driftless(seed, 7_200))
    return int(np.count_nonzero(signals)), len(signals)


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_it_takes_the_side_of_planted_flow():
    made = [met(seed) for seed in range(10)]
    assert sum(each.plants for each in made) >= 20
    assert sum(each.found for each in made) >= CumulativeDelta.targets["hits"] * sum(
        each.plants for each in made
    )


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_where_there_is_no_pattern_it_fires_seldom():
    counts = [null(seed) for seed in range(20)]
    rate = 1_000 * sum(n for n, _ in counts) / sum(size for _, size in counts)
    assert rate <= CumulativeDelta.targets["false"]


# -- by hand ----------------------------------------------------------------------------------------

CALM = [(100.0 + n % 2, 2.0 - 4.0 * (n % 2)) for n in range(10)]  # close up and down by 1, delta 2 and -2
BUYING = [(100.0, 8.0), (100.0, 8.0)]


def market(*bars, **fields):
    close, delta = np.array(bars, float).T
    return rows(close, volume=20.0, buy_volume=10 + delta / 2, sell_volume=10 - delta / 2, **fields)


def test_by_hand():
    # deltas were 2 in size, 8 is the most that counts; the second row's usual one is 2 + (8 - 2) 2/11
    signals, scores = watch(market(*CALM, *BUYING), **SMALL)
    assert signals.tolist() == [0] * 11 + [1]
    usual = 2 + 6 * 2 / 11
    usual += (8 - usual) * 2 / 11
    z = 16 / (math.sqrt(math.pi / 2) * math.sqrt(2) * usual)
    assert z > 2
    assert scores[11] == pytest.approx(0.5 * z / (1 + 0.5 * z))
    other, same = watch(scenarios.turned(market(*CALM, *BUYING)), **SMALL)
    assert other.tolist() == (-signals).tolist()
    assert same.tolist() == scores.tolist()


def test_the_steeper_it_climbs_the_higher_the_score():
    scores = [watch(market(*CALM, (100.0, d), (100.0, d)), **SMALL)[1][11] for d in (7.0, 8.0)]
    assert 0 < scores[0] < scores[1]
    assert watch(market(*CALM, (100.0, 10.0), (100.0, 14.0)), **SMALL | {"cut": 9.0})[1][11] > 0


@pytest.mark.parametrize(
    ("bars", "why"),
    [
        ([(100.0, 20.0), (100.0, 0.0)], "one large print is no flow"),
        ([(100.0, 8.0), (100.0, -8.0)], "the sides take turns"),
        ([(103.0, 8.0), (106.0, 8.0)], "price has gone before"),
    ],
)
def test_it_is_silent_where(bars, why):
    assert not watch(market(*CALM, *bars), **SMALL)[0].any(), why


def test_after_a_signal_it_rests_but_not_for_the_other_side():
    bars = [*CALM, *BUYING * 4]
    assert np.flatnonzero(watch(market(*bars), **SMALL | {"z": 1.0})[0]).tolist()[:2] == [10, 14]
    assert np.flatnonzero(watch(market(*bars), **SMALL | {"z": 1.0, "rest": 1})[0]).tolist()[:2] == [10, 12]
    fall = [*CALM, *BUYING, (100.0, -20.0), (100.0, -20.0)]
    signals, _ = watch(market(*fall), **SMALL | {"z": 1.5, "rest": 50})
    assert {1, -1} <= set(signals.tolist())


def test_a_slope_does_not_reach_into_the_session_before():
    sessions = np.array([1] * 11 + [2])
    assert not watch(market(*CALM, *BUYING, session_id=sessions), **SMALL)[0].any()
    sessions = np.array([1] * 9 + [2] * 3)
    assert watch(market(*CALM, *BUYING, session_id=sessions), **SMALL)[0].any()


@pytest.mark.parametrize(
    "params", [{"slope": 5}, {"z": 3.0}, {"lead": 3.0}, {"cut": 2.0}, {"window": 100}, {"slope": 1}]
)
def test_each_parameter_can_forbid_the_signal(params):
    assert watch(market(*CALM, *BUYING), **SMALL | params)[0][11] == 0


@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in ("high", "low", "close", "volume") for odd in (NAN, math.inf)]
    + [("volume", 0.0)],
)
@pytest.mark.parametrize("at", [5, 10, 11])
def test_an_unknown_row_is_as_if_it_had_not_been(name, odd, at):
    bars = [*CALM, *BUYING]
    plain, scores = watch(market(*bars), **SMALL)
    other = market(*bars[:at], (150.0, -20.0), *bars[at:])
    other["high"], other["low"] = other["close"] + 1, other["close"] - 1
    other[name][at] = odd
    signals, told = watch(other, **SMALL)
    assert np.delete(signals, at).tolist() == plain.tolist()
    assert told[-1] == scores[-1]


def test_without_known_sides_an_estimate_takes_their_place():
    made = scenarios.driftless(10_000, 2_000)
    made["buy_volume"] = made["sell_volume"] = NAN
    signals, _ = watch(made, lead=-20.0)
    assert signals.any()
