"""Bars of events against slow definitions written here, and against pandas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.errors import ConfigError, DataError
from nexus_core.market.bars import TICK_RULE, Bars
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import AGAIN, BREAK, BUY, CLEAR, EVENT, LAST, LEVEL, QUOTE, SELL, TRADE
from nexus_core.records import ROW
from nexus_core.testing.market import utc_session

NAN = math.nan
MINUTE = 60_000_000_000
KINDS = [("time", 10), ("tick", 3), ("volume", 2.5), ("dollar", 250.0), ("imbalance", 3)]
PRICES = ("open", "high", "low", "close")


def event(ts, kind=TRADE, price=NAN, size=1.0, side=0, flags=LAST, symbol=0, seq=0):
    made = np.zeros(1, EVENT)
    made["ts"], made["kind"], made["price"], made["size"] = ts, kind, price, size
    made["side"], made["flags"], made["symbol"], made["seq"] = side, flags, symbol, seq
    return made


def trades(*given):
    """Make trades of (ts, price, size, side); what is left out of the end is 1 and BUY."""
    made = np.concatenate([np.zeros(0, EVENT), *(event(*_trade(*each)) for each in given)])
    made["seq"] = np.arange(len(made))
    return made


def _trade(ts, price, size=1.0, side=BUY):
    return ts, TRADE, price, size, side


def quote(ts, bid, ask, size=1.0):
    return np.concatenate([event(ts, QUOTE, bid, size, BUY, 0), event(ts, QUOTE, ask, size, SELL)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_trade_that_is_told_again_is_in_no_bar(kind):
    events, _ = random(5, 200)
    again = np.repeat(events, 2)
    again["flags"][1::2] |= np.where(again["kind"][1::2] == TRADE, AGAIN, 0)
    again["seq"] = np.repeat(events["seq"], 2)
    (rows, _), (other, _) = (Bars(*kind, 1).take(each, until=10**12) for each in (events, again))
    assert len(rows) > 3
    assert rows.tobytes() == other.tobytes()


def random(seed, n, symbols=1, sides=(BUY, SELL)):
    """Make trades and quotes of some symbols, symbol by symbol, with many events of one instant."""
    rng, parts = np.random.default_rng(seed), []
    for symbol in range(symbols):
        one = np.zeros(n, EVENT)
        one["ts"] = np.cumsum(rng.choice([0, 0, 1, 2, 5, 40], n))
        one["kind"] = rng.choice([TRADE, TRADE, TRADE, QUOTE, LEVEL], n)
        one["price"], one["size"] = 100 + rng.integers(-8, 9, n) / 4, rng.integers(0, 9, n) / 4
        one["side"] = np.where(one["kind"] == TRADE, rng.choice(sides, n), rng.choice([BUY, SELL], n))
        one["flags"], one["symbol"], one["seq"] = LAST, symbol, np.arange(n) * symbols + symbol
        parts.append(one)
    return np.concatenate(parts), np.arange(symbols + 1) * n


def same(a, b):
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


# -- what is in a bar -------------------------------------------------------------------------------


def test_a_bar_holds_what_came_after_its_start_up_to_and_with_its_end():
    given = trades(
        (10, 99.0), (11, 100.0, 2.0), (15, 104.0, 1.0, SELL), (15, 98.0, 3.0), (20, 101.0), (21, 7.0)
    )
    rows, starts = Bars("time", 10, 1).take(given)

    assert rows["ts"].tolist() == [10, 20]
    assert [rows[name].tolist() for name in PRICES] == [[99, 100], [99, 104], [99, 98], [99, 101]]
    assert rows["volume"].tolist() == [1.0, 7.0]
    assert rows["buy_volume"].tolist() == [1.0, 6.0]
    assert rows["sell_volume"].tolist() == [0.0, 1.0]
    assert rows["trades"].tolist() == [1, 4]
    assert rows["seq"].tolist() == [0, 4]
    assert starts.tolist() == [0, 2]


def test_ends_of_time_bars_lie_on_the_grid_through_the_origin():
    given = trades((-3, 1.0), (3, 2.0), (4, 3.0), (13, 4.0), (99, 5.0))
    assert Bars("time", 10, 1, origin=3).take(given)[0]["ts"].tolist() == [3, 13]
    assert Bars("time", 10, 1).take(given)[0]["ts"].tolist() == [0, 10, 20]


def test_tick_volume_and_dollar_bars_end_with_the_trade_that_fills_them():
    given = trades((1, 10.0), (2, 20.0, 3.0), (3, 10.0), (4, 10.0, 0.5), (5, 10.0, 2.0), (9, 1.0))
    filled = {("tick", 2): [2, 4], ("volume", 4): [2], ("volume", 3): [2, 5], ("dollar", 25): [2, 5]}
    for (kind, size), ends in filled.items():
        assert Bars(kind, size, 1).take(given)[0]["ts"].tolist() == ends, kind


def test_ten_times_a_tenth_fill_a_bar_of_one():
    rows, _ = Bars("volume", 1, 1).take(trades(*((n, 5.0, 0.1) for n in range(1, 12))))
    assert rows["ts"].tolist() == [10]


@pytest.mark.parametrize(("kind", "size"), KINDS)
def test_an_instant_is_never_split(kind, size):
    given, starts = random(3, 400)
    rows, _ = Bars(kind, size, 1).take(given, starts, until=2**62)
    assert (np.diff(rows["ts"]) > 0).all()
    last = np.searchsorted(given["ts"], rows["ts"], "right")
    traded = np.cumsum(given["kind"] == TRADE)[last - 1]
    assert np.cumsum(rows["trades"]).tolist() == traded.tolist()


def test_the_quote_is_the_last_known_at_the_close_and_unknown_after_a_break():
    given = np.concatenate([
        event(1, TRADE, 5.0), event(11, TRADE, 5.0), quote(12, 4.0, 6.0, 7.0), event(21, TRADE, 5.0),
        event(22, QUOTE, 4.5, 8.0, BUY), event(31, TRADE, 5.0), event(32, BREAK), event(41, TRADE, 5.0),
        quote(42, 3.0, 5.0), event(51, TRADE, 5.0), event(52, CLEAR), event(99, TRADE, 5.0),
    ])  # fmt: skip
    rows, _ = Bars("time", 10, 1).take(given)
    expected = [
        (NAN, NAN, 0, 0),
        (4, 6, 7, 7),
        (4.5, 6, 8, 7),
        (NAN, NAN, 0, 0),
        (3, 5, 1, 1),
        (NAN, NAN, 0, 0),
    ]
    found = np.array([rows[name] for name in ("bid", "ask", "bid_size", "ask_size")]).T
    np.testing.assert_array_equal(found, expected)


def test_a_trade_of_unknown_side_makes_bought_and_sold_unknown_and_not_the_volume():
    rows, _ = Bars("time", 10, 1).take(trades((1, 5.0), (2, 5.0, 2.0, 0), (11, 5.0), (21, 5.0)))
    np.testing.assert_array_equal(rows["buy_volume"], [NAN, 1.0])
    np.testing.assert_array_equal(rows["sell_volume"], [NAN, 0.0])
    assert rows["volume"].tolist() == [3.0, 1.0]
    assert rows["flags"].tolist() == [0, 0]


def test_an_unknown_size_makes_the_volume_unknown_of_its_bar_alone():
    rows, _ = Bars("time", 10, 1).take(trades((1, 5.0), (2, 6.0, NAN), (11, 5.0), (21, 5.0)))
    np.testing.assert_array_equal(rows["volume"], [NAN, 1.0])
    assert rows["close"].tolist() == [6.0, 5.0]


def test_without_a_trade_there_is_no_row_unless_quiet_ones_are_asked_for():
    given = np.concatenate(
        [quote(1, 4.0, 6.0), trades((11, 3.0), (12, 7.0), (13, 5.0)), quote(21, 4.0, 7.0), trades((55, 6.0))]
    )
    assert Bars("time", 10, 1).take(given, until=60)[0]["ts"].tolist() == [20, 60]
    rows, _ = Bars("time", 10, 1, quiet=True).take(given, until=60)
    assert rows["ts"].tolist() == [10, 20, 30, 60], "none where no event came"
    for name, traded in zip(PRICES, (3.0, 7.0, 3.0, 5.0), strict=True):
        np.testing.assert_array_equal(rows[name], [NAN, traded, 5.0, 6.0])
    assert rows["trades"].tolist() == [0, 3, 0, 1]
    assert rows["volume"].tolist() == [0.0, 3.0, 0.0, 1.0]


def test_bars_of_mids_count_whole_quotes_and_know_no_volume():
    given = np.concatenate([
        event(1, QUOTE, 4.0, 1.0, BUY), quote(2, 4.0, 6.0), quote(3, 8.0, 9.0), event(4, TRADE, 99.0),
        quote(11, 1.0, 2.0), quote(21, 2.0, 2.0),
    ])  # fmt: skip
    rows, _ = Bars("time", 10, 1, mid=True).take(given)
    assert [rows[name].tolist() for name in PRICES] == [[5, 1.5], [8.5, 1.5], [5, 1.5], [8.5, 1.5]]
    for name in ("volume", "buy_volume", "sell_volume"):
        assert np.isnan(rows[name]).all()
    assert rows["trades"].tolist() == [0, 0]
    assert Bars("tick", 2, 1, mid=True).take(given)[0]["ts"].tolist() == [3]


def test_the_session_is_the_utc_day():
    day = 1440 * MINUTE
    given = trades(
        (day - 1, 1.0), (day + 1, 1.0), (2 * day - MINUTE + 1, 1.0), (3 * day, 1.0), (3 * day + 1, 1.0)
    )
    rows, _ = Bars("time", MINUTE, 1).take(given)
    found = list(
        zip(*(rows[n].tolist() for n in ("session_id", "minute_of_session", "minutes_to_close")), strict=True)
    )
    assert found == [utc_session(ts) for ts in rows["ts"].tolist()]


# -- imbalance --------------------------------------------------------------------------------------


def slow_imbalance(signed, size):
    """Return where bars end, by the formulas of the docstring; no two trades share a time."""
    ends, theta, count, mean, length, full = [], 0.0, 0, 0.0, float(size), math.inf
    for n, sign in enumerate(signed):
        theta, count = theta + sign, count + 1
        mean += 2 / (size + 1) * (sign - mean)
        if abs(theta) >= full or count >= (10 * size if ends else size):
            ends.append(n)
            length = min(max(length + 2 / 21 * (count - length), size / 2), size * 2)
            full, theta, count = length * abs(mean), 0.0, 0
    return ends


@given(st.lists(st.sampled_from([BUY, SELL, SELL]), max_size=200), st.integers(1, 20))
def test_imbalance_bars_are_those_of_the_formulas(sides, size):
    given = trades(*((n, 5.0, 1.0, side) for n, side in enumerate(sides)))
    rows, _ = Bars("imbalance", size, 1).take(given, until=10**6)
    assert rows["ts"].tolist() == slow_imbalance(sides, size)
    assert (rows["flags"] == 0).all()


def test_where_no_side_is_known_the_last_change_of_price_gives_the_sign_and_the_row_says_so():
    prices = [5.0, 5.0, 6.0, 6.0, 5.0, 5.0, 7.0, 7.0, 7.0, 8.0, 9.0, 9.0, 9.0]
    signs = [0, 0, 1, 1, -1, -1, 1, 1, 1, 1, 1, 1, 1]
    rows, _ = Bars("imbalance", 4, 1).take(trades(*((n, p, 1.0, 0) for n, p in enumerate(prices))), until=99)
    assert rows["ts"].tolist() == slow_imbalance(signs, 4)
    assert (rows["flags"] == TICK_RULE).all()
    known = trades(*((n, p) for n, p in enumerate(prices)))
    known["side"][5] = 0
    rows, _ = Bars("imbalance", 4, 1).take(known, until=99)
    assert rows["flags"].tolist() == [TICK_RULE if a <= 5 <= b else 0 for a, b in _spans(rows["ts"])]


def _spans(ends):
    return zip([0, *(ends[:-1] + 1).tolist()], ends.tolist(), strict=True)


# -- an oracle --------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.sampled_from([7, 10, 60]))
def test_time_bars_are_those_of_pandas(seed, length):
    given, starts = random(seed, 300)
    rows, _ = Bars("time", length, 1).take(given, starts, until=2**62)
    one = given[given["kind"] == TRADE]
    table = pd.DataFrame({"price": one["price"], "size": one["size"]}, pd.to_datetime(one["ts"]))
    grid = table.resample(pd.Timedelta(length, "ns"), closed="right", label="right", origin="epoch")
    wanted = grid["price"].ohlc().join(grid["size"].sum()).join(grid["size"].count().rename("n")).dropna()
    assert rows["ts"].tolist() == wanted.index.astype("int64").tolist()
    for name, theirs in (*zip(PRICES, PRICES, strict=True), ("volume", "size"), ("trades", "n")):
        assert rows[name].tolist() == wanted[theirs].tolist()


# -- the same whatever the pieces ---------------------------------------------------------------------


def in_pieces(bars, given, starts, size, restore=False):
    """Feed every symbol's events in pieces of `size`, symbols in step; return rows symbol by symbol."""
    symbols, kept = len(starts) - 1, []
    for at in range(0, max(np.diff(starts)), size):
        parts = [given[starts[s] : starts[s + 1]][at : at + size] for s in range(symbols)]
        kept.append(bars.take(np.concatenate(parts), np.cumsum([0, *map(len, parts)])))
        if restore:
            saved = bars.state.tobytes()
            bars.state[:] = 0
            bars.state[:] = np.frombuffer(saved, bars.state.dtype)
    kept.append(bars.flush(2**62))
    return [np.concatenate([rows[cut[s] : cut[s + 1]] for rows, cut in kept]) for s in range(symbols)]


