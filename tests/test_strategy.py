"""Parameters, the loop over rows, and states that can be saved anywhere."""

import math
import re

import numpy as np
import pytest

from nexus_core import steps
from nexus_core.errors import ConfigError
from nexus_core.market.loops import FAULT, StrategyLoop, state_code
from nexus_core.records import ABSENT, ROW
from nexus_core.strategy import Param, Plugin, Strategy, Text

# -- parameters -------------------------------------------------------------------------------------


class Shop(Plugin):
    name = "shop"
    price = Param(2.5, low=0.5, high=10.0, help="Price of a piece")
    pieces = Param(3, low=1, high=100, help="Pieces on the shelf")
    is_open = Param(True, low=0, high=1, help="Whether it is open")


def test_defaults_hold_where_nothing_is_given():
    params = Shop().params
    assert (params.price, params.pieces, params.is_open) == (2.5, 3, True)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"price": 0.5}, 0.5),
        ({"price": 10.0}, 10.0),
        ({"price": 7}, 7.0),
        ({"pieces": 1}, 1),
        ({"pieces": 100}, 100),
        ({"pieces": 4.0}, 4),
        ({"is_open": False}, False),
    ],
)
def test_a_value_within_the_bounds_is_taken_as_the_parameters_own_type(given, value):
    (name,) = given
    taken = getattr(Shop(**given).params, name)
    assert taken == value
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"price": math.nextafter(0.5, 0.0)},
            r"was 0.49999999999999994, must be in \[0.5, 10.0\]. Price of a piece.",
        ),
        ({"price": math.nextafter(10.0, 11.0)}, r"was 10.000000000000002, must be in \[0.5, 10.0\]"),
        ({"price": math.nan}, r"was nan, must be in"),
        ({"price": math.inf}, r"was inf, must be in"),
        ({"price": "2"}, r"was '2', must be a number. Price of a piece."),
        ({"price": None}, r"was None, must be a number"),
        ({"price": True}, r"was True, must be a number"),
        ({"pieces": 0}, r"was 0, must be a whole number in \[1, 100\]. Pieces on the shelf."),
        ({"pieces": 101}, r"was 101, must be a whole number in"),
        ({"pieces": 3.5}, r"was 3.5, must be a whole number in"),
        ({"pieces": math.nan}, r"was nan, must be a whole number in"),
        ({"is_open": 1}, r"was 1, must be true or false. Whether it is open."),
    ],
)
def test_a_value_outside_is_refused_with_who_what_and_why(given, said):
    (name,) = given
    with pytest.raises(ConfigError, match=f"^shop: parameter {name} {said}"):
        Shop(**given)


def test_an_unknown_parameter_is_refused_with_the_nearest_known():
    with pytest.raises(ConfigError, match=r"^shop: unknown parameter peices\. Did you mean pieces\?$"):
        Shop(peices=3)
    with pytest.raises(ConfigError, match=r"^shop: unknown parameter zzz\.$"):
        Shop(zzz=3)


def test_parameters_are_inherited_changed_and_dropped():
    class Stall(Shop):
        price = Param(1.0, low=0.0, high=2.0, help="Price of a piece")
        is_open = None

    assert Stall.parameters().keys() == {"price", "pieces"}
    assert (Stall(price=2.0).params.price, Stall().params.pieces) == (2.0, 3)
    with pytest.raises(ConfigError, match="must be in"):
        Stall(price=2.5)


def test_a_plugin_without_parameters_still_has_a_record_for_its_steps():
    assert Plugin().params.record().dtype.names == ("none",)


# -- the loop ---------------------------------------------------------------------------------------


class Turn(Strategy):
    """Signals where the close leaves its rolling range; a nested state with a ring of records."""

    nexus_api = 1
    category = "breakout"
    window = Param(20, low=2, high=100, help="Rows of the range")

    @property
    def warmup(self):
        return self.params.window

    @staticmethod
    def state(params):
        seen = np.zeros(4, [("close", "f8"), ("volume", "f8")])
        return {
            "high": steps.rolling_max(params.window),
            "std": steps.ewm_std(params.window),
            "seen": seen,
            "n": 0,
        }

    @staticmethod
    def step(row, state, params):
        oldest = state.seen[(state.n + 1) & 3]
        move = row.close - oldest.close
        slot = state.seen[state.n & 3]
        slot.close, slot.volume = row.close, row.volume
        state.n += 1
        usual = steps.ewm_std.push(state.std, move)
        if row.close < steps.rolling_max.push(state.high, row.close):
            return 0, 0.0
        return 1, steps.squash(abs(move) / usual)


