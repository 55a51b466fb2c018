"""What `nexus halt`, `nexus resume` and `nexus flatten` share: a request to a run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from nexus_core.cli import output
from nexus_core.errors import JournalError, UsageError

Run = Annotated[str | None, typer.Argument(help="Id of the run; the newest without it.")]
Why = Annotated[str, typer.Option(help="The reason, for the journal.")]


def ask(run: str | None, mode: Any, why: str, out: Path | None, as_json: bool) -> None:
    """Write a request for another safety mode, and say when it will be taken up."""
    from nexus_core import safety
    from nexus_core.journal import is_going

    folder = _meant(run, out)
    going = is_going(folder)
    if not going and _is_finished(folder):
        raise UsageError(
            f"{folder.name}: is finished, nothing will take the request up. Name a run that goes on."
        )
    safety.ask(folder, mode, why)
    when = "at its next tick" if going else "when it goes on; it is not going now"
    data = {"run": folder.name, "mode": mode.name, "why": why, "going": going}
    output.show(as_json, data, [f"{folder.name}: {mode.name} asked for; the run takes it up {when}."])


def _meant(run: str | None, out: Path | None) -> Path:
    """Return the run named; without a name the one that is going, and the newest where none is."""
    from nexus_core import runs
    from nexus_core.journal import is_going

    newest = runs.open_run(run, out)
    if run is not None:
        return newest
    going = sorted(each for each in newest.parent.iterdir() if each.is_dir() and is_going(each))
    if len(going) > 1:
        names = ", ".join(each.name for each in going)
        raise UsageError(f"{len(going)} runs are going: {names}. Name the one you mean.")
    return going[0] if going else newest


def _is_finished(folder: Path) -> bool:
    from nexus_core import runs
    from nexus_core.journal import Journal

    bars = runs.manifest(folder)["settings"]["run"]["bars"]
    with suppress(JournalError), Journal(folder) as journal:
        last = journal.last()
        return last is not None and last.tick >= bars
    return False
