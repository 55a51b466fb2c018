import gzip
import json
import math
import zipfile
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_catalog.quarantine import Quarantine
from nexus_catalog.tables import facts, read
from pyarrow import feather, parquet

from nexus_core.errors import ConfigError, DataError, NotFoundError
from nexus_core.market.events import BACK, BUY, EVENT, LAST, QUOTE, SELL, TRADE
from nexus_core.records import ROW
from nexus_core.testing.market import utc_session
from nexus_core.types import ns

MINUTE = 60 * 10**9
FIRST = ns("2024-03-04T10:01:00Z")


def file(folder, text, name="bars.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def all_of(source, **how):
    with Quarantine() as quarantine:
        reading = read(source, quarantine=quarantine, **how)
        rows = list(reading)
    return np.concatenate(rows) if rows else np.zeros(0), reading.facts


def stamps(times, folder, **how):
    """Return the times (nanoseconds UTC) that bars with these written times are given."""
    lines = "".join(f"{each},1,1,1,1\n" for each in times)
    rows, told = all_of(file(folder, "date,open,high,low,close\n" + lines), **how)
    return (rows["ts"].tolist() if len(rows) else []), told


# -- sources ------------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "Date": pd.date_range("2024-03-04 10:01", periods=500, freq="min"),
        "Open": np.linspace(1, 2, 500),
        "High": np.linspace(3, 4, 500),
        "Low": np.linspace(0.5, 0.6, 500),
        "Close": np.linspace(1.1, 2.1, 500),
        "Volume": np.arange(500) + 1.5,
    }
)


def sources(folder):
    text = FRAME.to_csv(index=False)
    table = pa.Table.from_pandas(FRAME)
    parquet.write_table(table, folder / "a.parquet", row_group_size=77)
    feather.write_feather(table, str(folder / "a.feather"))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("inside.csv", text)
    zoned = FRAME.set_index("Date").tz_localize("UTC").tz_convert("Asia/Tokyo")
    yield file(folder, text)
    yield str(file(folder, text.replace("\n", "\r\n"), "crlf.csv"))
    yield file(folder, b"\xef\xbb\xbf" + text.encode(), "bom.csv")
    yield file(folder, text.replace(",", ";"), "semicolons.csv")
    yield file(folder, gzip.compress(text.encode()), "a.csv.gz")
    yield file(folder, text.rstrip("\n"), "endless.csv")
    yield from (folder / "a.zip", folder / "a.parquet", folder / "a.feather")
    yield from (FRAME, FRAME.set_index("Date"), zoned, pl.from_pandas(FRAME), table)
    yield FRAME.assign(Date=FRAME["Date"].astype(str), Open=FRAME["Open"].map(repr))


@pytest.mark.parametrize("chunk", [100, 65_536])
def test_every_source_gives_the_same_bars(tmp_path, chunk):
    for source in sources(tmp_path):
        rows, told = all_of(source, chunk=chunk)
        assert rows.dtype == ROW
        assert rows["ts"].tolist() == [FIRST + n * MINUTE for n in range(500)]
        assert rows["seq"].tolist() == list(range(500))
        for name in ("open", "high", "low", "close", "volume"):
            assert rows[name].tolist() == FRAME[name.capitalize()].tolist()
        assert np.isnan(rows["bid"]).all()
        assert np.isnan(rows["buy_volume"]).all()
        sessions = rows[["session_id", "minute_of_session", "minutes_to_close"]].tolist()
        assert sessions == [utc_session(int(ts)) for ts in rows["ts"]]
        assert (told.interval, told.rows, told.first) == (MINUTE, 500, FIRST)
        assert told.refused == {}


