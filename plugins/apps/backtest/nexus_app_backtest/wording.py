"""What is said of a funnel: as data, and as lines of text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from nexus_app_backtest.trades import money
from nexus_app_backtest.worth import BASIS_POINTS, LEAST, Worth, worth
from nexus_core.cli.output import pairs, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_app_backtest.decided import Asked
    from nexus_app_backtest.lookback import Seen

HEAD = ("layer", "gate", "reached", "refused", "share", "had signal", "trades", "mean bp", "95 %")

_KEEPS = {
    "approved": "with a direction after the market's gates: what those refused is not in it, nor what never "
    "had a signal",
    "orders": "that led to an order: what any gate refused is not in it",
}


def described(seen: Seen) -> dict[str, Any]:
    """Return what was found of a run, as plain values."""
    settings, risk = seen.settings, seen.settings.risk
    gates = list(_gates(seen))
    facts: dict[str, Any] = {
        "run": seen.facts["id"],
        "symbols": list(settings.run.symbols),
        "strategies": list(seen.facts["strategies"]),
        "decisions": seen.decisions,
        "trace": settings.performance.trace,
        "in_trace": seen.ends.decisions,
        "gates": gates,
        "approved": {"entries": seen.ends.entries, "would_have": _worth(seen, -1)},
        "exits": seen.ends.exits,
        "binds": _binds(gates),
        "rules": {
            "horizon": seen.horizon,
            "stop_loss": risk.stop_loss_pct if risk.brackets else None,
            "take_profit": risk.take_profit_pct if risk.brackets else None,
            "broker": settings.run.broker,
            "cost_bps": _cost(seen),
            "quantity": risk.quantity if risk.sizing == "fixed-quantity" else None,
            "money": None if risk.sizing == "fixed-quantity" else money(risk),
        },
    }
    changed = ["The broker's costs are not those of the run: its plugin changed."] * seen.other_costs
    return facts | {"warnings": [*changed, *_warnings(facts)], "notes": list(_notes(facts))}


def _gates(seen: Seen) -> Iterator[dict[str, Any]]:
    left = seen.ends.decisions
    for gate in seen.gates:
        refused, heard, inferred = seen.ends.by(gate)
        left -= refused
        counted = _is_counted(gate, seen.settings.performance.trace)
        reached = left + refused
        yield {
            "gate": gate.name,
            "layer": gate.layer,
            "kernel": gate.is_kernels,
            "guard": gate.guard,
            "reached": reached if counted else None,
            "refused": refused if counted else None,
            "share": refused / reached if counted and reached else None,
            "with_signal": heard if counted else None,
            "inferred": inferred if counted else None,
            "would_have": _worth(seen, gate.number) if counted else None,
        }


def _is_counted(gate: Asked, trace: str) -> bool:
    """Tell whether a trace keeps what a gate refuses."""
    return trace == "full" or (trace == "approved" and gate.in_ledger)


def _worth(seen: Seen, number: int) -> dict[str, Any] | None:
    if seen.trades is None:
        return None
    found: Worth = worth(seen.trades[seen.trades["gate"] == number])
    return {f"{name}_bps" if name in ("mean", "low", "high") else name: value
            for name, value in attrs.asdict(found).items()}  # fmt: skip


def _cost(seen: Seen) -> float | None:
    if seen.trades is None or not len(seen.trades):
        return None
    return float(np.mean(seen.trades["cost"])) * BASIS_POINTS


def _binds(gates: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the gate that refused most of what had a signal."""
    most = max(gates, key=lambda each: each["with_signal"] or 0)
    if not most["with_signal"]:
        return None
    heard = sum(each["with_signal"] or 0 for each in gates)
    return {"gate": most["gate"], "refused": most["with_signal"], "share": most["with_signal"] / heard}


