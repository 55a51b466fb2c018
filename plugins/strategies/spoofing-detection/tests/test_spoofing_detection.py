"""spoofing-detection: fires where a large order was pulled as price neared, seldom where none was."""

import math

import numpy as np
import pytest
from nexus_strategy_spoofing_detection import SpoofingDetection

from nexus_core import compile
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import BREAK, BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT, TRADE
from nexus_core.testing import StrategyContract, rows, scenarios
from nexus_core.testing.market import START

SECOND = 1_000_000_000
TARGETS = SpoofingDetection.targets
WITHIN = int(TARGETS["within"])


class TestSpoofingDetection(StrategyContract):
    strategy = "spoofing-detection"


# -- scenario, null, decoys -------------------------------------------------------------------------


def scenario(seed: int) -> bool:
    """Tell whether the first clear spoof of this market is answered on its side in time."""
    minutes, first = 45, ()
    while len(first) == 0:  # by chance all that was planted may be decoys
        minutes *= 2
        session = scenarios.flow(seed, minutes, ["spoof"], interval=SECOND, ease=1.0, rate=20.0)
        first = session.real[:1]
    signals, _ = scenarios.answers(SpoofingDetection(), session)
    return scenarios.met(session.chunk.rows, signals, first, WITHIN).found == 1


def null(seed: int) -> tuple[int, int]:
    """Return the signals in a market without spoofs, and its rows."""
    session = scenarios.flow(seed, 120, interval=SECOND)
    signals, _ = scenarios.answers(SpoofingDetection(), session)
    return int(np.count_nonzero(signals)), len(signals)


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_it_answers_clear_spoofs_on_their_side_in_time():
    assert sum(scenario(seed) for seed in range(20)) >= TARGETS["hits"] * 20


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_it_seldom_fires_where_nobody_spoofs():
    signals, count = np.sum([null(seed) for seed in range(20)], axis=0)
    assert signals / count * 1000.0 <= TARGETS["false"]


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_precision_and_recall_among_decoys_at_the_middle_of_the_range():
    sessions = (
        scenarios.flow(seed, 120, ["spoof"], interval=SECOND, ease=0.5, rate=60.0) for seed in range(20)
    )
    found = scenarios.curve(SpoofingDetection(), sessions, WITHIN)
    assert found.precision >= TARGETS["precision"]
    assert found.recall >= TARGETS["recall"]


@pytest.mark.skipif(not compile.JIT, reason="an hour of order flow takes long in plain Python")
def test_the_market_upside_down_gives_the_opposite_signals_with_the_same_scores():
    session = scenarios.flow(10_000, 60, ["spoof"], interval=SECOND, ease=0.9, rate=60.0)
    signals, scores = scenarios.answers(SpoofingDetection(), session)
    opposite, same = scenarios.answers(SpoofingDetection(), scenarios.turned(session, 60_000.0))
    assert {-1, 1} <= set(signals.tolist())
    assert opposite.tolist() == (-signals).tolist()
    assert same.tobytes() == scores.tobytes()


# -- by hand ----------------------------------------------------------------------------------------

BEGUN = (
    (0.0, CLEAR, 0, 1.0, 0.0, SNAPSHOT),
    (0.0, LEVEL, BUY, 100.0, 1.0, SNAPSHOT),
    (0.0, LEVEL, BUY, 90.0, 1.0, SNAPSHOT),
    (0.0, LEVEL, BUY, 86.0, 1.0, SNAPSHOT),
    (0.0, LEVEL, BUY, 60.0, 1.0, SNAPSHOT),
    (0.0, LEVEL, SELL, 102.0, 1.0, SNAPSHOT | LAST),
    (0.1, LEVEL, BUY, 50.0, 1.0),
    (0.2, LEVEL, SELL, 150.0, 1.0),
)
"""Best prices 100 and 102, so a usual spread of 2; the usual order has size 1."""
SHOWN = (1.0, LEVEL, BUY, 80.0, 7.0)
"""An order of seven usual ones, 20 below the touch."""
FELL = ((10.0, LEVEL, BUY, 100.0, 0.0), (10.0, LEVEL, BUY, 90.0, 0.0), (10.0, LEVEL, SELL, 88.0, 1.0))
"""The bid is 86 now, 6 from the order: nearer than a third of 20."""
PULLED = (10.3, LEVEL, BUY, 80.0, 0.0)
USUAL = (1.0 + (1.0 + 6.0 * 2.0 / 501.0)) / 2.0
"""Mean of asks, 1, and of bids, into which the order of 7 came with a weight of 2 / 501."""


