"""The standard chain of five packages and 24 gates: each of its reasons, votes by weight, and edges.

Each test takes the whole chain over rows made for it: 400 rows of an ordinary market, then a scene.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from attrs import field, frozen

from nexus_core import plugins
from nexus_core.broker import FixedFee
from nexus_core.calibration import Table
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.records import APPROVAL, EVENT, FILL, LATE, MOVE, empty
from nexus_core.testing import Trial, rows
from nexus_core.types import Instrument, Mode, OrderState, Outcome

LAYERS = ("quality", "selection", "aggregation", "routing", "assessment")
GATES = (
    "composite", "liquidity", "regime", "anomaly", "strength", "agreement", "duplicate", "action",
    "confidence", "position-size", "daily-loss", "weekly-loss", "drawdown", "signal-confidence",
    "risk-multiplier", "market-class", "against-market", "critical-flags", "risk-score", "margin", "var",
    "correlation", "stop-loss", "min-size",
)  # fmt: skip
PAIR = (Instrument("A-USD"), Instrument("B-USD"))
CALM, SCENE = 400, 40


@pytest.fixture(autouse=True)
def untabled(monkeypatch, tmp_path):
    """Let the router's confidence be |lean| x strength itself: ranks would hang on what was fitted last."""
    monkeypatch.setattr("nexus_gate_routing.table.PACKAGED", tmp_path / "none.json")
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


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
"""Met by tests of their own; the last one by that of gates that do not answer."""


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


@pytest.mark.jit
@pytest.mark.parametrize("reason", CASES)
def test_each_reason_is_met(reason):
    trial = met(CASES[reason])
    assert reasons(trial)[-1] == reason
    # what closes a position is an order; nothing else of these is
    approved = int(trial.decisions["outcome"][-1]) == Outcome.APPROVED
    assert approved == (reason == "opposite")


def test_no_reason_is_left_out():
    ends = {place.name for place in standard().chain.places}
    assert ends == CASES.keys() | ELSEWHERE == {name for name, _ in KERNEL_GATES} | set(GATES)


def test_a_guard_needs_something_before_it_loosened():
    guards = {name for name in GATES if plugins.load("gates", name).guard}
    assert guards <= {reason for reason, case in CASES.items() if case.loosened}


def test_what_only_repeats_an_open_position_is_refused():
    made, other = scene(), scene()
    other["symbol"] = 1
    signals = np.zeros((2, len(made)), np.int8)
    signals[0, -1] = signals[1, -5] = 1
    trial = standard()
    trial.run(np.concatenate([made, other]), signals.ravel(), 0.9)
    assert reasons(trial)[-1] == "correlation"
    assert trial.decisions["value"][trial.decisions["symbol"] == 0][-1] == pytest.approx(1.0)
    # without what is open there it is an entry like any other
    alone = standard()
    signals[1] = 0
    alone.run(np.concatenate([made, other]), signals.ravel(), 0.9)
    assert reasons(alone)[-1] == "approved"


