"""The agents of the market of order flow, and what each does when it is its turn.

Around a zero-intelligence book (Smith, Farmer, Gillemot and Krishnamurthy 2003, *Statistical theory of the
continuous double auction*; Cont, Stoikov and Talreja 2010, *A stochastic model for order book dynamics*)
there are market makers who quote the public price, informed traders who know the efficient one (Glosten and
Milgrom 1985; Kyle 1985), market orders that provoke others (Hawkes 1971; Bacry, Mastromatteo and Muzy 2015,
*Hawkes processes in finance*), and parents, large orders cut into pieces, that keep to a side for long
(Lillo, Mike and Farmer 2005, *Theory for long memory in supply and demand*).
"""

from __future__ import annotations

import math
from typing import Any

from nexus_core.compile import step
from nexus_synthetic.draws import exp, place, uniform
from nexus_synthetic.flow_book import (
    end_message,
    may_take,
    place_order,
    say_level,
    take_order,
    trade,
)
from nexus_synthetic.flow_law import (
    CROSS,
    DECAY,
    ORDERS,
    PARENTS,
    SECOND,
    SECOND_STREAMS,
    SELF,
    TICKS,
)

_SIDE, _WHERE, _MUCH = range(SECOND_STREAMS + 2, SECOND_STREAMS + 5)

MAKERS = 4
_MASK = TICKS - 1

_LIMIT_LOTS, _MARKET_LOTS, _MAKER_LOTS = 60.0, 40.0, 45.0
_MOST_LOTS = 4000
_FAR, _FARTHER = 15.0, 8.0  # median distance of a limit order from the touch: ticks, and volatilities
_NEAR, _NEARER = 3.0, 1.5  # and of a withdrawal
_FARTHEST = 300
_HALF, _WIDE = 0.6, 0.25  # half the makers' spread: ticks, and volatilities
_SPACE = 1.0  # between makers, likewise in volatilities
_MODEST = 0.75  # share of market orders that take no more than the best price offers
_LESSON = 0.15  # share of its error that the public price loses with an informed trade
_LARGE = 20.0  # mean sizes up to which the size of a market order has weight
_LIFE = 15.0  # seconds, shortest life of a parent
_LONGEST_LIFE = 28_800.0


@step
def calm_down(state: Any, seconds: float) -> None:
    """Let the excitement of earlier market orders die down for some seconds."""
    share = exp(-DECAY * seconds)
    state.buying *= share
    state.selling *= share


@step
def parents_side(state: Any) -> float:
    """Return the mean side of the parents, in [-1, 1]."""
    total = 0
    for i in range(PARENTS):
        total += state.parent_sides[i]
    return total / PARENTS


@step
def renew_parents(state: Any) -> None:
    """Put a new parent in the place of each whose time is over."""
    for i in range(PARENTS):
        if state.parent_ends[i] <= state.now:
            at = place(state.actions)
            state.actions += 1
            state.parent_sides[i] = 1 if uniform(state.keys[_SIDE], at) < 0.5 else -1
            root = math.sqrt(uniform(state.keys[_WHERE], at))
            life = min(_LIFE / (root * math.sqrt(root)), _LONGEST_LIFE)  # Pareto with exponent 4/3
            state.parent_ends[i] = state.now + math.floor(life * SECOND)


