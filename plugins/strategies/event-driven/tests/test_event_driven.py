"""event-driven: answers a shock by what follows it, and keeps the contract of a strategy."""

import math
from functools import cache

import numpy as np
import pytest
from nexus_strategy_event_driven import HOUR, EventDriven

from nexus_core import compile
from nexus_core.records import ABSENT
from nexus_core.testing import StrategyContract, markets, rows, scenarios

TARGETS = EventDriven.targets
AT, AGAIN = 700, 8
PLANTED = [(name, "f8") for name in ("kind", "side", "decoy", "start", "turn", "end")]


class TestEventDriven(StrategyContract):
    strategy = "event-driven"


@cache
def strategy():
    return EventDriven()


def heard(signals):
    return np.where(signals == ABSENT, 0, signals)


def followed(seed, side, goes_on):
    """Lay a shock into a market, and bars on four times the volume after it whose flow takes a side."""
    made = scenarios.shock(seed, size=AT + 80, at=AT, moves=10.0, volume=10.0, side=side).rows
    after = slice(AT + 1, AT + 60)
    bought = 0.85 if (side > 0) == goes_on else 0.15
    made["volume"][after] *= 4.0
    made["buy_volume"][after] = bought * made["volume"][after]
    made["sell_volume"][after] = made["volume"][after] - made["buy_volume"][after]
    return made


def scenario(seed: int) -> bool:
    """Return whether it answers a shock in time, on the side of what follows, and never on the other."""
    side, goes_on = 1 if seed % 2 else -1, seed % 4 < 2
    signals = heard(scenarios.answers(strategy(), followed(seed, side, goes_on))[0])
    told = signals[AT : AT + TARGETS["within"] + 1]
    expected = side if goes_on else -side
    return bool((told == expected).any() and not (told == -expected).any())


def null(seed: int) -> tuple[int, int]:
    """Return the signals of a market without the pattern, and its rows; a stretch of one side is one."""
    made = scenarios.driftless(seed, 7_200)
    signals, _ = scenarios.answers(strategy(), made)
    none = np.zeros(0, PLANTED)
    return scenarios.met(made, signals, none, 0, again=AGAIN).signals, len(made)


def test_it_fires_on_the_side_of_what_follows():
    assert np.mean([scenario(seed) for seed in range(10)]) >= TARGETS["hits"]


@pytest.mark.skipif(not compile.JIT, reason="a hundred thousand rows take long in plain Python")
def test_where_there_is_nothing_it_seldom_fires():
    false, count = np.sum([null(seed) for seed in range(20)], axis=0)
    assert 1_000 * false / count <= TARGETS["false"]


