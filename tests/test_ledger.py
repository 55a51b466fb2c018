"""The ledger pass: matching, brackets, sizes, modes, breaker, edges of time, venues, and what balances."""

import math
import os
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_gate_risk import Drawdown, Duplicate, Margin, PositionSize

from nexus_core import compile, ledger
from nexus_core.broker import FixedFee, HalfSpread
from nexus_core.ledger import judge
from nexus_core.ledger import orders as steps
from nexus_core.records import ACCOUNT, EVENT, INSTRUMENT, UNIT, empty
from nexus_core.testing import MINUTE, START, Trial, rows
from nexus_core.types import Instrument, Mode, OrderState, Outcome, Purpose, from_units, ns, to_units

BENCH = Path(__file__).resolve().parent.parent / "bench"
oracle = SimpleNamespace(**runpy.run_path(str(BENCH / "decimal_oracle.py")))

NAN = math.nan
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNTRIPPED = {"breaker_loss": 0.0, "breaker_rejects": 0}
PLAIN = {"sizing": "fixed-quantity", "quantity": 1.0, "brackets": False, **UNTRIPPED}
BRACKETS = {
    "sizing": "fixed-quantity",
    "quantity": 1.0,
    "stop_loss_pct": 0.02,
    "take_profit_pct": 0.04,
    **UNTRIPPED,
}
GATES = {
    "duplicate": Duplicate(),
    "position-size": PositionSize(limit=0.1),
    "drawdown": Drawdown(),
    "margin": Margin(),
}


def shown(units):
    return f"{from_units(int(units)).normalize():f}"


def story(trial, since=0):
    """Return the events as lines: minute since the start, what happened, and to what."""
    return [line(event) for event in trial.events[since:]]


def line(event):
    minute = (int(event["ts"]) - START) / MINUTE
    if event["kind"] == steps.MODE:
        return f"{minute:g} {Mode(event['mode']).name}"
    amount = f"{shown(event['side'] * event['qty'])} at {shown(event['price'])}"
    what = f"{Purpose(event['purpose']).name.lower()} {amount}"
    if event["kind"] == steps.APPROVAL:
        return f"{minute:g} approved {what}"
    return f"{minute:g} {OrderState(event['state']).name.lower()} {what}"


def cash(trial):
    return shown(trial.account["cash"])


def reasons(trial):
    """Return of each decision its outcome and the gate that ended it."""
    names = [place.name for place in trial.chain.places]
    return [
        (Outcome(each["outcome"]).name, "" if each["reason"] < 0 else names[each["reason"]])
        for each in trial.decisions
    ]


def told(*events):
    made = empty(EVENT, len(events))
    for record, fields in zip(made, events, strict=True):
        for name, value in fields.items():
            record[name] = value
    return made


def mode(to, minute=0):
    return told({"kind": steps.MODE, "mode": int(to), "ts": START + minute * MINUTE, "reason": -1})


def after(minute):
    """Return the keyword that makes rows begin after some minutes."""
    return {"start": START + minute * MINUTE}


# -- matching on paper ------------------------------------------------------------------------------


def test_a_market_order_fills_at_the_next_open_half_the_spread_worse_and_pays_the_fee():
    trial = Trial(fee=FixedFee(rate=0.001), slippage=HalfSpread(half=0.0001), **PLAIN | {"quantity": 2.0})
    trial.run(rows([100.0, 105.0, 107.0, 110.0], open=[100.0, 103.0, 106.0, 109.0]), [1, 0, -1, 0])
    assert story(trial) == [
        "1 approved entry 2 at 100",
        "2 filled entry 2 at 103.0103",
        "3 approved exit -2 at 107",
        "4 filled exit -2 at 108.9891",
    ]
    assert [shown(fee) for fee in trial.events["fee"]] == ["0", "0.2060206", "0", "0.2179782"]
    # 100,000 - 206.0206 - 0.2060206 + 217.9782 - 0.2179782
    assert cash(trial) == "100011.5336012"
    assert trial.account["value"] == 0


def test_the_fee_and_the_spread_are_rounded_half_to_even_once():
    trial = Trial(
        fee=FixedFee(rate=0.005), slippage=HalfSpread(half=0.01), **PLAIN | {"quantity": 0.00000001}
    )
    trial.run(rows([100.0, 100.0, 250.0, 250.0]), [1, 0, -1, 0])
    # one unit at 101 is 101 units, and 0.505 of fee are 1; one at 247.5 is 247.5, so 248, and 1.24 are 1
    assert trial.events["fee"].tolist() == [0, 1, 0, 1]
    assert trial.account["cash"] - 100_000 * UNIT == -101 - 1 + 248 - 1


@pytest.mark.parametrize(
    ("signal", "opened", "high", "low", "expected"),
    [
        (1, 100.0, 103.99999999, 99.0, []),
        (1, 100.0, 104.0, 99.0, ["3 filled target -1 at 104", "3 cancelled stop -1 at 98"]),
        (1, 106.0, 107.0, 105.0, ["3 filled target -1 at 106", "3 cancelled stop -1 at 98"]),
        (-1, 100.0, 101.0, 96.00000001, []),
        (-1, 100.0, 101.0, 96.0, ["3 filled target 1 at 96", "3 cancelled stop 1 at 102"]),
        (-1, 95.0, 96.0, 94.0, ["3 filled target 1 at 95", "3 cancelled stop 1 at 102"]),
    ],
)
def test_a_limit_fills_when_touched_and_at_a_better_open(signal, opened, high, low, expected):
    trial = Trial(slippage=HalfSpread(half=0.0001), **BRACKETS)  # a limit pays no spread
    trial.run(
        rows([100.0] * 3, open=[100.0, 100.0, opened], high=[100.0, 100.0, high], low=[100.0, 100.0, low]),
        [signal, 0, 0],
    )
    assert story(trial, 4) == expected


@pytest.mark.parametrize(
    ("signal", "opened", "high", "low", "expected"),
    [
        (1, 100.0, 101.0, 98.00000001, []),
        (1, 100.0, 101.0, 98.0, ["3 filled stop -1 at 97.0", "3 cancelled target -1 at 104"]),
        (1, 90.0, 91.0, 89.0, ["3 filled stop -1 at 89.1", "3 cancelled target -1 at 104"]),
        (1, 98.0, 98.0, 98.0, ["3 filled stop -1 at 97.0", "3 cancelled target -1 at 104"]),
        (-1, 100.0, 101.99999999, 99.0, []),
        (-1, 100.0, 102.0, 99.0, ["3 filled stop 1 at 103.0", "3 cancelled target 1 at 96"]),
        (-1, 110.0, 111.0, 109.0, ["3 filled stop 1 at 111.1", "3 cancelled target 1 at 96"]),
    ],
)
def test_a_stop_fills_when_touched_and_at_the_open_of_a_gap_both_with_the_spread(
    signal, opened, high, low, expected
):
    trial = Trial(slippage=HalfSpread(half=0.01), **BRACKETS)
    trial.run(
        rows([100.0] * 3, open=[100.0, 100.0, opened], high=[100.0, 100.0, high], low=[100.0, 100.0, low]),
        [signal, 0, 0],
    )
    expected = [each.replace("97.0", "97.02").replace("103.0", "103.02") for each in expected]
    assert story(trial, 4) == expected


