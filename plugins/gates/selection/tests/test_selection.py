"""Layer 3: hand-worked anomalies and weights, every limit at its edge, and what is unknown."""

import hashlib
import math
import os
import subprocess
import sys
from importlib.metadata import entry_points
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_gate_selection import Anomaly, Selection, affinity, inputs

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.gates import PASSES
from nexus_core.records import ABSENT, VOICE, empty
from nexus_core.steps import record
from nexus_core.testing import Trial, rows, scenarios
from nexus_core.types import StrategyCategory

NAN, INF = math.nan, math.inf
MINUTE = 60_000_000_000
unhurried = settings(deadline=None, max_examples=100 if compile.JIT else 10)  # the first one compiles
GROUPS = ("nexus.layers", "nexus.gates")
OWN = ("direction", "lean", "hold", "confidence", "chance", "scale")
"""The kernel's own fields of the context."""

WATCH = """
def entry(rows, contexts, states, params):
    for n in range(rows.size):
        watch(rows[n], contexts[n], states[0], params[0])
"""

STEP = """
def entry(rows, contexts, voices, params):
    for n in range(rows.size):
        step(rows[n], contexts[n], voices[n], params[0])
"""


def contexts(size, regimes=affinity.REGIMES):
    """Return contexts in which nothing is known, of a run whose layer 1 tells so many regimes, or none."""
    read = dict.fromkeys(Selection.reads, 1) | {"probabilities": regimes}
    fields = dict.fromkeys(OWN, 1) | read | Selection.writes
    made = np.zeros(size, [(name, "f8", (n,) if n > 1 else ()) for name, n in fields.items()])
    for name in fields:
        made[name] = NAN
    made["scale"] = 1.0
    return made


def first(layer):
    return np.array([record(**layer.state(layer.params, MINUTE))])


def watched(bars, state=None, **params):
    """Return the contexts of rows that the layer has watched."""
    layer = Selection(**params)
    made, states = contexts(len(bars)), first(layer) if state is None else state
    entry = compile.entry("watch", WATCH, {"watch": Selection.watch})
    compile.call(entry, bars, made, states, layer.params.record())
    return made


def anomalies(bars, **params):
    return watched(bars, **params)["anomaly"]


def shown(bars, name, **params):
    return watched(bars, **params)["selection_inputs"][:, inputs.INPUTS.index(name)]


def voices(*said):
    """Return voices that all buy, each with these fields."""
    made = empty(VOICE, len(said))
    for voice, fields in zip(made, said, strict=True):
        for name, value in ({"signal": 1, "confidence": 0.7, "weight": 1.0, "right": NAN} | fields).items():
            voice[name] = value
    return made


def weighed(said, context=None, regimes=affinity.REGIMES, **params):
    """Return the weights of voices in a context, and the context."""
    layer, made, spoken = Selection(**params), contexts(1, regimes), voices(*said)[None]
    for name, value in ({"anomaly": 0.1} | (context or {})).items():
        made[name] = value
    entry = compile.entry("step", STEP, {"step": Selection.step})
    compile.call(entry, rows([1.0]), made, spoken, layer.params.record())
    return spoken[0]["weight"].tolist(), made[0]


def certain(*regimes):
    """Return probabilities that are shared among these regimes."""
    made = np.zeros(affinity.REGIMES)
    made[list(regimes)] = 1.0 / len(regimes)
    return {"probabilities": made}


# -- which strategies the market favours ------------------------------------------------------------

TRENDING, RANGING, VOLATILE = certain(0), certain(2), certain(7)

WEIGHTS = [
    # category, trending, ranging, volatile
    ("momentum", 0.9, 0.2, 0.3),
    ("breakout", 0.85, 0.15, 0.3),
    ("trend_following", 0.8, 0.2, 0.3),
    ("swing_trading", 0.75, 0.2, 0.3),
    ("position_trading", 0.75, 0.15, 0.3),
    ("mean_reversion", 0.2, 0.9, 0.3),
    ("statistical_arbitrage", 0.15, 0.8, 0.3),
    ("market_making", 0.1, 0.8, 0.3),
    ("volume_profile", 0.5, 0.85, 0.3),
    ("event_driven", 0.5, 0.5, 0.3),
    ("arbitrage", 0.5, 0.5, 0.6),
    ("order_flow", 0.5, 0.5, 0.6),
    ("liquidity_analysis", 0.5, 0.5, 0.6),
    ("scalping", 0.5, 0.5, 0.6),
]


