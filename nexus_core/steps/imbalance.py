"""Imbalance of the order book: what rests at its levels, what comes and goes at the touch, what both mean.

All of it is odd under a change of sides: the book turned over answers the negated number, bit for bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.tool import Tool, checked, record


def order_flow_imbalance() -> np.void:
    """Give what came to the bid less what came to the ask since the touch before, in quantity.

    From Cont, Kukanov and Stoikov (2014), *The price impact of order book events*, Journal of Financial
    Econometrics 12. `push(state, bid, bid_size, ask, ask_size)` takes the touch and answers e: a bid that
    rose counts its size, one that fell what the old one had, one that stayed the change; asks the other way
    round. Their sum over a time, over twice the mean size of the touch, is about the move of the middle in
    ticks. At the first touch, and at the first after one that is not known (a NaN or infinity), it is 0.
    """
    return record(known=0, bid=0.0, bid_size=0.0, ask=0.0, ask_size=0.0)


def _push_flow(state: Any, bid: float, bid_size: float, ask: float, ask_size: float) -> float:
    told = bid + bid_size + ask + ask_size
    if told - told != 0.0:
        state.known = 0
        return np.float64(0.0)
    bought, sold = 0.0, 0.0
    if state.known == 1:
        bought += bid_size if bid >= state.bid else 0.0
        bought -= state.bid_size if bid <= state.bid else 0.0
        sold += ask_size if ask <= state.ask else 0.0
        sold -= state.ask_size if ask >= state.ask else 0.0
    state.known = 1
    state.bid, state.bid_size, state.ask, state.ask_size = bid, bid_size, ask, ask_size
    return np.float64(bought - sold)


def micro_price(classes: int = 10, memory: int = 1000) -> np.void:
    """Give the price that the queues at the touch speak for, less the middle, in price.

    The micro-price of Stoikov (2018), *The micro-price: a high-frequency estimator of future prices*,
    Quantitative Finance 18, to its first order: the mean next move of the middle after touches as lopsided
    as this one. It is learned from the touches that came before. The tilt of a touch, (bid size - ask size)
    over their sum, falls into one of `classes` by its size; its sign turns the move. So a book turned over
    teaches the same, which is the symmetry the paper lays over its data. A class forgets by 1 / `memory` a
    move that it learns of, and knows no spread: the paper's tables, one for each spread, take more data.

    `push(state, bid, bid_size, ask, ask_size)`. A touch that is not known has the answer NaN, and what was
    seen since the last move of the middle teaches nothing then. A class never seen answers 0.
    """
    none = np.zeros(checked("micro_price", classes))
    return record(
        keep=1.0 - 1.0 / checked("micro_price", memory), mid=math.nan,
        seen=none, moves=none, open=none, signed=none,
    )  # fmt: skip


def _push_micro(state: Any, bid: float, bid_size: float, ask: float, ask_size: float) -> float:
    mid, leaning = 0.5 * (bid + ask), tilt(bid_size, ask_size)
    known = mid + leaning
    if known - known != 0.0:
        state.mid = math.nan
        return np.float64(math.nan)
    if mid != state.mid:
        _settle(state, mid - state.mid)
        state.mid = mid
    one = min(int(abs(leaning) * state.seen.size), state.seen.size - 1)
    sign = 1.0 if leaning > 0.0 else -1.0 if leaning < 0.0 else 0.0
    state.open[one] += 1.0
    state.signed[one] += sign
    return sign * state.moves[one] / state.seen[one] if state.seen[one] > 0.0 else np.float64(0.0)


@step
def _settle(state: Any, move: float) -> None:
    """Let the touches since the last move of the middle learn of this one; of an unknown one nothing."""
    for i in range(state.seen.size):
        if state.open[i] > 0.0 and move == move:
            state.moves[i] = state.keep * state.moves[i] + move * state.signed[i]
            state.seen[i] = state.keep * state.seen[i] + state.open[i]
        state.open[i] = state.signed[i] = 0.0


@step
def tilt(bid: float, ask: float) -> float:
    """Return (bid - ask) / (bid + ask) of two quantities, in [-1, 1]; NaN where there is nothing of both."""
    both = bid + ask
    return (bid - ask) / both if both > 0.0 else np.float64(math.nan)


@step
def depth_imbalance(bids: Any, asks: Any, levels: int) -> float:
    """Return the tilt of the best `levels` sizes of both sides, the best weighing most, in [-1, 1].

    The weights fall in a line: 1, (n - 1) / n, …, 1 / n. `bids` and `asks` are sizes from the touch on, as a
    view of the book has them; a side may have fewer than `levels`. Where nothing rests on either it is NaN.
    After Cao, Hansch and Wang (2009), *The information content of an open limit-order book*, Journal of
    Futures Markets 29, whose book beyond the touch tells of the price to come.
    """
    bid, ask = 0.0, 0.0
    for i in range(min(levels, bids.size)):
        weight = (levels - i) / levels
        bid += weight * bids[i]
        ask += weight * asks[i]
    return tilt(bid, ask)


flow = Tool(order_flow_imbalance, _push_flow)
micro = Tool(micro_price, _push_micro)
