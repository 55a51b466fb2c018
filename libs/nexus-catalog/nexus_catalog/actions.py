"""Splits and dividends, applied when rows are read, forward in time.

Rows after an action are scaled to be comparable with those before it: prices by a factor that grows with
each split and dividend, volumes and sizes down by the splits. The usual adjustment goes backward: it takes
the newest price as it is and rescales all history at every action, so that a row read today differs from the
same row read last year, and a strategy that looks at price levels sees what nobody knew. Here a row depends
on what came before it alone, and no later action changes it. Returns are the same in both.

The first rows are as traded; later prices are those of a holder who kept one share of the first day and
bought more with every dividend. A venue trades at the raw price: where one has to be met, divide a price by
`price_factor` and multiply a quantity by it. Amounts of `volume` are the raw ones over `share_factor`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nexus_core.errors import ConfigError, DataError
from nexus_core.records import ROW, Records, layout
from nexus_core.types import iso

ACTION = layout(("ts", "i8"), ("split dividend", "f8"))
"""One action: rows stamped after `ts` are scaled, one that closes at this very time is not. `split` is the
new shares for one old one, 1 where there is none; `dividend` the cash for a share held before the action."""

ADJUSTED = layout(("ts done", "i8"), ("close price_factor share_factor", "f8"))
"""What is remembered: time of the last row, actions before it, the last known close as traded (NaN before
there is one), the factor from raw prices to adjusted ones, and the splits' part of it."""

_DAY = 86_400_000_000_000
_PRICES = ("open", "high", "low", "close", "bid", "ask")
_AMOUNTS = ("volume", "bid_size", "ask_size", "buy_volume", "sell_volume")


def read_actions(path: Path, symbol: str) -> Records:
    """Return the actions of a symbol in a CSV or Parquet file, as ACTION, in the order of time.

    The file has the columns `ts` (a date or time, UTC where it names no zone; a date is its last
    nanosecond), `split` and `dividend`, and `symbol` where it is of several; an empty cell is no split, and
    no dividend.
    """
    import pyarrow as arrow
    from pyarrow import compute, csv, parquet

    try:
        table = parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
        missing = [each for each in ("ts", "split", "dividend") if each not in table.column_names]
        if missing:
            raise ConfigError(f"{path}: no column {', '.join(missing)}. Actions have ts, split and dividend.")
        if "symbol" in table.column_names:
            table = table.filter(compute.field("symbol") == symbol)
        days = arrow.types.is_date(table["ts"].type)
        times = table["ts"].cast(
            arrow.timestamp("ns", "UTC" if getattr(table["ts"].type, "tz", "") else None)
        )
        made = np.zeros(len(table), ACTION)
        made["ts"] = times.cast(arrow.int64()).to_numpy() + (_DAY - 1 if days else 0)
        made["split"] = compute.fill_null(table["split"].cast(arrow.float64()), 1.0).to_numpy()
        made["dividend"] = compute.fill_null(table["dividend"].cast(arrow.float64()), 0.0).to_numpy()
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as splits and dividends: {error}") from error
    return made[np.argsort(made["ts"], kind="stable")]


class Adjuster:
    """The splits and dividends of one symbol, applied to its rows as they are read, in the order of time.

    `state` is all it remembers: one flat record, that can be kept and put back. Actions before the first
    known close have nothing to be compared with, and scale nothing.
    """

    def __init__(self, symbol: str, actions: Records) -> None:
        self.symbol, self.actions = symbol, actions
        ts, split, dividend = (actions[name] for name in ("ts", "split", "dividend"))
        wrong = ~((split > 0) & (split < np.inf) & (dividend >= 0) & (dividend < np.inf))
        wrong[1:] |= ts[1:] < ts[:-1]
        for i in np.flatnonzero(wrong)[:1]:
            what = f"{symbol}: action at {iso(ts[i])}, split {split[i]}, dividend {dividend[i]}"
            raise DataError(f"{what}: they lie in the order of time, splits above 0, dividends not below.")
        self.state: Records = np.array([(-(2**63), 0, np.nan, 1.0, 1.0)], ADJUSTED)

    def adjust(self, rows: Records) -> Records:
        """Return the next rows, scaled; the given ones stay as they are."""
        # a copy of the records themselves would go field by field
        made = np.ascontiguousarray(rows, ROW).view(np.uint8).copy().view(ROW)
        times, state = np.append(self.state["ts"], made["ts"]), self.state.copy()
        before, due = np.searchsorted(self.actions["ts"], times[[0, -1]])
        if (times[1:] < times[:-1]).any() or before != state["done"][0]:
            raise DataError(
                f"{self.symbol}: rows go back, or actions before {iso(times[0])} are others than they were. "
                "What was read cannot change: begin anew, with rows in order."
            )
        ends = np.searchsorted(made["ts"], self.actions["ts"][before:due], "right")
        first, *parts = np.split(made, ends)
        _scale(first, state)
        for action, part in zip(self.actions[before:due], parts, strict=True):
            self._take(action, state)
            _scale(part, state)
        state["ts"], state["done"] = times[-1], due
        self.state[:] = state
        return made

    def _take(self, action: Any, state: Any) -> None:
        close = state["close"][0]
        if np.isnan(close):
            return
        left = close - action["dividend"]
        if left <= 0:
            what = f"{self.symbol}: dividend of {action['dividend']} at {iso(action['ts'])}"
            raise DataError(f"{what} is not below the close before it, {close}. Give it for one old share.")
        state["price_factor"] *= action["split"] * (close / left)
        state["share_factor"] *= action["split"]
        state["close"] = left / action["split"]


def _scale(rows: Records, state: Any) -> None:
    """Scale rows that no action divides, after noting the last close among them."""
    close = rows["close"][(rows["close"] > 0) & (rows["close"] < np.inf)]
    if len(close):
        state["close"] = close[-1]
    for name in _PRICES:
        rows[name] *= state["price_factor"]
    for name in _AMOUNTS:
        rows[name] /= state["share_factor"]
