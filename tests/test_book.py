"""The order book against a slow one made of dictionaries, at every width of its window."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.market.book import (
    ADDED,
    CANCELLED,
    PENDING,
    SHOWN,
    TRADED,
    book,
    counted_at,
    depth,
    look,
    size_at,
)  # fmt: skip
from nexus_core.market.events import (
    AGAIN,
    BREAK,
    BUY,
    CLEAR,
    DEPTH,
    EVENT,
    LAST,
    LEVEL,
    SELL,
    SNAPSHOT,
    TRADE,
    unknown,
)  # fmt: skip

LOOP = """
def entry(events, states, views):
    state = states[0]
    for i in range(events.size):
        push(state, events[i])
        if views.size > 0:
            look(state, views[i])
"""
PLAY = compile.entry("book_test", LOOP, {"push": depth.push, "look": look})
ASK = compile.entry("book_ask", "def entry(states, side, price):\n    return at(states[0], side, price)\n",
                    {"at": size_at})  # fmt: skip
COUNTED = compile.entry(
    "book_counts", "def entry(states, side, price, what):\n    return at(states[0], side, price, what)\n",
    {"at": counted_at},
)  # fmt: skip


class Slow:
    """A book as one would write it first."""

    def __init__(self):
        self.sides, self.known, self.filling = {BUY: {}, SELL: {}}, False, False

    def push(self, event):
        kind = event["kind"]
        if kind == CLEAR:
            self.sides, self.known = {BUY: {}, SELL: {}}, bool(event["flags"] & LAST)
        elif kind == BREAK:
            self.known = False
        elif kind == LEVEL and (self.known or event["flags"] & SNAPSHOT):
            levels = self.sides[int(event["side"])]
            levels.pop(float(event["price"]), None)
            if event["size"] > 0:
                levels[float(event["price"])] = float(event["size"])
            self.known = self.known or bool(event["flags"] & LAST)

    def top(self, side):
        levels = self.sides[side]
        best = sorted(levels, reverse=side == BUY)[:DEPTH]
        return [(price, levels[price]) for price in best]


def event(kind, side=0, price=0.0, size=0.0, flags=LAST, number=0):
    made = np.zeros(1, EVENT)
    made[["kind", "side", "price", "size", "flags", "id"]] = kind, side, price, size, flags, number
    return made


def snapshot(bids, asks, number=1):
    parts = [event(CLEAR, flags=SNAPSHOT, number=number)]
    parts += [event(LEVEL, BUY, *each, SNAPSHOT, number) for each in bids]
    parts += [event(LEVEL, SELL, *each, SNAPSHOT, number) for each in asks]
    parts[-1]["flags"] |= LAST
    return np.concatenate(parts)


def played(events, **options):
    options = {"window": 64, "beyond": 1024, **options}
    states, views = np.array([book(**options)]), unknown(len(events))
    compile.call(PLAY, events, states, views)
    return states, views


def shown(view, side):
    prices, sizes = ("bids", "bid_sizes") if side == BUY else ("asks", "ask_sizes")
    return [(float(p), float(s)) for p, s in zip(view[prices], view[sizes], strict=True) if s > 0]


BIDS = [(100.0, 2.0), (99.5, 1.0), (98.0, 4.0)]
ASKS = [(100.5, 3.0), (101.0, 5.0)]


@pytest.mark.parametrize("tick", ["0.5", 0])
def test_a_snapshot_and_a_change(tick):
    change = [event(LEVEL, BUY, 100.0, 0.0, 0, 7), event(LEVEL, SELL, 100.5, 1.5, LAST, 7)]
    states, views = played(np.concatenate([snapshot(BIDS, ASKS), *change]), tick=tick)
    assert views["known"].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert shown(views[5], BUY) == BIDS
    assert shown(views[5], SELL) == ASKS
    assert shown(views[7], BUY) == BIDS[1:]
    assert shown(views[7], SELL) == [(100.5, 1.5), (101.0, 5.0)]
    state = states[0]
    assert (state["bid"], state["bid_size"], state["ask"], state["ask_size"]) == (99.5, 1.0, 100.5, 1.5)
    assert (state["last_id"], state["updates"], state["crossed"]) == (7, 2, 0)
    assert compile.call(ASK, states, BUY, 98.0) == 4.0
    assert compile.call(ASK, states, BUY, 100.0) == 0.0


def test_without_a_snapshot_it_is_unknown_and_says_how_much_it_left():
    states, views = played(np.concatenate([event(LEVEL, BUY, 100.0, 1.0)] * 3), tick="0.5")
    assert not views["known"].any()
    assert states[0]["ignored"] == 3
    assert np.isnan(states[0]["bid"])


def test_lost_updates_make_it_unknown_until_the_next_snapshot():
    lost = [event(BREAK), event(LEVEL, BUY, 100.0, 9.0)]
    states, views = played(
        np.concatenate([snapshot(BIDS, ASKS), *lost, snapshot(BIDS[1:], ASKS, 9)]), tick=0.5
    )
    assert views["known"].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert (states[0]["breaks"], states[0]["ignored"], states[0]["last_id"]) == (1, 1, 9)
    assert shown(views[-1], BUY) == BIDS[1:]


def test_a_crossed_book_is_marked_and_not_shown():
    states, views = played(np.concatenate([snapshot(BIDS, ASKS), event(LEVEL, BUY, 100.5, 1.0)]), tick="0.5")
    assert states[0]["crossed"] == 1
    assert views["known"][-1] == 0
    assert np.isnan(views["bids"][-1]).all()


def test_a_price_off_the_grid_is_counted_and_not_applied():
    states, views = played(np.concatenate([snapshot(BIDS, ASKS), event(LEVEL, BUY, 99.7, 1.0)]), tick="0.5")
    assert states[0]["off_grid"] == 1
    assert shown(views[-1], BUY) == BIDS


def gridded(tick, bids, asks):
    """Return a snapshot that tells the tick of prices."""
    made = snapshot(bids, asks)
    made["price"][0] = tick
    return made


@pytest.mark.parametrize("counters", [False, True])
def test_a_tick_the_feed_takes_back_holds_no_more(counters):
    fine = [(100.07, 2.0), (99.5, 1.0)]
    events = [gridded(0.5, BIDS, ASKS), gridded(0.0, fine, ASKS), gridded(0.01, fine, ASKS)]
    states, views = played(np.concatenate(events), counters=counters)
    ends = np.cumsum([len(each) for each in events]) - 1
    assert [shown(views[each], BUY) for each in ends] == [BIDS, fine, fine]
    assert states[0]["off_grid"] == 0


def test_a_tick_that_was_given_holds_where_the_feed_tells_none():
    states, views = played(np.concatenate([gridded(0.0, [(100.07, 1.0)], ASKS)]), tick="0.5")
    assert states[0]["off_grid"] == 1
    assert shown(views[-1], SELL) == ASKS


def test_with_another_tick_no_level_has_the_counts_of_another_price():
    first = [gridded(1.0, [(2.0, 1.0)], [(9.0, 1.0)]), event(TRADE, SELL, 2.0, 0.5)]
    again = gridded(0.5, [(1.0, 3.0)], [(9.0, 1.0)])  # 1.0 is the second step now, as 2.0 was
    states, _ = played(np.concatenate([*first, again]), counters=True)
    found = [compile.call(COUNTED, states, BUY, 1.0, what) for what in range(5)]
    assert found == [0.0, 0.0, 0.0, 0.0, 3.0]


@pytest.mark.parametrize("tick", ["0.5", 0])
@pytest.mark.parametrize(("price", "size"), [
    (100.0, np.nan), (100.0, -1.0), (100.0, np.inf), (np.nan, 1.0), (np.inf, 1.0), (-np.inf, 1.0),
])  # fmt: skip
def test_what_is_no_price_or_no_size_changes_no_level(tick, price, size):
    spoilt = [event(LEVEL, BUY, price, size), event(LEVEL, BUY, 100.0, 7.0)]
    states, views = played(np.concatenate([snapshot(BIDS, ASKS), *spoilt]), tick=tick)
    assert states[0]["off_grid"] == 1
    assert shown(views[-1], BUY) == [(100.0, 7.0), *BIDS[1:]]
    assert states[0]["levels"].tolist() == [3, 2]


def test_of_too_many_levels_the_farthest_are_dropped_and_counted():
    bids = [(1000.0 - n, 1.0 + n) for n in range(100)]
    for tick in (0, "1"):
        states, views = played(snapshot(bids, [(2000.0, 1.0)]), tick=tick, window=64, beyond=8)
        kept = 8 if tick == 0 else 8 + 64 - 64 // 8
        assert states[0]["dropped"] == 100 - kept
        assert states[0]["levels"].tolist() == [kept, 1]
        assert shown(views[-1], BUY) == (bids[:DEPTH] if kept > 8 else bids[:8])


@pytest.mark.parametrize("tick", ["0.5", 0])
def test_counts_tell_trades_from_cancels(tick):
    moves = [
        event(TRADE, SELL, 100.0, 0.5),
        event(LEVEL, BUY, 100.0, 1.5),  # the trade explains it
        event(LEVEL, BUY, 100.0, 1.0),  # half a unit went
        event(TRADE, SELL, 100.0, 1.0),
        event(TRADE, SELL, 100.0, 9.0, LAST | AGAIN),  # told before
        event(LEVEL, BUY, 100.0, 1.0),  # eaten and refilled
        event(LEVEL, BUY, 100.0, 6.0),
        event(TRADE, SELL, 100.0, 0.25),
    ]
    states, _ = played(np.concatenate([snapshot(BIDS, ASKS), *moves]), tick=tick, counters=True)
    found = {what: compile.call(COUNTED, states, BUY, 100.0, what) for what in range(5)}
    assert found == {ADDED: 6.0, CANCELLED: 0.5, TRADED: 1.75, PENDING: 0.25, SHOWN: 6.0}


def test_prices_are_the_ones_the_venue_said():
    prices = [float(Fraction(n, 10)) for n in range(617_000, 617_200)]
    states, views = played(snapshot([(each, 1.0) for each in prices], [(70_000.1, 1.0)]), tick="0.1")
    assert shown(views[-1], BUY) == [(each, 1.0) for each in reversed(prices[-DEPTH:])]
    assert states[0]["bid"] == 61719.9


@st.composite
def streams(draw):
    """A market that walks, and changes near and far from its touch; snapshots and breaks between."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    reach, drift = draw(st.sampled_from([5, 40, 400])), draw(st.sampled_from([0, 1, 30]))
    middle, events = 10_000, [snapshot([(4999.5, 1.0)], [(5000.5, 2.0)])]
    for number in range(draw(st.integers(1, 300))):
        middle = max(middle + int(random.integers(-drift, drift + 1)), 2 * reach)
        side = BUY if random.random() < 0.5 else SELL
        price = (middle - side * int(random.integers(1, reach))) / 2
        size = float(random.integers(1, 9)) if random.random() < 0.6 else 0.0
        events.append(event(LEVEL, side, price, size, LAST if random.random() < 0.7 else 0, number))
        if random.random() < 0.01:
            events.append(event(BREAK))
        if random.random() < 0.02:
            events.append(snapshot([(middle / 2 - 0.5, 1.0)], [(middle / 2 + 0.5, 2.0)], number))
    return np.concatenate(events)


