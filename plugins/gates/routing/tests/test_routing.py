"""The router by hand, each gate just under, at and just over its limit, and what never slips through."""

import json
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_gate_routing import INPUTS, Action, Confidence, Routing, gather
from nexus_gate_routing.governor import MODELS
from nexus_gate_routing.table import fit

from nexus_core import compile, plugins
from nexus_core.errors import ConfigError, DataError
from nexus_core.records import ABSENT, CONTEXT, ROW, VOICE, contexts, empty
from nexus_core.steps.tool import record

LOOP = """
def entry(rows, contexts, voices, states, parameters):
    params = parameters[0]
    for n in range(rows.size):
        watch(rows[n], contexts[n], states[0], params)
        step(rows[n], contexts[n], voices, params)
"""

NAN = math.nan
HAND = {"scores": [0.2, 0.4, 0.8], "ranks": [0.1, 0.5, 0.9]}
"""A table to work with by hand."""


TYPE = contexts(CONTEXT | dict.fromkeys(Routing.reads, 1) | dict(Routing.writes))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep the tables of whoever runs the tests out of them."""
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("nexus_gate_routing.table.PACKAGED", tmp_path / "none.json")
    return tmp_path


def tabled(home, table, below="calibration"):
    path = home / below / "router.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table if isinstance(table, str) else json.dumps(table))
    return path


def routed(layer, count=1, trust=None, voices=(1,), rows=None, **fields):
    """Return the contexts that the layer leaves of these fields, each a number or one for every row."""
    made = empty(TYPE, count)
    for name in TYPE.names or ():
        made[name] = NAN
    for name, value in ({"direction": 0.0, "hold": 0.0, "scale": 1.0} | fields).items():
        made[name] = value
    spoken = empty(VOICE, len(voices))
    spoken["signal"] = voices
    params = layer.params.record()
    states = np.array([record(**layer.state(layer.params, 60 * 10**9))])
    if trust is not None:
        states["models"]["mean_trust"], states["models"]["trust"][0, 0] = trust, trust
    entry = compile.entry("routing", LOOP, {"watch": Routing.watch, "step": Routing.step})
    before = states.tobytes()
    compile.call(entry, empty(ROW, count) if rows is None else rows, made, spoken, states, params)
    assert states.tobytes() == before  # rows teach it nothing
    return made


def one(layer=None, **fields):
    return routed(layer or Routing(), **fields)[0]


GATHER = """
def entry(contexts, voices, inputs):
    gather(contexts[0], voices, inputs)
