"""A picture of a series as a trader looks at it: price and volume, the day's habits, the returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_app_data.quality import DAY, Quality
from nexus_core.errors import DataError
from nexus_core.market import checks
from nexus_core.market.events import BUY, QUOTE, TRADE
from nexus_core.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nexus_catalog.store import Facts

    from nexus_core.records import Records

CANDLES = 150
"""Bars up to which each is drawn as a candle."""

_LINE, _BINS = 2_000, 300  # points of a line, and bars of the volume, that an eye can tell apart
_UP, _DOWN, _INK, _GAP = "#1a7f5a", "#b3372f", "#22303f", "#c9ced6"
_SHADES = {"calibrate": "#dbe9f6", "choose": "#fdf0d0", "final": "#ececec"}
_SOME = 30  # returns of a bucket, or of all, before they are shown as a distribution
_SECOND, _HOUR = 1_000_000_000, 3_600_000_000_000
_TALL = 5  # times its lowest that a price has grown to where only a log scale shows all of it
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
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


def draw(path: Path, found: Facts, chunks: Iterable[Records], split: str) -> None:
    """Draw the records of `chunks`, which are of the split named, into a PNG file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = _of_bars(found, chunks) if found.series.kind == "bars" else _of_events(found, chunks)
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


def _of_bars(found: Facts, chunks: Iterable[Records]) -> _Bars:
    quality, parts = Quality(found.series), []
    odd: list[tuple[int, float]] = []
    names = ["ts", "open", "high", "low", "close", "volume"]
    for chunk in chunks:
        odd += _odd(quality, chunk, "close")
        parts.append([np.ascontiguousarray(chunk[name]) for name in names])
    columns = [np.concatenate(each) for each in zip(*parts, strict=True)] if parts else [np.empty(0)] * 6
    gaps = [(begin, end) for _, begin, end in quality.longest]
    length = found.series.interval
    return _Bars(*columns, odd=odd, interval=length, gaps=gaps, source=f"bars of {_words(length)}")


def _of_events(found: Facts, chunks: Iterable[Records]) -> _Bars:
    """Return trades, or where there are none the middle of the quotes, as bars that fill a picture."""
    quality, parts = Quality(found.series), []
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
        f"bars of {_words(interval)} from {'trades' if has_trades else 'mid quotes'}",
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
    times = _dates(bars.ts)
    if len(times) <= CANDLES:
        _candles(axes, bars, times)
    else:
        _line(axes, bars)
    if bars.odd:
        label = f"return far from the usual ({len(bars.odd):,})"
        at, odd = zip(*bars.odd, strict=True)
        axes.scatter(_dates(at), odd, s=22, marker="v", color=_DOWN, zorder=4, label=label, lw=0)
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
        times = _dates(bars.ts[stop])
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
    span = bars.ts[-1] - bars.ts[0]
    return [each for each in bars.gaps if each[1] - each[0] > max(span / 400, 2 * bars.interval)]


def _volume(axes: Any, bars: _Bars) -> None:
    import matplotlib.dates as dates

    locator = dates.AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    axes.set_xlabel("time (UTC)")
    if np.isnan(bars.volume).all():
        axes.text(
            0.5, 0.5, "volume not known", transform=axes.transAxes, ha="center", va="center", color="#777"
        )
        axes.set_yticks([])
        return
    span = int(bars.ts[-1] - bars.ts[0]) + bars.interval
    width = max(
        bars.interval, next((each * _SECOND for each in _STEPS if each * _SECOND * _BINS > span), 7 * DAY)
    )
    place = (bars.ts - bars.ts[0]) // width
    total = np.bincount(place, np.nan_to_num(bars.volume))
    full = np.flatnonzero(total)
    # bins end where their last bar closes
    middle = _dates(bars.ts[0] - bars.interval + full * width + width // 2)
    axes.bar(middle, total[full], timedelta(seconds=0.9 * width / 1e9), color="#6b7f95")
    axes.set_ylabel(f"volume per {_words(width)}")
    axes.yaxis.set_major_formatter(_short)


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
                    axes.axvspan(*_dates(np.array(span)), color=_SHADES[name], zorder=0, lw=0)
                handles.append(Patch(color=_SHADES[name], label=f"{name}, sealed" if sealed else name))
            begin = end
    for at, (begin, end) in enumerate(sorted(_seen(bars))):
        for axes in (price, volume):
            axes.axvspan(*_dates(np.array([begin, end])), color=_GAP, alpha=0.8, zorder=1, lw=0)
        if not at:
            handles.append(Patch(color=_GAP, label=f"no data (gaps in all: {len(bars.gaps):,})"))
    margin = (to - first) // 200
    price.set_xlim(*_dates(np.array([first - margin, to + margin])))
    price.legend(
        handles=handles, loc="upper left", ncols=len(handles), frameon=True, framealpha=0.9, fontsize=8
    )
    low, high = price.get_ylim()
    is_log = price.get_yscale() == "log"
    price.set_ylim(low, high * (high / low) ** 0.1 if is_log else high + 0.1 * (high - low))  # for the legend


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
        axes.yaxis.set_major_formatter(_short)
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


def _dates(times: Any) -> Any:
    return np.array([datetime.fromtimestamp(each / 1e9, UTC) for each in np.asarray(times).tolist()], object)


def _words(nanoseconds: int) -> str:
    seconds = nanoseconds / 1e9
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _plain(value: float, _: int) -> str:
    return f"{value:,.10g}"


def _short(value: float, _: int) -> str:
    for unit, size in (("bn", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
