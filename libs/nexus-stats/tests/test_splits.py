"""Splits: no training outcome overlaps a tested one, and nothing else is lost."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_stats.splits import choices, combinatorial, k_fold, paths, walk_forward

from nexus_core.errors import ConfigError, DataError


@st.composite
def samples(draw):
    """Return starts, some of them equal, and ends at horizons that differ."""
    size = draw(st.integers(6, 40))
    starts = np.cumsum(draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)))
    return starts, starts + draw(st.lists(st.integers(1, 15), min_size=size, max_size=size))


def overlaps(starts, ends, one, others):
    return any(starts[one] < ends[each] and starts[each] < ends[one] for each in others)


def follows(starts, ends, one, part, embargo):
    """Tell whether a sample starts within the embargo after the outcomes of a tested part."""
    over = max(ends[each] for each in part)
    return over <= starts[one] < over + embargo


def parts_of(tests):
    """Return runs of neighbouring indices."""
    cuts = np.flatnonzero(np.diff(tests) > 1) + 1
    return np.split(tests, cuts)


def check(starts, ends, train, test, parts, embargo):
    """Check sample by sample that exactly those are lost which must be."""
    kept, tested = set(train.tolist()), set(test.tolist())
    assert not kept & tested
    assert train.tolist() == sorted(kept)
    for each in set(range(len(starts))) - tested:
        is_lost = overlaps(starts, ends, each, test) or any(
            follows(starts, ends, each, part, embargo) for part in parts
        )
        assert (each not in kept) == is_lost


@settings(deadline=None)
@given(samples(), st.integers(2, 6), st.integers(0, 8))
def test_k_fold_loses_what_overlaps_and_nothing_else(spans, folds, embargo):
    starts, ends = spans
    seen = []
    for train, test in k_fold(starts, ends, folds, embargo):
        check(starts, ends, train, test, [test], embargo)
        seen += test.tolist()
    assert seen == list(range(len(starts)))


@settings(deadline=None)
@given(samples(), st.integers(3, 6), st.data(), st.integers(0, 8))
def test_combinatorial_loses_what_overlaps_and_nothing_else(spans, groups, data, embargo):
    starts, ends = spans
    tests = data.draw(st.integers(1, groups - 1))
    parts = np.array_split(np.arange(len(starts)), groups)
    splits = list(combinatorial(starts, ends, groups, tests, embargo))
    assert len(splits) == comb(groups, tests)
    for chosen, (train, test) in zip(choices(groups, tests), splits, strict=True):
        assert test.tolist() == [each for group in chosen for each in parts[group]]
        check(starts, ends, train, test, [parts[group] for group in chosen], embargo)


@settings(deadline=None)
@given(samples(), st.integers(1, 5), st.none() | st.integers(1, 3))
def test_walk_forward_trains_on_what_was_known(spans, tests, window):
    starts, ends = spans
    parts = np.array_split(np.arange(len(starts)), tests + 1)
    for place, (train, test) in enumerate(walk_forward(starts, ends, tests, window), 1):
        assert test.tolist() == parts[place].tolist()
        begin = 0 if window is None else max(0, place - window)
        before = [each for part in parts[begin:place] for each in part.tolist()]
        assert train.tolist() == [each for each in before if ends[each] <= starts[test[0]]]
        assert not any(overlaps(starts, ends, each, test) for each in train)


def test_walk_forward_by_hand():
    starts = np.arange(9)
    got = [
        (train.tolist(), test.tolist()) for train, test in walk_forward(starts, starts + 2, tests=2, window=1)
    ]
    assert got == [([0, 1], [3, 4, 5]), ([3, 4], [6, 7, 8])]
    got = [train.tolist() for train, _ in walk_forward(starts, starts + 2, tests=2)]
    assert got == [[0, 1], [0, 1, 2, 3, 4]]


def test_k_fold_by_hand():
    starts = np.arange(12) * 60
    got = [train.tolist() for train, _ in k_fold(starts, starts + 120, folds=3, embargo=60)]
    assert got == [[6, 7, 8, 9, 10, 11], [0, 1, 2, 10, 11], [0, 1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize(("groups", "tests"), [(2, 1), (6, 2), (6, 3), (8, 2)])
def test_paths_run_through_all_groups_once_and_use_every_test_once(groups, tests):
    found = paths(groups, tests)
    assert found.shape == (comb(groups - 1, tests - 1), groups)
    used = [(int(split), group) for path in found for group, split in enumerate(path)]
    chosen = choices(groups, tests)
    assert sorted(used) == [(split, group) for split, each in enumerate(chosen) for group in each]


def test_a_long_outcome_before_a_test_is_purged_and_short_ones_after_it_are_not():
    starts, ends = np.arange(6), np.array([6, 2, 3, 4, 5, 6])
    splits = list(k_fold(starts, ends, 3))
    assert splits[1][0].tolist() == [1, 4, 5]
    assert all(one[1][0] < other[1][0] for one, other in pairwise(splits))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: k_fold([0, 1], [1, 2], 3), ConfigError, "3 parts"),
        (lambda: k_fold([0, 1], [1, 2], 1), ConfigError, "1 parts"),
        (lambda: k_fold([0, 1], [1, 1], 2), DataError, "end after"),
        (lambda: k_fold([1, 0], [2, 2], 2), DataError, "go back"),
        (lambda: k_fold([0, 1], [1, 2], 2, embargo=-1), ConfigError, "embargo"),
        (lambda: walk_forward([0, 1], [1, 2], 0), ConfigError, "parts"),
        (lambda: walk_forward([0, 1], [1, 2], 1, window=0), ConfigError, "window"),
        (lambda: combinatorial([0, 1, 2], [1, 2, 3], 3, 3), ConfigError, "below the 3"),
        (lambda: iter(paths(3, 0)), ConfigError, "at least 1"),
    ],
)
def test_what_cannot_be_split_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        list(call())
