"""From bytes to events: the compiled loop over lines, its state, and the slow way for other lines."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core import compile
from nexus_core.compile import step
from nexus_core.errors import ConfigError
from nexus_core.market.events import BACK, EVENT
from nexus_core.records import Records, empty, layout
from nexus_recording import messages, sync
from nexus_recording.faults import Fault
from nexus_recording.messages import (
    ALIEN,
    ANOTHER,
    BOOK,
    CLOCK,
    DEPTH,
    GARBLED,
    KEYS,
    MESSAGE,
    NAMES,
    REST,
    TRADES,
    UNSAID,
    WHOSE,
)
from nexus_recording.scan import DIGITS, NEWLINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

HOUR = 3_600_000_000_000
LONGEST = 16 * 2**20
"""Bytes of a line at the most."""

READER = layout(
    ("at line total", "i8"),  # the first byte of the next line; lines before it in the file, and in all
    ("seq written why", "i8"),  # events so far in all, in this call, and why it ended early
    ("ts", "i8"),  # of the last event
    ("venue local", "i8"),  # the latest times said
    ("offset", "i8"),  # of the venue's clock against the recorder's
    ("others back local_back", "i8"),  # other symbols' messages; events and recorder's stamps out of order
    ("silence", "i8"),  # longest, by the recorder's clock
    ("timed below least most", "i8"),  # latencies: how many, how many below 0, and the extremes
)
"""What the loop remembers from line to line. Times in nanoseconds."""

WORDS = ("", "garbled", "unknown", "incomplete", "clock", "whose", "too long")
"""The reasons of faults in a word, by their numbers."""

_REASONS = (
    "",
    "it is no line of this format: a time, a blank, and a JSON object as the venue writes it",
    "it is no message of a known stream",
    "a key is missing, or has a value that cannot be",
    "the venue's time and the recorder's are more than an hour apart",
    "it does not say which symbol it is of",
    f"it has no end within {LONGEST >> 20} MB",
)
TOO_LONG = len(_REASONS) - 1
DECIMALS = 10
TENTHS = np.array([float(f"1e-{k}") for k in range(DECIMALS + 1)])
"""Steps of prices by their number of decimals."""

ENOUGH = 500
"""Prices from which their step can be told."""

_OCTAVE, _BUCKETS = 32, 2_048
_LENGTH = 32  # of a name
_PADDING = bytes([NEWLINE]) * 64

_LOOP = """
def entry(
    data, end, reader, message, whole, parts, names, books, changes, levels, seen, counts, latencies, out
):
    own = reader[0]
    said = message[0]
    while own.at < end:
        if data[own.at] == NEWLINE:
            own.at += 1
            own.line += 1
            continue
        said.first = own.written
        after = read(data, own.at, said, whole, parts, names, out)
        own.why = said.why if after < 0 else admit(own, said, books.size, out)
        if own.why != 0:
            return own.why
        own.at = after
        own.line += 1
        own.total += 1
        counts[said.kind] += 1
        if said.symbol == ANOTHER:
            own.others += 1
            continue
        clock(own, said, latencies)
        stamp(said, out)
        s = said.symbol
        order(own, out, place(said, books[s], changes[s], levels[s], seen[s], out))
    return 0
"""

_MEASURE = """
def entry(data, end, message, whole, parts, names, out, apart, decimals, prices):
    i = 0
    n = 0
    own = message[0]
    while i < end and n < apart.size:
        own.first = 0
        after = read(data, i, own, whole, parts, names, out)
        s = 0 if own.symbol == UNSAID and decimals.size == 1 else own.symbol
        if after > 0 and s >= 0 and own.kind in (DEPTH, REST, BOOK):
            decimals[s] = finest(own, out, decimals[s])
            prices[s] += own.last - own.first
        if after > 0 and own.made > 0 and own.local > 0:
            apart[n] = own.local - own.made
            n += 1
        while after < 0 or data[after - 1] != NEWLINE:
            i += 1
            after = i if data[i - 1] == NEWLINE else -1
        i = after
    return n