@pytest.mark.parametrize(("category", "trending", "ranging", "volatile"), WEIGHTS)
def test_a_category_counts_by_the_state_of_the_market(category, trending, ranging, volatile):
    place = list(StrategyCategory).index(StrategyCategory(category))
    for context, weight in ((TRENDING, trending), (RANGING, ranging), (VOLATILE, volatile)):
        assert weighed([{"category": place}], context)[0] == [weight]


def test_the_table_has_every_category_in_the_order_of_the_kernel():
    assert list(affinity.CATEGORIES) == [each.value for each in StrategyCategory]
    assert {each[0] for each in WEIGHTS} == set(affinity.CATEGORIES)
    assert affinity.AFFINITY.shape == (len(affinity.CATEGORIES) + 1, len(affinity.STATES))


@pytest.mark.parametrize("category", [-1, 14, 10**9])
def test_a_category_nobody_knows_counts_half(category):
    for context, weight in ((TRENDING, 0.5), (RANGING, 0.5), (VOLATILE, 0.3)):
        assert weighed([{"category": category}], context)[0] == [weight]


def test_every_regime_is_in_one_group():
    assert sorted(affinity.TREND + affinity.RANGE + affinity.VOLATILE) == list(range(affinity.REGIMES))


@pytest.mark.parametrize(
    ("shares", "groups", "state"),
    [
        ({0: 0.5, 1: 0.2, 3: 0.15, 2: 0.1, 7: 0.05}, (0.85, 0.1, 0.05), 0),
        ({0: 0.3, 2: 0.2, 4: 0.1, 5: 0.1, 6: 0.1, 8: 0.1, 11: 0.1}, (0.3, 0.6, 0.1), 1),
        ({3: 0.3, 8: 0.2, 7: 0.2, 9: 0.1, 10: 0.1, 11: 0.1}, (0.3, 0.2, 0.5), 2),
        ({0: 0.5, 2: 0.5}, (0.5, 0.5, 0.0), 1),  # of equal ones the more careful
        ({0: 0.5, 11: 0.5}, (0.5, 0.0, 0.5), 2),
        ({2: 0.5, 11: 0.5}, (0.0, 0.5, 0.5), 2),
    ],
)
def test_the_state_is_the_group_of_regimes_with_the_largest_share(shares, groups, state):
    given = np.zeros(affinity.REGIMES)
    for regime, share in shares.items():
        given[regime] = share
    _, context = weighed([{}], {"probabilities": given})
    assert [context[name] for name in ("p_trend", "p_range", "p_volatile")] == pytest.approx(groups)
    assert context["market_state"] == state


@pytest.mark.parametrize("regimes", [1, affinity.REGIMES])
def test_without_regimes_every_strategy_counts_alike(regimes):
    said = [{"category": k} for k in range(-1, 15)]
    weights, context = weighed(said, regimes=regimes)
    assert weights == [1.0] * len(said)
    assert all(math.isnan(context[name]) for name in ("p_trend", "p_range", "p_volatile", "market_state"))


def test_one_unknown_probability_leaves_the_state_unknown():
    given = certain(0)["probabilities"]
    given[11] = NAN
    weights, context = weighed([{"category": 1}], {"probabilities": given})
    assert (weights, math.isnan(context["market_state"])) == ([1.0], True)


@pytest.mark.parametrize(
    ("volatility", "share"),
    [(NAN, 1.0), (0.0, 1.0), (0.8, 1.0), (math.nextafter(0.8, 1), 0.7), (1.0, 0.7)],
)
def test_high_volatility_tames_every_weight(volatility, share):
    said = [{"category": 2}, {"category": 1}]
    weights, _ = weighed(said, TRENDING | {"volatility": volatility})
    assert weights == [share * 0.9, share * 0.2]


