"""`nexus doctor`."""

from __future__ import annotations

from nexus_core.cli.output import Config, Json, Out, command, show, table
from nexus_core.errors import CheckFailedError

app = command()


@app.command()
def doctor(config: Config = None, out: Out = None, as_json: Json = False) -> None:
    """Look for what would keep a run from going well."""
    from nexus_core.upkeep.health import findings

    found = list(findings(config, out))
    advice = [f"{name}: {what}" for name, _, what in found if what]
    rows = table((name, "do" if what else "ok", said) for name, said, what in found)
    data = [dict(zip(("check", "found", "do"), each, strict=True)) for each in found]
    show(as_json, data, rows + advice)
    if advice:
        raise CheckFailedError(f"doctor: {len(advice)} of {len(found)} findings want something done.")
