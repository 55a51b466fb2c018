"""The law as the README states it, written again in plain arithmetic, against the rows."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from nexus_synthetic import START, Generator, anchor, default_price_tick
from nexus_synthetic.symbols import keys

from nexus_core import compile

MASK = 2**64 - 1
STREAMS = (
    "shock", "volatility", "regime", "jump", "size", "gap", "high", "low", "part", "spread",
    "volume", "flow", "trades", "bid", "ask",
)  # fmt: skip
UP, DOWN, RANGE, TURBULENT, FOLLOW = range(5)
LEAVES = [1 / 400, 1 / 400, 1 / 500, 1 / 120, 1 / 3000]
NEXT = [
    (0, 0.2, 0.6, 0.2),
    (0.2, 0, 0.6, 0.2),
    (0.4, 0.4, 0, 0.2),
    (0.25, 0.25, 0.5, 0),
    (0.3, 0.3, 0.2, 0.2),
]
DRIFT, LEVEL, PULL = (0.06, -0.06, 0, 0), (0.8, 0.8, 0.7, 2.0), (0, 0, 1 / 25, 0)
TRACKING, JUMPS = (1 / 25, 1 / 25, 1 / 250, 1 / 25), (1 / 1000, 1 / 1000, 1 / 1000, 1 / 250)
SEASON = [
    0.95, 0.90, 0.85, 0.80, 0.78, 0.78, 0.82, 0.92, 1.02, 1.04, 1.02, 1.00,
    1.06, 1.22, 1.36, 1.34, 1.24, 1.14, 1.06, 1.02, 1.00, 0.98, 0.96, 0.95, 0.95,
]  # fmt: skip


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def key(seed, i, stream):
    return mix(mix(mix(seed) + i & MASK) + stream + 1 & MASK)


def numbers(seed, i, tick):
    place = mix((tick + 1) * 0x9E3779B97F4A7C15 & MASK)
    bits = {name: mix(key(seed, i, n) + place & MASK) for n, name in enumerate(STREAMS)}
    return {name: ((x >> 12) + 0.5) / 2**52 for name, x in bits.items()}


def choose(u, shares):
    total = 0.0
    for regime, share in enumerate(shares):
        total += share
        if u < total - 1e-12:
            return regime
    raise AssertionError(u)


def jump(u, chance):
    if u["jump"] >= chance:
        return 0.0
    size = u["size"]
    return 4.0 * math.log(2 * size) if size < 0.5 else -4.0 * math.log(2 * (1 - size))


def shock(u):
    return NormalDist().inv_cdf(u["shock"])


def wander(h, u):
    return 0.99 * h + 0.3 * math.sqrt(12 * (1 - 0.99**2)) * (u["volatility"] - 0.5)


def whole(x):
    return max(math.floor(x + 0.5), 1)


class Market:
    def __init__(self, seed, k, minutes):
        t = [(key(0, k + 1, n) >> 12) / 2**52 for n in range(4)]
        self.seed, self.k, self.minutes, self.tick = seed, k, minutes, 0
        self.anchor = 60_000.0 if k == 0 else float(f"{0.5 * 120_000 ** t[0]:.3g}")
        self.unit = 10.0 ** min(math.floor(math.log10(self.anchor / 5000)), -2)
        self.base = 0.0008 * (0.8 + 0.8 * t[1]) * min(math.sqrt(minutes), 8)
        self.loading = 0.5 + 0.3 * t[2]
        self.turnover = (200_000 + 1_800_000 * t[3]) * minutes / self.anchor
        self.market, self.own, self.h, self.h_own = RANGE, FOLLOW, 0.0, 0.0
        self.level, self.fair, self.close = 1.0, 1.0, self.anchor / self.unit

    def step(self):
        common, u = numbers(self.seed, 0, self.tick), numbers(self.seed, self.k + 1, self.tick)
        self.tick += 1
        if common["regime"] < LEAVES[self.market]:
            self.market = choose(common["regime"] / LEAVES[self.market], NEXT[self.market])
        chance = LEAVES[self.own]
        if u["regime"] < chance:
            self.own = choose(u["regime"] / chance, NEXT[FOLLOW]) if self.own == FOLLOW else FOLLOW
        regime = self.market if self.own == FOLLOW else self.own
        self.h, self.h_own = wander(self.h, common), wander(self.h_own, u)
        hours = (self.tick * self.minutes / 60 - 1e-9) % 24
        season = float(np.interp(hours, range(25), SEASON))
        relative = math.exp(self.h + self.h_own - 0.18) * LEVEL[regime] * season
        vol = min(self.base * relative, 0.03)
        opened = whole(self.close * (1 + 0.4 * vol * (u["gap"] - 0.5)))
        m = shock(common) + jump(common, 1 / 3000)
        pushed = self.loading * m + math.sqrt(1 - self.loading**2) * shock(u) + DRIFT[regime]
        change = max(-0.2, min(0.2, vol * (pushed + jump(u, JUMPS[regime]))))
        level, fair = self.level, self.fair
        self.level = level + level * change - PULL[regime] * (level - fair) - (level - 1) / 10_000
        self.fair = fair + TRACKING[regime] * (self.level - fair) - (fair - 1) / 10_000
        self.close = whole(self.level * self.anchor / self.unit)
        return {
            **self.prices(opened, vol, u),
            **self.volumes(opened, vol, relative, season, u),
            "regime": regime,
        }

    def prices(self, opened, vol, u):
        g = self.close / opened - 1
        e = -2 * math.log(u["high"] * u["low"])
        high = whole(opened * (1 + (g + math.sqrt(g**2 + vol**2 * e * u["part"])) / 2))
        low = whole(opened * (1 + (g - math.sqrt(g**2 + vol**2 * e * (1 - u["part"]))) / 2))
        spread = whole(self.close * (0.00005 + 0.05 * vol) * (0.5 + u["spread"]))
        bid = max(self.close - spread, 1) if self.close > opened else self.close
        made = {"open": opened, "high": max(high, opened, self.close), "low": min(low, opened, self.close)}
        made |= {"close": self.close, "bid": bid, "ask": bid + spread}
        return {name: ticks * self.unit for name, ticks in made.items()} | {"volatility": vol}

    def volumes(self, opened, vol, relative, season, u):
        moved = (self.close / opened - 1) / vol
        activity = (
            season * (season + relative) * (0.3 + 0.25 * abs(moved)) * math.exp(1.4 * (u["volume"] - 0.5))
        )
        pressure = moved / 2 + 2 * (u["flow"] - 0.5)
        share = 0.5 + pressure / (1 + abs(pressure)) / 2
        size = self.turnover / 10 / (1 + relative)
        return {
            "volume": self.turnover * activity,
            "buy_volume": self.turnover * activity * share,
            "sell_volume": self.turnover * activity * (1 - share),
            "trades": 1 + math.floor(200 * self.minutes * activity * (0.5 + u["trades"])),
            "bid_size": size * (0.5 + 3 * u["bid"]),
            "ask_size": size * (0.5 + 3 * u["ask"]),
        }


@pytest.mark.parametrize(("seed", "k", "minutes"), [(7, 0, 1), (3, 1, 5), (2**64 - 1, 2, 240)])
def test_the_rows_obey_the_written_law(seed, k, minutes):
    bars = 2500 if compile.JIT else 800
    rows, starts, truth = Generator(seed, k + 1, minutes * 60 * 10**9).take_with_truth(bars)
    own = slice(starts[k], starts[k + 1])
    law = Market(seed, k, minutes)
    expected = [law.step() for _ in range(bars)]
    names = set(expected[0]) - {"volatility", "regime"}
    for name in names:
        assert rows[name][own] == pytest.approx([bar[name] for bar in expected], rel=1e-9), name
    assert truth["regime"][own].tolist() == [bar["regime"] for bar in expected]
    assert truth["volatility"][own] == pytest.approx([bar["volatility"] for bar in expected], rel=1e-9)
    assert truth["fair"][starts[k + 1] - 1] == pytest.approx(law.fair * law.anchor, rel=1e-9)
    assert rows["ts"][own][-1] == START + bars * minutes * 60 * 10**9


def test_keys_anchors_and_default_ticks_are_the_written_ones():
    assert keys(9, 4).tolist() == [key(9, 4, n) for n in range(len(STREAMS))]
    for k in range(200):
        law = Market(0, k, 1)
        assert anchor(k) == law.anchor
        assert default_price_tick(k) == round(law.unit * 1e8)
