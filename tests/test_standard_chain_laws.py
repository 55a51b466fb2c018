"""What must hold of the standard chain whatever the market: its limits, its order, its blocks, its past."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nexus_core import plugins
from nexus_core.broker import FixedFee
from nexus_core.calibration import Table
from nexus_core.gates import Chain
from nexus_core.journal import pack, unpack
from nexus_core.testing import MINUTE, START, Trial, rows
from nexus_core.types import Instrument, Outcome, StrategyCategory

LAYERS = ("quality", "selection", "aggregation", "routing", "assessment")
GATES = (
    "composite", "liquidity", "regime", "anomaly", "strength", "agreement", "duplicate", "action",
    "confidence", "position-size", "daily-loss", "weekly-loss", "drawdown", "signal-confidence",
    "risk-multiplier", "market-class", "against-market", "critical-flags", "risk-score", "margin", "var",
    "correlation", "stop-loss", "min-size",
)  # fmt: skip
PAIR = (Instrument("A-USD"), Instrument("B-USD"))


def made(kind, names):
    return {name: plugins.load(kind, name)() for name in names}


def standard(gates=GATES, layers=LAYERS, **facts):
    """Return a trial of the standard chain, its names in this order."""
    given = {"min_confidence": 0.57, "instruments": PAIR, **facts}
    return Trial(made("gates", gates), layers=made("layers", layers), **given)


def market(size, seed, symbol=0, trend=0.0, **fields):
    """Return a market of turns: a stretch of 40 rows up, a stretch to nowhere, a stretch down."""
    draws, turn = np.random.default_rng((seed, symbol)), np.arange(size) // 40 % 3 - 1
    close = 100.0 * np.exp(np.cumsum(0.001 * (draws.normal(0, 1, size) - trend * turn)))
    bars = rows(close, symbol=symbol, **fields)
    reach = np.abs(draws.normal(0, 0.0003, (2, size)))
    bars["high"] *= 1 + reach[0]
    bars["low"] *= 1 - reach[1]
    bars["bid"], bars["ask"] = close * (1 - 0.0001), close * (1 + 0.0001)
    for name in ("volume", "bid_size", "ask_size"):
        bars[name] = draws.lognormal(0, 0.3, size)
    return bars


def reasons(trial):
    names = {-1: "approved"} | {place.number: place.name for place in trial.chain.places}
    return [names[each] for each in trial.decisions["reason"].tolist()]


# -- limits -----------------------------------------------------------------------------------------------

MOMENTS = [(1, 0.8, 1), (2, 0.8, 1), (3, 0.8, -1), (4, 0.0, 1), (5, 1.5, -1), (6, 1.5, 1)]
"""Seed and trend of a market, and the signal on its last row."""
LOOSENED = [name for name in GATES if name != "duplicate"]
"""The gates whose limit can be another."""


class Moment:
    """One row that is judged again and again, each time from the same state."""

    def __init__(self, seed, trend, signal):
        self.trial = standard(trace="full")
        self.bars, self.signal = market(360, seed, trend=trend), signal
        self.trial.run(self.bars[:-1], 0)
        self.before = pack(self.trial.engine.states())
        self.at = self.trial.engine.tick, self.trial.engine.time
        self.limits = limits_of(self.trial)
        self.first = {name: float(limit["limit"]) for name, limit in self.limits.items()}

    def judge(self, limits, score, **account):
        """Return the decision's reason, and the value of each gate that was asked."""
        trial = self.trial
        unpack(self.before, trial.engine.states())
        trial.engine.tick, trial.engine.time = self.at
        for name, value in {**self.first, **limits}.items():
            self.limits[name]["limit"] = value
        books = trial.ledger.account
        for name, share in account.items():
            books[name] = int(books["cash"][0] * share)
        trial.written.clear()
        trial.run(self.bars[-1:], self.signal, score)
        names = {place.number: place.name for place in trial.chain.places}
        told = {names[each["gate"]]: float(each["value"]) for each in trial.verdicts}
        return reasons(trial)[0], told


def limits_of(trial):
    """Return of each gate the record that its limit stands in."""
    market, ledger = trial.chain._given[0], trial.ledger._given[0]["gates"]
    names = [place.name for place in trial.chain.places if place.name in GATES]
    early = [name for name in names if plugins.load("gates", name).passes == "market"]
    late = [name for name in names if name not in early]
    return {name: market[f"g{n}"] for n, name in enumerate(early)} | {
        name: ledger[f"g{n}"] for n, name in enumerate(late)
    }


@pytest.fixture(scope="module")
def moments():
    return [Moment(*each) for each in MOMENTS]


