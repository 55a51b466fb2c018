"""Measure how much the standard chain lets through: `python bench/approvals.py FOLDER`.

FOLDER holds the Parquet files of bars of a minute that `SERIES` names; what is not there is left out. Of each
the first four fifths are played, the splits calibrate and choose. Writes its tables into
docs/chain/approvals.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from nexus_app_backtest import lookback

from nexus_core import runs
from nexus_core.calibration import Table
from nexus_core.journal import Journal
from nexus_core.ledger.judge import KELLY_SHARE
from nexus_core.records import ABSENT

PAGE = Path(__file__).resolve().parent.parent / "docs" / "chain" / "approvals.md"
SEEDS, BARS = (1200, 1201, 1202), 40_000
SERIES = {
    "ftx-BTC-PERP-1m": "BTC-USD",
    "cme-6EH4-1m": "EUR-USD",
    "cme-ES201312-1m": "ES-USD",
    "usa-SPY-1m": "SPY-USD",
}
"""How the names of files begin, and the symbol that each is played as."""
PRESETS = {
    "standard": (),
    "strict": ("risk.min_confidence=0.65", "plugins.composite.limit=0.5", "plugins.regime.limit=1"),
}
LEASTS = (0.57, 0.65, 0.70)
NO_EDGE = "no-edge"
ENOUGH = 50
"""Signals from which a strategy is shown."""

STANDARD = """
[run]
clock = "bar"
strategies = [
    "vwap", "absorption-breakout", "cumulative-delta", "delta-divergence", "event-driven",
    "iceberg-detection", "liquidation-detection", "liquidity-absorption", "liquidity-traps", "lvn-breakout",
    "market-microstructure", "momentum-breakout", "momentum-ignition", "multi-timeframe-alignment",
    "open-drive-vs-fade", "order-book-imbalance", "profile-rotation", "spoofing-detection",
    "stop-run-anticipation", "volume-imbalance",
]

[chain]
layers = ["quality", "selection", "aggregation", "routing", "assessment"]

[performance]
trace = "full"

[risk]
sizing = "kelly"
gates = [
    "composite", "liquidity", "regime", "anomaly", "strength", "agreement", "duplicate", "action",
    "confidence", "position-size", "daily-loss", "weekly-loss", "drawdown", "signal-confidence",
    "risk-multiplier", "market-class", "against-market", "critical-flags", "risk-score", "margin", "var",
    "correlation", "stop-loss", "min-size",
]
"""
"""The standard chain, over all twenty strategies."""


class Market(NamedTuple):
    """A market: its name, and the settings that play it, a list for each run."""

    name: str
    runs: Sequence[Sequence[str]]


class Counts(NamedTuple):
    """What became of the decisions of a market."""

    decisions: int
    entries: int
    exits: int
    heard: int
    refused: Counter[str]
    """Of decisions with a signal, by gate."""
    ended: Counter[str]
    """Of all decisions, by gate."""


def main() -> int:
    """Play the markets, and write the page."""
    parser = argparse.ArgumentParser(description="Measure how much the standard chain lets through.")
    parser.add_argument("folder", type=Path, help="folder of Parquet files, bars of a minute")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as home:
        os.environ["NEXUS_HOME"] = os.environ["XDG_DATA_HOME"] = home  # nobody's own tables
        (Path(home) / "standard.toml").write_text(STANDARD)
        markets = [*synthetic(), *real(folder)]
        found = {
            (market.name, preset): [played(Path(home), preset, n, each) for n, each in enumerate(market.runs)]
            for market in markets
            for preset in PRESETS
            for _ in [say(f"{market.name}, {preset}")]
        }
        page = PAGE.read_text()
        standard = {name: folders for (name, preset), folders in found.items() if preset == "standard"}
        tables = {
            "approvals": approvals(found),
            "confidence": confidences(standard),
            "strategies": spread(standard),
            "stakes": stakes(standard),
        }
    for name, text in tables.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        page = before + begin + text + "<!-- end -->" + rest.partition("<!-- end -->")[2]
    PAGE.write_text(page)
    return 0


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")


# -- the markets ---------------------------------------------------------------------------------------


def synthetic() -> Iterator[Market]:
    """Yield the synthetic markets."""
    flow = "plugins.synthetic.market=flow"
    for name, given in (
        ("order flow with plants, 1 s", ("run.interval=1", flow, "plugins.synthetic.plants=true")),
        ("order flow, 1 s", ("run.interval=1", flow)),
        ("bars, 1 min", ("run.interval=60",)),
    ):
        played = (*given, "run.feed=synthetic", f"run.bars={BARS}")
        yield Market(name, [(*played, f"run.seed={seed}") for seed in SEEDS])


def real(folder: Path) -> Iterator[Market]:
    """Yield the series of a folder, without the last fifth of each."""
    for name, symbol in SERIES.items():
        for path in sorted(folder.rglob(f"{name}-*.parquet"))[:1]:
            bars = pq.read_metadata(path).num_rows * 4 // 5
            given = ("run.feed=files", "run.interval=60", f"run.symbols={symbol}", f"run.bars={bars}")
            yield Market(f"{name[:-3]}, 1 min", [(*given, f"plugins.files.path={path}")])


def played(home: Path, preset: str, number: int, given: Sequence[str]) -> Path:
    """Run the standard chain over a market, and return the folder of the run."""
    out = Path(tempfile.mkdtemp(dir=home, prefix=f"{preset}-{number}-"))
    settings = [word for each in (*given, *PRESETS[preset]) for word in ("--set", each)]
    command = [sys.executable, "-m", "nexus_core", "run", "--config", str(home / "standard.toml"), "--json"]
    done = subprocess.run(
        [*command, "--out", str(out), *settings], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    return next(each.parent for each in out.rglob(runs.MANIFEST))


# -- what became of them -------------------------------------------------------------------------------


def traces(folder: Path, facts: Any) -> Iterator[Any]:
    """Yield what a run's trace holds."""
    with Journal(folder) as journal:
        yield from journal.traces(fields=facts["context"])


