from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from nexus_core import cli, plugins

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
    logger.handlers, logger.propagate = kept[:2]
    logger.setLevel(kept[2])


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
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of packages, first on the path of this process and of those it starts."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    before = set(sys.modules)
    plugins.offers.cache_clear()
    yield folder
    plugins.offers.cache_clear()
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def install(path: Path) -> Callable[..., None]:
    """Return a function that lays down a distribution with a module and its entry points."""

    def lay(distribution, points, text=None, version="1.0", summary="A package of a test.", under=path):
        stem = distribution.replace("-", "_")
        info = under / f"{stem}-{version}.dist-info"
        info.mkdir(parents=True)
        about = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(about + (f"Summary: {summary}\n" if summary else ""))
        groups = {}
        for key, value in points.items():
            kind, name = key.split(":")
            groups.setdefault(kind, []).append(f"{name} = {value}")
        lines = [line for kind, rows in groups.items() for line in (f"[nexus.{kind}]", *rows)]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        if text is not None:
            (under / f"{stem}.py").write_text(text)
        plugins.offers.cache_clear()

    return lay


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
def lively(sets: Callable[..., list[str]], request: pytest.FixtureRequest) -> Callable[..., list[str]]:
    """Return a function that gives the options of a lively run, of the module's BARS unless told."""

    def made(bars: int = request.module.BARS, **changes: Any) -> list[str]:
        return [f"--set={each}" for each in sets(bars, **changes)]

    return made


@pytest.fixture
def nexus(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str, str]]:
    """Return a function that runs a command here: exit code, standard output, standard error."""

    def call(*arguments: Any) -> tuple[Any, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(each) for each in arguments])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return call


@pytest.fixture
def said_in_json(nexus: Callable[..., tuple[Any, str, str]]) -> Callable[..., Any]:
    """Return a function that runs a command with --json, which has to go well, and reads what it prints."""

    def call(*arguments: Any) -> Any:
        code, out, err = nexus(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


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