def watch(*said, count=20, closes=None, **params):
    events = np.zeros(len(said), EVENT)
    for i, (one, (at, kind, side, price, size, *flags)) in enumerate(zip(events, said, strict=True)):
        one["ts"], one["seq"], one["kind"], one["side"] = START + round(at * SECOND), i, kind, side
        one["price"], one["size"], one["flags"] = price, size, flags[0] if flags else LAST
    bars = rows(np.full(count, 101.0) if closes is None else closes, interval=SECOND)
    chunk = Chunk(bars, np.array([0, len(bars)]), events, np.array([0, len(events)]))
    session = scenarios.Session(chunk, np.zeros(0, EVENT))
    signals, scores = scenarios.answers(SpoofingDetection(**params), session)
    return {int(i): (int(signals[i]), float(scores[i])) for i in np.flatnonzero(signals)}


def odds(score):
    return score / (1.0 - score)


def mean(span, first, *others):
    for each in others:
        first += 2.0 / (span + 1.0) * (each - first)
    return first


def test_a_large_bid_pulled_as_price_comes_down_to_it_is_sold():
    answered = watch(*BEGUN, SHOWN, *FELL, PULLED)
    assert list(answered) == [10]  # the row that closes at 11 s
    signal, score = answered[10]
    assert signal == -1
    # the middle fell by 14, out of a calm: sqrt(301 / 2) volatilities, 4.02 deviations in 9.3 s, and 4 count
    log = -2.1 + 1.2 * 4.0 + math.log(7.0 / (3.5 * USUAL)) - 2.2 * 0.3
    assert math.log(odds(score)) == pytest.approx(log)


def test_the_longer_it_waits_with_price_near_the_less_it_is_worth():
    answered = watch(*BEGUN, SHOWN, *FELL, (11.2, *PULLED[1:]), sure=0.3)
    # after a row that moved by 14 and one that did not
    came = 14.0 / (math.sqrt(mean(300, 0.0, 14.0**2, 0.0)) * math.sqrt(10.2))
    log = -2.1 + 1.2 * came + math.log(7.0 / (3.5 * USUAL)) - 2.2 * 1.2
    assert math.log(odds(answered[11][1])) == pytest.approx(log)
    assert watch(*BEGUN, SHOWN, *FELL, (14.0, *PULLED[1:])) == {}


HALF_WAY = (10.0, LEVEL, BUY, 100.0, 0.0)
"""The bid is 90, 10 of 20 away; the middle came from 101 to 96, out of a calm: more than 4 deviations."""
HALF_WAY_ODDS = (
    -2.1 + 1.2 * 4.0 + 0.5 * math.log(7.0 / (3.5 * USUAL)) - 2.5 * math.log(1.0 + 10.0 / mean(500, 2.0, 12.0))
)
JOINED = (5.0, LEVEL, BUY, 80.0, 8.0)
"""Another order comes behind it."""
LEFT = (10.3, LEVEL, BUY, 80.0, 1.0)
"""It goes, the other stays."""


def test_one_that_is_pulled_while_price_is_on_its_way_is_worth_less_the_farther_it_is():
    assert watch(*BEGUN, SHOWN, HALF_WAY, PULLED) == {}
    answered = watch(*BEGUN, SHOWN, HALF_WAY, PULLED, sure=0.1)
    assert answered[10][0] == -1
    assert math.log(odds(answered[10][1])) == pytest.approx(HALF_WAY_ODDS)


def test_it_is_worth_more_where_it_leaves_its_place_to_others_behind_it():
    answered = watch(*BEGUN, SHOWN, JOINED, HALF_WAY, LEFT, sure=0.1)
    usual = (1.0 + mean(500, 1.0, 7.0, 1.0)) / 2.0
    log = HALF_WAY_ODDS + 1.3 - 0.5 * math.log(usual / USUAL)
    assert math.log(odds(answered[10][1])) == pytest.approx(log)
    gone = ((6.0, LEVEL, BUY, 80.0, 7.0), (10.3, LEVEL, BUY, 80.0, 0.0))  # the other had left before
    answered = watch(*BEGUN, SHOWN, JOINED, gone[0], HALF_WAY, gone[1], sure=0.1)
    assert math.log(odds(answered[10][1])) == pytest.approx(log - 1.3)
    before = ((0.5, LEVEL, BUY, 80.0, 1.0), (1.0, LEVEL, BUY, 80.0, 8.0))  # it came first
    answered = watch(*BEGUN, *before, HALF_WAY, LEFT, sure=0.1)
    assert math.log(odds(answered[10][1])) == pytest.approx(HALF_WAY_ODDS, abs=0.01)


