"""The catalog: imports that are whole or nothing, data that is what was written, splits that stay sealed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nexus_catalog import merge, store
from nexus_catalog.series import Series
from nexus_catalog.splits import PARTS
from nexus_catalog.store import Catalog

from nexus_core.errors import DataError, NotFoundError, UsageError
from nexus_core.market.events import EVENT, LEVEL, TRADE
from nexus_core.records import ROW

MINUTE = 60 * 10**9
START = 1_700_000_000 * 10**9 // MINUTE * MINUTE
BARS, TRADES, BOOK = Series("BTC-USD", "bars", MINUTE), Series("BTC-USD", "trades"), Series("BTC-USD", "book")


def bars(first, size, price=100.0):
    """Return bars of minutes from number `first` on; each is a function of its number alone."""
    made = np.zeros(size, ROW)
    n = np.arange(first, first + size)
    made["ts"] = START + n * MINUTE
    made["seq"] = np.arange(size)
    for name in ("open", "high", "low", "close"):
        made[name] = price + n % 100 / 4
    made["volume"] = np.where(n % 7, n % 13, np.nan)
    made["bid"] = made["ask"] = np.nan
    return made


def trades(times, kind=TRADE):
    made = np.zeros(len(times), EVENT)
    made["ts"], made["kind"], made["price"], made["size"] = np.array(times) + START, kind, 10, 1
    made["id"] = np.arange(len(times))
    return made


def whole(catalog, series):
    found = [each.copy() for each in catalog.every(series.name)]
    return np.concatenate(found)


@pytest.fixture
def catalog(tmp_path):
    return Catalog(tmp_path / "catalog")


def test_what_goes_in_comes_out_in_order_and_to_the_bit(catalog):
    made = bars(0, 100_000)  # over several months
    done = catalog.add(BARS, (made[n : n + 999] for n in range(0, len(made), 999)), "a.csv", "aa")
    assert (done.rows, done.added, done.known) == (100_000, 100_000, False)
    assert whole(catalog, BARS).tobytes() == made.tobytes()
    facts = catalog.find(BARS.name)
    assert (facts.rows, facts.first, facts.last) == (100_000, made["ts"][0], made["ts"][-1])
    assert facts.files == len(list(catalog.folder.rglob("*.parquet"))) == 3


def test_the_same_source_adds_nothing(catalog):
    catalog.add(BARS, [bars(0, 50)], "a.csv", "aa")
    done = catalog.add(BARS, iter(()), "b.csv", "aa")
    assert done.known
    assert len(catalog.find(BARS.name).sources) == 1


def test_the_same_rows_of_another_source_add_nothing(catalog):
    catalog.add(BARS, [bars(0, 50)], "a.csv", "aa")
    files = sorted(catalog.folder.rglob("*.parquet"))
    done = catalog.add(BARS, [bars(10, 20)], "b.csv", "bb")
    assert (done.rows, done.added) == (20, 0)
    assert sorted(catalog.folder.rglob("*.parquet")) == files


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(data=st.data())
def test_sources_that_agree_become_one_series_in_whatever_order(tmp_path_factory, monkeypatch, data):
    monkeypatch.setattr(store, "PART", 40)
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    spans = data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 150)), min_size=1, max_size=5))
    numbers: set[int] = set()
    cuts = []
    for at, (first, size) in enumerate(spans):
        step = data.draw(st.integers(1, 3))
        done = catalog.add(BARS, [bars(first, size)[::step]], f"{at}.csv", str(at))
        given_numbers = set(range(first, first + size, step))
        assert done.added == len(given_numbers - numbers)
        numbers |= given_numbers
        cuts.append(catalog.find(BARS.name).splits)
    assert len(set(cuts)) == 1
    found = whole(catalog, BARS)
    assert found["ts"].tolist() == [START + n * MINUTE for n in sorted(numbers)]
    expected = bars(0, 400)[sorted(numbers)]
    found["seq"] = expected["seq"] = 0
    assert found.tobytes() == expected.tobytes()
    parts = [[int(ts) for each in reading(catalog, part) for ts in each["ts"]] for part in PARTS]
    assert [ts for part in parts for ts in part] == found["ts"].tolist()


def reading(catalog, part):
    if part == "final":
        return catalog.final(BARS.name, "a test")
    return catalog.read(BARS.name, part)


def test_rows_that_disagree_are_refused_by_name_and_nothing_is_kept_of_their_source(catalog):
    catalog.add(BARS, [bars(0, 50)], "a.csv", "aa")
    before = whole(catalog, BARS).tobytes()
    other = bars(40, 20)
    other["close"][[3, 5]] += 1
    with pytest.raises(DataError) as error:
        catalog.add(BARS, [other], "b.csv", "bb")
    assert "at 2 times" in str(error.value)
    assert "2023-11-14T22:56:00Z (close 110.75 kept, 111.75 given)" in str(error.value)
    assert whole(catalog, BARS).tobytes() == before
    assert len(catalog.find(BARS.name).sources) == 1


def test_trades_between_others_are_merged_and_a_book_takes_none(catalog):
    catalog.add(TRADES, [trades([1, 2, 2, 5])], "a", "a")
    extra = trades([3, 4])
    assert catalog.add(TRADES, [extra], "b", "b").added == 2
    assert (whole(catalog, TRADES)["ts"] - START).tolist() == [1, 2, 2, 3, 4, 5]
    with pytest.raises(DataError, match=r"another number of events .*2 kept, 1 given"):
        catalog.add(TRADES, [trades([2])], "c", "c")
    catalog.add(BOOK, [trades([1, 5], LEVEL)], "a", "a")
    with pytest.raises(DataError, match="a book without these events"):
        catalog.add(BOOK, [trades([3], LEVEL)], "b", "b")
    assert catalog.add(BOOK, [trades([6], LEVEL)], "b", "b").added == 1


def test_times_that_go_back_or_come_twice_are_refused(catalog):
    twice = bars(0, 5)
    twice["ts"][3] = twice["ts"][2]
    with pytest.raises(DataError, match="comes twice"):
        catalog.add(BARS, [twice], "a", "a")
    with pytest.raises(DataError, match="comes after a later one"):
        catalog.add(TRADES, [trades([5]), trades([4])], "a", "a")
    with pytest.raises(DataError, match="no record"):
        catalog.add(TRADES, [trades([])], "a", "a")
    assert catalog.facts() == []


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=120), st.integers(1, 30), st.integers(1, 25))
def test_pieces_are_all_of_the_source_and_part_no_time(times, size, chunk):
    made = trades(sorted(times))
    made["ts"] = START + (made["ts"] - START) * 12 * 3600 * 10**9  # over days, and so over periods
    chunks = (made[n : n + chunk] for n in range(0, len(made), chunk))
    found = list(merge.pieces(TRADES, chunks, size))
    assert np.concatenate(found).tobytes() == made.tobytes()
    for one, other in pairwise(found):
        assert one["ts"][-1] < other["ts"][0]


def test_a_damaged_file_is_refused_by_name(catalog):
    catalog.add(BARS, [bars(0, 500)], "a.csv", "aa")
    path = next(catalog.folder.rglob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{path.name} is not what was written"):
        whole(catalog, BARS)
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name} is gone"):
        whole(catalog, BARS)


def test_a_damaged_index_is_refused_by_name(catalog):
    catalog.folder.mkdir()
    (catalog.folder / "index.sqlite").write_bytes(b"no database, but long enough to be looked at" * 50)
    with pytest.raises(DataError, match=r"index.sqlite is damaged"):
        catalog.facts()


def test_the_first_import_is_not_there_before_it_is_done(catalog):
    seen = []

    def look():
        seen.append(catalog.facts())

    catalog.add(BARS, chunks_then(look), "a", "a")
    assert seen == [[]]
    assert len(catalog.facts()) == 1


def test_series_in_one_folder_leave_each_other_alone(catalog, monkeypatch):
    monkeypatch.setattr(Series, "folder", "one for all")  # as where case means nothing to the file system
    small, large = Series("btc", "trades"), Series("BTC", "trades")
    catalog.add(small, [trades([1])], "a", "a")
    catalog.add(large, [trades([2])], "b", "b")
    assert [len(whole(catalog, each)) for each in (small, large)] == [1, 1]


def test_an_index_of_a_later_version_is_refused(catalog):
    catalog.add(BARS, [bars(0, 5)], "a", "a")
    db = sqlite3.connect(catalog.folder / "index.sqlite")
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(DataError, match="version 9"):
        catalog.facts()


def test_the_final_split_is_sealed_and_its_readings_are_counted(catalog):
    catalog.add(BARS, [bars(0, 101)], "a", "a")
    assert sum(len(each) for each in catalog.read(BARS.name, "open")) == 81
    with pytest.raises(UsageError, match="sealed"):
        catalog.read(BARS.name, "final")
    with pytest.raises(UsageError, match="reason"):
        catalog.final(BARS.name, " ")
    assert sum(len(each) for each in catalog.final(BARS.name, "the last look", "ann")) == 20
    (seen,) = catalog.find(BARS.name).readings
    assert (seen["who"], seen["why"]) == ("ann", "the last look")
    catalog.add(BARS, [bars(101, 50)], "b", "b")
    assert sum(len(each) for each in catalog.final(BARS.name, "once more")) == 70
    assert len(catalog.find(BARS.name).readings) == 2


def test_a_span_of_time_stays_inside_the_split(catalog):
    catalog.add(BARS, [bars(0, 101)], "a", "a")
    found = np.concatenate(list(catalog.read(BARS.name, "choose", START + 70 * MINUTE, symbol=4)))
    assert (found["ts"] - START).tolist() == [n * MINUTE for n in range(70, 81)]
    assert (found["symbol"] == 4).all()
    assert not list(catalog.read(BARS.name, "calibrate", START + 70 * MINUTE))


def test_an_unknown_series_is_named_with_its_neighbour(catalog):
    catalog.add(BARS, [bars(0, 5)], "a", "a")
    with pytest.raises(NotFoundError, match="Did you mean BTC-USD/bars-60s"):
        catalog.read("BTC-USD/bars-61s")


def chunks_then(action):
    yield bars(60, 60_000)
    action()


def test_an_import_that_raises_or_is_killed_leaves_what_was_there(catalog, monkeypatch):
    catalog.add(BARS, [bars(0, 50)], "a", "a")
    before = whole(catalog, BARS).tobytes()
    monkeypatch.setattr(store, "PART", 1000)

    def fail():
        raise DataError("the file ends in the midst of a row")

    with pytest.raises(DataError, match="midst"):
        catalog.add(BARS, chunks_then(fail), "b", "b")
    killed = multiprocessing.get_context("fork").Process(target=_die, args=(catalog,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert len(list(catalog.folder.rglob("*.parquet"))) > 1  # what it left behind
    assert whole(catalog, BARS).tobytes() == before
    assert catalog.add(BARS, [bars(50, 10)], "c", "c").added == 10
    assert len(list(catalog.folder.rglob("*.parquet"))) == catalog.find(BARS.name).files
    assert len(whole(catalog, BARS)) == 60


def _die(catalog):
    catalog.add(BARS, chunks_then(lambda: os.kill(os.getpid(), signal.SIGKILL)), "b", "b")


def test_two_processes_import_one_after_another(catalog):
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import numpy as np
        from nexus_catalog.series import Series
        from nexus_catalog.store import Catalog
        from nexus_core.records import ROW
        rows = np.zeros(200, ROW)
        for n in range(int(sys.argv[2]), 12, 2):
            rows["ts"] = np.arange(n * 200, n * 200 + 200) * 60_000_000_000
            Catalog(Path(sys.argv[1])).add(Series("X", "bars", 60_000_000_000), [rows.copy()], str(n), str(n))
        """
    )
    both = [subprocess.Popen([sys.executable, "-c", script, catalog.folder, str(n)]) for n in (0, 1)]
    assert [each.wait() for each in both] == [0, 0]
    found = whole(catalog, Series("X", "bars", MINUTE))
    assert (found["ts"] // MINUTE).tolist() == list(range(2400))
    assert len(catalog.find("X/bars-60s").sources) == 12


@pytest.mark.parametrize("emptied", [False, True])
def test_a_catalog_that_lost_its_index_is_refused_and_loses_nothing(catalog, emptied):
    series = Series("A-USD", "bars", 60)
    catalog.add(series, [bars(0, 50)], "one")
    index = catalog.folder / "index.sqlite"
    kept, files = index.read_bytes(), sorted(catalog.folder.rglob("*.parquet"))
    index.unlink()
    if emptied:
        index.touch()
    for use in (catalog.facts, lambda: catalog.add(series, [bars(100, 50)], "two")):
        with pytest.raises(DataError, match=r"holds data, and its index\.sqlite is gone or empty"):
            use()
    assert sorted(catalog.folder.rglob("*.parquet")) == files
    index.write_bytes(kept)
    assert len(whole(catalog, series)) == 50
