"""`nexus journal`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nexus_core.cli import output

app = output.app()

KINDS = {1: "APPROVED", 2: "MOVED", 3: "FILLED", 4: "MODE"}


@app.command()
def journal(
    run: Annotated[str | None, typer.Argument(help="Id of the run; the newest without it.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many events; 0 for all.", min=0)] = 20,
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """List the events of a run: approvals, fills, mode changes."""
    import numpy as np

    from nexus_core import runs
    from nexus_core.journal import Journal
    from nexus_core.records import EVENT

    folder = runs.open_run(run, out)
    facts = runs.manifest(folder)
    with Journal(folder) as book:
        last = book.last()
        events = book.events(max(1, last.events - limit + 1) if last and limit else 1)
        asked = [(np.frombuffer(each.record, EVENT)[0], each.why) for each in book.inputs()]
    whys = {(int(event["ts"]), int(event["mode"])): why for event, why in asked}
    data = [_described(each, facts, whys) for each in events]
    head = ("seq", "time", "event", "order", "what", "quantity", "price", "fee", "cash after")
    output.show(
        as_json, data, output.table([_line(each) for each in data], head) if data else ["no events yet"]
    )


def _described(event: Any, facts: Any, whys: dict[tuple[int, int], str]) -> dict[str, Any]:
    from nexus_core.types import Mode, OrderKind, OrderState, Purpose, Side, iso, order_name

    kind = int(event["kind"])
    made: dict[str, Any] = {"seq": int(event["seq"]), "time": iso(int(event["ts"])), "event": KINDS[kind]}
    if KINDS[kind] == "MODE":
        made["mode"] = Mode(int(event["mode"])).name
        breaker = "circuit breaker: lost or rejected too much this hour"
        made["why"] = whys.get((int(event["ts"]), int(event["mode"])), breaker)
    else:
        symbol = facts["settings"]["run"]["symbols"][event["symbol"]]
        made |= {
            "order": order_name(symbol, int(event["decision"] or event["ts"]), int(event["order"])),
            "symbol": symbol,
            "side": Side(int(event["side"])).name,
            "kind": OrderKind(int(event["order_kind"])).name,
            "purpose": Purpose(int(event["purpose"])).name,
            "state": OrderState(int(event["state"])).name,
            "quantity": output.amount(event["qty"]),
            "price": output.amount(event["price"]),
            "fee": output.amount(event["fee"]),
        }
    return {**made, "cash": output.amount(event["cash"])}


def _line(each: dict[str, Any]) -> list[str]:
    if "mode" in each:
        return [
            str(each["seq"]),
            each["time"],
            each["event"],
            "",
            f"{each['mode']}, {each['why']}",
            *[""] * 3,
            each["cash"],
        ]
    what = f"{each['purpose'].lower()} {each['side'].lower()} {each['kind'].lower()} {each['state']}"
    return [str(each["seq"]), each["time"], each["event"], each["order"], what,
            each["quantity"], each["price"], each["fee"], each["cash"]]  # fmt: skip
