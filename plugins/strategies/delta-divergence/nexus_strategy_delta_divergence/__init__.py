"""Trade the disagreement of price and cumulative delta at two swings of the same kind.

Cumulative delta is what was bought less what was sold at market since the session's start. As a rule price
goes where it goes (Evans and Lyons 2002, *Order flow and exchange rate dynamics*, J. of Political Economy
110). Where two swings disagree the flow was taken up by resting orders: effort without result, in Wyckoff's
words. As with oscillators a *regular* divergence is a lower low in price on a higher one in delta, and a
*hidden* one a higher low in price on a lower one in delta (Brown 1999, *Technical analysis for the trading
professional*).

Signed volume is the row's own where it is known, else estimated from the bar by bulk classification, which
`steps.bar_delta` describes. Only confirmed swings count, and a signal is never taken back: it comes `side`
rows after the second swing.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy


class DeltaDivergence(Strategy):
    """Buy where price and cumulative delta disagree at two swing lows, sell where they do at two highs."""

    nexus_api = 1
    category = "order_flow"
    needs = {"bar", "volume"}
    horizon = 5
    targets = {"within": 12, "hits": 0.95, "false": 4.0}
    slot = "pattern-recognition"

    side = Param(4, low=1, high=100, help="Bars on either side of a swing, which confirm it")
    far = Param(60, low=2, high=10_000, help="Rows that two swings may lie apart")
    price = Param(
        0.2, low=0.0, high=10.0, help="Least difference of the prices, in usual moves of the rows between"
    )
    delta = Param(1.0, low=0.0, high=10.0, help="Least difference of the deltas, in usual ones of those rows")
    hidden = Param(1, low=0, high=1, help="Whether hidden divergences count, 1, or regular ones alone, 0")
    window = Param(120, low=5, high=10_000, help="Rows that usual moves and deltas are taken over")

    @property
    def warmup(self) -> int:
        """Return the rows after which usual moves are known and two swings can be."""
        return max(self.params.window // 2, 2 * self.params.side + 2)

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "delta": steps.bar_delta(params.window),
            "total": steps.session_delta(),
            "swings": steps.swings(params.side, 2),
            "close": math.nan,
            "moves": steps.ewm(params.window),
            "deltas": steps.ewm(params.window),
            "start": 0,
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; where it confirms a swing that diverges, answer its side and how far it does."""
        known = row.high + row.low + row.close
        if not (0.0 < row.volume < math.inf and known - known == 0.0):
            return 0, 0.0
        if row.session_id != state.total.session:
            state.start = state.swings.row  # sums of different sessions cannot be compared
        move = row.close - state.close
        delta = steps.bar_delta.push(state.delta, row)
        moves = steps.sqrt(steps.ewm.push(state.moves, move * move))
        deltas = steps.sqrt(steps.ewm.push(state.deltas, delta * delta))
        state.close = row.close
        total = steps.session_delta.push(state.total, row.session_id, delta)
        is_high, is_low = steps.swings.push(state.swings, row.high, row.low, total, 0.0)
        bear = bull = 0.0
        if is_high:
            price, sum_, ago = steps.swings.high(state.swings, 0)
            before, sum_before, since = steps.swings.high(state.swings, 1)
            if since < state.swings.row - state.start:
                bear = _divergence(price - before, sum_ - sum_before, since - ago, moves, deltas, params)
        if is_low:
            price, sum_, ago = steps.swings.low(state.swings, 0)
            before, sum_before, since = steps.swings.low(state.swings, 1)
            if since < state.swings.row - state.start:
                bull = _divergence(before - price, sum_before - sum_, since - ago, moves, deltas, params)
        if bear == bull:
            return 0, 0.0
        return (-1, bear) if bear > bull else (1, bull)

    @staticmethod
    def blend(row, signal, score, opinion):
        """Give a model that knows patterns three tenths of the say."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _divergence(price, delta, rows, moves, deltas, params):
    """Return what two highs are worth, in [0, 1]: the differences of price and delta from first to second."""
    root = steps.sqrt(float(rows))
    up, bought = price / (moves * root), delta / (deltas * root)
    regular = up >= params.price and bought <= -params.delta
    hidden = params.hidden == 1 and up <= -params.price and bought >= params.delta
    if rows > params.far or not (regular or hidden):
        return 0.0
    return steps.squash(abs(up) + abs(bought))
