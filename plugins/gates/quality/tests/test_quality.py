"""The layer quality: each formula by hand or by an oracle, what is unknown, and what must not matter."""

import hashlib
import math
import os
import subprocess
import sys
from importlib.metadata import entry_points

import nexus_gate_quality as package
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_features import NAMES
from nexus_gate_quality import Quality, dimensions, regimes
from nexus_gate_quality.quality import GRADES, grade
from nexus_synthetic import Generator

from nexus_core import compile, testing
from nexus_core.errors import ConfigError
from nexus_core.records import CONTEXT, empty
from nexus_core.steps.tool import record

MINUTE = 60_000_000_000
DIMENSIONS = ("liquidity", "volatility", "momentum", "imbalance", "trend_strength", "noise")
LOOP = """
def entry(rows, contexts, states, parameters):
    for n in range(rows.size):
        watch(rows[n], contexts[n], states[0], parameters[0])
"""
MADE = np.dtype(
    [(name, "f8", (size,) if size > 1 else ()) for name, size in {**CONTEXT, **Quality.writes}.items()],
    align=True,
)
"""A context: the kernel's fields and the layer's."""


def fresh(layer, interval=MINUTE):
    return np.array([record(**layer.state(layer.params, interval))])


def watched(rows, state=None, **params):
    """Return the contexts after the layer has watched the rows."""
    layer = Quality(**params)
    contexts = empty(MADE, len(rows))
    for name in MADE.names:
        contexts[name] = np.nan
    entry = compile.entry("quality", LOOP, {"watch": Quality.watch})
    state = fresh(layer) if state is None else state
    compile.call(entry, rows, contexts, state, layer.params.record())
    return contexts


def market(size=700, seed=11):
    return Generator(seed, 1, MINUTE).take(size)[0]


def same(one, other):
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one.dtype.names)


# -- the curves, by hand ------------------------------------------------------------------------------

CURVES = """
def entry(values, states, slope, rows, found):
    for n in range(values.size):
        found[n] = place(states[0], values[n], slope, rows)
"""


def places(values, slope=2.0, rows=1000):
    found, states = np.empty(len(values)), np.array([dimensions.usual()])
    entry = compile.entry("places", CURVES, {"place": dimensions.place})
    compile.call(entry, np.array(values, np.float64), states, slope, rows, found)
    return found, states[0]


def test_a_place_is_half_at_the_usual_and_eight_tenths_at_twice():
    # each is held against what came before it: of 1 and 1, twice is 2² / (1 + 2²), three times 3² / (1 + 3²)
    assert places([1, 1, 2])[0][1:] == pytest.approx([0.5, 0.8])
    assert places([1, 1, 3])[0][2] == pytest.approx(0.9)
    assert places([5, 5, 2.5])[0][2] == pytest.approx(0.2)
    assert places([1, 1, 2], slope=1.0)[0][2] == pytest.approx(2 / 3)
    # of 1 and 4 the usual is the mean of the logarithms: 2
    assert places([1, 4, 2])[0][2] == pytest.approx(0.5)


def test_what_is_unknown_has_no_place_and_moves_nothing():
    found, state = places([math.nan, 0.0, 1.0, math.nan, -1.0, math.inf, 0.0, 1.0])
    assert np.isnan(found[[0, 1, 2, 3, 4, 5]]).all()
    assert found[6:] == pytest.approx([0.0, 0.5])
    assert (state["n"], state["mean"]) == (2, 0.0)


def test_the_usual_forgets_once_its_rows_are_full():
    # means of logarithms of base 2 over two rows: 0, 1/2, then 1/2 + (2 - 1/2) / 2 = 5/4
    _, state = places([1, 2, 4], rows=2)
    assert state["mean"] == pytest.approx(1.25 * math.log(2))


def test_a_share_is_one_half_at_its_half():
    assert [dimensions.share(x, 25.0) for x in (0.0, 25.0, 50.0)] == pytest.approx([0.0, 0.5, 0.8])
    assert math.isnan(dimensions.share(math.nan, 25.0))


# -- the dimensions, beside an oracle of whole columns ---------------------------------------------------


def smoothed(x, span):
    found = pd.Series(x).ewm(span=span, adjust=False, ignore_na=True).mean().to_numpy()
    return np.where(np.isnan(x), np.nan, found)


