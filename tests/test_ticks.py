"""The tick builder: every bar once, in time or late, whoever comes when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.errors import DataError
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.loops import StrategyLoop
from nexus_core.market.ticks import AHEAD, GRACE, Ticks
from nexus_core.records import ABSENT, LATE, ROW, empty
from nexus_core.strategy import Strategy
from nexus_core.types import ns

MS = 1_000_000
MINUTE = 60_000 * MS
START = ns("2026-03-02")


def bar(symbol, n, seq=0):
    """Make the bar of a symbol that ends n minutes after the start."""
    row = empty(ROW, 1)
    row["ts"], row["symbol"], row["seq"], row["close"] = START + n * MINUTE, symbol, seq, 100.0 + seq
    return row


def at(n, ms=0):
    return START + n * MINUTE + ms * MS


def seen(chunks):
    """Return of each chunk its minute, the symbols in time, and minute and symbol of those that are late."""
    return [
        (
            (int(chunk.times[0]) - START) // MINUTE,
            chunk.rows["symbol"].tolist(),
            [((int(row["ts"]) - START) // MINUTE, int(row["symbol"])) for row in chunk.late],
        )
        for chunk in chunks
    ]


def test_a_tick_closes_at_once_when_all_have_come():
    ticks = Ticks(2)
    assert ticks.take(bar(1, 1), at(1, 10)) == []
    assert ticks.due == at(1) + GRACE
    assert seen(ticks.take(bar(0, 1), at(1, 20))) == [(1, [0, 1], [])]
    assert ticks.due is None


def test_who_has_not_come_when_the_grace_ends_is_absent():
    ticks = Ticks(3, grace=750 * MS)
    ticks.take(bar(2, 1), at(1, 10))
    ticks.take(bar(0, 1), at(1, 749))
    assert ticks.close(at(1, 749)) == []
    assert seen(ticks.close(at(1, 750))) == [(1, [0, 2], [])]


@pytest.mark.parametrize(("arrives", "in_time"), [(749, True), (750, False), (900, False)])
def test_the_arrival_alone_decides_who_is_late(arrives, in_time):
    """Nobody asked for the tick to be closed before the bar came."""
    ticks = Ticks(3)
    ticks.take(bar(0, 1), at(1, 10))
    made = ticks.take(bar(1, 1), at(1, arrives)) + ticks.close(at(1, 5000))
    assert seen(made) == [(1, [0, 1] if in_time else [0], [])]
    assert len(ticks.late) == (0 if in_time else 1)


def test_a_late_bar_travels_with_the_next_tick_and_keeps_its_values():
    ticks = Ticks(2)
    ticks.take(bar(0, 1, seq=1), at(1, 10))
    ticks.take(bar(1, 1, seq=2), at(1, 800))
    ticks.take(bar(0, 2, seq=3), at(2, 5))
    (chunk,) = ticks.take(bar(1, 2, seq=4), at(2, 6))
    assert seen([chunk]) == [(2, [0, 1], [(1, 1)])]
    assert chunk.late["flags"].tolist() == [LATE]
    assert chunk.late["close"].tolist() == [102.0]
    assert chunk.rows["flags"].tolist() == [0, 0]


def test_a_bar_of_an_instant_at_which_nobody_came_in_time_is_late_too():
    ticks = Ticks(2)
    assert ticks.close(at(1, 750)) == []
    ticks.take(bar(0, 1), at(1, 751))
    assert seen(ticks.take(bar(0, 2), at(2)) + ticks.close(at(3))) == [(2, [0], [(1, 0)])]


def test_a_whole_tick_waits_for_an_earlier_one_that_may_become_whole():
    ticks = Ticks(2, grace=2 * MINUTE)
    ticks.take(bar(0, 1), at(1, 1))
    assert ticks.take(np.concatenate([bar(0, 2), bar(1, 2)]), at(2, 1)) == []
    assert seen(ticks.take(bar(1, 1), at(2, 2))) == [(1, [0, 1], []), (2, [0, 1], [])]


def test_a_second_bar_of_an_instant_is_late_and_comes_after_the_first():
    ticks = Ticks(2)
    ticks.take(bar(0, 1, seq=1), at(1, 1))
    ticks.take(bar(0, 1, seq=2), at(1, 2))
    (first,) = ticks.close(at(1, 800))
    assert (first.rows["seq"].tolist(), len(first.late)) == ([1], 0)
    (second,) = [*ticks.take(bar(0, 2, seq=3), at(2, 1)), *ticks.close(at(3))]
    assert (second.late["seq"].tolist(), second.rows["seq"].tolist()) == ([2], [3])


def test_a_clock_that_goes_back_makes_nobody_earlier():
    ticks = Ticks(2)
    ticks.close(at(1, 800))
    ticks.take(bar(0, 1), at(1, 10))
    assert ticks.now == at(1, 800)
    assert len(ticks.late) == 1


def test_at_the_end_open_ticks_are_handed_on_as_they_are():
    ticks = Ticks(2)
    ticks.take(np.concatenate([bar(0, 1), bar(1, 2)]), at(1))
    assert seen(ticks.finish()) == [(1, [0], []), (2, [1], [])]
    assert ticks.finish() == []


def test_rows_that_were_taken_are_copies():
    ticks, row = Ticks(1), bar(0, 1)
    ticks.close(at(5))
    ticks.take(row, at(5))
    assert row["flags"][0] == 0


@pytest.mark.parametrize("wrong", [bar(2, 1), bar(-1, 1), bar(0, 3)])
def test_a_bar_that_cannot_be_is_refused_and_changes_nothing(wrong):
    ticks = Ticks(2)
    ticks.take(bar(0, 1), at(1, 1))
    with pytest.raises(DataError, match=r"a bar of symbol -?\d \(of 2, from 0\) that ends at .* came at"):
        ticks.take(np.concatenate([bar(1, 1), wrong]), at(1, 5))
    assert (ticks.now, ticks.due) == (at(1, 1), at(1) + GRACE)
    assert at(3) > at(1, 5) + AHEAD


# -- any pattern of arrivals ----------------------------------------------------------------------

SYMBOLS = 3
arrivals = st.lists(
    # symbol, minute of the bar, delay in ms: in time, at the edge, late by little and by minutes
    st.tuples(
        st.integers(0, SYMBOLS - 1),
        st.integers(1, 6),
        st.one_of(st.integers(-2000, 800), st.sampled_from([749, 750, 751]), st.integers(0, 200_000)),
    ),
    max_size=25,
)


def in_order(pattern):
    """Return rows with the times they arrive at, in the order of arrival."""
    arrived = sorted((at(n, delay), symbol, n) for symbol, n, delay in pattern)
    return [(bar(symbol, n, seq), when) for seq, (when, symbol, n) in enumerate(arrived)]


def played(pairs, asked=()):
    """Return the chunks of rows that arrive, if the builder is asked to close at some times as well."""
    ticks, made = Ticks(SYMBOLS), []
    for when, row in sorted(
        [*((when, row) for row, when in pairs), *((when, None) for when in asked)], key=_first
    ):
        made += ticks.close(when) if row is None else ticks.take(row, when)
    return ticks, made + ticks.finish()


def _first(pair):
    return pair[0]


def plain(chunks):
    return [(chunk.rows.tobytes(), chunk.starts.tolist(), chunk.late.tobytes()) for chunk in chunks]


@given(arrivals)
def test_each_row_is_handed_on_once(pattern):
    pairs = in_order(pattern)
    ticks, chunks = played(pairs)
    rows = [seq for chunk in chunks for part in (chunk.late, chunk.rows) for seq in part["seq"].tolist()]
    assert sorted(rows + ticks.late["seq"].tolist()) == list(range(len(pairs)))
    times = [int(chunk.times[0]) for chunk in chunks]
    assert times == sorted(set(times)), "ticks follow each other in time"
    assert all(chunk.ticks == 1 for chunk in chunks)


@given(arrivals)
def test_only_rows_in_time_decide_and_late_ones_are_older(pattern):
    pairs = in_order(pattern)
    came = {int(row["seq"][0]): when for row, when in pairs}
    ticks, chunks = played(pairs)
    for chunk in chunks:
        assert (chunk.rows["flags"] & LATE == 0).all()
        assert all(came[int(row["seq"])] < int(row["ts"]) + GRACE for row in chunk.rows)
        assert (chunk.late["flags"] & LATE != 0).all()
        assert (chunk.late["ts"] < chunk.times[0]).all()
    late = {int(seq) for each in [*(c.late for c in chunks), ticks.late] for seq in each["seq"]}
    for row, when in pairs:
        if when >= int(row["ts"][0]) + GRACE:
            assert int(row["seq"][0]) in late


@given(arrivals)
def test_a_bar_that_keeps_its_time_is_late_only_where_its_tick_is_whole(pattern):
    pairs = in_order(pattern)
    ticks, chunks = played(pairs)
    whole = [int(chunk.times[0]) for chunk in chunks if len(chunk.rows) == SYMBOLS]
    first = {}
    for row, _ in pairs:
        first.setdefault((int(row["symbol"][0]), int(row["ts"][0])), int(row["seq"][0]))
    late = {int(seq) for each in [*(c.late for c in chunks), ticks.late] for seq in each["seq"]}
    for row, when in pairs:
        ts, seq = int(row["ts"][0]), int(row["seq"][0])
        if seq in late and when < ts + GRACE and first[int(row["symbol"][0]), ts] == seq:
            assert any(ts <= closed for closed in whole)


@given(arrivals, st.lists(st.integers(0, 500_000).map(lambda ms: at(0, ms)), max_size=10))
def test_a_replay_of_rows_and_arrivals_equals_the_live_session(pattern, asked):
    """Live asks for ticks to close whenever it likes; the replay knows who came when, and nothing else."""
    pairs = in_order(pattern)
    live, chunks = played(pairs, asked)
    again, replayed = played(pairs)
    assert plain(replayed) == plain(chunks)
    assert again.late.tobytes() == live.late.tobytes()


@given(arrivals, st.lists(st.integers(0, 500_000).map(lambda ms: at(0, ms)), min_size=1, max_size=5))
def test_also_where_the_clock_went_back(pattern, asked):
    ticks, chunks, recorded = Ticks(SYMBOLS), [], []
    for n, (row, when) in enumerate(in_order(pattern)):
        if n % 3 == 0:
            chunks += ticks.close(max(asked[n // 3 % len(asked)], when))  # ahead of what comes next
        chunks += ticks.take(row, when)
        recorded.append((row, ticks.now))
    _, replayed = played(recorded)
    assert plain(replayed) == plain(chunks + ticks.finish())


# -- late rows in chunks and blocks ---------------------------------------------------------------


def chunk_with(late, minutes=(5, 6, 7)):
    rows = np.concatenate([bar(symbol, n) for symbol in range(2) for n in minutes])
    return Chunk(rows, np.array([0, len(minutes), 2 * len(minutes)]), late=late)


def flagged(*pairs):
    late = np.concatenate([bar(symbol, n) for symbol, n in pairs])
    late["flags"] = LATE
    return late


@pytest.mark.parametrize("size", [1, 2, 64])
def test_late_rows_come_as_a_block_before_the_first_one(size):
    late = flagged((0, 3), (0, 4), (1, 1), (1, 4))
    first, *others = blocks(chunk_with(late), 10, size, lambda _: 2**62)
    block = first.late
    assert block.rows[block.order][["ts", "symbol"]].tolist() == [
        (at(1), 1),
        (at(3), 0),
        (at(4), 0),
        (at(4), 1),
    ]
    assert (block.first.tolist(), block.last.tolist()) == ([0, 2], [2, 4])
    assert (len(block.times), block.tick, block.late) == (0, 10, None)
    assert all(other.late is None for other in others)


class Total(Strategy):
    """Adds up closes in the order in which it sees them."""

    nexus_api = 1
    category = "test"

    @staticmethod
    def state(params):
        return {"total": 0.0}

    @staticmethod
    def step(row, state, params):
        state.total = state.total * 0.9 + row.close
        return 1, 0.5


def test_a_strategy_sees_late_rows_before_the_tick_at_any_block_size():
    late, told = flagged((0, 3), (0, 4), (1, 4)), []
    late["close"] = 7.0, 8.0, 9.0
    for size in (1, 2, 64):
        chunk, loop = chunk_with(late), StrategyLoop("total", Total(), 2)
        signals, scores = np.full(len(chunk.rows), ABSENT, np.int8), np.zeros(len(chunk.rows))
        for block in blocks(chunk, 0, size, lambda _: 2**62):
            for each in [block.late, block] if block.late else [block]:
                loop.run(each.rows, each.first, each.last, signals, scores)
        told.append((loop.states.tobytes(), signals.tobytes(), scores.tobytes()))
    assert told[0] == told[1] == told[2]
    assert loop.states["rows"].tolist() == [5, 4]
    expected = 0.0
    for close in (7.0, 8.0, 100.0, 100.0, 100.0):
        expected = expected * 0.9 + close
    assert loop.states["own"]["total"][0] == expected


def test_without_late_rows_there_is_no_such_block():
    assert all(each.late is None for each in blocks(chunk_with(empty(ROW, 0)), 0, 1, lambda _: 2**62))


@pytest.mark.parametrize(
    "late",
    [
        flagged((0, 5)),  # not older than the first tick
        flagged((1, 1), (0, 1)),
        flagged((0, 2), (0, 1)),
        flagged((2, 1)),
        flagged((-1, 1)),
        bar(0, 1),
    ],
)
def test_late_rows_out_of_place_are_refused(late):
    with pytest.raises(DataError, match="late rows are flagged LATE"):
        chunk_with(late)


def test_late_rows_need_a_tick_to_travel_with():
    with pytest.raises(DataError, match="late rows"):
        Chunk(empty(ROW, 0), np.zeros(3, np.int64), late=flagged((0, 1)))
