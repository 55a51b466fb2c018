"""Random numbers that are addressed, not drawn in turn: each is a pure function of its key and its tick.

All of it, the logarithm and the exponential included, is made of additions, multiplications, divisions
and square roots, which IEEE 754 rounds in one way only. The mathematical library of a system is not
asked, because it may answer differently on another system or processor, and a market would then not be
the same market everywhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step

_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_S12, _S27, _S30, _S31 = np.uint64(12), np.uint64(27), np.uint64(30), np.uint64(31)
_CELL = 1.0 / 4_503_599_627_370_496.0  # 2 ** -52

_LN2 = 0.6931471805599453
_LOWEST = np.int64(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)

# Taylor coefficients of artanh(s) / s, cosh and sinh(y) / y, in the square
_ARTANH = (1.0, 1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13, 1 / 15, 1 / 17, 1 / 19)
_COSH = (1.0, 1 / 2, 1 / 24, 1 / 720, 1 / 40_320, 1 / 3_628_800, 1 / 479_001_600)
_SINH = (1.0, 1 / 6, 1 / 120, 1 / 5_040, 1 / 362_880, 1 / 39_916_800)

# Wichura (1988), algorithm AS 241, PPND16: numerator and denominator, lowest power first
_CENTRE = (
    3.3871328727963666080,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_CENTRE_UNDER = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_TAIL = (
    1.42343711074968357734,
    4.63033784615654529590,
    5.76949722146069140550,
    3.64784832476320460504,
    1.27045825245236838258,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_TAIL_UNDER = (
    1.0,
    2.05319162663775882187,
    1.67638483018380384940,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
_FAR = (
    6.65790464350110377720,
    5.46378491116411436990,
    1.78482653991729133580,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
_FAR_UNDER = (
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)


@step
def mix(x: Any) -> Any:
    """Scramble a uint64 one to one: the output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


@step
def place(tick: int) -> Any:
    """Return the uint64 of a tick that all its draws share."""
    return mix(np.uint64(tick + 1) * _SPREAD)


@step
def uniform(key: Any, at: Any) -> float:
    """Return the uniform number of a key at a place: one of 2 ** 52 values inside (0, 1), never an end."""
    return (np.int64(mix(key + at) >> _S12) + 0.5) * _CELL


@step
def fill(draws: Any, keys: Any, places: Any, count: int) -> None:
    """Write to row k of `draws` the uniform numbers of key k at the first `count` places."""
    for k in range(len(keys)):
        key = keys[k]
        for i in range(count):
            draws[k, i] = uniform(key, places[i])


@step
def to_normal(column: Any, count: int) -> None:
    """Replace uniform numbers by the normal numbers of that quantile: Wichura (1988), algorithm AS 241."""
    for i in range(count):
        q = column[i] - 0.5
        if abs(q) <= 0.425:
            r = 0.180625 - q * q
            x = q * horner(r, _CENTRE) / horner(r, _CENTRE_UNDER)
        else:
            r = math.sqrt(-log(column[i] if q < 0.0 else 1.0 - column[i]))
            if r <= 5.0:
                x = horner(r - 1.6, _TAIL) / horner(r - 1.6, _TAIL_UNDER)
            else:
                x = horner(r - 5.0, _FAR) / horner(r - 5.0, _FAR_UNDER)
            x = -x if q < 0.0 else x
        column[i] = x


@step
def log(x: float) -> float:
    """Return the natural logarithm of a positive, finite, normal `x`."""
    bits = np.float64(x).view(np.int64)
    power = (bits - _LOWEST) >> 52
    mantissa = np.int64(bits - (power << 52)).view(np.float64)  # in [sqrt(1/2), sqrt(2))
    s = (mantissa - 1.0) / (mantissa + 1.0)  # log m = 2 artanh s
    return 2.0 * s * horner(s * s, _ARTANH) + power * _LN2


@step
def exp(x: float) -> float:
    """Return e to the power of `x` for `x` in [-4, 4]: the Taylor series at x / 16, to the 16th power."""
    y = x * 0.0625
    square = y * y
    value = horner(square, _COSH) + y * horner(square, _SINH)
    value *= value
    value *= value
    value *= value
    return value * value


@step
def horner(x: float, coefficients: Any) -> float:
    """Return the value at `x` of a polynomial, its coefficients given lowest power first."""
    total = coefficients[-1]
    for power in range(len(coefficients) - 2, -1, -1):
        total = total * x + coefficients[power]
    return total
