"""A picture of a strategy's signals: price with what it said and what came of it, scores, and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from nexus_app_data.evaluation import judged
from nexus_core.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_app_data.playing import Played, Player
    from nexus_core.records import Records

MARKS = 250
"""Signals up to which each is marked on price; of more, the first rows of the strongest runs."""

_POINTS = 4_000
"""Points of a line that an eye can tell apart."""

_SOME = 10
"""Signals of a score before their share right is shown."""

_RIGHT, _WRONG, _OPEN, _INK = "#1a7f5a", "#b3372f", "#8b95a1", "#22303f"
_KINDS = (("right", _RIGHT), ("wrong", _WRONG), ("not judged", _OPEN))
_SMALL, _LARGE = 18.0, 110.0
"""Area of a mark of score 0 and of score 1, in points squared."""


@frozen(eq=False)
class _Signals:
    """The signals of one market, in order of time."""

    rows: Records
    at: Any
    side: Any
    score: Any
    kind: Any
    """0 right, 1 wrong, 2 not judged."""

    @staticmethod
    def of(one: Played, horizon: int) -> _Signals:
        """Return the signals of the split, each with what came of it."""
        from nexus_stats import outcomes

        found = outcomes(one.rows, one.signals, horizon)
        kind = np.full(len(one.rows), 2)
        kind[found.at] = np.where(found.side * found.move > 0, 0, 1)
        at = np.flatnonzero(one.signals)
        shift = one.first
        made = (np.sign(one.signals[at]), one.scores, kind[at])
        return _Signals(one.rows[shift:], at - shift, *made)

    @property
    def marked(self) -> Any:
        """Return which of them are marked: all, else the strongest of those that begin a run."""
        if len(self.at) <= MARKS:
            return np.arange(len(self.at))
        runs = (np.diff(self.at, prepend=-2) != 1) | (np.diff(self.side, prepend=0) != 0)
        begins = np.flatnonzero(runs)
        strongest = np.argsort(-self.score[begins], kind="stable")[:MARKS]
        return np.sort(begins[strongest])


def draw(path: Path, player: Player, facts: dict[str, Any]) -> None:
    """Draw what a strategy signalled into a PNG file: the first market's price, and all markets' scores."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    one = player.played[0]
    signals = _Signals.of(one, int(player.strategy.horizon))
    if len(signals.rows) < 2:
        raise DataError(
            f"{one.source.name}: {len(signals.rows)} rows of the split to draw, needs 2 at least."
        )
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 9), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(3, 2, height_ratios=(5, 1.6, 3.2), width_ratios=(1.6, 1))
        price = figure.add_subplot(grid[0, :])
        scores = figure.add_subplot(grid[1, :], sharex=price)
        _price(price, signals)
        _scores(scores, signals)
        found = judged(player.played, int(player.strategy.horizon))
        _shares(figure.add_subplot(grid[2, 0]), found.scores, found.right)
        _reliability(figure.add_subplot(grid[2, 1]), facts)
        figure.suptitle(_title(one, signals, facts), x=0.01, ha="left", fontsize=11, fontweight="bold")
        try:
            figure.savefig(path, format="png")
        except OSError as error:
            told = f"{path} cannot be written ({error.strerror}). Choose another place with --plot."
            raise UsageError(f"strategies: {told}") from error


def _title(one: Played, signals: _Signals, facts: dict[str, Any]) -> str:
    hit = facts["hit"]
    right = f", {hit['value']:.1%} right after {facts['horizon']:,} rows" if hit else ""
    more = f" (one of {len(facts['source']):,})" if len(facts["source"]) > 1 else ""
    many = f"{facts['signals']:,} signal{'s' * (facts['signals'] != 1)}{right}, {facts['verdict']}"
    return f"{facts['name']}: {many}\n{facts['population']}, {one.source.name}{more}"


