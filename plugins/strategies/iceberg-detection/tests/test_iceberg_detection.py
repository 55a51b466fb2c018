"""iceberg-detection: fires where a level is refilled as it is eaten, seldom where none is."""

import numpy as np
import pytest
from nexus_strategy_iceberg_detection import IcebergDetection

from nexus_core import compile
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.events import AGAIN, BREAK, BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT, TRADE
from nexus_core.styles import loop
from nexus_core.testing import StrategyContract, rows, scenarios
from nexus_core.testing.market import START

SECOND = 1_000_000_000
TARGETS = IcebergDetection.targets
WITHIN = int(TARGETS["within"])


class TestIcebergDetection(StrategyContract):
    strategy = "iceberg-detection"


# -- scenario, null, decoys -------------------------------------------------------------------------


def scenario(seed: int) -> bool:
    """Tell whether the first iceberg of a busy market, where it is eaten, is answered on its side in time."""
    minutes, first = 45, ()
    while len(first) == 0:  # by chance all that was planted may be decoys
        minutes *= 2
        session = scenarios.flow(
            seed, minutes, ["iceberg"], interval=SECOND, ease=1.0, rate=20.0, activity=8.0
        )
        first = session.real[:1]
    signals, _ = scenarios.answers(IcebergDetection(), session)
    return scenarios.met(session.chunk.rows, signals, first, WITHIN, since="start").found == 1


def null(seed: int) -> tuple[int, int]:
    """Return the signals in a market without icebergs, and its rows."""
    session = scenarios.flow(seed, 120, interval=SECOND)
    signals, _ = scenarios.answers(IcebergDetection(), session)
    return int(np.count_nonzero(signals)), len(signals)


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_it_answers_icebergs_that_are_eaten_on_their_side_in_time():
    assert sum(scenario(seed) for seed in range(10)) >= TARGETS["hits"] * 10


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_it_seldom_fires_where_nobody_hides():
    signals, count = np.sum([null(seed) for seed in range(20)], axis=0)
    assert signals / count * 1000.0 <= TARGETS["false"]


@pytest.mark.skipif(not compile.JIT, reason="hours of order flow take long in plain Python")
def test_precision_and_recall_among_decoys_at_the_middle_of_the_range():
    sessions = (
        scenarios.flow(seed, 120, ["iceberg"], interval=SECOND, ease=0.5, rate=60.0) for seed in range(10)
    )
    found = scenarios.curve(IcebergDetection(), sessions, WITHIN, since="start")
    assert found.precision >= TARGETS["precision"]
    assert found.recall >= TARGETS["recall"]


@pytest.mark.skipif(not compile.JIT, reason="an hour of order flow takes long in plain Python")
def test_the_market_upside_down_gives_the_opposite_signals_with_the_same_scores():
    session = scenarios.flow(10_000, 60, ["iceberg"], interval=SECOND, ease=0.9, rate=60.0)
    signals, scores = scenarios.answers(IcebergDetection(), session)
    opposite, same = scenarios.answers(IcebergDetection(), scenarios.turned(session, 60_000.0))
    assert {-1, 1} <= set(signals.tolist())
    assert opposite.tolist() == (-signals).tolist()
    assert same.tobytes() == scores.tobytes()


# -- by hand ----------------------------------------------------------------------------------------

BEGUN = (
    (0.0, CLEAR, 0, 1.0, 0.0, SNAPSHOT),
    (0.0, LEVEL, BUY, 100.0, 2.0, SNAPSHOT),
    (0.0, LEVEL, BUY, 99.0, 1.0, SNAPSHOT),
    (0.0, LEVEL, SELL, 101.0, 1.0, SNAPSHOT | LAST),
    (0.1, LEVEL, BUY, 90.0, 1.0),
    (0.2, LEVEL, SELL, 120.0, 1.0),
)
"""Best prices 100 (of 2) and 101; the usual order has size 1."""


def eaten(at, size=2.0, again=2.0, wait=0.2, side=SELL, flags=LAST):
    """A sale of what stands at 100, which is gone, and after a while what stands there again."""
    return (
        (at, TRADE, side, 100.0, size, flags),
        (at, LEVEL, BUY, 100.0, 0.0),
        (at + wait, LEVEL, BUY, 100.0, again),
    )


ICEBERG = (*BEGUN, *eaten(1.0), *eaten(2.0))


def usual(orders):
    """Return the mean of asks, 1, and of bids after so many peaks of 2, each with a weight of 2 / 501."""
    bids = 1.0
    for _ in range(orders):
        bids += (2.0 - bids) * 2.0 / 501.0
    return (1.0 + bids) / 2.0


def played(said, count=20, closes=None):
    events = np.zeros(len(said), EVENT)
    for i, (one, (at, kind, side, price, size, *flags)) in enumerate(zip(events, said, strict=True)):
        one["ts"], one["seq"], one["kind"], one["side"] = START + round(at * SECOND), i, kind, side
        one["price"], one["size"], one["flags"] = price, size, flags[0] if flags else LAST
    bars = rows(np.full(count, 100.0) if closes is None else closes, interval=SECOND)
    return Chunk(bars, np.array([0, len(bars)]), events, np.array([0, len(events)]))


