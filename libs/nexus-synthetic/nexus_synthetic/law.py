"""The law of the synthetic market: its numbers, and one tick of it. The README states it in words.

A change of any number or formula here is another law: raise `LAW`, for recordings name it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import UNIT
from nexus_synthetic.draws import exp, fill, log, place, to_normal

LAW = 1
"""The version of the law. The same law, seed, interval and price ticks give the same bits for ever."""

UP, DOWN, RANGE, TURBULENT = 0, 1, 2, 3
FOLLOW = 4
"""A symbol's own regime when it has none: the market's is its regime."""

MINUTE, HOUR, DAY = 60_000_000_000, 3_600_000_000_000, 86_400_000_000_000

# by regime: up, down, range, turbulent, and where it means something, follow
_LEAVE = np.array((1 / 400, 1 / 400, 1 / 500, 1 / 120, 1 / 3000))
DRIFT = np.array((0.06, -0.06, 0.0, 0.0))
LEVEL = np.array((0.8, 0.8, 0.7, 2.0))
PULL = np.array((0.0, 0.0, 1 / 25, 0.0))
_TRACK = np.array((1 / 25, 1 / 25, 1 / 250, 1 / 25))
_JUMPS = np.array((1 / 1000, 1 / 1000, 1 / 1000, 1 / 250))
_MARKET_JUMPS = 1 / 3000

# by regime that is left: the cumulated shares of up, down, range and turbulent to come after it
_AFTER_UP = np.array((0.0, 0.2, 0.8, 1.0))
_AFTER_DOWN = np.array((0.2, 0.2, 0.8, 1.0))
_AFTER_RANGE = np.array((0.4, 0.8, 0.8, 1.0))
_AFTER_TURBULENT = np.array((0.25, 0.5, 1.0, 1.0))
_AFTER_FOLLOW = np.array((0.3, 0.6, 0.8, 1.0))

_HOME = 1 / 10_000  # share of its distance from the anchor that a price, and its fair value, loses a bar
_KEEP = 0.99  # of the logarithm of volatility
_INNOVATION = 0.3 * math.sqrt(12.0 * (1.0 - _KEEP * _KEEP))  # width that gives a standard deviation of 0.3
_CENTRE = 0.18  # makes the mean square of the volatility that of the base
_JUMP = 4.0  # mean size, in volatilities
_GAP = 0.4  # width, in volatilities
_MOST_VOLATILE, _LARGEST_MOVE = 0.03, 0.2

# of volatility over the UTC day, at each full hour; volume takes its square
_HOURS = np.array((
    0.95, 0.90, 0.85, 0.80, 0.78, 0.78, 0.82, 0.92, 1.02, 1.04, 1.02, 1.00,
    1.06, 1.22, 1.36, 1.34, 1.24, 1.14, 1.06, 1.02, 1.00, 0.98, 0.96, 0.95, 0.95,
))  # fmt: skip

# streams of random numbers; the market has the first of them, a symbol all
SHOCK, VOLATILITY, REGIME, JUMP, SIZE = range(5)
GAP, HIGH, LOW, PART, SPREAD, VOLUME, FLOW, TRADES, BID, ASK = range(5, 15)
MARKET_STREAMS, STREAMS = SIZE + 1, ASK + 1

MARKET = np.dtype(
    [
        ("keys", "u8", (MARKET_STREAMS,)),
        ("number", "i8"),  # of the next tick
        ("start", "i8"),  # open of the first bar
        ("interval", "i8"),
        ("volatility", "f8"),  # logarithm, against the base
        ("regime", "i8"),
    ],
    align=True,
)
"""What the market remembers from tick to tick."""

TICK = np.dtype(
    [(name, "i8") for name in ("number", "ts", "session", "minute", "regime")]
    + [(name, "f8") for name in ("shock", "volatility", "season")],
    align=True,
)
"""What one tick of the market tells its symbols."""

SYMBOL = np.dtype(
    [
        ("keys", "u8", (STREAMS,)),
        ("symbol", "i8"),
        ("unit", "f8"),  # price tick in 1e-8
        ("anchor", "f8"),  # in price ticks
        ("base", "f8"),  # volatility of a bar
        ("turnover", "f8"),  # usual volume of a bar
        ("deals", "f8"),  # usual trades of a bar
        ("loading", "f8"),  # on the market's shock
        ("rest", "f8"),  # on its own
        ("regime", "i8"),  # its own
        ("current", "i8"),  # the one that rules it
        ("log_volatility", "f8"),
        ("relative", "f8"),  # volatility of this bar against the base
        ("volatility", "f8"),  # of this bar
        ("level", "f8"),  # price against the anchor
        ("fair", "f8"),  # the slow fair value against the anchor
        ("opened", "f8"),  # in price ticks
        ("closed", "f8"),
    ],
    align=True,
)
"""What a symbol is, and what it remembers from tick to tick."""


@step
def draw_market(market: Any, places: Any, draws: Any, count: int) -> None:
    """Draw what the market's next `count` ticks need."""
    for i in range(count):
        places[i] = place(market.number + i)
    fill(draws, market.keys, places, count)
    to_normal(draws[SHOCK], count)