@pytest.mark.parametrize(("kind", "size"), KINDS)
@pytest.mark.parametrize("sides", [(BUY, SELL), (BUY, 0, SELL)])
def test_pieces_and_restoring_change_no_bit(kind, size, sides):
    given, starts = random(1, 300, 3, sides)
    whole, cut = Bars(kind, size, 3, quiet=True).take(given, starts, until=2**62)
    assert len(whole) > 30
    for piece in (1, 7, 64, 300):
        parts = in_pieces(Bars(kind, size, 3, quiet=True), given, starts, piece, restore=True)
        for s in range(3):
            assert same(parts[s], whole[cut[s] : cut[s + 1]])


@given(st.integers(0, 20), st.sampled_from(KINDS), st.lists(st.integers(0, 800), max_size=6))
def test_time_that_passes_brings_the_same_bars_sooner(seed, kind, times):
    given, starts = random(seed, 100)
    whole, _ = Bars(*kind, 1).take(given, starts, until=2**62)
    bars, kept, done = Bars(*kind, 1), [], 0
    for until in [*sorted(times), 2**62]:
        upto = int(np.searchsorted(given["ts"], until, "right"))
        rows, _ = bars.take(given[done:upto], until=until)
        assert rows.size == 0 or rows["ts"][-1] <= until
        assert int(bars.state["end"][0]) > until, "what has ended is out"
        kept.append(rows)
        done = upto
    assert same(np.concatenate(kept), whole)


