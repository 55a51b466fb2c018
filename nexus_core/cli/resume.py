"""`nexus resume`."""

from __future__ import annotations

from nexus_core.cli import output, requests

app = output.app()


@app.command()
def resume(
    run: requests.Run = None,
    why: requests.Why = "by hand",
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Take a run back to normal trading."""
    from nexus_core.types import Mode

    requests.ask(run, Mode.NORMAL, why, out, as_json)
