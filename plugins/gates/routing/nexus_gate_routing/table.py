"""The router's table: of a decision's conviction, its rank among those that reached the router before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import ArrayLike

from nexus_core.calibration import KNOTS
from nexus_core.errors import DataError
from nexus_core.folders import homes

FILE = "router.json"
PACKAGED = Path(__file__).with_name(FILE)
"""The table that the package brings, fitted on a synthetic market."""
LEAST = 50
"""Fewest decisions from which a table is fitted."""


@define
class Table:
    """Knots and straight lines between them, from conviction to rank."""

    facts: Mapping[str, Any] = field(repr=False)
    scores: Any = field(init=False, repr=False, eq=False)
    ranks: Any = field(init=False, repr=False, eq=False)
    """`KNOTS` values each; where there are fewer knots, the last stands for the rest."""

    def __attrs_post_init__(self) -> None:
        """Refuse what is no table: a file may have been edited."""
        made = np.array([self.facts["scores"], self.facts["ranks"]], np.float64)
        if made.ndim != 2 or not 1 <= made.shape[1] <= KNOTS:
            raise ValueError(f"its curves are not 1 to {KNOTS} numbers each")
        scores, ranks = made
        if (
            not ((made >= 0) & (made <= 1)).all()
            or (np.diff(scores) <= 0).any()
            or (np.diff(ranks) < 0).any()
        ):
            raise ValueError("its curves do not rise within [0, 1]")
        rest = (0, KNOTS - made.shape[1])
        self.scores, self.ranks = np.pad(scores, rest, mode="edge"), np.pad(ranks, rest, mode="edge")

    @property
    def digest(self) -> str:
        """Return the hash of its curves."""
        return hashlib.sha256(self.scores.tobytes() + self.ranks.tobytes()).hexdigest()[:32]


def fit(values: ArrayLike) -> dict[str, Any]:
    """Return the table of these convictions, in [0, 1], as JSON can hold it.

    Its knots are the values at even steps through them in order, each once. The rank of a knot is the share
    of all that are below it, and half of those that are equal.
    """
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not ((found >= 0) & (found <= 1)).all():
        raise DataError("convictions are numbers in [0, 1], one for each decision")
    if found.size < LEAST:
        raise DataError(f"{found.size} decisions are too few for the router's table: {LEAST} are needed")
    line = np.sort(found)
    knots = np.unique(line[np.linspace(0, line.size - 1, KNOTS).round().astype(np.int64)])
    below, upto = np.searchsorted(line, knots, "left"), np.searchsorted(line, knots, "right")
    ranks = (below + upto) / 2 / line.size
    return {"rows": int(line.size), "scores": knots.tolist(), "ranks": ranks.tolist()}


def places() -> list[Path]:
    """Return the files in which a table may be: the user's own, then the package's."""
    return [*(home / "calibration" / FILE for home in homes()), PACKAGED]


def find() -> Table | None:
    """Return the first table that there is, None without one."""
    return next((table for path in places() if (table := read(path)) is not None), None)


def read(path: Path) -> Table | None:
    """Return the table in a file, None where there is no file."""
    if not os.path.isfile(path):  # nor where its folder is closed to us
        return None
    try:
        return Table(json.loads(path.read_text(encoding="utf-8")))
    except Exception as error:
        why = f"is no table of the router ({type(error).__name__}: {error})"
        raise DataError(f"{path}: {why}. Fit it again, or remove it.") from error
