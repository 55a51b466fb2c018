"""Plugins listed, blocked, checked, released, and installed for real into an environment of their own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from nexus_core import plugins, safety
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import Exit, NotFoundError, PluginError
from nexus_core.journal import Journal
from nexus_core.ledger.orders import MODE
from nexus_core.records import EVENT
from nexus_core.strategy import RELEASE
from nexus_core.upkeep import homes, recovery, states

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".tools" / "bin"))
STRATEGY = """
from nexus_core import Param, Strategy

class Good(Strategy):
    \"\"\"Say nothing.\"\"\"

    nexus_api = 1
    category = "trend_following"
    needs = {"bar", "volume"}
    span = Param(5, low=2, high=9, help="rows looked at")

    def signal(self, window):
        return 0, 0.0
"""
SETTINGS = """
[run]
strategies = ["swing"]
feed = "walk"
symbols = ["A-USD"]
bars = 40
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """Return an empty folder in which commands are called."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NEXUS_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def nothing_known(tmp_path, monkeypatch):
    """Let nothing be known of plugins."""
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "known"))


@pytest.fixture
def listed(nexus, nothing_known):
    """Return a function that lists plugins by key and distribution."""

    def call(*arguments):
        code, out, err = nexus("plugins", "list", "--json", *arguments)
        assert (code, err) == (Exit.OK, "")
        return {(f"{each['kind']}:{each['name']}", each["distribution"]): each for each in json.loads(out)}

    return call


# -- which plugins may be loaded ------------------------------------------------------------------------


def free():
    return {each.key for each in plugins.offers() if not plugins.blocked(each)}


def test_without_the_variable_nothing_is_blocked(shelf, monkeypatch):
    monkeypatch.delenv("NEXUS_PLUGINS", raising=False)
    assert free() == {each.key for each in plugins.offers()}


@pytest.mark.parametrize("value", ["", " ", ",", "nothing-of-this-name"])
def test_an_empty_variable_lets_none_be_loaded(shelf, nexus, monkeypatch, value):
    monkeypatch.setenv("NEXUS_PLUGINS", value)
    assert free() == set()
    with pytest.raises(PluginError, match=r"^strategies:swing is blocked by NEXUS_PLUGINS\. Take it out"):
        plugins.load("strategies", "swing")
    code, out, err = nexus("run", "--plugins", "swing", "--feed", "walk")
    assert (code, out, err.count("\n")) == (Exit.CONFIG, "", 1)
    assert nexus("--help")[0] == Exit.OK
    assert nexus("hello")[0] == Exit.CONFIG


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("swing", {"strategies:swing"}),
        ("strategies:swing", {"strategies:swing"}),
        (" swing , feeds:walk,nothing ", {"strategies:swing", "feeds:walk"}),
        ("nexus-feed-synthetic", {"feeds:synthetic"}),
        ("feeds:swing", set()),
    ],
)
def test_the_variable_names_the_only_ones_by_name_key_or_distribution(shelf, monkeypatch, value, keys):
    monkeypatch.setenv("NEXUS_PLUGINS", value)
    assert free() == keys


def test_a_run_takes_the_subset_that_the_variable_names(shelf, nexus, monkeypatch):
    monkeypatch.setenv("NEXUS_PLUGINS", "swing,feeds:walk,paper")
    given = ["--plugins", "swing", "--feed", "walk", "--bars", "20", "--set", "risk.gates=[]", "--json"]
    code, out, err = nexus("run", *given)
    assert (code, err) == (Exit.OK, "")
    assert json.loads(out)["strategies"] == ["swing"]


@pytest.mark.parametrize("name", ["swing", "strategies:swing", "nexus-test-shelf"])
def test_what_the_settings_block_is_not_loaded(shelf, name):
    with pytest.raises(PluginError, match=r"^strategies:swing is blocked by run\.blocked\. Take it out"):
        plugins.load("strategies", "swing", (name,))
    with pytest.raises(NotFoundError):
        plugins.load("strategies", "swnig", (name,))


def twins(install):
    for name, version in (("a", "1.0"), ("b", "2.0")):
        install(f"test-twin-{name}", {"strategies:twin": f"test_twin_{name}:Good"}, STRATEGY, version=version)


@pytest.mark.parametrize("way", ["settings", "environment"])
def test_a_clash_is_resolved_by_blocking_one(install, monkeypatch, way):
    twins(install)
    with pytest.raises(PluginError, match=r"^strategies:twin is offered by test-twin-a 1\.0 and by test-twi"):
        plugins.load("strategies", "twin")
    names = ("test-twin-b",) if way == "settings" else ()
    if way == "environment":
        monkeypatch.setenv("NEXUS_PLUGINS", "test-twin-a")
    assert plugins.find("strategies", "twin", names).distribution == "test-twin-a"
    assert plugins.load("strategies", "twin", names).__module__ == "test_twin_a"
    assert states.rivals(plugins.find("strategies", "twin", names), names) == []


def test_a_run_trades_the_one_of_two_that_is_not_blocked(install):
    twins(install)
    run = {"strategies": ["twin"], "blocked": ["test-twin-b"], "bars": 10}
    (loop,) = assemble(Settings.from_dict({"run": run})).engine.loops
    assert type(loop.strategy).__module__ == "test_twin_a"


# -- list and info --------------------------------------------------------------------------------------


def test_the_list_says_what_state_each_is_in_and_why(listed, install, shop):
    twins(install)
    install("test-good", {"strategies:good": "test_good:Good"}, STRATEGY)
    install("test-bad", {"gates:bad": "test_bad:Bad"}, "1 / 0\n")
    install("test-shut", {"strategies:shut": "test_shut:Good"}, STRATEGY)
    (shop / "nexus.toml").write_text('[run]\nblocked = ["shut"]\n')
    states = {key: (each["state"], each["reason"]) for key, each in listed().items()}
    assert states["strategies:good", "test-good"] == ("-", "")
    assert states["gates:bad", "test-bad"] == ("-", "")
    assert states["strategies:shut", "test-shut"] == ("blocked", "by run.blocked")
    assert states["strategies:twin", "test-twin-a"] == ("broken", "also offered by test-twin-b 2.0")
    assert states["strategies:twin", "test-twin-b"] == ("broken", "also offered by test-twin-a 1.0")
    for arguments in (["--load"], []):  # what was found out is known from then on, where it could be kept
        every = listed(*arguments)
        good = every["strategies:good", "test-good"]
        assert (good["state"], good["api"], good["needs"]) == ("active", 1, ["bar", "volume"])
    bad = listed("--load")["gates:bad", "test-bad"]
    assert bad["state"] == "broken"
    assert "ZeroDivisionError" in bad["reason"]
    assert "test_shut" not in sys.modules


def test_the_list_shows_a_clash_that_is_resolved(listed, install, shop):
    twins(install)
    (shop / "nexus.toml").write_text('[run]\nblocked = ["test-twin-a"]\n')
    every = listed("--load")
    one, other = (every["strategies:twin", f"test-twin-{each}"] for each in "ab")
    assert (one["state"], one["reason"]) == ("blocked", "by run.blocked")
    assert (other["state"], other["api"]) == ("active", 1)


def test_the_list_shows_what_the_environment_blocks(listed, shelf, monkeypatch):
    monkeypatch.setenv("NEXUS_PLUGINS", "swing")
    states = {key[0]: (each["state"], each["reason"]) for key, each in listed().items()}
    assert states.pop("strategies:swing") == ("-", "")
    assert set(states.values()) == {("blocked", "by NEXUS_PLUGINS")}


def test_a_run_makes_known_what_became_of_its_plugins(listed, nexus, shelf, install, sets, monkeypatch):
    sore = "from nexus_core import hookimpl\n\n@hookimpl\ndef nexus_commit():\n    {}\n"
    install("test-sore", {"hooks:sore": "test_sore"}, sore.format("raise ValueError('no')"))
    install("test-calm", {"hooks:calm-ear": "test_calm"}, sore.format("pass"))
    given = [each for one in sets(300, run__strategies="swing,wild,bookish") for each in ("--set", one)]
    assert nexus("run", *given)[0] == Exit.OK
    states = {key[0]: (each["state"], each["reason"]) for key, each in listed().items()}
    assert states["strategies:swing"] == ("active", "")
    assert states["strategies:bookish"] == ("inactive", "needs book, trade")
    assert states["strategies:wild"][0] == "quarantined"
    assert states["hooks:sore"] == (
        "broken", "raised 3 times, last in nexus_commit: ValueError: no",
    )  # fmt: skip
    assert states["hooks:calm-ear"] == ("active", "")


def test_a_listener_that_is_well_again_is_known_as_such(listed, nexus, shelf, install, sets, tmp_path):
    text = (
        "import pathlib\nfrom nexus_core import hookimpl\n\n@hookimpl\ndef nexus_commit():\n"
        f"    pathlib.Path({str(tmp_path / 'there')!r}).read_text()\n"
    )
    install("test-sore", {"hooks:sore": "test_sore"}, text)
    given = [each for one in sets(300) for each in ("--set", one)]
    nexus("run", *given)
    assert listed()["hooks:sore", "test-sore"]["state"] == "broken"
    (tmp_path / "there").write_text("")
    nexus("run", *given)
    assert listed()["hooks:sore", "test-sore"]["state"] == "active"


def test_info_shows_all_of_a_plugin(nexus, install, nothing_known, path):
    install("test-good", {"strategies:good": "test_good:Good"}, STRATEGY)
    code, out, err = nexus("plugins", "info", "good", "--json")
    assert (code, err) == (Exit.OK, "")
    data = json.loads(out)
    assert (data["about"], data["file"]) == ("Say nothing.", str(path / "test_good.py"))
    assert data["parameters"] == {"span": {"default": 5, "allowed": "[2, 9]", "help": "rows looked at"}}
    assert (data["state"], data["api"], data["version"]) == ("active", 1, "1.0")
    text = nexus("plugins", "info", "strategies:good")[1]
    assert re.search(r"^plugins\.good\.span +5 +\[2, 9\] +rows looked at$", text, re.MULTILINE)
    assert re.search(r"^needs +bar, volume$", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["bad", "worse", "ear"])
def test_info_shows_why_a_plugin_is_broken(nexus, install, nothing_known, name):
    install("test-bad", {"strategies:bad": "test_bad:Bad", "commands:worse": "test_bad:x"}, "1 / 0\n")
    install("test-ear", {"hooks:ear": "test_ear"}, "import nowhere_at_all\n")
    code, out, _ = nexus("plugins", "info", name, "--json")
    assert (code, json.loads(out)["state"]) == (Exit.OK, "broken")


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("gdoo", Exit.NOT_FOUND, "gdoo is not installed. Did you mean good?"),
        ("strategy:good", Exit.USAGE, "strategy:good: strategy is no kind of plugin. Did you mean strat"),
        ("both", Exit.USAGE, "both is one of gates, strategies. Say which: gates:both."),
        ("gates:good", Exit.NOT_FOUND, "gates:good is not installed."),
        ("twin", Exit.CONFIG, "strategies:twin is offered by test-twin-a 1.0 and by test-twin-b 2.0."),
    ],
)
@pytest.mark.parametrize("command", ["info", "check"])
def test_a_name_that_is_none_or_two_is_one_clear_error(nexus, install, command, name, code, line):
    twins(install)
    install("test-good", {"strategies:good": "test_good:Good"}, STRATEGY)
    install("test-both", {"strategies:both": "test_both:Good", "gates:both": "test_both:Good"}, STRATEGY)
    found, out, err = nexus("plugins", command, name)
    assert (found, out) == (code, "")
    assert err.startswith(f"nexus: {line}")
    assert err.count("\n") == 1


# -- check ----------------------------------------------------------------------------------------------


@pytest.fixture
def graded(install, monkeypatch, nothing_known):
    """Let the checks of a plugin report a grade."""
    install("test-good", {"strategies:good": "test_good:Good"}, STRATEGY)

    def call(grade, out=None):
        finding = {"number": 7, "grade": "Gold", "text": "is quick", "outcome": "failed"}
        report = {"grade": grade, "findings": [finding, {**finding, "outcome": "passed"}]}
        done = subprocess.CompletedProcess([], 0, json.dumps(report) if out is None else out, "first\nlast\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    return call


@pytest.mark.parametrize(("least", "code"), [("none", 0), ("bronze", 0), ("silver", 0), ("gold", 5)])
def test_a_grade_below_the_least_fails(nexus, listed, graded, least, code):
    graded("silver")
    found, out, err = nexus("plugins", "check", "good", "--least", least)
    assert found == code
    assert out == ("good 1.0  silver   2 checks, 1 failed, 0 not applicable\n  7 (gold) is quick\n")
    assert err == ("nexus: strategies:good is silver, must be gold at least.\n" if code else "")
    assert listed()["strategies:good", "test-good"]["grade"] == "silver"


def test_checks_that_break_off_are_one_line(nexus, graded):
    graded("gold", out="Segmentation fault")
    line = "nexus: strategies:good: the checks broke off: last\n"
    assert nexus("plugins", "check", "good") == (Exit.CONFIG, "", line)


def test_a_grade_that_is_none_is_refused(nexus, graded):
    code, _, err = nexus("plugins", "check", "good", "--least", "glod")
    assert (code, err) == (
        Exit.USAGE,
        "nexus: --least was glod, must be one of none, bronze, silver, gold. Did you mean gold?\n",
    )


# -- release --------------------------------------------------------------------------------------------


def test_a_release_is_written_down_taken_up_and_lets_the_strategy_speak(nexus, shelf, sets, monkeypatch):
    from nexus_core import session
    from nexus_core.engine import assemble
    from nexus_core.upkeep.sources import load

    monkeypatch.delenv("NEXUS_CACHE_DIR")

    class Killed(Exception):
        pass

    def stop(batch):
        if batch.tick >= 60:
            raise Killed

    home = homes.home()
    settings = load(None, sets=sets(150, run__strategies="swing,wild")).settings
    work = session.begin(home, assemble(settings), 16)
    with pytest.raises(Killed):
        work.play(stop)
    work.close()
    name = work.folder.name
    code, out, err = nexus("plugins", "release", "wild", "--run", name, "--why", "mended", "--json")
    assert (code, err) == (Exit.OK, "")
    assert json.loads(out) == {"run": name, "release": "wild", "why": "mended", "going": False}
    with closing(safety.Control(work.folder)) as control:
        (request,) = control.due(0, waiting=True)
    assert (request.strategy, request.why, request.mode.name) == ("wild", "mended", "NORMAL")
    again = recovery.resume(work.folder, 16, lambda _: None)
    again.play(lambda _: None)
    again.close()
    import numpy as np

    with Journal(work.folder) as journal:
        told = [(np.frombuffer(each.record, EVENT)[0]["kind"], each.why) for each in journal.inputs()]
        events = journal.events()
    assert [why.partition(": ")[2] for kind, why in told if kind == RELEASE] == ["mended"]
    assert MODE not in events["kind"]  # a release changes no mode


def test_a_release_of_nobody_is_refused_with_a_hint(nexus, shelf, sets):
    given = [each for one in sets(3) for each in ("--set", one)]
    assert nexus("run", *given)[0] == Exit.OK
    line = "nexus: swnig trades in no such run. Did you mean swing?\n"
    assert nexus("plugins", "release", "swnig") == (Exit.NOT_FOUND, "", line)


# -- install, upgrade and remove, for real --------------------------------------------------------------


def wheel(folder, name="nexus-test-box", version="1.0", text=STRATEGY):
    """Make a wheel by hand."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    files = {
        f"{stem}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[nexus.strategies]\nbox = {stem}:Good\n",
    }
    record = ""
    for file, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record += f"{file},sha256={digest},{len(content.encode())}\n"
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as made:
        for file, content in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            made.writestr(file, content)
    return path


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Return a function that makes an environment that sees the packages of this one, with pip or not."""
    made = {}

    def make(pip):
        if pip not in made:
            folder = tmp_path_factory.mktemp("environment") / "own"
            subprocess.run(
                [sys.executable, "-m", "venv", *([] if pip else ["--without-pip"]), folder], check=True
            )
            python = folder / "bin" / "python"
            ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
            found = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
            here = sysconfig.get_path("purelib")
            Path(found.stdout.strip(), "shared.pth").write_text(f"import site; site.addsitedir({here!r})\n")
            made[pip] = python
        return made[pip]

    return make


@pytest.fixture(params=["pip", "uv"])
def called(request, environments, tmp_path, shop):
    """Return a function that calls nexus plugins in an environment where pip, or only uv, can install."""
    if request.param == "uv" and UV is None:
        pytest.skip("there is no uv here")
    return caller(environments(request.param == "pip"), tmp_path, shop, UV if request.param == "uv" else None)


def caller(python, tmp_path, shop, uv):
    programs = tmp_path / "programs"
    programs.mkdir()
    if uv:
        (programs / "uv").symlink_to(uv)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env = kept | {"PATH": str(programs), "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_OFFLINE": "1"}

    def call(*arguments, folder=shop):
        done = subprocess.run(
            [python, "-m", "nexus_core", "plugins", *map(str, arguments)],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return call


def versions(called, folder):
    code, out, err = called("list", "--json", folder=folder)
    assert code == 0, err
    return {each["distribution"]: each["version"] for each in json.loads(out) if each["name"] == "box"}


def test_a_plugin_is_installed_upgraded_and_removed_and_the_lock_goes_along(called, shop, tmp_path):
    shelf = tmp_path / "wheels"
    shelf.mkdir()
    wheel(shelf)
    offline = ["--find-links", shelf, "--no-index"]
    (shop / "nexus.toml").write_text("")
    locked = shop / "nexus.lock"
    code, out, err = called("install", "nexus-test-box", *offline)
    assert code == 0, err
    assert out.startswith("nexus.lock: ")
    assert versions(called, shop) == {"nexus-test-box": "1.0"}
    assert '[distributions.nexus-test-box]\nversion = "1.0"' in locked.read_text()
    assert called("verify")[0] == 0
    wheel(shelf, version="1.1")
    before = locked.read_bytes()
    assert called("install", "nexus-test-box", *offline)[0] == 0  # is installed already
    assert locked.read_bytes() == before
    assert called("upgrade", "nexus-test-box", *offline)[0] == 0
    assert versions(called, shop) == {"nexus-test-box": "1.1"}
    assert '[distributions.nexus-test-box]\nversion = "1.1"' in locked.read_text()
    before = locked.read_bytes()
    code, out, err = called("install", "nexus-test-nowhere", *offline)
    assert (code, out) == (Exit.CONFIG, "")
    assert err.splitlines()[-1] == (
        "nexus: install nexus-test-nowhere: did not succeed; the reason stands above."
    )
    assert locked.read_bytes() == before
    code, _, err = called("remove", "nexus-test-bax")
    assert code == Exit.NOT_FOUND
    assert "nexus-test-bax is no installed distribution of plugins. Did you mean nexus-test-box?" in err
    code, _, err = called("remove", "nexus-test-box")
    assert code == 0, err
    assert versions(called, shop) == {}
    assert "nexus-test-box" not in locked.read_text()


def test_the_lock_is_renewed_only_where_there_are_settings_or_a_lock(called, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    path = wheel(tmp_path)
    assert called("install", path, "--no-index", folder=bare)[0] == 0
    assert list(bare.iterdir()) == []
    (bare / "nexus.lock").write_text("schema = 1\n[distributions]\n")
    (bare / path.name).symlink_to(path)
    assert called("upgrade", path.name, "--no-index", folder=bare)[0] == 0
    assert "nexus-test-box" in (bare / "nexus.lock").read_text()
    (bare / "nexus.lock").unlink()
    assert called("remove", "nexus-test-box", folder=bare)[0] == 0
    assert not (bare / "nexus.lock").exists()


def test_where_the_lock_cannot_be_renewed_it_is_said_that_the_rest_is_done(called, shop, tmp_path):
    path = wheel(tmp_path)
    (shop / "nexus.lock").mkdir()
    code, _, err = called("install", path, "--no-index")
    assert code == Exit.CONFIG
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith(": done, but the lock is not renewed; see above.")
    (shop / "nexus.lock").rmdir()
    assert called("remove", "nexus-test-box")[0] == 0


def test_settings_that_do_not_stand_keep_no_plugin_out(called, shop, tmp_path):
    path = wheel(tmp_path)
    (shop / "nexus.toml").write_text("[run")
    code, _, err = called("install", path, "--no-index")
    assert code == Exit.CONFIG
    assert "nexus.toml: was not valid TOML" in err
    assert "Traceback" not in err
    (shop / "nexus.toml").unlink()
    assert versions(called, shop) == {"nexus-test-box": "1.0"}
    assert called("remove", "nexus-test-box")[0] == 0


def test_the_users_own_lock_is_renewed_where_it_lies(called, shop, tmp_path):
    path = wheel(tmp_path)
    own = tmp_path / "config" / "nexus"
    own.mkdir(parents=True)
    (own / "nexus.toml").write_text("")
    assert called("install", path, "--no-index")[0] == 0
    assert not (own / "nexus.lock").exists()
    assert called("lock")[0] == 0
    assert called("remove", "nexus-test-box")[0] == 0
    assert "nexus-test-box" not in (own / "nexus.lock").read_text()
    assert not (shop / "nexus.lock").exists()


@pytest.mark.parametrize("command", ["install", "upgrade", "remove"])
def test_with_neither_pip_nor_uv_it_is_one_clear_error(environments, tmp_path, shop, command):
    call = caller(environments(False), tmp_path, shop, None)
    (shop / "nexus.toml").write_text("")
    what = "nexus-feed-synthetic" if command == "remove" else "nexus-test-box"
    code, out, err = call(command, what)
    assert (code, out) == (Exit.CONFIG, "")
    assert re.fullmatch(
        r"nexus: (\S+): has no pip, and there is no uv to be found\. Install one of them; this gives it pip: "
        r"\1\S+python\S* -m ensurepip\n",
        err,
    )
    assert not (shop / "nexus.lock").exists()
