"""From a score to its rank and to the chance of being right, with an interval, as a small table.

The curve is an isotonic regression, fitted so that it does not believe noise: signals in order of score are
pooled to blocks of equal count (their number grows with the third root of the signals), every block is drawn
towards the base rate by pseudo-counts and by a factor that the data sets themselves, and neighbours that
fall are pooled. The factor is the slope of what happened over what was foretold, each fifth of the signals
in order of time foretold from the rest: near 1 where scores tell something, 0 where they do not.

Sources: Ayer, Brunk, Ewing, Reid and Silverman (1955), "An empirical distribution function for sampling with
incomplete information"; Zadrozny and Elkan (2002), "Transforming classifier scores into accurate multiclass
probability estimates"; Copas (1983), "Regression, prediction and shrinkage".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import asdict, fields, frozen
from numpy.typing import ArrayLike, NDArray

from nexus_core.errors import ConfigError, DataError
from nexus_stats.intervals import Floats, wilson

KNOTS = 101
"""Most points of a table: a kernel looks it up in a small array."""

LEAST = 50
"""Fewest signals, and fewest independent ones, from which anything is said."""

_FOLDS = 5
_CURVES = ("ranks", "p", "low", "high")


@frozen
class Table:
    """A calibrated score: knots, with straight lines between them and the outer values beyond them."""

    scores: tuple[float, ...]
    """Where the knots are, ascending."""
    ranks: tuple[float, ...]
    """Share of the calibration signals with a score below; of those with the same score, half."""
    p: tuple[float, ...]
    """Chance of being right at the horizon, after costs."""
    low: tuple[float, ...]
    """Lower bound of that chance."""
    high: tuple[float, ...]
    """Upper bound of it."""
    signals: int
    """Signals of the calibration."""
    base: float
    """Share of them that were right."""

    def __attrs_post_init__(self) -> None:
        """Refuse what is no table: a file may have been edited."""
        curves = np.array([self.scores, *(getattr(self, each) for each in _CURVES)], np.float64)
        if not 1 <= curves.shape[1] <= KNOTS or not np.isfinite(curves).all():
            raise DataError(f"a calibration table has 1 to {KNOTS} knots, all of them numbers")
        if (np.diff(curves[0]) <= 0).any() or (np.diff(curves[1:]) < 0).any():
            raise DataError("a calibration table must ascend")
        _, p, low, high = bounded = curves[1:]
        if (bounded < 0).any() or (bounded > 1).any() or (low > p).any() or (p > high).any():
            raise DataError("a calibration table has 0 <= low <= p <= high <= 1, and ranks from 0 to 1")
        if self.signals < 1 or not 0 <= self.base <= 1:
            raise DataError("a calibration table is of at least 1 signal, and its base rate is a share")

    def confidence(self, scores: ArrayLike) -> Floats:
        """Return the rank of scores among the calibration signals, 0 to 1. NaN stays NaN."""
        return self._look(scores, self.ranks)

    def p_right(self, scores: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return the chance that a signal of such a score is right, and its lower and upper bounds."""
        return self._look(scores, self.p), self._look(scores, self.low), self._look(scores, self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON can hold it."""
        return {name: list(each) if isinstance(each, tuple) else each for name, each in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Table:
        """Return the table that `to_dict` wrote."""
        names = {each.name for each in fields(cls)}
        if set(content) != names:
            raise DataError(f"a calibration table has {', '.join(sorted(names))}, had {', '.join(content)}")
        try:
            curves = {name: tuple(float(each) for each in content[name]) for name in ("scores", *_CURVES)}
            facts = {"signals": int(content["signals"]), "base": float(content["base"])}
        except (TypeError, ValueError) as error:
            raise DataError(f"a calibration table holds numbers: {error}") from None
        if len({len(each) for each in curves.values()}) != 1:
            raise DataError("a calibration table has as many numbers in each of its lists")
        return cls(**curves, **facts)

    def _look(self, scores: ArrayLike, curve: tuple[float, ...]) -> Floats:
        return np.interp(np.asarray(scores, np.float64), self.scores, curve)


def fit(
    scores: ArrayLike,
    right: ArrayLike,
    *,
    independent: float | None = None,
    least: int = 25,
    pseudo: float = 10.0,
    level: float = 0.95,
) -> Table:
    """Fit the table of signals in order of time: their scores, and whether each was right.

    `independent` is how many independent outcomes they are worth (see `intervals.effective`; by default all):
    fewer make the interval wider and the pull to the base rate stronger. `least` is the fewest independent
    signals in a block, `pseudo` the pseudo-counts at the base rate added to each. The interval at a knot is
    Wilson's of the block around it: it leans on no other block, so it is rather too wide than too narrow.
    """
    score, hit = _checked(scores, right)
    size = len(score)
    worth = float(size) if independent is None else float(independent)
    _check_fit(size, worth, least, pseudo)
    base = float(hit.mean())
    shrink = _slope(score, hit, worth / size, least, pseudo)
    centre, rate, count = _blocks(score, hit, worth / size, least)
    curve = _curve(rate, count, base, pseudo, shrink)
    low, high = wilson(rate * count, count, level)
    low = np.minimum(isotonic(low, count), curve)
    high = np.maximum(isotonic(high, count), curve)
    knots, ranks = _ranks(score)
    # rounding may turn a line by the last bit
    ranks, p, low, high = (
        np.maximum.accumulate(each)
        for each in (ranks, *(np.interp(knots, centre, each) for each in (curve, low, high)))
    )
    rows = (knots, ranks, p, np.minimum(low, p), np.maximum(high, p))
    return Table(*(tuple(each.tolist()) for each in rows), signals=size, base=base)


def isotonic(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the non-descending series nearest to `values` by weighted squares: pool adjacent violators."""
    value = np.asarray(values, np.float64)
    weight = np.ones(len(value)) if weights is None else np.asarray(weights, np.float64)
    if value.shape != weight.shape or value.ndim != 1 or not (weight > 0).all() or np.isnan(value).any():
        raise DataError("isotonic regression takes numbers, and a weight above 0 for each")
    means: list[float] = []
    heavy: list[float] = []
    many: list[int] = []
    for one, its in zip(value.tolist(), weight.tolist(), strict=True):
        mean, mass, count = one, its, 1
        while means and means[-1] >= mean:
            whole = heavy[-1] + mass
            mean = (means.pop() * heavy[-1] + mean * mass) / whole
            mass, count = whole, count + many.pop()
            heavy.pop()
        means.append(mean)
        heavy.append(mass)
        many.append(count)
    return np.repeat(np.array(means, np.float64), many) if means else value


def _curve(rate: Floats, count: Floats, base: float, pseudo: float, shrink: float) -> Floats:
    drawn = base + shrink * (rate - base) * count / (count + pseudo)
    return np.clip(isotonic(drawn, count), 0.0, 1.0)


def _blocks(score: Floats, hit: Floats, worth: float, least: int) -> tuple[Floats, Floats, Floats]:
    """Return the mean score, the share of hits and the independent count of blocks in order of score.

    Equal scores stay in one block: nothing tells them apart.
    """
    order = np.argsort(score, kind="stable")
    ordered, size = score[order], len(score)
    each = max(least, (size * worth) ** (2 / 3)) / worth
    edges = np.linspace(0, size, max(1, int(size / each)) + 1).round().astype(np.int64)[:-1]
    edges = np.unique(np.searchsorted(ordered, ordered[edges]))
    counts = np.diff(np.append(edges, size)).astype(np.float64)
    centre = np.add.reduceat(ordered, edges) / counts
    return centre, np.add.reduceat(hit[order], edges) / counts, counts * worth


def _slope(score: Floats, hit: Floats, worth: float, least: int, pseudo: float) -> float:
    """Return how much of a curve's distance from the base rate holds on signals kept back, 0 to 1."""
    foretold, came = np.empty(len(score)), np.empty(len(score))
    for part in np.array_split(np.arange(len(score)), _FOLDS):
        rest = np.delete(np.arange(len(score)), part)
        base = float(hit[rest].mean())
        centre, rate, count = _blocks(score[rest], hit[rest], worth, least)
        curve = _curve(rate, count, base, pseudo, 1.0)
        foretold[part] = np.interp(score[part], centre, curve) - base
        came[part] = hit[part] - base
    spread = float((foretold**2).sum())
    return float(np.clip((foretold * came).sum() / spread, 0.0, 1.0)) if spread > 0 else 0.0


def _ranks(score: Floats) -> tuple[Floats, Floats]:
    """Return the distinct quantiles of the scores, and the rank of each: of equal ones, the mean."""
    ranks = np.linspace(0, 1, KNOTS)
    knots, which = np.unique(np.quantile(score, ranks), return_inverse=True)
    return knots, np.bincount(which, ranks) / np.bincount(which)


def _checked(scores: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    score, given = np.asarray(scores, np.float64), np.asarray(right)
    if score.ndim != 1 or score.shape != given.shape:
        raise DataError("scores and right must be one each for every signal")
    if not np.isfinite(score).all():
        raise DataError("scores must be finite: leave out signals without one")
    return score, shares(given)


def shares(right: NDArray[Any]) -> Floats:
    """Return outcomes, true or false, as 1.0 and 0.0."""
    hit = right.astype(np.float64)
    if not ((hit == 0) | (hit == 1)).all():
        raise DataError("right must be true or false")
    return hit


def _check_fit(size: int, worth: float, least: int, pseudo: float) -> None:
    if size < LEAST:
        raise DataError(f"{size} signals are too few to calibrate: at least {LEAST} are needed")
    if not 0 < worth <= size:
        raise ConfigError(f"independent was {worth}, must be above 0 and at most the {size} signals")
    if worth < LEAST:
        raise DataError(
            f"{size} overlapping signals are worth {worth:.0f}, too few to calibrate: {LEAST} are needed"
        )
    if least < 1 or pseudo < 0:
        raise ConfigError(f"least was {least}, must be at least 1; pseudo was {pseudo}, must not be below 0")