@step
def open_book(state: Any) -> None:
    """Fill the book that the first second finds."""
    for i in range(ORDERS // 2):
        at = place(state.actions)
        state.actions += 1
        side = 1 if i % 2 == 0 else -1
        away = _distance(state, uniform(state.keys[_WHERE], at)) + math.floor(2.0 + state.sigma)
        tick = math.floor(state.public) - side * away
        place_order(state, side, tick, _lots(_LIMIT_LOTS, uniform(state.keys[_MUCH], at)), 0)
        if i < 2:
            state.bid = state.bid if side < 0 else tick
            state.ask = state.ask if side > 0 else tick


@step
def _distance(state: Any, u: float) -> int:
    # log-logistic with exponent 2: few at the touch, a hump, and a tail
    return math.floor((_FAR + _FARTHER * state.sigma) * math.sqrt(1.0 / u - 1.0))


@step
def _lots(mean: float, u: float) -> int:
    return 1 + math.floor(mean * (1.0 / math.sqrt(u) - 1.0))  # Lomax with exponent 2


@step
def heavy_lots(u: float) -> int:
    """Return the size of a market order, in lots."""
    root = math.sqrt(u)  # Lomax with exponent 4/3, whose mean is three times its scale
    return min(1 + math.floor(_MARKET_LOTS / 3.0 * (1.0 / (root * math.sqrt(root)) - 1.0)), _MOST_LOTS)


@step
def offer(events: Any, state: Any, at: Any) -> None:
    """Place a limit order somewhere on a side."""
    side = 1 if uniform(state.keys[_SIDE], at) < 0.5 else -1
    away = _distance(state, uniform(state.keys[_WHERE], at))
    if away > _FARTHEST:
        return
    if side > 0:
        tick = min(state.ask - 1, math.floor(state.public)) - away
    else:
        tick = max(state.bid + 1, math.floor(state.public) + 1) + away
    lots = _lots(_LIMIT_LOTS, uniform(state.keys[_MUCH], at))
    if place_order(state, side, tick, lots, 0):
        say_level(events, state, side, tick)
        end_message(events, state)


@step
def withdraw(events: Any, state: Any, at: Any) -> None:
    """Cancel the last order at a price near the touch, if there is one."""
    side = 1 if uniform(state.keys[_SIDE], at) < 0.5 else -1
    away = math.floor((_NEAR + _NEARER * state.sigma) * (1.0 / uniform(state.keys[_WHERE], at) - 1.0))
    tick = state.bid - away if side > 0 else state.ask + away
    if away > _FARTHEST or abs(tick - state.centre) > TICKS // 2 - 24 or tick < 1:
        return
    order = state.level_last[tick & _MASK]
    if order >= 0:
        _cancel(events, state, order)


@step
def fade(events: Any, state: Any, at: Any) -> None:
    """Cancel any order."""
    order = math.floor(uniform(state.keys[_WHERE], at) * ORDERS)
    if state.order_sides[order] != 0:
        _cancel(events, state, order)


@step
def _cancel(events: Any, state: Any, order: int) -> None:
    if state.order_owners[order] == 0 and may_take(state, order):
        side, tick = state.order_sides[order], state.order_ticks[order]
        take_order(state, order)
        say_level(events, state, side, tick)
        end_message(events, state)


@step
def requote(events: Any, state: Any, at: Any) -> None:
    """Let a maker renew one of its two orders."""
    chosen = uniform(state.keys[_SIDE], at) * 2.0 * MAKERS
    owner = 1 + math.floor(chosen)
    side = 1 if owner % 2 == 0 else -1
    maker = (owner - 1) // 2
    half = _HALF + (_WIDE + _SPACE * maker) * state.sigma
    half += (uniform(state.keys[_WHERE], at) - 0.5) * state.sigma
    if side > 0:
        tick = min(math.floor(state.public - half), state.ask - 1)
    else:
        tick = max(math.floor(state.public + half) + 1, state.bid + 1)
    lots = 1 + math.floor(_MAKER_LOTS * (0.5 + uniform(state.keys[_MUCH], at)) / (0.5 + state.relative))
    order = state.held[owner]
    if order < 0:
        _renew(events, state, owner, side, tick, lots)
    elif may_take(state, order):
        old = state.order_ticks[order]
        if old != tick or 2 * state.order_lots[order] < lots:
            take_order(state, order)
            if old != tick:
                say_level(events, state, side, old)
            _renew(events, state, owner, side, tick, lots)


@step
def _renew(events: Any, state: Any, owner: int, side: int, tick: int, lots: int) -> None:
    place_order(state, side, tick, lots, owner)
    say_level(events, state, side, tick)
    end_message(events, state)


@step
def exploit(events: Any, state: Any, at: Any, side: int) -> None:
    """Let an informed trader trade up to the efficient price, and the public learn from it."""
    lots = 2 * heavy_lots(uniform(state.keys[_MUCH], at))
    limit = math.floor(state.efficient) if side > 0 else math.floor(state.efficient) + 1
    if trade(events, state, side, lots, limit, 0) > 0:
        state.public += _LESSON * (state.efficient - state.public)


@step
def call(events: Any, state: Any, at: Any, side: int, expected: float) -> None:
    """Send a market order, of a side that was expected with this probability to be BUY."""
    lots = heavy_lots(uniform(state.keys[_MUCH], at))
    # what the flow said beforehand is no news; what it did not say is, by the square root of what was wanted:
    # of what was traded it would hang on the book, and the price could be foretold from that
    surprise = side - (2.0 * expected - 1.0)
    news = state.impact * surprise * math.sqrt(min(lots / _MARKET_LOTS, _LARGE))
    if uniform(state.keys[_WHERE], at) < _MODEST:
        lots = min(lots, state.level_lots[(state.ask if side > 0 else state.bid) & _MASK])
    trade(events, state, side, lots, state.centre + side * TICKS, 0)
    state.efficient = max(state.efficient + news, 1.0)
    state.public = max(state.public + news, 1.0)
    excite(state, side)


@step
def excite(state: Any, side: int) -> None:
    """Let a market order provoke others."""
    if side > 0:
        state.buying += SELF * DECAY
        state.selling += CROSS * DECAY
    else:
        state.selling += SELF * DECAY
        state.buying += CROSS * DECAY
