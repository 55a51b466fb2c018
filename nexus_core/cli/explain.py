"""`nexus explain`."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from typer import Argument, Option

from nexus_core import runs, types
from nexus_core.cli import output
from nexus_core.errors import DataError, NotFoundError, UsageError, hint
from nexus_core.journal import Journal
from nexus_core.records import ABSENT
from nexus_core.upkeep import homes
from nexus_core.upkeep.decided import described

app = output.command()

_NAMES = {1: "quality", 2: "signals", 3: "selection", 4: "aggregation", 5: "routing", 6: "risk"}
_WIDE, _UNDER = "   ", "\n" + " " * 17
_SIGNS = {"above": ("<=", ">"), "from": ("<", ">="), "below": (">=", "<"), "to": (">", "<=")}


@app.command()
def explain(
    decision: Annotated[str | None, Argument(help="Decision id: SYMBOL@TIME.")] = None,
    last: Annotated[bool, Option("--last", help="The newest decision that had a signal.")] = False,
    symbol: Annotated[str | None, Option(help="Symbol, with --at.")] = None,
    at: Annotated[str | None, Option(help="Time, with --symbol: 2026-03-01 14:05.")] = None,
    run: output.RunId = None,
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Show why a decision came out as it did, gate by gate."""
    folder = homes.open_run(run, out)
    facts = runs.manifest(folder)
    where = _place(decision, symbol, at)
    if where is None and not last:
        raise UsageError("explain: name a decision, or give --last, or --symbol and --at.")
    with Journal(folder) as journal:
        found = _found(journal, facts, where)
    if found is None:
        sought = "decision with a signal" if where is None else "such decision"
        text = f"no {sought} in the trace, which keeps {facts['settings']['performance']['trace']}."
        raise NotFoundError(f"{folder.name}: {text} See performance.trace.")
    data = described(found, facts)
    output.show(as_json, data, _text(data))


def _place(decision: str | None, symbol: str | None, at: str | None) -> tuple[str, int] | None:
    try:
        if decision is not None:
            return types.parse_decision_name(decision)
        return (symbol, types.ns(at)) if symbol is not None and at is not None else None
    except DataError as error:
        raise UsageError(f"explain: {error}") from error


def _found(journal: Journal, facts: dict[str, Any], where: tuple[str, int] | None) -> Any:
    """Return a decision with its verdicts and opinions; the newest that had a signal where none is named."""
    symbols, fields = facts["settings"]["run"]["symbols"], facts.get("context", ())
    symbol, ts = where or ("", None)
    if where and symbol not in symbols:
        raise NotFoundError(f"{symbol} is not traded in run {journal.folder.name}.{hint(symbol, symbols)}")
    for decisions, verdicts, opinions in journal.traces(not where, ts, fields):
        if where:
            rows = np.flatnonzero((decisions["ts"] == ts) & (decisions["symbol"] == symbols.index(symbol)))
        else:
            whose = np.repeat(np.arange(len(decisions)), decisions["opinions"])
            rows = whose[opinions["signal"] != ABSENT]
        if len(rows):
            before, one = decisions[: rows[-1]], decisions[rows[-1]]
            verdicts = verdicts[before["verdicts"].sum() :][: one["verdicts"]]
            return one, verdicts, opinions[before["opinions"].sum() :][: one["opinions"]]
    return None


def _text(data: dict[str, Any]) -> list[str]:
    ended = f"by {data['ended_by']} (layer {data['layer']})" if data["ended_by"] else "all gates passed"
    if data["outcome"] == "APPROVED" and data["ended_by"]:
        refused = "" if data["ended_by"] == "opposite" else f"; the entry the other way was refused {ended}"
        ended = f"closes the position{refused}"
    lines = [f"{data['outcome']}  {data['symbol']}  {data['time']}  {ended}"]
    for layer, name in _NAMES.items():
        said = [_verdict(each) for each in data["verdicts"] if each["layer"] == layer]
        if data["layer"] == layer and not any(data["ended_by"] in each for each in said):
            said.append(f"{data['ended_by']} {data['value']:.4g} against {data['limit']:.4g}")
        unasked = "not reached" if data["layer"] is not None and layer > data["layer"] else "no gate"
        under = [_signal(each) for each in data["signals"]] if layer == 2 else _worked_out(layer, data)
        parts = [*([_WIDE.join(said)] if said else []), *under] or [unasked]
        lines.append(f"  {layer} {name:<13}{_UNDER.join(parts)}")
    if data["order"]:
        lines.append(f"  order {data['order']}")
    return [*lines, f"  mode {data['mode']}, equity {data['equity']:,.2f}"]


def _worked_out(layer: int, data: dict[str, Any]) -> list[str]:
    """Return a line for each layer at work there: what it made of the row, and by what."""
    lines = list[str]()
    for name, number, fields in data["layers"]:
        known = {each: data["context"].get(each) for each in fields if number == layer}
        said = [
            f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in known.items() if v is not None
        ]
        lines += [f"({name}, by rule) {', '.join(said)}"] if said else []
    return lines


def _signal(each: dict[str, Any]) -> str:
    said = f"{each['strategy']} {each['signal']}"
    if each["signal"] == "ABSENT":
        return said
    said += f" score {each['score']:.2f}"
    if each["calibrated"]:
        said += f", confidence {each['confidence']:.2f}, right {each['p_right']:.2f}"
        said += f" [{each['low']:.2f} {each['high']:.2f}]"
    else:
        said += " (uncalibrated)"
    part = "" if each["part"] is None else f", weight {each['weight']:.2f}, part {each['part']:+.2f}"
    return f"{said}{part}{'' if each['kept'] else ', not kept'}"


def _verdict(each: dict[str, Any]) -> str:
    sign = _SIGNS[each["refuses"]][0 if each["passed"] else 1]
    return f"{each['gate']} {each['value']:.4g} {sign} {each['limit']:.4g}"
