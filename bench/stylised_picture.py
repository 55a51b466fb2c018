"""Draw the stylised facts of several series on one page."""

from __future__ import annotations

from math import erfc

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from stylised import MINUTE, echo, impact, returns

OURS = ("#c1272d", "#e8743b", "#f2a65a")
THEIRS = ("#1f3b57", "#3f7cac", "#6aa9a1", "#7d8491", "#9a7aa0", "#45503b", "#b0b7c3", "#80a4ed", "#5c5470")


def draw(all_series, path):
    """Write the page."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(3, 3, figsize=(15, 12.5), constrained_layout=True)
    ours = iter(OURS * 9)
    theirs = iter(THEIRS * 9)
    for title, axis in zip(PANELS.values(), axes.flat, strict=True):
        _label(axis, *title)
    z = np.linspace(0.3, 4.5, 60)
    axes.flat[1].plot(z, [erfc(x / 2**0.5) for x in z], ":", color="black", lw=1, label="normal")
    axes.flat[2].axhline(0, color="black", lw=0.5)
    for series in all_series:
        is_ours = series.name.startswith("flow")
        style = {
            "color": next(ours if is_ours else theirs),
            "lw": 2.0 if is_ours else 1.1,
            "label": series.name,
        }
        for panel, axis in zip(PANELS, axes.flat, strict=True):
            panel(axis, series, style)
    for axis in axes.flat:
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=72)


def _label(axis, title, x, y, scale=("linear", "linear")):
    axis.set_title(title, loc="left", fontweight="bold", fontsize=10)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_xscale(scale[0])
    axis.set_yscale(scale[1])


def prices(axis, series, style):
    """Show three days of prices."""
    ts, close = series.bars
    if len(ts) > 300 and series.name.startswith("flow"):
        kept = ts < ts[0] + 4320 * MINUTE
        axis.plot((ts[kept] - ts[0]) / (1440 * MINUTE), close[kept] / close[0], **style | {"lw": 0.8})


def tails(axis, series, style):
    """Show how often a return of a minute is larger than so many deviations."""
    if len(series.bars[0]) > 300:
        r = returns(series)
        z = np.sort(np.abs(r - r.mean()) / r.std())
        axis.plot(z, 1 - np.arange(len(z)) / len(z), **style)
        axis.set_xlim(0.3, 60)


def clusters(axis, series, style):
    """Show the autocorrelation of the size of returns, and of returns."""
    if len(series.bars[0]) > 1500:
        lags = np.unique(np.geomspace(1, 400, 30).astype(int))
        r = returns(series)
        axis.plot(lags, echo(np.abs(r), lags), **style)
        axis.plot(lags, echo(r, lags), ".", color=style["color"], ms=3)


def hours(axis, series, style):
    """Show volatility by the hour of the day."""
    ts, close = series.bars
    if len(ts) > 2800:
        near = np.diff(ts) == MINUTE
        hour = (ts[1:][near] - 1) // (60 * MINUTE) % 24
        size = np.abs(np.diff(np.log(close))[near])
        by = [size[hour == h].mean() if (hour == h).any() else np.nan for h in range(24)]
        axis.plot(range(24), np.array(by) / size.mean(), **style)


def spreads(axis, series, style):
    """Show how much of the time the spread is how wide, in mean spreads."""
    ts, bid, ask = series.quotes
    if len(ts) > 100:
        weight = np.diff(ts, append=ts[-1])
        spread = (ask - bid) / ((ask - bid) * weight).sum() * weight.sum()
        at = np.linspace(0, 6, 60)
        axis.plot(at, [max((weight * (spread > x)).sum() / weight.sum(), 1e-4) for x in at], **style)
        axis.set_ylim(1e-3, 1.1)


def depths(axis, series, style):
    """Show the mean size that rests at a distance from the touch."""
    away, size = series.depth
    if len(away) and np.isfinite(size).all():
        axis.plot(away[:40] + 0.5, size[:40] / size[:40].mean(), **style)


def signs(axis, series, style):
    """Show the autocorrelation of the sides of trades."""
    side = series.trades[3]
    if len(side) > 900 and np.abs(side).sum():
        lags = np.unique(np.geomspace(1, min(1000, len(side) / 8), 25).astype(int))
        axis.plot(lags, np.maximum(echo(side.astype(float), lags), 1e-3), **style)
        axis.set_ylim(2e-3, 1)


def sizes(axis, series, style):
    """Show how often a trade is larger than so many mean sizes."""
    size = np.sort(series.trades[2])
    if len(size) > 500:
        axis.plot(size / size.mean(), 1 - np.arange(len(size)) / len(size), **style)
        axis.set_xlim(1e-3, 1e3)


def impacts(axis, series, style):
    """Show how far the mid has moved some seconds after a trade of a size."""
    size, move = impact(series)
    if len(size):
        axis.plot(size, move / move.mean(), "o-", **style, ms=3)


PANELS = {
    prices: ("Prices, of their first", "days", ""),
    tails: ("Tails of returns of a minute", "deviations", "share beyond", ("log", "log")),
    clusters: ("Echo of |r| (lines) and of r (dots)", "minutes", "autocorrelation", ("log", "linear")),
    hours: ("Mean |r| by the hour, over the day's", "hour, UTC", ""),
    spreads: ("Spread, over its mean", "spread", "share of time beyond", ("linear", "log")),
    depths: ("Depth by distance from the touch, over its mean", "bp", ""),
    signs: ("Echo of the side of trades", "trades", "autocorrelation", ("log", "log")),
    sizes: ("Tail of the size of trades", "mean sizes", "share beyond", ("log", "log")),
    impacts: ("Move of the mid 5 s after a trade, over its mean", "mean sizes", "", ("log", "linear")),
}