"""


@step
def admit(own: Any, message: Any, symbols: int, out: Any) -> int:
    """Find a message's symbol and time; the reason against it, or 0."""
    if message.symbol == UNSAID:
        if symbols > 1 or own.others > 0:
            return WHOSE
        message.symbol = 0
    stamped = message.local
    if stamped > 0:
        message.local = stamped + own.offset
        reference = message.made if message.made > 0 else own.venue
        if reference > 0 and abs(message.local - reference) > HOUR:
            return CLOCK
    message.ts = message.local if message.made == 0 else message.made
    if message.kind == TRADES:  # each with its own time: one far ahead would hold back all that follows
        reference = message.local if stamped > 0 else own.venue
        for k in range(message.first, message.last):
            if 0 < reference < out[k].ts - HOUR:
                return CLOCK
    return 0


@step
def clock(own: Any, message: Any, latencies: Any) -> None:
    """Keep count of the recorder's clock, and of the time a message took."""
    if message.made > 0:
        own.venue = message.made
    if message.local == 0:
        return
    if message.local < own.local:
        own.local_back += 1
    elif own.local > 0:
        own.silence = max(own.silence, message.local - own.local)
    own.local = message.local
    if message.made == 0:
        return
    late = message.local - message.made
    own.least = late if own.timed == 0 else min(own.least, late)
    own.most = late if own.timed == 0 else max(own.most, late)
    own.timed += 1
    if late < 0:
        own.below += 1
    else:
        latencies[bucket(late // 1000)] += 1


@step
def bucket(microseconds: int) -> int:
    """Return the place of a latency among the counts: buckets are at most a 32nd of it wide."""
    shift = 0
    while microseconds >= 2 * _OCTAVE:
        microseconds >>= 1
        shift += 1
    return min(shift * _OCTAVE + microseconds, _BUCKETS - 1)


@step
def stamp(message: Any, out: Any) -> None:
    """Give a message's events its symbol and times; trades of a list have their own."""
    for k in range(message.first, message.last):
        event = out[k]
        event.local, event.symbol = message.local, message.symbol
        if message.kind != TRADES:
            event.ts = message.ts


@step
def order(own: Any, out: Any, end: int) -> None:
    """Give the new events their numbers, and times that never go back."""
    for k in range(own.written, end):
        event = out[k]
        event.seq = own.seq
        own.seq += 1
        if event.ts < own.ts:
            event.ts = own.ts
            event.flags |= BACK
            own.back += 1
        own.ts = event.ts
    own.written = end


@step
def finest(message: Any, out: Any, decimals: int) -> int:
    """Return how many decimals the prices of a message's levels have at the most, and others had before."""
    for k in range(message.first, message.last):
        price = out[k].price
        while decimals < DECIMALS and not sync.on_grid(price, TENTHS[decimals]):
            decimals += 1
    return decimals


class Decoder:
    """Turns the lines of one recorder, in the order they were written, into events.

    `names` are the venue's names of the symbols, in the run's order; `offset` is added to the recorder's
    stamps, in nanoseconds. `ticks` are the steps of prices, 0 where one is not known: CLEAR tells them to the
    books. A price off its grid breaks the book, and the grid is not known from then on. The events are the
    same in whatever pieces the bytes come.
    """

    def __init__(self, names: Sequence[str], offset: int = 0, ticks: Sequence[float] = ()) -> None:
        self._names, symbols = table(names), len(names)
        self.reader = empty(READER)
        self.reader["offset"] = offset
        self.books = empty(sync.SYNC, symbols)
        self.books["grid"] = ticks or 0.0
        self.counts = np.zeros(len(NAMES), np.int64)
        self.latencies = np.zeros(_BUCKETS, np.int64)
        self.unknown: Counter[str] = Counter()
        self._scratch = empty(MESSAGE), np.zeros(len(KEYS), np.int64), np.zeros(len(KEYS))
        self._changes = np.zeros((symbols, sync.CHANGES), sync.CHANGE)
        self._levels = np.zeros((symbols, sync.EVENTS), EVENT)
        self._seen = np.zeros((symbols, sync.TRADE_MEMORY), np.int64)
        self._rest, self._skipping = b"", False
        self._out = empty(EVENT, 0)

    def decode(self, piece: bytes, faults: list[Fault], file: str = "") -> Records:
        """Return the events of the lines that end in `piece`; what could not be used is added to `faults`."""
        text = self._rest + piece if self._rest else piece
        cut = text.rfind(b"\n") + 1
        text, self._rest = text[:cut], text[cut:]
        if self._skipping and cut:
            text, self._skipping = text[text.index(b"\n") + 1 :], False
            self.reader["line"] += 1
        if self._skipping or len(self._rest) > LONGEST:
            if not self._skipping:
                faults.append(self._fault(TOO_LONG, file, self._rest[:200], text.count(b"\n")))
            self._rest, self._skipping = b"", True
        return self._decoded(text, faults, file)

    def finish(self, faults: list[Fault], file: str = "") -> Records:
        """Return the events of a last line without an end, if it is whole; the next piece begins a line."""
        events = self.decode(b"\n", faults, file) if self._rest else empty(EVENT, 0)
        self._skipping = False
        return events

    def next_file(self) -> None:
        """Count lines from 0 again."""
        self.reader["line"] = 0

    def state(self) -> list[Any]:
        """Return a copy of all that later events depend on."""
        return [each.copy() for each in self._arrays()] + [self._rest, self._skipping, self.unknown.copy()]

    def restore(self, state: Sequence[Any]) -> None:
        """Go on from what `state` returned."""
        for array, kept in zip(self._arrays(), state, strict=False):
            array[...] = kept
        self._rest, self._skipping, self.unknown = state[-3], state[-2], state[-1].copy()

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        kept = self._changes, self._levels, self._seen
        return (self.reader, self.books, self.counts, self.latencies, *kept)

    def _decoded(self, text: bytes, faults: list[Fault], file: str) -> Records:
        size = len(text) // 8 + (sync.EVENTS + sync.CHANGES) * len(self.books) + 64
        if len(self._out) < size:
            self._out = empty(EVENT, size)
        own = self.reader[0]
        own["written"] = own["at"] = 0
        data = np.frombuffer(text + _PADDING, np.int8)
        while why := self._run(data, len(text)):
            at = int(own["at"])
            end = text.index(b"\n", at)
            self._slowly(text[at:end], int(why), faults, file)
            own["at"] = end + 1
        return self._out[: own["written"]].copy()

    def _run(self, data: NDArray[np.int8], end: int) -> int:
        kept = self._changes, self._levels, self._seen
        arrays = self._names, self.books, *kept, self.counts, self.latencies, self._out
        return int(_loop()(data, end, self.reader, *self._scratch, *arrays))

    def _slowly(self, raw: bytes, why: int, faults: list[Fault], file: str) -> None:
        own = self.reader[0]
        number = int(own["line"])
        try:
            again, name = compact(raw) if why not in (CLOCK, WHOSE) else (b"", "")
        except (ValueError, RecursionError, InvalidOperation):
            again, name, why = b"", "", GARBLED
        if again:
            own["at"] = 0
            why = self._run(np.frombuffer(again + b"\n" + _PADDING, np.int8), len(again) + 1)
        if why == ALIEN:
            self.unknown[name if name in self.unknown or len(self.unknown) < _LENGTH else "others"] += 1
        elif why:
            faults.append(self._fault(why, file, raw, 0))
        own["line"] = number + 1
        own["total"] += not again or bool(why)

    def _fault(self, why: int, file: str, text: bytes, ahead: int) -> Fault:
        number = int(self.reader[0]["line"]) + 1 + ahead
        return Fault(WORDS[why], file, number, _REASONS[why], text)


def compact(raw: bytes) -> tuple[bytes, str]:
    """Write a line of JSON anew as the compiled reader likes it, and name the stream it is of.

    What says which message it is comes first, no blanks and escapes are left, of a key said twice the last
    counts, and a decimal has the digits that tell its float from others.
    """
    stamp, _, rest = raw.strip().partition(b" ")
    found = json.loads(rest, parse_float=str, parse_constant=_refused)
    if not stamp.isdigit() or not isinstance(found, dict):
        raise ValueError("no time, or no object")
    inner = found.get("data")
    inner = inner if isinstance(inner, dict) else found
    stream = str(found.get("stream", "")).partition("@")[2]
    name = str(inner.get("e") or stream or found.get("channel") or "without a name")[:40]
    ranked = sorted(found.items(), key=lambda item: item[0] not in ("stream", "channel", "e"))
    text = json.dumps(_shortened(dict(ranked)), separators=(",", ":"), ensure_ascii=False)
    return stamp + b" " + text.encode("utf-8", "surrogatepass"), name


def _refused(word: str) -> None:
    raise ValueError(word)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if isinstance(value, str) and value[:1].isdigit() and (len(value) > DIGITS or "e" in value.lower()):
        try:
            return f"{Decimal(repr(float(value))):f}"
        except ValueError:
            return value
    return value


def table(names: Sequence[str]) -> NDArray[np.int8]:
    """Return the names of symbols as rows of bytes, in capitals."""
    rows = np.zeros((len(names), _LENGTH), np.int8)
    for row, name in zip(rows, names, strict=True):
        spelt = name.upper().encode()
        if not 0 < len(spelt) < _LENGTH:
            raise ConfigError(f"recording: the symbol {name!r} has no name of 1 to {_LENGTH - 1} characters.")
        row[: len(spelt)] = np.frombuffer(spelt, np.int8)
    return rows


def measured(
    text: bytes, names: Sequence[str], most: int = 1_000
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what the beginning of a recording tells of clocks and prices.

    These are recorder's stamp less venue's time of the first `most` messages that have both, in nanoseconds,
    and for each symbol the power of ten that the prices of the book among them are multiples of, if there
    were enough of them to tell, else 0.
    """
    end = text.rfind(b"\n") + 1
    found = np.zeros(most, np.int64)
    scratch = empty(MESSAGE), np.zeros(len(KEYS), np.int64), np.zeros(len(KEYS))
    data = np.frombuffer(text[:end] + _PADDING, np.int8)
    out, decimals = empty(EVENT, len(text) // 8 + 64), np.zeros(len(names), np.int64)
    prices = np.zeros(len(names), np.int64)
    count = compile.call(_measure(), data, end, *scratch, table(names), out, found, decimals, prices)
    return found[:count], np.where(prices < ENOUGH, 0.0, TENTHS[decimals])


def latencies_of(counts: NDArray[np.int64]) -> Iterator[tuple[float, int]]:
    """Yield latencies in milliseconds, each with how many there were of about that size."""
    for k in np.flatnonzero(counts).tolist():
        shift = max(k // _OCTAVE - 1, 0)
        yield ((k - shift * _OCTAVE) << shift) / 1000, int(counts[k])


@cache
def _loop() -> compile.Fixed:
    steps = (messages.read, admit, clock, stamp, sync.place, order)
    bindings = {compile.plain(each).__name__: each for each in steps}
    return compile.Fixed(
        compile.entry("recording", _LOOP, {**bindings, "NEWLINE": NEWLINE, "ANOTHER": ANOTHER})
    )


@cache
def _measure() -> compile.Step:
    kinds = {"DEPTH": DEPTH, "REST": REST, "BOOK": BOOK, "UNSAID": UNSAID}
    bindings = {"read": messages.read, "finest": finest, "NEWLINE": NEWLINE, **kinds}
    return compile.entry("measured", _MEASURE, bindings)
