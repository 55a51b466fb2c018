"""The command line where things go wrong: exit codes, stops and kills, damage, terminals, bare machines."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nexus_core import errors, runs
from nexus_core.compile import JIT
from nexus_core.errors import Exit
from nexus_core.journal import FILE, Journal
from nexus_core.upkeep import homes
from nexus_core.upkeep.homes import is_going

BARS = 400 if JIT else 120
NEXUS = [sys.executable, "-c", "from nexus_core.cli import main; main()"]


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Let no settings file of the folder the tests were begun in be found."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ok(nexus):
    """Return what runs a command that must succeed in silence on standard error, and gives its output."""

    def call(*arguments):
        code, out, err = nexus(*arguments)
        assert (code, err) == (0, ""), err
        return out

    return call


@pytest.fixture
def data(ok):
    """Return what runs a command with --json, and gives what strict JSON it printed."""
    return lambda *arguments: strict(ok(*arguments, "--json"))


def strict(text):
    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def run_id(data, lively):
    """Make a finished run, and return its id."""
    return data("run", *lively())["run"]


def wait_for(told, work):
    """Wait until something holds, for as long as the process lives that is to bring it about."""
    while not told():
        assert work.poll() is None, work.communicate()
        time.sleep(0.02)


# -- exit codes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NexusError("so"), 1),
        (errors.UsageError("so"), 2),
        (errors.NotFoundError("so"), 3),
        (errors.ConfigError("so"), 4),
        (errors.PluginError("so"), 4),
        (errors.CheckFailedError("so"), 5),
        (errors.RefusedError("so"), 6),
        (errors.JournalError("so"), 1),
        (errors.DataError("so"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(nexus, monkeypatch, error, code):
    def fail(*_):
        raise error

    monkeypatch.setattr(homes, "open_run", fail)
    assert nexus("status") == (code, "", "nexus: so\n")
    assert nexus("status", "-q")[::2] == (code, "nexus: so\n")
    for flag in ("-v", "--verbose"):
        got, _, err = nexus(flag, "status")
        assert got == code
        assert err.startswith("Traceback (most recent call last):")
        assert err.endswith("nexus: so\n")


def test_somebody_who_presses_control_c_is_not_shown_a_trace(nexus, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(homes, "open_run", interrupt)
    assert nexus("status") == (Exit.ERROR, "", "nexus: stopped\n")


# -- run --------------------------------------------------------------------------------------------


def test_a_run_in_json_agrees_with_its_journal(data, lively):
    told = data("run", *lively())
    assert told["finished"] is True
    with Journal(Path(told["folder"])) as journal:
        last = journal.last()
    assert (told["hash"], told["decisions"], told["ticks"]) == (last.run_hash, last.decisions, last.tick)
    assert told["decisions"] == told["approved"] + told["skipped"] + told["rejected"]
    assert told["equity"] == pytest.approx(told["capital"] + told["profit"])
    assert told["fills"] > 10


def test_the_same_run_twice_has_the_same_hash_whatever_its_blocks(data, lively):
    hashes = {data("run", *lively(), *also)["hash"] for also in ((), ("--block", 7), ("--block", 100_000))}
    assert len(hashes) == 1


def test_runs_lie_where_out_says(data, lively, tmp_path):
    told = data("run", *lively(), "--out", tmp_path / "elsewhere")
    assert Path(told["folder"]).parent == tmp_path / "elsewhere"
    assert data("status", "--out", tmp_path / "elsewhere")["run"] == told["run"]


@pytest.mark.parametrize(
    ("also", "code", "said"),
    [
        (["--pace", "slow"], 2, "--pace was slow, must be fast, real, or a number above 0"),
        (["--pace", "0"], 2, "--pace was 0, must be"),
        (["--pace", "nan"], 2, "--pace was nan, must be"),
        (["--block", "0"], 2, "--block was 0, must be 1 or more."),
        (["--bars", "-1"], 4, "--set: run.bars was -1, must lie in [0, 1000000000]."),
        (["--plugins", "swng"], 3, "strategies:swng is not installed. Did you mean swing?"),
        (["--feed", "nofeed"], 3, "feeds:nofeed is not installed."),
        (["--set", "risk.capitol=5"], 4, "unknown setting risk.capitol. Did you mean risk.capital?"),
        (["--set", "nonsense"], 4, "--set: was 'nonsense', must be section.key=value"),
        (
            ["--set", "plugins.swing.span=1"],
            4,
            "swing: parameter span was 1, must be a whole number in [2, 500].",
        ),
        (["--live"], 4, "run: paper trades on paper, and --live trades for real."),
        (["--broker", "venue"], 4, "run: venue is the broker of a venue; this Nexus trades on paper only."),
        (["--broker", "venue", "--live"], 4, "this Nexus trades on paper only"),
        (["--config", "nowhere.toml"], 4, "nowhere.toml: was not readable"),
    ],
)
def test_a_run_that_cannot_be_leaves_nothing_behind(nexus, lively, tmp_path, also, code, said):
    got, out, err = nexus("run", *lively(), *also)
    assert (got, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("run.json"))


def test_a_run_goes_on_after_it_was_stopped(nexus, data, lively, monkeypatch):
    whole = data("run", *lively())
    from nexus_core import session

    real = session.Session._advance

    def stop_at(work, block):
        if block.tick >= 60:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(work, block)

    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "_advance", stop_at)
        code, out, _ = nexus("run", *lively(), "--block", 10)
    assert code == 0
    name = re.search(r"^run   (\S+)$", out, re.MULTILINE)[1]
    assert f"Not finished. Go on with: nexus run --resume {name}\n" in out
    told = data("run", "--resume", name)
    assert (told["run"], told["hash"], told["finished"]) == (name, whole["hash"], True)
    assert told["refused_by"] == whole["refused_by"]


def test_pace_decides_one_tick_at_a_time_and_changes_nothing(data, lively):
    few = lively(run__bars=40)
    told = data("run", *few, "--pace", "1e7")
    assert told["hash"] == data("run", *few)["hash"]
    with Journal(Path(told["folder"])) as journal:
        assert [commit.tick for commit in journal.commits()][:3] == [1, 2, 3]


def test_a_damaged_journal_is_told_by_readers_and_mended_by_resume(nexus, data, run_id):
    before = data("status")
    folder = Path(os.environ["NEXUS_HOME"]) / "runs" / run_id
    (folder / FILE).write_bytes(b"not a database" * 1000)
    for reader in ("status", "journal", "explain"):
        code, out, err = nexus(reader, *(["--last"] if reader == "explain" else []))
        assert (code, out) == (1, "")
        assert err == (
            f"nexus: {run_id}: the journal is damaged (file is not a database). "
            f"nexus run --resume {run_id} puts it aside and plays the run again.\n"
        )
    code, out, err = nexus("run", "--resume", run_id)
    assert code == 0
    assert "the run is played again from its first row" in err
    assert data("status") == before


# -- explain ----------------------------------------------------------------------------------------


def test_a_gate_that_answers_nan_is_valid_json_and_readable(data, ok, lively):
    data("run", *lively(risk__gates="mute"))
    with Journal(next(iter((Path(os.environ["NEXUS_HOME"]) / "runs").iterdir()))) as journal:
        gates = [each[0] for each in runs.manifest(journal.folder)["gates"]]
        rows = [d[d["reason"] == gates.index("mute")] for d, _, _ in journal.traces()]
        row = next(each[0] for each in rows if len(each))
    from nexus_core.types import decision_name

    told = data("explain", decision_name("ABC"[row["symbol"]] + "-USD", int(row["ts"])))
    assert told["verdicts"] == [
        {"gate": "mute", "layer": 6, "refuses": "above", "value": None, "limit": 1.0, "passed": False}
    ]
    assert "mute nan > 1" in ok("explain", told["id"])


# -- journal and status -----------------------------------------------------------------------------


def test_status_before_the_first_commit(data, nexus, lively, tmp_path):
    home = tmp_path / "runs"
    home.mkdir()
    from nexus_core import session
    from nexus_core.engine import assemble
    from nexus_core.upkeep.sources import load

    sets = [each.removeprefix("--set=") for each in lively()]
    work = session.begin(home, assemble(load(None, sets=sets).settings))
    told = data("status", "--out", home)
    assert (told["going"], told["ticks"], told["market_time"], told["cash"]) == (
        True, f"0 of {BARS}", None, "100000",
    )  # fmt: skip
    work.close()
    (work.folder / FILE).unlink()
    code, _, err = nexus("status", "--out", home)
    assert code == 1
    assert "Begin it with nexus run --resume" in err


# -- halt, resume, flatten --------------------------------------------------------------------------


def begun_by(folder):
    """Tell whether a run's process has come as far as its first commit."""
    try:
        with Journal(folder) as journal:
            return journal.last() is not None
    except errors.JournalError:
        return False


