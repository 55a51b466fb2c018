"""Market events on their way to strategies: before the row they precede, once, whatever the blocks."""

import re

import numpy as np
import pytest

from nexus_core.config import Quarantine
from nexus_core.errors import DataError
from nexus_core.gates import Chain
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.events import BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT, TRADE, unknown
from nexus_core.market.features import Views
from nexus_core.market.loops import FAULT, StrategyLoop
from nexus_core.quarantine import Ward
from nexus_core.records import ABSENT, ROW
from nexus_core.strategy import Strategy

SECOND = 1_000_000_000


class Listener(Strategy):
    """Follows what was traded since its last row, and tells the book's best bid as its score."""

    nexus_api = 1
    needs = {"bar", "trade", "book"}

    @staticmethod
    def state(params):
        return {"traded": 0.0, "heard": 0, "bid": 0.0}

    @staticmethod
    def on_event(event, book, state, params):
        state.heard += 1
        if event.kind == TRADE:
            state.traded += event.side * event.size
        if book.known:
            state.bid = book.bid

    @staticmethod
    def step(row, state, params):
        signal = 1 if state.traded > 0.0 else -1 if state.traded < 0.0 else 0
        state.traded = 0.0
        return signal, state.bid / 1000.0


class Failing(Listener):
    """Answers outside the contract whenever more was sold."""

    @staticmethod
    def step(row, state, params):
        signal = 7 if state.traded < 0.0 else 1
        state.traded = 0.0
        return signal, state.bid / 1000.0


