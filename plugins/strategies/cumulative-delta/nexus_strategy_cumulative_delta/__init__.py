"""Follow the session's cumulative delta where it leads price.

Cumulative delta is what was bought less what was sold at market since the session's start. Order flow carries
information: price follows it for a while, because those who know more, or who have much to trade, send many
orders of one side (Kyle 1985, *Continuous auctions and insider trading*, Econometrica 53; Lillo, Mike and
Farmer 2005, *Theory for long memory in supply and demand*, Physical Review E 71), and because those who make
the market learn from it bit by bit (Hasbrouck 1991, *Measuring the information content of stock trades*,
Journal of Finance 46). So it signals where cumulative delta climbs or falls far faster than usual, by more
than price has yet made of it. A row's delta is cut at some usual ones (as Huber 1964, *Robust estimation of a
location parameter*, does with errors), because one large print is no persistent flow.

Signed volume is the row's own where it is known, else estimated from the bar by bulk classification, which
`steps.bar_delta` describes. Such an estimate follows price and seldom leads it.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

_NORMAL = math.sqrt(math.pi / 2.0)  # deviation of a normal number over its mean size


class CumulativeDelta(Strategy):
    """Buy where cumulative delta climbs ahead of price, sell where it falls ahead of it."""

    nexus_api = 1
    category = "order_flow"
    needs = {"bar", "volume"}
    horizon = 5
    targets = {"within": 3, "hits": 0.95, "false": 4.0}
    slot = "pattern-recognition"

    slope = Param(5, low=1, high=1_000, help="Rows over which the slope of cumulative delta is taken")
    z = Param(3.2, low=0.0, high=20.0, help="Usual deviations by which the slope is away from nothing")
    lead = Param(
        1.5, low=-20.0, high=20.0, help="Deviations by which the slope is ahead of the move of price"
    )
    cut = Param(4.0, low=0.5, high=1_000.0, help="Most that one row's delta counts, in usual deltas")
    rest = Param(5, low=0, high=10_000, help="Rows after a signal without another one of its side")
    window = Param(120, low=10, high=10_000, help="Rows that usual deltas and moves are taken over")

    @property
    def warmup(self) -> int:
        """Return the rows after which usual deltas and moves are known: half of their window."""
        return max(self.params.window // 2, self.params.slope + 1)

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "delta": steps.bar_delta(params.window),
            "total": steps.session_delta(),
            "totals": steps.lag(params.slope),
            "closes": steps.lag(params.slope),
            "close": math.nan,
            "deltas": steps.ewm(params.window),
            "moves": steps.ewm(params.window),
            "age": 0,
            "side": 0,
            "since": 0,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side to which cumulative delta leads price, and how far."""
        known = row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        state.age = state.age + 1 if row.session_id == state.total.session else 1
        state.since += 1
        delta = _cut(state.deltas, steps.bar_delta.push(state.delta, row), params.cut)
        _cut(state.moves, row.close - state.close, params.cut)
        state.close = row.close
        total = steps.session_delta.push(state.total, row.session_id, delta)
        climb = total - steps.lag.push(state.totals, total)
        move = row.close - steps.lag.push(state.closes, row.close)
        if state.age <= params.slope:
            return 0, 0.0  # the slope would reach into the session before
        root = _NORMAL * steps.sqrt(float(params.slope))
        flow, gone = climb / (root * state.deltas.mean), move / (root * state.moves.mean)
        side = 1 if flow > 0.0 else -1
        strength = abs(flow)
        ahead = strength - side * gone
        if not (strength >= params.z and ahead >= params.lead):
            return 0, 0.0
        if side == state.side and state.since <= params.rest:
            return 0, 0.0
        state.side, state.since = side, 0
        return side, steps.squash(0.5 * strength)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Give a model that knows patterns three tenths of the say."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _cut(usual, x, most):
    """Return a value cut at `most` usual sizes, and take its size, cut too, into the usual one."""
    if usual.n > 0 and usual.mean > 0.0:
        x = steps.clip(x, -most * usual.mean, most * usual.mean)
    steps.ewm.push(usual, abs(x))
    return x