@pytest.mark.parametrize(("signal", "stop"), [(1, "-1 at 98"), (-1, "1 at 102")])
def test_a_bar_that_touches_stop_and_target_stops(signal, stop):
    trial = Trial(**BRACKETS)
    trial.run(rows([100.0] * 3, high=[100.0, 100.0, 110.0], low=[100.0, 100.0, 90.0]), [signal, 0, 0])
    assert story(trial, 4)[0] == f"3 filled stop {stop}"
    assert trial.events["state"][-1] == OrderState.CANCELLED
    assert trial.ledger.positions["qty"][0] == 0


def test_the_bracket_is_set_by_the_fill_and_may_fill_in_the_same_bar():
    trial = Trial(**BRACKETS)
    trial.run(rows([100.0, 99.0], low=[100.0, 97.0]), [1, 0])
    assert story(trial) == [
        "1 approved entry 1 at 100",
        "2 filled entry 1 at 100",
        "2 approved stop -1 at 98",
        "2 approved target -1 at 104",
        "2 filled stop -1 at 98",
        "2 cancelled target -1 at 104",
    ]
    assert trial.events["decision"].tolist() == [START + MINUTE] * 6


def test_bracket_prices_lie_on_the_tick_nearest():
    trial = Trial(instruments=[Instrument("BTC-USD", tick="0.5")], **BRACKETS)
    trial.run(rows([101.3, 101.3]), [1, 0])  # stop 99.274, target 105.352
    assert story(trial)[2:] == ["2 approved stop -1 at 99.5", "2 approved target -1 at 105.5"]


def test_an_exit_cancels_the_bracket():
    trial = Trial(**BRACKETS)
    trial.run(rows([100.0, 100.0, 101.0, 102.0]), [1, 0, -1, 0])
    assert story(trial, 4) == [
        "3 approved exit -1 at 101",
        "4 filled exit -1 at 101",
        "4 cancelled stop -1 at 98",
        "4 cancelled target -1 at 104",
    ]
    assert not trial.ledger.positions["working"].any()


# -- signals against a position ---------------------------------------------------------------------


def test_an_opposite_signal_closes():
    trial = Trial(**PLAIN, on_opposite="close")
    trial.run(rows([100.0, 101.0, 102.0, 103.0]), [1, -1, -1, 0])
    assert story(trial) == [
        "1 approved entry 1 at 100", "2 filled entry 1 at 100", "2 approved exit -1 at 101",
        "3 filled exit -1 at 101", "3 approved entry -1 at 102", "4 filled entry -1 at 102",
    ]  # fmt: skip
    assert reasons(trial) == [
        ("APPROVED", ""),
        ("APPROVED", "opposite"),
        ("APPROVED", ""),
        ("SKIPPED", "has-signal"),
    ]


def test_an_opposite_signal_reverses():
    trial = Trial(**BRACKETS, on_opposite="reverse")
    trial.run(rows([100.0, 100.0, 101.0]), [1, -1, 0])
    assert story(trial, 4) == [
        "2 approved exit -1 at 100",
        "2 approved entry -1 at 100",
        "3 filled exit -1 at 100",
        "3 cancelled stop -1 at 98",
        "3 cancelled target -1 at 104",
        "3 filled entry -1 at 100",
        "3 approved stop 1 at 102",
        "3 approved target 1 at 96",
    ]
    assert trial.ledger.positions["qty"][0] == -UNIT


def test_an_opposite_signal_is_ignored_and_then_an_entry_like_any_other():
    trial = Trial(**PLAIN, on_opposite="ignore")
    trial.run(rows([100.0, 100.0, 101.0, 101.0]), [1, 0, -1, 0])
    assert story(trial)[2:] == ["3 approved entry -1 at 101", "4 filled entry -1 at 101"]
    assert trial.ledger.positions["qty"][0] == 0
    refused = Trial(GATES, **PLAIN, on_opposite="ignore")
    refused.run(rows([100.0, 100.0, 101.0, 101.0]), [1, 0, -1, 0])
    assert reasons(refused)[2] == ("SKIPPED", "duplicate")


def test_a_second_opposite_signal_finds_the_exit_at_work():
    trial = Trial(**PLAIN)
    trial.run(rows([100.0, 100.0, 100.0, 100.0], open=[100.0, 100.0, 100.0, NAN]), [1, 0, -1, -1])
    assert story(trial)[2:] == ["3 approved exit -1 at 100"]
    assert reasons(trial)[3] == ("SKIPPED", "opposite")


# -- more than one entry: what no gate refuses ------------------------------------------------------


def test_an_entry_that_adds_replaces_the_bracket_by_one_over_the_whole():
    trial = Trial(**BRACKETS)
    trial.run(rows([100.0, 100.0, 102.0]), [1, 1, 0])
    assert story(trial, 4) == [
        "2 approved entry 1 at 100",
        "3 filled entry 1 at 100",
        "3 cancelled stop -1 at 98",
        "3 cancelled target -1 at 104",
        "3 approved stop -2 at 98",
        "3 approved target -2 at 104",
    ]


def test_an_entry_that_only_reduces_leaves_the_bracket_on_the_side_that_is_held():
    trial = Trial(**BRACKETS | {"sizing": "fixed-notional", "notional": 400.0}, on_opposite="ignore")
    trial.run(rows([100.0, 100.0]), [1, 0])
    trial.run(rows([200.0, 200.0, 97.0], high=[103.0] * 3, low=[99.0, 99.0, 97.0], **after(2)), [-1, 0, 0])
    assert story(trial, 4) == [
        "3 approved entry -2 at 200",
        "4 filled entry -2 at 200",
        "5 partially_filled stop -2 at 98",  # of 4: never more than is held
        "5 cancelled stop -2 at 98",
        "5 cancelled target -4 at 104",
    ]
    assert trial.ledger.positions["qty"][0] == 0


def test_an_entry_that_turns_the_position_takes_the_old_bracket_away():
    trial = Trial(**BRACKETS | {"sizing": "fixed-notional", "notional": 400.0}, on_opposite="ignore")
    trial.run(rows([200.0, 200.0]), [1, 0])  # 2 long, stop 196, target 208
    trial.run(
        rows([100.0, 100.0, 100.0], open=[200.0, 100.0, 100.0], high=[207.0, 100.0, 100.0], **after(2)),
        [-1, 0, 0],
    )
    assert story(trial, 4) == [
        "3 filled stop -2 at 196",
        "3 cancelled target -2 at 208",
        "3 approved entry -4 at 100",
        "4 filled entry -4 at 100",
        "4 approved stop 4 at 102",
        "4 approved target 4 at 96",
    ]
    trial = Trial(**BRACKETS | {"sizing": "fixed-notional", "notional": 400.0}, on_opposite="ignore")
    trial.run(rows([100.0, 100.0]), [1, 0])  # 4 long, stop 98, target 104
    trial.run(rows([50.0, 50.0], open=[99.0, 99.0], high=[99.0] * 2, low=[99.0] * 2, **after(2)), [-1, 0])
    assert story(trial, 4) == [
        "3 approved entry -8 at 50",
        "4 filled entry -8 at 99",
        "4 cancelled stop -4 at 98",
        "4 cancelled target -4 at 104",
        "4 approved stop 4 at 51",
        "4 approved target 4 at 48",
        "4 filled stop 4 at 99",
        "4 cancelled target 4 at 48",
    ]


