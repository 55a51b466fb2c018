"""Exact money: products and shares against fractions, what fits, what is a unit, and the fold."""

import itertools
import math
import random
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.ledger import orders
from nexus_core.records import ACCOUNT, UNIT, empty
from nexus_core.steps import exact, words

SIZE = 20_000 if compile.JIT else 2_000
MOST = int(exact.LARGEST)

APPLY = {
    "product": "out[i] = f(a[i], b[i])",
    "fits": "out[i] = f(a[i], b[i])",
    "share": "out[i] = f(a[i], b[i], c[i])",
    "units": "out[i] = f(a[i])",
    "bits": "out[i] = f(a[i])",
    "word": "out[i] = f(a[i])",
}


def applied(name, *columns, dtype=np.int64):
    """Return a step's answer for each place of the columns, computed in one compiled loop."""
    text = f"def entry(a, b, c, out):\n    for i in range(out.size):\n        {APPLY[name]}\n"
    a, b, c = (*columns, *[columns[0]] * (3 - len(columns)))
    out = np.zeros(len(a), dtype)
    function = getattr(words if name in ("bits", "word") else exact, name)
    compile.call(compile.entry(f"money_{name}", text, {"f": function}), a, b, c, out)
    return out.tolist()


def ints(*values):
    return np.array(values, np.int64)


# -- product ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (100 * UNIT, 2 * UNIT, 200 * UNIT),
        (12_345_678, 87_654_321, 10_821_520),  # 0.12345678 x 0.87654321 = 0.1082152022374638
        (1, 50_000_000, 0),  # half a unit goes to the even 0
        (3, 50_000_000, 2),  # 1.5 to 2
        (5, 50_000_000, 2),  # 2.5 to 2
        (1, 50_000_001, 1),
        (1, 49_999_999, 0),
        (-3, 50_000_000, -2),
        (-5, 50_000_000, -2),
        (-7, 50_000_000, -4),
        (-7, -50_000_000, 4),
        (0, -5, 0),
        (MOST, UNIT, MOST),
        (-MOST, UNIT, -MOST),
        (3_000_000_000 * UNIT, 3 * UNIT, 9_000_000_000 * UNIT),
    ],
)
def test_a_product_by_hand(a, b, expected):
    assert applied("product", ints(a), ints(b)) == [expected]
    assert applied("product", ints(b), ints(a)) == [expected]


def magnitudes(rng, size):
    """Yield pairs of every magnitude whose product can be held; every fourth lies exactly on a half."""
    while size:
        a = rng.getrandbits(rng.randint(1, 63)) % (MOST + 1)
        b = min(rng.getrandbits(rng.randint(1, 63)), MOST * UNIT // max(a, 1), MOST)
        if rng.random() < 0.25:  # odd x odd x UNIT / 2
            i, j = rng.randint(0, 7), rng.randint(0, 8)
            a = (2 * rng.getrandbits(rng.randint(1, 30)) + 1) * 2**i * 5**j
            b = (2 * rng.getrandbits(rng.randint(1, 30)) + 1) * 2 ** (7 - i) * 5 ** (8 - j)
        if a * b <= MOST * UNIT and a <= MOST:
            size -= 1
            yield rng.choice((-1, 1)) * a, rng.choice((-1, 1)) * b


def test_a_product_is_the_fraction_rounded_half_to_even_at_every_magnitude():
    pairs = list(magnitudes(random.Random(5), SIZE))
    expected = [round(Fraction(a * b, UNIT)) for a, b in pairs]
    halves = sum(a * b * 2 % UNIT == 0 and a * b % UNIT != 0 for a, b in pairs)
    assert halves > SIZE // 10
    assert max(map(abs, expected)) > 9 * 10**18
    assert applied("product", *(ints(*each) for each in zip(*pairs, strict=True))) == expected


@given(st.integers(-MOST, MOST), st.integers(-MOST, MOST))
def test_a_product_that_fits_is_exact(a, b):
    if applied("fits", ints(a), ints(b)) == [1]:
        assert applied("product", ints(a), ints(b)) == [round(Fraction(a * b, UNIT))]


# -- fits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "held"),
    [
        (MOST, UNIT, True),
        (MOST, -UNIT, True),
        (MOST, UNIT + 1, False),
        (MOST + 2048, UNIT, False),
        (-MOST - 2048, UNIT, False),
        (2**63 - 1, 1, True),
        (2**63 - 1, UNIT, False),
        (2**63 - 1, 2**63 - 1, False),
        (0, 2**63 - 1, True),
    ],
)
def test_what_fits_just_under_at_and_just_over(a, b, held):
    assert applied("fits", ints(a), ints(b)) == [held]


