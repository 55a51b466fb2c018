"""Where runs live, which one is meant, and what their manifests say."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from nexus_core import API, __version__, cli, log, runs
from nexus_core.errors import Exit, JournalError, NotFoundError
from nexus_core.upkeep import homes


@pytest.fixture
def told():
    """Collect what is said to the person at the terminal."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))
    log.setup()
    logging.getLogger("nexus").handlers = [handler]
    yield lines
    log.setup()


@pytest.fixture
def blocked(tmp_path):
    """Return a path that can be no folder, whatever rights one has: a file is in its way."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "below"


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    said = capsys.readouterr()
    log.setup()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return stop.value.code, said.err


# -- the folder for new runs --------------------------------------------------------------------------


def test_the_folder_named_on_the_command_line_comes_first(tmp_path, told):
    assert homes.home(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert told == []


def test_nexus_home_comes_next(tmp_path, told):
    assert homes.home() == tmp_path / "nexus" / "runs"
    assert (tmp_path / "nexus" / "runs").is_dir()
    assert told == []


def test_then_the_data_folder_of_the_user(tmp_path, monkeypatch, told):
    monkeypatch.delenv("NEXUS_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    assert homes.home() == tmp_path / "data" / "nexus" / "runs"
    assert told == []


@pytest.mark.parametrize(
    ("system", "variable", "below"),
    [
        ("linux", "XDG_DATA_HOME", ".local/share/nexus/runs"),
        ("darwin", "XDG_DATA_HOME", "Library/Application Support/nexus/runs"),
        ("win32", "LOCALAPPDATA", "AppData/Local/nexus/runs"),
    ],
)
def test_each_system_has_its_data_folder(tmp_path, monkeypatch, system, variable, below):
    for name in ("NEXUS_HOME", variable):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    assert homes.home() == tmp_path / below


def test_an_empty_nexus_home_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_HOME", "")
    monkeypatch.setattr(sys, "platform", "linux")
    assert homes.home() == tmp_path / "data" / "nexus" / "runs"


def test_an_unwritable_nexus_home_is_said_once_and_the_data_folder_taken(
    tmp_path, monkeypatch, blocked, told
):
    monkeypatch.setenv("NEXUS_HOME", str(blocked))
    monkeypatch.setattr(sys, "platform", "linux")
    kept = tmp_path / "data" / "nexus" / "runs"
    assert homes.home() == kept
    assert told == [("WARNING", f"{blocked / 'runs'} cannot be written: this run is kept in {kept}.")]


def test_where_nothing_can_be_written_a_temporary_folder_is_and_it_is_said_once(monkeypatch, blocked, told):
    monkeypatch.setenv("NEXUS_HOME", str(blocked))
    monkeypatch.setenv("XDG_DATA_HOME", str(blocked))
    monkeypatch.setattr(sys, "platform", "linux")
    found = homes.home()
    try:
        assert found.is_dir()
        assert os.access(found, os.W_OK)
        warning = f"no folder for runs can be written: {found} goes with the machine. Set NEXUS_HOME."
        assert told == [("WARNING", warning)]
    finally:
        found.rmdir()


def test_somebody_without_a_home_has_a_temporary_folder(monkeypatch, told):
    def nowhere():
        raise RuntimeError("could not determine home directory")

    for name in ("NEXUS_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr(sys, "platform", "linux")
    found = homes.home()
    found.rmdir()
    assert [level for level, _ in told] == ["WARNING"]


def test_a_folder_that_was_named_and_cannot_be_written_is_an_error_and_no_other_is_taken(
    tmp_path, blocked, told
):
    with pytest.raises(JournalError) as refusal:
        homes.home(blocked)
    assert str(refusal.value) == (
        f"{blocked}: runs cannot be kept there, the folder cannot be written. Name another with --out."
    )
    assert told == []
    assert not (tmp_path / "nexus").exists()


def test_a_folder_without_the_right_to_write_is_not_taken(unprivileged):
    locked = unprivileged / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(JournalError, match="cannot be written"):
        homes.home(locked)


def test_the_command_says_it_in_one_line(capsys, blocked):
    code, line = refused(capsys, "run", "--symbols", "A-USD", "--bars", "10", "--out", str(blocked))
    assert code == Exit.ERROR == 1
    assert line.startswith(f"nexus: {blocked}: runs cannot be kept there")
    assert line.endswith("Name another with --out.\n")


# -- making and finding -------------------------------------------------------------------------------


def test_a_new_run_has_a_folder_of_its_own_with_its_manifest(tmp_path):
    made = [runs.create(tmp_path, {"word": "ä", "number": 0.1}) for _ in range(3)]
    assert len({each.name for each in made}) == 3
    for each in made:
        facts = runs.manifest(each)
        assert facts["id"] == each.name
        assert (facts["word"], facts["number"]) == ("ä", 0.1)
        assert [path.name for path in each.iterdir()] == ["run.json"]


def test_a_manifest_says_which_code_made_the_run(tmp_path):
    facts = runs.manifest(runs.create(tmp_path, {}))
    assert facts["nexus"] == __version__
    assert facts["api"] == API
    assert facts["python"] == platform.python_version().rstrip("+abrc")
    assert facts["machine"] == platform.machine()
    assert facts["created"].endswith("+00:00")


def test_two_runs_never_share_a_name(tmp_path, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    fixed = "20260301-120000"

    class Clock(runs.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 3, 1, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(runs, "datetime", Clock)
    monkeypatch.setattr(runs.secrets, "token_hex", lambda _: next(drawn))
    assert runs.create(tmp_path, {}).name == f"{fixed}-aaaa"
    assert runs.create(tmp_path, {}).name == f"{fixed}-bbbb"


def test_a_run_that_cannot_be_made_says_where_and_why(tmp_path):
    with pytest.raises(JournalError) as refusal:
        runs.create(tmp_path / "gone", {})
    assert str(refusal.value) == (
        f"{tmp_path / 'gone'}: a run cannot be made there (No such file or directory). "
        "Name another folder with --out."
    )


def test_without_an_id_the_newest_run_is_meant(tmp_path):
    first, second, third = (runs.create(tmp_path, {}) for _ in range(3))
    for age, each in enumerate((second, third, first)):
        os.utime(each / "run.json", ns=(0, 10**18 - age * 10**9))
    assert homes.open_run(None, tmp_path) == second
    shutil.rmtree(second)
    assert homes.open_run(None, tmp_path) == third


def test_a_run_is_found_by_its_id(tmp_path):
    made = [runs.create(tmp_path, {}) for _ in range(3)]
    for each in made:
        assert homes.open_run(each.name, tmp_path) == each


def test_runs_are_looked_for_wherever_they_may_have_been_put(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("NEXUS_HOME")
    before = runs.create(homes.home(), {})
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
    after = runs.create(homes.home(), {})
    assert before.parent != after.parent
    assert homes.open_run(before.name) == before
    assert homes.open_run(after.name) == after
    with pytest.raises(NotFoundError):
        homes.open_run(before.name, after.parent)


def test_an_unknown_id_gets_a_hint(tmp_path):
    made = runs.create(tmp_path, {})
    wrong = made.name[:-1] + ("0" if made.name[-1] != "0" else "1")
    with pytest.raises(NotFoundError) as refusal:
        homes.open_run(wrong, tmp_path)
    assert str(refusal.value) == f"Run {wrong} is not in {tmp_path}. Did you mean {made.name}?"


@pytest.mark.parametrize("name", ["..", ".", "", "../elsewhere", "*"])
def test_an_id_is_a_name_and_no_path(tmp_path, name):
    (tmp_path / "x").mkdir()
    (tmp_path / "elsewhere").mkdir()
    runs.create(tmp_path / "x", {})
    (tmp_path / "elsewhere" / "run.json").write_text("{}")
    with pytest.raises(NotFoundError):
        homes.open_run(name, tmp_path / "x")


def test_folders_that_are_no_runs_are_passed_over(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.new").write_text("{")
    with pytest.raises(NotFoundError, match=r"There is no run in .* yet\. Make one with nexus run\."):
        homes.open_run(None, tmp_path)


@pytest.mark.parametrize("command", ["status", "journal", "halt", "resume", "flatten"])
def test_every_command_says_that_there_is_no_run_yet(capsys, tmp_path, command):
    code, line = refused(capsys, command, "--out", str(tmp_path / "none"))
    assert code == Exit.NOT_FOUND == 3
    assert line == f"nexus: There is no run in {tmp_path / 'none'} yet. Make one with nexus run.\n"
    assert not (tmp_path / "none").exists()


# -- manifests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe{}", b'{"id": '])
def test_a_damaged_manifest_is_said_in_one_line(capsys, tmp_path, damage):
    folder = runs.create(tmp_path, {})
    (folder / "run.json").write_bytes(damage)
    with pytest.raises(JournalError):
        runs.manifest(folder)
    code, line = refused(capsys, "status", "--out", str(tmp_path))
    assert code == Exit.ERROR
    assert line.startswith(f"nexus: {folder.name}: the manifest {folder / 'run.json'} cannot be read (")


def test_a_manifest_that_is_gone_is_said(tmp_path):
    with pytest.raises(JournalError, match=r"^nowhere: the manifest .*run\.json cannot be read"):
        runs.manifest(tmp_path / "nowhere")


def test_a_manifest_is_whole_or_not_there(tmp_path, monkeypatch):
    """What is cut off before the file has its name leaves no run behind that anybody would open."""

    def cut(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(JournalError, match="No space left on device"):
        runs.create(tmp_path, {"word": "x"})
    with pytest.raises(NotFoundError):
        homes.open_run(None, tmp_path)


def test_a_manifest_is_json_that_anybody_can_read(tmp_path):
    text = (runs.create(tmp_path, {"list": [1, 2]}) / "run.json").read_text(encoding="utf-8")
    assert json.loads(text)["list"] == [1, 2]
    assert text.endswith("}\n")
