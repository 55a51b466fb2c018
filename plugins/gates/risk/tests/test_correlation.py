"""Correlations of returns, against pandas; which returns are common; and what counts with open positions."""

import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from nexus_gate_risk import Assessment, assessment, correlation

from nexus_core import compile
from nexus_core.records import LATE, POSITION, ROW, UNIT, empty
from nexus_core.steps.tool import record

NAN = math.nan
MINUTE = 60_000_000_000

WATCH = """
def entry(rows, states, params):
    for n in range(rows.size):
        watch(rows[n], states[0], params[0])
"""
BETWEEN = """
def entry(states, found, least):
    for i in range(found.shape[0]):
        for j in range(found.shape[0]):
            if i != j:
                found[i, j] = between(states[0], i, j, least)
"""
ALIKE = """
def entry(positions, states, symbol, side, params):
    return alike(positions, states[0], symbol, side, params[0])
"""


@cache
def machine(name):
    text, bound = {
        "watch": (WATCH, {"watch": Assessment.watch}),
        "between": (BETWEEN, {"between": correlation.between}),
        "alike": (ALIKE, {"alike": assessment.alike}),
    }[name]
    return compile.entry(name, text, bound)


def table(closes, times=None):
    """Return the rows of a table of closes, a line a minute and a column a symbol; NaN has no row."""
    made = []
    for n, line in enumerate(np.asarray(closes, float)):
        for symbol, close in enumerate(line):
            if close == close:
                row = empty(ROW)[0]
                row["ts"], row["symbol"] = (n + 1) * MINUTE if times is None else times[n], symbol
                row["close"] = close
                made.append(row)
    return np.array(made, ROW)


def fresh(symbols, **params):
    layer = Assessment(**params)
    return np.array([record(**Assessment.state(layer.params, symbols))]), layer.params.record()


def watched(rows, symbols, states=None, **params):
    """Return the state after these rows."""
    first, parameters = fresh(symbols, **params)
    states = first if states is None else states
    compile.call(machine("watch"), rows, states, parameters)
    return states


def matrix(states, symbols, least=2):
    found = np.full((symbols, symbols), NAN)
    compile.call(machine("between"), states, found, least)
    return found


def walks(symbols=3, size=300, seed=1):
    """Return closes of which the first two symbols move alike and the third against them."""
    draws = np.random.default_rng(seed)
    common, own = draws.normal(0, 0.001, (size, 1)), draws.normal(0, 0.0005, (size, symbols))
    sides = np.where(np.arange(symbols) % 3 == 2, -1, 1)
    return 100.0 * np.exp(np.cumsum(common * sides + own, axis=0))


def by_pandas(closes, halflife):
    moves = pd.DataFrame(np.diff(np.log(closes), axis=0))
    found = moves.ewm(halflife=halflife).corr().iloc[-len(moves.columns) :].to_numpy(copy=True)
    np.fill_diagonal(found, NAN)
    return found


# -- the numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("halflife", [1, 20, 200])
@pytest.mark.parametrize("symbols", [2, 3, 5])
def test_correlations_are_those_of_pandas(symbols, halflife):
    closes = walks(symbols)
    found = matrix(watched(table(closes), symbols, halflife=halflife), symbols)
    np.testing.assert_allclose(found, by_pandas(closes, halflife), atol=1e-9)
    if symbols == 3:
        assert found[0, 1] > 0.5
        assert found[0, 2] < -0.5
    np.testing.assert_array_equal(found, found.T)


def test_three_returns_by_hand():
    # moves of 1, -1, 1 and of 1, -1, 0 thousandths, whose weights are 1/4, 1/2 and 1
    moves = np.array([[1, 1], [-1, -1], [1, 0]]) / 1000
    closes = 100 * np.exp(np.vstack([[0, 0], np.cumsum(moves, axis=0)]))
    # means 3/7 and -1/7; covariance (3/4)/(7/4) + 3/49, variances 1 - 9/49 and 3/7 - 1/49
    due = (3 / 7 + 3 / 49) / math.sqrt((40 / 49) * (20 / 49))
    found = matrix(watched(table(closes), 2, halflife=1), 2)
    assert found[0, 1] == pytest.approx(due, rel=1e-9)


def test_what_moves_alike_comes_to_one():
    closes = walks(1, 80)
    for other, due in ((closes * 3, 1.0), (10_000 / closes, -1.0)):
        found = matrix(watched(table(np.hstack([closes, other])), 2), 2)
        assert found[0, 1] == pytest.approx(due, abs=1e-9)
        assert abs(found[0, 1]) <= 1.0


def test_a_correlation_is_known_from_fifty_common_returns_on():
    closes = walks(2, 60)
    for rows, is_known in ((50, False), (51, True), (52, True)):  # so many rows are one return fewer
        found = matrix(watched(table(closes[:rows]), 2), 2, least=50)
        assert math.isnan(found[0, 1]) != is_known