@pytest.mark.parametrize(
    ("rights", "wrongs", "right", "factor"),
    [
        (0, 0, 0.5, 1.0),
        (50, 50, 0.5, 1.0),
        (100, 0, 0.75, 1.0),  # being right adds nothing
        (0, 100, 0.25, 0.5),
        (0, 900, 0.05, 0.1),
        (400, 500, 0.45, 0.9),
    ],
)
def test_a_record_of_being_wrong_takes_from_a_weight(rights, wrongs, right, factor):
    said = [{"category": 2, "rights": rights, "wrongs": wrongs}]
    weights, context = weighed(said, TRENDING)
    assert weights == pytest.approx([0.9 * factor], abs=1e-15)
    assert context["selection_inputs"][inputs.RECORDS] == pytest.approx(right, abs=1e-15)
    assert weighed(said, TRENDING, use_record=False)[0] == [0.9]


def test_fewer_pseudo_signals_believe_a_record_sooner():
    said = [{"rights": 0, "wrongs": 100}]
    assert weighed(said)[0] == [0.5]
    assert weighed(said, pseudo_signals=300)[0] == [0.75]


@pytest.mark.parametrize("signal", [0, ABSENT])
def test_a_strategy_without_a_signal_is_left_as_it_is(signal):
    left = {"signal": signal, "weight": 0.123, "wrongs": 900, "category": 2}
    weights, context = weighed([left, {"category": 2}], TRENDING)
    assert weights == [0.123, 0.9]
    assert context["selection_inputs"][inputs.RECORDS : inputs.RECORDS + 2].tolist() == [0.5, 0.5]


@unhurried
@given(
    st.lists(st.floats(0, 1) | st.just(NAN), min_size=12, max_size=12),
    st.floats(0, 1) | st.just(NAN),
    st.lists(
        st.fixed_dictionaries(
            {
                "category": st.integers(-1, 14),
                "rights": st.integers(0, 10**9),
                "wrongs": st.integers(0, 10**9),
                "signal": st.sampled_from([-2, -1, 1, 2]),
            }
        ),
        min_size=1,
        max_size=25,
    ),
)
def test_a_weight_is_a_share(shares, volatility, said):
    weights, _ = weighed(said, {"probabilities": shares, "volatility": volatility})
    assert all(0.0 <= each <= 1.0 for each in weights)


@unhurried
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([TRENDING, RANGING, VOLATILE]))
def test_one_more_wrong_signal_never_adds_to_a_weight(rights, wrongs, context):
    said = [{"rights": rights, "wrongs": wrongs}, {"rights": rights, "wrongs": wrongs + 1}]
    weights, _ = weighed(said, context)
    assert weights[1] <= weights[0]


# -- how unusual a row is ---------------------------------------------------------------------------

STEP_UP = math.exp(0.01)
"""A return of 0.01, in logarithms."""


def swinging(count, moves=()):
    """Return closes whose logarithm goes up and down by 0.01 in turn, and then by each of the moves."""
    logs = np.cumsum([0.0] + [0.01 * (-1) ** k for k in range(count)] + list(moves))
    return 100.0 * np.exp(logs)


def bars(closes, span=0.02, volume=10.0, spread=0.001, **fields):
    """Return rows of these closes that are alike in all else; each is given for all rows or for each."""
    closes = np.asarray(closes, float)
    half, edge = 0.5 * np.asarray(spread) * closes, 0.5 * np.asarray(span) * closes
    made = rows(closes, high=closes + edge, low=closes - edge, volume=np.full(closes.size, volume))
    made["bid"], made["ask"] = closes - half, closes + half
    for name, value in fields.items():
        made[name] = value
    return made


def column(each, last, count=42):
    """Return `count` values, the last of which is another."""
    return np.array([each] * (count - 1) + [last], float)


NORMAL = 1.482602218505602
FAR = 6.0 * NORMAL * 0.01
"""Of returns of 0.01 both ways the median is 0 and the median deviation 0.01; six deviations are far."""


