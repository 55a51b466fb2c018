"""Commands called here, with a home of the test's own."""

from __future__ import annotations

import logging
import os

import pytest

from nexus_core import cli


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Give each test an empty home and folder, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith("NEXUS__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
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
