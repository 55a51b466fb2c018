"""Measure layer 1 on real minutes and on the synthetic market: `python bench/quality.py FOLDER`.

FOLDER holds Parquet files of bars of a minute, at any depth. Each is cut by its own time as the catalog does,
and the last fifth is never played. Prints tables in Markdown, and draws docs/chain/quality.png.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from nexus_app_data.markets import Given
from nexus_features import NAMES, Standard
from nexus_gate_quality import Composite, Liquidity, Quality, Regime, regimes
from nexus_gate_quality.quality import GRADES
from nexus_synthetic import Generator

from nexus_core import compile
from nexus_core.market.events import unknown
from nexus_core.market.features import FeatureLoop
from nexus_core.records import empty, layout
from nexus_core.steps.tool import record

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "chain" / "quality.png"
MINUTE = 60_000_000_000
SEEDS, ROWS, BLOCK, SOME = range(1000, 1008), 20_160, 4096, 100
BARS = {"ts", "open", "high", "low", "close"}
DIMENSIONS = ("liquidity", "volatility", "momentum", "imbalance", "trend_strength", "noise")
SHOWN = ("mqscore", *DIMENSIONS, "data_quality", "regime_confidence")
PLACES = (1, 5, 25, 50, 75, 95, 99)
INK, COLOURS = "#22303f", {"calibrate": "#3f7cac", "choose": "#c98a1b", "synthetic": "#b3372f"}
SHADES = (
    "#1a7f5a", "#b3372f", "#c9ced6", "#e8743b", "#9a7aa0", "#80c4a0", "#e0a0a0", "#f2c14e", "#8fb8de",
    "#7a1fa2", "#6b7f95", "#000000",
)  # fmt: skip

LOOP = """
def entry(rows, contexts, states, parameters):
    for n in range(rows.size):
        watch(rows[n], contexts[n], states[0], parameters[0])
"""
CONTEXT = layout(*((name, f"({size},)f8" if size > 1 else "f8") for name, size in Quality.writes.items()))
GATES = {"composite": Composite, "liquidity": Liquidity, "regime": Regime}
LIMITS = {"standard": {"composite": 0.45, "liquidity": 0.30, "regime": 2}}
LIMITS["strict"] = LIMITS["standard"] | {"composite": 0.50, "regime": 1}


class Series(NamedTuple):
    """A market: its name, its rows of the split, and what the layer said of them."""

    name: str
    rows: Any
    told: Any


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the layer of market quality.")
    parser.add_argument("folder", type=Path, help="folder of Parquet files, bars of a minute among them")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as home:
        os.environ["NEXUS_HOME"] = home  # refused rows are written there
        found = {split: list(real(folder, split)) for split in ("calibrate", "choose")}
    found["synthetic"] = list(synthetic())
    for tell in (markets, places, grades, stays, passing, by_market):
        print(tell(found), "\n", flush=True)
    whole, features = speed()
    print(f"{whole:.0f} ns a row in blocks of {BLOCK:,} on one core; {features:.0f} of it the features")
    draw(found)
    return 0


# -- the markets ---------------------------------------------------------------------------------------


def real(folder: Path, split: str) -> Iterator[Series]:
    """Yield the markets of a folder; rows before the split only teach the layer what is usual."""
    for path in sorted(folder.rglob("*.parquet")):
        if not is_of_minutes(path):
            continue
        (source,) = Given((str(path),), split=split).sources()
        rows = np.concatenate([each.rows.copy() for each in source.chunks(MINUTE)])
        kept = rows["ts"] > source.after
        if kept.sum() >= SOME:
            yield Series(path.stem.split("-1m-")[0], rows[kept], watched(rows)[kept])


def is_of_minutes(path: Path) -> bool:
    if not set(pq.read_schema(path).names) >= BARS:
        return False
    times = pq.read_table(path, columns=["ts"])["ts"].to_numpy()
    return len(times) > SOME and np.median(np.diff(times)) == MINUTE


def synthetic() -> Iterator[Series]:
    for seed in SEEDS:
        rows, _ = Generator(seed, 1, MINUTE).take(ROWS)
        yield Series(f"seed {seed}", rows, watched(rows))


def watched(rows: Any) -> Any:
    layer, told = Quality(), empty(CONTEXT, len(rows))
    for name in CONTEXT.names:
        told[name] = np.nan
    compile.call(loop(), rows, told, state(layer), layer.params.record())
    return told


def loop() -> Any:
    return compile.entry("quality", LOOP, {"watch": Quality.watch})


def state(layer: Quality) -> Any:
    return np.array([record(**layer.state(layer.params, MINUTE))])


def speed() -> tuple[float, float]:
    """Return the nanoseconds of a row, and those of its features alone; the best of some runs."""
    layer, rows, told = Quality(), Generator(7, 1, MINUTE).take(100_000)[0], empty(CONTEXT, BLOCK)
    none, out, missing = np.array([0]), np.zeros((BLOCK, len(NAMES))), np.zeros(BLOCK, np.int64)
    work, taken = loop(), []
    for _ in range(7):
        own, params = state(layer), layer.params.record()
        alone, spent = FeatureLoop("standard", Standard(), 1, MINUTE), [0.0, 0.0]
        for at in range(0, len(rows), BLOCK):
            block = rows[at : at + BLOCK]
            begun = time.thread_time()  # others on the machine are not its cost
            work(block, told[: len(block)], own, params)
            between = time.thread_time()
            alone.run(block, none, np.array([len(block)]), unknown(), out, missing)
            spent = [spent[0] + between - begun, spent[1] + time.thread_time() - between]
        taken.append(spent)
    whole, features = np.min(taken, axis=0) / len(rows) * 1e9
    return whole, features


# -- the tables ----------------------------------------------------------------------------------------


def table(heads: Any, lines: Any) -> str:
    body = ["| " + " | ".join(map(str, each)) + " |" for each in lines]
    return "\n".join(["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1), *body])


def pooled(series: list[Series], name: str) -> Any:
    values = np.concatenate([each.told[name] for each in series])
    return values[np.isfinite(values)]


def markets(found: dict[str, list[Series]]) -> str:
    lines = []
    for split, series in found.items():
        size = sum(len(each.rows) for each in series)
        lines.append((split, len(series), f"{size:,}", f"{len(pooled(series, 'mqscore')) / size:.1%}"))
    return table(("split", "markets", "rows", "with a score"), lines)


def places(found: dict[str, list[Series]]) -> str:
    lines = [
        (f"{name}, {split}", *(f"{x:.2f}" for x in np.percentile(pooled(series, name), PLACES)))
        for name in SHOWN
        for split, series in found.items()
    ]
    return table(("percentile", *map(str, PLACES)), lines)


def grades(found: dict[str, list[Series]]) -> str:
    lines = []
    for split, series in found.items():
        counts = np.bincount(pooled(series, "grade").astype(int), minlength=len(GRADES))
        lines.append((split, *(f"{x:.1%}" for x in counts / counts.sum())))
    return table(("grade", *GRADES), lines)


def runs(series: list[Series]) -> tuple[Any, Any, float]:
    """Return each regime's rows and how often it was entered, and the changes per 1,000 rows."""
    rows, begun, changes = np.zeros(12), np.zeros(12), 0
    for each in series:
        regime = each.told["regime"]
        regime = regime[np.isfinite(regime)].astype(int)
        turns = np.flatnonzero(np.diff(regime)) + 1
        rows += np.bincount(regime, minlength=12)
        begun += np.bincount(regime[np.append(0, turns)], minlength=12)
        changes += len(turns)
    return rows, begun, 1000 * changes / rows.sum()