def test_an_entry_at_work_is_never_replaced():
    trial = Trial(**PLAIN)
    trial.run(rows([100.0] * 4, open=[100.0, NAN, NAN, 101.0]), [1, 1, -1, 0])
    assert story(trial) == ["1 approved entry 1 at 100", "4 filled entry 1 at 101"]
    assert reasons(trial)[1:3] == [("SKIPPED", "entry-at-work")] * 2


# -- short sales ------------------------------------------------------------------------------------


def test_selling_short_is_refused_where_the_settings_or_the_instrument_say_so():
    whole = [Instrument("BTC-USD", shortable=False)]
    for trial in (Trial(**PLAIN, allow_short=False), Trial(instruments=whole, **PLAIN)):
        trial.run(rows([100.0] * 4), [-1, 1, 0, -1])
        assert reasons(trial) == [
            ("REJECTED", "shorting"), ("APPROVED", ""), ("SKIPPED", "has-signal"), ("APPROVED", "opposite"),
        ]  # fmt: skip
    trial = Trial(**PLAIN)
    trial.run(rows([100.0] * 2), [-1, 0])
    assert story(trial)[-1] == "2 filled entry -1 at 100"


# -- sizes ------------------------------------------------------------------------------------------

SIZE = """
def entry(rules, accounts, instruments, proposals, out):
    out[0] = size(rules[0], accounts[0], instruments[0], proposals[0])
"""


def sized(
    price, confidence=1.0, *, capital=100_000, lot="0.00000001", multiplier=1, reduced=False,
    chance=NAN, needed=0.0, toll=0.0, scale=1.0, **rule,
):  # fmt: skip
    account, instrument, made = empty(ACCOUNT), empty(INSTRUMENT), empty(judge.RULES)
    account["cash"], account["mode"] = capital * UNIT, Mode.REDUCED if reduced else Mode.NORMAL
    instrument["lot"], instrument["multiplier"] = to_units(lot), multiplier
    for name, value in rule.items():
        made[name] = value
    proposal = empty(judge.PROPOSAL)
    proposal["price"], proposal["confidence"], proposal["scale"] = to_units(price), confidence, scale
    proposal["chance"], proposal["needed"], proposal["toll"] = chance, needed, toll
    out = np.zeros(1, np.int64)
    compile.call(compile.entry("size", SIZE, {"size": judge.size}), made, account, instrument, proposal, out)
    return int(out[0])


def quantity(units):
    return {"sizing": judge.FIXED_QUANTITY, "quantity": units}


def notional(whole):
    return {"sizing": judge.FIXED_NOTIONAL, "notional": to_units(whole)}


def kelly(chance, needed=1 / 3, most=0.1, **more):
    """Return a stake by Kelly's rule, with a stop of 2 % and a target of 4 %."""
    odds = {
        "stop_loss": to_units("0.02"),
        "take_profit": to_units("0.04"),
        "chance": chance,
        "needed": needed,
    }
    return {"sizing": judge.KELLY, "risk_fraction": 0.02, "max_position": most, **odds, **more}


def fraction(risk, most):
    return {"sizing": judge.FIXED_RISK, "risk_fraction": risk, "max_position": most}


@pytest.mark.parametrize(
    ("rule", "given", "expected"),
    [
        (quantity(123_456_789), {}, "1.23456789"),
        (quantity(123_456_789), {"lot": "0.01"}, "1.23"),
        (quantity(123_456_789), {"lot": "1"}, "1"),
        (quantity(99_999_999), {"lot": "1"}, "0"),
        (quantity(123_456_789), {"reduced": True}, "0.61728394"),
        (quantity(123_456_789), {"confidence": 0.1}, "1.23456789"),
        (notional(1000), {"price": "30"}, "33.33333333"),
        (notional(1000), {"price": "30", "lot": "0.1"}, "33.3"),
        (notional(1000), {"price": "30", "multiplier": 50}, "0.66666666"),
        (notional(1000), {"price": "30", "reduced": True}, "16.66666666"),
        (notional(1000), {"price": "1000.01", "lot": "1"}, "0"),
        (fraction(0.02, 0.1), {"price": "50"}, "40"),  # 2 % of 100,000
        (fraction(0.02, 0.1), {"price": "50", "confidence": 0.5}, "20"),
        (fraction(0.02, 0.1), {"price": "50", "confidence": 0.5, "reduced": True}, "10"),
        (fraction(0.02, 0.1), {"price": "50", "multiplier": 10, "lot": "3"}, "3"),
        (fraction(0.5, 0.125), {"price": "50"}, "250"),  # no more than an eighth
        (fraction(0.5, 0.125), {"price": "50", "confidence": 0.25}, "250"),
        (fraction(0.5, 0.125), {"price": "50", "confidence": 0.125}, "125"),
        (fraction(0.02, 0.1), {"price": "50", "capital": -1}, "0"),
        (fraction(0.02, 0.1), {"price": "50", "scale": 0.5}, "20"),
        (fraction(0.02, 0.1), {"price": "50", "scale": 50.0}, "200"),  # capped again after it was scaled
        (quantity(123_456_789), {"scale": 0.5}, "0.61728394"),
        (notional(1000), {"price": "50", "scale": 0.5}, "10"),
        # (0.4 x 2 - 0.6) / 2 = 0.1, a quarter of it is 2.5 % of equity
        (kelly(0.4), {"price": "50"}, "50"),
        (kelly(0.5), {"price": "50"}, "125"),
        (kelly(0.7), {"price": "50"}, "200"),  # 13.75 % is capped at 10 %
        (kelly(0.7), {"price": "50", "scale": 0.5}, "100"),
        (kelly(1 / 3), {"price": "50"}, "0"),
        (kelly(0.3), {"price": "50"}, "0"),
        # with costs of 0.2 % the odds b are 3.8 to 2.2; (b / 2 - 0.5) / b = 0.2105..., a quarter 5.263 %
        (kelly(0.5, 2.2 / 6, toll=0.002), {"price": "50", "lot": "0.01"}, "105.26"),
        (kelly(2.2 / 6, 2.2 / 6, toll=0.002), {"price": "50"}, "0"),
        # nothing is known of the chance: the risk is fixed
        (kelly(NAN), {"price": "50", "confidence": 0.5}, "20"),
        (fraction(0.02, 0.1), {"price": "50", "confidence": NAN}, "-0.00000001"),
        (quantity(9_200_000_000 * UNIT), {"price": "9.99"}, "9200000000"),
        (quantity(9_200_000_000 * UNIT), {"price": "10.01"}, "-0.00000001"),
        (quantity(2**40), {"multiplier": 2**24}, "-0.00000001"),  # the multiple would wrap around to 0
        (notional(90_000_000_000), {"price": "0.00000001"}, "-0.00000001"),
    ],
)
def test_sizes_by_hand(rule, given, expected):
    given = {"price": "100"} | given
    assert shown(sized(**given, **rule)) == expected


