"""`nexus halt`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_core.cli import output, requests

app = output.app()


@app.command()
def halt(
    run: requests.Run = None,
    reduce: Annotated[
        bool, typer.Option("--reduce", help="Half size and half limits instead of a pause.")
    ] = False,
    why: requests.Why = "by hand",
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Pause a run, or reduce it: no new entries, or entries at half size."""
    from nexus_core.types import Mode

    requests.ask(run, Mode.REDUCED if reduce else Mode.PAUSED, why, out, as_json)
