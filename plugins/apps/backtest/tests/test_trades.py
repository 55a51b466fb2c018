"""What entries would have made: hand-worked, against a slow loop, and against the ledger itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_app_backtest.trades import TRADE, Player, money
from nexus_app_backtest.worth import Worth, student, worth

from nexus_core import Broker
from nexus_core.broker import FixedFee, HalfSpread
from nexus_core.config import Risk
from nexus_core.ledger.orders import FILL
from nexus_core.market.blocks import Chunk
from nexus_core.records import UNIT
from nexus_core.testing import Trial, rows
from nexus_core.types import Instrument, Purpose

A, B = Instrument("A-USD"), Instrument("B-USD")

BARS = [  # open, high, low, close
    (100, 100, 100, 100),  # buy: stop 98, target 104
    (100, 101, 99, 100),  # in at 100
    (96, 97, 95, 96),  # opens beyond the stop: out at 96
    (96, 100, 96, 100),  # buy: stop 98, target 104
    (101, 102, 100, 101),  # in at 101
    (101, 105, 97, 103),  # touches both: out at the stop, 98
    (103, 103, 100, 100),  # sell: stop 102, target 96
    (99, 100, 98, 99),  # in at 99
    (98, 98, 97, 97),
    (97, 98, 97, 98),  # three rows are over: out at the close, 98
]
SIDES = [1, 0, 0, 1, 0, 0, -1, 0, 0, 0]


class Paid(Broker):
    """A broker with costs that a test sets."""

    def __init__(self, fee=0.0, half=0.0):
        super().__init__()
        self._fee, self._half = fee, half

    def fees(self):
        return FixedFee(rate=self._fee)

    def slippage(self):
        return HalfSpread(half=self._half)


def bars(table, **fields):
    opened, high, low, close = np.array(table, float).T
    return rows(close, open=opened, high=high, low=low, **fields)


def played(made, sides, horizon=3, broker=None, pieces=(), **risk):
    """Play the rows of symbols A and B in pieces that begin at these ticks; a trade's gate is its row."""
    player = Player((A, B), Risk(**risk), broker or Paid(), horizon)
    sides, numbers = np.asarray(sides, np.int8), np.arange(len(made), dtype=np.int16)
    times, parts = np.unique(made["ts"]), []
    for first, last in zip([0, *pieces], [*pieces, len(times)], strict=True):
        own = np.isin(made["ts"], times[first:last])
        part = made[own]
        chunk = Chunk(part, np.searchsorted(part["symbol"], [0, 1, 2]))
        parts.append(player.take(chunk, sides[own], numbers[own]).copy())
    return np.concatenate(parts), player


def test_three_trades_by_hand():
    found, player = played(bars(BARS), SIDES)
    assert found["gate"].tolist() == [0, 3, 6]
    np.testing.assert_allclose(found["net"], [96 / 100 - 1, 98 / 101 - 1, 1 - 98 / 99], atol=1e-12)
    ends = np.searchsorted(bars(BARS)["ts"], found["end"]).tolist()
    assert ends == [2, 5, 9]
    assert player.pending == 0


def test_three_trades_by_hand_net_of_costs():
    found, _ = played(bars(BARS), SIDES, broker=Paid(fee=0.001, half=0.0001))
    paid = [100 * 1.0001, 101 * 1.0001, 99 * 0.9999]
    got = [96 * 0.9999, 98 * 0.9999, 98 * 1.0001]
    side = [1, 1, -1]
    wanted = [(s * (g - p) - 0.001 * (g + p)) / p for s, g, p in zip(side, got, paid, strict=True)]
    np.testing.assert_allclose(found["net"], wanted, atol=1e-10)
    plain, _ = played(bars(BARS), SIDES)
    np.testing.assert_allclose(found["cost"], plain["net"] - found["net"], atol=1e-10)


def test_a_target_pays_no_spread_and_a_gap_through_it_fills_at_the_open():
    table = [(100, 100, 100, 100), (100, 100, 100, 100), (100, 105, 100, 105), *[(100, 100, 100, 100)] * 2]
    found, _ = played(bars(table), [1, 0, 0, 0, 0], broker=Paid(half=0.0001))
    np.testing.assert_allclose(found["net"], [(104 - 100.01) / 100.01], atol=1e-10)
    table[2] = (106, 107, 105, 106)
    found, _ = played(bars(table), [1, 0, 0, 0, 0])
    np.testing.assert_allclose(found["net"], [0.06], atol=1e-12)


