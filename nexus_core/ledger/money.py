"""Exact integer money, and the fold that sums a run up in 128 bits.

All amounts are int64 in 1e-8. A product of two amounts is taken exactly and rounded half to even once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import UNIT

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


@step
def word(x: int) -> np.uint64:
    """Return an integer as a word of 64 bits, modulo 2 to the 64."""
    return np.uint64(x)


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


_P1 = np.uint64(0x9E3779B97F4A7C15)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0xD6E8FEB86659FD93)
_P5 = np.uint64(0xFF51AFD7ED558CCD)
_P6 = np.uint64(0xA0761D6478BD642F)
_R29, _R32, _R35 = np.uint64(29), np.uint64(32), np.uint64(35)
_NAN = np.uint64(0x7FF8000000000000)


@step
def bits(x: float) -> np.uint64:
    """Return the bits of a float64; every NaN gives the same, and -0 gives those of 0."""
    return _NAN if x != x else np.float64(x + 0.0).view(np.uint64)


@step
def mixed(low: Any, high: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the two lanes after four words were folded in: multiply, cross the lanes, and turn."""
    x = (a + _P1) * _P2
    y = (c + _P2) * _P5
    x = (x ^ (x >> _R32)) + (b + _P3) * _P4  # or flips of the top bits of two words would cancel
    y = (y ^ (y >> _R32)) + (d + _P4) * _P6
    low = (low ^ (x + (y >> _R29))) * _P1
    high = (high ^ (y + (x >> _R32))) * _P5
    return low ^ (high >> _R35), high ^ (low >> _R29)


@step
def fold(account: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Fold four words into the run hash."""
    account.hash_low, account.hash_high = mixed(account.hash_low, account.hash_high, a, b, c, d)


def run_hash(account: Any) -> str:
    """Return the run hash so far as 32 hexadecimal digits."""
    return f"{int(account['hash_low']):016x}{int(account['hash_high']):016x}"
