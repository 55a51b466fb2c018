import gzip
import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_feed_recorded import Recorded
from nexus_recording import Recording
from nexus_recording.rehearsal import COIN_M, USD_M, Venue

from nexus_core import Market
from nexus_core.errors import ConfigError, DataError, NotFoundError
from nexus_core.feed import ALL
from nexus_core.market.events import CLEAR, LEVEL, QUOTE, TRADE
from nexus_core.testing import FeedContract
from nexus_core.types import Instrument

MS = 1_000_000
LINES = list(Venue(1, USD_M, ahead=-1_270 * MS).lines(3_000))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording")
    (folder / "1.gz").write_bytes(gzip.compress(b"".join(LINES[:1_000])))
    (folder / "2.gz").write_bytes(gzip.compress(b"".join(LINES[1_000:])))
    return str(folder)


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    monkeypatch.setattr("nexus_feed_recorded.PIECE", 20_000)


class TestItsContract(FeedContract):
    feed = "recorded"


def market(*symbols, interval=500 * MS, ticks=ALL, clock="bar"):
    return Market(tuple(map(Instrument, symbols or ("BTC-USDT",))), interval, 7, ticks, clock)


def joined(chunks):
    chunks = list(chunks)
    return [np.concatenate([getattr(each, name) for each in chunks]) for name in ("rows", "events")]


def all_events(path):
    return np.concatenate(list(Recording(path, ["BTCUSDT"]).events()))


def test_it_declares_what_it_is():
    assert (Recorded.nexus_api, Recorded.name, Recorded.live, Recorded.endless) == (
        1,
        "recorded",
        False,
        False,
    )
    assert Recorded.clocks == {"bar", "every", "event"}
    Recorded().warm()


def test_rows_are_the_bars_of_the_trades_and_events_come_before_their_row(path):
    rows, events = joined(Recorded(path=path).chunks(market(), 0))
    expected = all_events(path)
    assert events.tobytes() == expected[: len(events)].tobytes()
    assert len(events) == (expected["ts"] <= rows["ts"][-1]).sum()
    trades = expected[expected["kind"] == TRADE]
    at = -(-trades["ts"] // (500 * MS)) * 500 * MS
    assert rows["ts"].tolist() == [each for each in np.unique(at).tolist() if each <= rows["ts"][-1]]
    for row in rows:
        own = trades[at == row["ts"]]
        assert (row["open"], row["close"]) == (own["price"][0], own["price"][-1])
        assert (row["high"], row["low"]) == (own["price"].max(), own["price"].min())
        assert row["volume"] == pytest.approx(own["size"].sum())
        quoted = expected[(expected["kind"] == QUOTE) & (expected["ts"] <= row["ts"])]
        assert row["bid"] == quoted["price"][quoted["side"] == 1][-1]


def test_chunks_are_many_and_none_has_an_event_after_its_last_row(path):
    chunks = list(Recorded(path=path).chunks(market(interval=100 * MS), 0))
    assert len(chunks) > 5
    for before, after in pairwise(chunks):
        assert before.events["ts"].max() <= before.times[-1] < after.events["ts"].min()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 60), st.integers(1, 60))
def test_from_any_tick_on_rows_and_events_are_the_same(path, start, count):
    whole, events = joined(Recorded(path=path).chunks(market(interval=100 * MS), 0))
    assert len(whole) > 40
    end = min(start + count, len(whole))
    late = list(Recorded(path=path).chunks(market(interval=100 * MS, ticks=start + count), start))
    if start >= len(whole):
        assert late == []
        return
    rows, heard = joined(late)
    assert rows.tobytes() == whole[start:end].tobytes()
    before = whole["ts"][start - 1] if start else 0
    asked = (events["ts"] > before) & (events["ts"] <= whole["ts"][end - 1])
    assert heard.tobytes() == events[asked].tobytes()


def test_with_a_clock_of_events_each_instant_is_a_row(path):
    rows, events = joined(Recorded(path=path).chunks(market(interval=1, clock="event"), 0))
    assert rows["ts"].tolist() == np.unique(events["ts"]).tolist()
    assert {LEVEL, QUOTE, TRADE} <= set(events["kind"])


def test_symbols_lie_apart_in_chunks(tmp_path):
    one, other = Venue(2, COIN_M, "BTCUSD_PERP"), Venue(3, COIN_M, "ETHUSD_PERP")
    both = [b for pair in zip(one.lines(800), other.lines(800), strict=True) for b in pair]
    (tmp_path / "x.jsonl").write_bytes(b"".join(both))
    feed = Recorded(path=str(tmp_path), names="ETHUSD_PERP, BTCUSD_PERP")
    chunks = list(feed.chunks(market("ETH-USD", "BTC-USD"), 0))
    events = np.concatenate([each.events for each in chunks])
    for s, name in enumerate(("ETHUSD_PERP", "BTCUSD_PERP")):
        alone = np.concatenate(list(Recording(str(tmp_path / "x.jsonl"), [name]).events()))
        own = events[events["symbol"] == s]
        for field in ("ts", "price", "size", "kind", "id"):
            got, expected = own[field], alone[field][: len(own)]
            np.testing.assert_array_equal(got, np.maximum(expected, got) if field == "ts" else expected)


