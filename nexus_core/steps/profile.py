"""Volume by price: the profile of a session or of the recent past, its value area and its nodes.

The profile is that of Steidlmayer's Market Profile, with volume in place of time (Steidlmayer and Hawkins
2003, *Steidlmayer on markets*; Dalton, Jones and Dalton 1990, *Mind over markets*).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.tool import Tool, capacity, checked, record

_LOTS = 1 << 20
_MOST = 1 << 40
_FAR = 1e15


def profile(size: int, half_life: int = 0) -> np.void:
    """Keep volume by price in at most `size` bins, rounded up to a power of two; `half_life` in rows forgets.

    Bin k holds the prices from (k - 1/2) to (k + 1/2) times `state.width`, the bins' width in price. It is
    NaN until `profile.clear` or `profile.fit` sets it, and nothing is taken before. `profile.push(state, low,
    high, volume)` spreads a bar's volume evenly over its range. Where the range of all bins grows beyond
    `size` the bins farthest from the bar are let go; of a bar wider than that only its middle is kept. A
    value that is NaN or infinite, a volume not above 0, and a low above its high change nothing. With
    `half_life` 0 nothing is forgotten; else a row counts half as much as one that came `half_life` rows
    later, and what is left of a bin below one lot is dropped.

    Volume is kept in whole lots, a millionth of the first volume: sums are exact and the same in any order,
    so prices turned over (p to -p) give the same profile turned over, bit for bit. Prices may be given as
    distances from any fixed one.

    - `profile.clear(state, width)` forgets all, and starts anew with bins of this width.
    - `profile.fit(state, width)` halves or doubles the width until it is within a factor of two of this one,
      and shares the volume out among the new bins.
    - `profile.value_area(state, share)` answers (low, point of control, high), in price.
    - `profile.density(state, price)` answers how thick the profile is there.
    - `profile.valley(state, price, way, depth, part)` answers the nodes around a thin
      place, and how thin it is.
    """
    if half_life != 0:
        checked("profile", half_life)
    bins = capacity(checked("profile", size, 4))
    return record(
        width=math.nan, lot=math.nan, half_life=half_life, n=0, gain=1.0,
        growth=math.pow(2.0, 1.0 / half_life) if half_life else 1.0,
        empty=1, low=0, high=0, first=0, last=0,
        mass=np.zeros(bins, np.int64), spare=np.zeros(bins, np.int64),
    )  # fmt: skip


def _push(state: Any, low: float, high: float, volume: float) -> None:
    if not (0.0 < volume < math.inf and 0.0 < state.width < math.inf and high >= low):
        return
    bottom, top = low / state.width, high / state.width
    if not (abs(bottom) < _FAR and abs(top) < _FAR):
        return
    if not state.lot > 0.0:
        state.lot = volume / _LOTS
    first, last = math.floor(bottom + 0.5), math.ceil(top - 0.5)
    if last < first:  # one price, on the edge of two bins
        first, last = last, first
    size = state.mass.size
    if last - first >= size:
        cut = (last - first + 2 - size) // 2
        first, last = first + cut, last - cut
    _reach(state, first, last)
    lots = min(volume / state.lot, float(_MOST)) * state.gain
    span = top - bottom
    for k in range(first, last + 1):
        if span > 0.0:
            share = max(min(top, k + 0.5) - max(bottom, k - 0.5), 0.0) / span
        else:
            share = 1.0 / (last - first + 1)
        state.mass[k & (size - 1)] += int(lots * share)
    if state.half_life > 0:
        _age(state)


@step
def _reach(state: Any, first: int, last: int) -> None:
    """Make room for the bins from `first` to `last`, and let go the ones that are too far from them."""
    size = state.mass.size
    if state.empty == 1:
        state.empty, state.low, state.high = 0, first, last
    low, high = min(state.low, first), max(state.high, last)
    if high - low >= size:
        if first < state.low:
            high = low + size - 1
        else:
            low = high - size + 1
    for k in range(state.low, min(low, state.high + 1)):
        state.mass[k & (size - 1)] = 0
    for k in range(max(high + 1, state.low), state.high + 1):
        state.mass[k & (size - 1)] = 0
    state.low, state.high, state.first, state.last = low, high, first, last


@step
def _age(state: Any) -> None:
    """Let a new row count more than the one before; with each half-life halve all there is."""
    state.n += 1
    state.gain *= state.growth
    if state.n < state.half_life:
        return
    state.n, state.gain = 0, 1.0
    mask = state.mass.size - 1
    for k in range(state.low, state.high + 1):
        state.mass[k & mask] >>= 1
    while state.low < state.first and state.mass[state.low & mask] == 0:
        state.low += 1
    while state.high > state.last and state.mass[state.high & mask] == 0:
        state.high -= 1


@step
def _clear(state: Any, width: float) -> None:
    state.width, state.empty, state.low, state.high, state.first, state.last = width, 1, 0, 0, 0, 0
    state.n, state.gain, state.lot = 0, 1.0, np.float64(np.nan)
    state.mass[:] = 0


@step
def _fit(state: Any, width: float) -> None:
    if not 0.0 < width < math.inf:
        return
    if not 0.0 < state.width < math.inf or state.empty == 1:
        state.width = width
        return
    while width >= 2.0 * state.width:
        _coarsen(state)
    for _ in range(64):
        if 2.0 * width > state.width:
            break
        _refine(state)


@step
def _coarsen(state: Any) -> None:
    """Double the width: a new bin has all of the old one in its middle and half of each beside it."""
    mask = state.mass.size - 1
    low, high = state.low // 2, -(-state.high // 2)
    for j in range(low, high + 1):
        beside = (mass(state, 2 * j - 1) >> 1) + (mass(state, 2 * j + 1) >> 1)
        state.spare[j & mask] = mass(state, 2 * j) + beside
    _take(state, low, high)
    state.first, state.last = state.first // 2, -(-state.last // 2)
    state.width *= 2.0


@step
def _refine(state: Any) -> None:
    """Halve the width: an old bin leaves half to the new one in its middle, a quarter to each beside it."""
    mask = state.mass.size - 1
    middle, half = state.first + state.last, state.mass.size // 2 - 1
    low, high = max(2 * state.low - 1, middle - half), min(2 * state.high + 1, middle + half)
    for j in range(low, high + 1):
        if j & 1:
            state.spare[j & mask] = (mass(state, (j - 1) // 2) >> 2) + (mass(state, (j + 1) // 2) >> 2)
        else:
            state.spare[j & mask] = mass(state, j // 2) >> 1
    _take(state, low, high)
    state.first, state.last = max(2 * state.first, low), min(2 * state.last, high)
    state.width *= 0.5


@step
def _take(state: Any, low: int, high: int) -> None:
    mask = state.mass.size - 1
    state.mass[:] = 0
    for j in range(low, high + 1):
        state.mass[j & mask] = state.spare[j & mask]
    state.low, state.high = low, high


@step
def mass(state: Any, k: int) -> Any:
    """Return the lots in bin `k`."""
    if state.empty == 1 or k < state.low or k > state.high:
        return np.int64(0)
    return state.mass[k & (state.mass.size - 1)]


@step
def _smooth(state: Any, k: int) -> Any:
    """Return four times the lots around bin `k`, weighted 1 2 1."""
    return mass(state, k - 1) + 2 * mass(state, k) + mass(state, k + 1)


@step
def _bin(state: Any, price: float) -> Any:
    """Return the bin of a price; one on an edge belongs to the bin farther from zero."""
    place = price / state.width
    if not abs(place) < _FAR:
        return np.int64(0)
    k = math.floor(abs(place) + 0.5)
    return np.int64(k if place >= 0.0 else -k)


@step
def _density(state: Any, price: float) -> float:
    """Return the volume around a price, as a share of the thickest place, both smoothed by weights 1 2 1."""
    most = _thickest(state)
    return _smooth(state, _bin(state, price)) / most if most > 0 else np.float64(np.nan)


@step
def _thickest(state: Any) -> Any:
    most = np.int64(0)
    if state.empty == 0:
        mask, before, here = state.mass.size - 1, np.int64(0), mass(state, state.low)
        for k in range(state.low, state.high):
            after = state.mass[(k + 1) & mask]
            most = max(most, before + 2 * here + after)
            before, here = here, after
        most = max(most, before + 2 * here)
    return most


@step
def _value_area(state: Any, share: float) -> tuple[float, float, float]:
    """Answer (low, point of control, high), in price; NaN where there is no volume.

    The point of control is the middle of the bin with the most volume; of several the one nearest to the
    middle of the range, of two as near the price between. From it the area grows by the two bins above or
    the two below, whichever hold more, by both where they hold the same, until it holds `share` of the
    volume: the rule of the Chicago Board of Trade's *Market Profile* (1984), as in Dalton, Jones and Dalton.
    """
    none = np.float64(np.nan)
    if state.empty == 1:
        return none, none, none
    total, most, best = np.int64(0), np.int64(0), np.int64(0)
    low, high, ends = state.low, state.low, state.low + state.high
    for k in range(state.low, state.high + 1):
        each = mass(state, k)
        total += each
        away = abs(2 * k - ends)
        if each > most or (each == most and away < best):
            most, best, low, high = each, away, k, k
        elif each == most and away == best:
            high = k
    if total == 0:
        return none, none, none
    control = 0.5 * (low + high) * state.width
    inside = np.int64(0)
    for k in range(low, high + 1):
        inside += mass(state, k)
    while inside < share * total and (low > state.low or high < state.high):
        above = mass(state, high + 1) + mass(state, high + 2)
        below = mass(state, low - 1) + mass(state, low - 2)
        up, down = high < state.high, low > state.low
        if up and (above >= below or not down):
            inside += above
            high = min(high + 2, state.high)
        if down and (below >= above or not up):
            inside += below
            low = max(low - 2, state.low)
    return (low - 0.5) * state.width, control, (high + 0.5) * state.width


@step
def _valley(state: Any, price: float, way: int, depth: float, part: float) -> tuple[float, float, float]:
    """Answer (near, far, depth) of the low-volume node that a price lies in, for one that goes `way`.

    `far` is the top of the first high-volume node ahead (1 is up, -1 down), `near` of the first one behind,
    in price: where the smoothed profile (weights 1 2 1) rises out of the thinnest place before it so far that
    this place lacks the share `depth` of it, and where it holds at least `part` of its thickest place. The
    depth answered is what the thinnest place between the two lacks of the lesser node, at most 1. All three
    are NaN where there is no such node on one side.
    """
    none = np.float64(np.nan)
    at = _bin(state, price)
    if state.empty == 1 or at < state.low or at > state.high:
        return none, none, none
    most = part * _thickest(state)
    near, least = _node(state, at, -way, depth, most)
    far, other = _node(state, at, way, depth, most)
    least, peak = min(least, other), min(_smooth(state, near), _smooth(state, far))
    if near == at or far == at or not least <= (1.0 - depth) * peak:
        return none, none, none
    return near * state.width, far * state.width, 1.0 - least / peak


@step
def _node(state: Any, at: int, way: int, depth: float, most: float) -> tuple[Any, Any]:
    """Return the top of the first node from a bin on (that bin where there is none), and the thinnest."""
    least = _smooth(state, at)
    k = at + way
    while state.low <= k <= state.high:
        each = _smooth(state, k)
        least = min(least, each)
        if each > 0 and each >= most and least <= (1.0 - depth) * each:
            break
        k += way
    if k < state.low or k > state.high:
        return np.int64(at), least
    while _smooth(state, k + way) > _smooth(state, k):
        k += way
    return np.int64(k), least


volume = Tool(profile, _push)
volume.__dict__.update(
    clear=_clear, fit=_fit, value_area=_value_area, density=_density, valley=_valley, thickest=_thickest
)
