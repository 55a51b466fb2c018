"""The assessment and its gates at work in a chain: sizes, reasons, and many symbols on one tick."""

import math

import numpy as np
import pytest
from nexus_gate_risk import (
    AgainstMarket,
    Assessment,
    Correlation,
    CriticalFlags,
    MarketClass,
    RiskMultiplier,
    RiskScore,
    SignalConfidence,
    Var,
)

from nexus_core import Layer
from nexus_core.testing import Trial, rows
from nexus_core.types import Instrument

NAN = math.nan
GATES = {
    "signal-confidence": SignalConfidence,
    "risk-multiplier": RiskMultiplier,
    "market-class": MarketClass,
    "against-market": AgainstMarket,
    "critical-flags": CriticalFlags,
    "risk-score": RiskScore,
    "var": Var,
    "correlation": Correlation,
}


class Market(Layer):
    """Stands for layer 1: MQScore is the row's volume, the regime its open; the rest is good."""

    nexus_api = 1
    layer = 1
    writes = dict.fromkeys(
        ("data_quality", "mqscore", "liquidity", "volatility", "noise", "regime", "regime_confidence"), 1
    )

    @staticmethod
    def watch(row, context, state, params):
        context.data_quality = context.regime_confidence = 1.0
        context.mqscore, context.regime = row.volume, row.open
        context.liquidity, context.volatility, context.noise = 0.6, 0.4, 0.4


def tried(
    made, signals, layers=(Market, Assessment), gates=GATES, symbols=1, block=10_000, score=0.8, **risk
):
    """Return a trial over these rows, and what ended each decision."""
    instruments = tuple(Instrument(f"S{n}-USD") for n in range(symbols))
    risk = {"sizing": "fixed-notional", "notional": 1_000.0, "breaker_loss": 0.0, **risk}
    working = {kind.__name__.lower(): kind() for kind in layers}
    trial = Trial(
        {name: kind() for name, kind in gates.items()}, layers=working, instruments=instruments, **risk
    )
    trial.run(made, signals, score, block=block)
    names = {place.number: place.name for place in trial.chain.places} | {-1: "approved"}
    return trial, [names[int(each)] for each in trial.decisions["reason"]]


@pytest.mark.parametrize(
    ("mqscore", "regime", "signal", "score", "reason"),
    [
        (0.6, 2.0, 1, 0.8, "approved"),
        (0.6, 2.0, 1, 0.56, "signal-confidence"),
        (0.6, 1.0, 1, 0.8, "against-market"),
        (0.6, 0.0, -1, 0.8, "against-market"),
        (0.6, 0.0, 1, 0.8, "approved"),
        (0.49, 2.0, 1, 0.8, "critical-flags"),
        (NAN, 2.0, 1, 0.8, "critical-flags"),
        (0.6, 11.0, 1, 0.8, "market-class"),
        (0.6, NAN, 1, 0.8, "against-market"),
    ],
)
def test_what_becomes_of_an_entry(mqscore, regime, signal, score, reason):
    made = rows([100.0], volume=mqscore, open=regime)
    assert tried(made, [signal], score=score)[1] == [reason]


def test_the_size_is_scaled_by_what_the_assessment_leaves():
    # (.4 + 1 - .6 + 0 + .2) / 4 = .25, so that .75 of a notional of 1,000 at 100 is 7.5
    trial, ended = tried(rows([100.0], volume=0.6, open=2.0), [1])
    assert ended == ["approved"]
    assert trial.events["qty"][0] == 750_000_000
    context = trial.decisions["context"][0]
    assert context["scale"] == pytest.approx(0.75)
    assert context["risk_multiplier"] == pytest.approx(0.75)
    # without layer 1: (.5 + .5 + 0 + .2) / 4 = .3
    trial, ended = tried(rows([100.0]), [1], layers=(Assessment,))
    assert (ended, trial.events["qty"][0]) == (["approved"], 700_000_000)


def test_without_the_assessment_every_gate_that_reads_it_refuses():
    for name in (
        "risk-multiplier",
        "market-class",
        "against-market",
        "critical-flags",
        "risk-score",
        "correlation",
    ):
        assert tried(rows([100.0]), [1], layers=(), gates={name: GATES[name]})[1] == [name]


def walks(size, symbols, seed=1):
    """Return rows of symbols that move alike, symbol by symbol."""
    moves = np.random.default_rng(seed).normal(0, 0.001, size).cumsum()
    parts = [rows(100.0 * np.exp(moves) * (n + 1), volume=0.6, open=2.0, symbol=n) for n in range(symbols)]
    return np.concatenate(parts)


def test_of_symbols_that_move_alike_one_is_entered_on_a_tick():
    made = walks(80, 3)
    signals = np.where(np.tile(np.arange(80), 3) == 70, 1, 0)
    trial, ended = tried(made, signals, symbols=3)
    asked = [each for each in ended if each != "has-signal"]
    assert asked == ["approved", "correlation", "correlation"]
    verdict = trial.verdicts[trial.verdicts["passed"] == 0]
    assert verdict["value"][-1] == pytest.approx(1.0)


def test_a_second_symbol_is_not_entered_before_their_correlation_is_known():
    for at, reason in ((40, "correlation"), (70, "approved")):
        made = walks(80, 2)
        other = made[made["symbol"] == 1]
        other["close"] = 50.0 + np.random.default_rng(9).normal(size=80).cumsum() / 100
        made[made["symbol"] == 1] = other
        trial, ended = tried(made, np.where(np.tile(np.arange(80), 2) == at, 1, 0), symbols=2)
        assert [each for each in ended if each != "has-signal"] == ["approved", reason]
        value = float(trial.verdicts[-1]["value"])
        assert math.isnan(value) == (at == 40)


def test_the_size_of_the_blocks_changes_no_decision():
    made = walks(120, 3)
    signals = np.random.default_rng(4).integers(-1, 2, len(made))
    whole = tried(made, signals, symbols=3)[0]
    for block in (1, 7, 64):
        again = tried(made, signals, symbols=3, block=block)[0]
        assert repr(again.decisions.tolist()) == repr(whole.decisions.tolist())
        for lane in ("hash_low", "hash_high"):
            assert again.account[lane] == whole.account[lane]
