"""The toolkit against slow definitions written here, in compiled and in plain mode."""

import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexus_core import compile, steps
from nexus_core.errors import PluginError
from nexus_core.steps.tool import Tool, capacity

NAN, INF = math.nan, math.inf
EPS = np.finfo(float).eps
WINDOWS = (1, 5, 8)  # one of a single row, one below its ring's capacity, one that fills it

_ONE = """
def entry(states, xs, out):
    for i in range(xs.size):
        out[i] = push(states[0], xs[i])
"""
_BAR = """
def entry(states, high, low, close, out):
    for i in range(out.size):
        out[i] = push(states[0], high[i], low[i], close[i])
"""
_SESSION = """
def entry(states, session, price, volume, mean, deviation):
    for i in range(mean.size):
        mean[i], deviation[i] = push(states[0], session[i], price[i], volume[i])
"""
_EACH = """
def entry(xs, out):
    for i in range(xs.size):
        out[i] = f(xs[i])
"""

windows = st.sampled_from(WINDOWS)
# below a millionth nothing is asked of the figures: squares would run out of exponents
numbers = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-6 else 0.0) | st.sampled_from([NAN, 1.0, -3.0])
series = st.lists(numbers, max_size=40)


def pushed(tool, state, xs):
    out = np.zeros(len(xs))
    entry = compile.entry("one", _ONE, {"push": tool.push})
    compile.call(entry, np.array([state]), np.array(xs, float), out)
    return out


def each(function, xs):
    out = np.zeros(len(xs))
    compile.call(compile.entry("each", _EACH, {"f": function}), np.array(xs, float), out)
    return out


def bars(tool, state, rows):
    out = np.zeros(len(rows))
    columns = np.array(rows, float).reshape(-1, 3).T.copy()
    compile.call(compile.entry("bar", _BAR, {"push": tool.push}), np.array([state]), *columns, out)
    return out


def sessions(rows):
    mean, deviation = np.zeros(len(rows)), np.zeros(len(rows))
    session, price, volume = np.array(rows, float).reshape(-1, 3).T.copy()
    entry = compile.entry("session", _SESSION, {"push": steps.session_vwap.push})
    states = np.array([steps.session_vwap()])
    compile.call(entry, states, session.astype(np.int32), price, volume, mean, deviation)
    return mean, deviation


def newest(xs, t, window):
    return [x for x in xs[max(t + 1 - window, 0) : t + 1] if math.isfinite(x)]


def same(a, b):
    return np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True)


# -- values back, extremes, sums --------------------------------------------------------------------


@given(series, st.sampled_from([0, 1, 6, 7]))
def test_lag_answers_the_value_of_so_many_rows_ago(xs, rows):
    expected = [xs[t - rows] if t >= rows else NAN for t in range(len(xs))]
    assert same(pushed(steps.lag, steps.lag(rows), xs), expected)


@given(series, windows)
@example([NAN, NAN, 2.0, NAN, NAN, NAN, NAN, NAN, 1.0], 5)
@example([3.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, 9.0], 5)
def test_rolling_max_and_min_are_those_of_exactly_the_window(xs, window):
    slices = [newest(xs, t, window) for t in range(len(xs))]
    assert same(
        pushed(steps.rolling_max, steps.rolling_max(window), xs), [max(s, default=NAN) for s in slices]
    )
    assert same(
        pushed(steps.rolling_min, steps.rolling_min(window), xs), [min(s, default=NAN) for s in slices]
    )


def test_an_infinity_is_an_extreme_like_any_value():
    assert same(pushed(steps.rolling_max, steps.rolling_max(5), [1.0, INF, 2.0]), [1.0, INF, INF])
    assert same(pushed(steps.rolling_min, steps.rolling_min(5), [1.0, -INF, 2.0]), [1.0, -INF, -INF])


@given(series, windows, st.sampled_from([0.0, 1e9]))
def test_rolling_sum_is_the_sum_of_exactly_the_window(xs, window, offset):
    xs = [x + offset for x in xs]
    for t, value in enumerate(pushed(steps.rolling_sum, steps.rolling_sum(window), xs)):
        known = newest(xs, t, window)
        assert abs(value - math.fsum(known)) <= len(known) * EPS * math.fsum(map(abs, known))


# -- mean and deviation -----------------------------------------------------------------------------


