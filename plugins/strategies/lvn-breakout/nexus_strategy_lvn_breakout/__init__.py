"""Trade the travel of price through a thin place of the volume profile.

Where a market spent its time it left volume: high-volume nodes are prices it accepted, the low-volume nodes
between them prices it hurried through (Steidlmayer and Hawkins 2003, *Steidlmayer on markets*; Dalton, Dalton
and Jones 2007, *Markets in profile*). Price that leaves a node and enters the thin place beyond finds little
to hold it, and is taken to travel to the node on the other side.

A random walk leaves nodes and thin places too. What tells them apart is how hard price goes, by the moves
that were usual before (in which a jump counts for little, as in Huber 1964, *Robust estimation of a location
parameter*), how empty the whole way is, not only its thinnest place, and that price comes from a node it had
accepted: one about as heavy as that to which it goes.

The profile holds bars by their range, and forgets by half-lives. Whether the move is driven is read from the
signed trades of its bars; where the feed knows none, from where each bar closed within its range, times its
volume: an estimate. All of it lives in price space: prices turned over, p -> 2 p0 - p, give the negated
signals.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

BINS = 256
MOST = 3.0  # usual sizes for which a move counts at most in the usual one
FEW = 10  # moves from which on that holds
REACH = 2.5  # of a node to each side, in usual moves
WAY = 0.4  # of a way to each side of its middle, where it is looked at


@compile.step
def driven(row):
    """Return the volume bought less that sold: by signed trades, else estimated from the bar."""
    delta = row.buy_volume - row.sell_volume
    if delta - delta == 0.0:
        return delta
    span = row.high - row.low
    if not span > 0.0:
        return 0.0
    return row.volume * ((row.close - row.low) - (row.high - row.close)) / span


@compile.step
def usual_move(sizes, move):
    """Take a move; return the usual size. A jump counts for little, or one travel would hide the next."""
    size = abs(move)
    if sizes.n >= FEW and size > MOST * sizes.mean:
        size = MOST * sizes.mean
    return steps.ewm.push(sizes, size)


@compile.step
def around(profile, price, reach):
    """Return the mean thickness of five places of the profile within a reach of a price.

    The two of each distance are added first: the profile turned over gives the same, bit for bit.
    """
    half = 0.5 * reach
    inner = steps.profile.density(profile, price - half) + steps.profile.density(profile, price + half)
    outer = steps.profile.density(profile, price - reach) + steps.profile.density(profile, price + reach)
    return 0.2 * (steps.profile.density(profile, price) + inner + outer)


@compile.step
def filled(profile, near, far):
    """Return how thick the profile is on the way between two nodes, by the top of the lesser of them."""
    lesser = min(steps.profile.density(profile, near), steps.profile.density(profile, far))
    return around(profile, 0.5 * (near + far), WAY * abs(far - near)) / lesser


@compile.step
def take(state, row, params, usual):
    """Put a bar into the profile: `body` of its volume between open and close, the rest over its range."""
    low, high = row.low - state.origin, row.high - state.origin
    opened, closed = row.open - state.origin, row.close - state.origin
    steps.profile.fit(state.profile, params.bin * usual)
    steps.profile.push(state.profile, min(opened, closed), max(opened, closed), params.body * row.volume)
    steps.profile.push(state.profile, low, high, (1.0 - params.body) * row.volume)


@compile.step
def crossed(state, close, moved, params):
    """Return the nodes around the thin place that a move went into, and how thin it is.

    A quick move ends in the far node or past it: then it is the place where the middle of the move lies.
    """
    side, middle = 1 if moved > 0.0 else -1, close - 0.5 * moved
    near, far, depth = steps.profile.valley(state.profile, close, side, params.thin, params.node)
    if side * (near - middle) <= 0.0:
        return near, far, depth
    return steps.profile.valley(state.profile, middle, side, params.thin, params.node)


@compile.step
def carries(state, near, far, move, usual, params):
    """Tell whether a move is hard enough for how thick its way is, and comes from an accepted node."""
    profile, reach = state.profile, REACH * usual
    if move < (params.push + params.dense * filled(profile, near, far)) * usual:
        return False
    return around(profile, far, reach) <= params.beyond * around(profile, near, reach)


class LvnBreakout(Strategy):
    """Go with price that enters a low-volume node with momentum, to the high-volume node beyond it."""

    nexus_api = 1
    category = "volume_profile"
    needs = {"bar", "volume"}
    horizon = 5
    row_seconds = 60.0
    targets = {"within": 3, "hits": 0.95, "false": 8.0}
    slot = "pattern-recognition"

    half_life = Param(30, low=5, high=5_000, help="Rows until a bar counts half in the profile")
    bin = Param(0.5, low=0.05, high=5.0, help="Width of the profile's bins, in usual moves of a row")
    body = Param(0.8, low=0.01, high=0.99, help="Share of a bar's volume that lies between open and close")
    node = Param(0.2, low=0.01, high=0.95, help="Share of the thickest place that a node holds at least")
    thin = Param(0.6, low=0.05, high=0.99, help="Share of the lesser node that the thin place lacks at least")
    gap = Param(2.5, low=0.5, high=50.0, help="Distance of the nodes at least, in usual moves")
    entered = Param(0.4, low=0.0, high=0.95, help="Share of the way between the nodes that is made at least")
    beyond = Param(1.2, low=0.05, high=20.0, help="Volume of the far node at most, by that of the near one")
    push = Param(3.0, low=0.2, high=20.0, help="Move that counts as momentum, in usual moves")
    dense = Param(1.25, low=0.0, high=20.0, help="Usual moves more that it takes where the way is full")
    against = Param(0.3, low=0.0, high=1.0, help="Share of the move's volume that is net against it at most")
    rows = Param(3, low=1, high=60, help="Rows within which the move is made")
    rest = Param(3, low=0, high=1_000, help="Rows after a signal without another one of its side")
    window = Param(50, low=10, high=5_000, help="Rows that give the usual move")

    @property
    def warmup(self) -> int:
        """Return the rows that give the usual move, and two half-lives for the profile."""
        return self.params.window + 1 + 2 * self.params.half_life

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "origin": math.nan,  # prices are taken from here, so that turning them over turns only the sign
            "known": 0,
            "usual": steps.ewm(params.window),
            "before": math.nan,
            "latest": math.nan,
            "profile": steps.profile(BINS, 2 * params.half_life),  # a bar comes in two parts
            "then": steps.lag(params.rows),
            "driven": steps.rolling_sum(params.rows),
            "traded": steps.rolling_sum(params.rows),
            "side": 0,  # of the way that was signalled last, until it has ended
            "near": 0.0,
            "far": 0.0,
            "last": 0,  # the side of the newest signal, and the rows since
            "since": 0,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side of the far node, and how good the way there looks."""
        known = row.open + row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        if state.origin != state.origin:
            state.origin = row.close
        close, usual = row.close - state.origin, state.latest
        moved = close - steps.lag.push(state.then, close)
        pressure = steps.rolling_sum.push(state.driven, driven(row))
        traded = steps.rolling_sum.push(state.traded, row.volume)
        latest = usual_move(state.usual, close - state.before)
        state.before, state.known, state.since = close, state.known + 1, state.since + 1
        if state.known > params.window:
            state.latest = latest
        if state.side != 0 and not min(state.near, state.far) < close < max(state.near, state.far):
            state.side = 0
        signal, score = 0, 0.0
        side = 1 if moved > 0.0 else -1
        pushed = usual > 0.0 and abs(moved) >= params.push * usual
        new = side != state.side and (side != state.last or state.since > params.rest)
        if pushed and new and side * pressure >= -params.against * traded:
            near, far, depth = crossed(state, close, moved, params)
            way, made = side * (far - near), side * (close - near)
            enough = way >= params.gap * usual and made >= params.entered * way
            if enough and carries(state, near, far, abs(moved), usual, params):
                state.side, state.near, state.far = side, near, far
                state.last, state.since = side, 0
                left = steps.clip(1.0 - made / way, 0.0, 1.0)
                signal, score = side, steps.squash(depth * abs(moved) / usual * (0.25 + left))
        if usual > 0.0:
            take(state, row, params, usual)
        return signal, score

    @staticmethod
    def blend(row, signal, score, opinion):
        """Give the model of patterns three tenths of the score."""
        return steps.blend(signal, score, opinion, 0.3)