@pytest.mark.skipif(not compile.JIT, reason="days of order flow take long in plain Python")
def test_among_decoys_it_answers_the_shocks_that_something_follows():
    plants = found = signals = right = 0
    for seed in range(10):
        session = scenarios.flow(seed, 1_440, ["shock"], ease=1.0, rate=0.5)
        said, _ = scenarios.answers(strategy(), session)
        met = scenarios.met(session.chunk.rows, said, session.planted, TARGETS["within"], again=AGAIN)
        plants, found = plants + met.plants, found + met.found
        signals, right = signals + met.signals, right + met.right
    assert found / plants >= TARGETS["recall"]
    assert right / signals >= TARGETS["precision"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_upside_down_it_answers_the_opposite(goes_on):
    chunk = scenarios.Chunk(followed(3, 1, goes_on), np.array([0, AT + 80]))
    signals, scores = scenarios.answers(strategy(), chunk.rows)
    other, same = scenarios.answers(strategy(), markets.mirrored(chunk, "log").rows)
    assert np.count_nonzero(heard(signals)) > 20
    assert heard(other).tolist() == (-heard(signals)).tolist()
    assert same == pytest.approx(scores, abs=1e-9)


# -- worked out by hand -----------------------------------------------------------------------------

CALM, UP = 40, math.log(1.1)


def market(after, bought, volume=30.0, shock=UP, shock_volume=100.0):
    """A price that swings by 1 % on a volume of 8 or 12, a shock, and what follows it."""
    wobble = [100.0 * 1.01 ** (i % 2) for i in range(CALM)]
    start = wobble[-1]
    close = np.array([*wobble, start * math.exp(shock), *(start * np.exp(after))])
    made = rows(close, open=np.concatenate([[100.0], close[:-1]]))
    made["high"], made["low"] = np.maximum(made["open"], close), np.minimum(made["open"], close)
    made["volume"] = [*([8.0, 12.0] * (CALM // 2)), shock_volume, *([volume] * len(after))]
    made["buy_volume"] = np.where(np.arange(len(close)) > CALM, bought, 0.5) * made["volume"]
    made["sell_volume"] = made["volume"] - made["buy_volume"]
    return made


def ask(made, **params):
    given = {"window": 20, "confirm": 2, "half_life": 10} | params
    return scenarios.answers(EventDriven(**given), made)


def test_the_score_by_hand():
    # returns are +-ln 1.01, median 0 (ten of each): their deviation is ln 1.01, so a shock of ln 1.1 scores
    # 9.58 / 1.4826 = 6.46; volumes 8 and 12 have median 10 and deviation 2: 100 scores 90 / 2.9652 = 30.35.
    # Two bars of 30, 90 % bought: busy 30 / 10 / 2 = 1.5, pressure 0.8 / 0.4 = 2
    signals, scores = ask(market([UP, UP], bought=0.9))
    assert signals[CALM:].tolist() == [0, 0, 1]
    conviction = UP / math.log(1.01) / 1.4826022 / 4.0 * 1.5 * 2.0
    assert scores[-1] == pytest.approx(0.5 ** (2 / 10) * conviction / (1 + conviction), abs=1e-6)


def test_flow_against_the_shock_reverses_it():
    signals, _ = ask(market([UP, UP], bought=0.1))
    assert signals[CALM:].tolist() == [0, 0, -1]


def test_a_pullback_of_more_than_half_reverses_it_where_the_flow_is_not_with_it():
    for left, said in ((0.6, 0), (0.4, -1)):
        assert ask(market([left * UP, left * UP], bought=0.45, volume=20.0))[0][-1] == said


def test_it_halves_every_half_life_and_ends_after_an_hour():
    signals, scores = ask(market([UP] * 70, bought=0.9))
    said = slice(CALM + 2, CALM + HOUR + 1)
    assert signals[said].tolist() == [1] * (HOUR - 1)
    assert not signals[CALM + HOUR + 1 :].any()
    assert scores[CALM + 22] == pytest.approx(scores[CALM + 12] / 2)


@pytest.mark.parametrize(
    "market_of",
    [
        {"shock": math.log(1.03)},  # price alone is quiet
        {"shock_volume": 15.0},  # volume alone is quiet
        {"volume": 12.0},  # it falls back to usual
        {"bought": 0.6},  # neither side
    ],
)
def test_what_is_no_shock_or_has_no_sequel_is_no_signal(market_of):
    signals, _ = ask(market([UP, UP, UP], **({"bought": 0.9} | market_of)))
    assert not signals[CALM:].any()


@pytest.mark.parametrize(
    ("params", "first"),
    [
        ({}, CALM + 2),
        ({"k": 7.0}, None),
        ({"window": 30}, CALM + 2),
        ({"confirm": 4}, CALM + 4),
        ({"rising": 3.5}, None),
        ({"pressure": 0.85}, None),
    ],
)
def test_each_parameter_has_its_effect(params, first):
    signals, _ = ask(market([UP] * 6, bought=0.9), **params)
    found = np.flatnonzero(heard(signals))
    assert (found[0] if len(found) else None) == first


def test_a_longer_half_life_keeps_more():
    assert ask(market([UP, UP], 0.9), half_life=20)[1][-1] > ask(market([UP, UP], 0.9), half_life=5)[1][-1]


def test_without_known_sides_the_bars_are_taken_for_them():
    made = market([UP + 0.02 * i for i in range(1, 9)], bought=0.9)
    made["buy_volume"] = made["sell_volume"] = np.nan
    assert ask(made)[0][-1] == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("volume", np.nan),
        ("volume", 0.0),
        ("volume", np.inf),
        ("close", np.nan),
        ("high", np.inf),
        ("low", 0.0),
    ],
)
def test_a_row_of_unknown_price_or_volume_is_passed_over(column, value):
    made = market([UP, UP], bought=0.9)
    odd = np.insert(made, CALM + 1, made[CALM])
    odd["ts"] = made["ts"][0] + 60_000_000_000 * np.arange(len(odd))
    odd[column][CALM + 1] = value
    signals, scores = ask(odd)
    plain, same = ask(made)
    assert signals[CALM + 1] == 0
    assert signals[-1] == plain[-1] == 1
    assert scores[-1] == same[-1]
