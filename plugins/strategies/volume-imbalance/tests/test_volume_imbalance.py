"""volume-imbalance: fires on runs of one-sided volume, and keeps the contract of a strategy."""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from nexus_strategy_volume_imbalance import MOST, VolumeImbalance

from nexus_core import compile
from nexus_core.market.blocks import Chunk
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, markets, rows, scenarios

TARGETS = VolumeImbalance.targets
AT, AGAIN = 400, 5
PLANTED = [(name, "f8") for name in ("kind", "side", "decoy", "start", "turn", "end")]


class TestVolumeImbalance(StrategyContract):
    strategy = "volume-imbalance"


@cache
def strategy():
    return VolumeImbalance()


def heard(signals):
    return np.where(signals == ABSENT, 0, signals)


def pushed(seed, side):
    """Lay a push into a market: for fifteen rows three times the volume, 85 % of it of one side."""
    made, part = scenarios.driftless(seed, AT + 40), slice(AT, AT + 15)
    made["volume"][part] *= 3.0
    made["buy_volume"][part] = (0.5 + 0.35 * side) * made["volume"][part]
    made["sell_volume"][part] = made["volume"][part] - made["buy_volume"][part]
    return made


def scenario(seed: int) -> bool:
    """Return whether it answers a push in time, on its side."""
    side = 1 if seed % 2 else -1
    signals = heard(scenarios.answers(strategy(), pushed(seed, side))[0])
    return bool((signals[AT : AT + TARGETS["within"] + 1] == side).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of an order flow without the pattern, and its rows; what is not far apart is one."""
    made = scenarios.flow(seed, 720).chunk.rows
    signals, _ = scenarios.answers(strategy(), made)
    return scenarios.met(made, signals, np.zeros(0, PLANTED), 0, again=AGAIN).signals, len(made)


def test_it_fires_on_the_side_of_a_push():
    assert np.mean([scenario(seed) for seed in range(10)]) >= TARGETS["hits"]


@pytest.mark.skipif(not compile.JIT, reason="days of order flow take long in plain Python")
def test_in_an_order_flow_without_runs_it_seldom_fires():
    false, count = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1_000 * false / count <= TARGETS["false"]


@pytest.mark.skipif(not compile.JIT, reason="days of order flow take long in plain Python")
def test_it_finds_runs_in_an_order_flow():
    plants = found = signals = right = 0
    for seed in range(10):
        session = scenarios.flow(seed, 720, ["run"], ease=1.0, rate=2.0)
        said, _ = scenarios.answers(strategy(), session)
        planted = session.planted.copy()  # a decoy is the same run, and price does not go on after it
        planted["decoy"] = 0
        met = scenarios.met(session.chunk.rows, said, planted, 5, since="start", again=AGAIN)
        plants, found = plants + met.plants, found + met.found
        signals, right = signals + met.signals, right + met.right
    assert found / plants >= TARGETS["recall"]
    assert right / signals >= TARGETS["precision"]


# -- worked out by hand -----------------------------------------------------------------------------

CALM = 40
SMALL = {"usual": 10, "bucket": 1.0, "beyond": 1.0, "run": 3}


def market(shares, volumes=None):
    """Rows of a volume of 10, bought by 60 % and 40 % in turns; then rows bought by these shares."""
    bought = np.array([*([0.6, 0.4] * (CALM // 2)), *shares])
    made = rows(np.full(len(bought), 100.0))
    made["volume"] = [*([10.0] * CALM), *(volumes or [10.0] * len(shares))]
    made["buy_volume"] = bought * made["volume"]
    made["sell_volume"] = made["volume"] - made["buy_volume"]
    return made


def ask(made, **params):
    signals, scores = scenarios.answers(VolumeImbalance(**(SMALL | params)), made)
    return signals[CALM:].tolist(), scores[CALM:].tolist()


def weighted(values, span=10):
    """The exponentially weighted mean and deviation of the bars before each."""
    weight, mean, var, made = 2 / (span + 1), values[0], 0.0, [(math.nan, math.nan)]
    for x in values[1:]:
        made.append((mean, math.sqrt(var)))
        move = x - mean
        mean, var = mean + weight * move, (1 - weight) * (var + weight * move * move)
    return made


def test_three_imbalance_bars_by_hand():
    # every row is a bar. Net shares are +-0.2, then 0.9 three times
    signals, scores = ask(market([0.95, 0.95, 0.95]))
    assert signals == [0, 0, 1]
    bars = [0.2 * (-1) ** i for i in range(CALM)] + [0.9] * 3
    before = weighted(bars)
    away = [(x - mean) / usual for x, (mean, usual) in list(zip(bars, before, strict=True))[-3:]]
    assert min(away) > 1.0
    x = sum(away) / (3 * 1.0)
    assert scores[2] == pytest.approx(x / (1 + x))


def test_selling_is_the_other_side():
    assert ask(market([0.6, 0.05, 0.05, 0.05]))[0] == [0, 0, 0, -1]


def test_a_row_is_split_over_bars_and_a_bar_over_rows():
    # one row of three bars' volume ends three of them at once
    signals, _ = ask(market([0.95], volumes=[30.0]))
    assert signals == [1]
    # six rows of half a bar's volume end three; the size follows the usual volume, so a little sooner
    signals, _ = ask(market([0.95] * 6, volumes=[5.0] * 6))
    assert signals.count(1) >= 1
    assert signals[:3] == [0, 0, 0]


def test_what_a_row_ends_is_bounded():
    signals, scores = ask(market([0.95, 0.5, 0.5], volumes=[1e12, 10.0, 10.0]), run=MOST)
    assert scores[0] <= 1.0
    assert not any(signals[1:])


@pytest.mark.parametrize(
    "made",
    [
        market([0.6, 0.4, 0.6]),  # as ever
        market([0.95, 0.95, 0.4, 0.95]),  # a bar that is none ends the run
        market([0.95, 0.95, 0.05, 0.05]),  # so does one of the other side
    ],
)
def test_what_is_no_run_is_no_signal(made):
    assert not any(ask(made)[0])


@pytest.mark.parametrize(
    ("params", "first"),
    [
        ({}, 2),
        ({"run": 2}, 1),
        ({"run": 4}, None),
        ({"beyond": 6.0}, None),
        ({"bucket": 2.0}, None),
        ({"usual": 30}, 2),
    ],
)
def test_each_parameter_has_its_effect(params, first):
    signals, _ = ask(market([0.95] * 3), **params)
    assert next((i for i, each in enumerate(signals) if each), None) == first


def test_without_known_sides_the_bars_are_taken_for_them():
    made = market([0.5] * 8)
    made["close"] += np.concatenate([np.tile([0.1, -0.1], CALM // 2), 2.0 * np.arange(1, 9)])
    made["buy_volume"] = made["sell_volume"] = np.nan
    assert 1 in ask(made, beyond=0.5)[0]


def test_upside_down_it_answers_the_opposite():
    made = pushed(3, 1)
    signals, scores = scenarios.answers(strategy(), made)
    other, same = scenarios.answers(
        strategy(), markets.mirrored(Chunk(made, np.array([0, len(made)])), "price").rows
    )
    assert heard(signals).any()
    assert heard(other).tolist() == (-heard(signals)).tolist()
    assert same.tobytes() == scores.tobytes()


@pytest.mark.parametrize(
    ("column", "value"), [("volume", np.nan), ("volume", 0.0), ("volume", np.inf), ("close", np.nan)]
)
def test_a_row_of_unknown_price_or_volume_is_passed_over(column, value):
    made = market([0.95, 0.95, 0.95])
    odd = np.insert(made, CALM + 1, made[CALM])
    odd["ts"] = made["ts"][0] + 60_000_000_000 * np.arange(len(odd))
    odd[column][CALM + 1] = value
    signals, scores = ask(odd)
    assert signals == [0, 0, 0, 1]
    assert scores[-1] == ask(made)[1][-1]


def test_a_models_opinion_has_a_share_of_three_tenths():
    row = SimpleNamespace()
    assert VolumeImbalance.blend(row, -1, 0.8, -0.5) == (-1, pytest.approx(0.7 * 0.8 + 0.3 * 0.5))
    assert VolumeImbalance.blend(row, 1, 0.8, math.nan) == (1, 0.8)
