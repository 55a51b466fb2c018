"""Compile what a run will use over the processors, so that the run itself finds it in the cache."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from nexus_core import log
from nexus_core.compile import JIT, is_warm
from nexus_core.config import Settings
from nexus_core.engine import Assembly, Progress, assemble

LEAST = 6
"""Parts to be compiled from which on other processes are worth their start: in an empty cache those of three
strategies, for outcomes, chain and ledger are parts too."""

_FEED = "the feed"

_assembled: list[Assembly] = []


def compile_ahead(assembly: Assembly, progress: Progress) -> list[str]:
    """Compile in other processes what is not in the cache, one for each processor; return what was compiled.

    What cannot be compiled is left to the run, which says why; all of it, where no process can be started.
    """
    cold = [name for name, part in assembly.engine.parts if not is_warm(part.entry)]
    workers, done = min(os.cpu_count() or 1, len(cold)), list[str]()
    if not JIT or workers < 2 or len(cold) < LEAST:
        return done
    progress(f"compiling {len(cold)} parts in {workers} processes")
    try:
        for name in _shared(cold, workers, assembly.settings):
            done.append(name)
            progress(f"compiled {name}, {len(done)} of {len(cold)}")
    except (OSError, ImportError, RuntimeError) as error:  # the last is also a pool that broke
        log.info("they are compiled one by one: no process could be started (%s)", error)
    return done


def _shared(cold: list[str], workers: int, settings: Settings) -> Iterator[str]:
    """Yield the parts that were compiled, as they are."""
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (settings.to_dict(),)) as pool:
        try:
            pool.submit(_warm, _FEED)  # what makes the rows of a market may take longest
            named = {pool.submit(_warm, name): name for name in cold}
            for each in as_completed(named):
                if each.exception() is None:
                    yield named[each]
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
    (assembly,) = _assembled
    (assembly.feed if name == _FEED else dict(assembly.engine.parts)[name]).warm()