def counted(folders: Sequence[Path]) -> Counts:
    """Count decisions; a decision without a trace is an error."""
    total, entries, exits, heard = 0, 0, 0, 0
    refused, ended = Counter[str](), Counter[str]()
    for folder in folders:
        facts, traced = runs.manifest(folder), 0
        names = np.array([each[0] for each in facts["gates"]])
        for decisions, _, opinions in traces(folder, facts):
            reasons = decisions["reason"]
            whose = np.repeat(np.arange(len(decisions)), decisions["opinions"])
            spoke = (opinions["signal"] != 0) & (opinions["signal"] != ABSENT)
            some = np.bincount(whose[spoke], minlength=len(decisions)) > 0
            traced += len(decisions)
            entries += int((reasons < 0).sum())
            exits += int(((reasons >= 0) & (decisions["order"] > 0)).sum())
            heard += int(some.sum())
            refused.update(names[reasons[some & (reasons >= 0)]].tolist())
            ended.update(names[reasons[reasons >= 0]].tolist())
        with Journal(folder) as journal:
            last = journal.last()
        if last is None or last.decisions != traced:
            sys.exit(f"{folder.name}: {last and last.decisions} decisions, {traced} of them in the trace")
        total += traced
    return Counts(total, entries, exits, heard, refused, ended)


