"""Many cold strategies are compiled in processes of their own, and a run finds them in the cache."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
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
        assert "compiling 6 parts in" in told
        assert "6 of 6" in told
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


@pytest.mark.jit
@pytest.mark.parametrize("error", [OSError(38, "no semaphores"), BrokenProcessPool("ended abruptly")])
def test_where_no_process_can_be_started_it_is_left_to_the_run(monkeypatch, error):
    def refuses(*_):
        raise error

    monkeypatch.setattr(ahead, "ProcessPoolExecutor", refuses)
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(ahead, "is_warm", lambda _: False)
    settings = config.Settings.from_dict({"run": {"strategies": list(NAMES)}})
    told = []
    ahead.compile_ahead(assemble(settings), told.append)
    assert told == ["compiling 6 parts in 2 processes"]


@pytest.mark.jit
def test_whoever_stops_it_does_not_wait_for_the_rest(monkeypatch):
    def stops(*_):
        raise KeyboardInterrupt

    told = []
    monkeypatch.setattr(ahead, "ProcessPoolExecutor", lambda *_: Pool(told))
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(ahead, "is_warm", lambda _: False)
    monkeypatch.setattr(ahead, "as_completed", stops)
    settings = config.Settings.from_dict({"run": {"strategies": list(NAMES)}})
    with pytest.raises(KeyboardInterrupt):
        ahead.compile_ahead(assemble(settings), lambda _: None)
    assert told == [{"wait": False, "cancel_futures": True}]


@pytest.mark.skipif(sys.platform == "win32", reason="no signal asks whether a process is there")
def test_processes_end_with_the_one_that_started_them():
    settings = config.Settings.from_dict({"run": {"strategies": ["fall-step"]}}).to_dict()
    text = f"""
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from nexus_core.upkeep import ahead
pool = ProcessPoolExecutor(1, get_context("spawn"), ahead._begin, ({settings!r},))
print(pool.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, timeout=60)
    pid, deadline = int(done.stdout), time.monotonic() + 10
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_there(pid)


def is_there(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Pool:
    def __init__(self, told):
        self.told = told

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, _, name):
        return name

    def shutdown(self, **how):
        self.told.append(how)
