"""The risk limits: each just under, at and just over its limit, with what is unknown, and in REDUCED."""

import math

import nexus_gate_risk as risk
import pytest

from nexus_core import compile, plugins
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import ConfigError
from nexus_core.ledger.judge import PROPOSAL
from nexus_core.records import ACCOUNT, POSITION, ROW, UNIT, empty
from nexus_core.testing import Trial, rows
from nexus_core.types import Instrument, Mode, Outcome

GATES = {
    "duplicate": risk.Duplicate,
    "position-size": risk.PositionSize,
    "daily-loss": risk.DailyLoss,
    "weekly-loss": risk.WeeklyLoss,
    "drawdown": risk.Drawdown,
    "margin": risk.Margin,
    "stop-loss": risk.StopLoss,
    "min-size": risk.MinSize,
}
LOOSE = {"position-size": 100.0, "daily-loss": 1.0, "weekly-loss": 1.0, "drawdown": 1.0, "margin": 1.0}
LOOSE |= {"stop-loss": 0.0}
"""Limits with which a gate is out of the way of the others."""

FOLLOWED = {
    "position-size": "max_position_size",
    "daily-loss": "max_daily_loss",
    "weekly-loss": "max_weekly_loss",
    "drawdown": "max_drawdown",
}


def tried(closes, signals, limits, account, instrument=None, **rules):
    """Return a trial with all gates over rows at these prices, and the names of what can refuse."""
    chosen = LOOSE | limits
    given = {name: {"limit": chosen[name]} if name in chosen else {} for name in GATES}
    rules = {"sizing": "fixed-notional", "notional": 1000.0, "breaker_loss": 0.0, **rules}
    gates = {name: kind(**given[name]) for name, kind in GATES.items()}
    trial = Trial(gates, instruments=(instrument or Instrument("BTC-USD"),), **rules)
    for edge in ("next_hour", "next_day", "next_week"):
        trial.account[edge] = 2**62  # no day or week begins
    for name, value in account.items():
        trial.account[name] = round(value * UNIT) if name != "mode" else value
    trial.run(rows(closes), signals)
    return trial, {-1: "approved"} | {place.number: place.name for place in trial.chain.places}


def judged(*arguments, **rules):
    """Return what the last decision came to, with its verdicts by gate as value and limit."""
    trial, names = tried(*arguments, **rules)
    decision = trial.decisions[-1]
    last = trial.verdicts[len(trial.verdicts) - int(decision["verdicts"]) :]
    verdicts = {names[int(each["gate"])]: (float(each["value"]), float(each["limit"])) for each in last}
    return names[int(decision["reason"])], verdicts


def one(limits, account, close=1.0, **rules):
    return judged([close], [rules.pop("signal", 1)], limits, account, **rules)


CENT = 1 / UNIT
"""The ledger's finest step of money."""

MONEY = {"cash": 100_000.0, "day_start": 100_000.0, "week_start": 100_000.0, "peak": 100_000.0}

EDGES = [
    # gate, its limit, the amount at which the value is the limit, and who refuses just under, at, just over
    ("position-size", 0.10, "notional", 10_000.0, (False, False, True)),
    ("daily-loss", 0.02, "cash", 98_000.0, (True, True, False)),
    ("weekly-loss", 0.05, "cash", 95_000.0, (True, True, False)),
    ("drawdown", 0.15, "cash", 85_000.0, (True, True, False)),
    ("margin", 1.25, "notional", 80_000.0, (False, False, True)),
]


@pytest.mark.parametrize(("gate", "limit", "moved", "at", "refuses"), EDGES, ids=[each[0] for each in EDGES])
def test_a_limit_just_under_at_and_just_over(gate, limit, moved, at, refuses):
    for amount, refused in zip((at - CENT, at, at + CENT), refuses, strict=True):
        account, rules = (MONEY | {"cash": amount}, {}) if moved == "cash" else (MONEY, {"notional": amount})
        reason, verdicts = one({gate: limit}, account, **rules)
        assert (reason, verdicts[gate][1]) == (gate if refused else "approved", limit)
        assert (verdicts[gate][0] == limit) == (amount == at)


def test_what_is_held_already_counts_against_the_margin():
    # 100,000 - 60,000 = 40,000 free, twice the 20,000 of the entry
    account = MONEY | {"margin": 60_000.0}
    assert one({"margin": 2.0}, account, notional=20_000.0)[0] == "approved"
    assert one({"margin": 2.0}, account, notional=20_000.01)[0] == "margin"
    # of a notional of 100,000 a tenth is held: 40,000 / 10,000
    tenth = Instrument("BTC-USD", margin_rate="0.1")
    assert one({}, account, notional=100_000.0, instrument=tenth)[1]["margin"] == (4.0, 1.0)


