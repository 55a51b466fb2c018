"""Layers at work: what they remember and see of a row, and that the size of the blocks changes nothing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import Gate, Layer, Param
from nexus_core.errors import ConfigError
from nexus_core.gates import Chain
from nexus_core.layers import guarded
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.outcomes import HIT, MISS, Outcomes
from nexus_core.records import ABSENT
from nexus_core.testing import Trial, rows
from nexus_core.types import Instrument, to_units

NAN = math.nan


class Mean(Layer):
    """The mean of closes so far, and the row's distance from it."""

    layer, writes = 1, {"mean": 1, "near": 1, "pair": 2}

    @staticmethod
    def state(params, interval):
        return {"n": 0, "sum": 0.0}

    @staticmethod
    def watch(row, context, state, params):
        state.n += 1
        state.sum += row.close
        context.mean = state.sum / state.n
        context.near = abs(row.close - context.mean)
        context.pair[0] = row.open
        context.pair[1] = row.close


class Record(Layer):
    """Weighs every voice by what is known of it."""

    layer, writes = 3, {"seen": 1}

    @staticmethod
    def step(row, context, voices, params):
        context.seen = 0.0
        for k in range(voices.size):
            if voices[k].signal != 0 and voices[k].signal != -128:
                context.seen += voices[k].rights + voices[k].wrongs
                voices[k].weight = 1.0 / (1.0 + voices[k].wrongs)


class Chance(Layer):
    """The share of trades that came to their target."""

    layer, writes, reads = 4, {"worth": 1}, ("nobody",)

    @staticmethod
    def step(row, context, voices, params):
        hits = 0.0
        all = 0.0
        total = 0.0
        for k in range(voices.size):
            if voices[k].signal != 0 and voices[k].signal != -128:
                hits += voices[k].hits
                all += voices[k].hits + voices[k].misses
                total += voices[k].weight * voices[k].signal
        context.worth = total
        context.chance = hits / all if all > 0.0 else context.nobody
        if total == 0.0:
            context.direction = 0.0


def reading(field, layer, limit, refuses="above", bound="", passes="market"):
    """Return a gate whose value is a field of the context."""
    facts = {"layer": layer, "passes": passes, "reads": field, "refuses": refuses, "bound": bound}
    bounds = Param(0.0, low=-1e300, high=1e300, help="of a test")
    return type("Reads", (Gate,), {**facts, "limit": bounds})(limit=limit)


def slow(layer, field):
    """Return a gate in plain Python whose values are a field of the context."""
    bounds = Param(1e9, low=-1e300, high=1e300, help="of a test")
    values = staticmethod(lambda columns, state, params: getattr(columns, field))
    return type("Slow", (Gate,), {"layer": layer, "passes": "market", "values": values, "limit": bounds})()


LAYERS = {"mean": Mean(), "record": Record(), "chance": Chance()}
GATES = {"near": reading("near", 1, 3.0), "worth": reading("worth", 4, -1.5, "below")}


def market(size=300, symbols=2, seed=3):
    draws = np.random.default_rng(seed)
    made = []
    for s in range(symbols):
        walk = 100 + np.cumsum(draws.normal(0, 0.7, size))
        made.append(rows(walk, symbol=s, high=walk + 0.5, low=walk - 0.5))
    return np.concatenate(made), draws.integers(-1, 2, size * symbols)


def played(block, gates=GATES, layers=LAYERS, **risk):
    bars, signals = market()
    pair = (Instrument("A-USD"), Instrument("B-USD"))
    rules = {"stop_loss_pct": 0.01, "take_profit_pct": 0.02, "breaker_loss": 0.0, **risk}
    trial = Trial(gates, layers=layers, instruments=pair, **rules)
    trial.run(bars, signals, 0.8, block=block)
    return trial


BETWEEN = [GATES, {**GATES, "slow": slow(3, "seen")}, {**GATES, "slow": slow(1, "mean")}]


@pytest.mark.parametrize("gates", BETWEEN)
def test_blocks_of_any_size_decide_alike(gates):
    one, other, whole = (played(size, gates) for size in (1, 7, 10_000))
    for made in (one, other):
        assert made.ledger.run_hash == whole.ledger.run_hash
        for name in ("decisions", "verdicts", "opinions"):
            assert repr(getattr(made, name).tolist()) == repr(getattr(whole, name).tolist())
    assert whole.account["approved"] > 0


def test_a_gate_in_plain_python_between_layers_changes_no_decision_of_the_others():
    without, between = played(64), played(64, {"slow": slow(4, "worth"), **GATES})
    assert without.decisions["outcome"].tolist() == between.decisions["outcome"].tolist()
    assert without.opinions["weight"].tobytes() == between.opinions["weight"].tobytes()


