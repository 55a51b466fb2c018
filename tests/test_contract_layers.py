"""Layers that break one promise of their contract, and good ones that break none."""

import math
import re

import numpy as np
import pytest

import nexus_core.testing.others  # noqa: F401  (lays the checks down)
from nexus_core import Gate, Layer, Param, compile, steps
from nexus_core.testing.contract import CONTRACTS, Subject, examine


@pytest.fixture(autouse=True)
def own_checks(monkeypatch):
    """Leave out the checks that any plugin is put to."""
    for kind, letter in {"layers": "L", "gates": "G"}.items():
        own = [each for each in CONTRACTS[kind] if each.number.startswith(f"NX-{letter}")]
        monkeypatch.setitem(CONTRACTS, kind, own)


class Mean(Layer):
    """The mean of closes so far; of what is a price."""

    layer, writes = 1, {"mean": 1, "rising": 1}
    words = {"rising": ("no", "yes")}

    @staticmethod
    def state(params, interval):
        return {"n": 0, "sum": 0.0}

    @staticmethod
    def watch(row, context, state, params):
        if math.isfinite(row.close):
            state.n += 1
            state.sum += row.close
        if state.n > 0:
            context.mean = state.sum / state.n
            context.rising = 1.0 if row.close > context.mean else 0.0


class Weighing(Layer):
    """Weighs voices by their record, where it is known how noisy it is."""

    layer, reads, writes = 3, ("noise", "probabilities"), {"quiet": 1}

    @staticmethod
    def step(row, context, voices, params):
        context.quiet = 1.0 - context.noise
        for k in range(voices.size):
            if voices[k].signal != 0 and voices[k].signal != -128:
                voices[k].weight = (voices[k].rights + 1) / (voices[k].rights + voices[k].wrongs + 1)


class Halving(Layer):
    """Halves the size where another symbol moved last."""

    layer, reads, writes = 6, ("noise",), {"halved": 1}

    @staticmethod
    def state(params, symbols):
        return {"last": -1}

    @staticmethod
    def watch(row, state, params):
        state.last = row.symbol

    @staticmethod
    def step(row, context, account, positions, proposal, state, params):
        context.halved = 0.0 if state.last == row.symbol else 1.0
        context.scale *= 1.0 - 0.5 * context.halved


class AmongStrategies(Mean):
    layer = 2


class Weighty(Weighing):
    layer = 1


class Idle(Layer):
    layer = 4


class Shadow(Mean):
    writes, words = {"close": 1}, {}


class Speechless(Mean):
    words = {"median": ("no", "yes")}


class OneLetter(Weighing):
    reads = "noise"


class Short(Mean):
    @staticmethod
    def watch(row, state, params):
        state.n += 1


class Undeclared(Mean):
    @staticmethod
    def watch(row, context, state, params):
        context.median = row.close


class Meddling(Weighing):
    @staticmethod
    def step(row, context, voices, params):
        context.noise = 0.0


class Shouting(Weighing):
    @staticmethod
    def step(row, context, voices, params):
        for k in range(voices.size):
            voices[k].confidence = 1.0


class Forging(Halving):
    @staticmethod
    def step(row, context, account, positions, proposal, state, params):
        account.cash += 1


class Babbling(Mean):
    @staticmethod
    def watch(row, context, state, params):
        context.rising = 2.0


class Chancy(Mean):
    @staticmethod
    def watch(row, context, state, params):
        context.mean = np.random.random()


class Poisoned(Mean):
    @staticmethod
    def watch(row, context, state, params):
        state.sum += row.close
        context.mean = state.sum


class Brittle(Mean):
    @staticmethod
    def watch(row, context, state, params):
        if row.close != row.close:
            raise ValueError


class Lost(Weighing):
    layer = 4

    @staticmethod
    def step(row, context, voices, params):
        context.direction = math.nan


class Certain(Weighing):
    @staticmethod
    def step(row, context, voices, params):
        context.chance = 1.5


class Heavy(Weighing):
    @staticmethod
    def step(row, context, voices, params):
        for k in range(voices.size):
            voices[k].weight = math.nan


class Slow(Mean):
    @staticmethod
    def watch(row, context, state, params):
        total = 0.0
        for k in range(5000):
            total += steps.log(row.close + k)
        context.mean = total