def exact_moments(known):
    values = [Fraction(x) for x in known]
    mean = sum(values) / len(values)
    return mean, sum((x - mean) ** 2 for x in values) / len(values)


@given(series, windows, st.sampled_from([0.0, 1e9]))
def test_rolling_mean_and_std_are_those_of_exactly_the_window(xs, window, offset):
    xs = [x + offset for x in xs]
    means = pushed(steps.rolling_mean, steps.rolling_mean(window), xs)
    deviations = pushed(steps.rolling_std, steps.rolling_std(window), xs)
    for t in range(len(xs)):
        known = newest(xs, t, window)
        if not known:
            assert math.isnan(means[t])
            assert math.isnan(deviations[t])
            continue
        mean, variance = exact_moments(known)
        bound = 8 * len(known) * EPS * max(map(abs, known))
        assert abs(means[t] - float(mean)) <= bound
        assert abs(deviations[t] - math.sqrt(variance)) <= bound


@given(st.floats(-1e300, 1e300), windows)
def test_equal_values_have_exactly_their_mean_and_no_deviation(x, window):
    assert same(pushed(steps.rolling_mean, steps.rolling_mean(window), [x] * 20), [x] * 20)
    assert same(pushed(steps.rolling_std, steps.rolling_std(window), [x] * 20), [0.0] * 20)


def test_the_deviation_is_the_populations():
    assert same(pushed(steps.rolling_std, steps.rolling_std(8), [2, 4, 4, 4, 5, 5, 7, 9])[-1:], [2.0])


def test_nothing_drifts_and_nothing_stays_of_an_outlier():
    rng = np.random.default_rng(5)
    xs = rng.normal(size=20_000)
    xs[::1000] = 1e200  # would leave 1e184 behind in a running sum, and more in a sum of squares
    sums = pushed(steps.rolling_sum, steps.rolling_sum(8), xs)
    deviations = pushed(steps.rolling_std, steps.rolling_std(8), xs)
    for t in range(1008, 20_000, 1000):  # the outlier has just left
        known = newest(xs, t, 8)
        assert sums[t] == pytest.approx(math.fsum(known), abs=1e-14)
        assert deviations[t] == pytest.approx(np.std(known), rel=1e-13)


@pytest.mark.parametrize(
    "name", ["rolling_sum", "rolling_mean", "rolling_std", "ewm", "ewm_std", "half_life"]
)
def test_a_value_that_is_not_finite_counts_for_nothing(name):
    tool = getattr(steps, name)
    xs = [1.0, 2.0, 4.0, NAN, 3.0, 5.0, 1.0, NAN, 2.0, 6.0]
    infinite = [x if math.isfinite(x) else INF for x in xs]
    assert same(pushed(tool, tool(5), infinite), pushed(tool, tool(5), xs))


# -- exponential averages ---------------------------------------------------------------------------


@given(series)
def test_ewm_and_ewm_std_weigh_what_came_by_its_age(xs):
    weight = 2.0 / 11.0
    means, deviations = pushed(steps.ewm, steps.ewm(10), xs), pushed(steps.ewm_std, steps.ewm_std(10), xs)
    for t in range(len(xs)):
        known = newest(xs, t, t + 1)
        if not known:
            assert math.isnan(means[t])
            assert math.isnan(deviations[t])
            continue
        n = len(known)
        shares = [(1.0 - weight) ** (n - 1)] + [weight * (1.0 - weight) ** (n - 1 - i) for i in range(1, n)]
        mean = math.fsum(s * x for s, x in zip(shares, known, strict=True))
        variance = math.fsum(s * (x - mean) ** 2 for s, x in zip(shares, known, strict=True))
        bound = 1e-13 * max(map(abs, known))
        assert abs(means[t] - mean) <= bound
        assert abs(deviations[t] - math.sqrt(variance)) <= bound + 1e-6 * math.sqrt(variance)


# -- ranges -----------------------------------------------------------------------------------------

BARS = [(10.0, 8.0, 9.0), (11.0, 9.5, 10.0), (15.0, 14.0, 14.5), (14.0, 10.0, 11.0), (11.5, 11.0, 11.25)]


def test_true_range_counts_the_gap_from_the_close_before():
    # 10 - 8; 11 - 9 (the close before); 15 - 10; 14.5 - 10; 11.5 - 11
    assert same(bars(steps.true_range, steps.true_range(), BARS), [2.0, 2.0, 5.0, 4.5, 0.5])


