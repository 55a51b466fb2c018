from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pathlib import Path

settings.register_profile("nexus", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("nexus")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty home and no settings from outside; compiled code stays shared."""
    for name in [name for name in os.environ if name.startswith("NEXUS__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what only compiled steps can show, where nothing is compiled."""
    if os.environ.get("NEXUS_JIT") != "0":
        return
    for item in items:
        if item.get_closest_marker("jit"):
            item.add_marker(pytest.mark.skip(reason="NEXUS_JIT=0: nothing is compiled"))