"""


def asked_with(trust=1.0, voices=(1,), **fields):
    """Return what a model of the router would be asked with."""
    made = empty(TYPE)
    for name in TYPE.names or ():
        made[name] = NAN
    for name, value in fields.items():
        made[name] = value
    made["trust"] = 1.0
    made["trust"][0, 0] = trust
    spoken, inputs = empty(VOICE, len(voices)), np.full(INPUTS, NAN)
    spoken["signal"] = voices
    compile.call(compile.entry("gather", GATHER, {"gather": gather}), made, spoken, inputs)
    return inputs


def passes(gate, context):
    """Tell whether a gate lets a context through, by what it declares."""
    value, limit = float(context[gate.reads]), gate.params.limit
    if gate.refuses == "to":
        return value > limit
    assert gate.refuses == "below"
    bound = float(context[gate.bound])
    return value >= (bound if bound > limit else limit)


# -- what the router says ---------------------------------------------------------------------------

SIDES = [
    # lean, trust, p_buy, p_sell
    (1.0, 1.0, 1.0, 0.0),
    (0.5, 1.0, 0.75, 0.25),
    (-0.5, 1.0, 0.25, 0.75),
    (-1.0, 1.0, 0.0, 1.0),
    (0.0, 1.0, 0.5, 0.5),
    (0.2, 1.0, 0.6, 0.4),
    (0.5, 0.8, 0.6, 0.2),
    (-0.5, 0.8, 0.2, 0.6),
    (3.0, 1.0, 1.0, 0.0),  # without layer 4 the lean is a sum of signals
    (-2.0, 0.5, 0.0, 0.5),
    (0.5, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("lean", "trust", "p_buy", "p_sell"), SIDES)
@pytest.mark.parametrize("literal", [False, True])
def test_the_chances_of_either_side(literal, lean, trust, p_buy, p_sell):
    after = one(Routing(literal=literal), lean=lean, strength=0.8, trust=trust)
    assert (after["p_buy"], after["p_sell"]) == pytest.approx((p_buy, p_sell), abs=1e-15)
    assert after["action_probability"] == max(after["p_buy"], after["p_sell"])


def test_without_a_table_the_confidence_is_the_conviction_itself():
    after = one(lean=-0.5, strength=0.8)
    assert (after["routed"], after["confidence"], after["routed_by"]) == (0.4, 0.4, 0.0)
    assert after["value"] == pytest.approx(-0.5 * 0.4 * 0.01)


@pytest.mark.parametrize(
    ("lean", "strength", "rank"),
    [
        (0.5, 0.6, 0.3),  # 0.3 lies halfway between 0.2 and 0.4
        (-0.5, 0.6, 0.3),
        (0.5, 0.4, 0.1),
        (0.5, 0.8, 0.5),
        (1.0, 0.6, 0.7),
        (1.0, 0.8, 0.9),
        (1.0, 1.0, 0.9),  # beyond the last knot
        (0.1, 0.5, 0.1),  # below the first
        (9.0, 0.6, 0.7),
    ],
)
def test_with_a_table_the_confidence_is_the_rank(home, lean, strength, rank):
    tabled(home, HAND)
    after = one(lean=lean, strength=strength)
    assert after["routed"] == after["confidence"] == pytest.approx(rank)
    assert after["routed_by"] == 1.0
    assert after["conviction"] == pytest.approx(min(abs(lean), 1.0) * strength)
    assert after["value"] == pytest.approx(max(-1.0, min(lean, 1.0)) * rank * 0.01)


@pytest.mark.parametrize(
    ("lean", "strength", "trust", "confidence"),
    [
        (1.0, 0.8, 1.0, 0.8),
        (0.5, 0.8, 1.0, 0.6),  # 0.75 x 0.8
        (-0.5, 0.8, 0.5, 0.3),
        (0.0, 1.0, 1.0, 0.5),
    ],
)
def test_the_rule_as_written(home, lean, strength, trust, confidence):
    tabled(home, HAND)  # a table changes nothing
    after = one(Routing(literal=True), lean=lean, strength=strength, trust=trust)
    assert after["routed"] == after["confidence"] == pytest.approx(confidence)
    assert after["routed_by"] == 2.0
    assert after["value"] == pytest.approx(lean * confidence * 0.01)


def test_words_say_where_a_confidence_comes_from():
    assert Routing.words["routed_by"] == ("raw", "table", "literal")


def test_without_layer_4_the_confidence_of_the_kept_signals_is_the_strength():
    after = one(lean=2.0, confidence=0.9)
    assert after["routed"] == 0.9
    assert asked_with(lean=2.0, confidence=0.9)[1] == 0.9
    assert one(lean=2.0, strength=0.6, confidence=0.9)["routed"] == 0.6


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("fields", [{"lean": NAN, "strength": 0.9}, {"lean": 1.0}, {}])
def test_what_is_unknown_is_refused(home, literal, table, fields):
    if table:
        tabled(home, HAND)
    after = one(Routing(literal=literal), **fields)
    assert math.isnan(after["routed"])
    assert math.isnan(after["confidence"])
    assert math.isnan(after["value"])
    assert not passes(Confidence(limit=0.0), after)
    if "lean" not in fields or math.isnan(fields["lean"]):
        assert math.isnan(after["action_probability"])
        assert not passes(Action(limit=0.0), after)


# -- what the governor says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "confidence", "strength", "multiplier"),
    [(None, 0.70, 0.5, 1.2), (0.7, 0.75, 0.5, 0.84), (0.6, 0.75, 0.6, 0.72), (0.0, 0.75, 0.6, 0.0)],
)
def test_the_governor_writes_on_every_row(trust, confidence, strength, multiplier):
    after = one(lean=1.0, strength=1.0, trust=trust, scale=0.5)
    mean = 1.0 if trust is None else trust
    assert (after["mean_trust"], after["position_scaler"]) == (mean, mean)
    assert (after["least_confidence"], after["least_strength"]) == (confidence, strength)
    assert after["trust_multiplier"] == pytest.approx(multiplier)
    assert after["scale"] == 0.5 * mean
    assert after["trust"].tolist() == [mean] + [1.0] * (MODELS - 1)
    assert after["retrain"] == 0.0


def test_thresholds_are_parameters():
    chosen = {"enough_for_confidence": 0.9, "trusted_confidence": 0.6, "doubted_confidence": 0.95}
    chosen |= {"enough_for_strength": 0.95, "trusted_strength": 0.1, "doubted_strength": 0.3}
    layer = Routing(**chosen, multiplier=1.0, unit=0.5)
    after = one(layer, lean=1.0, strength=0.5, trust=0.93)
    assert (after["least_confidence"], after["least_strength"]) == (0.6, 0.3)
    assert (after["trust_multiplier"], after["value"]) == (0.93, 0.25)


def test_rows_of_holes_leave_the_governor_as_it_is():
    rows = empty(ROW, 3)
    for name in ("open", "high", "low", "close", "volume", "bid", "ask"):
        rows[name] = [NAN, math.inf, 0.0]
    after = routed(Routing(), 3, rows=rows, lean=1.0, strength=0.8)
    assert after["mean_trust"].tolist() == [1.0] * 3
    assert after["routed"].tolist() == [0.8] * 3


# -- what a model of the router is asked with -------------------------------------------------------


def test_the_inputs_stand_where_the_readme_says():
    market = ["mqscore", "regime", "volatility", "liquidity", "momentum", "trend_strength", "noise"]
    known = {name: n / 10 for n, name in enumerate(market, 1)}
    inputs = asked_with(lean=-0.4, strength=0.8, trust=0.9, voices=(1, 0, -2, ABSENT, -1), **known)
    assert inputs.size == INPUTS == 126
    assert inputs[:3].tolist() == [-0.4, 0.8, 3.0]
    assert inputs[3:10].tolist() == [known[name] for name in market]
    assert inputs[10:25].tolist() == [0.9] + [1.0] * 14
    assert inputs[25:].tolist() == [0.0] * 101
    assert set(market) <= set(Routing.reads)


def test_what_the_inputs_do_not_know_is_nan():
    inputs = asked_with(lean=0.4, strength=0.8)
    assert np.isnan(inputs[3:10]).all()
    assert np.isfinite(np.delete(inputs, range(3, 10))).all()


# -- gates ------------------------------------------------------------------------------------------


def test_what_the_gates_declare():
    assert (Action.layer, Action.reads, Action.refuses, Action.guard) == (5, "action_probability", "to", True)
    assert (Action().params.limit, Confidence().params.limit) == (0.6, 0.7)
    declared = Confidence.layer, Confidence.reads, Confidence.refuses, Confidence.bound
    assert declared == (5, "routed", "below", "least_confidence")
    assert {Action.reads, Confidence.reads, Confidence.bound} <= set(Routing.writes)


@pytest.mark.parametrize("name", ["routing", "action", "confidence"])
def test_a_name_leads_to_its_plugin(name):
    kind = plugins.imported(plugins.find("layers" if name == "routing" else "gates", name))
    assert kind is {"routing": Routing, "action": Action, "confidence": Confidence}[name]


@pytest.mark.parametrize("gate", [Action, Confidence])
def test_a_limit_has_bounds(gate):
    for limit in (0.0, 1.0):
        assert gate(limit=limit).params.limit == limit
    for limit in (math.nextafter(0, -1), math.nextafter(1, 2), NAN):
        with pytest.raises(ConfigError, match="must be in"):
            gate(limit=limit)


@pytest.mark.parametrize(
    ("lean", "passed"),
    [(0.19, False), (0.2, False), (0.21, True), (-0.2, False), (-0.21, True), (0.0, False), (1.0, True)],
)
def test_a_side_needs_more_than_six_tenths(lean, passed):
    assert passes(Action(), one(lean=lean, strength=0.9)) is passed


@pytest.mark.parametrize(("p", "passed"), [(math.nextafter(0.6, 0), False), (0.6, False), (0.601, True)])
def test_the_limit_of_action_itself_is_refused(p, passed):
    assert passes(Action(), one(lean=1.0, strength=0.9, trust=p)) is passed


@pytest.mark.parametrize(
    ("strength", "trust", "passed"),
    [
        (math.nextafter(0.7, 0), 1.0, False),
        (0.7, 1.0, True),
        (math.nextafter(0.7, 1), 1.0, True),
        (0.7, 0.7, False),  # the governor asks for 0.75
        (math.nextafter(0.75, 0), 0.7, False),
        (0.75, 0.7, True),
    ],
)
def test_the_governor_raises_the_limit_of_confidence(strength, trust, passed):
    assert passes(Confidence(), one(lean=1.0, strength=strength, trust=trust)) is passed


def test_the_gate_keeps_its_own_limit_where_that_is_higher():
    assert not passes(Confidence(limit=0.8), one(lean=1.0, strength=0.79))
    assert passes(Confidence(limit=0.8), one(lean=1.0, strength=0.8))
    assert not passes(Confidence(limit=0.1), one(lean=1.0, strength=0.69))


def test_behind_the_gate_of_direction_action_is_a_guard_while_trust_is_whole():
    leans = np.linspace(math.nextafter(0.3, 1), 1.0, 200)
    after = routed(Routing(), 200, lean=leans, strength=0.6)
    assert after["action_probability"].min() > 0.6
    # it is one no longer once a model is trusted less than 0.6 / 0.65
    assert not passes(Action(), one(lean=math.nextafter(0.3, 1), strength=1.0, trust=0.92))


def grid(layer, trust, points=101):
    leans, strengths = (each.ravel() for each in np.meshgrid(*[np.linspace(0, 1, points)] * 2))
    return routed(layer, leans.size, lean=leans, strength=strengths, trust=trust)


def test_as_written_the_rules_can_never_act_at_a_cold_start():
    # accuracy 0.5, Sharpe 0: trust 0.3 caps p at 0.3
    after = grid(Routing(literal=True), 0.6 * 0.5 + 0.4 * 0.0)
    assert after["action_probability"].max() == pytest.approx(0.3)
    assert after["routed"].max() == pytest.approx(0.3)
    assert not any(passes(Action(), each) or passes(Confidence(), each) for each in after)


@pytest.mark.parametrize("literal", [False, True])
def test_at_a_mean_trust_of_six_tenths_nothing_acts(literal):
    assert not any(passes(Action(), each) for each in grid(Routing(literal=literal), 0.6))
    assert any(passes(Action(), each) for each in grid(Routing(literal=literal), 0.61))


# -- the table --------------------------------------------------------------------------------------


def test_the_first_table_that_there_is_counts(home):
    assert Routing().table is None
    tabled(home, HAND | {"ranks": [0.0, 0.0, 0.0]}, "data/nexus/calibration")
    assert one(lean=1.0, strength=1.0)["routed"] == 0.0
    tabled(home, HAND)
    assert one(lean=1.0, strength=1.0)["routed"] == 0.9


def test_a_table_is_told_apart_by_its_digest(home):
    tabled(home, HAND)
    first = Routing().table.digest
    tabled(home, HAND | {"run": "another", "rows": 7})
    assert Routing().table.digest == first
    tabled(home, HAND | {"ranks": [0.1, 0.5, 0.91]})
    assert Routing().table.digest != first


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[]",
        {},
        {"scores": [0.1], "ranks": [0.1, 0.2]},
        {"scores": [], "ranks": []},
        {"scores": [0.1, 0.1], "ranks": [0.1, 0.2]},
        {"scores": [0.2, 0.1], "ranks": [0.1, 0.2]},
        {"scores": [0.1, 0.2], "ranks": [0.2, 0.1]},
        {"scores": [0.1, 1.1], "ranks": [0.1, 0.2]},
        {"scores": [0.1, 0.2], "ranks": [-0.1, 0.2]},
        '{"scores": [NaN], "ranks": [0.5]}',
        {"scores": [n / 102 for n in range(102)], "ranks": [n / 102 for n in range(102)]},
        {"scores": "ab", "ranks": "cd"},
    ],
)
def test_what_is_no_table_is_refused_by_the_name_of_its_file(home, broken):
    path = tabled(home, broken)
    with pytest.raises(
        DataError, match=re.escape(str(path)) + r": is no table of the router .+ Fit it again"
    ):
        Routing()


def test_the_table_stays_out_of_the_settings(home):
    tabled(home, HAND)
    layer = Routing(unit=0.02)
    assert json.loads(json.dumps(layer.params.by_name()))["unit"] == 0.02
    assert set(layer.params.by_name()) == set(Routing.parameters())
    assert layer.params.record()["ranks"][0][:3].tolist() == HAND["ranks"]


def test_the_readme_names_every_parameter_and_field():
    text = (Path(__file__).parent.parent / "README.md").read_text()
    for name, param in Routing.parameters().items():
        shown = "false" if param.default is False else f"{param.default:g}"
        (default,) = re.findall(rf"^\| `{name}` \| ([^|]+) \|", text, re.M)
        assert float(default) == param.default if shown != "false" else default == "false"
        assert param.help in text
    for name in {*Routing.writes, *Routing.reads}:
        assert f"`{name}`" in text, name


# -- properties -------------------------------------------------------------------------------------

leans, shares = st.floats(-1.5, 1.5), st.floats(0, 1)
LAYERS = ("raw", "table", "literal")


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """Return the three ways to route, made once."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXUS_HOME", str(home))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        made = {"raw": Routing(), "literal": Routing(literal=True)}
        tabled(home, fit(np.random.default_rng(5).beta(2, 3, 700)))
        return made | {"table": Routing()}


