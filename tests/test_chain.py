"""The chain: every gate in its layer, every edge of a limit, and a verdict from exactly the gates asked."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import Gate, Layer, Param, safety
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import ConfigError, NexusError
from nexus_core.gates import Chain, Missing
from nexus_core.ledger import loop
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.market.blocks import Chunk, blocks
from nexus_core.market.columns import Columns
from nexus_core.records import ABSENT, LATE, ROW
from nexus_core.testing import MINUTE, START, Trial, rows
from nexus_core.types import Instrument, Mode, Outcome

KERNEL = [name for name, _ in KERNEL_GATES]


def market_gate(values, layer=1, limit=0.0, **facts):
    """Return a market gate with this function of columns, state and parameters."""
    bounds = Param(0.0, low=-1e300, high=1e300, help="of a test")
    made = {"values": staticmethod(values), "layer": layer, "passes": "market", "limit": bounds, **facts}
    return type("Made", (Gate,), made)(limit=limit)


def reading(field, layer=1, limit=0.0, **facts):
    """Return a market gate whose values are a field of the rows."""
    return market_gate(lambda columns, state, params: getattr(columns, field), layer, limit, **facts)


class Held(Gate):
    """Refuse where too much is held: a ledger gate that comes before the size is known."""

    layer, passes = 4, "ledger"
    limit = Param(1.0, low=0.0, high=1e9, help="units of the symbol")

    @staticmethod
    def step(row, account, position, proposal, params):
        return abs(position.qty) * 1e-8


class Price(Gate):
    """Refuse dear entries: a ledger gate that comes after the size is known."""

    layer, passes, refuses, halves = 6, "ledger", "from", True
    limit = Param(1e9, low=0.0, high=1e9, help="price")

    @staticmethod
    def step(row, account, position, proposal, params):
        return proposal.price * 1e-8


def whole_chain(**limits):
    """Return gates in every room of the chain; a market gate refuses rows by a field of its own."""
    return {
        "price": Price(limit=limits.get("price", 1e9)),
        "held": Held(limit=limits.get("held", 1e9)),
        "fifth": reading("ask_size", 5, 1.0),
        "third": reading("bid_size", 3, 1.0),
        "fourth": reading("trades", 4, 1.0),
        "first": reading("volume", 1, 1.0),
    }


def names_of(trial):
    return {-1: "approved"} | {place.number: place.name for place in trial.chain.places}


def reasons(trial):
    """Return what each decision came to, by name, in the order of time."""
    names = names_of(trial)
    return [names[reason] for reason in trial.decisions["reason"].tolist()]


def verdicts(trial):
    """Return the names of the gates that left a verdict, and of those that passed, for each decision."""
    names, at, made = names_of(trial), 0, []
    for count in trial.decisions["verdicts"].tolist():
        own = trial.verdicts[at : at + count]
        made.append(([names[g] for g in own["gate"].tolist()], [bool(p) for p in own["passed"]]))
        at += count
    assert at == len(trial.verdicts)
    return made


# -- layer 2 and 4: from signals to a direction -----------------------------------------------------


def directed(signals, scores, least=0.0, gates=(), **fields):
    """Return a chain's columns over one block, one row for each column of signals."""
    signals, scores = np.array(signals, np.int8), np.array(scores, np.float64)
    made = rows(np.full(signals.shape[1], 100.0), **fields)
    chain = Chain(list(gates), len(signals), 1, least)
    judged = chain.columns(len(made))
    judged.signals[:, : len(made)], judged.scores[:, : len(made)] = signals, scores
    for block in blocks(Chunk(made, np.array([0, len(made)])), 0, 10_000, lambda _: 2**62):
        chain.judge(block, judged)
    return judged


@pytest.mark.parametrize(
    ("signals", "direction", "reason"),
    [
        ((1, 0, 0), 1, None),
        ((-2, 0, ABSENT), -1, None),
        ((2, -1, 0), 1, None),
        ((1, 1, -1), 1, None),
        ((1, -1, -1), -1, None),
        ((1, -1, 0), 0, "direction"),
        ((2, -1, -1), 0, "direction"),
        ((2, -2, ABSENT), 0, "direction"),
        ((0, 0, 0), 0, "has-signal"),
        ((ABSENT, ABSENT, ABSENT), 0, "has-signal"),
        ((ABSENT, 0, 0), 0, "has-signal"),
        ((ABSENT, ABSENT, 1), 1, None),
    ],
)
def test_the_direction_is_the_sign_of_the_sum_of_signals(signals, direction, reason):
    judged = directed(np.array([signals]).T, np.full((3, 1), 0.5))
    assert judged.directions[0] == direction
    assert judged.reasons[0] == (-1 if reason is None else KERNEL.index(reason))


