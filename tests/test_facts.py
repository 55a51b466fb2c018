"""What is known of plugins: kept for the very files it was found out from, and no harm when it is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from nexus_core import plugins
from nexus_core.upkeep import facts
from nexus_core.upkeep.facts import recall, remember

KEEP = """
import sys
from nexus_core import plugins
from nexus_core.upkeep import facts

for n in range(60):
    for offer in plugins.offers():
        if offer.name == sys.argv[1]:
            facts.remember(offer, round=n, who=sys.argv[1])
            assert facts.recall(offer).get("round", n) <= n
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give each test an empty home of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("NEXUS_HOME", str(folder))
    return folder


@pytest.fixture
def package(install, path):
    """Install a plugin that is a package of some files; return its folder."""
    install("test-box", {"strategies:box": "test_box.inner:Box"})
    folder = path / "test_box"
    folder.mkdir()
    for name in ("__init__.py", "inner.py", "card.json"):
        (folder / name).write_text("{}\n")
    return folder


def offer():
    plugins.offers.cache_clear()
    (found,) = [each for each in plugins.offers() if each.name == "box"]
    return found


def test_what_is_remembered_is_recalled_and_added_to(package, home):
    assert recall(offer()) == {}
    remember(offer(), api=1, needs=["bar"], state="active", reason="")
    remember(offer(), grade="gold", state="broken")
    assert recall(offer()) == {
        "api": 1, "needs": ["bar"], "state": "broken", "reason": "", "grade": "gold",
    }  # fmt: skip
    assert [each.name for each in home.iterdir()] == [facts.FILE]


def test_what_is_known_already_is_not_written_again(package, home):
    remember(offer(), state="active")
    before = (home / facts.FILE).stat()
    remember(offer(), state="active")
    after = (home / facts.FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("file", ["__init__.py", "inner.py", "card.json"])
def test_a_file_that_changes_makes_all_forgotten(package, file):
    remember(offer(), state="active", grade="gold")
    (package / file).write_text("{ }\n")
    assert recall(offer()) == {}
    remember(offer(), state="broken")
    assert recall(offer()) == {"state": "broken"}


def test_a_change_of_equal_length_counts(package):
    remember(offer(), state="active")
    stat = (package / "inner.py").stat()
    (package / "inner.py").write_text("[]\n")
    os.utime(package / "inner.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert recall(offer()) == {}


@pytest.mark.parametrize("file", ["more.py", "more/__init__.py", "more.onnx"])
def test_a_file_that_is_added_makes_all_forgotten(package, file):
    remember(offer(), state="active")
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text("")
    assert recall(offer()) == {}


def test_a_file_that_is_removed_makes_all_forgotten(package):
    remember(offer(), state="active")
    (package / "card.json").unlink()
    assert recall(offer()) == {}


def test_compiled_files_make_nothing_forgotten(package):
    remember(offer(), state="active")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "inner.cpython-311.pyc").write_bytes(b"x")
    assert recall(offer()) == {"state": "active"}


def test_another_version_makes_all_forgotten(package, path):
    remember(offer(), state="active")
    info = path / "test_box-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-box\nVersion: 1.1\n")
    info.rename(path / "test_box-1.1.dist-info")
    assert offer().version == "1.1"
    assert recall(offer()) == {}


def test_a_plugin_of_one_file_is_known_too(install, path):
    install("test-box", {"strategies:box": "test_box:Box"}, "x = 1\n")
    remember(offer(), state="active")
    assert recall(offer()) == {"state": "active"}
    (path / "test_box.py").write_text("x = 12\n")
    assert recall(offer()) == {}


def test_a_plugin_whose_module_is_not_there_is_known_by_its_version(install):
    install("test-box", {"strategies:box": "nowhere_at_all:Box"})
    remember(offer(), state="broken")
    assert recall(offer()) == {"state": "broken"}


def test_a_link_to_nowhere_does_no_harm(package):
    # editors lay such locks down beside what is being edited
    (package / ".#inner.py").symlink_to("anna@host.1234")
    remember(offer(), state="active")
    assert recall(offer()) == {"state": "active"}


def test_two_distributions_of_one_name_are_known_apart(install):
    install("test-box", {"strategies:box": "test_box:Box"}, "x = 1\n")
    install("test-chest", {"strategies:box": "test_chest:Box"}, "x = 1\n")
    one, other = [each for each in plugins.offers() if each.name == "box"]
    remember(one, state="active")
    assert (recall(one), recall(other)) == ({"state": "active"}, {})


DAMAGED = {
    "empty": b"",
    "cut": b'{"strategies:box test-box": {"mark"',
    "no-text": b"\xff\xfe\x00",
    "a-list": b"[1, 2]",
    "a-number": b"7",
    "nothing": b"null",
    "a-word": b'"strategies:box test-box"',
    "a-number-within": b'{"strategies:box test-box": 3}',
    "nothing-within": b'{"strategies:box test-box": null}',
    "no-facts": b'{"strategies:box test-box": {"mark": ["1.0"]}}',
    "facts-a-list": b'{"strategies:box test-box": {"mark": ["1.0"], "facts": [1]}}',
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_no_error(package, home, what):
    (home / facts.FILE).write_bytes(DAMAGED[what])
    assert recall(offer()) == {}
    remember(offer(), state="active")
    assert recall(offer()) == {"state": "active"}
    json.loads((home / facts.FILE).read_text())


def test_a_folder_in_place_of_the_file_is_no_error(package, home):
    (home / facts.FILE).mkdir()
    remember(offer(), state="active")
    assert recall(offer()) == {}


def test_a_home_that_is_not_there_yet_is_made(package, home):
    home.rmdir()
    assert recall(offer()) == {}
    remember(offer(), state="active")
    assert recall(offer()) == {"state": "active"}


def test_a_home_that_cannot_be_made_is_no_error(package, home):
    home.rmdir()
    home.write_text("in the way")
    remember(offer(), state="active")
    assert recall(offer()) == {}


def test_processes_at_once_leave_a_whole_file(install, home):
    for name in ("box", "chest", "trunk"):
        install(f"test-{name}", {f"strategies:{name}": f"test_{name}:Box"}, "x = 1\n")
    going = [
        subprocess.Popen([sys.executable, "-c", KEEP, name], stderr=subprocess.PIPE, text=True)
        for name in ("box", "chest", "trunk")
    ]
    while any(each.poll() is None for each in going):
        if (home / facts.FILE).exists():
            json.loads((home / facts.FILE).read_text())
    assert [(each.communicate()[1], each.returncode) for each in going] == [("", 0)] * 3
    kept = json.loads((home / facts.FILE).read_text())
    assert kept.keys() <= {f"strategies:{name} test-{name}" for name in ("box", "chest", "trunk")}
    assert all(each["facts"]["who"] in key for key, each in kept.items())
    assert [each.name for each in home.iterdir()] == [facts.FILE]