@pytest.mark.parametrize("way", LAYERS)
@settings(max_examples=80, deadline=None)
@given(lean=leans, strength=shares, trust=shares)
def test_everything_stays_in_bounds(layers, way, lean, strength, trust):
    after = one(layers[way], lean=lean, strength=strength, trust=trust)
    for name in ("p_buy", "p_sell", "action_probability", "routed", "confidence", "position_scaler"):
        assert 0.0 <= after[name] <= 1.0, name
    assert after["p_buy"] + after["p_sell"] == pytest.approx(trust)
    assert abs(after["value"]) <= 0.01


@pytest.mark.parametrize("way", LAYERS)
@settings(max_examples=80, deadline=None)
@given(lean=leans, strength=shares, farther=shares, stronger=shares, trust=shares)
def test_a_farther_lean_or_more_strength_never_lowers_the_confidence(
    layers, way, lean, strength, farther, stronger, trust
):
    fields = {"lean": [lean, lean * (1 + farther)], "trust": trust}
    fields["strength"] = [strength, strength + (1 - strength) * stronger]
    less, more = routed(layers[way], 2, **fields)["routed"]
    assert more >= less - 1e-12


@pytest.mark.parametrize("way", LAYERS)
@settings(max_examples=80, deadline=None)
@given(lean=leans, strength=shares, trust=shares)
def test_buying_and_selling_are_alike(layers, way, lean, strength, trust):
    up, down = routed(layers[way], 2, lean=[lean, -lean], strength=strength, trust=trust)
    assert (up["p_buy"], up["p_sell"]) == (down["p_sell"], down["p_buy"])
    assert (up["routed"], up["value"]) == (down["routed"], -down["value"])


