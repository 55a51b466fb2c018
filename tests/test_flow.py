"""Trade flow against slow sums, and bars, flow and frames together in both modes."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.errors import PluginError
from nexus_core.market.events import AGAIN, BUY, EVENT, LEVEL, QUOTE, SELL, TRADE
from nexus_core.records import ROW, empty
from nexus_core.steps.flow import SUMS, flow

NAN = math.nan
ANSWERS = ("delta", "vwap", "mean_size", "buy_share")

# events stamped up to a row's time come before it, as a strategy sees them
_PLAY = """
def entry(events, rows, states, recent, answers, bar, session, upto):
    state = states[0]
    e = 0
    for i in range(rows.size):
        while e < events.size and events[e].ts <= rows[i].ts:
            flow.push(state, events[e])
            recent[e] = state.recent
            e += 1
        flow.close(state, rows[i])
        bar[i] = state.bar
        session[i] = state.session
        upto[i] = state.recent
        answers[i, 0], answers[i, 1], answers[i, 2], answers[i, 3] = flow.measures(state.session)
"""


def made(trades):
    """Make events of (ts, kind, price, size, side)."""
    events = np.zeros(len(trades), EVENT)
    for name, column in zip(("ts", "kind", "price", "size", "side"), zip(*trades, strict=True), strict=False):
        events[name] = column
    return events


def rows_at(times, day=100):
    rows = empty(ROW, len(times))
    rows["ts"] = times
    rows["session_id"] = (rows["ts"] - 1) // day
    return rows


def played(events, rows, window=20, most=1024, states=None):
    states = np.array([flow(window, most)]) if states is None else states
    found = {name: np.zeros(len(rows), SUMS) for name in ("bar", "session", "upto")}
    recent, answers = np.zeros(len(events), SUMS), np.zeros((len(rows), 4))
    entry = compile.entry("play", _PLAY, {"flow": flow})
    compile.call(entry, events, rows, states, recent, answers, found["bar"], found["session"], found["upto"])
    return {**found, "recent": recent, "answers": answers, "states": states}


def slow(events):
    """Return the sums over events, whatever their number."""
    known = [e for e in events if e["kind"] == TRADE and math.isfinite(e["price"]) and e["size"] >= 0]
    bought, sold = ([e for e in known if e["side"] == side] for side in (BUY, SELL))
    return {
        "volume": sum(e["size"] for e in known),
        "notional": sum(e["price"] * e["size"] for e in known),
        "buy_volume": sum(e["size"] for e in bought),
        "sell_volume": sum(e["size"] for e in sold),
        "largest": max((e["size"] for e in known), default=0.0),
        "trades": len(known),
        "buys": len(bought),
        "sells": len(sold),
    }


def agree(sums, events):
    return {name: sums[name].item() for name in SUMS.names or ()} == slow(events)


# prices and sizes in eighths: every sum is exact, so nothing hides in a tolerance
moves = st.tuples(
    st.integers(0, 15),
    st.sampled_from([TRADE, TRADE, TRADE, TRADE, QUOTE, LEVEL]),
    st.integers(80, 120).map(lambda n: n / 8) | st.just(NAN),
    st.integers(0, 40).map(lambda n: n / 8) | st.sampled_from([NAN, math.inf, -1.0]),
    st.sampled_from([BUY, SELL, 0]),
)
streams = st.lists(moves, max_size=60).map(
    lambda all: made([(sum(m[0] for m in all[: n + 1]), *each[1:]) for n, each in enumerate(all)])
)


@given(streams)
def test_a_trade_that_is_told_again_is_added_once(events):
    again = np.repeat(events, 2)
    again["flags"][1::2] = AGAIN
    one, other = (played(each, rows_at([2000])) for each in (events, again))
    assert one["states"].tobytes() == other["states"].tobytes()


def usable(events):
    return events[np.isfinite(events["size"])]


@given(streams, st.integers(1, 60))
def test_recent_trades_are_those_of_exactly_the_window(events, window):
    found = played(events, rows_at([2000]), window)["recent"]
    for i, sums in enumerate(found):
        if (
            events["kind"][i] == TRADE
            and np.isfinite(events["price"][i])
            and 0 <= events["size"][i] < math.inf
        ):
            upto = usable(events[: i + 1])
            assert agree(sums, upto[upto["ts"] > events["ts"][i] - window])


@given(streams, st.sets(st.integers(1, 400), min_size=1, max_size=12).map(sorted))
def test_bars_sessions_and_windows_at_the_rows_are_those_of_slow_sums(events, times):
    rows = rows_at(times)
    found = played(events, rows, 20)
    for i, row in enumerate(rows):
        upto = usable(events[events["ts"] <= row["ts"]])
        before = rows["ts"][i - 1] if i else -1
        earlier = rows["ts"][:i][rows["session_id"][:i] != row["session_id"]]
        begun = earlier.max() if len(earlier) else -1
        assert agree(found["bar"][i], upto[upto["ts"] > before])
        assert agree(found["session"][i], upto[upto["ts"] > begun])
        assert agree(found["upto"][i], upto[upto["ts"] > row["ts"] - 20])


def test_the_measures_by_hand():
    events = made([
        (1, TRADE, 10.0, 2.0, BUY), (2, TRADE, 11.0, 1.0, SELL), (3, QUOTE, 99.0, 9.0, BUY),
        (4, TRADE, 12.0, 1.0, 0), (15, TRADE, 20.0, 3.0, SELL),
    ])  # fmt: skip
    found = played(events, rows_at([10, 20, 110]))
    assert dict(zip(ANSWERS, found["answers"][0], strict=True)) == {
        "delta": 1.0,
        "vwap": (20 + 11 + 12) / 4,
        "mean_size": 4 / 3,
        "buy_share": 2 / 3,
    }
    assert found["answers"][1, 0] == -2.0
    assert found["bar"]["largest"].tolist() == [2.0, 3.0, 0.0]
    np.testing.assert_array_equal(found["answers"][2], [0.0, NAN, NAN, NAN])


def test_what_is_no_trade_is_passed_over_and_what_is_wrong_is_counted():
    events = made(
        [
            (1, TRADE, NAN, 1.0, BUY),
            (2, TRADE, 1.0, -1.0, BUY),
            (3, LEVEL, NAN, NAN, 0),
            (4, TRADE, 1.0, 1.0, BUY),
        ]
    )
    found = played(events, rows_at([9]))
    assert found["bar"]["trades"].tolist() == [1]
    assert found["states"]["skipped"].tolist() == [2]


@given(streams, st.sampled_from([1, 2, 4, 8]))
def test_no_more_trades_are_held_than_asked_for_and_what_is_let_go_is_counted(events, most):
    found = played(events, rows_at([2000]), 10**6, most)
    good = usable(events)
    good = good[(good["kind"] == TRADE) & np.isfinite(good["price"]) & (good["size"] >= 0)]
    if len(good):
        assert agree(found["upto"][0], good[-most:])
    assert found["states"]["cut"].tolist() == [max(len(good) - most, 0)]


def test_old_trades_make_room_before_any_is_cut():
    events = made([(10 * n, TRADE, 1.0, 1.0, BUY) for n in range(50)])
    assert played(events, rows_at([999]), 20, 2)["states"]["cut"].tolist() == [0]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_and_restoring_change_no_bit(size):
    rng = np.random.default_rng(4)
    events = np.zeros(600, EVENT)
    events["ts"], events["kind"] = np.cumsum(rng.integers(0, 4, 600)), TRADE
    events["price"], events["size"] = rng.normal(100, 1, 600), rng.exponential(size=600)
    events["side"] = rng.choice([BUY, 0, SELL], 600)
    rows = rows_at(np.arange(10, 1300, 10))
    whole = played(events, rows, 55)
    states, parts, done = None, [], 0
    for at in range(0, len(rows), size):
        upto = int(np.searchsorted(events["ts"], rows["ts"][at : at + size][-1], "right"))
        found = played(events[done:upto], rows[at : at + size], 55, states=states)
        states, done = np.frombuffer(found["states"].tobytes(), found["states"].dtype).copy(), upto
        parts.append(found)
    for name in ("bar", "session", "upto", "recent"):
        assert np.concatenate([each[name] for each in parts]).tobytes() == whole[name].tobytes()
    assert states is not None
    assert states.tobytes() == whole["states"].tobytes()


def test_nothing_stays_of_a_large_trade_that_is_gone():
    events = made([(0, TRADE, 1.0, 1e16, BUY), *((n, TRADE, 1.0, 0.1, SELL) for n in range(1, 60))])
    found = played(events, rows_at([2000]), 10)["recent"]
    assert found["volume"][30] == pytest.approx(1.0, rel=1e-15)
    assert found["buy_volume"][30] == 0.0


@pytest.mark.parametrize(("window", "most"), [(0, 8), (10, 0), (2.5, 8)])
def test_a_window_that_makes_no_sense_is_refused(window, most):
    with pytest.raises(PluginError, match="flow"):
        flow(window, most)


_EVERYTHING = """
import numpy as np
from nexus_core import compile
from nexus_core.market.bars import Bars
from nexus_core.market.events import BREAK, EVENT, LAST, QUOTE, TRADE
from nexus_core.steps.flow import flow
from nexus_core.steps.frames import frames

