"""Gates in the ledger pass, and a trace that names exactly the gates that were asked."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import Gate, Param, compile
from nexus_core.gates import Chain
from nexus_core.ledger import orders as steps
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.records import EVENT, LATE, NO_DIRECTION, empty
from nexus_core.testing import Trial, rows
from nexus_core.types import Mode, Outcome

NAN, INF = math.nan, math.inf
PLAIN = {
    "sizing": "fixed-quantity", "quantity": 1.0, "brackets": False, "breaker_loss": 0.0, "breaker_rejects": 0,
}  # fmt: skip
EXAMPLES = 150 if compile.JIT else 40


def limit():
    return Param(1.0, low=-1e9, high=1e9, help="Where it refuses")


def market_gate(values, layer=1, refuses="above", **facts):
    """Return a market gate with these values, or with a field of the row as its value."""
    formula = (lambda columns, state, params: getattr(columns, values)) if isinstance(values, str) else values
    facts |= {"nexus_api": 1, "layer": layer, "passes": "market", "refuses": refuses, "limit": limit()}
    return type("Seen", (Gate,), facts | {"values": staticmethod(formula)})()


class Early(Gate):
    """Value: the bid, unless the proposal tells what cannot be known before it has a size."""

    nexus_api = 1
    layer, passes = 4, "ledger"
    limit = limit()

    @staticmethod
    def step(row, account, position, proposal, params):
        known = proposal.equity == account.cash + account.value and proposal.side * proposal.confidence > 0.0
        size = proposal.qty + proposal.price + proposal.notional + proposal.margin
        return row.bid if known and size + proposal.stop + proposal.target == 0 else math.nan


class Above(Gate):
    nexus_api = 1
    layer, passes, refuses, halves = 6, "ledger", "above", True
    limit = limit()

    @staticmethod
    def step(row, account, position, proposal, params):
        return row.ask


class From(Gate):
    nexus_api = 1
    layer, passes, refuses, halves = 6, "ledger", "from", True
    limit = limit()

    @staticmethod
    def step(row, account, position, proposal, params):
        return row.bid_size


class Below(Gate):
    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "below"
    limit = limit()

    @staticmethod
    def step(row, account, position, proposal, params):
        return row.ask_size


LEDGER = {"early": Early(), "above": Above(), "from": From(), "below": Below()}
FIELDS = {"early": "bid", "above": "ask", "from": "bid_size", "below": "ask_size"}
ASKED = [  # gate, its field, what it refuses; None where signals and lateness are judged
    ("first", "buy_volume", "below"),
    ("one", "volume", "above"),
    None,
    ("three", "sell_volume", "from"),
    ("four", "low", "above"),
    ("five", "high", "above"),
    *((name, FIELDS[name], gate.refuses) for name, gate in LEDGER.items()),
]
GATES = LEDGER | {
    "five": market_gate("high", 5),
    "one": market_gate("volume", 1),
    "first": market_gate("buy_volume", 1, "below", before="one"),
    "three": market_gate("sell_volume", 3, "from"),
    "four": market_gate("low", 4),
}
PASSING = {"bid": 0.0, "ask": 0.0, "bid_size": 0.0, "ask_size": 2.0, "buy_volume": 2.0}
GOOD = {"volume": 1.0, "buy_volume": 1.0, "sell_volume": 0.5, "low": 1.0, "high": 1.0} | {
    "bid": 1.0, "ask": 1.0, "bid_size": 0.5, "ask_size": 1.0,
}  # fmt: skip


def ended(trial):
    """Return of each decision the outcome, and the gate that ended it."""
    names, decisions = [place.name for place in trial.chain.places], trial.decisions
    reasons = [names[reason] if reason >= 0 else "" for reason in decisions["reason"]]
    return [(Outcome(outcome).name, why) for outcome, why in zip(decisions["outcome"], reasons, strict=True)]


def traced(trial):
    """Return of each decision its verdicts: gate, value, limit, passed."""
    names, verdicts = [place.name for place in trial.chain.places], trial.verdicts.tolist()
    first, made = 0, []
    for count in trial.decisions["verdicts"].tolist():
        own = verdicts[first : first + count]
        made.append([(names[gate], value, limit_, bool(passed)) for value, limit_, gate, passed in own])
        first += count
    assert first == len(verdicts)
    return made


# -- edges ------------------------------------------------------------------------------------------

UNDER, OVER = math.nextafter(1.0, -INF), math.nextafter(1.0, INF)
EDGES = [-INF, UNDER, 1.0, OVER, INF, NAN]
PASSED = {
    "above": [True, True, True, False, False, False],
    "from": [True, True, False, False, False, False],
    "below": [False, False, True, True, True, False],
}


@pytest.mark.parametrize("name", LEDGER)
@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.REDUCED])
def test_a_ledger_gate_just_under_at_and_just_over_its_limit(name, mode):
    gate, passed = LEDGER[name], PASSED[LEDGER[name].refuses]
    factor = 0.5 if mode == Mode.REDUCED and gate.halves else 1.0
    values, told = [factor * value for value in EDGES], empty(EVENT)
    told["kind"], told["mode"], told["reason"] = steps.MODE, mode, -1
    trial = Trial(GATES, **PLAIN)
    trial.run(rows([1.0] * 6, **PASSING | {FIELDS[name]: values}), 1, told=told)
    outcome = "SKIPPED" if gate.layer < 6 else "REJECTED"
    assert ended(trial) == [("APPROVED", "") if good else (outcome, name) for good in passed]
    assert trial.account["rejected"] == (passed.count(False) if gate.layer == 6 else 0)
    every = [each[0] for each in ASKED if each]
    before = every[: every.index(name)]
    for verdicts, value, good in zip(traced(trial), values, passed, strict=True):
        assert [each[0] for each in verdicts] == (every if good else [*before, name])
        assert repr(verdicts[len(before)]) == repr((name, value, factor, good))
    refused = trial.decisions[~np.array(passed)]
    assert repr(refused["value"].tolist()) == repr(
        [v for v, good in zip(values, passed, strict=True) if not good]
    )
    assert set(refused["limit"]) == {factor}


def test_what_one_proposal_said_is_not_known_to_the_next():
    trial = Trial(GATES, **PLAIN | {"brackets": True})
    trial.run(rows([1.0] * 3, **PASSING), [1, 1, 2])
    assert ended(trial) == [("APPROVED", "")] * 3  # Early refuses what has a size already


# -- directions -------------------------------------------------------------------------------------


def judged(signals, **gates):
    """Return the columns of the market pass over one row with the signals of several strategies."""
    chain = Chain(list(gates.items()), len(signals), 1, 0.0)
    columns = chain.columns(1)
    columns.signals[:, 0], columns.scores[:] = signals, 1.0
    (block,) = blocks(Chunk(rows([100.0]), np.array([0, 1])), 0, 1, lambda ts: ts)
    chain.judge(block, columns)
    return columns


def test_layer_3_is_asked_before_the_direction_and_layer_4_after_it():
    refusing = {
        layer: market_gate(lambda columns, state, params: np.full(len(columns), 2.0), layer)
        for layer in (3, 4, 5)
    }
    own = len(KERNEL_GATES)
    for layer, gate in refusing.items():
        assert judged([1, 1], gate=gate).reasons[0] == own
        assert judged([1, -1], gate=gate).reasons[0] == (own if layer == 3 else NO_DIRECTION)
    columns = judged([1, -1], gate=refusing[3])
    assert (columns.values[0], columns.limits[0], columns.directions[0]) == (2.0, 1.0, 0)


def test_how_many_market_gates_each_reason_has_asked():
    gates = [(f"layer-{layer}", market_gate("volume", layer)) for layer in (1, 3, 4, 5)]
    chain = Chain(gates, 2, 1, 0.0)
    asked = dict(zip([place.name for place in chain.places], chain.asked.tolist(), strict=True))
    assert asked == {
        "late": 1, "has-signal": 1, "direction": 2, "opposite": 4, "safety-mode": 4, "shorting": 4, "size": 4,
        "amounts": 4, "entry-at-work": 4, "no-edge": 4, "layer-at-work": 1,
        "layer-1": 1, "layer-3": 2, "layer-4": 3, "layer-5": 4,
    }  # fmt: skip


# -- formulas ---------------------------------------------------------------------------------------


def test_division_by_zero_warns_nobody_and_refuses_what_is_unknown_or_too_large():
    gate = market_gate(lambda columns, state, params: columns.bid / (columns.ask - columns.mid))
    trial = Trial({"own": gate}, **PLAIN)
    trial.run(rows([100.0] * 3, bid=[0.0, 1.0, 1.0], ask=[0.0, 1.0, -2.0]), 1)
    assert ended(trial) == [("SKIPPED", "own"), ("SKIPPED", "own"), ("APPROVED", "")]
    assert repr([verdicts[0][1] for verdicts in traced(trial)]) == repr([NAN, INF, 1.0 / -1.5])


# -- the trace --------------------------------------------------------------------------------------

OPPORTUNITIES = st.tuples(
    st.dictionaries(st.sampled_from(sorted(GOOD)), st.sampled_from([0.5, UNDER, 1.0, OVER, 2.0]), max_size=2),
    st.sampled_from([0, 1, 1, 2]),
    st.sampled_from([0.4, 0.5, 0.9]),
    st.sampled_from([0, 0, 0, LATE]),
)


def expected(fields, signal, score, flag):
    """Walk one opportunity through the chain, a gate at a time; return verdicts and what ended it."""
    verdicts = []
    for each in ASKED:
        if each is None:
            if signal == 0 or score < 0.5:
                return verdicts, "has-signal"
            if flag == LATE:
                return verdicts, "late"
            continue
        name, field, refuses = each
        value = (GOOD | fields)[field]
        passed = {"above": value <= 1.0, "from": value < 1.0, "below": value >= 1.0}[refuses]
        verdicts.append((name, value, 1.0, passed))
        if not passed:
            return verdicts, name
    return verdicts, ""


@settings(max_examples=EXAMPLES)
@given(st.lists(OPPORTUNITIES, min_size=1, max_size=30), st.integers(1, 7))
def test_the_trace_of_a_decision_names_exactly_the_gates_that_were_asked(seen, block):
    trial = Trial(GATES, min_confidence=0.5, **PLAIN)
    columns = {name: [(GOOD | fields)[name] for fields, *_ in seen] for name in GOOD}
    signals, scores, flags = ([each[n] for each in seen] for n in (1, 2, 3))
    trial.run(rows([1.0] * len(seen), flags=flags, **columns), signals, scores, block=block)
    walked = [expected(*each) for each in seen]
    assert traced(trial) == [verdicts for verdicts, _ in walked]
    assert [reason for _, reason in ended(trial)] == [reason for _, reason in walked]
    assert trial.decisions["opinions"].tolist() == [int(signal != 0) for signal in signals]
    assert trial.opinions["score"].tolist() == [each[2] for each in seen if each[1]]
