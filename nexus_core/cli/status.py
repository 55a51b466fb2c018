"""`nexus status`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nexus_core.cli import output

app = output.app()


@app.command()
def status(
    run: Annotated[str | None, typer.Argument(help="Id of the run; the newest without it.")] = None,
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Show where a run stands."""
    from nexus_core import runs
    from nexus_core.journal import Journal, is_going

    folder = runs.open_run(run, out)
    facts = runs.manifest(folder)
    with Journal(folder) as journal:
        data: dict[str, Any] = {"run": folder.name, "going": is_going(folder), **_standing(journal, facts)}
    text = output.pairs({key: value for key, value in data.items() if key != "positions"})
    if data["positions"]:
        text += ["", *output.table(list(data["positions"].items()), ("position", "quantity"))]
    output.show(as_json, data, text)


def _standing(journal: Any, facts: Any) -> dict[str, Any]:
    from nexus_core.config import Settings
    from nexus_core.session import portfolio
    from nexus_core.types import Instrument, Mode, iso, to_units

    settings = Settings.from_dict(facts["settings"])
    last, events = journal.last(), journal.events()
    instruments = [Instrument(each) for each in settings.run.symbols]
    cash, held = portfolio(events, to_units(settings.risk.capital), instruments)
    return {
        "ticks": f"{last.tick if last else 0} of {settings.run.bars}",
        "market_time": iso(last.ts) if last else None,
        "mode": Mode(int(events["mode"][-1])).name if len(events) else Mode.NORMAL.name,
        "decisions": last.decisions if last else 0,
        "events": last.events if last else 0,
        "cash": output.amount(cash),
        "hash": last.run_hash if last else None,
        "positions": {i.symbol: output.amount(qty) for i, qty in zip(instruments, held, strict=True) if qty},
    }