def _price(axes: Any, signals: _Signals) -> None:
    times, close = _times(signals.rows), signals.rows["close"]
    step = max(len(times) // _POINTS, 1)
    axes.plot(times[::step], close[::step], color=_INK, linewidth=0.8, alpha=0.85, zorder=1)
    marked = signals.marked
    thick = min(1.0, 3.0 / max(len(marked), 1) ** 0.3)  # many marks are small ones
    reach = float(np.nanmax(close) - np.nanmin(close)) * 0.015
    for side, mark in ((1, "^"), (-1, "v")):
        for kind, (_, colour) in enumerate(_KINDS):
            own = marked[(signals.side[marked] == side) & (signals.kind[marked] == kind)]
            at, size = signals.at[own], thick * (_SMALL + (_LARGE - _SMALL) * signals.score[own])
            # beside the price, so that marks do not hide it: a purchase below, a sale above
            level = close[at] - side * reach
            axes.scatter(
                times[at], level, size, colour, marker=mark, linewidths=0.4, edgecolors="white", zorder=2
            )
    _key(axes, signals, len(marked))
    axes.set_ylabel("close")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.8g}")
    axes.grid(axis="y", color="#e3e6ea", lw=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.tick_params(labelbottom=False)


def _key(axes: Any, signals: _Signals, marked: int) -> None:
    from matplotlib.lines import Line2D

    counts = np.bincount(signals.kind, minlength=len(_KINDS)).tolist()
    shapes = [("^", "up", _INK), ("v", "down", _INK)]
    shapes += [
        ("o", f"{name} ({count:,})", c) for (name, c), count in zip(_KINDS, counts, strict=True) if count
    ]
    handles = [Line2D([], [], marker=m, color=c, linestyle="", label=name) for m, name, c in shapes]
    told = (
        "size by score"
        if marked == len(signals.at)
        else f"{marked} of {len(signals.at):,} marked, size by score"
    )
    axes.legend(handles=handles, title=told, loc="best", frameon=True, framealpha=0.85, ncols=len(handles))


def _scores(axes: Any, signals: _Signals) -> None:
    from matplotlib import dates

    times = _times(signals.rows)
    for kind, (_, colour) in enumerate(_KINDS):
        own = signals.kind == kind
        heights = signals.side[own] * signals.score[own]
        axes.vlines(times[signals.at[own]], 0, heights, colour, linewidth=0.9, alpha=0.7)
    axes.axhline(0, color=_INK, linewidth=0.6)
    axes.set_ylim(-1.05, 1.05)
    axes.set_ylabel("score, up or down")
    locator = dates.AutoDateLocator(minticks=4, maxticks=11)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.set_xlabel("time, UTC")


def _shares(axes: Any, scores: Any, right: Any) -> None:
    """Draw how many signals there were of each score, and which share of them was right."""
    axes.set_title("Signals by score, and the share right", loc="left", fontsize=10)
    if not len(scores):
        _say(axes, "no signal to judge")
        return
    axes.set_xlabel("score")
    axes.set_ylabel("signals")
    edges = np.linspace(0, 1, 21)
    hits, all_of = (np.histogram(each, edges)[0] for each in (scores[right], scores))
    middle = (edges[1:] + edges[:-1]) / 2
    axes.bar(middle, hits, 0.045, color=_RIGHT, alpha=0.75, label="right")
    axes.bar(middle, all_of - hits, 0.045, bottom=hits, color=_WRONG, alpha=0.75, label="wrong")
    share = axes.twinx()
    known = all_of >= _SOME
    share.plot(middle[known], hits[known] / all_of[known], "o-", color=_INK, markersize=3.5, linewidth=1)
    share.axhline(float(right.mean()), color=_INK, linewidth=0.7, linestyle=":")
    share.set_ylim(0, 1)
    share.set_ylabel("share right (line)")
    share.spines["right"].set_visible(True)
    axes.set_xlim(0, 1)
    axes.legend(loc="upper left", frameon=False)


def _reliability(axes: Any, facts: dict[str, Any]) -> None:
    """Draw the chances foretold against the shares that came."""
    axes.set_title("Foretold and seen", loc="left", fontsize=10)
    bins = facts["reliability"]
    if bins is None:
        _say(axes, "uncalibrated" if facts["table"] is None else "too few signals to judge")
        return
    axes.set_xlabel("chance foretold")
    axes.set_ylabel("share right (95 % if independent)")
    foretold, seen, low, high = (np.array(bins[name]) for name in ("foretold", "seen", "low", "high"))
    axes.plot([0, 1], [0, 1], color=_OPEN, linewidth=0.8, linestyle="--")
    around = np.maximum([seen - low, high - seen], 0)
    axes.errorbar(foretold, seen, around, fmt="o", color=_INK, markersize=4, linewidth=0.9, capsize=2)
    ends = np.concatenate([foretold, low, high])
    span = max(float(ends.min()) - 0.05, 0.0), min(float(ends.max()) + 0.05, 1.0)
    axes.set_xlim(span)
    axes.set_ylim(span)
    skill = facts["brier_skill"]
    told = f"ECE {facts['ece']:.3f}" + (
        f", Brier skill {round(skill['value'], 4) + 0.0:+.4f}" if skill else ""
    )
    axes.text(0.03, 0.95, told, transform=axes.transAxes, va="top")


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_OPEN)
    axes.set_xticks([])
    axes.set_yticks([])


def _times(rows: Records) -> Any:
    return rows["ts"].astype("datetime64[ns]")