def test_the_confidence_is_the_mean_of_the_scores_that_were_kept():
    # columns: one signal; two; the one below the least counts neither for direction nor for confidence
    signals, scores = [[1, 1, 1, 0], [0, 2, -2, 0]], [[0.75, 0.75, 0.75, 1], [1, 0.5, 0.25, 1]]
    judged = directed(signals, scores, least=0.5)
    assert judged.confidences[:3].tolist() == [0.75, 0.625, 0.75]
    assert judged.directions[:4].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("least", [0.57, 0.1, 1.0])
def test_a_signal_is_kept_from_the_least_confidence_on(least):
    under, over = math.nextafter(least, 0), min(math.nextafter(least, 2), 1.0)
    judged = directed([[1, 1, 1]], [[under, least, over]], least)
    assert judged.directions[:3].tolist() == [0, 1, 1]
    assert judged.reasons[:3].tolist() == [KERNEL.index("has-signal"), -1, -1]
    assert (judged.values[0], judged.limits[0]) == (under, least)


def test_what_has_no_signal_shows_the_best_score_there_was():
    judged = directed([[1], [-1], [0]], [[0.25], [0.375], [0.4375]], least=0.5)
    assert (judged.values[0], judged.limits[0]) == (0.375, 0.5)


@given(st.lists(st.lists(st.sampled_from([-2, -1, 0, 1, 2, ABSENT]), min_size=3, max_size=3), max_size=8))
def test_opposite_signals_give_the_opposite_direction(columns):
    signals = np.array([[1, 1, 1], *columns], np.int8).T
    mirrored = np.where(signals == ABSENT, ABSENT, -signals)
    one, other = (directed(each, np.full(signals.shape, 0.5)).directions for each in (signals, mirrored))
    assert (one == -other).all()


def test_a_late_row_never_decides():
    trial = Trial({"seen": reading("volume", 1, 2.0)})
    flags = [0, LATE, LATE, LATE]
    trial.run(rows([100.0] * 4, flags=flags, volume=[1, 1, 3, 1]), [0, 1, 1, 0])
    assert reasons(trial) == ["has-signal", "late", "seen", "has-signal"]
    assert trial.decisions["direction"].tolist() == [0] * 4
    assert trial.account["approved"] == 0


# -- market gates -----------------------------------------------------------------------------------

LIMIT = 0.25
UNDER, OVER = math.nextafter(LIMIT, 0), math.nextafter(LIMIT, 1)
VALUES = [-math.inf, UNDER, LIMIT, OVER, math.inf, math.nan]


@pytest.mark.parametrize("layer", [1, 3, 4, 5])
@pytest.mark.parametrize(
    ("refuses", "passed"),
    [("above", [1, 1, 1, 0, 0, 0]), ("from", [1, 1, 0, 0, 0, 0]), ("below", [0, 0, 1, 1, 1, 0])],
)
def test_a_market_gate_at_the_edges_of_its_limit(layer, refuses, passed):
    trial = Trial({"edge": reading("volume", layer, LIMIT, refuses=refuses)}, brackets=False)
    for n, value in enumerate(VALUES):
        trial.run(rows([100.0], start=rows([1.0])["ts"][0] + n * 10**12, volume=value), 1)
    ended = [reason == "edge" for reason in reasons(trial)]
    assert ended == [not each for each in passed]
    gates = [("edge", reading("volume", layer, LIMIT, refuses=refuses))]
    judged = directed([[1] * 6], [[0.5] * 6], gates=gates, volume=VALUES)
    assert (judged.directions[:6] != 0).tolist() == [bool(each) for each in passed]
    refused = [n for n, each in enumerate(passed) if not each]
    np.testing.assert_array_equal(judged.values[refused], np.array(VALUES)[refused])
    assert judged.limits[refused].tolist() == [LIMIT] * len(refused)


