"""How a table writes its times, and how they become nanoseconds UTC."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from nexus_core.errors import ConfigError, DataError
from nexus_core.types import ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

compute: Any = import_module("pyarrow.compute")  # its functions are made when it is imported

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds in one of each unit."""

FIRST, END = ns("1900-01-01"), ns("2200-01-01")
"""Times before or from these on are no times of a market: most often the unit is another."""

_NAIVE, _ZONED = pa.timestamp("ns"), pa.timestamp("ns", "UTC")
_DAY = r"^(\d{4})[-./]?(\d\d)[-./]?(\d\d)"
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d:?\d\d)?")
_YEAR_FIRST = re.compile(
    r"\d{4}[-./]?\d\d[-./]?\d\d([T ]+\d\d:?\d\d(:?\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d:?\d\d)?"
)
_YEAR_LAST = re.compile(r"(\d\d?)([-./])(\d\d?)\2(\d{4})([T ]+\d\d:?\d\d(:?\d\d(\.\d{1,9})?)?)?")


class Problem(NamedTuple):
    """A fault of some rows' times: which rows, its name, and what is wrong."""

    rows: NDArray[np.bool_]
    fault: str
    reason: str


class Clock:
    """How a table writes its times: found from a sample, or told by `unit`.

    `unit` is s, ms, us or ns since 1970, iso, or a format like %d/%m/%Y %H:%M. Times without an offset of
    their own are of the time zone `zone`. `words` says in words what was found.
    """

    def __init__(self, source: str, sample: Any, unit: str, zone: str) -> None:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            told = "name one like UTC or America/New_York"
            raise ConfigError(f"{source}: zone was {zone!r}, which is no time zone; {told}.") from None
        if unit and unit not in UNITS and unit != "iso" and "%" not in unit:
            raise ConfigError(f"{source}: unit was {unit!r}; it is s, ms, us, ns, iso, or a format with %.")
        self.source, self.zone, self._unit, self._order, self._zoned = source, zone, unit, "", False
        self.type: Any = pa.string()
        if pa.types.is_string(sample.type):
            self._of_text([each for each in sample.to_pylist() if each is not None])
        elif pa.types.is_temporal(sample.type):
            self.type = sample.type
            self._unit, self._zoned = "time", getattr(sample.type, "tz", None) is not None
        else:
            self._of_numbers(np.asarray(sample.drop_null(), np.float64))
            self.type = sample.type

    @property
    def words(self) -> str:
        """Return how times are written, in words."""
        if self._unit in UNITS:
            return f"{self._unit} since 1970, UTC"
        where = "with an offset" if self._zoned else f"without an offset, taken as {self.zone}"
        named = {"iso": "ISO text", "time": "times", "year": "text, year first"}
        return f"{named.get(self._unit, f'text like {self._unit}')} {where}"

    def read(self, cells: Any) -> tuple[NDArray[np.int64], list[Problem]]:
        """Return nanoseconds UTC of Arrow cells, 0 where there is none, and what is wrong."""
        missing = np.asarray(cells.is_null())
        is_text = pa.types.is_string(cells.type)
        if is_text:
            cells = self._arranged(compute.utf8_trim_whitespace(cells))
        parsed, strange = self._parsed(cells)
        problems = [
            Problem(missing, "missing", "its time is missing"),
            Problem(strange & ~missing, "time", f"its time is no {self.words}"),
        ]
        known = ~(missing | strange)
        beyond = known & ((parsed < FIRST) | (parsed >= END))
        problems.append(
            Problem(beyond, "time", "its time lies outside the years 1900 to 2199: is the unit another?")
        )
        if not self._zoned and self.zone != "UTC":
            parsed, doubtful = self._placed(parsed, known & ~beyond)
            problems += doubtful
        return parsed, [each for each in problems if each.rows.any()]

    # -- what is found ----------------------------------------------------------------------------

    def _of_text(self, cells: list[str]) -> None:
        if self._unit and "%" in self._unit:
            return
        numbers = [float(each) for each in cells if re.fullmatch(r"-?\d+(\.\d+)?", each)]
        dates = sum(bool(_YEAR_FIRST.fullmatch(each)) for each in cells)
        if self._unit in UNITS or (2 * len(numbers) > len(cells) and 2 * dates <= len(cells)):
            self._of_numbers(np.array(numbers))
            whole = sum("." not in each for each in cells)
            self.type = pa.int64() if 2 * whole > len(cells) else _decimal(UNITS[self._unit])
            return
        zoned = [each for each in cells if re.search(r"\d(Z|[+-]\d\d:?\d\d)$", each)]
        self._zoned = 2 * len(zoned) > len(cells)
        if 2 * sum(bool(_ISO.fullmatch(each)) for each in cells) > len(cells) or self._unit == "iso":
            self._unit, self.type = "iso", _ZONED if self._zoned else _NAIVE
        elif 2 * dates > len(cells):
            self._unit = "year"
        else:
            self._of_dates([found for each in cells if (found := _YEAR_LAST.fullmatch(each))], cells)

    def _of_dates(self, found: list[re.Match[str]], cells: list[str]) -> None:
        advice = "Say how times are written, like unit=%d/%m/%Y %H:%M."
        if not cells:
            raise DataError(f"{self.source}: has no row with a time. Name a file that holds data.")
        if 2 * len(found) <= len(cells):
            raise DataError(f"{self.source}: a time was {cells[0]!r}, which is of no known form. {advice}")
        day_first, month_first = any(int(m[1]) > 12 for m in found), any(int(m[3]) > 12 for m in found)
        if day_first == month_first:
            told = f"{found[0][0]} may have the day or the month first"
            raise DataError(f"{self.source}: {told}. {advice}")
        self._order = "day" if day_first else "month"
        self._unit = f"{'day' if day_first else 'month'} first"

    def _of_numbers(self, values: NDArray[np.float64]) -> None:
        if self._unit and self._unit not in UNITS:
            raise DataError(
                f"{self.source}: unit was {self._unit}, and times are numbers. Take s, ms, us or ns."
            )
        size = float(np.median(np.abs(values))) if values.size else 0.0
        guess = "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
        self._unit, self._zoned = self._unit or guess, True

    # -- how it is read ---------------------------------------------------------------------------

    def _arranged(self, cells: Any) -> Any:
        """Bring text to ISO form, where it is of another."""
        if self._order:
            day, month = (r"\1", r"\2") if self._order == "day" else (r"\2", r"\1")
            cells = compute.replace_substring_regex(cells, r"^(\d)([-./])", r"0\1\2")
            cells = compute.replace_substring_regex(cells, r"^(\d\d[-./])(\d[-./])", r"\10\2")
            pattern = r"^(\d\d)[-./](\d\d)[-./](\d{4})"
            cells = compute.replace_substring_regex(cells, pattern, rf"\3-{month}-{day}")
        if self._order or self._unit == "year":
            cells = compute.replace_substring_regex(cells, _DAY, r"\1-\2-\3")
            cells = compute.replace_substring_regex(cells, r"^(\S{10})[T ]+(\d\d):?(\d\d)", r"\1 \2:\3")
            cells = compute.replace_substring_regex(cells, r"^(\S{10} \d\d:\d\d):?(\d\d)", r"\1:\2")
        return cells

    def _parsed(self, cells: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if self._unit in UNITS:
            return self._counted(cells)
        if "%" in self._unit:
            cells = compute.strptime(cells, self._unit, "ns", error_is_null=True)
        made = cast_each(cells, _ZONED if self._zoned else _NAIVE)
        return filled(made.view(pa.int64())), np.asarray(made.is_null())

    def _counted(self, cells: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        unit = UNITS[self._unit]
        if pa.types.is_floating(cells.type):
            floats = np.asarray(cells.fill_null(np.nan), np.float64) * min(unit, 10**6)
            strange = ~(np.abs(floats) < 9e18)
            # a float of seconds since 1970 knows microseconds, and what is beyond them is noise
            return _times(
                np.rint(np.where(strange, 0, floats)).astype(np.int64), max(unit // 10**6, 1)
            ), strange
        if pa.types.is_integer(cells.type) or self.type == pa.int64():
            made = cast_each(cells, pa.int64())
            return _times(filled(made), unit), np.asarray(made.is_null())
        # scaled to nanoseconds: what the number is made of is the time
        made = cast_each(cells, _decimal(unit))
        gone, whole = np.asarray(made.is_null()), made.fill_null(0)
        halves = np.frombuffer(whole.buffers()[1], np.int64)[2 * whole.offset :][: 2 * len(whole)]
        low, high = halves[::2], halves[1::2]
        return np.where(high == low >> 63, low, END), gone

    def _placed(
        self, local: NDArray[np.int64], known: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], list[Problem]]:
        naive = pa.array(np.where(known, local, 0)).view(_NAIVE)
        early, late = (
            compute.assume_timezone(naive, self.zone, ambiguous=each, nonexistent=each)
            for each in ("earliest", "latest")
        )
        made = np.asarray(early.view(pa.int64()))
        twice = known & (made != np.asarray(late.view(pa.int64())))
        back = np.asarray(compute.local_timestamp(early).view(pa.int64()))
        never = twice & (back != local)
        return made, [
            Problem(
                twice & ~never, "ambiguous", f"its time came twice in {self.zone}, when clocks went back"
            ),
            Problem(never, "nonexistent", f"its time never was in {self.zone}, when clocks went forward"),
        ]


def cast_each(cells: Any, kind: Any) -> Any:
    """Return Arrow cells cast to a type, null where one cannot be."""
    try:
        return compute.cast(cells, kind)
    except pa.ArrowInvalid:
        if len(cells) == 1:
            return pa.nulls(1, kind)
    half = len(cells) // 2
    return pa.concat_arrays([cast_each(cells[:half], kind), cast_each(cells[half:], kind)])


def filled(cells: Any) -> NDArray[np.int64]:
    """Return Arrow integers as an array, 0 where there is none."""
    return np.asarray(cells.fill_null(0) if cells.null_count else cells)


def _times(counts: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Return nanoseconds; what is too much for them is the end of all times."""
    beyond = (counts > 2**62 // unit) | (counts < -(2**62) // unit)
    return np.where(beyond, END, np.where(beyond, 0, counts) * unit)


def _decimal(unit: int) -> Any:
    return pa.decimal128(28, len(str(unit)) - 1)
