"""Stop runs: goes with the run to a near cluster of stops, and against it once it was swept."""

import math

import numpy as np
import pytest
from nexus_strategy_stop_run_anticipation import StopRunAnticipation

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

NAN = math.nan
SMALL = {
    "reach": 3, "memory": 8, "round": 0.0, "near": 1.0, "least": 1, "pace": 50.0, "burst": 2.0, "turn": 0.3,
    "back": 3, "window": 5,
}  # fmt: skip


class TestStopRunAnticipation(StrategyContract):
    strategy = "stop-run-anticipation"


def watch(market, **params):
    signals, scores = scenarios.answers(StopRunAnticipation(**params), market)
    return np.where(signals == ABSENT, 0, signals), scores


# -- scenario ---------------------------------------------------------------------------------------

AT = 400


def laid(seed, side):
    """A driftless market with a sweep of its extreme laid into it at row AT; `side` is that of the return."""
    made = scenarios.driftless(seed, 600)
    close = made["close"].copy()
    usual = float(np.abs(np.diff(close[AT - 120 : AT])).mean())
    before = made["high" if side < 0 else "low"][AT - 60 : AT - 6]
    level = float(before.max() if side < 0 else before.min())
    start = float(close[AT - 7])
    path = [start + (level - start) * part for part in (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)]
    path += [level - side * usual * away for away in (1.5, 0.5, -0.5, -1.5, -2.0, -2.5)]
    close[AT + 6 :] += path[-1] - close[AT + 5]
    close[AT - 6 : AT + 6] = path
    close = np.rint(close * 64) / 64
    market = rows(
        close, volume=made["volume"], buy_volume=made["buy_volume"], sell_volume=made["sell_volume"]
    )
    for name in ("high", "low"):
        market[name][: AT - 6] = made[name][: AT - 6]
    wick = np.rint((level - side * usual * 2.5) * 64) / 64
    market["high" if side < 0 else "low"][AT] = wick
    for first, last, times, bought in ((AT, AT + 1, 6.0, 0.8), (AT + 1, AT + 6, 2.5, 0.2)):
        part = bought if side < 0 else 1.0 - bought
        market["volume"][first:last] = times * np.median(made["volume"])
        market["buy_volume"][first:last] = part * market["volume"][first:last]
        market["sell_volume"][first:last] = (1.0 - part) * market["volume"][first:last]
    return market


def scenario(seed: int) -> bool:
    """Tell whether the return after a sweep that was laid into a market was signalled in time."""
    side = 1 if seed % 2 else -1
    signals, _ = watch(laid(seed, side))
    return bool(np.any(signals[AT : AT + 1 + int(StopRunAnticipation.targets["within"])] == 2 * side))


def null(seed: int) -> tuple[int, int]:
    """Return how many signals there were in bars without drift, and among how many rows."""
    signals, _ = watch(scenarios.driftless(seed, 7_200))
    return int(np.count_nonzero(signals)), len(signals)


def planted(seeds, ease=1.0) -> tuple[float, float]:
    """Return precision and recall of reversals against stop runs planted in the market of order flow."""
    found = plants = right = signals = 0
    warmup = StopRunAnticipation().warmup
    for seed in seeds:
        session = scenarios.flow(seed, 480, ["stop-run"], ease=ease, rate=6.0)
        heard, _ = watch(session)
        seen = session.chunk.rows[warmup:]
        inside = session.planted[session.planted["start"] > seen["ts"][0]]
        back = np.where(np.abs(heard[warmup:].astype(int)) == 2, heard[warmup:], 0)
        met = scenarios.met(seen, back, inside, int(StopRunAnticipation.targets["within"]), again=2)
        found, plants = found + met.found, plants + met.plants
        right, signals = right + met.right, signals + met.signals
    return right / signals, found / plants


def test_it_takes_the_return_after_a_laid_sweep():
    hits = [scenario(seed) for seed in range(10)]
    assert np.mean(hits) >= StopRunAnticipation.targets["hits"]


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_reversals_are_told_from_sweeps_that_go_on():
    precision, recall = planted(range(10))
    assert precision >= 0.7
    assert recall >= 0.45


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_where_there_is_no_pattern_it_fires_seldom():
    counts = [null(seed) for seed in range(20)]
    rate = 1_000 * sum(n for n, _ in counts) / sum(size for _, size in counts)
    assert rate <= StopRunAnticipation.targets["false"]


# -- by hand: reversals -----------------------------------------------------------------------------

CALM = [(10, 8, 9, 5, 5), (12, 10, 11, 5, 5), *[(11, 9, 10, 5, 5)] * 4]
SWEEP = (14, 10, 13, 28, 2)  # beyond the swing of 12, on 30, bought 26 net
FALL = (13, 10, 11, 5, 19)  # back inside, sold 14 net


def market(*bars, **fields):
    high, low, close, bought, sold = np.array(bars, float).T
    return rows(
        close, high=high, low=low, volume=bought + sold, buy_volume=bought, sell_volume=sold, **fields
    )