@settings(max_examples=80, deadline=None)
@given(lean=leans, strength=shares, trust=shares, limits=st.tuples(shares, shares), asked=shares, cut=shares)
def test_a_looser_threshold_never_refuses_what_a_stricter_one_passed(
    lean, strength, trust, limits, asked, cut
):
    loose, strict = sorted(limits)
    after = one(lean=lean, strength=strength, trust=trust)
    for gate in (Action, Confidence):
        assert passes(gate(limit=loose), after) or not passes(gate(limit=strict), after)
    # nor does a governor that asks for less
    names = ("trusted_confidence", "doubted_confidence")
    fields = {"lean": lean, "strength": strength, "trust": trust}
    less = one(Routing(**dict.fromkeys(names, asked * cut)), **fields)
    more = one(Routing(**dict.fromkeys(names, asked)), **fields)
    assert passes(Confidence(limit=0.0), less) or not passes(Confidence(limit=0.0), more)


@pytest.mark.jit
@pytest.mark.skipif(not compile.JIT, reason="nothing is compiled")
def test_a_row_takes_less_than_a_third_of_a_microsecond(home):
    tabled(home, HAND)
    layer, size = Routing(), 5_000
    made, states = empty(TYPE, size), np.array([record(**layer.state(layer.params, 60 * 10**9))])
    made["lean"], made["strength"], made["scale"] = 0.4, 0.8, 1.0
    entry = compile.entry("routing", LOOP, {"watch": Routing.watch, "step": Routing.step})
    given = empty(ROW, size), made, empty(VOICE, 20), states, layer.params.record()

    def took():
        begun = time.thread_time()
        entry(*given)
        return time.thread_time() - begun

    took()
    assert min(took() for _ in range(5)) / size <= 0.3e-6
