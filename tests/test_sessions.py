"""Sessions: what the clock of a market says of a row, whatever the clocks of the place do."""

import re
import sys
import warnings
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core.errors import ConfigError, DataError
from nexus_core.market.sessions import OUTSIDE, Calendar
from nexus_core.records import ROW, empty
from nexus_core.testing.market import utc_session
from nexus_core.types import ns

MINUTE = 60_000_000_000
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
NOWHERE = (OUTSIDE, OUTSIDE, OUTSIDE)


def day(text):
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


calendar = cache(Calendar)


def rows_at(times):
    rows = empty(ROW, len(times))
    rows["ts"] = times
    return rows


def stamped(name, times):
    rows = rows_at(times)
    Calendar(name).stamp(rows)
    return rows


def local(text, zone, fold=0):
    """Return the instant of a local time, as nanoseconds."""
    return ns(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold))


def minutes(first, last):
    """Return every whole minute from one UTC date to another."""
    return np.arange(ns(first), ns(last) + 1, MINUTE)


@cache
def traded(name, first, last):
    """Return the instants at which a minute of an exchange ends, by the package of calendars."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = exchange_calendars.get_calendar(name, start=first, end=last)
    return known.minutes.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64) + MINUTE


# -- the crypto day -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crypto", "utc"])
@given(ts=st.integers(-(2**60), 2**62))
def test_the_crypto_day_is_the_utc_day(name, ts):
    assert calendar(name).at(ts) == utc_session(ts)


def test_midnight_closes_the_day_before():
    midnight = ns("2026-03-02")
    assert calendar("crypto").at(midnight) == (day("2026-03-01"), 1440, 0)
    assert calendar("crypto").at(midnight + 1) == (day("2026-03-02"), 0, 1440)
    assert not calendar("crypto").closed(midnight)


# -- an exchange with holidays --------------------------------------------------------------------


def test_ten_years_of_minutes_in_new_york():
    every = minutes("2010-01-01", "2020-01-01")
    rows = stamped("XNYS", every)
    inside = rows["minute_of_session"] != OUTSIDE

    assert np.array_equal(every[inside], traded("XNYS", "2010-01-01", "2019-12-31"))

    # the clock on the wall, by other means: the session is the local date, the minutes count from 09:30
    wall = pd.DatetimeIndex(every[inside], tz="UTC").tz_convert("America/New_York")
    clock = (wall.hour * 60 + wall.minute).to_numpy()
    days = wall.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
    assert np.array_equal(rows["session_id"][inside], days)
    assert np.array_equal(rows["minute_of_session"][inside], clock - 570)
    ends = rows["minute_of_session"][inside] + rows["minutes_to_close"][inside]
    assert {*np.unique(ends).tolist()} == {210, 390}
    for name in ("session_id", "minutes_to_close"):
        assert (rows[name][~inside] == OUTSIDE).all()


def test_the_day_after_thanksgiving_ends_at_one():
    rows = calendar("XNYS")
    friday = day("2019-11-29")
    assert rows.at(ns("2019-11-29T14:30:00Z")) == NOWHERE
    assert rows.at(ns("2019-11-29T14:31:00Z")) == (friday, 1, 209)
    assert rows.at(ns("2019-11-29T18:00:00Z")) == (friday, 210, 0)
    assert rows.at(ns("2019-11-29T18:01:00Z")) == NOWHERE
    assert rows.at(ns("2019-11-28T16:00:00Z")) == NOWHERE, "Thanksgiving"
    assert rows.closed(ns("2019-11-28T16:00:00Z"))


def test_a_session_that_opens_the_evening_before_bears_that_evenings_date():
    assert calendar("CMES").at(ns("2019-12-19T23:01:00Z")) == (day("2019-12-19"), 1, 1439)
    assert calendar("CMES").at(ns("2019-12-20T23:00:00Z")) == (day("2019-12-19"), 1440, 0)


def test_in_a_break_the_market_is_closed_and_the_session_goes_on():
    hong_kong, lunch = calendar("XHKG"), ns("2019-12-20T04:30:00Z")
    assert hong_kong.at(lunch) == (day("2019-12-20"), 180, 210)
    assert hong_kong.closed(lunch)
    assert not hong_kong.closed(ns("2019-12-20T04:00:00Z"))
    assert hong_kong.gap(ns("2019-12-20T04:00:00Z"), ns("2019-12-20T05:01:00Z"), MINUTE) == 0
    assert hong_kong.gap(ns("2019-12-20T03:59:00Z"), ns("2019-12-20T05:02:00Z"), MINUTE) == 2


@pytest.mark.parametrize("name", ["XNYS", "XHKG", "CMES", "XLON", "XTKS", "24/7"])
def test_no_exchange_has_a_minute_that_the_package_does_not(name):
    every = minutes("2021-02-25", "2021-04-10")
    open_at = [not calendar(name).closed(int(ts)) for ts in every[::7]]
    assert np.array_equal(open_at, np.isin(every[::7], traded(name, "2021-02-01", "2021-05-01")))


# -- hours as text --------------------------------------------------------------------------------

NEW_YORK = "09:30-16:00 America/New_York Mon-Fri"


def test_regular_hours_follow_the_clocks_of_the_place():
    every = minutes("2023-06-01", "2024-07-01")
    rows = stamped(NEW_YORK, every)

    wall = pd.DatetimeIndex(every, tz="UTC").tz_convert("America/New_York")
    clock = (wall.hour * 60 + wall.minute).to_numpy()
    inside = (clock > 570) & (clock <= 960) & (wall.day_of_week < 5)
    assert np.array_equal(rows["minute_of_session"], np.where(inside, clock - 570, OUTSIDE))
    assert np.array_equal(rows["minutes_to_close"], np.where(inside, 960 - clock, OUTSIDE))


@pytest.mark.parametrize(
    ("date", "hours"), [("2024-03-10", 23), ("2024-11-03", 25), ("2024-03-09", 24), ("2024-11-04", 24)]
)
def test_a_local_day_has_as_many_hours_as_its_clock_gives_it(date, hours):
    every = Calendar("00:00-24:00 America/New_York")
    opens = local(f"{date}T00:00", "America/New_York")
    assert every.at(opens + MINUTE) == (day(date), 1, hours * 60 - 1)
    assert every.at(opens + hours * HOUR) == (day(date), hours * 60, 0)
    assert every.at(opens + hours * HOUR + MINUTE)[:2] == (day(date) + 1, 1)


def test_an_overnight_session_starts_the_evening_before():
    futures = Calendar("18:00-17:00 America/New_York Sun-Thu")
    sunday = local("2024-03-10T18:00", "America/New_York")
    assert futures.at(sunday) == NOWHERE
    assert futures.at(sunday + MINUTE) == (day("2024-03-10"), 1, 23 * 60 - 1)
    assert futures.at(local("2024-03-11T17:00", "America/New_York")) == (day("2024-03-10"), 1380, 0)
    assert futures.closed(local("2024-03-11T17:30", "America/New_York"))
    assert futures.closed(local("2024-03-09T12:00", "America/New_York")), "a Saturday"
    assert not futures.closed(local("2024-03-15T17:00", "America/New_York")), "the end of the week"
    assert futures.closed(local("2024-03-15T18:01", "America/New_York"))


def test_an_open_that_clocks_jump_over_is_the_jump():
    # 02:00 to 03:00 does not exist in New York on 2024-03-10; the jump is at 07:00 UTC
    early = Calendar("02:30-10:00 America/New_York")
    jump = ns("2024-03-10T07:00:00Z")
    assert early.at(jump) == NOWHERE
    assert early.at(jump + MINUTE) == (day("2024-03-10"), 1, 7 * 60 - 1)


def test_an_open_that_comes_twice_is_the_first():
    # 01:30 comes at 05:30 and at 06:30 UTC
    early = Calendar("01:30-10:00 America/New_York")
    assert early.at(ns("2024-11-03T05:31:00Z")) == (day("2024-11-03"), 1, 9 * 60 + 29)
    short = Calendar("00:00-01:30 America/New_York")
    assert short.at(ns("2024-11-03T05:30:00Z")) == (day("2024-11-03"), 90, 0)
    assert short.at(ns("2024-11-03T05:31:00Z")) == NOWHERE


def test_a_day_that_a_place_left_out_has_no_session():
    # Samoa moved across the date line: after 2011-12-29 came 2011-12-31
    apia = Calendar("00:00-24:00 Pacific/Apia")
    change = ns("2011-12-30T10:00:00Z")
    assert apia.at(change) == (day("2011-12-29"), 1440, 0)
    assert apia.at(change + MINUTE) == (day("2011-12-31"), 1, 1439)


ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]
clocks = st.integers(0, 1439)


def shows_from(wall, zone, start):
    """Return the first minute, from an instant on, at which a clock shows a time or a later one."""
    moment = start
    while moment.astimezone(zone).replace(tzinfo=None) < wall:
        moment += timedelta(minutes=1)
    return ns(moment)


@given(st.sampled_from(ZONES), clocks, clocks, st.dates(date(2015, 1, 1), date(2019, 12, 31)), st.booleans())
def test_hours_agree_with_a_clock_that_is_watched(place, start, end, at, by_change):
    zone = ZoneInfo(place)
    if by_change:  # the days on which clocks change are few
        at = date(at.year, *{"America/New_York": (3, 8), "Europe/Berlin": (10, 25)}.get(place, (10, 4)))
        at += timedelta(days=(6 - at.weekday()) % 7)
    hours = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02} {place}"
    midnight = datetime(at.year, at.month, at.day)
    walls = midnight + timedelta(minutes=start), midnight + timedelta(minutes=end + 1440 * (end <= start))
    before = datetime(at.year, at.month, at.day, tzinfo=UTC) - timedelta(hours=16)
    opens, closes = (shows_from(wall, zone, before) for wall in walls)
    if opens >= closes:
        return
    length = (closes - opens) // MINUTE
    assert Calendar(hours).at(opens + 1) == (day(str(at)), 0, length)
    assert Calendar(hours).at(closes) == (day(str(at)), length, 0)
    assert Calendar(hours).at(closes + 1)[0] != day(str(at))


# -- one and many, gaps, and what is refused ------------------------------------------------------


@pytest.mark.parametrize("name", ["crypto", NEW_YORK, "XHKG", "18:00-17:00 America/New_York Sun-Thu"])
@given(times=st.lists(st.integers(ns("1996-01-01"), ns("2027-01-01")), max_size=20))
def test_one_row_is_stamped_like_many_in_any_order(name, times):
    rows = empty(ROW, len(times))
    rows["ts"] = times
    calendar(name).stamp(rows)
    told = rows[["session_id", "minute_of_session", "minutes_to_close"]].tolist()
    assert told == [calendar(name).at(ts) for ts in times]


@pytest.mark.parametrize("name", ["crypto", NEW_YORK, "XHKG"])
def test_what_a_calendar_was_asked_before_changes_nothing(name):
    times = [ns(f"{year}-03-04T02:00:00Z") for year in (2020, 2003, 2026)]
    asked = Calendar(name)
    assert [asked.at(ts) for ts in times] == [Calendar(name).at(ts) for ts in times]


@pytest.mark.parametrize(
    ("name", "a", "b", "interval", "missing"),
    [
        ("crypto", "2026-03-01T00:00", "2026-03-01T00:01", MINUTE, 0),
        ("crypto", "2026-03-01T00:00", "2026-03-01T00:05", MINUTE, 4),
        ("crypto", "2026-03-01T23:59", "2026-03-02T00:02", MINUTE, 2),
        ("crypto", "2026-03-01", "2026-03-04", DAY, 2),
        ("crypto", "2026-03-01", "2026-03-15", 7 * DAY, 1),
        ("XNYS", "2019-11-27T21:00", "2019-11-29T14:31", MINUTE, 0),  # over Thanksgiving
        ("XNYS", "2019-11-27T20:59", "2019-11-29T14:33", MINUTE, 3),
        ("XNYS", "2019-11-27T21:00", "2019-12-02T14:31", MINUTE, 210),  # the half day is missing
        ("XNYS", "2019-11-27T21:00", "2019-11-27T22:00", MINUTE, 0),  # a row after the close
        ("XNYS", "2019-11-27T20:58", "2019-11-27T22:00", MINUTE, 2),
        ("XNYS", "2019-11-27T21:00", "2019-12-02T21:00", DAY, 1),
        ("XNYS", "2019-11-25T21:00", "2019-11-26T15:00", HOUR, 0),  # hours by the clock: the first is half
        ("XNYS", "2019-11-25T21:00", "2019-11-26T21:00", HOUR, 6),
        ("XNYS", "2019-11-25T20:30", "2019-11-26T15:30", HOUR, 1),  # from the open: the last one is half
        ("crypto", "2026-03-02", "2026-03-01", MINUTE, 0),
    ],
)
def test_a_gap_is_what_is_missing_while_the_market_was_open(name, a, b, interval, missing):
    assert calendar(name).gap(ns(a), ns(b), interval) == missing


@given(st.sets(st.integers(1, 3000), min_size=2, max_size=30).map(sorted))
def test_gaps_add_up_to_the_minutes_that_are_gone(kept):
    times = traded("XNYS", "2019-11-01", "2020-01-10")[kept].tolist()
    gaps = [calendar("XNYS").gap(a, b, MINUTE) for a, b in pairwise(times)]
    assert sum(gaps) == kept[-1] - kept[0] + 1 - len(kept)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("XNYSE", "Did you mean XNYS"),
        ("09:30-16:00 America/NewYork", "no time zone is called America/NewYork"),
        ("09:30-16:00 America", "no time zone"),
        ("09:30-16:00 ../etc", "no time zone"),
        ("09:30-16:00 UTC Mon-Foo", "hours like '09:30-16:00 America/New_York Mon-Fri'"),
        ("09:30-25:00 UTC", "hours like '09:30-16:00"),
        ("", "unknown"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_what_to_write(name, said):
    with pytest.raises(ConfigError, match=said):
        Calendar(name)


def test_without_the_package_an_exchange_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'nexus-core[calendars]'")):
        Calendar("XNYS")
    assert Calendar("crypto").at(MINUTE) == (0, 1, 1439)


def test_a_calendar_that_the_package_cannot_make_is_told_by_name(monkeypatch):
    def breaks(name, *days):
        raise ValueError("special dates are not sessions " * 50)

    monkeypatch.setattr(exchange_calendars, "get_calendar", breaks)
    with pytest.raises(DataError, match=r"^calendar XTAE: its package raised ValueError.{,300}$"):
        Calendar("XTAE").at(0)


def test_times_that_a_calendar_does_not_reach_are_refused():
    with pytest.raises(DataError, match=r"calendar XHKG: knows .* asked for 1950-01-01"):
        Calendar("XHKG").at(ns("1950-01-01"))
    with pytest.raises(DataError, match=r"calendar XHKG: knows .* asked for 2100-01-01"):
        Calendar("XHKG").at(ns("2100-01-01"))
    with pytest.raises(DataError, match="calendar crypto: knows 1969-"):
        Calendar("crypto").stamp(rows_at([0, 2**63 - 1]))
    assert calendar("XHKG").at(ns("2019-12-20T04:30:00Z")) == (day("2019-12-20"), 180, 210)


def test_no_rows_are_fine():
    assert len(stamped("XNYS", [])) == 0


def test_days_of_the_week_may_wrap_around():
    weekend = Calendar("10:00-11:00 UTC Sat-Mon")
    open_on = [weekend.closed(ns(f"2024-01-{n:02}T10:30:00Z")) for n in range(1, 8)]  # from a Monday on
    assert open_on == [False, True, True, True, True, False, False]