def test_state_sees_every_row_also_those_that_a_gate_refuses():
    trial = Trial({"never": reading("mean", 1, -1.0)}, layers={"mean": Mean()})
    trial.run(rows([1.0, 3.0, 8.0]), 1)
    assert trial.decisions["context"]["mean"].tolist() == [1.0, 2.0, 4.0]
    assert trial.account["approved"] == 0


def test_what_no_layer_reached_is_not_known():
    trial = Trial({"never": reading("mean", 1, -1.0)}, layers=LAYERS)
    trial.run(rows([1.0, 3.0]), 1)
    context = trial.decisions["context"]
    assert np.isnan(context["seen"]).all()
    assert np.isnan(context["worth"]).all()
    assert np.isnan(trial.opinions["weight"]).all()
    assert context["scale"].tolist() == [1.0, 1.0]


def test_an_outcome_is_known_from_its_row_on_and_not_before():
    # one signal a row, judged one row later in this Strategy's default horizon of 60 rows
    trial = Trial({}, layers={"record": Record()})
    trial.run(rows(np.linspace(100, 101, 70)), 1)
    seen = trial.decisions["context"]["seen"].tolist()
    assert seen[:60] == [0.0] * 60
    assert seen[60:] == [float(n) for n in range(1, 11)]


UNDER, OVER = math.nextafter(2.0, 0), math.nextafter(2.0, 3)
PASSED = {
    "above": [True, True, False, False],
    "from": [True, False, False, False],
    "below": [False, True, True, False],
    "to": [False, False, True, False],
}


class Given(Layer):
    """Hands on a field of the row."""

    layer, writes = 1, {"handed": 1, "limit": 1}

    @staticmethod
    def watch(row, context, state, params):
        context.handed = row.bid_size
        context.limit = row.ask_size


@pytest.mark.parametrize("refuses", PASSED)
@pytest.mark.parametrize(("layer", "passes"), [(1, "market"), (3, "market"), (5, "market"), (6, "ledger")])
def test_a_gate_that_reads_just_under_at_and_just_over_its_limit(refuses, layer, passes):
    gate = reading("handed", layer, 2.0, refuses, passes=passes)
    trial = Trial({"own": gate}, layers={"given": Given()}, sizing="fixed-notional", notional=10.0)
    trial.run(rows([100.0] * 4, bid_size=[UNDER, 2.0, OVER, NAN]), 1)
    names = [place.name for place in trial.chain.places]
    ended = [names[n] if n >= 0 else "" for n in trial.decisions["reason"].tolist()]
    assert [each != "own" for each in ended] == PASSED[refuses]
    own = trial.verdicts[trial.verdicts["gate"] == names.index("own")]
    assert repr(own["value"].tolist()) == repr([UNDER, 2.0, OVER, NAN])
    assert own["passed"].tolist() == PASSED[refuses]


@pytest.mark.parametrize(("layer", "passes"), [(1, "market"), (6, "ledger")])
@pytest.mark.parametrize(("refuses", "stricter"), [("above", 1.0), ("below", 3.0)])
def test_a_bound_tightens_a_limit_and_never_loosens_it(layer, passes, refuses, stricter):
    looser = 4.0 - stricter
    gate = reading("handed", layer, 2.0, refuses, "limit", passes)
    trial = Trial({"own": gate}, layers={"given": Given()}, sizing="fixed-notional", notional=10.0)
    trial.run(rows([100.0] * 3, bid_size=2.0, ask_size=[stricter, looser, NAN]), 1)
    number = trial.chain.places[-1].number
    own = trial.verdicts[trial.verdicts["gate"] == number]
    assert own["limit"].tolist() == [stricter, 2.0, 2.0]
    assert own["passed"].tolist() == [False, True, True]


def test_two_layers_6_are_a_clear_error():
    class Sixth(Layer):
        layer = 6

    with pytest.raises(ConfigError, match="layer 6 has two layers at work"):
        Chain([], 1, 1, 0.0, layers=[("a", Sixth()), ("b", Sixth())])


class Assess(Layer):
    """Counts rows of all symbols, halves what is bought, and breaks on demand."""

    layer, writes = 6, {"counted": 1}

    @staticmethod
    def state(params, symbols):
        return {"rows": 0, "per": np.zeros(symbols, np.int64)}

    @staticmethod
    def watch(row, state, params):
        state.rows += 1
        state.per[row.symbol] += 1

    @staticmethod
    def step(row, context, account, positions, proposal, state, params):
        if row.bid_size < 0.0:
            raise ValueError
        context.counted = state.rows
        if proposal.side > 0:
            context.scale *= 0.5


