import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_recording import Decoder
from nexus_recording.decoder import LONGEST, compact, measured
from nexus_recording.rehearsal import COIN_M, SPOT, USD_M, Venue

from nexus_core.errors import ConfigError
from nexus_core.market.events import (
    AGAIN,
    BACK,
    BREAK,
    BUY,
    CLEAR,
    LAST,
    LEVEL,
    LIQUIDATION,
    QUOTE,
    SELL,
    SNAPSHOT,
    TRADE,
)

T = 1_767_225_600_000  # ms
MS = 1_000_000


LISTED = {"coin": "BTCUSDT", "px": "9", "sz": "2", "side": "B", "time": T, "tid": 8}


def line(message, local=T * MS):
    return b"%d %s\n" % (local, json.dumps(message, separators=(",", ":")).encode())


def decode(*lines, names=("BTCUSDT",), offset=0):
    faults = []
    decoder = Decoder(names, offset)
    return decoder.decode(b"".join(lines), faults), faults, decoder


def tuples(events):
    return [tuple(e) for e in events[["ts", "id", "price", "size", "kind", "side", "flags"]].tolist()]


TRADED = {"e": "trade", "E": T, "T": T - 1, "s": "BTCUSDT", "t": 7, "p": "61800.30", "q": "0.006", "m": False}
TICKER = {"u": 9, "s": "BTCUSDT", "b": "1.5", "B": "2", "a": "1.6", "A": "0.3"}
REST = {"lastUpdateId": 10, "bids": [["1.5", "2"]], "asks": [["1.6", "3"], ["1.7", "4"]]}
CHANGE = {
    "e": "depthUpdate",
    "E": T + 5,
    "s": "BTCUSDT",
    "U": 11,
    "u": 12,
    "b": [["1.4", "1"]],
    "a": [["1.6", "0"]],
}
TRADE_EVENT = (T * MS, 7, 61800.3, 0.006, TRADE, BUY, LAST)


def test_a_trade_has_its_aggressors_side():
    sold = {**TRADED, "t": 8, "m": True}
    events, faults, _ = decode(line(TRADED), line(sold))
    assert not faults
    assert tuples(events) == [TRADE_EVENT, (T * MS, 8, 61800.3, 0.006, TRADE, SELL, LAST)]
    assert events["local"].tolist() == [T * MS] * 2
    assert events["symbol"].tolist() == [0, 0]


def test_trades_taken_together_have_their_own_number():
    taken = {
        "e": "aggTrade",
        "E": T,
        "s": "BTCUSDT",
        "a": 3,
        "p": "5.0",
        "q": "2.5",
        "f": 1,
        "l": 2,
        "T": T,
        "m": True,
    }
    events, _, _ = decode(line(taken))
    assert tuples(events) == [(T * MS, 3, 5.0, 2.5, TRADE, SELL, LAST)]


def test_one_stream_of_trades_is_played_where_there_are_two():
    taken = {"e": "aggTrade", "E": T, "s": "BTCUSDT", "a": 3, "p": "5.0", "q": "2.5", "T": T, "m": True}
    events, _, decoder = decode(line(TRADED), line(taken))
    assert (len(events), decoder.books[0]["other_tape"]) == (1, 1)


def test_a_trade_beside_the_book_is_counted_and_not_played():
    events, _, decoder = decode(
        line({**TRADED, "X": "NA", "p": "0", "q": "0"}), line({**TRADED, "t": 8, "X": "MARKET"})
    )
    assert (events["id"].tolist(), decoder.books[0]["off_book"], decoder.books[0]["missing"]) == ([8], 1, 0)


def test_a_quote_is_two_events_and_without_a_time_has_the_recorders():
    events, _, _ = decode(line(TICKER, T * MS + 400), offset=-150)
    ts = T * MS + 250
    assert tuples(events) == [(ts, 9, 1.5, 2.0, QUOTE, BUY, 0), (ts, 9, 1.6, 0.3, QUOTE, SELL, LAST)]
    assert events["local"].tolist() == [ts, ts]


def test_a_forced_order_is_a_trade_of_what_it_filled():
    order = {
        "s": "BTCUSDT",
        "S": "SELL",
        "o": "LIMIT",
        "q": "3",
        "p": "99",
        "ap": "98.5",
        "l": "1",
        "z": "2",
        "T": T,
    }
    events, faults, _ = decode(line({"e": "forceOrder", "E": T + 1, "o": order}))
    assert not faults
    assert tuples(events) == [((T + 1) * MS, 0, 98.5, 2.0, TRADE, SELL, LIQUIDATION | AGAIN | LAST)]