def table(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Return a table of Markdown."""
    rows = [heads, ["---", *["--:"] * (len(heads) - 1)], *lines]
    return "".join(f"| {' | '.join(map(str, each))} |\n" for each in rows)


def approvals(found: dict[tuple[str, str], list[Path]]) -> str:
    """Return how much was approved, by market and preset, and what binds."""
    lines = []
    for (name, preset), folders in found.items():
        counts = counted(folders)
        binds = counts.refused.most_common(2)
        said = ", ".join(f"{gate} {100 * n / counts.refused.total():.0f} %" for gate, n in binds)
        lines.append((name, preset, f"{counts.decisions:,}", f"{counts.heard:,}", f"{counts.entries:,}",
                      f"{100 * counts.entries / counts.decisions:.2f} %", f"{counts.exits:,}",
                      f"{100 * (counts.entries + counts.exits) / counts.decisions:.2f} %",
                      counts.ended[NO_EDGE], said))  # fmt: skip
    heads = (
        "market", "preset", "decisions", "with a signal", "entered", "share", "closed a position",
        "approved in all",
        "no-edge", "binds",
    )  # fmt: skip
    return table(heads, lines)


def signals(folders: Sequence[Path]) -> dict[str, tuple[Any, Any]]:
    """Return the scores and ranks of the signals of each calibrated strategy."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for folder in folders:
        facts = runs.manifest(folder)
        for _, _, opinions in traces(folder, facts):
            spoke = opinions[(opinions["signal"] != 0) & (opinions["signal"] != ABSENT)]
            for k, name in enumerate(facts["strategies"]):
                if name in facts["calibration"]:
                    scores = spoke["score"][spoke["strategy"] == k]
                    knots = Table(facts["calibration"][name]).knots
                    found.setdefault(name, []).append((scores, np.interp(scores, knots[0], knots[1])))
    return {
        name: (np.concatenate([each[0] for each in parts]), np.concatenate([each[1] for each in parts]))
        for name, parts in found.items()
    }


def share(values: Any, least: float) -> str:
    """Return which part of some values reaches a limit, in percent."""
    return f"{100 * (values >= least).mean():.0f} %"


def confidences(found: dict[str, list[Path]]) -> str:
    """Return which part of calibrated signals reaches the sources' limits, by score and by rank."""
    lines = []
    for name, folders in found.items():
        each = list(signals(folders).values())
        if not sum(len(scores) for scores, _ in each):
            continue
        scores, ranks = (np.concatenate([pair[n] for pair in each]) for n in (0, 1))
        cells = (f"{share(scores, least)} / {share(ranks, least)}" for least in LEASTS)
        lines.append((name, f"{len(scores):,}", *cells))
    return table(("market", "signals", *(f"score / rank from {least:.2f}" for least in LEASTS)), lines)


def spread(found: dict[str, list[Path]]) -> str:
    """Return the same for each strategy, on the first synthetic market and the first real one."""
    lines = []
    for market in ["order flow with plants, 1 s", *(name for name in found if name[:-7] + "-1m" in SERIES)][
        :2
    ]:
        for name, (scores, ranks) in sorted(signals(found[market]).items()):
            if len(scores) >= ENOUGH:
                cells = (f"{share(scores, least)} / {share(ranks, least)}" for least in LEASTS)
                lines.append((f"{name}: {market}", f"{len(scores):,}", *cells))
    return table(
        ("strategy: market", "signals", *(f"score / rank from {least:.2f}" for least in LEASTS)), lines
    )


# -- what would have been staked -----------------------------------------------------------------------


def stakes(found: dict[str, list[Path]]) -> str:
    """Return what entries would have staked and made with p = confidence, and what they did by the chain."""
    lines = []
    for name, folders in found.items():
        parts = [entries(folder) for folder in folders]
        rows = {key: np.concatenate([each[key] for each in parts]) for key in parts[0]}
        known = ~np.isnan(rows["chance"])
        for kind, own in (("calibrated", known), ("uncalibrated", ~known)):
            if not own.any():
                continue
            net, cost, naive, chain = (rows[key][own] for key in ("net", "cost", "naive", "chain"))
            highest = f"{rows['chance'][own].max():.3f}" if kind == "calibrated" else ""
            cells = (len(net), (chain > 0).sum(), highest,
                     f"{1e4 * net.mean():.1f}", f"{1e4 * cost.mean():.1f}",
                     percent(naive.mean()), percent((naive * net).sum(), "+"),
                     percent(chain.mean()), percent((chain * net).sum(), "+"))  # fmt: skip
            lines.append((f"{name}: {kind}", *cells))
    heads = ("market: strategies behind it", "entries judged", "entered", "highest chance",
             "mean bp of a trade",
             "of it costs",
             "stake by p = confidence", "made", "stake by the chain", "made")  # fmt: skip
    return table(heads, lines)


def percent(value: float, sign: str = "") -> str:
    """Return a share of equity in percent."""
    return f"{100 * value:{sign}.2f} %"


def entries(folder: Path) -> dict[str, Any]:
    """Return the entries that were approved or refused as no-edge, each with the trade it would have been."""
    facts = runs.manifest(folder)
    seen = lookback.look(folder, facts, None, lambda _: None)
    assert seen.trades is not None
    number = next(n for n, each in enumerate(facts["gates"]) if each[0] == NO_EDGE)
    trades = seen.trades[(seen.trades["gate"] == number) | (seen.trades["gate"] < 0)]
    made = {(int(each["start"]), int(each["symbol"])): each for each in trades}
    risk, rows = facts["settings"]["risk"], list[tuple[float, ...]]()
    for decisions, _, _ in traces(folder, facts):
        own = decisions[(decisions["reason"] == number) | (decisions["reason"] < 0)]
        for each in own:
            trade = made.get((int(each["ts"]), int(each["symbol"])))
            if trade is not None:
                known = trade["net"], trade["cost"], each["context"]["chance"]
                rows.append((*known, *staked(each, trade, risk)))
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return dict(zip(("net", "cost", "chance", "naive", "chain"), columns, strict=True))


def staked(decision: Any, trade: Any, risk: Any) -> tuple[float, float]:
    """Return the shares of equity that p = confidence stakes on an entry, and that the chain does."""
    most, scale = risk["max_position_size"], max(float(decision["context"]["scale"]), 0.0)
    odds = risk["take_profit_pct"] / risk["stop_loss_pct"]
    p, chance = float(decision["confidence"]), float(decision["context"]["chance"])
    naive = max(KELLY_SHARE * (p * odds - (1 - p)) / odds, 0.0)
    chain = 0.0
    if np.isnan(chance):
        chain = risk["risk_fraction"] * p
    elif decision["reason"] < 0:
        toll = float(trade["cost"])
        odds = (risk["take_profit_pct"] - toll) / (risk["stop_loss_pct"] + toll)
        chain = max(KELLY_SHARE * (chance * odds - (1 - chance)) / odds, 0.0)
    # the sources multiply nothing before the assessment; both get its scale, so that only p differs
    return min(min(naive, most) * scale, most), min(min(chain, most) * scale, most)


if __name__ == "__main__":
    sys.exit(main())