@given(st.integers(0, 62), st.integers(0, 62), st.data())
def test_what_fits_can_be_held_and_what_does_not_is_near_the_end(i, j, data):
    a, b = data.draw(st.integers(2**i, 2 ** (i + 1) - 1)), data.draw(st.integers(2**j, 2 ** (j + 1) - 1))
    exact = Fraction(a * b, UNIT)
    if applied("fits", ints(a), ints(b)) == [1]:
        assert round(exact) < 2**63
    else:
        assert exact > Fraction(919, 1000) * 10**19


# -- share ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "part", "whole", "expected"),
    [
        (100, 1, 3, 33),
        (100, 2, 3, 67),
        (1, 1, 2, 0),
        (3, 1, 2, 2),
        (5, 1, 2, 2),
        (-3, 1, 2, -2),
        (-5, 1, 2, -2),
        (7, 0, 9, 0),
        (7, 9, 9, 7),
        (0, 4, 9, 0),
        (MOST, MOST - 1, MOST, MOST - 1),
        (2**63 - 1, 2**63 - 2, 2**63 - 1, 2**63 - 2),
        (-(2**63 - 1), 1, 2, -(2**62)),  # half of an odd amount, to the even side
    ],
)
def test_a_share_by_hand(amount, part, whole, expected):
    assert applied("share", ints(amount), ints(part), ints(whole)) == [expected]


def test_a_share_is_the_fraction_rounded_half_to_even_at_every_magnitude():
    rng, cases = random.Random(6), []
    for n in range(SIZE // 2):
        whole = rng.getrandbits(rng.randint(1, 63)) or 1
        part = rng.randint(0, whole)
        amount = rng.choice((-1, 1)) * rng.getrandbits(rng.randint(1, 63))
        if n % 4 == 0:  # exactly on a half
            factor = rng.getrandbits(20) | 1
            amount, part, whole = (2 * rng.getrandbits(30) + 1) * factor, 1, 2 * factor
        cases.append((amount, part, whole))
    expected = [round(Fraction(amount * part, whole)) for amount, part, whole in cases]
    assert applied("share", *(ints(*each) for each in zip(*cases, strict=True))) == expected


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(1, 2**63 - 1), st.data())
def test_a_share_and_what_is_left_of_it_differ_from_the_whole_by_a_unit_at_most(amount, whole, data):
    part = data.draw(st.integers(0, whole))
    one, other = applied("share", ints(amount, amount), ints(part, whole - part), ints(whole, whole))
    assert one == round(Fraction(amount * part, whole))
    assert abs(one + other - amount) <= 1


# -- units ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0),
        (-0.0, 0),
        (0.1, 10_000_000),
        (1.23456789, 123_456_789),
        (1 / 512, 195_312),  # 195,312.5 goes to the even side
        (3 / 512, 585_938),  # and so does 585,937.5
        (5e-324, 0),
        (-5e-324, -1),
        (-1.0, -1),
        (math.nan, -1),
        (math.inf, -1),
        (-math.inf, -1),
        (9.0e10, 9_000_000_000_000_000_000),
        (math.nextafter(9.0e10, math.inf), -1),
    ],
)
def test_units_by_hand(value, expected):
    assert applied("units", np.array([value])) == [expected]


@given(st.integers(0, 2**51))
def test_a_whole_number_of_units_comes_back(count):
    assert applied("units", np.array([count / UNIT])) == [count]


# -- bits and words ---------------------------------------------------------------------------------


