"""Order-book imbalance: fires where book and flow lean to one side for long, seldom where they do not."""

import numpy as np
import pytest
from nexus_strategy_order_book_imbalance import OrderBookImbalance

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import BREAK, BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, rows, scenarios

SECOND = 1_000_000_000
TICK, LEVELS, AT, LONG = 0.5, 5, 500, 60


class TestOrderBookImbalance(StrategyContract):
    strategy = "order-book-imbalance"


# -- markets ----------------------------------------------------------------------------------------


def told(path, bids, asks, side=1):
    """A market whose book is renewed once a row: middle in ticks, size of a level of each side.

    `side` -1 turns it over.
    """
    path = np.asarray(path)
    if side < 0:
        path, bids, asks = 2 * path[0] - path, asks, bids
    made = rows((20_000 + path) * TICK, volume=1.0)
    made["ts"] = (np.arange(len(path)) + 1) * SECOND
    events, before = [], []
    for i, mid in enumerate(20_000 + path):
        levels = [(BUY, (mid - 1 - k) * TICK, bids[i]) for k in range(LEVELS)]
        levels += [(SELL, (mid + 1 + k) * TICK, asks[i]) for k in range(LEVELS)]
        now = made["ts"][i] - SECOND // 2
        if i == 0:
            events.append((now, CLEAR, 0, TICK, 0.0, SNAPSHOT))
        kept = {(one, price) for one, price, _ in levels}
        events += [(now, LEVEL, one, price, 0.0, 0) for one, price, _ in before if (one, price) not in kept]
        flag = SNAPSHOT if i == 0 else 0
        events += [(now, LEVEL, *each, flag) for each in levels[:-1]]
        events.append((now, LEVEL, *levels[-1], flag | LAST))
        before = levels
    return session(made, events)


def session(made, events):
    said = np.zeros(len(events), EVENT)
    for i, (ts, kind, side, price, size, flags) in enumerate(events):
        one = said[i]
        one["ts"], one["kind"], one["side"], one["seq"] = ts, kind, side, i
        one["price"], one["size"], one["flags"] = price, size, flags
    none = scenarios.flow(1, 1, interval=SECOND).planted
    return scenarios.Session(Chunk(made, np.array([0, len(made)]), said, np.array([0, len(said)])), none)


def laid(seed, side=1, depth=4.0, drift=0.5, size=AT + LONG + 40):
    """A restless book, in which from row AT on one side is thicker and the touch creeps away from it."""
    rng = np.random.default_rng(seed)
    moves = rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15], size=size)
    bids, asks = rng.lognormal(2.0, 0.3, size), rng.lognormal(2.0, 0.3, size)
    span = slice(AT, AT + LONG)
    moves[span] = rng.random(LONG) < drift
    bids[span] *= depth
    return told(np.cumsum(moves), bids, asks, side)


def signals_of(made, **params):
    signals, scores = scenarios.answers(OrderBookImbalance(**params), made)
    return np.where(signals == ABSENT, 0, signals).astype(int), scores


# -- scenario, null, plants -------------------------------------------------------------------------