def test_true_range_is_nan_without_high_or_low_and_keeps_the_last_known_close():
    rows = [(10, 8, 9), (NAN, 9, 9.5), (10, 9.6, NAN), (12, 11, 11.5)]
    # third: 10 - 9.5 is the greatest; fourth: from 9.5, for the close between is not known
    assert same(bars(steps.true_range, steps.true_range(), rows), [2.0, NAN, 0.5, 2.5])


def test_atr_is_the_mean_of_the_first_window_and_then_wilders_average():
    # (2 + 2 + 5) / 3 = 3; (2 * 3 + 4.5) / 3 = 3.5; (2 * 3.5 + 0.5) / 3 = 2.5
    assert bars(steps.atr, steps.atr(3), BARS) == pytest.approx([NAN, NAN, 3.0, 3.5, 2.5], nan_ok=True)


def test_an_infinite_price_leaves_no_trace_in_the_average():
    rows = [(10, 8, 9), (INF, 9, INF), (10, 9, 9.5), (12, 11, 11.5)]
    # true ranges 2, unknown, 1 and 2.5
    assert bars(steps.atr, steps.atr(2), rows) == pytest.approx([NAN, NAN, 1.5, 2.0], nan_ok=True)


@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=30), st.sampled_from([1, 3, 14]))
def test_atr_is_as_wilder_defines_it(rows, window):
    ranges, average, expected, close = [], NAN, [], NAN
    for high, low, last in rows:
        reach = [high - low] + ([] if math.isnan(close) else [abs(high - close), abs(low - close)])
        if not math.isnan(high - low):
            ranges.append(max(reach))
            n = len(ranges)
            average = (average * (window - 1) + ranges[-1]) / window if n > window else math.fsum(ranges) / n
        expected.append(average if len(ranges) >= window else NAN)
        close = close if math.isnan(last) else last
    scale = 1e-12 * max([1.0, *map(abs, ranges)])
    assert bars(steps.atr, steps.atr(window), rows) == pytest.approx(
        expected, abs=scale, rel=1e-12, nan_ok=True
    )


# -- sessions ---------------------------------------------------------------------------------------


def test_session_vwap_by_hand():
    mean, deviation = sessions([(7, 10, 1), (7, 11, 1), (7, 12, 2), (8, 20, 3)])
    # (10 + 11 + 2 * 12) / 4; (1 * 1.25² + 1 * 0.25² + 2 * 0.75²) / 4
    assert mean.tolist() == [10.0, 10.5, 11.25, 20.0]
    assert deviation == pytest.approx([0.0, 0.5, math.sqrt(2.75 / 4), 0.0])


def test_session_vwap_takes_no_row_of_unknown_price_or_volume():
    rows = [
        (0, NAN, 1),
        (0, 10, 1),
        (0, 99, 0),
        (0, 99, NAN),
        (0, 99, -1),
        (0, NAN, 5),
        (0, 99, INF),
        (1, 99, 0),
    ]
    mean, deviation = sessions(rows)
    assert same(mean, [NAN, *[10.0] * 6, NAN])
    assert same(deviation, [NAN, *[0.0] * 6, NAN])


@given(
    st.lists(
        st.tuples(st.integers(0, 2), numbers, st.floats(0.125, 1e6) | st.sampled_from([0.0, NAN])),
        max_size=30,
    ),
    st.sampled_from([0.0, 1e9]),
)
def test_session_vwap_is_the_average_since_the_session_began(rows, offset):
    rows = [(session, price + offset, volume) for session, price, volume in rows]
    mean, deviation = sessions(rows)
    known = []
    for t, (session, price, volume) in enumerate(rows):
        if t > 0 and session != rows[t - 1][0]:
            known = []
        if volume > 0.0 and math.isfinite(price):
            known.append((Fraction(price), Fraction(volume)))
        if not known:
            assert math.isnan(mean[t])
            assert math.isnan(deviation[t])
            continue
        total = sum(v for _, v in known)
        average = sum(p * v for p, v in known) / total
        variance = sum(v * (p - average) ** 2 for p, v in known) / total
        bound = 16 * len(known) * EPS * max(abs(float(p)) for p, _ in known)
        assert abs(mean[t] - float(average)) <= bound
        # a wrong last figure of the mean counts once for all volume that came before a small one
        assert deviation[t] == pytest.approx(math.sqrt(variance), rel=1e-6, abs=bound)