def test_a_stop_can_be_met_on_the_row_of_the_entry():
    table = [(100, 100, 100, 100), (99, 99, 97, 99), *[(100, 100, 100, 100)] * 2]
    found, _ = played(bars(table), [1, 0, 0, 0])
    np.testing.assert_allclose(found["net"], [98 / 99 - 1], atol=1e-12)
    table[1] = (97, 97, 97, 97)  # opens below the stop already: in and out at the open
    found, _ = played(bars(table), [1, 0, 0, 0])
    assert found["net"].tolist() == [0.0]


def test_without_brackets_only_time_ends_a_trade():
    found, _ = played(bars(BARS), SIDES, brackets=False)
    np.testing.assert_allclose(found["net"], [100 / 100 - 1, 100 / 101 - 1, 1 - 98 / 99], atol=1e-12)


def test_a_trade_whose_horizon_is_not_all_there_is_left_out_even_if_it_ended():
    found, player = played(bars(BARS[:3]), SIDES[:3])
    assert (len(found), player.pending) == (0, 1)


def test_an_unknown_bar_fills_nothing_and_the_entry_waits():
    table = [(100, 100, 100, 100), (np.nan,) * 4, (101, 101, 101, 101), (102, 102, 102, 102)]
    found, _ = played(bars(table), [1, 0, 0, 0])
    np.testing.assert_allclose(found["net"], [102 / 101 - 1], atol=1e-12)
    # nor is there a trade where no bar, or no close at the end, is known
    table = [(100, 100, 100, 100), *[(np.nan,) * 4] * 3, (100, 100, 100, 100)]
    assert len(played(bars(table), [1, 0, 0, 0, 0])[0]) == 0
    table = [*[(100, 100, 100, 100)] * 3, (100, 100, 100, np.nan), (100, 100, 100, 100)]
    assert len(played(bars(table), [1, 0, 0, 0, 0])[0]) == 0


@pytest.mark.parametrize("close", [np.nan, 0.0, -1.0, np.inf, 1e300])
def test_a_decision_at_an_unusable_price_makes_no_trade(close):
    table = [(100, 100, 100, close), *[(100, 100, 100, 100)] * 4]
    assert len(played(bars(table), [1, 0, 0, 0, 0])[0]) == 0


def test_costs_that_the_ledger_would_not_book_make_no_trade():
    broker = Paid()
    fee, slippage = broker.costs()
    slippage.params["half"] = 1.0
    broker.costs = lambda: (fee, slippage)
    assert len(played(bars(BARS), SIDES, broker=broker)[0]) == 0


def slow(made, sides, horizon, fee, half):
    """Return what each whole trade made, by row of its decision, one after the other."""
    results = {}
    for symbol in (0, 1):
        own = np.flatnonzero(made["symbol"] == symbol)
        for place, at in enumerate(own):
            if sides[at] != 0 and place + horizon < len(own):
                ahead = made[own[place + 1 : place + horizon + 1]]
                entry, got = lived(made[at]["close"], ahead, int(sides[at]), half)
                if got is not None and not np.isnan(got):
                    results[int(at)] = (sides[at] * (got - entry) - fee * (entry + got)) / entry
    return results


def lived(close, ahead, side, half, stop=0.02, target=0.04):
    """Return the prices at which one trade goes in and out; None where it never does."""
    floor, roof = close * (1 - side * stop), close * (1 + side * target)
    entry = None
    for row in ahead[~np.isnan(ahead["open"])]:
        entry = row["open"] * (1 + side * half) if entry is None else entry
        worst, best = (row["low"], row["high"]) if side > 0 else (row["high"], row["low"])
        if side * (worst - floor) <= 0:
            level = floor if side * (row["open"] - floor) > 0 else row["open"]
            return entry, level * (1 - side * half)
        if side * (best - roof) >= 0:
            return entry, roof if side * (row["open"] - roof) < 0 else row["open"]
    return entry, None if entry is None else ahead[-1]["close"] * (1 - side * half)


@given(st.integers(0, 10**9), st.integers(1, 40), st.floats(0.001, 0.03), st.lists(st.integers(1, 119)))
def test_trades_are_those_of_a_slow_loop_whatever_the_pieces(seed, horizon, wild, cuts):
    random = np.random.default_rng(seed)
    parts = []
    for symbol in (0, 1):
        close = 100 * np.exp(np.cumsum(random.normal(0, wild, 120)))
        opened = np.concatenate([[100], close[:-1]]) * np.exp(random.normal(0, wild / 2, 120))
        spread = np.exp(np.abs(random.normal(0, wild, (2, 120))))
        high, low = np.maximum(opened, close) * spread[0], np.minimum(opened, close) / spread[1]
        table = np.array([opened, high, low, close]).T
        table[random.random(120) < 0.05] = np.nan
        parts.append(bars(table, symbol=symbol))
    made = np.concatenate(parts)
    sides = random.choice([-1, 0, 0, 1], len(made))
    sides[np.isnan(made["close"])] = 0
    fee, half = 0.0007, 0.0003
    wanted = slow(made, sides, horizon, fee, half)
    found, _ = played(made, sides, horizon, Paid(fee, half), sorted({*cuts}))
    assert dict(zip(found["gate"].tolist(), found["net"], strict=True)) == pytest.approx(wanted, abs=1e-8)