def test_a_size_of_nothing_and_amounts_that_cannot_be_held_are_refused():
    coarse = Trial(instruments=[Instrument("BTC-USD", lot="2")], **PLAIN)
    coarse.run(rows([100.0]), [1])
    assert reasons(coarse) == [("REJECTED", "size")]
    for quantity_, price in (
        (9e10, 1.1),
        (1.0, NAN),
        (1.0, 0.0),
        (1.0, -5.0),
        (1.0, 9.1e10),
        (1.0, math.inf),
    ):
        trial = Trial(**PLAIN | {"quantity": quantity_})
        trial.run(rows([price]), [1])
        assert reasons(trial) == [("REJECTED", "amounts")]
        assert len(trial.events) == 0


def test_a_target_that_cannot_be_held_refuses_the_entry():
    far = BRACKETS | {"take_profit_pct": 99.0, "allow_short": False}
    assert approved_at(9.1e8, **far) == [("APPROVED", "")]
    assert approved_at(9.3e8, **far) == [("REJECTED", "amounts")]
    assert approved_at(9.3e8, **far | {"brackets": False}) == [("APPROVED", "")]


def approved_at(price, **risk):
    trial = Trial(**risk)
    trial.run(rows([price]), [1])
    return reasons(trial)


# -- safety modes -----------------------------------------------------------------------------------


def test_reduced_halves_entries_and_the_limits_that_say_so():
    normal, reduced = (Trial(GATES, **PLAIN | {"quantity": 100.0}) for _ in range(2))
    normal.run(rows([100.0]), [1])
    reduced.run(rows([100.0]), [1], told=mode(Mode.REDUCED))
    assert story(normal) == ["1 approved entry 100 at 100"]
    assert story(reduced) == ["0 REDUCED", "1 approved entry 50 at 100"]
    limits = {reduced.chain.places[each["gate"]].name: float(each["limit"]) for each in reduced.verdicts}
    assert limits == {"duplicate": 0.0, "position-size": 0.05, "drawdown": 0.075, "margin": 1.1}


def test_paused_refuses_entries_and_lets_exits_stops_and_targets_work():
    trial = Trial(**BRACKETS)
    trial.run(rows([100.0, 100.0]), [1, 0])
    trial.run(rows([99.0, 97.0, 97.0], **after(2)), [1, 0, 1], told=mode(Mode.PAUSED, 2))
    assert story(trial, 4) == ["2 PAUSED", "4 filled stop -1 at 98", "4 cancelled target -1 at 104"]
    assert reasons(trial)[2:] == [
        ("REJECTED", "safety-mode"),
        ("SKIPPED", "has-signal"),
        ("REJECTED", "safety-mode"),
    ]
    trial = Trial(**BRACKETS, on_opposite="reverse")
    trial.run(rows([100.0, 100.0]), [1, 0])
    trial.run(rows([100.0, 100.0], **after(2)), [-1, 0], told=mode(Mode.PAUSED, 2))
    assert story(trial, 5) == [
        "3 approved exit -1 at 100",
        "4 filled exit -1 at 100",
        "4 cancelled stop -1 at 98",
        "4 cancelled target -1 at 104",
    ]
    assert reasons(trial)[2] == ("APPROVED", "safety-mode")  # the exit is approved, the entry refused


def test_an_entry_that_was_at_work_when_the_mode_was_paused_still_fills():
    trial = Trial(**PLAIN)
    trial.run(rows([100.0]), [1])
    trial.run(rows([100.0], **after(1)), [0], told=mode(Mode.PAUSED, 1))
    assert story(trial, 1) == ["1 PAUSED", "2 filled entry 1 at 100"]


def test_an_emergency_cancels_entries_closes_positions_and_refuses_what_follows():
    two = [Instrument("AAA-USD"), Instrument("BBB-USD")]
    trial = Trial(instruments=two, **BRACKETS)
    market = [rows([100.0, 100.0], symbol=0), rows([50.0, 50.0], symbol=1)]
    trial.run(np.concatenate(market), [-1, 0, 0, 1])  # AAA is short, BBB waits to be bought
    later = [rows([100.0, 100.0], symbol=0, **after(2)), rows([50.0, 50.0], symbol=1, **after(2))]
    trial.run(np.concatenate(later), [0, 1, 1, 0], told=mode(Mode.EMERGENCY, 2))
    assert story(trial, 5) == [
        "2 EMERGENCY",
        "2 approved exit 1 at 100",
        "2 cancelled entry 1 at 50",
        "3 filled exit 1 at 100",
        "3 cancelled stop 1 at 102",
        "3 cancelled target 1 at 96",
    ]
    assert not trial.ledger.positions["qty"].any()
    assert not trial.ledger.positions["working"].any()
    assert set(reasons(trial)[4:]) == {("REJECTED", "safety-mode"), ("SKIPPED", "has-signal")}


def test_an_emergency_told_twice_sends_one_exit():
    trial = Trial(**PLAIN)
    trial.run(rows([100.0, 100.0]), [1, 0])
    trial.run(rows([100.0], **after(2)), [0], told=np.concatenate([mode(Mode.EMERGENCY, 2)] * 2))
    assert story(trial, 2) == [
        "2 EMERGENCY",
        "2 approved exit -1 at 100",
        "2 EMERGENCY",
        "3 filled exit -1 at 100",
    ]


# -- the breaker ------------------------------------------------------------------------------------

BREAKER = PLAIN | {"quantity": 100.0, "breaker_loss": 0.01, "capital": 101_000.0}


@pytest.mark.parametrize(
    ("price", "trips"),
    [
        (90.00000001, False),  # 999.999999 lost of 100,000.000001
        (90.0, True),  # 1,000 of 100,000 is 1 %
        (89.99999999, True),
        (110.0, False),
    ],
)
def test_a_loss_of_the_hour_pauses_the_account(price, trips):
    trial = Trial(**BREAKER)
    trial.run(
        rows([100.0, 100.0, price, price, price], open=[100.0, 100.0, price, price, price]), [1, 0, -1, 0, 1]
    )
    assert story(trial, 4) == (
        ["4 PAUSED"] if trips else ["5 approved entry 100 at " + shown(to_units(price))]
    )
    assert reasons(trial)[4] == (("REJECTED", "safety-mode") if trips else ("APPROVED", ""))


def test_only_a_told_mode_ends_the_pause_of_the_breaker():
    trial = Trial(**BREAKER)
    trial.run(rows([100.0, 100.0, 90.0, 90.0]), [1, 0, -1, 0])
    trial.run(rows([90.0, 90.0], start=START + DAY, interval=HOUR), [1, 1])
    assert [each[1] for each in reasons(trial)[4:]] == ["safety-mode"] * 2
    trial.run(rows([90.0], start=START + 2 * DAY), [1], told=mode(Mode.NORMAL, 2 * DAY / MINUTE))
    assert story(trial, 5) == ["2880 NORMAL", "2881 approved entry 100 at 90"]


def test_who_lifts_the_pause_starts_the_count_of_the_hour_anew():
    trial = Trial(**BREAKER)
    trial.run(rows([100.0, 100.0, 90.0, 90.0]), [1, 0, -1, 0])
    assert trial.account["mode"] == Mode.PAUSED
    small = rows([90.0, 90.0, 89.0, 89.0], start=START + 4 * MINUTE)  # loses 100, the hour 1,100
    trial.run(small, [1, 0, -1, 0], told=mode(Mode.NORMAL, 4))
    assert trial.account["mode"] == Mode.NORMAL
    assert trial.account["trades"] == 2