def test_a_forced_order_is_heard_and_not_traded_twice(tmp_path):
    forced = {"s": "BTCUSDT", "S": "SELL", "ap": "9.5", "z": "1000"}
    t = 1_767_225_600_000
    lines = [
        b"%d %s\n"
        % (t * MS, json.dumps({"e": "forceOrder", "E": t, "o": forced}, separators=(",", ":")).encode())
    ]
    (tmp_path / "x.txt").write_bytes(b"".join([*lines, *Venue(4, USD_M).lines(500)]))
    rows, events = joined(Recorded(path=str(tmp_path / "x.txt"), clock="0").chunks(market(), 0))
    assert events["size"][0] == 1000.0
    assert rows["volume"].max() < 1000.0


def test_what_is_recorded_of_a_run_names_every_file_by_its_content(path):
    facts = Recorded(path=path, tick=0.1).recording(market())
    assert [each["sha256"] for each in facts["files"]] == [
        hashlib.sha256(Path(each["path"]).read_bytes()).hexdigest() for each in facts["files"]
    ]
    assert (facts["names"], facts["tick"], facts["interval"]) == (["BTCUSDT"], 0.1, 500 * MS)
    assert facts["offset"] == Recording(path, ["BTCUSDT"]).summary().offset > 1_200 * MS
    assert json.loads(json.dumps(facts)) == facts


def test_the_example_has_a_book_and_trades_for_every_symbol(tmp_path):
    feed, asked = Recorded(**Recorded.example(tmp_path)), ("BTC-USD", "ETH-USD", "SOL-USD")
    rows, events = joined(feed.chunks(market(*asked, interval=60_000 * MS), 0))
    for s in range(3):
        own = events[events["symbol"] == s]
        assert {CLEAR, LEVEL, QUOTE, TRADE} <= set(own["kind"])
        assert (rows["symbol"] == s).sum() > 100
    assert np.unique(rows["ts"]).size > 200


def test_what_is_wrong_is_told(tmp_path, caplog):
    lines = [b"junk\n", *Venue(5).lines(400, snapshots=())]
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"".join(lines)))
    feed = Recorded(path=str(tmp_path), quarantine=str(tmp_path / "bad"))
    with caplog.at_level("INFO", logger="nexus"):
        list(feed.chunks(market(), 0))
    assert (tmp_path / "bad").read_bytes() == b"junk\n"
    assert "x.gz, line 1: it is no line of this format" in caplog.text
    assert "BTC-USDT is unsynced" in caplog.text or "BTCUSDT is unsynced" in caplog.text
    assert "faults: garbled 1" in caplog.text


def test_a_path_that_is_missing_or_names_that_do_not_fit_are_refused(path):
    with pytest.raises(ConfigError, match=r"recorded: there is no path. Set \[plugins.recorded\] path"):
        Recorded().recording(market())
    with pytest.raises(NotFoundError, match="no file was found"):
        Recorded(path=path + "/none").recording(market())
    with pytest.raises(ConfigError, match="names has 2 of them, and the run 1 symbols"):
        Recorded(path=path, names="A,B").recording(market())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", r"none of its 0 lines gave an event of BTCUSDT\. Name"),
        (b"time,open,high\n1704067260,1.0,2.0\n", r"none of its 2 lines gave an event of BTCUSDT\. Name"),
        (b"\x89PNG\r\n\x1a\n\x00IHDR", r"none of its \d+ lines gave an event of BTCUSDT\. Name"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_and_not_played_as_silence(tmp_path, text, said):
    (tmp_path / "x.gz").write_bytes(gzip.compress(text))
    with pytest.raises(DataError, match=said):
        list(Recorded(path=str(tmp_path)).chunks(market(), 0))


def test_a_recording_of_other_symbols_is_refused_and_says_so(path):
    with pytest.raises(
        DataError, match=r"of ETHUSDT; [\d,]+ are of other symbols\. .* plugins.recorded.names"
    ):
        list(Recorded(path=path).chunks(market("ETH-USDT"), 0))


def test_a_start_beyond_the_end_of_a_recording_is_no_error(path):
    assert list(Recorded(path=path).chunks(market(), 10**6)) == []


def test_it_carries_the_share_of_changes_that_could_be_applied(path, tmp_path):
    whole, late = Recorded(path=path), Recorded(path=str(tmp_path / "late.gz"))
    assert whole.quality == {}
    kept = [line for line in LINES if b"lastUpdateId" not in line]
    (tmp_path / "late.gz").write_bytes(gzip.compress(b"".join(kept)))
    for feed in (whole, late):
        for _ in feed.chunks(market(), 0):
            pass
    assert whole.quality["BTC-USDT"] > 0.95
    assert late.quality == {"BTC-USDT": 0.0}
