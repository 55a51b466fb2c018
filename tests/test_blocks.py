"""Chunks and blocks: every row once, in the order of time, whatever the cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.errors import DataError
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.records import ROW, empty

NEVER = 2**62


def chunk_of(*times):
    """Make a chunk in which symbol s has rows at `times[s]`."""
    rows = empty(ROW, sum(len(each) for each in times))
    rows["ts"] = np.concatenate([np.asarray(each, np.int64) for each in times]) if len(rows) else []
    rows["symbol"] = np.repeat(np.arange(len(times)), [len(each) for each in times])
    return Chunk(rows, np.cumsum([0, *(len(each) for each in times)]))


def slow_order(chunk):
    keys = list(zip(chunk.rows["ts"].tolist(), chunk.rows["symbol"].tolist(), strict=True))
    return sorted(range(len(keys)), key=keys.__getitem__)


times = st.lists(st.sets(st.integers(1, 40), max_size=25).map(sorted), min_size=1, max_size=4)


@given(times)
def test_the_order_is_by_time_and_then_by_symbol(given_times):
    chunk = chunk_of(*given_times)

    assert chunk.order.tolist() == slow_order(chunk)
    assert chunk.times.tolist() == sorted(set().union(*given_times))
    assert chunk.ticks == len(chunk.times)


@given(times, st.integers(1, 50), st.lists(st.integers(1, 60), max_size=5).map(sorted), st.integers(1, 30))
def test_blocks_hold_every_row_once_and_whole_ticks(given_times, size, stops, grid):
    chunk = chunk_of(*given_times)
    cut = list(blocks(chunk, 10, size, lambda ts: -(-ts // grid) * grid, stops))

    assert [i for block in cut for i in block.order.tolist()] == slow_order(chunk)
    assert [ts for block in cut for ts in block.times.tolist()] == chunk.times.tolist()
    assert [block.tick for block in cut] == [10 + int(np.searchsorted(chunk.times, b.times[0])) for b in cut]
    for block in cut:
        by_symbol = [i for s in range(len(given_times)) for i in range(block.first[s], block.last[s])]
        assert sorted(by_symbol) == sorted(block.order.tolist())
        assert 1 <= len(block.times) <= size
        assert len({-(-int(ts) // grid) for ts in block.times}) == 1, "a block reaches across an edge"
    begins = {block.tick for block in cut}
    assert {stop for stop in stops if 10 < stop < 10 + chunk.ticks} <= begins


def test_a_tick_on_an_edge_is_the_last_of_its_epoch():
    cut = blocks(chunk_of([9, 10, 11]), 0, 99, lambda ts: -(-ts // 10) * 10)

    assert [block.times.tolist() for block in cut] == [[9, 10], [11]]


def test_a_symbol_without_rows_and_one_row_are_fine():
    (block,) = blocks(chunk_of([], [5]), 0, 8, lambda _: NEVER)

    assert (block.first.tolist(), block.last.tolist(), block.order.tolist()) == ([0, 0], [0, 1], [0])
    assert list(blocks(chunk_of([]), 0, 8, lambda _: NEVER)) == []


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("wrong", [[5, 5], [6, 5]])
def test_rows_out_of_place_are_refused_by_number(symbols, wrong):
    others = [[4]] * (symbols - 1)
    with pytest.raises(DataError, match=r"row \d+ of a chunk is out of place"):
        chunk_of(*others, wrong)


@pytest.mark.parametrize("symbols", [1, 2])
def test_a_row_of_another_symbol_is_refused(symbols):
    rows = empty(ROW, symbols)
    rows["ts"], rows["symbol"] = 7, 5
    with pytest.raises(DataError, match="out of place"):
        Chunk(rows, np.arange(symbols + 1))


def test_other_records_than_market_rows_are_refused():
    with pytest.raises(DataError, match="not market rows"):
        Chunk(np.zeros(3), np.array([0, 3]))


def test_rows_that_lie_apart_are_laid_together():
    rows = empty(ROW, 6)
    rows["ts"] = np.arange(6)
    chunk = Chunk(rows[::2], np.array([0, 3]))

    assert chunk.rows.flags["C_CONTIGUOUS"]
    assert chunk.times.tolist() == [0, 2, 4]


# -- against the words, one tick at a time ----------------------------------------------------------


def slow_blocks(given_times, tick, size, edge, stops):
    """Cut one tick at a time: at full size, where an epoch ends, and at stops."""
    made = []
    for number, ts in enumerate(sorted(set().union(*given_times)), tick):
        if not made or len(made[-1]) == size or ts > edge(made[-1][0][1]) or number in stops:
            made.append([])
        made[-1].append((number, ts))
    return made


any_times = st.lists(st.sets(st.integers(-40, 40), max_size=30).map(sorted), min_size=1, max_size=5)
any_stops = st.lists(st.integers(0, 150), max_size=6).map(sorted)


@given(any_times, st.integers(0, 50), st.integers(1, 90), st.integers(1, 100), any_stops)
def test_blocks_are_cut_as_the_slow_definition_cuts_them(given_times, tick, size, grid, stops):
    def edge(ts):
        return -(-ts // grid) * grid

    chunk = chunk_of(*given_times)
    cut = list(blocks(chunk, tick, size, edge, stops))
    wanted = slow_blocks(given_times, tick, size, edge, stops)

    assert [list(enumerate(block.times.tolist(), block.tick)) for block in cut] == wanted
    ends = chunk.starts[:-1].tolist()
    for block, ticks in zip(cut, wanted, strict=True):
        assert block.first.tolist() == ends, "a block begins where the one before it ended"
        ends, within = block.last.tolist(), {ts for _, ts in ticks}
        for s, (first, last) in enumerate(zip(block.first, block.last, strict=True)):
            assert block.rows["ts"][first:last].tolist() == [ts for ts in given_times[s] if ts in within]
    assert not cut or ends == chunk.starts[1:].tolist()


@pytest.mark.parametrize(
    ("stops", "firsts"),
    [((), [5]), ((0, 5), [5]), ((6,), [5, 6]), ((7, 7, 9), [5, 7, 9]), ((10,), [5]), ((4, 8, 99), [5, 8])],
)
def test_a_block_begins_at_each_stop(stops, firsts):
    cut = blocks(chunk_of(range(5)), 5, 99, lambda _: NEVER, stops)

    assert [block.tick for block in cut] == firsts


def test_an_edge_in_a_gap_cuts_there():
    cut = blocks(chunk_of([8, 9, 35, 36], [9]), 0, 99, lambda ts: -(-ts // 10) * 10)

    assert [block.times.tolist() for block in cut] == [[8, 9], [35, 36]]


def test_a_block_copies_no_rows():
    chunk = chunk_of([1, 2, 3], [2])
    for block in blocks(chunk, 0, 2, lambda _: NEVER):
        assert block.rows is chunk.rows
        assert np.shares_memory(block.order, chunk.order)


# -- the row that is named --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_times", "row"),
    [
        ([[1, 2, 2]], 2),
        ([[1, 3, 2]], 2),
        ([[5, 4]], 1),
        ([[1, 2], [3, 4, 4]], 4),
        ([[1, 2, 9], [3, 8, 7]], 5),
        ([[3, 1], [1, 2]], 1),
    ],
)
def test_a_row_not_after_the_one_before_it_is_named(given_times, row):
    with pytest.raises(
        DataError, match=rf"^row {row} of a chunk is out of place: .* strictly rising time\. Sort"
    ):
        chunk_of(*given_times)


@pytest.mark.parametrize(
    ("symbols", "row"), [([0, 0, 1, 1, 2], 2), ([1], 0), ([0, -1], 1), ([0, 0, 0, 5], 3)]
)
def test_a_row_of_another_symbol_is_named(symbols, row):
    rows = empty(ROW, len(symbols))
    rows["ts"], rows["symbol"] = range(len(symbols)), symbols
    with pytest.raises(DataError, match=rf"^row {row} of a chunk is out of place"):
        Chunk(rows, np.array([0, len(rows)]))


def test_a_row_of_another_symbol_is_named_among_several():
    rows = chunk_of([1, 2, 3], [1, 2, 3]).rows.copy()
    rows["symbol"][4] = 0
    with pytest.raises(DataError, match=r"^row 4 of a chunk is out of place"):
        Chunk(rows, np.array([0, 3, 6]))


@given(any_times, st.data())
def test_any_two_rows_of_a_symbol_changed_over_are_found(given_times, data):
    chunk = chunk_of(*given_times)
    pairs = [i for i in range(len(chunk.rows) - 1) if chunk.rows["symbol"][i] == chunk.rows["symbol"][i + 1]]
    if not pairs:
        return
    at, rows = data.draw(st.sampled_from(pairs)), chunk.rows.copy()
    rows["ts"][[at, at + 1]] = rows["ts"][[at + 1, at]]
    with pytest.raises(DataError, match=rf"^row {at + 1} of a chunk is out of place"):
        Chunk(rows, chunk.starts)


def test_the_end_of_all_time_is_no_time():
    with pytest.raises(DataError, match=r"^row 1 of a chunk is out of place"):
        chunk_of([1], [np.iinfo(np.int64).max])


@pytest.mark.parametrize("starts", [[0, 2], [0, 4], [1, 3], [0, 2, 1, 3], [0, -1, 3], [3, 3]])
def test_starts_that_do_not_fit_the_rows_are_refused(starts):
    with pytest.raises(DataError) as told:
        Chunk(chunk_of(range(3)).rows, np.array(starts))
    assert str(told.value) == f"a chunk's starts were {starts}. They rise from 0 to the 3 rows it has."
