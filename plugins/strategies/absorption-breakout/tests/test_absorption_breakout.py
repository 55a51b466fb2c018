"""Absorption breakout: fires where price leaves a level that took all that was sold, seldom elsewhere."""

import numpy as np
import pytest
from nexus_strategy_absorption_breakout import AbsorptionBreakout

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import AGAIN, BUY, EVENT, LAST, SELL, TRADE
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

SECOND = 1_000_000_000
TICK, AT = 0.5, 700
DOWN, HELD, UP = 40, 120, 60
TURN = AT + 2 * (DOWN + HELD) + UP


class TestAbsorptionBreakout(StrategyContract):
    strategy = "absorption-breakout"


# -- markets ----------------------------------------------------------------------------------------


def told(path, bought, sold, side=1, flag=0):
    """A market of closes in ticks and one trade of each side a row; `side` -1 turns it over."""
    path = np.asarray(path)
    if side < 0:
        path, bought, sold = 2 * path[0] - path, sold, bought
    made = rows((20_000 + path) * TICK, volume=1.0)
    made["ts"] = (np.arange(len(path)) + 1) * SECOND
    events = [
        (made["ts"][i] - 1, TRADE, one, made["close"][i], size, LAST | flag)
        for i in range(len(path))
        for one, size in ((BUY, bought[i]), (SELL, sold[i]))
        if size > 0.0
    ]
    return session(made, events)


def session(made, events):
    said = np.zeros(len(events), EVENT)
    for i, (ts, kind, side, price, size, flags) in enumerate(events):
        one = said[i]
        one["ts"], one["kind"], one["side"], one["seq"] = ts, kind, side, i
        one["price"], one["size"], one["flags"] = price, size, flags
    none = scenarios.flow(1, 1, interval=SECOND).planted
    return scenarios.Session(Chunk(made, np.array([0, len(made)]), said, np.array([0, len(said)])), none)


def laid(seed, side=1, breaks=True):
    """A restless market that falls to a floor twice, is sold there for long, and rises away; or gives way."""
    rng = np.random.default_rng(seed)
    size = TURN + 100
    moves = rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15], size=AT)
    bought, sold = (rng.exponential(2.0, size) * (rng.random(size) < 0.3) for _ in range(2))
    last = 40 if breaks else -40
    knots = np.cumsum([AT, DOWN, HELD, UP, DOWN, HELD, 60, 40]) - 1
    plan = np.interp(np.arange(AT, size), knots, [0, -40, -40, 0, -40, -40, -40 + last, -40 + last])
    noise = rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15], size=size - AT)
    path = np.concatenate([np.cumsum(moves), np.cumsum(moves)[-1] + np.round(plan).astype(int) + noise])
    for first in (AT + DOWN, AT + 2 * DOWN + HELD + UP):
        sold[first : first + HELD] = rng.exponential(4.0, HELD)
    more = bought if breaks else sold
    more[TURN:] = rng.exponential(3.0, size - TURN)
    (sold if breaks else bought)[TURN:] = 0.0
    return told(path, bought, sold, side)


def signals_of(made, **params):
    signals, scores = scenarios.answers(AbsorptionBreakout(**params), made)
    return np.where(signals == ABSENT, 0, signals).astype(int), scores


# -- scenario, null, plants -------------------------------------------------------------------------