def test_a_snapshot_and_the_changes_that_follow():
    first = {**CHANGE, "E": T + 1, "U": 9, "u": 10}
    events, _, _ = decode(line(first), line(REST, (T + 3) * MS), line(CHANGE, (T + 5) * MS))
    ts, later = (T + 3) * MS, (T + 5) * MS
    assert tuples(events[1:]) == [
        (ts, 10, 1.5, 2.0, LEVEL, BUY, SNAPSHOT),
        (ts, 10, 1.6, 3.0, LEVEL, SELL, SNAPSHOT),
        (ts, 10, 1.7, 4.0, LEVEL, SELL, SNAPSHOT | LAST),
        (later, 12, 1.4, 1.0, LEVEL, BUY, 0),
        (later, 12, 1.6, 0.0, LEVEL, SELL, LAST),
    ]
    assert (events[0]["kind"], events[0]["flags"], events[0]["ts"]) == (CLEAR, SNAPSHOT, ts)


def test_changes_that_waited_come_after_the_snapshot_with_times_that_do_not_go_back():
    events, _, _ = decode(line(CHANGE, (T + 5) * MS), line(REST, (T + 9) * MS))
    assert events["kind"].tolist() == [CLEAR, LEVEL, LEVEL, LEVEL, LEVEL, LEVEL]
    assert set(events["ts"].tolist()) == {(T + 9) * MS}
    assert events["flags"][-2:].tolist() == [BACK, BACK | LAST]
    assert events["local"][-2:].tolist() == [(T + 5) * MS] * 2


def test_hyperliquids_book_is_whole_each_time_and_its_trades_are_lists():
    levels = [[{"n": 5, "px": "105055.0", "sz": "3.03"}], [{"px": "105056.0", "sz": "1", "n": 1}]]
    book = {"channel": "l2Book", "data": {"coin": "BTC", "levels": levels, "time": T}}
    trade = {
        "coin": "BTC",
        "hash": "0xde",
        "px": "105056.0",
        "sz": "0.2",
        "tid": 77,
        "time": T + 1,
        "users": ["0x1", "0x2"],
    }
    said = {"channel": "trades", "data": [{**trade, "side": "B"}, {**trade, "side": "A", "tid": 55}]}
    events, faults, decoder = decode(line(book), line(said), line(book), line(said), names=("BTC",))
    assert not faults
    assert tuples(events[1:]) == [
        (T * MS, T, 105055.0, 3.03, LEVEL, BUY, SNAPSHOT),
        (T * MS, T, 105056.0, 1.0, LEVEL, SELL, SNAPSHOT | LAST),
        ((T + 1) * MS, 77, 105056.0, 0.2, TRADE, BUY, 0),
        ((T + 1) * MS, 55, 105056.0, 0.2, TRADE, SELL, LAST),
    ]
    assert (decoder.books[0]["duplicates"], decoder.books[0]["trade_duplicates"]) == (1, 2)


def test_trades_of_long_ago_are_played_late_and_hold_back_nothing():
    old = {"channel": "trades", "data": [{**LISTED, "time": T - 9_000_000, "tid": 7}, LISTED]}
    events, faults, _ = decode(line({**TICKER, "s": "BTCUSDT"}), line(old), names=("BTCUSDT",))
    assert not faults
    assert events["ts"].tolist() == [T * MS] * 4
    assert events["flags"][2:].tolist() == [BACK, LAST]


def shuffled(message, pick):
    items = list(message.items())
    pick.shuffle(items)
    items.sort(key=lambda item: item[0] in ("a", "asks"))  # only the order of the events would be another
    items.insert(
        pick.randint(0, len(items)),
        ("zz", pick.choice([1, -2.5e3, 'x"y', None, [1, {"a": []}], {"b": {"e": "no"}}])),
    )
    return {k: shuffled(v, pick) if k == "data" and isinstance(v, dict) else v for k, v in items}


@pytest.mark.parametrize("market", [SPOT, USD_M, COIN_M])
def test_neither_the_order_of_keys_nor_unknown_keys_nor_blanks_matter(market):
    pick = random.Random(1)
    lines = list(Venue(1, market).lines(150))
    expected, _, _ = decode(*lines)
    for dump in ({"separators": (",", ":")}, {}, {"indent": None, "separators": (" , ", " : ")}):
        other = []
        for each in lines:
            stamp, _, message = each.partition(b" ")
            other.append(
                stamp
                + b" "
                + json.dumps(shuffled(json.loads(message), pick), **dump).encode()
                + b"\r\n" * (not dump)
                + b"\n"
            )
        events, faults, _ = decode(*other)
        assert not faults
        assert events.tobytes() == expected.tobytes()


