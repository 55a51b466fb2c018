"""The gate at the edges of its window and of its file, and files that are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_event_calendar import nexus_gates
from nexus_event_calendar.gate import Announcement

from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import ConfigError, PluginError
from nexus_core.testing import GateContract, ListenerContract, Trial, rows
from nexus_core.types import Outcome, ns

SECOND, MINUTE = 1_000_000_000, 60_000_000_000
NEWS = ns("2026-03-02T13:30:00Z")
MONTH = ("2026-03-01T00:00:00Z", "2026-03-02T13:30:00Z", "2026-04-01T00:00:00Z")


class TestGate(GateContract):
    gate = Announcement


class TestListener(ListenerContract):
    listener = "event-calendar"


def judged(times, file, **limit):
    """Return at each of these times what the gate saw, and whether it let an entry through."""
    trial = Trial({"announcement": Announcement(file=str(file), **limit)}, breaker_loss=0.0)
    trial.run(rows(np.full(len(times), 100.0), ts=np.array(times)), 1)
    number = trial.chain.places[-1].number
    decisions = trial.decisions
    assert set(decisions["outcome"][decisions["reason"] == number].tolist()) <= {Outcome.SKIPPED}
    seen = trial.verdicts[trial.verdicts["gate"] == number]
    assert len(seen) == len(times)
    return seen["value"].tolist(), (decisions["reason"] != number).tolist()


def test_just_outside_at_and_just_inside_each_edge_of_the_window(calendar):
    half = 30 * MINUTE
    times = [NEWS + each for each in (-half - 1, -half, -half + 1, -1, 0, 1, half - 1, half, half + 1)]
    values, passed = judged(times, calendar(*MONTH))
    assert passed == [True, True, False, False, False, False, False, True, True]
    assert (values[1], values[4], values[7]) == (30.0, 0.0, 30.0)
    assert values[0] == values[8] > 30.0 > values[2] == values[6]


def test_the_limit_is_the_users(calendar):
    times = [NEWS + each * MINUTE for each in (-90, -89, 0, 89, 90)]
    values, passed = judged(times, calendar(*MONTH), limit=90)
    assert values == [90.0, 89.0, 0.0, 89.0, 90.0]
    assert passed == [True, False, False, False, True]
    assert judged(times, calendar(*MONTH), limit=0)[1] == [True] * 5


def test_between_two_announcements_the_nearer_counts(calendar):
    file = calendar(*MONTH, "2026-03-02T14:30:00Z")
    values, _ = judged([NEWS + each * MINUTE for each in (20, 30, 40, 60, 70)], file)
    assert values == [20.0, 30.0, 20.0, 0.0, 10.0]


def test_what_the_calendar_does_not_cover_is_refused(calendar):
    begin, end = ns(MONTH[0]), ns(MONTH[2])
    edges = [begin - SECOND, begin - 1, begin, begin + 30 * MINUTE, end - 30 * MINUTE, end, end + 1]
    for limit, at_the_day_itself in ((30, False), (0, True)):
        values, passed = judged([*edges, end + 400 * 1_440 * MINUTE], calendar(*MONTH), limit=limit)
        assert np.isnan(values).tolist() == [True, True, False, False, False, False, True, True]
        assert passed == [False, False, at_the_day_itself, True, True, at_the_day_itself, False, False]


def test_order_repetition_offsets_blanks_and_other_columns_change_nothing(calendar, tmp_path):
    times = [NEWS + each * MINUTE for each in range(-40, 45, 5)]
    other = tmp_path / "other.csv"
    lines = [
        "2026-04-01T02:00:00+02:00",
        "2026-03-02T08:30:00-05:00",
        "2026-03-01T00:00Z",
        "2026-03-02T13:30Z",
    ]
    other.write_bytes(
        ("\r\n".join(["name, time", *(f'"a, b", {each}' for each in lines), "", ""])).encode("utf-8-sig")
    )
    assert judged(times, other) == judged(times, calendar(*MONTH))


@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=20, unique=True),
    st.lists(st.integers(-1000, 10**6 + 1000), min_size=1, max_size=20),
)
def test_values_are_those_of_a_search_through_all(announcements, moments):
    class Given:
        times = np.array(sorted(announcements)) * SECOND

    class Columns:
        ts = np.array(moments) * SECOND

    found = Announcement.values(Columns, None, Given)
    for moment, value in zip(moments, found.tolist(), strict=True):
        if min(announcements) <= moment <= max(announcements):
            assert value == min(abs(each - moment) for each in announcements) * SECOND / MINUTE
        else:
            assert np.isnan(value)


# -- what is refused ----------------------------------------------------------------------------------


def settings(**table):
    return Settings(plugins={"event-calendar": table})


def test_a_run_that_asks_for_nothing_has_no_such_gate():
    assert nexus_gates(Settings()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line names no column `time`"),
        ("when,what\n2026-03-01T00:00:00Z,a\n", "its first line names no column `time`"),
        ("time\n", "has no two times"),
        ("time\n2026-03-01T00:00:00Z\n2026-03-01T00:00:00Z\n", "has no two times"),
        ("time\n2026-03-01T00:00:00Z\n2026-03-02T13:30:00\n", "line 3: time was '2026-03-02T13:30:00', must"),
        ("time\n2026-03-01\n", "line 2: time was '2026-03-01', must"),
        ("name,time\na,2026-03-01T00:00:00Z\nb\n", "line 3: time was '', must"),
        ("time\n2026-02-30T00:00:00Z\n", "line 2: time was '2026-02-30T00:00:00Z'; write it like"),
        ("time\n9999-01-01T00:00:00Z\n", "line 2: time was 9999-01-01.*must lie between the years"),
        ("time\nsoonZ\n", "line 2: time was 'soonZ'; write it like"),
        ("time\n# 2026-03-01T00:00:00Z\n", "line 2: time was '# 2026"),
    ],
)
def test_a_file_that_cannot_be_believed_is_one_error(tmp_path, text, said):
    file = tmp_path / "calendar.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"^plugins\.event-calendar\.file was '{file}'.*{said}"):
        assemble(settings(file=str(file)))


def test_a_file_that_cannot_be_read_is_one_error(tmp_path):
    binary = tmp_path / "calendar.xlsx"
    binary.write_bytes(b"PK\xff\xfe\x00")
    for file, said in (
        (tmp_path / "none.csv", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "'utf-8' codec can't decode"),
    ):
        with pytest.raises(ConfigError, match=rf"^plugins\.event-calendar\.file was '{file}', which.*{said}"):
            assemble(settings(file=str(file)))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"limit": 30}, r"^plugins\.event-calendar\.file was missing"),
        ({"file": 3}, "^event-calendar: parameter file was 3"),
        ({"file": "a.csv", "limit": -1}, "^event-calendar: parameter limit was -1"),
        ({"fil": "a.csv"}, "^event-calendar: unknown parameter fil. Did you mean file?"),
    ],
)
def test_wrong_settings_are_one_error(table, said):
    with pytest.raises(ConfigError, match=said) as caught:
        assemble(settings(**table))
    assert not isinstance(caught.value, PluginError)


def test_what_decides_is_known_by_the_times_and_not_by_the_name_of_the_file(calendar, tmp_path):
    def code(file):
        return assemble(settings(file=str(file))).code["gate:announcement"]

    one = calendar(*MONTH)
    same = tmp_path / "same.csv"
    same.write_bytes(one.read_bytes())
    known = code(one)
    assert code(same) == known
    assert code(calendar(*MONTH, "2026-03-18T18:00:00Z")) != known
