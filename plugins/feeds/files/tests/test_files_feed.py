import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_feed_files import Files
from nexus_feed_files.merge import merged
from nexus_synthetic import Generator

from nexus_core import Market
from nexus_core.errors import ConfigError, NotFoundError
from nexus_core.records import ROW, empty
from nexus_core.testing import FeedContract
from nexus_core.types import Instrument

MINUTE = 60 * 10**9
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
NAMES = ("open", "high", "low", "close", "volume")


def market(*symbols, ticks=1_000, interval=MINUTE):
    return Market(tuple(map(Instrument, symbols or SYMBOLS[:1])), interval, 7, ticks)


def written(folder, counts=(400, 400, 400), name="{symbol}.csv", skip=(0, 0, 0)):
    """Write a file of bars for each symbol; return their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, _ = Generator(7, 3).take(max(counts) + max(skip))
    kept = []
    for s, symbol in enumerate(SYMBOLS):
        own = rows[rows["symbol"] == s][skip[s] : skip[s] + counts[s]]
        lines = [",".join(map(repr, (int(r["ts"]), *(float(r[n]) for n in NAMES)))) for r in own]
        text = "\n".join(["ts,open,high,low,close,volume", *lines]) + "\n"
        path = folder / name.format(symbol=symbol)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        kept.append(own)
    return kept


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "home"))


class TestItsContract(FeedContract):
    feed = "files"


def test_the_example_is_of_three_symbols_with_rows_for_two_weeks(tmp_path):
    feed = Files(**Files.example(tmp_path))
    (chunk,) = feed.chunks(market(*SYMBOLS, ticks=20_160), 20_100)
    assert (chunk.ticks, chunk.starts.tolist()) == (60, [0, 60, 120, 180])
    assert not list(tmp_path.glob("*.refused"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "{symbol}.csv"),
        ("", "coinbase_{symbol}-1m.csv.gz"),
        ("bars-{symbol}.csv", "bars-{symbol}.csv"),
    ],
)
def test_rows_are_those_of_the_files(tmp_path, path, name):
    kept = written(tmp_path, name=name)
    chunks = list(Files(path=str(tmp_path / path)).chunks(market(*SYMBOLS), 0))
    for s in range(3):
        made = np.concatenate([chunk.rows[chunk.starts[s] : chunk.starts[s + 1]] for chunk in chunks])
        for field in ("ts", "session_id", "minute_of_session", "minutes_to_close", *NAMES):
            assert made[field].tolist() == kept[s][field].tolist()
        assert (made["symbol"] == s).all()
    assert np.concatenate([chunk.rows["seq"][chunk.order] for chunk in chunks]).tolist() == list(range(1_200))


def test_one_file_serves_one_symbol(tmp_path):
    kept = written(tmp_path)
    feed = Files(path=str(tmp_path / "ETH-USD.csv"))
    closes = [chunk.rows["close"] for chunk in feed.chunks(market("X-Y"), 0)]
    assert np.concatenate(closes).tolist() == kept[1]["close"].tolist()
    with pytest.raises(ConfigError, match="is one file, and the run has several symbols"):
        list(feed.chunks(market("X-Y", "Z-Y"), 0))


def test_a_file_that_is_not_there_or_not_clear_is_named(tmp_path):
    written(tmp_path)
    written(tmp_path / "more", name="a-{symbol}.csv")
    written(tmp_path / "more", name="b-{symbol}.csv")
    for path, told in (
        ("none.csv", "none.csv: no such file"),
        ("x-{symbol}.csv", "x-{symbol}.csv: no such file"),
        ("BTC{symbol}.csv", "BTCBTC-USD.csv: no such file"),
        ("nowhere/{symbol}.csv", "no such file"),
        ("more", "2 files for BTC-USD: a-BTC-USD.csv, b-BTC-USD.csv"),
    ):
        with pytest.raises((ConfigError, NotFoundError), match=told):
            list(Files(path=str(tmp_path / path)).chunks(market(), 0))
    with pytest.raises(ConfigError, match="no file for DOGE-USD: BTC-USD"):
        list(Files(path=str(tmp_path)).chunks(market("DOGE-USD"), 0))
    with pytest.raises(ConfigError, match="files: no path"):
        Files()


def test_another_interval_is_refused_with_what_there_is(tmp_path):
    written(tmp_path)
    feed, asked = Files(path=str(tmp_path)), market(interval=5 * MINUTE)
    for use in (feed.recording, lambda each: list(feed.chunks(each, 0))):
        with pytest.raises(
            ConfigError, match=r"bars of 60 s, and the run asks for 300 s\. Set run\.interval=60"
        ):
            use(asked)


def test_it_offers_what_the_files_have_columns_for(tmp_path):
    rows = "ts,open,high,low,close{names}\n60,1,1,1,1{cells}\n120,1,1,1,1{cells}\n"
    for names, cells, offers in (
        ("", "", {"bar"}),
        (",volume", ",1", {"bar", "volume"}),
        (",bid,ask", ",1,1", {"bar", "quote"}),
        (",bid", ",1", {"bar"}),
    ):
        (tmp_path / "a.csv").write_text(rows.format(names=names, cells=cells))
        assert Files(path=str(tmp_path / "a.csv")).offers == offers
    assert Files.offers == {"bar"}


def test_the_recording_names_files_by_what_is_in_them(tmp_path):
    written(tmp_path)
    feed = Files(path=str(tmp_path))
    once = feed.recording(market(*SYMBOLS))
    assert [each["symbol"] for each in once["files"]] == list(SYMBOLS)
    assert json.dumps(once)
    path = Path(once["files"][1]["file"])
    path.write_text(path.read_text().replace("ts,", "ts,", 1) + "\n")
    again = Files(path=str(tmp_path)).recording(market(*SYMBOLS))
    changed = [a["sha256"] != b["sha256"] for a, b in zip(once["files"], again["files"], strict=True)]
    assert changed == [False, True, False]


def test_refused_rows_are_kept_and_told_once(tmp_path, caplog):
    written(tmp_path)
    path = tmp_path / "BTC-USD.csv"
    lines = path.read_text().splitlines()
    lines[7], lines[9] = "oops", lines[9].replace(",", ",-", 1)
    path.write_text("\n".join(lines) + "\n")
    feed = Files(path=str(tmp_path))
    for _ in range(2):  # the file of the quarantine is of the last reading alone
        caplog.clear()
        with caplog.at_level(logging.WARNING, "nexus"):
            assert sum(len(chunk.rows) for chunk in feed.chunks(market(), 0)) == 398
        (message,) = caplog.messages
        assert "2 rows were refused (1 columns, 1 price); they are in" in message
        kept = tmp_path / "home" / "quarantine" / "BTC-USD.csv.quarantine.jsonl"
        assert [json.loads(line)["line"] for line in kept.read_text().splitlines()] == [8, 10]
    own = Files(path=str(tmp_path), quarantine=str(tmp_path / "{symbol}.jsonl"))
    list(own.chunks(market(), 0))
    assert (tmp_path / "BTC-USD.jsonl").exists()


def pieces(kept, size):
    for rows in kept:
        yield iter([rows[at : at + size].copy() for at in range(0, len(rows), size)])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_ticks_are_the_same_whatever_the_start_the_end_and_the_pieces(data):
    times = [sorted(data.draw(st.sets(st.integers(1, 60), max_size=30))) for _ in range(3)]
    kept = []
    for each in times:
        rows = empty(ROW, len(each))
        rows["ts"] = rows["close"] = each
        kept.append(rows)
    ticks = sorted(set().union(*times))
    start, end, size = (data.draw(st.integers(low, 65)) for low in (0, 0, 1))
    made = list(merged(list(pieces(kept, size)), start, end))
    assert [int(t) for chunk in made for t in chunk.times] == ticks[start:end]
    wanted = ticks[start:end]
    everything = sorted((t, s) for s, each in enumerate(times) for t in each)
    found = [(int(r["ts"]), int(r["symbol"])) for c in made for r in c.rows[c.order]]
    assert found == [each for each in everything if each[0] in wanted]
    seqs = [int(r["seq"]) for c in made for r in c.rows[c.order]]
    assert seqs == [everything.index(each) for each in found]


def test_symbols_with_holes_and_other_spans_are_merged(tmp_path):
    kept = written(tmp_path, (300, 100, 250), skip=(0, 150, 100))
    chunks = list(Files(path=str(tmp_path)).chunks(market(*SYMBOLS), 0))
    assert sum(chunk.ticks for chunk in chunks) == 350
    assert sum(len(chunk.rows) for chunk in chunks) == sum(map(len, kept))


def test_a_parameter_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="stamp was 'middle', must be close or open"):
        Files(stamp="middle")
    written(tmp_path)
    with pytest.raises(ConfigError, match="zone was 'Mars/Base', which is no time zone"):
        Files(path=str(tmp_path), zone="Mars/Base")


def test_splits_and_dividends_of_a_file_are_applied_forward(tmp_path):
    plain = written(tmp_path, (100, 100, 100))
    ts, split = int(plain[0]["ts"][49]), int(plain[1]["ts"][9])
    when = [np.datetime64(each, "ns") for each in (ts, split)]
    actions = tmp_path / "actions.csv"
    actions.write_text(f"ts,symbol,split,dividend\n{when[0]},BTC-USD,2,\n{when[1]},ETH-USD,,\n")
    made = Files(path=f"{tmp_path}/{{symbol}}.csv", actions=str(actions))
    chunk = next(made.chunks(market("BTC-USD", "ETH-USD"), 0))
    bitcoin, ether = (chunk.rows[chunk.starts[s] : chunk.starts[s + 1]] for s in range(2))
    assert bitcoin["close"][:50].tolist() == plain[0]["close"][:50].tolist()
    assert bitcoin["close"][50:].tolist() == (plain[0]["close"][50:] * 2).tolist()
    assert ether["close"].tolist() == plain[1]["close"].tolist()
    assert "actions" in made.recording(market("BTC-USD", "ETH-USD"))


def test_a_file_of_actions_that_cannot_be_read_is_named(tmp_path):
    written(tmp_path, (10, 10, 10))
    (tmp_path / "actions.csv").write_text("when,split\n1,2\n")
    made = Files(path=f"{tmp_path}/{{symbol}}.csv", actions=str(tmp_path / "actions.csv"))
    with pytest.raises(ConfigError, match="no column ts, dividend"):
        next(made.chunks(market(), 0))
    with pytest.raises(ConfigError, match="cannot be read"):
        Files(path=str(tmp_path), actions=str(tmp_path / "none.csv")).recording(market())


def test_it_carries_a_score_of_what_it_read(tmp_path):
    written(tmp_path, (300, 300, 300))
    path = tmp_path / "ETH-USD.csv"
    head, *lines = path.read_text().splitlines()
    spoiled = [line if n % 3 else line.rpartition(",")[0] + ",-1" for n, line in enumerate(lines)]
    path.write_text("\n".join([head, *spoiled]))
    made = Files(path=f"{tmp_path}/{{symbol}}.csv")
    assert made.quality == {}
    for _ in made.chunks(market("BTC-USD", "ETH-USD"), 0):
        pass
    assert made.quality["BTC-USD"] > 0.99
    assert made.quality["ETH-USD"] < 0.9
