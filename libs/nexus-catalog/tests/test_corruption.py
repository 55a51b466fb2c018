"""A file with thousands of faults of all kinds: each is found and named, and no clean row is lost."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_catalog.quarantine import Quarantine
from nexus_catalog.tables import read

MINUTE = 60 * 10**9
START = 1_700_000_040
NAMES = "time,open,high,low,close,volume"


def clean(count, seed):
    """Return rows of text that differ in every cell."""
    random_, price, rows = random.Random(seed), 100.0, []
    for n in range(count):
        before, price = price, price * (1 + random_.gauss(0, 0.001))
        high, low = max(before, price) * (1 + random_.random() / 1e3), min(before, price) * 0.9995
        volume = random_.uniform(1, 2)
        rows.append([str(START + 60 * n), *(f"{each:.6f}" for each in (before, high, low, price, volume))])
    return rows


def cell(place, text):
    def spoil(row, random_):
        return [",".join([*row[:place], text, *row[place + 1 :]]).encode("latin-1")]

    return spoil


def any_price(text):
    return lambda row, random_: cell(random_.randint(1, 4), text)(row, random_)


def shifted(least, most):
    def spoil(row, random_):
        return cell(0, str(int(row[0]) + 60 * random_.randint(least, most)))(row, random_)

    return spoil


def twice(row, random_):
    return [",".join(row).encode()] * 2


def contradicted(row, random_):
    return [",".join(row).encode(), ",".join([*row[:5], "7.5"]).encode()]


YEARS = 525_600
FAULTS = {
    "word": (any_price("abc"), {"number"}),
    "dots": (any_price("1.2.3"), {"number"}),
    "comma": (any_price('"1,5"'), {"number"}),
    "nul": (any_price("1\x002"), {"nul"}),
    "latin": (any_price("12\xe9"), {"encoding"}),
    "quote": (any_price('"101.5'), {"quote"}),
    "short": (lambda row, random_: [",".join(row[: random_.randint(1, 5)]).encode()], {"columns"}),
    "long": (lambda row, random_: [",".join([*row, "1"]).encode()], {"columns"}),
    "empty": (any_price(""), {"missing"}),
    "nan": (any_price("NaN"), {"missing"}),
    "infinite": (any_price("inf"), {"price"}),
    "zero": (any_price("0"), {"price"}),
    "negative": (any_price("-3.5"), {"price"}),
    "low high": (cell(2, "1.0"), {"range"}),
    "high low": (cell(3, "1e6"), {"range"}),
    "negative volume": (cell(5, "-1"), {"size"}),
    "absurd volume": (cell(5, "1e30"), {"size"}),
    "worded volume": (cell(5, "many"), {"number"}),
    "no time": (cell(0, ""), {"missing"}),
    "worded time": (cell(0, "noon"), {"time"}),
    "far time": (cell(0, "99999999999"), {"time"}),
    "endless time": (cell(0, "9" * 30), {"time"}),
    "back": (shifted(-3 * YEARS, -YEARS), {"back"}),
    "ahead": (shifted(YEARS, 3 * YEARS), {"ahead"}),
    "duplicate": (twice, {"duplicate"}),
    "contradiction": (contradicted, {"contradiction"}),
}


def spoiled(rows, share, seed):
    """Return the lines of a file, the wanted faults by line, and the rows that are to be kept."""
    random_, lines, wanted, kept = random.Random(seed), [NAMES.encode()], {}, []
    for n, row in enumerate(rows):
        if 0 < n < len(rows) - 5 and random_.random() < share:
            # where a file has just begun nobody can say which of two times is the wrong one
            names = FAULTS.keys() - ({"back"} if len(kept) < 20 else set())
            name = random_.choice(sorted(names))
            spoil, faults = FAULTS[name]
            lines += spoil(row, random_)
            wanted[len(lines)] = faults
            if name in ("duplicate", "contradiction"):
                kept.append(row)
        else:
            lines.append(",".join(row).encode())
            kept.append(row)
    return lines, wanted, kept


def judge(folder, lines, wanted, kept, chunk):
    path, told = folder / "bars.csv", folder / "refused.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with Quarantine(told, fresh=True) as quarantine:
        reading = read(path, chunk=chunk, quarantine=quarantine)
        made = np.concatenate(list(reading))
    found = [json.loads(each) for each in told.read_text().splitlines()] if wanted else []
    assert sorted(each["line"] for each in found) == sorted(wanted)
    wrong = [(each, wanted[each["line"]]) for each in found if each["fault"] not in wanted[each["line"]]]
    assert wrong == []
    for each in found:
        raw = lines[each["line"] - 1]
        assert each["raw"] == raw.decode("utf-8", "backslashreplace")
        assert each["source"] == str(path)
        assert each["reason"]
    expected = [[int(row[0]) * 10**9, *map(float, row[1:])] for row in kept]
    for place, name in enumerate(("ts", "open", "high", "low", "close", "volume")):
        assert made[name].tolist() == [row[place] for row in expected]
    assert sum(reading.facts.refused.values()) == len(wanted)
    assert reading.facts.rows == len(kept)


def test_ten_thousand_corrupted_rows_are_all_named_and_no_clean_one_is_refused(tmp_path):
    lines, wanted, kept = spoiled(clean(40_000, 1), 0.27, 2)
    assert len(wanted) > 10_000
    judge(tmp_path, lines, wanted, kept, 8_192)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.003, 0.1, 0.4]), st.sampled_from([300, 1_000, 65_536]))
def test_faults_anywhere_are_named(tmp_path_factory, seed, share, chunk):
    lines, wanted, kept = spoiled(clean(1_500, seed), share, seed + 1)
    judge(tmp_path_factory.mktemp("spoiled"), lines, wanted, kept, chunk)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_kind_of_fault_alone(tmp_path, name):
    rows = clean(600, 3)
    spoil, faults = FAULTS[name]
    random_ = random.Random(4)
    lines = [NAMES.encode(), *(",".join(row).encode() for row in rows)]
    lines[301:302] = spoil(rows[300], random_)
    line = 301 + len(spoil(rows[300], random_))
    kept = rows if line == 303 else rows[:300] + rows[301:]
    judge(tmp_path, lines, {line: faults}, kept, 65_536)
