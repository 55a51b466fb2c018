"""Read numbers, names and whatever else stands in a line of compact JSON, byte by byte, compiled.

Text is an array of int8 in which every line ends with a newline: no JSON string holds a raw one, so each loop
stops there at the latest and needs to know no end. A position of -1 says that the text is not what is asked
for: blanks between tokens, escapes in a word, more digits than are read. Such a line is for the slow way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step

NEWLINE, SPACE, QUOTE, COMMA, DOT, COLON, BACKSLASH = 10, 32, 34, 44, 46, 58, 92
OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = 123, 125, 91, 93
NINE = 9

DIGITS = 18
"""Digits of a decimal number at the most: any of them fit in 63 bits."""

_EXACT = 2**53  # whole numbers up to here, and powers of ten up to 22, are floats without an error
_POWERS = np.array([float(10**k) for k in range(DIGITS + 1)])
_TENS = np.array([10**k for k in range(DIGITS + 1)])
_TAIL = 2**56 - 1  # the last seven characters of a word
_LONGEST = 127


def code(word: str) -> int:
    """Return what `word_at` reads of a word: its length and last seven characters, up to seven all of it."""
    number = 0
    for each in word.encode():
        number = (number << 8 | each) & _TAIL
    return number | min(len(word.encode()), _LONGEST) << 56


@step
def number_at(data: Any, i: int) -> tuple[int, int]:
    """Read a whole number below 9e18 without a sign: the position after it, and its value."""
    first, value = i, 0
    c = int(data[i]) - 48
    while 0 <= c <= NINE:
        value = value * 10 + c
        i += 1
        c = int(data[i]) - 48
    count = i - first
    fits = 0 < count <= DIGITS or (count == DIGITS + 1 and data[first] < 57)
    return (i, value) if fits else (-1, 0)


@step
def decimal_at(data: Any, i: int) -> tuple[int, float]:
    """Read a decimal number without sign or exponent: the position after it, and the nearest float.

    Where the digits are below 2**53, one division of two exact floats is rounded once (Clinger 1990, *How to
    read floating point numbers accurately*); the few others are divided bit by bit.
    """
    first, digits = i, 0
    c = int(data[i]) - 48
    while 0 <= c <= NINE:
        digits = digits * 10 + c
        i += 1
        c = int(data[i]) - 48
    count, scale = i - first, 0
    if count == 0:
        return -1, 0.0
    if c == DOT - 48:
        i += 1
        first = i
        c = int(data[i]) - 48
        while 0 <= c <= NINE:
            digits = digits * 10 + c
            i += 1
            c = int(data[i]) - 48
        scale = i - first
        if scale == 0:
            return -1, 0.0
    if count + scale > DIGITS:
        return -1, 0.0
    return i, digits / _POWERS[scale] if digits <= _EXACT else divided(digits, scale)


@step
def divided(digits: int, scale: int) -> float:
    """Return digits / 10**scale, rounded once, half to even; both below 10**18."""
    by = int(_TENS[scale])
    whole, rest, power = digits // by, digits % by, 1.0
    while whole <= _EXACT:  # a quotient of 54 bits: one more than a float has, to round by
        whole, rest, power = whole * 2 + (rest * 2) // by, (rest * 2) % by, power * 0.5
    while whole >= 2 * _EXACT:
        rest = rest + (whole & 1) * by
        whole, power = whole // 2, power * 2.0
    half, kept = whole & 1, whole // 2
    if half == 1 and (rest > 0 or kept & 1 == 1):
        kept += 1
    return float(kept) * (power * 2.0)


@step
def word_at(data: Any, i: int) -> tuple[int, int]:
    """Read a string from its first character: the position after its closing quote, and its code."""
    first, value = i, 0
    c = int(data[i])
    while c != QUOTE:
        if c in (BACKSLASH, NEWLINE):
            return -1, 0
        value = (value << 8 | (c & 255)) & _TAIL
        i += 1
        c = int(data[i])
    return i + 1, value | min(i - first, _LONGEST) << 56


@step
def named_at(data: Any, i: int, names: Any) -> tuple[int, int]:
    """Read the name of a symbol up to a quote or an @: the position there, and its index or -1.

    Small letters count as capitals. `names` holds a name in each row, filled up with zeros.
    """
    end = i
    while data[end] != QUOTE and data[end] != 64:
        if data[end] == BACKSLASH or data[end] == NEWLINE:
            return -1, -1
        end += 1
    for s in range(names.shape[0]):
        k = 0
        while i + k < end and k < names.shape[1] - 1 and names[s, k] == capital(int(data[i + k])):
            k += 1
        if i + k == end and names[s, k] == 0:
            return end, s
    return end, -1


@step
def capital(c: int) -> int:
    """Return a letter as its capital, and anything else as it is."""
    return c - 32 if 97 <= c <= 122 else c


@step
def string_end(data: Any, i: int) -> int:
    """Return the position after the closing quote of the string whose opening quote is at `i`."""
    i += 1
    while data[i] != QUOTE:
        if data[i] == BACKSLASH:
            i += 1
        if data[i] == NEWLINE:
            return -1
        i += 1
    return i + 1


@step
def value_end(data: Any, i: int) -> int:
    """Return the position after a value nobody asks for: a string, a number, a literal, a list, an object."""
    depth = 0
    while True:
        c = int(data[i])
        if c == QUOTE:
            i = string_end(data, i)
            if i < 0:
                return -1
        elif c in (OPEN, OPEN_LIST):
            depth += 1
            i += 1
        elif c in (CLOSE, CLOSE_LIST) and depth > 0:
            depth -= 1
            i += 1
        elif c in (COMMA, COLON) and depth > 0:
            i += 1
            continue
        else:
            i = literal_end(data, i)
            if i < 0:
                return -1
        if depth == 0:
            return i


@step
def literal_end(data: Any, i: int) -> int:
    """Return the position after a number, true, false or null."""
    first, c = i, int(data[i])
    while 48 <= c <= 57 or 97 <= c <= 122 or c in (43, 45, DOT, 69):
        i += 1
        c = int(data[i])
    return i if i > first else -1
