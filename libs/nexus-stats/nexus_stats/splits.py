"""Which samples may train a model that is tried on others: purged k-fold, walk-forward, combinatorial paths.

A sample is decided at its start and known at its end: its outcome spans (start, end]. Where that overlaps the
span of a tested sample, training on it would tell of the test: it is purged. After a test, samples that start
within the embargo stay out too, for what the market remembers.

Starts must ascend; starts, ends and the embargo are in the same unit, rows or nanoseconds.

Source: Lopez de Prado (2018), "Advances in Financial Machine Learning", chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nexus_core.errors import ConfigError, DataError
from nexus_stats.intervals import Ints

Split = tuple[Ints, Ints]
"""Indices of the samples to train on, and of those to test on, ascending."""


def k_fold(starts: ArrayLike, ends: ArrayLike, folds: int, embargo: float = 0) -> Iterator[Split]:
    """Yield each of `folds` parts of equal count as the test, all else that is not purged as training."""
    first, last = _spans(starts, ends, embargo)
    for part in _groups(len(first), folds):
        yield _rest(first, last, [part], embargo), part


def walk_forward(
    starts: ArrayLike, ends: ArrayLike, tests: int, window: int | None = None
) -> Iterator[Split]:
    """Yield `tests` tests one after the other, each with what was known before it as training.

    The samples are cut into one part more than tests. Training is anchored at the first sample, or rolls: it
    has the last `window` parts before the test. It is purged of what was not known when the test began. There
    is no embargo, for nothing after a test trains.
    """
    first, last = _spans(starts, ends, 0)
    parts = _groups(len(first), tests + 1)
    if tests < 1 or (window is not None and window < 1):
        raise ConfigError(f"tests was {tests} and window {window}, both must be at least 1")
    for place in range(1, len(parts)):
        begin = 0 if window is None else max(0, place - window)
        before = np.arange(parts[begin][0], parts[place][0])
        yield before[last[before] <= first[parts[place][0]]], parts[place]


def combinatorial(
    starts: ArrayLike, ends: ArrayLike, groups: int, tests: int, embargo: float = 0
) -> Iterator[Split]:
    """Yield every choice of `tests` out of `groups` parts as the test, in the order of `choices`."""
    first, last = _spans(starts, ends, embargo)
    parts = _groups(len(first), groups)
    for chosen in choices(groups, tests):
        tested = [parts[each] for each in chosen]
        yield _rest(first, last, tested, embargo), np.concatenate(tested)


def choices(groups: int, tests: int) -> list[tuple[int, ...]]:
    """Return the groups that each combinatorial split tests."""
    if not 1 <= tests < groups:
        raise ConfigError(f"tests was {tests}, must be at least 1 and below the {groups} groups")
    return list(combinations(range(groups), tests))


def paths(groups: int, tests: int) -> Ints:
    """Return the paths of the combinatorial splits: (path, group) -> the split that tests that group on it.

    Every path runs once through all groups, and every test of a group lies on one path.
    """
    chosen = choices(groups, tests)
    return np.array(
        [[split for split, each in enumerate(chosen) if group in each] for group in range(groups)]
    ).T


def _groups(size: int, count: int) -> list[Ints]:
    if not 2 <= count <= size:
        raise ConfigError(f"{size} samples cannot be cut into {count} parts: 2 to {size} can be")
    return np.array_split(np.arange(size), count)


def _rest(starts: NDArray[Any], ends: NDArray[Any], tested: Iterable[Ints], embargo: float) -> Ints:
    keep = np.ones(len(starts), np.bool_)
    for part in tested:
        # a part is whole in the order of starts, so what neither ends before it nor starts after it overlaps
        over = ends[part].max()
        keep &= (ends <= starts[part[0]]) | (starts >= over + embargo)
        keep[part] = False
    return np.flatnonzero(keep)


def _spans(starts: ArrayLike, ends: ArrayLike, embargo: float) -> tuple[NDArray[Any], NDArray[Any]]:
    first, last = np.asarray(starts), np.asarray(ends)
    if first.shape != last.shape or first.ndim != 1 or not (first < last).all():
        raise DataError("every sample needs a start and an end after it")
    if (np.diff(first) < 0).any():
        raise DataError("starts must not go back: sort the samples by time")
    if not embargo >= 0:
        raise ConfigError(f"embargo was {embargo}, must not be below 0")
    return first, last