def watch(*said, closes=None, **params):
    session = scenarios.Session(played(said, closes=closes), np.zeros(0, EVENT))
    signals, scores = scenarios.answers(IcebergDetection(**params), session)
    return {int(i): (int(signals[i]), float(scores[i])) for i in np.flatnonzero(signals)}


def odds(score):
    return score / (1.0 - score)


def test_a_bid_that_came_back_twice_as_it_was_eaten_is_bought():
    answered = watch(*ICEBERG)
    assert list(answered) == [2]  # the row that closes at 3 s
    signal, score = answered[2]
    assert signal == 1
    # two peaks of 2 came back, of two orders that came; a tenth of these is chance
    assert odds(score) == pytest.approx((2 - 0.1 * 2) * 2.0 / usual(2) / 1.5)


def test_what_was_hidden_is_what_was_traded_beyond_the_most_displayed():
    chunk = played(ICEBERG)
    work = loop("iceberg", IcebergDetection(), ["BTC-USD"])
    signals, scores = np.zeros(20, np.int8), np.zeros(20)
    for block in blocks(chunk, 0, 1 << 40, lambda _: np.iinfo(np.int64).max):
        work.run(block.rows, block.first, block.last, signals, scores, block.between)
    assert work.states["own"]["hidden"].tolist() == [[4.0 - 2.0, 0.0]]


def test_an_ask_that_is_refilled_is_sold():
    said = [(at, kind, -side, 201.0 - price if kind != CLEAR else price, *rest)
            for at, kind, side, price, *rest in ICEBERG]  # fmt: skip
    # what was said of the asks first was said of the bids
    assert watch(*said) == {2: (-1, watch(*ICEBERG)[2][1])}


def test_it_says_it_again_when_the_evidence_has_doubled():
    said = [part for at in range(1, 8) for part in eaten(float(at))]
    # after n peaks 0.9 n of them count; the first signal came at n = 2, of 1.8, and the usual order grows
    assert list(watch(*BEGUN, *said)) == [2, 5]


@pytest.mark.parametrize(
    "said",
    [
        eaten(1.0),  # it came back once, and no more was traded than displayed
        (*eaten(1.0, again=1.7), *eaten(2.0, size=1.7, again=2.3)),  # each time another size
        (*eaten(1.0, wait=3.1), *eaten(6.0, wait=3.1)),  # it came back, but late
        (*eaten(1.0, size=0.5), *eaten(2.0, size=0.5)),  # it went and came, and little was traded
        (*eaten(1.0, side=BUY), *eaten(2.0, side=BUY)),  # buyers take from the asks
        (*eaten(1.0, side=0), *eaten(2.0, side=0)),  # nobody knows who took
        (*eaten(1.0, flags=LAST | AGAIN), *eaten(2.0, flags=LAST | AGAIN)),  # told before
        (*eaten(1.0), (1.5, BREAK, 0, 0.0, 0.0), *BEGUN[:4], *eaten(2.0)),  # the book was lost between
    ],
)
def test_what_is_no_iceberg(said):
    said = [(max(each[0], 1.6), *each[1:]) if each in BEGUN else each for each in said]
    assert watch(*BEGUN, *said) == {}


def test_every_parameter_does_what_it_says():
    assert odds(watch(*ICEBERG, clear=3.0)[2][1]) == pytest.approx(1.8 * 2.0 / usual(2) / 3.0)
    assert watch(*ICEBERG, sure=0.8) == {}
    near = (*BEGUN, *eaten(1.0), *eaten(2.0, again=2.01))
    assert watch(*near) != {}
    assert watch(*near, alike=0.004) == {}
    assert watch(*ICEBERG, prompt=0.19) == {}
    assert watch(*ICEBERG, beyond=1.9) != {}
    assert watch(*ICEBERG, beyond=2.0) == {}
    assert odds(watch(*ICEBERG, chance=0.0)[2][1]) == pytest.approx(2.0 * 2.0 / usual(2) / 1.5)
    others = [(0.5, TRADE, SELL, 100.0, 8.0)]  # 12 traded, of which 4 came back
    assert watch(*BEGUN, *others, *ICEBERG[6:], share=0.33) != {}
    assert watch(*BEGUN, *others, *ICEBERG[6:], share=0.34) == {}
    assert watch(*BEGUN, *eaten(1.0), *eaten(3.0), memory=2.5) != {}
    assert watch(*BEGUN, *eaten(1.0), *eaten(3.0), memory=1.5) == {}


def test_a_row_whose_close_is_unknown_is_silent_and_spoils_nothing():
    closes = np.full(20, 100.0)
    closes[:2] = np.nan
    assert list(watch(*ICEBERG, closes=closes)) == [2]
    closes[2] = np.nan
    assert watch(*ICEBERG, closes=closes) == {}


def test_events_of_unknown_size_or_price_spoil_nothing():
    odd = [
        (1.5, kind, side, price, size)
        for kind, side in ((LEVEL, BUY), (TRADE, SELL))
        for price, size in ((np.nan, 1.0), (100.0, np.nan), (np.inf, 1.0), (100.0, np.inf))
    ]
    assert watch(*BEGUN, *eaten(1.0), *odd, *eaten(2.0)) == watch(*ICEBERG) != {}