# -- reversion --------------------------------------------------------------------------------------


def exact_slope(xs, t, window):
    pairs = [(xs[i - 1], xs[i]) for i in range(max(t + 1 - window, 1), t + 1)]
    pairs = [(Fraction(x), Fraction(y)) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    if len(pairs) < 3:
        return None, 0
    mx, my = sum(x for x, _ in pairs) / len(pairs), sum(y for _, y in pairs) / len(pairs)
    squares = sum((x - mx) ** 2 for x, _ in pairs)
    return (sum((x - mx) * (y - my) for x, y in pairs) / squares if squares else None), len(pairs)


eighths = st.integers(-800, 800).map(lambda n: n / 8) | st.just(NAN)


@given(st.lists(eighths, max_size=30), st.sampled_from([3, 5, 8]), st.sampled_from([0.0, 1e6]), st.booleans())
def test_half_life_is_that_of_the_least_squares_fit_of_the_window(xs, window, offset, corrected):
    xs = [x + offset for x in xs]
    values = pushed(steps.half_life, steps.half_life(window, corrected), xs)
    for t, value in enumerate(values):
        slope, n = exact_slope(xs, t, window)
        if slope is None:
            assert math.isnan(value)
            continue
        slope = float(slope) + ((1.0 + 3.0 * float(slope)) / n if corrected else 0.0)
        implied = {0.0: min(slope, 0.0), INF: max(slope, 1.0)}.get(
            value, 0.5 ** (1.0 / value) if value else 0.0
        )
        assert implied == pytest.approx(slope, abs=1e-7)


def test_half_life_of_a_pure_decay_and_of_what_never_or_always_returns():
    rows = np.arange(60)
    assert pushed(steps.half_life, steps.half_life(32), 100 + 8 * 0.5 ** (rows / 10))[-1] == pytest.approx(
        10.0
    )
    assert pushed(steps.half_life, steps.half_life(32), 1.1**rows)[-1] == INF
    assert pushed(steps.half_life, steps.half_life(32), (-1.0) ** rows)[-1] == 0.0
    assert math.isnan(pushed(steps.half_life, steps.half_life(32), [5.0] * 60)[-1])


def test_half_life_of_a_random_walk_is_too_short_unless_corrected():
    rng, plain, corrected = np.random.default_rng(11), [], []
    for _ in range(30):
        walk = np.cumsum(rng.normal(size=200))
        plain.append(pushed(steps.half_life, steps.half_life(128), walk)[-1])
        corrected.append(pushed(steps.half_life, steps.half_life(128, corrected=True), walk)[-1])
    assert np.median(plain) < 40 < np.median(corrected)


# -- functions of one value -------------------------------------------------------------------------


def test_functions_at_their_limits():
    assert same(
        each(steps.exp, [0.0, -INF, 709.0, 709.79, 1e9, NAN]), [1.0, 0.0, math.exp(709.0), INF, INF, NAN]
    )
    assert same(each(steps.log, [1.0, 0.0, -0.0, -1.0, INF, NAN]), [0.0, -INF, -INF, NAN, INF, NAN])
    assert same(each(steps.sqrt, [4.0, 0.0, -1e-300, INF, NAN]), [2.0, 0.0, NAN, INF, NAN])
    assert same(each(steps.tanh, [0.0, INF, -INF, 1e-300, NAN]), [0.0, 1.0, -1.0, 1e-300, NAN])
    assert same(each(steps.squash, [0.0, -1.0, 1.0, 3.0, INF, NAN]), [0.0, 0.0, 0.5, 0.75, 1.0, 0.0])


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=20))
def test_functions_are_the_standard_librarys(xs):
    assert same(each(steps.exp, xs), [math.exp(x) for x in xs])
    assert same(each(steps.tanh, xs), [math.tanh(x) for x in xs])
    positive = [abs(x) + 1e-9 for x in xs]
    assert same(each(steps.log, positive), [math.log(x) for x in positive])
    assert same(each(steps.sqrt, positive), [math.sqrt(x) for x in positive])


