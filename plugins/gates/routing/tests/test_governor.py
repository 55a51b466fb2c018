"""Trust in models against tables worked by hand, and each threshold at its limit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_gate_routing import Routing, governor
from nexus_gate_routing.governor import MODELS, TRUST

from nexus_core import compile

DAY = 86_400_000_000_000
PARAMS = Routing().params.record()

NUMBERS = """
def entry(given, answer):
    answer[0] = function({})
"""
SETTLE = """
def entry(models, k, predictions, rights, gained):
    settle(models[0], k, predictions, rights, gained)
"""
GOVERN = """
def entry(models, params):
    govern(models[0], params[0])
"""


def value(function, *given):
    """Return what a compiled function of numbers answers."""
    text = NUMBERS.format(", ".join(f"given[{n}]" for n in range(len(given))))
    answer = np.zeros(1)
    compile.call(compile.entry("number", text, {"function": function}), np.array(given, np.float64), answer)
    return float(answer[0])


def unproven(interval=60 * 10**9, year=365.0):
    return np.array([governor.unproven(interval, year)])


def settle(models, k, predictions, rights, gained=math.nan):
    entry = compile.entry("settle", SETTLE, {"settle": governor.settle})
    compile.call(entry, models, k, float(predictions), float(rights), float(gained))


def govern(models, params=PARAMS):
    compile.call(compile.entry("govern", GOVERN, {"govern": governor.govern}), models, params)
    return models[0]


def model(card, predictions=0.0, rights=0.0, gained=(), year=365.0):
    """Return the governed record of one model of slot 3, with a return of an epoch each."""
    models = unproven(year=year)
    models["card"][0, 3] = card
    models["predictions"][0, 3], models["rights"][0, 3] = predictions, rights
    models["returns"][0, 3], models["total"][0, 3] = len(gained), sum(gained)
    models["squares"][0, 3] = sum(each * each for each in gained)
    return govern(models)


# -- trust ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "sharpe", "trust"),
    [
        (0.5, 0.0, 0.30),  # nothing known: where the written rule begins
        (0.6, 1.0, 0.56),  # 0.36 + 0.4 x 0.5
        (0.6, 2.0, 0.76),
        (0.6, 2.1, 0.76),  # no more than 1 for the ratio
        (1.0, 2.0, 1.0),
        (0.7, -1.0, 0.22),  # 0.42 - 0.2
        (0.5, -2.0, 0.0),  # 0.3 - 0.4, held at 0
        (0.0, 0.0, 0.0),
        (math.nan, 1.0, 0.0),
        (0.9, math.nan, 0.0),
    ],
)
def test_the_formula_of_trust(accuracy, sharpe, trust):
    assert value(governor.weigh, accuracy, sharpe) == pytest.approx(trust, abs=1e-15)


@pytest.mark.parametrize(
    ("gained", "year", "sharpe"),
    [
        ((0.01, 0.03), 1.0, math.sqrt(2)),  # mean 0.02, deviation sqrt(0.0002)
        ((0.01, 0.03), 0.25, math.sqrt(2) / 2),
        ((0.01, 0.03), 2.0, 2.0),  # 2 exactly, as a ratio and as its bound
        ((0.01, 0.03), 365.0, 2.0),
        ((-0.01, -0.03), 1.0, -math.sqrt(2)),
        ((-0.01, -0.03), 365.0, -2.0),
        ((0.01, -0.01), 365.0, 0.0),
        ((0.5, 0.5), 365.0, 2.0),  # no deviation
        ((-0.5, -0.5), 365.0, -2.0),
        ((0.0, 0.0, 0.0), 365.0, 0.0),
    ],
)
def test_the_sharpe_ratio_of_epochs(gained, year, sharpe):
    given = len(gained), sum(gained), sum(each * each for each in gained), year
    assert value(governor.sharpe_of, *given) == pytest.approx(sharpe, abs=1e-12)


@pytest.mark.parametrize(
    ("facts", "trust"),
    [
        ({"card": 0.6}, 0.6),  # new: as its card says
        ({"card": 0.0}, 0.0),
        ({"card": 1.0}, 1.0),
        ({"card": math.nan}, 1.0),  # a rule
        # (80 + 60) / 200 = 0.7 right; 0.42 + 0.4 x 1.2 / 2
        ({"card": 0.6, "predictions": 100, "rights": 80}, 0.66),
        # (450 + 60) / 1000 = 0.51; 0.306 + 0.24
        ({"card": 0.6, "predictions": 900, "rights": 450}, 0.546),
        # one return says nothing of a deviation
        ({"card": 0.6, "predictions": 100, "rights": 80, "gained": (9.0,)}, 0.66),
        # 100 returns of no mean: (0 + 100 x 1.2) / 200 = 0.6; 0.42 + 0.4 x 0.3
        ({"card": 0.6, "predictions": 100, "rights": 80, "gained": (0.01, -0.01) * 50}, 0.54),
        # 100 at -2: (-200 + 120) / 200 = -0.4; 0.42 - 0.08
        ({"card": 0.6, "predictions": 100, "rights": 80, "gained": (-0.01,) * 100}, 0.34),
        # 100 at 2: (200 + 120) / 200 = 1.6; 0.42 + 0.32
        ({"card": 0.6, "predictions": 100, "rights": 80, "gained": (0.01, 0.03) * 50}, 0.74),
    ],
)
def test_trust_is_drawn_from_the_card_to_the_record(facts, trust):
    assert model(**facts)["trust"][3] == pytest.approx(trust, abs=1e-12)


def test_mean_trust_is_that_of_the_models_alone():
    models = unproven()
    assert govern(models)["mean_trust"] == 1.0
    models["card"][0, :2] = 0.4, 0.8
    after = govern(models)
    assert after["mean_trust"] == pytest.approx(0.6)
    assert after["trust"][2:].tolist() == [1.0] * (MODELS - 2)
    models["card"][0] = np.nan  # taken out again
    assert govern(models)["mean_trust"] == 1.0


@pytest.mark.parametrize(
    ("predictions", "rights", "flag"),
    [
        (100, 0, 0.0),  # not yet more than 100
        (101, 0, 1.0),
        (101, 55, 1.0),  # 0.5446
        (101, 56, 0.0),  # 0.5545
        (200, 109, 1.0),
        (200, 110, 0.0),  # 0.55 is not below
        (0, 0, 0.0),
    ],
)
def test_a_model_is_to_be_trained_again(predictions, rights, flag):
    for card in (0.5, 0.99):  # what the card promised does not count
        after = model(card, predictions, rights)
        assert (after["retrain"][3], after["flagged"]) == (flag, flag)
    assert model(math.nan, predictions, rights)["flagged"] == 0.0


@pytest.mark.parametrize(
    ("mean_trust", "confidence", "strength"),
    [
        (0.0, 0.75, 0.6),
        (math.nextafter(0.6, 0), 0.75, 0.6),
        (0.6, 0.75, 0.6),
        (math.nextafter(0.6, 1), 0.75, 0.5),
        (math.nextafter(0.7, 0), 0.75, 0.5),
        (0.7, 0.75, 0.5),
        (math.nextafter(0.7, 1), 0.70, 0.5),
        (1.0, 0.70, 0.5),
        (math.nan, 0.75, 0.6),
    ],
)
def test_thresholds_by_mean_trust(mean_trust, confidence, strength):
    assert value(governor.least, mean_trust, 0.7, 0.70, 0.75) == confidence
    assert value(governor.least, mean_trust, 0.6, 0.5, 0.6) == strength


# -- counting ---------------------------------------------------------------------------------------


def test_an_epoch_is_counted():
    models = unproven()
    settle(models, 2, 10, 6, 0.01)
    settle(models, 2, 30, 20, -0.03)
    settle(models, 2, 5, 5)  # a model that says no way: counted, but no return
    found = {name: float(models[name][0, 2]) for name in ("predictions", "rights", "returns")}
    assert found == {"predictions": 45.0, "rights": 31.0, "returns": 2.0}
    assert models["total"][0, 2] == pytest.approx(-0.02)
    assert models["squares"][0, 2] == pytest.approx(0.001)
    assert models["trust"][0].tolist() == [1.0] * MODELS  # until it is governed anew


@pytest.mark.parametrize(
    ("predictions", "rights"),
    [(0, 0), (-1, 0), (5, 6), (5, -1), (math.nan, 1), (5, math.nan), (0, math.inf)],
)
def test_impossible_counts_are_left_out(predictions, rights):
    models = unproven()
    before = models.tobytes()
    settle(models, 0, predictions, rights, 0.5)
    assert models.tobytes() == before


@pytest.mark.parametrize("gained", [math.nan, math.inf, -math.inf])
def test_an_unknown_return_upsets_no_sum(gained):
    models = unproven()
    settle(models, 0, 10, 5, gained)
    assert (models["predictions"][0, 0], models["returns"][0, 0], models["total"][0, 0]) == (10.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("interval", "year", "epochs"),
    [
        (60 * 10**9, 365.0, 365.0),
        (60 * 10**9, 252.0, 252.0),
        (DAY - 1, 365.0, 365.0),
        (DAY, 252.0, 12.0),  # 21 rows of a day
        (7 * DAY, 294.0, 2.0),
    ],
)
def test_epochs_in_a_year(interval, year, epochs):
    assert unproven(interval, year)["year"][0] == pytest.approx(epochs)


def test_a_record_goes_on_from_its_bytes():
    models = unproven()
    models["card"][0, :3] = 0.55, 0.6, 0.7
    settle(models, 1, 50, 20, -0.01)
    again = np.frombuffer(models.tobytes(), TRUST).copy()
    for each in (models, again):
        settle(each, 1, 80, 20, -0.02)
        govern(each)
    assert models.tobytes() == again.tobytes()


counts = st.floats(0, 1e6)
returns = st.lists(st.floats(-1, 1), min_size=0, max_size=30)


@settings(max_examples=150, deadline=None)
@given(card=st.floats(0, 1), predictions=counts, share=st.floats(0, 1), gained=returns)
def test_trust_stays_in_bounds(card, predictions, share, gained):
    after = model(card, predictions, share * predictions, gained)
    assert 0.0 <= after["trust"][3] <= 1.0
    assert after["mean_trust"] == after["trust"][3]


@settings(max_examples=100, deadline=None)
@given(card=st.floats(0, 1), predictions=st.integers(1, 10_000), low=st.floats(0, 1), more=st.floats(0, 1))
def test_more_that_came_right_never_lowers_trust(card, predictions, low, more):
    high = low + (1 - low) * more
    worse, better = (model(card, predictions, share * predictions)["trust"][3] for share in (low, high))
    assert better >= worse - 1e-12


@settings(max_examples=100, deadline=None)
@given(cards=st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), min_size=MODELS, max_size=MODELS))
def test_mean_trust_lies_among_the_models(cards):
    models = unproven()
    models["card"][0] = cards
    after = govern(models)
    asked = [trust for trust, card in zip(after["trust"], cards, strict=True) if not math.isnan(card)]
    assert after["mean_trust"] == pytest.approx(float(np.mean(asked)) if asked else 1.0)
