"""`nexus new`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from nexus_core.cli.output import Json, command, show

app = command()

Kind = Annotated[str, Argument(help="strategy, gate, feed, broker, features, command or listener.")]
Name = Annotated[str, Argument(help="Name of the plugin: letters, digits and single hyphens.")]
Style = Annotated[str | None, Option(help="Of a strategy: step, window or classic.")]
Into = Annotated[Path, Option(help="Folder to write the package into.")]


@app.command()
def new(kind: Kind, name: Name, style: Style = None, into: Into = Path(), as_json: Json = False) -> None:
    """Write a new plugin package, whole and tested."""
    from nexus_core import templates

    folder = templates.write(kind, name, style, into)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    steps = [f"cd {shlex.quote(str(folder))}", "pip install -e .", f"nexus plugins check {name.lower()}"]
    text = ["\n  ".join([f"wrote {folder}:", *files]), "", "\n  ".join(["next:", *steps])]
    show(as_json, {"folder": str(folder), "files": files, "next": steps}, text)
