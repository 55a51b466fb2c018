"""Where runs live, what they are called, and the manifest that says what each one was."""

from __future__ import annotations

import json
import os
import platform
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nexus_core import API, __version__, log
from nexus_core.errors import JournalError, NotFoundError, hint
from nexus_core.folders import homes

MANIFEST = "run.json"


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


def create(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """Make the folder of a new run with its manifest, and return it."""
    while True:
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        try:
            (folder / name).mkdir()
            facts = {"id": name, "created": datetime.now(UTC).isoformat(timespec="seconds")}
            _write(folder / name / MANIFEST, json.dumps({**facts, **versions(), **manifest}, indent=1) + "\n")
        except FileExistsError:
            continue
        except OSError as error:
            raise JournalError(
                f"{folder}: a run cannot be made there ({error.strerror}). Name another folder with --out."
            ) from error
        return folder / name


def open_run(name: str | None, out: Path | None = None) -> Path:
    """Return the folder of a run by its id; without one, of the newest."""
    folders = _candidates(out)
    found = {each.parent.name: each.parent for folder in folders for each in folder.glob(f"*/{MANIFEST}")}
    where = " or ".join(str(folder) for folder in folders)
    if name is None:
        if not found:
            raise NotFoundError(f"There is no run in {where} yet. Make one with nexus run.")
        return max(found.values(), key=lambda each: ((each / MANIFEST).stat().st_mtime_ns, each.name))
    if name not in found:
        raise NotFoundError(f"Run {name} is not in {where}.{hint(name, found)}")
    return found[name]


def manifest(run: Path) -> dict[str, Any]:
    """Return what a run's manifest says."""
    try:
        return json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JournalError(f"{run.name}: the manifest {run / MANIFEST} cannot be read ({error}).") from error


def versions() -> dict[str, Any]:
    """Return which code runs here."""
    python, machine = platform.python_version(), platform.machine()
    return {"nexus": __version__, "api": API, "python": python, "machine": machine}


def _write(path: Path, text: str) -> None:
    # under its own name only once it is whole and on the disk
    with open(path.with_suffix(".new"), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(stream.name, path)


def _is_writable(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def _candidates(out: Path | None) -> list[Path]:
    return [each / "runs" for each in homes()] if out is None else [out]
