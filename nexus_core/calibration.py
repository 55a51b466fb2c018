"""What a strategy's score is worth: its rank among past signals, and the share of those that were right.

A table is fitted for one strategy, in one version, with one horizon and set of parameters, on one population
of rows of one length; of any other it says nothing. The user's own tables come before those that a strategy
was published with.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field

from nexus_core.errors import DataError
from nexus_core.folders import homes
from nexus_core.steps.curves import interpolate
from nexus_core.strategy import Strategy

KNOTS = 101
CURVES = ("scores", "ranks", "p", "low", "high")
"""Curves over the score: its rank, and the share right at the horizon with its interval, all in [0, 1]."""
FILE = "calibration.json"


@define
class Table:
    """What a strategy's scores were worth where the table was fitted."""

    facts: Mapping[str, Any] = field(repr=False)
    knots: Any = field(init=False, repr=False, eq=False)
    """Its curves, `KNOTS` values each; where it has fewer, the last stands for the rest."""

    def __attrs_post_init__(self) -> None:
        made = np.array([self.facts[name] for name in CURVES], np.float64)
        rises = made.ndim == 2 and (np.diff(made[:2], axis=1) >= 0).all()
        if not rises or not 1 <= made.shape[1] <= KNOTS or not ((made >= 0) & (made <= 1)).all():
            raise ValueError(f"its curves are not 1 to {KNOTS} values in [0, 1], scores and ranks rising")
        self.knots = np.pad(made, ((0, 0), (0, KNOTS - made.shape[1])), mode="edge")

    def fits(self, asked: Mapping[str, Any]) -> bool:
        """Tell whether it was fitted on what is asked for."""
        return all(self.facts.get(name) == value for name, value in asked.items())

    @property
    def digest(self) -> str:
        """Return the hash of its curves."""
        return hashlib.sha256(self.knots.tobytes()).hexdigest()[:32]

    def said(self, score: float) -> dict[str, float]:
        """Return what a score is worth: confidence, p_right, and the ends of its interval."""
        names = ("confidence", "p_right", "low", "high")
        curves = (float(interpolate(self.knots[0], each, score)) for each in self.knots[1:])
        return dict(zip(names, curves, strict=True))


def asked(strategy: Strategy, version: str, population: str, interval: int) -> dict[str, Any]:
    """Return what a table must have been fitted on to hold for a strategy; `interval` in nanoseconds."""
    return {
        "strategy": strategy.name,
        "population": population,
        "interval": interval,
        "horizon": strategy.horizon,
        "version": version,
        "params": strategy.params.by_name(),
    }


def find(strategy: Strategy, wanted: Mapping[str, Any]) -> Table | None:
    """Return the table that holds for a strategy, the user's before the published one; None without one."""
    fitting = (each for path in places(strategy) for each in read(path) if each.fits(wanted))
    return next(fitting, None)


def places(strategy: Strategy) -> list[Path]:
    """Return the files in which a strategy's tables may be, the user's own first."""
    own = [home / "calibration" / f"{strategy.name}.json" for home in homes()]
    module = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
    return [*own, Path(module).with_name(FILE)] if module else own


def ranks(tables: Sequence[Table | None]) -> Any:
    """Return the curves from score to rank and to share right of each, NaN where there is no table."""
    made = np.full((len(tables), 3, KNOTS), np.nan)
    for k, table in enumerate(tables):
        if table is not None:
            made[k] = table.knots[:3]
    return made


def read(path: Path) -> Sequence[Table]:
    """Return the tables of a file, none where there is no file."""
    if not os.path.isfile(path):  # nor where its folder is closed to us, as somebody else's home is
        return []
    try:
        return [Table(each) for each in json.loads(path.read_text(encoding="utf-8"))["tables"]]
    except Exception as error:
        why = f"is no file of calibration tables ({type(error).__name__}: {error})"
        raise DataError(f"{path}: {why}. Fit it again, or remove it.") from error
