from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from nexus_core import plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

settings.register_profile("nexus", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("nexus")

SHELF = Path(__file__).parent / "shelf"
TRADING_ON = {
    "risk.max_daily_loss": 1,
    "risk.max_weekly_loss": 1,
    "risk.max_drawdown": 1,
    "risk.breaker_loss": 0,
}
"""Settings under which losses end no trading."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty home and no settings from outside; compiled code stays shared."""
    for name in [name for name in os.environ if name.startswith("NEXUS__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def own_messages() -> Iterator[None]:
    """Let no test leave its way of showing messages to the next."""
    logger = logging.getLogger("nexus")
    kept = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate, logger.level = kept


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install the plugins of the shelf, here and in processes to come; return their module."""
    monkeypatch.setenv("PYTHONPATH", str(SHELF))
    monkeypatch.syspath_prepend(SHELF)
    plugins.offers.cache_clear()
    import nexus_test_shelf

    yield nexus_test_shelf
    plugins.offers.cache_clear()
    del sys.modules["nexus_test_shelf"]


@pytest.fixture
def sets(shelf: Any) -> Callable[..., list[str]]:
    """Return a function that gives the settings of a lively run as section.key=value, changed by keywords."""
    run = {"run.feed": "walk", "run.strategies": "swing", "run.symbols": "A-USD,B-USD,C-USD"}
    gates = {"risk.gates": "duplicate,calm,position-size,min-size", "risk.min_confidence": 0.5}

    def made(bars: int, **changes: Any) -> list[str]:
        changed = {key.replace("__", "."): value for key, value in changes.items()}
        chosen = {**TRADING_ON, **run, **gates, "run.bars": bars} | changed
        return [f"{key}={value}" for key, value in chosen.items()]

    return made


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory where there is one: waiting for a disk proves nothing."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Lay down the rights of root, which no folder keeps out; return a folder of the user that is left."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, 65534, 65534)
        os.setresuid(65534, 65534, 0)
        try:
            yield folder
        finally:
            os.setresuid(0, 0, 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what only compiled steps can show, where nothing is compiled."""
    if os.environ.get("NEXUS_JIT") != "0":
        return
    for item in items:
        if item.get_closest_marker("jit"):
            item.add_marker(pytest.mark.skip(reason="NEXUS_JIT=0: nothing is compiled"))
