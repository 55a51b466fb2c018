"""`nexus flatten`."""

from __future__ import annotations

from nexus_core.cli import output, requests

app = output.app()


@app.command()
def flatten(
    run: requests.Run = None,
    why: requests.Why = "by hand",
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Cancel every entry of a run and close every position."""
    from nexus_core.types import Mode

    requests.ask(run, Mode.EMERGENCY, why, out, as_json)