def test_the_first_gate_that_refuses_is_the_reason():
    trial = Trial(whole_chain())
    # the first row is refused by all four, the last one by the last gate alone
    fields = ("volume", "bid_size", "trades", "ask_size")
    made = rows([100.0] * 4, **{name: [2] * (k + 1) + [1] * (3 - k) for k, name in enumerate(fields)})
    trial.run(made, 1)
    assert reasons(trial) == ["first", "third", "fourth", "fifth"]


def stumbling(columns, state, params):
    state["rows"] += len(columns)
    if (columns.volume < 0).any():
        raise ValueError("a negative volume")
    return state["rows"][0] - len(columns) + 1.0 + np.arange(len(columns))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_what_raises_refuses_its_rows_only_whatever_the_size_of_the_block(size):
    volume = [1, 1, -1, 1, 1, 1, -1, -1, 1, 1]
    gate = market_gate(stumbling, 1, 6.0, state=staticmethod(lambda params: {"rows": 0}))
    trial = Trial({"counts": gate})
    trial.run(rows([100.0] * 10, volume=volume), 0, block=size)
    # eight rows do not raise, and count: those from the seventh on are above the limit
    assert reasons(trial) == [
        "has-signal", "has-signal", "counts", "has-signal", "has-signal", "has-signal", "counts", "counts",
        "has-signal", "counts",
    ]  # fmt: skip
    seen = trial.verdicts["value"].tolist()
    np.testing.assert_array_equal(seen, [1, 2, math.nan, 3, 4, 5, math.nan, math.nan, 6, 7])
    states, _ = trial.chain.records()["gate:counts"]
    assert states["rows"].tolist() == [7]


def broken(columns, state, params):
    raise AttributeError("always")


@pytest.mark.parametrize(
    "values",
    [
        broken,
        lambda columns, state, params: columns.volume / 0.0 * 0.0,
        lambda columns, state, params: "many",
        lambda columns, state, params: None,
        lambda columns, state, params: np.zeros(7),
        lambda columns, state, params: columns.spread,
    ],
    ids=["raises", "divides", "text", "nothing", "another size", "unknown field"],
)
def test_a_gate_without_an_answer_refuses_every_row(values):
    trial = Trial({"odd": market_gate(values, 3)})
    trial.run(rows([100.0] * 5), [1, 0, 1, -1, 1], block=3)
    # what has no signal was ended before layer 3
    assert reasons(trial) == ["odd", "has-signal", "odd", "odd", "odd"]


def test_a_division_by_zero_is_an_answer():
    gate = market_gate(
        lambda columns, state, params: columns.volume / columns.trades, 1, 1.0, refuses="below"
    )
    trial = Trial({"ratio": gate})
    trial.run(rows([100.0] * 3, volume=[1, 0, -1], trades=0), 1)
    assert [reason == "ratio" for reason in reasons(trial)] == [False, True, True]
    np.testing.assert_array_equal(trial.verdicts["value"], [math.inf, math.nan, -math.inf])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("answer", [lambda columns: 0.0, lambda columns: columns.volume.max()])
def test_one_number_for_a_whole_block_refuses_every_row(answer, size):
    # it would depend on the size of the block
    trial = Trial({"same": market_gate(lambda columns, state, params: answer(columns), 1, 1e9)})
    for first in range(0, 3, size):
        trial.run(rows([100.0] * size, start=START + first * MINUTE), 1)
    assert reasons(trial) == ["same"] * 3


class Touchy(Gate):
    """Raise above 105."""

    nexus_api = 1
    layer, passes = 6, "ledger"
    limit = Param(1.0, low=0.0, high=1.0, help="never reached")

    @staticmethod
    def step(row, account, position, proposal, params):
        if row.close > 105.0:
            raise ValueError("too high for me")
        return 0.0


def test_a_ledger_gate_that_raises_refuses_that_row_and_the_run_goes_on():
    trial = Trial({"touchy": Touchy()})
    trial.run(rows([110.0, 106.0, 100.0]), 1)
    assert reasons(trial) == ["touchy", "touchy", "approved"]
    assert np.isnan(trial.decisions["value"][:2]).all()


