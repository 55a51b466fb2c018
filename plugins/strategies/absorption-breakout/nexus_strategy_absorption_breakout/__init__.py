"""Trade the break away from a level that absorbed aggressive volume.

Price comes to a level more than once; sellers hit it, and it does not fall: somebody takes all they have.
When price then leaves, those who sold are caught on the wrong side, and those who bought have shown their
hand. So an auction that is refused below goes to look for business above (Steidlmayer and Koy 1986, *Markets
and market logic*; Dalton, Jones and Dalton 1990, *Mind over markets*). That liquidity leans against long runs
of orders of one side, and that a run which moves little has met it, is measured in Bouchaud, Farmer and Lillo
(2009), *How markets slowly digest changes in supply and demand*.

Volume counts by its square root, as price impact grows (Bouchaud et al.). Net volume against a level, over
what usually trades in `scale` rows, is the effort; the zone of the level and how far price went beyond it, in
usual moves, is the result; the absorption ratio is effort over result (Wyckoff's law of the two). Besides,
the level must have held for a while, most that traded there must have been against it, and when price leaves,
the trades must have turned. All of it comes from closes and trades; no book is needed. It works in price
space: a market turned over gives the negated signals.
"""

from __future__ import annotations

import math

import numpy as np

from nexus_core import compile, steps
from nexus_core.market.events import AGAIN, TRADE
from nexus_core.records import layout
from nexus_core.strategy import Param, Strategy

PLACES = 4
"""Levels of a side that are remembered; a new one takes the place of the oldest."""

LEVEL = layout(("price net all beyond", "f8"), ("age rows tests inside", "i8"))
"""A level, turned so that it lies below the market: its price; net volume against it and all volume at it;
farthest progress beyond it; rows since its latest test, rows spent at it, how often it was tested; and
whether it is being tested (1), or was left (2) by less than ends a test."""

SWING = layout(("low begun net all", "f8"), ("rows known", "i8"))
"""The lowest price since the last swing, the price at which its sums began, and the sums: net volume against
it, all volume, and rows near it."""


class AbsorptionBreakout(Strategy):
    """Buy when price leaves a floor that ate sellers, sell when it leaves a ceiling that ate buyers."""

    nexus_api = 1
    category = "breakout"
    needs = {"trade"}
    horizon = 60
    row_seconds = 1.0
    targets = {"within": 60, "hits": 0.95, "false": 3.0, "precision": 0.35, "recall": 0.45}

    tests = Param(2, low=1, high=20, help="Times a level must have been tested")
    ratio = Param(1.2, low=0.0, high=10_000.0, help="Absorption ratio that counts: effort over result")
    near = Param(1.2, low=0.01, high=10.0, help="Usual moves around a level within which it is tested")
    away = Param(2.0, low=0.05, high=100.0, help="Usual moves from a level at which price has left it")
    leave = Param(1.5, low=0.05, high=100.0, help="Usual moves from a level at which price breaks away")
    turn = Param(20, low=1, high=3_600, help="Rows over which trades must have turned with the break")
    flip = Param(0.2, low=-1.0, high=1.0, help="Net part of what those rows traded, to the side of the break")
    lean = Param(0.45, low=-1.0, high=1.0, help="Net part of what traded at a level, against it")
    hold = Param(60, low=1, high=100_000, help="Rows that price must have spent at a level")
    scale = Param(60, low=1, high=3_600, help="Rows of a usual move")
    usual = Param(900, low=10, high=100_000, help="Rows that usual moves and volumes are taken over")
    memory = Param(900, low=10, high=100_000, help="Rows after its latest test at which a level is forgotten")

    @property
    def warmup(self):
        """Return the rows until usual moves are known in the rough."""
        return self.params.scale + self.params.usual // 3

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        levels = np.zeros((2, PLACES), LEVEL)
        levels["price"] = math.nan
        return {
            "push": 0.0,
            "whole": 0.0,
            "origin": math.nan,
            "then": steps.lag(params.scale),
            "move": steps.ewm(params.usual),
            "flow": steps.ewm(params.turn),
            "effort": steps.ewm(params.usual),
            "turned": steps.ewm(params.turn),
            "swings": np.zeros(2, SWING),
            "levels": levels,  # floors, and ceilings with prices turned over
        }

    @staticmethod
    def on_event(event, book, state, params):
        """Take a trade into the forming row."""
        if event.kind != TRADE or event.flags & AGAIN or not 0.0 < event.size < math.inf:
            return
        weight = steps.sqrt(event.size)
        state.push += event.side * weight
        state.whole += weight

    @staticmethod
    def step(row, state, params):
        """Close the row's trades; answer where price has just left a level that absorbed."""
        push, whole = state.push, state.whole
        state.push = state.whole = 0.0
        if row.close - row.close != 0.0:
            return 0, 0.0
        if state.origin != state.origin:
            state.origin = row.close
        close = row.close - state.origin
        move = steps.ewm.push(state.move, abs(close - steps.lag.push(state.then, close)))
        effort = params.scale * steps.ewm.push(state.effort, whole)
        flow = steps.ewm.push(state.flow, whole)
        turned = steps.ewm.push(state.turned, push) / max(flow, 1e-300)
        if not (move > 0.0 and effort > 0.0):
            return 0, 0.0
        up = _side(state.swings[0], state.levels[0], close, -push, whole, turned, move, effort, params)
        down = _side(state.swings[1], state.levels[1], -close, push, whole, -turned, move, effort, params)
        if max(up, down) < params.ratio or up == down:
            return 0, 0.0
        strength = max(up, down) / params.ratio if params.ratio > 0.0 else max(up, down)
        return (1 if up > down else -1), steps.squash(1.5 * strength)


