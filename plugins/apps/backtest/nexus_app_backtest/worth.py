"""The mean of what trades made, and how sure that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from nexus_core.records import Records

LEAST = 5
"""Independent trades from which an interval is given."""

LEVEL = 0.95
BASIS_POINTS = 1e4


@frozen
class Worth:
    """What some trades made on average, in basis points after costs."""

    trades: int
    independent: float
    """How many trades that share no time they are worth."""
    mean: float | None
    low: float | None
    high: float | None


def worth(trades: Records) -> Worth:
    """Return the mean net return of trades, with its interval where they are worth enough of them.

    Trades whose times overlap share the same moves of the market, whichever their symbols: they count as the
    sum of their average uniqueness, and the interval is Student's for so many.
    """
    from nexus_stats import effective

    if not len(trades):
        return Worth(0, 0.0, None, None, None)
    net = trades["net"] * BASIS_POINTS
    mean, count = float(net.mean()), effective(trades["start"], trades["end"])
    if count < LEAST:
        return Worth(len(net), count, mean, None, None)
    half = student(count - 1.0) * _deviation(net) / math.sqrt(count)
    return Worth(len(net), count, mean, mean - half, mean + half)


def student(freedom: float, level: float = LEVEL) -> float:
    """Return how many standard errors hold a share `level` of Student's law, of four degrees or more.

    Abramowitz and Stegun (1964), "Handbook of Mathematical Functions", 26.7.5.
    """
    from nexus_stats.intervals import normal

    z = normal(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _deviation(values: Any) -> float:
    return float(np.std(values, ddof=1))
