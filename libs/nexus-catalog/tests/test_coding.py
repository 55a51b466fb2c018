"""Records through Parquet and back, bit for bit."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_catalog import coding
from nexus_catalog.splits import BEGIN, END

from nexus_core.errors import DataError
from nexus_core.market.events import EVENT, LEVEL, SELL
from nexus_core.records import ROW

FLOATS = [0.0, -0.0, 0.1 + 0.2, 1e-8, 5e-324, 1.7976931348623157e308, np.inf, -np.inf, np.nan, 2.0**53, 1e15]
WAYS = ("constant", "any", "counting", "decimals", "odd")


def back(data, record, symbol=0, after=BEGIN, to=END):
    """Return all that is decoded."""
    found = [each.copy() for each in coding.decode(data, record, symbol, after, to)]
    return np.concatenate(found) if found else np.empty(0, record)


def lane(kind, way, random, size):
    """Return values of a type: one value, any bits, counting up, decimals, or the odd ones."""
    if way == "counting":
        return (int(random.integers(-(2**30), 2**30)) + np.arange(size)).astype(kind)
    if way == "decimals":
        return (random.integers(-(10**9), 10**9, size) / 10 ** random.integers(0, 10)).astype(kind)
    if way == "odd" and kind.kind == "f":
        return random.choice(FLOATS, size)
    if way == "odd":
        return random.choice([np.iinfo(kind).min, 0, np.iinfo(kind).max], size).astype(kind)
    bits = np.frombuffer(random.bytes(size * kind.itemsize), kind)
    return np.full(size, bits[0]) if way == "constant" else bits


def filled(record, ways, seed, size):
    """Return records of one symbol in the order of time, with every other field in one of the ways."""
    random, made = np.random.default_rng(seed), np.zeros(size, record)
    for name, way in zip(record.names, ways, strict=False):
        made[name] = lane(record[name], way, random, size)
    made["ts"] //= 2  # the first of all times means before every time
    made["ts"].sort()
    made["symbol"] = 3
    return made


@settings(deadline=None)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # decimals cast into a byte
@given(
    st.sampled_from([ROW, EVENT]),
    st.lists(st.sampled_from(WAYS), min_size=19, max_size=19),
    st.integers(0, 2**32),
    st.integers(1, 40),
)
def test_every_field_comes_back_to_the_bit(record, ways, seed, size):
    made = filled(record, ways, seed, size)
    assert back(coding.encode(made), record, 3).tobytes() == made.tobytes()


@settings(deadline=None)
@given(st.data(), st.integers(1, 60))
def test_a_span_of_time_is_what_lies_in_it(data, size):
    made = np.zeros(size, EVENT)
    made["ts"] = sorted(data.draw(st.lists(st.integers(0, 30), min_size=size, max_size=size)))
    after, to = sorted(data.draw(st.tuples(st.integers(-1, 31), st.integers(-1, 31))))
    expected = [int(ts) for ts in made["ts"] if after < ts <= to]
    assert back(coding.encode(made), EVENT, 0, after, to)["ts"].tolist() == expected


def test_many_row_groups_are_one_run_of_rows():
    size = 2 * coding.GROUP + 17
    made = np.zeros(size, EVENT)
    made["ts"] = np.arange(size) // 3 * 7
    made["seq"] = np.arange(size) + 5
    made["price"] = np.rint(np.sin(np.arange(size)) * 1e4) / 100 + 50_000
    found = [each.copy() for each in coding.decode(coding.encode(made), EVENT, 0, BEGIN, END)]
    assert [len(each) for each in found] == [coding.GROUP, coding.GROUP, 17]
    assert np.concatenate(found).tobytes() == made.tobytes()


def test_other_readers_find_integers_and_how_many_decimals_they_have():
    made = np.zeros(3, EVENT)
    made["ts"] = [10, 20, 20]
    made["price"] = [61800.2, 61800.25, 61799.0]
    made["size"] = [0.1 + 0.2, 1, 2]  # no decimal of twelve places is this float64
    made["kind"], made["side"], made["flags"] = LEVEL, SELL, [0, 0, 5]
    table = pq.read_table(io.BytesIO(coding.encode(made)))
    notes = json.loads(table.schema.metadata[b"nexus"])["lanes"]
    assert notes["price"] == {"decimals": 2}
    assert table["price"].to_pylist() == [6180020, 6180025, 6179900]
    assert notes["size"] == {}
    assert table["size"].to_pylist() == [0.1 + 0.2, 1, 2]
    assert table["what"].to_pylist() == [LEVEL | 255 << 8, LEVEL | 255 << 8, LEVEL | 255 << 8 | 5 << 16]
    assert notes["seq"] == {"constant": 0}
    assert "seq" not in table.column_names


def test_a_file_of_another_kind_is_refused():
    row = np.zeros(1, ROW)
    with pytest.raises(DataError, match="another version"):
        back(coding.encode(row), EVENT)
    sink = io.BytesIO()
    pq.write_table(pa.table({"ts": [1]}), sink)
    with pytest.raises(DataError, match="another version"):
        back(sink.getvalue(), EVENT)
