"""What the doctor finds, each finding with what to do about it; and the settings it and config check."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nexus_core import compile, log
from nexus_core.config import Settings
from nexus_core.errors import Exit
from nexus_core.upkeep import environment, health, lock
from nexus_core.upkeep.sources import describe

CHECKS = ["python", "packages", "cache", "runs", "clock", "config", "plugins"]
SETTINGS_PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """Return an empty folder in which commands are called."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def whole(monkeypatch):
    """Let every package have what it needs, whatever else is installed here."""
    done = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(environment, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    return done


@pytest.fixture
def examined(nexus):
    """Return a function that gives what the doctor found to do, check by check."""

    def call(*arguments):
        code, out, err = nexus("doctor", "--json", *arguments)
        assert out, err
        found = json.loads(out)
        wrong = [each for each in found if each["do"]]
        assert code == (Exit.CHECK_FAILED if wrong else Exit.OK)
        if wrong:
            line = f"nexus: doctor: {len(wrong)} of {len(found)} findings want something done.\n"
            assert err.endswith(line)
        assert all(each.keys() == {"check", "found", "do"} for each in found)
        assert set(CHECKS) >= {each["check"] for each in found}
        return [(each["check"], each["found"], each["do"]) for each in wrong]

    return call


# -- doctor -------------------------------------------------------------------------------------------


def test_where_all_is_well_there_is_nothing_to_do(nexus, examined):
    assert examined() == []
    code, out, err = nexus("doctor")
    assert (code, err) == (Exit.OK, "")
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == CHECKS
    assert {line[1] for line in lines} == {"ok"}


def test_in_words_what_to_do_comes_last(nexus, shop):
    (shop / "nexus.toml").write_text("[risk]\ncaptial = 5\n")
    code, out, err = nexus("doctor")
    assert code == Exit.CHECK_FAILED
    assert re.search(r"^config +do +", out, re.MULTILINE)
    assert out.splitlines()[-1].startswith("config: nexus.toml: unknown setting risk.captial.")
    assert err.startswith("nexus: doctor: ")


def test_another_python_is_found(examined, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    ((check, found, do),) = examined()
    assert (check, do) == ("python", "Nexus needs Python 3.11 to 3.13.")
    assert found.startswith("Python 3.10.4 in ")


def test_what_a_package_lacks_is_found_line_by_line(examined, whole):
    whole.returncode, whole.stdout = 1, "dips 1.0 requires pony, which is not installed.\nx 2 has y 3.\n"
    advice = "Install what is missing, in the version it names."
    assert examined() == [("packages", line, advice) for line in whole.stdout.splitlines()]


def test_that_nothing_can_install_is_found(examined, monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda _: None)
    monkeypatch.setattr(environment, "which", lambda _: None)
    ((check, found, do),) = examined()
    assert (check, found) == ("packages", "neither pip nor uv is there")
    assert do.startswith("Install one")


def test_a_cache_that_cannot_be_written_is_found(examined, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compile, "_root", [])
    monkeypatch.setenv("NEXUS_CACHE_DIR", str(tmp_path / "file" / "cache"))
    ((check, found, do),) = examined()
    assert (check, "nexus-cache-" in found) == ("cache", True)
    assert do == "Set NEXUS_CACHE_DIR to a folder of yours, or each start compiles anew."


def test_little_room_is_found(examined, monkeypatch):
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, health.ROOM))
    ((check, found, do),) = examined()
    assert (check, found[-12:]) == ("runs", "1.0 GiB free")
    assert do.startswith("Make room, or name another folder with --out")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, health.ROOM + 1))
    assert examined() == []


def test_runs_that_cannot_be_kept_are_found_and_the_other_checks_are_made(examined, nexus, tmp_path):
    (tmp_path / "file").write_text("")
    ((check, _, do),) = examined("--out", tmp_path / "file" / "runs")
    assert check == "runs"
    assert do.endswith("the folder cannot be written. Name another with --out.")
    assert {line.split()[0] for line in nexus("doctor", "--out", tmp_path / "file")[1].splitlines()} >= set(
        CHECKS
    )


