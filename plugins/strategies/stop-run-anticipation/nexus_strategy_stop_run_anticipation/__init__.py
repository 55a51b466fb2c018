"""Go with the run to a near cluster of stop orders, and against it once it has been swept.

Stop orders rest beyond swing highs and lows, and just beyond round numbers (Osler 2003, *Currency orders and
exchange rate dynamics*, Journal of Finance 58). Price is drawn on where they lie, for each one that is filled
moves it to the next, and runs fast once they are reached (Osler 2005, *Stop-loss orders and price cascades in
currency markets*, Journal of International Money and Finance 24). When the last is filled nobody is left to
push it on: a sweep on a burst of volume that is traded back inside is taken to go on back.

Signed volume is the row's own where it is known, else estimated from the bar by bulk classification, which
`steps.bar_delta` describes.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

_RUN = 5  # rows over which the move to a cluster is measured


class StopRunAnticipation(Strategy):
    """Answer 1 or -1 on the way to a cluster of stops, 2 or -2 on the way back after it was swept."""

    nexus_api = 1
    category = "liquidity_analysis"
    needs = {"bar", "volume"}
    horizon = 5
    targets = {"within": 8, "hits": 0.95, "false": 8.0}
    slot = "pattern-recognition"
    mirror = "round numbers stay where they are when prices are turned over; with round = 0 prices turn it"

    reach = Param(15, low=3, high=10_000, help="Rows for which nothing has passed a swing that counts")
    memory = Param(120, low=3, high=10_000, help="Rows after which a swing is forgotten")
    round = Param(8.0, low=0.0, high=1_000.0, help="Least step of round numbers, in usual ranges; 0 is none")
    near = Param(0.5, low=0.0, high=100.0, help="Distance of a cluster that a run goes to, in usual ranges")
    least = Param(2, low=1, high=100, help="Swings and round numbers within it that make a cluster")
    pace = Param(3.0, low=0.0, high=100.0, help="Move to the cluster over five rows, in usual ranges")
    burst = Param(3.0, low=0.0, high=1_000.0, help="Volume of the sweep's greatest row, in usual volumes")
    turn = Param(0.5, low=0.0, high=100.0, help="Signed volume back, as a part of that of the sweep")
    back = Param(5, low=1, high=1_000, help="Rows after a sweep within which price has to close back inside")
    window = Param(120, low=5, high=10_000, help="Rows that usual ranges and volumes are taken over")

    @property
    def warmup(self) -> int:
        """Return the rows after which a swing can be swept and what is usual is known."""
        return max(self.params.reach, self.params.window // 2, 6)

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        memory = max(params.memory, params.reach)
        one = steps.record(
            highs=steps.rolling_max(memory), recent=steps.rolling_max(params.reach), top=math.nan,
            level=math.nan, extreme=0.0, burst=0.0, delta=0.0, back=0.0, age=0, told=math.nan,
        )  # fmt: skip
        return {
            "delta": steps.bar_delta(params.window),
            "flow": steps.rolling_sum(_RUN),
            "then": steps.lag(_RUN),
            "range": steps.ewm(params.window),
            "volume": steps.ewm(params.window),
            "step": 1.0,
            "above": one,
            "below": one,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer a reversal where one has begun, else a run, and what it is worth."""
        known = row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        delta = steps.bar_delta.push(state.delta, row)
        reach, volume = state.range.mean, row.volume / steps.exp(state.volume.mean)
        _round(state, params.round * reach)
        up = _sweep(state.above, row.high, row.close, delta, volume, state.step, params)
        down = _sweep(state.below, -row.low, -row.close, -delta, volume, state.step, params)
        flow = steps.rolling_sum.push(state.flow, delta)
        pace = (row.close - steps.lag.push(state.then, row.close)) / reach
        steps.ewm.push(state.range, row.high - row.low)
        steps.ewm.push(state.volume, steps.log(row.volume))
        if up != down:
            return (-2, steps.squash(0.6 * up)) if up > down else (2, steps.squash(0.6 * down))
        if pace >= params.pace and flow > 0.0 and _is_near(state.above, row.close, reach, state.step, params):
            return 1, steps.squash(0.5 * pace)
        if (
            -pace >= params.pace
            and flow < 0.0
            and _is_near(state.below, -row.close, reach, state.step, params)
        ):
            return -1, steps.squash(-0.5 * pace)
        return 0, 0.0

    @staticmethod
    def blend(row, signal, score, opinion):
        """Give a model that knows patterns three tenths of the say."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _round(state, least):
    """Let the step of round numbers be the least power of ten from `least` on, where that is known."""
    if not 0.0 < least < math.inf:
        return
    while state.step < least:
        state.step *= 10.0
    while state.step >= 10.0 * least:
        state.step /= 10.0


@compile.step
def _sweep(side, high, close, delta, volume, step, params):
    """Follow a sweep upwards; answer its burst, in usual volumes, where price closes back inside, else 0."""
    side.age += 1
    if side.age > params.back:
        side.level = math.nan
    level = _swept(side, high, step, params)
    steps.rolling_max.push(side.highs, high)
    side.top = steps.rolling_max.push(side.recent, high)
    if level == level:
        side.level, side.age, side.extreme, side.burst, side.delta = level, 0, -math.inf, 0.0, 0.0
    if side.level != side.level:
        return 0.0
    if high > side.extreme:
        side.extreme, side.back = high, 0.0
        side.delta += delta
        side.burst = max(side.burst, volume)
    else:
        side.back -= delta
    ran = side.delta > 0.0 and side.burst >= params.burst
    if not (ran and close < side.level and side.back > params.turn * side.delta):
        return 0.0
    side.level = math.nan
    return side.burst


@compile.step
def _swept(side, high, step, params):
    """Return the highest confirmed swing or round number that a row's high goes beyond, NaN if none."""
    highs = side.highs
    level, mask, at = math.nan, highs.ring.rows.size - 1, highs.last - 1
    while at >= highs.first and highs.ring.values[at & mask] < high:
        if _counts(highs, at, params.reach):
            level = highs.ring.values[at & mask]
        at -= 1
    if params.round > 0.0:
        number = math.floor(high / step) * step
        if side.top < number < high and not number <= level:
            level = number
    return level


@compile.step
def _counts(highs, at, reach):
    """Tell whether a high in the queue is a confirmed swing that none has passed for `reach` rows."""
    mask = highs.ring.rows.size - 1
    ago = highs.row - highs.ring.rows[at & mask]
    above = highs.row - highs.ring.rows[(at - 1) & mask] if at > highs.first else highs.row
    return ago > 1 and above >= reach


@compile.step
def _is_near(side, close, reach, step, params):
    """Tell whether enough stops lie a little above; each cluster is told of once."""
    highs, far, first, found = side.highs, close + params.near * reach, math.nan, 0
    mask, at = highs.ring.rows.size - 1, highs.last - 1
    while at >= highs.first and highs.ring.values[at & mask] <= far:
        price = highs.ring.values[at & mask]
        if price > close and _counts(highs, at, params.reach):
            found += 1
            first = price if not first <= price else first
        at -= 1
    if params.round > 0.0:
        number = math.ceil(close / step) * step
        if number <= far and number > side.top:
            found += 1
            first = number if not first <= number else first
    if found < params.least or first == side.told:
        return False
    side.told = first
    return True
