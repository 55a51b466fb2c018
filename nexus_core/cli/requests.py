"""`nexus halt`, `nexus resume` and `nexus flatten`: requests to a run for another safety mode."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from nexus_core import runs
from nexus_core.cli.output import Json, Out, Why, command, show
from nexus_core.errors import JournalError, UsageError
from nexus_core.journal import Journal
from nexus_core.types import Mode
from nexus_core.upkeep import homes

app = command()

Run = Annotated[str | None, Argument(help="Id of the run; the newest without it.")]
Reduce = Annotated[bool, Option("--reduce", help="Half size and half limits instead of a pause.")]


@app.command()
def halt(
    run: Run = None, reduce: Reduce = False, why: Why = "by hand", out: Out = None, as_json: Json = False
) -> None:
    """Pause a run, or reduce it: no new entries, or entries at half size."""
    ask(run, Mode.REDUCED if reduce else Mode.PAUSED, why, out, as_json)


@app.command()
def resume(run: Run = None, why: Why = "by hand", out: Out = None, as_json: Json = False) -> None:
    """Take a run back to normal trading."""
    ask(run, Mode.NORMAL, why, out, as_json)


@app.command()
def flatten(run: Run = None, why: Why = "by hand", out: Out = None, as_json: Json = False) -> None:
    """Cancel every entry of a run and close every position."""
    ask(run, Mode.EMERGENCY, why, out, as_json)


def ask(run: str | None, mode: Mode, why: str, out: Path | None, as_json: bool, strategy: str = "") -> None:
    """Write a request for another safety mode or a strategy's release; say when it will be taken up."""
    from nexus_core import safety

    folder = _meant(run, out)
    going = homes.is_going(folder)
    if not going and _is_finished(folder):
        text = "is finished, nothing will take the request up. Name a run that goes on."
        raise UsageError(f"{folder.name}: {text}")
    safety.ask(folder, mode, why, strategy=strategy)
    when = "at its next tick" if going else "when it goes on; it is not going now"
    what = f"release of {strategy}" if strategy else mode.name
    wish = {"release": strategy} if strategy else {"mode": mode.name}
    data = {"run": folder.name, **wish, "why": why, "going": going}
    show(as_json, data, [f"{folder.name}: {what} asked for; the run takes it up {when}."])


def _meant(run: str | None, out: Path | None) -> Path:
    """Return the run named; without a name the one that is going, and the newest where none is."""
    newest = homes.open_run(run, out)
    if run is not None:
        return newest
    going = sorted(each.name for each in newest.parent.iterdir() if each.is_dir() and homes.is_going(each))
    if len(going) > 1:
        raise UsageError(f"{len(going)} runs are going: {', '.join(going)}. Name the one you mean.")
    return newest.parent / going[0] if going else newest


def _is_finished(folder: Path) -> bool:
    bars = runs.manifest(folder)["settings"]["run"]["bars"]
    with suppress(JournalError), Journal(folder) as journal:
        last = journal.last()
        return last is not None and last.tick >= bars
    return False