def stays(found: dict[str, list[Series]]) -> str:
    made = {split: runs(series) for split, series in found.items()}
    lines = []
    for n, word in enumerate(regimes.WORDS):
        cells: list[str] = []
        for rows, begun, _ in made.values():
            cells += [f"{rows[n] / rows.sum():.1%}", f"{rows[n] / begun[n]:.0f}" if begun[n] else ""]
        lines.append((word, *cells))
    last = [text for _, _, changes in made.values() for text in (f"{changes:.0f}", "")]
    heads = [text for split in made for text in (f"{split}, share", "rows a stay")]
    return table(("regime", *heads), [*lines, ("*changes per 1,000 rows*", *last)])


def passed(told: Any, limits: dict[str, float]) -> dict[str, Any]:
    """Return which rows each gate passes, asked alone, and which pass all; NaN is refused."""
    made = {}
    for name, kind in GATES.items():
        value, limit = told[kind.reads], kind(limit=limits[name]).params.limit
        made[name] = value >= limit if kind.refuses == "below" else value < limit
    return made | {"all three": np.logical_and.reduce(list(made.values()))}


def passing(found: dict[str, list[Series]]) -> str:
    lines = []
    for name in (*GATES, "all three"):
        rates = (
            np.concatenate([passed(each.told, limits)[name] for each in series]).mean()
            for limits in LIMITS.values()
            for series in found.values()
        )
        lines.append((name, *(f"{rate:.1%}" for rate in rates)))
    return table(("gate", *(f"{split}, {limits}" for limits in LIMITS for split in found)), lines)


def by_market(found: dict[str, list[Series]]) -> str:
    lines = []
    for split in ("calibrate", "choose"):
        for each in found[split]:
            rates = passed(each.told, LIMITS["standard"])
            medians = [f"{np.nanmedian(each.told[name]):.2f}" for name in ("mqscore", *DIMENSIONS)]
            lines.append(
                (each.name, split, len(each.rows), *medians, *(f"{rates[x].mean():.0%}" for x in rates))
            )
    heads = ("market", "split", "rows", "mqscore", *DIMENSIONS, *GATES, "all three")
    return table(heads, lines)


# -- the picture -----------------------------------------------------------------------------------------


