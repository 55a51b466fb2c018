"""`nexus data import` and `check` of recordings: what was lost, doubled or spoiled is counted and told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from nexus_app_data import depth
from nexus_catalog.store import Catalog
from nexus_recording import Recording
from nexus_recording.rehearsal import USD_M, Venue

from nexus_core.errors import Exit
from nexus_core.market.events import BREAK, LAST, LEVEL

NAME = "BTC-USDT/book"


def said(count=2_000, seed=7, snapshots=(5,), symbol="BTCUSDT"):
    return list(Venue(seed, USD_M, symbol, ahead=-1_270_000_000).lines(count, snapshots))


def written(name, lines):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(lines)) if name.endswith(".gz") else b"".join(lines))
    return path


def report(nexus, path, code=Exit.OK):
    found, out, _ = nexus("data", "check", path, "--json")
    assert found == code
    return json.loads(out)


def test_a_recording_that_is_whole(nexus):
    lines = said()
    path = written("btc.jsonl.gz", lines)
    told = report(nexus, path)
    recording = Recording(str(path), ["BTCUSDT"])
    events = sum(map(len, recording.events()))
    (book,) = told["symbols"]
    assert (told["lines"], told["events"], told["refused"]) == (len(lines), events, 0)
    assert sum(told["messages"].values()) == len(lines)
    assert (book["book"], book["gaps"], book["resyncs"], book["snapshots"]) == ("synced", 0, 0, 1)
    assert (book["duplicates"], book["late"], book["crossed"], book["missing"]) == (0, 0, 0, 0)
    assert book["known"] > 0.9
    assert told["clock_offset_s"] == pytest.approx(1.27, abs=0.01)
    assert {"50.0%", "99.0%", "most"} <= told["latency_ms"].keys()
    code, out, err = nexus("data", "check", path)
    assert (code, err) == (Exit.OK, "")
    assert "BTCUSDT  synced" in out
    assert out.splitlines()[-1].startswith("verdict: ")


def test_a_gap_is_told_and_what_made_it_good(nexus):
    lines = said(snapshots=(5, 1_500))
    changes = [n for n, line in enumerate(lines) if b"depthUpdate" in line and 300 < n < 400]
    del lines[changes[0]]
    (book,) = report(nexus, written("btc.jsonl", lines))["symbols"]
    assert (book["gaps"], book["resyncs"], book["snapshots"]) == (1, 1, 2)
    assert 0.1 < book["known"] < 0.6
    out = nexus("data", "check", "btc.jsonl")[1]
    assert f"the book of BTCUSDT is not known {1 - book['known']:.1%} of the time" in out


def test_what_comes_twice_or_never_is_counted(nexus):
    lines = said()
    trade = next(n for n, line in enumerate(lines) if b'"trade"' in line and n > 300)
    change = next(n for n, line in enumerate(lines) if b"depthUpdate" in line and n > 900)
    lines.insert(change + 1, lines[change])
    del lines[trade]
    (book,) = report(nexus, written("btc.jsonl", lines))["symbols"]
    assert (book["duplicates"], book["missing"], book["gaps"]) == (1, 1, 0)


def test_spoiled_lines_are_refused_with_place_and_reason(nexus):
    lines = said()
    lines[700:700] = [b"junk\n", lines[700][:60] + b"\n"]
    path = written("btc.jsonl", lines)
    told = report(nexus, path, Exit.CHECK_FAILED)
    assert told["refused"] == 2
    (fault,) = [each for each in told["faults"] if each["refused"]]
    assert (fault["fault"], fault["count"], fault["at"]) == ("garbled", 2, "btc.jsonl, line 701")
    assert nexus("data", "check", path)[2] == "nexus: btc.jsonl: refused: 2.\n"
    nexus("data", "check", path, "--quarantine", "refused.txt")
    assert Path("refused.txt").read_bytes().splitlines()[0] == b"junk"


def test_a_recording_without_a_snapshot_has_no_book(nexus):
    told = report(nexus, written("btc.jsonl", said(snapshots=())))
    assert told["symbols"][0]["book"] == "unsynced"
    assert "has no book, trades and quotes alone" in told["verdict"]


def test_a_crossed_book_is_counted(nexus):
    lines = said(400)
    at = next(n for n, line in enumerate(lines) if b"depthUpdate" in line and n > 100)
    stamp, _, text = lines[at].partition(b" ")
    message = json.loads(text)
    message["data"]["b"].append(["90000.00", "1.000"])
    lines[at] = stamp + b" " + json.dumps(message, separators=(",", ":")).encode() + b"\n"
    (book,) = report(nexus, written("btc.jsonl", lines))["symbols"]
    later = [line for line in lines[at:] if b"depthUpdate" in line]
    assert book["crossed"] == len(later)


def test_a_recording_is_brought_in_as_a_book_with_its_faults(nexus, tmp_path):
    lines = said(3_000)
    lines[50:50] = [b"junk\n"]
    folder = written("recording/1.gz", lines[:1_500]).parent
    written("recording/2.gz", lines[1_500:])
    code, out, _ = nexus("data", "import", folder, "--symbol", "BTC-USDT", "--json")
    assert code == Exit.OK
    (done,) = json.loads(out)
    assert (done["series"], done["known"], done["faults"]["garbled"]) == (NAME, False, 1)
    assert Path(done["quarantine"]).read_bytes() == b"junk\n"
    catalog = Catalog(tmp_path / "nexus" / "catalog")
    kept = np.concatenate(list(catalog.every(NAME)))
    told = np.concatenate(list(Recording(str(folder), ["BTCUSDT"]).events()))
    assert kept["kind"][0] == BREAK
    assert kept["ts"][0] == told["ts"][0]
    assert kept[1:].tobytes() == told.tobytes()
    assert catalog.find(NAME).sources[0]["faults"]["garbled"] == 1
    again = nexus("data", "import", folder, "--symbol", "BTC-USDT")[1]
    assert "was brought in before" in again
    assert Path(done["quarantine"]).read_bytes() == b"junk\n"


def test_of_several_symbols_one_is_named(nexus):
    both = [b for pair in zip(said(900, 1), said(900, 2, symbol="ETHUSDT"), strict=True) for b in pair]
    snapshots = [each for each in both if b'"lastUpdateId"' in each]
    path = written("two.jsonl", [each for each in both if each not in snapshots])
    code, _, err = nexus("data", "import", path, "--symbol", "ETH-USDT")
    assert code == Exit.USAGE
    assert "speaks of " in err
    assert "--name" in err
    (done,) = json.loads(nexus("data", "import", path, "--symbol=ETH-USDT", "--name=ETHUSDT", "--json")[1])
    assert done["series"] == "ETH-USDT/book"
    assert {each["name"] for each in report(nexus, path)["symbols"]} == {"BTCUSDT", "ETHUSDT"}
    one = nexus("data", "check", path, "--name", "ETHUSDT")[1]
    assert "messages of symbols that were not asked for" in one


def test_a_table_is_no_recording(nexus):
    Path("a.csv").write_text("time,open,high,low,close\n60,1,1,1,1\n120,1,1,1,1\n")
    assert "interval  60 s" in nexus("data", "check", "a.csv")[1]


# -- the picture -----------------------------------------------------------------------------------


def stood(events):
    """Return best bid, best ask and both sides after some events, by dictionaries."""
    sides = {1: {}, -1: {}}
    for each in events:
        side = sides.get(int(each["side"]), {})
        if each["kind"] == LEVEL and each["size"] > 0:
            side[float(each["price"])] = float(each["size"])
        elif each["kind"] == LEVEL:
            side.pop(float(each["price"]), None)
    return max(sides[1], default=None), min(sides[-1], default=None), sides


def test_a_picture_shows_what_stood_at_each_moment(tmp_path):
    path = written(str(tmp_path / "btc.jsonl"), said(3_000))
    events = np.concatenate(list(Recording(str(path), ["BTCUSDT"]).events()))
    looked = depth._Looked(int(events["ts"][0]), int(events["ts"][-1]))
    for at in range(0, len(events), 700):
        looked.look(events[at : at + 700])
    assert looked.cell == 0.5
    for k in range(20, depth.COLUMNS - 1, 97):
        heard = events[events["ts"] <= looked.edges[k]]
        heard = heard[: np.flatnonzero((heard["flags"] & LAST) & (heard["kind"] == LEVEL))[-1] + 1]
        bid, ask, sides = stood(heard)
        if np.isnan(looked.tops[0, k]):
            continue
        assert looked.tops[:, k].tolist() == [bid, ask]
        for side, image in ((1, looked.bids), (-1, looked.asks)):
            expected = np.zeros(image.shape[1])
            for price, size in sides[side].items():
                expected[int(price / 0.5) - looked.lows[k]] += size
            np.testing.assert_allclose(image[k], expected, atol=1e-9)
    assert np.isnan(looked.tops).mean() < 0.2


def test_books_of_any_split_are_drawn(nexus):
    path = written("btc.jsonl", said(4_000))
    assert nexus("data", "import", path, "--symbol", "BTC-USDT")[0] == Exit.OK
    for more in ([], ["--split=choose"], ["--split=final", "--why=look"]):
        assert nexus("data", "show", NAME, "--plot", "a.png", *more)[0] == Exit.OK
        assert len(Path("a.png").read_bytes()) > 20_000
        Path("a.png").unlink()
    path = written("none.jsonl", said(2_000, snapshots=()))
    nexus("data", "import", path, "--symbol", "X")
    code, _, err = nexus("data", "show", "X/book", "--plot", "a.png")
    assert code == Exit.ERROR
    assert "no book that is known" in err
