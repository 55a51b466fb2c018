"""How good foretold chances were, and what signals are worth beside always buying and tossing a coin.

Chances `p` and outcomes `right` are in order of time. Outcomes that overlap are drawn in blocks: give the
`times` of the signals and their `horizon`, both in rows or both in nanoseconds, or a mean block length.

Sources: Brier (1950), "Verification of forecasts expressed in terms of probability"; Murphy and Winkler
(1977), "Reliability of subjective probability forecasts"; Kumar, Liang and Ma (2019), "Verified uncertainty
calibration"; Efron and Tibshirani (1993), "An introduction to the bootstrap".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from nexus_core.errors import ConfigError, DataError
from nexus_core.records import ABSENT
from nexus_stats.calibration import shares
from nexus_stats.intervals import (
    Floats,
    Interval,
    Ints,
    between,
    block_length,
    bootstrap,
    effective,
    overlap_length,
    wilson,
)
from nexus_stats.labels import Outcomes

BINS = 15


@frozen(eq=False)
class Reliability:
    """Foretold against seen, in bins of equal count: what a reliability diagram shows."""

    foretold: Floats
    """Mean chance foretold in the bin."""
    seen: Floats
    """Share that was right."""
    low: Floats
    high: Floats
    """Wilson's bounds of that share."""
    count: Ints


@frozen
class HitRates:
    """How often signals were right after costs, beside what no skill would have been on the same rows."""

    hit: Interval
    """Share that was right, with Wilson's interval for as many as they are independent."""
    long: float
    """Share that would have been right had all been bought."""
    random: float
    """Expected share with the side of each tossed."""
    over_long: Interval
    """How far the share lies above always buying."""
    over_random: Interval
    """How far it lies above tossing."""
    independent: float
    """Independent outcomes that the overlapping ones are worth."""


def reliability(p: ArrayLike, right: ArrayLike, bins: int = BINS, level: float = 0.95) -> Reliability:
    """Return the reliability diagram: bins of equal count, equal chances never parted."""
    chance, hit = _checked(p, right)
    count, foretold, seen = _sums(_bins(chance, bins), chance, hit)
    low, high = wilson(seen, count, level)
    return Reliability(foretold / count, seen / count, low, high, count.astype(np.int64))