def test_clip_holds_within_its_limits_and_keeps_nan():
    text = "def entry(xs, out):\n    for i in range(xs.size):\n        out[i] = clip(xs[i], -1, 2.0)\n"
    out = np.zeros(6)
    xs = np.array([-1.5, -1.0, 0.5, 2.0, np.nextafter(2.0, 3.0), NAN])
    compile.call(compile.entry("clip", text, {"clip": steps.clip}), xs, out)
    assert same(out, [-1.0, -1.0, 0.5, 2.0, 2.0, NAN])


# -- what holds for all of them ---------------------------------------------------------------------


def test_rings_have_a_power_of_two_so_that_few_sizes_compile():
    assert [capacity(n) for n in (0, 1, 2, 3, 4, 5, 8, 9, 1000)] == [1, 1, 2, 4, 4, 8, 8, 16, 1024]
    for name in ("rolling_max", "rolling_sum", "rolling_std", "half_life"):
        tool = getattr(steps, name)
        assert tool(5).dtype == tool(8).dtype != tool(9).dtype


@pytest.mark.parametrize(
    "name",
    ["lag", "rolling_max", "rolling_min", "rolling_sum", "rolling_mean", "rolling_std", "atr", "half_life"],
)
@pytest.mark.parametrize("rows", [-1, 2.0, True, None])
def test_a_number_of_rows_that_makes_no_sense_is_refused_by_name(name, rows):
    with pytest.raises(
        PluginError, match=f"steps.{name}: the number of rows was {rows!r}, must be a whole number"
    ):
        getattr(steps, name)(rows)


@pytest.mark.parametrize(("name", "least"), [("lag", 0), ("rolling_max", 1), ("atr", 1), ("half_life", 3)])
def test_the_least_number_of_rows_is_taken_and_one_less_refused(name, least):
    getattr(steps, name)(least)
    with pytest.raises(PluginError, match=f"at least {least}"):
        getattr(steps, name)(least - 1)


def test_public_names_are_sorted_and_explained():
    assert steps.__all__ == sorted(steps.__all__)
    for name in steps.__all__:
        value = getattr(steps, name)
        assert value.__doc__
        if isinstance(value, Tool):
            assert value.__name__ == name
            assert "NaN" in value.__doc__


_EVERYTHING = """
import hashlib
import numpy as np
from nexus_core import compile, steps

OTHERS = ("lag", "ewm", "ewm_std", "half_life", "rsi", "wilder", "wma")
NAMES = [n for n in steps.__all__ if n.startswith("rolling") or n in OTHERS]
LINES = [f"        out[i, {k}] = {n}.push(state.{n}, x)" for k, n in enumerate(NAMES)]
TEXT = f'''
def entry(states, xs, out):
    state = states[0]
    for i in range(xs.size):
        x = xs[i]
        high, low = x + 1.0, x - 1.0
''' + "\\n".join(LINES) + f'''
        out[i, {len(NAMES)}] = true_range.push(state.true_range, high, low, x)
        out[i, {len(NAMES) + 1}] = atr.push(state.atr, high, low, x)
        vwap, deviation = session_vwap.push(state.session_vwap, i // 50, x, high)
        out[i, {len(NAMES) + 2}] = vwap
        place = stochastic.push(state.stochastic, high, low, x)
        out[i, {len(NAMES) + 4}] = place + cci.push(state.cci, high, low, x)
        up, down, strength = adx.push(state.adx, high, low, x)
        line, signal = macd.push(state.macd, x)
        out[i, {len(NAMES) + 5}] = up + down * strength
        out[i, {len(NAMES) + 6}] = line * signal
        out[i, {len(NAMES) + 3}] = tanh(deviation) + squash(x) + exp(clip(x, -1.0, 1.0)) + log(sqrt(high))
'''
rng = np.random.default_rng(3)
xs = rng.normal(3.0, 2.0, 300)
xs[rng.random(300) < 0.05] = np.nan
xs[[100, 101, 180]] = np.inf, -np.inf, 1e200
xs[200:230] = 7.0
tools = {n: getattr(steps, n)(9) for n in NAMES}
rest = {"true_range": steps.true_range(), "atr": steps.atr(9), "session_vwap": steps.session_vwap()}
rest |= {n: getattr(steps, n)(9) for n in ("stochastic", "cci", "adx")} | {"macd": steps.macd(3, 9, 4)}
states = np.array([steps.record(**tools, **rest)])
out = np.zeros((300, len(NAMES) + 7))
bindings = {n: getattr(steps, n) for n in steps.__all__ if n not in ("Tool", "record")}
entry = compile.entry("everything", TEXT, bindings)
compile.call(entry, states, xs, out)
out[np.isnan(out)] = np.nan  # the sign of a NaN that arithmetic made is the processor's affair
print(compile.JIT, len(NAMES), out.tobytes().hex(), states.tobytes().hex())
"""