def learnt(x, rows):
    """Return plain means that become exponential, as they are after each value; NaN is passed over."""
    found, n, mean = [], 0, math.nan
    for each in x:
        if math.isfinite(each):
            n = min(n + 1, rows)
            mean = each if n == 1 else mean + (each - mean) / n
        found.append(mean)
    return np.array(found)


def placed(x, slope, rows=1000):
    with np.errstate(all="ignore"):
        level = np.log(np.where(x > 0, x, np.nan))
        usual = np.concatenate([[np.nan], learnt(level, rows)[:-1]])
        return 1 / (1 + (np.exp(usual) / np.where(np.isnan(x), np.nan, x)) ** slope)


def half(x, at):
    return x**2 / (x**2 + at**2)


def mean(*parts):
    known = np.isfinite(np.array(parts)).sum(axis=0)
    total = np.nansum(np.array(parts), axis=0)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def oracle(rows, features):
    """Return the six dimensions of rows that all have prices, from columns and their features."""
    of = {name: features[:, n] for n, name in enumerate(NAMES)}
    o, h, low, c = (rows[name] for name in ("open", "high", "low", "close"))
    bid, ask, shown = rows["bid"], rows["ask"], rows["bid_size"] + rows["ask_size"]
    reach = np.exp(learnt(np.log(np.where(h > low, (h - low) / c, np.nan)), 1000))
    spread = (ask - bid) / ((ask + bid) / 2)
    level = pd.Series(np.log(c))
    r = {n: level.diff(n).to_numpy() for n in (1, 5, 15, 60)}
    square = learnt(r[1] ** 2, 60)
    leans = {n: np.tanh(r[n] / (0.5 * np.sqrt(square * n))) for n in (5, 15, 60)}
    tilt = (rows["bid_size"] - rows["ask_size"]) / shown
    closes = pd.Series(2 * of["close_location"] - 1).rolling(20, min_periods=1).mean().to_numpy()
    sides = np.where(np.isnan(of["volume_imbalance"]), of["on_balance_volume"], of["volume_imbalance"])
    pulls = [np.tanh(math.sqrt(20) * x / 0.75) for x in (sides, closes, smoothed(tilt, 20))]
    slow = smoothed(c, 60)
    order = abs(np.tanh((c - of["sma"]) / of["atr"]) + np.tanh((of["sma"] - slow) / of["atr"])) / 2
    wicks = 1 - smoothed(abs(c - o), 20) / smoothed(h - low, 20)
    back = 1 - half(learnt(r[5] ** 2, 60) / (5 * square), 1.0)
    before = np.concatenate([[np.nan], np.sqrt(square)[:-1]])
    out, home = np.concatenate([[np.nan], r[1][:-1]]), r[1]
    is_spike = (out * home < 0) & (np.minimum(abs(out), abs(home)) > 3 * before)
    is_spike &= np.arange(len(c)) >= 21
    x = pd.Series(np.concatenate([[0.0], is_spike])).ewm(alpha=1 / 20, adjust=False).mean().to_numpy()[1:]
    cheap, tight = 1 - half(spread / reach, 0.5), 1 - placed(spread, 2.0)
    amounts = [placed(smoothed(shown, 15), 1.0), placed(smoothed(rows["volume"], 15), 1.0)]
    leap = pd.Series(abs(r[1])).rolling(20, min_periods=1).max().to_numpy()
    moves = [placed(each, 2.0) for each in (of["historical_volatility"], of["garch_volatility"], leap)]
    return {
        "liquidity": mean(mean(cheap, tight), mean(*amounts), 1 - placed(of["amihud_illiquidity"], 1.0)),
        "volatility": mean(*moves),
        "momentum": abs(mean(*leans.values())),
        "imbalance": abs(mean(*pulls)),
        "trend_strength": mean(half(of["trend_strength"], 25.0), half(of["efficiency_ratio"], 0.3), order),
        "noise": 1 - (1 - mean(wicks, back)) * (1 - x / (x + 0.1)),
    }


