"""Recordings on their way in: what a recorder wrote down, its book kept in step, and all that was wrong."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nexus_catalog.series import Series
from nexus_recording import Recording, found, pieces

from nexus_app_data.quality import Quality
from nexus_core import compile
from nexus_core.errors import UsageError
from nexus_core.market.book import book, depth
from nexus_core.market.events import BREAK, CLEAR, EVENT, LAST, LEVEL
from nexus_core.records import Records, empty, layout
from nexus_core.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BESIDE = ("hole", "overlap")
"""Faults between files of a recording, which lose no line of it."""

WATCHED = layout(
    ("first last", "i8"),  # times of events in nanoseconds
    ("known", "i8"),  # nanoseconds for which there was a book
    ("changes crossed", "i8"),  # whole changes to the book; those after which bid was at or above ask
    ("breaks resyncs is_broken", "i8"),
)
"""What is seen of a symbol's book while the events pass."""

_LINE = re.compile(rb"\d{9,19} *\{")
_NAME = re.compile(rb'"(?:s|coin|symbol)":"([^"]{1,31})"')
_HEAD = 2**20

_WATCH = """
def entry(events, books, watched):
    for i in range(events.size):
        event = events[i]
        state = books[event.symbol]
        own = watched[event.symbol]
        if own.first == 0:
            own.first = event.ts
        elif state.known and not state.crossed:
            own.known += event.ts - own.last
        own.last = event.ts
        push(state, event)
        if event.kind == BREAK:
            own.breaks += 1
            own.is_broken = 1
        elif event.kind == CLEAR and own.is_broken:
            own.resyncs += 1
            own.is_broken = 0
        if (event.kind == LEVEL or event.kind == CLEAR) and event.flags & LAST:
            own.changes += 1
            own.crossed += state.crossed
"""


def is_recording(path: Path) -> bool:
    """Tell whether a path is a folder, or a file that begins as a recorder writes: a time, a blank, JSON."""
    if path.is_dir():
        return True
    head = next(pieces(path, [], 2**14), b"") if path.is_file() else b""
    return any(_LINE.match(each) for each in head[: 2**14].split(b"\n", 3)[:3])


def names_in(path: Path) -> list[str]:
    """Return the venue's names of the symbols that the first MB speaks of, the most frequent first."""
    text = b""
    for piece in pieces(found(str(path))[0], []):
        text += piece
        if len(text) >= _HEAD:
            break
    counts = Counter(each.decode("utf-8", "replace") for each in _NAME.findall(text))
    return [name for name, _ in counts.most_common()]


def digest(path: Path) -> str:
    """Return the sha256 of a recording's file; of several that of their hashes, in the order of names."""
    files = found(str(path))
    hashes = []
    for each in files:
        with each.open("rb") as stream:
            hashes.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return hashes[0] if len(files) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@dataclass(slots=True)
class Incoming:
    """A recording being read: its symbols, and what was seen of their books and events so far."""

    recording: Recording
    names: tuple[str, ...]
    books: Any = None
    watched: Any = None
    qualities: list[Quality] = field(default_factory=list)

    @staticmethod
    def of(path: Path, names: Sequence[str], quarantine: Path | None = None) -> Incoming:
        """Open a recording, of the symbols named by the venue's names, else of all that it begins with."""
        names = tuple(names) or tuple(names_in(path))
        if not names:
            raise UsageError(f"{path}: names no symbol in its first MB. Say which it is with --name.")
        if quarantine is not None:
            quarantine.parent.mkdir(parents=True, exist_ok=True)
        made = Incoming(Recording(str(path), names, quarantine=quarantine), names)
        made.books, made.watched = np.repeat(np.array([book()]), len(names)), empty(WATCHED, len(names))
        made.qualities = [Quality(Series(name, "book")) for name in names]
        return made

    def events(self) -> Iterator[Records]:
        """Yield the events, looked at; first a BREAK: who has heard another recording knows no book by it."""
        begun = False
        for events in self.recording.events():
            if not begun:
                yield _apart(events[0])
                begun = True
            compile.call(_watch(), events, self.books, self.watched)
            for symbol, quality in enumerate(self.qualities):
                own = events if len(self.names) == 1 else events[events["symbol"] == symbol]
                if symbol:
                    own["symbol"] = 0
                if len(own):
                    quality.look(own)
            yield events

    def counts(self) -> dict[str, int]:
        """Return what was wrong so far, by name, as it is kept with a series: lines, books and events."""
        made = Counter[str](self.recording.fault_counts)
        for one, quality in zip(self._books(), self.qualities, strict=True):
            made.update({name: one[name] for name in ("gaps", "duplicates", "late", "missing", "crossed")})
            made.update({name: each.count for name, each in quality.faults.items()})
        return {name: count for name, count in made.items() if count}

    def facts(self) -> dict[str, Any]:
        """Return the report for JSON: times as ISO text, latencies in milliseconds, the offset in seconds."""
        summary = self.recording.summary()
        beside = {name: count for name, count in summary.faults.items() if name in BESIDE}
        refused = sum(summary.faults.values()) - sum(beside.values())
        refused += sum(each.refused for each in self.qualities)
        odd = sum(each.odd for each in self.qualities)
        total = summary.events + refused
        facts: dict[str, Any] = {
            "files": len(summary.files),
            "lines": summary.lines,
            "events": summary.events,
            "messages": summary.messages,
            "unknown": summary.unknown,
            "others": summary.others,
            "back": summary.back,
            "silence_s": summary.silence,
            "clock_offset_s": summary.offset / 1e9,
            "latency_ms": summary.latency,
            "symbols": self._books(),
            "faults": [*self._broken_lines(), *self._odd_events()],
            "refused": refused,
            "odd": odd,
            "quality": round((total - refused - odd / 2) / total, 6) if total else 0.0,
        }
        return facts | {"verdict": _verdict(facts)}

    def _books(self) -> list[dict[str, Any]]:
        told = self.recording.summary().books
        made: list[dict[str, Any]] = []
        for name, own in zip(self.names, self.watched, strict=True):
            state, span = told[name], int(own["last"] - own["first"])
            kept = ("book", "snapshots", "gaps", "duplicates", "late", "missing", "trades", "quotes")
            made.append(
                {"name": name}
                | {each: state[each] for each in kept}
                | {each: int(own[each]) for each in ("changes", "crossed", "resyncs")}
                | {"first": iso(int(own["first"])), "last": iso(int(own["last"]))}
                | {"known": float(own["known"] / span) if span else 0.0}
            )
        return made

    def _broken_lines(self) -> Iterator[dict[str, Any]]:
        firsts = {each.kind: each for each in reversed(self.recording.faults)}
        for name, count in self.recording.fault_counts.most_common():
            where = firsts.get(name)
            at = f"{Path(where.file).name}, line {where.line:,}" if where and where.line else "-"
            meaning = where.reason if where else ""
            refused = name not in BESIDE
            yield {"fault": name, "count": count, "refused": refused, "at": at, "meaning": meaning}

    def _odd_events(self) -> Iterator[dict[str, Any]]:
        from nexus_catalog import checks

        known = {each.name: each for each in checks.FAULTS}
        for quality in self.qualities:
            for name, each in sorted(quality.faults.items(), key=lambda one: -one[1].count):
                fault = known[name]
                told = {"fault": name, "count": each.count, "refused": fault.refused}
                yield told | {"at": iso(each.ts), "meaning": fault.sentence}


