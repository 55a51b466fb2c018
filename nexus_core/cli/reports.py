"""`nexus status` and `nexus journal`: where a run stands, and what has come of it so far."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from typer import Option

from nexus_core import runs
from nexus_core.cli.output import Json, Out, amount, command, pairs, show, table
from nexus_core.cli.requests import Run
from nexus_core.config import Settings
from nexus_core.journal import Journal
from nexus_core.records import EVENT, MODE
from nexus_core.types import Instrument, Mode, OrderKind, OrderState, Purpose, Side, iso, order_name, to_units
from nexus_core.upkeep import homes

app = command()

Limit = Annotated[int, Option(help="The newest so many events; 0 for all.", min=0)]

KINDS = {1: "APPROVED", 2: "MOVED", 3: "FILLED", 4: "MODE", 16: "OVERRUN", 17: "QUARANTINE", 18: "RELEASE"}
_NAMED = {"side": Side, "order_kind": OrderKind, "purpose": Purpose, "state": OrderState}
_AMOUNTS = {"quantity": "qty", "price": "price", "fee": "fee"}
COLUMNS = ("seq", "time", "event", "order", "what", "quantity", "price", "fee", "cash after")


@app.command()
def status(run: Run = None, out: Out = None, as_json: Json = False) -> None:
    """Show where a run stands."""
    from nexus_core.upkeep.recovery import portfolio

    folder = homes.open_run(run, out)
    settings = Settings.from_dict(runs.manifest(folder)["settings"])
    with Journal(folder) as journal:
        last, events, going = journal.last(), journal.events(), homes.is_going(folder)
    instruments = [Instrument(each) for each in settings.run.symbols]
    cash, held = portfolio(events, to_units(settings.risk.capital), instruments)
    positions = {i.symbol: amount(qty) for i, qty in zip(instruments, held, strict=True) if qty}
    facts = {
        "run": folder.name,
        "going": going,
        "ticks": f"{last.tick if last else 0} of {settings.run.bars or 'all'}",
        "market_time": iso(last.ts) if last else None,
        "mode": Mode(int(events["mode"][-1]) if len(events) else Mode.NORMAL).name,
        "decisions": last.decisions if last else 0,
        "events": last.events if last else 0,
        "cash": amount(cash),
        "hash": last.run_hash if last else None,
    }
    text = pairs(facts, positions.items(), ("position", "quantity"))
    show(as_json, {**facts, "positions": positions}, text)


@app.command()
def journal(run: Run = None, limit: Limit = 20, out: Out = None, as_json: Json = False) -> None:
    """List the events of a run: approvals, fills, mode changes, quarantines."""
    folder = homes.open_run(run, out)
    facts = runs.manifest(folder)
    with Journal(folder) as book:
        last = book.last()
        events = book.events(max(1, last.events - limit + 1) if last and limit else 1)
        asked = [(np.frombuffer(each.record, EVENT)[0], each.why) for each in book.inputs()]
    whys = {(int(event["ts"]), int(event["mode"])): why for event, why in asked if event["kind"] == MODE}
    others = [(event, why) for event, why in asked if event["kind"] != MODE]
    first = int(events["ts"][0]) if limit and len(events) else 0
    said = [(event["ts"], _said(event, why)) for event, why in others if event["ts"] >= first]
    said += [(each["ts"], _described(each, facts, whys)) for each in events]
    data = [each for _, each in sorted(said, key=lambda each: each[0])]
    show(as_json, data, table(map(_line, data), COLUMNS) if data else ["no events yet"])


def _said(event: Any, why: str) -> dict[str, Any]:
    """Return what stands in the journal of a strategy's faults, quarantine or release."""
    return {"seq": None, "time": iso(int(event["ts"])), "event": KINDS[int(event["kind"])], "why": why}


def _described(event: Any, facts: dict[str, Any], whys: dict[tuple[int, int], str]) -> dict[str, Any]:
    kind, ts = KINDS[int(event["kind"])], int(event["ts"])
    made: dict[str, Any] = {"seq": int(event["seq"]), "time": iso(ts), "event": kind}
    if kind == "MODE":
        made["mode"] = Mode(int(event["mode"])).name
        breaker = "circuit breaker: lost or rejected too much this hour"
        made["why"] = whys.get((ts, int(event["mode"])), breaker)
    else:
        symbol = facts["settings"]["run"]["symbols"][event["symbol"]]
        made["order"] = order_name(symbol, int(event["decision"]) or ts, int(event["order"]))
        made["symbol"] = symbol
        made |= {name.removeprefix("order_"): enum(int(event[name])).name for name, enum in _NAMED.items()}
        made |= {name: amount(event[field]) for name, field in _AMOUNTS.items()}
    return {**made, "cash": amount(event["cash"])}


def _line(each: dict[str, Any]) -> list[Any]:
    what = ", ".join(each[key] for key in ("mode", "why") if key in each)
    if "purpose" in each:
        what = f"{each['purpose'].lower()} {each['side'].lower()} {each['kind'].lower()} {each['state']}"
    cells = {**each, "what": what, "cash after": each.get("cash")}
    return ["" if cells.get(name) is None else cells[name] for name in COLUMNS]