class Say(Strategy):
    """Answers what the row tells it to."""

    nexus_api = 1
    category = "event_driven"

    @staticmethod
    def step(row, state, params):
        return row.trades, row.close


class SayHalf(Say):
    """Answers with half of what the row tells it to."""

    @staticmethod
    def step(row, state, params):
        return row.trades / 2, row.close


class SayLater(Say):
    warmup = 5


def market(*sizes, seed=1):
    rng = np.random.default_rng(seed)
    rows = np.zeros(sum(sizes), ROW)
    rows["close"] = 100 + np.cumsum(rng.normal(size=len(rows)))
    rows["volume"] = rng.lognormal(size=len(rows))
    rows["close"][rng.random(len(rows)) < 0.02] = np.nan
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return rows, edges[:-1].copy(), edges[1:].copy()


def blank(rows):
    return np.full(len(rows), 99, np.int8), np.full(len(rows), 99.0)


def whole(loop, rows, first, last):
    signals, scores = blank(rows)
    loop.run(rows, first, last, signals, scores)
    return signals, scores


def told(*answers):
    rows = np.zeros(len(answers), ROW)
    rows["trades"], rows["close"] = zip(*answers, strict=True)
    return rows, np.array([0]), np.array([len(rows)])


def bits(*arrays):
    return [array.tobytes() for array in arrays]


def test_a_strategy_is_absent_for_exactly_its_warmup_in_each_symbol():
    rows, first, last = market(60, 10, 40)
    signals, scores = whole(StrategyLoop("turn", Turn(), 3), rows, first, last)
    assert set(signals[:20]) == {ABSENT}
    assert set(signals[60:70]) == {ABSENT}
    assert set(signals[70:90]) == {ABSENT}
    assert ABSENT not in signals[20:60]
    assert ABSENT not in signals[90:]
    assert not scores[signals == ABSENT].any()
    assert set(signals) == {ABSENT, 0, 1}


def test_answers_within_the_contract_pass_unchanged():
    answers = [(-2, 0.0), (-1, 0.25), (0, 0.0), (1, 1.0), (2, 5e-324), (0, -0.0)]
    loop = StrategyLoop("say", Say(), 1)
    signals, scores = whole(loop, *told(*answers))
    assert list(zip(signals.tolist(), scores.tolist(), strict=True)) == answers
    assert loop.faults() == 0


@pytest.mark.parametrize(
    "answer",
    [
        (1, math.nan),
        (1, 1.0000001),
        (1, np.nextafter(1.0, 2.0)),
        (1, -5e-324),
        (3, 0.5),
        (-3, 0.5),
    ],
)
def test_an_answer_outside_the_contract_is_marked_and_counted(answer):
    loop = StrategyLoop("say", Say(), 1)
    signals, scores = whole(loop, *told((1, 0.5), answer, (-1, 0.5)))
    assert signals.tolist() == [1, FAULT, -1]
    assert scores.tolist() == [0.5, 0.0, 0.5]
    assert loop.faults() == 1


def test_what_a_strategy_answers_in_its_warmup_is_not_read():
    loop = StrategyLoop("say", SayLater(), 1)
    signals, _ = whole(loop, *told(*[(3, math.nan)] * 5, (3, 0.5), (2, 0.5)))
    assert signals.tolist() == [ABSENT] * 5 + [FAULT, 2]
    assert loop.faults() == 1


def test_a_signal_that_is_no_whole_number_is_marked_and_counted():
    loop = StrategyLoop("half", SayHalf(), 1)
    signals, scores = whole(loop, *told((2, 0.5), (3, 0.5), (-4, 0.5)))
    assert signals.tolist() == [1, FAULT, -2]
    assert scores.tolist() == [0.5, 0.0, 0.5]
    assert loop.faults() == 1


