"""Higher frames against pandas, and against what a row may know."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.errors import PluginError
from nexus_core.records import LATE, ROW, empty
from nexus_core.steps.frames import framed, frames
from nexus_core.testing.market import utc_session

NAN = math.nan
MINUTE = 60_000_000_000
PRICES = ("open", "high", "low", "close")
LENGTHS = [MINUTE, 5 * MINUTE, 15 * MINUTE]

_SEEN = """
def entry(rows, states, backs, seen, shut):
    state = states[0]
    for i in range(rows.size):
        shut[i] = frames.push(state, rows[i])
        for k in range(seen.shape[1]):
            for j in range(backs.size):
                seen[i, k, j] = frames.bar(state, k, backs[j])
"""


def made(minutes, seed=0):
    """Make rows stamped at these minutes, with prices that no two rows share."""
    rng, rows = np.random.default_rng(seed), empty(ROW, len(minutes))
    rows["ts"] = np.asarray(minutes, np.int64) * MINUTE
    rows["seq"] = np.arange(len(rows))
    body = 100 + rng.permutation(len(rows) * 4).reshape(-1, 4) / 8
    rows["open"], rows["close"] = body[:, 1], body[:, 2]
    rows["high"], rows["low"] = body.max(1) if len(rows) else [], body.min(1) if len(rows) else []
    for name in ("volume", "buy_volume", "sell_volume", "trades"):
        rows[name] = rng.integers(0, 50, len(rows))
    for name in ("bid", "ask", "bid_size", "ask_size"):
        rows[name] = rng.integers(1, 50, len(rows))
    stamps = [utc_session(int(ts)) for ts in rows["ts"]]
    for name, column in zip(
        ("session_id", "minute_of_session", "minutes_to_close"), zip(*stamps, strict=True), strict=False
    ):
        rows[name] = column
    return rows


def seen(rows, state, backs=(0,)):
    """Push rows; return the bars each sees, how many closed at each, and the state."""
    states = np.array([state])
    bars, shut = np.zeros((len(rows), state["lengths"].size, len(backs)), ROW), np.zeros(len(rows), np.int64)
    entry = compile.entry("seen", _SEEN, {"frames": frames})
    compile.call(entry, rows, states, np.array(backs), bars, shut)
    return bars, shut, states


minutes = st.sets(st.integers(1, 300), max_size=80).map(sorted)


def test_a_frame_closes_at_the_row_at_its_end_and_not_before():
    rows = made([1, 2, 3, 4, 5, 6])
    rows["flags"][1:3] = 2, 4
    bars, known = framed(rows, 5 * MINUTE)
    assert known.tolist() == [0, 0, 0, 0, 1, 1]
    (bar,) = bars
    assert bar["ts"] == 5 * MINUTE
    assert (bar["open"], bar["close"]) == (rows["open"][0], rows["close"][4])
    assert (bar["high"], bar["low"]) == (rows["high"][:5].max(), rows["low"][:5].min())
    assert bar["volume"] == rows["volume"][:5].sum()
    assert bar["flags"] == 6, "what any of its rows is flagged with"
    for name in ("bid", "ask", "bid_size", "ask_size", "seq", "session_id", "minute_of_session"):
        assert bar[name] == rows[name][4]


def test_a_frame_whose_last_rows_are_missing_closes_with_the_next_row_that_comes():
    rows = made([1, 3, 11, 12, 40])
    bars, known = framed(rows, 5 * MINUTE)
    assert known.tolist() == [0, 0, 1, 1, 3]
    assert (bars["ts"] // MINUTE).tolist() == [5, 15, 40]
    assert bars["close"].tolist() == rows["close"][[1, 3, 4]].tolist()


@given(minutes, st.sampled_from([1, 5, 15, 60]), st.sampled_from([0, 2, -7]))
def test_frames_are_those_of_pandas_on_data_with_gaps(given_minutes, k, origin):
    rows = made(given_minutes)
    bars, known = framed(rows, k * MINUTE, origin * MINUTE)
    table = pd.DataFrame(
        {name: rows[name] for name in (*PRICES, "volume", "trades", "seq")}, pd.to_datetime(rows["ts"])
    )
    rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
    rules |= {"volume": "sum", "trades": "sum", "seq": "last"}
    grid = table.resample(f"{k}min", closed="right", label="right", origin=pd.Timestamp(origin * MINUTE))
    wanted = grid.agg(rules).dropna()
    if len(wanted) and wanted.index.astype("int64")[-1] > rows["ts"][-1]:
        wanted = wanted[:-1]
    assert bars["ts"].tolist() == wanted.index.astype("int64").tolist()
    for name in rules:
        assert bars[name].tolist() == wanted[name].tolist()
    assert known.tolist() == np.searchsorted(_shown(bars["ts"], rows["ts"]), rows["ts"], "right").tolist()


def _shown(ends, times):
    """Return when each end is known: at the first row at or after it."""
    return times[np.searchsorted(times, ends)]


@given(minutes, st.integers(0, 80))
def test_a_row_sees_only_what_had_ended_by_it_and_later_rows_change_nothing(given_minutes, n):
    rows = made(given_minutes)
    backs = np.arange(4)
    whole, shut, _ = seen(rows, frames(LENGTHS, 4), backs)
    part, few, _ = seen(rows[:n].copy(), frames(LENGTHS, 4), backs)
    assert part.tobytes() == whole[:n].tobytes()
    assert few.tolist() == shut[:n].tolist()
    assert (whole["ts"] <= rows["ts"][:, None, None]).all()


@given(minutes)
def test_the_tool_and_the_whole_array_give_the_same_bits(given_minutes):
    rows = made(given_minutes)
    backs = np.arange(4)
    found, shut, states = seen(rows, frames(LENGTHS, 4), backs)
    closed = 0
    for k, length in enumerate(LENGTHS):
        bars, known = framed(rows, length)
        closed += np.diff(known, prepend=0)
        for back in backs:
            there = known > back
            assert found[there, k, back].tobytes() == bars[(known - 1 - back)[there]].tobytes()
            assert np.isnan(found[~there, k, back]["close"]).all()
        assert states["closed"][0, k] == len(bars)
    assert shut.tolist() == (closed.tolist() if len(rows) else [])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_and_restoring_change_no_bit(size):
    rows = made(sorted(np.random.default_rng(2).choice(np.arange(1, 900), 400, replace=False)))
    whole, _, states = seen(rows, frames(LENGTHS, 3), (0, 2))
    state, parts = frames(LENGTHS, 3), []
    for at in range(0, len(rows), size):
        bars, _, one = seen(rows[at : at + size], state, (0, 2))
        state = np.frombuffer(one.tobytes(), one.dtype)[0]
        parts.append(bars)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert state.tobytes() == states.tobytes()


def test_a_bar_beyond_what_is_kept_or_not_yet_closed_is_unknown():
    bars, _, states = seen(made(range(1, 100)), frames([MINUTE], 3), (0, 3, 4, 99, -1))
    close = bars["close"][:, 0]
    assert np.isfinite(close[:, 0]).all()
    assert np.isfinite(close[3:, 1]).all()
    assert np.isnan(close[:3, 1]).all()
    assert np.isnan(close[:, 2:]).all()
    assert states["closed"][0].tolist() == [99]


def test_the_forming_bar_is_at_hand():
    rows = made([1, 2, 3])
    _, _, states = seen(rows, frames([5 * MINUTE]))
    forming = states["forming"][0, 0]
    assert states["ends"][0, 0] == 5 * MINUTE
    assert (forming["open"], forming["close"]) == (rows["open"][0], rows["close"][2])


def test_prices_that_are_not_known_count_for_nothing_and_a_volume_makes_that_of_the_frame_unknown():
    rows = made([1, 2, 3, 4, 5, 10])
    for name in PRICES:
        rows[name][[0, 4]] = NAN
    rows["volume"][1] = NAN
    bars, _ = framed(rows, 5 * MINUTE)
    assert (bars["open"][0], bars["close"][0]) == (rows["open"][1], rows["close"][3])
    assert (bars["high"][0], bars["low"][0]) == (rows["high"][1:4].max(), rows["low"][1:4].min())
    np.testing.assert_array_equal(bars["volume"], [NAN, rows["volume"][5]])
    assert bars["buy_volume"][0] == rows["buy_volume"][:5].sum()


def test_rows_that_are_not_after_the_last_are_counted_and_change_no_bar():
    rows = made([1, 2, 3, 5, 6])
    late = np.concatenate([rows[:3], rows[1:3], rows[3:4], rows[2:3], rows[4:]])
    late["flags"][[3, 4, 6]] = LATE
    assert framed(late, 5 * MINUTE)[0].tobytes() == framed(rows, 5 * MINUTE)[0].tobytes()
    assert seen(late, frames([5 * MINUTE]))[2]["left"].tolist() == [3]


# -- by session ---------------------------------------------------------------------------------------


def session(day, opened, length, marks):
    """Make rows of a session of `length` minutes that opens at minute `opened`, at `marks` after its open."""
    rows = made([opened + mark for mark in marks], seed=day)
    rows["session_id"], rows["minute_of_session"] = day, marks
    rows["minutes_to_close"] = length - np.array(marks)
    return rows


def test_frames_of_sessions_begin_at_the_open_and_end_with_the_close():
    first, second = session(0, 570, 100, range(1, 101)), session(1, 2007, 50, range(1, 51))
    bars, known = framed(np.concatenate([first, second]), 30 * MINUTE, by_session=True)
    assert (bars["ts"] // MINUTE).tolist() == [600, 630, 660, 670, 2037, 2057]
    assert np.flatnonzero(np.diff(known, prepend=0)).tolist() == [29, 59, 89, 99, 129, 149]
    assert bars["volume"][3] == first["volume"][90:].sum()
    assert bars["open"][4] == second["open"][0]


def test_a_session_that_lost_its_last_rows_is_closed_at_its_close_by_the_next():
    first, second = session(0, 570, 100, range(1, 96)), session(1, 2007, 50, range(1, 51))
    bars, known = framed(np.concatenate([first, second]), 30 * MINUTE, by_session=True)
    assert bars["ts"][3] == 670 * MINUTE
    assert known[[94, 95]].tolist() == [3, 4]


def test_rows_outside_of_sessions_are_in_no_frame_but_tell_that_time_has_passed():
    inside = session(0, 570, 100, [1, 2, 95])
    outside = made([560, 700])
    outside["minute_of_session"] = -1
    rows = np.concatenate([outside[:1], inside, outside[1:]])
    bars, known = framed(rows, 30 * MINUTE, by_session=True)
    assert known.tolist() == [0, 0, 0, 1, 2]
    assert (bars["ts"] // MINUTE).tolist() == [600, 670]
    assert bars["close"].tolist() == inside["close"][[1, 2]].tolist()
    assert seen(rows, frames([30 * MINUTE], by_session=True))[2]["left"].tolist() == [2]


def test_bars_shorter_than_a_minute_find_the_open_of_their_session():
    rows = session(0, 570, 100, [1] * 4)
    rows["ts"] = 570 * MINUTE + np.array([60, 75, 90, 120]) * (MINUTE // 60)
    rows["minute_of_session"], rows["minutes_to_close"] = [1, 1, 1, 2], [99, 99, 99, 98]
    bars, _ = framed(rows, MINUTE, by_session=True)
    assert (bars["ts"] // MINUTE).tolist() == [571, 572]
    assert bars["close"].tolist() == rows["close"][[0, 3]].tolist()


@pytest.mark.parametrize("lengths", [[], [0], [MINUTE, -1]])
def test_lengths_that_make_no_sense_are_refused(lengths):
    with pytest.raises(PluginError, match="frames: lengths were"):
        frames(lengths)
    with pytest.raises(PluginError, match="frames: the number of rows was 0"):
        frames([MINUTE], 0)