@step
def draw_symbol(state: Any, ticks: Any, places: Any, draws: Any, count: int) -> None:
    """Draw what a symbol's next `count` ticks need, and work out what does not hang on its price."""
    fill(draws, state.keys, places, count)
    to_normal(draws[SHOCK], count)
    for i in range(count):
        state.log_volatility = _KEEP * state.log_volatility + _INNOVATION * (draws[VOLATILITY, i] - 0.5)
        draws[VOLATILITY, i] = ticks[i].volatility + state.log_volatility - _CENTRE
    for i in range(count):
        draws[VOLATILITY, i] = exp(draws[VOLATILITY, i])
        draws[VOLUME, i] = exp(1.4 * (draws[VOLUME, i] - 0.5))
        # a sum of two exponentials, cut at a uniform place, is two independent exponentials
        both = -2.0 * log(draws[HIGH, i] * draws[LOW, i])
        draws[HIGH, i] = both * draws[PART, i]
        draws[LOW, i] = both - both * draws[PART, i]


@step
def move_market(market: Any, tick: Any, draws: Any, i: int) -> None:
    """Move the market on by one tick, and write what its symbols need to know of it."""
    market.regime = choose_regime(market.regime, draws[REGIME, i])
    market.volatility = _KEEP * market.volatility + _INNOVATION * (draws[VOLATILITY, i] - 0.5)
    tick.number = market.number
    tick.ts = market.start + (market.number + 1) * market.interval
    tick.session = (tick.ts - 1) // DAY
    elapsed = tick.ts - tick.session * DAY
    tick.minute = elapsed // MINUTE
    tick.regime = market.regime
    tick.volatility = market.volatility
    tick.shock = draws[SHOCK, i] + jump(draws[JUMP, i], _MARKET_JUMPS, draws[SIZE, i])
    tick.season = season(elapsed)
    market.number += 1


@step
def move_symbol(state: Any, tick: Any, draws: Any, i: int) -> None:
    """Move a symbol on by one tick: regime, volatility, open, close and fair value."""
    state.regime = choose_own(state.regime, draws[REGIME, i])
    regime = tick.regime if state.regime == FOLLOW else state.regime
    state.current = regime

    state.relative = draws[VOLATILITY, i] * LEVEL[regime] * tick.season
    volatility = min(state.base * state.relative, _MOST_VOLATILE)
    state.volatility = volatility

    gap = volatility * _GAP * (draws[GAP, i] - 0.5)
    state.opened = max(np.floor(state.closed * (1.0 + gap) + 0.5), 1.0)

    shock = state.loading * tick.shock + state.rest * draws[SHOCK, i] + DRIFT[regime]
    change = volatility * (shock + jump(draws[JUMP, i], _JUMPS[regime], draws[SIZE, i]))
    change = min(max(change, -_LARGEST_MOVE), _LARGEST_MOVE)
    pull = PULL[regime] * (state.level - state.fair) + _HOME * (state.level - 1.0)
    state.level += state.level * change - pull
    state.fair += _TRACK[regime] * (state.level - state.fair) - _HOME * (state.fair - 1.0)
    state.closed = max(np.floor(state.anchor * state.level + 0.5), 1.0)


