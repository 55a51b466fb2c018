"""`nexus explain`."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from typer import Argument, Option

from nexus_core import runs, types
from nexus_core.calibration import Table
from nexus_core.cli import output
from nexus_core.errors import DataError, NotFoundError, UsageError, hint
from nexus_core.journal import Journal
from nexus_core.records import ABSENT, UNIT
from nexus_core.upkeep import homes

app = output.command()

_NAMES = {1: "quality", 2: "signals", 3: "selection", 4: "aggregation", 5: "routing", 6: "risk"}
_WIDE, _UNDER = "   ", "\n" + " " * 18
_GATE = ("gate", "layer", "refuses")
_SIGNALS = {ABSENT: "ABSENT", **{each.value: each.name for each in types.SignalType}}
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
    data = _described(found, facts)
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


def _described(found: Any, facts: dict[str, Any]) -> dict[str, Any]:
    one, verdicts, opinions = found
    symbol, ts, order = facts["settings"]["run"]["symbols"][one["symbol"]], int(one["ts"]), int(one["order"])
    gates: list[dict[str, Any]] = [dict(zip(_GATE, each, strict=True)) for each in facts["gates"]]
    ended = gates[int(one["reason"])] if one["reason"] >= 0 else dict.fromkeys(_GATE)
    return {
        "id": types.decision_name(symbol, ts),
        "symbol": symbol,
        "time": types.iso(ts),
        "outcome": types.Outcome(int(one["outcome"])).name,
        "ended_by": ended["gate"],
        "layer": ended["layer"],
        **{name: one[name].item() for name in ("value", "limit", "direction", "confidence")},
        "mode": types.Mode(int(one["mode"])).name,
        "equity": int(one["equity"]) / UNIT,
        "order": types.order_name(symbol, ts, order) if order else None,
        "signals": _parts(opinions, facts),
        "context": _context(one, facts),
        "layers": facts.get("layers", []),
        "verdicts": [
            gates[each["gate"]]
            | {"value": float(each["value"]), "limit": float(each["limit"]), "passed": bool(each["passed"])}
            for each in verdicts
        ],
    }


def _parts(opinions: Any, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each strategy's signal, what it was worth, and its part in what they say together."""
    least, signals = facts["settings"]["risk"]["min_confidence"], list[dict[str, Any]]()
    for each in opinions:
        said = {"strategy": facts["strategies"][each["strategy"]], "signal": _SIGNALS[each["signal"]]}
        said |= {"score": float(each["score"]), **_worth(each, facts)}
        signals.append(said | {"weight": None if np.isnan(each["weight"]) else float(each["weight"])})
    counted = [max(each["confidence"], 0.0) * (each["weight"] or 0.0) for each in signals]
    for each, own in zip(signals, counted, strict=True):
        each["kept"] = each["signal"] != "ABSENT" and each["confidence"] >= least
        own *= types.SignalType[each["signal"]] if each["kept"] else 0
        total = sum(c for c, one in zip(counted, signals, strict=True) if one["confidence"] >= least)
        each["part"] = own / total if each["kept"] and total else None
    return signals


def _context(one: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what was known of the market, a number or a word for each field; None where it was not known."""
    found, words = dict[str, Any](), facts.get("words", {})
    for name in facts.get("context", ()):
        value = float(one["context"][name])
        found[name] = None if np.isnan(value) else words[name][int(value)] if name in words else value
    return found


def _worth(each: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what an opinion's score was worth, by the table that the run was given."""
    table = facts.get("calibration", {}).get(facts["strategies"][each["strategy"]])
    if table is None or each["signal"] == ABSENT:
        return {"calibrated": table is not None, "confidence": float(each["score"])}
    return {"calibrated": True, **Table(table).said(float(each["score"]))}


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
    for name, number, fields in data["layers"] if layer <= (data["layer"] or layer) else ():
        known = {each: data["context"].get(each) for each in fields if number == layer}
        said = [f"{each} {_shown(value)}" for each, value in known.items() if value is not None]
        lines += [f"({name}, by rule) {', '.join(said)}"] if said else []
    return lines


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _signal(each: dict[str, Any]) -> str:
    said = f"{each['strategy']} {each['signal']}"
    if each["signal"] == "ABSENT":
        return said
    said += f" score {each['score']:.2f}"
    if each["calibrated"]:
        said += f", confidence {each['confidence']:.2f}, right {each['p_right']:.2f}"
        said += f" [{each['low']:.2f} {each['high']:.2f}]"
    said += "" if each["calibrated"] else " (uncalibrated)"
    part = "" if each["part"] is None else f", weight {each['weight']:.2f}, part {each['part']:+.2f}"
    return f"{said}{part}{'' if each['kept'] else ', not kept'}"


def _verdict(each: dict[str, Any]) -> str:
    sign = _SIGNS[each["refuses"]][0 if each["passed"] else 1]
    return f"{each['gate']} {each['value']:.4g} {sign} {each['limit']:.4g}"
