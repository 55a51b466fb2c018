"""A picture of a series as a trader looks at it: price and volume, the day's habits, the returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from nexus_catalog import checks

from nexus_app_data.quality import DAY, Quality
from nexus_core.errors import DataError
from nexus_core.market.events import BUY, QUOTE, TRADE
from nexus_core.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nexus_catalog.store import Facts

    from nexus_core.market.sessions import Calendar
    from nexus_core.records import Records

CANDLES = 150
"""Bars up to which each is drawn as a candle."""

_LINE, _BINS = 2_000, 300  # points of a line, and bars of the volume, that an eye can tell apart
_UP, _DOWN, _INK, _GAP = "#1a7f5a", "#b3372f", "#22303f", "#c9ced6"
_SHADES = {"calibrate": "#dbe9f6", "choose": "#fdf0d0", "final": "#ececec"}
_SOME = 30  # returns of a bucket, or of all, before they are shown as a distribution
_SECOND, _HOUR = 1_000_000_000, 3_600_000_000_000
_CLOSED, _MUCH = _HOUR // 2, 0.2  # without bars so long a market may be closed; share of time left out from
_TALL = 5  # times its lowest that a price has grown to where only a log scale shows all of it
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_UNITS = [(each, "h", "%H:%M\n%d %b") for each in (1, 4, 12)]
_UNITS += [(each, "D", "%d %b") for each in (1, 2, 7)]
_UNITS += [(each, "M", "%b %Y") for each in (1, 3, 6)] + [(each, "Y", "%Y") for each in (1, 2, 5, 10, 50)]
_MARKS, _LINES = 11, 60
_STEPS = (1, 5, 15, 60, 300, 900, 1_800, 3_600, 14_400, 86_400)


@dataclass(slots=True)
class _Bars:
    """What is drawn: closing times in ns, prices, volumes (NaN: not known); odd prices with their times."""

    ts: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any
    odd: list[tuple[int, float]]
    interval: int
    gaps: list[tuple[int, int]]
    source: str
    time: _Time = field(init=False)

    def at(self, times: Any) -> Any:
        """Return where times stand in the picture, as dates."""
        return dates(self.time.place(np.asarray(times, np.int64)))


@dataclass(slots=True)
class _Time:
    """The time axis: where the market is closed for much of the span, that is left out.

    Between two of the `real` times that follow one another a place moves as `shown` does; beyond the last one
    it moves at `pace`, the share of all time that is shown.
    """

    real: Any
    shown: Any
    cuts: int = 0

    @staticmethod
    def of(bars: _Bars, quality: Quality) -> _Time:
        """Leave out closed stretches if they are much; without a calendar all wide gaps are such."""
        ts, interval = bars.ts, bars.interval
        whole = _Time(ts[[0, -1]], ts[[0, -1]]) if len(ts) else _Time(ts, ts)
        steps = np.diff(ts)
        wide = np.flatnonzero(steps > max(interval, 0 if interval >= DAY else _CLOSED))
        if not len(wide) or interval >= 7 * DAY:
            return whole
        left = np.full(len(wide), interval)
        if quality.calendar is not None:
            found = [(quality.lacking(int(ts[n]), int(ts[n + 1])) + 1) * interval for n in wide]
            left = np.minimum(found, steps[wide])
        if (steps[wide] - left).sum() < _MUCH * (ts[-1] - ts[0]):
            return whole
        steps[wide] = left
        shown = ts[0] + np.append(0, np.cumsum(steps))
        knots = np.unique(np.concatenate([[0, len(ts) - 1], wide, wide + 1]))
        return _Time(ts[knots], shown[knots], len(wide))

    @property
    def pace(self) -> float:
        """Return the share of time that is shown."""
        return float((self.shown[-1] - self.shown[0]) / (self.real[-1] - self.real[0]))

    def place(self, times: Any) -> Any:
        """Return where times stand, in nanoseconds of what is shown."""
        inside = np.interp(times - self.real[0], self.real - self.real[0], self.shown - self.shown[0])
        before = np.minimum(times - self.real[0], 0)
        after = np.maximum(times - self.real[-1], 0) * self.pace
        return self.shown[0] + (inside + before + after).astype(np.int64)


def draw(
    path: Path, found: Facts, chunks: Iterable[Records], split: str, calendar: Calendar | None = None
) -> None:
    """Draw the records of `chunks`, which are of the split named, into a PNG file.

    Of bars the time that the market was closed, as the calendar says, is left out where it is much.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    quality = Quality(found.series, calendar)
    is_of_bars = found.series.kind == "bars"
    bars = _of_bars(quality, chunks) if is_of_bars else _of_events(quality, chunks)
    bars.time = _Time.of(bars, quality)
    if len(bars.ts) < 2:
        raise DataError(f"{found.series.name}: {split} has {len(bars.ts)} bars to draw, needs 2 at least.")
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 9), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(3, 2, height_ratios=(5, 1.4, 3.2))
        price = figure.add_subplot(grid[0, :])
        volume = figure.add_subplot(grid[1, :], sharex=price)
        _price(price, bars)
        _volume(volume, bars)
        _shade(price, volume, found, bars, split)
        _habits(figure.add_subplot(grid[2, 0]), bars)
        _returns(figure.add_subplot(grid[2, 1]), bars)
        figure.suptitle(_title(found, bars, split), x=0.01, ha="left", fontsize=12, fontweight="bold")
        try:
            figure.savefig(path)
        except OSError as error:
            raise DataError(f"{path}: the picture cannot be written: {error.strerror}.") from error