def test_an_entry_that_is_still_filling_is_not_followed_by_another():
    made = scene()
    trial = standard(on_paper=False, on_opposite="reverse")
    signals = np.zeros(len(made), np.int8)
    signals[-2:] = 1, -1
    trial.run(made[:-1], signals[:-1], 0.9)
    entry = trial.events[-1]
    assert (reasons(trial)[-1], entry["kind"]) == ("approved", APPROVAL)
    said = empty(EVENT, 2)
    for name in ("order", "symbol", "ts"):
        said[name] = entry[name]
    said["kind"], said["state"] = (MOVE, FILL), (OrderState.SUBMITTED, OrderState.PARTIALLY_FILLED)
    said["qty"], said["price"] = (0, entry["qty"] // 2), entry["price"]
    trial.run(made[-1:], signals[-1:], 0.9, told=said)
    assert trial.ledger.positions["qty"][0] == entry["qty"] // 2
    # it is closed, for it is held; to sell beyond that waits for what is at work
    assert reasons(trial)[-1] == "entry-at-work"


def test_an_entry_of_which_nothing_is_left_is_none():
    free = {name: {"limit": 1.0} for name in ("daily-loss", "weekly-loss", "drawdown")}
    case = Case(before=ledger(day_start=1.03), given={**free, "risk-multiplier": {"limit": 0.0}})
    trial = met(case)
    assert reasons(trial)[-1] == "size"
    assert trial.account["orders"] == 0
    assert trial.decisions["context"]["scale"][-1] == 0.0


# -- votes by weight ------------------------------------------------------------------------------------


def voted(signals, categories, score, **market):
    made = scene(**market)
    trial = standard(categories=categories)
    all_signals = np.zeros((len(signals), len(made)), np.int8)
    all_signals[:, -1] = signals
    trial.run(made, all_signals, score)
    return trial


def test_14_sell_6_buy_and_buy_wins():
    signals, categories = [2] * 6 + [-1] * 14, ["momentum"] * 6 + ["market_making"] * 14
    assert sum(signals) < 0
    trial = voted(signals, categories, 0.9)
    context, last = trial.decisions["context"][-1], trial.decisions[-1]
    assert (reasons(trial)[-1], last["direction"], last["outcome"]) == ("approved", 1, Outcome.APPROVED)
    # the market trends: momentum counts 0.9, and who makes markets 0.1
    assert context["market_state"] == 0
    weights = trial.opinions["weight"].tolist()
    assert weights == pytest.approx([0.9] * 6 + [0.1] * 14)
    assert context["lean"] == 1.0  # (6·2·0.9 - 14·0.1) / (6·0.9 + 14·0.1), held within [-1, 1]
    assert trial.events[-1]["side"] == 1
    # the same voices of one mind about weights sell
    equal = voted(signals, ["momentum"] * 20, 0.9)
    assert equal.decisions["context"]["lean"][-1] == pytest.approx(-0.1)
    assert reasons(equal)[-1] == "direction"


def test_the_same_votes_sell_where_the_market_ranges():
    signals, categories = [2] * 6 + [-1] * 14, ["momentum"] * 6 + ["market_making"] * 14
    trial = voted(signals, categories, 1.0, drift=0.0, seed=RANGING)
    context = trial.decisions["context"][-1]
    assert context["market_state"] == 1
    assert context["lean"] == pytest.approx((6 * 2 * 0.2 - 14 * 0.8) / (6 * 0.2 + 14 * 0.8))
    assert (reasons(trial)[-1], trial.events[-1]["side"]) == ("approved", -1)


RANGING = 10
"""A market that comes back, and is good enough for layer 1."""

# -- edges ----------------------------------------------------------------------------------------------

LOSS, GAIN, FEE = 0.005, 0.01, 0.001
NEEDED = (LOSS + 2 * FEE) / (LOSS + GAIN)
"""Share of trades that must come to their target to earn their costs."""
EDGES = {
    "stop_loss_pct": LOSS, "take_profit_pct": GAIN, "fee": FixedFee(rate=FEE), "breaker_loss": 0.0,
    "max_daily_loss": 1.0, "max_weekly_loss": 1.0, "max_drawdown": 1.0,
}  # fmt: skip
FREE = {name: {"limit": 1.0} for name in ("daily-loss", "weekly-loss", "drawdown")} | {
    "assessment": {"max_daily_loss": 1.0, "max_drawdown": 1.0}
}
"""Losses end no trading here, so that there are trades enough."""


def walk(seed, size=8_000):
    """Return a market that goes nowhere, row by row by 0.1 %."""
    return scene(seed=seed, drift=0.0, calm=size, size=0)


def foreseen(made):
    """Return for each row the side, 1 or -1, whose trade comes to its target; 0 where neither does."""
    sides, close = np.zeros(len(made), np.int8), made["close"]
    for n in range(len(made) - 1):
        highs = np.maximum.accumulate(made["high"][n + 1 : n + 301])
        lows = np.minimum.accumulate(made["low"][n + 1 : n + 301])
        for side, best, worst in ((1, highs, -lows), (-1, -lows, highs)):
            target, stop = close[n] * (side + GAIN), close[n] * (-side + LOSS)
            hit, miss = (best >= target).argmax(), (worst >= stop).argmax()
            if best[hit] >= target and (worst[miss] < stop or hit < miss):
                sides[n] = side
    return sides


def traded(signals, made, tables):
    trial = standard(FREE, tables=tables, **EDGES)
    trial.run(made, signals, 0.9)
    return trial


def ended(trial):
    """Return how many trades have come to their target, and how many to their stop."""
    return int(trial.chain.standings["hits"][0]), int(trial.chain.standings["misses"][0])


@pytest.mark.jit
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_coin_flip_is_no_edge(seed):
    made, draws = walk(seed), np.random.default_rng(seed + 100)
    signals = draws.choice([-1, 0, 0, 1], len(made))
    trial = traded(signals, made, (table(),))
    hits, misses = ended(trial)
    assert hits + misses > 200
    assert hits / (hits + misses) < NEEDED
    came = reasons(trial)
    assert came.count("no-edge") > 100
    assert trial.account["approved"] == 0
    # what it takes, and what is known of it
    last = trial.decisions[np.array(came) == "no-edge"][-1]
    assert last["limit"] == pytest.approx(NEEDED)
    assert last["value"] == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.jit
def test_a_planted_edge_gets_through_once_enough_is_known_of_it():
    made, draws = walk(5), np.random.default_rng(6)
    signals = np.where(draws.random(len(made)) < 0.5, foreseen(made), 0)
    trial = traded(signals, made, (table(),))
    hits, misses = ended(trial)
    assert hits > 80 > 8 * misses
    came = np.array(reasons(trial))
    first = int((came == "approved").argmax())
    # before that nothing was known of it: as many as it takes for (hits + 200/3) / (trades + 200)
    assert (came[:first] == "no-edge").sum() > 0
    assert trial.account["approved"] > 5
    context = trial.decisions["context"][came == "approved"]
    assert (context["chance"] > NEEDED).all()
    assert trial.account["wins"] > 0.8 * trial.account["trades"]


@pytest.mark.jit
def test_what_has_no_table_is_sized_by_a_fixed_risk():
    made, draws = walk(1), np.random.default_rng(101)
    trial = traded(draws.choice([-1, 0, 0, 1], len(made)), made, ())
    came = np.array(reasons(trial))
    assert "no-edge" not in came
    decided = trial.decisions[came == "approved"][0]
    entry = trial.events[trial.events["order"] == decided["order"]][0]
    notional = entry["qty"] * 1e-8 * entry["price"] * 1e-8
    context = decided["context"]
    assert math.isnan(context["chance"])
    assert decided["confidence"] == pytest.approx(0.9)
    wanted = 0.02 * 0.9 * context["scale"] * 1e5
    assert notional == pytest.approx(wanted, rel=1e-5)