def holed(rows):
    """Return rows of which some lack a quote, sizes, volume or sides, and one spikes."""
    for name, at in (("bid", 40), ("ask_size", 60), ("volume", 80), ("buy_volume", 100)):
        rows[name][at :: at + 7] = np.nan
    rows["close"][300] *= 1.05
    rows["high"][300] = rows["close"][300]
    return rows


@pytest.mark.parametrize("lacking", [(), ("bid", "bid_size"), ("buy_volume",), ("volume", "bid_size")])
def test_the_dimensions_are_those_of_their_formulas(lacking):
    rows = holed(market())
    for name in lacking:
        rows[name] = np.nan
    made = watched(rows)
    expected = oracle(rows, made["features"])
    for name in DIMENSIONS:
        np.testing.assert_allclose(made[name][19:], expected[name][19:], rtol=1e-9, atol=1e-12, err_msg=name)
    score = sum(0.15 * expected[name] for name in ("liquidity", "momentum", "imbalance"))
    score += 0.15 * (1 - expected["volatility"]) + 0.2 * expected["trend_strength"]
    np.testing.assert_allclose(made["mqscore"][19:], (score + 0.2 * (1 - expected["noise"]))[19:], rtol=1e-9)
    for name in DIMENSIONS:
        assert np.isnan(made[name][:19]).all()
    for name in ("grade", "regime", "danger"):
        assert np.array_equal(np.isfinite(made[name]), np.isfinite(made["mqscore"]))
    assert np.isfinite(made["mqscore"][[19, 20, 699]]).all()


def test_the_weights_are_proportions():
    rows = market(100)
    made = watched(rows, **{f"weight_{name}": 0.0 for name in DIMENSIONS if name != "momentum"})
    np.testing.assert_allclose(made["mqscore"], made["momentum"], rtol=1e-12)
    made = watched(rows, **{f"weight_{name}": 0.0 for name in DIMENSIONS if name != "noise"})
    np.testing.assert_allclose(made["mqscore"], 1 - made["noise"], rtol=1e-12)
    made = watched(rows, **{f"weight_{name}": 0.0 for name in DIMENSIONS})
    assert np.isnan(made["mqscore"]).all()
    assert np.isnan(made["danger"]).all()


# -- grades -------------------------------------------------------------------------------------------


GRADE = """
def entry(scores, parameters, found):
    for n in range(scores.size):
        found[n] = grade(scores[n], parameters[0])
"""


def graded(scores, **params):
    found = np.empty(len(scores))
    entry = compile.entry("grade", GRADE, {"grade": grade})
    compile.call(entry, np.array(scores), Quality(**params).params.record(), found)
    return found.tolist()


def test_a_grade_just_under_at_and_just_over_its_cut():
    for place, cut in enumerate((0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.3)):
        assert graded([math.nextafter(cut, 0), cut, math.nextafter(cut, 1)]) == [place + 1, place, place]
    assert math.isnan(graded([math.nan])[0])
    assert [GRADES[int(n)] for n in graded([1.0, 0.65, 0.0])] == ["A+", "B", "F"]
    assert graded([0.35], grade_c=0.35) == [5]
    assert tuple(Quality.words["grade"]) == GRADES


# -- regimes ------------------------------------------------------------------------------------------

TYPICAL = {
    "liquidity": 0.5, "volatility": 0.5, "momentum": 0.2, "imbalance": 0.2, "trend_strength": 0.3,
    "noise": 0.5, "side": 0.2, "flow": 0.2, "turn": 0.0, "course": 0.0,
}  # fmt: skip
WEIGH = """
def entry(of, made):
    weigh(of[0], made[0])
"""
REPORT = """
def entry(made, states, parameters):
    for n in range(made.size):
        report(made[n], states[0], parameters[0])
"""


def probabilities(**facts):
    """Return the probabilities of the regimes where these are the dimensions and ways."""
    facts = TYPICAL | facts
    of = np.array([record(**{name: float(facts[name]) for name in ("side", "flow", "turn", "course")})])
    made = empty(MADE)
    for name in DIMENSIONS:
        made[name] = facts[name]
    compile.call(compile.entry("weigh", WEIGH, {"weigh": regimes.weigh}), of, made)
    return made["probabilities"][0].copy()


def likeliest(**facts):
    return regimes.WORDS[int(np.argmax(probabilities(**facts)))]


