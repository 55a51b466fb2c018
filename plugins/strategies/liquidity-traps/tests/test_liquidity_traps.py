"""Liquidity traps: fires on false breaks with selling or buying behind the return, seldom elsewhere."""

import math
from functools import lru_cache

import numpy as np
import pytest
from nexus_strategy_liquidity_traps import LiquidityTraps

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

NAN = math.nan
SMALL = {"reach": 3, "memory": 8, "side": 1, "back": 3, "window": 5, "against": 1.0, "share": 0.4}


class TestLiquidityTraps(StrategyContract):
    strategy = "liquidity-traps"


def watch(market, **params):
    signals, scores = scenarios.answers(LiquidityTraps(**params), market)
    return np.where(signals == ABSENT, 0, signals), scores


# -- scenario ---------------------------------------------------------------------------------------

AT = 400


def laid(seed, side):
    """A driftless market with a false break laid into it from row AT on; `side` is that of the return."""
    made = scenarios.driftless(seed, 600)
    close = made["close"].copy()
    usual = float(np.abs(np.diff(close[AT - 120 : AT])).mean())
    name = "high" if side < 0 else "low"
    before = made[name][AT - 60 : AT - 6]
    level = float(before.max() if side < 0 else before.min())
    start = float(close[AT - 7])
    path = [start + (level - start) * part for part in (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)]
    path += [level - side * usual * away for away in (1.5, 2.0, 1.0, -1.0, -2.0, -3.0)]
    close[AT + 6 :] += path[-1] - close[AT + 5]
    close[AT - 6 : AT + 6] = path
    close = np.rint(close * 64) / 64
    market = rows(
        close, volume=made["volume"], buy_volume=made["buy_volume"], sell_volume=made["sell_volume"]
    )
    for side_name in ("high", "low"):
        market[side_name][: AT - 6] = made[side_name][: AT - 6]
    for first, last, times, bought in ((AT, AT + 2, 2.0, 0.6), (AT + 2, AT + 6, 4.0, 0.15)):
        part = bought if side < 0 else 1.0 - bought
        market["volume"][first:last] = times * np.median(made["volume"])
        market["buy_volume"][first:last] = part * market["volume"][first:last]
        market["sell_volume"][first:last] = (1.0 - part) * market["volume"][first:last]
    return market


def scenario(seed: int) -> bool:
    """Tell whether the return of a false break that was laid into a market was signalled in time."""
    side = 1 if seed % 2 else -1
    signals, _ = watch(laid(seed, side))
    within = signals[AT + 1 : AT + 2 + int(LiquidityTraps.targets["within"])]
    return bool(np.any(within == side))


def null(seed: int) -> tuple[int, int]:
    """Return how many signals there were in bars without drift, and among how many rows."""
    signals, _ = watch(scenarios.driftless(seed, 7_200))
    return int(np.count_nonzero(signals)), len(signals)


@lru_cache(maxsize=8)
def detection(ease: float, seeds: range) -> tuple[float, float]:
    """Return precision and recall against planted false breaks and their decoys, half and half."""
    found = plants = right = signals = 0
    warmup = LiquidityTraps().warmup
    for seed in seeds:
        session = scenarios.flow(seed, 480, ["failed-break"], ease=ease, rate=6.0)
        heard, _ = watch(session)
        seen = session.chunk.rows[warmup:]
        planted = session.planted[session.planted["start"] > seen["ts"][0]]
        within = int(LiquidityTraps.targets["within"])
        met = scenarios.met(seen, heard[warmup:], planted, within, again=2)
        found, plants = found + met.found, plants + met.plants
        right, signals = right + met.right, signals + met.signals
    return right / signals, found / plants