@pytest.mark.parametrize("block", [1, 2, 100])
def test_the_layer_of_the_ledger_pass_sees_every_row_and_scales_the_size(block):
    trial = Trial(
        {}, layers={"assess": Assess()}, sizing="fixed-quantity", quantity=4.0, on_opposite="ignore"
    )
    trial.run(rows([100.0] * 5, bid_size=[1, 1, 1, -1, 1]), [1, 0, -1, 1, 0], block=block)
    names = [place.name for place in trial.chain.places]
    assert trial.decisions["context"]["counted"][[0, 2]].tolist() == [1.0, 3.0]
    fills = trial.events[trial.events["kind"] == 3]
    assert fills["qty"].tolist() == [to_units(2), to_units(4)]
    assert (names[trial.decisions["reason"][3]], trial.decisions["outcome"][3]) == ("layer-at-work", 2)
    assert trial.ledger.records()["layer"]["rows"][0] == 5


@pytest.mark.parametrize("block", [1, 100])
def test_a_watch_of_the_ledger_pass_that_raises_refuses_the_row_and_ends_no_run(block):
    def watch(row, state, params):
        if row.ask_size < 0.0:
            raise ValueError

    broken = type("Broken", (Assess,), {"watch": staticmethod(watch)})()
    trial = Trial({}, layers={"assess": broken}, sizing="fixed-quantity", quantity=4.0)
    trial.run(rows([100.0] * 3, ask_size=[-1, 1, 1]), [1, 1, 0], block=block)
    names = [place.name for place in trial.chain.places]
    assert names[trial.decisions["reason"][0]] == "layer-at-work"
    assert trial.decisions["outcome"].tolist() == [2, 1, 2]


# -- trades that would have been made ---------------------------------------------------------------------


def outcomes(bars, signals, loss, gain, size=1 << 40):
    made, told = Outcomes([10_000], 1, loss, gain), np.zeros((1, len(bars)), np.int8)
    for block in blocks(Chunk(bars, np.array([0, len(bars)])), 0, size, lambda _: 2**62):
        made.run(block, np.array([signals], np.int8), np.ones((1, len(bars))), told)
    return told[0].tolist()


def slowly(bars, signals, loss, gain):
    """Follow one trade of each side at a time, from the row after its signal."""
    told, open_ = [0] * len(bars), {1: None, -1: None}
    for i, (row, signal) in enumerate(zip(bars, signals, strict=True)):
        for side, trade in open_.items():
            if trade is None:
                continue
            stop, target = trade
            stopped = row["low"] <= stop if side > 0 else row["high"] >= stop
            reached = row["high"] >= target if side > 0 else row["low"] <= target
            if stopped or reached:
                told[i] += MISS if stopped else HIT
                open_[side] = None
        side = int(np.sign(signal)) if signal not in (0, ABSENT) else 0
        if side and open_[side] is None:
            close = float(row["close"])
            open_[side] = close * (1.0 - side * loss), close * (1.0 + side * gain)
    return told


def test_a_trade_ends_at_its_stop_or_target_and_a_bar_that_touches_both_at_its_stop():
    # bought at 100 with 98 and 104: the target. Bought at 104 (101.92, 108.16): both, so the stop
    bars = rows([100, 104, 104, 104], high=[100, 104, 109, 104], low=[100, 100, 101, 104])
    assert outcomes(bars, [1, 1, 0, 0], 0.02, 0.04) == [0, HIT, MISS, 0]
    # sold at 100 with 102 and 96; while it is open another of its side is not followed
    bars = rows([100, 99, 97, 95], high=[100, 99, 97, 95], low=[100, 99, 97, 95])
    assert outcomes(bars, [-1, -2, -1, 0], 0.02, 0.04) == [0, 0, 0, HIT]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(90, 110), st.floats(0, 6), st.floats(0, 6), st.sampled_from([-2, -1, 0, 1, 2, ABSENT])
        ),
        min_size=1,
        max_size=50,
    ),
    st.sampled_from([1, 3, 64]),
)
def test_trades_end_as_a_slow_definition_says_in_blocks_of_any_size(told, size):
    closes, up, down, signals = map(list, zip(*told, strict=True))
    bars = rows(closes)
    bars["high"] = np.maximum(bars["high"], closes + np.array(up))
    bars["low"] = np.array(closes) - np.array(down)
    assert outcomes(bars, signals, 0.02, 0.03, size) == slowly(bars, signals, 0.02, 0.03)


def test_an_unknown_price_ends_no_trade():
    bars = rows([100.0, NAN, 105.0], high=[100.0, NAN, 105.0], low=[100.0, NAN, 105.0])
    assert outcomes(bars, [1, 0, 0], 0.02, 0.04) == [0, 0, HIT]


def test_the_work_of_two_layers_bears_two_names():
    """Machine code in the cache is found by name, and another's would be run under the same one."""
    names = {guarded(each).__qualname__ for each in (Record.step, Chance.step)}
    assert len(names) == 2
