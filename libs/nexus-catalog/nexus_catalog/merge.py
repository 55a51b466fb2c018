"""Two stretches of one series made one: what agrees is merged, what disagrees is refused by name.

Bars are told apart by their time. Events have no name of their own: all events of one time are compared as
a whole. Books take no event in between others, for a book that two sources tell is neither's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nexus_core.errors import DataError
from nexus_core.records import Records
from nexus_core.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexus_catalog.series import Series

_NAMED = 5
"""Times of rows that are named where two sources disagree."""


def merged(series: Series, kept: Records, given: Records) -> Records:
    """Return all records of both in the order of time; `kept` itself where `given` adds nothing.

    Where they disagree about a time, DataError names the first of those times. `seq` is a position in a
    source, and no part of what is compared.
    """
    kept_times, kept_counts = np.unique(kept["ts"], return_counts=True)
    times, counts = np.unique(given["ts"], return_counts=True)
    common, at_kept, at_given = np.intersect1d(kept_times, times, assume_unique=True, return_indices=True)
    _refuse(series, common[kept_counts[at_kept] != counts[at_given]], kept, given, "another number of events")
    is_old = np.isin(given["ts"], common)
    stored, again = kept[np.isin(kept["ts"], common)], given[is_old]
    differs = (_bits(stored) != _bits(again)).any(axis=1)
    _refuse(series, np.unique(again["ts"][differs]), kept, given, "other values")
    if series.kind == "book":
        _refuse(series, _between(kept_times, times), kept, given, "a book without these events, or with more")
    if is_old.all():
        return kept
    both = joined([kept, given[~is_old]])
    return both[np.argsort(both["ts"], kind="stable")]


def joined(parts: Sequence[Records]) -> Records:
    """Return records one after another, at least one part of them."""
    if len(parts) == 1:
        return parts[0]
    # as bytes: records are put together field by field otherwise, which takes ten times as long
    raw = [np.ascontiguousarray(each).view(np.uint8) for each in parts]
    return np.concatenate(raw).view(parts[0].dtype)


def pieces(series: Series, chunks: Iterator[Records], size: int) -> Iterator[Records]:
    """Cut a source into pieces of about `size` records that never cross a period nor part one time's events.

    A source whose time goes back, or bars that share one, are refused.
    """
    waiting: list[Records] = []
    last = None
    for chunk in chunks:
        if not len(chunk):
            continue
        _must_follow(series, last, chunk)
        last = int(chunk["ts"][-1])
        waiting.append(chunk)
        if sum(map(len, waiting)) >= size:
            rows = joined(waiting)
            whole = int(np.searchsorted(rows["ts"], last))  # more of the last time may follow
            yield from _cut(series, rows[:whole], size)
            waiting = [rows[whole:]]
    if waiting:
        yield from _cut(series, joined(waiting), size)


def _cut(series: Series, rows: Records, size: int) -> Iterator[Records]:
    begin = 0
    while begin < len(rows):
        period = series.period_of(iso(int(rows["ts"][begin])))
        low, high = begin + 1, min(begin + size, len(rows))
        if high < len(rows):  # not in the midst of a time, unless all is one time
            whole = int(np.searchsorted(rows["ts"], rows["ts"][high], side="left"))
            high = whole if whole > begin else int(np.searchsorted(rows["ts"], rows["ts"][high], "right"))
        while low < high:  # the first row of another period
            middle = (low + high) // 2
            if series.period_of(iso(int(rows["ts"][middle]))) == period:
                low = middle + 1
            else:
                high = middle
        yield rows[begin:low]
        begin = low


def _must_follow(series: Series, last: int | None, chunk: Records) -> None:
    times = chunk["ts"] if last is None else np.concatenate([[last], chunk["ts"]])
    steps = np.diff(times)
    wrong = np.flatnonzero(steps <= 0 if series.kind == "bars" else steps < 0)
    if len(wrong):
        ts = int(times[wrong[0] + 1])
        what = "comes twice" if steps[wrong[0]] == 0 else "comes after a later one"
        raise DataError(f"{series.name}: {iso(ts)} {what} in the source. Sort it by time, one row for each.")


def _between(kept: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the times that only one of two has, where both have others before and after."""
    first, last = max(kept[0], given[0]), min(kept[-1], given[-1])
    odd = np.setxor1d(kept, given, assume_unique=True)
    return odd[(odd >= first) & (odd <= last)]


def _bits(records: Records) -> np.ndarray:
    plain = records.copy()
    plain["seq"] = 0
    plain["symbol"] = 0
    return plain.view(np.int64).reshape(len(plain), plain.itemsize // 8)


def _refuse(series: Series, times: np.ndarray, kept: Records, given: Records, what: str) -> None:
    if not len(times):
        return
    named = [_row(kept, given, int(ts)) for ts in times[:_NAMED]]
    more = f" and {len(times) - _NAMED} more" if len(times) > _NAMED else ""
    raise DataError(
        f"{series.name}: the source has {what} at {len(times)} times that are in the catalog: "
        f"{'; '.join(named)}{more}. Nothing was imported; import what is right under another symbol."
    )


def _row(kept: Records, given: Records, ts: int) -> str:
    before, now = kept[kept["ts"] == ts], given[given["ts"] == ts]
    if len(before) != len(now):
        return f"{iso(ts)} ({len(before)} kept, {len(now)} given)"
    at = int(np.flatnonzero((_bits(before) != _bits(now)).any(axis=1))[0])
    names: Sequence[str] = [each for each in before.dtype.names or () if each not in ("seq", "symbol")]
    told = [f"{each} {before[each][at]} kept, {now[each][at]} given" for each in names]
    differ = [
        text
        for text, each in zip(told, names, strict=True)
        if before[each][at].tobytes() != now[each][at].tobytes()
    ]
    return f"{iso(ts)} ({', '.join(differ[:2])})"