def test_a_gain_is_a_loss_below_zero():
    _, verdicts = one({}, MONEY | {"cash": 110_000.0, "peak": 110_000.0})
    assert [verdicts[name][0] for name in ("daily-loss", "weekly-loss", "drawdown")] == [-0.1, -0.1, 0.0]


@pytest.mark.parametrize(
    ("gate", "account", "rules"),
    [
        ("position-size", {"cash": 0.0}, {}),
        ("position-size", {"cash": -1.0}, {}),
        ("daily-loss", {"day_start": 0.0}, {}),
        ("daily-loss", {"day_start": -1.0}, {}),
        ("weekly-loss", {"week_start": 0.0}, {}),
        ("drawdown", {"peak": 0.0}, {}),
        # a millionth at a millionth each is worth less than the ledger can tell from nothing
        ("margin", {}, {"sizing": "fixed-quantity", "quantity": 1e-6, "close": 1e-6}),
    ],
)
def test_what_cannot_be_said_is_refused(gate, account, rules):
    reason, verdicts = one({}, MONEY | account, **rules)
    assert reason == gate
    assert math.isnan(verdicts[gate][0])


# -- stop, size, duplicate --------------------------------------------------------------------------


@pytest.mark.parametrize("signal", [1, -1])
def test_an_entry_needs_a_stop_on_its_losing_side(signal):
    wanted = {"stop-loss": 1.0}
    assert one(wanted, MONEY, close=100.0, signal=signal)[0] == "approved"
    assert one(wanted, MONEY, close=100.0, signal=signal, brackets=False)[0] == "stop-loss"
    assert one({"stop-loss": 0.0}, MONEY, close=100.0, signal=signal, brackets=False)[0] == "approved"
    # 2 % away from 10 is nearest to 10 on a grid of whole prices: a stop that loses nothing is none
    coarse = Instrument("BTC-USD", tick=1)
    assert one(wanted, MONEY, close=10.0, signal=signal, instrument=coarse)[0] == "stop-loss"
    assert one(wanted, MONEY, close=30.0, signal=signal, instrument=coarse)[1]["stop-loss"][0] == 1.0


def test_a_stop_that_rounds_to_nothing_is_none():
    coarse = Instrument("BTC-USD", tick=1)
    assert one({"stop-loss": 1.0}, MONEY, close=0.4, instrument=coarse)[0] == "stop-loss"


def test_a_stop_on_the_winning_side_is_none():
    gate = compiled(risk.StopLoss)
    for side, expected in ((1, [0, 1, 0, 0]), (-1, [0, 0, 0, 1])):
        values = [gate({"side": side, "price": 100, "stop": stop}) for stop in (0, 99, 100, 101)]
        assert values == expected


@pytest.mark.parametrize(
    ("quantity", "close", "limit", "reason", "value"),
    [
        (0.2, 50.0, 1.0, "approved", 1.0),  # 10 of 10, two lots
        (0.2, 49.99999995, 1.0, "min-size", 0.999999999),
        (0.1, 1000.0, 1.0, "approved", 1.0),  # one lot, ten times the least notional
        (0.29, 1000.0, 2.0, "approved", 2.0),  # rounded down to two lots
        (0.19, 1000.0, 2.0, "min-size", 1.0),
        (0.09, 1000.0, 1.0, "size", None),  # no lot at all: the kernel's own answer
    ],
)
def test_an_entry_is_not_smaller_than_the_venue_takes(quantity, close, limit, reason, value):
    instrument = Instrument("BTC-USD", lot="0.1", min_notional=10)
    rules = {"sizing": "fixed-quantity", "quantity": quantity, "instrument": instrument}
    got, verdicts = one({"min-size": limit}, MONEY, close=close, **rules)
    assert got == reason
    if value is not None:
        assert verdicts["min-size"] == (pytest.approx(value, abs=1e-15), limit)


def test_without_a_least_notional_only_lots_count():
    instrument = Instrument("BTC-USD", lot="0.1")
    rules = {"sizing": "fixed-quantity", "quantity": 0.3, "instrument": instrument}
    assert one({"min-size": 3.0}, MONEY, close=1e-7, **rules)[1]["min-size"][0] == 3.0


@pytest.mark.parametrize("on_opposite", ["ignore", "reverse", "close"])
def test_one_position_a_symbol(on_opposite):
    assert judged([100, 100], [1, 1], {}, MONEY, on_opposite=on_opposite)[0] == "duplicate"
    opposite = {"ignore": "duplicate", "reverse": "approved", "close": "opposite"}[on_opposite]
    assert judged([100, 100], [1, -1], {}, MONEY, on_opposite=on_opposite)[0] == opposite
    # bought, reached the target of 104: flat again
    assert judged([100, 100, 105], [1, 0, 1], {}, MONEY, on_opposite=on_opposite)[0] == "approved"