LAYERS = [
    (AmongStrategies, {"L01": "^layer was 2, must be 1, 3, 4, 5 or 6"}),
    (Weighty, {"L01": "^layer 1 comes before the strategies: give it a watch and no step"}),
    (Idle, {"L01": "^it has neither watch nor step"}),
    (Shadow, {"L01": "^writes 'close', which no field of the context can be called"}),
    (Speechless, {"L01": "^has words for median, which is no field of one number"}),
    (OneLetter, {"L01": "^reads was 'noise', must be the names of fields"}),
    (Short, {"L01": "^watch took 3 arguments, must take 4"}),
    (Undeclared, {"L01": "^it cannot be compiled, or raised|^its watch or step raised at row 0"}),
    (Meddling, {"L02": "^wrote the field noise, which it only reads"}),
    (Shouting, {"L02": "^wrote confidence of voices, which is not its own"}),
    (Forging, {"L02": "^wrote cash of accounts, which is not its own"}),
    (Babbling, {"L02": "^wrote 2.0 to rising, must be 0 to 1"}),
    (Chancy, dict.fromkeys(("L03", "L04", "L05", "L06", "L10"), r"^mean of row 0 .* was 0\.\d+ ")),
    (Poisoned, {"L07": "^mean stayed unknown for hundreds of rows"}),
    (Brittle, {"L07": "^it raised ValueError at row 15[0-9] "}),
    (Lost, {"L08": "^direction was nan at row "}),
    (Certain, {"L08": "^chance was 1.5 at row .*, must lie in 0 to 1"}),
    (Heavy, {"L08": "^a weight was NaN at row "}),
]


def failures(of):
    findings = examine(of).findings
    return {each.number[3:]: each.text for each in findings if each.outcome == "failed"}


def needless(of):
    return {each.number[3:] for each in examine(of).findings if each.outcome == "not applicable"}


def broken_as(of, expected):
    """Tell that exactly these checks fail, each with a text that matches."""
    found = failures(of)
    assert found.keys() == expected.keys(), found
    for number, text in expected.items():
        assert re.search(text, found[number]), found[number]


@pytest.mark.parametrize(("plugin", "expected"), LAYERS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_layer_that_breaks_a_promise(plugin, expected):
    broken_as(Subject("layers", "bad", plugin), expected)


@pytest.mark.jit
def test_a_layer_that_is_slow():
    broken_as(Subject("layers", "bad", Slow), {"L09": r"^took [\d.]+ microseconds a row, may take 5"})


def test_what_does_not_stand_in_a_chain_is_examined_no_further():
    assert needless(Subject("layers", "bad", AmongStrategies)) == {f"L{n:02d}" for n in range(2, 11)}


@pytest.mark.parametrize(
    ("plugin", "spared"), [(Mean, set()), (Weighing, {"L06", "L10"}), (Halving, {"L10"})]
)
def test_layers_that_keep_their_contract(plugin, spared):
    findings = examine(Subject("layers", "good", plugin)).findings
    slow = set() if compile.JIT else {"L09"}
    assert {each.number[3:]: each.text for each in findings if each.outcome == "failed"} == {}
    assert {each.number[3:] for each in findings if each.outcome == "not applicable"} == spared | slow


# -- gates that only read -----------------------------------------------------------------------------


class Reads(Gate):
    """Refuse what nobody wrote, or too much of it."""

    layer, passes, refuses = 1, "market", "to"
    reads, bound = "mqscore", "hold"
    limit = Param(0.5, low=0.0, high=1.0, help="of a test")


class ReadsLate(Reads):
    layer, passes, refuses, reads, bound = 6, "ledger", "from", "confidence", ""


class Deaf(Reads):
    @staticmethod
    def values(columns, state, params):
        return columns.close


class Unbound(Reads):
    reads = ""


class Unspeakable(Reads):
    reads = "mq score"


@pytest.mark.parametrize("plugin", [Reads, ReadsLate])
def test_a_gate_without_code_is_examined_by_its_limit(plugin):
    of = Subject("gates", "good", plugin)
    assert failures(of) == {}
    assert {each.number[3:] for each in examine(of).findings if each.outcome == "passed"} == {
        "G01",
        "G07",
        "G08",
    }


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (Deaf, "^reads mqscore, so that its values is never asked"),
        (Unbound, "^has the bound hold, which only a gate that reads a field can have"),
        (Unspeakable, "^reads 'mq score', which no field of the context can be called"),
    ],
)
def test_a_gate_that_cannot_read(plugin, text):
    broken_as(Subject("gates", "bad", plugin), {"G01": text})
