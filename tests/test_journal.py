"""The journal: whole commits or none, one writer, and no byte believed that was not written."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_core import journal as journals
from nexus_core import records
from nexus_core.errors import JournalError
from nexus_core.journal import (
    FILE,
    LOCK,
    Batch,
    DamagedError,
    Input,
    Journal,
    pack,
    reached,
    set_aside,
    unpack,
)
from nexus_core.records import EVENT, OPINION, VERDICT, empty
from nexus_core.upkeep.homes import is_going

DECISION = records.decisions(records.CONTEXT)
ONE_LINE = re.compile(r"[^\n]+")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run-1"
    made.mkdir()
    return made


def noise(dtype, size, seed):
    """Return records of random bytes: whatever they hold must come back."""
    return np.frombuffer(random.Random(seed).randbytes(dtype.itemsize * size), dtype).copy()


def events(first, size, ts=1_000):
    made = noise(EVENT, size, first)
    made["seq"], made["ts"] = np.arange(first, first + size), ts + np.arange(size)
    return made


def trace(size, seed, ts=1_000):
    decisions = noise(DECISION, size, seed)
    decisions["ts"] = ts + np.arange(size)
    return decisions, noise(VERDICT, 2 * size, seed + 1), noise(OPINION, size, seed + 2)


def batch(tick, first=1, size=3, **also):
    facts = {"ts": tick * 10, "run_hash": f"{tick:032x}", "decisions": tick * 2, **also}
    return Batch(tick, facts.pop("ts"), facts.pop("run_hash"), facts.pop("decisions"),
                 events=[events(first, size)] if size else [], **facts)  # fmt: skip


def contents(journal):
    """Return all that a journal tells, as plain values."""
    return {
        "commits": list(journal.commits()),
        "events": journal.events().tobytes(),
        "traces": [tuple(part.tobytes() for part in each) for each in journal.traces()],
        "inputs": journal.inputs(),
        "snapshot": journal.snapshot(),
    }


def written(folder, commits=6):
    """Write a journal with something of everything, and return what it told."""
    with Journal(folder, write=True) as journal:
        for n in range(commits):
            journal.commit(
                batch(
                    10 * (n + 1),
                    1 + 5 * n,
                    5,
                    traces=[trace(4, n, 100 * n)],
                    inputs=[Input(10 * n, b"input-%d" % n, f"somebody: why {n}")],
                    approvals=[(n + 1, b"approved-%d" % n)],
                    snapshot=b"snapshot-%d" % n * 50 if n % 2 else None,
                )
            )
        return contents(journal)


# -- what is written comes back ---------------------------------------------------------------------


def test_a_new_journal_is_empty(folder):
    with Journal(folder, write=True) as journal:
        journal.check()
        assert contents(journal) == {
            "commits": [],
            "events": b"",
            "traces": [],
            "inputs": [],
            "snapshot": None,
        }
        assert journal.last() is None
        assert journal.approval(1) is None


sizes = st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=6)


@given(sizes=sizes, seed=st.integers(0, 10_000))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_committed_comes_back_in_order(tmp_path_factory, sizes, seed):
    folder = tmp_path_factory.mktemp("run")
    rng, first, wanted = random.Random(seed), 1, []
    with Journal(folder, write=True) as journal:
        for n, parts in enumerate(sizes, 1):
            made = Batch(n, -n, rng.randbytes(16).hex(), rng.randrange(2**60))
            for size in parts:
                made.events.append(events(first, size))
                first += size
                made.traces.append(trace(size, rng.randrange(1000)))
                made.inputs += [
                    Input(rng.randrange(2**60), rng.randbytes(9), "à: \n'\"") for _ in range(size)
                ]
            wanted.append(made)
            assert journal.commit(made) == n
    with Journal(folder, write=True) as journal, Journal(folder) as reader:
        journal.check()
        assert contents(journal) == contents(reader)
        told = contents(reader)
    assert [(c.seq, c.tick, c.ts, c.run_hash, c.decisions) for c in told["commits"]] == [
        (n, b.tick, b.ts, b.run_hash, b.decisions) for n, b in enumerate(wanted, 1)
    ]
    assert [c.events for c in told["commits"]] == list(np.cumsum([sum(parts) for parts in sizes]))
    assert told["events"] == b"".join(each.tobytes() for b in wanted for each in b.events)
    assert told["inputs"] == [each for b in wanted for each in b.inputs]
    kept = [each for b in wanted for each in b.traces if len(each[0])]
    assert told["traces"] == [tuple(part.tobytes() for part in each) for each in kept]


def test_numbers_go_on_after_reopening(folder):
    written(folder, 2)
    with Journal(folder, write=True) as journal:
        assert journal.commit(batch(30, 11, 2)) == 3
        assert journal.last() == journals.Commit(3, 30, 300, 12, 60, f"{30:032x}")
        journal.check()


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(1, None, range(1, 31)), (30, None, [30]), (31, None, []), (4, 7, range(4, 8)), (0, 1, [1]), (5, 4, [])],
)
def test_events_are_taken_by_number(folder, first, last, found):
    written(folder)
    with Journal(folder) as journal:
        assert journal.events(first, last)["seq"].tolist() == list(found)


def test_traces_are_found_by_time_and_from_the_newest(folder):
    written(folder, 3)  # blocks at 0-3, 100-103, 200-203
    with Journal(folder) as journal:
        starts = [int(decisions["ts"][0]) for decisions, _, _ in journal.traces(newest_first=True)]
        assert starts == [200, 100, 0]
        for at, found in ((99, []), (100, [100]), (103, [100]), (104, [])):
            assert [int(decisions["ts"][0]) for decisions, _, _ in journal.traces(at=at)] == found


def test_the_newest_snapshot_counts_and_one_before_it_is_kept(folder):
    with Journal(folder, write=True) as journal:
        for n in range(1, 6):
            journal.commit(batch(n, size=0, snapshot=b"state %d" % n))
            assert journal.snapshot() == (n, b"state %d" % n)
        journal.commit(batch(6, size=0))
        assert journal.snapshot() == (5, b"state 5")
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("select count(*) from snapshots").fetchone() == (journals.KEPT_SNAPSHOTS,)


def test_an_approval_is_marked_sent_once_and_only_for_its_content(folder):
    with Journal(folder, write=True) as journal:
        assert not journal.mark_sent(7, b"seven")  # never approved
        journal.commit(batch(1, approvals=[(7, b"seven"), (8, b"eight")]))
        assert journal.approval(7) == (b"seven", False)
        assert not journal.mark_sent(7, b"eight")
        assert journal.mark_sent(7, b"seven")
        assert not journal.mark_sent(7, b"seven")
    with Journal(folder, write=True) as journal:
        assert journal.approval(7) == (b"seven", True)
        assert journal.approval(8) == (b"eight", False)
        assert not journal.mark_sent(7, b"seven")
        with pytest.raises(JournalError, match="UNIQUE"):
            journal.commit(batch(2, 4, approvals=[(7, b"other")]))
        assert journal.approval(7) == (b"seven", True)


# -- all or nothing ---------------------------------------------------------------------------------


def test_a_commit_that_fails_in_the_middle_leaves_nothing(folder):
    before = written(folder)
    with Journal(folder, write=True) as journal:
        # its second part repeats event 32, after its first part and before traces and inputs
        torn = batch(70, 31, 2, inputs=[Input(60, b"", "never")], approvals=[(7, b"")], snapshot=b"never")
        torn.events.append(events(32, 2))
        with pytest.raises(
            JournalError, match=r"^run-1: .* Nothing of this block counts as done; .*--resume run-1\."
        ):
            journal.commit(torn)
        assert contents(journal) == before
        assert journal.approval(7) is None
        journal.check()
        assert journal.commit(batch(70, 31, 2)) == 7
        journal.check()


def test_an_error_of_another_kind_in_the_middle_leaves_nothing_either(folder):
    before = written(folder)
    with Journal(folder, write=True) as journal:
        with pytest.raises(AttributeError):
            journal.commit(batch(70, 31, 2, inputs=[None]))
        assert contents(journal) == before
        assert journal.commit(batch(70, 31, 2)) == 7


def test_a_full_file_refuses_a_commit_whole(folder):
    before = written(folder)
    with Journal(folder, write=True) as journal:
        pages = journal._db.execute("pragma page_count").fetchone()[0]
        journal._db.execute(f"pragma max_page_count = {pages + 2}")
        with pytest.raises(JournalError, match="full") as told:
            journal.commit(batch(70, 31, 500))
        assert not isinstance(told.value, DamagedError)
        assert contents(journal) == before
        journal._db.execute("pragma max_page_count = 1000000")
        assert journal.commit(batch(70, 31, 500)) == 7
        journal.check()


def test_a_disk_that_takes_no_more_refuses_a_commit_whole(folder):
    before = written(folder)
    with Journal(folder, write=True) as journal:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        held = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
        try:
            with pytest.raises(JournalError, match=r"^run-1: the journal could not be written \(") as told:
                journal.commit(batch(70, 31, 2000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, held)
        assert ONE_LINE.fullmatch(str(told.value))
        assert not isinstance(told.value, DamagedError)
        assert contents(journal) == before
        assert journal.commit(batch(70, 31, 2000)) == 7
    with Journal(folder, write=True) as journal:
        journal.check()
        assert len(journal.events()) == 2030


def test_a_killed_writer_leaves_whole_commits_and_no_lock(folder):
    script = """
        import sys
        from pathlib import Path
        import test_journal
        from nexus_core.journal import Journal
        journal = Journal(Path(sys.argv[1]), write=True)
        for n in range(3):
            journal.commit(test_journal.batch(n + 1, 1 + 3 * n))
        journal._db.execute("begin immediate")
        journal._insert(9, test_journal.batch(9, 10), dict(journal._sums))
        print("in the middle", flush=True)
        sys.stdin.read()
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    with writer:
        assert writer.stdout.readline() == b"in the middle\n"
        assert is_going(folder)
        with pytest.raises(JournalError, match="another process is writing"):
            Journal(folder, write=True)
        with Journal(folder) as reader:
            assert reader.last().seq == 3
        writer.kill()
    assert not is_going(folder)
    with Journal(folder, write=True) as journal:
        journal.check()
        assert [commit.tick for commit in journal.commits()] == [1, 2, 3]
        assert journal.commit(batch(4, 10)) == 4


