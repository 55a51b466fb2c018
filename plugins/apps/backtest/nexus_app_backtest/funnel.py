"""`nexus funnel`: where a run's decisions ended, and what trades its gates refused would have made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from nexus_core.cli.output import Json, Out, Progress, command, show
from nexus_core.errors import UsageError

app = command()

Run = Annotated[str | None, Argument(help="Id of the run; the newest without it.")]
Png = Annotated[Path | None, Option("--png", help="Draw the funnel into this PNG file.")]
Horizon = Annotated[
    int | None,
    Option(help="Rows after which a trade is closed; else the longest horizon of the run's strategies.",
           min=1, max=100_000),
]  # fmt: skip


@app.command()
def funnel(
    run: Run = None, out: Out = None, as_json: Json = False, png: Png = None, horizon: Horizon = None
) -> None:
    """Count where a run's decisions ended, and tell what the trades each gate refused would have made."""
    from nexus_app_backtest import lookback, wording
    from nexus_core import runs
    from nexus_core.upkeep import homes

    if png is not None and png.suffix.lower() != ".png":
        raise UsageError(f"funnel: --png was {png}, must end in .png.")
    folder = homes.open_run(run, out)
    progress = Progress()
    seen = lookback.look(folder, runs.manifest(folder), horizon, progress)
    progress.done()
    facts: dict[str, Any] = wording.described(seen)
    if png is not None:
        from nexus_app_backtest import picture

        picture.draw(png, facts)
        facts["picture"] = str(png)
    show(as_json, facts, wording.text(facts))
