"""What the strategies say together: from signals and scores to a direction and a confidence for each row.

A score counts by its rank among past ones, where a table tells that. A signal that is neutral, absent, or
below the least confidence is not kept; the sum of those kept gives the direction, their mean the confidence.
"""

from __future__ import annotations

import numpy as np

from nexus_core import compile
from nexus_core.records import ABSENT, LATE
from nexus_core.steps.curves import interpolate

_WEIGHING = """
def entry(rows, order, signals, scores, known, least, directions, confidences, reasons, values, limits):
    strategies = signals.shape[0]
    for n in range(order.size):
        i = np.uint64(order[n])  # an index that cannot be negative needs no wrapping around
        if reasons[i] >= 0:
            continue
        total = 0
        best = 0.0
        confidence = 0.0
        kept = 0
        for k in range(strategies):
            signal = signals[k, i]
            if signal == 0 or signal == ABSENT:
                continue
            own = scores[k, i]
            if known[k, 0, 0] == known[k, 0, 0]:  # it has a table
                own = interpolate(known[k, 0], known[k, 1], own)
            best = max(best, own)
            if own >= least:
                total += signal
                confidence += own
                kept += 1
        if kept == 0:
            reasons[i] = NO_SIGNAL
            values[i] = best
            limits[i] = least
        elif rows[i].flags & LATE != 0:
            reasons[i] = LATE_ROW
        elif total == 0:
            reasons[i] = NO_DIRECTION
        else:
            directions[i] = 1 if total > 0 else -1
            confidences[i] = confidence / kept
"""


def weighing(late: int, no_signal: int, no_direction: int) -> compile.Step:
    """Return the loop over a block's rows; the numbers say in `reasons` why a row ends there."""
    numbers = {"LATE_ROW": late, "NO_SIGNAL": no_signal, "NO_DIRECTION": no_direction}
    return compile.entry("signals", _WEIGHING, {
        "LATE": LATE, "ABSENT": ABSENT, "interpolate": interpolate, "np": np, **numbers,
    })  # fmt: skip
