"""What would keep a run from going well, and what to do about it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nexus_core import plugins, runs
from nexus_core.config import Run
from nexus_core.errors import NexusError
from nexus_core.upkeep import homes, lock
from nexus_core.upkeep.environment import installer
from nexus_core.upkeep.sources import load
from nexus_core.upkeep.states import described

ROOM = 1 << 30
"""Bytes of free disk below which it warns: a long trace takes some hundred megabytes."""

Findings = Iterator[tuple[str, str, str]]
"""What was looked at, what was found, and what to do about it; nothing to do where all is well."""


def findings(config: Path | None, out: Path | None) -> Findings:
    """Look at everything."""
    yield from _python()
    yield from _packages()
    yield from _cache()
    yield from _runs(out)
    yield from _clock(out)
    run = Run()
    try:
        found = load(config)
        run = found.settings.run
        yield "config", str(found.path or "no settings file: defaults"), ""
        where = lock.beside(found.path)
        if where.exists():
            differing = lock.differences(where)
            yield "config", f"{where}: differences: {len(differing)}", " ".join(differing)
    except NexusError as error:
        yield "config", "cannot be used as it is", str(error)
    yield from _plugins(run)


def _python() -> Findings:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield "python", f"Python {version} in {sys.prefix}", "" if fits else "Nexus needs Python 3.11 to 3.13."


def _packages() -> Findings:
    command = installer("check")
    if not command:
        advice = "Install one, or nexus plugins install has nothing to call."
        yield "packages", "neither pip nor uv is there", advice
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        yield "packages", "every package has what it needs", ""
        return
    for line in (done.stdout or done.stderr).strip().splitlines():
        yield "packages", line, "Install what is missing, in the version it names."


def _cache() -> Findings:
    from nexus_core.compile import cache_root

    lasting = not cache_root().name.startswith("nexus-cache-")
    advice = "" if lasting else "Set NEXUS_CACHE_DIR to a folder of yours, or each start compiles anew."
    yield "cache", f"compiled code in {cache_root()}", advice


def _runs(out: Path | None) -> Findings:
    try:
        home = homes.home(out)
    except NexusError as error:
        yield "runs", "cannot be used as it is", str(error)
        return
    if home.name.startswith("nexus-runs-"):
        yield "runs", f"runs in {home}, which goes with the machine", "Set NEXUS_HOME to a folder of yours."
    free = shutil.disk_usage(home).free
    advice = "" if free > ROOM else "Make room, or name another folder with --out: a journal needs it."
    yield "runs", f"runs in {home}, {free / ROOM:,.1f} GiB free", advice


def _clock(out: Path | None) -> Findings:
    ours = [Path(__file__)]
    with suppress(NexusError):  # the newest run was made after all others
        ours.append(homes.open_run(None, out) / runs.MANIFEST)
    behind = max(each.stat().st_mtime for each in ours) - time.time()
    advice = "Set the clock, or let it be set from the network." if behind > 1 else ""
    said = f"{behind:,.0f} s behind a file of ours" if behind > 1 else "not behind any file of ours"
    yield "clock", f"the clock is {said}", advice


def _plugins(run: Run) -> Findings:
    found = [described(each, run, anew=True) for each in plugins.offers()]
    broken = [each for each in found if each["state"] == "broken"]
    yield "plugins", f"{len(found) - len(broken)} of {len(found)} plugins can be used", ""
    for each in broken:
        yield "plugins", f"{each['kind']}:{each['name']} is broken", each["reason"]
