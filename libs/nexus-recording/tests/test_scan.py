from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_recording import scan


def text(value):
    return np.frombuffer((value + '"\n').encode() + bytes([10]) * 8, np.int8)


@settings(deadline=None)
@given(st.integers(0, 10**18 - 1), st.integers(0, 17))
def test_a_decimal_is_the_nearest_float(digits, scale):
    written = f"{digits:0{scale + 1}d}"
    if len(written) > scan.DIGITS:
        written = written[: scan.DIGITS]
    if scale:
        written = f"{written[:-scale]}.{written[-scale:]}"
    assert scan.decimal_at(text(written), 0) == (len(written), float(written))


@settings(deadline=None)
@given(st.integers(2**52, 10**17), st.sampled_from([-1, 0, 1]))
def test_halfway_between_two_floats_the_even_one_is_taken(whole, nudge):
    written = str(2 * whole + 1 + nudge)[: scan.DIGITS]
    for scale in (0, 1, 8, 17):
        exact = Fraction(int(written), 10**scale)
        assert Fraction(scan.divided(int(written), scale)) == Fraction(exact.numerator / exact.denominator)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("61800.20", 61800.2),
        ("0.00001234", 0.00001234),
        ("0", 0.0),
        ("00.10", 0.1),
        ("9007199254740993", 2.0**53),
    ],
)
def test_decimals_by_hand(written, value):
    assert scan.decimal_at(text(written), 0) == (len(written), value)


@pytest.mark.parametrize(
    "written", ["", ".5", "5.", "x", "-1", "1234567890123456789", "0.1234567890123456789"]
)
def test_what_is_no_plain_decimal_is_left_to_others(written):
    after, _ = scan.decimal_at(text(written), 0)
    assert after == -1


@settings(deadline=None)
@given(st.integers(0, 9 * 10**18 - 1))
def test_whole_numbers(value):
    assert scan.number_at(text(str(value)), 0) == (len(str(value)), value)


@pytest.mark.parametrize("written", ["", "-1", "9000000000000000000", "12345678901234567890"])
def test_what_is_no_whole_number_or_too_large(written):
    assert scan.number_at(text(written), 0)[0] == -1


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_characters='"\\\n'), max_size=7))
def test_a_short_words_code_is_its_own(word):
    assert scan.word_at(text(word), 0) == (len(word) + 1, scan.code(word))


def test_longer_words_differ_by_length_and_tail():
    words = ["lastUpdateId", "firstUpdateId", "depthUpdate", "updateId", "x" * 200]
    assert len({scan.code(each) for each in words}) == len(words)
    assert scan.word_at(text("lastUpdateId"), 0) == (13, scan.code("lastUpdateId"))


@pytest.mark.parametrize(
    "value", ['"a\\"b"', "12.5e-3", "true", "null", "[]", "{}", '[{"a":[1,2,{"b":"}"}]},3]', '{"a":"]"}']
)
def test_any_value_can_be_passed_over(value):
    data = np.frombuffer(value.encode() + b",\n\n\n", np.int8)
    assert scan.value_end(data, 0) == len(value)


@pytest.mark.parametrize("value", ['"abc', "[1,2", '{"a":1', "", "'a'", '"a\\'])
def test_what_has_no_end_ends_at_the_line(value):
    data = np.frombuffer(value.encode() + b"\n\n\n", np.int8)
    assert scan.value_end(data, 0) == -1
