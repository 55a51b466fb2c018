"""Curves given by their knots."""

from __future__ import annotations

from typing import Any

from nexus_core.compile import step
from nexus_core.steps.ranks import place


@step
def interpolate(xs: Any, ys: Any, x: float) -> float:
    """Return the height at `x` of straight lines through the knots, whose `xs` never fall.

    Beyond the first and last knot it is theirs; where several knots share an x, at that x it is the last
    one's. NaN stays NaN.
    """
    last = xs.size - 1
    if not x < xs[last]:
        return ys[last] if x == x else x
    if not x > xs[0]:
        low = 0
        while low < last and xs[low + 1] == x:
            low += 1
        return ys[low]
    high = place(xs, xs.size, x)
    if xs[high] == x:
        while xs[high + 1] == x:
            high += 1
        return ys[high]
    share = (x - xs[high - 1]) / (xs[high] - xs[high - 1])
    return ys[high - 1] + share * (ys[high] - ys[high - 1])
