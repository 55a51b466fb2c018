"""Swing highs and lows that are confirmed, so that none is ever taken back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import layout
from nexus_core.steps import windows
from nexus_core.steps.tool import Tool, capacity, checked, record

SWING = layout(("price value", "f8"), ("row", "i8"))
"""A swing: its price, what was attached to its bar, and that bar's number, counted from 0 in known bars."""


def swings(side: int, keep: int = 4) -> np.void:
    """Find swings: a high above the `side` known bars on either side of it, a low below them.

    `high, low = swings.push(state, high, low, value, least)` answers whether a swing high and a swing low are
    confirmed at this row, which is `side` rows after the swing's own (Williams 1995, *Trading chaos*: the
    fractal). Among equal bars the newest is the swing. It has to stand out by `least`, in price, from the
    opposite extreme of its 2·`side` + 1 bars; 0 asks for nothing. `value` is attached to the bar, whatever it
    is. A bar whose high or low is NaN or infinite is skipped, as if it had not been.

    `swings.high(state, back)` and `swings.low(state, back)` answer (price, value, rows since) of the newest
    swings, `back` 0 being the newest; price and value are NaN where there was none or it is no longer kept.
    At least `keep` of each are kept. A row costs a constant on average.
    """
    window = 2 * checked("swings", side) + 1
    empty = np.zeros(capacity(checked("swings", keep)), SWING)
    empty["price"] = empty["value"] = math.nan
    return record(
        side=side, row=0, tops=windows.rolling_max(window), bottoms=windows.rolling_min(window),
        values=np.full(capacity(side + 1), math.nan), highs=empty, lows=empty, high_count=0, low_count=0,
    )  # fmt: skip


def _push(state: Any, high: float, low: float, value: float, least: float) -> tuple[bool, bool]:
    if (high + low) - (high + low) != 0.0:
        return False, False
    row, side, mask = state.row, state.side, state.values.size - 1
    state.values[row & mask] = value
    state.row = row + 1
    top, bottom = windows.highest.push(state.tops, high), windows.lowest.push(state.bottoms, low)
    stands = row >= 2 * side and not top - bottom < least
    is_high = stands and _extreme_at(state.tops) == row - side
    is_low = stands and _extreme_at(state.bottoms) == row - side
    if is_high:
        _keep(state.highs, state.high_count, top, state.values[(row - side) & mask], row - side)
        state.high_count += 1
    if is_low:
        _keep(state.lows, state.low_count, bottom, state.values[(row - side) & mask], row - side)
        state.low_count += 1
    return is_high, is_low


@step
def _extreme_at(queue: Any) -> int:
    return queue.ring.rows[queue.first & (queue.ring.rows.size - 1)]


@step
def _keep(kept: Any, count: int, price: float, value: float, row: int) -> None:
    one = kept[count & (kept.size - 1)]
    one.price, one.value, one.row = price, value, row


@step
def _high(state: Any, back: int) -> tuple[float, float, int]:
    return _back(state.highs, state.high_count, state.row, back)


@step
def _low(state: Any, back: int) -> tuple[float, float, int]:
    return _back(state.lows, state.low_count, state.row, back)


@step
def _back(kept: Any, count: int, row: int, back: int) -> tuple[float, float, int]:
    if back < 0 or back >= min(count, kept.size):
        return np.float64(np.nan), np.float64(np.nan), row
    one = kept[(count - 1 - back) & (kept.size - 1)]
    return one.price, one.value, row - 1 - one.row


confirmed = Tool(swings, _push)
confirmed.__dict__.update(high=_high, low=_low)
