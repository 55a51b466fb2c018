"""`nexus config`."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

from nexus_core.cli import output
from nexus_core.cli.output import Config, Json, Sets
from nexus_core.upkeep.sources import ConfigManager, describe, load

app = output.command(help="Show and check the settings.")

Origin = Annotated[bool, Option("--resolved", help="With the origin of each value.")]


@app.command()
def show(resolved: Origin = False, config: Config = None, sets: Sets = None, as_json: Json = False) -> None:
    """Show every setting as a run would have it."""
    found = load(config, sets=sets or ())
    manager = ConfigManager(found.settings)
    values = {key: manager.get(key) for key in found.origin}
    if resolved:
        data = {key: {"value": values[key], "origin": origin} for key, origin in found.origin.items()}
        rows = [[key, *each.values()] for key, each in data.items()]
        output.show(as_json, data, output.table(rows, ("setting", "value", "origin")))
    else:
        output.show(as_json, values, output.pairs(values))


@app.command()
def check(config: Config = None, sets: Sets = None, as_json: Json = False) -> None:
    """Check the settings as a run would, each plugin's parameters as well; run nothing."""
    from nexus_core.engine import assemble

    found = load(config, sets=sets or ())
    assemble(found.settings, live=True)
    text = f"{found.path or 'no settings file: defaults'}: all settings fit"
    output.show(as_json, {"path": found.path, "fits": True}, [text])


@app.command()
def schema() -> None:
    """Print the JSON schema of nexus.toml, for editors that check while one types."""
    groups: dict[str, Any] = {}
    for each in describe():
        group, _, name = each.key.partition(".")
        groups.setdefault(group, {**_CLOSED, "properties": {}})["properties"][name] = _typed(each)
    groups["plugins"] = {"type": "object", "additionalProperties": {"type": "object"}}
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "nexus.toml"}
    output.show(True, {**about, **_CLOSED, "properties": groups}, ())


_CLOSED = {"type": "object", "additionalProperties": False}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array"}


def _typed(each: Any) -> dict[str, Any]:
    made = {"description": each.help, "default": each.default, "type": _TYPES[type(each.default)]}
    if made["type"] == "array":
        made |= {"items": {"type": "string"}, "uniqueItems": True}
    if isinstance(each.default, str) and " or " in each.bounds:
        made["enum"] = each.bounds.split(" or ")
    if made["type"] in ("integer", "number"):
        low, high = map(int, each.bounds[1:-1].split(", "))
        made["minimum" if each.bounds[0] == "[" else "exclusiveMinimum"] = low
        made["maximum" if each.bounds[-1] == "]" else "exclusiveMaximum"] = high
    return made
