"""The assessment: its formulas on numbers worked by hand, each rule at its limit, and what is unknown."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_gate_risk import Assessment, assessment, metrics

from nexus_core import compile
from nexus_core.ledger import judge
from nexus_core.ledger.judge import PROPOSAL, RULES
from nexus_core.records import ACCOUNT, CONTEXT, POSITION, ROW, UNIT, contexts, empty
from nexus_core.steps.tool import record
from nexus_core.types import Mode

NAN = math.nan
FIELDS = [*CONTEXT, *Assessment.reads, *Assessment.writes]
SEEN = contexts(dict.fromkeys(FIELDS, 1))
"""A context with the kernel's own fields and the assessment's."""

STEP = """
def entry(rows, contexts, accounts, positions, proposals, states, params):
    for n in range(rows.size):
        step(rows[n], contexts[n], accounts[n], positions, proposals[n], states[0], params[0])
"""
FINE = {"mqscore": 0.6, "liquidity": 0.6, "volatility": 0.4, "noise": 0.4, "regime": 2.0}
FINE |= {"regime_confidence": 0.8, "mean_trust": 1.0}
"""A ranging market in which nothing is wrong, and nothing is so good that it is favourable."""

GOOD = FINE | {"mqscore": 0.7, "liquidity": 0.5, "volatility": 0.5, "noise": 0.5}
UNKNOWN = dict.fromkeys(FINE, NAN)
MONEY = {"peak": 100_000.0, "day_start": 100_000.0}
UNDER, OVER = (lambda x: math.nextafter(x, -math.inf)), (lambda x: math.nextafter(x, math.inf))


@cache
def machine():
    return compile.entry("assess", STEP, {"step": Assessment.step})


def assessed(cases, symbols=1, **params):
    """Return the contexts of these cases: fields of the context, and equity, confidence, side, peak, mode."""
    seen, accounts, proposals = (empty(kind, len(cases)) for kind in (SEEN, ACCOUNT, PROPOSAL))
    for n, case in enumerate(cases):
        case = {"confidence": 0.8, "scale": 1.0, "side": 1, "equity": 100_000.0, "mode": 0} | MONEY | case
        for name in FIELDS:
            seen[n][name] = case.get(name, NAN)
        for name in MONEY:
            accounts[n][name] = round(case[name] * UNIT)
        accounts[n]["mode"] = case["mode"]
        proposals[n]["side"], proposals[n]["confidence"] = case["side"], case["confidence"]
        proposals[n]["equity"], proposals[n]["price"] = round(case["equity"] * UNIT), 100 * UNIT
    layer = Assessment(**params)
    states = np.array([record(**Assessment.state(layer.params, symbols))])
    rows, positions = empty(ROW, len(cases)), empty(POSITION, symbols)
    compile.call(machine(), rows, seen, accounts, positions, proposals, states, layer.params.record())
    return seen


def one(case, **params):
    return assessed([case], **params)[0]


# -- formulas ---------------------------------------------------------------------------------------


def test_the_metrics_of_an_entry_by_hand():
    # a tenth of equity, stop 2 % and target 4 % away from 50, confidence .6
    stop, target, max_loss, expected, sharpe, var95 = metrics(0.1, 50.0, 1, 0.02, 0.04, 0.6)
    assert (stop, target) == pytest.approx((49.0, 52.0))
    assert max_loss == pytest.approx(0.002)
    assert expected == pytest.approx(0.0024)  # .1 x .04 x .6
    assert sharpe == pytest.approx(1.2)  # .0024 / .002, which is 2 x .6
    assert var95 == pytest.approx(0.00329)  # .002 x 1.645
    assert metrics(0.1, 50.0, -1, 0.02, 0.04, 0.6)[:2] == pytest.approx((51.0, 48.0))
    assert metrics(0.1, 50.0, -1, 0.02, 0.04, 0.6)[2:] == (max_loss, expected, sharpe, var95)
    assert math.isnan(metrics(0.0, 50.0, 1, 0.02, 0.04, 0.6)[4])


def test_metrics_are_written_for_the_largest_position():
    context = one(FINE | {"confidence": 0.6})
    assert context["max_loss"] == pytest.approx(0.002)
    assert context["expected_return"] == pytest.approx(0.0024)
    assert context["var95"] == pytest.approx(0.00329)
    context = one(FINE | {"confidence": 0.5}, max_position=0.2, stop_loss=0.1, take_profit=0.3)
    assert context["max_loss"] == pytest.approx(0.02)
    assert context["expected_return"] == pytest.approx(0.03)


def test_the_risk_score_by_hand():
    assert assessment.risk_score(0.4, 0.6, 0.0, 0.8) == pytest.approx(0.25)  # (.4 + .4 + 0 + .2) / 4
    assert assessment.risk_score(1.0, 0.0, 1.0, 0.0) == 1.0
    assert assessment.risk_score(0.0, 1.0, 0.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("case", "score", "multiplier"),
    [
        ({}, 0.25, 0.75),
        # a fall of 7.5 % is half of 15 %: (.4 + .4 + .5 + .2) / 4, and from half on the multiplier tapers
        ({"equity": 92_500.0, "day_start": 92_500.0}, 0.375, 0.625),
        # 12 % of 15 % is .8: (.4 + .4 + .8 + .2) / 4 = .45, and (1 - .8) / (1 - .5) = .4 are left
        ({"equity": 88_000.0, "day_start": 88_000.0}, 0.45, 0.4),
        # the day has lost 1.6 % of 2 %, again .8; of the drawdown's 15 % that is .10667
        ({"equity": 98_400.0}, 0.25 + 0.016 / 0.15 / 4, 0.4),
        ({"equity": 98_000.0}, 0.25 + 0.02 / 0.15 / 4, 0.0),
        ({"equity": 85_000.0, "day_start": 85_000.0}, 0.5, 0.0),
        ({"equity": 70_000.0, "day_start": 70_000.0}, 0.5, 0.0),
        # a gain of the day is no loss below zero
        ({"day_start": 90_000.0}, 0.25, 0.75),
        # in REDUCED the limits are half: 6 % of 7.5 %, .8 % of 1 %
        ({"equity": 94_000.0, "day_start": 94_000.0, "mode": Mode.REDUCED}, 0.45, 0.4),
        ({"equity": 99_200.0, "mode": Mode.REDUCED}, 0.25 + 0.008 / 0.075 / 4, 0.4),
    ],
)
def test_score_and_multiplier_by_hand(case, score, multiplier):
    context = one(FINE | case)
    assert context["risk_score"] == pytest.approx(score)
    assert context["risk_multiplier"] == pytest.approx(multiplier, abs=1e-12)


def test_the_multiplier_tapers_from_its_share_to_the_limit():
    shares = [0.0, UNDER(0.5), 0.5, OVER(0.5), 0.75, UNDER(1.0), 1.0]
    left = [assessment.room(share, 0.5) for share in shares]
    assert left[:3] == [1.0, 1.0, 1.0]
    assert 0.99 < left[3] < 1.0
    assert (left[4], left[6]) == (0.5, 0.0)
    assert 0.0 < left[5] < 1e-12
    assert assessment.room(0.25, 0.0) == 0.75


def test_an_account_without_a_level_to_fall_from_has_used_its_limit_up():
    for level in ("peak", "day_start"):
        assert one(FINE | {level: 0.0})["risk_multiplier"] == 0.0
    assert [assessment.used(since, NAN, 0.1) for since in (NAN, 100.0)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("market", "factor"),
    [(FINE, 1.0), (GOOD, 1.2), (FINE | {"regime": 11.0}, 0.5), (UNKNOWN, 1.0)],
    ids=["neutral", "favorable", "adverse", "unknown"],
)
def test_the_size_is_scaled_by_multiplier_and_class(market, factor):
    context = one(market | {"scale": 0.5})
    assert context["scale"] == pytest.approx(0.5 * factor * context["risk_multiplier"])
    assert math.isnan(one(market | {"scale": NAN})["scale"])


def test_the_factors_of_the_classes_are_parameters():
    context = one(GOOD, favorable_scale=1.0)
    assert context["scale"] == context["risk_multiplier"]
    assert one(FINE | {"regime": 9.0}, adverse_scale=0.0)["scale"] == 0.0


# -- flags ------------------------------------------------------------------------------------------

LIMITS = [
    # field, flag, its limit, and which of just under, at, just over set it
    ("confidence", "LOW_CONFIDENCE", 0.7, (True, False, False)),
    ("mean_trust", "POOR_MODEL_PERFORMANCE", 0.6, (True, False, False)),
    ("volatility", "HIGH_VOLATILITY", 0.8, (False, False, True)),
    ("mqscore", "LOW_MARKET_QUALITY", 0.5, (True, False, False)),
    ("liquidity", "LOW_LIQUIDITY", 0.3, (True, False, False)),
    ("noise", "HIGH_NOISE", 0.7, (False, False, True)),
]


def names(context):
    return [name for n, name in enumerate(assessment.FLAGS) if int(context["risk_flags"]) >> n & 1]


@pytest.mark.parametrize(("field", "flag", "limit", "sets"), LIMITS, ids=[each[1] for each in LIMITS])
def test_each_flag_just_under_at_and_just_over_its_limit(field, flag, limit, sets):
    cases = [FINE | {field: value} for value in (UNDER(limit), limit, OVER(limit), NAN)]
    found = assessed(cases)
    assert [names(each) for each in found] == [[flag] if is_set else [] for is_set in (*sets, False)]
    critical = flag in ("LOW_MARKET_QUALITY", "LOW_LIQUIDITY")
    # what is unknown although the rest of the market is known counts as critical too
    due = [float(critical and counts) for counts in (*sets, True)]
    assert found["critical_flags"].tolist() == due


@pytest.mark.parametrize("regime", [*range(12), NAN])
def test_three_regimes_are_volatile(regime):
    assert names(one(FINE | {"regime": regime})) == (["VOLATILE_REGIME"] if regime in (7, 9, 11) else [])


def test_the_flags_are_bits_in_their_order():
    worst = {"confidence": 0.0, "mean_trust": 0.0, "volatility": 1.0, "mqscore": 0.0, "liquidity": 0.0}
    context = one(FINE | worst | {"noise": 1.0, "regime": 11.0})
    assert (context["risk_flags"], context["critical_flags"]) == (127.0, 2.0)
    assert one(FINE | {"noise": 1.0, "confidence": 0.0})["risk_flags"] == 65.0


def test_the_limits_of_the_flags_are_parameters():
    strict = {"low_confidence": 0.9, "poor_trust": 1.0, "high_volatility": 0.3, "low_quality": 0.7}
    strict |= {"low_liquidity": 0.7, "high_noise": 0.3}
    context = one(FINE | {"mean_trust": 0.9}, **strict)
    assert set(names(context)) == set(assessment.FLAGS) - {"VOLATILE_REGIME"}


# -- class and direction of the market --------------------------------------------------------------


def grades(cases, **params):
    return [assessment.CLASSES[int(each)] for each in assessed(cases, **params)["market_class"]]


@pytest.mark.parametrize(
    ("field", "limit", "good"),
    [
        ("mqscore", 0.7, (False, True, True)),
        ("liquidity", 0.5, (False, True, True)),
        ("volatility", 0.5, (True, True, False)),
        ("noise", 0.5, (True, True, False)),
    ],
)
def test_a_favorable_market_just_under_at_and_just_over(field, limit, good):
    found = grades([GOOD | {field: value} for value in (UNDER(limit), limit, OVER(limit), NAN)])
    assert found == ["FAVORABLE" if is_good else "NEUTRAL" for is_good in (*good, False)]


@pytest.mark.parametrize("regime", [*range(12), NAN])
def test_regimes_that_no_market_is_favorable_in(regime):
    due = {7: "NEUTRAL", 9: "ADVERSE", 11: "ADVERSE"}.get(regime, "FAVORABLE")
    assert grades([GOOD | {"regime": regime}]) == [due if regime == regime else "NEUTRAL"]


def test_two_flags_of_four_make_a_market_adverse():
    bad = {"volatility": 0.9, "mqscore": 0.4, "liquidity": 0.2, "noise": 0.8}
    for name, value in bad.items():
        others = [FINE | {name: value, other: bad[other]} for other in bad if other != name]
        assert grades([FINE | {name: value}, *others]) == ["NEUTRAL"] + ["ADVERSE"] * 3
        # one that is unknown counts, for layer 1 spoke of the row
        unknown = [FINE | {name: value, other: NAN} for other in bad if other != name]
        assert grades([FINE | {name: NAN}, *unknown]) == ["NEUTRAL"] + ["ADVERSE"] * 3
    assert grades([FINE | bad], adverse_flags=5) == ["NEUTRAL"]
    assert grades([FINE | {"noise": 0.8}], adverse_flags=1) == ["ADVERSE"]


@pytest.mark.parametrize(
    ("regime", "side", "confidence", "goes_against"),
    [
        (0, -1, 0.8, 1.0),  # sells into a rising market
        (0, 1, 0.8, 0.0),
        (1, 1, 0.8, 1.0),  # buys into a falling one
        (1, -1, 0.8, 0.0),
        (1, 1, 0.5, 0.0),
        (1, 1, UNDER(0.5), 0.0),
        (1, 1, OVER(0.5), 1.0),
        (1, 1, NAN, 1.0),  # nothing says that it is unsure
        (2, 1, 0.8, 0.0),
        (11, -1, 0.8, 0.0),
        (NAN, 1, 0.8, NAN),
    ],
)
def test_what_goes_against_an_action(regime, side, confidence, goes_against):
    found = one(FINE | {"regime": regime, "side": side, "regime_confidence": confidence})["against"]
    assert found == goes_against or (math.isnan(found) and math.isnan(goes_against))


# -- what is unknown --------------------------------------------------------------------------------


def test_without_layer_1_the_market_is_neither_good_nor_bad():
    context = one(UNKNOWN)
    assert context["risk_score"] == pytest.approx(0.3)  # (.5 + .5 + 0 + .2) / 4
    assert context["risk_multiplier"] == pytest.approx(0.7)
    assert context["market_class"] == assessment.NEUTRAL
    assert [context[name] for name in ("risk_flags", "critical_flags", "against")] == [0.0, 0.0, 0.0]


def test_what_layer_1_left_unknown_is_taken_for_the_worst():
    for name, factor in (("volatility", 0.4), ("mqscore", 0.4)):
        context = one(FINE | {name: NAN})
        assert context["risk_score"] == pytest.approx(0.25 + (1.0 - factor) / 4)
    for name in ("mqscore", "liquidity", "volatility", "noise", "regime"):
        context = one(UNKNOWN | {name: FINE[name]})
        assert context["critical_flags"] == (name != "mqscore") + (name != "liquidity")
        assert context["market_class"] == assessment.ADVERSE


def test_a_row_of_which_layer_1_knows_only_its_data_is_the_worst():
    context = one(UNKNOWN | {"data_quality": 1.0})
    assert context["risk_score"] == pytest.approx(0.55)  # (1 + 1 + 0 + .2) / 4
    assert context["market_class"] == assessment.ADVERSE
    assert (context["risk_flags"], context["critical_flags"]) == (0.0, 2.0)
    assert math.isnan(context["against"])


def test_an_unknown_confidence_counts_as_none():
    known, unknown = assessed([FINE | {"confidence": 0.0}, FINE | {"confidence": NAN}])
    assert known["risk_score"] == unknown["risk_score"] == pytest.approx(0.45)


# -- properties -------------------------------------------------------------------------------------

UNIT_RANGE = st.floats(0.0, 1.0)
CASES = st.fixed_dictionaries(
    {
        **dict.fromkeys(("mqscore", "liquidity", "volatility", "noise", "confidence"), UNIT_RANGE),
        **dict.fromkeys(("regime_confidence", "mean_trust"), UNIT_RANGE),
        "regime": st.integers(0, 11).map(float),
        "side": st.sampled_from([-1, 1]),
        "mode": st.sampled_from([int(Mode.NORMAL), int(Mode.REDUCED)]),
        "equity": st.floats(0.0, 200_000.0),
        **dict.fromkeys(("peak", "day_start"), st.floats(1.0, 200_000.0)),
    }
)
BETTER_IF_HIGH = ("mqscore", "liquidity", "confidence", "mean_trust", "equity")
WORSE_IF_HIGH = ("volatility", "noise", "peak", "day_start")


def worsened(case, name, share):
    """Return a case with one input worse by a share of the way to its worst."""
    if name in BETTER_IF_HIGH:
        return case | {name: case[name] * (1.0 - share)}
    worst = 200_000.0 if name in MONEY else 1.0
    return case | {name: min(case[name] + (worst - case[name]) * share, worst)}


def no_better(good, bad):
    """Tell whether no part of one assessment is better than of another."""
    return (
        bad["risk_multiplier"] <= good["risk_multiplier"]
        and bad["scale"] <= good["scale"]
        and bad["risk_score"] >= good["risk_score"]
        and bad["market_class"] >= good["market_class"]
        and bad["critical_flags"] >= good["critical_flags"]
        and int(good["risk_flags"]) & ~int(bad["risk_flags"]) == 0
    )


@given(CASES, st.sampled_from(BETTER_IF_HIGH + WORSE_IF_HIGH), UNIT_RANGE)
def test_nothing_worse_makes_an_assessment_better(case, name, share):
    good, bad = assessed([case, worsened(case, name, share)])
    assert no_better(good, bad)


@given(CASES)
def test_reduced_leaves_no_more(case):
    normal, reduced = assessed([case | {"mode": int(mode)} for mode in (Mode.NORMAL, Mode.REDUCED)])
    assert no_better(normal, reduced)


@given(CASES, st.sampled_from(["mqscore", "liquidity", "volatility", "noise", "confidence"]))
def test_what_is_unknown_leaves_no_more(case, name):
    good, bad = assessed([case, case | {name: NAN}])
    assert bad["scale"] <= good["scale"]
    assert bad["critical_flags"] >= good["critical_flags"]
    assert bad["market_class"] >= good["market_class"]


ANYTHING = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(st.fixed_dictionaries(dict.fromkeys(FINE, ANYTHING) | {"confidence": ANYTHING}))
def test_whatever_comes_in_the_ranges_hold(case):
    context = one(case)
    assert 0.0 <= context["risk_score"] <= 1.0
    assert 0.0 <= context["risk_multiplier"] <= 1.0
    assert 0.0 <= context["scale"] <= 1.2
    assert context["market_class"] in (0.0, 1.0, 2.0)
    assert context["critical_flags"] in (0.0, 1.0, 2.0)
    assert context["risk_flags"] in range(128)


@given(CASES)
def test_a_market_upside_down_is_assessed_alike(case):
    turned = {0.0: 1.0, 1.0: 0.0}.get(case["regime"], case["regime"])
    found, mirrored = assessed([case, case | {"side": -case["side"], "regime": turned}])
    assert [found[name] for name in Assessment.writes] == [mirrored[name] for name in Assessment.writes]


@given(UNIT_RANGE, UNIT_RANGE)
def test_a_later_taper_leaves_no_less(share, taper):
    later = min(taper + 0.1, 0.99)
    assert assessment.room(share, min(taper, 0.99)) <= assessment.room(share, later)


# -- compiled and plain -----------------------------------------------------------------------------


def bits():
    """Return the bits of many assessments."""
    draws = np.random.default_rng(7)
    fields = [*Assessment.reads, "confidence"]
    cases = [dict(zip(fields, draws.random(len(fields)).tolist(), strict=True)) for _ in range(200)]
    for n, case in enumerate(cases):
        case["regime"], case["side"] = (float(n % 13) if n % 13 < 12 else NAN), 1 - n % 2 * 2
        case["equity"] = float(draws.integers(80_000, 101_000))
        if n % 3 == 0:
            case[fields[n % len(fields)]] = NAN
    found = assessed(cases)
    return np.nan_to_num(np.array([found[name] for name in FIELDS]), nan=-1.0).tobytes().hex()


def test_the_bits_are_the_same_compiled_and_as_plain_python():
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", "import test_assessment; print(test_assessment.bits())"]
    said = subprocess.run(command, env=other, capture_output=True, text=True, check=True).stdout
    assert said.strip() == bits()


# -- what the README says ---------------------------------------------------------------------------

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_worked_sizes_of_the_readme_are_the_kernels():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.splitlines()
        if line.startswith("| 0.") and "%" in line
    ]
    assert len(rows) == 6
    rules, proposal = empty(RULES)[0], empty(PROPOSAL)[0]
    rules["stop_loss"], rules["take_profit"] = 2_000_000, 4_000_000
    proposal["toll"], proposal["needed"] = 0.002, 1.1 / 3
    for chance, free, net, share in rows:
        p = Fraction(chance)
        assert Fraction(free) == (p * 2 - (1 - p)) / 2
        odds = Fraction(19, 11)  # (.04 - .002) / (.02 + .002)
        kelly = (p * odds - (1 - p)) / odds
        assert float(net) == pytest.approx(float(kelly), abs=5e-5)
        proposal["chance"] = float(p)
        staked = compile.call(kernels(), np.array([rules]), np.array([proposal]))
        assert staked == pytest.approx(float(max(kelly / 4, 0)))
        assert float(share.split()[0]) == pytest.approx(100 * min(staked, 0.1), abs=0.005)


@cache
def kernels():
    text = "def entry(rules, proposals):\n    return stake(rules[0], proposals[0])\n"
    return compile.entry("stake", text, {"stake": judge.stake})


def test_the_readme_names_each_parameter_with_its_default():
    for name, each in Assessment.parameters().items():
        shown = str(each.default).lower() if isinstance(each.default, bool) else f"{each.default:g}"
        assert f"| `{name}` | {shown} |" in README, name


def test_a_step_of_the_taper_is_never_a_jump():
    left = [assessment.room(share / 1000, 0.5) for share in range(1001)]
    assert max(before - after for before, after in pairwise(left)) < 0.0021