@given(st.integers(0, 20), st.sampled_from(KINDS), st.integers(0, 100))
def test_what_comes_later_changes_no_bar(seed, kind, n):
    given, _ = random(seed, 100)
    whole, _ = Bars(*kind, 1).take(given)
    early, _ = Bars(*kind, 1).take(given[:n])
    assert same(early, whole[: len(early)])
    if len(early):
        assert early["ts"][-1] < given["ts"][n - 1], "a bar is out only when its end has passed"


def test_the_rows_of_symbols_make_a_chunk():
    given, starts = random(5, 200, 3)
    for kind, size in KINDS:
        chunk = Chunk(*Bars(kind, size, 3).take(given, starts, until=2**62))
        assert chunk.rows.dtype == ROW
        assert chunk.ticks > 20


def test_no_events_and_symbols_without_any_give_no_rows():
    rows, starts = Bars("time", 10, 2).flush(2**63 - 1)
    assert (len(rows), starts.tolist()) == (0, [0, 0, 0])
    one = trades((5, 1.0))
    one["symbol"] = 1
    rows, starts = Bars("time", 10, 2).take(one, [0, 0, 1], until=2**63 - 1)
    assert (rows["symbol"].tolist(), starts.tolist()) == ([1], [0, 0, 1])


# -- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "bad", "why"),
    [
        ("time", trades((5, 1.0), (4, 1.0)), "event 1 is stamped 4, before 5"),
        ("time", trades((5, 1.0), (6, NAN)), "event 1 is a trade of price nan"),
        ("time", trades((5, 1.0), (6, math.inf)), "event 1 is a trade of price inf"),
        ("time", trades((5, 1.0), (6, 1.0, -1.0)), r"price 1.0 and size -1.0"),
        ("time", trades((5, 1.0), (6, 1.0, math.inf)), r"size inf"),
        ("volume", trades((5, 1.0), (6, 1.0, NAN)), "known where it fills the bar"),
        ("dollar", trades((5, 1.0), (6, 1.0, NAN)), "known where it fills the bar"),
        (
            "time",
            np.concatenate([trades((5, 1.0)), event(6, TRADE, 1.0, symbol=1)]),
            "symbol 1 among those of 0",
        ),
    ],
)
def test_an_event_that_cannot_be_is_refused_and_none_of_its_piece_is_taken(kind, bad, why):
    bars = Bars(kind, 10, 1)
    before = bars.state.tobytes()
    with pytest.raises(DataError, match=why):
        bars.take(bad)
    assert bars.state.tobytes() == before