def test_faults_are_summed_over_symbols():
    loop = StrategyLoop("say", Say(), 2)
    rows, _, _ = told((3, 0.5), (1, 0.5), (1, math.nan))
    whole(loop, rows, np.array([0, 2]), np.array([2, 3]))
    assert loop.states["faults"].tolist() == [1, 1]
    assert loop.faults() == 2


def test_symbols_do_not_touch_each_others_state():
    rows, first, last = market(80, 50, 110)
    together = StrategyLoop("turn", Turn(), 3)
    signals, scores = whole(together, rows, first, last)
    for s in range(3):
        alone, part = StrategyLoop("turn", Turn(), 1), slice(first[s], last[s])
        own = whole(alone, rows[part].copy(), np.array([0]), np.array([last[s] - first[s]]))
        assert bits(*own, alone.states) == bits(signals[part], scores[part], together.states[s : s + 1])


def run_in_blocks(loop, rows, first, last, size, signals, scores):
    while (first < last).any():
        to = np.minimum(first + size, last)
        loop.run(rows, first, to, signals, scores)
        first = to


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_cut_of_blocks_changes_no_bit(size):
    rows, first, last = market(150, 40, 101)
    one, other = StrategyLoop("turn", Turn(), 3), StrategyLoop("turn", Turn(), 3)
    expected, got = whole(one, rows, first, last), blank(rows)
    run_in_blocks(other, rows, first, last, size, *got)
    assert bits(*got, other.states) == bits(*expected, one.states)


@pytest.mark.parametrize("cut", [1, 19, 20, 75])
def test_a_saved_state_goes_on_as_if_nothing_had_been(cut):
    rows, first, last = market(150, 150)
    straight, before, after = (StrategyLoop("turn", Turn(), 2) for _ in range(3))
    expected, got = whole(straight, rows, first, last), blank(rows)
    before.run(rows, first, first + cut, *got)
    after.states[:] = np.frombuffer(before.states.tobytes(), before.states.dtype)
    after.run(rows, first + cut, last, *got)
    assert bits(*got, after.states) == bits(*expected, straight.states)


def test_no_row_is_no_change():
    loop = StrategyLoop("turn", Turn(), 2)
    before = loop.states.tobytes()
    loop.warm()
    assert loop.states.tobytes() == before


# -- which code a saved state belongs to ------------------------------------------------------------


def test_the_code_of_a_state_is_the_same_for_the_same_strategy_and_any_number_of_symbols():
    assert StrategyLoop("one", Turn(), 1).code == StrategyLoop("other", Turn(), 5).code


def test_the_code_of_a_state_changes_with_parameters():
    assert StrategyLoop("turn", Turn(window=20), 1).code != StrategyLoop("turn", Turn(window=21), 1).code


def test_the_code_of_a_state_changes_with_the_step_and_with_the_layout():
    def step(row, state, params):
        return 0, 0.0

    def changed(row, state, params):
        return 0, 0.5

    params = Plugin().params.record()
    narrow, wide = np.dtype([("n", "i4")]), np.dtype([("n", "i8")])
    renamed = np.dtype([("m", "i4")])
    codes = [
        state_code(each, layout, params) for each in (step, changed) for layout in (narrow, wide, renamed)
    ]
    assert len(set(codes)) == 6
    assert state_code(step, narrow, params) == codes[0]


class Reader(Plugin):
    nexus_api = 1
    name = "reader"
    path = Text("", help="file to read")
    zone = Text("UTC", help="zone of its times", among=("UTC", "Berlin"))
    rows = Param(5, low=1, high=9, help="rows to read")


def test_a_parameter_may_be_text():
    made = Reader(path="a.csv", zone="Berlin")
    assert made.params.by_name() == {"path": "a.csv", "zone": "Berlin", "rows": 5}
    assert made.params.record().dtype.names == ("rows",)
    assert (Reader.path.allowed, Reader.zone.allowed, Reader.rows.allowed) == (
        "text",
        "UTC or Berlin",
        "[1, 9]",
    )


@pytest.mark.parametrize(("given", "said"), [
    ({"path": 3}, "reader: parameter path was 3, must be text. file to read."),
    ({"zone": "Rome"}, "reader: parameter zone was 'Rome', must be UTC or Berlin. zone of its times."),
])  # fmt: skip
def test_text_that_is_not_allowed_is_refused_by_name(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        Reader(**given)
