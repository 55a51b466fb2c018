"""The law of the market of order flow: what its agents know, want and how often they act, second by second.

The README states it in words. A change of any number or formula here, in `flow_book` or in `agents` is
another law: raise `FLOW_LAW`, for recordings name it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_synthetic.draws import exp, fill, place, to_normal
from nexus_synthetic.law import DAY, DRIFT, FOLLOW, LEVEL, PULL, choose_own, choose_regime, jump, season

FLOW_LAW = 1
"""The version of the law. The same law, seed, activity and price ticks give the same bits for ever."""

SECOND = 1_000_000_000
_MINUTE = 60  # seconds
_ROOT = math.sqrt(60.0)

# what is hidden, a minute: as in the law of the bars, but for a second and slower part of the volatility
_KEEP, _SLOW_KEEP = 0.97, 0.9995
_INNOVATION = 0.3 * math.sqrt(12.0 * (1.0 - _KEEP * _KEEP))
_SLOW_INNOVATION = 0.3 * math.sqrt(12.0 * (1.0 - _SLOW_KEEP * _SLOW_KEEP))
_CENTRE = 0.27  # makes the mean square of the volatility that of the base
_NEWS = 0.75  # share of the standard deviation that comes as news and not by trading
_FLOW = 0.6  # and what trading brings, before it is spread over the expected trades
_JUMPS = np.array((1 / 1000, 1 / 1000, 1 / 1000, 1 / 250))  # a minute, by regime
_MARKET_JUMPS = 1 / 3000
_HOME = 1 / 600_000  # share of the distance from the anchor that is lost a second
_TRACK = 1 / 1500  # of the distance that the slow value follows a second
_LEARN = 0.25  # share of its distance from the efficient price that the public price loses a second
_MOST_VOLATILE, _LARGEST_MOVE = 0.004, 0.01  # a second

# how often, a second, where activity is one
LIMITS, WITHDRAWALS, REQUOTES, INFORMED = 2.4, 1.2, 4.0, 0.5
FADING = 1 / 200  # of every order
CALLS = 0.13  # market orders of a side that nothing provoked

DECAY = 0.4  # of the excitement, a second
SELF, CROSS = 0.5, 0.1  # market orders that one provokes on its own side, and on the other
TILT = 0.85  # share of the unprovoked market orders that the parents can turn
PARENTS = 3

# streams of random numbers: by second, of which the market has the first five, and by action
FIRST_STREAM = 16  # those of the law of the bars are below
SHOCK, JUMP, SIZE, VOLATILITY, REGIME, SLOW = range(6)
MARKET_STREAMS, SECOND_STREAMS = REGIME + 1, SLOW + 1
ACTION_STREAMS = 5
STREAMS = SECOND_STREAMS + ACTION_STREAMS
PLANT_STREAM = FIRST_STREAM + STREAMS

ORDERS = 512  # places for orders in a book
TICKS = 2048  # ticks a book can span
OWNERS = 32

MARKET = np.dtype(
    [
        ("keys", "u8", (MARKET_STREAMS,)),
        ("number", "i8"),  # of the next second
        ("start", "i8"),
        ("volatility", "f8"),  # logarithm, against the base
        ("regime", "i8"),
    ],
    align=True,
)
"""What the market remembers from second to second."""

TICK = np.dtype(
    [("number", "i8"), ("ts", "i8"), ("regime", "i8")]
    + [(name, "f8") for name in ("shock", "volatility", "season")],
    align=True,
)
"""What one second of the market tells its symbols."""

BOOK = np.dtype(
    [
        ("keys", "u8", (STREAMS,)),
        *[
            (name, "i8")
            for name in (
                "symbol",
                "symbols",  # how many there are: `seq` counts over all of them
                "number",  # seconds begun
                "now",
                "until",  # end of the second
                "actions",  # drawn so far
                "messages",
                "trades",
                "said",  # events
                "written",  # events of this call
                "planted",  # plants that ended in this call
                "regime",  # its own
                "current",  # the one that rules it
                "bid",  # best, in ticks
                "ask",
                "bids",  # lots of the side
                "asks",
                "centre",  # of the ticks the book can span
                "free",  # how many places for orders are
                "highest",  # prices traded in this second, in ticks; 0 where none was
                "lowest",
                "told_bid",  # the last quote
                "told_ask",
                "told_bids",
                "told_asks",
            )
        ],
        *[
            (name, "f8")
            for name in (
                "unit",  # price tick in 1e-8
                "lot",  # in 1e-8
                "anchor",  # in price ticks
                "base",  # volatility of a minute
                "loading",  # on the market's shock
                "rest",  # on its own
                "thickness",  # activity as it was asked for
                "log_volatility",
                "slow_volatility",
                "volatility",  # of this second
                "relative",  # volatility against the base
                "sigma",  # volatility of this second in ticks
                "activity",
                "efficient",  # prices, in ticks
                "public",
                "slow",
                "impact",  # ticks by which a market order of mean size, fully unexpected, moves them
                "buying",  # excitement: market orders a second that earlier ones provoke
                "selling",
            )
        ],
        ("parent_sides", "i8", (PARENTS,)),
        ("parent_ends", "i8", (PARENTS,)),
        ("held", "i4", (OWNERS,)),  # order of each owner, -1 where it has none
        ("places", "i4", (ORDERS,)),  # free places for orders, a stack
        ("order_ticks", "i4", (ORDERS,)),
        ("order_next", "i4", (ORDERS,)),
        ("order_before", "i4", (ORDERS,)),
        ("order_owners", "i4", (ORDERS,)),
        ("order_sides", "i4", (ORDERS,)),  # 0 where no order is
        ("order_lots", "i8", (ORDERS,)),
        ("level_lots", "i8", (TICKS,)),
        ("level_first", "i4", (TICKS,)),
        ("level_last", "i4", (TICKS,)),
    ],
    align=True,
)
"""What a symbol is, what is hidden of it, and its book: orders by price and time."""


@step
def draw_symbol(state: Any, ticks: Any, places: Any, draws: Any, count: int) -> None:
    """Draw what a symbol's next `count` seconds need."""
    for i in range(count):
        places[i] = place(ticks[i].number)
    fill(draws, state.keys[:SECOND_STREAMS], places, count)
    to_normal(draws[SHOCK], count)