def ece(p: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean distance of foretold from seen, by bins of equal count.

    Chance alone adds to it, by 0.4 * sqrt(bins / samples) where p is a half: see `calibration_error`.
    """
    chance, hit = _checked(p, right)
    _, foretold, seen = _sums(_bins(chance, bins), chance, hit)
    return float(np.abs(foretold - seen).sum() / len(chance))


def calibration_error(
    p: ArrayLike,
    right: ArrayLike,
    bins: int = BINS,
    *,
    times: ArrayLike | None = None,
    horizon: float | None = None,
    block: float | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return the root mean square calibration error without the part that chance adds, and its interval.

    From every bin's squared distance the variance of its share is taken (Kumar and others 2019); a total
    below 0 is 0. The interval is of bootstrapped squares, moved by as much as their mean lies above the
    estimate, for every draw has the chance of the sample in it once more.
    """
    chance, hit = _checked(p, right)
    where = _bins(chance, bins)
    table = np.column_stack([where, chance, hit])
    length = _length(hit - chance, times, horizon, block)
    many = int(where.max()) + 1
    square = float(_squares(table[None], many)[0])
    drawn = bootstrap(table, lambda samples: _squares(samples, many), draws, length, seed)
    low, high = between(drawn - (drawn.mean() - square), level)
    return Interval(*(math.sqrt(max(each, 0.0)) for each in (square, low, high)))


def brier(p: ArrayLike, right: ArrayLike) -> float:
    """Return the mean squared distance of chances from outcomes: 0 is perfect, 0.25 is always a half."""
    chance, hit = _checked(p, right)
    return float(((chance - hit) ** 2).mean())


def brier_skill(
    p: ArrayLike,
    right: ArrayLike,
    base: float,
    *,
    times: ArrayLike | None = None,
    horizon: float | None = None,
    block: float | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return the Brier skill over always foretelling `base`, and its interval by the stationary bootstrap.

    1 is perfect, 0 no better, below 0 worse. `base` is known beforehand: of the calibration, never of these
    outcomes.
    """
    if not 0 <= base <= 1:
        raise ConfigError(f"base was {base}, must be a share from 0 to 1")
    chance, hit = _checked(p, right)
    losses = np.column_stack([(chance - hit) ** 2, (base - hit) ** 2])
    if losses[:, 1].max() == 0:
        raise DataError("the base rate foretold every outcome: there is no skill over it")
    length = _length(losses[:, 1] - losses[:, 0], times, horizon, block)
    drawn = bootstrap(losses, _skill, draws, length, seed)
    return Interval(float(_skill(losses[None])[0]), *between(drawn[np.isfinite(drawn)], level))


def hit_rates(outcomes: Outcomes, level: float = 0.95, draws: int = 1000, seed: int = 0) -> HitRates:
    """Return how often signals were right after costs, and how much oftener than without any skill."""
    if len(outcomes.at) < 2:
        raise DataError(f"hit rates need at least 2 outcomes, had {len(outcomes.at)}")
    right = outcomes.right.astype(np.float64)
    bought = (outcomes.move > outcomes.cost).astype(np.float64)
    sold = (-outcomes.move > outcomes.cost).astype(np.float64)
    tossed = (bought + sold) / 2
    independent = effective(outcomes.at, outcomes.to)
    share = float(right.mean())
    low, high = wilson(share * independent, independent, level)
    horizon = float((outcomes.to - outcomes.at).mean())
    over = []
    for excess in (right - bought, right - tossed):
        length = _length(excess, outcomes.at, horizon, None)
        drawn = bootstrap(excess, lambda samples: samples.mean(axis=1), draws, length, seed)
        over.append(Interval(float(excess.mean()), *between(drawn, level)))
    hit = Interval(share, float(low), float(high))
    return HitRates(hit, float(bought.mean()), float(tossed.mean()), over[0], over[1], independent)


def coverage(signals: ArrayLike, least: float = 1.0) -> float:
    """Return the share of rows with a signal of at least this strength either way."""
    sides = _sides(signals, least)
    return float((sides != 0).mean()) if len(sides) else 0.0


def turnover(signals: ArrayLike, least: float = 1.0) -> float:
    """Return the mean change of position a row, if one unit were held as long as the signal stands.

    From nothing to bought is 1, from bought to sold 2; before the first row nothing is held.
    """
    sides = _sides(signals, least)
    return float(np.abs(np.diff(sides, prepend=0)).mean()) if len(sides) else 0.0


def _sides(signals: ArrayLike, least: float) -> Floats:
    values = np.asarray(signals, np.float64)
    known = ~np.isnan(values) & (values != ABSENT) & (np.abs(values) >= least)
    return np.where(known, np.sign(values), 0.0)


def _checked(p: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    chance, given = np.asarray(p, np.float64), np.asarray(right)
    if chance.ndim != 1 or chance.shape != given.shape or not len(chance):
        raise DataError("p and right must be one each for every signal, and at least one")
    if not ((chance >= 0) & (chance <= 1)).all():
        raise DataError("p must lie between 0 and 1: leave out signals without one")
    return chance, shares(given)


def _bins(chance: Floats, bins: int) -> Ints:
    """Return the bin of each chance: bins of about equal count, equal chances in one, none empty."""
    if bins < 1:
        raise ConfigError(f"bins was {bins}, must be at least 1")
    ordered = np.sort(chance)
    inner = ordered[np.arange(1, bins) * len(chance) // bins]
    return np.unique(np.searchsorted(inner, chance, side="right"), return_inverse=True)[1]


def _sums(where: NDArray[Any], *values: Floats) -> list[Floats]:
    return [np.bincount(where, each).astype(np.float64) for each in (np.ones(len(where)), *values)]


def _squares(samples: NDArray[Any], bins: int) -> Floats:
    """Return the debiased squared calibration error of tables (bin, chance, hit), one below the other."""
    draws, size = samples.shape[:2]
    place = (samples[:, :, 0] + bins * np.arange(draws)[:, None]).astype(np.int64).ravel()
    count, distance, hits = (
        np.bincount(place, each.ravel(), draws * bins).reshape(draws, bins)
        for each in (np.ones((draws, size)), samples[:, :, 1] - samples[:, :, 2], samples[:, :, 2])
    )
    filled = np.maximum(count, 1.0)
    share = hits / filled
    chance = share * (1 - share) / np.maximum(count - 1, 1.0)
    return (count * ((distance / filled) ** 2 - chance)).sum(axis=1) / size


def _skill(losses: NDArray[Any]) -> Floats:
    own, base = losses.sum(axis=1).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 - own / base


def _length(values: Floats, times: ArrayLike | None, horizon: float | None, block: float | None) -> float:
    """Return the mean block length: the one given, else as the values ask and no shorter than overlaps."""
    if block is not None:
        return block
    if (times is None) != (horizon is None):
        raise ConfigError("times and horizon belong together: give both or neither")
    length = block_length(values)
    if times is None or horizon is None:
        return length
    if np.shape(times) != values.shape:
        raise DataError("times must be one for every signal")
    return min(max(length, overlap_length(times, horizon)), float(len(values)))
