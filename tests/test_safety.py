"""Requests for another safety mode: written by anybody, taken up once, kept for good."""

from __future__ import annotations

import getpass
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from nexus_core import safety
from nexus_core.errors import JournalError
from nexus_core.ledger.orders import MODE
from nexus_core.safety import FILE, Control, as_events
from nexus_core.types import Mode


@pytest.fixture
def control(tmp_path):
    with closing(Control(tmp_path)) as made:
        yield made


def test_a_request_waits_until_it_is_taken_up(control):
    assert control.due(0, waiting=True) == []
    control.ask(Mode.PAUSED, "lunch")
    control.ask(Mode.NORMAL, "back")
    asked = control.due(5, waiting=True)
    assert [(each.id, each.mode, each.why, each.tick) for each in asked] == [
        (1, Mode.PAUSED, "lunch", None),
        (2, Mode.NORMAL, "back", None),
    ]
    assert control.due(5, waiting=False) == []
    assert control.taken_up() == []
    control.take_up(asked[:1], 5)
    assert [each.why for each in control.taken_up()] == ["lunch"]
    assert [each.why for each in control.due(5, waiting=True)] == ["lunch", "back"]
    assert [each.why for each in control.due(5, waiting=False)] == ["lunch"]
    assert [each.why for each in control.due(6, waiting=True)] == ["back"]


def test_what_was_taken_up_stays_in_the_order_it_was_asked(control):
    for why in "abc":
        control.ask(Mode.REDUCED, why)
    control.take_up(control.due(9, waiting=True), 9)
    assert [(each.why, each.tick) for each in control.taken_up()] == [("a", 9), ("b", 9), ("c", 9)]
    control.take_up([], 10)
    assert len(control.taken_up()) == 3


def test_a_request_says_who_asked_and_when(control, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    control.ask(Mode.PAUSED, "by hand")
    control.ask(Mode.PAUSED, "by itself", "circuit breaker")
    one, other = control.due(0, waiting=True)
    assert (one.who, other.who) == ("ada", "circuit breaker")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(one.at)).total_seconds()) < 60


@pytest.mark.parametrize("error", [KeyError("uid 12345"), OSError("no user"), ImportError("pwd")])
def test_a_user_without_a_name_is_unknown(control, monkeypatch, error):
    def nobody():
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    control.ask(Mode.PAUSED, "by hand")
    assert control.due(0, waiting=True)[0].who == "unknown"


def test_others_may_ask_while_a_run_has_the_file_open(control, tmp_path):
    safety.ask(tmp_path, Mode.EMERGENCY, "from outside")
    assert [each.mode for each in control.due(0, waiting=True)] == [Mode.EMERGENCY]


def test_requests_outlive_the_file_being_closed(tmp_path):
    safety.ask(tmp_path, Mode.PAUSED, "first")
    safety.ask(tmp_path, Mode.NORMAL, "second")
    with closing(Control(tmp_path)) as control:
        assert [each.why for each in control.due(0, waiting=True)] == ["first", "second"]


def test_requests_become_events_that_change_the_mode(control):
    for mode in (Mode.REDUCED, Mode.EMERGENCY):
        control.ask(mode, "why")
    made = as_events(control.due(0, waiting=True), 1_000)
    assert made["kind"].tolist() == [MODE, MODE]
    assert made["mode"].tolist() == [Mode.REDUCED, Mode.EMERGENCY]
    assert made["ts"].tolist() == [1_000, 1_000]
    assert made["reason"].tolist() == [-1, -1]  # no gate did it
    assert len(as_events([], 0)) == 0


def test_a_file_that_is_none_of_ours_is_a_clear_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(
        JournalError, match=r"requests cannot be kept in .*control\.db \(file is not a database\)\."
    ):
        safety.ask(tmp_path, Mode.PAUSED, "why")


def test_a_lock_that_is_not_lifted_is_a_clear_error(control, tmp_path):
    control._db.execute("pragma busy_timeout = 20")
    control.ask(Mode.PAUSED, "before")
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("begin exclusive")
        for act in (
            lambda: control.ask(Mode.PAUSED, "why"),
            lambda: control.due(0, waiting=True),
            lambda: control.taken_up(),
            lambda: control.take_up([safety.Request(1, Mode.PAUSED, "", "", "", None)], 3),
        ):
            with pytest.raises(JournalError, match=r"\(database is locked\)\. See what holds the file"):
                act()
        other.execute("rollback")
    assert [each.why for each in control.due(0, waiting=True)] == ["before"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(unprivileged):
    unprivileged.chmod(0o555)
    with pytest.raises(JournalError, match=r"requests cannot be kept in .*control\.db \("):
        safety.ask(unprivileged, Mode.PAUSED, "why")
    unprivileged.chmod(0o755)
