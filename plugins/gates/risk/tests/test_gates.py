"""The gates that judge an assessment: each at its limit, and an entry through all of layer 6 in order."""

import math
import re
import tomllib
from functools import cache
from pathlib import Path

import nexus_gate_risk as risk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_gate_risk import Assessment

from nexus_core import compile, plugins
from nexus_core.errors import ConfigError
from nexus_core.ledger.judge import PROPOSAL
from nexus_core.records import ACCOUNT, CONTEXT, POSITION, ROW, UNIT, contexts, empty
from nexus_core.steps.tool import record
from nexus_core.testing import Trial, rows
from nexus_core.testing.contract import Subject, examine
from nexus_core.testing.gates import PASSES
from nexus_core.types import Instrument, Mode

NAN = math.nan
GATES = {
    "duplicate": risk.Duplicate,
    "position-size": risk.PositionSize,
    "daily-loss": risk.DailyLoss,
    "weekly-loss": risk.WeeklyLoss,
    "drawdown": risk.Drawdown,
    "signal-confidence": risk.SignalConfidence,
    "risk-multiplier": risk.RiskMultiplier,
    "market-class": risk.MarketClass,
    "against-market": risk.AgainstMarket,
    "critical-flags": risk.CriticalFlags,
    "risk-score": risk.RiskScore,
    "margin": risk.Margin,
    "var": risk.Var,
    "correlation": risk.Correlation,
    "stop-loss": risk.StopLoss,
    "min-size": risk.MinSize,
}
"""All gates of the package, in the order of the chain."""

READING = {name: kind for name, kind in GATES.items() if "reads" in vars(kind)}


def under(x):
    return math.nextafter(x, -math.inf)


def over(x):
    return math.nextafter(x, math.inf)


# -- what is declared -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "field", "limit", "passes"),
    [
        ("signal-confidence", "confidence", 0.57, (False, True, True)),
        ("risk-multiplier", "risk_multiplier", 0.30, (False, True, True)),
        ("market-class", "market_class", 2.0, (True, False, False)),
        ("against-market", "against", 1.0, (True, False, False)),
        ("critical-flags", "critical_flags", 0.0, (True, True, False)),
        ("risk-score", "risk_score", 0.80, (True, True, False)),
        ("correlation", "correlation", 0.70, (True, False, False)),
    ],
)
def test_a_gate_that_reads_just_under_at_and_just_over(gate, field, limit, passes):
    kind = GATES[gate]
    assert (kind.reads, kind().params.limit) == (field, limit)
    values = np.array([under(limit), limit, over(limit), NAN])
    assert PASSES[kind.refuses](values, limit).tolist() == [*passes, False]
    assert field in (*Assessment.writes, *CONTEXT)


def test_every_gate_that_reads_is_tried_above():
    assert set(READING) == {
        "signal-confidence", "risk-multiplier", "market-class", "against-market", "critical-flags",
        "risk-score", "correlation",
    }  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_found_by_its_name(name):
    assert plugins.load("gates", name) is GATES[name]


@pytest.mark.parametrize("name", [*READING, "var"])
def test_a_limit_has_bounds(name):
    declared = GATES[name].parameters()["limit"]
    for value in (declared.low, declared.high):
        assert GATES[name](limit=value).params.limit == value
    for value in (under(declared.low), over(declared.high), NAN):
        with pytest.raises(ConfigError, match=r"parameter limit was .+, must be in "):
            GATES[name](limit=value)


def test_which_gates_are_guards_and_which_are_halved():
    assert [name for name, kind in GATES.items() if kind.guard] == ["signal-confidence", "risk-score"]
    halved = {"position-size", "daily-loss", "weekly-loss", "drawdown", "var"}
    assert {name for name, kind in GATES.items() if kind.halves} == halved


def test_the_readme_lists_the_gates_in_their_order_with_their_limits():
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    lines = re.findall(r"^\| `([a-z-]+)` \| .+ \| (above|from|below) \| ([\d.]+) \| .+ \|$", readme, re.M)
    listed = [(name, refuses, float(limit)) for name, refuses, limit in lines]
    assert listed == [(name, kind.refuses, kind().params.limit) for name, kind in GATES.items()]