def test_what_is_no_table_is_named(tmp_path):
    cut = gzip.compress(FRAME.to_csv(index=False).encode())[:-900]
    whole = (tmp_path / "a.parquet", FRAME.to_parquet())
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "1")
        archive.writestr("b.csv", "1")
    for path, told in (
        (file(tmp_path, ""), "bars.csv: is empty"),
        (file(tmp_path, "\n\n", "blank.csv"), "blank.csv: is empty"),
        (file(tmp_path, cut, "cut.csv.gz"), r"cut.csv.gz: breaks off or is damaged after line \d+"),
        (file(tmp_path, b"nothing zipped", "no.gz"), "no.gz: breaks off or is damaged after line 0"),
        (file(tmp_path, b"nothing zipped", "no.zip"), "no.zip: breaks off or is damaged"),
        (tmp_path / "two.zip", "holds a.csv, b.csv; it must hold one file"),
        (file(tmp_path, "a,b\n1,2\n".encode("utf-16"), "wide.csv"), "is UTF-16"),
        (file(tmp_path, whole[1][:-40], "cut.parquet"), "cut.parquet: cannot be read"),
        (file(tmp_path, "ts,open,high,low\n1,1,1,1\n", "less.csv"), "no column for close among ts, open"),
        (file(tmp_path, "ts,open,open\n", "twice.csv"), "has two columns 'open'"),
        (file(tmp_path, "1,2,3,4,5\n2,2,3,4,5\n", "bare.csv"), "no column for ts, open, high, low, close"),
        (object(), "source was a object, must be a path"),
    ):
        with pytest.raises(DataError, match=told):
            all_of(path)
    with pytest.raises(NotFoundError, match="no such file"):
        all_of(tmp_path / "none.csv")


def test_rows_before_the_break_are_given_before_it_is_told(tmp_path):
    text = "".join(
        f"{60 * n},1,2,0.5,{n % 7 + 1}.{n}\n".replace(f",{n % 7 + 1}.", ",1.") for n in range(1, 90_000)
    )
    cut = gzip.compress(b"ts,open,high,low,close\n" + text.encode())
    path = file(tmp_path, cut[: len(cut) // 2], "cut.csv.gz")
    reading = read(path, chunk=1_000)
    with pytest.raises(DataError, match="breaks off"):
        list(reading)
    assert reading.facts.rows > 10_000


def test_wrong_arguments_are_refused(tmp_path):
    path = file(tmp_path, "ts,open,high,low,close\n60,1,1,1,1\n")
    for how, told in (
        ({"kind": "bar"}, r"kind was 'bar', must be bars or trades or quotes\. Did you mean bars"),
        ({"stamp": "mid"}, "stamp was 'mid', must be close or open"),
        ({"zone": "Mars"}, "zone was 'Mars', which is no time zone"),
        ({"unit": "min"}, "unit was 'min'; it is s, ms, us, ns, iso, or a format"),
    ):
        with pytest.raises(ConfigError, match=told):
            read(path, **how)
    for columns, told in (
        ("ts", "columns had 'ts'"),
        ("opne=x", "Did you mean open"),
        ("ts=tz", "no column 'tz'"),
    ):
        with pytest.raises(DataError, match=told):
            read(path, columns=columns)
    with pytest.raises(DataError, match="Give the interval"):
        list(read(path, stamp="open"))


# -- columns ------------------------------------------------------------------------------------------


def test_columns_are_given_or_found(tmp_path):
    path = file(tmp_path, "60,9,1,4,0.5,2\n120,9,1,4,0.5,2\n")
    rows, told = all_of(path, columns="ts=1,open=3,high=4,low=5,close=6")
    assert rows[["open", "high", "low", "close"]].tolist() == [(1, 4, 0.5, 2)] * 2
    assert np.isnan(rows["volume"]).all()
    names = "Open time,O,H,L,Last,Number of trades,Taker buy base asset volume,Bid Price,askPrice"
    path = file(tmp_path, names + "\n60,1,4,0.5,2,17,0.25,1.9,2.1\n")
    rows, told = all_of(path)
    row = rows[0]
    assert (row["close"], row["trades"], row["buy_volume"], row["bid"], row["ask"]) == (2, 17, 0.25, 1.9, 2.1)
    assert told.columns["ts"] == "Open time"


def test_a_date_and_a_time_may_stand_apart(tmp_path):
    text = "Date,Time,Open,High,Low,Close\n2024.03.04,10:01,1,1,1,1\n2024.03.04,10:02,1,1,1,1\n"
    for columns in ("", "ts=Date+Time"):
        rows, told = all_of(file(tmp_path, text), columns=columns)
        assert rows["ts"].tolist() == [FIRST, FIRST + MINUTE]
        assert told.columns["ts"] == "Date+Time"


# -- times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "2024-03-04 10:01", "2024-03-04T10:01:00", "2024-03-04 10:01:00.000000000", "2024-03-04T10:01:00Z",
        "2024-03-04 12:01:00+02:00", "20240304 10:01:00", "20240304 100100", "20240304 10:01:00.000",
        "2024/03/04 10:01", "2024.03.04 10:01:00", "1709546460", "1709546460.000", "1709546460000",
        "1709546460000.0", "1709546460000000", "1709546460000000000",
    ],
)  # fmt: skip
def test_times_are_read_however_they_are_written(tmp_path, written):
    assert stamps([written], tmp_path)[0] == [FIRST]