# -- one writer, many readers -----------------------------------------------------------------------


def test_a_second_writer_is_refused_in_one_line(folder):
    assert not is_going(folder)
    with Journal(folder, write=True) as journal:
        assert is_going(folder)
        with pytest.raises(JournalError) as told:
            Journal(folder, write=True)
        assert str(told.value) == "run-1: another process is writing this run. Stop it first."
        assert journal.commit(batch(1)) == 1
    assert not is_going(folder)
    Journal(folder, write=True).close()


def test_readers_see_each_commit_at_once_and_keep_the_writer_from_nothing(folder):
    with Journal(folder, write=True) as journal:
        readers = [Journal(folder) for _ in range(3)]
        try:
            for n in range(1, 4):
                held = readers[0].traces()  # a reader in the middle of reading
                journal.commit(batch(n, 3 * n - 2, traces=[trace(2, n)]))
                assert [len(each.events()) for each in readers] == [3 * n] * 3
                assert next(held)[0].tobytes() == trace(2, 1)[0].tobytes()
                assert is_going(folder)
        finally:
            for each in readers:
                each.close()


def test_a_reader_cannot_write(folder):
    written(folder)
    with Journal(folder) as reader, pytest.raises(JournalError, match=r"could not be read \(.*readonly"):
        reader.commit(batch(70, 31))