rng = np.random.default_rng(8)
events = np.zeros(500, EVENT)
events["ts"], events["seq"] = np.cumsum(rng.integers(0, 9, 500)) * 10**10, np.arange(500)
events["kind"], events["flags"] = rng.choice([TRADE, TRADE, QUOTE, BREAK], 500), LAST
events["price"], events["size"] = rng.normal(100, 1, 500), rng.exponential(size=500)
events["side"] = rng.choice([1, 0, -1], 500)
given = [("time", 60 * 10**9), ("tick", 7), ("volume", 3.3), ("dollar", 444.4), ("imbalance", 5)]
made = [Bars(kind, size, 1).take(events, until=2**62)[0] for kind, size in given]
made.append(Bars("time", 60 * 10**9, 1, mid=True, quiet=True).take(events, until=2**62)[0])
text = '''
def entry(events, rows, states):
    state = states[0]
    e = 0
    for i in range(rows.size):
        while e < events.size and events[e].ts <= rows[i].ts:
            flow.push(state.flow, events[e])
            e += 1
        flow.close(state.flow, rows[i])
        frames.push(state.utc, rows[i])
        frames.push(state.session, rows[i])
'''
from nexus_core.steps import record
lengths = [300 * 10**9, 1800 * 10**9]
session = frames(lengths, 9, by_session=True)
states = np.array([record(flow=flow(10**11), utc=frames(lengths, 9), session=session)])
compile.call(compile.entry("both", text, {"flow": flow, "frames": frames}), events, made[0], states)
print(compile.JIT, len(made[0]), *(each.tobytes().hex() for each in (*made, states)))
"""


@pytest.mark.jit
def test_bars_flow_and_frames_give_the_same_bytes_compiled_and_as_plain_python():
    said = [
        subprocess.run(
            [sys.executable, "-c", _EVERYTHING],
            env={**os.environ, "NEXUS_JIT": jit},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for jit in "10"
    ]
    (compiled, count, *values), (plain, _, *others) = said
    assert (compiled, plain, int(count) > 30) == ("True", "False", True)
    assert values == others