def test_a_duplicate_is_skipped_and_a_broken_limit_rejected():
    trial, _ = tried([100, 100], [1, 1], {}, MONEY)
    assert trial.decisions["outcome"].tolist() == [Outcome.APPROVED, Outcome.SKIPPED]
    trial, _ = tried([100], [1], {"min-size": 1000.0, "position-size": 0.0001}, MONEY)
    assert trial.decisions["outcome"].tolist() == [Outcome.REJECTED]
    assert trial.account["rejected"] == 1


# -- limits -----------------------------------------------------------------------------------------


def test_the_four_limits_of_loss_and_size_are_halved_in_reduced():
    _, normal = one({}, MONEY)
    reason, reduced = one({}, MONEY | {"mode": Mode.REDUCED})
    halved = {name for name in reduced if reduced[name][1] != normal[name][1]}
    assert (reason, halved) == ("approved", set(FOLLOWED))
    assert all(reduced[name][1] == normal[name][1] / 2 for name in halved)


@pytest.mark.parametrize(
    ("gate", "limit", "account", "reason"),
    [
        # an entry is halved as well, so that one of 20,000 is one of 10,000: 10 % of equity
        ("position-size", 0.2, {}, "approved"),
        ("position-size", 0.1999999, {}, "position-size"),
        ("daily-loss", 0.02, {"cash": 99_000.0}, "daily-loss"),
        ("daily-loss", 0.02, {"cash": 99_000.01}, "approved"),
        ("weekly-loss", 0.05, {"cash": 97_500.0}, "weekly-loss"),
        ("weekly-loss", 0.05, {"cash": 97_500.01}, "approved"),
        ("drawdown", 0.15, {"cash": 92_500.0}, "drawdown"),
        ("drawdown", 0.15, {"cash": 92_500.01}, "approved"),
    ],
)
def test_a_halved_limit_refuses_at_half(gate, limit, account, reason):
    limits, reduced = {gate: limit}, MONEY | account | {"mode": Mode.REDUCED}
    assert one(limits, reduced, notional=20_000.0)[0] == reason
    assert one(limits, MONEY | account, notional=10_000.0)[0] == "approved"


def limits_of(tables):
    chain = assemble(Settings.from_dict(tables)).engine.chain
    names = {place.number: place.name for place in chain.places}
    return {names[each.number]: float(each.params["limit"][0]) for each in chain.ledger_gates}


def test_limits_follow_the_settings_unless_they_are_given():
    fallback = {"duplicate": 0.0, "margin": 1.1, "stop-loss": 1.0, "min-size": 1.0}
    standard = {"position-size": 0.1, "daily-loss": 0.02, "weekly-loss": 0.05, "drawdown": 0.15}
    assert limits_of({}) == fallback | standard
    chosen = {"position-size": 0.3, "daily-loss": 0.07, "weekly-loss": 0.08, "drawdown": 0.09}
    settings = {FOLLOWED[name]: value for name, value in chosen.items()}
    assert limits_of({"risk": settings}) == fallback | chosen
    given = {name: {"limit": value / 2} for name, value in chosen.items()} | {"margin": {"limit": 3.0}}
    assert limits_of({"risk": settings, "plugins": given}) == {
        **fallback, **{name: value / 2 for name, value in chosen.items()}, "margin": 3.0,
    }  # fmt: skip
    assert {name: kind.setting for name, kind in GATES.items() if kind.setting} == FOLLOWED


@pytest.mark.parametrize("name", GATES)
def test_a_limit_has_bounds(name):
    kind = plugins.load("gates", name)
    assert kind is GATES[name]
    declared = kind.parameters()["limit"]
    for value in (declared.low, declared.high):
        assert kind(limit=value).params.limit == value
    for value in (math.nextafter(declared.low, -math.inf), math.nextafter(declared.high, math.inf), math.nan):
        with pytest.raises(ConfigError, match=rf"^{name}: parameter limit was .+, must be in "):
            kind(limit=value)


# -- a step alone -----------------------------------------------------------------------------------

STEP = """
def entry(rows, accounts, positions, proposals, params):
    return gate(rows[0], accounts[0], positions[0], proposals[0], params[0])
"""


def compiled(kind):
    """Return a function from fields of the proposal to the value of a gate."""
    entry = compile.entry("gate", STEP, {"gate": kind.step})

    def value(fields):
        proposal = empty(PROPOSAL)
        for name, field in fields.items():
            proposal[name] = field
        params = kind().params.record()
        return compile.call(entry, empty(ROW), empty(ACCOUNT), empty(POSITION), proposal, params)

    return value
