"""Compile what a run will use over the processors, so that the run itself finds it in the cache."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from nexus_core import log
from nexus_core.compile import JIT, is_warm
from nexus_core.config import Settings
from nexus_core.engine import Assembly, Progress, assemble

LEAST = 3
"""Strategies to be compiled from which on other processes are worth their start."""

_assembled: list[Assembly] = []


def compile_ahead(assembly: Assembly, progress: Progress) -> None:
    """Compile in other processes what is not in the cache, one for each processor; tell of each that is done.

    What cannot be compiled is left to the run, which says why; all of it, where no process can be started.
    """
    cold = [loop.name for loop in assembly.engine.loops if loop.entry is not None and not is_warm(loop.entry)]
    workers = min(os.cpu_count() or 1, len(cold))
    if not JIT or workers < 2 or len(cold) < LEAST:
        return
    progress(f"compiling {len(cold)} strategies in {workers} processes")
    try:
        _share(cold, workers, assembly.settings, progress)
    except (OSError, ImportError, RuntimeError) as error:  # the last is also a pool that broke
        log.info("they are compiled one by one: no process could be started (%s)", error)


def _share(cold: list[str], workers: int, settings: Settings, progress: Progress) -> None:
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (settings.to_dict(),)) as pool:
        try:
            named = {pool.submit(_warm, name): name for name in ["", *cold]}
            for number, each in enumerate(as_completed(named), 1):
                if each.exception() is None and named[each]:
                    progress(f"compiled {named[each]}, {number} of {len(named)}")
        except BaseException:  # whoever stops it does not wait for all the rest
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(settings: Mapping[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it ends at once, and without a word
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    _assembled.append(assemble(Settings.from_dict(settings)))


def _end_with(parent: Any) -> None:
    """End this process where the one that started it was killed: it would wait for work for ever."""
    parent.join()
    os._exit(1)


def _warm(name: str) -> None:
    """Compile a strategy; without a name all the rest, the feed first."""
    (assembly,) = _assembled
    loops = assembly.engine.loops
    if name:
        next(each for each in loops if each.name == name).warm()
        return
    assembly.feed.warm()
    for part in (assembly.engine.outcomes, assembly.engine.chain, assembly.engine.ledger):
        part.warm()
