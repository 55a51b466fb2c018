"""Where runs live, how they are found, and what their manifests say."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import pytest

import nexus_core
from nexus_core import log, runs
from nexus_core.errors import JournalError, NotFoundError


@pytest.fixture
def anywhere(tmp_path, monkeypatch):
    """Take every folder that the environment names away."""
    for name in ("NEXUS_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "user")
    return tmp_path


# -- where ------------------------------------------------------------------------------------------


def test_a_folder_that_is_given_comes_first(tmp_path, capsys):
    assert runs.home(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert capsys.readouterr().err == ""


def test_then_the_folder_of_nexus_then_that_of_the_user(anywhere, monkeypatch, capsys):
    assert runs.home() == anywhere / "user/.local/share/nexus/runs"
    monkeypatch.setenv("XDG_DATA_HOME", str(anywhere / "data"))
    assert runs.home() == anywhere / "data/nexus/runs"
    monkeypatch.setenv("NEXUS_HOME", str(anywhere / "nexus"))
    assert runs.home() == anywhere / "nexus/runs"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("system", "expected"),
    [("darwin", "user/Library/Application Support/nexus/runs"), ("win32", "local/nexus/runs")],
)
def test_the_users_folder_is_where_the_system_keeps_data(anywhere, monkeypatch, system, expected):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv("LOCALAPPDATA", str(anywhere / "local"))
    assert runs.home() == anywhere / expected


def test_windows_without_its_variable_has_a_place_too(anywhere, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert runs.home() == anywhere / "user/AppData/Local/nexus/runs"


def test_a_folder_named_that_cannot_be_written_is_told_with_the_one_taken(anywhere, monkeypatch, capsys):
    log.setup()
    (anywhere / "file").write_text("")
    monkeypatch.setenv("NEXUS_HOME", str(anywhere / "file"))
    taken = anywhere / "user/.local/share/nexus/runs"
    assert runs.home() == taken
    assert capsys.readouterr().err == (
        f"nexus: {anywhere}/file/runs cannot be written: this run is kept in {taken}.\n"
    )


def test_without_any_folder_it_takes_one_that_goes_with_the_machine_and_says_so(
    anywhere, monkeypatch, capsys
):
    def nobody():
        raise RuntimeError("no home")

    log.setup()
    monkeypatch.setattr(Path, "home", nobody)
    taken = runs.home()
    try:
        assert taken.is_dir()
        assert capsys.readouterr().err == (
            f"nexus: no folder for runs can be written: {taken} goes with the machine. Set NEXUS_HOME.\n"
        )
    finally:
        shutil.rmtree(taken)


def test_a_given_folder_that_cannot_be_written_is_an_error(unprivileged):
    unprivileged.chmod(0o555)
    for out in (unprivileged, unprivileged / "below"):
        with pytest.raises(JournalError) as told:
            runs.home(out)
        assert str(told.value) == (
            f"{out}: runs cannot be kept there, the folder cannot be written. Name another with --out."
        )
    unprivileged.chmod(0o755)


# -- making a run -----------------------------------------------------------------------------------


def test_a_run_has_a_folder_of_its_own_with_its_manifest(tmp_path):
    made = runs.create(tmp_path, {"settings": {"a": 1}, "note": "à"})
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", made.name)
    facts = runs.manifest(made)
    assert facts.items() >= {"id": made.name, "settings": {"a": 1}, "note": "à"}.items()
    assert facts.items() >= runs.versions().items()
    assert os.listdir(made) == [runs.MANIFEST]


def test_versions_name_what_runs_here():
    assert runs.versions() == {
        "nexus": nexus_core.__version__,
        "api": nexus_core.API,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def test_a_name_that_is_taken_is_drawn_again(tmp_path, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(runs.secrets, "token_hex", lambda _: next(drawn))

    class Clock(runs.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2026, 3, 1, 14, 5, 9, tzinfo=zone)

    monkeypatch.setattr(runs, "datetime", Clock)
    names = [runs.create(tmp_path, {}).name for _ in range(2)]
    assert names == ["20260301-140509-aaaa", "20260301-140509-bbbb"]


def test_a_manifest_that_cannot_be_written_is_a_clear_error(tmp_path, unprivileged, monkeypatch):
    unprivileged.chmod(0o555)
    with pytest.raises(
        JournalError, match=r"a run cannot be made there \(Permission denied\)\. Name another"
    ):
        runs.create(unprivileged, {})
    unprivileged.chmod(0o755)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match=r"a run cannot be made there \(No space left on device\)"):
        runs.create(unprivileged, {})
    # a manifest that is not whole is none: the run is not found
    with pytest.raises(NotFoundError, match="There is no run"):
        runs.open_run(None, unprivileged)


# -- finding a run ----------------------------------------------------------------------------------


def named(folder, name, age):
    (folder / name).mkdir(parents=True)
    path = folder / name / runs.MANIFEST
    path.write_text(json.dumps({"id": name}))
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return folder / name


def test_without_an_id_it_is_the_newest(tmp_path):
    named(tmp_path, "z-old", 30)
    newest = named(tmp_path, "b-new", 10)
    named(tmp_path, "a-new", 10)  # as old, and before it by name
    (tmp_path / "no-run").mkdir()
    assert runs.open_run(None, tmp_path) == newest


def test_by_its_id(tmp_path):
    made = named(tmp_path, "20260301-140509-aaaa", 0)
    assert runs.open_run("20260301-140509-aaaa", tmp_path) == made
    with pytest.raises(NotFoundError) as told:
        runs.open_run("20260301-140509-aaab", tmp_path)
    assert str(told.value) == (
        f"Run 20260301-140509-aaab is not in {tmp_path}. Did you mean 20260301-140509-aaaa?"
    )
    for outside in ("..", "", str(made)):
        with pytest.raises(NotFoundError):
            runs.open_run(outside, tmp_path)


def test_where_there_is_none_it_says_how_to_make_one_and_makes_no_folder(tmp_path):
    with pytest.raises(NotFoundError) as told:
        runs.open_run(None, tmp_path / "typo")
    assert str(told.value) == f"There is no run in {tmp_path}/typo yet. Make one with nexus run."
    assert not (tmp_path / "typo").exists()


def test_every_folder_where_runs_may_be_kept_is_looked_at(anywhere, monkeypatch):
    elsewhere = named(anywhere / "user/.local/share/nexus/runs", "elsewhere", 5)
    monkeypatch.setenv("NEXUS_HOME", str(anywhere / "nexus"))
    assert runs.open_run(None) == elsewhere
    here = named(anywhere / "nexus/runs", "here", 1)
    assert runs.open_run(None) == here
    assert runs.open_run("elsewhere") == elsewhere
    with pytest.raises(
        NotFoundError, match=r"^Run nobody is not in .*nexus/runs or .*\.local/share/nexus/runs\.$"
    ):
        runs.open_run("nobody")


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_manifest_that_cannot_be_read_is_a_clear_error(tmp_path, text):
    made = named(tmp_path, "run-1", 0)
    (made / runs.MANIFEST).write_bytes(text.encode("latin1"))
    with pytest.raises(JournalError, match=r"^run-1: the manifest .*run\.json cannot be read \("):
        runs.manifest(made)
