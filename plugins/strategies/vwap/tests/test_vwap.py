"""VWAP: fires where the pattern was built, seldom where there is none, and by the contract of a strategy."""

import math
from itertools import pairwise

import numpy as np
import pytest
from nexus_strategy_vwap import HORIZON, Vwap

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.market.loops import StrategyLoop
from nexus_core.records import ABSENT, ROW
from nexus_core.testing import StrategyContract, scenarios

TARGETS = Vwap.targets
TICK = 1 / 64  # a power of two: prices on its grid are turned over without rounding


class TestVwap(StrategyContract):
    strategy = "vwap"


def bars(close, volume, session=0):
    """Bars around given closes, each opening at the close before, with wicks of a few ticks."""
    rows = np.zeros(len(close), ROW)
    opened = np.concatenate([close[:1], close[:-1]])
    wick = TICK * (np.arange(len(close)) % 5)
    rows["ts"], rows["session_id"], rows["volume"] = np.arange(len(close)) * 60_000_000_000, session, volume
    rows["open"], rows["close"] = opened, close
    rows["high"], rows["low"] = np.maximum(opened, close) + wick, np.minimum(opened, close) - wick
    return rows


def pulled(seed, rows, half_life, session=0):
    """A price pulled to 1000 with this half-life: the pattern comes by itself."""
    rng, close = np.random.default_rng(seed), np.zeros(rows)
    keep = 0.5 ** (1 / half_life)
    for i, shock in enumerate(rng.normal(size=rows)):
        close[i] = keep * close[i - 1] + shock
    return bars(1000 + np.round(close / TICK) * TICK, rng.lognormal(3.0, 0.5, rows), session)


