"""Delta divergence: fires where price and delta disagree at two swings, seldom where they do by chance."""

import math

import numpy as np
import pytest
from nexus_strategy_delta_divergence import DeltaDivergence

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

NAN = math.nan
SMALL = {"side": 1, "far": 10, "price": 0.2, "delta": 0.5, "window": 5}


class TestDeltaDivergence(StrategyContract):
    strategy = "delta-divergence"


def watch(market, **params):
    signals, scores = scenarios.answers(DeltaDivergence(**params), market)
    return np.where(signals == ABSENT, 0, signals), scores


# -- scenario ---------------------------------------------------------------------------------------

AT, SECOND = 400, 426  # where the laid swings begin, and the row of the second


def laid(seed, side, hidden=False):
    """A driftless market with two swings laid into it from row AT on, lows where `side` is 1."""
    made = scenarios.driftless(seed, 600)
    close = made["close"].copy()
    usual = float(np.abs(np.diff(close[AT - 120 : AT])).mean())
    low, second = (-8.0, -4.5) if hidden else (-6.0, -8.5)
    path = np.interp(np.arange(1, 41), [0, 10, 17, 27, 40], [0.0, low, 0.0, second, 4.0])
    path += 0.2 * np.random.default_rng(seed).normal(size=40)
    close[AT + 40 :] += close[AT - 1] + side * usual * path[-1] - close[AT + 39]
    close[AT : AT + 40] = close[AT - 1] + side * usual * path
    close = np.rint(close * 64) / 64
    volume = made["volume"].copy()
    share = made["buy_volume"] / made["volume"]
    for first, last, times, bought in (
        (AT, AT + 10, 2.0, 0.35 if hidden else 0.15),
        (AT + 10, AT + 17, 1.0, 0.5),
        (AT + 17, AT + 27, 2.0, 0.05 if hidden else 0.7),
    ):
        volume[first:last] = times * np.median(volume)
        share[first:last] = bought if side > 0 else 1.0 - bought
    wick = 0.1 * usual
    opened = np.concatenate([close[:1], close[:-1]])
    high, low_ = np.maximum(opened, close) + wick, np.minimum(opened, close) - wick
    high, low_ = np.rint(high * 64) / 64, np.rint(low_ * 64) / 64
    return rows(
        close, high=high, low=low_, volume=volume, buy_volume=share * volume, sell_volume=(1 - share) * volume
    )


def found(market, side) -> bool:
    signals, _ = watch(market)
    return bool(np.any(signals[SECOND : SECOND + 1 + int(DeltaDivergence.targets["within"])] == side))


def scenario(seed: int) -> bool:
    """Tell whether a divergence that was laid into a market was signalled in time; every other is hidden."""
    side = 1 if seed % 2 else -1
    return found(laid(seed, side, hidden=seed % 4 >= 2), side)


def null(seed: int) -> tuple[int, int]:
    """Return how many signals there were in bars without drift, and among how many rows."""
    signals, _ = watch(scenarios.driftless(seed, 7_200))
    return int(np.count_nonzero(signals)), len(signals)


def planted(seeds) -> tuple[float, float]:
    """Return precision and recall against divergences that were planted in the market of order flow."""
    found = plants = right = signals = 0
    warmup = DeltaDivergence().warmup
    for seed in seeds:
        session = scenarios.flow(seed, 480, ["divergence"], ease=1.0, rate=2.0)
        heard, _ = watch(session)
        seen = session.chunk.rows[warmup:]
        real = session.planted[session.planted["start"] > seen["ts"][0]]
        met = scenarios.met(seen, heard[warmup:], real, int(DeltaDivergence.targets["within"]), again=2)
        found, plants = found + met.found, plants + met.plants
        right, signals = right + met.right, signals + met.signals
    return right / signals, found / plants


def test_it_takes_the_side_of_laid_divergences():
    hits = [scenario(seed) for seed in range(10)]
    assert np.mean(hits) >= DeltaDivergence.targets["hits"]


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_it_finds_planted_divergences_far_more_often_than_chance_would():
    _, recall = planted(range(20))
    by_chance = DeltaDivergence.targets["false"] / 1_000 * (DeltaDivergence.targets["within"] + 1)
    assert recall >= 3 * by_chance


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_where_there_is_no_pattern_it_fires_seldom():
    counts = [null(seed) for seed in range(20)]
    rate = 1_000 * sum(n for n, _ in counts) / sum(size for _, size in counts)
    assert rate <= DeltaDivergence.targets["false"]


