"""A gate of the chain that does not answer, and a layer that breaks: they refuse wherever they stand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nexus_core import Gate, Layer, Param, plugins
from nexus_core.gates import Missing
from nexus_core.testing import Trial, rows


def made(kind, names):
    return {name: plugins.load(kind, name)() for name in names}


def reasons(trial):
    names = {-1: "approved"} | {place.number: place.name for place in trial.chain.places}
    return [names[each] for each in trial.decisions["reason"].tolist()]


ANSWERS, SILENT, RAISES = 0.0, 1.0, 2.0


class Said(Layer):
    """Writes what the gates of a test read: 0, or nothing."""

    layer, writes = 1, {f"said_{layer}": 1 for layer in (1, 3, 4, 5, 6)}
    silent = Param(0, low=0, high=6, help="layer whose gate is told nothing")

    @staticmethod
    def watch(row, context, state, params):
        context.said_1 = context.said_3 = context.said_4 = context.said_5 = context.said_6 = 0.0
        if params.silent == 1:
            context.said_1 = math.nan
        if params.silent == 3:
            context.said_3 = math.nan
        if params.silent == 4:
            context.said_4 = math.nan
        if params.silent == 5:
            context.said_5 = math.nan
        if params.silent == 6:
            context.said_6 = math.nan


class Stumbles(Layer):
    """Raises at its work, if it is told to."""

    layer, writes = 5, {"stood": 1}
    raises = Param(0, low=0, high=1, help="1 raises")

    @staticmethod
    def step(row, context, voices, params):
        if params.raises:
            raise ValueError
        context.stood = 1.0


class Falls(Gate):
    """Refuses nothing, unless it is told not to answer."""

    layer, passes = 6, "ledger"
    limit = Param(1.0, low=0.0, high=1.0, help="never reached")
    how = Param(0.0, low=0.0, high=2.0, help="1 answers nothing, 2 raises")

    @staticmethod
    def step(row, account, position, proposal, params):
        if params.how == 2.0:
            raise ValueError
        return math.nan if params.how == 1.0 else 0.0


class FallsFirst(Falls):
    """The same before there is a size."""

    layer = 4


class FallsInColumns(Gate):
    """The same in the market pass."""

    layer, passes = 1, "market"
    limit, how = Falls.limit, Falls.how

    @staticmethod
    def values(columns, state, params):
        if params.how == RAISES:
            raise ValueError
        return np.full(len(columns), math.nan if params.how == SILENT else 0.0)


def reading(level):
    facts = {"layer": level, "passes": "ledger" if level == 6 else "market", "reads": f"said_{level}"}
    return type("Reads", (Gate,), {**facts, "limit": Falls.limit})()


PLACES = ("columns", "early", "first", "middle", "last")
READERS = (1, 3, 4, 5, 6)


def stumbling(place="", how=ANSWERS, silent=0, raises=0):
    """Return a trial with gates between those of the chain, one of which may not answer.

    Of the standard chain there is a part in every layer it has, for the whole takes long to compile again.
    """
    answer = {each: how if each == place else ANSWERS for each in PLACES}
    real = ["strength", "duplicate", "confidence", "min-size"]
    gates = made("gates", real)
    own = {
        "columns": FallsInColumns(how=answer["columns"]),
        "early": FallsFirst(how=answer["early"]),
        "first": Falls(how=answer["first"]),
    }
    between = {name: gates[name] for name in real[:3]} | {"middle": Falls(how=answer["middle"])}
    whole = own | between | {name: gates[name] for name in real[3:]} | {"last": Falls(how=answer["last"])}
    whole |= {f"reads-{level}": reading(level) for level in READERS}
    layers = made("layers", ("aggregation", "routing")) | {
        "said": Said(silent=silent),
        "stumbles": Stumbles(raises=raises),
    }
    return Trial(whole, layers=layers)


def asked(trial):
    trial.run(rows(np.full(60, 100.0)), 1, 0.9)
    return reasons(trial)


def test_gates_that_answer_stand_in_nobodys_way():
    assert "approved" in asked(stumbling())


@pytest.mark.parametrize("how", [SILENT, RAISES])
@pytest.mark.parametrize("place", PLACES)
def test_a_gate_that_does_not_answer_refuses_wherever_it_stands(place, how):
    trial = stumbling(place, how)
    came = asked(trial)
    assert place in came
    assert trial.account["approved"] == 0


@pytest.mark.parametrize("level", READERS)
def test_a_gate_that_is_told_nothing_refuses_wherever_it_stands(level):
    trial = stumbling(silent=level)
    assert f"reads-{level}" in asked(trial)
    assert trial.account["approved"] == 0


def test_a_layer_that_raises_refuses_what_it_was_asked_of():
    trial = stumbling(raises=1)
    came = asked(trial)
    assert set(came) == {"layer-at-work"}
    assert trial.account["approved"] == 0


def test_a_gate_that_nobody_provides_refuses_among_others():
    trial = Trial({**made("gates", ("position-size",)), "nobody": Missing(), **made("gates", ("min-size",))})
    trial.run(rows([100.0, 100.0]), 1)
    assert reasons(trial) == ["nobody", "nobody"]