def test_every_tool_gives_the_same_bytes_compiled_and_as_plain_python():
    said = [
        subprocess.run(
            [sys.executable, "-c", _EVERYTHING],
            env={**os.environ, "NEXUS_JIT": jit},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for jit in "10"
    ]
    (compiled, count, *values), (plain, _, *others) = said
    assert (compiled, plain, int(count)) == ("True", "False", 15)
    assert values == others


# -- ranks and quantiles ----------------------------------------------------------------------------------


@given(series, windows)
def test_rolling_rank_is_the_average_rank_among_the_window(xs, window):
    for t, value in enumerate(pushed(steps.rolling_rank, steps.rolling_rank(window), xs)):
        known = newest(xs, t, window)
        below, equal = (sum(f(x, xs[t]) for x in known) for f in (float.__lt__, float.__eq__))
        expected = (below + (equal + 1) / 2) / len(known) if math.isfinite(xs[t]) else NAN
        assert same([value], [expected])


@given(series, windows, st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))
def test_rolling_quantile_is_that_of_exactly_the_window(xs, window, share):
    for t, value in enumerate(pushed(steps.rolling_quantile, steps.rolling_quantile(window, share), xs)):
        known = newest(xs, t, window)
        expected = np.quantile(known, share) if known else NAN
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("share", [-0.1, 1.1, NAN, True])
def test_a_share_outside_0_and_1_is_refused(share):
    with pytest.raises(PluginError, match=r"steps\.rolling_quantile: the share was .*, must be in"):
        steps.rolling_quantile(5, share)


# -- lines ------------------------------------------------------------------------------------------------


def line(xs, t, window):
    """Return the places and values of the known ones among the newest; the newest has the place `window`."""
    first = max(t + 1 - window, 0)
    return [(i - t + window, Fraction(xs[i])) for i in range(first, t + 1) if math.isfinite(xs[i])]


@given(series, st.sampled_from([2, 5, 8]), st.sampled_from([0.0, 1e9]))
def test_slope_and_weighted_mean_are_those_of_exactly_the_window(xs, window, offset):
    xs = [x + offset for x in xs]
    slopes = pushed(steps.rolling_slope, steps.rolling_slope(window), xs)
    means = pushed(steps.wma, steps.wma(window), xs)
    for t in range(len(xs)):
        known = line(xs, t, window)
        size = max((abs(x) for _, x in known), default=Fraction(0))
        if not known:
            assert math.isnan(means[t])
            continue
        mean = sum(k * x for k, x in known) / sum(k for k, _ in known)
        assert abs(Fraction(means[t]) - mean) <= size * Fraction(1e-14)
        if len(known) < 2:
            assert math.isnan(slopes[t])
            continue
        middle = Fraction(sum(k for k, _ in known), len(known))
        slope = sum((k - middle) * x for k, x in known) / sum((k - middle) ** 2 for k, _ in known)
        assert abs(Fraction(slopes[t]) - slope) <= size * Fraction(1e-14)


def test_a_line_is_found_after_many_rows():
    xs = 5.0 + 0.25 * np.arange(5000)
    assert same(pushed(steps.rolling_slope, steps.rolling_slope(20), xs)[-100:], [0.25] * 100)


# -- Wilder's averages and oscillators --------------------------------------------------------------------


def wilder(xs, window):
    found, mean = [], NAN
    for t in range(len(xs)):
        if t + 1 == window:
            mean = math.fsum(xs[:window]) / window
        elif t >= window:
            mean += (xs[t] - mean) / window
        found.append(mean)
    return found


finite = st.lists(numbers.filter(math.isfinite), max_size=30)


@given(finite)
def test_wilder_begins_with_a_mean(xs):
    found = pushed(steps.wilder, steps.wilder(5), xs)
    assert found == pytest.approx(wilder(xs, 5), rel=1e-9, abs=1e-6, nan_ok=True)


