"""Liquidation detection: with cascades as they speed up, against them when spent, and seldom else."""

from functools import lru_cache

import numpy as np
import pytest
from nexus_strategy_liquidation_detection import LiquidationDetection

from nexus_core import compile
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import EVENT, LAST, LIQUIDATION, TRADE
from nexus_core.testing import StrategyContract, rows, scenarios

SECOND = 1_000_000_000
TARGETS = LiquidationDetection.targets
NAN = float("nan")


class TestLiquidationDetection(StrategyContract):
    strategy = "liquidation-detection"


def answers(session, **params):
    signals, scores = scenarios.answers(LiquidationDetection(**params), session)
    return np.where(signals < -2, 0, signals), scores


def deaf(session):
    """The same market, of a feed that tells rows alone."""
    return scenarios.Session(Chunk(session.chunk.rows, session.chunk.starts), session.planted)


# -- scenario, null, curves -------------------------------------------------------------------------


def scenario(seed):
    """Whether it goes with the first cascade before its turn."""
    session = scenarios.flow(seed, 120, ["cascade"], interval=SECOND, ease=0.7, rate=12.0)
    signals, _ = answers(session)
    times = session.chunk.rows["ts"]
    plant = session.real[session.real["start"] > times[LiquidationDetection.warmup]][0]
    start, turn = np.searchsorted(times, [plant["start"], plant["turn"]])
    return bool((signals[start : turn + 2] == plant["side"]).any())


def null(seed):
    """False signals, and rows, of a market without cascades."""
    signals, _ = answers(scenarios.flow(seed, 120, interval=SECOND))
    return int(np.count_nonzero(signals)), len(signals)


@lru_cache(maxsize=16)
def phased(seed):
    """Three hours with cascades and decoys; a cascade has two sides, one for each of its phases."""
    session = scenarios.flow(seed, 180, ["cascade"], interval=SECOND, ease=0.5)
    after = session.planted.copy()
    after["side"], after["start"] = -after["side"], after["turn"]
    both = np.concatenate([session.planted, after])
    warm = both["start"] > session.chunk.rows["ts"][LiquidationDetection.warmup]
    return scenarios.Session(session.chunk, both[warm])


