"""Exact integer arithmetic for steps: prices, quantities and money in units of 1e-8, as the ledger has them.

All amounts are int64. A product of two amounts is taken exactly and rounded half to even once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import UNIT
from nexus_core.steps.words import word

LARGEST = 9.2e18
"""Above this, in units, an amount is refused: it lies a quarter of a percent below the end of int64."""

HALF = UNIT // 2
HIGH_PRICE = 9.0e10
"""The largest price or quantity, in whole units, that fits."""


@step
def units(x: float) -> Any:
    """Return a value in 1e-8, rounded half to even; -1 where it is NaN, negative or too large."""
    if not 0.0 <= x <= HIGH_PRICE:
        return -1
    return np.int64(np.rint(x * 1e8))


@step
def fits(a: int, b: int) -> bool:
    """Tell whether the product of two amounts can be held."""
    return abs(float(a) * float(b)) <= LARGEST * UNIT


_UNIT = np.uint64(UNIT)


@step
def product(a: int, b: int) -> Any:
    """Return a x b / 1e8 rounded half to even. The caller has seen that it fits.

    A float64 quotient is at most some thousand too large or too small; the rest it leaves is exact even where
    its two terms wrap around, and says by how much to correct it. Only unsigned integers may wrap around:
    compiled code takes it for granted that signed ones do not.
    """
    near = np.int64(np.rint(float(a) * float(b) * 1e-8))
    rest = np.int64(word(a) * word(b) - word(near) * _UNIT)
    correction = (rest + HALF) // UNIT
    total = near + correction
    if rest - correction * UNIT == -HALF:
        total -= total & 1
    return total


@step
def share(amount: int, part: int, whole: int) -> Any:
    """Return amount x part / whole rounded half to even, for 0 <= part <= whole and whole > 0.

    Long division, a bit at a time: the product may need 126 bits, and this is called on partial closes only.
    """
    quotient = abs(amount) // whole * part
    left = abs(amount) % whole
    # quotient and rest of left x part / whole, by doubling
    add = np.int64(0)
    rest = np.int64(0)
    for bit in range(62, -1, -1):
        add *= 2
        for more in (rest, left * ((part >> bit) & 1)):
            if rest >= whole - more:
                rest -= whole - more
                add += 1
            else:
                rest += more
    total = quotient + add
    if rest > whole - rest or (rest == whole - rest and total & 1 == 1):
        total += 1
    return -total if amount < 0 else total


@step
def round_down(qty: int, lot: int) -> int:
    """Return the largest multiple of the lot that is not above the quantity."""
    return qty if lot <= 1 else qty // lot * lot


@step
def on_tick(price: int, tick: int) -> int:
    """Return the price of the instrument's grid nearest to this one."""
    return price if tick <= 1 else (price + tick // 2) // tick * tick