def test_days_alone_are_midnight(tmp_path):
    midnight = ns("2024-03-04")
    for written in ("2024-03-04", "20240304", "2024/03/04"):
        assert stamps([written], tmp_path)[0] == [midnight]


def test_the_day_or_the_month_first_is_seen_or_asked_for(tmp_path):
    assert stamps(["03/04/2024 10:01", "03/14/2024 10:01"], tmp_path)[0][0] == FIRST
    assert stamps(["4/3/2024 10:01", "14/3/2024 10:01"], tmp_path)[0][0] == FIRST
    assert stamps(["04.03.2024"], tmp_path, unit="%d.%m.%Y")[0] == [ns("2024-03-04")]
    with pytest.raises(DataError, match="may have the day or the month first"):
        stamps(["03/04/2024"], tmp_path)
    with pytest.raises(DataError, match="'noon', which is of no known form"):
        stamps(["noon"], tmp_path)


@settings(max_examples=60)
@given(st.integers(ns("1990-01-01"), ns("2100-01-01")), st.sampled_from(["s", "ms", "us", "ns"]))
def test_a_fraction_of_a_unit_keeps_its_nanoseconds(tmp_path_factory, ts, unit):
    digits = {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]
    whole = f"{ts:020d}"
    written = f"{whole[: 20 - digits].lstrip('0')}.{whole[20 - digits :]}" if digits else str(ts)
    assert stamps([written], tmp_path_factory.mktemp("t"), unit=unit)[0] == [ts]


def test_a_time_in_another_unit_or_beyond_all_markets_is_refused(tmp_path):
    found, told = stamps(["1709546460", "1709546520", "1709546580000", "9" * 18, "1709546640"], tmp_path)
    assert found == [FIRST, FIRST + MINUTE, FIRST + 3 * MINUTE]
    assert told.refused == {"time": 2}
    assert told.times == "s since 1970, UTC"


