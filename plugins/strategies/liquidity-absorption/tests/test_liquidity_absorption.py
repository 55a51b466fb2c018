"""Liquidity absorption: fires against aggressors once a price has eaten all they had, seldom elsewhere."""

import numpy as np
import pytest
from nexus_strategy_liquidity_absorption import LiquidityAbsorption

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import AGAIN, BREAK, BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT, TRADE
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

SECOND = 1_000_000_000
TICK, SHOWN, AT, LONG = 0.5, 10.0, 300, 60


class TestLiquidityAbsorption(StrategyContract):
    strategy = "liquidity-absorption"


# -- markets ----------------------------------------------------------------------------------------


def told(path, bought, sold, refills=True, side=1, flag=0, late=False):
    """A market with a bid and an ask of SHOWN, a tick off the middle; quantities traded at each by row.

    What was eaten is offered anew within the row, or else the touch shows what is left of it, until it moves.
    `late` tells of a trade after the change that it made. `side` -1 turns the market over.
    """
    path = np.asarray(path)
    if side < 0:
        path, bought, sold = 2 * path[0] - path, sold, bought
    made = rows((20_000 + path) * TICK, volume=1.0)
    made["ts"] = (np.arange(len(path)) + 1) * SECOND
    events, before, left = [], None, {}
    for i, mid in enumerate((20_000 + path).tolist()):
        now = int(made["ts"][i]) - SECOND // 2
        if before is None:
            events.append((now, CLEAR, 0, TICK, 0.0, SNAPSHOT))
        if mid != before:
            if before is not None:
                events.append((now, LEVEL, BUY, (before - 1) * TICK, 0.0, 0))
                events.append((now, LEVEL, SELL, (before + 1) * TICK, 0.0, 0))
            shot = SNAPSHOT if before is None else 0
            events.append((now, LEVEL, BUY, (mid - 1) * TICK, SHOWN, shot))
            events.append((now, LEVEL, SELL, (mid + 1) * TICK, SHOWN, shot | LAST))
            left, before = {BUY: SHOWN, SELL: SHOWN}, mid
        for size, aggressor in ((sold[i], SELL), (bought[i], BUY)):
            if size > 0.0:
                price, rests = (mid + aggressor) * TICK, -aggressor
                left[rests] = max(left[rests] - size, 1.0)
                pair = [
                    (now, TRADE, aggressor, price, size, LAST | flag),
                    (now, LEVEL, rests, price, left[rests], LAST),
                ]
                events += pair[::-1] if late else pair
                if refills:
                    left[rests] = SHOWN
                    events.append((now, LEVEL, rests, price, SHOWN, LAST))
    return session(made, events)


def session(made, events):
    said = np.zeros(len(events), EVENT)
    for i, (ts, kind, side, price, size, flags) in enumerate(events):
        one = said[i]
        one["ts"], one["kind"], one["side"], one["seq"] = ts, kind, side, i
        one["price"], one["size"], one["flags"] = price, size, flags
    none = scenarios.flow(1, 1, interval=SECOND).planted
    return scenarios.Session(Chunk(made, np.array([0, len(made)]), said, np.array([0, len(said)])), none)


def laid(seed, side=1, size=AT + LONG + 80):
    """A restless market in which from row AT on sellers hit one bid for long, and give up; it rises then."""
    rng = np.random.default_rng(seed)
    moves = rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15], size=size)
    bought, sold = (rng.exponential(2.0, size) * (rng.random(size) < 0.4) for _ in range(2))
    moves[AT : AT + LONG], moves[AT + LONG :] = 0, rng.random(size - AT - LONG) < 0.3
    sold[AT : AT + LONG] = rng.exponential(4.0, LONG)
    sold[AT + LONG :] = 0.0
    return told(np.cumsum(moves), bought, sold, side=side)


def signals_of(made, **params):
    signals, scores = scenarios.answers(LiquidityAbsorption(**params), made)
    return np.where(signals == ABSENT, 0, signals).astype(int), scores


# -- scenario, null, plants -------------------------------------------------------------------------


