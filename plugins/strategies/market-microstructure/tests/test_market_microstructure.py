"""Market microstructure: it follows flow whose impact stays, and seldom other flow."""

import numpy as np
import pytest
from nexus_strategy_market_microstructure import MarketMicrostructure

from nexus_core import compile
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import BREAK, CLEAR, EVENT, LAST, LEVEL, QUOTE, SNAPSHOT, TRADE
from nexus_core.testing import StrategyContract, rows, scenarios

SECOND = 1_000_000_000
TARGETS = MarketMicrostructure.targets
NAN = float("nan")


class TestMarketMicrostructure(StrategyContract):
    strategy = "market-microstructure"


def answers(session, **params):
    signals, scores = scenarios.answers(MarketMicrostructure(**params), session)
    return np.where(signals < -2, 0, signals), scores


# -- scenario, null ---------------------------------------------------------------------------------


def scenario(seed):
    """Whether in three hours it follows informed flow at least once, before its end or soon after."""
    session = scenarios.flow(seed, 180, ["informed"], interval=SECOND, ease=0.9)
    signals, _ = answers(session)
    within = int(TARGETS["within"])
    return scenarios.met(session.chunk.rows, signals, session.planted, within, since="start").found > 0


def null(seed):
    """False signals, and rows, of a market in which nobody knows anything."""
    signals, _ = answers(scenarios.flow(seed, 120, interval=SECOND))
    return int(np.count_nonzero(signals)), len(signals)


def test_it_follows_informed_flow():
    assert np.mean([scenario(seed) for seed in range(10)]) >= TARGETS["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_without_informed_flow_it_seldom_fires():
    false, total = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1000 * false / total <= TARGETS["false"]


def test_upside_down_it_says_the_opposite():
    session = scenarios.flow(3, 240, ["informed"], interval=SECOND, ease=0.9, rate=12.0)
    signals, scores = answers(session)
    opposite, same = answers(scenarios.turned(session, 60_000.0))
    assert np.count_nonzero(signals) >= 4
    assert opposite.tolist() == (-signals).tolist()
    assert same == pytest.approx(scores, abs=1e-9)


# -- worked out by hand -----------------------------------------------------------------------------

BEGIN, STOP = 1_000, 1_060


def informed(side=1, size=1_100, rise=0.25, lots=4.0, both=False):
    """One lot a row, by turns bought and sold at a mid that goes nowhere; then some know more.

    From row BEGIN to STOP `lots` are traded a row, to one side, and for as long the mid goes `rise` a row.
    After that it stands, while they still trade.
    """
    sides, many = np.where(np.arange(size) % 2, 1, -1), np.ones(size)
    many[BEGIN:] = lots
    if not both:
        sides[BEGIN:] = side
    mid = np.full(size, 1000.0)
    mid[BEGIN:] += side * rise * np.minimum(np.arange(1, size - BEGIN + 1), STOP - BEGIN)
    mid[:BEGIN] += 0.25 * (sides[:BEGIN] > 0)  # impact that goes back
    made = rows(mid, interval=SECOND, volume=many)
    events = np.zeros((size, 4), EVENT)
    events["ts"], events["seq"] = made["ts"][:, None], np.arange(4 * size).reshape(size, 4)
    events["kind"], events["flags"] = (
        (TRADE, CLEAR, LEVEL, LEVEL),
        (LAST, SNAPSHOT, SNAPSHOT, SNAPSHOT | LAST),
    )
    events["side"][:, 0], events["size"][:, 0], events["price"][:, 0] = sides, many, mid
    events["side"][:, 2:], events["size"][:, 2:] = (1, -1), 10.0
    events["price"][:, 2], events["price"][:, 3] = mid - 0.5, mid + 0.5
    told = events.ravel()
    return scenarios.Session(Chunk(made, np.array([0, size]), told, np.array([0, len(told)])), made[:0])


def fired(session, **params):
    signals, scores = answers(session, **params)
    return [(int(i), int(signals[i])) for i in np.flatnonzero(signals)], scores


@pytest.mark.parametrize("side", [1, -1])
def test_it_follows_when_the_price_has_come_to_rest(side):
    # the mid stands from row 1,059 on: 1,069 is the first row that is where it was ten rows before. By then
    # 70 x 4 lots were traded to one side, in 14 of the 15 buckets or so, and the mid has gone 15 that way
    found, scores = fired(informed(side))
    assert found == [(STOP - 1 + 10, side)]
    assert 0.57 <= scores[found[0][0]] <= 1.0


@pytest.mark.parametrize(
    "session",
    [informed(rise=0.0), informed(rise=-0.25), informed(lots=1.0), informed(both=True)],
    ids=["no impact", "price goes the other way", "no more than usual", "both sides"],
)
def test_what_is_not_informed_is_no_signal(session):
    assert fired(session)[0] == []


@pytest.mark.parametrize(
    "given",
    [
        {"busy": 50.0},
        {"sure": 100.0},
        {"stay": 10.0},
        {"thin": 0.1},
        {"buckets": 100},
    ],
)
def test_each_threshold_can_keep_it_from_firing(given):
    assert fired(informed(), **given)[0] == []


def test_it_waits_until_all_buckets_are_of_one_side_where_that_is_asked():
    assert fired(informed(size=1_200), lean=1.0)[0] > [(STOP + 20, 1)]


def test_the_higher_the_rank_that_is_asked_for_the_fewer_the_signals():
    session = scenarios.flow(3, 240, ["informed"], interval=SECOND, ease=0.9, rate=12.0)
    counts = [len(fired(session, tail=tail)[0]) for tail in (0.0, 0.9, 1.0)]
    assert counts[0] > counts[1] > counts[2]


def test_a_smaller_bucket_and_a_shorter_window_follow_the_same_flow():
    assert fired(informed(), bucket=5.0)[0] == fired(informed(), window=60)[0] == fired(informed())[0]


def test_a_book_that_is_lost_is_no_mid():
    session = informed()
    events = session.chunk.events.copy()
    gone = (events["seq"] // 4 >= STOP) & (events["kind"] != TRADE)
    events["kind"][gone] = np.where(events["kind"][gone] == CLEAR, BREAK, QUOTE)
    chunk = Chunk(session.chunk.rows, session.chunk.starts, events, session.chunk.event_starts)
    assert fired(scenarios.Session(chunk, session.planted))[0] == []


def test_trades_of_no_size_or_no_side_change_nothing():
    session = informed()
    events = np.repeat(session.chunk.events, 3)
    events["seq"] = np.arange(len(events))
    trades = np.flatnonzero(events["kind"] == TRADE)
    events["size"][trades[1::3]], events["side"][trades[2::3]] = NAN, 0
    chunk = Chunk(session.chunk.rows, session.chunk.starts, events, np.array([0, len(events)]))
    assert fired(scenarios.Session(chunk, session.planted))[0] == fired(session)[0]
