"""The standard chain of five packages and 24 gates: each of its reasons, votes by weight, and edges.

Each test takes the whole chain over rows made for it: 400 rows of an ordinary market, then a scene.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import field, frozen

from nexus_core import plugins
from nexus_core.calibration import Table
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.records import APPROVAL, EVENT, FILL, LATE, empty
from nexus_core.testing import Trial, rows
from nexus_core.types import Instrument, Mode, Outcome

LAYERS = ("quality", "selection", "aggregation", "routing", "assessment")
GATES = (
    "composite", "liquidity", "regime", "anomaly", "strength", "agreement", "duplicate", "action",
    "confidence", "position-size", "daily-loss", "weekly-loss", "drawdown", "signal-confidence",
    "risk-multiplier", "market-class", "against-market", "critical-flags", "risk-score", "margin", "var",
    "correlation", "stop-loss", "min-size",
)  # fmt: skip
PAIR = (Instrument("A-USD"), Instrument("B-USD"))
CALM, SCENE = 400, 40


def standard(given=None, **facts):
    """Return a trial of the standard chain; `given` are parameters of its plugins by name."""
    made = {
        kind: {name: plugins.load(kind, name)(**(given or {}).get(name, {})) for name in names}
        for kind, names in (("gates", GATES), ("layers", LAYERS))
    }
    return Trial(**made, **{"min_confidence": 0.57, "instruments": PAIR, **facts})


def table(right=0.5):
    """Return a calibration table by which a score is its own rank, and so often right."""
    line = [0.0, 1.0]
    return Table({"scores": line, "ranks": line, "p": [right] * 2, "low": [0.0] * 2, "high": [1.0] * 2})


def scene(
    seed=3, drift=0.8, vol=1.0, wick=1.0, spread=1.0, volume=1.0, zigzag=0.0, leap=0.0, price=100.0,
    calm=CALM, size=SCENE, **fields,
):  # fmt: skip
    """Return an ordinary market, then a stretch of another, told in multiples of the ordinary.

    A row moves by 0.1 %. `drift` and `zigzag` are moves up, and up and down by turns; `leap` is that of the
    last row alone.
    """
    draws, late = np.random.default_rng(seed), np.arange(calm + size) >= calm
    move = draws.normal(0, 1, late.size) * np.where(late, vol, 1.0)
    move += np.where(late, drift + zigzag * (-1.0) ** np.arange(late.size), 0.0)
    move[-1] += leap
    close = price * np.exp(np.cumsum(move * 0.001))
    made = rows(close, **fields)
    reach = np.abs(draws.normal(0, 0.0003, (2, late.size))) * np.where(late, wick, 1.0)
    made["high"] *= 1 + reach[0]
    made["low"] *= 1 - reach[1]
    half = 0.0001 * np.where(late, spread, 1.0)
    made["bid"], made["ask"] = close * (1 - half), close * (1 + half)
    for name in ("volume", "bid_size", "ask_size"):
        made[name] = draws.lognormal(0, 0.3, late.size) * np.where(late, volume, 1.0)
    return made


def reasons(trial):
    """Return what each decision of the first symbol came to, by name."""
    names = {-1: "approved"} | {place.number: place.name for place in trial.chain.places}
    own = trial.decisions[trial.decisions["symbol"] == 0]
    return [names[each] for each in own["reason"].tolist()]


def ledger(**fields):
    """Return what sets an account's fields, each a number or a share of its cash."""

    def set_account(trial):
        account = trial.ledger.account
        for name, value in fields.items():
            account[name] = value if isinstance(value, int) else int(account["cash"][0] * value)

    return set_account


@frozen
class Case:
    """One reason, and what it takes to meet it on the last row."""

    market: dict = field(factory=dict)
    says: tuple = (1,)
    """What each strategy says of the last rows, the last one last."""
    score: object = 0.9
    given: dict = field(factory=dict)
    facts: dict = field(factory=dict)
    before: object = None
    """What is done to the trial before the last row."""
    loosened: str = ""
    """What stands in front of a gate that could not refuse otherwise."""


TWO = ("", "")
OPEN_MINDED = {"aggregation": {"hold": 0.05}}
LENIENT = {
    "routing": {"trusted_confidence": 0.0, "doubted_confidence": 0.0, "trusted_strength": 0.0},
    "confidence": {"limit": 0.0},
}
BLIND = {"composite": {"limit": 0.0}, "critical-flags": {"limit": 2.0}, "market-class": {"limit": 3.0}}
AGAINST_EACH_OTHER = {"says": ((1,), (-1,)), "score": ((0.9,), (0.8,)), "facts": {"categories": TWO}}
NOISY = {"seed": 1, "drift": 0.0, "wick": 8.0, "zigzag": 1.0}


def rules(**facts):
    return {"instruments": (Instrument("A-USD", **facts), PAIR[1])}