class SpreadGate(Gate):
    """Refuse when the spread is wide: fees are not the only cost."""

    nexus_api = 1
    layer, after, passes = 1, "liquidity", "market"
    limit = Param(25.0, low=0.0, high=1000.0, help="basis points")

    @staticmethod
    def values(columns, state, params):
        return (columns.ask - columns.bid) / columns.mid * 1e4


def test_a_third_party_gate_works_on_columns():
    # around 100 a spread of 0.25 is 25 basis points
    wide = math.nextafter(100.125, math.inf)
    trial = Trial({"spread": SpreadGate()})
    trial.run(rows([100.0] * 4, bid=[99.875, 99.875, 100, math.nan], ask=[100.125, wide, 100, 100]), 1)
    assert [reason == "spread" for reason in reasons(trial)] == [False, True, False, True]
    assert trial.verdicts["value"][:2].tolist()[0] == 25.0


def test_columns_are_the_rows_in_the_order_of_time():
    made = np.concatenate([rows([1.0, 2.0], symbol=0), rows([10.0, 20.0], symbol=1)])
    order = np.array([0, 2, 1, 3])
    chain = Chain([], 1, 2, 0.0)
    judged = chain.columns(4)
    judged.contexts["direction"][:4], judged.contexts["confidence"][:4] = [1, 0, -1, 1], [0.1, 0.2, 0.3, 0.4]
    columns = Columns(made, order, judged)
    assert len(columns) == 4
    for name in ROW.names:
        assert getattr(columns, name).tolist() == made[name][order].tolist()
    assert columns.close.tolist() == [1.0, 10.0, 2.0, 20.0]
    assert columns.mid.tolist() == [1.0, 10.0, 2.0, 20.0]
    assert (columns.direction.tolist(), columns.confidence.tolist()) == ([1, 0, -1, 1], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(AttributeError, match=r"^a market row has no spread$"):
        _ = columns.spread


def test_a_gate_sees_direction_and_confidence_once_there_are_any():
    seen = {}

    def keeping(layer):
        def values(columns, state, params):
            seen[layer] = (columns.direction.tolist(), columns.confidence.tolist())
            return np.zeros(len(columns))

        return market_gate(values, layer)

    trial = Trial({f"layer-{n}": keeping(n) for n in (1, 3, 5)})
    trial.run(rows([100.0] * 3), [1, 0, -2], [0.5, 0.5, 0.75])
    after = ([1, 0, -1], [0.5, 0.0, 0.75])
    assert seen == {1: ([0, 0, 0], [0.0, 0.0, 0.0]), 3: after, 5: after}


# -- order ------------------------------------------------------------------------------------------


def order_of(gates):
    return [place.name for place in Chain(list(gates), 1, 1, 0.0).places[len(KERNEL) :]]


@given(st.permutations(sorted(whole_chain())))
def test_no_order_in_the_settings_moves_a_gate_to_another_layer(names):
    gates = whole_chain()
    order = order_of((name, gates[name]) for name in names)
    assert order == ["first", "third", "fourth", "fifth", "held", "price"]


def test_within_a_layer_gates_stand_as_given_unless_they_say_where():
    def at(**facts):
        return reading("volume", 3, **facts)

    assert order_of([("b", at()), ("a", at()), ("c", at())]) == ["b", "a", "c"]
    assert order_of([("b", at()), ("a", at(before="b"))]) == ["a", "b"]
    assert order_of([("a", at(after="c")), ("b", at()), ("c", at())]) == ["b", "c", "a"]
    assert order_of([("a", at(after="b")), ("b", at(after="c")), ("c", at())]) == ["c", "b", "a"]
    # of several beside the same gate, each keeps its turn
    assert order_of([("a", at()), ("b", at(after="a")), ("c", at(after="a"))]) == ["a", "b", "c"]
    assert order_of([("a", at()), ("b", at(before="a")), ("c", at(before="a"))]) == ["b", "c", "a"]
    # a name that is not there, or stands in another layer or pass, moves nothing
    assert order_of([("a", at(after="nobody")), ("b", at())]) == ["a", "b"]
    assert order_of([("a", at(after="b")), ("b", reading("volume", 4)), ("c", at())]) == ["a", "c", "b"]


@given(st.permutations("abcdef"))
def test_before_and_after_hold_in_any_order_given(names):
    said = {"b": {"after": "a"}, "c": {"before": "b"}, "d": {"after": "c"}, "f": {"before": "e"}}
    order = order_of((name, reading("volume", 3, **said.get(name, {}))) for name in names)
    for first, second in ("ab", "cb", "cd", "fe"):
        assert order.index(first) < order.index(second)


def without_limit():
    return type("Unlimited", (Gate,), {"layer": 1, "passes": "market"})()


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (reading("volume", 2), "layer was 2, must be 1, 3, 4, 5 or 6; layer 2 is the strategies."),
        (reading("volume", 7), "layer was 7, must be 1, 3, 4, 5 or 6; layer 2 is the strategies."),
        (reading("volume", None), "layer was None, must be 1, 3, 4, 5 or 6; layer 2 is the strategies."),
        (reading("volume", 1, passes="both"), "passes was 'both', must be market or ledger."),
        (reading("volume", 1, refuses="at"), "refuses was 'at', must be above, from, below, to."),
        (reading("volume", 6), "layer 6 needs the account. Set passes to ledger."),
        (reading("volume", 3, before="a", after="b"), "has before and after. Name one of them."),
        (
            reading("volume", 3, halves=True),
            "only a ledger gate that refuses above or from its limit can halve it.",
        ),
        (without_limit(), "has no limit. Declare limit = Param(…)."),
    ],
)
def test_a_gate_that_cannot_stand_in_the_chain_is_a_clear_error(gate, message):
    with pytest.raises(ConfigError) as error:
        Chain([("odd", gate)], 1, 1, 0.0)
    assert str(error.value) == f"gate odd: {message}"


