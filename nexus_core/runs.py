"""What runs are called, and the manifest that says what each one was."""

from __future__ import annotations

import json
import os
import platform
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nexus_core import API, __version__
from nexus_core.errors import JournalError

MANIFEST = "run.json"


def create(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """Make the folder of a new run with its manifest, and return it."""
    while True:
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        try:
            (folder / name).mkdir()
            facts = {"id": name, "created": datetime.now(UTC).isoformat(timespec="seconds")}
            write(folder / name / MANIFEST, json.dumps({**facts, **versions(), **manifest}, indent=1) + "\n")
        except FileExistsError:
            continue
        except OSError as error:
            what = f"{folder}: a run cannot be made there ({error.strerror})"
            raise JournalError(f"{what}. Name another folder with --out.") from error
        return folder / name


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


def write(path: Path, text: str) -> None:
    """Write a file, which has its name only once it is whole and on the disk."""
    with open(path.with_suffix(".new"), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(stream.name, path)