def test_a_sweep_that_comes_back_is_sold_above_and_bought_below():
    made = market(*CALM, SWEEP, FALL)
    signals, scores = watch(made, **SMALL)
    assert signals.tolist() == [0] * 7 + [-2]
    assert scores[7] == pytest.approx(0.6 * 3 / (1 + 0.6 * 3))  # 30 over the usual 10
    other, same = watch(scenarios.turned(made, 10.0), **SMALL)
    assert other.tolist() == [0] * 7 + [2]
    assert same.tolist() == scores.tolist()


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ([SWEEP, (14, 12, 13, 5, 19)], "price stays beyond"),
        ([SWEEP, (13, 10, 11, 12, 12)], "nobody sells"),
        ([(14, 10, 13, 9, 2), FALL], "the sweep has no volume"),
        ([(14, 10, 13, 2, 28), FALL], "the sweep was sold"),
        ([SWEEP, *[(13.5, 12, 13, 5, 5)] * 4, FALL], "the return comes too late"),
    ],
)
def test_it_is_silent_where(after, why):
    assert not watch(market(*CALM, *after), **SMALL)[0].any(), why


@pytest.mark.parametrize("params", [{"reach": 7}, {"burst": 3.5}, {"turn": 0.6}, {"window": 100}])
def test_each_parameter_can_forbid_the_reversal(params):
    assert not watch(market(*CALM, SWEEP, FALL), **SMALL | params)[0].any()


def test_a_swing_is_forgotten_and_a_longer_wait_allows_a_later_return():
    assert not watch(market(*CALM, SWEEP, FALL), **SMALL | {"memory": 3})[0].any()
    late = market(*CALM, SWEEP, *[(13.5, 12, 13, 5, 5)] * 4, FALL)
    assert watch(late, **SMALL | {"back": 5})[0][-1] == -2


RISE = [(90.5 + n, 89.5 + n, 90.0 + n, 5, 5) for n in range(10)]
THROUGH = [(101, 99, 100.5, 28, 2), (100.5, 98.5, 99.5, 5, 24)]


def test_stops_lie_beyond_round_numbers_too():
    made = market(*RISE, *THROUGH)  # ranges of 1: the least power of ten from 8 on is 10, so 100 is round
    assert watch(made, **SMALL | {"round": 8.0})[0].tolist() == [0] * 11 + [-2]
    assert not watch(made, **SMALL)[0].any()
    assert not watch(made, **SMALL | {"round": 101.0})[0].any()
    other, _ = watch(scenarios.turned(made, 100.0), **SMALL | {"round": 8.0})
    assert other.tolist() == [0] * 11 + [2]


# -- by hand: runs ----------------------------------------------------------------------------------

RUNS = SMALL | {"pace": 2.0, "memory": 20}
AWAY = [(10, 8, 9, 5, 5), (12, 10, 11, 5, 5), (10, 8, 9, 5, 5), (8, 6, 7, 5, 5), (6, 4, 5, 5, 5)]
TOWARDS = [(7 + n, 5 + n, 6.0 + n, 6, 4) for n in range(5)]


def test_a_run_to_a_near_swing_is_followed_once():
    made = market(*AWAY, *TOWARDS, (11, 9, 10, 6, 4))
    signals, scores = watch(made, **RUNS)
    assert signals.tolist() == [0] * 9 + [1, 0]  # at 10 the swing of 12 is one range of 2 away
    assert scores[9] == pytest.approx(0.5 * 2.5 / (1 + 0.5 * 2.5))  # 5 in five rows: 2.5 ranges
    other, _ = watch(scenarios.turned(made, 10.0), **RUNS)
    assert other.tolist() == [0] * 9 + [-1, 0]


@pytest.mark.parametrize("params", [{"pace": 2.6}, {"near": 0.9}, {"least": 2}, {"reach": 10}])
def test_each_parameter_can_forbid_the_run(params):
    assert not watch(market(*AWAY, *TOWARDS), **RUNS | params)[0].any()


def test_a_run_against_the_flow_is_none():
    sold = [(high, low, close, 4, 6) for high, low, close, *_ in TOWARDS]
    assert 1 not in watch(market(*AWAY, *sold), **RUNS)[0]


# -- unknown values, and the market turned over -----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in ("high", "low", "close", "volume") for odd in (NAN, math.inf)]
    + [("volume", 0.0)],
)
@pytest.mark.parametrize("at", [2, 6, 7])
def test_an_unknown_row_is_as_if_it_had_not_been(name, odd, at):
    bars = [*CALM, SWEEP, FALL]
    other = market(*bars[:at], (20, 1, 15, 50, 5), *bars[at:])
    other[name][at] = odd
    signals, scores = watch(other, **SMALL)
    assert signals.tolist() == [0] * 8 + [-2]
    assert scores[8] == pytest.approx(1.8 / 2.8)


def test_the_market_turned_over_about_a_round_number_turns_the_signals():
    made = scenarios.driftless(10_000, 4_000)
    signals, scores = watch(made)
    other, same = watch(scenarios.turned(made, 30_000.0))
    assert np.count_nonzero(signals) > 5
    assert other.tolist() == (-signals).tolist()
    assert same.tobytes() == scores.tobytes()