def test_gates_that_wait_for_each_other_are_an_error():
    gates = [("b", reading("volume", 3, after="a")), ("a", reading("volume", 3, after="b"))]
    with pytest.raises(ConfigError, match=r"^gates a, b: each waits for another\. Drop a before or after\.$"):
        Chain(gates, 1, 1, 0.0)


@pytest.mark.parametrize("kind", [Gate, type("Half", (Gate,), {"layer": 1, "passes": "market"})])
def test_a_gate_that_was_not_written_says_so(kind):
    with pytest.raises(NexusError, match="has no values"):
        kind.values(None, None, None)
    with pytest.raises(NexusError, match="has no step"):
        kind.step(None, None, None, None, None)


# -- a gate that is missing -------------------------------------------------------------------------


def test_a_missing_gate_refuses_everything():
    trial = Trial({"nowhere": Missing()}, allow_short=True)
    trial.run(rows([100.0] * 3), [1, -1, 0])
    assert reasons(trial) == ["nowhere", "nowhere", "has-signal"]
    assert trial.decisions["outcome"].tolist() == [Outcome.REJECTED, Outcome.REJECTED, Outcome.SKIPPED]
    assert len(trial.events) == 0


def test_a_run_names_the_gate_that_is_missing_and_keeps_its_place(monkeypatch):
    said = []
    monkeypatch.setattr("nexus_core.log.warning", lambda text, *values: said.append(text % values))
    made = assemble(Settings.from_dict({"risk": {"gates": ["duplicate", "daily-los"]}}))
    (line,) = said
    assert line.startswith("gates:daily-los is not installed. Did you mean daily-loss?")
    assert line.endswith("Until then every entry is refused by it.")
    assert [place.name for place in made.engine.chain.places[len(KERNEL) :]] == ["duplicate", "daily-los"]


# -- what the kernel itself answers -----------------------------------------------------------------

SKIPPED, REJECTED, APPROVED = Outcome.SKIPPED, Outcome.REJECTED, Outcome.APPROVED
LOTS = Instrument("BTC-USD", lot=1)


def layer(step, number=4, **facts):
    """Return a layer of the market pass with this step."""
    return type("Made", (Layer,), {"layer": number, "step": staticmethod(step), **facts})()


def doubts(row, context, voices, params):
    context.chance = 0.25


def breaks(row, context, voices, params):
    if row.close > 1.0:
        raise ValueError