def test_the_project_offers_every_gate_and_the_assessment():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]
    assert points["nexus.gates"] == {name: f"nexus_gate_risk:{kind.__name__}" for name, kind in GATES.items()}
    assert points["nexus.layers"] == {"assessment": "nexus_gate_risk:Assessment"}
    assert plugins.load("layers", "assessment") is Assessment


# -- value at risk ----------------------------------------------------------------------------------


def at_risk(limit=0.02, signal=1, mode=Mode.NORMAL, close=100.0, instrument=None, **rules):
    """Return what the gate alone says of one entry of an account of 100,000: value, limit, passed."""
    rules = {"sizing": "fixed-notional", "notional": 50_000.0, "breaker_loss": 0.0, **rules}
    instruments = (instrument or Instrument("BTC-USD"),)
    trial = Trial({"var": risk.Var(limit=limit)}, instruments=instruments, **rules)
    for edge in ("next_hour", "next_day", "next_week"):
        trial.account[edge] = 2**62
    trial.account["cash"], trial.account["mode"] = 100_000 * UNIT, mode
    trial.run(rows([close]), [signal])
    verdict = trial.verdicts[-1]
    return float(verdict["value"]), float(verdict["limit"]), bool(verdict["passed"])


@pytest.mark.parametrize("signal", [1, -1])
def test_the_value_at_risk_by_hand(signal):
    # half of equity, 2 % to the stop: .5 x .02 x 1.645
    assert at_risk(signal=signal)[0] == pytest.approx(0.01645)
    assert at_risk(signal=signal, stop_loss_pct=0.05)[0] == pytest.approx(0.041125)
    assert at_risk(signal=signal, brackets=False)[0] == pytest.approx(0.8225)


@pytest.mark.parametrize("signal", [1, -1])
def test_the_value_at_risk_just_under_at_and_just_over(signal):
    value = at_risk(signal=signal)[0]
    found = [at_risk(limit, signal)[2] for limit in (under(value), value, over(value))]
    assert found == [False, True, True]


def test_a_stop_on_the_winning_side_is_none():
    gate = compiled("var")
    for side, values in ((1, [1.645, 0.0329, 1.645, 1.645]), (-1, [1.645, 1.645, 1.645, 0.0329])):
        entry = {"side": side, "price": 100 * UNIT, "notional": 100 * UNIT, "equity": 100 * UNIT}
        found = [gate(entry | {"stop": stop * UNIT}) for stop in (0, 98, 100, 102)]
        assert found == pytest.approx(values)


def test_the_value_at_risk_of_no_equity_or_no_price_is_unknown():
    gate = compiled("var")
    for entry in ({"equity": 0, "price": 100}, {"equity": -1, "price": 100}, {"equity": 100, "price": 0}):
        assert math.isnan(gate({"side": 1, "notional": 100, "stop": 98} | entry))


def test_in_reduced_the_entry_and_its_limit_are_halved():
    normal, reduced = at_risk(), at_risk(mode=Mode.REDUCED)
    assert reduced[:2] == pytest.approx((normal[0] / 2, normal[1] / 2))


def test_the_value_at_risk_keeps_the_contract_of_gates():
    findings = examine(Subject("gates", "var", risk.Var)).findings
    assert {each.number: each.text for each in findings if each.outcome == "failed"} == {}


def compiled(name):
    """Return a function from fields of the proposal to the value of a gate."""
    text = "def entry(rows, accounts, positions, proposals, params):\n"
    text += "    return gate(rows[0], accounts[0], positions[0], proposals[0], params[0])\n"
    entry = compile.entry("gate", text, {"gate": GATES[name].step})

    def value(fields):
        proposal = empty(PROPOSAL)
        for field, each in fields.items():
            proposal[field] = each
        return compile.call(
            entry, empty(ROW), empty(ACCOUNT), empty(POSITION), proposal, GATES[name]().params.record()
        )

    return value


# -- an entry through all gates ---------------------------------------------------------------------