def test_each_regime_is_the_likeliest_where_it_belongs():
    assert likeliest() == "RANGING"
    assert likeliest(trend_strength=0.8, momentum=0.8, side=0.8) == "TRENDING_BULL"
    assert likeliest(trend_strength=0.8, momentum=0.8, side=-0.8) == "TRENDING_BEAR"
    assert likeliest(volatility=0.8, momentum=0.9, side=0.9, trend_strength=0.45) == "BREAKOUT"
    assert likeliest(turn=-0.95, course=0.95, momentum=0.6, side=0.1) == "REVERSAL"
    assert likeliest(imbalance=0.8, flow=0.8, side=0.0) == "ACCUMULATION"
    assert likeliest(imbalance=0.8, flow=-0.8, side=0.0) == "DISTRIBUTION"
    assert likeliest(volatility=0.85) == "HIGH_VOLATILITY"
    assert likeliest(volatility=0.1, momentum=0.7) == "LOW_VOLATILITY"
    assert likeliest(volatility=0.8, liquidity=0.25) == "HIGH_VOLATILITY_LOW_LIQUIDITY"
    assert likeliest(noise=0.75) == "HIGH_NOISE"
    assert likeliest(volatility=0.95, liquidity=0.2) == "CRISIS"


def test_probabilities_by_hand():
    # illiquid: (1 - .35 - .55) / .2 = .5. Crisis: .5 · (.89 - .85) / .1; thin: .8 · (1 · .5); noisy: .4 · .5
    found = probabilities(volatility=0.89, liquidity=0.35, noise=0.7, momentum=0.0, side=0.0)
    assert found[[11, 9, 10]] == pytest.approx([0.2, 0.4, 0.2])
    # what is left goes to ranging at its least of .05 and to high volatility of 1 · (1 - .5)
    assert found[[2, 7]] == pytest.approx([0.2 * 0.05 / 0.55, 0.2 * 0.5 / 0.55])
    # half a trend that rises by half: .5 · .5 beside .5 · (1 - .2) of ranging
    found = probabilities(trend_strength=0.55, side=0.45, momentum=0.4, flow=0.0)
    assert found[[0, 2]] == pytest.approx([0.25 / 0.65, 0.4 / 0.65])


unit, way = st.floats(0.0, 1.0), st.floats(-1.0, 1.0)


@settings(max_examples=200, deadline=None)
@given(
    facts=st.fixed_dictionaries(
        dict.fromkeys(DIMENSIONS, unit) | dict.fromkeys(("side", "flow", "turn", "course"), way)
    ),
    more=unit,
)
def test_probabilities_add_up_and_danger_grows_with_volatility(facts, more):
    found = probabilities(**facts)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0.0).all()
    volatility = max(facts["volatility"], more)
    worse = probabilities(**facts | {"volatility": volatility})
    assert worse[11] >= found[11]
    assert worse[9] + worse[11] >= found[9] + found[11] - 1e-12
    thinner = probabilities(**facts | {"liquidity": min(facts["liquidity"], more)})
    assert thinner[11] >= found[11]


def reported(chances, **params):
    """Return what is reported where regimes have these probabilities, a mapping for each row."""
    made, states = empty(MADE, len(chances)), np.array([regimes.state()])
    for n, each in enumerate(chances):
        for regime, chance in each.items():
            made["probabilities"][n, regime] = chance
    entry = compile.entry("report", REPORT, {"report": regimes.report})
    compile.call(entry, made, states, Quality(**params).params.record())
    return made


def test_a_regime_stays_until_another_leads_by_the_margin_for_some_rows():
    first, ahead = {2: 0.75, 0: 0.25}, {2: 0.25, 0: 0.75}
    made = reported([first, ahead, ahead, ahead, first])
    assert made["regime"].tolist() == [2, 2, 2, 0, 0]
    assert made["regime_confidence"].tolist() == [0.75, 0.25, 0.25, 0.75, 0.25]
    # begun anew where the lead is lost, or goes to a third
    assert reported([first, ahead, ahead, first, ahead, ahead])["regime"].tolist() == [2] * 6
    third = {2: 0.25, 1: 0.75}
    assert reported([first, ahead, ahead, third, ahead, ahead])["regime"].tolist() == [2] * 6
    assert reported([first, ahead], rows=1)["regime"].tolist() == [2, 0]


