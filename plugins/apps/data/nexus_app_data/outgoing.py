"""Records on their way out, as tables that other programs read: CSV, Parquet or Feather, by their ending."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core.errors import UsageError
from nexus_core.market.events import BUY, LAST, QUOTE, SELL, TRADE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nexus_core.records import Records

ENDS = (".csv", ".csv.gz", ".parquet", ".feather")

_PRICES = ("open", "high", "low", "close", "volume")
_MAYBE = ("bid", "ask", "bid_size", "ask_size", "buy_volume", "sell_volume", "trades")
_EVENT = ("local", "id", "kind", "side", "price", "size", "flags")


def write(path: Path, kind: str, chunks: Iterable[Records], force: bool = False) -> int:
    """Write records of a kind of series as a table; return its rows. The file has its name once it is whole.

    Times are UTC; a bar's is its close. Of a quote, which is two events, a row has both sides.
    """
    ending = next((each for each in ENDS if path.name.endswith(each)), None)
    if ending is None:
        raise UsageError(f"{path}: cannot be written; its name must end in {', '.join(ENDS)}.")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already. Name another, or say --force to replace it.")
    made = path.with_name(f".{path.name}.new")
    rows = 0
    try:
        with _writer(made, ending) as put:
            for table in _tables(kind, chunks):
                put(table)
                rows += table.num_rows
        os.replace(made, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        made.unlink(missing_ok=True)
    return rows


@contextmanager
def _writer(path: Path, ending: str) -> Iterator[Any]:
    import pyarrow as pa

    opened: list[Any] = []
    with pa.output_stream(str(path), compression="gzip" if ending.endswith(".gz") else None) as stream:

        def put(table: Any) -> None:
            if not opened:
                opened.append(_format(stream, table.schema, ending))
            opened[0].write_table(table)

        yield put
        for each in opened:
            each.close()


def _format(stream: Any, schema: Any, ending: str) -> Any:
    import pyarrow as pa

    if ending == ".parquet":
        from pyarrow import parquet

        return parquet.ParquetWriter(stream, schema, compression="zstd")
    if ending == ".feather":
        return pa.ipc.new_file(stream, schema)
    from pyarrow import csv

    return csv.CSVWriter(stream, schema)


def _tables(kind: str, chunks: Iterable[Records]) -> Iterator[Any]:
    import pyarrow as pa

    for records in _whole_quotes(chunks) if kind == "quotes" else chunks:
        columns = {"bars": _bars, "trades": _trades, "quotes": _quotes, "book": _book}[kind](records)
        times = pa.array(columns.pop("ts"), pa.timestamp("ns", "UTC"))
        yield pa.table({"ts": times, **columns})


def _bars(rows: Records) -> dict[str, Any]:
    return {name: np.ascontiguousarray(rows[name]) for name in ("ts", *_PRICES, *_MAYBE)}


def _trades(rows: Records) -> dict[str, Any]:
    rows = rows[rows["kind"] == TRADE]
    words = np.array(["sell", "", "buy"], object)
    return {
        **{name: np.ascontiguousarray(rows[name]) for name in ("ts", "price", "size", "id")},
        "side": words[rows["side"] + 1],
    }


def _whole_quotes(chunks: Iterable[Records]) -> Iterator[Records]:
    """Cut chunks anew, where a quote ends."""
    rest: Records | None = None
    for chunk in chunks:
        rows = chunk if rest is None else np.concatenate([rest, chunk])
        ends = np.flatnonzero(rows["flags"] & LAST)
        cut = int(ends[-1]) + 1 if len(ends) else 0
        yield rows[:cut]
        rest = rows[cut:].copy()
    if rest is not None and len(rest):
        yield rest


def _quotes(rows: Records) -> dict[str, Any]:
    rows = rows[rows["kind"] == QUOTE]
    begins = (
        np.concatenate([[0], np.cumsum((rows["flags"] & LAST) != 0)[:-1]]) if len(rows) else np.empty(0, int)
    )
    size = int(begins[-1]) + 1 if len(rows) else 0
    made = {name: np.full(size, np.nan) for name in ("bid", "ask", "bid_size", "ask_size")}
    ts = np.zeros(size, np.int64)
    ts[begins] = rows["ts"]
    for name, side in (("bid", BUY), ("ask", SELL)):
        is_side = rows["side"] == side
        made[name][begins[is_side]] = rows["price"][is_side]
        made[f"{name}_size"][begins[is_side]] = rows["size"][is_side]
    return {"ts": ts, **made}


def _book(rows: Records) -> dict[str, Any]:
    return {name: np.ascontiguousarray(rows[name]) for name in ("ts", *_EVENT)}