FIELDS = dict.fromkeys([*CONTEXT, *Assessment.reads, *Assessment.writes], 1)
SEEN = contexts(FIELDS)
CASE = {
    "mqscore": 0.6, "liquidity": 0.6, "volatility": 0.4, "noise": 0.4, "regime": 2.0,
    "regime_confidence": 0.8, "mean_trust": 1.0, "confidence": 0.8, "scale": 1.0, "held": 0,
    "occupied": 0, "mode": 0,
    "equity": 100_000, "peak": 100_000, "day_start": 100_000, "week_start": 100_000, "held_margin": 0,
    "side": 1, "price": 100, "notional": 5_000, "stop": 98, "min_notional": 10,
}  # fmt: skip
"""An entry that passes, of 5 % of equity. `held` is the quantity of another symbol, which moves alike."""

CHAIN = """
def entry(rows, contexts, accounts, positions, proposals, states, params, given, values):
    row, context, account, proposal = rows[0], contexts[0], accounts[0], proposals[0]
    assess(row, context, account, positions, proposal, states[0], params[0])
"""


@cache
def chain():
    text, bound = CHAIN, {"assess": Assessment.step}
    for n, (name, kind) in enumerate(GATES.items()):
        if name in READING:
            text += f"    values[{n}] = context.{kind.reads}\n"
        else:
            text += f"    values[{n}] = gate_{n}(row, account, positions[0], proposal, given[0].g{n})\n"
            bound[f"gate_{n}"] = kind.step
    return compile.entry("layer_six", text, bound)


def held():
    """Return the state after two symbols have moved alike over 60 rows."""
    params = Assessment().params
    states = np.array([record(**Assessment.state(params, 2))])
    text = "def entry(rows, states, params):\n"
    text += "    for n in range(rows.size):\n        watch(rows[n], states[0], params[0])\n"
    made = empty(ROW, 120)
    made["ts"], made["symbol"] = np.arange(120) // 2 + 1, np.arange(120) % 2
    made["close"] = 100.0 + np.random.default_rng(5).normal(size=60).cumsum().repeat(2)
    compile.call(compile.entry("watch", text, {"watch": Assessment.watch}), made, states, params.record())
    return states


STATES = held()


def reason(case, limits=()):
    """Return the name of the first gate that refuses an entry, or approved."""
    case, limits = CASE | case, dict(limits)
    context, account, proposal = (empty(kind) for kind in (SEEN, ACCOUNT, PROPOSAL))
    for name in FIELDS:
        context[name] = case.get(name, NAN)
    for name in ("peak", "day_start", "week_start"):
        account[name] = round(case[name] * UNIT)
    account["margin"], account["mode"] = round(case["held_margin"] * UNIT), case["mode"]
    for name in ("equity", "price", "notional", "stop", "min_notional"):
        proposal[name] = round(case[name] * UNIT)
    for name in ("side", "confidence", "occupied"):
        proposal[name] = case[name]
    proposal["margin"], proposal["lot"] = proposal["notional"], 1
    proposal["qty"] = round(case["notional"] / case["price"] * UNIT)
    positions = empty(POSITION, 2)
    positions[1]["qty"] = case["held"] * UNIT
    made = [kind(**({"limit": limits[name]} if name in limits else {})) for name, kind in GATES.items()]
    given = np.array([record(**{f"g{n}": gate.params.record()[0] for n, gate in enumerate(made)})])
    values, params = np.zeros(len(made)), Assessment().params.record()
    compile.call(chain(), empty(ROW), context, account, positions, proposal, STATES, params, given, values)
    for name, gate, value in zip(GATES, made, values.tolist(), strict=True):
        limit = gate.params.limit * (0.5 if gate.halves and case["mode"] == Mode.REDUCED else 1.0)
        if not PASSES[gate.refuses](value, limit):
            return name
    return "approved"