@step
def move_market(market: Any, tick: Any, draws: Any, i: int) -> None:
    """Begin a second of the market, and write what its symbols need to know of it."""
    if market.number % _MINUTE == 0:
        market.regime = choose_regime(market.regime, draws[REGIME, i])
        market.volatility = _KEEP * market.volatility + _INNOVATION * (draws[VOLATILITY, i] - 0.5)
    tick.number = market.number
    tick.ts = market.start + market.number * SECOND
    tick.regime = market.regime
    tick.volatility = market.volatility
    tick.shock = draws[SHOCK, i] + _ROOT * jump(draws[JUMP, i], _MARKET_JUMPS / _MINUTE, draws[SIZE, i])
    tick.season = season(tick.ts % DAY + 1)
    market.number += 1


@step
def move_symbol(state: Any, tick: Any, draws: Any, i: int) -> None:
    """Begin a second of a symbol: its regime, volatility and activity, and the news about its price."""
    if tick.number % _MINUTE == 0:
        state.regime = choose_own(state.regime, draws[REGIME, i])
        state.log_volatility = _KEEP * state.log_volatility + _INNOVATION * (draws[VOLATILITY, i] - 0.5)
        state.slow_volatility = _SLOW_KEEP * state.slow_volatility + _SLOW_INNOVATION * (draws[SLOW, i] - 0.5)
    regime = tick.regime if state.regime == FOLLOW else state.regime
    state.current = regime
    state.number = tick.number + 1
    state.now, state.until = tick.ts, tick.ts + SECOND

    level = exp(tick.volatility + state.log_volatility + state.slow_volatility - _CENTRE)
    state.relative = level * LEVEL[regime] * tick.season
    state.volatility = min(state.base * state.relative / _ROOT, _MOST_VOLATILE)
    state.sigma = state.efficient * state.volatility
    state.activity = state.thickness * tick.season * 0.6 * (tick.season + state.relative)
    calls = 2.0 * CALLS * state.activity / (1.0 - SELF - CROSS)
    state.impact = _FLOW * state.sigma / math.sqrt(calls)

    shock = state.loading * tick.shock + state.rest * draws[SHOCK, i]
    shock = _NEWS * shock + DRIFT[regime] / _ROOT
    shock += _ROOT * jump(draws[JUMP, i], _JUMPS[regime] / _MINUTE, draws[SIZE, i])
    change = min(max(state.volatility * shock, -_LARGEST_MOVE), _LARGEST_MOVE)
    pull = PULL[regime] / _MINUTE * (state.efficient - state.slow)
    state.efficient += state.efficient * change - pull - _HOME * (state.efficient - state.anchor)
    state.slow += _TRACK * (state.efficient - state.slow)
    state.public += _LEARN * (state.efficient - state.public)
