"""`nexus config`."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from nexus_core.cli import output

app = output.app(help="Show the settings and where each comes from.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show the settings and where each comes from."""


@app.command()
def show(
    resolved: Annotated[bool, typer.Option("--resolved", help="With the origin of each value.")] = False,
    config: output.Config = None,
    sets: output.Sets = None,
    as_json: output.Json = False,
) -> None:
    """Show every setting as a run would have it."""
    from nexus_core.config import load

    found = load(config, sets=sets or ())
    values = dict(_leaves(found.settings.to_dict()))
    if resolved:
        data: Any = {
            key: {"value": value, "origin": found.origin.get(key, "default")} for key, value in values.items()
        }
        rows = [[key, _shown(value), found.origin.get(key, "default")] for key, value in values.items()]
        output.show(as_json, data, output.table(rows, ("setting", "value", "origin")))
    else:
        output.show(as_json, values, output.pairs({key: _shown(value) for key, value in values.items()}))


def _leaves(tables: Any, above: str = "") -> Any:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _shown(value: Any) -> str:
    return ", ".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
