"""Trade breaks of a channel on expanding range and volume, and failed ones the other way.

The channel is that of Donchian (the highest high and the lowest low of the bars before; see Covel 2007, *The
complete TurtleTrader*). A close outside of it is a break only where the range expands (Wilder's average true
range of few bars over that of many; Crabel 1990, *Day trading with short term price patterns and opening
range breakout*) and more is traded than usual (Edwards and Magee 1948, *Technical analysis of stock trends*).
It is followed once it held for some bars with the flow on its side; where price closes inside again within
`fail_bars` it has failed, and is traded the other way (*turtle soup*, Connors and Raschke 1995, *Street
smarts*). All of it lives in price space: prices turned over, p -> 2 p0 - p, give the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

_STRONGER = 1.5  # a break that expands so much more takes the place of the one that is watched


class MomentumBreakout(Strategy):
    """Buy a break upwards that holds, sell one that fails; and the other way round."""

    nexus_api = 1
    category = "breakout"
    needs = {"bar", "volume"}
    horizon = 60
    row_seconds = 60.0
    targets = {"within": 15, "hits": 0.95, "false": 1.0, "precision": 0.8, "recall": 0.4}

    channel = Param(20, low=2, high=2_000, help="Rows whose extremes are the channel")
    slow = Param(120, low=10, high=2_000, help="Rows over which range and volume are usual")
    fast = Param(3, low=1, high=100, help="Rows over which the range expands")
    expansion = Param(1.1, low=0.5, high=10.0, help="Range of the fast rows that counts, in usual ones")
    busy = Param(1.5, low=0.0, high=20.0, help="Volume at and since the break that counts, in usual ones")
    pressure = Param(0.4, low=0.0, high=0.9, help="Net share of volume since the break that decides")
    hold = Param(3, low=1, high=100, help="Rows that a break holds before it is followed")
    fail_bars = Param(15, low=1, high=500, help="Rows within which a break can fail")

    @property
    def warmup(self) -> int:
        """Return the rows that fill channel and usual range, and the one before."""
        return max(self.params.channel, self.params.slow) + 1

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "high": steps.rolling_max(params.channel),
            "low": steps.rolling_min(params.channel),
            "top": math.nan,  # of the channel before this row
            "bottom": math.nan,
            "fast": steps.atr(params.fast),
            "slow": steps.atr(params.slow),
            "volumes": steps.rolling_mean(params.slow),
            "signed": steps.bar_delta(),
            "side": 0,  # of the break that is watched, 0 for none
            "followed": 0,  # 1 where it was signalled
            "level": 0.0,
            "age": 0,
            "strength": 0.0,  # expansion of range, in thresholds
            "usual": 0.0,  # volume of a row
            "volume": 0.0,  # all of it since
            "delta": 0.0,  # bought less sold since
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer a break that held, or one that failed."""
        known = row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        top, bottom = state.top, state.bottom
        state.top = steps.rolling_max.push(state.high, row.high)
        state.bottom = steps.rolling_min.push(state.low, row.low)
        fast = steps.atr.push(state.fast, row.high, row.low, row.close)
        slow = steps.atr.push(state.slow, row.high, row.low, row.close)
        usual = steps.rolling_mean.push(state.volumes, row.volume)
        delta = steps.bar_delta.push(state.signed, row)
        expands = fast >= params.expansion * slow and slow > 0.0 and row.volume >= params.busy * usual
        if expands and (row.close > top or row.close < bottom):
            side, strength = 1 if row.close > top else -1, fast / slow / params.expansion
            if side != state.side or (state.followed == 0 and strength > _STRONGER * state.strength):
                state.side, state.level = side, top if side > 0 else bottom
                state.age, state.followed, state.strength, state.usual = 0, 0, strength, usual
                state.volume, state.delta = 0.0, 0.0
                return 0, 0.0
        return _watched(row, state, params, delta) if state.side != 0 else (0, 0.0)


@compile.step
def _watched(row, state, params, delta):
    """Follow a break: answer its side where it holds, the other where it fails."""
    state.age += 1
    state.volume += row.volume
    state.delta += delta
    side, beyond = state.side, state.side * (row.close - state.level)
    busy = state.volume / state.age >= params.busy * state.usual
    pressure = side * state.delta / state.volume
    if state.age >= params.fail_bars:
        state.side = 0
    if state.age < params.hold or not busy:
        return 0, 0.0
    if beyond < 0.0 and pressure <= -params.pressure:
        state.side = 0
        return -side, _score(state, params, -pressure)
    if beyond > 0.0 and pressure >= params.pressure and state.followed == 0:
        state.followed = 1
        return side, _score(state, params, pressure)
    return 0, 0.0


@compile.step
def _score(state, params, pressure):
    """Return the score of a break by its range, its volume and its net flow."""
    busy = state.volume / state.age / state.usual
    return steps.squash(state.strength * steps.sqrt(busy) * pressure / 0.2)
