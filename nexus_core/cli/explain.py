"""`nexus explain`."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from nexus_core.cli import output
from nexus_core.errors import DataError, NotFoundError, UsageError

app = output.app()


@app.command()
def explain(
    decision: Annotated[str | None, typer.Argument(help="Decision id: SYMBOL@TIME.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest decision that had a signal.")] = False,
    symbol: Annotated[str | None, typer.Option(help="Symbol, with --at.")] = None,
    at: Annotated[str | None, typer.Option(help="Time, with --symbol: 2026-03-01 14:05.")] = None,
    run: output.RunId = None,
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Show why a decision came out as it did, gate by gate."""
    from nexus_core import runs
    from nexus_core.journal import Journal

    folder = runs.open_run(run, out)
    facts = runs.manifest(folder)
    where = _place(decision, symbol, at)
    if where is None and not last:
        raise UsageError("explain: name a decision, or give --last, or --symbol and --at.")
    with Journal(folder) as journal:
        found = _newest(journal) if where is None else _at(journal, facts, *where)
    if found is None:
        kept = facts["settings"]["performance"]["trace"]
        raise NotFoundError(
            f"{folder.name}: no such decision in the trace, which keeps {kept}. See performance.trace."
        )
    data = _described(found, facts)
    output.show(as_json, data, _text(data))


def _place(decision: str | None, symbol: str | None, at: str | None) -> tuple[str, int] | None:
    from nexus_core.types import ns, parse_decision_name

    try:
        if decision is not None:
            return parse_decision_name(decision)
        return (symbol, ns(at)) if symbol is not None and at is not None else None
    except DataError as error:
        raise UsageError(f"explain: {error}") from error


def _newest(journal: Any) -> Any:
    from nexus_core.records import ABSENT

    for decisions, verdicts, opinions in journal.traces(newest_first=True):
        whose = np.repeat(np.arange(len(decisions)), decisions["opinions"])
        rows = whose[opinions["signal"] != ABSENT]
        if len(rows):
            return _cut(int(rows[-1]), decisions, verdicts, opinions)
    return None


def _at(journal: Any, facts: Any, symbol: str, ts: int) -> Any:
    symbols = facts["settings"]["run"]["symbols"]
    if symbol not in symbols:
        from nexus_core.errors import hint

        raise NotFoundError(f"{symbol} is not traded in run {facts['id']}.{hint(symbol, symbols)}")
    number = symbols.index(symbol)
    for decisions, verdicts, opinions in journal.traces(at=ts):
        rows = np.flatnonzero((decisions["ts"] == ts) & (decisions["symbol"] == number))
        if len(rows):
            return _cut(int(rows[0]), decisions, verdicts, opinions)
    return None


def _cut(row: int, decisions: Any, verdicts: Any, opinions: Any) -> Any:
    first = int(decisions["verdicts"][:row].sum()), int(decisions["opinions"][:row].sum())
    one = decisions[row]
    return (
        one,
        verdicts[first[0] : first[0] + int(one["verdicts"])],
        opinions[first[1] : first[1] + int(one["opinions"])],
    )


def _described(found: Any, facts: Any) -> dict[str, Any]:
    from nexus_core.records import ABSENT, UNIT
    from nexus_core.types import Mode, Outcome, SignalType, decision_name, iso, order_name

    one, verdicts, opinions = found
    symbol = facts["settings"]["run"]["symbols"][one["symbol"]]
    gates = facts["gates"]
    reason = int(one["reason"])
    return {
        "id": decision_name(symbol, int(one["ts"])),
        "symbol": symbol,
        "time": iso(int(one["ts"])),
        "outcome": Outcome(int(one["outcome"])).name,
        "ended_by": gates[reason][0] if reason >= 0 else None,
        "layer": gates[reason][1] if reason >= 0 else None,
        "value": float(one["value"]),
        "limit": float(one["limit"]),
        "direction": int(one["direction"]),
        "confidence": float(one["confidence"]),
        "mode": Mode(int(one["mode"])).name,
        "equity": int(one["equity"]) / UNIT,
        "order": order_name(symbol, int(one["ts"]), int(one["order"])) if one["order"] else None,
        "signals": [
            {
                "strategy": facts["strategies"][each["strategy"]],
                "signal": "ABSENT" if each["signal"] == ABSENT else SignalType(int(each["signal"])).name,
                "score": float(each["score"]),
                "calibrated": False,
            }
            for each in opinions
        ],
        "verdicts": [
            {
                "gate": gates[each["gate"]][0],
                "layer": gates[each["gate"]][1],
                "refuses": gates[each["gate"]][2],
                "value": float(each["value"]),
                "limit": float(each["limit"]),
                "passed": bool(each["passed"]),
            }
            for each in verdicts
        ],
    }


_NAMES = {1: "quality", 2: "signals", 3: "selection", 4: "aggregation", 5: "routing", 6: "risk"}
_SIGNS = {"above": ("<=", ">"), "from": ("<", ">="), "below": (">=", "<")}


def _text(data: dict[str, Any]) -> list[str]:
    ended = f"by {data['ended_by']} (layer {data['layer']})" if data["ended_by"] else "all gates passed"
    if data["outcome"] == "APPROVED" and data["ended_by"]:
        refused = "" if data["ended_by"] == "opposite" else f"; the entry the other way was refused {ended}"
        ended = f"closes the position{refused}"
    lines = [f"{data['outcome']}  {data['symbol']}  {data['time']}  {ended}"]
    for layer, name in _NAMES.items():
        said = (
            _signals(data)
            if layer == 2
            else [_verdict(each) for each in data["verdicts"] if each["layer"] == layer]
        )
        if data["layer"] == layer and not any(data["ended_by"] in each for each in said):
            said.append(f"{data['ended_by']} {data['value']:.4g} against {data['limit']:.4g}")
        lines += [f"  {layer} {name:<13}{'   '.join(said) or _unasked(data, layer)}"]
    if data["order"]:
        lines.append(f"  order {data['order']}")
    return [*lines, f"  mode {data['mode']}, equity {data['equity']:,.2f}"]


def _unasked(data: dict[str, Any], layer: int) -> str:
    return "not reached" if data["layer"] is not None and layer > data["layer"] else "no gate"


def _signals(data: dict[str, Any]) -> list[str]:
    return [
        f"{each['strategy']} {each['signal']}"
        + ("" if each["signal"] == "ABSENT" else f" score {each['score']:.2f} (uncalibrated)")
        for each in data["signals"]
    ]


def _verdict(each: dict[str, Any]) -> str:
    sign = _SIGNS[each["refuses"]][0 if each["passed"] else 1]
    return f"{each['gate']} {each['value']:.4g} {sign} {each['limit']:.4g}"
