"""Many cold strategies are compiled in processes of their own, and a run finds them in the cache."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_core import config
from nexus_core.engine import assemble
from nexus_core.upkeep import ahead

NEXUS = Path(sys.executable).with_name("nexus")
NAMES = ("vwap", "ema-cross", "fall-step")


def compiled(cache):
    given = ["--set", f"run.strategies={','.join(NAMES)}", "--json"]
    done = subprocess.run(
        [NEXUS, "compile", *given],
        env={**os.environ, "NEXUS_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)["compiled"], done.stderr


@pytest.mark.jit
def test_many_are_compiled_side_by_side_and_found_afterwards(tmp_path):
    names, told = compiled(tmp_path)
    if (os.cpu_count() or 1) > 1:
        assert "compiling 3 strategies in" in told
        assert "of 4" in told
    assert set(NAMES) <= set(names)
    assert compiled(tmp_path)[0] == []


@pytest.mark.jit
def test_few_are_left_to_the_run(monkeypatch):
    monkeypatch.setattr(ahead, "ProcessPoolExecutor", None)  # would raise
    monkeypatch.setattr(ahead, "is_warm", lambda _: False)
    settings = config.Settings.from_dict({"run": {"strategies": ["vwap", "ema-cross"]}})
    ahead.compile_ahead(assemble(settings), pytest.fail)


@pytest.mark.jit
def test_what_is_warm_starts_no_process(monkeypatch):
    monkeypatch.setattr(ahead, "ProcessPoolExecutor", None)
    monkeypatch.setattr(ahead, "is_warm", lambda _: True)
    settings = config.Settings.from_dict({"run": {"strategies": list(NAMES)}})
    ahead.compile_ahead(assemble(settings), pytest.fail)