def test_asks_may_come_before_bids():
    turned = {k: REST[k] for k in ("asks", "bids", "lastUpdateId")}
    events, faults, _ = decode(line(turned))
    assert not faults
    assert [(e["price"], e["side"]) for e in events[1:]] == [(1.6, SELL), (1.7, SELL), (1.5, BUY)]
    assert events["flags"].tolist() == [SNAPSHOT] * 3 + [SNAPSHOT | LAST]


def test_what_the_fast_way_does_not_know_the_slow_way_reads():
    text = json.dumps(TRADED).replace('"p"', '"\\u0070"').replace("61800.30", "61800.2999999999999999999")
    events, faults, _ = decode(b"%d %s\n" % (T * MS, text.encode()))
    assert not faults
    assert tuples(events) == [TRADE_EVENT]
    twice = b'%d {"p":"1",%s\n' % (T * MS, json.dumps(TRADED)[1:].encode())
    assert tuples(decode(twice)[0]) == [TRADE_EVENT]
    long = line({**TRADED, "p": "0.12345678901234567", "q": "1e-7"})
    assert decode(long)[0]["price"].tolist() == [0.12345678901234567]
    assert decode(long)[0]["size"].tolist() == [1e-7]


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"garbage", "garbled"),
        (b'1767225600000000000 {"e":"trade"', "garbled"),
        (b"1767225600000000000 [1,2]", "garbled"),
        (b"1767225600000000000 " + b"[" * 100_000, "garbled"),
        (b'1767225600000000000 {"e":NaN}', "garbled"),
        (b'{"e":"trade"}', "garbled"),
        (b"\xff\xfe\x00\x80", "garbled"),
        (line({**TRADED, "p": "-1"})[:-1], "garbled"),
        (line({**TRADED, "p": "0.0"})[:-1], "incomplete"),
        (line({**TRADED, "p": "1e999"})[:-1], "garbled"),
        (line({k: v for k, v in TRADED.items() if k != "m"})[:-1], "incomplete"),
        (line({**CHANGE, "U": 13})[:-1], "incomplete"),
        (line({**TRADED, "E": T + 4_000_000})[:-1], "clock"),
        (line({**TRADED, "E": 99 * T})[:-1], "incomplete"),
        (line({"channel": "trades", "data": [{**LISTED, "time": T + 4_000_000}]})[:-1], "clock"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_others_are_played(bad, kind):
    last = {**TRADED, "t": 8}
    events, faults, _ = decode(line(TRADED), bad + b"\n", line(last))
    assert events["id"].tolist() == [7, 8]
    assert [(each.kind, each.line, each.text) for each in faults] == [(kind, 2, bad)]
    assert "line 2: " in str(faults[0])


def test_other_streams_and_other_symbols_are_counted():
    kline = {"stream": "btcusdt@kline_1m", "data": {"e": "kline", "E": T, "s": "BTCUSDT", "k": {"o": "1"}}}
    other = {**TRADED, "s": "ETHUSDT"}
    events, faults, decoder = decode(line(kline), line({"result": None, "id": 1}), line(other), line(TRADED))
    assert not faults
    assert (decoder.unknown, decoder.reader[0]["others"]) == ({"kline": 1, "without a name": 1}, 1)
    assert len(events) == 1


def test_a_snapshot_of_nobody_is_nobodys_where_there_are_others():
    _, faults, _ = decode(line({**TRADED, "s": "ETHUSDT"}), line(REST))
    assert [each.kind for each in faults] == ["whose"]
    wrapped = {"stream": "btcusdt@snapshot", "data": REST}
    events, faults, _ = decode(line({**TRADED, "s": "ETHUSDT"}), line(wrapped))
    assert not faults
    assert len(events) == 4


def test_names_are_known_by_all_their_letters():
    lines = [
        line({**TRADED, "s": name, "t": k})
        for k, name in enumerate(("LINKUSDT", "SINKUSDT", "LINKUSD", "LINKUSDTX"))
    ]
    events, _, decoder = decode(*lines, names=("SINKUSDT", "linkusdt"))
    assert (events["symbol"].tolist(), decoder.reader[0]["others"]) == ([1, 0], 2)
    with pytest.raises(ConfigError, match="no name of 1 to 31"):
        Decoder(["X" * 32])


def test_a_line_without_an_end_is_given_up():
    decoder, faults = Decoder(["BTCUSDT"]), []
    for _ in range(LONGEST // 2**20 + 2):
        decoder.decode(b"x" * 2**20, faults)
    events = decoder.decode(b"x\n" + line(TRADED), faults)
    assert [(each.kind, each.line) for each in faults] == [("too long", 1)]
    assert tuples(events) == [TRADE_EVENT]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_pieces_of_any_size_and_a_restored_state_give_the_same_bits(size):
    text = b"".join(Venue(3, USD_M).lines(60 if size == 1 else 300, snapshots=(20,)))
    text = text.replace(b'"p"', b'"q"', 3)
    decoder, faults = Decoder(["BTCUSDT"]), []
    expected = decoder.decode(text, faults).tobytes()
    first, later, found = Decoder(["BTCUSDT"]), Decoder(["BTCUSDT"]), []
    half = len(text) // 3
    events = [first.decode(text[k : min(k + size, half)], found) for k in range(0, half, size)]
    later.restore(first.state())
    events += [later.decode(text[k : k + size], found) for k in range(half, len(text), size)]
    assert b"".join(each.tobytes() for each in events) == expected
    assert found == faults
    assert later.reader["seq"] == decoder.reader["seq"]
    assert later.books.tobytes() == decoder.books.tobytes()


LINES = list(Venue(2, USD_M).lines(60)) + list(Venue(2, SPOT, "ETHUSDT").lines(20)) + [line(TRADED)]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_garbage_never_crashes_and_every_line_is_accounted_for(data):
    pick = random.Random(data.draw(st.integers()))
    lines = [bytearray(each) for each in LINES]
    for _ in range(pick.randint(1, 30)):
        victim = pick.choice(lines)
        at = pick.randrange(len(victim))
        what = pick.randrange(4)
        if what == 0:
            victim[at] = pick.randrange(256)
        elif what == 1:
            del victim[at : at + pick.randrange(1, 40)]
        elif what == 2:
            victim[at:at] = pick.randbytes(pick.randrange(1, 9))
        else:
            victim[at:at] = pick.choice(lines)[: pick.randrange(1, 80)]
    text = b"".join(lines) + b"\n"
    events, faults, decoder = decode(text)
    lines = [each for each in text.split(b"\n") if each]
    assert decoder.counts.sum() + decoder.unknown.total() + len(faults) == len(lines)
    assert decoder.reader[0]["total"] == len(lines)
    assert (np.diff(events["ts"]) >= 0).all()
    assert (events["price"][np.isin(events["kind"], (TRADE, QUOTE, LEVEL))] > 0).all()
    assert np.isfinite(events["price"][np.isin(events["kind"], (TRADE, QUOTE, LEVEL))]).all()


def test_a_compact_line_says_first_what_it_is():
    again, name = compact(b'5 { "data": {"coin": "x"}, "channel": "trades" } ')
    assert (again, name) == (b'5 {"channel":"trades","data":{"coin":"x"}}', "trades")


def test_how_far_the_clocks_are_apart_is_measured_past_garbage():
    lines = [b"junk\n", line(TRADED, T * MS + 5), b'17 {"e":\n', line(TICKER, 9), line(CHANGE, T * MS - 7)]
    apart, ticks = measured(b"".join(lines), ["BTCUSDT"])
    assert (apart.tolist(), ticks.tolist()) == ([5, -7 - 5 * MS], [0.0])


def test_the_step_of_prices_is_a_power_of_ten_where_there_are_enough():
    for price, tick in (("5.0", 1.0), ("61800.20", 0.1), ("0.00001230", 1e-7), ("1.05000000", 0.01)):
        change = {**CHANGE, "b": [["7.00", "0"]] * 498, "a": [["7.00", "1"]]}
        enough = {**change, "b": [*change["b"], [price, "0"]]}
        assert measured(line(change), ["X", "BTCUSDT"])[1].tolist() == [0.0, 0.0]
        assert measured(line(enough), ["X", "BTCUSDT"])[1].tolist() == [0.0, tick]
    assert measured(line({**REST, "asks": [["1.25", "1"]] * 500}), ["X"])[1].tolist() == [0.01]


def test_the_tick_is_told_and_a_price_off_its_grid_breaks_the_book():
    off = {**CHANGE, "U": 13, "u": 14, "b": [["1.45", "1"]]}
    faults = []
    decoder = Decoder(["BTCUSDT"], ticks=[0.1])
    events = decoder.decode(
        line(REST) + line(CHANGE) + line(off) + line({**REST, "lastUpdateId": 20}), faults
    )
    kinds = events["kind"].tolist()
    assert kinds == [CLEAR, LEVEL, LEVEL, LEVEL, LEVEL, LEVEL, BREAK, CLEAR, LEVEL, LEVEL, LEVEL]
    assert events["price"][events["kind"] == CLEAR].tolist() == [0.1, 0.0]
    assert (decoder.books[0]["off_grid"], decoder.books[0]["gaps"]) == (1, 1)
