"""nexus.lock: every way in which what is installed can differ from it, each in its one sentence."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import tomllib

import pytest

from nexus_core import log, plugins
from nexus_core.errors import ConfigError, Exit, NotFoundError
from nexus_core.upkeep import lock

STRATEGY = """
from nexus_core import Strategy

class Good(Strategy):
    nexus_api = 1
    category = "trend_following"

    def signal(self, window):
        return 0, 0.0
"""
SETTINGS = '[run]\nstrategies = ["{strategy}"]\nfeed = "walk"\nsymbols = ["A-USD"]\nbars = 40\n'


@pytest.fixture
def where(tmp_path, monkeypatch):
    """Return the path of a lock in the folder that commands are called in."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder / "nexus.lock"


@pytest.fixture
def box(install, path):
    """Install a package of some files with a plugin, and return its folder."""
    install("test-box", {"strategies:box": "test_box:Good"})
    folder = path / "test_box"
    folder.mkdir()
    (folder / "__init__.py").write_text(STRATEGY)
    (folder / "card.json").write_text("{}\n")
    (folder / "more").mkdir()
    (folder / "more" / "weights.bin").write_bytes(bytes(range(256)))
    return folder


def changes(where, names=None):
    plugins.offers.cache_clear()
    importlib.invalidate_caches()
    return lock.differences(where, names)


# -- the file -----------------------------------------------------------------------------------------


def test_a_lock_says_version_offers_and_the_hash_of_each_file(box, where):
    standing = lock.write(where)
    read = tomllib.loads(where.read_text())
    assert read["schema"] == lock.SCHEMA
    assert read["distributions"] == standing
    own = read["distributions"]["test-box"]
    assert own["version"] == "1.0"
    files = ["__init__.py", "card.json", "more/weights.bin"]
    assert own["files"] == {
        f"test_box/{name}": hashlib.sha256((box / name).read_bytes()).hexdigest() for name in files
    }
    kernel = read["distributions"]["nexus-core"]["files"]
    assert "nexus_core/upkeep/lock.py" in kernel
    assert not any(name.endswith(".pyc") for name in kernel)
    assert "nexus-synthetic" in read["distributions"]  # the feed needs it, and it offers no plugin
    assert changes(where) == []


def test_a_lock_written_twice_is_the_same(box, where):
    lock.write(where)
    first = where.read_bytes()
    plugins.offers.cache_clear()
    lock.write(where)
    assert where.read_bytes() == first


def test_strange_names_of_files_are_written_and_read(box, where):
    for name in (
        "a b.txt",
        'quo"te',
        "back\\slash",
        "tab\tnew\nline",
        "ünïcode",
        "🚀.json",
        "del\x7f",
        "=#[]",
    ):
        (box / name).write_text("x")
    standing = lock.write(where)
    assert tomllib.loads(where.read_text(encoding="utf-8"))["distributions"] == standing
    assert len(standing["test-box"]["files"]) == 3 + 8
    assert changes(where) == []


def test_a_file_whose_name_is_no_text_is_locked_too(box, where):
    import os

    with open(os.fsencode(box) + b"/\xff.bin", "wb") as stream:
        stream.write(b"x")
    lock.write(where)
    assert changes(where) == []
    with open(os.fsencode(box) + b"/\xff.bin", "wb") as stream:
        stream.write(b"y")
    assert len(changes(where)) == 1


def test_a_lock_lies_beside_its_settings(tmp_path):
    assert lock.beside(tmp_path / "mine.toml") == tmp_path / "nexus.lock"
    assert str(lock.beside(None)) == "nexus.lock"


def test_libraries_are_locked_with_whoever_needs_them_through_others_too(install, path, where):
    install("test-top", {"strategies:top": "test_top:Good"}, STRATEGY)
    with open(path / "test_top-1.0.dist-info" / "METADATA", "a") as stream:
        stream.write("Requires-Dist: Nexus_Middle>=1; python_version > '3'\n")
    install("nexus-middle", {}, "x = 1\n")
    with open(path / "nexus_middle-1.0.dist-info" / "METADATA", "a") as stream:
        stream.write("Requires-Dist: nexus-bottom[fast]\nRequires-Dist: nexus-nowhere\n")
    install("nexus-bottom", {}, "x = 1\n")
    standing = lock.write(where)
    assert {"test-top", "nexus-middle", "nexus-bottom"} <= set(standing)
    assert "nexus-nowhere" not in standing
    (path / "nexus_bottom.py").write_text("x = 2\n")
    line = ["nexus-bottom 1.0 was changed after it was locked: nexus_bottom.py."]
    assert changes(where) == changes(where, ["test-top"]) == line
    assert changes(where, ["nexus-core"]) == []


# -- differences --------------------------------------------------------------------------------------


