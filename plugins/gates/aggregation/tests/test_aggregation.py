"""Layer 4: aggregates worked out by hand, what must not change them, and every limit at its edge."""

import hashlib
import math
import os
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_gate_aggregation import Aggregation, Agreement, Strength
from nexus_gate_aggregation.statistics import STATISTICS

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.gates import PASSES
from nexus_core.records import ABSENT, VOICE, empty
from nexus_core.testing import Trial, rows

NAN = math.nan
GROUPS = ("nexus.layers", "nexus.gates")
OWN = ("direction", "lean", "hold", "confidence", "chance", "scale")
"""The kernel's own fields of the context."""

STEP = """
def entry(rows, contexts, voices, params):
    for n in range(rows.size):
        step(rows[n], contexts[n], voices[n], params[0])
"""


def context():
    """Return a context as layer 3 leaves it: the kernel's direction is there, nothing of layer 4."""
    fields = dict.fromkeys(OWN, 1) | Aggregation.writes
    made = np.zeros(1, [(name, "f8", (n,) if n > 1 else ()) for name, n in fields.items()])
    for name in fields:
        made[name] = NAN
    made["scale"], made["lean"], made["direction"], made["confidence"] = 1.0, 3.0, 1.0, 0.9
    return made


def voice(signal, weight=1.0, confidence=0.8, **fields):
    return {"signal": signal, "weight": weight, "confidence": confidence, "right": NAN} | fields


def heard(said, **params):
    """Return the context after layer 4 has heard these voices."""
    layer, made, voices = Aggregation(**params), context(), empty(VOICE, len(said))
    for each, fields in zip(voices, said, strict=True):
        for name, value in fields.items():
            each[name] = value
    entry = compile.entry("step", STEP, {"step": Aggregation.step})
    compile.call(entry, rows([1.0]), made, voices[None], layer.params.record())
    return made[0]


def statistics(said):
    return dict(zip(STATISTICS, heard(said)["aggregation_inputs"].tolist(), strict=True))


# -- by hand ----------------------------------------------------------------------------------------

CASES = {
    # voices as (signal, weight, confidence): lean, direction, strength
    "one buys": ([(1, 0.9, 0.7)], 1.0, 1, 0.7),
    "one sells": ([(-1, 0.9, 0.7)], -1.0, -1, 0.7),
    "one buys strongly: held at 1": ([(2, 0.5, 0.7)], 1.0, 1, 0.7),
    "strong counts double: (2 - 1) / 2": ([(2, 1, 0.6), (-1, 1, 0.6)], 0.5, 1, 0.6),
    "one each way": ([(1, 1, 0.8), (-1, 1, 0.8)], 0.0, 0, 0.8),
    "the surer one: (0.9 - 0.6) / 1.5": ([(1, 1, 0.9), (-1, 1, 0.6)], 0.2, 0, 0.75),
    "the heavier one: (0.9 - 0.3) / 1.2": ([(-1, 0.9, 0.8), (1, 0.3, 0.8)], -0.5, -1, 0.8),
    "neutral ones have no say": ([(1, 1, 0.8), (0, 1, 0.9), (ABSENT, 1, 0.9)], 1.0, 1, 0.8),
    "nobody weighs anything": ([(1, 0, 0.8), (1, 0, 0.6)], 0.0, 0, 0.7),
    "nobody is sure of anything": ([(1, 1, 0.0), (1, 1, 0.0)], 0.0, 0, 0.0),
    "one of unknown weight": ([(1, NAN, 0.8), (1, 1, 0.8)], 0.0, 0, 0.8),
    "nobody says anything": ([(0, 1, 0.9), (ABSENT, 1, 0.9)], 0.0, 0, 0.0),
    "nobody is there": ([], 0.0, 0, 0.0),
}


@pytest.mark.parametrize(("said", "lean", "direction", "strength"), CASES.values(), ids=CASES)
def test_an_aggregate_worked_out_by_hand(said, lean, direction, strength):
    made = heard([voice(*each) for each in said])
    assert made["lean"] == pytest.approx(lean, abs=1e-12)
    assert made["direction"] == direction
    assert made["strength"] == made["confidence"] == pytest.approx(strength, abs=1e-12)
    assert made["agreement"] == abs(made["lean"])
    assert (made["hold"], made["scale"]) == (0.3, 1.0)


