"""What is wrong with a stretch of data, counted while it passes: faults, gaps, coverage, and a verdict."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from nexus_catalog import checks

from nexus_core.market.sessions import OUTSIDE
from nexus_core.types import iso

if TYPE_CHECKING:
    from nexus_catalog.series import Series
    from numpy.typing import NDArray

    from nexus_core.market.sessions import Calendar
    from nexus_core.records import Records

DAY = 86_400_000_000_000
GAPS = 1_000
"""Gaps that are kept, the longest; all are counted."""

_LISTED = 10


@dataclass(slots=True)
class Seen:
    """How often a fault was found, and where first: the row's number, from 1, and its time in nanoseconds."""

    count: int
    row: int
    ts: int


@dataclass(slots=True)
class Unread:
    """How many lines of a source were refused for a fault, the number of the first, and the reason it got."""

    count: int
    line: int
    ts: int | None
    reason: str


@dataclass(slots=True)
class Quality:
    """The counts over the records of one series so far, in the order of time.

    With a `calendar` of the market only bars that it was open for are missing, and those outside its sessions
    are counted.
    """

    series: Series
    calendar: Calendar | None = None
    rows: int = 0
    refused: int = 0
    odd: int = 0
    gaps: int = 0
    missing: int = 0
    """Bars that the gaps lack; without a calendar closed markets among them."""
    outside: int = 0
    """Bars outside the sessions of the calendar."""
    faults: dict[str, Seen] = field(default_factory=dict)
    unread: dict[str, Unread] = field(default_factory=dict)
    """What its source was refused for before it came here, by fault."""
    first: int | None = None
    last: int | None = None
    longest: list[tuple[int, int, int]] = field(default_factory=list)
    """A heap of length, begin and end of gaps, in nanoseconds."""
    days: dict[int, list[int]] = field(default_factory=dict)
    """Of each UTC day the first and last time, and how many records it has."""
    _states: Any = None

    def look(self, records: Records) -> NDArray[np.int64]:
        """Check records and count; return the faults of each, as bits."""
        calendar = self.calendar
        if self._states is None:
            self._states = checks.states(interval=self.series.interval, sessions=calendar is not None)
        if calendar is not None:
            calendar.stamp(records)
            self.outside += int((records["minute_of_session"] == OUTSIDE).sum())
        found = checks.check(records, self._states)
        is_refused = (found & checks.REFUSED) != 0
        for code in range(len(checks.FAULTS)):
            at = np.flatnonzero(found >> code & 1)
            if len(at):
                where = self.rows + int(at[0]) + 1
                seen = self.faults.setdefault(
                    checks.FAULTS[code].name, Seen(0, where, int(records["ts"][at[0]]))
                )
                seen.count += len(at)
        self.rows += len(records)
        self.refused += int(is_refused.sum())
        self.odd += int(((found != 0) & ~is_refused).sum())
        self._pass(records["ts"][~is_refused])
        return found

    def _pass(self, times: NDArray[np.int64]) -> None:
        if not len(times):
            return
        before = times[0] if self.last is None else self.last
        steps = np.diff(times, prepend=before)
        self._gaps(times, steps)
        self.first = int(times[0]) if self.first is None else self.first
        self.last = int(times[-1])
        # a bar that closes at midnight is the last of the day before
        days = (times - (1 if self.series.interval else 0)) // DAY
        edges = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for begin, end in zip(edges, [*edges[1:], len(days)], strict=True):
            day = self.days.setdefault(int(days[begin]), [int(times[begin]), 0, 0])
            day[1] = int(times[end - 1])
            day[2] += int(end - begin)

    def _gaps(self, times: NDArray[np.int64], steps: NDArray[np.int64]) -> None:
        interval = self.series.interval
        wide = np.flatnonzero(steps > interval) if interval else np.flatnonzero(steps > 0)
        if interval:
            lacking = np.array([self.lacking(int(times[n] - steps[n]), int(times[n])) for n in wide], int)
            wide = wide[lacking > 0]
            self.gaps += len(wide)
            self.missing += int(lacking.sum())
        for at in wide[np.argsort(steps[wide])[-GAPS:]]:
            length, end = int(steps[at]), int(times[at])
            heapq.heappush(self.longest, (length, end - length, end))
            if len(self.longest) > GAPS:
                heapq.heappop(self.longest)

    def lacking(self, begin: int, end: int) -> int:
        """Return how many bars are missing between one at `begin` and the next, at `end`."""
        interval = self.series.interval
        if self.calendar is None:
            length = end - begin - (interval // 24 if interval >= DAY else 0)  # a day may have 25 hours
            return max(-(-length // interval) - 1, 0)
        # a day's bar that is stamped after its session, such as at midnight, is that session's
        own = interval >= DAY and self.calendar.closed(end)
        return max(self.calendar.gap(begin, end, interval) - own, 0)

    @property
    def lost(self) -> int:
        """Return how many lines and records were refused."""
        return self.refused + sum(each.count for each in self.unread.values())

    @property
    def lines(self) -> int:
        """Return how many lines and records there were, refused ones among them."""
        return self.rows + sum(each.count for each in self.unread.values())

    @property
    def score(self) -> float:
        """Return the mean over all lines of 1 for a clean one, 0.5 for an odd one, 0 for a refused one."""
        return (self.rows - self.refused - self.odd / 2) / self.lines if self.lines else 0.0

    @property
    def coverage(self) -> float | None:
        """Return the share of bars that are there: of those the market was open for, as the calendar says.

        Without one it is of those between the first and the last of each day.
        """
        interval = self.series.interval
        if not interval or not self.days:
            return None
        if self.calendar is not None:
            inside = self.rows - self.refused - self.outside
            return inside / (inside + self.missing) if inside > 0 else 0.0
        expected = sum((last - first) // interval + 1 for first, last, _ in self.days.values())
        return sum(count for _, _, count in self.days.values()) / expected

    def verdict(self) -> str:
        """Return the judgement in a sentence."""
        if not self.rows - self.refused:
            return "not usable: nothing in it can be read"
        if self.lost:
            share = self.lost / self.lines
            return f"usable without the {self.lost:,} refused ({share:.2%}): look at them first"
        if self.odd:
            return (
                f"usable: nothing refused; {self.odd:,} odd ({self.odd / self.rows:.2%}) are kept as they are"
            )
        return "clean: nothing refused, nothing odd"

    def facts(self) -> dict[str, Any]:
        """Return all of it for JSON; times as ISO text, lengths in seconds."""
        span = (self.last - self.first) // DAY + 1 if self.first is not None and self.last is not None else 0
        return {
            "lines": self.lines,
            "rows": self.rows,
            "first": iso(self.first) if self.first is not None else None,
            "last": iso(self.last) if self.last is not None else None,
            "interval_s": self.series.interval / 1e9 if self.series.interval else None,
            "refused": self.lost,
            "odd": self.odd,
            "faults": self._told(),
            "calendar": self.calendar.name if self.calendar is not None else None,
            "outside": self.outside,
            "gaps": self.gaps,
            "missing": self.missing,
            "longest_gaps": [
                {
                    "from": iso(begin),
                    "to": iso(end),
                    "seconds": length / 1e9,
                    "missing": self.lacking(begin, end) if self.series.interval else None,
                }
                for length, begin, end in sorted(self.longest, key=lambda each: (-each[0], each[1]))[:_LISTED]
            ],
            "days": len(self.days),
            "days_in_period": span,
            "coverage": self.coverage,
            "quality": round(self.score, 6),
            "verdict": self.verdict(),
        }

    def _told(self) -> list[dict[str, Any]]:
        known = {each.name: each for each in checks.FAULTS}
        refused = [
            _fault(name, True, each.count, each.line, each.ts, each.reason)
            for name, each in self.unread.items()
        ]
        found = [
            _fault(name, known[name].refused, each.count, each.row, each.ts, known[name].sentence)
            for name, each in self.faults.items()
        ]
        return sorted(refused + found, key=lambda each: (not each["refused"], -each["count"]))


def _fault(name: str, refused: bool, count: int, row: int, ts: int | None, meaning: str) -> dict[str, Any]:
    time = None if ts is None else iso(ts)
    return {"fault": name, "count": count, "refused": refused, "row": row, "time": time, "meaning": meaning}


def lines(facts: dict[str, Any]) -> list[str]:
    """Return a report as lines of text."""
    from nexus_core.cli.output import pairs, table

    interval = facts["interval_s"]
    head = {
        "records": f"{facts['rows']:,}",
        "period": f"{facts['first']} to {facts['last']}",
        "interval": f"{interval:g} s" if interval else "-",
        "days": f"{facts['days']:,} of {facts['days_in_period']:,} have records",
    }
    if facts["coverage"] is not None:
        calendar = facts["calendar"]
        of = f"that {calendar} was open for" if calendar else "between each day's first and last"
        head["coverage"] = f"{facts['coverage']:.2%} of the bars {of}"
        closed = "" if calendar else " (closed markets among them)"
        head["gaps"] = f"{facts['gaps']:,}, {facts['missing']:,} bars missing{closed}"
        if facts["outside"]:
            head["outside"] = f"{facts['outside']:,} bars outside the sessions of {calendar}"
    total = facts["lines"]
    for name in ("refused", "odd"):
        head[name] = f"{facts[name]:,} ({facts[name] / total:.3%})" if total else "0"
    head["quality"] = f"{facts['quality']:.4f}"
    text = pairs(head)
    if facts["faults"]:
        rows = [
            (
                each["fault"],
                f"{each['count']:,}",
                "refused" if each["refused"] else "odd",
                f"{each['row']:,}",
                each["time"] or "-",
                each["meaning"],
            )
            for each in facts["faults"]
        ]
        text += ["", *table(rows, ("fault", "count", "is", "first row", "at", "meaning"))]
    if facts["longest_gaps"]:
        rows = [
            (each["from"], each["to"], _length(each["seconds"]), _count(each["missing"]))
            for each in facts["longest_gaps"]
        ]
        text += [
            "",
            *table(
                rows, ("longest gaps from" if interval else "longest silence from", "to", "length", "bars")
            ),
        ]
    return [*text, "", f"verdict: {facts['verdict']}"]


def _count(missing: int | None) -> str:
    return "-" if missing is None else f"{missing:,}"


def _length(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"