@pytest.mark.parametrize("made", [False, True])
def test_a_run_without_a_journal_says_how_to_begin_it(folder, made):
    if made:  # by somebody who has not written its tables yet
        (folder / FILE).touch()
    with pytest.raises(
        JournalError, match=r"^run-1: has no journal in .* yet\. .*nexus run --resume run-1\.$"
    ):
        Journal(folder)
    assert not is_going(folder)


# -- locks and rights -------------------------------------------------------------------------------


def test_a_lock_that_is_not_lifted_is_no_damage(folder, monkeypatch):
    monkeypatch.setattr(journals, "PATIENCE", 0.05)
    before = written(folder)
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as other:
        with Journal(folder, write=True) as journal:
            other.execute("begin immediate")
            with pytest.raises(JournalError, match=r"\(database is locked\).* lift the lock") as told:
                journal.commit(batch(70, 31))
            assert not isinstance(told.value, DamagedError)
            other.execute("rollback")
            assert contents(journal) == before
            assert journal.commit(batch(70, 31)) == 7
        other.execute("pragma locking_mode = exclusive")
        other.execute("begin exclusive")
        for write in (True, False):
            with pytest.raises(JournalError, match=r"\(database is locked\)") as told:
                Journal(folder, write=write)
            assert not isinstance(told.value, DamagedError)
            assert not is_going(folder)