@given(finite)
def test_rsi_is_the_share_of_rises(xs):
    moves = np.diff(xs)
    ups, downs = wilder(np.maximum(moves, 0.0), 5), wilder(np.maximum(-moves, 0.0), 5)
    for t, value in enumerate(pushed(steps.rsi, steps.rsi(5), xs)[1:]):
        total = ups[t] + downs[t]
        expected = 50.0 if total == 0.0 else 100.0 * ups[t] / total
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", ["wilder", "rsi", "rolling_slope", "wma", "rolling_quantile"])
def test_a_value_that_is_not_finite_counts_for_nothing_there_either(name):
    tool = getattr(steps, name)
    xs = [1.0, 2.0, 4.0, NAN, 3.0, 5.0, 1.0, NAN, 2.0, 6.0]
    infinite = [x if math.isfinite(x) else INF for x in xs]
    assert same(pushed(tool, tool(5), infinite), pushed(tool, tool(5), xs))


_TWO = """
def entry(states, xs, line, signal):
    for i in range(xs.size):
        line[i], signal[i] = push(states[0], xs[i])
"""


def test_macd_is_the_difference_of_two_averages_and_skips_the_unknown():
    xs = np.array([1.0, 2.0, 4.0, NAN, 3.0])
    line, signal = np.zeros(5), np.zeros(5)
    entry = compile.entry("two", _TWO, {"push": steps.macd.push})
    compile.call(entry, np.array([steps.macd(1, 3, 1)]), xs, line, signal)
    # ewm(1) is the value itself, ewm(3) halves the way: 1, 1.5, 2.75, 2.875
    assert line.tolist() == signal.tolist() == [0.0, 0.5, 1.25, 1.25, 0.125]


SHOWN = [(3.0, 1.0, 2.0), (5.0, 2.0, 5.0), (4.0, 3.0, 3.0), (6.0, 6.0, 6.0), (6.0, 6.0, 6.0)]


def test_stochastic_by_hand():
    # in windows of 2: (2 - 1) / 2, (5 - 1) / 4, (3 - 2) / 3, (6 - 3) / 3, and a range of nothing
    found = bars(steps.stochastic, steps.stochastic(2), SHOWN)
    assert found == pytest.approx([50.0, 100.0, 100.0 / 3.0, 100.0, 50.0])
    holed = bars(steps.stochastic, steps.stochastic(2), [(3.0, 1.0, NAN), (NAN, NAN, 2.0), (5.0, 2.0, 5.0)])
    assert same(holed, [NAN, 50.0, 100.0])


def test_cci_by_hand():
    # prices 2, 4, 10/3, 6, 6: of two, either lies as far from the mean as the mean deviation is
    found = bars(steps.cci, steps.cci(2), SHOWN)
    assert found == pytest.approx([0.0, 1 / 0.015, -1 / 0.015, 1 / 0.015, 0.0])
    holed = bars(steps.cci, steps.cci(2), [SHOWN[0], (NAN, 1.0, 1.0), SHOWN[1]])
    assert same(holed[:2], [0.0, NAN])
    assert holed[2] == 0.0  # nothing else is known in the window


_THREE = """
def entry(states, high, low, close, out):
    for i in range(high.size):
        out[i, 0], out[i, 1], out[i, 2] = push(states[0], high[i], low[i], close[i])
"""


def test_adx_by_hand():
    rows = [(10.0, 8.0, 9.0), (12.0, 9.0, 11.0), (NAN, 9.0, 11.0), (13.0, 8.0, 9.0), (11.0, 6.0, 7.0)]
    out, columns = np.zeros((5, 3)), np.array(rows).T.copy()
    compile.call(
        compile.entry("three", _THREE, {"push": steps.adx.push}), np.array([steps.adx(2)]), *columns, out
    )
    # true ranges 3, 5, 5; +DM 2, 0, 0 (a rise of 1 and a fall of 1 is neither); -DM 0, 0, 2
    assert np.isnan(out[:3]).all()
    assert out[3, :2] == pytest.approx([100 * 1 / 4, 0.0])
    # averages by halves: range 4 to 4.5, +DM 1 to 0.5, -DM 0 to 1; strength is the mean of 100 and 100 / 3
    assert out[4] == pytest.approx([100 * 0.5 / 4.5, 100 * 1.0 / 4.5, (100 + 100 * 0.5 / 1.5) / 2])