def test_it_goes_with_cascades_before_they_turn():
    assert np.mean([scenario(seed) for seed in range(10)]) >= TARGETS["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_without_cascades_it_seldom_fires():
    false, total = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1000 * false / total <= TARGETS["false"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
@pytest.mark.parametrize("of", [lambda session: session, deaf], ids=["forced trades told", "rows alone"])
def test_half_way_up_in_clearness_it_tells_cascades_from_single_prints(of):
    sessions = (of(phased(seed)) for seed in range(12))
    found = scenarios.curve(LiquidationDetection(), sessions, int(TARGETS["within"]), since="start")
    assert found.precision >= TARGETS["precision"]
    assert found.recall >= TARGETS["recall"]


def test_upside_down_it_says_the_opposite():
    session = scenarios.flow(3, 180, ["cascade"], interval=SECOND, ease=0.7, rate=12.0)
    signals, scores = answers(session)
    opposite, same = answers(scenarios.turned(session, 60_000.0))
    assert np.count_nonzero(signals) >= 4
    assert opposite.tolist() == (-signals).tolist()
    assert same == pytest.approx(scores, abs=1e-9)


# -- worked out by hand -----------------------------------------------------------------------------


def burst(size=400, at=350, length=8, trades=12, side=-1, ticks=4.0, buy=0.0):
    """One trade a row, by turns bought and sold; from `at` on so many to one side, and price goes with them.

    The usual intensity of a side is half a trade a row. After the burst there is one trade a row again.
    """
    turns, many = np.arange(size) % 2, np.ones(size, int)
    close = 1000.0 - side * 0.25 * (np.arange(size) // 2 % 2)  # neither side goes with rises
    many[at : at + length] = trades
    close[at:] += side * ticks * np.minimum(np.arange(1, size - at + 1), length)
    bought = (turns if side < 0 else 1 - turns).astype(float)
    bought[at : at + length] = buy * trades if side < 0 else (1 - buy) * trades
    made = rows(close, interval=SECOND, volume=many.astype(float), trades=many, buy_volume=bought)
    made["sell_volume"] = made["volume"] - made["buy_volume"]
    return made


def fired(made, **params):
    signals, scores = answers(made, **params)
    return [(int(i), int(signals[i])) for i in np.flatnonzero(signals)], scores


def test_a_burst_worked_out_by_hand():
    # twelve sold a row count as 2 + 5 x 1 = 7. With 1/e in 5 rows the excitement is 7 + 5.73 + ... over 5:
    # 1.4, 2.5, 3.5 a row; times 0.8, over the usual half, with the tenth of what comes by itself: 2.8, 4.8,
    # 6.3, 7.6 and 8.6 times the usual after five rows. Eight count
    found, scores = fired(burst(side=-1))
    assert found[0] == (355, -1)
    assert found[1][1] == 1  # the eighth row of the burst is the last; it halves in 5 ln 2 = 3.5 rows or so
    assert 358 <= found[1][0] <= 363
    assert len(found) == 2
    assert 0.57 <= scores[355] <= 1.0


def test_the_other_side_is_the_mirror():
    down, falling = fired(burst(side=-1))
    up, rising = fired(burst(side=1))
    assert [(at, -side) for at, side in down] == up
    assert rising == pytest.approx(falling, abs=1e-12)


@pytest.mark.parametrize(
    "made",
    [burst(length=1, trades=1_000), burst(buy=0.5), burst(trades=3), burst(ticks=-4.0)],
    ids=["one large print", "both sides", "too few", "price goes the other way"],
)
def test_what_is_no_cascade_is_no_signal(made):
    assert fired(made)[0] == []


@pytest.mark.parametrize("given", [{"burst": 12.0}, {"lean": 1.0}, {"run": 50.0}, {"decay": 40.0}])
def test_each_parameter_can_keep_it_from_firing(given):
    assert fired(burst(buy=0.02), **given)[0] == []
    assert fired(burst(buy=0.02))[0] != []


def test_a_cascade_is_spent_the_later_the_more_has_to_be_gone():
    ends = [fired(burst(), spent=spent)[0][1][0] for spent in (0.8, 0.5, 0.3)]
    assert ends[0] < ends[1] < ends[2]


def test_trades_told_to_be_forced_count_several_times():
    made, events = burst(trades=5), np.zeros(8, EVENT)
    events["ts"], events["kind"], events["side"] = made["ts"][350:358], TRADE, -1
    events["seq"], events["size"], events["price"], events["flags"] = (
        np.arange(8), 1.0, made["close"][350:358], LAST | LIQUIDATION,
    )  # fmt: skip
    whole = Chunk(made, np.array([0, len(made)]), events, np.array([0, len(events)]))
    told = scenarios.Session(whole, made[:0])
    assert fired(made)[0] == []
    assert fired(told)[0][0][1] == -1
    assert fired(told, forced=1.0)[0] == []


def test_where_nobody_knows_the_sides_the_bar_tells():
    made = burst()
    made["buy_volume"] = made["sell_volume"] = NAN
    made["low"][350:358], made["high"][350:358] = made["close"][350:358], made["close"][350:358] + 4
    assert fired(made)[0][0] == (355, -1)


@pytest.mark.parametrize(
    ("name", "value"), [("close", NAN), ("volume", NAN), ("volume", np.inf), ("volume", -1.0)]
)
def test_a_row_that_is_not_known_is_silent_and_changes_nothing(name, value):
    made = burst()
    odd = np.repeat(made, 2)
    odd["ts"] += SECOND // 2 * (np.arange(len(odd)) % 2)
    odd[name][1::2] = value
    if name == "close":
        odd["bid"][1::2] = NAN
    signals, _ = answers(odd)
    assert not signals[1::2].any()
    assert signals[::2].tolist() == answers(made)[0].tolist()


def test_a_models_opinion_has_three_tenths():
    assert LiquidationDetection.blend(None, -1, 0.8, -1.0) == pytest.approx((-1, 0.86))
    assert LiquidationDetection.blend(None, -1, 0.8, NAN) == (-1, 0.8)


def test_a_cascade_without_an_end_is_given_up():
    made = burst(size=700, at=350, length=350, ticks=0.5)
    assert len(fired(made, spent=0.05)[0]) == 1
