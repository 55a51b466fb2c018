"""A package that `nexus new` writes is whole: it installs, is found, does its work and passes its tests."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import cli, plugins, templates
from nexus_core.errors import Exit, UsageError
from nexus_core.records import ABSENT
from nexus_core.styles import loop
from nexus_core.testing import rows

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    ("strategy", "dip", "step"),
    ("strategy", "dip-window", "window"),
    ("strategy", "dip-classic", "classic"),
    *((kind, "dip", None) for kind in ("gate", "feed", "broker", "features", "command", "listener")),
]
EVERY = pytest.mark.parametrize(("kind", "name", "style"), PACKAGES)
SITE = "import site; site.addsitedir({0!r})\n"


def nexus(*arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(each) for each in arguments])
    return stop.value.code


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def offered(folder):
    """Return group, name and value of the entry point of a package."""
    ((group, points),) = project(folder)["entry-points"].items()
    ((name, value),) = points.items()
    return group, name, value


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the folder that a package of every kind and style was written into."""
    into = tmp_path_factory.mktemp("written")
    for kind, name, style in PACKAGES:
        assert templates.write(kind, name, style, into) == into / f"nexus-{kind}-{name}"
    return into


@pytest.fixture(scope="module")
def python(written, tmp_path_factory):
    """Return the Python of an environment of its own, in which all packages are installed for editing."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    site = next(home.glob("[Ll]ib*/**/site-packages"))
    (site / "base.pth").write_text(SITE.format(str(Path(pytest.__file__).parent.parent)))
    for folder in written.iterdir():
        about, (group, name, value) = project(folder), offered(folder)
        stem = about["name"].replace("-", "_")
        info = site / f"{stem}-{about['version']}.dist-info"
        info.mkdir()
        lines = [f"{key}: {about[key.lower()]}" for key in ("Name", "Version")]
        lines += ["Metadata-Version: 2.4", f"Summary: {about['description']}"]
        readme = (folder / "README.md").read_text()
        (info / "METADATA").write_text("\n".join([*lines, "", readme]))
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
        (site / f"{stem}.pth").write_text(f"{folder}\n")
    return next(each for each in (home / "bin/python", home / "Scripts/python.exe") if each.exists())


def said_by(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def installed(python):
    """Return a function that calls nexus where the packages are installed, and reads the JSON it prints."""

    def call(*arguments):
        start = "import sys; from nexus_core.cli import main; main(sys.argv[1:])"
        return json.loads(said_by([python, "-c", start, *map(str, arguments), "--json"]))

    return call


@pytest.fixture
def classes(written, monkeypatch):
    """Return the strategies of the three styles by name, imported here for one test."""
    found = {}
    for kind, name, style in PACKAGES:
        if style:
            monkeypatch.syspath_prepend(written / f"nexus-{kind}-{name}")
            module, _, attribute = offered(written / f"nexus-{kind}-{name}")[2].partition(":")
            found[name] = getattr(importlib.import_module(module), attribute)
    yield found
    for each in found.values():
        del sys.modules[each.__module__]


# -- what is written -----------------------------------------------------------------------------------


@EVERY
def test_a_package_has_all_its_files(written, kind, name, style):
    folder, snake = written / f"nexus-{kind}-{name}", name.replace("-", "_")
    module = f"nexus_{kind}_{snake}"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".github/workflows/test.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        f"{module}/__init__.py",
        f"{module}/py.typed",
        f"tests/test_{snake}.py",
    }
    texts = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert not [text for text in texts if re.search(r"\$\{?[a-z]|MODULE|NAME\b", text)]


@EVERY
def test_the_project_file_says_what_is_offered_and_needed(written, kind, name, style):
    folder = written / f"nexus-{kind}-{name}"
    about, (group, key, value) = project(folder), offered(folder)
    assert (about["name"], about["license"], about["readme"]) == (folder.name, "MIT", "README.md")
    assert about["requires-python"] == ">=3.11"
    classic = ["nexus-classic>=0.1,<0.2"] if style == "classic" else []
    assert about["dependencies"] == [*classic, "nexus-core>=0.1,<0.2"]
    assert about["optional-dependencies"] == {"test": ["nexus-core[testing]>=0.1,<0.2"]}
    assert (group.removeprefix("nexus."), key) in {(each, name) for each in plugins.KINDS}
    assert value.partition(":")[0] == folder.name.replace("-", "_")


def test_the_license_is_of_this_year_and_the_authors(written):
    text = (written / "nexus-gate-dip" / "LICENSE").read_text()
    assert text.startswith("MIT License\n")
    assert f"Copyright (c) {date.today().year} The authors of nexus-gate-dip\n" in text


def test_the_workflow_tests_every_python_that_the_kernel_runs_on(written):
    text = (written / "nexus-feed-dip" / ".github/workflows/test.yml").read_text()
    assert 'python: ["3.11", "3.12", "3.13"]' in text
    assert "python-version: ${{ matrix.python }}" in text


@EVERY
def test_the_readme_names_the_plugin_and_every_parameter_with_its_default_and_bounds(
    written, kind, name, style
):
    folder = written / f"nexus-{kind}-{name}"
    module, _, attribute = offered(folder)[2].partition(":")
    text = (folder / "README.md").read_text()
    assert f"`{name}`" in text or f"`nexus {name}`" in text
    made = runpy.run_path(str(folder / module / "__init__.py"))
    declared = getattr(made.get(attribute), "parameters", dict)()
    table = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) to (\S+) \| (.+) \|$", text, re.MULTILINE)
    shown = {key: [*(float(each.replace(",", "")) for each in rest[:3]), rest[3]] for key, *rest in table}
    assert shown == {key: [each.default, each.low, each.high, each.help] for key, each in declared.items()}


def test_the_packages_keep_to_the_style_of_this_house(written):
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    common = ["--isolated", "--line-length", str(rules["line-length"]), "--target-version", "py311"]
    chosen = ["--select", ",".join(rules["lint"]["select"])]
    chosen += ["--ignore", ",".join([*rules["lint"]["ignore"], "ANN"]), "--per-file-ignores", "tests/*:D"]
    for folder in written.iterdir():
        said_by([sys.executable, "-m", "ruff", "check", "--no-cache", *common, *chosen, "."], cwd=folder)
        said_by([sys.executable, "-m", "ruff", "format", "--no-cache", "--check", *common, "."], cwd=folder)


@pytest.mark.parametrize(
    ("kind", "name", "made"),
    [
        ("strategy", "my-dip", "MyDip"),
        ("strategy", "RSI-2x", "Rsi2x"),
        ("strategy", "none", "NoneStrategy"),
        ("strategy", "param", "ParamStrategy"),
        ("gate", "gate", "GateGate"),
        ("feed", "chunk", "ChunkFeed"),
        ("feed", "path", "PathFeed"),
        ("broker", "broker", "BrokerBroker"),
    ],
)
def test_the_class_is_named_after_the_plugin_and_hides_nothing_it_uses(tmp_path, kind, name, made):
    folder = templates.write(kind, name, None, tmp_path)
    assert offered(folder)[1] == name.lower()
    module, _, attribute = offered(folder)[2].partition(":")
    assert attribute == made
    found = runpy.run_path(str(folder / module / "__init__.py"))[attribute]
    assert found.nexus_api == 1
    assert found().params


@settings(max_examples=30)
@given(
    st.sampled_from(PACKAGES),
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,9}(-[A-Za-z0-9]{1,9}){0,2}", fullmatch=True),
)
def test_every_fit_name_makes_files_that_can_be_read(package, name):
    with tempfile.TemporaryDirectory() as into:
        folder = templates.write(package[0], name, package[2], Path(into))
        assert offered(folder)[1] == name.lower()
        for path in folder.rglob("*.py"):
            compile(path.read_text(), path.name, "exec")


# -- what the command says ------------------------------------------------------------------------------


def test_the_command_writes_a_package_here_and_says_what_to_type_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert nexus("new", "strategy", "My-Dip") == Exit.OK
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "wrote nexus-strategy-my-dip:"
    assert "  nexus_strategy_my_dip/__init__.py" in said
    assert said[-4:] == [
        "next:",
        "  cd nexus-strategy-my-dip",
        "  pip install -e .",
        "  nexus plugins check my-dip",
    ]
    assert "def step(" in (tmp_path / "nexus-strategy-my-dip/nexus_strategy_my_dip/__init__.py").read_text()


def test_the_files_come_as_json_and_a_missing_place_is_made(tmp_path, capsys):
    into = tmp_path / "some where"
    assert nexus("new", "strategy", "dip", "--style", "window", "--into", into, "--json") == Exit.OK
    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == str(into / "nexus-strategy-dip")
    assert said["files"] == sorted(said["files"])
    assert len(said["files"]) == 8
    assert all((into / "nexus-strategy-dip" / each).is_file() for each in said["files"])
    assert said["next"][0] == f"cd '{into}/nexus-strategy-dip'"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["stratgy", "dip"], "kind was 'stratgy', must be one of strategy, gate, .*Did you mean strategy?"),
        (["gate", "my_dip"], "name was 'my_dip', must be letters, digits and single hyphens, a letter first"),
        (["gate", "dip", "--style", "step"], "style was 'step', but a gate has no styles"),
        (
            ["strategy", "dip", "--style", "windwo"],
            "style was 'windwo', must be one of .*Did you mean window?",
        ),
        (["feed", "there"], "nexus-feed-there is there already. Choose another name"),
        (["feed", "dip", "--into", "file"], "nexus-feed-dip cannot be written .* Choose another place"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, arguments, what
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nexus-feed-there").mkdir()
    (tmp_path / "file").write_text("")
    assert nexus("new", *arguments) == Exit.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(f"nexus: new: .*{what}.*\n", said.err)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "nexus-feed-there"]


@pytest.mark.parametrize("name", ["", "-dip", "dip-", "my--dip", "2dip", "my.dip", "../dip", "dïp", "dip\n"])
def test_a_name_that_no_distribution_can_have_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="new: name was"):
        templates.write("strategy", name, None, tmp_path)
    assert not list(tmp_path.iterdir())


# -- strategies: what the contract asks, by other means ---------------------------------------------------


def market(size=400):
    """Return bars of a walk in steps of 1/8, so that turning it over is exact; some prices are unknown."""
    draw = np.random.default_rng(11)
    closes = 1000 + np.cumsum(draw.integers(-8, 9, size)) / 8
    made = rows(closes)
    made["high"] += draw.integers(0, 9, size) / 8
    made["low"] -= draw.integers(0, 9, size) / 8
    for place in (5, 90, 91, 200):
        for name in ("open", "high", "low", "close", "volume"):
            made[name][place] = np.nan
    return made


def turned(bars):
    """Return bars upside down about their first close."""
    made, twice = bars.copy(), 2 * bars["close"][0]
    for name, other in (("open", "open"), ("close", "close"), ("high", "low"), ("low", "high")):
        made[name] = twice - bars[other]
    return made


def answers(kind, bars, cuts=(), **params):
    work = loop("dip", kind(**{"window": 20, "depth": 4.0, **params}), ["BTC-USD"])
    signals, scores = np.zeros(len(bars), np.int8), np.zeros(len(bars))
    for first, last in pairwise([0, *cuts, len(bars)]):
        work.run(bars, np.array([first]), np.array([last]), signals, scores)
    assert work.faults() == 0
    return signals.tolist(), scores.tolist()


def test_the_three_styles_are_one_strategy(classes):
    bars = market()
    step, window, classic = (answers(classes[name], bars) for name in ("dip", "dip-window", "dip-classic"))
    assert {-1, 0, 1} <= set(step[0])
    assert step[0] == window[0] == classic[0]
    assert step[1] == pytest.approx(window[1], rel=1e-12)
    assert step[1] == pytest.approx(classic[1], rel=1e-12)


@pytest.mark.parametrize("name", ["dip", "dip-window", "dip-classic"])
def test_a_strategy_turns_with_the_market_and_knows_no_blocks(classes, name):
    bars = market()
    signals, scores = answers(classes[name], bars)
    other = answers(classes[name], turned(bars))
    assert [each if each == ABSENT else -each for each in signals] == other[0]
    assert scores == other[1]
    assert answers(classes[name], bars, cuts=range(1, 400, 7)) == (signals, scores)
    assert answers(classes[name], bars[:300]) == (signals[:300], scores[:300])


@pytest.mark.parametrize("name", ["dip", "dip-window", "dip-classic"])
def test_a_market_that_stands_still_gives_no_signal(classes, name):
    signals, scores = answers(classes[name], rows([100.0] * 60))
    assert set(signals) == {ABSENT, 0}
    assert set(scores) == {0.0}


# -- installed, and at work -------------------------------------------------------------------------------


def test_every_package_is_found_as_what_it_says(installed):
    found = {(each["kind"], each["name"]): each for each in installed("plugins", "list")}
    for kind, name, _ in PACKAGES:
        each = found[templates.KINDS[kind].group, name]
        assert (each["distribution"], each["version"]) == (f"nexus-{kind}-{name}", "0.1.0")
        assert each["summary"] == templates.KINDS[kind].summary


@pytest.mark.parametrize("name", ["dip", "dip-window", "dip-classic"])
def test_a_strategy_trades(installed, name):
    result = installed("run", "--plugins", name, "--symbols", "BTC-USD", "--bars", 2000)
    assert (result["strategies"], result["inactive"], result["faults"]) == ([name], {}, {})
    assert result["ticks"] == 2000
    assert result["approved"] > 10


def test_a_gate_judges_spreads(installed):
    run = "run", "--plugins", "dip-window", "--symbols", "BTC-USD", "--bars", 2000
    gates = "--set", "risk.gates=dip,duplicate"
    assert installed(*run, *gates)["approved"] > 10
    shut = installed(*run, *gates, "--set", "plugins.dip.limit=0")
    assert shut["approved"] == 0
    assert shut["refused_by"]["dip (layer 1)"] > 10


def test_a_feed_plays_its_sample_and_then_the_files_of_a_folder(installed, tmp_path, monkeypatch):
    run = "run", "--feed", "dip", "--plugins", "dip-window", "--symbols", "A-USD,B-USD", "--bars", 2000
    sample = installed(*run)
    assert (sample["ticks"], sample["finished"]) == (1000, True)
    assert sample["approved"] > 10
    monkeypatch.setenv("DIP_FOLDER", str(tmp_path))
    head = "time,open,high,low,close,volume"
    for symbol, close in (("A-USD", 10), ("B-USD", 20)):
        lines = [f"2026-03-02T00:{n:02}:00Z,{close},{close},{close},{close},1" for n in range(1, 40)]
        (tmp_path / f"{symbol}.csv").write_text("\n".join([head, *lines]))
    assert installed(*run)["ticks"] == 39


def test_a_broker_takes_its_fees_and_a_command_adds_them_up(installed):
    options = "--plugins", "dip-window", "--symbols", "BTC-USD", "--bars", 2000
    result = installed("run", "--broker", "dip", *options)
    told = installed("dip")
    assert told["run"] == result["run"]
    (cost,) = told["costs"]
    assert (cost["symbol"], cost["fills"]) == ("BTC-USD", result["fills"])
    assert cost["fees"] == pytest.approx(result["fees"])
    assert 2 < cost["basis_points"] <= 5.000001


def test_a_listener_hears_alerts_and_fills(python, tmp_path, monkeypatch):
    told = "from nexus_core.listeners import installed; heard = installed(); assert not heard.broken; "
    told += "heard.call('nexus_alert', run='r1', title='paused', text='by hand')"
    said_by([python, "-c", told])
    line = Path(os.environ["NEXUS_HOME"], "dip.jsonl").read_text()
    assert json.loads(line) == {"run": "r1", "what": "alert", "title": "paused", "text": "by hand"}


@pytest.mark.jit
def test_every_package_passes_its_own_tests(python, written):
    folders = [written / f"nexus-{kind}-{name}" / "tests" for kind, name, _ in PACKAGES]
    options = "-q", "-W", "error", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", written
    said_by([python, "-m", "pytest", *options, *folders], cwd=written)


# -- on its way to others -----------------------------------------------------------------------------------


@pytest.fixture
def uv():
    """Return the program that builds packages, where there is one that needs no network for it."""
    found = shutil.which("uv", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.tools/bin'}")
    told = found and said_by([found, "--version"])
    if not told or not told.startswith("uv 0.13."):
        pytest.skip("needs uv 0.13, which is its own build backend")
    return found


def wheel(uv, folder, out):
    said_by(
        [uv, "build", "--offline", "--wheel", "--out-dir", out, folder],
        env={**os.environ, "UV_NO_CACHE": "1"},
    )
    (made,) = (
        out.glob(f"{folder.name.replace('-', '_')}-*.whl") if folder != ROOT else out.glob("nexus_core-*.whl")
    )
    return set(zipfile.ZipFile(made).namelist())


def test_the_kernels_wheel_holds_every_template(uv, tmp_path):
    texts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nexus_core/templates").rglob("*.txt")}
    assert len(texts) > 20
    assert texts <= wheel(uv, ROOT, tmp_path)


@EVERY
def test_a_package_builds_into_a_wheel(uv, written, tmp_path, kind, name, style):
    module = f"nexus_{kind}_{name.replace('-', '_')}"
    files = wheel(uv, written / f"nexus-{kind}-{name}", tmp_path)
    assert {
        f"{module}/__init__.py",
        f"{module}/py.typed",
        f"{module}-0.1.0.dist-info/licenses/LICENSE",
    } <= files
    assert not [each for each in files if "tests" in each]