def test_a_loss_of_the_last_hour_is_forgotten():
    half = BREAKER | {"quantity": 50.0}
    trial = Trial(**half)
    flat = [100.0, 100.0, 88.0, 88.0]  # loses 600 each time
    trial.run(rows(flat, start=START + 56 * MINUTE), [1, 0, -1, 0])  # the last row closes the hour
    trial.run(rows(flat, start=START + 60 * MINUTE), [1, 0, -1, 0])
    assert trial.account["mode"] == Mode.NORMAL
    trial = Trial(**half)
    trial.run(rows(flat * 2, start=START, open=flat * 2), [1, 0, -1, 0] * 2)
    assert story(trial)[-1] == "8 PAUSED"


def test_rejected_orders_of_the_hour_pause_the_account():
    # the size fits at 100, and no longer at the open of 11,000
    trial = Trial(**PLAIN | {"quantity": 8e8, "breaker_rejects": 3})
    trial.run(rows([100.0] * 7, open=[100.0] + [11_000.0] * 6), [1, 1, 0, 1, 0, 0, 1])
    assert story(trial) == [
        "1 approved entry 800000000 at 100",
        "2 cancelled entry 800000000 at 100",
        "2 approved entry 800000000 at 100",
        "3 cancelled entry 800000000 at 100",
        "4 approved entry 800000000 at 100",
        "5 cancelled entry 800000000 at 100",
        "5 PAUSED",
    ]
    assert trial.events["reason"][1] == judge.AMOUNTS
    assert cash(trial) == "100000"
    assert reasons(trial)[-1] == ("REJECTED", "safety-mode")


@pytest.mark.parametrize("how", ["signal", "emergency"])
def test_an_exit_that_cannot_be_booked_is_tried_again_at_the_next_row(how):
    trial = Trial(**PLAIN)
    trial.run(rows([100.0, 100.0]), [1, 0])
    signals, said = ([-1, 0, 0], {}) if how == "signal" else ([0, 0, 0], {"told": mode(Mode.EMERGENCY, 2)})
    # nothing of this size can be held at the second open
    opened = [100.0, 9e10, 100.0] if how == "signal" else [9e10, 100.0, 100.0]
    trial.run(rows([100.0] * 3, open=opened, **after(2)), signals, **said)
    moved = trial.events[trial.events["kind"] == steps.MOVE]
    assert moved["reason"].tolist() == [judge.AMOUNTS]
    assert trial.ledger.positions["qty"][0] == 0
    assert trial.account["hour_rejects"] == 1


# -- hours, days, weeks -----------------------------------------------------------------------------

EDGES = [  # time of the row, and whether an hour, a day, a week begins with it
    ("2026-03-06T23:59:00Z", True, True, True),  # the first row begins all
    ("2026-03-07T00:00:00Z", False, False, False),  # belongs to the Friday that ends
    ("2026-03-07T00:00:00.000000001Z", True, True, False),
    ("2026-03-07T01:00:00Z", False, False, False),
    ("2026-03-07T01:00:01Z", True, False, False),
    ("2026-03-08T00:00:00Z", True, False, False),
    ("2026-03-09T00:00:00Z", True, True, False),  # the Sunday that ends, and its week
    ("2026-03-09T00:00:00.000000001Z", True, True, True),
    ("2026-03-15T12:00:00Z", True, True, False),
    ("2026-03-16T00:01:00Z", True, True, True),
    ("2026-03-31T00:00:00Z", True, True, True),  # a row of Monday's, two weeks later
]


@pytest.mark.parametrize("years", [0, -70])
def test_hours_days_and_weeks_begin_just_after_their_edge(years):
    weeks = round(years * 365.2425 / 7)
    times = [ns(text) + weeks * 7 * DAY for text, *_ in EDGES]
    trial = Trial(**PLAIN)
    seen = (100_000.0, 100_000.0)
    for n, (ts, (_, hour, day, week)) in enumerate(zip(times, EDGES, strict=True)):
        trial.ledger.account["hour_loss"] = -1
        before = equity(trial)
        trial.run(rows([100.0 + 3 * n], ts=ts, open=100.0), [1 if n == 0 else 0])
        seen = (before if day else seen[0], before if week else seen[1])
        assert (trial.account["day_start"] / UNIT, trial.account["week_start"] / UNIT) == seen
        assert (trial.account["hour_loss"] == 0) == hour
        for edge, length in (("next_hour", HOUR), ("next_day", DAY)):
            assert 0 <= trial.account[edge] - ts < length
            assert trial.account[edge] % length == 0
        assert 0 <= trial.account["next_week"] - ts < 7 * DAY
        assert (trial.account["next_week"] - START) % (7 * DAY) == 0  # a Monday
    assert equity(trial) == 100_000 + 30


def equity(trial):
    return float(trial.account["cash"] + trial.account["value"]) / UNIT


def test_the_peak_is_the_highest_equity_also_of_a_position_just_closed():
    trial = Trial(**BRACKETS)
    trial.run(rows([100.0, 101.0, 104.0, 104.0, 90.0]), [1, 0, 0, 0, 0])
    assert story(trial)[4] == "3 filled target -1 at 104"
    assert trial.account["peak"] == 100_004 * UNIT
    trial = Trial(**PLAIN)
    trial.run(rows([100.0, 105.0, 95.0]), [1, 0, 0])
    assert trial.account["peak"] == 100_005 * UNIT


# -- unknown prices ---------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["open", "high", "low"])
@pytest.mark.parametrize("value", [NAN, 0.0, -1.0, math.inf])
def test_a_bar_with_an_unusable_price_matches_nothing(field, value):
    trial = Trial(**PLAIN)
    trial.run(rows([100.0, 100.0, 100.0], **{field: [100.0, value, 100.0]}), [1, 0, 0])
    assert story(trial) == ["1 approved entry 1 at 100", "3 filled entry 1 at 100"]


@pytest.mark.parametrize("value", [NAN, 0.0, -1.0, math.inf, 9.1e10])
def test_an_unusable_close_marks_nothing(value):
    trial = Trial(**PLAIN)
    trial.run(rows([100.0, 110.0, value], open=100.0, high=120.0, low=90.0), [1, 0, 0])
    assert shown(trial.ledger.positions["mark"][0]) == "110"
    assert trial.decisions["equity"].tolist()[1:] == [100_010 * UNIT] * 2


def test_a_price_beyond_what_can_be_held_marks_nothing():
    trial = Trial(**PLAIN | {"quantity": 1e8})
    trial.run(rows([100.0, 100.0, 900.0, 1000.0], open=100.0, high=100.0), [1, 0, 0, 0])
    assert shown(trial.ledger.positions["mark"][0]) == "900"  # 1e8 x 1,000 is beyond 9.2e10


# -- costs that are no costs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "good"), [(0.99, True), (1.0, False), (-0.99, True), (-1.0, False), (NAN, False)]
)
def test_a_fee_outside_its_bounds_refuses_the_fill(rate, good):
    fee = FixedFee()
    fee.params.rate = rate
    trial = Trial(fee=fee, **PLAIN)
    trial.run(rows([100.0, 100.0]), [1, 0])
    assert story(trial)[1:] == ["2 filled entry 1 at 100" if good else "2 cancelled entry 1 at 100"]


