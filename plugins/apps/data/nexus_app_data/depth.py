"""A picture of an order book as a trader looks at it: what stood at each price, the touch, and the trades."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_app_data.picture import dates, shares, short, sides, words
from nexus_core import compile
from nexus_core.errors import DataError
from nexus_core.market.book import book, depth, price_of
from nexus_core.market.events import AGAIN, LEVEL, TRADE
from nexus_core.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nexus_catalog.store import Facts

    from nexus_core.records import Records

COLUMNS = 700
"""Moments at which the book is looked at."""

_CELLS = 1_600  # prices around the middle that are looked at, and how wide each is, as a share of the price
_WIDTH = 1e-5
_ROWS, _BUBBLES, _BINS = 180, 250, 150
_BUY, _SELL, _BID, _ASK = "#2fbf8f", "#ff5a4f", "#7fe7ff", "#ffd27f"
_NEAR = 200  # cells from the middle whose mean depth is shown

_LOOP = """
def entry(events, states, edges, cell, at, lows, bids, asks, tops):
    state = states[0]
    k = at
    for i in range(events.size):
        event = events[i]
        while k < edges.size and event.ts > edges[k]:
            if state.known and not state.crossed and state.bid > 0.0 and state.ask > 0.0:
                tops[0, k] = state.bid
                tops[1, k] = state.ask
                lows[k] = int((state.bid + state.ask) / 2.0 / cell) - bids.shape[1] // 2
                laid(state, 0, cell, lows[k], bids[k])
                laid(state, 1, cell, lows[k], asks[k])
            k += 1
        push(state, event)
    return k
"""


@compile.step
def laid(state: Any, side: int, cell: float, low: int, out: Any) -> None:
    """Add up what stands on a side of the book in cells of price from number `low` on."""
    slots = state.sizes.shape[1]
    key = state.best[side]
    while key < state.base[side] + slots:
        size = state.sizes[side, key & (slots - 1)]
        if size > 0.0:
            place = int(price_of(state, side, key * 1.0) / cell) - low
            if place < 0 or place >= out.size:
                return
            out[place] += size
        key += 1
    for at in range(state.far[side] - 1, -1, -1):
        place = int(price_of(state, side, state.keys[side, at]) / cell) - low
        if 0 <= place < out.size:
            out[place] += state.far_sizes[side, at]


@dataclass(slots=True)
class _Looked:
    """The book at `COLUMNS` moments from `first` to `last`, in nanoseconds, and the trades between."""

    first: int
    last: int
    cell: float = 0.0
    edges: Any = None
    lows: Any = None
    bids: Any = None
    asks: Any = None
    tops: Any = None
    trades: list[Any] = field(default_factory=list)
    _states: Any = None
    _at: int = 0

    def __post_init__(self) -> None:
        self.edges = np.linspace(self.first, self.last, COLUMNS + 1)[1:].astype(np.int64)
        self.lows = np.zeros(COLUMNS, np.int64)
        self.bids, self.asks = np.zeros((COLUMNS, _CELLS)), np.zeros((COLUMNS, _CELLS))
        self.tops = np.full((2, COLUMNS), np.nan)
        self._states = np.array([book()])

    def look(self, events: Records) -> None:
        """Take the next events."""
        priced = events["price"][(events["kind"] == TRADE) | (events["kind"] == LEVEL)]
        if not self.cell and len(priced):
            width = float(np.median(priced)) * _WIDTH
            power = 10.0 ** np.floor(np.log10(width))
            self.cell = float(power * max(each for each in (1, 2, 5) if each * power <= width))
        arrays = self.cell or 1.0, self._at, self.lows, self.bids, self.asks, self.tops
        self._at = int(compile.call(_loop(), np.ascontiguousarray(events), self._states, self.edges, *arrays))
        told = (events["kind"] == TRADE) & (events["flags"] & AGAIN == 0)
        self.trades.append(events[told][["ts", "price", "size", "side"]])


def draw(path: Path, found: Facts, chunks: Iterable[Records], split: str) -> None:
    """Draw a series of all events, of the split named, into a PNG file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    looked = _Looked(*_span(found, split))
    for chunk in chunks:
        looked.look(chunk)
    if np.isnan(looked.tops).all():
        raise DataError(f"{found.series.name}: {split} has no book that is known, and so nothing to draw.")
    trades = np.concatenate(looked.trades)
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 9), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(3, 2, height_ratios=(5.4, 1.3, 2.6))
        heat = figure.add_subplot(grid[0, :])
        flow = figure.add_subplot(grid[1, :], sharex=heat)
        _heat(figure, heat, looked, trades)
        _flow(flow, looked, trades)
        sides(heat, flow, found, split, looked.last)
        _profile(figure.add_subplot(grid[2, 0]), looked)
        _spread(figure.add_subplot(grid[2, 1]), looked)
        first, last = (iso(each)[:19].replace("T", " ") for each in (looked.first, looked.last))
        title = f"{found.series.name}   {first} to {last} UTC   {len(trades):,} trades"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        try:
            figure.savefig(path, pil_kwargs={"optimize": True})
        except OSError as error:
            raise DataError(f"{path}: the picture cannot be written: {error.strerror}.") from error


def _span(found: Facts, split: str) -> tuple[int, int]:
    first, last = found.first or 0, found.last or 0
    if found.splits is not None and split != "all":
        after, to = found.splits.span(split)
        first, last = max(first, after), min(last, to)
    return first, last


