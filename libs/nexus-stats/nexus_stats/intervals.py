"""How sure an estimate is: Wilson intervals, the stationary bootstrap, and what overlapping outcomes tell.

Outcomes of signals that follow one another within a horizon share the same moves of the market. An interval
that takes them for independent is too narrow: draw whole blocks of them (`bootstrap`), or count them for less
(`effective`).

Sources: Wilson (1927), "Probable inference, the law of succession, and statistical inference"; Politis and
Romano (1994), "The stationary bootstrap"; Politis and White (2004), "Automatic block-length selection for
the dependent bootstrap", with the correction by Patton, Politis and White (2009); Lopez de Prado (2018),
"Advances in Financial Machine Learning", chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from nexus_core.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CELLS = 2_000_000
"""Samples drawn at once: bounds the memory of a bootstrap to some tens of megabytes a column."""


@frozen
class Interval:
    """An estimate, and the bounds between which the true value lies with the probability asked for."""

    value: float
    low: float
    high: float


def wilson(hits: ArrayLike, count: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the lower and upper bounds of the share `hits / count`, element by element.

    The count may be a number of effective samples, so no whole one. Of nothing, the share is 0 to 1.
    """
    n = np.asarray(count, np.float64)
    k = np.asarray(hits, np.float64)
    if not (np.all(k >= 0) and np.all(k <= n)):
        raise DataError("hits must lie between 0 and count")
    z2 = normal(level) ** 2
    known = np.maximum(n, 1e-300)
    share = np.where(n > 0, k / known, 0.5)
    middle = (share * n + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (share * (1 - share) * n + z2 / 4)) / (n + z2)
    low = np.where((share == 0) & (n > 0), 0.0, np.maximum(middle - half, 0.0))
    high = np.where((share == 1) & (n > 0), 1.0, np.minimum(middle + half, 1.0))
    return low[()], high[()]


def normal(level: float) -> float:
    """Return how many standard deviations either side of the mean hold a share `level` of a normal law."""
    if not 0 < level < 1:
        raise ConfigError(f"level was {level}, must be between 0 and 1")
    return NormalDist().inv_cdf(0.5 + level / 2)


def effective(starts: ArrayLike, ends: ArrayLike) -> float:
    """Return how many independent samples the outcomes over the spans (start, end] are worth.

    It is the sum of their average uniqueness (Lopez de Prado 2018, 4.4): a moment that `c` outcomes share
    counts 1/c for each of them. Between 1 and the number of outcomes. Starts and ends are rows or times.
    """
    first, last = np.asarray(starts), np.asarray(ends)
    _check_spans(first, last)
    if not len(first):
        return 0.0
    edges = np.unique(np.concatenate([first, last]))
    begin, end = np.searchsorted(edges, first), np.searchsorted(edges, last)
    size = len(edges)
    shared = np.cumsum(np.bincount(begin, minlength=size) - np.bincount(end, minlength=size))[:-1]
    length = np.diff(edges).astype(np.float64)
    own = np.concatenate([[0.0], np.cumsum(length / np.maximum(shared, 1))])
    unique = (own[end] - own[begin]) / (last - first).astype(np.float64)
    return float(min(unique.sum(), len(first)))


def block_length(values: ArrayLike) -> float:
    """Return the mean block length for the stationary bootstrap of the mean of a series, at least 1.

    After Politis and White (2004), corrected 2009: from the autocovariances up to the lag from which on they
    cannot be told from 0. Of several columns it is the longest of theirs.
    """
    series = np.asarray(values, np.float64)
    if series.ndim == 2:
        return max(block_length(column) for column in series.T)
    n = len(series)
    around = series - series.mean() if n else series
    # a constant, up to the rounding of its mean, has nothing that depends on anything
    if n < 10 or np.abs(around).max() <= 1e-12 * np.abs(series).max():
        return 1.0
    ahead = max(5, math.ceil(math.sqrt(math.log10(n))))
    most = min(math.ceil(math.sqrt(n)) + ahead, n - 1 - ahead)
    covariance = _autocovariance(around, most + ahead)
    far = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    quiet = np.convolve(far, np.ones(ahead), "valid") == ahead  # lag m + 1 and those after it
    settled = int(np.argmax(quiet)) if quiet.any() else most
    reach = min(2 * max(settled, 1), most)
    lags = np.arange(1, reach + 1)
    taper = np.clip(2 * (1 - lags / reach), 0, 1)
    weighted = taper * covariance[1 : reach + 1]
    spectrum = covariance[0] + 2 * weighted.sum()
    slope = 2 * (weighted * lags).sum()
    if spectrum <= 0:
        return 1.0
    best = (slope**2 / spectrum**2 * n) ** (1 / 3)
    return float(np.clip(best, 1.0, min(3 * math.sqrt(n), n / 3)))