MET = {
    "no-edge": ({"layers": {"doubt": layer(doubts)}, "sizing": "kelly"}, [100.0], [1], {}, REJECTED),
    "layer-at-work": ({"layers": {"broken": layer(breaks)}}, [100.0], [1], {}, SKIPPED),
    "late": ({}, [100.0], [1], {"flags": LATE}, SKIPPED),
    "has-signal": ({}, [100.0], [0], {}, SKIPPED),
    "opposite": ({}, [100.0, 100.0, 100.0], [1, 0, -1], {}, APPROVED),
    "safety-mode": ({"mode": Mode.PAUSED}, [100.0], [1], {}, REJECTED),
    "shorting": ({"allow_short": False}, [100.0], [-1], {}, REJECTED),
    "size": ({"instruments": (LOTS,), "risk_fraction": 1e-5}, [100.0], [1], {}, REJECTED),
    "amounts": ({}, [math.nan], [1], {}, REJECTED),
    "entry-at-work": ({"on_paper": False}, [100.0, 100.0], [1, 1], {}, SKIPPED),
}  # fmt: skip


@pytest.mark.parametrize("name", MET)
def test_the_kernels_own_answers(name):
    given, closes, signals, fields, outcome = MET[name]
    rules = dict(given)
    mode = rules.pop("mode", Mode.NORMAL)
    trial = Trial(**rules)
    trial.account["mode"] = mode
    trial.run(rows(closes, **fields), signals)
    decision = trial.decisions[-1]
    assert (reasons(trial)[-1], decision["outcome"]) == (name, outcome)
    assert (decision["order"] > 0) == (outcome == APPROVED)
    assert decision["mode"] == mode


def test_signals_that_cancel_out_are_the_kernels_answer_too():
    reason = directed([[1], [-1]], [[0.5], [0.5]]).reasons[0]
    assert {KERNEL[reason], *MET} == set(KERNEL)


def test_a_gate_of_layer_3_is_asked_before_the_direction_and_one_of_layer_4_after():
    # signals that cancel out, on a row that every gate refuses; first all of them, then without one each
    gates = [(f"layer-{n}", reading("volume", n)) for n in (1, 3, 4, 5)]
    met = []
    for first in range(3):
        chain = Chain(gates[first:], 2, 1, 0.0)
        names = [place.name for place in chain.places]
        judged = directed([[1], [-1]], [[0.5], [0.5]], gates=gates[first:])
        met.append((names[judged.reasons[0]], int(chain.asked[judged.reasons[0]])))
    assert met == [("layer-1", 1), ("layer-3", 1), ("direction", 0)]
    assert Chain(gates, 2, 1, 0.0).asked[KERNEL.index("direction")] == 2


@pytest.mark.parametrize(
    ("rules", "closes", "signals", "reason"),
    [
        ({"instruments": (Instrument("BTC-USD", shortable=False),)}, [100.0], [-1], "shorting"),
        ({}, [0.0], [1], "amounts"),
        ({}, [-1.0], [1], "amounts"),
        ({}, [9.1e10], [1], "amounts"),
        ({"allow_short": False, "on_opposite": "close"}, [100.0, 100.0], [1, -1], "opposite"),
        ({"allow_short": False, "on_opposite": "reverse"}, [100.0, 100.0], [1, -1], "shorting"),
        ({"allow_short": False, "on_opposite": "ignore"}, [100.0, 100.0], [1, -1], "shorting"),
        ({"on_opposite": "reverse"}, [100.0, 100.0], [1, -1], "approved"),
    ],
)
def test_further_ways_to_meet_them(rules, closes, signals, reason):
    trial = Trial(**rules)
    trial.run(rows(closes), signals)
    assert reasons(trial)[-1] == reason


@pytest.mark.parametrize("mode", [Mode.PAUSED, Mode.EMERGENCY, Mode.REDUCED])
def test_a_request_of_the_operator_ends_entries_at_once(mode):
    trial = Trial()
    told = safety.as_events([safety.Request(1, mode, "why", "who", "now", 0)], 1)
    trial.run(rows([100.0]), 1, told=told)
    assert reasons(trial) == ["approved" if mode == Mode.REDUCED else "safety-mode"]
    assert trial.decisions["mode"].tolist() == [mode]


# -- verdicts ---------------------------------------------------------------------------------------