@pytest.mark.parametrize(
    ("move", "anomaly"),
    [
        (0.0, 0.0),
        (FAR / 12, 1 / 37),  # (2 / 12)² = 1/36, and x / (1 + x) of it
        (FAR / 2, 0.5),
        (-FAR / 2, 0.5),  # a return counts both ways
        (FAR, 0.8),
        (-FAR, 0.8),
        (2 * FAR, 16 / 17),
    ],
)
def test_six_deviations_are_an_anomaly_of_eight_tenths(move, anomaly):
    assert anomalies(bars(swinging(40, [move])))[-1] == pytest.approx(anomaly, abs=1e-9)


@pytest.mark.parametrize(("times", "passes"), [(1 - 1e-9, True), (1 + 1e-9, False)])
def test_the_gate_just_under_and_just_over_six_deviations(times, passes):
    gate, anomaly = Anomaly(), anomalies(bars(swinging(40, [times * FAR])))[-1]
    assert PASSES[gate.refuses](anomaly, gate.params.limit) == passes


LOG = 0.35
"""The least deviation of a logarithm: values that were all alike have none of their own."""


@pytest.mark.parametrize("what", ["span", "volume", "spread"])
@pytest.mark.parametrize(
    ("deviations", "anomaly"), [(-6.0, 0.0), (0.0, 0.0), (3.0, 0.5), (6.0, 0.8), (12.0, 16 / 17)]
)
def test_range_volume_and_spread_count_only_upwards(what, deviations, anomaly):
    usual = {"span": 0.001, "volume": 10.0, "spread": 0.001}[what]
    values = column(usual, usual * math.exp(deviations * LOG))
    made = anomalies(bars(swinging(40, [0.0]), **{what: values}))
    assert made[-1] == pytest.approx(anomaly, abs=1e-6)


def test_the_farthest_of_the_four_decides():
    made = bars(swinging(40, [FAR / 2]), volume=column(10.0, 10.0 * math.exp(6 * LOG)))
    assert anomalies(made)[-1] == pytest.approx(0.8, abs=1e-9)


@pytest.mark.parametrize(
    ("by", "move", "far"),
    [(0, 7.0, {}), (1, 5.0, {"span": 6.0}), (2, 5.0, {"volume": 6.0}), (3, 5.0, {"spread": 6.0})],
)
def test_what_was_farthest_has_a_name(by, move, far):
    usual = {"span": 0.001, "volume": 10.0, "spread": 0.001}
    given = {name: column(usual[name], usual[name] * math.exp(each * LOG)) for name, each in far.items()}
    made = watched(bars(swinging(40, [FAR * move / 6]), **given))
    assert made["anomaly_by"][-1] == by
    assert Selection.words["anomaly_by"][by] == ["return", "range", "volume", "spread"][by]
    assert np.isnan(made["anomaly_by"]).tolist() == np.isnan(made["anomaly"]).tolist()


def test_far_is_a_setting():
    closes = swinging(40, [FAR])
    assert anomalies(bars(closes), far=12.0)[-1] == pytest.approx(0.5, abs=1e-9)
    assert anomalies(bars(closes), far=3.0)[-1] == pytest.approx(16 / 17, abs=1e-9)


def test_nothing_is_known_before_twenty_returns():
    made = anomalies(bars(swinging(30)))
    assert np.isnan(made[:21]).all()  # the first row has no return, and 20 come before a row that is judged
    assert not np.isnan(made[21:]).any()
    assert np.isnan(anomalies(bars(swinging(30)), least=5)).tolist() == [True] * 6 + [False] * 25


