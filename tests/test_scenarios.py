"""Scenarios: the event is where it is said to be, as large as asked for, and the rest is the quiet market."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nexus_core.errors import NotFoundError
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import TRADE
from nexus_core.records import ABSENT
from nexus_core.strategy import Strategy
from nexus_core.testing import rows as rows_of
from nexus_core.testing import scenarios

KINDS = [scenarios.shock, scenarios.trend, scenarios.excursion, scenarios.gap]


def log_close(rows):
    return np.log(rows["close"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [1, -1])
def test_rows_are_whole_and_before_the_event_those_of_the_quiet_market(kind, side):
    made, quiet = kind(3, 1_500, 900, side=side), scenarios.quiet(3, 1_500)
    rows = made.rows
    assert (made.at, made.side) == (900, side)
    assert rows[:900].tobytes() == quiet[:900].tobytes()
    Chunk(rows, np.array([0, len(rows)]))  # refuses what is out of order
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert (rows["bid"] <= rows["ask"]).all()
    assert (np.sign(log_close(rows) - log_close(quiet))[900:905] == side).all()
    assert kind(3, 1_500, 900, side=side).rows.tobytes() == rows.tobytes()
    assert kind(4, 1_500, 900, side=side).rows.tobytes() != rows.tobytes()


def test_a_shock_is_one_bar_of_so_many_usual_ones():
    quiet = scenarios.quiet(5, 1_200)
    rows = scenarios.shock(5, 1_200, 700, moves=12.0, volume=8.0).rows
    moved = (log_close(rows) - log_close(quiet)) / scenarios.usual(quiet)
    assert moved[699] == 0.0
    np.testing.assert_allclose(moved[700:], 12.0, atol=0.01)
    assert rows["volume"][700] == 8.0 * quiet["volume"][700]
    assert (rows["volume"] == quiet["volume"]).sum() == len(rows) - 1


def test_a_trend_drifts_and_then_stays():
    quiet = scenarios.quiet(5, 1_200)
    rows = scenarios.trend(5, 1_200, 700, drift=0.25, length=100, side=-1).rows
    moved = (log_close(rows) - log_close(quiet)) / scenarios.usual(quiet)
    np.testing.assert_allclose(moved[700:800], -0.25 * np.arange(1, 101), atol=0.01)
    np.testing.assert_allclose(moved[800:], -25.0, atol=0.01)


def test_an_excursion_comes_back():
    quiet = scenarios.quiet(5, 1_200)
    rows = scenarios.excursion(5, 1_200, 700, moves=6.0, length=20).rows
    moved = (log_close(rows) - log_close(quiet)) / scenarios.usual(quiet)
    assert moved[719] == pytest.approx(6.0, abs=0.01)
    np.testing.assert_allclose(moved[739:], 0.0, atol=0.01)


def test_a_gap_lies_between_a_close_and_the_next_open():
    quiet = scenarios.quiet(5, 1_200)
    rows = scenarios.gap(5, 1_200, 700, moves=9.0).rows
    jump = np.log(rows["open"][700] / quiet["open"][700]) / scenarios.usual(quiet)
    assert jump == pytest.approx(9.0, abs=0.01)
    assert rows["low"][700] > quiet["high"][700]


def test_without_the_synthetic_market_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nexus_synthetic", None)
    with pytest.raises(NotFoundError, match=r"pip install nexus-core\[testing\]"):
        scenarios.quiet(1, 10)


@pytest.mark.parametrize("side", [1, -1])
def test_a_rotation_opens_beyond_value_is_accepted_back_and_crosses_it(side):
    made = scenarios.rotation(3, side)
    rows = made.rows
    close, opened = side * rows["close"], side * float(rows["open"][2_880])
    low, high = np.quantile(close[1_440:2_880], (0.15, 0.85))
    assert (made.at, made.side, len(rows)) == (2_970, side, 4_320)
    assert len(set(rows["session_id"][2_880:])) == 1
    assert opened < low
    assert close[2_880:2_925].max() < low
    assert low < close[2_940:3_000].min() < close[2_940:3_000].max() < high
    assert np.median(close[3_120:]) > high - 0.2 * (high - low)
    Chunk(rows, np.array([0, len(rows)]))  # refuses what is out of order
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert scenarios.rotation(3, side).rows.tobytes() == rows.tobytes()
    assert scenarios.rotation(4, side).rows.tobytes() != rows.tobytes()


def test_a_row_where_a_strategy_is_absent_is_no_signal():
    rows = scenarios.driftless(3, 50)
    planted = np.zeros(1, [("turn", "i8"), ("start", "i8"), ("side", "i8"), ("decoy", "i8")])
    planted["turn"], planted["side"] = rows["ts"][20], -1
    signals = np.full(50, ABSENT, np.int8)
    assert scenarios.met(rows, signals, planted, 3) == scenarios.Detection(1, 0, 0, 0)
    signals[30:], signals[22] = 0, -2
    found = scenarios.met(rows, signals, planted, 3)
    assert found == scenarios.Detection(1, 1, 1, 1)


# -- order flow, and what was planted ----------------------------------------------------------------

SECOND = 1_000_000_000


@pytest.mark.jit
def test_a_session_of_order_flow_has_rows_of_its_events_and_tells_what_was_planted():
    made = scenarios.flow(3, 60, ["spoof"], interval=SECOND, rate=60.0, ease=0.8)
    rows, events = made.chunk.rows, made.chunk.events
    assert (np.diff(rows["ts"]) % SECOND == 0).all()
    assert events["ts"][-1] <= rows["ts"][-1]
    whole, trades = rows[-1], events[events["kind"] == TRADE]
    inside = trades[trades["ts"] > whole["ts"] - SECOND]
    assert whole["volume"] == pytest.approx(inside["size"].sum())
    assert len(made.planted) > 20
    assert 0 < len(made.real) < len(made.planted)
    assert (made.planted["end"] <= rows["ts"][-1] + 120 * SECOND).all()


@pytest.mark.jit
def test_without_kinds_nothing_is_planted():
    made = scenarios.flow(3, 60)
    assert len(made.planted) == 0
    assert len(made.chunk.rows) == 60


def test_driftless_bars_have_no_drift_and_are_whole():
    rows = np.concatenate([scenarios.driftless(seed, 1_000) for seed in range(20)])
    steps = np.concatenate([np.diff(log_close(scenarios.driftless(seed, 1_000))) for seed in range(20)])
    assert abs(steps.mean()) < 3 * steps.std() / np.sqrt(len(steps))
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.05
    assert np.corrcoef(np.abs(steps[1:]), np.abs(steps[:-1]))[0, 1] > 0.05  # its volatility wanders
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert scenarios.driftless(3).tobytes() == scenarios.driftless(3).tobytes()


def planted(*plants):
    """Return plants as told: row of the turn, side, whether it is a decoy; each starts two rows earlier."""
    made = np.zeros(len(plants), [(n, "i8") for n in ("start", "turn", "side", "decoy")])
    for one, (turn, side, decoy) in zip(made, plants, strict=True):
        one["start"], one["turn"], one["side"], one["decoy"] = turn - 2, turn, side, decoy
    return made


def test_signals_are_held_against_what_was_planted():
    rows = np.zeros(20, [("ts", "i8")])
    rows["ts"] = np.arange(20)
    signals = np.zeros(20, np.int8)
    signals[:3] = ABSENT
    # found in time; answered on the wrong side; a decoy that is answered; too near the end to count
    truth = planted((5, 1, 0), (9, -1, 0), (13, 1, 1), (18, 1, 0))
    signals[6:8], signals[10], signals[14] = 1, 1, 1
    made = scenarios.met(rows, signals, truth, within=3)
    assert (made.plants, made.found, made.signals, made.right) == (2, 1, 3, 1)
    assert (made.recall, made.precision) == (0.5, pytest.approx(1 / 3))
    signals[:] = 0
    signals[4] = 2
    assert scenarios.met(rows, signals, truth, 3).found == 0
    assert scenarios.met(rows, signals, truth, 3, since="start").found == 1
    nothing = scenarios.met(rows, np.zeros(20, np.int8), truth[:0], 3)
    assert np.isnan([nothing.recall, nothing.precision]).all()


def test_signals_near_each_other_are_one_if_asked_for():
    rows = np.zeros(10, [("ts", "i8")])
    rows["ts"] = np.arange(10)
    signals = np.array([1, 0, 1, 0, 0, 1, -1, -1, 0, 0], np.int8)
    assert scenarios.met(rows, signals, planted(), 1).signals == 4
    assert scenarios.met(rows, signals, planted(), 1, again=1).signals == 3
    assert scenarios.met(rows, signals, planted(), 1, again=2).signals == 2


class Follows(Strategy):
    nexus_api = 1
    category = "trend_following"
    warmup = 1

    def signal(self, window):
        return np.sign(window.close[-1] - window.open[-1]), 1.0


def session(closes, *plants):
    made = rows_of(closes)
    truth = planted(*plants)
    for name in ("start", "turn"):
        truth[name] = made["ts"][truth[name]]
    return scenarios.Session(Chunk(made, np.array([0, len(made)])), truth)


def test_a_curve_is_over_all_sessions_together():
    # found; answered on the wrong side and a plant nobody answers; a decoy that is answered
    made = [
        session([5, 5, 5, 6, 6, 6, 6, 6, 6, 6], (3, 1, 0)),
        session([5, 5, 5, 6, 6, 6, 6, 6, 6, 6], (3, -1, 0), (6, 1, 0)),
        session([5, 5, 5, 4, 4, 4, 4, 4, 4, 4], (3, -1, 1)),
    ]
    found = scenarios.curve(Follows(), made, 1)
    assert found == scenarios.Detection(plants=3, found=1, signals=3, right=1)
    assert scenarios.curve(Follows(), made[:1], 1).precision == 1.0
    assert np.isnan(scenarios.curve(Follows(), [], 1).recall)


def test_a_market_turned_over_has_its_plants_on_the_other_side():
    usual = session([5, 5, 5, 6, 6, 6, 6, 5, 6, 6], (3, 1, 0), (7, -1, 1))
    turned = scenarios.turned(usual)
    assert turned.chunk.rows["close"].tolist() == [5, 5, 5, 4, 4, 4, 4, 5, 4, 4]
    assert turned.planted["side"].tolist() == [-1, 1]
    assert usual.planted["side"].tolist() == [1, -1]
    assert scenarios.curve(Follows(), [turned], 0) == scenarios.curve(Follows(), [usual], 0)
    rows = scenarios.turned(usual.chunk.rows, 8.0)
    assert rows["close"].tolist() == (16 - usual.chunk.rows["close"]).tolist()
    assert rows["high"].tolist() == (16 - usual.chunk.rows["low"]).tolist()


def test_the_market_of_order_flow_is_turned_over_with_its_events():
    usual = scenarios.flow(3, 10, ["cascade"], interval=1_000_000_000)
    turned = scenarios.turned(usual, 60_000.0)
    sides = turned.chunk.events["side"].astype(int)
    assert (sides == -usual.chunk.events["side"].astype(int)).all()
    trades = usual.chunk.events["kind"] == TRADE
    total = usual.chunk.events["price"] + turned.chunk.events["price"]
    assert np.count_nonzero(trades) > 50
    assert total[trades] == pytest.approx(120_000.0)
    last = turned.chunk.rows["close"] + usual.chunk.rows["close"]
    assert last == pytest.approx(120_000.0)