@compile.step
def _side(swing, levels, close, hit, whole, turned, move, effort, params):
    """Move on the levels below the market; return the ratio of the one that price has just left, or -1."""
    best = -1.0
    near, away = params.near * move, params.away * move
    for i in range(PLACES):
        one = levels[i]
        if one.price != one.price:
            continue
        one.age += 1
        if one.age > params.memory or close < one.price - 2.0 * near:
            one.price = math.nan  # forgotten, or price went through
        elif close <= one.price + near:
            one.inside, one.age = 1, 0
            one.net += hit
            one.all += whole
            one.rows += 1
            one.beyond = max(one.beyond, one.price - close)
        else:
            if one.inside == 1 and close >= one.price + params.leave * move and turned >= params.flip:
                one.inside = 2
                if _has_held(one, params):
                    best = max(best, one.net / effort * move / (near + one.beyond))
            if one.inside > 0 and close >= one.price + away:
                one.inside = 0
                one.tests += 1
    _swing(swing, levels, close, hit, whole, near, away)
    return best


@compile.step
def _has_held(level, params):
    """Tell whether a level was tested often and long enough, and most that traded there was against it."""
    often = level.tests + 1 >= params.tests and level.rows >= params.hold
    return often and level.net >= params.lean * level.all


@compile.step
def _swing(swing, levels, close, hit, whole, near, away):
    """Make a level of the lowest price since the last one, once price has left it."""
    if swing.known == 0 or close < swing.begun - near:
        swing.begun = close
        swing.low, swing.net, swing.all, swing.rows, swing.known = close, hit, whole, 1, 1
        return
    if close <= swing.low + near:
        swing.net += hit
        swing.all += whole
        swing.rows += 1
        swing.low = min(swing.low, close)
    if close >= swing.low + away:
        oldest = 0
        for i in range(PLACES):
            if abs(levels[i].price - swing.low) <= near:
                swing.known = 0
                return
            free = levels[i].price != levels[i].price
            if levels[oldest].price == levels[oldest].price and (free or levels[i].age > levels[oldest].age):
                oldest = i
        one = levels[oldest]
        one.price, one.net, one.all, one.beyond = swing.low, swing.net, swing.all, 0.0
        one.age, one.rows, one.tests, one.inside = 0, swing.rows, 1, 0
        swing.known = 0