@pytest.fixture
def going(lively, shelf):
    """Return what begins a slow run in a process of its own; it is gone afterwards."""
    begun = []

    def begin(*also):
        command = [*NEXUS, "run", *lively(run__bars=100_000), "--pace", "6000", *also]
        work = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(work)
        home = Path(os.environ["NEXUS_HOME"]) / "runs"
        wait_for(lambda: list(home.glob(f"*/{FILE}")), work)
        folder = next(home.glob(f"*/{FILE}")).parent
        wait_for(lambda: is_going(folder) and begun_by(folder), work)
        return work, folder

    yield begin
    for work in begun:
        if work.poll() is None:
            work.kill()
        work.communicate()


def test_a_request_to_a_run_that_stands_still_waits(going, ok, data):
    work, folder = going()
    wait_for(lambda: data("status")["decisions"] > 0, work)
    work.kill()
    work.wait()
    assert ok("halt") == (
        f"{folder.name}: PAUSED asked for; the run takes it up when it goes on; it is not going now.\n"
    )
    assert data("status")["mode"] == "NORMAL"


# -- terminals and pipes ----------------------------------------------------------------------------


def finished(command, **also):
    return subprocess.run(command, capture_output=True, text=True, check=False, **also)


def test_on_a_terminal_progress_is_one_line_that_goes(lively):
    reader, writer = pty.openpty()
    work = subprocess.Popen([*NEXUS, "run", *lively(), "--block", "8"], stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    seen = b""
    try:
        while part := os.read(reader, 65536):
            seen += part
    except OSError:
        pass  # the other end was closed
    os.close(reader)
    out, _ = work.communicate()
    lines = seen.decode().split("\r")
    assert re.fullmatch(
        rf"\S+  8 of {BARS} ticks, \d+ s left *", next(line for line in lines if "ticks" in line)
    )
    assert lines[-1] == ""
    assert lines[-2].strip() == ""
    assert b"\n" not in seen
    assert b"\r" not in out


def test_a_terminal_that_takes_nothing_more_is_told(run_id):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*NEXUS, "status"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


# -- machines without a home ------------------------------------------------------------------------


def test_in_a_bare_container_it_runs_and_warns(lively, shelf, tmp_path):
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "below")
    bare = {
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "NEXUS_HOME": nowhere,
        "XDG_DATA_HOME": nowhere,
        "XDG_CACHE_HOME": nowhere,
        "TMPDIR": str(tmp_path),
        "NEXUS_JIT": "0",
    }
    done = finished([*NEXUS, "run", *lively(run__bars=30), "--json"], env=bare)
    assert done.returncode == 0
    told = strict(done.stdout)
    home = Path(told["folder"]).parent
    assert done.stderr == (
        f"nexus: no folder for runs can be written: {home} goes with the machine. Set NEXUS_HOME.\n"
    )
    again = finished([*NEXUS, "status", "--out", str(home), "--json"], env=bare)
    assert strict(again.stdout)["hash"] == told["hash"]


# -- killed by the system ---------------------------------------------------------------------------


def test_a_killed_process_leaves_a_run_that_goes_on(going, data, lively):
    work, folder = going("--pace", "fast", "--block", "5")
    wait_for(lambda: data("status")["decisions"] > 200, work)
    os.kill(work.pid, signal.SIGKILL)
    work.wait()
    assert not is_going(folder)
    before = data("journal", "--limit", 0)
    resumed = subprocess.Popen(
        [*NEXUS, "run", "--resume", folder.name, "--block", "11"], stdout=subprocess.DEVNULL
    )
    wait_for(lambda: data("status")["events"] > len(before) + 50, resumed)
    resumed.send_signal(signal.SIGINT)
    assert resumed.wait() == 0
    after = data("journal", "--limit", 0)
    assert after[: len(before)] == before
    approved = [each["order"] for each in after if each["event"] == "APPROVED"]
    assert len(set(approved)) == len(approved)
