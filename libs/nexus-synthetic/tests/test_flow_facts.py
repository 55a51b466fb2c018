"""The order flow looks like a market: the bounds are those the README states."""

from functools import cache

import numpy as np
import pytest
from nexus_synthetic import Flow

from nexus_core import compile
from nexus_core.market.events import LEVEL, QUOTE, TRADE

pytestmark = pytest.mark.skipif(not compile.JIT, reason="NEXUS_JIT=0: too slow as plain Python")

MINUTE, HOUR, DAYS = 60 * 10**9, 3600 * 10**9, 4
AFTER = 5 * 10**9  # when the impact of a trade is looked at


class Lived:
    """What is kept of some days of a market: orders that traded, quotes, the depth now and then."""

    def __init__(self, seed):
        flow = Flow(seed, 1, interval=HOUR)
        trades, quotes, self.depth = [], [], np.zeros(60)
        for hour in range(24 * DAYS):
            events, _ = flow.take(1)
            trades.append(events[events["kind"] == TRADE])
            told = events[events["kind"] == QUOTE]
            quotes.append((told["ts"][::2], told["price"][::2], told["price"][1::2]))
            if hour % 2:
                self.depth += depth(flow)
        made = np.concatenate(trades)
        first = np.flatnonzero(np.diff(made["ts"], prepend=0))  # an order may trade at several prices
        self.ts, self.side = made["ts"][first], made["side"][first].astype(float)
        self.size = np.add.reduceat(made["size"], first)
        self.quoted, self.bid, self.ask = (np.concatenate(each) for each in zip(*quotes, strict=True))
        self.grid = np.arange(made["ts"][0] // MINUTE * MINUTE + MINUTE, made["ts"][-1], MINUTE)
        close = made["price"][np.searchsorted(made["ts"], self.grid, "right") - 1]
        self.returns = np.diff(np.log(close))
        self.mid = np.log((self.bid + self.ask) / 2)

    def mid_at(self, ts):
        return self.mid[np.searchsorted(self.quoted, ts, "right") - 1]


def depth(flow):
    """Size by ticks from the touch, both sides together."""
    events, _ = flow.snapshot()
    total = np.zeros(60)
    for side, best in ((1, np.max), (-1, np.min)):
        own = events[(events["kind"] == LEVEL) & (events["side"] == side)]
        away = np.rint(np.abs(own["price"] - best(own["price"])) / 5.0).astype(int)
        total += np.bincount(away[away < 60], own["size"][away < 60], 60)
    return total


def echo(x, lag):
    """Autocorrelation at a lag."""
    x = x - x.mean()
    return (x[:-lag] * x[lag:]).mean() / (x * x).mean()


def hill(x, share=0.02):
    """Tail index of the largest share (Hill 1975)."""
    largest = np.sort(np.abs(x))[::-1][: int(len(x) * share)]
    return 1.0 / np.log(largest[:-1] / largest[-1]).mean()


SEEDS = 101, 102, 103
seen = cache(Lived)


@pytest.fixture(params=SEEDS)
def lived(request):
    return seen(request.param)


def test_tails_are_fat(lived):
    z = (lived.returns - lived.returns.mean()) / lived.returns.std()
    assert (z**4).mean() > 6.0
    assert 2.0 < hill(z) < 5.5


def test_volatility_clusters_and_its_echo_dies_slowly(lived):
    size = np.abs(lived.returns)
    echoes = [echo(size, lag) for lag in (1, 10, 60)]
    assert echoes[0] > 0.15
    assert echoes[1] > 0.1
    assert echoes[2] > 0.03
    assert echoes[0] > echoes[1] > echoes[2]


def test_a_return_says_next_to_nothing_of_the_next(lived):
    spread = lived.returns.std() * 4.0
    r = np.clip(lived.returns, -spread, spread)
    assert -0.15 < echo(r, 1) < 0.1  # below zero for the bounce between bid and ask
    assert all(abs(echo(r, lag)) < 0.06 for lag in range(2, 11))
    ten = np.clip(lived.returns[: len(r) // 10 * 10].reshape(-1, 10).sum(axis=1), -4 * spread, 4 * spread)
    assert 0.7 < ten.var() / (10.0 * r.var()) < 1.3


def test_the_day_has_its_hours(lived):
    hour = lived.ts // HOUR % 24
    counts = np.bincount(hour, minlength=24)
    assert counts[13:16].mean() > 1.4 * counts[3:6].mean()


def test_the_size_of_returns_has_its_hours():
    by_hour = np.zeros(24)
    for seed in SEEDS:
        size, at = np.abs(seen(seed).returns), seen(seed).grid[:-1] // HOUR % 24
        by_hour += np.array([size[at == hour].mean() for hour in range(24)]) / size.mean()
    assert by_hour[13:17].mean() > 1.2 * by_hour[2:6].mean()


def test_sides_of_trades_echo_for_long(lived):
    echoes = [echo(lived.side, lag) for lag in (1, 10, 100)]
    assert 0.15 < echoes[0] < 0.5
    assert echoes[1] > 0.05
    assert echoes[2] > 0.01


def test_trades_come_in_bursts(lived):
    waits = np.diff(lived.ts)
    assert waits.std() > 1.1 * waits.mean()  # a Poisson process has 1
    assert hill(lived.size) == pytest.approx(1.6, abs=0.4)


def test_the_book_is_deepest_away_from_the_touch(lived):
    assert lived.depth[5:20].mean() > 1.3 * lived.depth[:2].mean()
    assert lived.depth[25:].mean() < lived.depth[10:20].mean()


def test_the_spread_is_a_share_of_a_minutes_move(lived):
    weight = np.diff(lived.quoted, append=lived.quoted[-1])
    spread = ((lived.ask / lived.bid - 1.0) * weight).sum() / weight.sum()
    assert 0.1 < spread / lived.returns.std() < 0.8


def test_the_impact_of_a_trade_is_concave(lived):
    kept = lived.ts < lived.quoted[-1] - AFTER
    move = (lived.side * (lived.mid_at(lived.ts + AFTER) - lived.mid_at(lived.ts - 1)))[kept]
    size = (lived.size / lived.size.mean())[kept]
    small, large = (size > 0.25) & (size < 1.0), (size > 4.0) & (size < 16.0)
    assert move[small].mean() > 0.0
    growth = np.log(move[large].mean() / move[small].mean()) / np.log(size[large].mean() / size[small].mean())
    assert 0.2 < growth < 0.8  # the exponent of a power of the size


def test_what_is_bought_and_sold_moves_the_price(lived):
    signed = np.bincount(np.searchsorted(lived.grid, lived.ts), lived.side * lived.size)
    flow, r = signed[1 : len(lived.grid)], lived.returns
    order_flow, order_returns = np.argsort(np.argsort(flow)), np.argsort(np.argsort(r))
    assert np.corrcoef(order_flow, order_returns)[0, 1] > 0.2