def _title(found: Facts, bars: _Bars, split: str) -> str:
    begin, end = (iso(int(each))[:16].replace("T", " ") for each in (bars.ts[0], bars.ts[-1]))
    span = f"{begin} to {end} UTC"
    shown = "" if split in ("open", "all") else f"   split: {split}"
    return f"{found.series.name}   {span}   {len(bars.ts):,} {bars.source}{shown}"


# -- what is drawn ------------------------------------------------------------------------------------


def _of_bars(quality: Quality, chunks: Iterable[Records]) -> _Bars:
    parts: list[list[Any]] = []
    odd: list[tuple[int, float]] = []
    names = ["ts", "open", "high", "low", "close", "volume"]
    for chunk in chunks:
        odd += _odd(quality, chunk, "close")
        parts.append([np.ascontiguousarray(chunk[name]) for name in names])
    columns = [np.concatenate(each) for each in zip(*parts, strict=True)] if parts else [np.empty(0)] * 6
    gaps = [(begin, end) for _, begin, end in quality.longest]
    length = quality.series.interval
    return _Bars(*columns, odd=odd, interval=length, gaps=gaps, source=f"bars of {words(length)}")


def _of_events(quality: Quality, chunks: Iterable[Records]) -> _Bars:
    """Return trades, or where there are none the middle of the quotes, as bars that fill a picture."""
    parts: list[tuple[Any, Any, bool, Any]] = []
    odd: list[tuple[int, float]] = []
    for chunk in chunks:
        odd += _odd(quality, chunk, "price")
        parts.append(_ticks(chunk))
    parts = [each for each in parts if len(each[0])]
    if not parts:
        return _Bars(*[np.empty(0)] * 6, odd=odd, interval=0, gaps=[], source="bars")
    has_trades = any(part[2] for part in parts)
    alike = [part for part in parts if part[2] == has_trades]
    ts, price, size = (np.concatenate([part[n] for part in alike]) for n in (0, 1, 3))
    span = int(ts[-1] - ts[0])
    interval = next((each for each in _STEPS if span / (each * _SECOND) <= _LINE), _STEPS[-1]) * _SECOND
    numbers = -(-ts // interval)
    begin = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    end = np.concatenate([begin[1:], [len(ts)]])
    close = numbers[begin] * interval
    wide = np.flatnonzero(np.diff(close) > interval)
    return _Bars(
        close,
        price[begin],
        np.maximum.reduceat(price, begin),
        np.minimum.reduceat(price, begin),
        price[end - 1],
        np.add.reduceat(size, begin) if has_trades else np.full(len(begin), np.nan),
        odd,
        interval,
        [(int(close[n]), int(close[n + 1])) for n in wide],
        f"bars of {words(interval)} from {'trades' if has_trades else 'mid quotes'}",
    )


def _odd(quality: Quality, chunk: Records, price: str) -> list[tuple[int, float]]:
    at = np.flatnonzero(quality.look(chunk) & checks.FAR_PRICE)
    return [*zip(chunk["ts"][at].tolist(), chunk[price][at].tolist(), strict=True)]


def _ticks(chunk: Records) -> tuple[Any, Any, bool, Any]:
    trades = chunk[chunk["kind"] == TRADE]
    if len(trades):
        return trades["ts"].copy(), trades["price"].copy(), True, np.nan_to_num(trades["size"])
    quotes = chunk[chunk["kind"] == QUOTE]
    middle, last = np.full(len(quotes), np.nan), {}
    for side in (BUY, -BUY):
        at = np.where(quotes["side"] == side, np.arange(len(quotes)), -1)
        at = np.maximum.accumulate(at) if len(at) else at
        last[side] = np.where(at >= 0, quotes["price"][at], np.nan)
    middle = (last[BUY] + last[-BUY]) / 2
    known = ~np.isnan(middle)
    return quotes["ts"][known], middle[known], False, np.zeros(int(known.sum()))


# -- the panels ---------------------------------------------------------------------------------------


def _price(axes: Any, bars: _Bars) -> None:
    times = bars.at(bars.ts)
    if len(times) <= CANDLES:
        _candles(axes, bars, times)
    else:
        _line(axes, bars)
    if bars.odd:
        label = f"return far from the usual ({len(bars.odd):,})"
        at, odd = zip(*bars.odd, strict=True)
        axes.scatter(bars.at(at), odd, s=22, marker="v", color=_DOWN, zorder=4, label=label, lw=0)
    if bars.high.max() > _TALL * bars.low.min() > 0:
        _make_log(axes)
    axes.set_ylabel("price")
    axes.yaxis.set_major_formatter(_plain)
    axes.tick_params(labelbottom=False)
    axes.grid(axis="y", color="#e3e6ea", lw=0.6)
    axes.set_axisbelow(True)


def _make_log(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _candles(axes: Any, bars: _Bars, times: Any) -> None:
    width = timedelta(seconds=0.7 * bars.interval / 1e9)
    is_up = bars.close >= bars.open
    colours = np.where(is_up, _UP, _DOWN)
    middle = times - timedelta(seconds=bars.interval / 2e9)
    axes.vlines(middle, bars.low, bars.high, color=colours, lw=0.9)
    body, foot = np.abs(bars.close - bars.open), np.minimum(bars.open, bars.close)
    # with an edge, a body without height is seen as well
    axes.bar(middle, body, width, foot, color=colours, edgecolor=colours, lw=0.8)


def _line(axes: Any, bars: _Bars) -> None:
    """Draw the range of each stretch of bars as a band and its last close as a line, broken at gaps."""
    for begin, end in _stretches(bars):
        size = max(1, len(bars.ts) // _LINE)
        at = np.arange(begin, end, size)
        stop = np.minimum(at + size, end) - 1
        high, low = (np.array(each) for each in zip(*_extremes(bars, at, stop), strict=True))
        times = bars.at(bars.ts[stop])
        axes.fill_between(times, low, high, color=_INK, alpha=0.4, lw=0)
        axes.plot(times, bars.close[stop], color=_INK, lw=0.9, marker="." if len(at) == 1 else None, ms=3)


def _extremes(bars: _Bars, begin: Any, last: Any) -> Iterator[tuple[float, float]]:
    for one, other in zip(begin, last, strict=True):
        yield bars.high[one : other + 1].max(), bars.low[one : other + 1].min()


def _stretches(bars: _Bars) -> Iterator[tuple[int, int]]:
    """Yield first and end of the bars between gaps wide enough to be seen."""
    ends = np.searchsorted(bars.ts, sorted(end for _, end in _seen(bars)))
    edges = [0, *(int(each) for each in ends), len(bars.ts)]
    for begin, end in pairwise(edges):
        if end > begin:
            yield begin, end


def _seen(bars: _Bars) -> list[tuple[int, int]]:
    if not bars.gaps:
        return []
    begin, end = (bars.time.place(np.array(each)) for each in zip(*bars.gaps, strict=True))
    span = bars.time.shown[-1] - bars.time.shown[0]
    wide = end - begin > max(span / 400, 2 * bars.interval)
    return [each for each, is_wide in zip(bars.gaps, wide, strict=True) if is_wide]


def _volume(axes: Any, bars: _Bars) -> None:
    import matplotlib.dates as plotted

    if bars.time.cuts:
        places, named = _marks(bars)
        axes.set_xticks(dates(places), named)
        axes.set_xlabel("trading time (UTC): what is closed is left out")
    else:
        locator = plotted.AutoDateLocator(tz=UTC)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(plotted.ConciseDateFormatter(locator, tz=UTC))
        axes.set_xlabel("time (UTC)")
    if np.isnan(bars.volume).all():
        axes.text(
            0.5, 0.5, "volume not known", transform=axes.transAxes, ha="center", va="center", color="#777"
        )
        axes.set_yticks([])
        return
    places = bars.time.place(bars.ts)
    span = int(places[-1] - places[0]) + bars.interval
    width = max(
        bars.interval, next((each * _SECOND for each in _STEPS if each * _SECOND * _BINS > span), 7 * DAY)
    )
    place = (places - places[0]) // width
    total = np.bincount(place, np.nan_to_num(bars.volume))
    full = np.flatnonzero(total)
    # bins end where their last bar closes
    middle = dates(places[0] - bars.interval + full * width + width // 2)
    share = 0.9 if len(full) < CANDLES else 1.0  # of many bars the spaces would make stripes
    axes.bar(middle, total[full], timedelta(seconds=share * width / 1e9), color="#6b7f95")
    axes.set_ylabel(f"volume per {words(width)}")
    axes.yaxis.set_major_formatter(short)


def _marks(bars: _Bars) -> tuple[Any, list[str]]:
    """Return where hours, days, months or years begin, whichever are few enough, with words."""
    begun = (bars.ts - (bars.interval if bars.interval < DAY else 1)).astype("M8[ns]").astype("M8[us]")
    form, at = next((form, at) for form, at in _beginnings(begun) if len(at) <= _MARKS)
    places = bars.time.place(bars.ts[at]) - bars.interval
    far = np.append(np.diff(places) > (bars.time.shown[-1] - bars.time.shown[0]) // 16, True)[: len(places)]
    return places[far], [each.astype(datetime).strftime(form) for each in begun[at[far]]]


def _beginnings(times: Any) -> Iterator[tuple[str, Any]]:
    """Yield how to write them, and which of some times are the first of their hour, day, month or year."""
    for count, unit, form in _UNITS:
        number = times.astype(f"M8[{unit}]").astype(np.int64) // count
        yield form, np.flatnonzero(np.diff(number, prepend=number[0]))  # nothing begins with the very first
    yield "", np.empty(0, int)


def _shade(price: Any, volume: Any, found: Facts, bars: _Bars, split: str) -> None:
    from matplotlib.patches import Patch

    first, last = int(bars.ts[0]) - bars.interval, int(bars.ts[-1])
    handles = price.get_legend_handles_labels()[0]
    to = last
    if found.splits is not None and found.last is not None:
        to = found.last if split == "open" else last
        edges = {
            "calibrate": found.splits.calibrate_to,
            "choose": found.splits.choose_to,
            "final": found.last,
        }
        begin = min(first, found.first or first) if split in ("open", "all") else first
        for name, end in edges.items():
            span = max(begin, first), min(end, to)
            if span[0] < span[1]:
                sealed = name == "final" and split == "open"
                for axes in (price, volume):
                    axes.axvspan(*bars.at(span), color=_SHADES[name], zorder=0, lw=0)
                handles.append(Patch(color=_SHADES[name], label=f"{name}, sealed" if sealed else name))
            begin = end
    for at, (begin, end) in enumerate(sorted(_seen(bars))):
        for axes in (price, volume):
            axes.axvspan(*bars.at([begin, end]), color=_GAP, alpha=0.8, zorder=1, lw=0)
        if not at:
            handles.append(Patch(color=_GAP, label=f"no data (gaps in all: {len(bars.gaps):,})"))
    handles += _cuts(bars, price, volume)
    ends = bars.time.place(np.array([first, to]))
    margin = (ends[1] - ends[0]) // 200
    price.set_xlim(*dates([ends[0] - margin, ends[1] + margin]))
    price.legend(
        handles=handles, loc="upper left", ncols=len(handles), frameon=True, framealpha=0.9, fontsize=8
    )
    low, high = price.get_ylim()
    is_log = price.get_yscale() == "log"
    price.set_ylim(low, high * (high / low) ** 0.1 if is_log else high + 0.1 * (high - low))  # for the legend


def sides(top: Any, below: Any, found: Facts, split: str, last: int) -> None:
    """Draw where the splits of a picture of events begin, and the sealed one as an empty stretch."""
    if found.splits is None or found.first is None or found.last is None or split not in ("open", "all"):
        return
    to = found.last if split == "open" else last
    ends = {"calibrate": found.splits.calibrate_to, "choose": found.splits.choose_to, "final": to}
    begin = found.first
    for name, end in ends.items():
        sealed = name == "final" and split == "open"
        for axes in (top, below):
            axes.axvline(dates([begin])[0], color="#ffffff" if axes is top else _GAP, lw=1, ls=":")
            if sealed:
                axes.axvspan(*dates([begin, end]), color=_SHADES[name], zorder=0, lw=0)
        middle = dates([(begin + end) // 2])[0]
        colour = "#777777" if sealed else "white"
        text = f"{name}, sealed" if sealed else name
        top.annotate(
            text, (middle, 0.97), xycoords=("data", "axes fraction"), ha="center", va="top", color=colour
        )
        begin = end
    top.set_xlim(*dates([found.first, to]))
    top.legend(loc="lower left", ncols=4, fontsize=8, framealpha=0.85)


def _cuts(bars: _Bars, *panels: Any) -> list[Any]:
    """Draw a line where time is left out, if that is seldom; return what the legend says of it."""
    from matplotlib.lines import Line2D

    count = bars.time.cuts
    at = bars.at(bars.time.real[1:-1:2]) if 0 < count <= _LINES else []
    for axes in panels:
        for each in at:
            axes.axvline(each, color=_GAP, lw=0.7, zorder=1)
    line = Line2D([], [], color=_GAP if len(at) else "none", label=f"closed, left out ({count:,})")
    return [line] if count else []


def _habits(axes: Any, bars: _Bars) -> None:
    """Draw volume and volatility by time of day; of longer bars by day of the week, or by month."""
    names, slots, width = _slots(bars)
    count = len(names) or -(-DAY // width)
    moves = _moves(bars)
    spread = np.array([_deviation(moves[slots == n]) for n in range(count)])
    known = np.array([_mean(bars.volume[slots == n]) for n in range(count)])
    at = np.arange(count) if names else (np.arange(count) + 0.5) * width / _HOUR
    if not np.isnan(known).all():
        axes.bar(
            at, known, 0.9 if names else 0.9 * width / _HOUR, color="#b9c6d3", label="mean volume of a bar"
        )
        axes.set_ylabel("volume")
        axes.yaxis.set_major_formatter(short)
    else:
        axes.set_yticks([])
    other = axes.twinx()
    other.plot(at, spread, color=_DOWN, lw=1.4, marker="o", ms=3, label="volatility of a bar's return")
    other.set_ylabel("basis points", color=_DOWN)
    other.set_ylim(bottom=0)
    other.spines["right"].set_visible(True)
    if names:
        axes.set_xticks(range(count), names)
        axes.set_xlim(-0.6, count - 0.4)
        axes.set_title("by day of the week" if names is _DAYS else "by month", loc="left", fontsize=10)
    else:
        axes.set_xticks(range(0, 25, 3))
        axes.set_xlim(0, 24)
        axes.set_xlabel("hour of the day (UTC)")
        axes.set_title("by time of day", loc="left", fontsize=10)
    handles = axes.get_legend_handles_labels()[0] + other.get_legend_handles_labels()[0]
    axes.legend(handles=handles, loc="upper left", fontsize=8, framealpha=0.9)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 1.35)
    other.set_ylim(0, other.get_ylim()[1] * 1.35)


def _slots(bars: _Bars) -> tuple[list[str], Any, int]:
    """Return the names of the slots of a week or a year, or none for a day's; each bar's; and their width."""
    begun = bars.ts - 1
    if bars.interval >= 7 * DAY:
        return _MONTHS, begun.astype("M8[ns]").astype("M8[M]").astype(np.int64) % 12, 0
    if bars.interval >= DAY:
        return _DAYS, (begun // DAY + 3) % 7, 0  # 1970 began on a Thursday
    width = max(bars.interval, _HOUR // 2)
    return [], (bars.ts - bars.interval) % DAY // width, width


def _returns(axes: Any, bars: _Bars) -> None:
    """Draw how often a return of each size came, beside the normal law of the same deviation."""
    moves = _moves(bars)
    moves = moves[~np.isnan(moves)]
    spread = _deviation(moves)
    axes.set_title("returns of bars that follow one another, against the normal law", loc="left", fontsize=10)
    if len(moves) < _SOME or not spread > 0:
        axes.text(0.5, 0.5, f"only {len(moves)} returns", transform=axes.transAxes, ha="center", color="#777")
        return
    reach = np.abs(moves).max()
    edges = np.linspace(-reach, reach, 102)
    counts = np.histogram(moves, edges)[0]
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    axes.bar(middle, counts, width, color="#6b7f95", label=f"{len(moves):,} returns")
    law = len(moves) * width * np.exp(-((middle / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
    fine = law > 0.3
    axes.plot(middle[fine], law[fine], color=_DOWN, lw=1.4, label=f"normal, deviation {_number(spread)} bp")
    axes.set_yscale("log")
    axes.set_ylim(0.5, counts.max() * 3)
    kurtosis = ((moves - moves.mean()) ** 4).mean() / moves.var() ** 2 - 3
    axes.plot([], [], " ", label=f"excess kurtosis {kurtosis:.1f}")
    axes.set_xlabel("log return of a bar, basis points")
    axes.set_ylabel("bars")
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)


# -- numbers and words --------------------------------------------------------------------------------


def _moves(bars: _Bars) -> Any:
    """Return each bar's log return in basis points; NaN where the bar before it is missing."""
    moves = np.full(len(bars.ts), np.nan)
    with np.errstate(all="ignore"):
        moves[1:] = np.diff(np.log(bars.close)) * 1e4
    follows = np.diff(bars.ts) == bars.interval
    if bars.interval >= DAY:  # weekends part no days of a market
        follows = np.diff(bars.ts) <= 4 * bars.interval
    moves[1:][~follows] = np.nan
    return moves


def _deviation(values: Any) -> float:
    values = values[~np.isnan(values)]
    return float(values.std()) if len(values) > 1 else float("nan")


def _mean(values: Any) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def dates(times: Any) -> Any:
    """Return times in nanoseconds as dates."""
    return np.array([datetime.fromtimestamp(each / 1e9, UTC) for each in np.asarray(times).tolist()], object)


def words(nanoseconds: float) -> str:
    """Return a length of time in words."""
    seconds = nanoseconds / 1e9
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _plain(value: float, _: int) -> str:
    return f"{value:,.10g}"


def shares(value: float, _: int) -> str:
    """Return a share on an axis."""
    return f"{value:.1%}" if value < 0.01 else f"{value:.0%}"


def short(value: float, _: int) -> str:
    """Return a number on an axis, in a few letters."""
    for unit, size in (("bn", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