def _warnings(facts: dict[str, Any]) -> Iterator[str]:
    asked = [each for each in facts["gates"] if each["reached"] and not each["guard"]]
    if idle := [each["gate"] for each in asked if not each["refused"] and not each["kernel"]]:
        yield f"Never refused: {', '.join(idle)}. Are their limits where you meant them?"
    for each in asked:
        if each["refused"] == each["reached"]:
            yield f"{each['gate']} refused all {each['reached']:,} that reached it: nothing trades behind it."
        low = (each["would_have"] or {}).get("low_bps")
        if low is not None and low > 0:
            mean = each["would_have"]["mean_bps"]
            yield f"{each['gate']} refused trades that would have gained {mean:+.1f} bp each, after costs."


def _notes(facts: dict[str, Any]) -> Iterator[str]:
    rules, missing = facts["rules"], facts["decisions"] - facts["in_trace"]
    if facts["trace"] != "full":
        yield (
            f"The trace keeps decisions {_KEEPS[facts['trace']]}. {missing:,} of {facts['decisions']:,} "
            "decisions are not counted here. See performance.trace."
        )
    if facts["approved"]["would_have"] is None:
        yield "The feed is live and cannot be played again: what trades would have made is not known."
        return
    around = "no stop, no target"
    if rules["stop_loss"] is not None:
        around = f"stop {rules['stop_loss']:.4g}, target {rules['take_profit']:.4g} around the close"
    yield (
        f"Looking back, after the fact: a trade enters at the next open, {around}, closed after "
        f"{rules['horizon']:,} rows. Each is judged alone; one whose {rules['horizon']:,} rows are not all "
        "there is left out."
    )
    size = (
        f"an order of {rules['money']:,.0f}" if rules["money"] else f"an order of {rules['quantity']:g} units"
    )
    paid = "" if rules["cost_bps"] is None else f": {rules['cost_bps']:.1f} bp a trade in the mean"
    yield f"Net of what broker {rules['broker']} takes for {size}, in and out{paid}."
    yield (
        "The direction is that of the decision when it ended; of one that ended before it had any, the sign "
        "of the sum of its kept signals. The interval counts trades that overlap in time for less; below "
        f"{LEAST} independent ones there is none."
    )


def text(facts: dict[str, Any]) -> list[str]:
    """Return a funnel as lines of text."""
    shown = [each for each in facts["gates"] if each["refused"] or not each["kernel"]]
    silent = [each["gate"] for each in facts["gates"] if each not in shown]
    entries, exits = facts["approved"]["entries"], facts["exits"]
    made = _made(facts["approved"]["would_have"])
    rows = [*map(_row, shown), ("", "approved", f"{entries:,}", "", "", "", *made)]
    head = {
        "run": facts["run"],
        "decisions": f"{facts['decisions']:,}, of them {facts['in_trace']:,} in the trace",
        "approved": f"{entries:,} to enter; {exits:,} closed a position",
    }
    if binds := facts["binds"]:
        share = f"{binds['refused']:,}, {binds['share']:.1%} of what was refused with a signal"
        head["binds"] = f"{binds['gate']}: {share}"
    said = [*(f"warning: {each}" for each in facts["warnings"]), *facts["notes"]]
    if silent:
        said.append(f"Of the kernel's own, these refused nothing: {', '.join(silent)}.")
    return [
        *pairs(head),
        "",
        *table(rows, HEAD),
        *(line for each in said for line in ("", *wrap(each, 100, break_on_hyphens=False))),
    ]


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    counts = (each["reached"], each["refused"])
    shown = ("?" if count is None else f"{count:,}" for count in counts)
    share = "" if each["share"] is None else f"{each['share']:.1%}"
    heard = "?" if each["with_signal"] is None else f"{each['with_signal']:,}"
    name = f"{each['gate']} (guard)" if each["guard"] else each["gate"]
    return (each["layer"], name, *shown, share, heard, *_made(each["would_have"]))


def _made(found: dict[str, Any] | None) -> tuple[str, str, str]:
    if found is None or not found["trades"]:
        return ("", "", "")
    bounds = "" if found["low_bps"] is None else f"{found['low_bps']:+.1f} to {found['high_bps']:+.1f}"
    return (f"{found['trades']:,}", f"{found['mean_bps']:+.1f}", bounds)
