"""What `nexus strategies` says in text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_core.cli.output import pairs, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Facts = Mapping[str, Any]

_BASIS = 1e4
"""Hundredths of a per cent in one."""


def listed(facts: Sequence[Facts]) -> list[str]:
    """Return the list of strategies, the broken ones below."""
    rows = [
        (
            each["name"],
            each["version"],
            each["category"],
            ", ".join(each["needs"]),
            f"{each['row_seconds']:g}",
            each["horizon"],
            _populations(each),
        )
        for each in facts
        if each["state"] == "ready"
    ]
    head = ("strategy", "version", "category", "needs", "s a row", "horizon", "calibrated for")
    return [*(table(rows, head) if rows else []), *_others(facts, "ready")]


def shown(facts: Facts) -> list[str]:
    """Return all of one strategy."""
    can = dict(facts["capabilities"])
    style = can.pop("style")
    head = {
        "strategy": f"{facts['name']} {facts['version']}",
        "class": facts["class"],
        "about": facts["about"],
        "category": facts["category"],
        "needs": ", ".join(facts["needs"]),
        "style": style,
        "can": ", ".join(name.replace("_", " ") for name, has in can.items() if has) or "-",
        "cannot": ", ".join(name.replace("_", " ") for name, has in can.items() if not has) or "-",
        "slot": facts["slot"] or "-",
        "rows": f"{facts['row_seconds']:g} s, warm after {facts['warmup']:,}",
        "horizon": f"{facts['horizon']:,} rows",
        "targets": ", ".join(f"{name} {value:g}" for name, value in facts["targets"].items()) or "-",
        "upside down": facts["mirror"],
    }
    rows = [
        (name, each["default"], each["allowed"], each["help"]) for name, each in facts["parameters"].items()
    ]
    lines = pairs(head, rows, ("parameter", "default", "allowed", "what it is"))
    tables = [
        (
            each["population"],
            f"{each['interval'] / 1e9:g} s",
            _number(each["signals"], ","),
            _number(each["base"], ".3f"),
            each["split"] or "-",
            ", ".join(each["source"] or ["-"]),
            each["version"],
            "yes" if each["holds"] else "no",
        )
        for each in facts["tables"]
    ]
    columns = ("calibrated for", "rows", "signals", "base rate", "split", "fitted on", "version", "holds")
    lines += ["", *(table(tables, columns) if tables else ["not calibrated: nexus strategies calibrate"])]
    return [*lines, *([facts["unreadable"]] if "unreadable" in facts else [])]


def calibrated(done: Sequence[Facts]) -> list[str]:
    """Return what came of calibrating."""
    rows = [
        (
            each["name"],
            each["population"],
            f"{each['interval_s']:g} s",
            each["split"],
            f"{each['signals']:,}",
            f"{each['base']:.3f}",
            each["file"],
        )
        for each in done
        if each["state"] == "calibrated"
    ]
    head = ("strategy", "calibrated for", "rows", "split", "signals", "base rate", "file")
    return [*(table(rows, head) if rows else []), *_others(done, "calibrated")]


def evaluated(facts: Facts) -> list[str]:
    """Return what signals were worth."""
    names: list[str] = facts["sources"]
    market = ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"
    head = {"market": f"{facts['population']}: {market}", "split": facts["split"]}
    if facts["final"] is not None:
        counted = ", ".join(facts["final"]["counted"])
        told = f"counted for {counted}" if counted else "not counted: outside the catalog"
        head["final read"] = f"{facts['final']['why']} ({told})"
    if "plot" in facts:
        head["picture"] = facts["plot"]
    played = [each for each in facts["strategies"] if each["state"] == "played"]
    lines = pairs(head)
    for each in (_signals, _confidence, _worth) if played else ():
        lines += ["", *each(played)]
    notes = [
        f"{each['name']}: in sample: its table was fitted on these rows"
        for each in played
        if each["in_sample"]
    ]
    notes += [f"{each['name']}: {each['faults']:,} faults" for each in played if each["faults"]]
    return [*lines, *([""] if notes else []), *notes, *_others(facts["strategies"], "played")]


def _signals(played: Iterable[Facts]) -> list[str]:
    rows = [
        (
            each["name"],
            f"{each['interval_s']:g} s",
            f"{each['rows']:,}",
            f"{each['signals']:,}",
            _percent(each["coverage"]),
            _number(each["independent"], ",.0f"),
            each["horizon"],
            _percent(each["hit"] and each["hit"]["value"]),
            _span(each["hit"], _percent),
            _percent(each["long"]),
            _percent(each["coin"]),
        )
        for each in played
    ]
    head = ("strategy", "row", "rows", "signals", "coverage", "independent", "horizon", "right", "95 %")
    return table(rows, (*head, "always long", "coin"))


def _confidence(played: Iterable[Facts]) -> list[str]:
    rows = [
        (
            each["name"],
            _fitted_on(each["table"]),
            _number(each["ece"], ".3f"),
            _number(each["ece_debiased"] and each["ece_debiased"]["value"], ".3f"),
            _skill(each["brier_skill"] and each["brier_skill"]["value"]),
            _span(each["brier_skill"], _skill),
            each["verdict"],
        )
        for each in played
    ]
    head = ("strategy", "confidence by", "ECE", "debiased", "Brier skill", "95 %", "verdict")
    return table(rows, head)


def _worth(played: Iterable[Facts]) -> list[str]:
    rows = [
        (
            each["name"],
            _basis(each["move"]["gross"] and each["move"]["gross"]["value"]),
            _basis(each["move"]["net"] and each["move"]["net"]["value"]),
            _span(each["move"]["net"], _basis),
            _number(each["turnover"], ".4f"),
            f"{each['warmup']:,}",
            _number(each["ns_a_row"]["blocks"], ",.0f"),
            _number(each["ns_a_row"]["alone"], ",.0f"),
        )
        for each in played
    ]
    head = ("strategy", "move, bp", "net, bp", "95 %", "turnover a row", "warm-up", "ns a row", "one by one")
    return table(rows, head)


def _others(facts: Iterable[Facts], state: str) -> list[str]:
    left = [each for each in facts if each["state"] != state]
    return [f"{each['name']}: {each['state']}: {each['reason']}" for each in left]


def _populations(each: Facts) -> str:
    holding = [f"{t['population']} {t['interval'] / 1e9:g} s" for t in each["tables"] if t["holds"]]
    told = ", ".join(dict.fromkeys(holding)) or ("other versions" if each["tables"] else "-")
    return f"{told} (unreadable file)" if "unreadable" in each else told


def _fitted_on(facts: Facts | None) -> str:
    if facts is None:
        return "uncalibrated"
    return f"{facts['split']}, {_number(facts['signals'], ',')} signals"


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}" if value < 0.1 else f"{value:.1%}"


def _skill(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 4) + 0.0:+.4f}"  # a zero has no minus


def _basis(value: float | None) -> str:
    return "-" if value is None else f"{value * _BASIS:+.2f}"


def _span(interval: Facts | None, words: Any) -> str:
    return "-" if interval is None else f"{words(interval['low'])} to {words(interval['high'])}"
