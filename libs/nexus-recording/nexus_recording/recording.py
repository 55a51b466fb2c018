"""A recording as a whole: its files one after another, the recorder's clock set right, and what was found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from nexus_core.errors import ConfigError
from nexus_recording import segments
from nexus_recording.decoder import Decoder, latencies_of, measured
from nexus_recording.faults import Fault
from nexus_recording.messages import NAMES
from nexus_recording.sync import FRESH, SYNC, SYNCED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nexus_core.records import Records

HOLE = 10_000_000_000
"""Nanoseconds between two files that are called a hole."""

KEPT = 1_000
"""Faults that are kept with their text; all are counted."""

EXCERPT = 200
"""Bytes of a line that are kept with its fault; the quarantine holds all."""

QUANTILES = (0.5, 0.9, 0.99, 0.999)
_SAMPLE = 2**20  # bytes that the clock is measured from
_MINUTE = 60_000_000_000


class Recording:
    """Plays the files of one recorder, which lie one after another in time.

    `path` is a file, a folder or a pattern, `names` the venue's names of the symbols in the run's order.
    `clock` is what to add to the recorder's stamps, in nanoseconds, or "auto": so much that the quickest of
    the first thousand messages (in the first MB) took `base` nanoseconds. `tick` is the step of prices, or 0:
    then the power of ten that those of the first MB, if they are many, are multiples of. Lines that could not
    be used are appended to the file `quarantine`, if one is named, as they were.
    """

    def __init__(
        self,
        path: str,
        names: Sequence[str],
        *,
        clock: str | int = "auto",
        base: int = 0,
        tick: float = 0.0,
        quarantine: Path | None = None,
    ) -> None:
        if base < 0:
            raise ConfigError(f"recording: base was {base}. No message takes less than 0 ns.")
        stamped = [(segments.first_stamp(each), each) for each in segments.found(path)]
        self.files = [each for _, each in sorted(stamped)]
        self.names = tuple(names)
        self.faults: list[Fault] = []
        self.fault_counts: Counter[str] = Counter()
        self._quarantine = quarantine
        stamped_less_made, ticks = measured(self._beginning(), self.names)
        offset = _offset(stamped_less_made, base) if clock == "auto" else _nanoseconds(clock)
        self.decoder = Decoder(self.names, offset, [tick or each for each in ticks.tolist()])

    def events(self, size: int = 2**18) -> Iterator[Records]:
        """Yield the events of about `size` bytes of text at a time, to the end; once."""
        last = 0
        for path in self.files:
            self.decoder.next_file()
            found: list[Fault] = []
            self._between(path, last, found)
            for piece in segments.pieces(path, found, size):
                events = self.decoder.decode(piece, found, str(path)) if piece else self._torn(path, found)
                self._keep(found)
                if len(events):
                    yield events
            events = self.decoder.finish(found, str(path))
            self._keep(found)
            if len(events):
                yield events
            last = int(self.decoder.reader[0]["local"])

    def summary(self) -> Summary:
        """Return what was found so far."""
        return Summary.of(self)

    def _torn(self, path: Path, found: list[Fault]) -> Records:
        return self.decoder.finish(found, str(path))

    def _between(self, path: Path, last: int, found: list[Fault]) -> None:
        first = segments.first_stamp(path)
        if not first:
            found.append(Fault("empty", str(path), 0, "no line of it begins with a time"))
            return
        silence = first + int(self.decoder.reader[0]["offset"]) - last
        if last and silence > HOLE:
            found.append(
                Fault("hole", str(path), 0, f"it begins {silence / 1e9:.1f} s after the file before")
            )
        elif last and silence < 0:
            reason = f"it begins {-silence / 1e9:.1f} s before the end of the file before"
            found.append(Fault("overlap", str(path), 0, reason))

    def _keep(self, found: list[Fault]) -> None:
        for each in found:
            self.fault_counts[each.kind] += 1
            if len(self.faults) < KEPT:
                self.faults.append(each._replace(text=each.text[:EXCERPT]))
        if self._quarantine is not None and any(each.text for each in found):
            _append(self._quarantine, [each.text for each in found if each.text])
        found.clear()

    def _beginning(self) -> bytes:
        text = b""
        for piece in segments.pieces(self.files[0], []):
            text += piece
            if len(text) >= _SAMPLE:
                break
        return text


def _append(path: Path, lines: Sequence[bytes]) -> None:
    try:
        with path.open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
    except OSError as error:
        raise ConfigError(
            f"recording: quarantine {path} cannot be written ({error.strerror}). Name another file."
        ) from error


def _offset(apart: NDArray[np.int64], base: int) -> int:
    """Return the offset by which the quickest message took `base`; a garbled time is no clock."""
    if not len(apart):
        return 0
    usual = apart[np.abs(apart - np.sort(apart)[len(apart) // 2]) < _MINUTE]
    return base - int(usual.min())


def _nanoseconds(clock: str | int) -> int:
    try:
        return int(clock)
    except ValueError:
        raise ConfigError(f'recording: clock was {clock!r}, must be "auto" or whole nanoseconds.') from None


@frozen
class Summary:
    """What a recording held, and what was wrong with it; latencies in milliseconds, the offset in ns."""

    files: tuple[str, ...]
    lines: int
    events: int
    messages: dict[str, int]
    unknown: dict[str, int]
    others: int
    faults: dict[str, int]
    books: dict[str, dict[str, Any]]
    offset: int
    back: int
    local_back: int
    silence: float
    latency: dict[str, float]

    @staticmethod
    def of(recording: Recording) -> Summary:
        """Read it off a recording."""
        decoder = recording.decoder
        own = decoder.reader[0]
        spoken = dict(zip(NAMES, decoder.counts.tolist(), strict=True))
        return Summary(
            files=tuple(str(each) for each in recording.files),
            lines=int(own["total"]),
            events=int(own["seq"]),
            messages={name: count for name, count in spoken.items() if count},
            unknown=dict(decoder.unknown),
            others=int(own["others"]),
            faults=dict(recording.fault_counts),
            books={name: _book(each) for name, each in zip(recording.names, decoder.books, strict=True)},
            offset=int(own["offset"]),
            back=int(own["back"]),
            local_back=int(own["local_back"]),
            silence=int(own["silence"]) / 1e9,
            latency=_latency(decoder),
        )

    def __str__(self) -> str:
        """Say it in some lines."""
        spoken = ", ".join(f"{name} {count:,}" for name, count in self.messages.items())
        lines = [f"{self.lines:,} lines of {len(self.files)} files, {self.events:,} events: {spoken}"]
        lines += [f"{symbol}: {_said(book)}" for symbol, book in self.books.items()]
        also = {
            "unknown": self.unknown,
            "other symbols": {"messages": self.others} if self.others else {},
            "faults": self.faults,
            "latency, ms": self.latency,
        }
        lines += [
            f"{name}: " + ", ".join(f"{each} {value:,}" for each, value in found.items())
            for name, found in also.items()
            if found
        ]
        lines.append(f"recorder's clock set {self.offset / 1e9:+.6f} s; longest silence {self.silence:.3f} s")
        return "\n".join(lines)


def _book(book: Any) -> dict[str, Any]:
    state = int(book["state"])
    facts: dict[str, Any] = {
        "book": "synced" if state == SYNCED else "fresh" if state == FRESH else "unsynced"
    }
    facts["waiting"] = int(book["changes"])
    skipped = ("state", "last", "floor", "changes", "levels", "ticker", "tape", "trade", "behind", "grid")
    return facts | {name: int(book[name]) for name in SYNC.names or () if name not in skipped}


def _said(book: dict[str, Any]) -> str:
    return ", ".join(
        [book["book"], *(f"{k.replace('_', ' ')} {v:,}" for k, v in book.items() if v and k != "book")]
    )


def _latency(decoder: Decoder) -> dict[str, float]:
    own = decoder.reader[0]
    timed, reached = int(own["timed"]), int(own["below"])
    if not timed:
        return {}
    found = {"least": int(own["least"]) / 1e6}
    wanted = [each for each in QUANTILES if reached <= each * timed]
    for value, count in latencies_of(decoder.latencies):
        reached += count
        while wanted and reached >= wanted[0] * timed:
            found[f"{wanted.pop(0):.1%}"] = value
    return found | {"most": int(own["most"]) / 1e6}