def test_a_lead_just_under_at_and_just_over_the_margin():
    for lead, regime in ((0.25, 2), (0.5, 2), (math.nextafter(0.5, 1), 0)):
        made = reported([{2: 1.0}, {2: 0.0, 0: lead}], rows=1, margin=0.5)
        assert made["regime"][1] == regime


def test_a_crisis_enters_at_once_and_leaves_like_any_other():
    calm, crisis = {2: 1.0}, {2: 0.48, 11: 0.52}
    made = reported([calm, crisis, calm, calm, calm])
    assert made["regime"].tolist() == [2, 11, 11, 11, 2]
    assert made["danger"].tolist() == [0, 3, 3, 3, 0]


def test_the_danger_of_each_regime():
    assert [int(regimes.danger(n)) for n in range(12)] == [0] * 9 + [2, 1, 3]
    assert [regimes.WORDS[n] for n in (9, 10, 11)] == [
        "HIGH_VOLATILITY_LOW_LIQUIDITY",
        "HIGH_NOISE",
        "CRISIS",
    ]
    assert tuple(Quality.words["regime"]) == regimes.WORDS
    assert Quality.writes["probabilities"] == len(set(regimes.WORDS)) == 12


# -- markets whose regime is plain ------------------------------------------------------------------------


def walk(size=900, seed=3, drift=0.0, deviation=1e-3):
    """Return bars of a random walk with wicks, a spread, sizes, and volume by side."""
    draws = np.random.default_rng(seed)
    steps = drift + deviation * draws.standard_normal(size)
    close = 100.0 * np.exp(np.cumsum(steps))
    made = testing.rows(close, bid_size=5.0, ask_size=5.0, volume=draws.uniform(0.8, 1.2, size))
    made["high"] *= 1 + np.abs(deviation / 2 * draws.standard_normal(size))
    made["low"] *= 1 - np.abs(deviation / 2 * draws.standard_normal(size))
    made["bid"], made["ask"] = close * (1 - 5e-5), close * (1 + 5e-5)
    return made


def told(rows):
    return [regimes.WORDS[int(n)] for n in watched(rows)["regime"][-30:]]


def test_a_steady_rise_is_a_bull_and_a_steady_fall_a_bear():
    assert set(told(walk(drift=1e-3))) == {"TRENDING_BULL"}
    assert set(told(walk(drift=-1e-3))) == {"TRENDING_BEAR"}


def test_five_times_the_moves_at_ten_times_the_spread_is_a_crisis():
    calm, wild = walk(), walk(deviation=5e-3)
    rows = calm.copy()
    turn = 860
    for name in ("open", "high", "low", "close"):
        rows[name][turn:] = wild[name][turn:] * (calm["close"][turn - 1] / wild["close"][turn - 1])
    rows["bid"][turn:], rows["ask"][turn:] = rows["close"][turn:] * 0.998, rows["close"][turn:] * 1.002
    rows["volume"][turn:] *= 0.1
    rows["bid_size"][turn:] *= 0.1
    rows["ask_size"][turn:] *= 0.1
    made = watched(rows)
    assert made["danger"][turn - 1] < 2
    assert (made["danger"][-15:] == 3).all()
    assert (made["liquidity"][-15:] < 0.3).all()
    assert (made["volatility"][-15:] > 0.9).all()


def test_a_market_that_goes_to_sleep_has_low_volatility():
    calm, still = walk(), walk(deviation=1e-4, seed=4)
    rows = calm.copy()
    for name in ("open", "high", "low", "close"):
        rows[name][800:] = still[name][800:] * (calm["close"][799] / still["close"][799])
    assert np.median(watched(rows)["volatility"][-30:]) < 0.15
    assert watched(rows)["probabilities"][-30:, regimes.QUIET].mean() > 0.2


# -- what is not known, and what is not possible ---------------------------------------------------------

BAD = (math.nan, math.inf, -math.inf, 0.0, -1.0)


