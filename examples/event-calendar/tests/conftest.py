"""A calendar to write, and settings of no one else."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("NEXUS__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def calendar(tmp_path):
    """Return a function that writes a calendar of these times, and returns its path."""

    def write(*times):
        path = tmp_path / "calendar.csv"
        path.write_text("\n".join(["time,name", *(f"{each},news" for each in times), ""]))
        return path

    return write
