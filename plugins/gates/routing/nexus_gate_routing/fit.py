"""Fit the router's table to finished runs: `python -m nexus_gate_routing.fit [RUN ...]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nexus_core import runs
from nexus_core.errors import DataError, NexusError, UsageError
from nexus_core.folders import homes
from nexus_core.journal import Journal
from nexus_core.upkeep.homes import open_run
from nexus_gate_routing.table import FILE, fit

FIELD = "conviction"
"""The field of the context that the layer writes on every decision that reached it."""


def reached(folder: Path) -> Iterator[float]:
    """Yield the conviction of every decision of a run's trace that reached the router, in order of time."""
    fields = runs.manifest(folder)["context"]
    with Journal(folder) as journal:
        for decisions, _, _ in journal.traces(fields=fields):
            found = decisions["context"][FIELD]
            yield from found[~np.isnan(found)].tolist()


def check(folder: Path) -> None:
    """Refuse a run whose trace does not say all that a table is fitted to."""
    facts = runs.manifest(folder)
    if FIELD not in facts.get("context", ()):
        raise DataError(
            f"{folder.name}: the layer routing was not at work. Name it in chain.layers, and run again."
        )
    if (kept := facts["settings"]["performance"]["trace"]) != "full":
        what = f"keeps {kept} decisions, and a table needs those that were refused, too"
        raise DataError(f"{folder.name}: its trace {what}. Run again with performance.trace=full.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the table of some runs together, write it, and say what came of it."""
    parser = argparse.ArgumentParser(
        "python -m nexus_gate_routing.fit", description="Fit the router's table."
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="id of a run; the newest without any")
    parser.add_argument("--out", type=Path, help="folder of runs; else NEXUS_HOME/runs, else the user's")
    parser.add_argument("--to", type=Path, help="file to write; else the user's own table")
    asked = parser.parse_args(arguments)
    try:
        folders = [open_run(each, asked.out) for each in dict.fromkeys(asked.runs or [None])]
        path = _written(folders, asked.to or _own())
    except NexusError as error:
        sys.stderr.write(f"nexus: {error}\n")
        return error.exit
    sys.stdout.write(f"wrote {path}\n")
    return 0


def _own() -> Path:
    if not homes():
        raise UsageError("there is no home folder to keep a table in. Name a file with --to.")
    return homes()[0] / "calibration" / FILE


def _written(folders: Sequence[Path], path: Path) -> Path:
    for folder in folders:
        check(folder)
    found = [value for folder in folders for value in reached(folder)]
    made = {"runs": [folder.name for folder in folders], **fit(found)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        runs.write(path, json.dumps(made) + "\n")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}). Choose another with --to."
        ) from error
    return path


if __name__ == "__main__":
    sys.exit(main())