def walk(seed, rows):
    """A random walk without drift, its volatility wandering: the pattern is only ever chance."""
    rng, volatility, level = np.random.default_rng(seed), np.zeros(rows), 0.0
    for i, shock in enumerate(rng.normal(size=rows)):
        level = 0.98 * level + 0.15 * shock
        volatility[i] = math.exp(level)
    close = 30_000 + np.round(np.cumsum(rng.normal(size=rows) * volatility) / TICK) * TICK
    return bars(close, rng.lognormal(3.0, 0.5, rows), np.arange(rows) // 1440)


def watch(rows, cuts=(), **params):
    """Run over one symbol's rows, cut into blocks before the rows `cuts`."""
    loop = StrategyLoop("vwap", Vwap(**params), 1)
    signals, scores = np.zeros(len(rows), np.int8), np.zeros(len(rows))
    edges = [0, *cuts, len(rows)]
    for first, last in pairwise(edges):
        loop.run(rows, np.array([first]), np.array([last]), signals, scores)
    assert loop.faults() == 0
    return signals, scores, loop


def fired(signals):
    return np.flatnonzero((signals == 1) | (signals == -1))


def bits(signals, scores, loop):
    return signals.tobytes(), scores.tobytes(), loop.states.tobytes()


def scenario(seed: int) -> bool:
    """Return whether it answers each excursion and return laid into a calm market, on the right side."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(10.0, 16.0)
    rows, side = excursion(depth, seed=seed), 1 if seed % 2 else -1
    signals, _, _ = watch(rows if side > 0 else scenarios.turned(rows), k=4.0)
    return bool((signals[BACK : BACK + TARGETS["within"] + 1] == side).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of a random walk whose volatility wanders, and its rows."""
    return len(fired(watch(walk(seed, 7_200))[0])), 7_200


# -- scenario ---------------------------------------------------------------------------------------

BREAK, BACK = 400, 406  # the rows where the built excursion leaves the band, and where it is inside again


def excursion(depth, stay=BACK - BREAK, half_life=5, seed=21):
    """A calm market that falls `depth` below its mean, stays, and is back at once."""
    rows = pulled(seed, 460, half_life)
    close = rows["close"].copy()
    close[BREAK : BREAK + stay] = 1000 - depth
    return bars(close, rows["volume"])


def test_it_buys_when_price_is_back_from_below_and_sells_when_back_from_above():
    rows = excursion(depth=12)
    for market, side in ((rows, 1), (scenarios.turned(rows), -1)):
        signals, scores, _ = watch(market, k=4.0)  # beyond what the calm market does by itself
        assert fired(signals).tolist() == [BACK]
        assert signals[BACK] == side
        assert scores[BACK] >= 0.57


def test_it_answers_excursions_of_many_markets():
    assert np.mean([scenario(seed) for seed in range(10)]) >= TARGETS["hits"]


def test_the_score_rises_with_the_depth_of_the_excursion():
    scores = [watch(excursion(depth), k=4.0)[1][BACK] for depth in (10, 12, 16)]
    assert 0.57 <= scores[0] < scores[1] < scores[2] <= 1.0


def test_the_score_falls_with_the_half_life():
    def best(half_life):
        return np.mean([watch(pulled(seed, 1440, half_life))[1].max() for seed in range(5)])

    assert best(3) > best(12) > best(30)


def test_with_the_usual_parameters_scores_of_clear_patterns_pass_the_kernels_floor():
    signals, scores, _ = watch(pulled(5, 1440, half_life=8))
    found = fired(signals)
    assert len(found) >= 10
    assert {-1, 1} <= set(signals[found])
    assert np.mean(scores[found] >= 0.57) > 0.8


def test_a_break_that_goes_on_is_no_signal():
    rows = excursion(depth=12)
    close = rows["close"].copy()
    close[BREAK:] = 1000 - 12 - np.arange(len(close) - BREAK)
    signals, _, _ = watch(bars(close, rows["volume"]), k=4.0)
    assert len(fired(signals)) == 0


def drifting(seed, ticks_a_row):
    rows = pulled(seed, 1440, half_life=5)
    return bars(rows["close"] + np.arange(1440) * ticks_a_row * TICK, rows["volume"])


def test_a_return_within_a_trend_is_no_signal():
    def count(ticks_a_row, **params):
        return sum(len(fired(watch(drifting(seed, ticks_a_row), **params)[0])) for seed in range(5))

    assert count(0) > 100
    assert count(6, flat=1.0) > 40
    assert count(6) < 5
    assert count(10) == 0


def test_a_deviation_that_reverts_slower_than_the_horizon_is_no_signal():
    rows = pulled(3, 2880, half_life=300)
    without, _, _ = watch(rows, window=1000, flat=1.0)
    assert len(fired(without)) == 0
    quick, _, _ = watch(pulled(3, 2880, half_life=20), window=1000, flat=1.0)
    assert len(fired(quick)) > 10


def test_a_session_starts_without_a_band():
    rows = pulled(4, 1000, half_life=3)
    rows["session_id"] = 20_000 + np.arange(1000) // 250
    signals, _, _ = watch(rows, settle=100, window=50)
    assert set(fired(signals) % 250 >= 100) == {True}
    assert set(fired(signals) // 250) == {0, 1, 2, 3}


def test_an_excursion_does_not_reach_into_the_next_session():
    rows = excursion(depth=12)
    rows["session_id"][BACK:] = 1
    signals, _, _ = watch(rows, k=4.0, settle=2)
    assert len(fired(signals)) == 0


# -- a slow definition ------------------------------------------------------------------------------


def slowly(rows, k=2.0, settle=30, window=240, flat=0.1):
    """The same rules in NumPy over the whole past, row by row."""
    close, volume, session = rows["close"], rows["volume"], rows["session_id"]
    typical = (rows["high"] + rows["low"] + close) / 3
    away, signals, scores, side, deepest = np.full(len(rows), np.nan), [], [], 0, 0.0
    for t in range(len(rows)):
        day = slice(np.flatnonzero(session[: t + 1] == session[t])[0], t + 1)
        vwap = np.average(typical[day], weights=volume[day])
        deviation = math.sqrt(np.average((typical[day] - vwap) ** 2, weights=volume[day]))
        away[t] = np.nan if t > 0 and session[t] != session[t - 1] else close[t] - vwap
        signal, score, depth = 0, 0.0, abs(close[t] - vwap) / deviation if deviation else np.nan
        if day.stop - day.start <= settle:
            side = 0
        elif depth > k:
            beyond = 1 if close[t] > vwap else -1
            deepest = max(deepest, depth) if beyond == side else depth
            side = beyond
        else:
            if side != 0 and t >= window and is_flat(close, t, window, flat):
                half_life = fitted(away, t, window)
                if half_life < HORIZON:
                    signal, score = -side, (1 - 0.5 ** (HORIZON / half_life)) * deepest / (1 + deepest)
            side = 0
        signals.append(signal)
        scores.append(score)
    return np.array(signals), np.array(scores)


def is_flat(close, t, window, flat):
    return abs(close[t] - close[t - window]) <= flat * np.abs(np.diff(close[t - window : t + 1])).sum()


def fitted(away, t, window):
    x, y = away[t - window : t], away[t - window + 1 : t + 1]
    known = np.isfinite(x) & np.isfinite(y)
    slope = np.polyfit(x[known], y[known], 1)[0]
    slope += (1 + 3 * slope) / known.sum()
    return math.inf if slope >= 1 else math.log(0.5) / math.log(slope) if slope > 0 else 0.0


@pytest.mark.parametrize("market", [pulled(8, 1200, 10, np.arange(1200) // 400), walk(9, 1200)])
def test_it_answers_as_a_slow_definition_does(market):
    signals, scores, _ = watch(market)
    expected, marks = slowly(market)
    assert signals[:241].tolist() == [ABSENT] * 241
    assert signals[241:].tolist() == expected[241:].tolist()
    assert scores[241:] == pytest.approx(marks[241:], abs=1e-9)
    assert len(fired(signals)) > 0


# -- null -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_on_random_walks_it_fires_seldom_and_to_either_side():
    markets = [watch(walk(seed, 7200))[:2] for seed in range(20)]
    found = np.concatenate([signals[fired(signals)] for signals, _ in markets])
    strong = sum(np.count_nonzero(scores >= 0.57) for _, scores in markets)
    assert len(found) / 144 <= TARGETS["false"]
    assert strong / 144_000 < 0.003
    assert 0.35 < np.mean(found == 1) < 0.65


# -- among decoys ----------------------------------------------------------------------------------


@pytest.mark.skipif(not compile.JIT, reason="days of order flow take long in plain Python")
def test_of_excursions_in_an_order_flow_it_finds_few_and_some_are_right():
    plants = found = signals = right = 0
    for seed in range(20):
        session = scenarios.flow(seed, 1_440, ["excursion"], ease=1.0, rate=1.0)
        said, _ = scenarios.answers(Vwap(), session)
        met = scenarios.met(session.chunk.rows, said, session.planted, 30)
        plants, found = plants + met.plants, found + met.found
        signals, right = signals + met.signals, right + met.right
    assert found / plants >= TARGETS["recall"]
    assert right / signals >= TARGETS["precision"]


# -- what is unknown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [("volume", np.nan), ("volume", 0.0), ("volume", -1.0), ("volume", np.inf)]
    + [(column, value) for column in ("high", "low", "close") for value in (np.nan, np.inf)],
)
def test_a_row_of_unknown_price_or_without_volume_updates_nothing(column, value):
    rows = pulled(31, 300, 6)
    signals, _, loop = watch(rows)
    odd = np.repeat(rows, 2)
    odd[column][1::2] = value
    odd["session_id"][1::2] = 99
    told, _, other = watch(odd)
    assert not told[1::2][241:].any()
    assert told[::2][241:].tolist() == signals[241:].tolist()
    assert other.states["own"].tobytes() == loop.states["own"].tobytes()


def test_prices_that_never_move_are_no_signal():
    signals, _, _ = watch(bars(np.full(600, 1000.0), np.ones(600)), window=50, settle=2)
    assert len(fired(signals)) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"k": 0.49}, r"k was 0.49, must be in \[0.5, 6.0\]"),
        ({"settle": 1}, r"settle was 1, must be a whole number in \[2, 1000\]"),
        ({"window": 9}, r"window was 9, must be a whole number in \[10, 10000\]"),
        ({"flat": 1.01}, r"flat was 1.01, must be in \[0.0, 1.0\]"),
    ],
)
def test_a_parameter_outside_its_bounds_is_refused_by_name(given, said):
    with pytest.raises(ConfigError, match=said):
        Vwap(**given)