def lines(facts: dict[str, Any]) -> list[str]:
    """Return a report as lines of text."""
    from nexus_core.cli.output import pairs, table

    spoken = _listed(facts["messages"])
    first, last = (
        pick(each[name] for each in facts["symbols"]) for pick, name in ((min, "first"), (max, "last"))
    )
    head = {
        "lines": f"{facts['lines']:,} in {facts['files']} files, {facts['events']:,} events",
        "messages": spoken or "-",
        "period": f"{first} to {last}",
        "clock": f"recorder's set by {facts['clock_offset_s']:+.6f} s, silent {facts['silence_s']:.3f} s",
        "latency": f"{_listed(facts['latency_ms'], ' ms')} (over the quickest)"
        if facts["latency_ms"]
        else "-",
    }
    if facts["unknown"]:
        head["unknown"] = f"{_listed(facts['unknown'])}: known streams alone are played"
    if facts["others"]:
        head["others"] = f"{facts['others']:,} messages of symbols that were not asked for"
    if facts["back"]:
        head["back"] = f"{facts['back']:,} events older than the one before them, given its time"
    for name in ("refused", "odd"):
        head[name] = f"{facts[name]:,}"
    head["quality"] = f"{facts['quality']:.4f}"
    columns = ("book", "known", "changes", "snapshots", "gaps", "resyncs", "duplicates", "late", "crossed")
    rows = [
        (each["name"], each["book"], f"{each['known']:.1%}", *(f"{each[name]:,}" for name in columns[2:]))
        for each in facts["symbols"]
    ]
    text = [*pairs(head), "", *table(rows, ("symbol", *columns))]
    rows = [
        (each["name"], *(f"{each[name]:,}" for name in ("trades", "missing", "quotes")))
        for each in facts["symbols"]
    ]
    text += ["", *table(rows, ("symbol", "trades", "trades that never came", "quotes"))]
    if facts["faults"]:
        rows = [
            (
                each["fault"],
                f"{each['count']:,}",
                "refused" if each["refused"] else "odd",
                each["at"],
                each["meaning"],
            )
            for each in facts["faults"]
        ]
        text += ["", *table(rows, ("fault", "count", "is", "first at", "meaning"))]
    return [*text, "", f"verdict: {facts['verdict']}"]


def _verdict(facts: dict[str, Any]) -> str:
    if not facts["events"]:
        return "not usable: nothing in it can be read"
    said: list[str] = []
    if facts["refused"]:
        said.append(f"{facts['refused']:,} refused: look at them first")
    for each in facts["symbols"]:
        if each["changes"] + each["snapshots"] == 0:
            said.append(
                f"{each['name']} has no book, trades and quotes alone" if each["book"] == "unsynced" else ""
            )
        elif each["gaps"] or each["book"] == "unsynced":
            said.append(f"the book of {each['name']} is not known {1 - each['known']:.1%} of the time")
        if each["crossed"]:
            said.append(f"it was crossed after {each['crossed']:,} of {each['changes']:,} changes")
        if each["missing"]:
            said.append(f"{each['missing']:,} trades never came")
    said = [each for each in said if each]
    if said:
        return f"usable, but {'; '.join(said)}"
    return (
        f"usable: nothing refused, no gap; {facts['odd']:,} odd kept as they are" if facts["odd"] else "clean"
    )


def _listed(counts: dict[str, Any], unit: str = "") -> str:
    return ", ".join(
        f"{name} {count:,.4g}{unit}" if unit else f"{name} {count:,}" for name, count in counts.items()
    )


def _apart(first: Any) -> Records:
    made = empty(EVENT, 1)
    made[0] = first
    made["kind"], made["flags"], made["price"], made["size"], made["side"], made["id"] = (
        BREAK,
        LAST,
        0.0,
        0.0,
        0,
        0,
    )
    return made


@cache
def _watch() -> compile.Step:
    bindings = {"push": depth.push, "LEVEL": LEVEL, "CLEAR": CLEAR, "BREAK": BREAK, "LAST": LAST}
    return compile.entry("watch_recording", _WATCH, bindings)
