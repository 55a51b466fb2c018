"""Commands called here, with a home of the test's own, and a shelf of plugins that read answers from rows."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from nexus_core import cli, plugins

SHELF = Path(__file__).parent / "shelf"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Give each test an empty home and folder, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith("NEXUS__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "fonts"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(autouse=True)
def own_messages():
    """Let no test leave its way of showing messages to the next."""
    logger = logging.getLogger("nexus")
    kept = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = kept[:2]
    logger.setLevel(kept[2])


@pytest.fixture
def nexus(capsys):
    """Return a function that runs a command: exit code, standard output, standard error."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(each) for each in arguments])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return call


@pytest.fixture
def told(nexus):
    """Return a function that runs a command with --json, which has to go well, and reads what it prints."""

    def call(*arguments):
        code, out, err = nexus(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def by_hand(tmp_path, monkeypatch, told):
    """Return a function that trades rows made by hand, and says what came of it."""
    monkeypatch.setenv("PYTHONPATH", str(SHELF))
    monkeypatch.setenv("HAND", str(tmp_path / "rows"))
    monkeypatch.syspath_prepend(SHELF)
    plugins.offers.cache_clear()

    def trade(rows, **settings):
        (tmp_path / "rows").write_bytes(rows.tobytes())
        chosen = {"run.strategies": "first,second", "run.symbols": "A-USD", "run.feed": "hand"}
        chosen |= {"risk.gates": "calm,routed,duplicate,capped"}
        chosen |= {name.replace("__", "."): value for name, value in settings.items()}
        return told("run", *(f"--set={name}={value}" for name, value in chosen.items()))

    yield trade
    plugins.offers.cache_clear()
    sys.modules.pop("nexus_test_hand", None)