@pytest.mark.parametrize("value", BAD)
def test_a_row_without_prices_is_as_if_it_had_never_been(value):
    rows = market(400)
    bad = np.zeros(400, bool)
    bad[[0, 5, 30, 31, 32, 200, 399]] = True
    holed = rows.copy()
    for name in ("open", "high", "low", "close"):
        holed[name][bad] = value
    made, plain = watched(holed), watched(rows[~bad])
    for name in ("mqscore", "grade", "regime", "danger", "probabilities", *DIMENSIONS):
        assert np.isnan(made[name][bad]).all()
        assert np.array_equal(made[name][~bad], plain[name], equal_nan=True), name
    assert np.isfinite(made["data_quality"]).all()


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    ("names", "unmoved"),
    [
        (("volume", "buy_volume", "sell_volume"), ("volatility", "momentum", "trend_strength", "noise")),
        (("bid", "ask"), ("volatility", "momentum", "imbalance", "trend_strength", "noise")),
        (("bid_size", "ask_size"), ("volatility", "momentum", "trend_strength", "noise")),
    ],
)
def test_one_bad_number_poisons_nothing(names, unmoved, value):
    rows = market(500)
    holed = rows.copy()
    for name in names:
        holed[name][150:153] = value
    made, plain = watched(holed), watched(rows)
    assert np.isfinite(made["mqscore"][19:]).all()
    for name in unmoved:
        assert np.array_equal(made[name], plain[name], equal_nan=True), name
    assert abs(made["mqscore"][-1] - plain["mqscore"][-1]) < 0.02


def test_a_dimension_of_which_nothing_is_known_leaves_no_score():
    rows = market(150)
    for name in ("volume", "bid", "ask", "bid_size", "ask_size", "buy_volume", "sell_volume"):
        rows[name] = np.nan
    made = watched(rows)
    for name in ("liquidity", "mqscore", "grade", "regime", "regime_confidence", "danger", "probabilities"):
        assert np.isnan(made[name]).all()
    assert np.isfinite(made["momentum"][19:]).all()


def test_a_market_that_never_moved_has_no_score():
    made = watched(testing.rows(np.full(100, 50.0)))
    assert np.isnan(made["mqscore"]).all()
    assert np.isnan(made["danger"]).all()
    assert made["momentum"][50] == 0.0


def test_no_volume_at_all_is_no_knowledge_of_volume():
    rows, other = market(200), market(200)
    for name in ("volume", "buy_volume", "sell_volume"):
        rows[name], other[name] = 0.0, np.nan
    made, unknown = watched(rows), watched(other)
    assert np.array_equal(made["liquidity"], unknown["liquidity"], equal_nan=True)
    assert np.isfinite(made["mqscore"][19:]).all()


number = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300]), st.floats(0.5, 2.0)
)


@settings(max_examples=60, deadline=None)
@given(
    wild=st.lists(
        st.tuples(
            st.integers(20, 119),
            st.sampled_from(["open", "high", "low", "close", "volume", "bid", "ask", "bid_size"]),
            number,
        ),
        max_size=25,
    )
)
def test_values_keep_to_their_ranges_whatever_comes(wild):
    rows = market(120)
    for at, name, value in wild:
        rows[name][at] = value
    made = watched(rows)
    for name in ("mqscore", "data_quality", "regime_confidence", "probabilities", *DIMENSIONS):
        known = made[name][np.isfinite(made[name])]
        assert not np.isinf(made[name]).any(), name
        assert ((known >= 0.0) & (known <= 1.0 + 1e-12)).all(), name
    is_known = np.isfinite(made["mqscore"])
    for name in ("grade", "regime", "danger"):
        assert np.array_equal(np.isfinite(made[name]), is_known), name
    assert np.array_equal(np.isfinite(made["probabilities"]).all(axis=1), is_known)


@settings(max_examples=30, deadline=None)
@given(at=st.integers(25, 119), more=st.floats(1.0, 50.0))
def test_a_wider_spread_or_less_volume_is_never_more_liquid(at, more):
    rows, wider, less = market(120), market(120), market(120)
    half = (rows["ask"][at] - rows["bid"][at]) / 2
    wider["bid"][at] -= (more - 1.0) * min(half, rows["bid"][at] / 200)
    wider["ask"][at] += (more - 1.0) * min(half, rows["bid"][at] / 200)
    less["volume"][at] /= more
    plain = watched(rows)["liquidity"][at]
    assert watched(wider)["liquidity"][at] <= plain + 1e-12
    assert watched(less)["liquidity"][at] <= plain + 1e-12