def test_it_goes_with_the_return_of_a_laid_false_break():
    hits = [scenario(seed) for seed in range(10)]
    assert np.mean(hits) >= LiquidityTraps.targets["hits"]


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_planted_false_breaks_are_told_from_breaks_that_go_on():
    precision, recall = detection(0.5, range(30))
    assert precision >= LiquidityTraps.targets["precision"]
    assert recall >= LiquidityTraps.targets["recall"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_where_there_is_no_pattern_it_fires_seldom_and_to_either_side():
    counts = [null(seed) for seed in range(20)]
    rate = 1_000 * sum(n for n, _ in counts) / sum(size for _, size in counts)
    assert rate <= LiquidityTraps.targets["false"]


def test_without_known_sides_it_finds_the_return_by_the_estimate():
    hits = 0
    for seed in range(10):
        side = 1 if seed % 2 else -1
        market = laid(seed, side)
        market["buy_volume"] = market["sell_volume"] = NAN
        hits += bool(np.any(watch(market)[0][AT : AT + 9] == side))
    assert hits >= 8


# -- by hand ----------------------------------------------------------------------------------------

CALM = [(10, 8, 9, 5, 5), (12, 9, 11, 5, 5), (11, 9, 10, 5, 5), (11, 9, 10, 5, 5)]
BREAK = (13, 10, 12.5, 8, 2)  # above the swing of 12, bought
FALL = (12, 10, 11, 2, 18)  # back below it, sold: 16 of 20, the usual volume being 10


def market(*bars):
    high, low, close, bought, sold = np.array(bars, float).T
    return rows(close, high=high, low=low, volume=bought + sold, buy_volume=bought, sell_volume=sold)


def test_by_hand():
    signals, scores = watch(market(*CALM, BREAK, FALL), **SMALL)
    assert signals.tolist() == [0, 0, 0, 0, 0, -1]
    assert scores[5] == pytest.approx(1.6 / 2.6)  # 16 sold net in one row, over the usual 10
    signals, scores = watch(scenarios.turned(market(*CALM, BREAK, FALL), 10.0), **SMALL)
    assert signals.tolist() == [0, 0, 0, 0, 0, 1]
    assert scores[5] == pytest.approx(1.6 / 2.6)


def test_the_more_is_sold_a_row_the_higher_the_score():
    scores = [watch(market(*CALM, BREAK, (12, 10, 11, 2, sold)), **SMALL)[1][5] for sold in (14, 18, 30)]
    assert 0 < scores[0] < scores[1] < scores[2] < 1


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ([(13, 12, 12.5, 2, 18)], "the break holds"),
        ([(12, 10, 11, 10, 10)], "nobody sells"),
        ([(12, 10, 11, 18, 2)], "they buy"),
        ([(12, 10, 11, 24, 46)], "of all volume too little is one-sided"),
        ([(13, 12, 12.5, 5, 5)] * 4 + [FALL], "the return comes too late"),
    ],
)
def test_it_is_silent_where(after, why):
    assert not watch(market(*CALM, BREAK, *after), **SMALL)[0].any(), why


def test_a_break_is_answered_once():
    signals, _ = watch(market(*CALM, BREAK, FALL, FALL, FALL), **SMALL)
    assert np.count_nonzero(signals) == 1


@pytest.mark.parametrize(
    "params",
    [{"reach": 5}, {"side": 3}, {"against": 1.7}, {"share": 0.9}, {"window": 100}],
)
def test_each_parameter_can_forbid_the_signal(params):
    assert not watch(market(*CALM, BREAK, FALL), **SMALL | params)[0].any()


def test_a_swing_is_forgotten():
    bars = [*CALM, CALM[3], BREAK, FALL]
    assert watch(market(*bars), **SMALL)[0][-1] == -1
    assert not watch(market(*bars), **SMALL | {"memory": 3})[0].any()


def test_a_longer_wait_allows_a_later_return():
    bars = [*CALM, BREAK, *[(13, 12, 12.5, 5, 5)] * 4, (12, 10, 11, 2, 98)]
    assert not watch(market(*bars), **SMALL)[0].any()
    assert watch(market(*bars), **SMALL | {"back": 5})[0][-1] == -1


@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in ("high", "low", "close", "volume") for odd in (NAN, math.inf)]
    + [("volume", 0.0)],
)
@pytest.mark.parametrize("at", [2, 4, 5])
def test_an_unknown_row_is_as_if_it_had_not_been(name, odd, at):
    bars = [*CALM, BREAK, FALL]
    other = market(*bars[:at], bars[at], *bars[at:])
    other[name][at] = odd
    signals, scores = watch(other, **SMALL)
    assert signals[at] == 0
    assert signals.tolist()[-1] == -1
    assert scores[-1] == pytest.approx(1.6 / 2.6)
