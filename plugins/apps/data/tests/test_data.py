"""`nexus data`: files brought in, checked, shown, converted, and their splits kept sealed."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from nexus_app_data import picture
from nexus_app_data.quality import Quality
from nexus_catalog.series import Series

from nexus_core.errors import Exit
from nexus_core.market.sessions import Calendar
from nexus_core.records import ROW

START = 1_704_067_200
"""2024-01-01 00:00 UTC, in seconds."""

NAME = "BTC-USD/bars-60s"
COUNTED = "the final split is sealed. To read it, say why"


def price(n):
    return round(100 + 5 * math.sin(n / 50) + random.Random(n).random() / 2, 2)


def line(n):
    low, high = sorted((price(n - 1), price(n)))
    return f"{START + 60 * n},{price(n - 1)},{high},{low},{price(n)},{n % 11 + 1}"


def bars(path, numbers, changed=()):
    """Write a file of one-minute bars; `changed` are lines by number that stand in for others."""
    lines = [dict(changed).get(n, line(n)) for n in numbers]
    Path(path).write_text("\n".join(["time,open,high,low,close,volume", *lines]) + "\n")
    return path


def told(nexus, *arguments):
    code, out, err = nexus("data", *arguments, "--json")
    assert (code, err) == (Exit.OK, "")
    return json.loads(out)


@pytest.fixture
def kept(nexus):
    """Bring a file of 1,000 bars in."""
    (done,) = told(nexus, "import", bars("btc.csv", range(1, 1001)), "--symbol", "BTC-USD")
    return done


def test_a_file_is_brought_in_once(nexus, kept):
    assert (kept["series"], kept["rows"], kept["added"], kept["known"]) == (NAME, 1000, 1000, False)
    (again,) = told(nexus, "import", "btc.csv", "--symbol", "BTC-USD")
    assert again["known"]
    assert nexus("data", "import", "btc.csv", "--symbol=BTC-USD")[1] == (
        f"{NAME}: btc.csv was brought in before, nothing to add\n"
    )
    (more,) = told(nexus, "import", bars("more.csv", range(900, 1101)), "--symbol", "BTC-USD")
    assert (more["rows"], more["added"]) == (201, 100)
    (found,) = told(nexus, "list")
    assert (found["series"], found["rows"], len(found["sources"])) == (NAME, 1100, 2)


def test_a_file_that_disagrees_is_refused_with_the_row(nexus, kept):
    other = bars("other.csv", range(500, 600), {550: line(550)[:-1] + "99"})
    code, out, err = nexus("data", "import", other, "--symbol", "BTC-USD")
    assert (code, out) == (Exit.ERROR, "")
    assert "2024-01-01T09:10:00Z (volume 1.0 kept, 99.0 given)" in err
    assert told(nexus, "list")[0]["rows"] == 1000


def test_refused_lines_are_counted_and_written_down(nexus, tmp_path):
    wrong = {5: line(5).replace(",", ",x", 1), 9: line(9).replace(f",{price(9)},", ",-3,")}
    (done,) = told(nexus, "import", bars("bad.csv", range(1, 40), wrong), "--symbol", "X")
    assert done["added"] == 37
    assert sum(done["faults"].values()) >= 2
    refused = [json.loads(each) for each in Path(done["quarantine"]).read_text().splitlines()]
    assert [each["line"] for each in refused] == [6, 10]
    assert tmp_path / "nexus" / "catalog" / "refused" == Path(done["quarantine"]).parent
    (again,) = told(nexus, "import", "bad.csv", "--symbol", "X")
    assert again["known"]
    assert len(Path(done["quarantine"]).read_text().splitlines()) == 2


def test_check_of_a_clean_file(nexus):
    code, out, err = nexus("data", "check", bars("a.csv", range(1, 61)))
    assert (code, err) == (Exit.OK, "")
    assert "records   60\n" in out
    assert "period    2024-01-01T00:01:00Z to 2024-01-01T01:00:00Z\n" in out
    assert "interval  60 s\n" in out
    assert out.endswith("verdict: clean: nothing refused, nothing odd\n")


def test_check_names_faults_with_count_place_and_meaning(nexus):
    numbers = [*range(1, 40), *range(50, 60), *range(62, 100)]
    path = bars("a.csv", numbers, {20: line(20).replace(",", ",x", 1)})
    code, out, err = nexus("data", "check", path, "--json")
    assert code == Exit.CHECK_FAILED
    assert err == "nexus: a.csv: lines refused: 1.\n"
    report = json.loads(out)
    assert (report["rows"], report["refused"]) == (86, 1)
    by_name = {each["fault"]: each for each in report["faults"]}
    assert by_name["number"]["row"] == 21
    assert by_name["number"]["meaning"] == "its open is no number"
    assert by_name["gap"]["count"] == report["gaps"] == 3
    assert report["missing"] == 1 + 10 + 2
    first = report["longest_gaps"][0]
    assert (first["from"], first["to"], first["missing"]) == (
        "2024-01-01T00:39:00Z",
        "2024-01-01T00:50:00Z",
        10,
    )
    assert [each["missing"] for each in report["longest_gaps"]] == [10, 2, 1]
    assert report["coverage"] == pytest.approx(86 / 99)
    assert report["quality"] == pytest.approx((86 - 3 / 2) / 87, abs=1e-6)
    assert report["verdict"].startswith("usable without the 1 refused (1.15%)")
    text = nexus("data", "check", path)[1]
    assert "2024-01-01T00:39:00Z  2024-01-01T00:50:00Z  11.0 min    10" in text


def test_check_of_a_series_and_of_nothing(nexus, kept):
    code, out, _ = nexus("data", "check", NAME)
    assert code == Exit.OK
    assert "verdict: " in out
    assert told(nexus, "list")[0]["readings"] == []
    assert nexus("data", "check", "none.csv")[0] == Exit.NOT_FOUND
    code, _, err = nexus("data", "check", "BTC-USD/bars-61s")
    assert code == Exit.NOT_FOUND
    assert f"Did you mean {NAME}?" in err


def test_counts_are_the_same_however_the_rows_are_cut():
    rows = np.zeros(500, ROW)
    rows["ts"] = (START + 60 * np.delete(np.arange(1, 603), slice(100, 202))) * 10**9
    for name in ("open", "high", "low", "close"):
        rows[name] = [price(n) for n in range(500)]
    rows["bid"] = rows["ask"] = np.nan
    rows["high"] += 9
    rows["low"] -= 9
    reports = []
    for size in (1, 7, 64, 500):
        quality = Quality(Series.of(NAME))
        for at in range(0, 500, size):
            quality.look(rows[at : at + size])
        reports.append(quality.facts())
    assert all(each == reports[0] for each in reports)
    assert reports[0]["missing"] == 102


def test_show_tells_splits_sources_and_readings(nexus, kept):
    out = nexus("data", "show", NAME)[1]
    assert "calibrate  600 rows, to 2024-01-01T10:00:24Z\n" in out
    assert "choose     200 rows, to 2024-01-01T13:20:12Z\n" in out
    assert "final      200 rows after that, read 0 times\n" in out
    code, _, err = nexus("data", "export", NAME, "final.csv", "--split", "final")
    assert code == Exit.USAGE
    assert COUNTED in err
    assert (
        told(nexus, "export", NAME, "final.csv", "--split=final", "--why=the last judgement")["rows"] == 200
    )
    (reading,) = told(nexus, "show", NAME)["readings"]
    assert reading["why"] == "the last judgement"
    assert reading["first"] == "2024-01-01T13:20:12.000000001Z"
    assert "read 1 times" in nexus("data", "show", NAME)[1]
    assert told(nexus, "show", NAME)["split_rows"] == {"calibrate": 600, "choose": 200, "final": 200}


def test_show_says_where_a_split_is_empty(nexus):
    told(nexus, "import", bars("a.csv", [*range(1, 50), 100]), "--symbol=X")
    assert "note: choose has no record; the cuts are by time" in nexus("data", "show", "X/bars-60s")[1]


def test_nothing_kept_yet(nexus, tmp_path):
    assert nexus("data", "list")[1] == "nothing in the catalog yet: nexus data import\n"
    assert not (tmp_path / "nexus").exists()
    assert nexus("data", "show", NAME)[0] == Exit.NOT_FOUND
    assert nexus("data", "import", "none.csv", "--symbol=X")[0] == Exit.NOT_FOUND


def test_a_catalog_of_another_folder(nexus, tmp_path):
    told(nexus, "import", bars("a.csv", range(1, 50)), "--symbol=X", "--catalog", tmp_path / "other")
    assert told(nexus, "list") == []
    assert len(told(nexus, "list", "--catalog", tmp_path / "other")) == 1


READERS = {
    ".csv": csv.read_csv,
    ".csv.gz": csv.read_csv,
    ".parquet": pq.read_table,
    ".feather": feather.read_table,
}


@pytest.mark.parametrize("ending", READERS)
def test_a_series_goes_out_and_comes_in_again_the_same(nexus, kept, ending):
    target = f"out{ending}"
    done = told(nexus, "export", NAME, target, "--split=all", "--why=a copy")
    assert done["rows"] == 1000
    table = READERS[ending](target)
    assert table["close"].to_pylist() == [price(n) for n in range(1, 1001)]
    assert pa.types.is_timestamp(table["ts"].type)
    (again,) = told(nexus, "import", target, "--symbol=BTC-USD")
    assert (again["rows"], again["added"]) == (1000, 0)


def test_the_final_split_stays_out_of_an_export_unless_asked_for(nexus, kept):
    code, out, _ = nexus("data", "export", NAME, "open.csv")
    assert code == Exit.OK
    assert out == "open.csv: 800 rows (the final split is not in it: --split all --why REASON)\n"
    assert told(nexus, "list")[0]["readings"] == []


def test_a_file_that_is_there_is_not_replaced_unasked(nexus, kept):
    Path("out.csv").write_text("mine")
    code, _, err = nexus("data", "export", NAME, "out.csv")
    assert code == Exit.USAGE
    assert "--force" in err
    assert Path("out.csv").read_text() == "mine"
    assert told(nexus, "export", NAME, "out.csv", "--force")["rows"] == 800
    assert nexus("data", "export", NAME, "out.xls")[0] == Exit.USAGE
    assert nexus("data", "export", NAME, "none/out.csv")[0] == Exit.USAGE


def test_convert_keeps_what_can_be_read_and_says_what_cannot(nexus):
    wrong = {5: line(5).replace(",", ",x", 1)}
    code, out, _ = nexus("data", "convert", bars("a.csv", range(1, 40), wrong), "b.parquet")
    assert code == Exit.OK
    assert out == "b.parquet: 38 rows, 1 refused: 1 number; see b.parquet.refused.jsonl\n"
    assert pq.read_table("b.parquet").num_rows == 38
    assert json.loads(Path("b.parquet.refused.jsonl").read_text())["line"] == 6


def test_trades_and_quotes_go_in_and_out(nexus):
    rows = [f"{START + n // 2},{price(n)},{n % 3 + 1},{('buy', 'sell')[n % 2]},{n + 1}" for n in range(50)]
    Path("t.csv").write_text("\n".join(["time,price,size,side,id", *rows]) + "\n")
    (done,) = told(nexus, "import", "t.csv", "--symbol=X")
    assert (done["series"], done["added"]) == ("X/trades", 50)
    assert told(nexus, "export", "X/trades", "t2.csv", "--split=all", "--why=copy")["rows"] == 50
    table = csv.read_csv("t2.csv")
    assert table["side"].to_pylist() == ["buy", "sell"] * 25
    assert table["id"].to_pylist() == list(range(1, 51))
    quotes = [f"{START + n},{price(n)},{price(n) + 0.5},{n % 3 + 1},{n % 5 + 1}" for n in range(60)]
    Path("q.csv").write_text("\n".join(["time,bid,ask,bid_size,ask_size", *quotes]) + "\n")
    (done,) = told(nexus, "import", "q.csv", "--symbol=X")
    assert done["series"] == "X/quotes"
    assert told(nexus, "export", "X/quotes", "q2.csv", "--split=all", "--why=copy")["rows"] == 60
    table = csv.read_csv("q2.csv")
    assert table["bid"].to_pylist() == [price(n) for n in range(60)]
    assert table["ask_size"].to_pylist() == [n % 5 + 1 for n in range(60)]
    for name in ("X/trades", "X/quotes"):
        told(nexus, "show", name, "--plot", "x.png", "--split=all", "--why=look")
        assert Path("x.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("step", "size"),
    [(60, 60), (60, 900), (86_400, 400), (2_678_400, 60)],
    ids=["candles", "line", "days", "months"],
)
def test_a_picture_is_drawn(nexus, step, size):
    rows = [f"{START + step * n},1,{2 + n % 3},1,{1 + n % 2},{n}" for n in range(1, size) if n % 40 > 2]
    Path("a.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    told(nexus, "import", "a.csv", "--symbol=X")
    assert told(nexus, "show", f"X/bars-{step}s", "--plot", "a.png")["plot"] == "a.png"
    assert len(Path("a.png").read_bytes()) > 20_000


def test_a_picture_that_cannot_be_drawn_is_refused(nexus, kept):
    assert nexus("data", "show", NAME, "--plot", "a.pdf")[0] == Exit.USAGE
    code, _, err = nexus("data", "show", NAME, "--plot", "none/a.png")
    assert code == Exit.ERROR
    assert "cannot be written" in err
    told(nexus, "import", bars("b.csv", [1, 2, 100]), "--symbol=Y", "--interval=60")
    code, _, err = nexus("data", "show", "Y/bars-60s", "--split=choose", "--plot", "a.png")
    assert code == Exit.ERROR
    assert "choose has 0 bars to draw" in err


def test_columns_that_say_nothing_are_refused_with_what_to_do(nexus):
    Path("a.csv").write_text("x,y\n1,2\n")
    code, _, err = nexus("data", "check", "a.csv")
    assert code == Exit.ERROR
    assert "no bars: " in err
    assert "--columns" in err


def test_help_draws_and_reads_nothing_heavy():
    script = (
        "import sys, nexus_app_data.data; "
        "sys.exit(sum(each in sys.modules for each in ('pyarrow', 'matplotlib', 'pandas', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


STOCK = "09:30-16:00 UTC Mon-Fri"


def sessions(days, lost=()):
    """Return one-minute bars of sessions, day 0 being Monday, 1 January 2024, but for those lost."""
    numbers = []
    for day in days:
        if day % 7 < 5:
            numbers += [1440 * day + minute for minute in range(571, 961)]
    return bars("stock.csv", [n for n in numbers if n not in lost])


def test_with_a_calendar_only_bars_the_market_was_open_for_are_missing(nexus):
    lost = {1440 * 2 + minute for minute in (600, 601, 960)}
    path = sessions(range(11), lost)
    without = report(nexus, path)
    assert (without["gaps"], without["calendar"]) == (9, None)
    found = report(nexus, path, "--calendar", STOCK)
    assert (found["calendar"], found["gaps"], found["missing"], found["outside"]) == (STOCK, 2, 3, 0)
    assert found["coverage"] == pytest.approx(1 - 3 / (9 * 390))
    assert [each["missing"] for each in found["longest_gaps"]] == [1, 2]
    out = nexus("data", "check", path, "--calendar", STOCK)[1]
    assert f"of the bars that {STOCK} was open for" in out
    early = report(
        nexus, bars("early.csv", [*range(1440, 1450), *range(1440 + 571, 2400)]), "--calendar", STOCK
    )
    assert (early["outside"], early["gaps"]) == (10, 0)


def test_days_stamped_after_the_close_are_their_sessions(nexus):
    for hour in (16, 24):
        rows = [f"{START + 86_400 * n + 3_600 * hour},1,2,1,1" for n in range(60) if n % 7 < 5 and n != 16]
        Path("d.csv").write_text("\n".join(["time,open,high,low,close", *rows]) + "\n")
        found = report(nexus, "d.csv", "--calendar", STOCK)
        assert (found["gaps"], found["missing"], found["longest_gaps"][0]["missing"]) == (1, 1, 1)


def test_a_calendar_is_of_bars(nexus):
    Path("t.csv").write_text("time,price,size\n60,1,1\n120,1,1\n")
    code, _, err = nexus("data", "check", "t.csv", "--calendar", STOCK)
    assert code == Exit.USAGE
    assert "--calendar is of bars" in err


def report(nexus, *arguments):
    return json.loads(nexus("data", "check", *arguments, "--json")[1])


def shown(chunk, calendar=None):
    """Return the time axis of bars."""
    quality = Quality(Series.of(NAME), calendar)
    made = picture._of_bars(quality, [chunk])
    return picture._Time.of(made, quality)


def test_closed_markets_are_left_out_of_a_picture_and_lost_bars_are_not():
    minutes = np.concatenate([1440 * day + np.arange(571, 961) for day in range(4)])
    rows = np.zeros(len(minutes), ROW)
    rows["ts"] = (START + 60 * minutes) * 10**9
    for name in ("open", "high", "low", "close"):
        rows[name] = 1.0
    without = shown(rows)
    places = without.place(rows["ts"])
    assert without.cuts == 3
    assert (np.diff(places) == 60 * 10**9).all()
    lost = np.delete(rows, slice(500, 600))
    time = shown(lost, Calendar(STOCK))
    steps = np.diff(time.place(lost["ts"])) // (60 * 10**9)
    assert np.flatnonzero(steps != 1).tolist() == [499]
    assert steps[499] == 101
    assert time.place(np.array([lost["ts"][-1] + 10**12]))[0] > time.place(lost["ts"])[-1]
    whole = shown(np.concatenate([rows[:390], rows[390:400]]))
    assert whole.cuts in (0, 1)


def test_a_gap_that_is_seldom_stays_in_a_picture():
    rows = np.zeros(1000, ROW)
    rows["ts"] = (START + 60 * np.delete(np.arange(1100), slice(500, 600))) * 10**9
    time = shown(rows)
    assert time.cuts == 0
    assert (time.place(rows["ts"]) == rows["ts"]).all()


def test_a_picture_in_trading_time_is_drawn(nexus):
    told(nexus, "import", sessions(range(30)), "--symbol=X")
    for more in ([], ["--calendar", STOCK]):
        nexus("data", "show", "X/bars-60s", "--plot", "a.png", *more)
        assert len(Path("a.png").read_bytes()) > 20_000
        Path("a.png").unlink()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["import", "a.csv", "--symbol=A", "--interval=1e300"], 2, "--interval"),
        (["import", "folder", "--symbol=A"], 3, "recording: no file was found at 'folder'."),
        (["convert", "folder", "b.csv"], 2, "folder: is a folder, and no recording."),
        (["import", "none.csv", "--symbol=A"], 3, "none.csv: there is no such file."),
    ],
)
def test_what_cannot_be_brought_in_is_said(nexus, given, code, said):
    Path("a.csv").write_text("time,open,high,low,close,volume\n60,1,2,1,1,5\n120,1,2,1,1,5\n")
    Path("folder").mkdir()
    Path("folder/a.csv").write_bytes(Path("a.csv").read_bytes())
    ended, _, error = nexus("data", *given)
    assert (int(ended), said in error) == (code, True), error
