"""The layer and its gates at work in a chain: what they decide, and what the trace keeps."""

import json
import math

import numpy as np
import pytest
from nexus_gate_routing import Action, Confidence, Routing

from nexus_core import Layer
from nexus_core.testing import Trial, rows

BELOW, ABOVE = math.nextafter(0.7, 0), math.nextafter(0.7, 1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("nexus_gate_routing.table.PACKAGED", tmp_path / "none.json")
    return tmp_path


class Leaning(Layer):
    """Stands for layer 4: leans halfway the signal's way, as strongly as the row's volume says."""

    nexus_api = 1
    layer = 4
    writes = {"strength": 1}

    @staticmethod
    def step(row, context, voices, params):
        context.lean = context.direction * 0.5
        context.strength = row.volume


def decided(signals, scores=1.0, trust=None, layers=(), limit=0.7, block=10_000, volume=1.0, **params):
    """Return the decisions over rows of these signals and scores, and what ended each."""
    gates = {"action": Action(), "confidence": Confidence(limit=limit)}
    working = {**dict(layers), "routing": Routing(**params)}
    risk = {"sizing": "fixed-notional", "notional": 1.0, "brackets": False, "on_opposite": "ignore"}
    trial = Trial(gates, layers=working, **risk)
    states, _ = trial.chain.records()["layer:routing"]
    if trust is not None:
        states["models"]["mean_trust"] = trust
    trial.run(rows([100.0] * len(signals), volume=volume), signals, scores, block=block)
    names = {place.number: place.name for place in trial.chain.places} | {-1: "approved"}
    return trial, [names[int(each)] for each in trial.decisions["reason"]]


def test_without_layer_4_the_score_is_what_is_routed():
    trial, ended = decided([1, -1, 1, 0], [BELOW, 0.5, 0.7, 1.0])
    assert ended == ["confidence", "confidence", "approved", "has-signal"]
    context = trial.decisions["context"]
    assert context["routed"][:3] == pytest.approx([BELOW, 0.5, 0.7])
    assert np.isnan(context["routed"][3])
    assert context["mean_trust"].tolist() == [1.0] * 4  # the governor speaks on every row
    assert trial.decisions["confidence"][:3].tolist() == [BELOW, 0.5, 0.7]


def test_the_trace_has_the_verdicts_of_both_gates():
    trial, _ = decided([-1], [0.9])
    names = {place.number: place.name for place in trial.chain.places}
    told = {names[int(each["gate"])]: each for each in trial.verdicts}
    assert (told["action"]["value"], told["action"]["limit"], told["action"]["passed"]) == (1.0, 0.6, 1)
    assert (told["confidence"]["value"], told["confidence"]["limit"]) == (0.9, 0.7)


@pytest.mark.parametrize(
    ("trust", "score", "ended"),
    [
        (0.6, 1.0, "action"),  # p is the mean trust, and 0.6 is refused
        (math.nextafter(0.6, 1), 1.0, "approved"),
        (BELOW, math.nextafter(0.75, 0), "confidence"),  # the governor asks for 0.75
        (0.7, math.nextafter(0.75, 0), "confidence"),
        (0.7, 0.75, "approved"),
        (ABOVE, math.nextafter(0.75, 0), "approved"),  # and here for 0.70
        (ABOVE, BELOW, "confidence"),
        (math.nan, 1.0, "action"),
    ],
)
def test_trust_at_the_edges_of_both_gates(trust, score, ended):
    trial, found = decided([1], [score], trust)
    assert found == [ended]
    if ended == "confidence":
        assert trial.decisions["limit"][0] == (0.70 if trust == ABOVE else 0.75)


def test_layer_4_says_how_far_and_how_strongly():
    # p is 0.75; 0.5 x 0.9 = 0.45 is the conviction, 0.75 x 0.9 = 0.675 the confidence of the written rule
    asked = {"layers": {"leaning": Leaning()}.items(), "volume": 0.9}
    trial, ended = decided([1], **asked)
    assert (ended, float(trial.decisions["value"][0])) == (["confidence"], 0.45)
    trial, ended = decided([1], literal=True, **asked)
    assert (ended, float(trial.decisions["value"][0])) == (["confidence"], pytest.approx(0.675))
    trial, ended = decided([-1], literal=True, **asked | {"volume": 1.0})
    assert ended == ["approved"]
    assert trial.decisions["context"]["p_sell"][0] == 0.75


def test_the_size_of_a_block_changes_nothing():
    draws = np.random.default_rng(6)
    signals, scores = draws.integers(-1, 2, 200), draws.random(200)
    whole, ended = decided(signals, scores, 0.9)
    for block in (1, 7):
        parts, again = decided(signals, scores, 0.9, block=block)
        assert again == ended
        assert parts.ledger.run_hash == whole.ledger.run_hash
        assert parts.decisions["context"].tobytes() == whole.decisions["context"].tobytes()


def test_a_looser_limit_approves_all_that_a_stricter_one_did():
    scores, passed = np.linspace(0, 1, 101), set()
    for limit in (1.0, 0.9, 0.8, 0.7, 0.3):
        _, ended = decided([1] * 101, scores, limit=limit, trusted_confidence=0.0)
        now = {n for n, each in enumerate(ended) if each != "confidence"}
        assert passed <= now
        passed = now


def test_a_run_that_goes_on_with_another_table_is_found_out(home):
    codes = [decided([1])[0].chain.records()["layer:routing"][1]]
    for rank in (0.9, 0.9, 0.9000001):
        (home / "calibration").mkdir(exist_ok=True)
        table = {"scores": [0.2, 0.8], "ranks": [0.1, rank]}
        (home / "calibration" / "router.json").write_text(json.dumps(table))
        codes.append(decided([1])[0].chain.records()["layer:routing"][1])
    assert codes[1] == codes[2]
    assert len(set(codes)) == 3