def test_a_folder_that_cannot_be_written_can_be_read(folder, unprivileged):
    home = unprivileged / "run-1"
    home.mkdir()
    before = written(home)
    home.chmod(0o555)
    try:
        for rights, said in ((0o644, "no journal can be written in"), (0o444, "get the right to write")):
            (home / LOCK).chmod(rights)
            with pytest.raises(JournalError, match=f"^run-1: .*{said}") as told:
                Journal(home, write=True)
            assert not isinstance(told.value, DamagedError)
        assert not is_going(home)
        with Journal(home) as reader:
            assert contents(reader) == before
    finally:
        home.chmod(0o755)


def test_a_folder_that_is_gone_is_a_clear_error(tmp_path):
    with pytest.raises(JournalError, match=r"^gone: no journal can be written in .*--out\.$"):
        Journal(tmp_path / "gone", write=True)


def test_how_far_commits_reached_is_known_without_the_journal(folder):
    assert reached(folder) == 0
    with Journal(folder, write=True) as journal:
        journal.commit(batch(5))
        assert reached(folder) == 5
        journal.commit(batch(1_000, 4))
    (folder / FILE).unlink()
    with Journal(folder, write=True) as journal:
        journal.commit(batch(7))  # played again from the start
    assert reached(folder) == 1_000
    (folder / journals.REACHED).write_bytes(b"?")
    assert reached(folder) == 0


def test_a_place_for_the_reached_tick_that_cannot_be_written_stops_the_commit(folder):
    (folder / journals.REACHED).mkdir()
    with Journal(folder, write=True) as journal:
        with pytest.raises(JournalError, match=r"could not be written \(.*directory"):
            journal.commit(batch(5))
        assert journal.last() is None


# -- schema -----------------------------------------------------------------------------------------


def version(folder):
    with closing(sqlite3.connect(folder / FILE)) as db:
        return db.execute("pragma user_version").fetchone()[0]


@pytest.mark.parametrize("write", [False, True])
def test_a_newer_schema_is_refused_with_what_to_do(folder, write, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(journals, "MIGRATIONS", (*journals.MIGRATIONS, "create table later (x)"))
        written(folder)
    with pytest.raises(JournalError) as told:
        Journal(folder, write=write)
    assert str(told.value) == "run-1: the journal has schema 2, this Nexus knows 1. Upgrade nexus-core."
    assert not isinstance(told.value, DamagedError)


def test_a_schema_that_was_written_over_is_damage_and_no_newer_one(folder):
    written(folder)
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute("pragma user_version = 2")
    with pytest.raises(DamagedError, match="its schema is none of ours"):
        Journal(folder, write=True)


def test_an_older_schema_is_brought_up_to_date_by_a_writer(folder, monkeypatch):
    before = written(folder)
    later = (
        "alter table inputs add column who text not null default 'nobody'; create index times on events (ts)"
    )
    monkeypatch.setattr(journals, "MIGRATIONS", (*journals.MIGRATIONS, later))
    with pytest.raises(
        JournalError, match=r"has schema 1, this Nexus writes 2\. .*nexus run --resume run-1\.$"
    ):
        Journal(folder)
    assert version(folder) == 1
    with Journal(folder, write=True) as journal:
        journal.check()
        assert contents(journal) == before
        assert journal._db.execute("select distinct who from inputs").fetchall() == [("nobody",)]
    assert version(folder) == 2


def test_a_migration_that_fails_changes_nothing(folder, monkeypatch):
    before = written(folder)
    torn = "create table extra (x integer); drop table commits; create table extra (x integer)"
    with monkeypatch.context() as patch:
        patch.setattr(journals, "MIGRATIONS", (*journals.MIGRATIONS, torn))
        with pytest.raises(JournalError, match="extra already exists"):
            Journal(folder, write=True)
        assert not is_going(folder)
    assert version(folder) == 1
    with Journal(folder, write=True) as journal:
        journal.check()
        assert contents(journal) == before


# -- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", ["events", "decisions", "opinions", "input", "why", "approval", "snapshot", "hash", "sums"]
)
def test_one_byte_of_anything_written_over_is_found(folder, part):
    told = written(folder)
    with Journal(folder) as journal:
        marks = {
            "events": journal.events(12, 12).tobytes()[20:40],
            "decisions": told["traces"][2][0][10:40],
            "opinions": told["traces"][5][2][-12:],
            "input": b"input-3",
            "why": b"somebody: why 4",
            "approval": b"approved-2",
            "snapshot": b"snapshot-5snapshot-5",
            "hash": f"{30:032x}".encode(),
            "sums": journal._db.execute("select sums from commits where seq = 6").fetchone()[0].encode(),
        }
    raw = bytearray((folder / FILE).read_bytes())
    at = raw.index(marks[part]) + len(marks[part]) // 2
    raw[at] ^= 1
    (folder / FILE).write_bytes(raw)
    with pytest.raises(DamagedError) as error, Journal(folder, write=True) as journal:
        journal.check()
    assert ONE_LINE.fullmatch(str(error.value))
    assert str(error.value).startswith("run-1: the journal is damaged (")
    assert not is_going(folder)


