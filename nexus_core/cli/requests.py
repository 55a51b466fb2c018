"""What `nexus halt`, `nexus resume` and `nexus flatten` share: a request to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nexus_core.cli import output

Run = Annotated[str | None, typer.Argument(help="Id of the run; the newest without it.")]
Why = Annotated[str, typer.Option(help="The reason, for the journal.")]


def ask(run: str | None, mode: Any, why: str, out: Path | None, as_json: bool) -> None:
    """Write a request for another safety mode, and say when it will be taken up."""
    from nexus_core import runs, safety
    from nexus_core.journal import is_going

    folder = runs.open_run(runs.home(out), run)
    safety.ask(folder, mode, why)
    going = is_going(folder)
    when = "at its next tick" if going else "when it goes on; it is not going now"
    data = {"run": folder.name, "mode": mode.name, "why": why, "going": going}
    output.show(as_json, data, [f"{folder.name}: {mode.name} asked for; the run takes it up {when}."])