@settings(max_examples=30, deadline=None)
@given(at=st.integers(45, 119), size=st.floats(0.0, 0.2), more=st.floats(1.0, 3.0))
def test_a_larger_move_is_never_calmer(at, size, more):
    found = []
    for each in (size, size * more):
        rows = market(120)
        rows["close"][at] = rows["close"][at - 1] * math.exp(each + 0.02)
        rows["high"][at] = max(rows["high"][at], rows["close"][at])
        found.append(watched(rows[: at + 1])["volatility"][at])
    assert found[1] >= found[0] - 1e-12


# -- the quality of the data ---------------------------------------------------------------------------


def marks(rows):
    """Return the marks of the rows, from the averages over 100 rows."""
    q = np.concatenate([[1.0], watched(rows)["data_quality"]])
    return np.round(q[:-1] + 100 * np.diff(q), 6)


def test_each_fault_of_the_data_has_its_mark():
    rows = walk(60)
    expected = np.ones(60)
    rows["close"][10] = np.nan
    rows["bid"][12] = rows["ask"][12] * 1.01
    rows["volume"][14], rows["volume"][15], rows["volume"][16] = -1.0, np.inf, np.nan
    expected[[10, 12, 14, 15]] = 0.0
    rows["volume"][18] = 0.0
    rows["ts"][20:] += MINUTE
    expected[[18, 20]] = 0.5
    assert marks(rows).tolist() == expected.tolist()