def market(seed=1, symbols=2, rows=60, tail=5):
    """Return a chunk of one-second rows with trades and book changes at random between them."""
    random = np.random.default_rng(seed)
    made, events, starts, event_starts = [], [], [0], [0]
    for s in range(symbols):
        ts = np.flatnonzero(random.random(rows) < 0.8) * SECOND + SECOND
        part = np.zeros(len(ts), ROW)
        part["ts"], part["symbol"], part["close"] = ts, s, 100.0
        made.append(part)
        count = rows * 5
        each = np.zeros(count, EVENT)
        each["ts"] = np.sort(random.integers(0, rows * SECOND, count) // (SECOND // 4) * (SECOND // 4))
        each["symbol"], each["flags"] = s, LAST
        each["kind"] = random.choice([TRADE, LEVEL], count)
        each["side"] = random.choice([BUY, SELL], count)
        each["size"] = random.integers(0, 5, count)
        each["price"] = 500.0 - each["side"] * random.integers(1, 20, count)
        each["kind"][0], each["flags"][0] = CLEAR, SNAPSHOT | LAST
        each["price"][0], each["side"][0] = 0.5, 0
        events.append(each)
        starts.append(starts[-1] + len(part))
        event_starts.append(event_starts[-1] + count)
    for n, each in enumerate(events):
        each["seq"] = np.arange(len(each)) * symbols + n
    last = max(part["ts"][-1] for part in made)
    kept = [each[each["ts"] <= last] for each in events]
    event_starts = np.cumsum([0, *map(len, kept)])
    return Chunk(np.concatenate(made), np.array(starts), np.concatenate(kept), event_starts)


def played(chunk, size, kind=Listener):
    work = StrategyLoop("listener", kind(), len(chunk.starts) - 1)
    signals, scores = np.full(len(chunk.rows), -9, np.int8), np.zeros(len(chunk.rows))
    for block in blocks(chunk, 0, size, lambda ts: -(-ts // (20 * SECOND)) * 20 * SECOND):
        work.run(block.rows, block.first, block.last, signals, scores, block.between)
    return signals, scores, work


def slow(chunk):
    """Answer what the strategy should: a loop over rows, and one over events in each."""
    signals, scores = [], []
    for s in range(len(chunk.starts) - 1):
        events = chunk.events[chunk.event_starts[s] : chunk.event_starts[s + 1]]
        before, bids, bid = 0, {}, 0.0
        for row in chunk.rows[chunk.starts[s] : chunk.starts[s + 1]]:
            traded = 0.0
            for event in events[(events["ts"] <= row["ts"])][before:]:
                before += 1
                if event["kind"] == TRADE:
                    traded += event["side"] * event["size"]
                elif event["kind"] == LEVEL and event["side"] == BUY:
                    bids.pop(event["price"], None)
                    if event["size"] > 0:
                        bids[event["price"]] = 1
                if event["kind"] != TRADE:
                    bid = max(bids, default=np.nan)
            signals.append(np.sign(traded))
            scores.append(bid / 1000.0)
    return np.array(signals), np.array(scores)


def test_a_row_sees_the_events_up_to_its_time_and_no_later_one():
    chunk = market()
    signals, scores, work = played(chunk, 10_000)
    wanted, levels = slow(chunk)
    known = ~np.isnan(levels)
    assert (signals[known] == wanted[known]).all()
    assert (scores[known] == levels[known]).all()
    assert known.sum() > 80
    assert work.states["own"]["heard"].tolist() == np.diff(chunk.event_starts).tolist()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_block_size_changes_nothing(size):
    chunk = market(3)
    signals, scores, whole = played(chunk, 10_000)
    parts = played(chunk, size)
    assert parts[0].tobytes() == signals.tobytes()
    assert parts[1].tobytes() == scores.tobytes()
    assert parts[2].states.tobytes() == whole.states.tobytes()


def test_no_event_is_taken_twice():
    chunk = market(4)
    signals, scores, work = played(chunk, 10_000)
    once = work.states.copy()
    last = chunk.starts[1:]
    for block in blocks(chunk, 0, 10_000, lambda ts: ts + 10**12):
        work.run(chunk.rows, last, last, signals, scores, block.between)
    assert work.states.tobytes() == once.tobytes()


def judged(chunk, size):
    work = StrategyLoop("failing", Failing(), len(chunk.starts) - 1)
    ward = Ward([work], Quarantine(faults=3, rows=20))
    columns = Chain([], 1, len(chunk.starts) - 1, 0.0).columns(len(chunk.rows))
    for block in blocks(chunk, 0, size, lambda ts: ts + 10**12):
        ward.run(block, columns)
    return columns.signals[0].copy(), ward.silent(), work.states["own"]["heard"].copy()


@pytest.mark.parametrize("size", [1, 7])
def test_a_quarantined_listener_has_heard_no_event_after_its_last_row(size):
    chunk = market(5)
    whole, parts = judged(chunk, 10_000), judged(chunk, size)
    assert whole[1]
    assert whole[1] == parts[1]
    assert (whole[0] == parts[0]).all()
    assert ABSENT in whole[0]
    assert FAULT not in whole[0]


class Raising(Listener):
    """Raises at a large trade of the second symbol, after 20 seconds."""

    @staticmethod
    def on_event(event, book, state, params):
        state.heard += 1
        if event.kind == TRADE and event.symbol == 1 and event.size == 4.0 and event.ts > 20_000_000_000:
            raise ValueError("odd")

    @staticmethod
    def step(row, state, params):
        return 1, 0.5


@pytest.mark.parametrize("faults", [5, 100])
def test_a_listener_that_raises_at_an_event_faults_at_the_rows_after_it(faults):
    chunk, found = market(5), []
    odd = chunk.events[(chunk.events["kind"] == TRADE) & (chunk.events["symbol"] == 1)]
    since = odd["ts"][(odd["size"] == 4.0) & (odd["ts"] > 20 * SECOND)][0]
    for size in (1, 7, 10_000):  # with one tick in a block it comes before a row, or where there is none
        work = StrategyLoop("raising", Raising(), 2)
        ward = Ward([work], Quarantine(faults=faults, rows=200))
        columns = Chain([], 1, 2, 0.0).columns(len(chunk.rows))
        for block in blocks(chunk, 0, size, lambda ts: ts + 10**12):
            ward.run(block, columns)
        found.append((columns.signals[0].tolist(), ward.silent(), work.faults()))
    assert found[0] == found[1] == found[2]
    absent = np.array(found[0][0]) == ABSENT
    spoilt = (chunk.rows["symbol"] == 1) & (chunk.rows["ts"] >= since)
    assert absent[spoilt].all()
    if faults > spoilt.sum():
        assert (absent == spoilt).all()
        assert not found[0][1]


@pytest.mark.parametrize("spoil", [
    lambda events: events["ts"].__setitem__(3, events["ts"][2] - 1),
    lambda events: events["seq"].__setitem__(3, events["seq"][2]),
    lambda events: events["symbol"].__setitem__(3, 1),
    lambda events: events["ts"].__setitem__(len(events) - 1, 2**60),
])  # fmt: skip
def test_events_out_of_place_are_refused(spoil):
    chunk = market()
    spoil(chunk.events)
    with pytest.raises(DataError, match=re.escape("of a chunk is out of place: events lie symbol by symbol")):
        Chunk(chunk.rows, chunk.starts, chunk.events, chunk.event_starts)


def test_events_of_another_type_are_refused():
    chunk = market()
    with pytest.raises(DataError, match="are not market events"):
        Chunk(chunk.rows, chunk.starts, chunk.rows, chunk.event_starts)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_views_show_the_book_as_it_is_at_each_row(size):
    chunk = market(6)
    made, views = Views(2), unknown(len(chunk.rows))
    for block in blocks(chunk, 0, size, lambda ts: ts + 10**12):
        made.run(block.rows, block.first, block.last, block.between, views)
    bids = slow(chunk)[1] * 1000.0
    shown = views["known"] == 1  # what is at random may cross, and is then not shown
    assert shown.sum() > 10
    assert np.allclose(views["bids"][shown, 0], bids[shown], rtol=1e-12, equal_nan=True)