def test_fourteen_sell_and_six_buy_and_buy_wins():
    buys = [0.92, 0.88, 0.95, 0.91, 0.87, 0.90]
    sells = [0.12, 0.08, 0.15, 0.10] * 3 + [0.12, 0.08]
    said = [voice(-1, weight) for weight in sells] + [voice(1, weight) for weight in buys]
    made = heard(said)
    # 5.43 buy, 1.55 sell: (5.43 - 1.55) / 6.98
    assert made["lean"] == pytest.approx(3.88 / 6.98, abs=1e-12)
    assert (made["direction"], made["strength"]) == (1.0, pytest.approx(0.8))
    told = statistics(said)
    assert (told["buys"], told["sells"], told["signal_mean"]) == (6.0, 14.0, -0.4)
    # where all count alike, the fourteen win
    assert heard([each | {"weight": 1.0} for each in said])["direction"] == -1.0


@pytest.mark.parametrize(
    ("hold", "direction"), [(0.0, 1.0), (math.nextafter(0.5, 0), 1.0), (0.5, 0.0), (1.0, 0.0)]
)
def test_a_lean_has_to_reach_beyond_the_hold(hold, direction):
    for side in (1, -1):
        made = heard([voice(2 * side), voice(-side)], hold=hold)
        assert (made["lean"], made["hold"]) == (0.5 * side, hold)
        assert made["direction"] == side * direction


def test_a_voice_that_speaks_twice_counts_twice():
    one, other = voice(1, 0.6, 0.7), voice(-1, 0.9, 0.9)
    twice, double = heard([one, one, other]), heard([one | {"weight": 1.2}, other])
    assert twice["lean"] == pytest.approx(double["lean"], abs=1e-12)
    assert twice["strength"] == pytest.approx((0.7 + 0.7 + 0.9) / 3, abs=1e-12)


# -- the chance of the target -----------------------------------------------------------------------

NEW = {"right": 0.5, "hits": 0, "misses": 0}


@pytest.mark.parametrize(
    ("said", "chance"),
    [
        ([voice(1)], NAN),  # not calibrated
        ([voice(1, **NEW)], 1 / 3),  # without a record the edge is none
        ([voice(-1, **NEW)], 1 / 3),
        # (100 + 200/3) / (100 + 0 + 200)
        ([voice(1, right=0.6, hits=100)], 5 / 9),
        ([voice(1, right=0.6, misses=100)], 2 / 9),
        ([voice(1, right=0.6, hits=400, misses=400)], (400 + 200 / 3) / 1000),
        # weighed by weight and confidence: 0.8 x 0.5 of 5/9 and 0.2 x 0.5 of 1/3
        ([voice(1, 0.8, 0.5, right=0.6, hits=100), voice(1, 0.2, 0.5, **NEW)], 0.8 * 5 / 9 + 0.2 / 3),
        # who says otherwise, says nothing, or is not calibrated has no part in it
        ([voice(1, **NEW), voice(-1, 0.1, right=0.6, hits=900)], 1 / 3),
        ([voice(1, **NEW), voice(0, right=0.6, hits=900)], 1 / 3),
        ([voice(1, **NEW), voice(ABSENT, right=0.6, hits=900)], 1 / 3),
        ([voice(1, **NEW), voice(1, hits=900)], 1 / 3),
        ([voice(1), voice(-1, 0.1, **NEW)], NAN),
        ([voice(1, **NEW), voice(-1, **NEW)], NAN),  # no direction
        ([voice(1, 0.0, **NEW)], NAN),
        ([], NAN),
    ],
)
def test_the_chance_is_the_record_of_those_behind_the_direction(said, chance):
    assert heard(said)["chance"] == pytest.approx(chance, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("reward", "even"), [(1.0, 0.5), (2.0, 1 / 3), (0.25, 0.8), (9.0, 0.1)])
def test_without_a_record_the_chance_is_that_of_a_coin_with_this_reward(reward, even):
    assert heard([voice(1, **NEW)], reward=reward)["chance"] == pytest.approx(even, abs=1e-12)
    learned = heard([voice(1, right=0.5, hits=50, misses=50)], reward=reward, pseudo_trades=100)
    assert learned["chance"] == pytest.approx((50 + 100 * even) / 200, abs=1e-12)


# -- what a model is shown --------------------------------------------------------------------------