@settings(max_examples=40)
@given(
    st.sampled_from(["America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.integers(0, 366 * 24 * 12),
)
def test_local_times_are_those_of_the_zone(tmp_path_factory, zone, steps):
    local = datetime.fromtimestamp(ns("2024-01-01") // 10**9 + 300 * steps, tz=ZoneInfo("UTC")).replace(
        tzinfo=None
    )
    early, late = (local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    found, told = stamps([local.isoformat()], tmp_path_factory.mktemp("t"), zone=zone)
    if early.utcoffset() == late.utcoffset():
        assert found == [ns(early)]
    else:
        assert found == []
        back = early.astimezone(ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert told.refused == ({"ambiguous": 1} if back == local else {"nonexistent": 1})


def test_a_bar_stamped_at_its_open_is_moved_to_its_close(tmp_path):
    times = ["2024-03-04 10:01", "2024-03-04 10:02", "2024-03-04 10:03", "2024-03-04 10:09"]
    for how in ({}, {"interval": MINUTE}):
        found, told = stamps(times, tmp_path, stamp="open", **how)
        assert found == [FIRST + n * MINUTE for n in (1, 2, 3, 9)]
        assert told.odd["gap"] == 1
    assert stamps(times[:1], tmp_path, stamp="open", interval=5 * MINUTE)[0] == [FIRST + 5 * MINUTE]


def test_a_market_that_is_closed_makes_no_gap_but_a_lost_session_does(tmp_path):
    days = [f"2024-03-{day:02d} {hour}:00" for day in (4, 5, 7) for hour in range(10, 17)]
    _, told = stamps(days, tmp_path, zone="America/New_York")
    assert told.odd["gap"] == 2
    _, told = stamps(days, tmp_path, zone="America/New_York", calendar="09:00-16:00 America/New_York")
    assert told.odd["gap"] == 1


# -- trades and quotes --------------------------------------------------------------------------------


def test_trades(tmp_path):
    text = "id,price,qty,time,side\n7,10.5,1,1000,buy\n8,10.4,2,1500,SELL\n8,10.4,2,1500,SELL\n9,0,1,1600,b\n"
    text += "10,10.6,,1400,\n11,10.6,3,1700,maybe\n12,10.7,3,1300,s\n13,10.5,1,1800,b\n"
    rows, told = all_of(file(tmp_path, text), kind="trades", unit="ms")
    assert rows.dtype == EVENT
    assert rows[["ts", "id", "price", "size", "side"]].tolist() == [
        (1_000 * 10**6, 7, 10.5, 1.0, BUY),
        (1_500 * 10**6, 8, 10.4, 2.0, SELL),
        (1_600 * 10**6, 12, 10.7, 3.0, SELL),  # came late: it has the time of the one before it in the file
        (1_800 * 10**6, 13, 10.5, 1.0, BUY),
    ]
    assert rows["flags"].tolist() == [LAST, LAST, LAST | BACK, LAST]
    assert set(rows["kind"]) == {TRADE}
    assert told.refused == {"duplicate": 1, "price": 1, "missing": 1, "side": 1}
    assert told.odd == {"late": 1}


def test_quotes_are_two_events_or_one_where_a_side_is_not_told(tmp_path):
    text = "ts,bid,ask,bid_size,ask_size\n1,10,11,1,2\n2,,10.5,,3\n3,12,11,1,1\n4,10,10.5,1,1\n5,x,1,1,1\n"
    rows, told = all_of(file(tmp_path, text), kind="quotes", unit="s")
    events = rows[["ts", "side", "price", "size", "flags"]].tolist()
    second = 10**9
    assert events == [
        (second, BUY, 10.0, 1.0, 0), (second, SELL, 11.0, 2.0, LAST), (2 * second, SELL, 10.5, 3.0, LAST),
        (4 * second, BUY, 10.0, 1.0, 0), (4 * second, SELL, 10.5, 1.0, LAST),
    ]  # fmt: skip
    assert set(rows["kind"]) == {QUOTE}
    assert told.refused == {"crossed": 1, "number": 1}


# -- what is told -------------------------------------------------------------------------------------


def test_facts_are_those_of_the_whole_table(tmp_path):
    path = file(tmp_path, FRAME.to_csv(index=False))
    told = facts(path, chunk=100)
    assert (told.rows, told.last, told.kind) == (500, FIRST + 499 * MINUTE, "bars")
    assert told.times == "ISO text without an offset, taken as UTC"
    assert told.quality == pytest.approx(1.0)


def test_rows_of_frames_are_refused_by_number(tmp_path):
    frame = FRAME.assign(Open=FRAME["Open"].where(FRAME.index != 41))
    path = tmp_path / "deep" / "refused.jsonl"
    with Quarantine(path) as quarantine:
        made = sum(len(rows) for rows in read(frame, quarantine=quarantine, chunk=20))
    (told,) = map(json.loads, path.read_text().splitlines())
    assert (made, told["source"], told["line"], told["fault"]) == (499, "DataFrame", 42, "missing")
    assert told["raw"]["High"] == FRAME["High"][41]
    assert quarantine.summary() == "1 missing"


def test_a_quarantine_appends_counts_and_starts_anew(tmp_path):
    path = tmp_path / "q.jsonl"
    for fresh, lines in ((False, 1), (False, 2), (True, 1)):
        with Quarantine(path, fresh=fresh) as quarantine:
            quarantine.add("a.csv", 3, "time", "why", {"x": math.nan}, 5)
        assert len(path.read_text().splitlines()) == lines
        assert quarantine.total == 1
    with pytest.raises(DataError, match="cannot be written"):
        Quarantine(path / "below").add("a", 1, "time", "why", "")
    nowhere = Quarantine()
    nowhere.add("a", 1, "time", "why", "")
    assert nowhere.counts == {"time": 1}


def test_a_file_without_a_row_says_so(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,open,high,low,close,volume\n")
    with pytest.raises(DataError, match=r"a\.csv: has no row with a time\. Name a file that holds data\.$"):
        facts(path)