def test_price_that_goes_on_to_where_it_stood_bears_it_out():
    said = (*BEGUN, SHOWN, JOINED, HALF_WAY, LEFT)
    on = ((11.5, LEVEL, BUY, 90.0, 0.0), (11.5, LEVEL, SELL, 88.0, 1.0))  # the middle goes from 96 to 87
    assert watch(*said) == {}
    answered = watch(*said, *on)
    assert list(answered) == [11]
    usual = (1.0 + mean(500, 1.0, 7.0, 1.0)) / 2.0
    log = HALF_WAY_ODDS + 1.3 - 0.5 * math.log(usual / USUAL) + 0.27 * 6.0  # 9 is more than 6 volatilities
    assert answered[11][0] == -1
    assert math.log(odds(answered[11][1])) == pytest.approx(log)
    assert watch(*said, *on, confirm=0) == {}
    assert list(watch(*said, *on, confirm=1)) == [11]
    late = tuple((16.5, *each[1:]) for each in on)
    assert watch(*said, *late) == {}
    assert list(watch(*said, *late, confirm=6)) == [16]
    lost = (11.2, BREAK, 0, 0.0, 0.0)
    assert watch(*said, lost, *on) == {}


@pytest.mark.parametrize(
    "said",
    [
        (SHOWN, *FELL),  # it stays
        (SHOWN, PULLED),  # price never came
        (SHOWN, *FELL, (10.3, LEVEL, BUY, 80.0, 3.0)),  # pulled in part
        (SHOWN, *FELL, (10.2, TRADE, SELL, 80.0, 2.0), PULLED),  # it traded
        (SHOWN, *FELL, PULLED, (10.3, TRADE, SELL, 80.0, 7.0)),  # it traded, and the book said so first
        ((1.0, LEVEL, BUY, 80.0, 2.0), *FELL, PULLED),  # no large order
        ((1.0, LEVEL, BUY, 97.0, 7.0), *FELL, (10.3, LEVEL, BUY, 97.0, 0.0)),  # shown at the touch
        ((7.0, *SHOWN[1:]), *FELL, PULLED),  # shown for 3.3 seconds
        (SHOWN, (5.0, BREAK, 0, 0.0, 0.0), *FELL, PULLED),  # the book was lost between
        (SHOWN, *FELL, (10.3, LEVEL, BUY, 60.0, 0.0)),  # another order went
    ],
)
def test_what_is_no_spoof(said):
    assert watch(*BEGUN, *said) == {}


def test_a_buyer_at_its_price_does_not_reach_a_bid():
    assert len(watch(*BEGUN, SHOWN, *FELL, (10.2, TRADE, BUY, 80.0, 2.0), PULLED)) == 1


def test_every_parameter_does_what_it_says():
    spoof = (*BEGUN, SHOWN, *FELL, PULLED)
    assert watch(*spoof, large=7.0) != {}
    assert watch(*spoof, large=7.1) == {}
    log = -2.1 + 1.2 * 4.0 - math.log(USUAL) - 2.2 * 0.3
    assert math.log(odds(watch(*spoof, clear=7.0)[10][1])) == pytest.approx(log)
    assert watch(*spoof, far=9.9) != {}
    assert watch(*spoof, far=10.1) == {}
    assert watch(*spoof, least=9.4) == {}
    assert watch(*spoof, most=9.2) == {}
    assert watch(*spoof, sure=0.95) == {}


def test_the_same_again_is_said_again_only_after_its_rest():
    again = (
        (11.0, LEVEL, BUY, 60.0, 8.0), (15.5, LEVEL, BUY, 86.0, 0.0), (16.0, LEVEL, BUY, 60.0, 1.0),
    )  # fmt: skip
    near = (12.0, LEVEL, BUY, 62.0, 1.0)  # where the touch falls to when 86 goes
    said = (*BEGUN, SHOWN, *FELL, PULLED, again[0], near, *again[1:])
    assert list(watch(*said, rest=0)) == [10, 15]
    assert list(watch(*said)) == [10]


def test_a_row_whose_close_is_unknown_is_silent_and_spoils_nothing():
    closes = np.full(20, 101.0)
    closes[:10] = np.nan
    assert list(watch(*BEGUN, SHOWN, *FELL, PULLED, closes=closes)) == [10]
    closes[10] = np.nan
    assert list(watch(*BEGUN, SHOWN, *FELL, PULLED, closes=closes)) == [11]  # said when it is known again
    closes[11:] = np.nan
    assert watch(*BEGUN, SHOWN, *FELL, PULLED, closes=closes) == {}


def test_changes_of_unknown_size_or_price_spoil_nothing():
    odd = [
        (3.0, kind, BUY, price, size)
        for kind in (LEVEL, TRADE)
        for price, size in ((math.nan, 1.0), (85.0, math.nan), (math.inf, 1.0), (85.0, math.inf))
    ]
    assert watch(*BEGUN, SHOWN, *odd, *FELL, PULLED) == watch(*BEGUN, SHOWN, *FELL, PULLED) != {}
