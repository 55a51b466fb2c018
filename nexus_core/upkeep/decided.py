"""A decision of a run in words: what gates said, each strategy's part, and what layers made of the row."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core import types
from nexus_core.calibration import Table
from nexus_core.records import ABSENT, UNIT

_GATE = ("gate", "layer", "refuses")
_SIGNALS = {ABSENT: "ABSENT", **{each.value: each.name for each in types.SignalType}}


def described(found: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Return a decision, with its verdicts and opinions, as plain values; `facts` is its run's manifest."""
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
    signals = [_said(each, facts) for each in opinions]
    total = sum(each["confidence"] * (each["weight"] or 0.0) for each in signals if each["kept"])
    for each in signals:
        own = types.SignalType[each["signal"]] * each["confidence"] if each["kept"] else 0.0
        each["part"] = own * (each["weight"] or 0.0) / total if each["kept"] and total else None
    return signals


def _said(each: Any, facts: dict[str, Any]) -> dict[str, Any]:
    made = {"strategy": facts["strategies"][each["strategy"]], "signal": _SIGNALS[each["signal"]]}
    made |= {"score": float(each["score"]), **_worth(each, facts)}
    made["weight"] = None if np.isnan(each["weight"]) else float(each["weight"])
    kept = each["signal"] != ABSENT and made["confidence"] >= facts["settings"]["risk"]["min_confidence"]
    return made | {"kept": bool(kept)}


def _context(one: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what was known of the market, a number or a word for each field; None where it was not known."""
    words, found = facts.get("words", {}), {n: float(one["context"][n]) for n in facts.get("context", ())}
    known = {name: value for name, value in found.items() if not np.isnan(value)}
    return {name: words[name][int(known[name])] if name in words and name in known else known.get(name)
            for name in found}  # fmt: skip


def _worth(each: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what an opinion's score was worth, by the table that the run was given."""
    table = facts.get("calibration", {}).get(facts["strategies"][each["strategy"]])
    if table is None or each["signal"] == ABSENT:
        return {"calibrated": table is not None, "confidence": float(each["score"])}
    return {"calibrated": True, **Table(table).said(float(each["score"]))}