def overlap_length(times: ArrayLike, horizon: float) -> float:
    """Return how many outcomes, in the mean, begin within the horizon of one: it and those it overlaps."""
    at = np.asarray(times)
    if not horizon > 0:
        raise ConfigError(f"horizon was {horizon}, must be above 0")
    if len(at) and np.any(np.diff(at) < 0):
        raise DataError("times must not go back")
    return float(np.mean(np.searchsorted(at, at + horizon) - np.arange(len(at)))) if len(at) else 1.0


def resample(size: int, draws: int, block: float, random: np.random.Generator) -> Ints:
    """Return indices of `draws` resamples by the stationary bootstrap, one in a row.

    Blocks begin anywhere with equal chance and have geometric lengths of mean `block`; what runs over the end
    goes on at the beginning.
    """
    place = np.arange(size)
    begins = random.random((draws, size)) * block < 1.0
    begins[:, 0] = True
    origin = random.integers(0, size, (draws, size))
    latest = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return (np.take_along_axis(origin, latest, axis=1) + place - latest) % size


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[Any]], ArrayLike],
    draws: int = 1000,
    block: float | None = None,
    seed: int = 0,
) -> Floats:
    """Return a statistic of `draws` resamples of a series in order of time.

    `values` is a series, or a table with a row for each sample. `statistic` takes resamples one below the
    other (draws, samples[, columns]) and returns one number for each. `block` is the mean length of blocks
    (by default `block_length` of the values). The same seed gives the same draws.
    """
    series = np.asarray(values)
    size = len(series)
    if size < 2:
        raise DataError(f"a bootstrap needs at least 2 samples, had {size}")
    length = block_length(series) if block is None else float(block)
    if not 1 <= length < math.inf or draws < 1:
        raise ConfigError(f"block was {length} and draws {draws}, both must be at least 1")
    random = np.random.default_rng(seed)
    at_once = max(1, _CELLS // size)
    parts: list[Floats] = []
    for done in range(0, draws, at_once):
        indices = resample(size, min(at_once, draws - done), length, random)
        parts.append(np.asarray(statistic(series[indices]), np.float64))
    return np.concatenate(parts)


def between(drawn: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the bounds that leave out an equal share of draws on either side."""
    if not 0 < level < 1:
        raise ConfigError(f"level was {level}, must be between 0 and 1")
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def mean(
    values: ArrayLike,
    level: float = 0.95,
    draws: int = 1000,
    block: float | None = None,
    seed: int = 0,
) -> Interval:
    """Return the mean of a series in order of time, with its interval by the stationary bootstrap."""
    series = np.asarray(values, np.float64)
    if not np.isfinite(series).all():
        raise DataError("values must be finite: leave out what is unknown")
    drawn = bootstrap(series, lambda samples: samples.mean(axis=1), draws, block, seed)
    return Interval(float(series.mean()), *between(drawn, level))


def _autocovariance(around: Floats, lags: int) -> Floats:
    size = len(around)
    wide = 1 << (size + lags).bit_length()
    power = np.abs(np.fft.rfft(around, wide)) ** 2
    return np.fft.irfft(power, wide)[: lags + 1] / size


def _check_spans(starts: NDArray[Any], ends: NDArray[Any]) -> None:
    if starts.shape != ends.shape or starts.ndim != 1:
        raise DataError("starts and ends must be one each for every outcome")
    if not np.all(starts < ends):
        raise DataError("every outcome must end after it starts")