@settings(max_examples=60, deadline=None)
@given(streams(), st.sampled_from([("0.5", 64), ("0.5", 1024), (0, 64)]), st.booleans())
def test_it_is_the_slow_book(events, kind, counters):
    tick, window = kind
    states, views = played(events, tick=tick, window=window, beyond=1024, counters=counters)
    slow = Slow()
    for each, view in zip(events, views, strict=True):
        slow.push(each)
        bids, asks = slow.top(BUY), slow.top(SELL)
        if each["flags"] & LAST and slow.known and not (bids and asks and bids[0][0] >= asks[0][0]):
            assert view["known"] == 1
            assert shown(view, BUY) == bids
            assert shown(view, SELL) == asks
    assert states[0]["levels"].tolist() == [len(slow.sides[BUY]), len(slow.sides[SELL])]


@settings(max_examples=20, deadline=None)
@given(streams(), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_it_is_the_same_in_pieces_and_after_a_restore(events, cuts):
    whole, views = played(events, tick="0.5", window=64, counters=True)
    states, at = np.array([book("0.5", window=64, beyond=1024, counters=True)]), 0
    for size in [*cuts, len(events)]:
        part = events[at : at + size]
        found = unknown(len(part))
        compile.call(PLAY, part, states, found)
        assert found.tobytes() == views[at : at + size].tobytes()
        states, at = np.frombuffer(states.tobytes(), states.dtype).copy(), at + len(part)
    assert states.tobytes() == whole.tobytes()