def believed(folder):
    """Return what a damaged journal is believed to hold, None where it is not believed."""
    try:
        with Journal(folder, write=True) as journal:
            journal.check()
            return contents(journal)
    except DamagedError:
        assert not is_going(folder)
        return None


def test_bytes_written_over_anywhere_are_found_or_change_nothing(folder, tmp_path):
    before = written(folder, 12)
    raw = (folder / FILE).read_bytes()
    rng, found = random.Random(3), 0
    for trial in range(150):
        home = tmp_path / f"copy-{trial}"
        home.mkdir()
        changed = bytearray(raw)
        for _ in range(rng.choice((1, 1, 4, 300))):
            changed[rng.randrange(len(raw))] = rng.randrange(256)
        (home / FILE).write_bytes(changed)
        told = believed(home)
        found += told is None
        if told is not None:
            tick, state = told.pop("snapshot")  # one before the newest is as good
            assert state == b"snapshot-%d" % (tick // 10 - 1) * 50
            assert told == {name: before[name] for name in told}
        shutil.rmtree(home)
    assert found > 60


def test_a_file_cut_anywhere_is_found(folder, tmp_path):
    before = written(folder, 12)
    raw = (folder / FILE).read_bytes()
    rng = random.Random(4)
    for cut in [
        1,
        50,
        99,
        100,
        511,
        4096,
        len(raw) - 4096,
        len(raw) - 1,
        *(rng.randrange(1, len(raw)) for _ in range(30)),
    ]:
        home = tmp_path / f"cut-{cut}"
        home.mkdir(exist_ok=True)
        (home / FILE).write_bytes(raw[:cut])
        told = believed(home)
        # what fills no whole page more than there was, was never part of the file
        assert told is None or told == before, cut
        with suppress(JournalError), Journal(home) as reader:
            contents(reader)


def test_a_log_of_changes_cut_anywhere_leaves_the_commits_before_the_cut(folder, tmp_path):
    with Journal(folder, write=True) as journal:
        for n in range(12):
            journal.commit(batch(n + 1, 1 + 3 * n, inputs=[Input(n, b"", str(n))]))
        whole = contents(journal)
        image = {name: (folder / name).read_bytes() for name in (FILE, f"{FILE}-wal")}
    log, rng, lengths = image[f"{FILE}-wal"], random.Random(5), set()
    for cut in [0, 31, 32, len(log) - 1, len(log), *(rng.randrange(len(log)) for _ in range(40))]:
        home = tmp_path / f"cut-{cut}"
        home.mkdir(exist_ok=True)
        (home / FILE).write_bytes(image[FILE])
        (home / f"{FILE}-wal").write_bytes(log[:cut])
        told = believed(home)
        assert told is not None
        count = len(told["commits"])
        lengths.add(count)
        assert told["commits"] == whole["commits"][:count]
        assert told["events"] == whole["events"][: count * 3 * EVENT.itemsize]
        assert told["inputs"] == whole["inputs"][:count]
        assert cut < len(log) or count == 12
    assert len(lengths) > 5


def test_a_reader_of_a_damaged_journal_is_told_what_brings_it_back(folder):
    written(folder)
    (folder / FILE).write_bytes(b"no database at all" * 300)
    with pytest.raises(DamagedError) as told:
        Journal(folder)
    assert str(told.value) == (
        "run-1: the journal is damaged (file is not a database). "
        "nexus run --resume run-1 puts it aside and plays the run again."
    )


def test_a_reader_that_meets_half_a_record_says_so(folder):
    written(folder)
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute("update events set record = x'00' where seq = 3")
        db.commit()
    with Journal(folder) as journal, pytest.raises(DamagedError, match="a record is not whole"):
        journal.events()


def test_missing_events_are_found(folder):
    with Journal(folder, write=True) as journal:
        journal.commit(batch(1, 1))
        journal.commit(batch(2, 5))  # 4 was never written
        with pytest.raises(DamagedError, match="it has 6 events up to 7, and should have 6"):
            journal.check()


def test_set_aside_keeps_everything_under_a_new_number_each_time(folder):
    before = written(folder)
    for number in (1, 2):
        (folder / f"{FILE}-wal").write_bytes(b"log")
        (folder / f"{FILE}-shm").write_bytes(b"index")
        raw = (folder / FILE).read_bytes()
        aside = set_aside(folder)
        assert aside == folder / f"{FILE}.damaged-{number}"
        assert aside.read_bytes() == raw
        assert Path(f"{aside}-wal").read_bytes() == b"log"
        assert not list(folder.glob(f"{FILE}-*"))
        assert not (folder / FILE).exists()
        assert written(folder) == before
    assert (folder / f"{FILE}.damaged-1").exists()


# -- snapshots of states ----------------------------------------------------------------------------

LAYOUT = np.dtype([("n", "i8"), ("x", "f8"), ("flag", "i1")], align=True)


def states(size=3, code="c1"):
    return {
        "account": (noise(LAYOUT, 1, 1), ""),
        "orders": (noise(LAYOUT, 2 * size, 2).reshape(size, 2), ""),
        "strategy:a": (noise(LAYOUT, size, 3), code),
    }


def zeroed(of):
    return {name: (np.zeros_like(array), code) for name, (array, code) in of.items()}


def raws(of):
    # what lies between the fields is nobody's
    return {
        name: [np.ascontiguousarray(array[field]).tobytes() for field in array.dtype.names]
        for name, (array, _) in of.items()
    }


def test_states_come_back_to_the_bit():
    saved, fresh = states(), zeroed(states())
    assert unpack(pack(saved), fresh) == []
    assert raws(fresh) == raws(saved)
    assert [array.shape for array, _ in fresh.values()] == [(1,), (3, 2), (3,)]


@given(order=st.permutations(["account", "orders", "strategy:a"]), gone=st.integers(0, 3))
def test_states_are_found_by_name_in_any_order(order, gone):
    saved = states()
    fresh = {name: zeroed(saved)[name] for name in order[gone:]}
    assert unpack(pack(saved), fresh) == []
    assert raws(fresh) == {name: raws(saved)[name] for name in fresh}


def test_a_state_of_other_code_is_left_as_it_was():
    saved, fresh = states(), zeroed(states(code="c2"))
    assert unpack(pack(saved), fresh) == ["strategy:a"]
    assert raws(fresh) == {**raws(saved), "strategy:a": raws(zeroed(saved))["strategy:a"]}


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, [("n", "i8"), ("x", "f8")]),  # a field less
        np.zeros(3, np.dtype([("n", "i8"), ("y", "f8"), ("flag", "i1")], align=True)),  # another name
        np.zeros(3, np.dtype([("n", "i8"), ("x", "f4"), ("flag", "i1")], align=True)),  # another type
        np.zeros(3, np.dtype([("n", "i8"), ("x", "f8"), ("flag", "i1")])),  # not aligned
        np.zeros(4, LAYOUT),  # a symbol more
        np.zeros((3, 1), LAYOUT),  # another shape
    ],
)
def test_a_state_of_another_layout_is_left_as_it_was(array):
    saved = states()
    fresh = {**zeroed(saved), "strategy:a": (array, "c1")}
    assert unpack(pack(saved), fresh) == ["strategy:a"]
    assert array.tobytes() == bytes(array.nbytes)
    assert raws(fresh)["orders"] == raws(saved)["orders"]


def test_missing_and_extra_names_are_told_apart():
    saved = states()
    fresh = {**zeroed(saved), "gate:new": (empty(LAYOUT, 2), "")}
    del fresh["orders"]  # nobody asks for it any more
    assert unpack(pack(saved), fresh) == ["gate:new"]
    assert raws(fresh)["strategy:a"] == raws(saved)["strategy:a"]
