"""Where runs live, which one is meant, and whether it is going."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from nexus_core import folders, log
from nexus_core.errors import JournalError, NotFoundError, hint
from nexus_core.runs import MANIFEST


def home(out: Path | None = None) -> Path:
    """Return the folder for new runs, made if need be.

    It is `out`, else `NEXUS_HOME/runs`, else the user's data folder, else a temporary one.
    """
    candidates = _candidates(out)
    fit = next((folder for folder in candidates if _is_writable(folder)), None)
    if fit is None and out is not None:
        what = "runs cannot be kept there, the folder cannot be written"
        raise JournalError(f"{out}: {what}. Name another with --out.")
    if fit is None:
        fit = Path(tempfile.mkdtemp(prefix="nexus-runs-"))
        log.warning("no folder for runs can be written: %s goes with the machine. Set NEXUS_HOME.", fit)
    elif fit != candidates[0]:
        log.warning("%s cannot be written: this run is kept in %s.", candidates[0], fit)
    return fit


def open_run(name: str | None, out: Path | None = None) -> Path:
    """Return the folder of a run by its id; without one, of the newest."""
    candidates = _candidates(out)
    found = {each.parent.name: each.parent for folder in candidates for each in folder.glob(f"*/{MANIFEST}")}
    where = " or ".join(str(folder) for folder in candidates)
    if name is None:
        if not found:
            raise NotFoundError(f"There is no run in {where} yet. Make one with nexus run.")
        return max(found.values(), key=lambda each: ((each / MANIFEST).stat().st_mtime_ns, each.name))
    if name not in found:
        raise NotFoundError(f"Run {name} is not in {where}.{hint(name, found)}")
    return found[name]


def is_going(folder: Path) -> bool:
    """Tell whether some process is writing this run."""
    from nexus_core.journal import LOCK, is_busy

    uri = f"{(folder / LOCK).resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0.0)) as lock:
            lock.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.Error as error:
        return is_busy(error)
    return False


def _is_writable(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def _candidates(out: Path | None) -> list[Path]:
    return [each / "runs" for each in folders.homes()] if out is None else [out]