def test_an_event_that_was_said_not_to_come_is_refused():
    bars = Bars("time", 10, 1)
    bars.flush(20)
    with pytest.raises(DataError, match="stamped 20, before 21"):
        bars.take(trades((20, 1.0)))
    assert bars.take(trades((21, 1.0)), until=30)[0]["ts"].tolist() == [30]


@pytest.mark.parametrize("starts", [[0, 2], [0, 1, 1, 1], [1, 1, 1], [0, 2, 1]])
def test_starts_that_do_not_cut_the_events_are_refused(starts):
    with pytest.raises(DataError, match="3 starts that rise from 0 to 1"):
        Bars("time", 10, 2).take(trades((1, 1.0)), starts)
    with pytest.raises(DataError, match="dtype"):
        Bars("time", 10, 1).take(np.zeros(1, ROW))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("minute", 1, 1), "kind was 'minute'; it is one of time"),
        (("time", 0, 1), "size was 0"),
        (("time", 1.5, 1), "size was 1.5"),
        (("tick", NAN, 1), "size was nan"),
        (("volume", math.inf, 1), "size was inf"),
        (("time", 1, 0), "symbols was 0"),
    ],
)
def test_bars_that_cannot_be_are_refused(given, why):
    with pytest.raises(ConfigError, match=why):
        Bars(*given)
    with pytest.raises(ConfigError, match="dollar bars need trades"):
        Bars("dollar", 1, 1, mid=True)
