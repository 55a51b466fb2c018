"""Calibration tables: fitted on signals that were judged, kept in files, looked up as a run does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import frozen

from nexus_core import calibration, runs
from nexus_core.calibration import Table
from nexus_core.errors import DataError, NotFoundError, UsageError
from nexus_core.folders import homes

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_app_data.playing import Player

FEWEST = 50
"""Signals that a table is fitted on at least."""

SAME = ("strategy", "population", "interval", "horizon", "version", "params")
"""Facts that no two tables of a file share."""


@frozen
class Fitted:
    """What came of calibrating a strategy."""

    table: Table | None
    signals: int
    why: str = ""
    """Why there is no table."""


def population(player: Player) -> str:
    """Return what market a strategy was played on."""
    return player.played[0].source.population


def fitted(player: Player, version: str, split: str, minutes: int = 0) -> Fitted:
    """Fit the table of a strategy on what became of its signals; `minutes` of a synthetic market."""
    from nexus_stats import fit

    from nexus_app_data.evaluation import judged

    found = judged(player.played, int(player.strategy.horizon))
    signals = len(found.scores)
    if signals < FEWEST:
        return Fitted(None, signals, f"{signals} signals to judge, at least {FEWEST} are needed")
    try:
        made = fit(found.scores, found.right, independent=found.independent).to_dict()
    except DataError as error:
        return Fitted(None, signals, str(error))
    asked = calibration.asked(player.strategy, version, population(player), player.interval)
    names = sorted({each.source.name for each in player.played})
    source = [f"{minutes} minutes of each seed"] if minutes else names
    return Fitted(
        Table({"strategy": player.name, **asked, "split": split, "source": source, **made}), signals
    )


def keep(path: Path, table: Table) -> None:
    """Put a table into a file, in the place of one of the same facts; the others stay."""
    others = [each for each in calibration.read(path) if _same(each) != _same(table)]
    lines = [json.dumps(dict(each.facts)) for each in sorted([*others, table], key=_same)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        runs.write(path, '{"tables": [\n' + ",\n".join(lines) + "\n]}\n")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}). Choose another with --out."
        ) from error


def place(name: str, out: Path | None, *, alone: bool) -> Path:
    """Return the file for a strategy's table: the one asked for, or in that folder, else the user's own."""
    if out is None:
        if not homes():
            raise UsageError("there is no home folder to keep a table in. Name a file with --out.")
        return homes()[0] / "calibration" / f"{name}.json"
    if out.suffix != ".json" or out.is_dir():
        return out / f"{name}.json"
    if not alone:
        raise UsageError(f"--out was {out}: the tables of several strategies need a folder. Name one.")
    return out


def table_of(player: Player, version: str, tables: Path | None) -> Table | None:
    """Return the table that holds for a strategy on the markets it was played on; of a file, if named."""
    wanted = calibration.asked(player.strategy, version, population(player), player.interval)
    if tables is None:
        return calibration.find(player.strategy, wanted)
    if not tables.exists():
        raise NotFoundError(
            f"{tables}: there is no such file of tables. Fit one: nexus strategies calibrate."
        )
    path = tables / f"{player.name}.json" if tables.is_dir() else tables
    own = [each for each in calibration.read(path) if each.facts.get("strategy", player.name) == player.name]
    return next((each for each in own if each.fits(wanted)), None)


def overlaps(table: Table, split: str, names: set[str]) -> bool:
    """Tell whether a table was fitted on some of what is judged with it."""
    from nexus_app_data.markets import numbers

    fitted_on = str(table.facts.get("split", ""))
    if fitted_on.startswith("seeds ") and split.startswith("seeds "):
        one, other = (set(numbers(each.removeprefix("seeds "))) for each in (fitted_on, split))
        return bool(one & other)
    return fitted_on == split and bool(names & set(table.facts.get("source", ())))


def _same(table: Table) -> str:
    return json.dumps([table.facts.get(name) for name in SAME], sort_keys=True)
