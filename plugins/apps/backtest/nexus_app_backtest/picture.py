"""A picture of a funnel: how many decisions reached each gate, and what those it refused would have made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = {1: "quality", 2: "signals", 3: "selection", 4: "aggregation", 5: "routing", 6: "risk"}
_COLOURS = {1: "#8fb3d3", 2: "#4c84b5", 3: "#3c9aa0", 4: "#c58a2b", 5: "#8672b8", 6: "#5d6976"}
_INK, _GREY, _PALE, _GAIN, _LOSS = "#22303f", "#8b95a1", "#e3e6ea", "#1a7f5a", "#b3372f"
_MINUS = "\N{MINUS SIGN}"
_SPAN = 3.0
"""Times the range of the means that an interval may reach before it is cut off."""

_ROOM = 0.8
"""Width of the numbers beside the means, as a share of the width that these take."""

_NAMED = 3
"""Strategies or symbols up to which the title names each."""


def draw(path: Path, facts: dict[str, Any]) -> None:
    """Draw a funnel into a PNG file, 1,200 pixels wide."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [each for each in facts["gates"] if _is_shown(each)]
    ends = [{"gate": "approved", "layer": 0, **facts["approved"]}]
    with matplotlib.rc_context({"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False}):
        height = 2.3 + 0.36 * (len(shown) + 1)
        figure = Figure(figsize=(12, height), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(1, 2, width_ratios=(1.5, 1))
        counts = figure.add_subplot(grid[0])
        made = figure.add_subplot(grid[1], sharey=counts)
        _counts(counts, shown, facts["approved"]["entries"])
        _made(made, [*shown, *ends])
        _key(figure, sorted({each["layer"] for each in shown}))
        figure.suptitle(_title(facts), x=0.01, ha="left", fontsize=11.5, fontweight="bold", color=_INK)
        try:
            figure.savefig(path, format="png")
        except OSError as error:
            told = f"{path} cannot be written ({error.strerror}). Choose another place with --png."
            raise UsageError(f"funnel: {told}") from error


def _is_shown(each: dict[str, Any]) -> bool:
    return bool(each["refused"]) or (not each["kernel"] and each["reached"] is not None)


def _title(facts: dict[str, Any]) -> str:
    who, where = _some(facts["strategies"], "strategies"), _some(facts["symbols"], "symbols")
    part = "" if facts["in_trace"] == facts["decisions"] else f" ({facts['in_trace']:,} of them in the trace)"
    bound = f"; {facts['binds']['gate']} binds" if facts["binds"] else ""
    count = (
        f"{facts['decisions']:,} decisions{part}, {facts['approved']['entries']:,} approved to enter{bound}"
    )
    return f"{who} on {where}, run {facts['run']}\n{count}"


def _some(names: list[str], kind: str) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} {kind}"


def _key(figure: Any, layers: list[int]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=_COLOURS[each], label=f"layer {each}, {LAYERS[each]}") for each in layers]
    figure.legend(handles=handles, loc="outside lower left", frameon=False, ncols=len(LAYERS), fontsize=9)


def _counts(axes: Any, shown: list[dict[str, Any]], entries: int) -> None:
    """Draw a bar for each gate: what passed it in full colour, what it refused pale behind."""
    names = [f"{each['gate']}{' (guard)' if each['guard'] else ''}" for each in shown]
    most = max([each["reached"] for each in shown], default=entries) or 1
    for place, each in enumerate(shown):
        colour, passed = _COLOURS[each["layer"]], each["reached"] - each["refused"]
        axes.barh(place, each["reached"], 0.72, color=colour, alpha=0.3, lw=0)
        axes.barh(place, passed, 0.72, color=colour, lw=0)
        lost = f"{_MINUS}{each['refused']:,}  {each['share']:.1%}" if each["refused"] else "refused none"
        _beside(
            axes, place, each["reached"], f"{each['reached']:,}  {lost}" if each["reached"] else "not reached"
        )
    axes.barh(len(shown), entries, 0.72, color=_GAIN, lw=0)
    _beside(axes, len(shown), entries, f"{entries:,} entries", bold=True)
    axes.set_yticks(range(len(names) + 1), [*names, "approved"], color=_INK)
    axes.set_ylim(len(names) + 0.6, -0.6)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlim(0, most * (most + 1) ** 0.42)  # room for the numbers beside the longest bar
    ticks = [10**power for power in range(10) if 10**power <= most]
    axes.set_xticks(ticks, [f"{each:,}" for each in ticks])
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.set_title(
        "Decisions that reached each gate (log scale); pale: refused there", loc="left", fontsize=10
    )


def _beside(axes: Any, place: int, length: float, text: str, bold: bool = False) -> None:
    weight = "bold" if bold else "normal"
    axes.annotate(text, (max(length, 0), place), (5, 0), textcoords="offset points", va="center",
                  color=_INK, fontsize=9, fontweight=weight)  # fmt: skip


def _made(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Draw the mean net return of each gate's refused trades, with its interval."""
    axes.set_title("Had they traded: net basis points a trade", loc="left", fontsize=10)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.axvline(0, color=_INK, lw=0.7)
    axes.axhline(len(rows) - 1.5, color=_PALE, lw=0.8)
    known = [(place, each["would_have"]) for place, each in enumerate(rows) if _has_trades(each)]
    if not known:
        axes.text(0.5, 0.5, "no trade to judge", transform=axes.transAxes, ha="center", color=_GREY)
        axes.set_xticks([])
        return
    for place, found in known:
        sure = found["low_bps"] is not None
        colour = _GREY
        if sure and (found["low_bps"] > 0 or found["high_bps"] < 0):
            colour = _GAIN if found["mean_bps"] > 0 else _LOSS
        if sure:
            axes.plot([found["low_bps"], found["high_bps"]], [place, place], color=colour, lw=2)
        axes.plot(found["mean_bps"], place, "o", color=colour, ms=6, mfc=colour if sure else "white")
        count = f"{found['trades']:,} trade{'s' * (found['trades'] != 1)}"
        told = f"{found['mean_bps']:+.1f}   {count}".replace("-", _MINUS)
        axes.annotate(told, (1.0, place), (-2, 0), va="center", ha="right", color=_INK, fontsize=9,
                      xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    low, high = _span([found for _, found in known])
    axes.set_xlim(low, high + _ROOM * (high - low))
    axes.set_xticks([each for each in axes.get_xticks() if low <= each <= high])
    axes.grid(axis="x", color=_PALE, lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("mean and 95 % interval; hollow: too few trades for one")


def _has_trades(each: dict[str, Any]) -> bool:
    return bool(each["would_have"] and each["would_have"]["trades"])


def _span(found: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the ends of what is drawn: very wide intervals are cut."""
    means = [0.0, *(each["mean_bps"] for each in found)]
    ends = [each[name] for each in found for name in ("low_bps", "high_bps") if each[name] is not None]
    width = max(max(means) - min(means), 1.0)
    low = max(min([*means, *ends]), min(means) - _SPAN * width)
    high = min(max([*means, *ends]), max(means) + _SPAN * width)
    around = 0.06 * (high - low)
    return low - around, high + around
