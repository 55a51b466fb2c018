"""The same market however it is asked for, and the same for ever."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_synthetic import LAW, START, Generator

from nexus_core import compile
from nexus_core.errors import ConfigError, UsageError
from nexus_core.market.blocks import Chunk
from nexus_core.records import ROW

BARS = 1200  # more than one pass of the loop

COLUMNS = (
    "ts", "seq", "symbol", "flags", "open", "high", "low", "close", "volume", "bid", "ask",
    "bid_size", "ask_size", "buy_volume", "sell_volume", "trades",
    "session_id", "minute_of_session", "minutes_to_close",
)  # fmt: skip


def fingerprint(rows):
    digest = hashlib.sha256()
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(rows[name]).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def whole():
    return Generator(7, 2).take(BARS)[0].reshape(2, BARS)


def test_the_law_is_frozen():
    rows, _ = Generator(seed=7, symbols=2).take(10_000)
    assert LAW == 1
    assert fingerprint(rows) == "ab817b06a3e771d21d2ecf632319dca4c4690fa43b0388cb8c40566aa7c38d42"


def test_every_column_of_a_row_is_written():
    assert ROW.names == COLUMNS
    assert sum(ROW[name].itemsize for name in COLUMNS) == ROW.itemsize  # no byte is left as it was found


def test_compiled_and_plain_give_the_same_bits(whole):
    code = (
        "import sys, nexus_synthetic as n;"
        "rows, _, truth = n.Generator(7, 2).take_with_truth(300);"
        "sys.stdout.buffer.write(rows.tobytes() + truth.tobytes())"
    )
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1"}
    done = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, check=True)
    rows, _, truth = Generator(7, 2).take_with_truth(300)
    assert done.stdout == rows.tobytes() + truth.tobytes()


@settings(deadline=None, max_examples=20 if compile.JIT else 3)
@given(
    cuts=st.lists(st.integers(0, BARS), max_size=6), skipped=st.lists(st.booleans(), min_size=7, max_size=7)
)
def test_rows_do_not_depend_on_how_they_are_asked_for(whole, cuts, skipped):
    generator, edges = Generator(7, 2), [0, *sorted(cuts), BARS]
    for first, last, skip in zip(edges, edges[1:], skipped, strict=False):
        assert generator.tick == first
        if skip:
            generator.skip(last - first)
        else:
            rows, starts = generator.take(last - first)
            assert starts.tolist() == [0, last - first, 2 * (last - first)]
            assert rows.tobytes() == whole[:, first:last].tobytes()


def test_a_symbol_does_not_depend_on_how_many_there_are(whole):
    for symbols in (1, 3, 5):
        rows = Generator(7, symbols).take(300)[0].reshape(symbols, 300)
        for name in set(ROW.names) - {"seq"}:
            both = min(symbols, 2)
            assert (rows[name][:both] == whole[name][:both, :300]).all()
        assert sorted(rows["seq"].ravel()) == list(range(300 * symbols))
        assert (rows["seq"] // symbols == np.arange(300)).all()


def test_truth_changes_no_row(whole):
    rows, starts, truth = Generator(7, 2).take_with_truth(300)
    assert rows.tobytes() == whole[:, :300].tobytes()
    assert starts.tolist() == [0, 300, 600]
    assert set(np.unique(truth["regime"])) <= {0, 1, 2, 3}


def test_seeds_and_symbols_differ(whole):
    other = Generator(8, 2).take(300)[0].reshape(2, 300)
    moves = [np.diff(np.log(each["close"][:300])) for each in (*whole, *other)]
    correlation = np.corrcoef(moves)
    assert abs(correlation[0, 2]) < 0.3
    assert 0.1 < correlation[0, 1] < 0.9
    assert len({fingerprint(Generator(seed, 1).take(5)[0]) for seed in (0, 1, 2**63, 2**64 - 1)}) == 4


def test_the_first_bar_closes_one_interval_after_the_start(whole):
    assert np.datetime64(int(whole["ts"][0, 0]), "ns") == np.datetime64("2026-01-01T00:01")
    rows, _ = Generator(1, 1, interval=5 * 10**9, start=START + 10**9).take(2)
    assert (rows["ts"] - START).tolist() == [6 * 10**9, 11 * 10**9]


def test_rows_make_a_chunk(whole):
    chunk = Chunk(*Generator(7, 2).take(100))
    assert chunk.ticks == 100
    assert (chunk.times == whole["ts"][0, :100]).all()


def test_none_can_be_taken():
    generator = Generator(1, 2)
    rows, starts = generator.take(0)
    assert (len(rows), starts.tolist(), generator.tick) == (0, [0, 0, 0], 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, r"seed was -1; it is a whole number from 0 to 2\*\*64 - 1"),
        ({"seed": 2**64}, "seed was 18446744073709551616"),
        ({"symbols": 0}, "symbols was 0; it takes at least one"),
        ({"interval": 0}, "interval was 0 ns; it is from 1 ns to 7 days"),
        ({"interval": 7 * 86_400 * 10**9 + 1}, "interval was 604800000000001 ns"),
        ({"start": -1}, "start was -1; it is in nanoseconds from 1970 on"),
        ({"price_ticks": [1]}, "price_ticks were 1; each of 2 symbols needs one"),
        ({"price_ticks": [1, 0]}, r"price_ticks were \[1, 0\]; each is from 1 to 10\*\*13"),
        ({"price_ticks": [1, 10**13 + 1]}, r"price_ticks were \[1, 10000000000001\]"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong, message):
    with pytest.raises(ConfigError, match=f"synthetic market: {message}"):
        Generator(**{"seed": 1, "symbols": 2, **wrong})


def test_time_ends_where_nanoseconds_do():
    week = 7 * 86_400 * 10**9
    last = (2**63 - 1 - START) // week
    generator = Generator(1, 1, interval=week)
    generator.skip(last - 1)
    generator.take(1)
    for ask in (generator.take, generator.skip):
        with pytest.raises(UsageError, match="beyond the year 2262"):
            ask(1)
        with pytest.raises(UsageError, match="-1 ticks were asked for"):
            ask(-1)