@pytest.mark.parametrize(
    ("half", "good"), [(0.0, True), (0.99, True), (1.0, False), (-1e-9, False), (NAN, False)]
)
@pytest.mark.parametrize("signal", [1, -1])
def test_a_slippage_outside_its_bounds_refuses_the_fill(signal, half, good):
    slippage = HalfSpread()
    slippage.params.half = half
    trial = Trial(slippage=slippage, **PLAIN)
    trial.run(rows([100.0, 100.0]), [signal, 0])
    price = shown(to_units(100.0 * (1 + signal * half))) if good else "100"
    assert story(trial)[1:] == [f"2 {'filled' if good else 'cancelled'} entry {signal} at {price}"]


def test_a_spread_that_carries_the_price_beyond_what_can_be_held_refuses_the_fill():
    slippage = HalfSpread()
    slippage.params.half = 0.5
    trial = Trial(slippage=slippage, **PLAIN | {"quantity": 0.001})
    trial.run(rows([8e10, 8e10]), [1, 0])
    assert story(trial)[1:] == ["2 cancelled entry 0.001 at 80000000000"]


# -- buffers, traces, cuts --------------------------------------------------------------------------


def walk(size, seed, symbol=0, holes=0.05, **given):
    """Return rows of a random walk with wide bars; some of their prices are unknown."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(scale=0.01, size=size)))
    opens = np.concatenate([closes[:1], closes[:-1]]) * np.exp(rng.normal(scale=0.003, size=size))
    reach = np.exp(np.abs(rng.normal(scale=0.01, size=size)))
    made = rows(closes, symbol=symbol, open=opens, high=np.maximum(opens, closes) * reach,
                low=np.minimum(opens, closes) / reach, **given)  # fmt: skip
    for name in ("open", "high", "close"):
        made[name][rng.random(size) < holes / 3] = NAN
    return made


PAIR = [
    Instrument("AAA-USD", tick="0.01", lot="0.001", margin_rate="0.5"),
    Instrument("BBB-USD", multiplier=10, margin_rate="0.1"),
]
COSTS = {"fee": FixedFee(rate=0.001), "slippage": HalfSpread(half=0.0005)}


def pair_of_walks(size, seed):
    signals = np.random.default_rng(seed + 1).choice([-2, -1, 0, 0, 0, 1, 2], 2 * size)
    return np.concatenate([walk(size, seed), walk(size, seed + 2, symbol=1)]), signals


def text(records):
    """Return records as text that is equal where they are, NaN and all; their bytes differ in the gaps."""
    return repr(records.tolist())


def everything(trial):
    return [text(each) for each in (trial.events, trial.decisions, trial.verdicts, trial.opinions)]


def state(trial):
    return [text(each) for each in trial.ledger.records().values()]


@pytest.mark.parametrize("trace", ["orders", "approved", "full"])
def test_buffers_that_fill_up_in_the_middle_change_nothing(trace, monkeypatch):
    market, signals = pair_of_walks(400, 3)
    roomy = Trial(GATES, instruments=PAIR, trace=trace, **COSTS, **UNTRIPPED)
    roomy.run(market, signals, 0.8)
    monkeypatch.setattr(ledger, "_BUFFER", 3)
    tight = Trial(GATES, instruments=PAIR, trace=trace, **COSTS, **UNTRIPPED)
    tight.run(market, signals, 0.8)
    handed = [len(written.decisions) for written in tight.written]
    assert max(handed) <= 3
    assert len(handed) > 20
    assert everything(tight) == everything(roomy)
    assert state(tight) == state(roomy)
    assert len(roomy.events) > 100


def test_more_events_are_told_than_the_buffer_held():
    trial = Trial(**PLAIN)
    many = np.concatenate([mode(Mode.REDUCED), mode(Mode.NORMAL)] * 5_000)
    trial.run(rows([100.0, 100.0]), [1, 0], told=many)
    assert trial.events["seq"].tolist() == list(range(1, 10_003))
    assert story(trial, 10_000) == ["1 approved entry 1 at 100", "2 filled entry 1 at 100"]


def test_the_trace_level_changes_no_hash_and_orders_are_always_in_it():
    market, signals = pair_of_walks(300, 5)
    traced = {}
    for trace in ("orders", "approved", "full"):
        traced[trace] = Trial(GATES, instruments=PAIR, trace=trace, **COSTS, **UNTRIPPED)
        traced[trace].run(market, signals, 0.8)
    assert len({trial.ledger.run_hash for trial in traced.values()}) == 1
    assert len({text(trial.events) for trial in traced.values()}) == 1
    full = traced["full"].decisions
    assert len(full) == len(market)
    for trace, kept in (
        ("orders", full["order"] > 0),
        ("approved", (full["order"] > 0) | (full["direction"] != 0)),
    ):
        fewer = traced[trace].decisions
        assert 0 < len(fewer) < len(market)
        same = [name for name in full.dtype.names if name != "verdicts"]
        assert text(fewer[same]) == text(full[kept][same])
        assert len(traced[trace].verdicts) == fewer["verdicts"].sum()


# -- what a venue reports ---------------------------------------------------------------------------


def venue(quantity=2.0, **given):
    """Return a trial whose entry at 100 was approved at minute 1."""
    trial = Trial(on_paper=False, **BRACKETS | {"quantity": quantity} | given)
    trial.run(rows([100.0]), [1])
    assert story(trial) == [f"1 approved entry {quantity:g} at 100"]
    return trial


def reported(trial, *events):
    """Tell a trial what a venue says, then give it a row without a signal; return the new lines."""
    known = len(trial.events)
    minute = len(trial.decisions)
    said = told(*({"order": 1, "ts": START + minute * MINUTE, **event} for event in events))
    trial.run(rows([100.0], **after(minute)), [0], told=said)
    return story(trial, known)


def fills(qty, price, fee=0.0, purpose=Purpose.ENTRY, **fields):
    return {
        "kind": steps.FILL, "purpose": purpose, "qty": to_units(qty), "price": to_units(price),
        "fee": to_units(fee),
    } | fields  # fmt: skip


def moves(to, purpose=Purpose.ENTRY, **fields):
    return {"kind": steps.MOVE, "state": to, "purpose": purpose, "reason": -1, **fields}


SENT, OPENED = moves(OrderState.SUBMITTED), moves(OrderState.OPEN)


def test_a_venues_order_waits_for_its_word_and_no_price_fills_it():
    trial = venue()
    trial.run(rows([90.0, 110.0], **after(1)), [0, 0])
    assert len(trial.events) == 1
    assert trial.ledger.orders["state"][0, 0] == OrderState.PENDING


def test_a_venue_fills_in_parts_and_the_bracket_covers_the_whole():
    trial = venue()
    assert reported(trial, SENT, OPENED) == ["1 submitted entry 2 at 100", "1 open entry 2 at 100"]
    assert reported(trial, fills(0.5, 100.1, 0.02)) == ["2 partially_filled entry 0.5 at 100.1"]
    assert reported(trial, fills(1.5, 100.3, 0.04)) == [
        "3 filled entry 1.5 at 100.3", "3 approved stop -2 at 98", "3 approved target -2 at 104",
    ]  # fmt: skip
    order = trial.ledger.orders[0, 0]
    assert (order["filled"], order["cost"]) == (to_units(2), to_units("200.5"))
    assert cash(trial) == "99799.44"
    assert trial.ledger.orders["state"][0].tolist() == [
        OrderState.FILLED,
        0,
        OrderState.PENDING,
        OrderState.PENDING,
    ]


def test_a_venue_cannot_fill_more_than_is_left():
    trial = venue()
    assert reported(trial, SENT, fills(0.5, 100), fills(1.50000001, 100))[1:] == [
        "1 partially_filled entry 0.5 at 100"
    ]


def test_a_fee_may_come_back():
    trial = venue()
    reported(trial, SENT, fills(2, 100, -0.05))
    assert cash(trial) == "99800.05"


@pytest.mark.parametrize(
    "false",
    [
        fills(2.00000001, 100),
        fills(0, 100),
        fills(-1, 100),
        fills(1, 0),
        fills(1, -5),
        fills(1, 100, order=2),
        fills(1, 100, order=0),
        fills(1, 100, purpose=Purpose.EXIT),
        fills(1, 9e10),
        fills(1, 100, fee=9.2e10),
        moves(OrderState.FILLED),  # only a fill fills
        moves(OrderState.PARTIALLY_FILLED),
        moves(OrderState.PENDING),
        moves(OrderState.SUBMITTED),
        moves(OrderState.NONE),
        moves(OrderState.CANCELLED, order=7),
        moves(OrderState.CANCELLED, purpose=Purpose.STOP),
    ],
)
def test_what_cannot_be_true_of_an_open_order_changes_nothing(false):
    trial = venue()
    reported(trial, SENT, OPENED)
    before, count = trial.ledger.orders.tobytes(), len(trial.events)
    money_ = trial.account[["cash", "value", "fees", "events", "hour_rejects"]].item()
    assert reported(trial, false) == []
    assert trial.ledger.orders.tobytes() == before
    assert trial.account[["cash", "value", "fees", "events", "hour_rejects"]].item() == money_
    assert len(trial.events) == count
    assert reported(trial, fills(2, 100))[0] == "3 filled entry 2 at 100"


def test_a_fill_before_the_order_was_sent_is_not_booked():
    assert reported(venue(), fills(2, 100)) == []


@pytest.mark.parametrize("to", [OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED])
def test_an_order_ends_by_its_venues_word_and_takes_no_fill_after_it(to):
    trial = venue()
    assert reported(trial, SENT, moves(to)) == [
        "1 submitted entry 2 at 100",
        f"1 {to.name.lower()} entry 2 at 100",
    ]
    assert reported(trial, fills(2, 100), moves(OrderState.OPEN)) == []
    assert trial.account["hour_rejects"] == (to == OrderState.REJECTED)
    assert trial.ledger.positions["working"][0] == 0
    trial.run(rows([100.0], **after(3)), [1])  # the symbol is free again
    assert reasons(trial)[-1] == ("APPROVED", "")


@pytest.mark.parametrize("to", [OrderState.CANCELLED, OrderState.EXPIRED])
def test_what_was_filled_before_the_end_gets_its_bracket(to):
    trial = venue()
    assert reported(trial, SENT, fills(0.5, 101), moves(to))[2:] == [
        f"1 {to.name.lower()} entry 1.5 at 100",
        "1 approved stop -0.5 at 98",
        "1 approved target -0.5 at 104",
    ]


def test_an_order_nothing_is_known_of_may_still_have_filled():
    trial = venue()
    assert reported(trial, SENT, moves(OrderState.UNKNOWN)) == [
        "1 submitted entry 2 at 100",
        "1 unknown entry 2 at 100",
    ]
    trial.run(rows([100.0], **after(2)), [1])
    assert reasons(trial)[-1] == ("SKIPPED", "entry-at-work")
    assert reported(trial, fills(2, 100))[0] == "3 filled entry 2 at 100"


def test_a_venues_stop_fills_and_its_target_is_withdrawn():
    trial = venue()
    reported(trial, SENT, fills(2, 100))
    stop = {"order": 2, "purpose": Purpose.STOP}
    assert reported(trial, moves(OrderState.SUBMITTED, **stop), fills(2, 97.5, 0.1, **stop)) == [
        "2 submitted stop -2 at 98", "2 filled stop -2 at 97.5", "2 cancelled target -2 at 104",
    ]  # fmt: skip


def test_a_part_that_turns_the_position_takes_the_old_bracket_away():
    trial = venue(sizing="fixed-notional", notional=200.0, on_opposite="ignore")
    reported(trial, SENT, fills(2, 100))
    trial.run(rows([50.0], **after(2)), [-1])
    part = [{**each, "order": 4} for each in (SENT, fills(3, 50))]
    assert reported(trial, *part) == [
        "3 submitted entry -4 at 50",
        "3 partially_filled entry -3 at 50",
        "3 cancelled stop -2 at 98",
        "3 cancelled target -2 at 104",
    ]
    assert reported(trial, fills(1, 50, order=4)) == [
        "4 filled entry -1 at 50",
        "4 approved stop 2 at 51",
        "4 approved target 2 at 48",
    ]


def test_a_venues_losses_and_rejects_trip_the_breaker():
    trial = venue(breaker_loss=0.01, quantity=200.0)
    reported(trial, SENT, fills(200, 100))
    stop = {"order": 2, "purpose": Purpose.STOP}
    assert reported(trial, moves(OrderState.SUBMITTED, **stop), fills(200, 94.9, **stop))[1:] == [
        "2 filled stop -200 at 94.9", "2 cancelled target -200 at 104", "2 PAUSED",
    ]  # fmt: skip
    trial = venue(breaker_rejects=1)
    assert reported(trial, SENT, moves(OrderState.REJECTED))[-1] == "1 PAUSED"
    assert reported(trial, *[{"kind": steps.MODE, "mode": Mode.NORMAL}]) == ["2 NORMAL"]


def test_what_a_venue_tells_of_a_new_hour_counts_in_it():
    trial = venue(breaker_rejects=1)
    late = {"ts": START + HOUR + 1}
    trial.run(
        rows([100.0], start=START + HOUR), [0], told=told({"order": 1, **moves(OrderState.REJECTED), **late})
    )
    assert (trial.account["hour_rejects"], trial.account["mode"]) == (1, Mode.PAUSED)
    trial.run(rows([100.0], start=START + HOUR + MINUTE), [0])
    assert trial.account["hour_rejects"] == 1


# -- whatever happens -------------------------------------------------------------------------------

CHOICES = {
    "sizing": st.sampled_from(["fixed-risk", "fixed-quantity", "fixed-notional"]),
    "quantity": st.sampled_from([0.0005, 1.0, 37.5, 1e5, 8e8]),
    "notional": st.sampled_from([1.0, 1e3, 5e7]),
    "on_opposite": st.sampled_from(["close", "reverse", "ignore"]),
    "allow_short": st.booleans(),
    "brackets": st.booleans(),
    "stop_loss_pct": st.sampled_from([0.001, 0.02]),
    "take_profit_pct": st.sampled_from([0.001, 0.04]),
    "breaker_loss": st.sampled_from([0.0, 0.0001, 0.05]),
    "breaker_rejects": st.sampled_from([0, 2]),
}
TICKS = 50
CUTS = st.sets(st.integers(1, TICKS - 1), max_size=6)
EXAMPLES = 200 if compile.JIT else 40


@frozen
class World:
    """A trial to be made, a market to run it over, and the modes it is told at some ticks."""

    gated: bool
    fee: float
    half: float
    risk: dict
    seed: int
    holes: float
    busy: bool
    modes: dict

    def market(self):
        rng = np.random.default_rng(self.seed)
        market = np.concatenate([walk(TICKS, self.seed + s, symbol=s, holes=self.holes) for s in range(2)])
        signals = rng.choice([-1, 0, 1], len(market), p=(0.3, 0.4, 0.3) if self.busy else (0.05, 0.9, 0.05))
        return market, signals, rng.random(len(market))

    def play(self, cuts=(), block=10_000, market=None):
        """Run a new trial over the market, cut at some ticks and wherever a mode is told."""
        trial = Trial(
            GATES if self.gated else None, fee=FixedFee(rate=self.fee), slippage=HalfSpread(half=self.half),
            instruments=PAIR, **self.risk,
        )  # fmt: skip
        columns = self.market() if market is None else market
        for first, last in pairwise(sorted({0, TICKS, *cuts, *self.modes})):
            said = mode(self.modes[first], first) if first in self.modes else None
            both = np.r_[first:last, TICKS + first : TICKS + last]
            trial.run(*(column[both] for column in columns), told=said, block=block)
        return trial


WORLDS = st.builds(
    World,
    gated=st.booleans(),
    fee=st.sampled_from([0.0, 0.001, -0.0002]),
    half=st.sampled_from([0.0, 0.0005]),
    risk=st.fixed_dictionaries(CHOICES),
    seed=st.integers(0, 10**6),
    holes=st.sampled_from([0.0, 0.05, 0.3]),
    busy=st.booleans(),
    modes=st.dictionaries(st.integers(0, TICKS - 1), st.sampled_from(list(Mode)), max_size=4),
)


def as_dicts(records):
    return [dict(zip(records.dtype.names, each, strict=True)) for each in records.tolist()]


def check_money(trial):
    """Check that cash, cost, value, results and fees balance to the unit, and that events retell them."""
    account, positions = trial.account, trial.ledger.positions
    capital = 100_000 * UNIT
    assert capital + account["realised"] - account["fees"] == account["cash"] + positions["cost"].sum()
    for name in ("realised", "fees", "value", "margin"):
        assert positions[name].sum() == account[name]
    slow = oracle.SlowLedger(PAIR, capital)
    for event in as_dicts(trial.events):
        if event["kind"] == steps.FILL:
            after = slow.fill(*(event[name] for name in oracle.FILL.names))
            held = dict(zip(oracle.STATE.names, after, strict=True))
            assert (event["cash"], event["position"]) == (held["cash"], held["qty"])
    for name, own in (("cash", slow.cash), ("realised", slow.realised), ("fees", slow.fees)):
        assert account[name] == oracle.as_units(own)
    assert positions["qty"].tolist() == [oracle.as_units(each) for each in slow.held]
    assert positions["cost"].tolist() == [oracle.as_units(each) for each in slow.cost]
    assert (account["trades"], account["wins"]) == (slow.trades, slow.wins)
    assert account["peak"] >= capital


def check_orders(trial):
    """Check each order's life: one approval first, no fill too many, and what may only reduce reduces."""
    events = trial.events
    assert events["seq"].tolist() == list(range(1, len(events) + 1))
    left, held, content = {}, [0, 0], {}
    for event in (SimpleNamespace(**each) for each in as_dicts(events)):
        order, symbol = event.order, event.symbol
        if event.kind == steps.MODE:
            continue
        if event.kind == steps.APPROVAL:
            assert order == len(left) + 1
            assert event.qty > 0
            left[order], content[order] = event.qty, event.content
            continue
        assert left[order] > 0
        if event.kind == steps.FILL:
            if event.purpose != Purpose.ENTRY:
                assert event.side * held[symbol] < 0
                assert event.qty <= abs(held[symbol])
            left[order] -= event.qty
            held[symbol] += event.side * event.qty
            assert (event.state == OrderState.FILLED) == (left[order] == 0)
        else:
            assert left[order] == event.qty
            if event.state != OrderState.OPEN:  # one that reduces and cannot be booked stays at work
                left[order] = 0
        assert event.position == held[symbol]
    at_work = {order for order, qty in left.items() if qty}
    orders, working = trial.ledger.orders, trial.ledger.positions["working"]
    slots = [(s, slot) for s in range(2) for slot in range(4) if working[s] >> slot & 1]
    assert {int(orders["id"][slot]) for slot in slots} == at_work
    assert all(orders["purpose"][slot] == slot[1] for slot in slots)
    placed = orders[orders["id"] > 0]
    assert [content[order] for order in placed["id"].tolist()] == placed["content"].tolist()
    assert len(left) == trial.account["orders"]