def scenario(seed: int) -> bool:
    """Tell whether sellers absorbed at a bid (or buyers at an ask) are answered in time, and nothing else."""
    side = 1 if seed % 2 else -1
    signals, _ = signals_of(laid(seed, side))
    answered = signals[AT : AT + LONG + int(LiquidityAbsorption.targets["within"]) + 1]
    return bool((answered == side).any() and not (answered == -side).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of a market of this seed in which nothing is planted, and its rows."""
    signals, _ = signals_of(scenarios.flow(seed, 120, interval=SECOND))
    return int(np.count_nonzero(signals)), len(signals)


@pytest.mark.parametrize("seed", range(10))
def test_it_answers_absorption_once_the_aggressors_are_spent(seed):
    assert scenario(seed)


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_it_is_mostly_silent_where_nothing_is_planted():
    found = np.array([null(seed) for seed in range(20)]).sum(axis=0)
    assert 1000 * found[0] / found[1] <= LiquidityAbsorption.targets["false"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_it_finds_icebergs_and_passes_over_orders_that_are_not_refilled():
    plants = found = signals = right = 0
    decoys = []
    for seed in range(16):
        made = scenarios.flow(seed, 120, ["iceberg"], interval=SECOND, ease=1.0, rate=12.0)
        said, _ = signals_of(made)
        met = scenarios.met(made.chunk.rows, said, made.planted, 60, since="start", again=5)
        plants, found = plants + met.plants, found + met.found
        signals, right = signals + met.signals, right + met.right
        for plant in made.planted[made.planted["decoy"] == 1]:
            first, last = np.searchsorted(
                made.chunk.rows["ts"], (plant["start"], plant["turn"] + 60 * SECOND)
            )
            decoys.append(bool((said[first:last] == plant["side"]).any()))
    assert found / plants >= LiquidityAbsorption.targets["recall"]
    assert right / signals >= LiquidityAbsorption.targets["precision"]
    assert np.mean(decoys) <= 0.4


# -- mirror and by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_absorption_turned_over_gives_the_opposite_signals_with_the_same_scores(seed):
    signals, scores = signals_of(laid(seed, 1))
    others, same = signals_of(laid(seed, -1))
    assert np.count_nonzero(signals) > 0
    assert others.tolist() == (-signals).tolist()
    assert same.tobytes() == scores.tobytes()


def by_hand(path=(0, 0, 0, 0, 0, 0, 2, 2, 2), refills=True, flag=0, late=False, **params):
    """Five rows in which 8 of the 10 displayed are sold; then the touch goes up by two ticks."""
    sold = np.array([0.0, 8, 8, 8, 8, 8, 0, 0, 0])
    made = told(path, 0 * sold, sold, refills, 1, flag, late)
    usual = {"usual": 3, "quiet": 1, "memory": 3600.0, "ratio": 3.0, "lift": 0.5}
    return signals_of(made, **(usual | params))


def test_by_hand():
    # 40 were eaten at a price that showed 10 whenever it was hit: ratio 4 of 3 asked for. At row 6 the touch
    # is two ticks off, half a spread is one; nobody sells. An hour halves what was eaten: five seconds do not
    signals, scores = by_hand()
    assert signals.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    strength = 1.5 * 4 / 3
    assert scores[6] == pytest.approx(strength / (1 + strength), abs=1e-3)


@pytest.mark.parametrize(
    ("changed", "fires"),
    [
        ({"ratio": 3.9}, [6]),
        ({"ratio": 4.1}, []),
        ({"share": 1.0}, []),  # all of it is not more than all of it
        ({"refill": 1.2}, []),
        ({"memory": 1.0}, []),
        ({"lift": 1.5}, []),
        ({"spent": 0.0}, [6]),
        ({"quiet": 50, "spent": 0.2}, []),
        ({"usual": 8}, []),  # still warming up
        ({"late": True}, [6]),
        ({"refills": False, "ratio": 1.0}, []),  # an order that is eaten and not offered anew
        ({"flag": AGAIN}, []),
        ({"path": (0, 0, 0, 0, 0, -1, -1, -1, -1)}, []),  # price went through
        ({"path": (0, 0, 0, 0, 0, 0, 0, 0, 0)}, []),  # it has not left
        ({"path": (0, 0, 0, 0, 0, 0, -1, 2, 2), "patience": 0}, []),
        ({"path": (0, 0, 0, 0, 0, 0, -1, 2, 2), "patience": 1}, [7]),
    ],
)
def test_what_each_parameter_does_and_what_must_not_fire(changed, fires):
    signals, _ = by_hand(**changed)
    assert np.flatnonzero(signals).tolist() == fires


def test_a_close_that_is_not_known_gives_no_signal_and_no_harm():
    sold = np.array([0.0, 8, 8, 8, 8, 8, 0, 0, 0])
    made = told((0, 0, 0, 0, 0, 0, 2, 2, 2), 0 * sold, sold)
    usual = {"usual": 3, "quiet": 1, "memory": 3600.0, "ratio": 3.0, "lift": 0.5}
    made.chunk.rows["close"][6] = np.nan
    assert np.flatnonzero(signals_of(made, **usual)[0]).tolist() == [7]
    made.chunk.events["kind"][made.chunk.events["ts"] > 6 * SECOND] = BREAK
    assert not signals_of(made, **usual)[0].any()


def test_a_parameter_outside_its_bounds_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"share was 1.5, must be in \[0.0, 1.0\]"):
        LiquidityAbsorption(share=1.5)
