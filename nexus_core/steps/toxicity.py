"""The toxicity of order flow: how one-sided it is, in the time that volume keeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.steps.moments import mean as rolling_mean
from nexus_core.steps.tool import Tool, checked, record


def vpin(window: int) -> np.void:
    """Give the volume-synchronised probability of informed trading over the newest `window` buckets.

    `push(state, bought, sold, bucket)` fills buckets of the quantity `bucket` one after another, in the
    proportion of the two where a row goes into several, and answers the mean of |bought - sold| over the
    bucket's volume, in [0, 1] (Easley, Lopez de Prado and O'Hara 2012, *Flow toxicity and liquidity in a
    high-frequency world*, Review of Financial Studies 25). `state.lean` is the mean of (bought - sold) over
    the volume, in [-1, 1]: to which side. `state.full` counts full buckets. `bucket` may change from push to
    push; it is that of the push which fills a bucket that holds.

    What is negative, NaN or infinite, or is nothing, changes nothing. Until a bucket is full all is NaN; then
    the means are over the buckets so far. A row costs a constant for each bucket it fills, and fills
    `window` buckets at the most: of more, the rest would be forgotten at once.
    """
    rows = checked("vpin", window)
    return record(
        window=rows, full=0, bought=0.0, sold=0.0, value=math.nan, lean=math.nan,
        one_sided=rolling_mean(rows), signed=rolling_mean(rows),
    )  # fmt: skip


@step
def _fill(state: Any, bought: float, sold: float) -> None:
    lean = (bought - sold) / (bought + sold)
    state.value = rolling_mean.push(state.one_sided, abs(lean))
    state.lean = rolling_mean.push(state.signed, lean)
    state.full += 1


def _push(state: Any, bought: float, sold: float, bucket: float) -> float:
    total = bought + sold
    if not (bought >= 0.0 and sold >= 0.0 and 0.0 < total < np.inf and 0.0 < bucket < np.inf):
        return state.value
    room = max(bucket - (state.bought + state.sold), 0.0)
    if total < room:
        state.bought += bought
        state.sold += sold
        return state.value
    part = room / total
    _fill(state, state.bought + part * bought, state.sold + part * sold)
    many = np.floor((total - room) / bucket)
    told = min(many, float(state.window))
    for _ in range(int(told)):
        _fill(state, bought, sold)
    state.full += int(min(many, 1e15) - told)
    rest = min(max(total - room - many * bucket, 0.0), bucket) / total
    state.bought, state.sold = rest * bought, rest * sold
    return state.value


probability = Tool(vpin, _push)