def test_a_price_that_stands_still_and_then_moves():
    still = bars([100.0] * 40 + [100.0, 100.1])
    assert anomalies(still)[-2:].tolist() == [0.0, 1.0]  # nothing like it has been seen
    # one return in ten that is not 0 has no median deviation; the standard one stands in for it
    closes = 100.0 * np.exp(0.001 * (np.arange(400) // 10 % 2))
    assert anomalies(bars(closes))[200:].max() < 0.8


BROKEN = [
    {"close": NAN},
    {"close": INF},
    {"close": 0.0},
    {"close": -1.0},
    {"high": NAN},
    {"high": INF},
    {"low": NAN},
    {"low": 0.0},
    {"low": 200.0},
    {"ask": 50.0},  # below the bid
    {"close": NAN, "ask": 50.0},
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_broken_row_is_unknown_and_refused(broken):
    made = bars(swinging(60))
    for name, value in broken.items():
        made[name][50] = value
    got = anomalies(made)
    assert math.isnan(got[50])
    assert not PASSES[Anomaly.refuses](got[50], Anomaly(limit=1.0).params.limit)
    assert not np.isnan(got[51:]).any()


UNTOLD = [{"volume": NAN}, {"volume": INF}, {"volume": 0.0}, {"volume": -1.0}, {"bid": NAN, "ask": NAN}]
UNTOLD += [{"bid": 0.0}, {"ask": INF}, {"bid": 100.0, "ask": 100.0}]


@pytest.mark.parametrize("untold", UNTOLD, ids=str)
def test_a_volume_or_a_spread_that_is_unknown_says_nothing(untold):
    whole, made = bars(swinging(60, [FAR])), bars(swinging(60, [FAR]))
    for name, value in untold.items():
        made[name] = value
    assert anomalies(made) == pytest.approx(anomalies(whole), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("hole", [1, 30, 300])
def test_a_hole_poisons_nothing(hole):
    made = bars(np.concatenate([swinging(60), np.full(hole, 100.0), swinging(300)]))
    for name in ("open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size"):
        made[name][61 : 61 + hole : 2] = NAN
        made[name][62 : 61 + hole : 2] = INF
    got = watched(made, window=100)
    assert np.isnan(got["anomaly"][61 : 61 + hole]).all()
    assert not np.isnan(got["anomaly"][61 + hole + 1 :]).any()
    settled = got["selection_inputs"][61 + hole + 30 :]
    alike = bars(swinging(300))
    fresh = watched(alike, window=100)["selection_inputs"]
    for name in ("return_5", "return_20", "volume_5", "spread", "away_spread", "body", "place"):
        place = inputs.INPUTS.index(name)
        assert np.isnan(settled[:, place]).sum() == np.isnan(fresh[-len(settled) :, place]).sum()


ODD = [1.0, 1.1, 1e-300, 1e300, sys.float_info.max, -sys.float_info.max, 0.0, -1.0, NAN, INF, -INF]
FIELDS = ("open", "high", "low", "close", "volume", "bid", "ask")
FIELDS += ("bid_size", "ask_size", "buy_volume", "sell_volume")
SEEN = [0, 1, 2, *range(5, 10), *range(32, 41)]
"""The inputs that come of rows alone."""


@unhurried
@given(
    st.lists(
        st.tuples(*[st.sampled_from(ODD) for _ in FIELDS]),
        min_size=1,
        max_size=60,
    )
)
def test_an_anomaly_is_a_share_or_unknown(values):
    made = rows([1.0] * len(values))
    for k, name in enumerate(FIELDS):
        made[name] = [each[k] for each in values]
    layer, calm = Selection(window=20, least=2), bars(swinging(60), buy_volume=2.0, sell_volume=1.0)
    states = first(layer)
    got = watched(made, states, window=20, least=2)["anomaly"]
    assert all(0.0 <= each <= 1.0 for each in got[~np.isnan(got)])
    later = watched(calm, states, window=20, least=2)  # whatever came before
    assert ((later["anomaly"][3:] >= 0.0) & (later["anomaly"][3:] <= 1.0)).all()
    assert np.isfinite(later["selection_inputs"][25:][:, SEEN]).all()


def expected(values, window, floor):
    """Return how far each value is from the usual, written out."""
    made, mean, var, span = list[float](), NAN, 0.0, 2.0 / (window + 1)
    for t, x in enumerate(values):
        before = [each for each in values[max(t - window, 0) : t] if math.isfinite(each)]
        if before and math.isfinite(x):
            middle = median(before)
            robust = NORMAL * median(abs(each - middle) for each in before)
            made.append((x - middle) / max(robust, 0.75 * math.sqrt(var), floor))
        else:
            made.append(NAN)
        if math.isfinite(x) and math.isnan(mean):
            mean = x
        elif math.isfinite(x):
            off = x - mean
            mean += span * off
            var = (1 - span) * (var + span * off * off)
    return np.array(made)


def test_distances_are_those_of_the_formulas_written_out():
    made = scenarios.quiet(seed=2, size=600)
    for name in ("volume", "bid"):
        made[name][200:230:3] = NAN
    got = watched(made, window=50)
    with np.errstate(all="ignore"):
        wanted = {
            "away_return": expected(np.diff(np.log(made["close"]), prepend=NAN), 50, 0.0),
            "away_range": expected(np.log((made["high"] - made["low"]) / made["close"]), 50, LOG),
            "away_volume": expected(np.log(made["volume"]), 50, LOG),
            "away_spread": expected(
                np.log((made["ask"] - made["bid"]) / (made["bid"] / 2 + made["ask"] / 2)), 50, LOG
            ),
        }
    for name, values in wanted.items():
        said = got["selection_inputs"][:, inputs.INPUTS.index(name)]
        assert said[2:] == pytest.approx(values[2:], rel=1e-9, abs=1e-9, nan_ok=True)
    up = np.fmax.reduce([np.abs(wanted["away_return"]), *list(wanted.values())[1:]])
    odds = (2 * up[21:] / 6) ** 2
    assert got["anomaly"][21:] == pytest.approx(odds / (1 + odds), rel=1e-9)


@pytest.mark.skipif(not compile.JIT, reason="NEXUS_JIT=0: too slow as plain Python")
def test_about_one_row_in_a_thousand_of_a_quiet_market_is_an_anomaly():
    got = np.concatenate([anomalies(scenarios.quiet(seed, 20_000))[240:] for seed in (11, 12, 13)])
    assert 0.0003 < (got > 0.8).mean() < 0.003
    assert np.median(got) < 0.2


@pytest.mark.parametrize("side", [1, -1])
def test_a_shock_is_an_anomaly(side):
    made = scenarios.shock(seed=1, size=1500, at=1000, moves=15.0, volume=8.0, side=side)
    assert anomalies(made.rows)[made.at] > 0.9


def test_prices_and_volumes_of_another_scale_are_the_same_market():
    one, other = scenarios.quiet(4, 400), scenarios.quiet(4, 400)
    for name in ("open", "high", "low", "close", "bid", "ask"):
        other[name] *= 7.0
    for name in ("volume", "buy_volume", "sell_volume", "bid_size", "ask_size"):
        other[name] *= 1000.0
    before, after = watched(one), watched(other)
    for name in ("anomaly", "selection_inputs"):
        assert after[name] == pytest.approx(before[name], rel=1e-6, abs=1e-6, nan_ok=True)


def test_a_state_that_was_saved_goes_on():
    made, layer = scenarios.quiet(5, 600), Selection()
    whole, states = watched(made), first(layer)
    watched(made[:300], states)
    restored = np.frombuffer(bytearray(states.tobytes()), states.dtype)
    assert watched(made[300:], restored).tobytes() == whole[300:].tobytes()


def test_no_row_knows_a_later_one():
    made = scenarios.quiet(6, 300)
    assert watched(made[:200]).tobytes() == watched(made)[:200].tobytes()


# -- what becomes of an anomaly ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("anomaly", "limit", "passes"),
    [
        (0.0, 0.8, True),
        (math.nextafter(0.8, 0), 0.8, True),
        (0.8, 0.8, True),
        (math.nextafter(0.8, 1), 0.8, False),
        (1.0, 0.8, False),
        (1.0, 1.0, True),
        (NAN, 0.8, False),
        (NAN, 1.0, False),
    ],
)
def test_the_gate_refuses_above_its_limit_and_what_is_unknown(anomaly, limit, passes):
    gate = Anomaly(limit=limit)
    assert (gate.reads, gate.layer, gate.refuses) == ("anomaly", 3, "above")
    assert PASSES[gate.refuses](anomaly, gate.params.limit) == passes


@pytest.mark.parametrize(
    ("anomaly", "limit", "scale"),
    [
        (1.0, 1.0, 1.0),  # the default halves nothing
        (0.8, 0.8, 1.0),
        (math.nextafter(0.8, 1), 0.8, 0.5),
        (NAN, 0.8, 0.5),
        (NAN, 1.0, 0.5),  # whoever takes the gate out trades what is unknown by halves
    ],
)
def test_an_anomaly_halves_the_size_where_it_is_told_to(anomaly, limit, scale):
    _, context = weighed([{}], {"anomaly": anomaly}, halve_above=limit)
    assert context["scale"] == scale
    _, context = weighed([{}], {"anomaly": anomaly, "scale": 0.6}, halve_above=limit)
    assert context["scale"] == 0.6 * scale


def test_the_package_offers_a_layer_and_its_gate():
    found = {each.name: each for group in GROUPS for each in entry_points(group=group)}
    assert (found["selection"].load(), found["anomaly"].load()) == (Selection, Anomaly)


@pytest.mark.parametrize("kind", [Selection, Anomaly])
def test_parameters_have_bounds(kind):
    for key, declared in kind.parameters().items():
        if isinstance(declared.default, bool):
            continue
        for value in (declared.low, declared.high):
            assert kind(**{key: value}).params.by_name()[key] == value
        for value in (declared.low - 1, declared.high + 1, NAN):
            with pytest.raises(ConfigError, match=f"parameter {key} was"):
                kind(**{key: value})


# -- in a chain ---------------------------------------------------------------------------------------


def played(block, halve_above=1.0, limit=0.8):
    """Return a trial of a quiet market with a shock and a broken row, and who ended each decision."""
    bars = scenarios.shock(seed=1, size=600, at=400, moves=20.0, volume=8.0).rows
    bars["close"][500] = NAN
    chosen = {"selection": Selection(halve_above=halve_above)}
    trial = Trial({"anomaly": Anomaly(limit=limit)}, layers=chosen, on_opposite="ignore", breaker_loss=0.0)
    trial.run(bars, 1, 0.8, block=block)
    names = {-1: ""} | {place.number: place.name for place in trial.chain.places}
    return trial, [names[each] for each in trial.decisions["reason"].tolist()]


def test_a_chain_skips_the_shock_the_broken_row_and_the_first_rows():
    _, ended = played(10_000)
    assert ended[:21] == ["anomaly"] * 21
    assert (ended[21] == "anomaly", ended[400], ended[500]) == (False, "anomaly", "anomaly")
    assert ended.count("anomaly") < 30


def test_a_shock_that_is_halved_is_no_longer_skipped():
    _, ended = played(10_000, halve_above=0.8, limit=1.0)
    assert (ended[400] == "anomaly", ended[500]) == (False, "anomaly")


def test_blocks_of_any_size_decide_alike():
    whole, _ = played(10_000)
    for size in (1, 7):
        made, _ = played(size)
        assert made.ledger.run_hash == whole.ledger.run_hash
        for name in whole.decisions.dtype.names:
            assert made.decisions[name].tobytes() == whole.decisions[name].tobytes()


# -- what a model is shown --------------------------------------------------------------------------


def test_there_are_44_inputs_of_six_kinds():
    assert len(inputs.INPUTS) == len(set(inputs.INPUTS)) == Selection.writes["selection_inputs"] == 44
    assert inputs.INPUTS[inputs.RECORDS] == "record_0"
    assert inputs.INPUTS[inputs.RECORDS + inputs.PLACES - 1] == "record_19"


def test_the_inputs_of_the_row_itself():
    made = bars(swinging(30), span=0.04, spread=0.002, bid_size=30.0, ask_size=10.0)
    made["buy_volume"], made["sell_volume"] = 2.0, 8.0
    made["open"] = made["close"] * 0.99
    wanted = {
        "spread": 0.002,
        "touch": 0.5,  # (30 - 10) / 40
        "touch_20": 0.5,
        "taking": -0.6,  # (2 - 8) / 10
        "taking_20": -0.6,
        "body": 0.25,  # 0.01 of 0.04
        "place": 0.0,  # the close is in the middle
        "away_spread": 0.0,
        "away_volume": 0.0,
        "volume_5": 0.0,
        "volume_20": 0.0,
    }
    for name, value in wanted.items():
        assert shown(made, name)[-1] == pytest.approx(value, abs=1e-9), name


def test_returns_are_shown_in_deviations():
    closes = swinging(40, [0.01] * 20)  # twenty rows up, so that 31 of 60 returns are 0.01 and more
    made = bars(closes)
    returns = np.diff(np.log(closes))
    middle = median(returns)
    mean, var, span = returns[0], 0.0, 2.0 / 241
    for x in returns[1:]:
        off = x - mean
        mean += span * off
        var = (1 - span) * (var + span * off * off)
    sigma = max(NORMAL * median(abs(returns - middle)), 0.75 * math.sqrt(var))
    assert shown(made, "return_5")[-1] == pytest.approx(0.05 / (sigma * math.sqrt(5)), rel=1e-9)
    assert shown(made, "return_20")[-1] == pytest.approx(0.20 / (sigma * math.sqrt(20)), rel=1e-9)


def test_volume_is_shown_against_its_usual_and_by_the_side_of_the_return():
    closes = swinging(100, [0.01])
    made = bars(closes, volume=column(10.0, 40.0, 102))
    mean = {n: 10.0 + 2 / (n + 1) * 30.0 for n in (5, 20, 60)}
    assert shown(made, "volume_5")[-1] == pytest.approx(math.log(mean[5] / mean[60]), rel=1e-9)
    assert shown(made, "volume_20")[-1] == pytest.approx(math.log(mean[20] / mean[60]), rel=1e-9)
    rising = bars(100.0 * np.exp(0.01 * np.arange(30)))
    falling = bars(100.0 * np.exp(-0.01 * np.arange(30)))
    for name in ("flow_20", "flow_60"):
        assert shown(rising, name)[-1] == pytest.approx(1.0)
        assert shown(falling, name)[-1] == pytest.approx(-1.0)


def test_a_volume_without_end_is_forgotten():
    made = bars(swinging(60))
    made["volume"][30:34] = sys.float_info.max  # came with rising and with falling prices in turn
    for name in ("volume_5", "volume_20", "flow_20", "flow_60"):
        assert np.isfinite(shown(made, name)[1:]).all()


@pytest.mark.parametrize("sizes", [(-1.0, 3.0), (3.0, -1.0), (0.0, 0.0), (NAN, 1.0), (INF, 1.0)])
def test_a_balance_of_what_is_no_quantity_is_unknown(sizes):
    made = bars(swinging(30), bid_size=3.0, ask_size=1.0)
    made["bid_size"][25], made["ask_size"][25] = sizes
    assert np.isnan(shown(made, "touch")).tolist() == [n == 25 for n in range(31)]
    assert shown(made, "touch_20").tolist() == [0.5] * 31  # stays what it was


def test_what_layer_1_says_is_shown():
    names = ("momentum", "trend_strength", "volatility", "liquidity", "imbalance", "noise")
    told = {name: 0.1 * k for k, name in enumerate(names, 1)}
    _, context = weighed([{}] * 3, VOLATILE | told)
    made = dict(zip(inputs.INPUTS, context["selection_inputs"].tolist(), strict=True))
    assert {name: made[name] for name in told} == told
    assert made["market_state"] == 2.0
    assert [made[f"record_{k}"] for k in range(20)] == [0.5] * 20


def test_more_than_twenty_strategies_are_weighed_and_the_first_twenty_shown():
    said = [{"wrongs": 100 * k} for k in range(25)]
    weights, context = weighed(said)
    assert weights == pytest.approx([min(1.0, 100 / (100 * k + 100)) for k in range(25)])
    records = context["selection_inputs"][inputs.RECORDS : inputs.RECORDS + 20]
    assert records == pytest.approx([50 / (100 * k + 100) for k in range(20)])


def _told():
    made = scenarios.quiet(7, 700)
    for name in ("close", "volume", "bid"):
        made[name][300:560:2] = NAN
    got = watched(made, window=100)
    said, context = weighed([{"category": 2, "wrongs": 70}, {"category": 1}], RANGING | {"volatility": 0.9})
    one = np.concatenate([got["anomaly"], got["selection_inputs"].ravel(), said, context["selection_inputs"]])
    one[np.isnan(one)] = NAN  # the sign of a NaN that arithmetic made is the processor's affair
    return hashlib.sha256(one.tobytes()).hexdigest()


def test_the_bits_are_the_same_compiled_and_as_plain_python():
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1"}
    said = subprocess.run([sys.executable, __file__], env=other, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == _told()


if __name__ == "__main__":
    print(_told())