def test_twenty_statistics_by_hand():
    said = [
        voice(2, 0.8, 0.9, right=0.6),
        voice(1, 0.4, 0.6, right=0.5),
        voice(-1, 0.6, 0.6),
        voice(0, 0.7, 0.9, right=0.9),
        voice(ABSENT, 0.7, 0.9, right=0.9),
    ]
    # says 0.72, 0.24, 0.36: together 1.32; said 1.44 + 0.24 - 0.36 = 1.32, so that the lean is 1
    mean = 1.32 / 1.32
    wanted = {
        "signal_mean": 2 / 3,
        "signal_std": math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 3),
        "confidence_mean": 0.7,
        "confidence_std": math.sqrt((0.04 + 0.01 + 0.01) / 3),
        "weight_mean": 0.6,
        "weight_std": math.sqrt((0.04 + 0.04) / 3),
        "buys": 2,
        "sells": 1,
        "neutrals": 1,
        "confidence_min": 0.6,
        "confidence_max": 0.9,
        "weight_min": 0.4,
        "weight_max": 0.8,
        "lean": mean,
        "share": 3 / 4,
        "dissent": math.sqrt((0.72 * 1 + 0.24 * 0 + 0.36 * 4) / 1.32),
        "side": 0.96 / 1.32,
        "loudest": 0.72 / 1.32,
        "strong": 1,
        "right": 0.55,
    }
    assert list(wanted) == list(STATISTICS)
    assert len(STATISTICS) == Aggregation.writes["aggregation_inputs"] == 20
    assert statistics(said) == pytest.approx(wanted, abs=1e-12)


def test_voices_that_are_alike_do_not_spread():
    told = statistics([voice(1, 0.1, 0.7)] * 7)
    assert [told[name] for name in ("signal_std", "side", "strong")] == [0.0, 1.0, 0.0]
    assert [told[name] for name in ("confidence_std", "weight_std", "dissent")] == pytest.approx([0] * 3)


def test_where_nobody_wins_no_say_is_on_the_winning_side():
    told = statistics([voice(1), voice(-1)])
    assert [told[name] for name in ("lean", "side", "loudest", "dissent")] == [0.0, 0.0, 0.5, 1.0]


def test_without_a_voice_only_counts_are_known():
    told = statistics([voice(0), voice(0), voice(ABSENT)])
    known = {name: value for name, value in told.items() if not math.isnan(value)}
    assert known == {"buys": 0, "sells": 0, "neutrals": 2, "lean": 0, "strong": 0}


def test_without_a_say_nobody_has_a_share_of_it():
    told = statistics([voice(1, 0.0), voice(-1, 0.0)])
    unknown = {name for name, value in told.items() if math.isnan(value)}
    assert unknown == {"dissent", "side", "loudest", "right"}
    assert (told["lean"], told["signal_std"], told["weight_max"]) == (0.0, 1.0, 0.0)


# -- what must not change it ------------------------------------------------------------------------

shares = st.floats(0.01, 1.0)
spoken = st.builds(
    voice,
    st.sampled_from([-2, -1, 0, 1, 2, ABSENT]),
    shares,
    shares,
    right=shares | st.just(NAN),
    hits=st.integers(0, 1000),
    misses=st.integers(0, 1000),
)
crowds = st.lists(spoken, max_size=25)
unhurried = settings(deadline=None, max_examples=100 if compile.JIT else 10)  # the first one compiles


@unhurried
@given(crowds, st.floats(0, 1))
def test_what_comes_out_is_within_its_bounds(said, hold):
    made = heard(said, hold=hold)
    assert -1.0 <= made["lean"] <= 1.0
    assert 0.0 <= made["strength"] <= 1.0
    assert made["direction"] == (np.sign(made["lean"]) if abs(made["lean"]) > hold else 0.0)
    assert math.isnan(made["chance"]) or 0.0 < made["chance"] < 1.0
    told = made["aggregation_inputs"]
    for name in ("share", "side", "loudest", "right", "confidence_max", "weight_min"):
        each = told[STATISTICS.index(name)]
        assert math.isnan(each) or -1e-12 <= each <= 1.0 + 1e-12


@unhurried
@given(crowds)
def test_the_market_upside_down_is_the_opinion_upside_down(said):
    turned = [
        each | {"signal": each["signal"] if each["signal"] == ABSENT else -each["signal"]} for each in said
    ]
    one, other = heard(said), heard(turned)
    assert (other["lean"], other["direction"]) == (-one["lean"], -one["direction"])
    for name in ("strength", "agreement", "chance"):
        assert other[name] == one[name] or math.isnan(one[name])


@unhurried
@given(crowds, st.floats(0.01, 100.0))
def test_all_weights_times_a_number_is_the_same_opinion(said, times):
    one = heard(said, hold=1.0)
    other = heard([each | {"weight": each["weight"] * times} for each in said], hold=1.0)
    for name in ("lean", "strength", "agreement"):
        assert other[name] == pytest.approx(one[name], abs=1e-12)


