"""`nexus strategies`: what is installed, what its scores are worth, and what its signals were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from nexus_core.cli.output import Json, Progress, command, show
from nexus_core.errors import CheckFailedError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_app_data.markets import Given, Source
    from nexus_app_data.playing import Player
    from nexus_app_data.registry import Entry

app = command(help="The installed strategies: facts, calibration, and what their signals were worth.")

SHORTEST, LONGEST = 0.001, 604_800
"""Seconds of a row."""

Name = Annotated[str, Argument(help="Name of a strategy.")]
Names = Annotated[list[str], Argument(help="Names of strategies.")]
Some = Annotated[list[str] | None, Argument(help="Names of strategies; all that are installed without one.")]
Data = Annotated[
    list[str] | None,
    Option(help="A file of bars, trades or quotes, a recording, or a series. May be repeated."),
]
Synthetic = Annotated[
    str, Option(help="A market made here instead: bars, flow, or plants (flow with patterns).")
]
Seeds = Annotated[str, Option(help="Seeds of the synthetic market.")]
Minutes = Annotated[int, Option(help="Minutes of each seed.", min=1, max=1_000_000)]
Interval = Annotated[
    float, Option(help="Seconds of a row; else the file's bars, or what the strategy was made for.", min=0)
]
Sets = Annotated[list[str] | None, Option("--set", help="A parameter: k=3. May be repeated.")]
Catalog = Annotated[Path | None, Option(help="Folder of the catalog; else NEXUS_HOME/catalog.")]
OutFile = Annotated[Path | None, Option("--out", help="File of the table; else the user's own.")]
Split = Annotated[str, Option(help="calibrate, choose or final; of data alone.")]
Why = Annotated[str, Option(help="Why the final split is read; it is written down.")]
Fee = Annotated[float, Option(help="Fee of a side, as a fraction of the price.", min=0, max=0.5)]
Tables = Annotated[Path | None, Option(help="File or folder of tables, instead of those that a run finds.")]
Plot = Annotated[Path | None, Option(help="Draw price, signals and reliability into this PNG file.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the installed strategies, and for which markets their scores are calibrated."""
    from nexus_app_data import registry, wording

    facts = [registry.brief(each) for each in registry.every()]
    show(as_json, facts, wording.listed(facts) if facts else ["no strategy is installed"])


@app.command("show")
def show_(name: Name, as_json: Json = False) -> None:
    """Show all of one strategy: what it is and can, its parameters, its calibration tables."""
    from nexus_app_data import registry, wording

    facts = registry.full(registry.entry(name, {}))
    show(as_json, facts, wording.shown(facts))


@app.command()
def calibrate(
    names: Names,
    data: Data = None,
    synthetic: Synthetic = "",
    seeds: Seeds = "1000-1019",
    minutes: Minutes = 240,
    interval: Interval = 0.0,
    sets: Sets = None,
    catalog: Catalog = None,
    out: OutFile = None,
    as_json: Json = False,
) -> None:
    """Fit what scores are worth, on the calibrate split of data or on a synthetic market."""
    from nexus_app_data import fitting, wording
    from nexus_app_data.markets import Given

    entries = _entries(names, sets)
    files = {each.name: fitting.place(each.name, out, alone=len(entries) == 1) for each in entries}
    given = Given(data or (), synthetic, seeds, minutes, "calibrate", "", catalog)
    players, _ = _played(entries, given, interval)
    done = [_calibrated(each, players.get(each.name), given, files[each.name]) for each in entries]
    show(as_json, done, wording.calibrated(done))
    tried = [each for each in done if each["state"] != "inactive"]
    if tried and all(each["state"] != "calibrated" for each in tried):
        raise CheckFailedError("strategies: no table was fitted. Give more data, or longer.")