def test_every_nan_has_the_same_bits():
    patterns = [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001, 0xFFFFFFFFFFFFFFFF]
    values = np.array(patterns, np.uint64).view(np.float64)
    assert applied("bits", values, dtype=np.uint64) == [0x7FF8000000000000] * 4


@given(st.floats(allow_nan=False))
def test_bits_are_those_of_the_number_and_zero_has_no_sign(value):
    (expected,) = struct.unpack("<Q", struct.pack("<d", value + 0.0))
    assert applied("bits", np.array([value]), dtype=np.uint64) == [expected]


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_word_is_the_integer_modulo_two_to_the_64(value):
    assert applied("word", ints(value), dtype=np.uint64) == [value % 2**64]


def test_words_of_narrow_integers_keep_their_sign():
    assert applied("word", np.array([-1], np.int8), dtype=np.uint64) == [2**64 - 1]
    assert applied("word", np.array([-2], np.int32), dtype=np.uint64) == [2**64 - 2]


# -- the fold ---------------------------------------------------------------------------------------

FOLD = """
def entry(accounts, words):
    for i in range(words.shape[0]):
        fold(accounts[0], words[i, 0], words[i, 1], words[i, 2], words[i, 3])
"""


def folded(*words):
    """Return the run hash after folding in some quadruples."""
    account = empty(ACCOUNT)
    compile.call(
        compile.entry("fold", FOLD, {"fold": orders.fold}), account, np.array(words, np.uint64).reshape(-1, 4)
    )
    return orders.run_hash(account[0])


def reference(*words):
    """Fold in whole numbers, from the formula."""
    mask = 2**64 - 1
    p1, p2, p3 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, p6 = 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD, 0xA0761D6478BD642F
    low = high = 0
    for a, b, c, d in words:
        x = (a + p1) * p2 & mask
        y = (c + p2) * p5 & mask
        x = ((x ^ (x >> 32)) + (b + p3) * p4) & mask
        y = ((y ^ (y >> 32)) + (d + p4) * p6) & mask
        low = ((low ^ ((x + (y >> 29)) & mask)) * p1) & mask
        high = ((high ^ ((y + (x >> 32)) & mask)) * p5) & mask
        low, high = low ^ (high >> 35), high ^ ((low ^ (high >> 35)) >> 29)
    return f"{low:016x}{high:016x}"


def test_the_hash_of_nothing_is_zero():
    assert folded() == "0" * 32


@pytest.mark.parametrize("bit", [0, 31, 32, 62, 63])
@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 3), (0, 2), (1, 3)])
def test_the_same_bit_flipped_in_two_words_does_not_cancel(bit, one, other):
    words = [7, 11, 13, 17]
    flipped = list(words)
    flipped[one] ^= 1 << bit
    flipped[other] ^= 1 << bit
    assert folded(flipped) != folded(words)


def test_the_fold_is_the_formula_in_whole_numbers():
    rng = random.Random(7)
    words = [[rng.getrandbits(64) for _ in range(4)] for _ in range(50)]
    assert folded(*words) == reference(*words)


def test_a_change_of_any_bit_of_any_word_is_another_hash():
    base = [0x0123456789ABCDEF, 2, 2**64 - 1, 0]
    for place in range(4):
        hashes = {folded(base)}
        for bit in range(64):
            words = list(base)
            words[place] ^= 1 << bit
            hashes.add(folded(words))
        assert len(hashes) == 65


def test_the_order_of_words_and_of_folds_counts():
    assert len({folded(words) for words in itertools.permutations((1, 2, 3, 4))}) == 24
    folds = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12))
    assert len({folded(*order) for order in itertools.permutations(folds)}) == 6
    assert folded((0, 0, 0, 0)) != folded((0, 0, 0, 0), (0, 0, 0, 0))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4), st.integers(0, 3), st.data())
def test_another_word_is_another_hash(words, place, data):
    other = list(words)
    other[place] = data.draw(st.integers(0, 2**64 - 1).filter(lambda word: word != words[place]))
    assert folded(words) != folded(other)
