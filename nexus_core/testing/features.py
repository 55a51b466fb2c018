"""The contract of feature sets: every number is written, repeats itself, sees no future, and bears gaps."""

from __future__ import annotations

import time
from inspect import getattr_static, signature
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.market.events import DEPTH, VIEW
from nexus_core.market.features import NEEDS, FeatureLoop
from nexus_core.records import Records
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.fakes import walk
from nexus_core.testing.market import MINUTE
from nexus_core.types import iso

_BUDGET = 5.0
"""Microseconds a row."""
_WHOLE = 2**40
_WRITTEN = {"state": 2, "step": 5}
"""What a feature set writes, and with how many arguments."""


def _fallen(of: Subject) -> str:
    try:
        _stands(of)
    except Exception:
        return "it does not write its features: see NX-T01"
    return ""


def _no_budget(of: Subject) -> str:
    return _fallen(of) or ("" if compile.JIT else "NEXUS_JIT=0: nothing is compiled")


@check("NX-T01", Grade.BRONZE, "features")
def _stands(of: Subject) -> None:
    """Names and needs are declared, and the step writes a number for each name."""
    _declares(of)
    rows, views = _market(ticks=20)
    found: list[Any] = []
    for mark in (1.5, 2.5):
        out = np.full((len(rows), len(of.plugin.names)), mark)
        try:
            missing = _run(_loop(of), rows, views, out)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise Broken(
                f"its step raised {type(error).__name__}: {said}. Write one float a place."
            ) from error
        strange = (missing < 0) | (missing >= 1 << len(NEEDS))
        if strange.any():
            raise Broken(f"its step answered {missing[strange][0]}, must be a bit for each of {NEEDS}.")
        found.append(out)
    unwritten = np.argwhere((found[0] == 1.5) & (found[1] == 2.5))
    if len(unwritten):
        row, place = unwritten[0]
        name = of.plugin.names[place]
        raise Broken(f"nothing was written for {name} at {_where(rows, row)}. Write NaN where it is unknown.")


def _declares(of: Subject) -> None:
    names, needs = getattr(of.plugin, "names", None), of.plugin.needs
    if not isinstance(names, tuple) or not names or not all(isinstance(each, str) for each in names):  # pyright: ignore[reportUnknownVariableType]
        raise Broken(f"names was {names!r}, must be a tuple of the names of its features.")
    if len(set(names)) < len(names):  # pyright: ignore[reportUnknownArgumentType]
        raise Broken("two of its names are the same. Give each feature a name of its own.")
    strange = sorted(str(each) for each in set(needs) - set(NEEDS))
    if strange:
        raise Broken(f"needs {', '.join(strange)}, which no row carries. Choose from {', '.join(NEEDS)}.")
    for method, arguments in _WRITTEN.items():
        written = getattr_static(of.plugin, method, None)
        if not isinstance(written, staticmethod):
            raise Broken(f"it has no {method} of its own. Write it as a static method.")
        taken = len(signature(compile.plain(getattr(of.plugin, method))).parameters)
        if taken != arguments:
            raise Broken(
                f"{method} took {taken} arguments, must take {arguments}: see nexus_core.FeatureSet."
            )


@check("NX-T02", Grade.BRONZE, "features", needless=_fallen)
def _repeats(of: Subject) -> None:
    """Equal rows give equal features."""
    rows, views = _market()
    once, again = (_features(of, rows, views) for _ in range(2))
    _alike(of, rows, once, again, "was {} and, asked again, {}", "Use no clock, no chance, only state.")


