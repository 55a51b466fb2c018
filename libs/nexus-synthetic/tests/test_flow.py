"""What the events of the order flow tell is one true story, and the same however it is asked for."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_synthetic import FLOW_LAW, START, Flow, anchor, default_grid

from nexus_core import compile
from nexus_core.errors import ConfigError, UsageError
from nexus_core.market.book import book, depth
from nexus_core.market.events import BUY, CLEAR, EVENT, LAST, LEVEL, QUOTE, SNAPSHOT, TRADE

SECOND, MINUTE = 10**9, 60 * 10**9
SPAN = 40  # seconds
FROZEN = "543c65368881f3631c87ddfa3d916c5d389bc204563849d389923fd57ca08ac0"  # an hour of two symbols
FROZEN_SHORT = "942af09a150cfd8d53e51a595678eb1b52313d0f2804ab10c88c8c451f3379c5"  # two minutes
LONG = 1200 if compile.JIT else 60


def fingerprint(events):
    digest = hashlib.sha256()
    for name in EVENT.names:
        digest.update(np.ascontiguousarray(events[name]).tobytes())
    return digest.hexdigest()


def columns(events):
    return zip(*(events[name].tolist() for name in ("kind", "side", "price", "size", "flags")), strict=True)


class Book:
    """A book kept from events alone, which complains about each that cannot be."""

    def __init__(self):
        self.sides = {1: {}, -1: {}}
        self.due = None  # what a trade leaves at its price
        self.quote = {}
        self.traded = self.eaten = 0.0
        self.messages = 0

    def best(self, side):
        return max(self.sides[side]) if side > 0 else min(self.sides[side])

    def take(self, kind, side, price, size, flags):
        if self.due is not None:  # the rest of a level follows the trade at it
            assert (kind, side, price) == (LEVEL, *self.due[:2])
            assert size == pytest.approx(self.due[2], abs=1e-9)
            self.due = None
        if kind == CLEAR:
            self.sides, self.quote = {1: {}, -1: {}}, {}
        elif kind == LEVEL:
            self.level(side, price, size)
        elif kind == TRADE:
            assert price == self.best(-side)
            resting = self.sides[-side][price]
            assert 0 < size <= resting + 1e-9
            self.due = -side, price, resting - size
            self.traded += size
            self.eaten += resting
        else:
            assert kind == QUOTE
            assert (price, size) == (self.best(side), self.sides[side][self.best(side)])
            self.quote[side] = price, size
        if flags & LAST:
            self.end()

    def level(self, side, price, size):
        assert size >= 0
        if size > 0:
            self.sides[side][price] = size
        else:
            del self.sides[side][price]  # only what is there can go

    def end(self):
        assert self.due is None
        assert self.best(1) < self.best(-1)
        self.messages += 1


@pytest.fixture(
    scope="module", params=[(7, 1.0, False), (2**64 - 1, 5.0, False), (3, 0.2, False), (5, 1.0, True)]
)
def lived(request):
    seed, activity, plants = request.param
    flow = Flow(seed, 2, interval=SECOND, activity=activity, plants=plants, rate=60.0)
    return flow.take_with_truth(LONG)


def test_the_events_of_each_symbol_are_one_true_story(lived):
    events, starts, _ = lived
    for s in range(2):
        own = events[starts[s] : starts[s + 1]]
        assert (own["kind"][0], own["flags"][0]) == (CLEAR, SNAPSHOT)
        book, last = Book(), len(own) - 1
        for i, event in enumerate(columns(own)):
            book.take(*event)
            # a touch that moved is quoted at once, before anything else is told
            if event[4] & LAST and (i == last or own["kind"][i + 1] != QUOTE):
                for side in (1, -1):
                    best = book.best(side)
                    assert book.quote[side] == (best, book.sides[side][best])
        assert own["flags"][-1] & LAST
        assert book.traded > 0


def test_time_and_numbers_only_rise(lived):
    events, starts, _ = lived
    for s in range(2):
        own = events[starts[s] : starts[s + 1]]
        assert (np.diff(own["ts"]) >= 0).all()
        assert own["ts"][0] == START + 1
        assert own["ts"][-1] <= START + LONG * SECOND
        assert (own["seq"] == np.arange(len(own)) * 2 + s).all()
        assert (own["symbol"] == s).all()
        assert (own["local"] == 0).all()
        trades = own[own["kind"] == TRADE]
        assert (trades["id"] == np.arange(len(trades)) + 1).all()
        assert set(np.unique(trades["side"])) <= {-1, 1}


def test_a_message_is_of_one_instant_and_one_number(lived):
    events, starts, _ = lived
    own = events[: starts[1]]
    message = np.cumsum(np.concatenate([[0], own["flags"][:-1] & LAST]))
    for name, where in (("ts", own["kind"] > 0), ("id", own["kind"] != TRADE)):
        column, group = own[name][where], message[where]
        same = group[1:] == group[:-1]
        assert (column[1:][same] == column[:-1][same]).all(), name
    quotes = own[own["kind"] == QUOTE]
    assert quotes["side"].reshape(-1, 2).tolist() == [[1, -1]] * (len(quotes) // 2)
    assert (quotes["flags"].reshape(-1, 2) == [0, LAST]).all()


def test_what_was_traded_is_what_the_levels_lost(lived):
    events, starts, _ = lived
    own = events[: starts[1]]
    sizes, lost = {}, 0.0
    before = own["kind"][:-1] == TRADE
    for is_after, (kind, side, price, size, _) in zip([False, *before], columns(own), strict=True):
        if kind == LEVEL:
            lost += sizes.get((side, price), 0.0) - size if is_after else 0.0
            sizes[side, price] = size
    assert lost == pytest.approx(own["size"][own["kind"] == TRADE].sum(), rel=1e-9)


def test_prices_lie_on_the_grid_and_sizes_on_the_lot(lived):
    events, starts, _ = lived
    for s in range(2):
        own = events[starts[s] : starts[s + 1]]
        told = own[own["kind"] != CLEAR]
        whole = np.rint(told["price"] * 1e8 / default_grid(s))
        assert (told["price"] == whole * default_grid(s) / 1e8).all()
        assert abs(np.median(told["price"]) / anchor(s) - 1.0) < 0.05


def test_truth_has_each_second_and_the_price_keeps_to_it(lived):
    events, starts, hidden = lived
    for s in range(2):
        own, truth = events[starts[s] : starts[s + 1]], hidden[s * LONG : (s + 1) * LONG]
        assert (truth["ts"] == START + np.arange(LONG) * SECOND).all()
        assert (truth["volatility"] > 0).all()
        assert set(np.unique(truth["regime"])) <= {0, 1, 2, 3}
        quotes = own[own["kind"] == QUOTE]
        mids = quotes["price"].reshape(-1, 2).mean(axis=1)
        seen = mids[np.searchsorted(quotes["ts"][::2], truth["ts"][5:], "right") - 1]
        apart = np.abs(seen / truth["efficient"][5:] - 1.0) / truth["volatility"][5:]
        assert np.median(apart) < 6.0  # volatilities of a second


# -- the same market ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return Flow(7, 2, interval=SECOND).take(SPAN)


def pieces(flow, sizes):
    parts = [[], []]
    for size in sizes:
        events, starts = flow.take(size)
        for s in range(2):
            parts[s].append(events[starts[s] : starts[s + 1]])
    return np.concatenate([*parts[0], *parts[1]])


@settings(deadline=None, max_examples=15 if compile.JIT else 2)
@given(cuts=st.lists(st.integers(0, SPAN), max_size=6))
def test_events_do_not_depend_on_how_they_are_asked_for(whole, cuts):
    edges = [0, *sorted(cuts), SPAN]
    got = pieces(Flow(7, 2, interval=SECOND), np.diff(edges))
    assert got.tobytes() == whole[0].tobytes()


def test_the_law_is_frozen():
    events, _ = Flow(seed=7, symbols=2).take(60 if compile.JIT else 2)
    assert FLOW_LAW == 1
    assert fingerprint(events) == (FROZEN if compile.JIT else FROZEN_SHORT)


def test_an_interval_is_only_what_is_counted_in(whole):
    events, starts = Flow(7, 2, interval=10 * SECOND).take(SPAN // 10)
    assert events.tobytes() == whole[0].tobytes()
    assert starts.tolist() == whole[1].tolist()


def test_what_is_skipped_goes_by_unseen(whole):
    flow = Flow(7, 2, interval=SECOND)
    flow.skip(25)
    assert flow.tick == 25
    events, starts = flow.take(SPAN - 25)
    for s in range(2):
        own = whole[0][whole[1][s] : whole[1][s + 1]]
        late = own[own["ts"] > START + 25 * SECOND]
        assert events[starts[s] : starts[s + 1]].tobytes() == late.tobytes()


def test_a_snapshot_is_the_book_and_changes_nothing(whole):
    flow = Flow(7, 2, interval=SECOND)
    assert len(flow.snapshot()[0]) == 0
    events, starts = flow.take(25)
    told, at = flow.snapshot()
    for s in range(2):
        book = Book()
        for event in columns(events[starts[s] : starts[s + 1]]):
            book.take(*event)
        shot = told[at[s] : at[s + 1]]
        assert shot["kind"][0] == CLEAR
        assert (shot["flags"][:-3] == SNAPSHOT).all()
        levels = shot[shot["kind"] == LEVEL]
        for side in (1, -1):
            own = levels[levels["side"] == side]
            assert dict(zip(own["price"].tolist(), own["size"].tolist(), strict=True)) == book.sides[side]
            assert own["price"][0] == book.best(side)
    again, starts = flow.take(SPAN - 25)
    own = whole[0][: whole[1][1]]
    assert again[: starts[1]].tobytes() == own[own["ts"] > START + 25 * SECOND].tobytes()


def test_truth_changes_no_event(whole):
    events, _, _ = Flow(7, 2, interval=SECOND).take_with_truth(SPAN)
    assert events.tobytes() == whole[0].tobytes()


def test_a_symbol_does_not_depend_on_how_many_there_are(whole):
    for symbols in (1, 3):
        events, starts = Flow(7, symbols, interval=SECOND).take(SPAN)
        for s in range(min(symbols, 2)):
            own, same = events[starts[s] : starts[s + 1]], whole[0][whole[1][s] : whole[1][s + 1]]
            for name in set(EVENT.names) - {"seq"}:
                assert (own[name] == same[name]).all(), name


def test_compiled_and_plain_give_the_same_bits(whole):
    code = (
        "import sys, nexus_synthetic as n;"
        f"events, _, hidden = n.Flow(7, 2, interval=10**9).take_with_truth({SPAN});"
        "sys.stdout.buffer.write(events.tobytes() + hidden.tobytes())"
    )
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1"}
    done = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, check=True)
    events, _, hidden = Flow(7, 2, interval=SECOND).take_with_truth(SPAN)
    assert done.stdout == events.tobytes() + hidden.tobytes()


def test_seeds_and_activities_differ():
    made = {fingerprint(Flow(seed, 1, interval=SECOND).take(5)[0]) for seed in (0, 1, 2**63, 2**64 - 1)}
    assert len(made) == 4
    counts = [len(Flow(7, 1, activity=each).take(3)[0]) for each in (0.2, 1.0, 5.0)]
    assert counts[0] * 1.5 < counts[1]
    assert counts[1] * 2 < counts[2]


def test_a_price_tick_that_is_too_fine_is_used_in_steps():
    events, _ = Flow(7, 1, interval=SECOND, price_ticks=[1]).take(20)
    told = np.unique(events["price"][events["kind"] == LEVEL])
    assert np.diff(told).min() == pytest.approx(3.0)  # 60,000 / 20,000
    events, _ = Flow(7, 1, interval=SECOND, price_ticks=[10**13]).take(20)  # 100,000: far too coarse
    assert (np.unique(events["price"][events["kind"] != CLEAR]) % 100_000 == 0).all()


def test_none_can_be_taken():
    flow = Flow(1, 2)
    events, starts = flow.take(0)
    assert (len(events), starts.tolist(), flow.tick) == (0, [0, 0, 0], 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, r"seed was -1; it is a whole number from 0 to 2\*\*64 - 1"),
        ({"symbols": 0}, "symbols was 0; it takes at least one"),
        ({"interval": 10**8}, "interval was 100000000 ns; it is whole seconds, up to 7 days"),
        ({"interval": 8 * 86_400 * SECOND}, "interval was 691200000000000 ns"),
        ({"start": -1}, "start was -1; it is in nanoseconds from 1970 on"),
        ({"price_ticks": [1]}, "price_ticks were 1; each of 2 symbols needs one"),
        ({"price_ticks": [1, 0]}, r"price_ticks were \[1, 0\]; each is from 1 to 10\*\*13"),
        ({"rate": 0.0}, "rate was 0.0; it is above 0, up to 60 an hour"),
        ({"activity": 0.0}, "activity was 0.0; it is from 0.1 to 10"),
        ({"activity": float("nan")}, "activity was nan; it is from 0.1 to 10"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong, message):
    with pytest.raises(ConfigError, match=f"synthetic flow: {message}"):
        Flow(**{"seed": 1, "symbols": 2, **wrong})


def test_time_ends_where_nanoseconds_do():
    flow = Flow(1, 1, interval=SECOND, start=2**63 - 1 - 86_400 * SECOND - 2 * SECOND)
    flow.take(1)
    with pytest.raises(UsageError, match="beyond the year 2262"):
        flow.take(2)
    with pytest.raises(UsageError, match="-1 intervals were asked for"):
        flow.skip(-1)


_FOLLOW = """
def entry(states, events, seen):
    state = states[0]
    for i in range(events.size):
        event = events[i]
        push(state, event)
        if event.kind == QUOTE:
            price = state.bid if event.side == BUY else state.ask
            size = state.bid_size if event.side == BUY else state.ask_size
            seen[0] += 1
            seen[1] += int(state.known == 1 and price == event.price and size == event.size)
        seen[2] += state.crossed + state.ignored + state.dropped + state.off_grid
"""


def test_the_kernels_book_says_at_every_quote_what_the_quote_says(lived):
    events, starts, _ = lived
    follow = compile.entry("flow_follow", _FOLLOW, {"push": depth.push, "QUOTE": QUOTE, "BUY": BUY})
    empty = book()
    for s in range(2):
        states, seen = np.zeros(1, empty.dtype), np.zeros(3, np.int64)
        states[0] = empty
        compile.call(follow, states, events[starts[s] : starts[s + 1]], seen)
        assert seen[0] == seen[1] > 0
        assert seen[2] == 0