@step
def write_row(row: Any, state: Any, tick: Any, symbols: int, draws: Any, i: int) -> None:
    """Write the row of a symbol that has just moved."""
    row.ts = tick.ts
    row.seq = tick.number * symbols + state.symbol
    row.symbol = state.symbol
    row.flags = 0
    row.session_id = tick.session
    row.minute_of_session = tick.minute
    row.minutes_to_close = 1440 - tick.minute
    gain = state.closed / state.opened - 1.0
    _write_prices(row, state, gain, draws, i)
    _write_volumes(row, state, gain / state.volatility, tick.season, draws, i)


@step
def _write_prices(row: Any, state: Any, gain: float, draws: Any, i: int) -> None:
    opened, closed, unit = state.opened, state.closed, state.unit
    # the extremes of a Brownian bridge from open to close, each by its own exact law
    variance = state.volatility * state.volatility
    up = 0.5 * (gain + math.sqrt(gain * gain + variance * draws[HIGH, i]))
    down = 0.5 * (gain - math.sqrt(gain * gain + variance * draws[LOW, i]))
    high = max(np.floor(opened * (1.0 + up) + 0.5), opened, closed)
    low = max(min(np.floor(opened * (1.0 + down) + 0.5), opened, closed), 1.0)
    spread = closed * (0.00005 + 0.05 * state.volatility) * (0.5 + draws[SPREAD, i])
    spread = max(np.floor(spread + 0.5), 1.0)
    bid = max(closed - (spread if closed > opened else 0.0), 1.0)
    row.open = opened * unit / UNIT
    row.high = high * unit / UNIT
    row.low = low * unit / UNIT
    row.close = closed * unit / UNIT
    row.bid = bid * unit / UNIT
    row.ask = (bid + spread) * unit / UNIT


@step
def _write_volumes(row: Any, state: Any, moved: float, season: float, draws: Any, i: int) -> None:
    activity = season * (season + state.relative) * (0.3 + 0.25 * abs(moved)) * draws[VOLUME, i]
    pressure = 0.5 * moved + 2.0 * (draws[FLOW, i] - 0.5)
    share = 0.5 + 0.5 * pressure / (1.0 + abs(pressure))
    volume = state.turnover * activity
    row.buy_volume = volume * share
    row.sell_volume = volume * (1.0 - share)
    row.volume = row.buy_volume + row.sell_volume
    row.trades = 1 + math.floor(state.deals * activity * (0.5 + draws[TRADES, i]))
    depth = 0.1 * state.turnover / (1.0 + state.relative)
    row.bid_size = depth * (0.5 + 3.0 * draws[BID, i])
    row.ask_size = depth * (0.5 + 3.0 * draws[ASK, i])


@step
def choose_regime(regime: int, u: float) -> int:
    """Return the market's regime after `regime`, which may be the same, from a uniform number."""
    if u >= _LEAVE[regime]:
        return regime
    u /= _LEAVE[regime]
    if regime == UP:
        return _choose(_AFTER_UP, u)
    if regime == DOWN:
        return _choose(_AFTER_DOWN, u)
    return _choose(_AFTER_RANGE if regime == RANGE else _AFTER_TURBULENT, u)


@step
def choose_own(regime: int, u: float) -> int:
    """Return what a symbol follows after `regime`: the market or a regime of its own."""
    if u >= _LEAVE[regime]:
        return regime
    u /= _LEAVE[regime]
    return _choose(_AFTER_FOLLOW, u) if regime == FOLLOW else FOLLOW


@step
def _choose(shares: Any, u: float) -> int:
    regime = 0
    while u >= shares[regime]:
        regime += 1
    return regime


@step
def jump(u: float, chance: float, size: float) -> float:
    """Return the size of a jump in volatilities: 0 but for the chance, else double exponential."""
    if u >= chance:
        return 0.0
    return _JUMP * log(2.0 * size) if size < 0.5 else -_JUMP * log(2.0 * (1.0 - size))


@step
def season(elapsed: int) -> float:
    """Return the share of volatility of a time of the UTC day, in nanoseconds from above 0 to the whole."""
    hour = (elapsed - 1) // HOUR
    part = (elapsed - hour * HOUR) / HOUR
    return _HOURS[hour] + part * (_HOURS[hour + 1] - _HOURS[hour])