@pytest.mark.parametrize("symbol", [0, 1])
def test_a_price_that_never_moves_has_no_correlation(symbol):
    closes = walks(2, 60)
    closes[:, symbol] = 7.0
    assert np.isnan(matrix(watched(table(closes), 2), 2)).all()


def test_the_order_of_symbols_within_a_tick_changes_nothing():
    rows = table(walks(3, 80))
    turned = rows.reshape(80, 3)[:, ::-1].reshape(-1)
    assert watched(turned, 3).tobytes() == watched(rows, 3).tobytes()


# -- which returns are common -----------------------------------------------------------------------


def test_a_return_over_a_gap_is_not_compared_with_shorter_ones():
    closes = walks(2, 100)
    holed = closes.copy()
    holed[[10, 40, 41], 1] = NAN  # no rows: the returns into and out of a gap are not common
    states = watched(table(holed), 2)
    assert int(states["pairs"]["n"][0, 0]) == 99 - 2 - 3
    moves = np.diff(np.log(closes), axis=0)
    common = np.delete(moves, [9, 10, 39, 40, 41], axis=0)
    due = by_pandas(np.exp(np.vstack([[0, 0], np.cumsum(common, axis=0)])), 200)
    np.testing.assert_allclose(matrix(states, 2), due, atol=1e-9)


def test_returns_over_the_same_gap_are_common():
    closes = walks(2, 60)
    closes[20:30] = NAN
    assert int(watched(table(closes), 2)["pairs"]["n"][0, 0]) == 49


def test_symbols_that_never_share_both_ends_stay_unknown():
    rows = table(walks(2, 200))
    rows["ts"][rows["symbol"] == 1] += 1
    assert np.isnan(matrix(watched(rows, 2), 2)).all()


@pytest.mark.parametrize("close", [NAN, math.inf, -math.inf, 0.0, -0.0, -5.0])
def test_what_is_no_price_leaves_the_state_as_it_was(close):
    states = watched(table(walks(3, 70)), 3)
    before = states.tobytes()
    bad = table([[1.0, 1.0, 1.0]], times=[1000 * MINUTE])
    bad["close"] = close
    assert watched(bad, 3, states).tobytes() == before


def test_prices_without_measure_poison_nothing():
    closes = walks(3, 70)
    wild = closes.copy()
    wild[20:23] = [[1e-320, 1e308, 1.0], [1e308, 1e-320, 1.0], [1e-320, 1e308, 1e-300]]
    wild[30:33, 2] = [1e-320, 1e308, 1e-320]  # returns that are infinite beside others that are not
    found = matrix(watched(table(wild), 3), 3)
    assert (np.abs(found[~np.eye(3, dtype=bool)]) <= 1.0).all()


def test_a_late_row_changes_nothing_that_is_past():
    rows = table(walks(2, 70))
    states = watched(rows, 2)
    before = states.tobytes()
    late = rows[-3:].copy()
    late["flags"], late["close"] = LATE, 50.0
    assert watched(late, 2, states).tobytes() == before


def test_a_tick_completed_late_still_counts():
    rows = table(walks(2, 70))
    on_time = rows[rows["ts"] != 30 * MINUTE]
    missing = rows[(rows["ts"] == 30 * MINUTE) & (rows["symbol"] == 1)]
    known = rows[(rows["ts"] == 30 * MINUTE) & (rows["symbol"] == 0)]
    before, after = on_time[on_time["ts"] < 30 * MINUTE], on_time[on_time["ts"] > 30 * MINUTE]
    states = watched(np.concatenate([before, known, missing, after]), 2)
    assert states.tobytes() == watched(rows, 2).tobytes()
    # one that comes after the next tick has closed leaves its two returns out
    states = watched(np.concatenate([before, known, after[:2], missing, after[2:]]), 2)
    assert int(states["pairs"]["n"][0, 0]) == 69 - 2


# -- the state --------------------------------------------------------------------------------------


def test_a_state_that_was_saved_goes_on_as_if_nothing_had_been():
    rows = table(walks(5, 120))
    whole = watched(rows, 5)
    early = watched(rows[:301], 5)
    restored = np.frombuffer(bytearray(early.tobytes()), early.dtype)
    assert watched(rows[301:], 5, restored).tobytes() == whole.tobytes()


@pytest.mark.parametrize(("symbols", "room", "pairs"), [(1, 1, 1), (2, 2, 1), (3, 4, 6), (50, 64, 2016)])
def test_the_state_has_room_for_a_power_of_two(symbols, room, pairs):
    state = fresh(symbols)[0]
    assert (state["close"].shape, state["pairs"].shape) == ((1, room), (1, pairs))


def test_one_symbol_alone_is_compared_with_none():
    states = watched(table(walks(1, 60)), 1)
    assert int(states["pairs"]["n"].sum()) == 0