@app.command()
def evaluate(
    names: Some = None,
    data: Data = None,
    synthetic: Synthetic = "",
    seeds: Seeds = "1000-1019",
    minutes: Minutes = 240,
    interval: Interval = 0.0,
    sets: Sets = None,
    split: Split = "choose",
    why: Why = "",
    fee: Fee = 0.0005,
    tables: Tables = None,
    catalog: Catalog = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Measure what signals were worth: hits beside no skill, calibration, moves net of costs, time."""
    from nexus_app_data import wording
    from nexus_app_data.markets import Given

    if plot is not None and (len(names or ()) != 1 or plot.suffix.lower() != ".png"):
        raise UsageError(f"--plot was {plot}: it is of one strategy, and must end in .png.")
    given = Given(data or (), synthetic, seeds, minutes, split, why, catalog)
    entries = _entries(names or (), sets)
    players, sources = _played(entries, given, interval)
    done = [_evaluated(each, players.get(each.name), given, fee, tables) for each in entries]
    facts: dict[str, Any] = {
        "split": given.named,
        "sources": [each.name for each in sources],
        "population": sources[0].population,
        "final": _sealed(given, players),
        "strategies": done,
    }
    if plot is not None:
        facts["plot"] = _drawn(plot, players, done[0])
    show(as_json, facts, wording.evaluated(facts))


def _entries(names: Sequence[str], sets: Sequence[str] | None) -> list[Entry]:
    """Set up the strategies named, all without a name; where every one is broken, that is an error."""
    from nexus_app_data import registry

    params = registry.settings(sets or (), names)
    found = [registry.entry(each, params) for each in dict.fromkeys(names)] if names else registry.every()
    if not found:
        raise NotFoundError("strategies: none is installed. Install one: nexus plugins install.")
    if all(each.strategy is None for each in found) and found[0].error:
        raise found[0].error
    return found


def _played(
    entries: Sequence[Entry], given: Given, interval: float
) -> tuple[dict[str, Player], list[Source]]:
    """Play the strategies that are not broken on the markets asked for."""
    from nexus_app_data.playing import enlisted, play

    if interval and not SHORTEST <= interval <= LONGEST:
        raise UsageError(f"--interval was {interval:g}, must be {SHORTEST:g} to {LONGEST:,} seconds.")
    sources, progress = given.sources(), Progress()
    players = [
        enlisted(each.name, each.strategy, sources, interval) for each in entries if each.strategy is not None
    ]
    for name in play(players, sources):
        progress(f"played {name}")
    progress.done()
    return {each.name: each for each in players}, sources


def _state(one: Entry, player: Player | None) -> dict[str, Any]:
    """Return what a strategy is, and why it has no figures if it has none."""
    made: dict[str, Any] = {"name": one.name, "version": one.version, "state": "played"}
    if player is None:
        return {**made, "state": "broken", "reason": str(one.error)}
    if player.unfed:
        return {**made, "state": "inactive", "reason": player.unfed}
    if player.broken:
        return {**made, "state": "broken", "reason": player.broken}
    if not player.played:
        return {**made, "state": "inactive", "reason": "the market has no row of that length"}
    source = player.played[0].source
    return {
        **made,
        "population": source.population,
        "interval_s": player.interval / 1e9,
        "horizon": int(player.strategy.horizon),
        "params": player.strategy.params.by_name(),
    }


def _calibrated(one: Entry, player: Player | None, given: Given, path: Path) -> dict[str, Any]:
    from nexus_app_data import fitting

    made = _state(one, player)
    if player is None or made["state"] != "played":
        return made
    done = fitting.fitted(player, one.version, given.named, given.minutes if given.synthetic else 0)
    if done.table is None:
        return {**made, "state": "not calibrated", "reason": done.why, "signals": done.signals}
    fitting.keep(path, done.table)
    facts = {name: done.table.facts[name] for name in ("split", "source", "signals", "base")}
    return {**made, "state": "calibrated", **facts, "file": str(path)}


def _evaluated(
    one: Entry, player: Player | None, given: Given, fee: float, tables: Path | None
) -> dict[str, Any]:
    from nexus_app_data import evaluation, fitting

    made = _state(one, player)
    if player is None or made["state"] != "played":
        return made
    found = fitting.table_of(player, one.version, tables)
    names = {each.source.name for each in player.played}
    told: dict[str, Any] = {"table": None, "in_sample": False}
    if found is not None:
        facts = {name: found.facts.get(name) for name in ("split", "source", "signals", "base")}
        told = {"table": facts, "in_sample": fitting.overlaps(found, given.named, names)}
    return {**made, "source": sorted(names), **told, **evaluation.evaluated(player, fee, found)}


def _sealed(given: Given, players: dict[str, Player]) -> dict[str, Any] | None:
    """Return what is told of a reading of the final split; files keep no count of them."""
    if given.split != "final" or given.synthetic:
        return None
    read = [each.source for player in players.values() for each in player.played]
    return {"why": given.why, "counted": sorted({each.name for each in read if each.counted})}


def _drawn(plot: Path, players: dict[str, Player], facts: dict[str, Any]) -> str:
    from nexus_app_data import signals_picture

    if facts["state"] != "played":
        raise UsageError(f"strategies:{facts['name']}: nothing to draw: {facts['state']}: {facts['reason']}.")
    signals_picture.draw(plot, players[facts["name"]], facts)
    return str(plot)
