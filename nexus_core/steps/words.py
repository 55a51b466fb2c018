"""Words of 64 bits: what makes numbers into words, and four words into a sum of 128 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step


@step
def word(x: int) -> np.uint64:
    """Return an integer as a word of 64 bits, modulo 2 to the 64."""
    return np.uint64(x)


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
