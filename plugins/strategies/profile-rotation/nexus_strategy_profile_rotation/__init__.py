"""Trade the value area of the last session: to its other edge, back from its edges, or away from it.

The value area holds 70 % of a session's volume around its point of control, the price of most volume
(Steidlmayer and Hawkins 2003, *Steidlmayer on markets*). Three readings of it are taken from Dalton, Jones
and Dalton (1990), *Mind over markets*, and Dalton, Dalton and Jones (2007), *Markets in profile*:

- the 80 % rule: a session that opens outside the value area and is accepted back in it, by two half hours in
  a row that close inside, is likely to go through to the other edge;
- in balance, where the last two value areas overlap, a look beyond an edge that closes back inside is faded;
- out of balance, where value has moved on, a session that opens beyond it the same way and stays there for
  two half hours is followed.

All of it lives in price space: prices turned over, p -> 2 p0 - p, give the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

BINS = 256
HALF_HOUR = 30


@compile.step
def begin(state, row, params, usual):
    """Keep the session that has ended as the last one, if it was long enough; start a new profile."""
    if state.rows >= params.settle:
        low, control, high = steps.profile.value_area(state.profile, params.value)
        if high > low:
            state.low_before, state.high_before = state.low, state.high
            state.low, state.control, state.high = low, control, high
    state.session, state.rows, state.half = row.session_id, 0, (row.minute_of_session - 1) // HALF_HOUR
    state.opened = place(state, row.open - state.origin)
    state.inside, state.beyond, state.probed, state.said, state.faded = 0, 0, 0, 0, 0
    state.place = state.opened
    steps.profile.clear(state.profile, params.bin * usual)


@compile.step
def place(state, price):
    """Return 1 above the last value area, -1 below it, 0 inside, and 0 where there is none."""
    if price > state.high:
        return 1
    return -1 if price < state.low else 0


@compile.step
def overlap(state):
    """Return which share of the lesser of the last two value areas lies in both; NaN before there are two."""
    both = min(state.high, state.high_before) - max(state.low, state.low_before)
    return max(both, 0.0) / min(state.high - state.low, state.high_before - state.low_before)


@compile.step
def read(state, close, params):
    """Read the half hour that has ended with the row before; answer signal and score."""
    shared, width = overlap(state), state.high - state.low
    state.inside = state.inside + 1 if state.place == 0 else 0
    state.beyond = state.beyond + 1 if state.place != 0 and state.place == state.opened else 0
    probed, state.probed = state.probed, 0
    away, moved = state.opened, (state.low - state.low_before) + (state.high - state.high_before)
    if away != 0 and state.said == 0 and state.inside == 2:
        left = steps.clip(max((close - state.low) * away, (close - state.high) * away) / width, 0.0, 1.0)
        state.said = 1
        return -away, 0.5 + 0.5 * left
    if away != 0 and state.said == 0 and state.beyond == 2 and shared <= params.apart and away * moved > 0.0:
        state.said = 1
        return away, 0.4 + 0.4 * (1.0 - shared)
    looked = state.place == 0 and (probed == 1 or probed == -1)
    if away == 0 and looked and shared >= params.balance and state.faded not in (probed, 2):
        state.faded = probed if state.faded == 0 else 2
        edge = steps.clip(2.0 * abs(close - state.control) / width, 0.0, 1.0)
        return -probed, 0.35 + 0.35 * shared * edge
    return 0, 0.0


class ProfileRotation(Strategy):
    """Trade to the other edge of value, back from its edges in balance, and with value that moves on."""

    nexus_api = 1
    category = "volume_profile"
    needs = {"bar", "volume"}
    horizon = 120
    row_seconds = 60.0
    targets = {"within": 2, "hits": 0.95, "false": 1.0}
    slot = "pattern-recognition"

    value = Param(0.7, low=0.3, high=0.95, help="Share of a session's volume that its value area holds")
    bin = Param(0.5, low=0.05, high=5.0, help="Width of the profile's bins, in average true ranges")
    settle = Param(60, low=10, high=10_000, help="Rows of a session before its value area counts")
    balance = Param(0.5, low=0.0, high=1.0, help="Share of value that two sessions have in common in balance")
    apart = Param(0.25, low=0.0, high=1.0, help="Share in common up to which value has moved on")
    probe = Param(1.0, low=0.0, high=50.0, help="Look beyond an edge that counts, in average true ranges")
    window = Param(60, low=5, high=5_000, help="Rows of the average true range")

    @property
    def warmup(self) -> int:
        """Return the rows of the average true range."""
        return self.params.window

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "origin": math.nan,  # prices are taken from here, so that turning them over turns only the sign
            "atr": steps.atr(params.window),
            "profile": steps.profile(BINS),
            **dict.fromkeys(("low", "control", "high", "low_before", "high_before"), math.nan),
            "session": -1,
            "rows": 0,
            "half": 0,  # hour of the session, counted in halves
            "opened": 0,  # where the session opened: 1 above the last value area, -1 below, 0 inside
            "place": 0,  # where the row before closed
            "inside": 0,  # half hours in a row that closed inside
            "beyond": 0,  # half hours in a row that closed on the side where the session opened
            "probed": 0,  # beyond which edge this half hour looked; 2: both
            "said": 0,
            "faded": 0,  # which edge was faded in this session; 2: both
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer at the end of a half hour, one row later."""
        known = row.open + row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        if state.origin != state.origin:
            state.origin = row.close
        close, high, low = row.close - state.origin, row.high - state.origin, row.low - state.origin
        usual = steps.atr.push(state.atr, high, low, close)
        half = (row.minute_of_session - 1) // HALF_HOUR
        signal, score = 0, 0.0
        if row.session_id != state.session:
            begin(state, row, params, usual)
        elif half != state.half:
            signal, score = read(state, close, params)
            state.half = half
        if usual > 0.0:
            steps.profile.fit(state.profile, params.bin * usual)
            steps.profile.push(state.profile, low, high, row.volume)
            state.rows += 1
            reach = params.probe * usual
            over, under = high > state.high + reach, low < state.low - reach
            side = 1 if over else -1
            if over or under:
                state.probed = 2 if (over and under) or state.probed == -side else side
        state.place = place(state, close)
        return signal, score

    @staticmethod
    def blend(row, signal, score, opinion):
        """Give the model of patterns three tenths of the score."""
        return steps.blend(signal, score, opinion, 0.3)
