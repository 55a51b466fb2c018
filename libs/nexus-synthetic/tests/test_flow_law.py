"""The law of the order flow, written a second time from the README, in plain Python, and compared."""

import math
from collections import defaultdict
from statistics import NormalDist

import numpy as np
import pytest
from nexus_synthetic import START, Flow, anchor, default_grid

from nexus_core.market.events import CLEAR, LAST, LEVEL, QUOTE, SNAPSHOT, TRADE

MASK = 2**64 - 1
STREAMS = ["shock", "jump", "size", "volatility", "regime", "slow", "wait", "who", "side", "where", "much"]
DRIFT, LEVELS, PULL = (0.06, -0.06, 0, 0), (0.8, 0.8, 0.7, 2.0), (0, 0, 1 / 25, 0)
JUMPS, LEAVES = (1 / 1000, 1 / 1000, 1 / 1000, 1 / 250), [1 / 400, 1 / 400, 1 / 500, 1 / 120, 1 / 3000]
RANGE, FOLLOW = 2, 4
SEASON_AT_MIDNIGHT, SEASON_AT_ONE = 0.95, 0.90


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def key(seed, i, stream):
    return mix(mix(mix(seed) + i & MASK) + stream + 1 & MASK)


class Numbers:
    """The uniform numbers of the market or a symbol, by stream and position."""

    def __init__(self, seed, i):
        self.keys = {name: key(seed, i, 16 + n) for n, name in enumerate(STREAMS)}

    def __call__(self, name, position):
        place = mix((position + 1) * 0x9E3779B97F4A7C15 & MASK)
        return ((mix(self.keys[name] + place & MASK) >> 12) + 0.5) / 2**52


def jump(u, chance, size):
    if u >= chance:
        return 0.0
    return 4.0 * math.log(2 * size) if size < 0.5 else -4.0 * math.log(2 * (1 - size))


