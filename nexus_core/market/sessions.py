"""Sessions: which day of trading a row belongs to, and how far it is from the open and the close.

A calendar is named by text, in one of three ways:

- `crypto` or `utc`: every UTC day, from 00:00 to 24:00;
- hours by the clock of a place, `09:30-16:00 America/New_York`, every day, or from one day of the
  week to another: `18:00-17:00 America/New_York Sun-Thu`. The place is an IANA time zone, the days are those
  on which a session starts, and an end that is not after the start is the next day's;
- an exchange of the package exchange-calendars, `XNYS` or `CMES`, with its holidays, half days and breaks.

A session holds the instants after its open, up to and with its close, because a row is stamped at its close.
Minutes are whole minutes gone by since the open; on a day of 25 hours there are 1,500. A break is part of
its session, and the minutes run on, but the market is closed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from nexus_core.errors import ConfigError, DataError, hint
from nexus_core.market.blocks import Ints
from nexus_core.records import Records
from nexus_core.types import iso, ns

OUTSIDE = -1
"""What all three columns are for a row outside any session, such as one before the open: a tool that starts
anew with each session does so at the open and after the close."""

_MINUTE, _DAY = 60_000_000_000, 86_400_000_000_000
# days: laid out beyond those asked for, as a live market asks for the next one each day; and the farthest
# from 1970 that nanoseconds can count, with some to spare
_BEFORE, _AFTER, _FARTHEST = 30, 400, 106_000
_NAMED = {"crypto": "00:00-24:00 UTC", "utc": "00:00-24:00 UTC"}
_ADVICE = "Write crypto, or hours like '09:30-16:00 America/New_York Mon-Fri'"
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME, _OF_WEEK = r"([01]\d|2[0-3]):([0-5]\d)", f"({'|'.join(_WEEK)})"
_HOURS = re.compile(rf"{_TIME}-(?:{_TIME}|24:00) (\S+)(?: {_OF_WEEK}-{_OF_WEEK})?", re.A)


class _Table(NamedTuple):
    """The sessions that start on the days `first` to `last`, and the stretches in which there is trading."""

    first: int
    last: int
    ids: Ints
    opens: Ints
    closes: Ints
    begins: Ints
    ends: Ints


class Calendar:
    """The sessions of a market. Lays out those around the times it is asked for, and keeps them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lay_out = _source(name)
        self._table = _Table(_FARTHEST, -_FARTHEST, *[np.zeros(0, np.int64)] * 5)

    def stamp(self, rows: Records) -> None:
        """Write `session_id`, `minute_of_session` and `minutes_to_close` of rows in any order, in place.

        The id is the days from 1970-01-01 to the date on which the session opened, by the market's own clock.
        Outside any session all three are OUTSIDE.
        """
        if len(rows):
            columns = self._stamps(rows["ts"])
            rows["session_id"], rows["minute_of_session"], rows["minutes_to_close"] = columns

    def at(self, ts: int) -> tuple[int, int, int]:
        """Return what `stamp` writes for a row of this time (nanoseconds UTC)."""
        session, minute, left = self._stamps(np.array([ts]))
        return int(session[0]), int(minute[0]), int(left[0])

    def closed(self, ts: int) -> bool:
        """Tell whether no bar of the market can end at this time: outside the sessions, or in a break.

        The instant of the open is closed, that of the close is not.
        """
        table = self._around(ts, ts)
        place = int(np.searchsorted(table.begins, ts)) - 1
        return place < 0 or ts > int(table.ends[place])

    def gap(self, a: int, b: int, interval: int) -> int:
        """Return how many bars are missing between one that ends at `a` and the next, that ends at `b`.

        Times and the interval are nanoseconds. Where a stretch of trading is no multiple of the interval, one
        bar is shorter. Bars of up to a day lie in one session; for longer ones all time counts, open or not.
        """
        if interval > _DAY:
            return max((b - a + interval // 2) // interval - 1, 0)
        table = self._around(a, b)
        begins, ends = (table.begins, table.ends) if interval < _DAY else (table.opens, table.closes)
        touched = slice(int(np.searchsorted(ends, a, "right")), int(np.searchsorted(begins, b)))
        open_for = np.minimum(ends[touched], b) - np.maximum(begins[touched], a)
        return max(int((-(-open_for // interval)).sum()) - (not self.closed(b)), 0)

    def _stamps(self, times: Ints) -> tuple[Ints, Ints, Ints]:
        table = self._around(int(times.min()), int(times.max()))
        place = np.searchsorted(table.opens, times) - 1
        opens, closes = table.opens[place], table.closes[place]
        minute = (times - opens) // _MINUTE
        stamps = table.ids[place], minute, (closes - opens) // _MINUTE - minute
        outside = (place < 0) | (times > closes)
        for column in stamps:
            column[outside] = OUTSIDE
        return stamps

    def _around(self, low: int, high: int) -> _Table:
        # two days more: a session may have opened the day before, and a day begins elsewhere at another time
        first, last = low // _DAY - 2, high // _DAY + 2
        table = self._table
        if not table.first <= first <= last <= table.last:
            reach = min(table.first, first - _BEFORE), max(table.last, last + _AFTER)
            table = self._table = self._lay_out(*np.clip(reach, -_FARTHEST, _FARTHEST).tolist())
        if not table.first <= first <= last <= table.last:
            known = " to ".join(iso(day * _DAY)[:10] for day in (table.first, table.last))
            asked = f"was asked for {iso(low)} to {iso(high)}, and needs two days more at each end"
            raise DataError(f"calendar {self.name}: knows {known}, {asked}. Leave out the rows beyond.")
        return table


def _source(name: str) -> Callable[[int, int], _Table]:
    hours = _HOURS.fullmatch(_NAMED.get(name, name))
    if hours is None:
        return _exchange(name)
    start, end = (60 * int(hours[k] or 24) + int(hours[k + 1] or 0) for k in (1, 3))
    try:
        zone = ZoneInfo(hours[5])
    except (ValueError, OSError, KeyError):  # an unknown zone is a KeyError, a folder of zones an OSError
        raise ConfigError(f"calendar {name!r}: no time zone is called {hours[5]}. {_ADVICE}.") from None
    begin, until = (_WEEK.index(each or other) for each, other in ((hours[6], "Mon"), (hours[7], "Sun")))
    days = {(begin + n) % 7 for n in range((until - begin) % 7 + 1)}

    def lay_out(first: int, last: int) -> _Table:
        on = [day for day in range(first, last + 1) if (day + 3) % 7 in days]  # 1970 began on a Thursday
        opens = np.array([_instant(day, start, zone) for day in on], np.int64)
        closes = np.array([_instant(day, end if end > start else end + 1440, zone) for day in on], np.int64)
        # a zone that moved across the date line has no such day
        ids, opens, closes = (each[opens < closes] for each in (np.array(on, np.int64), opens, closes))
        return _Table(first, last, ids, opens, closes, opens, closes)

    return lay_out


def _instant(day: int, minute: int, zone: ZoneInfo) -> int:
    """Return the first instant at which the clock of a place shows this time or a later one.

    So of a time that comes twice, when clocks are put back, it is the first; and a time that clocks jump over
    is the moment they do.
    """
    wall = datetime(1970, 1, 1) + timedelta(days=day, minutes=minute)
    after = wall.replace(tzinfo=zone).astimezone(UTC)
    shown = after.astimezone(zone)
    if shown.replace(tzinfo=None) != wall:
        before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
        while after - before > timedelta(microseconds=1):
            middle = before + (after - before) / 2
            has_jumped = middle.astimezone(zone).utcoffset() == shown.utcoffset()
            before, after = (before, middle) if has_jumped else (middle, after)
    return ns(after)


def _exchange(name: str) -> Callable[[int, int], _Table]:
    try:
        package = import_module("exchange_calendars")
    except ImportError:
        needs = "calendars of exchanges need a package: pip install 'nexus-core[calendars]'"
        raise ConfigError(f"calendar {name!r}: {needs}. Without it: {_ADVICE}.") from None
    if name not in (known := package.get_calendar_names()):
        raise ConfigError(
            f"calendar {name!r}: unknown.{hint(name, known)} {_ADVICE}, or an exchange like XNYS."
        )

    def lay_out(first: int, last: int) -> _Table:
        with warnings.catch_warnings():  # what pandas has to say to the package is not the user's business
            warnings.simplefilter("ignore")
            try:
                made: Any = package.get_calendar(name)
                low = first if (bound := made.bound_min()) is None else bound.value // _DAY
                high = last if (bound := made.bound_max()) is None else bound.value // _DAY
                first, last = max(min(first, high - _AFTER), low), min(max(last, low + _AFTER), high)
                made = package.get_calendar(name, *(np.datetime64(day, "D") for day in (first, last)))
            except Exception as error:  # some of its calendars break with some versions of pandas
                raise DataError(f"calendar {name}: its package raised {error!r:.120}. {_ADVICE}.") from error
        ids = _ints(made.opens.dt.tz_convert(made.tz).dt.tz_localize(None), "datetime64[D]")
        opens, closes, stops, starts = (
            _ints(each.dropna().dt.tz_convert(None))
            for each in (made.opens, made.closes, made.break_starts, made.break_ends)
        )
        begins, ends = (np.sort(np.concatenate(each)) for each in ((opens, starts), (closes, stops)))
        return _Table(first, last, ids, opens, closes, begins, ends)

    return lay_out


def _ints(times: Any, unit: str = "datetime64[ns]") -> Ints:
    return times.to_numpy().astype(unit).astype(np.int64)