def one_byte(box):
    data = bytearray((box / "more" / "weights.bin").read_bytes())
    data[100] ^= 1
    (box / "more" / "weights.bin").write_bytes(data)


def renamed(box):
    (box / "card.json").rename(box / "cart.json")


def newer(box):
    info = box.parent / "test_box-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-box\nVersion: 1.1\n")
    info.rename(box.parent / "test_box-1.1.dist-info")


def gone(box):
    import shutil

    shutil.rmtree(box.parent / "test_box-1.0.dist-info")


def turned(box):
    points = box.parent / "test_box-1.0.dist-info" / "entry_points.txt"
    points.write_text("[nexus.strategies]\nbox = test_box:Other\n")


WAYS = {
    one_byte: "test-box 1.0 was changed after it was locked: test_box/more/weights.bin.",
    (lambda box: (box / "new.py").write_text("")): (
        "test-box 1.0 was changed after it was locked: test_box/new.py."
    ),
    (lambda box: (box / "card.json").unlink()): (
        "test-box 1.0 was changed after it was locked: test_box/card.json."
    ),
    renamed: "test-box 1.0 was changed after it was locked: test_box/card.json and 1 more.",
    newer: "test-box was 1.0 when it was locked, and is 1.1 now.",
    gone: "test-box 1.0 is in the lock and not installed.",
    turned: "test-box 1.0 was changed after it was locked: what it offers.",
}


@pytest.mark.parametrize("change", WAYS, ids=lambda each: WAYS[each].removeprefix("test-box "))
def test_a_difference_is_one_sentence(box, where, nexus, change):
    lock.write(where)
    change(box)
    assert changes(where) == [WAYS[change]]
    code, out, err = nexus("plugins", "verify")
    assert (code, out) == (Exit.CHECK_FAILED, WAYS[change] + "\n")
    assert Exit.CHECK_FAILED == 5
    assert err == "nexus: nexus.lock: differences: 1. Accept them with nexus plugins lock.\n"
    code, out, _ = nexus("plugins", "verify", "--json")
    assert (code, json.loads(out)) == (5, {"path": "nexus.lock", "differences": [WAYS[change]]})
    assert nexus("plugins", "lock")[0] == Exit.OK
    assert nexus("plugins", "verify") == (Exit.OK, "nexus.lock: all is as locked\n", "")


def test_a_distribution_that_is_added_is_a_difference(box, where, install):
    lock.write(where)
    install("Test_Late.One", {"gates:late": "test_late:Gate"}, "x = 1\n")
    assert changes(where) == ["test-late-one is not in the lock."]
    assert changes(where, ["test-box"]) == []
    assert changes(where, ["Test_Late.One"]) == ["test-late-one is not in the lock."]


def test_a_name_is_the_same_however_it_is_written(install, where, path):
    install("Test_Odd", {"strategies:odd": "test_odd:Good"}, STRATEGY)
    (path / "Test_Odd.py").rename(path / "test_odd.py")
    assert "test-odd" in lock.write(where)
    (path / "test_odd.py").write_text("x = 2\n")
    line = ["test-odd 1.0 was changed after it was locked: test_odd.py."]
    assert changes(where, ["Test_Odd"]) == changes(where, ["test-odd"]) == line


# -- a lock that cannot be read -----------------------------------------------------------------------

BODY = 'schema = 1\n[distributions.test-box]\nversion = "1.0"\noffers = []\n'
UNREADABLE = {
    "empty": "",
    "cut": "schema = 1\n[distributions.test-box",
    "no-distributions": "schema = 1\n",
    "no-schema": "[distributions]\n",
    "distributions-a-number": "schema = 1\ndistributions = 3\n",
    "distribution-a-word": 'schema = 1\n[distributions]\ntest-box = "1.0"\n',
    "no-version": "schema = 1\n[distributions.test-box]\noffers = []\n[distributions.test-box.files]\n",
    "no-files": BODY,
    "files-a-number": BODY + "files = 3\n",
    "files-a-word": BODY + 'files = "abc"\n',
}


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("command", [["plugins", "verify"], ["run", "--bars", "10"]])
def test_a_lock_that_cannot_be_read_is_one_clear_error(box, where, nexus, what, command):
    where.write_text(UNREADABLE[what])
    with pytest.raises(ConfigError):
        changes(where)
    code, out, err = nexus(*command)
    assert (code, out) == (Exit.CONFIG, "")
    assert err.startswith("nexus: nexus.lock: is no lock that can be read (")
    assert err.endswith("). Make it anew: nexus plugins lock.\n")
    assert err.count("\n") == 1