def scenario(seed: int) -> bool:
    """Tell whether the break from a floor (or ceiling) that held is answered in time, and nothing else."""
    side = 1 if seed % 2 else -1
    signals, _ = signals_of(laid(seed, side))
    answered = signals[TURN : TURN + int(AbsorptionBreakout.targets["within"]) + 1]
    return bool((answered == side).any() and not (answered == -side).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of a market of this seed in which nothing is planted, and its rows."""
    signals, _ = signals_of(scenarios.flow(seed, 120, interval=SECOND))
    return int(np.count_nonzero(signals)), len(signals)


@pytest.mark.parametrize("seed", range(10))
def test_it_answers_the_break_away_from_a_level_that_absorbed(seed):
    assert scenario(seed)


@pytest.mark.parametrize("seed", range(10))
def test_a_level_that_gives_way_is_no_signal(seed):
    signals, _ = signals_of(laid(seed, breaks=False))
    assert not (signals[TURN:] > 0).any()


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_it_is_mostly_silent_where_nothing_is_planted():
    found = np.array([null(seed) for seed in range(20)]).sum(axis=0)
    assert 1000 * found[0] / found[1] <= AbsorptionBreakout.targets["false"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_it_finds_planted_absorption_and_passes_over_most_levels_that_give_way():
    plants = found = signals = right = 0
    decoys = []
    for seed in range(24):
        made = scenarios.flow(seed, 120, ["absorption"], interval=SECOND, ease=1.0, rate=12.0)
        said, _ = signals_of(made)
        met = scenarios.met(made.chunk.rows, said, made.planted, 60, since="start", again=5)
        plants, found = plants + met.plants, found + met.found
        signals, right = signals + met.signals, right + met.right
        for plant in made.planted[made.planted["decoy"] == 1]:
            first, last = np.searchsorted(
                made.chunk.rows["ts"], (plant["start"], plant["turn"] + 60 * SECOND)
            )
            decoys.append(bool((said[first:last] == plant["side"]).any()))
    assert found / plants >= AbsorptionBreakout.targets["recall"]
    assert right / signals >= AbsorptionBreakout.targets["precision"]
    assert np.mean(decoys) <= 0.35


# -- mirror and by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_break_turned_over_gives_the_opposite_signals_with_the_same_scores(seed):
    signals, scores = signals_of(laid(seed, 1))
    others, same = signals_of(laid(seed, -1))
    assert np.count_nonzero(signals) > 0
    assert others.tolist() == (-signals).tolist()
    assert same.tobytes() == scores.tobytes()


PATH = [0, 8, 0, 8, 0, 0, 8]


def by_hand(path=PATH, size=1.0, flag=0, **params):
    """A floor at 0: met, left, met again, held and left; 1 is sold whenever price is there, nothing else."""
    at_floor = np.asarray(path) <= 0
    made = told(path, 0.0 * at_floor, size * at_floor, 1, flag)
    usual = {"scale": 1, "usual": 10, "hold": 1, "turn": 1, "flip": 0.0, "ratio": 1.0}
    return signals_of(made, **(usual | {"near": 0.2, "away": 0.8, "leave": 0.8} | params))


def test_by_hand():
    # the floor is made at row 3, where price has left it by more than 0.8 usual moves; rows 4 and 5 test it;
    # at row 6 price breaks away. Three were sold at it (rows 2, 4, 5); price made nothing against it, so the
    # result is the zone alone, 0.2 usual moves; the effort is 3 over the usual volume of a row
    signals, scores = by_hand()
    assert signals.tolist() == [0, 0, 0, 0, 0, 0, 1]
    usual = 1.0
    for volume in (0, 1, 0, 1, 1, 0):
        usual += 2 / 11 * (volume - usual)
    strength = 1.5 * 3 / usual / 0.2
    assert scores[6] == pytest.approx(strength / (1 + strength))


@pytest.mark.parametrize(
    ("changed", "fires"),
    [
        ({"tests": 20}, False),
        ({"ratio": 1000.0}, False),
        ({"hold": 1000}, False),
        ({"lean": 1.0}, True),  # all that traded at the floor was sold
        ({"flip": 0.1}, False),  # nobody buys at the break
        ({"leave": 50.0}, False),
        ({"away": 50.0}, False),  # no floor is ever made
        ({"tests": 2}, True),
        ({"tests": 3}, False),
        ({"hold": 3}, True),
        ({"hold": 4}, False),
        ({"ratio": 25.0}, False),
        ({"near": 4.0}, False),
        ({"scale": 2}, False),  # of moves to and fro little is left over two rows
        ({"flag": AGAIN}, False),
        ({"size": np.nan}, False),
        ({"path": [0, 8, 0, 8, 0, 0, -8]}, False),
    ],
)
def test_what_each_parameter_does_and_what_must_not_fire(changed, fires):
    signals, _ = by_hand(**changed)
    assert bool((signals > 0).any()) is fires


def test_a_close_that_is_not_known_gives_no_signal_and_no_harm():
    made = laid(3)
    signals, _ = signals_of(made)
    at = int(np.flatnonzero(signals[TURN:])[0]) + TURN
    made.chunk.rows["close"][at] = np.nan
    others, _ = signals_of(made)
    assert others[at] == 0
    assert (others[TURN:] > 0).any()


def test_a_parameter_outside_its_bounds_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"tests was 0, must be a whole number in \[1, 20\]"):
        AbsorptionBreakout(tests=0)
