"""The parts of a series: in order, disjoint, all of it, and never moved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_catalog.series import Series
from nexus_catalog.splits import BEGIN, DAY, END, OPEN, PARTS, cut

from nexus_core.errors import UsageError
from nexus_core.records import ROW

TIMES = st.integers(-(2**60), 2**60)


@settings(deadline=None)
@given(TIMES, TIMES)
def test_parts_follow_one_another_and_leave_nothing_out(one, other):
    splits = cut(min(one, other), max(one, other))
    spans = [splits.span(part) for part in PARTS]
    assert spans[0][0] == BEGIN
    assert spans[-1][1] == END
    assert [to for _, to in spans[:-1]] == [after for after, _ in spans[1:]]
    assert all(after <= to for after, to in spans)
    assert splits.span(OPEN) == (spans[0][0], spans[1][1])


@settings(deadline=None)
@given(TIMES, st.integers(0, 2**58))
def test_cuts_lie_at_six_and_eight_tenths_of_the_time(first, span):
    splits = cut(first, first + span)
    room = DAY if span >= 10 * DAY else 1
    assert 0 <= 10 * (first - splits.calibrate_to) + span * 6 <= 10 * room
    assert 0 <= 10 * (first - splits.choose_to) + span * 8 <= 10 * room
    if span >= 10 * DAY:
        assert splits.calibrate_to % DAY == splits.choose_to % DAY == 0
        assert first < splits.calibrate_to < splits.choose_to < first + span


def test_a_part_of_another_name_is_refused():
    with pytest.raises(UsageError, match="Did you mean choose"):
        cut(0, 10).span("chose")


@pytest.mark.parametrize(
    ("name", "interval", "period"),
    [
        ("BTC-USD/bars-60s", 60 * 10**9, "month"),
        ("BTC/USDT:USDT/bars-250ms", 250 * 10**6, "hour"),
        ("SPY/bars-3600s", 3600 * 10**9, "year"),
        ("SPY/bars-86400s", DAY, "all"),
        ("X Y/trades", 0, "day"),
        ("X/book", 0, "hour"),
    ],
)
def test_a_name_is_its_series(name, interval, period):
    series = Series.of(name)
    assert (series.name, series.interval, series.period) == (name, interval, period)
    assert (series.record == ROW) == (series.kind == "bars")
    assert series.folder.count("/") == 1


@pytest.mark.parametrize(
    "name", ["", "X", "X/bars", "X/bars-60", "X/trades-60s", "X/ticks", "/trades", "X/bars-0s"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UsageError):
        Series.of(name)


def test_symbols_of_odd_names_get_folders_of_their_own():
    odd = ["A/B", "A%2FB", "a:b", "..", ".", "A B"]
    folders = {Series(each, "trades").folder for each in odd}
    assert len(folders) == len(odd)
    assert not {each.split("/")[0] for each in folders} & {".", ".."}