def test_a_lock_that_is_no_text_or_no_file_is_one_clear_error(where, nexus):
    where.write_bytes(b"\xff\xfe")
    assert nexus("plugins", "verify")[0] == Exit.CONFIG
    where.unlink()
    where.mkdir()
    code, _, err = nexus("plugins", "verify")
    assert (code, err.count("\n")) == (Exit.CONFIG, 1)
    code, _, err = nexus("plugins", "lock")
    assert (code, err) == (
        Exit.CONFIG,
        "nexus: nexus.lock: was not writable: Is a directory. Make it so, or lock elsewhere.\n",
    )


@pytest.mark.parametrize("schema", ["2", "0", '"1"'])
def test_a_lock_of_another_schema_is_refused(where, nexus, schema):
    where.write_text(f"schema = {schema}\n[distributions]\n")
    code, _, err = nexus("plugins", "verify")
    word = schema.strip('"')
    line = f"nexus: nexus.lock: has schema {word}, this Nexus reads 1. Lock anew.\n"
    assert (code, err) == (Exit.CONFIG, line)


def test_where_there_is_no_lock_verify_says_how_to_make_one(where, nexus):
    line = "nexus: nexus.lock: there is no lock. Make one with nexus plugins lock.\n"
    assert nexus("plugins", "verify") == (Exit.NOT_FOUND, "", line)
    with pytest.raises(NotFoundError):
        changes(where)


# -- before a run -------------------------------------------------------------------------------------


@pytest.fixture
def said():
    """Collect what is said to the person at the terminal."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))
    log.setup()
    logging.getLogger("nexus").handlers = [handler]
    return lines


@pytest.fixture
def shop(shelf, install, where, path):
    """Lay down settings that use one of two plugins, and their lock."""
    install("Test_Used", {"strategies:used": "test_used:Good"}, STRATEGY)
    (path / "Test_Used.py").rename(path / "test_used.py")
    install("test-unused", {"strategies:unused": "test_unused:Good"}, STRATEGY)
    install("test-ear", {"hooks:ear": "test_ear"}, "x = 1\n")
    where.with_name("nexus.toml").write_text(SETTINGS.format(strategy="used"))
    lock.write(where)
    return path


def changed(shop, name):
    with open(shop / f"{name}.py", "a") as stream:
        stream.write("# another line\n")


def test_a_run_as_locked_says_nothing(shop, nexus):
    assert nexus("run")[::2] == (Exit.OK, "")


@pytest.mark.parametrize("name", ["test_used", "test_ear"])
def test_a_run_on_paper_warns_of_what_it_uses(shop, nexus, name):
    changed(shop, name)
    code, _, err = nexus("run")
    stem = name.replace("_", "-")
    line = f"nexus: nexus.lock: {stem} 1.0 was changed after it was locked: {name}.py.\n"
    assert (code, err) == (Exit.OK, line)


@pytest.mark.parametrize("name", ["test_used", "test_ear"])
def test_real_trading_refuses_what_is_not_as_locked(shop, nexus, name):
    changed(shop, name)
    code, out, err = nexus("run", "--live")
    assert (code, out) == (Exit.REFUSED, "")
    assert Exit.REFUSED == 6
    assert len(err.splitlines()) == 2
    assert err.splitlines()[1] == (
        "nexus: nexus.lock: what would trade is not what was locked. Install that, or accept it with nexus "
        "plugins lock."
    )


def test_what_a_run_does_not_use_may_differ(shop, nexus, install):
    changed(shop, "test_unused")
    install("test-late", {"strategies:late": "test_late:Good"}, STRATEGY)
    assert nexus("run")[::2] == (Exit.OK, "")
    # this version trades on paper only: what refuses is the broker, not the lock
    code, _, err = nexus("run", "--live")
    assert (code, "nexus.lock" in err) == (Exit.CONFIG, False)


@pytest.mark.parametrize("how", [["--set", "run.blocked=test-ear"], "environment"])
def test_what_is_blocked_is_not_used(shop, nexus, monkeypatch, how):
    changed(shop, "test_ear")
    if how == "environment":
        monkeypatch.setenv("NEXUS_PLUGINS", "used,walk,paper,nexus-gate-risk")
        how = []
    assert nexus("run", *how)[::2] == (Exit.OK, "")


def test_the_kernel_itself_is_in_every_run(shop, nexus, where):
    text = where.read_text()
    digest = tomllib.loads(text)["distributions"]["nexus-core"]["files"]["nexus_core/engine.py"]
    where.write_text(text.replace(digest, "0" * 64))
    code, _, err = nexus("run")
    assert code == Exit.OK
    assert "nexus-core" in err
    assert "nexus_core/engine.py.\n" in err


def test_without_a_lock_a_run_says_nothing(shop, nexus, where):
    where.unlink()
    changed(shop, "test_used")
    assert nexus("run")[::2] == (Exit.OK, "")
