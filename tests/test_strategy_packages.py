"""What holds for each of the strategies that come with Nexus, as packages and in a run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nexus_core import calibration, plugins
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/strategies/*/pyproject.toml"))
NAMES = [each.name for each in FOLDERS]
LINES = 230
"""Lines of a strategy's module, with its docstrings."""

each_of_them = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def module(folder):
    return folder / f"nexus_strategy_{folder.name.replace('-', '_')}"


def strategy(folder):
    return plugins.load("strategies", folder.name)()


def test_there_are_twenty():
    assert len(NAMES) == 20


@each_of_them
def test_a_module_can_be_read_in_one_sitting(folder):
    for path in module(folder).glob("*.py"):
        assert len(path.read_text().splitlines()) <= LINES


@each_of_them
def test_its_docstring_names_a_source(folder):
    assert re.search(r"\((18|19|20)\d\d\)|\b(18|19|20)\d\d\b", strategy(folder).__module__ and _doc(folder))


def _doc(folder):
    return (module(folder) / "__init__.py").read_text().partition("from __future__")[0]


@each_of_them
def test_it_says_what_its_tests_hold_it_to(folder):
    targets = strategy(folder).targets
    assert {"within", "hits", "false"} <= targets.keys()
    tests = (folder / "tests" / f"test_{folder.name.replace('-', '_')}.py").read_text()
    assert re.search(r"^def scenario\(seed", tests, re.M)
    assert re.search(r"^def null\(seed", tests, re.M)


@each_of_them
def test_the_readme_names_every_parameter_with_its_default_and_bounds(folder):
    text = (folder / "README.md").read_text()
    for name, each in strategy(folder).parameters().items():
        row = re.search(rf"^\| `{name}` \| (\S+) \| (\S+) to (\S+) \| (.+) \|$", text, re.MULTILINE)
        assert row is not None, name
        told = [float(value.replace(",", "")) for value in row.groups()[:3]]
        assert told == [each.default, each.low, each.high], name
        assert row[4] == each.help, name


@each_of_them
def test_it_blends_where_it_names_a_slot(folder):
    made = strategy(folder)
    assert bool(made.slot) == (made.blend is not None)
    if made.blend is not None:
        row = np.rec.array(
            [(100.0, 101.0, 99.0, 100.5)], dtype=[(n, "f8") for n in ("open", "high", "low", "close")]
        )
        assert made.blend(row[0], 1, 0.6, np.nan) == (1, 0.6)
        signal, score = made.blend(row[0], 1, 0.6, 1.0)
        assert signal == 1
        assert score > 0.6


@each_of_them
def test_its_tables_are_for_what_it_is_now(folder):
    """A table that was fitted on other parameters, another horizon or version would never be used."""
    path, made = module(folder) / calibration.FILE, strategy(folder)
    version = plugins.find("strategies", folder.name).version
    for table in calibration.read(path):
        facts = table.facts
        wanted = calibration.asked(made, version, facts["population"], facts["interval"])
        assert table.fits(wanted)
        assert facts["signals"] >= 50
        assert facts["split"] == "calibrate" or facts["split"].startswith("seeds ")


@each_of_them
def test_its_figures_are_published(folder):
    measured = json.loads((ROOT / "docs/strategies/measured.json").read_text())["strategies"]
    assert set(measured[folder.name]) == {"synthetic", "choose", "final"}
    assert (ROOT / f"docs/strategies/{folder.name}.png").is_file()
    assert "## Measured" in (folder / "README.md").read_text()


def inactive(names, **settings):
    run = {"strategies": names, "symbols": ["BTC-USD"], **settings.pop("run", {})}
    try:
        engine = assemble(Settings.from_dict({"run": run, **settings})).engine
    except ConfigError as error:  # none of them can be fed
        return {name: str(error) for name in names}
    return {each.name: each.reason for each in engine.inactive}


@each_of_them
def test_on_bars_alone_it_is_fed_or_says_what_it_needs(folder):
    said, needs = inactive([folder.name]), strategy(folder).needs
    assert (folder.name in said) == bool(needs & {"trade", "book"})
    for need in needs & {"trade", "book"}:
        assert "needs" in said[folder.name]
        assert need in said[folder.name]


def test_where_volumes_are_unknown_those_that_need_them_say_so(tmp_path):
    lines = [f"{1_700_000_000 + 60 * n},100,101,99,100," for n in range(200)]
    (tmp_path / "x.csv").write_text("\n".join(["ts,open,high,low,close,volume", *lines]) + "\n")
    said = inactive(
        [*NAMES, "ema-cross"],
        run={"feed": "files", "strategies": [*NAMES, "ema-cross"]},
        plugins={"files": {"path": str(tmp_path / "x.csv")}},
    )
    for folder in FOLDERS:
        needs = strategy(folder).needs
        assert (folder.name in said) == bool(needs & {"volume", "trade", "book"}), folder.name
        if "volume" in needs:
            assert "volume" in said[folder.name]