@settings(max_examples=EXAMPLES)
@given(WORLDS)
def test_money_balances_and_orders_live_by_the_rules_whatever_happens(world):
    trial = world.play()
    check_money(trial)
    check_orders(trial)
    decisions = trial.decisions
    assert len(decisions) == trial.account["decisions"] == 2 * TICKS
    outcomes = [
        int((decisions["outcome"] == outcome).sum()) for outcome in (Outcome.APPROVED, Outcome.REJECTED)
    ]
    assert outcomes == [trial.account["approved"], trial.account["rejected"]]


@settings(max_examples=EXAMPLES)
@given(WORLDS, CUTS, st.integers(1, 9))
def test_the_cut_of_rows_into_calls_changes_nothing(world, cuts, block):
    one, again, cut = world.play(), world.play(), world.play(cuts, block)
    assert one.ledger.run_hash == again.ledger.run_hash == cut.ledger.run_hash
    assert everything(one) == everything(again) == everything(cut)
    assert state(one) == state(again) == state(cut)


@settings(max_examples=EXAMPLES)
@given(WORLDS, st.integers(0, 2 * TICKS - 1))
def test_the_run_hash_is_another_where_anything_written_is(world, place):
    market, *rest = world.market()
    other = market.copy()
    other["close"][place] = 123.0
    one, two = world.play(), world.play(market=(other, *rest))
    assert (one.ledger.run_hash == two.ledger.run_hash) == (everything(one) == everything(two))


SAMPLES = [
    World(
        gated=n % 2 == 0, fee=0.001, half=0.0005, seed=n, holes=0.05, busy=True,
        modes={20: Mode.REDUCED, 40: Mode.PAUSED},
        risk={"on_opposite": ("close", "reverse", "ignore")[n], **UNTRIPPED},
    )
    for n in range(3)
]  # fmt: skip
HASHES = """
import runpy, sys
print(*(world.play().ledger.run_hash for world in runpy.run_path(sys.argv[1])["SAMPLES"]))
"""


@pytest.mark.jit
def test_plain_python_gives_the_same_run_hashes():
    command = [sys.executable, "-c", HASHES, __file__]
    done = subprocess.run(
        command, env=os.environ | {"NEXUS_JIT": "0"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [world.play().ledger.run_hash for world in SAMPLES]
    assert len(set(done.stdout.split())) == 3