FALL = {"equity": 90_000, "day_start": 90_000, "week_start": 90_000}
LOOSE = {"risk-multiplier": 0.0, "market-class": 3.0, "critical-flags": 2.0, "signal-confidence": 0.0}
REASONS = [
    ("approved", {}, {}),
    ("duplicate", {"occupied": 1}, {}),
    ("position-size", {"notional": 10_000.01}, {}),
    ("daily-loss", {"equity": 98_000}, {}),
    ("weekly-loss", {"equity": 95_000, "day_start": 95_000}, {}),
    ("drawdown", {"equity": 85_000, "day_start": 85_000, "week_start": 85_000}, {}),
    ("signal-confidence", {"confidence": 0.56}, {}),
    ("risk-multiplier", {"equity": 98_250}, {}),  # 1.75 % of 2 % lost: a quarter is left
    ("market-class", {"volatility": 0.81, "noise": 0.71}, {}),
    ("market-class", {"regime": 9.0}, {}),
    ("market-class", {"regime": 11.0}, {}),
    ("against-market", {"regime": 1.0}, {}),
    ("against-market", {"regime": 0.0, "side": -1, "stop": 102}, {}),
    ("critical-flags", {"mqscore": 0.49}, {}),  # which layer 1 lets through
    ("critical-flags", {"liquidity": 0.29}, {}),
    ("critical-flags", {"mqscore": NAN}, {}),
    # a fall of two thirds of its limit: (1 + 1 + .667 + .7) / 4 = .842
    ("risk-score", FALL | {"volatility": 1.0, "mqscore": 0.0, "confidence": 0.3}, LOOSE),
    ("margin", {"held_margin": 94_500.01}, {}),  # 5,500 free for 5,000 is 110 %
    ("approved", {"held_margin": 94_500}, {}),
    ("var", {"stop": 75}, {}),  # .05 x .25 x 1.645 = .0206
    ("approved", {"stop": 76}, {}),
    ("correlation", {"held": 1}, {}),
    ("approved", {"held": -1}, {}),
    ("stop-loss", {"stop": 0, "notional": 1_200}, {}),  # without a stop .012 x 1.645 = .0197 are at risk
    ("var", {"stop": 0}, {}),
    ("min-size", {"notional": 9.99}, {}),
]


@pytest.mark.parametrize(("due", "case", "limits"), REASONS)
def test_each_reason_to_refuse(due, case, limits):
    assert reason(case, limits.items()) == due


def test_every_reason_is_met():
    assert {due for due, _, _ in REASONS} == {*GATES, "approved"}


def test_without_layer_1_an_entry_passes():
    unknown = dict.fromkeys(
        ("mqscore", "liquidity", "volatility", "noise", "regime", "regime_confidence"), NAN
    )
    assert reason(unknown) == reason(unknown | {"mean_trust": NAN}) == "approved"


@pytest.mark.parametrize("name", ["confidence", "equity", "peak", "day_start", "week_start"])
def test_what_is_unknown_of_the_account_or_the_signal_is_refused(name):
    assert reason({name: NAN if name == "confidence" else 0}) != "approved"


def test_what_layer_1_left_unknown_is_refused():
    for name in ("mqscore", "liquidity", "regime"):
        assert reason({name: NAN}) != "approved"


def test_a_guard_refuses_only_where_an_earlier_gate_is_loosened():
    # of the worst entry that the multiplier lets through, the score is .7
    for confidence in (0.57, 0.6):
        for equity in (86_000, 90_000, 99_000):
            case = {"confidence": confidence, "equity": equity, "day_start": equity, "week_start": equity}
            for volatility in (0.5, 0.8, 1.0):
                for mqscore in (0.0, 0.5, 1.0):
                    found = reason(case | {"volatility": volatility, "mqscore": mqscore})
                    assert found != "risk-score"


UNIT_RANGE = st.floats(0.0, 1.0)
CASES = st.fixed_dictionaries(
    {
        **dict.fromkeys(("mqscore", "liquidity", "volatility", "noise", "confidence"), UNIT_RANGE),
        "regime": st.integers(0, 11).map(float),
        "equity": st.integers(80_000, 110_000),
        "notional": st.integers(1, 20_000),
        "stop": st.integers(0, 101),
        "held": st.integers(-1, 1),
    }
)


@given(CASES, st.sampled_from([*GATES][1:]), UNIT_RANGE)
def test_loosening_a_limit_never_refuses_what_passed(case, name, share):
    limit = GATES[name].parameters()["limit"]
    loosest = limit.low if GATES[name].refuses == "below" else limit.high
    looser = limit.default + (loosest - limit.default) * share
    strict, loose = reason(case), reason(case, [(name, looser)])
    order = [*GATES, "approved"]
    assert order.index(loose) >= order.index(strict)
    assert loose == strict or strict == name