def test_a_gap_is_more_than_one_and_a_half_intervals_within_a_session():
    for more, mark in ((MINUTE // 2, 1.0), (MINUTE // 2 + 1, 0.5)):
        rows = walk(10)
        rows["ts"][5:] += more
        assert marks(rows)[5] == mark
    rows["session_id"][5:] += 1
    assert marks(rows)[5] == 1.0


def test_a_close_is_stale_from_its_tenth_repetition_on():
    rows = walk(40)
    rows["close"][10:] = rows["close"][10]
    found = marks(rows)
    assert found[19] == 1.0
    assert (found[20:] == 0.5).all()


def test_a_spike_counts_where_it_comes_back():
    rows = walk(60)
    rows["close"][30] *= 1.05
    rows["high"][30] = rows["close"][30]
    rows["bid"][30], rows["ask"][30] = rows["close"][30], rows["close"][30]
    assert np.flatnonzero(marks(rows) != 1.0).tolist() == [31]
    assert watched(rows)["noise"][31] > watched(walk(60))["noise"][31] + 0.1


# -- what must not matter -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [4.0, 1e-5, 3e4])
@pytest.mark.parametrize(
    "names",
    ["open high low close bid ask", "volume buy_volume sell_volume", "bid_size ask_size"],
    ids=["price", "volume", "size"],
)
def test_a_factor_in_price_or_volume_does_not_matter(names, factor):
    rows = market(600)
    scaled = rows.copy()
    for name in names.split():
        scaled[name] = rows[name] * factor
    made, plain = watched(scaled), watched(rows)
    for name in ("mqscore", "data_quality", "probabilities", "regime", "grade", *DIMENSIONS):
        np.testing.assert_allclose(made[name], plain[name], rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_and_a_restored_state_give_the_same_bits(size):
    rows, layer = holed(market(330)), Quality()
    whole, state = watched(rows), fresh(layer)
    parts = []
    for at in range(0, len(rows), size):
        parts.append(watched(rows[at : at + size], state))
        state = np.frombuffer(bytearray(state.tobytes()), state.dtype)
    assert same(np.concatenate(parts), whole)


def test_no_value_depends_on_a_later_row():
    rows = market(300)
    assert same(watched(rows[:200]), watched(rows)[:200])


PLAIN = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_quality import digest
print(digest())
"""


def digest():
    """Return the hash of what is said of some rows."""
    made = watched(holed(market(330))[:330])
    return hashlib.sha256(b"".join(made[name].tobytes() for name in MADE.names)).hexdigest()


@pytest.mark.jit
def test_compiled_and_plain_code_give_the_same_bits():
    code = PLAIN.format(folder=os.path.dirname(__file__))
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"NEXUS_JIT": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == digest()


# -- what is declared ------------------------------------------------------------------------------------


def test_it_writes_what_it_declares_and_nothing_else():
    made = watched(market(150))
    for name in MADE.names:
        assert np.isnan(made[name][-1]).all() == (name in CONTEXT), name
    assert (Quality.layer, list(Quality.reads), Quality.step) == (1, [], None)
    assert Quality.writes["features"] == 65


GATES = {"composite": package.Composite, "liquidity": package.Liquidity, "regime": package.Regime}


def test_entry_points_name_the_layer_and_the_gates():
    for group, names in (("nexus.layers", {"quality": Quality}), ("nexus.gates", GATES)):
        found = {each.name: each for each in entry_points(group=group)}
        for name, kind in names.items():
            assert found[name].load() is kind


@pytest.mark.parametrize("name", Quality.parameters())
def test_a_parameter_has_bounds_and_a_meaning(name):
    declared = Quality.parameters()[name]
    assert declared.help
    for value in (declared.low, declared.high):
        assert getattr(Quality(**{name: value}).params, name) == value
    step = 1 if isinstance(declared.default, int) else 1e-9
    for value in (declared.low - step, declared.high + step, math.nan):
        with pytest.raises(ConfigError, match=name):
            Quality(**{name: value})


# -- the gates ------------------------------------------------------------------------------------------

PASSES = {"below": lambda value, limit: value >= limit, "from": lambda value, limit: value < limit}


@pytest.mark.parametrize(
    ("kind", "reads", "limit", "strict", "passed"),
    [
        (package.Composite, "mqscore", 0.45, 0.50, (False, True, True)),
        (package.Liquidity, "liquidity", 0.30, 0.30, (False, True, True)),
        (package.Regime, "danger", 2, 1, (True, False, False)),
    ],
)
def test_a_gate_just_under_at_and_just_over_its_limit(kind, reads, limit, strict, passed):
    gate = kind()
    assert (gate.layer, gate.passes, gate.reads, gate.params.limit) == (1, "market", reads, limit)
    assert Quality.writes[gate.reads] == 1
    for each in (limit, strict):
        chosen = kind(limit=each).params.limit
        values = (math.nextafter(chosen, -9), float(chosen), math.nextafter(chosen, 9))
        assert tuple(PASSES[gate.refuses](value, chosen) for value in values) == passed
        assert not PASSES[gate.refuses](math.nan, chosen)


def test_which_regimes_are_refused():
    for limit, refused in (
        (1, {"HIGH_NOISE", "HIGH_VOLATILITY_LOW_LIQUIDITY", "CRISIS"}),
        (2, {"HIGH_VOLATILITY_LOW_LIQUIDITY", "CRISIS"}),
        (3, {"CRISIS"}),
        (4, set()),
    ):
        found = {word for n, word in enumerate(regimes.WORDS) if not regimes.danger(n) < limit}
        assert found == refused


def decided(rows, layers, **limits):
    """Return what decided each row, where each had a signal to buy; one position follows another."""
    gates = {
        name: kind(**({"limit": limits[name]} if name in limits else {})) for name, kind in GATES.items()
    }
    trial = testing.Trial(gates, layers=layers, sizing="fixed-notional", notional=10.0)
    trial.run(rows, 1)
    names = {-1: "approved"} | {place.number: place.name for place in trial.chain.places}
    return [names[int(each)] for each in trial.decisions["reason"]]


def test_in_a_chain_the_gates_refuse_what_the_layer_says():
    rows = market(300)
    found, made = decided(rows, {"quality": Quality()}), watched(rows)
    first = np.full(300, "", object)
    first[made["danger"] >= 2] = "regime"
    first[made["liquidity"] < 0.3] = "liquidity"
    first[~(made["mqscore"] >= 0.45)] = "composite"
    assert [each if each in GATES else "" for each in found] == first.tolist()
    assert found[:19] == ["composite"] * 19
    assert set(found) - set(GATES)


def test_without_the_layer_every_gate_refuses():
    assert set(decided(market(40), {})) == {"composite"}
