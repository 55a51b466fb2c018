"""Higher frames: bars of longer intervals made of shorter ones, inside a step or over a whole array.

A frame's bar holds the rows after its start up to and with its end, (start, end], as rows are stamped at
their close. It closes when a row at or after its end comes, never before: the row at the end is its last,
and a later one tells that nothing more came. So what a step sees closed has ended by the step's row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_core import compile
from nexus_core.errors import PluginError
from nexus_core.records import ROW, Records, empty
from nexus_core.steps.tool import Tool, capacity, checked, record

_MINUTE, _FAR = 60_000_000_000, 2**63 - 1

_ALL = """
def entry(rows, states, bars, known):
    state = states[0]
    n = 0
    for i in range(rows.size):
        made = push(state, rows[i])
        for j in range(made):
            bars[n + j] = bar(state, 0, made - 1 - j)
        n += made
        known[i] = n
    return n
"""


def _frames(lengths: Any, keep: int = 1, origin: int = 0, by_session: bool = False) -> np.void:
    """Give the newest `keep` closed bars, and the forming one, of frames of these `lengths` in nanoseconds.

    Frames end at `origin` plus whole lengths; or, `by_session`, at whole lengths after the open of the row's
    session, and at its close, however short the last. Rows outside of sessions (`minute_of_session` below 0)
    then close frames but are in none, and rows not after the last one do nothing: both are counted in `left`.

    `push(state, row)` answers how many bars closed, of all frames together; `state.closed[k]` counts those of
    frame k. `frames.bar(state, k, back)` is the newest closed one (0) or an earlier, a market row, whose
    prices are NaN where there is none. `state.forming[k]` is the forming one; it has rows if
    `state.ends[k]`, when it ends, is not in the far future. Open, high, low, close, volumes and flags are of
    all its rows, the rest is the last row's. A price that is NaN counts for nothing; a volume that is NaN
    makes the frame's unknown.
    """
    sizes, size = np.array(lengths, np.int64).reshape(-1), capacity(max(checked("frames", keep), 2))
    if sizes.size == 0 or sizes.min() < 1:
        raise PluginError(f"frames: lengths were {lengths!r}. Give one or more, in nanoseconds above 0.")
    ring = np.zeros((sizes.size, size + 1), ROW)  # the last place of a frame stays empty
    for name in ("open", "high", "low", "close"):
        ring[name] = np.nan
    return record(
        lengths=sizes, origin=origin, by_session=int(by_session), ts=-_FAR, left=0, forming=ring[:, 0],
        ring=ring, ends=np.full(sizes.size, _FAR), closed=np.zeros(sizes.size, np.int64), mask=size - 1,
    )  # fmt: skip


def _push(state: Any, row: Any) -> int:
    ts, shut = row.ts, 0
    outside = state.by_session and row.minute_of_session < 0
    state.left += int(outside or ts <= state.ts)
    if ts <= state.ts:
        return 0
    state.ts = ts
    for k in range(state.lengths.size):
        if ts > state.ends[k]:
            shut += _shut(state, k)
        if not outside and state.ends[k] == _FAR:
            state.ends[k] = _end(state, row, state.lengths[k])
            state.forming[k] = row
        elif not outside:
            _merge(state.forming[k], row)
        if ts == state.ends[k]:
            shut += _shut(state, k)
    return shut


@compile.step
def _end(state: Any, row: Any, length: int) -> int:
    if not state.by_session:
        return state.origin - (state.origin - row.ts) // length * length
    begun = (row.ts // _MINUTE - row.minute_of_session) * _MINUTE
    close = (row.ts // _MINUTE + row.minutes_to_close) * _MINUTE
    return min(begun - (begun - row.ts) // length * length, close)


@compile.step
def _merge(bar: Any, row: Any) -> None:
    bar.open = row.open if bar.open != bar.open else bar.open
    bar.high = row.high if row.high > bar.high or bar.high != bar.high else bar.high
    bar.low = row.low if row.low < bar.low or bar.low != bar.low else bar.low
    bar.close = row.close if row.close == row.close else bar.close
    bar.volume, bar.trades = bar.volume + row.volume, bar.trades + row.trades
    bar.buy_volume, bar.sell_volume = bar.buy_volume + row.buy_volume, bar.sell_volume + row.sell_volume
    bar.bid, bar.ask, bar.bid_size, bar.ask_size = row.bid, row.ask, row.bid_size, row.ask_size
    bar.seq, bar.flags, bar.session_id = row.seq, row.flags | bar.flags, row.session_id
    bar.minute_of_session, bar.minutes_to_close = row.minute_of_session, row.minutes_to_close


@compile.step
def _shut(state: Any, k: int) -> int:
    state.forming[k].ts = state.ends[k]
    state.ring[k, state.closed[k] & state.mask] = state.forming[k]
    state.closed[k] += 1
    state.ends[k] = _FAR
    return 1


@compile.step
def _bar(state: Any, k: int, back: int) -> Any:
    if back < 0 or back > state.mask or back >= state.closed[k]:
        return state.ring[k, state.mask + 1]
    return state.ring[k, (state.closed[k] - 1 - back) & state.mask]


frames = Tool(_frames, _push)
frames.__dict__["bar"] = _bar


def framed(
    rows: Records, length: int, origin: int = 0, by_session: bool = False
) -> tuple[Records, NDArray[np.int64]]:
    """Return the closed bars of one symbol's rows, and for each row how many had closed by it.

    They are those that `frames` gives, bit for bit: `bars[known[i] - 1]` is the newest that row i sees.
    """
    bars, known = empty(ROW, 2 * len(rows)), np.zeros(len(rows), np.int64)
    state = np.array([frames([length], 2, origin, by_session)])
    made = compile.call(
        compile.entry("frames", _ALL, {"push": frames.push, "bar": _bar}), rows, state, bars, known
    )
    return bars[:made], known
