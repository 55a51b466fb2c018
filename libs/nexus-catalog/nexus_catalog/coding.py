"""Records as columns of Parquet, bit for bit, small and quick to read back.

The fields of a record become lanes: an EVENT's kind, side and flags are one 32-bit lane `what` (kind in the
lowest byte, side in the next, flags in the upper two), all other fields one each; the symbol is the series',
and is not kept. A lane whose values are all the same, or that counts up by one, is a note in the file's
metadata (`nexus`) and no column. Prices and sizes that are decimals become integers, with `decimals` in the
note: the value is the integer divided by 10 ** decimals, which gives back the very float64; a lane where that
fails for one value stays float64. Prices are split by bytes (BYTE_STREAM_SPLIT), times and ids delta coded
(DELTA_BINARY_PACKED) unless most repeat the one before; all is under zstd. So any reader of Parquet can read
the columns.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core.errors import DataError
from nexus_core.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = 131_072
"""Rows of a row group, which is what is decoded at a time."""

_VERSION = 1
_BLOCK = 8_192  # rows whose records stay in the processor's cache while lane after lane is laid into them
_EXACT, _DECIMALS = 2**53, 12
_PROBE = 512


def lanes(record: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the dtype that lays the lanes over a record."""
    fields: dict[str, tuple[Any, int]] = {}
    for name, (kind, offset, *_) in (record.fields or {}).items():
        if kind.itemsize >= 4 and name != "symbol":
            fields[name] = kind.newbyteorder("<"), offset
        elif name == "kind":  # side and flags follow it
            fields["what"] = np.dtype("<i4"), offset
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": [*fields], "formats": formats, "offsets": offsets, "itemsize": record.itemsize})


def encode(records: Records) -> bytes:
    """Return the records of one series, at least one, as the bytes of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    over = records.view(lanes(records.dtype))
    notes: dict[str, dict[str, int]] = {}
    columns: dict[str, Any] = {}
    for name in over.dtype.names or ():
        notes[name], column = _noted(name, np.ascontiguousarray(over[name]))
        if column is not None:
            columns[name] = column
    facts = {"version": _VERSION, "record": [*(records.dtype.names or ())], "lanes": notes}
    table = pa.table(columns).replace_schema_metadata({"nexus": json.dumps(facts)})
    sink = pa.BufferOutputStream()
    write: Any = pq.write_table  # its stubs know no list of columns
    write(
        table,
        sink,
        row_group_size=GROUP,
        compression="zstd",
        use_dictionary=["what"],
        write_statistics=["ts"],
        column_encoding={name: _encoding(name, each) for name, each in columns.items() if name != "what"},
    )
    return sink.getvalue().to_pybytes()


def decode(data: bytes, record: np.dtype[np.void], symbol: int, after: int, to: int) -> Iterator[Records]:
    """Yield the records of a file with `after < ts <= to`, a row group at a time, as of `symbol`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    facts = json.loads((file.schema_arrow.metadata or {}).get(b"nexus", b"{}"))
    if facts.get("version") != _VERSION or facts["record"] != [*(record.names or ())]:
        raise DataError("was written by another version of the catalog. Import its source again.")
    groups = _groups(file, after, to)
    with ThreadPoolExecutor(1) as ahead:  # Arrow decodes the next group while this one is laid out and used
        waiting = [ahead.submit(file.read_row_group, group) for group, _ in groups[:1]]
        for at, (_, begin) in enumerate(groups):
            table = waiting.pop().result()
            waiting = [ahead.submit(file.read_row_group, group) for group, _ in groups[at + 1 : at + 2]]
            made = _laid(table, facts["lanes"], record, begin, symbol)
            first, last = np.searchsorted(made["ts"], (after, to), side="right")
            if last > first:
                yield made[first:last]


def _groups(file: Any, after: int, to: int) -> list[tuple[int, int]]:
    """Return the row groups that reach into a span of time, each with the number of its first row."""
    place, begin = file.schema_arrow.get_field_index("ts"), 0
    found: list[tuple[int, int]] = []
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        times = about.column(place).statistics
        if times.max > after and times.min <= to:
            found.append((group, begin))
        begin += about.num_rows
    return found


def _laid(
    table: Any, notes: dict[str, dict[str, int]], record: np.dtype[np.void], begin: int, symbol: int
) -> Records:
    made = np.empty(table.num_rows, record)
    over = made.view(lanes(record))
    columns = {name: table.column(name).combine_chunks().to_numpy() for name in table.column_names}
    for start in range(0, len(made), _BLOCK):
        block = over[start : start + _BLOCK]
        made["symbol"][start : start + _BLOCK] = symbol
        for name, note in notes.items():
            lane = block[name]
            if "constant" in note:
                lane.view(f"<i{lane.itemsize}")[:] = note["constant"]
            elif "count" in note:
                at = note["count"] + begin + start
                lane[:] = np.arange(at, at + len(lane))
            elif "decimals" in note:
                np.divide(columns[name][start : start + _BLOCK], 10.0 ** note["decimals"], out=lane)
            else:
                lane[:] = columns[name][start : start + _BLOCK]
    return made


def _noted(name: str, values: np.ndarray) -> tuple[dict[str, int], np.ndarray | None]:
    """Return what is to be noted of a lane, and the column it needs, if it needs one."""
    bits = values.view(f"<i{values.itemsize}")
    if name == "ts":  # never left out: readers look for rows by it
        return {}, values
    if (bits == bits[0]).all():
        return {"constant": int(bits[0])}, None
    if values.dtype.kind == "f":
        decimals = _decimals(values)
        if decimals is None:
            return {}, values
        whole = np.rint(values * 10.0**decimals).astype(np.int64)
        is_narrow = bool((np.abs(whole) < 2**31).all())
        return {"decimals": decimals}, whole.astype(np.int32) if is_narrow else whole
    if values.itemsize == 8 and (np.diff(values) == 1).all():
        return {"count": int(values[0])}, None
    return {}, values


def _decimals(values: np.ndarray) -> int | None:
    """Return the fewest decimals that give back every value to the bit, if there are such."""
    for decimals in range(_DECIMALS + 1):
        if _is_exact(values[:_PROBE], decimals) and _is_exact(values, decimals):
            return decimals
    return None


def _is_exact(values: np.ndarray, decimals: int) -> bool:
    with np.errstate(all="ignore"):
        whole = np.rint(values * 10.0**decimals)
        is_small = bool((np.abs(whole) < _EXACT).all())  # NaN is not small
        if not is_small:
            return False
        again = whole.astype(np.int64) / 10.0**decimals
    return bool((again.view(np.int64) == values.view(np.int64)).all())


def _encoding(name: str, column: np.ndarray) -> str:
    is_price = column.dtype.kind == "f" or name not in ("ts", "local", "seq", "id")
    if is_price:
        return "BYTE_STREAM_SPLIT"
    repeats = (column[1:] == column[:-1]).mean() if len(column) > 1 else 0.0
    return "PLAIN" if repeats > 0.5 else "DELTA_BINARY_PACKED"  # zstd does better where messages are long