class Law:
    """A symbol without plants, for less than an hour from midnight on."""

    def __init__(self, seed, k, activity):
        t = [(key(0, k + 1, n) >> 12) / 2**52 for n in range(4)]
        self.market, self.own, self.thickness = Numbers(seed, 0), Numbers(seed, k + 1), activity
        self.level = float(round(anchor(k) * 1e8 / default_grid(k)))
        self.centre = int(self.level)
        self.base, self.loading = 0.0005 * (0.8 + 0.4 * t[1]), 0.5 + 0.3 * t[2]
        self.efficient = self.public = self.slow = self.level
        self.h = [0.0, 0.0, 0.0]
        self.buying = self.selling = 0.0
        self.parents = [(0, START)] * 3
        self.book = {1: defaultdict(list), -1: defaultdict(list)}
        self.orders, self.places, self.held = {}, list(range(511, -1, -1)), {}
        self.events, self.action, self.told = [], 0, None

    # -- telling

    def size(self, side, tick):
        return sum(self.orders[o][2] for o in self.book[side].get(tick, ()))

    def best(self, side):
        ticks = [tick for tick, queue in self.book[side].items() if queue]
        return (max if side > 0 else min)(ticks)

    def say(self, kind, side, tick, lots, flags=0):
        self.events.append([self.now, kind, side, tick, lots, flags])

    def end(self):
        self.events[-1][5] |= LAST
        touch = [(self.best(side), self.size(side, self.best(side))) for side in (1, -1)]
        if touch != self.told:
            self.told = touch
            self.say(QUOTE, 1, *touch[0])
            self.say(QUOTE, -1, *touch[1], LAST)

    def change(self, side, tick):
        self.say(LEVEL, side, tick, self.size(side, tick))

    # -- the book

    def place(self, side, tick, lots, owner=0):
        other = [t for t, queue in self.book[-side].items() if queue]
        crosses = bool(other) and (tick >= min(other) if side > 0 else tick <= max(other))
        if not self.places or crosses or tick < 1 or abs(tick - self.centre) > 1000:
            return False
        order = self.places.pop()
        self.orders[order] = [side, tick, lots, owner]
        self.book[side][tick].append(order)
        if owner:
            self.held[owner] = order
        return True

    def remove(self, order):
        side, tick, _, owner = self.orders.pop(order)
        self.book[side][tick].remove(order)
        self.held.pop(owner, None)
        self.places.append(order)

    def side_lots(self, side):
        return sum(each[2] for each in self.orders.values() if each[0] == side)

    def may_go(self, order):
        return self.orders[order][2] < self.side_lots(self.orders[order][0])

    def cancel(self, order):
        side, tick, _, owner = self.orders[order]
        if owner == 0 and self.may_go(order):
            self.remove(order)
            self.change(side, tick)
            self.end()

    def trade(self, side, lots, limit=None):
        rest = lots
        for _ in range(48):
            tick = self.best(-side)
            size = min(rest, self.size(-side, tick), self.side_lots(-side) - 1)
            if size <= 0 or (limit is not None and side * (tick - limit) > 0):
                break
            left = size
            while left:
                order = self.book[-side][tick][0]
                part = min(left, self.orders[order][2])
                self.orders[order][2] -= part
                left -= part
                if self.orders[order][2] == 0:
                    self.remove(order)
            rest -= size
            self.say(TRADE, side, tick, size)
            self.change(-side, tick)
        if rest < lots:
            self.end()
        return lots - rest

    # -- a second

    def second(self, n):
        m, u = (lambda name: self.market(name, n)), (lambda name: self.own(name, n))
        if n % 60 == 0:
            assert m("regime") >= LEAVES[RANGE]  # the test's seeds stay in the first regime
            assert u("regime") >= LEAVES[FOLLOW]
            for i, (keep, number) in enumerate(
                ((0.97, m("volatility")), (0.97, u("volatility")), (0.9995, u("slow")))
            ):
                self.h[i] = keep * self.h[i] + 0.3 * math.sqrt(12 * (1 - keep**2)) * (number - 0.5)
        season = SEASON_AT_MIDNIGHT + n / 3600 * (SEASON_AT_ONE - SEASON_AT_MIDNIGHT)
        self.relative = math.exp(sum(self.h) - 0.27) * LEVELS[RANGE] * season
        volatility = min(self.base * self.relative / math.sqrt(60), 0.004)
        self.sigma = self.efficient * volatility
        self.activity = self.thickness * season * 0.6 * (season + self.relative)
        self.impact = 0.6 * self.sigma / math.sqrt(2 * 0.13 * self.activity / (1 - 0.5 - 0.1))
        root = math.sqrt(60)
        common = NormalDist().inv_cdf(m("shock")) + root * jump(m("jump"), 1 / 3000 / 60, m("size"))
        own = math.sqrt(1 - self.loading**2) * NormalDist().inv_cdf(u("shock"))
        shock = 0.75 * (self.loading * common + own) + DRIFT[RANGE] / root
        shock += root * jump(u("jump"), JUMPS[RANGE] / 60, u("size"))
        change = max(-0.01, min(0.01, volatility * shock))
        before = self.efficient
        self.efficient += before * change - PULL[RANGE] / 60 * (before - self.slow)
        self.efficient -= (before - self.level) / 600_000
        self.slow += (self.efficient - self.slow) / 1500
        self.public += 0.25 * (self.efficient - self.public)
        self.now, until = START + n * 10**9 + 1, START + (n + 1) * 10**9
        if n == 0:
            self.open()
        for i in range(3):
            if self.parents[i][1] <= self.now:
                side = 1 if self.own("side", self.action) < 0.5 else -1
                life = min(15 * self.own("where", self.action) ** -0.75, 28_800)
                self.parents[i] = side, self.now + math.floor(life * 1e9)
                self.action += 1
        self.follow()
        self.now -= 1
        while self.now < until:
            self.act(until)

    def open(self):
        for i in range(256):
            u, side = (lambda name: self.own(name, self.action)), 1 - 2 * (i % 2)
            away = self.distance(u("where")) + math.floor(2 + self.sigma)
            lots = 1 + math.floor(60 * (1 / math.sqrt(u("much")) - 1))
            self.place(side, math.floor(self.public) - side * away, lots)
            self.action += 1
        self.say(CLEAR, 0, 1, 0, SNAPSHOT)
        for side in (1, -1):
            for tick in sorted((t for t, queue in self.book[side].items() if queue), reverse=side > 0):
                self.say(LEVEL, side, tick, self.size(side, tick), SNAPSHOT)
        self.end()

    def follow(self):
        middle = (self.best(1) + self.best(-1)) // 2
        self.centre += max(-40, min(40, middle - self.centre))  # nothing lies 1,000 ticks away in this test

    def distance(self, u):
        return math.floor((15 + 8 * self.sigma) * math.sqrt(1 / u - 1))

    def act(self, until):
        u, a = (lambda name, at=self.action: self.own(name, at)), self.activity
        self.action += 1
        bid, ask, room = self.best(1), self.best(-1), 0.5 + self.sigma
        under = max(0, min(6, (self.efficient - ask - 0.5) / room))
        over = max(0, min(6, (bid - self.efficient - 0.5) / room))
        rates = [2.4 * a, 1.2 * a, 512 / 200 * a, 4.0 * a, 0.5 * a * (under + over)]
        calls = 2 * 0.13 * a
        total = sum(rates) + calls + self.buying + self.selling
        wait = math.floor(-math.log(u("wait")) / total * 1e9) + 1
        passed = min(wait, until - self.now)
        self.buying *= math.exp(-0.4 * passed * 1e-9)
        self.selling *= math.exp(-0.4 * passed * 1e-9)
        self.now += passed
        if wait > passed:
            return
        who = u("who") * total
        doers = (self.offer, self.withdraw, self.fade, self.requote, lambda u: self.exploit(u, under > 0))
        for rate, doer in zip(rates, doers, strict=True):
            if who < rate:
                doer(u)
                return
            who -= rate
        tilt = 0.85 * sum(side for side, _ in self.parents) / 3
        buying, selling = (calls / 2 * (1 + s * tilt) + x for s, x in ((1, self.buying), (-1, self.selling)))
        if who < buying + selling:
            self.call(u, 1 if who < buying else -1, buying / (buying + selling))

    # -- the agents

    def offer(self, u):
        side, away = 1 if u("side") < 0.5 else -1, self.distance(u("where"))
        if away > 300:
            return
        public = math.floor(self.public)
        tick = min(self.best(-1) - 1, public) - away if side > 0 else max(self.best(1), public) + 1 + away
        if self.place(side, tick, 1 + math.floor(60 * (1 / math.sqrt(u("much")) - 1))):
            self.change(side, tick)
            self.end()

    def withdraw(self, u):
        side = 1 if u("side") < 0.5 else -1
        away = math.floor((3 + 1.5 * self.sigma) * (1 / u("where") - 1))
        queue = self.book[side].get(self.best(side) - side * away)
        if queue and away <= 300:
            self.cancel(queue[-1])

    def fade(self, u):
        place = math.floor(u("where") * 512)
        if place in self.orders:
            self.cancel(place)

    def requote(self, u):
        owner = 1 + math.floor(u("side") * 8)
        side, maker = (1 if owner % 2 == 0 else -1), (owner - 1) // 2
        half = 0.6 + self.sigma * (0.25 + maker + u("where") - 0.5)
        if side > 0:
            tick = min(math.floor(self.public - half), self.best(-1) - 1)
        else:
            tick = max(math.floor(self.public + half) + 1, self.best(1) + 1)
        lots = 1 + math.floor(45 * (0.5 + u("much")) / (0.5 + self.relative))
        if owner in self.held:
            order = self.held[owner]
            old, left = self.orders[order][1:3]
            if not self.may_go(order) or (old == tick and 2 * left >= lots):
                return
            self.remove(order)
            if old != tick:
                self.change(side, old)
        self.place(side, tick, lots, owner)
        self.change(side, tick)
        self.end()

    def wanted(self, u):
        return min(1 + math.floor(40 / 3 * (u("much") ** -0.75 - 1)), 4000)

    def exploit(self, u, is_cheap):
        side, limit = (1, math.floor(self.efficient)) if is_cheap else (-1, math.floor(self.efficient) + 1)
        if self.trade(side, 2 * self.wanted(u), limit):
            self.public += 0.15 * (self.efficient - self.public)

    def call(self, u, side, expected):
        wanted = self.wanted(u)
        news = self.impact * (side - (2 * expected - 1)) * math.sqrt(min(wanted / 40, 20))
        modest = u("where") < 0.75
        self.trade(side, min(wanted, self.size(-side, self.best(-side))) if modest else wanted)
        self.efficient += news
        self.public += news
        self.buying += 0.4 * (0.5 if side > 0 else 0.1)
        self.selling += 0.4 * (0.1 if side > 0 else 0.5)