ASKED = {
    # what ends a decision: the gates that were asked, in order
    "first": ["first"],
    "has-signal": ["first"],
    "late": ["first"],
    "third": ["first", "third"],
    "fourth": ["first", "third", "fourth"],
    "fifth": ["first", "third", "fourth", "fifth"],
    "shorting": ["first", "third", "fourth", "fifth", "held"],
    "price": ["first", "third", "fourth", "fifth", "held", "price"],
    "approved": ["first", "third", "fourth", "fifth", "held", "price"],
    "held": ["first", "third", "fourth", "fifth", "held"],
    "opposite": ["first", "third", "fourth", "fifth"],
}


def lively(trace, block=10_000):
    """Return a trial that meets everything in the table above, in its order."""
    trial = Trial(whole_chain(price=150.0, held=0.0), allow_short=False, brackets=False, trace=trace)
    ends = list(ASKED)
    made = rows([200.0 if end == "price" else 100.0 for end in ends])
    reads = {"first": "volume", "third": "bid_size", "fourth": "trades", "fifth": "ask_size"}
    for gate, field in reads.items():
        made[field] = [2 if end == gate else 1 for end in ends]
    made["flags"] = [LATE if end == "late" else 0 for end in ends]
    signals = {"has-signal": 0, "shorting": -1, "opposite": -1}
    trial.run(made, [signals.get(end, 1) for end in ends], block=block)
    return trial


def test_a_decision_leaves_a_verdict_of_exactly_the_gates_asked():
    trial = lively("full")
    assert reasons(trial) == list(ASKED)
    for (end, asked), (names, passed) in zip(ASKED.items(), verdicts(trial), strict=True):
        assert names == asked
        # all passed but the gate that ended it; the kernel's own answers leave none
        assert passed == [name != end for name in names]


def test_the_value_and_limit_of_a_decision_are_those_of_the_gate_that_ended_it():
    trial = lively("full")
    at = np.cumsum(trial.decisions["verdicts"]) - 1
    for n, end in enumerate(ASKED):
        if end in whole_chain():
            verdict, decision = trial.verdicts[at[n]], trial.decisions[n]
            assert (verdict["value"], verdict["limit"]) == (decision["value"], decision["limit"])
            assert not verdict["passed"]


@pytest.mark.parametrize("trace", ["orders", "approved", "full"])
@pytest.mark.parametrize("block", [1, 4, 10_000])
def test_neither_trace_nor_blocks_change_the_run_hash(trace, block):
    trial, whole = lively(trace, block), lively("full")
    assert trial.ledger.run_hash == whole.ledger.run_hash != "0" * 32
    np.testing.assert_array_equal(trial.events, whole.events)
    kept = {"full": len(ASKED), "orders": 2}.get(trace, len(trial.decisions))
    assert len(trial.decisions) == kept
    assert whole.account["decisions"] == trial.account["decisions"] == len(ASKED)


def test_a_shorter_trace_keeps_the_verdicts_of_what_it_keeps():
    whole = dict(zip(reasons(lively("full")), verdicts(lively("full")), strict=True))
    short = lively("approved")
    kept = dict(zip(reasons(short), verdicts(short), strict=True))
    # all that reached the gates of the ledger
    assert list(kept) == ["shorting", "price", "approved", "held", "opposite"]
    assert kept == {name: whole[name] for name in kept}
    assert reasons(lively("orders")) == ["approved", "opposite"]


def test_numbers_of_gates_rise_through_the_chain():
    places = Trial(whole_chain()).chain.places
    assert [place.number for place in places] == list(range(len(places)))
    assert all(one.layer <= other.layer for one, other in pairwise(places[len(KERNEL) : -2]))


def test_a_market_gate_that_raises_is_told_of_once(monkeypatch):
    said = []
    monkeypatch.setattr("nexus_core.log.warning", lambda text, *values: said.append(text % values))

    def values(columns, state, params):
        raise ValueError("no such thing")

    trial = Trial({"broken": market_gate(values)})
    trial.run(rows([100.0] * 3), 1)
    trial.run(rows([100.0], start=START + 3 * MINUTE), 1)
    assert reasons(trial) == ["broken"] * 4
    assert said == ["gate broken raised ValueError: no such thing. Rows it raises on are refused."]


def test_nothing_is_caught_inside_the_generated_loop():
    # Numba on Python 3.13 lets through what is raised in a `try` inside a loop
    assert "try:" not in loop._PASS + loop._GATE