def test_swings_on_which_delta_goes_with_price_are_silent():
    for seed in range(10):
        market = laid(seed, 1)
        market["buy_volume"][AT + 17 : AT + 27] = 0.05 * market["volume"][AT + 17 : AT + 27]
        market["sell_volume"][AT + 17 : AT + 27] = 0.95 * market["volume"][AT + 17 : AT + 27]
        assert not found(market, 1)


# -- by hand ----------------------------------------------------------------------------------------

CLOSES = (10, 8, 6, 8, 7, 5, 7)  # lows of 5 in row 2 and 4 in row 5, confirmed in rows 3 and 6
DELTAS = (0, -4, -4, 2, 6, -2, 1)  # sums 0 -4 -8 -6 0 -2 -1: -8 at the first low, -2 at the second


def market(closes=CLOSES, deltas=DELTAS, **fields):
    close, delta = np.array(closes, float), np.array(deltas, float)
    return rows(
        close, open=close, high=close + 1, low=close - 1, volume=10.0,
        buy_volume=5 + delta / 2, sell_volume=5 - delta / 2, **fields,
    )  # fmt: skip


def by_hand(price, delta):
    """The score of the market above, by its mean squares of moves and deltas at row 6 (span 5: a third)."""
    moves = math.sqrt(32 / 9)  # of 4 4 4 1 4 4
    deltas = math.sqrt(6347 / 729)  # of 0 16 16 4 36 4 1
    x = (abs(price) / moves + abs(delta) / deltas) / math.sqrt(3)
    return x / (1 + x)


def test_a_lower_low_on_higher_delta_is_bought():
    signals, scores = watch(market(), **SMALL)
    assert signals.tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert scores[6] == pytest.approx(by_hand(-1, 6))


def test_a_higher_high_on_lower_delta_is_sold():
    signals, scores = watch(market([20 - c for c in CLOSES], [-d for d in DELTAS]), **SMALL)
    assert signals.tolist() == [0, 0, 0, 0, 0, 0, -1]
    assert scores[6] == pytest.approx(by_hand(-1, 6))


def test_a_higher_low_on_lower_delta_is_bought_where_hidden_divergences_count():
    hidden = market((10, 8, 5, 8, 7, 6, 7), (0, -4, -4, 2, -6, -2, 1))
    assert watch(hidden, **SMALL)[0].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert not watch(hidden, **SMALL, hidden=0)[0].any()


def test_nothing_is_said_before_the_swing_is_confirmed():
    signals, _ = watch(market((*CLOSES[:6], 4, 5), (*DELTAS, 1)), **SMALL)
    assert signals.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]  # row 5 was no low; row 6 was, and is confirmed in 7


@pytest.mark.parametrize(
    ("deltas", "why"),
    [
        ((0, -4, -4, 2, -3, -2, 1), "delta makes a lower low, too"),
        ((0, -4, -4, 2, 0, -1, 1), "delta is a little higher only"),
    ],
)
def test_it_is_silent_where(deltas, why):
    assert not watch(market(deltas=deltas), **SMALL)[0].any(), why


def test_lows_of_different_sessions_are_not_compared():
    assert not watch(market(session_id=np.array([1, 1, 1, 2, 2, 2, 2])), **SMALL)[0].any()
    assert watch(market(session_id=np.array([1, 2, 2, 2, 2, 2, 2])), **SMALL)[0].any()


@pytest.mark.parametrize("params", [{"far": 2}, {"price": 0.4}, {"delta": 1.2}, {"side": 2}, {"window": 100}])
def test_each_parameter_can_forbid_the_signal(params):
    assert not watch(market(), **SMALL | params)[0].any()


@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in ("high", "low", "close", "volume") for odd in (NAN, math.inf)]
    + [("volume", 0.0)],
)
@pytest.mark.parametrize("at", [2, 5, 6])
def test_an_unknown_row_is_as_if_it_had_not_been(name, odd, at):
    other = market((*CLOSES[:at], 1, *CLOSES[at:]), (*DELTAS[:at], 9, *DELTAS[at:]))
    other[name][at] = odd
    signals, scores = watch(other, **SMALL)
    assert signals.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert scores[7] == pytest.approx(by_hand(-1, 6))
