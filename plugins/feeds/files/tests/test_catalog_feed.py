import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from nexus_catalog.series import Series
from nexus_catalog.store import Catalog
from nexus_feed_files.catalogued import Catalogued
from nexus_recording import Recording
from nexus_recording.rehearsal import USD_M, Venue
from nexus_synthetic import Generator

from nexus_core import Market
from nexus_core.errors import ConfigError
from nexus_core.feed import ALL
from nexus_core.market.events import BREAK, CLEAR, EVENT, LAST, LEVEL, SNAPSHOT, TRADE
from nexus_core.testing import Subject, check_modules, examine
from nexus_core.types import Instrument, iso

MINUTE, MS = 60 * 10**9, 10**6
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")


def market(*symbols, ticks=ALL, interval=MINUTE, clock="bar"):
    return Market(tuple(map(Instrument, symbols or SYMBOLS[:1])), interval, 7, ticks, clock)


def joined(chunks, name="rows"):
    return np.concatenate([getattr(each, name) for each in chunks])


@pytest.fixture
def bars(tmp_path, monkeypatch):
    """Keep 1,000 bars of each of three symbols; return them."""
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    return kept(tmp_path / "catalog", 1_000)


def kept(folder, size):
    rows, _ = Generator(7, 3).take(size)
    catalog, made = Catalog(folder), []
    for s, symbol in enumerate(SYMBOLS):
        own = rows[rows["symbol"] == s].copy()
        catalog.add(Series(symbol, "bars", MINUTE), [own], "made here")
        made.append(own)
    return made


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """Keep what two venues said; return the folder and the events of each."""
    folder, told = tmp_path_factory.mktemp("catalog"), []
    catalog = Catalog(folder)
    for seed, symbol in enumerate(("BTC-USDT", "ETH-USDT"), 1):
        path = folder / f"{seed}.jsonl"
        path.write_bytes(b"".join(Venue(seed, USD_M, symbol.replace("-", "")).lines(6_000)))
        told.append(np.concatenate(list(Recording(str(path), [symbol.replace("-", "")]).events())))
        catalog.add(Series(symbol, "book"), [told[-1]], "made here")
    return str(folder), told


def test_it_keeps_the_contract_of_feeds(tmp_path):
    kept(tmp_path, 27_000)
    check_modules()
    report = examine(Subject("feeds", "catalog", Catalogued, {"catalog": str(tmp_path)}))
    assert {each.number: each.text for each in report.findings if each.outcome == "failed"} == {}
    assert {each.number for each in report.findings if each.outcome == "passed"} >= {
        f"NX-F{n:02d}" for n in range(1, 7)
    }


def test_its_rows_are_those_of_the_split(bars):
    for split, first, last in (("open", 0, 800), ("calibrate", 0, 600), ("choose", 600, 800)):
        chunks = list(Catalogued(split=split).chunks(market(*SYMBOLS), 0))
        for s in range(3):
            made = np.concatenate([each.rows[each.starts[s] : each.starts[s + 1]] for each in chunks])
            expected = bars[s][first:last]
            for field in ("ts", "open", "high", "low", "close", "volume", "bid", "ask", "minute_of_session"):
                assert made[field].tobytes() == expected[field].tobytes(), (split, field)
    assert Catalogued().offers >= {"bar", "volume", "quote"}


def test_the_final_split_is_read_with_a_reason_and_counted(bars, tmp_path):
    for given in ({"split": "final"}, {"split": "final", "why": " "}, {"why": "just so"}):
        with pytest.raises(ConfigError, match="is read with a reason"):
            Catalogued(**given)
    feed = Catalogued(split="final", why="the last judgement")
    feed.recording(market())
    assert Catalog(tmp_path / "catalog").find("BTC-USD/bars-60s").readings == []
    rows = joined(feed.chunks(market(), 0))
    assert rows["ts"].tolist() == bars[0]["ts"][800:].tolist()
    (reading,) = Catalog(tmp_path / "catalog").find("BTC-USD/bars-60s").readings
    assert reading["why"] == "the last judgement"
    assert Catalog(tmp_path / "catalog").find("ETH-USD/bars-60s").readings == []