def scenario(seed: int) -> bool:
    """Tell whether a leaning book of this seed is answered with its side, in time and with nothing else."""
    side = 1 if seed % 2 else -1
    signals, _ = signals_of(laid(seed, side))
    answered = signals[AT : AT + int(OrderBookImbalance.targets["within"]) + 1]
    return bool((answered == side).any() and not (answered == -side).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of a market of this seed in which nothing is planted, and its rows."""
    signals, _ = signals_of(scenarios.flow(seed, 120, interval=SECOND))
    return int(np.count_nonzero(signals)), len(signals)


@pytest.mark.parametrize("seed", range(10))
def test_it_answers_a_book_that_leans_with_its_flow(seed):
    assert scenario(seed)


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_it_is_mostly_silent_where_nothing_is_planted():
    found = np.array([null(seed) for seed in range(20)]).sum(axis=0)
    assert 1000 * found[0] / found[1] <= OrderBookImbalance.targets["false"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_a_planted_order_without_flow_is_followed_less_often_than_one_with():
    hits = {0: [], 1: []}
    for seed in range(12):
        made = scenarios.flow(seed, 120, ["imbalance"], interval=SECOND, ease=1.0, rate=12.0)
        signals, _ = signals_of(made)
        for plant in made.planted[made.planted["start"] > made.chunk.rows["ts"][0] + 400 * SECOND]:
            first, last = np.searchsorted(
                made.chunk.rows["ts"], (plant["start"], plant["turn"] + 30 * SECOND)
            )
            hits[int(plant["decoy"])].append(bool((signals[first:last] == plant["side"]).any()))
    assert np.mean(hits[0]) > 1.3 * np.mean(hits[1])
    assert np.mean(hits[0]) >= 0.2  # weak: a large order that only rests is not told from many others


# -- mirror and by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_leaning_book_turned_over_gives_the_opposite_signals_with_the_same_scores(seed):
    signals, scores = signals_of(laid(seed, 1))
    others, same = signals_of(laid(seed, -1))
    assert np.count_nonzero(signals) > 0
    assert others.tolist() == (-signals).tolist()
    assert same.tobytes() == scores.tobytes()


def by_hand(last_bids=3.0, last_asks=1.0, last=1, **params):
    """Fourteen rows: the touch goes up and down by a tick, then the bids thicken and it goes up."""
    path = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, last, 2 * last, 3 * last]
    bids = np.array([1.0] * 11 + [last_bids] * 3)
    asks = np.array([1.0] * 11 + [last_asks] * 3)
    usual = {"levels": 1, "every": 0, "window": 2, "burst": 2, "usual": 10, "persist": 1, "flow": 1.5}
    return signals_of(told(path, bids, asks), **(usual | params))


def test_by_hand():
    # a tick up brings the bid's size and takes the ask's away: e = 1 - (-1) = 2, down -2; two rows make 0,
    # but for the first: the sum is 0, 2, 0, 0, ..., its square's average 0, 2/11 * 4, then 9/11 of that a row
    usual = 4 * 2 / 11 * (9 / 11) ** 9
    # at row 11 e = 3 + 1 = 4 after -2: sum 2, over the root of the average; the tilt is (3-1)/(3+1) = 1/2,
    # its mean with the row before, 1/4; the micro-price has learned nothing of even touches: silent.
    signals, scores = by_hand()
    assert signals[:12].tolist() == [0] * 12
    # at row 12 the class of tilt 1/2 has learned that a tick up followed: sum 8, tilt 1/2
    usual = usual * 9 / 11 + 2 / 11 * 4
    strength = 8 / np.sqrt(usual)
    assert signals[12] == 1
    assert scores[12] == pytest.approx(0.75 * strength * 1.5 / (1 + 0.75 * strength * 1.5))
    assert signals[13] == 0  # rests


@pytest.mark.parametrize(
    ("changed", "fires"),
    [
        ({"depth": 0.6}, []),
        ({"flow": 20.0}, []),
        ({"persist": 2}, [13]),
        ({"persist": 3}, []),
        ({"rest": 0}, [12, 13]),
        ({"last_bids": 1.0}, []),  # no depth
        ({"last": 0}, []),  # depth and nobody acts on it
    ],
)
def test_what_each_parameter_and_reading_does(changed, fires):
    signals, _ = by_hand(**changed)
    assert np.flatnonzero(signals).tolist() == fires


def test_a_book_that_is_not_known_or_a_close_that_is_not_gives_no_signal_and_no_harm():
    made = laid(3)
    signals, _ = signals_of(made)
    at = int(np.flatnonzero(signals[AT:])[0]) + AT
    broken = laid(3)
    broken.chunk.rows["close"][at] = np.nan
    told_of, _ = signals_of(broken)
    assert told_of[at] == 0
    said = made.chunk.events.copy()
    late = said["ts"] > made.chunk.rows["ts"][at - 1]
    said["kind"][np.flatnonzero(late)[0]] = BREAK
    parts = Chunk(made.chunk.rows, made.chunk.starts, said, made.chunk.event_starts)
    told_of, _ = signals_of(scenarios.Session(parts, made.planted))
    assert not told_of[at:].any()


def test_a_parameter_outside_its_bounds_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"levels was 11, must be a whole number in \[1, 10\]"):
        OrderBookImbalance(levels=11)