def draw(found: dict[str, list[Series]]) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 11), dpi=80, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(4, 2, height_ratios=(3, 3.4, 2.4, 1.4))
        scores(figure.add_subplot(grid[0, 0]), found)
        boxes(figure.add_subplot(grid[0, 1]), found)
        shares(figure.add_subplot(grid[1, 0]), found)
        lengths(figure.add_subplot(grid[1, 1]), found)
        price = figure.add_subplot(grid[2, :])
        example(
            price,
            figure.add_subplot(grid[3, :], sharex=price),
            max(found["choose"], key=lambda s: len(s.rows)),
        )
        figure.savefig(PICTURE, format="png")


def scores(axes: Any, found: dict[str, list[Series]]) -> None:
    """Draw how mqscore is distributed, with the cuts of the grades."""
    for split, series in found.items():
        made, edges = np.histogram(pooled(series, "mqscore"), np.linspace(0, 1, 81), density=True)
        axes.stairs(made, edges, color=COLOURS[split], lw=1.4, label=split)
    params = Quality().params.by_name()
    cuts = sorted(value for name, value in params.items() if name.startswith("grade_"))
    for word, low, high in zip(reversed(GRADES), [0.0, *cuts], [*cuts, 1.0], strict=True):
        axes.axvline(high, color="#c9ced6", lw=0.7, zorder=0)
        axes.text((low + high) / 2, 0.98, word, transform=axes.get_xaxis_transform(), ha="center", va="top")
    axes.axvline(0.45, color=INK, lw=1.0, ls="--", label="composite 0.45")
    axes.set(title="mqscore and its grades", xlabel="mqscore", ylabel="density", xlim=(0, 1))
    axes.legend(frameon=False, loc="center right")


def boxes(axes: Any, found: dict[str, list[Series]]) -> None:
    """Draw 5, 25, 50, 75 and 95 of a hundred of each dimension."""
    for at, name in enumerate(DIMENSIONS):
        for shift, (split, series) in zip((-0.25, 0.0, 0.25), found.items(), strict=True):
            low, first, middle, third, high = np.percentile(pooled(series, name), (5, 25, 50, 75, 95))
            axes.vlines(at + shift, low, high, color=COLOURS[split], lw=1.2)
            axes.bar(at + shift, third - first, 0.18, first, color=COLOURS[split], alpha=0.75)
            axes.hlines(middle, at + shift - 0.09, at + shift + 0.09, color="white", lw=1.6)
    axes.set_xticks(range(len(DIMENSIONS)), [each.replace("_", "\n") for each in DIMENSIONS])
    axes.set(title="The dimensions: 5, 25, 50, 75, 95 of a hundred rows", ylim=(0, 1))
    axes.axhline(0.5, color="#c9ced6", lw=0.7, zorder=0)


def bars(axes: Any, values: dict[str, Any], title: str) -> None:
    places = np.arange(len(regimes.WORDS))
    for shift, (split, each) in zip((-0.27, 0.0, 0.27), values.items(), strict=True):
        axes.barh(places + shift, each, 0.25, color=COLOURS[split], label=split)
    axes.set_yticks(places, [word.replace("_LOW_", "\nLOW_") for word in regimes.WORDS], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title)


def shares(axes: Any, found: dict[str, list[Series]]) -> None:
    bars(axes, {split: 100 * (rows := runs(series)[0]) / rows.sum() for split, series in found.items()},
         "Regimes reported: % of rows")  # fmt: skip


def lengths(axes: Any, found: dict[str, list[Series]]) -> None:
    made = {split: runs(series) for split, series in found.items()}
    bars(axes, {split: rows / np.maximum(begun, 1) for split, (rows, begun, _) in made.items()},
         "Mean stay, rows")  # fmt: skip


def example(price: Any, score: Any, series: Series) -> None:
    """Draw price in the colours of the regimes, and mqscore below."""
    size = min(600, len(series.rows))
    rows, told = series.rows[:size], series.told[:size]
    at, used = np.arange(size), []
    price.plot(at, rows["close"], color="#dfe3e8", lw=0.8)
    for n, word in enumerate(regimes.WORDS):
        own = told["regime"] == n
        if own.any():
            used.append(price.scatter(at[own], rows["close"][own], s=9, color=SHADES[n], label=word, lw=0))
    price.set_title(f"{series.name}, split choose: the first {size:,} rows, by the regime reported")
    price.legend(
        frameon=False, fontsize=7, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.02), markerscale=2.5
    )
    price.tick_params(labelbottom=False)
    score.fill_between(
        at, 0.45, told["mqscore"], where=told["mqscore"] >= 0.45, color="#1a7f5a", alpha=0.6, lw=0
    )
    score.fill_between(
        at, 0.45, told["mqscore"], where=told["mqscore"] < 0.45, color="#b3372f", alpha=0.6, lw=0
    )
    score.set(xlabel="rows of a minute", ylabel="mqscore", ylim=(0.2, 0.9))


if __name__ == "__main__":
    sys.exit(main())