@pytest.mark.parametrize(("seed", "k", "activity"), [(7, 0, 1.0), (3, 1, 2.0), (2**64 - 1, 2, 0.5)])
def test_the_events_obey_the_written_law(seed, k, activity):
    seconds = 90
    law = Law(seed, k, activity)
    for n in range(seconds):
        law.second(n)
    events, starts, hidden = Flow(seed, k + 1, interval=10**9, activity=activity).take_with_truth(seconds)
    own = events[starts[k] : starts[k + 1]]
    grid = default_grid(k) / 1e8
    told = np.array(law.events, np.int64)
    assert own["ts"].tolist() == told[:, 0].tolist()
    assert own["kind"].tolist() == told[:, 1].tolist()
    assert own["side"].tolist() == told[:, 2].tolist()
    assert np.rint(own["price"] / grid).tolist() == told[:, 3].tolist()
    assert own["flags"].tolist() == told[:, 5].tolist()
    sized = told[:, 4] > 0
    lot = np.unique(own["size"][sized] / told[sized, 4])
    assert lot == pytest.approx(lot[0])  # one lot for all
    assert ((own["size"] > 0) == sized).all()
    last = hidden[(k + 1) * seconds - 1]
    assert last["volatility"] * last["efficient"] / grid == pytest.approx(law.sigma, rel=1e-2)