def test_from_a_time_to_a_time_and_never_past_the_split(bars):
    ts = bars[0]["ts"]
    made = joined(Catalogued(since=iso(ts[100]), until=iso(ts[200])).chunks(market(), 0))
    assert made["ts"].tolist() == ts[100:201].tolist()
    made = joined(Catalogued(since=iso(ts[100]), until=iso(ts[950])).chunks(market(), 0))
    assert made["ts"].tolist() == ts[100:800].tolist()


def test_a_time_that_is_none_is_refused(bars):
    for wrong, told in (
        ("yesterday", "since: time was 'yesterday'; write it like"),
        (7, "since was 7, must be text"),
        (date(2026, 1, 2), 'since was a date; put it in quotation marks: "2026-01-02"'),
    ):
        with pytest.raises(ConfigError, match=told):
            Catalogued(since=wrong)


def test_sessions_are_the_calendars(bars):
    made = joined(Catalogued(calendar="09:30-16:00 America/New_York").chunks(market(), 0))
    assert (made["minute_of_session"] == -1).any()
    assert made["minute_of_session"].max() <= 390


def test_what_is_not_there_is_told_with_what_is(bars):
    for asked, told in (
        (market("BTC-EUR"), "has no BTC-EUR/bars-60s. Did you mean BTC-USD/bars-60s"),
        (market(interval=5 * MINUTE), "Of BTC-USD there is BTC-USD/bars-60s. Set run.interval"),
    ):
        for use in (Catalogued().recording, lambda each: list(Catalogued().chunks(each, 0))):
            with pytest.raises(ConfigError, match=told):
                use(asked)
    with pytest.raises(ConfigError, match="actions are applied to bars"):
        Catalogued(kind="book", actions="x.csv")


def test_splits_of_shares_are_applied_forward(bars, tmp_path):
    actions = tmp_path / "actions.csv"
    when = np.datetime64(int(bars[0]["ts"][49]), "ns")
    actions.write_text(f"ts,symbol,split,dividend\n{when},BTC-USD,2,\n")
    feed = Catalogued(actions=str(actions))
    made = joined(feed.chunks(market(), 0))
    assert made["close"][:50].tolist() == bars[0]["close"][:50].tolist()
    assert made["close"][50:].tolist() == (bars[0]["close"][50:800] * 2).tolist()
    assert "actions" in feed.recording(market())


def test_the_recording_names_the_files_that_are_read(bars, tmp_path):
    once = Catalogued().recording(market(*SYMBOLS))
    assert json.loads(json.dumps(once)) == once == Catalogued().recording(market(*SYMBOLS))
    assert [each["name"] for each in once["series"]] == [f"{each}/bars-60s" for each in SYMBOLS]
    files = Catalog(tmp_path / "catalog").files("BTC-USD/bars-60s")
    assert once["series"][0]["files"] == [each["sha256"] for each in files]
    assert Catalogued(split="choose").recording(market()) != Catalogued().recording(market())


# -- events ----------------------------------------------------------------------------------------


def test_events_come_as_they_were_kept_with_the_bars_they_make(books):
    folder, (events, _) = books
    feed = Catalogued(catalog=folder, kind="book", split="calibrate")
    assert feed.offers == {"bar", "volume", "quote", "trade", "book"}
    feed.warm()
    chunks = list(feed.chunks(market("BTC-USDT", interval=500 * MS), 0))
    rows, played = joined(chunks), joined(chunks, "events")
    cut = Catalog(Path(folder)).find("BTC-USDT/book").splits.calibrate_to
    assert rows["ts"].max() <= cut
    assert played.tobytes() == events[: len(played)].tobytes()
    assert len(played) == (events["ts"] <= rows["ts"][-1]).sum()
    trades = events[(events["kind"] == TRADE) & (events["ts"] <= rows["ts"][-1])]
    assert rows["volume"].sum() == pytest.approx(trades["size"].sum())


def touches(events):
    """Return both sides after the last of `events`, as dictionaries of sizes."""
    sides = {1: {}, -1: {}}
    for each in events:
        if each["kind"] == CLEAR:
            sides = {1: {}, -1: {}}
        elif each["kind"] == LEVEL:
            side, price = sides[int(each["side"])], float(each["price"])
            side[price] = float(each["size"])
            if not side[price]:
                del side[price]
    return sides


