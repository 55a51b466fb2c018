"""Trade what follows a shock of price and volume: its continuation, or its reversal.

A shock is a bar whose log return and volume are both beyond k robust deviations of what they usually are:
(x - median) / (1.4826 MAD) of the bars before (Iglewicz and Hoaglin 1993, *How to detect and handle
outliers*). Shocks that carry news go on, on volume that stays high, and those that only asked for liquidity
come back (Campbell, Grossman and Wang 1993, *Trading volume and serial correlation in stock returns*,
Quarterly Journal of Economics 108; Chan 2003, *Stock price reaction to news and no-news*, Journal of
Financial Economics 70). So the bars after it decide: how much is traded, on which side, and how much of the
shock is taken back. All of it lives in log space: log prices negated give the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

HOUR = 60
OUTER = 0.75
_LOG_HALF = math.log(0.5)


class EventDriven(Strategy):
    """Buy or sell the hour after a shock, by the volume that follows it and by its first pullback."""

    nexus_api = 1
    category = "event_driven"
    needs = {"bar", "volume"}
    horizon = HOUR
    mirror = "log"
    row_seconds = 60.0
    targets = {"within": 20, "hits": 0.95, "false": 2.0, "precision": 0.6, "recall": 0.5}

    k = Param(4.0, low=2.0, high=20.0, help="Robust deviations beyond which return and volume are a shock")
    window = Param(240, low=20, high=2_000, help="Rows over which return and volume are held to be usual")
    confirm = Param(6, low=1, high=30, help="Rows after the shock before it is classified")
    rising = Param(2.0, low=1.0, high=10.0, help="Volume after it that counts as rising, in usual ones")
    pressure = Param(0.4, low=0.05, high=0.9, help="Net share of volume on one side that decides")
    half_life = Param(20, low=1, high=500, help="Rows after the shock in which the confidence halves")

    @property
    def warmup(self) -> int:
        """Return the rows that fill the window, and the one before it."""
        return self.params.window + 1

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "before": math.nan,  # log close
            "moves": steps.robust_score(params.window),
            "volumes": steps.robust_score(params.window),
            "side": 0,  # of the shock, 0 where none is followed
            "answer": 0,  # 1 it goes on, -1 it reverses
            "age": 0,
            "strength": 0.0,  # of the shock, in thresholds
            "outer": 0,  # 1 where it closed in its outer quarter
            "origin": 0.0,  # log prices
            "extreme": 0.0,
            "retraced": 0.0,  # greatest share of the way from origin to extreme
            "usual": 0.0,  # volume of a row before it
            "volume": 0.0,  # all of it since
            "delta": 0.0,  # bought less sold since
            "signed": steps.bar_delta(),
            "conviction": 0.0,  # of the answer, in thresholds
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side of what follows the shock, for an hour, and less as it ages."""
        known = row.high + row.low + row.close
        if not (row.low > 0.0 and 0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        close, before = steps.log(row.close), state.before
        state.before = close
        usual = state.volumes.median
        move = steps.robust_score.push(state.moves, close - before)
        volume = steps.robust_score.push(state.volumes, row.volume)
        delta = steps.bar_delta.push(state.signed, row)
        strength = min(abs(move), volume) / params.k
        if strength >= 1.0 and (state.side == 0 or state.age < 2 or strength > state.strength):
            _begin(row, state, before, strength, usual)
            return 0, 0.0
        if state.side == 0:
            return 0, 0.0
        state.age += 1
        state.volume += row.volume
        state.delta += delta
        _reach(row, state)
        if state.age > HOUR:
            state.side = 0
            return 0, 0.0
        if state.age < params.confirm:
            return 0, 0.0
        return _classified(state, params)


@compile.step
def _begin(row, state, before, strength, usual):
    """Follow this bar's shock; one that is still going on only grows."""
    side = 1 if steps.log(row.close) > before else -1
    if state.side != side or state.age > 1:
        state.origin, state.usual, state.strength = before, usual, strength
        state.extreme, state.outer = before, 0
    state.strength = max(state.strength, strength)
    state.side, state.answer, state.age = side, 0, 0
    state.retraced = state.volume = state.delta = state.conviction = 0.0
    _reach(row, state)


@compile.step
def _reach(row, state):
    """Note how far the shock got, how much of that was taken back, and whether it closed far out."""
    high, low, close = steps.log(row.high), steps.log(row.low), steps.log(row.close)
    state.extreme = max(state.extreme, high) if state.side > 0 else min(state.extreme, low)
    reach, left = state.extreme - state.origin, close - state.origin
    if state.age == 0:
        state.outer = int(abs(left) >= OUTER * abs(reach))
    elif reach != 0.0:
        back = low if state.side > 0 else high
        state.retraced = max(state.retraced, (state.extreme - back) / reach)


@compile.step
def _classified(state, params):
    """Return the side of what follows the shock, and the score that is left of it."""
    busy = state.volume / state.age / state.usual / params.rising
    pressure = state.side * state.delta / state.volume / params.pressure
    if busy >= 1.0 and pressure >= 1.0 and state.outer == 1 and state.answer >= 0:
        state.answer, state.conviction = 1, state.strength * busy * pressure
    elif busy >= 1.0 and pressure <= -1.0:
        state.answer, state.conviction = -1, state.strength * busy * -pressure
    elif busy >= 1.0 and pressure < 0.0 and state.retraced > 0.5 and state.answer >= 0:
        state.answer, state.conviction = -1, state.strength * busy * 2.0 * state.retraced
    left = steps.exp(_LOG_HALF * state.age / params.half_life)
    return state.answer * state.side, left * steps.squash(state.conviction)