def test_runs_that_go_with_the_machine_are_found(examined, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    ((check, found, do),) = examined()
    assert (check, "nexus-runs-" in found) == ("runs", True)
    assert do == "Set NEXUS_HOME to a folder of yours."


def test_a_clock_that_is_behind_is_found(examined, monkeypatch, tmp_path):
    run = tmp_path / "nexus" / "runs" / "20260301-000000-abcd"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert examined() == []
    moment = time.time() + 7200
    os.utime(run / "run.json", (moment, moment))
    ((check, found, do),) = examined()
    assert check == "clock"
    assert re.fullmatch(r"the clock is 7,(199|200) s behind a file of ours", found)
    assert do == "Set the clock, or let it be set from the network."


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[risk]\ncapital = -5\n", "risk.capital was -5"),
        ("[run", "was not valid TOML"),
        ("[run]\nbars = 'many'\n", "run.bars was 'many'"),
    ],
)
def test_settings_that_do_not_stand_are_found(examined, shop, text, word):
    (shop / "nexus.toml").write_text(text)
    ((check, _, do),) = examined()
    assert check == "config"
    assert word in do


def test_a_lock_is_compared(examined, shop, install, path):
    install("test-box", {"hooks:box": "test_box"}, "x = 1\n")
    lock.write(shop / "nexus.lock")
    assert examined() == []
    (path / "test_box.py").write_text("x = 2\n")
    assert examined() == [
        ("config", "nexus.lock: differences: 1",
         "test-box 1.0 was changed after it was locked: test_box.py."),
    ]  # fmt: skip
    (shop / "nexus.lock").write_text("")
    ((check, _, do),) = examined()
    assert check == "config"
    assert do.endswith("Make it anew: nexus plugins lock.")


def test_broken_plugins_are_found_each_with_its_reason(examined, install):
    install("test-bad", {"strategies:bad": "test_bad:Bad", "commands:worse": "test_bad:app"}, "1 / 0\n")
    install("test-typo", {"hooks:typo": "test_typo"}, (
        "from nexus_core import hookimpl\n\n@hookimpl\ndef nexus_fil(run):\n    pass\n"
    ))  # fmt: skip
    install("test-not", {"gates:not": "test_not:x"}, "x = 1\n")
    found = {what: do for check, what, do in examined() if check == "plugins"}
    assert set(found) == {
        "strategies:bad is broken", "commands:worse is broken", "hooks:typo is broken", "gates:not is broken",
    }  # fmt: skip
    assert "ZeroDivisionError" in found["strategies:bad is broken"]
    assert found["hooks:typo is broken"].endswith("which is no hook. Did you mean nexus_fill?")
    assert "must be a class" in found["gates:not is broken"]


def test_a_blocked_plugin_is_neither_loaded_nor_broken(examined, shop, install):
    install("test-bad", {"strategies:bad": "test_bad:Bad"}, "1 / 0\n")
    (shop / "nexus.toml").write_text('[run]\nblocked = ["test-bad"]\n')
    assert examined() == []


def test_a_clash_is_found_until_one_is_blocked(examined, shop, install):
    text = "from nexus_core import Strategy\nclass Good(Strategy):\n    nexus_api = 1\n    category = 'x'\n"
    for name in "ab":
        install(f"test-{name}", {"strategies:twin": f"test_{name}:Good"}, text)
    assert [(found, do) for _, found, do in examined()] == [
        ("strategies:twin is broken", "also offered by test-b 1.0"),
        ("strategies:twin is broken", "also offered by test-a 1.0"),
    ]
    (shop / "nexus.toml").write_text('[run]\nblocked = ["test-b"]\n')
    assert examined() == []


# -- config check and schema --------------------------------------------------------------------------