def test_a_split_begins_with_the_book_that_stood_there(books):
    folder, (events, _) = books
    choose = Catalog(Path(folder)).find("BTC-USDT/book").splits.calibrate_to
    feed = Catalogued(catalog=folder, kind="book", split="choose")
    played = joined(feed.chunks(market("BTC-USDT", interval=500 * MS), 0), "events")
    size = 1 + int(np.flatnonzero(played["flags"] & LAST)[0])
    told, rest = played[:size], played[size:]
    assert (told["flags"] & SNAPSHOT != 0).all()
    assert told["kind"][0] == CLEAR
    assert told["price"][0] == pytest.approx(0.1)
    assert touches(told) == touches(events[events["ts"] <= choose])
    assert rest["ts"][0] > choose
    first = int(np.searchsorted(events["ts"], choose, "right"))
    for field in ("ts", "local", "price", "size", "id", "kind", "side", "flags"):
        assert rest[field].tobytes() == events[field][first : first + len(rest)].tobytes()


def test_nothing_is_told_of_a_book_that_was_not_known(tmp_path):
    lines = list(Venue(3, USD_M).lines(3_000, snapshots=()))
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines))
    events = np.concatenate(list(Recording(str(tmp_path / "x.jsonl"), ["BTCUSDT"]).events()))
    Catalog(tmp_path).add(Series("X-USD", "book"), [events], "made here")
    feed = Catalogued(catalog=str(tmp_path), kind="book", split="choose")
    played = joined(feed.chunks(market("X-USD", interval=500 * MS), 0), "events")
    assert not np.isin(played["kind"], (CLEAR, LEVEL)).any()


def test_symbols_are_woven_by_time_and_alike_from_any_tick(books, monkeypatch):
    folder, told = books
    feed = Catalogued(catalog=folder, kind="book")
    asked = ("ETH-USDT", "BTC-USDT")
    whole = list(feed.chunks(market(*asked, interval=500 * MS), 0))
    rows, events = joined(whole), joined(whole, "events")
    for s, own in enumerate((told[1], told[0])):
        mine = events[events["symbol"] == s]
        assert mine["price"].tobytes() == own["price"][: len(mine)].tobytes()
        assert (np.diff(mine["seq"]) > 0).all()
    assert len(np.unique(events["seq"])) == len(events)
    order = np.argsort(events["seq"])
    assert (np.diff(events["ts"][order]) >= 0).all()
    ticks = np.unique(rows["ts"])
    late = list(feed.chunks(market(*asked, interval=500 * MS, ticks=9), 4))
    assert np.unique(joined(late)["ts"]).tolist() == ticks[4:9].tolist()
    heard = joined(late, "events")
    wanted = events[(events["ts"] > ticks[3]) & (events["ts"] <= ticks[8])]
    assert np.sort(heard["seq"]).tolist() == np.sort(wanted["seq"]).tolist()
    read = Catalog.read
    monkeypatch.setattr(
        Catalog, "read", lambda *a, **k: (e[n : n + 1] for e in read(*a, **k) for n in range(len(e)))
    )
    small = joined(feed.chunks(market(*asked, interval=500 * MS), 0), "events")
    assert small[np.argsort(small["seq"])].tobytes() == events[order].tobytes()


def test_trades_alone_make_bars(tmp_path):
    rng = np.random.default_rng(1)
    events = np.zeros(2_000, EVENT)
    events["ts"] = 1_704_067_200 * 10**9 + np.sort(rng.integers(0, 7_200, 2_000)) * 10**9
    events["price"], events["size"], events["kind"] = rng.integers(90, 110, 2_000), 1.0, TRADE
    events["flags"] = LAST
    Catalog(tmp_path).add(Series("X-USD", "trades"), [events], "made here")
    feed = Catalogued(catalog=str(tmp_path), kind="trades")
    assert feed.offers == {"bar", "volume", "trade"}
    rows = joined(feed.chunks(market("X-USD"), 0))
    assert all(b - a == MINUTE for a, b in pairwise(rows["ts"].tolist()))
    assert rows["volume"].sum() == (events["ts"] <= rows["ts"][-1]).sum()
    assert BREAK not in events["kind"]