CASES = {
    # of the kernel
    "late": Case({"flags": np.array([0] * (CALM + SCENE - 1) + [LATE])}),
    "has-signal": Case(score=0.56),
    "direction": Case(**AGAINST_EACH_OTHER),
    "opposite": Case(says=(1, 0, -1)),
    "safety-mode": Case(before=ledger(mode=int(Mode.PAUSED))),
    "shorting": Case({"drift": -0.8}, says=(-1,), facts={"allow_short": False}),
    "size": Case(facts=rules(lot="1000")),
    "amounts": Case({"price": 8.9e10}),
    "no-edge": Case(facts={"tables": (table(),)}),
    # layer 1
    "composite": Case(NOISY),
    "liquidity": Case({"spread": 30.0, "volume": 0.02, "drift": 1.0}),
    "regime": Case({"seed": 14, "vol": 2.0, "spread": 2.0, "volume": 0.5}),
    # layers 3 and 4
    "anomaly": Case({"leap": 10.0}),
    "strength": Case(
        score=0.4, facts={"min_confidence": 0.1}, loosened="the least confidence of a signal, 0.57"
    ),
    "agreement": Case(**AGAINST_EACH_OTHER, given=OPEN_MINDED, loosened="aggregation's hold"),
    "duplicate": Case(says=(1, 1)),
    # layer 5
    "action": Case(
        **AGAINST_EACH_OTHER,
        given={**OPEN_MINDED, "agreement": {"limit": 0.0}},
        loosened="aggregation's hold, and agreement",
    ),
    "confidence": Case(score=0.69),
    # layer 6
    "position-size": Case(
        score=1.0, facts={"max_position_size": 0.5, "risk_fraction": 0.5}, loosened="the cap of the size"
    ),
    "daily-loss": Case(before=ledger(day_start=1.03)),
    "weekly-loss": Case(before=ledger(week_start=1.06)),
    "drawdown": Case(before=ledger(peak=1.2)),
    "signal-confidence": Case(
        score=0.56, given=LENIENT, facts={"min_confidence": 0.1}, loosened="confidence, and the least one"
    ),
    "risk-multiplier": Case(before=ledger(day_start=1.018)),
    "market-class": Case(
        {"seed": 34, "drift": 2.0, "vol": 4.0, "wick": 20.0, "zigzag": 1.0},
    ),
    "against-market": Case({"drift": -1.0}),
    "critical-flags": Case({"seed": 12, "drift": 0.3, "wick": 10.0, "spread": 2.0, "volume": 0.5}),
    "risk-score": Case(
        NOISY,
        score=0.15,
        given={**LENIENT, **BLIND, "risk-multiplier": {"limit": 0.0}, "signal-confidence": {"limit": 0.0},
               "strength": {"limit": 0.0}},
        facts={"min_confidence": 0.1},
        before=ledger(peak=1.16),
        loosened="what judges quality, confidence and the multiplier",
    ),
    "margin": Case(before=ledger(margin=0.99)),
    "var": Case(facts={"stop_loss_pct": 0.5, "take_profit_pct": 0.9, "risk_fraction": 0.1}),
    "stop-loss": Case(facts={"brackets": False, "risk_fraction": 0.01}),
    "min-size": Case(facts=rules(min_notional="1e6")),
}  # fmt: skip
ELSEWHERE = {"correlation", "entry-at-work", "layer-at-work"}


def met(case):
    """Return the trial that a case tells of."""
    made = scene(**case.market)
    trial = standard(case.given, **case.facts)
    voices = len(trial.chain.standings)
    says = np.array(case.says, np.int8).reshape(voices, -1)
    scores = np.broadcast_to(np.array(case.score, np.float64), says.shape)
    signals, all_scores = np.zeros((voices, len(made)), np.int8), np.zeros((voices, len(made)))
    signals[:, -says.shape[1] :], all_scores[:, -says.shape[1] :] = says, scores
    trial.run(made[:-1], signals[:, :-1], all_scores[:, :-1])
    if case.before is not None:
        case.before(trial)
    trial.run(made[-1:], signals[:, -1:], all_scores[:, -1:])
    return trial


def test_an_entry_that_nothing_speaks_against_is_approved():
    trial = met(Case())
    assert reasons(trial)[-1] == "approved"
    own = trial.verdicts[-int(trial.decisions["verdicts"][-1]) :]
    asked = [place.name for place in trial.chain.places if place.number in own["gate"]]
    assert sorted(asked) == sorted(GATES)
    assert own["passed"].all()


@pytest.mark.parametrize("reason", CASES)
def test_each_reason_is_met(reason):
    trial = met(CASES[reason])
    assert reasons(trial)[-1] == reason
    # what closes a position is an order; nothing else of these is
    approved = int(trial.decisions["outcome"][-1]) == Outcome.APPROVED
    assert approved == (reason == "opposite")


def test_no_reason_is_left_out():
    ends = {place.name for place in standard().chain.places}
    assert ends == CASES.keys() | ELSEWHERE
    assert ends == {name for name, _ in KERNEL_GATES} | set(GATES)


def test_a_guard_needs_something_before_it_loosened():
    guards = {name for name in GATES if plugins.load("gates", name).guard}
    assert guards <= {reason for reason, case in CASES.items() if case.loosened}
