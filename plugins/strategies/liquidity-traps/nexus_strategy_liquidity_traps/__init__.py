"""Detect a false break of a swing high or low, and go with the return: the bull trap and the bear trap.

Beyond the extreme of a range rest stop orders, and the entries of those who trade breaks (Osler 2005,
*Stop-loss orders and price cascades in currency markets*, Journal of International Money and Finance 24). A
break that lives on them alone has nobody behind it. Price closes back inside within a few rows, and whoever
bought the break is trapped and has to sell, too. As a pattern of bars it is the *turtle soup* of Connors and
Raschke (1995), *Street smarts*, whose rule for the extreme is used here, and the upthrust and the spring of
Wyckoff. What tells a trap from a return by chance is signed volume: the row's own where it is known, else
estimated from the bar by bulk classification, which `steps.bar_delta` describes.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy


class LiquidityTraps(Strategy):
    """Sell where a break of a swing high fails on selling, buy where one of a swing low fails on buying."""

    nexus_api = 1
    category = "liquidity_analysis"
    needs = {"bar", "volume"}
    horizon = 10
    targets = {"within": 8, "hits": 0.95, "false": 3.0, "precision": 0.8, "recall": 0.6}
    slot = "pattern-recognition"

    reach = Param(15, low=3, high=10_000, help="Rows for which nothing has passed a swing that counts")
    memory = Param(120, low=3, high=10_000, help="Rows after which a swing is forgotten")
    side = Param(1, low=1, high=1_000, help="Rows between a swing and its break, which confirm the swing")
    back = Param(6, low=1, high=1_000, help="Rows after a break within which price has to close back inside")
    against = Param(1.6, low=0.0, high=100.0, help="Signed volume against the break, a row, in usual volumes")
    share = Param(0.4, low=0.0, high=1.0, help="Signed volume against the break, as a share of all volume")
    window = Param(120, low=5, high=10_000, help="Rows that the usual volume is taken over")

    @property
    def warmup(self) -> int:
        """Return the rows after which a swing can be broken and the usual volume is known."""
        return max(self.params.reach, self.params.window // 2)

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        memory = max(params.memory, params.reach)
        none = steps.record(level=math.nan, extreme=0.0, delta=0.0, volume=0.0, age=0, rows=0, usual=0.0)
        return {
            "highs": steps.rolling_max(memory),
            "lows": steps.rolling_max(memory),
            "delta": steps.bar_delta(params.window),
            "volume": steps.ewm(params.window),
            "usual": math.nan,
            "above": none,
            "below": none,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side of the return where a break has failed, and how one-sidedly."""
        known = row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        delta = steps.bar_delta.push(state.delta, row)
        _follow(state.above, state.highs, row.high, delta, row.volume, state.usual, params)
        _follow(state.below, state.lows, -row.low, -delta, row.volume, state.usual, params)
        state.usual = steps.exp(steps.ewm.push(state.volume, steps.log(row.volume)))
        bull, bear = _trap(state.above, row.close, params), _trap(state.below, -row.close, params)
        if bull == bear:
            return 0, 0.0
        return (-1, bull) if bull > bear else (1, bear)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Give a model that knows patterns three tenths of the say."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _follow(broken, highs, high, delta, volume, usual, params):
    """Take a row's high: begin a break where it is above a confirmed swing, go on with one that has begun."""
    broken.age += 1
    if broken.age > params.back:
        broken.level = math.nan
    swing = _swept(highs, high, params.reach, params.side)
    steps.rolling_max.push(highs, high)
    if swing == swing:
        broken.level, broken.extreme, broken.usual, broken.age = swing, -math.inf, usual, 0
    if broken.level != broken.level:
        return
    if high > broken.extreme:
        broken.extreme, broken.delta, broken.volume, broken.rows = high, 0.0, 0.0, 0
        if delta > 0.0:
            return
    broken.delta -= delta
    broken.volume += volume
    broken.rows += 1


@compile.step
def _swept(highs, high, reach, side):
    """Return the highest confirmed swing that a row's high goes beyond, NaN where it is none.

    The queue holds the highs that later ones have not passed, so the one before a high in it is the last that
    was above it.
    """
    swing, mask, at = math.nan, highs.ring.rows.size - 1, highs.last - 1
    while at >= highs.first and highs.ring.values[at & mask] < high:
        ago = highs.row - highs.ring.rows[at & mask]
        above = highs.row - highs.ring.rows[(at - 1) & mask] if at > highs.first else highs.row
        if ago > side and above >= reach:
            swing = highs.ring.values[at & mask]
        at -= 1
    return swing


@compile.step
def _trap(broken, close, params):
    """Return what a trap is worth in [0, 1], where a break has just failed, else 0; a failed one is over."""
    if not (close < broken.level and broken.rows > 0):
        return 0.0
    strength = broken.delta / (broken.rows * broken.usual)
    share = broken.delta / broken.volume
    if not (strength >= params.against and share >= params.share):
        return 0.0
    broken.level = math.nan
    return steps.squash(strength)