def test_settings_that_fit(nexus, shop):
    assert nexus("config", "check") == (Exit.OK, "no settings file: defaults: all settings fit\n", "")
    (shop / "nexus.toml").write_text("[plugins.vwap]\nsettle = 30\n")
    assert nexus("config", "check") == (Exit.OK, "nexus.toml: all settings fit\n", "")
    code, out, _ = nexus("config", "check", "--json")
    assert (code, json.loads(out)) == (Exit.OK, {"path": "nexus.toml", "fits": True})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[plugins.vwap]\nsetle = 30\n", "vwap: unknown parameter setle. Did you mean settle?"),
        (
            "[plugins.vwap]\nsettle = -1\n",
            "vwap: parameter settle was -1, must be a whole number in [2, 1000].",
        ),
        ("[plugins.position-size]\nlimit = 'x'\n", "position-size: parameter limit"),
        ("[run]\nstrategies = ['vwpa']\n", "strategies:vwpa is not installed. Did you mean vwap?"),
        ("[risk]\ncapital = 'much'\n", "risk.capital was 'much'"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_whose_it_is(nexus, shop, text, line):
    (shop / "nexus.toml").write_text(text)
    code, out, err = nexus("config", "check")
    assert (code in (Exit.CONFIG, Exit.NOT_FOUND), out) == (True, "")
    assert err.startswith("nexus: ")
    assert line in err
    assert err.count("\n") == 1


def fits(value, schema):
    """Tell whether a value fits a schema, for the few words that ours uses."""
    words = {
        "$schema", "title", "description", "default", "type", "properties", "additionalProperties", "enum",
        "items", "uniqueItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems",
    }  # fmt: skip
    assert schema.keys() <= words, schema.keys() - words
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    kind = kinds.get(schema.get("type"), int | float)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return all(
            fits(each, known[key]) if key in known else fits(each, others) if others not in (True, False)
            else others for key, each in value.items()
        )  # fmt: skip
    if isinstance(value, list):
        alone = not schema.get("uniqueItems") or len(set(value)) == len(value)
        enough = len(value) >= schema.get("minItems", 0)
        return alone and enough and all(fits(each, schema["items"]) for each in value)
    if "enum" in schema and value not in schema["enum"]:
        return False
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    beyond = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    inside = (beyond[0] is None or value > beyond[0]) and (beyond[1] is None or value < beyond[1])
    return isinstance(value, str | bool) or (low <= value <= high and inside)


@pytest.fixture
def schema(nexus):
    code, out, err = nexus("config", "schema")
    assert (code, err) == (Exit.OK, "")
    return json.loads(out)


def test_every_default_fits_the_schema(schema):
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert fits(Settings().to_dict(), schema)
    named = {f"{group}.{key}" for group, each in schema["properties"].items()
             for key in each.get("properties", {})}  # fmt: skip
    assert named == {each.key for each in describe()}
    for each in describe():
        group, key = each.key.split(".")
        own = schema["properties"][group]["properties"][key]
        default = list(each.default) if isinstance(each.default, tuple) else each.default
        assert (own["default"], own["description"]) == (default, each.help)
        assert fits(own["default"], own)


@pytest.mark.parametrize(
    "tables",
    [
        {"risk": {"captial": 5}}, {"rsik": {}}, {"risk": {"capital": 0}}, {"risk": {"capital": "5"}},
        {"run": {"bars": 1.5}}, {"run": {"bars": True}}, {"run": {"symbols": "A"}},
        {"run": {"symbols": ["A", "A"]}}, {"run": {"symbols": [3]}}, {"performance": {"trace": "most"}},
        {"risk": {"stop_loss_pct": 1}}, {"risk": {"brackets": 1}}, {"plugins": {"vwap": 3}}, {"risk": 3},
        {"run": {"seed": 2**63}}, {"run": {"seed": -1}},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_settings_refuse_the_schema_refuses(schema, tables):
    from nexus_core.errors import ConfigError

    assert not fits(tables, schema)
    with pytest.raises(ConfigError):
        Settings.from_dict(tables)


@pytest.mark.parametrize(
    "tables",
    [
        {}, {"risk": {"capital": 5, "max_drawdown": 1}}, {"plugins": {"anything": {"at": ["all", 3]}}},
        {"run": {"symbols": ["A-USD"], "blocked": []}}, {"performance": {"trace": "orders"}},
        {"run": {"seed": 2**63 - 1}}, {"risk": {"breaker_loss": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_settings_take_the_schema_takes(schema, tables):
    assert fits(tables, schema)
    Settings.from_dict(tables)


def test_the_page_of_settings_says_what_the_schema_says(schema):
    rows = re.findall(r"^\| `([a-z_]+)\.([a-z_]+)` \| (.*?) \|(.*)$", SETTINGS_PAGE.read_text(), re.MULTILINE)
    assert [f"{group}.{key}" for group, key, *_ in rows] == [each.key for each in describe()]
    for group, key, default, rest in rows:
        own = schema["properties"][group]["properties"][key]
        assert json.loads(default.strip("`") or "null") == own["default"]
        assert own["description"] in rest


def test_a_warning_of_the_doctor_spoils_no_json(nexus, install):
    install("test-bad", {"hooks:bad": "test_bad"}, "1 / 0\n")
    log.setup()
    assert logging.getLogger("nexus").handlers
    json.loads(nexus("doctor", "--json")[1])