@check("NX-T03", Grade.BRONZE, "features", needless=_fallen)
def _sees_no_future(of: Subject) -> None:
    """No feature depends on a later row."""
    rows, views = _market()
    whole = _features(of, rows, views)
    for size in (1, len(rows) // 3, len(rows) - 1):
        early = _features(of, rows[:size], views[:size])
        told = "was {} with the rows after it and {} without"
        _alike(of, rows, whole[:size], early, told, "Compute it from rows that came before.")


@check("NX-T04", Grade.SILVER, "features", needless=_fallen)
def _keeps_parity(of: Subject) -> None:
    """Features and states are the same in blocks of 1, 7, 64 and all rows."""
    rows, views = _market()
    steady = _loop(of)
    whole = _features(of, rows, views, steady)
    advice = "Keep what it needs of earlier rows in its state."
    for size in (1, 7, 64):
        loop = _loop(of)
        cut = _features(of, rows, views, loop, size)
        told = f"was {{}} in one block and {{}} in blocks of {size} rows"
        _alike(of, rows, whole, cut, told, advice)
        if loop.states.tobytes() != steady.states.tobytes():
            raise Broken(f"its state after all rows differed in blocks of {size} rows. {advice}")


@check("NX-T05", Grade.SILVER, "features", needless=_fallen)
def _goes_on(of: Subject) -> None:
    """Restored from its state, it goes on with the same features."""
    rows, views = _market()
    if _loop(of).states.dtype.hasobject:
        raise Broken("its state holds Python objects, which cannot be saved. Hold numbers and arrays.")
    half = len(rows) // 2
    whole = _features(of, rows, views)
    broken_off, restored = _loop(of), _loop(of)
    _features(of, rows[:half], views[:half], broken_off)
    restored.states[:] = np.frombuffer(broken_off.states.tobytes(), broken_off.states.dtype)
    late = _features(of, rows[half:], views[half:], restored)
    told = "was {} in a run that went on and {} in one restored before it"
    _alike(of, rows[half:], whole[half:], late, told, "Keep all that it remembers in its state.")


@check("NX-T06", Grade.SILVER, "features", needless=_fallen)
def _bears_the_unknown(of: Subject) -> None:
    """Rows without values or a book are told as missing, give no infinity, and are got over."""
    rows, views = _market(holes=True)
    loop = _loop(of)
    out = np.full((len(rows), len(of.plugin.names)), np.nan)
    missing = _run(loop, rows, views, out)
    for need in sorted(of.plugin.needs):
        told = missing & (1 << NEEDS.index(need)) != 0
        wrong = np.flatnonzero(_lacks(rows, views, need) & ~told)
        if wrong.size:
            raise Broken(f"{_where(rows, int(wrong[0]))} had no {need}, and its step did not answer so.")
    endless = np.argwhere(np.isinf(out))
    if len(endless):
        row, place = endless[0]
        raise Broken(f"{of.plugin.names[place]} of {_where(rows, row)} was infinite. Write NaN, or a bound.")
    sound, books = _market()
    never = np.isnan(_features(of, sound, books)).all(axis=0)
    lost = np.flatnonzero(np.isnan(_features(of, sound, books, loop)).all(axis=0) & ~never)
    if lost.size:
        raise Broken(f"{of.plugin.names[lost[0]]} stayed NaN after rows with unknown values. Let it recover.")


@check("NX-T07", Grade.GOLD, "features", needless=_no_budget)
def _is_quick(of: Subject) -> None:
    """At most 5 microseconds go into a row."""
    rows, views = _market()
    loop, out = _loop(of), np.zeros((len(rows), len(of.plugin.names)))
    _run(loop, rows, views, out)
    taken: list[float] = []
    for _ in range(5):
        begun = time.thread_time()
        _run(loop, rows, views, out)
        taken.append(time.thread_time() - begun)
    least = min(taken) / len(rows) * 1e6
    if least > _BUDGET:
        raise Broken(f"took {least:.1f} microseconds a row, may take {_BUDGET:g}. Do less in a step.")


def _loop(of: Subject) -> FeatureLoop:
    return FeatureLoop("tested", of.make(), 1, MINUTE)


def _market(ticks: int = 700, *, holes: bool = False) -> tuple[Records, Records]:
    """Return rows of one symbol, and a view of the book for each; with `holes` one in ten knows none."""
    rows = walk(1, ticks, holes=holes)
    draws = np.random.default_rng(13)
    views, levels = np.zeros(len(rows), VIEW), np.arange(1, DEPTH + 1) * 0.01
    middle = np.round(100.0 * np.exp(np.cumsum(draws.normal(0.0, 0.002, len(rows)))), 2)[:, None]
    views["known"], views["bids"], views["asks"] = 1, middle - levels, middle + levels
    for name in ("bid_sizes", "ask_sizes"):
        views[name] = draws.integers(1, 50, (len(rows), DEPTH))
    if holes:
        gone = draws.random(len(rows)) < 0.1
        for name, unknown in (("bids", np.nan), ("asks", np.nan), ("bid_sizes", 0), ("ask_sizes", 0)):
            views[name][gone] = unknown
        views["known"][gone] = 0
    return rows, views


_FIELDS = {
    "bar": ("open", "high", "low", "close"),
    "volume": ("volume",),
    "trade": ("buy_volume", "sell_volume"),
}


def _lacks(rows: Records, views: Records, need: str) -> Any:
    if need == "book":
        return views["known"] == 0
    return np.logical_or.reduce([np.isnan(rows[each]) for each in _FIELDS[need]])


def _features(
    of: Subject, rows: Records, views: Records, loop: FeatureLoop | None = None, size: int = _WHOLE
) -> Any:
    """Return the features of each row, taken in blocks of so many rows."""
    out = np.full((len(rows), len(of.plugin.names)), np.nan)
    _run(loop or _loop(of), rows, views, out, size)
    return out


def _run(loop: FeatureLoop, rows: Records, views: Records, out: Any, size: int = _WHOLE) -> Any:
    missing = np.zeros(len(rows), np.int64)
    for at in range(0, len(rows), size):
        last = min(at + size, len(rows))
        loop.run(rows, np.array([at]), np.array([last]), views, out, missing)
    return missing


def _alike(of: Subject, rows: Records, one: Any, other: Any, told: str, advice: str) -> None:
    apart = np.argwhere((one != other) & ~(np.isnan(one) & np.isnan(other)))
    if len(apart):
        row, place = apart[0]
        text = told.format(one[row, place], other[row, place])
        raise Broken(f"{of.plugin.names[place]} of {_where(rows, row)} {text}. {advice}")


def _where(rows: Records, n: int) -> str:
    return f"row {n} ({iso(rows['ts'][n])})"