@given(arrays.arrays(float, (12, 3), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_whatever_the_prices_a_correlation_lies_within_one_or_is_unknown(closes):
    found = matrix(watched(table(closes), 3, halflife=5), 3)
    assert (np.isnan(found) | (np.abs(found) <= 1.0)).all()


# -- what counts with open positions ----------------------------------------------------------------

HELD = watched(table(walks(3)), 3)
KNOWN = matrix(HELD, 3)


def counted(symbol, side, held, states=None, symbols=3, **params):
    """Return what counts for an entry, with quantity and orders at work of other symbols."""
    positions = empty(POSITION, symbols)
    for other, (qty, working) in held.items():
        positions[other]["qty"], positions[other]["working"] = qty * UNIT, working
    _, parameters = fresh(symbols, **params)
    return compile.call(
        machine("alike"), positions, HELD if states is None else states, symbol, side, parameters
    )


ENTRY, EXIT, STOP = 1, 2, 4
"""Bits of the orders at work."""


@pytest.mark.parametrize(
    ("side", "held", "due"),
    [
        (1, {}, 0.0),
        (1, {0: (1, 0)}, 0.0),  # its own symbol is no other
        (1, {1: (1, 0)}, KNOWN[0, 1]),
        (1, {1: (-2, 0)}, -KNOWN[0, 1]),
        (-1, {1: (1, 0)}, -KNOWN[0, 1]),
        (-1, {1: (-1, 0)}, KNOWN[0, 1]),
        (1, {2: (1, 0)}, KNOWN[0, 2]),
        (1, {2: (-1, 0)}, -KNOWN[0, 2]),
        (1, {1: (1, 0), 2: (1, 0)}, KNOWN[0, 1]),
        (1, {1: (-1, 0), 2: (1, 0)}, max(-KNOWN[0, 1], KNOWN[0, 2])),
        (1, {1: (-1, 0), 2: (-1, 0)}, -KNOWN[0, 2]),
        (1, {1: (0, STOP)}, 0.0),
        (1, {1: (-1, EXIT)}, -KNOWN[0, 1]),  # still open
        # of an entry at work the worse side counts
        (1, {1: (0, ENTRY)}, KNOWN[0, 1]),
        (-1, {1: (0, ENTRY)}, KNOWN[0, 1]),
        (1, {2: (0, ENTRY)}, -KNOWN[0, 2]),
        (1, {1: (-1, ENTRY | EXIT)}, KNOWN[0, 1]),
    ],
)
def test_the_highest_correlation_counts_signed_by_the_sides(side, held, due):
    assert counted(0, side, held) == due


def test_long_and_long_on_what_moves_alike_is_one():
    closes = walks(1, 80)
    states = watched(table(np.hstack([closes, closes])), 2)
    assert counted(0, 1, {1: (1, 0)}, states, 2) == pytest.approx(1.0)
    assert counted(1, -1, {0: (1, 0)}, states, 2) == pytest.approx(-1.0)


def test_a_perfect_hedge_counts_as_minus_one():
    states = fresh(2)[0]
    for field in ("xx", "yy", "xy", "n"):
        states["pairs"][field] = 64
    assert counted(0, 1, {1: (1, 0)}, states, 2) == 1.0
    assert counted(0, 1, {1: (-1, 0)}, states, 2) == -1.0


def test_an_entry_beside_what_it_cannot_be_compared_with_is_unknown():
    states = watched(table(walks(3, 50)), 3)
    for held in ({1: (1, 0)}, {1: (0, ENTRY)}, {1: (1, 0), 2: (1, 0)}):
        assert math.isnan(counted(0, 1, held, states))
        assert counted(0, 1, held, states, assume_apart=True) == 0.0
    assert counted(0, 1, {}, states) == 0.0


def test_one_unknown_correlation_is_enough():
    closes = walks(3)
    closes[:, 2] = 5.0
    states = watched(table(closes), 3)
    assert math.isnan(counted(0, 1, {1: (-1, 0), 2: (1, 0)}, states))
    known = matrix(states, 3)[0, 1]
    assert counted(0, 1, {1: (1, 0), 2: (1, 0)}, states, assume_apart=True) == known
    assert counted(0, 1, {1: (-1, 0), 2: (1, 0)}, states, assume_apart=True) == 0.0


def test_how_many_returns_make_it_known_is_a_parameter():
    states = watched(table(walks(3, 31)), 3)
    assert math.isnan(counted(0, 1, {1: (1, 0)}, states, least_returns=31))
    assert counted(0, 1, {1: (1, 0)}, states, least_returns=30) > 0.5


# -- compiled and plain -----------------------------------------------------------------------------


def bits():
    """Return the bits of what is known of four symbols, some rows of which did not come."""
    closes = walks(4, 80)
    closes[np.random.default_rng(3).random(closes.shape) < 0.05] = NAN
    return watched(table(closes), 4)["pairs"].tobytes().hex()


def test_the_bits_are_the_same_compiled_and_as_plain_python():
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", "import test_correlation; print(test_correlation.bits())"]
    said = subprocess.run(command, env=other, capture_output=True, text=True, check=True).stdout
    assert said.strip() == bits()