def _heat(figure: Any, axes: Any, looked: _Looked, trades: Any) -> None:
    from matplotlib.colors import LogNorm

    cells, size = _range(looked, trades)
    image = np.full((COLUMNS, len(cells)), np.nan)
    for k, (low, bids, asks) in enumerate(zip(looked.lows, looked.bids, looked.asks, strict=True)):
        if np.isnan(looked.tops[0, k]):
            continue
        at = cells - low
        inside = (at >= 0) & (at < _CELLS)
        image[k, inside] = (bids + asks)[at[inside]]
    image = image.reshape(COLUMNS, -1, size).sum(axis=2)
    image[image <= 0] = np.nan
    extent = (
        *_numbers([looked.first, looked.last]),
        cells[0] * looked.cell,
        (cells[-1] + 1) * looked.cell,
    )
    norm = LogNorm(np.nanquantile(image, 0.25), np.nanquantile(image, 0.999))
    axes.set_facecolor("#0b0b14")
    shown = axes.imshow(
        image.T,
        norm=norm,
        cmap="magma",
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    times = dates(looked.edges)
    for side, (top, colour) in enumerate(zip(looked.tops, (_BID, _ASK), strict=True)):
        axes.plot(times, top, color=colour, lw=0.8, label=("best bid", "best ask")[side])
    large = trades[np.argsort(trades["size"])[-_BUBBLES:]]
    area = 4 + 160 * large["size"] / max(large["size"].max(), 1e-12) if len(large) else np.empty(0)
    for side, colour, name in ((1, _BUY, "bought"), (-1, _SELL, "sold")):
        own = large["side"] == side
        label = f"{name}: the {len(large)} largest trades" if side == 1 else name
        axes.scatter(
            dates(large["ts"][own]), large["price"][own], area[own], color=colour, alpha=0.55, lw=0.4,
            edgecolor="white", label=label, zorder=4,
        )  # fmt: skip
    axes.set_ylim(extent[2], extent[3])
    axes.set_ylabel("price")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.tick_params(labelbottom=False)
    bar = figure.colorbar(shown, ax=axes, pad=0.005, aspect=30)
    bar.set_label(f"size standing, per {size * looked.cell:.4g} of price")
    bar.ax.yaxis.set_major_formatter(short)


def _range(looked: _Looked, trades: Any) -> tuple[Any, int]:
    """Return the numbers of the cells that are shown, and how many make a row."""
    seen = np.concatenate([looked.tops.ravel(), trades["price"]])
    low, high = np.nanquantile(seen, (0.0, 1.0))
    margin = max(0.2 * (high - low), 30 * looked.cell)
    cells = np.arange(int((low - margin) / looked.cell), int((high + margin) / looked.cell) + 1)
    size = -(-len(cells) // _ROWS)
    return cells[: len(cells) // size * size], size


def _flow(axes: Any, looked: _Looked, trades: Any) -> None:
    import matplotlib.dates as plotted

    width = max((looked.last - looked.first) // _BINS, 1)
    place = np.clip((trades["ts"] - looked.first) // width, 0, _BINS)
    middle = dates(looked.first + np.arange(_BINS + 1) * width + width // 2)
    days = width / 86_400e9
    for side, colour in ((1, _BUY), (-1, _SELL)):
        own = trades["side"] == side
        total = np.bincount(place[own], trades["size"][own], minlength=_BINS + 1)
        axes.bar(middle, side * total, days, color=colour)
    axes.axhline(0, color="#22303f", lw=0.6)
    axes.set_ylabel(f"bought, sold\nper {words(round(width / 1e9, 1) * 1e9)}")
    axes.yaxis.set_major_formatter(short)
    locator = plotted.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(plotted.ConciseDateFormatter(locator))
    axes.set_xlabel("time (UTC)")


def _profile(axes: Any, looked: _Looked) -> None:
    """Draw the mean size that stands within a distance of the middle."""
    known = ~np.isnan(looked.tops[0])
    middle = looked.tops[:, known].mean(axis=0)
    reach = _NEAR
    far = np.arange(1, reach + 1) * looked.cell / np.median(middle) * 1e4
    for made, colour, name in (
        (looked.bids[known][:, ::-1], _BUY, "bids"),
        (looked.asks[known], _SELL, "asks"),
    ):
        total = np.cumsum(made[:, _CELLS // 2 - 1 :], axis=1)[:, :reach]
        low, usual, high = np.quantile(total, (0.1, 0.5, 0.9), axis=0)
        axes.plot(far, usual, color=colour, lw=1.6, label=f"{name}: median, and from 10 to 90 % of the time")
        axes.fill_between(far, low, high, color=colour, alpha=0.2, lw=0)
    axes.set_xlim(0, far[-1])
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)
    axes.set_xlabel("basis points from the middle")
    axes.set_ylabel("size standing up to there")
    axes.set_title("depth", loc="left", fontsize=10)
    axes.legend(loc="upper left", fontsize=8)


def _spread(axes: Any, looked: _Looked) -> None:
    """Draw how often the spread had each size."""
    spread = (looked.tops[1] - looked.tops[0]) / looked.tops.mean(axis=0) * 1e4
    spread = spread[~np.isnan(spread)]
    least = spread.min()
    edges = least * np.arange(0.5, min(max(spread.max() / least, 4), 60) + 1.5)
    axes.hist(
        np.minimum(spread, edges[-1] * 0.999),
        edges,
        color="#6b7f95",
        weights=np.full(len(spread), 1 / len(spread)),
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(shares)
    axes.set_xlabel("basis points, in steps of the least one")
    axes.set_ylabel("share of the time")
    axes.set_title(
        f"spread, at {len(spread):,} moments; median {np.median(spread):.3g} bp", loc="left", fontsize=10
    )


def _numbers(times: Any) -> list[float]:
    from matplotlib.dates import date2num

    return [float(date2num(each)) for each in dates(times)]


@cache
def _loop() -> compile.Step:
    return compile.entry("depth_picture", _LOOP, {"push": depth.push, "laid": laid})