def bounds(name):
    """Return a gate's loosest limit, and its strictest."""
    gate = plugins.load("gates", name)
    limit = gate.parameters()["limit"]
    return (limit.high, limit.low) if gate.refuses in ("above", "from") else (limit.low, limit.high)


def edge(name, value, kind):
    """Return the strictest limit that lets a value pass, or the loosest that refuses it, within bounds."""
    loosest, strictest = bounds(name)
    takes_limit = plugins.load("gates", name).refuses in ("above", "below")
    passing = value if takes_limit else math.nextafter(value, loosest)
    refusing = math.nextafter(value, strictest) if takes_limit else value
    found = passing if kind == "passing" else refusing
    return min(max(found, min(loosest, strictest)), max(loosest, strictest))


@pytest.mark.jit
@settings(max_examples=100)
@given(
    moment=st.integers(0, len(MOMENTS) - 1),
    kinds=st.fixed_dictionaries(
        dict.fromkeys(LOOSENED, st.sampled_from(["default", "loosest", "passing", "passing"]))
    ),
    refusing=st.none() | st.sampled_from(LOOSENED),
    loosened=st.none() | st.sampled_from(LOOSENED),
    share=st.floats(0.0, 1.0),
    score=st.floats(0.6, 1.0),
    account=st.fixed_dictionaries(
        {"day_start": st.floats(0.99, 1.03), "peak": st.floats(1.0, 1.2), "margin": st.floats(0.0, 1.0)}
    ),
)
def test_a_looser_limit_turns_no_approval_into_a_refusal(
    moments, moment, kinds, refusing, loosened, share, score, account
):
    now, name = moments[moment], loosened or refusing or "composite"
    account["week_start"] = account["day_start"]
    _, values = now.judge({each: bounds(each)[0] for each in LOOSENED}, score, **account)
    before = {}
    for each, kind in kinds.items():
        value = values.get(each, math.nan)
        if kind == "loosest":
            before[each] = bounds(each)[0]
        elif math.isfinite(value) and (kind == "passing" or each == refusing):
            before[each] = edge(each, value, "refusing" if each == refusing else kind)
        else:
            before[each] = now.first[each]
    after = {**before, name: before[name] + share * (bounds(name)[0] - before[name])}
    one, _ = now.judge(before, score, **account)
    other, _ = now.judge(after, score, **account)
    event(f"approved {one == 'approved'}, loosened what refused {one == name}")
    if one != name:
        assert other == one
    elif other in GATES:  # one of the same or of a later place: what came before has passed
        order = [place.name for place in now.trial.chain.places]
        assert order.index(other) >= order.index(one)


@pytest.mark.jit
def test_the_moments_are_worth_judging(moments):
    came = [each.judge({}, 0.9)[0] for each in moments]
    assert "approved" in came
    assert len(set(came)) > 1


# -- order ------------------------------------------------------------------------------------------------


def by_layer(names, kind):
    """Return the names of each layer's plugins, in the order given, market gates before the others."""
    loaded = {name: plugins.load(kind, name) for name in names}
    rooms = {name: (each.layer, getattr(each, "passes", "") == "ledger") for name, each in loaded.items()}
    return {room: [name for name in names if rooms[name] == room] for room in sorted(set(rooms.values()))}


@settings(max_examples=30)
@given(st.permutations(GATES), st.permutations(LAYERS))
def test_the_order_of_names_reorders_no_layer(gates, layers):
    chain = Chain(list(made("gates", gates).items()), 1, 2, 0.57, layers=list(made("layers", layers).items()))
    own = [place for place in chain.places if place.name in GATES]
    wanted = by_layer(gates, "gates")
    early = [room for room in wanted if not room[1]] + [room for room in wanted if room[1]]
    assert [place.name for place in own] == [name for room in early for name in wanted[room]]
    assert all(one.layer <= other.layer for one, other in pairwise(own[:8]))
    assert [name for name, _ in chain.working] == list(LAYERS)


def merged(names, choices, kind):
    """Return the names with those of different layers mixed, and those of one layer as they stood."""
    left = [list(each) for each in by_layer(names, kind).values()]
    mixed = []
    for choice in choices:
        left = [each for each in left if each]
        mixed.append(left[choice % len(left)].pop(0))
    return mixed


@pytest.mark.jit
@settings(max_examples=10)
@given(st.lists(st.integers(0, 99), min_size=len(GATES), max_size=len(GATES)), st.permutations(LAYERS))
def test_gates_of_different_layers_may_be_named_in_any_order(choices, layers):
    trial = standard(merged(GATES, choices, "gates"), layers)
    trial.run(market(400, 2, trend=0.8), 1, 0.9)
    plain = standard()
    plain.run(market(400, 2, trend=0.8), 1, 0.9)
    assert trial.ledger.run_hash == plain.ledger.run_hash
    assert plain.account["approved"] > 0


