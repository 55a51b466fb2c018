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
