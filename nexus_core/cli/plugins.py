"""`nexus plugins`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_core.cli import output
from nexus_core.errors import UsageError, hint

app = output.app(help="List what is installed.", no_args_is_help=True)


@app.callback()
def plugins() -> None:
    """List what is installed."""


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Option(help="strategies, gates, feeds, brokers or commands.")] = None,
    as_json: output.Json = False,
) -> None:
    """List installed plugins; imports none of them."""
    from nexus_core.plugins import KINDS, offers

    if kind is not None and kind not in KINDS:
        raise UsageError(f"--kind was {kind}, must be one of {', '.join(KINDS)}.{hint(kind, KINDS)}")
    found = [each for each in offers() if kind in (None, each.kind)]
    data = [
        {"kind": each.kind, "name": each.name, "distribution": each.distribution, "version": each.version,
         "summary": each.summary}
        for each in found
    ]  # fmt: skip
    rows = [[each.kind, each.name, each.distribution, each.version] for each in found]
    head = ("kind", "name", "distribution", "version")
    output.show(as_json, data, output.table(rows, head) if rows else ["nothing installed"])