# -- blocks, restarts, and the past -----------------------------------------------------------------------

VOICES, SIZE = 20, 10_000
CATEGORIES = [list(StrategyCategory)[k % len(StrategyCategory)] for k in range(VOICES)]
LINE = [0.0, 1.0]
TABLE = Table({"scores": LINE, "ranks": LINE, "p": [0.5, 0.6], "low": LINE, "high": LINE})


def orchestra(**facts):
    """Return a trial of 20 strategies, every second one with a table, on costs and small brackets."""
    tables = [TABLE if k % 2 else None for k in range(VOICES)]
    given = {"stop_loss_pct": 0.005, "take_profit_pct": 0.01, "fee": FixedFee(rate=0.0001)}
    return standard(categories=CATEGORIES, tables=tables, horizon=30, **given | {"trace": "approved"} | facts)


def score_sheet(size=SIZE, seed=4):
    """Return rows of two symbols, and what 20 strategies say of them: most go along, two of them against."""
    bars = np.concatenate([market(size, seed, symbol, trend=0.8) for symbol in (0, 1)])
    draws = np.random.default_rng(seed)
    lean = np.sign(-(np.arange(2 * size) % size // 40 % 3 - 1.0))
    heard = draws.random((VOICES, 2 * size)) < 0.3
    goes_along = draws.random((VOICES, 2 * size)) < np.where(np.arange(VOICES) % 10 == 9, 0.2, 0.9)[:, None]
    signals = np.where(goes_along, lean, -lean) * draws.integers(1, 3, (VOICES, 2 * size)) * heard
    return bars, signals.astype(np.int8), draws.random((VOICES, 2 * size))


def between(bars, first, last):
    """Return which rows of both symbols lie from one tick to before another."""
    tick = bars["ts"] // MINUTE - START // MINUTE - 1
    return (tick >= first) & (tick < last)


@pytest.mark.jit
def test_blocks_of_any_size_and_a_restart_come_to_one_run_hash():
    bars, signals, scores = score_sheet()
    whole, found = orchestra(), {}
    whole.run(bars, signals, scores, block=4096)
    found[4096] = whole.ledger.run_hash
    assert whole.account["approved"] > 20
    assert whole.account["trades"] > 20
    assert (bars["ts"] % (24 * 60 * MINUTE) == 0).sum() > 2  # epoch edges
    for size in (64, 1):
        trial = orchestra()
        trial.run(bars, signals, scores, block=size)
        found[size] = trial.ledger.run_hash
    half = SIZE // 2 + 7
    first, last = between(bars, 0, half), between(bars, half, SIZE)
    one, other = orchestra(), orchestra()
    one.run(bars[first], signals[:, first], scores[:, first])
    assert unpack(pack(one.engine.states()), other.engine.states()) == []
    other.engine.tick, other.engine.time = one.engine.tick, one.engine.time
    other.run(bars[last], signals[:, last], scores[:, last])
    found["restart"] = other.ledger.run_hash
    assert len(set(found.values())) == 1, found


@pytest.mark.jit
@pytest.mark.parametrize("at", [500, 1203])
def test_what_is_known_of_a_strategy_comes_from_no_later_row(at):
    size = 2_000
    bars, signals, scores = score_sheet(size)
    changed, later = bars.copy(), between(bars, at, size)
    for name in ("open", "high", "low", "close", "bid", "ask"):
        changed[name][later] *= np.where(np.arange(later.sum()) % 2, 1.02, 0.97)
    one, other = (orchestra(trace="full") for _ in range(2))
    one.run(bars, signals, scores)
    other.run(changed, signals, scores)
    until = START + at * MINUTE
    early = one.decisions["ts"] <= until
    assert early.sum() == 2 * at
    assert repr(one.decisions[early].tolist()) == repr(other.decisions[early].tolist())
    count = int(one.decisions["opinions"][early].sum())
    # weights come from rights and wrongs, chances from hits and misses
    assert repr(one.opinions[:count].tolist()) == repr(other.opinions[:count].tolist())
    assert np.unique(one.opinions["weight"][:count]).size > 50
    assert np.unique(one.decisions["context"]["chance"][early]).size > 50
    assert one.chain.standings.tobytes() != other.chain.standings.tobytes()
    # and what is known at the end of a run that ends there is what was known there
    short, kept = orchestra(), between(bars, 0, at)
    short.run(bars[kept], signals[:, kept], scores[:, kept])
    cut = orchestra()
    cut.run(changed[kept], signals[:, kept], scores[:, kept])
    assert short.chain.standings.tobytes() == cut.chain.standings.tobytes()
    assert Outcome.APPROVED in one.decisions["outcome"]