@unhurried
@given(crowds.flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
def test_the_order_of_the_voices_says_nothing(pair):
    said, mixed = pair
    one, other = heard(said), heard(mixed)
    for name in ("lean", "strength", "agreement"):
        assert other[name] == pytest.approx(one[name], abs=1e-12)
    if one["direction"] == other["direction"]:  # a lean within 1e-12 of the hold may fall on either side
        assert other["chance"] == pytest.approx(one["chance"], abs=1e-12, nan_ok=True)
    assert other["aggregation_inputs"] == pytest.approx(one["aggregation_inputs"], abs=1e-7, nan_ok=True)


@unhurried
@given(crowds, st.integers(0, 1000))
def test_one_more_target_reached_never_lowers_the_chance(said, more):
    better = [each | {"hits": each["hits"] + more} for each in said]
    one, other = heard(said)["chance"], heard(better)["chance"]
    assert math.isnan(one) == math.isnan(other)
    assert math.isnan(one) or other >= one - 1e-12


# -- the gates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "limit", "reads", "bound", "is_guard"),
    [(Strength, 0.5, "strength", "least_strength", False), (Agreement, 0.2, "agreement", "", True)],
)
def test_a_gate_refuses_below_its_limit_and_what_is_unknown(kind, limit, reads, bound, is_guard):
    gate = kind()
    assert (gate.layer, gate.reads, gate.params.limit) == (4, reads, limit)
    assert (getattr(gate, "bound", ""), gate.guard) == (bound, is_guard)
    values = (math.nextafter(limit, 0), limit, math.nextafter(limit, 1), NAN)
    passes = [bool(PASSES[gate.refuses](each, limit)) for each in values]
    assert passes == [False, True, True, False]


def played(block=10_000, hold=0.3, **limits):
    """Return a trial in which one strategy buys and sells, ever surer, and who ended each decision."""
    gates = {"strength": Strength(**limits), "agreement": Agreement()}
    layers = {"aggregation": Aggregation(hold=hold)}
    trial = Trial(gates, layers=layers, on_opposite="ignore", breaker_loss=0.0)
    signals, scores = np.tile([1, -1, 0, 2, -2], 20), np.linspace(0.01, 1.0, 100)
    trial.run(rows(np.full(100, 100.0)), signals, scores, block=block)
    names = {-1: "approved"} | {place.number: place.name for place in trial.chain.places}
    return trial, [names[each] for each in trial.decisions["reason"].tolist()]


def test_a_chain_asks_for_strength():
    _, ended = played()
    signals = [n for n in range(100) if n % 5 != 2]
    assert {ended[n] for n in range(2, 100, 5)} == {"has-signal"}
    assert [ended[n] == "strength" for n in signals] == [n < 49 for n in signals]  # 0.5 is row 49
    _, loose = played(limit=0.0)
    assert "strength" not in loose


def test_a_chain_asks_for_a_lean_beyond_the_hold():
    trial, ended = played(hold=1.0)  # one strategy leans by 1, which is not beyond
    assert set(ended) == {"has-signal", "direction"}
    refused = trial.decisions[0]
    assert (refused["value"], refused["limit"], refused["direction"]) == (1.0, 1.0, 0)


def test_blocks_of_any_size_decide_alike():
    whole, _ = played()
    for size in (1, 7):
        made, _ = played(size)
        assert made.ledger.run_hash == whole.ledger.run_hash
        for name in whole.decisions.dtype.names:
            assert made.decisions[name].tobytes() == whole.decisions[name].tobytes()


def test_the_package_offers_a_layer_and_its_gates():
    found = {each.name: each for group in GROUPS for each in entry_points(group=group)}
    offered = {"aggregation": Aggregation, "strength": Strength, "agreement": Agreement}
    assert {name: found[name].load() for name in offered} == offered


@pytest.mark.parametrize("kind", [Aggregation, Strength, Agreement])
def test_parameters_have_bounds(kind):
    for key, declared in kind.parameters().items():
        for value in (declared.low, declared.high):
            assert kind(**{key: value}).params.by_name()[key] == value
        for value in (declared.low - 1, declared.high + 1, NAN):
            with pytest.raises(ConfigError, match=f"parameter {key} was"):
                kind(**{key: value})


def _told():
    draws, parts = np.random.default_rng(3), list[float]()
    for size in range(25):
        said = [
            voice(int(draws.integers(-2, 3)), draws.random(), draws.random(), right=0.5, hits=int(100 * size))
            for _ in range(size)
        ]
        made = heard(said)
        parts += [made[name] for name in (*OWN, "strength", "agreement")]
        parts += made["aggregation_inputs"].tolist()
    values = np.array(parts)
    values[np.isnan(values)] = NAN  # the sign of a NaN that arithmetic made is the processor's affair
    return hashlib.sha256(values.tobytes()).hexdigest()


def test_the_bits_are_the_same_compiled_and_as_plain_python():
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1"}
    said = subprocess.run([sys.executable, __file__], env=other, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == _told()


if __name__ == "__main__":
    print(_told())
