"""How often the router's rule as written lets a decision through: `python bench/router.py [RUN ...]`.

First over a grid of leans and strengths, then over the decisions of finished runs; then how often the rank
does, and the conviction itself. Of a run with the layer routing it takes what reached that layer; of another
it weighs the kept signals alike, as layer 4 does without layer 3. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from nexus_gate_routing import Action, Confidence, Routing, governor, router
from nexus_gate_routing.table import PACKAGED, fit, read

from nexus_core import runs
from nexus_core.calibration import Table
from nexus_core.compile import plain
from nexus_core.journal import Journal
from nexus_core.records import ABSENT
from nexus_core.upkeep.homes import open_run

TRUSTS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.3)
LIMIT = Confidence().params.limit
HOLD, STRENGTH = 0.3, 0.5
"""What the gates of layer 4 ask for: |lean| above the first, strength from the second on."""


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Measure the passing rate of the router's written rule.")
    parser.add_argument("runs", nargs="*", help="ids of finished runs with a full trace")
    parser.add_argument("--out", type=Path, help="folder of runs")
    asked = parser.parse_args()
    side = np.linspace(0.0, 1.0, 401)
    leans, strengths = HOLD + (1 - HOLD) * side[1:], STRENGTH + (1 - STRENGTH) * side
    found = {"grid": tuple(each.ravel() for each in np.meshgrid(leans, strengths))}
    for name in asked.runs:
        found[name] = survivors(open_run(name, asked.out))
    say("mean trust", *found)
    say(*["---"] * (len(found) + 1))
    for trust in TRUSTS:
        say(f"{trust:g}", *(f"{100 * rate(*each, trust):.1f}" for each in found.values()))
    by_rank = {name: ranked(*each) for name, each in list(found.items())[1:]}
    say("by rank", "", *(f"{100 * each:.1f}" for each in by_rank.values()))
    of_runs = list(found.values())[1:]
    say("by the package's table", "", *(f"{100 * packaged(*each):.1f}" for each in of_runs))
    say(
        "by conviction", "", *(f"{100 * (lean * strength >= LIMIT).mean():.1f}" for lean, strength in of_runs)
    )
    for name, (lean, strength) in list(found.items())[1:]:
        alone = (lean > 1 - 1e-12).mean()
        say(
            name,
            f"{len(lean)} decisions",
            f"{100 * alone:.1f} % of one mind",
            f"strength {strength.mean():.3f}",
        )
    return 0


def say(*cells: str) -> None:
    """Print a line of a table."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")


def rate(leans: Any, strengths: Any, trust: float) -> float:
    """Return the share that both gates of layer 5 let through by the rule as written."""
    params, sides = Routing(literal=True).params, plain(router.sides)
    trusted, doubted = params.trusted_confidence, params.doubted_confidence
    asked = plain(governor.least)(trust, params.enough_for_confidence, trusted, doubted)
    # the rule turns on |lean| alone, and a grid has few
    each, where = np.unique(leans, return_inverse=True)
    p = np.array([sides(lean, trust)[0] for lean in each])[where]
    return float(((p > Action().params.limit) & (p * strengths >= max(asked, LIMIT))).mean())


def ranked(leans: Any, strengths: Any) -> float:
    """Return the share of the later half that passes by its rank among the earlier half."""
    found, half = leans * strengths, len(leans) // 2
    table = fit(found[:half])
    ranks = np.interp(found[half:], table["scores"], table["ranks"])
    return float((ranks >= LIMIT).mean())


def packaged(leans: Any, strengths: Any) -> float:
    """Return the share that passes by the table that the package brings."""
    table = read(PACKAGED)
    assert table is not None
    return float((np.interp(leans * strengths, table.scores, table.ranks) >= LIMIT).mean())


def survivors(folder: Path) -> tuple[Any, Any]:
    """Return |lean| and strength of the decisions of a run that the gates of layer 4 would let through."""
    facts = runs.manifest(folder)
    if "conviction" in facts.get("context", ()):
        return routed(folder, facts["context"])
    least, tables = facts["settings"]["risk"]["min_confidence"], facts["calibration"]
    leans, strengths = [], []
    with Journal(folder) as journal:
        for decisions, _, opinions in journal.traces(fields=facts.get("context", ())):
            size, whose = len(decisions), np.repeat(np.arange(len(decisions)), decisions["opinions"])
            signals, confidence = opinions["signal"].astype(float), opinions["score"].copy()
            for k, name in enumerate(facts["strategies"]):
                own = opinions["strategy"] == k
                if name in tables:
                    knots = Table(tables[name]).knots
                    confidence[own] = np.interp(confidence[own], knots[0], knots[1])
            kept = (signals != ABSENT) & (signals != 0) & (confidence >= least)
            signals, confidence, whose = signals[kept], confidence[kept], whose[kept]
            heavy, count = np.bincount(whose, confidence, size), np.bincount(whose, minlength=size)
            pull = np.bincount(whose, signals * confidence, size)
            some = count > 0
            leans.append(np.minimum(np.abs(pull[some] / heavy[some]), 1.0))
            strengths.append(heavy[some] / count[some])
    lean, strength = np.concatenate(leans), np.concatenate(strengths)
    alive = (lean > HOLD) & (strength >= STRENGTH)
    return lean[alive], strength[alive]


def routed(folder: Path, fields: list[str]) -> tuple[Any, Any]:
    """Return |lean| and strength of the decisions of a run that reached layer 5, as its trace has them."""
    leans, strengths = [], []
    with Journal(folder) as journal:
        for decisions, _, _ in journal.traces(fields=fields):
            context = decisions["context"][~np.isnan(decisions["context"]["conviction"])]
            leans.append(np.minimum(np.abs(context["lean"].astype(float)), 1.0))
            strengths.append(context["strength"].astype(float))
    return np.concatenate(leans), np.concatenate(strengths)


if __name__ == "__main__":
    sys.exit(main())
