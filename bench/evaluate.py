"""Calibrate and judge every strategy, and write what came of it: `python bench/evaluate.py [FOLDER]`.

Each is calibrated on synthetic order flow sown with patterns, and judged on seeds kept back. With a FOLDER of
bars of a minute (and recordings) it is also calibrated on the first 60 % of each series, and judged on the
next 20 % and, with `--final`, on the last 20 %. Tables go into the packages, figures into
docs/strategies/measured.json and the READMEs, pictures beside them. `make docs` then writes the pages.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "strategies"
FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/strategies/*/pyproject.toml"))
CALIBRATE, KEPT, MINUTES = "1000-1007", "5000-5004", 10_080
WHY = "the figures that are published with the strategies"
MARK = "<!-- measured -->"
KEYS = (
    "rows", "signals", "judged", "independent", "hit", "long", "coin", "over_coin", "move", "ece",
    "ece_debiased", "brier_skill", "over_coin_skill", "verdict", "turnover", "warmup", "ns_a_row", "state",
    "reason", "interval_s", "population",
)  # fmt: skip
"""What is kept of an evaluation."""


def main() -> int:
    """Do all of it."""
    parser = argparse.ArgumentParser(description="Calibrate and judge every strategy.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of bars of a minute")
    parser.add_argument("--final", action="store_true", help="read the last 20 % of each series, too")
    asked = parser.parse_args()
    data = [str(each) for each in sorted(asked.folder.glob("*")) if each.is_file()] if asked.folder else []
    given = [part for each in data for part in ("--data", each)]
    names = [each.name for each in FOLDERS]
    sown = ["--synthetic", "plants", "--minutes", str(MINUTES)]
    with tempfile.TemporaryDirectory() as tables:
        told = nexus("calibrate", *names, *sown, "--seeds", CALIBRATE, "--out", tables)
        say("synthetic", told)
        if data:
            say("data", nexus("calibrate", *names, *given, "--out", tables))
        for folder in FOLDERS:
            made = Path(tables) / f"{folder.name}.json"
            target = module(folder) / "calibration.json"
            if made.exists():
                target.write_text(made.read_text())
            else:
                target.unlink(missing_ok=True)
        judged = {"synthetic": nexus("evaluate", *names, *sown, "--seeds", KEPT, "--tables", tables)}
        if data:
            for split in ("choose", "final") if asked.final else ("choose",):
                why = ["--why", WHY] if split == "final" else []
                judged[split] = nexus("evaluate", *names, *given, "--split", split, *why, "--tables", tables)
    write(judged)
    for folder in FOLDERS:
        picture(folder.name)
    return 0


def nexus(*arguments: str) -> Any:
    """Run a command of `nexus strategies`, and return what it prints as JSON."""
    command = [str(Path(sys.executable).with_name("nexus")), "strategies", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{arguments[0]} failed with exit {done.returncode}")
    return json.loads(done.stdout)


def say(what: str, told: Any) -> None:
    """Print what came of a calibration."""
    for each in told:
        print(what, each["name"], each["state"], each.get("signals", ""), each.get("reason", ""), flush=True)


def module(folder: Path) -> Path:
    """Return a package's module folder."""
    return folder / f"nexus_strategy_{folder.name.replace('-', '_')}"


def write(judged: dict[str, Any]) -> None:
    """Write figures and READMEs."""
    DOCS.mkdir(exist_ok=True)
    kept: dict[str, Any] = {"markets": {}, "strategies": {each.name: {} for each in FOLDERS}}
    for market, told in judged.items():
        kept["markets"][market] = {"split": told["split"], "sources": told["sources"]}
        for each in told["strategies"]:
            figures = {key: shortened(each[key]) for key in KEYS if key in each}
            kept["strategies"][each["name"]][market] = figures
    (DOCS / "measured.json").write_text(json.dumps(kept, indent=1) + "\n")
    for folder in FOLDERS:
        readme = folder / "README.md"
        text = readme.read_text().partition(MARK)[0]
        horizon = nexus("show", folder.name)["horizon"]
        readme.write_text(text + MARK + "\n" + measured(kept["strategies"][folder.name], horizon))


def shortened(value: Any) -> Any:
    """Return figures with five digits."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


MARKETS = {
    "synthetic": "synthetic order flow with patterns, seeds kept back",
    "choose": "real data, split choose",
    "final": "real data, split final",
}


def measured(figures: dict[str, Any], horizon: int) -> str:
    """Return the section of a README that says what was measured."""
    lines = [
        "## Measured",
        "",
        f"Right is a signal whose way price had gone {horizon} rows later, with its 95 % interval; beside it",
        "what a coin would have had on the same rows. ECE is how far the chances that its calibration",
        "foretold were off, skill what they say beyond the share that was right in the calibration, better",
        "than a coin what is sure to be worth more than one though its score ranks nothing. The mean",
        "move is in the signal's direction, less 0.05 % a side and half the spread. On what it is measured",
        "stands in the documents, under strategies.",
        "",
        "| market | rows | signals | right | coin | ECE | skill | mean move, net | verdict |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    lines += [row(MARKETS[market], each) for market, each in figures.items()]
    return "\n".join(lines) + "\n"


def row(market: str, each: dict[str, Any]) -> str:
    """Return a line of the table."""
    if each["state"] != "played":
        return f"| {market} | | | | | | | | {each['state']}: {each['reason']} |"
    cells = [market, f"{each['rows']:,}", f"{each['signals']:,}", share(each["hit"])]
    cells += [f"{each['coin']:.1%}" if each["coin"] is not None else ""]
    cells += [f"{each['ece']:.3f}" if each["ece"] is not None else ""]
    cells += [between(each["brier_skill"], 1.0, ".3f"), between(each["move"]["net"], 100.0, ".3f", " %")]
    return f"| {' | '.join(cells)} | {each['verdict']} |"


def share(interval: Any) -> str:
    """Return a share with its interval."""
    return between(interval, 100.0, ".1f", " %")


def between(interval: Any, times: float, form: str, unit: str = "") -> str:
    """Return a value with its interval."""
    if interval is None:
        return ""
    value, low, high = (times * interval[name] for name in ("value", "low", "high"))
    return f"{value:{form}}{unit} [{low:{form}}, {high:{form}}]"


def picture(name: str) -> None:
    """Draw a day of the synthetic market with the strategy's signals."""
    path = DOCS / f"{name}.png"
    minutes = "480" if seconds(name) < 60 else "7200"
    given = ["--synthetic", "plants", "--seeds", "5000", "--minutes", minutes, "--plot", str(path)]
    command = [str(Path(sys.executable).with_name("nexus")), "strategies", "evaluate", name, *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: no picture: {done.stderr.strip()}")


def seconds(name: str) -> float:
    """Return how long the rows last that a strategy was made for."""
    source = module(ROOT / "plugins/strategies" / name) / "__init__.py"
    found = re.search(r"row_seconds = ([\d.]+)", source.read_text())
    return float(found[1]) if found else 60.0


if __name__ == "__main__":
    sys.exit(main())