def test_what_it_says_is_what_the_ledger_booked():
    random = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 4000)))
    opened = np.concatenate([[100], close[:-1]]) * np.exp(random.normal(0, 0.003, 4000))
    made = bars(
        np.array([opened, np.maximum(opened, close) * 1.002, np.minimum(opened, close) / 1.002, close]).T
    )
    sides = np.zeros(4000, np.int8)
    sides[::100] = random.choice([-1, 1], 40)
    fee, slippage = FixedFee(rate=0.001), HalfSpread(half=0.0002)
    risk = {"sizing": "fixed-quantity", "quantity": 2.0, "breaker_loss": 0.0}
    trial = Trial(fee=fee, slippage=slippage, instruments=[A], **risk)
    trial.run(made, sides)
    fills = trial.events[trial.events["kind"] == FILL]
    assert fills["purpose"].tolist().count(Purpose.ENTRY) == 40
    booked = {}
    for way_in, way_out in zip(fills[::2], fills[1::2], strict=True):
        assert (way_in["purpose"], way_in["decision"]) == (Purpose.ENTRY, way_out["decision"])
        paid, got = 2 * way_in["price"] / UNIT, 2 * way_out["price"] / UNIT
        fees = (way_in["fee"] + way_out["fee"]) / UNIT
        booked[int(way_in["decision"])] = (way_in["side"] * (got - paid) - fees) / paid
    found, _ = played(made, sides, 99, Paid(0.001, 0.0002), **risk)
    said = dict(zip(found["start"].tolist(), found["net"], strict=True))
    assert said == pytest.approx(booked, abs=1e-8)
    assert len(said) == 40


@pytest.mark.parametrize(
    ("settings", "worth_of_it"),
    [
        ({}, 2_000.0),
        ({"sizing": "fixed-notional", "notional": 500.0}, 500.0),
        ({"capital": 1e4, "risk_fraction": 0.01}, 100.0),
    ],
)
def test_cost_models_see_an_order_of_the_runs_size(settings, worth_of_it):
    class Watching(FixedFee):
        nexus_api = 1

        @staticmethod
        def step(row, order, account, params):
            return float(order.qty) * float(order.price) / 1e16 * 1e-6

    class Watched(Paid):
        def fees(self):
            return Watching(rate=0.0)

    found, _ = played(bars([(100, 100, 100, 100)] * 5), [1, 0, 0, 0, 0], broker=Watched(), **settings)
    assert found["cost"][0] / 2e-6 == pytest.approx(worth_of_it)
    assert money(Risk(**settings)) == worth_of_it


def made_of(net, starts, lasting):
    trades = np.zeros(len(net), TRADE)
    trades["net"], trades["start"] = net, starts
    trades["end"] = trades["start"] + lasting
    return trades


def test_the_mean_has_students_interval():
    # deviation of -1, 0, 1, 2, 3 % is 1.5811 %; 2.7764 x 1.5811 / sqrt(5) = 1.9632
    found = worth(made_of([-0.01, 0.0, 0.01, 0.02, 0.03], range(0, 50, 10), 10))
    assert (found.trades, found.independent, found.mean) == (5, 5.0, pytest.approx(100.0))
    assert (found.low, found.high) == (pytest.approx(100 - 196.32, abs=0.2), pytest.approx(296.32, abs=0.2))


def test_trades_that_share_their_time_count_once():
    twice = worth(made_of(np.tile([-0.01, 0.0, 0.01, 0.02, 0.03], 2), np.tile(range(0, 50, 10), 2), 10))
    assert (twice.trades, twice.independent) == (10, 5.0)


def test_of_few_trades_there_is_no_interval():
    assert worth(made_of([], [], 1)) == Worth(0, 0.0, None, None, None)
    few = worth(made_of([0.01] * 4, range(0, 40, 10), 10))
    assert (few.mean, few.low, few.high) == (pytest.approx(100.0), None, None)
    shared = worth(made_of([0.01] * 50, [0] * 50, 10))
    assert (shared.independent, shared.low) == (pytest.approx(1.0), None)


@pytest.mark.parametrize(("freedom", "value"), [(4, 2.776), (10, 2.228), (60, 2.000), (1e9, 1.960)])
def test_students_law(freedom, value):
    assert student(freedom) == pytest.approx(value, abs=2e-3)
