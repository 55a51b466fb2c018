"""Points in time that excite one another: how many come a second, and how many usually do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.errors import PluginError
from nexus_core.steps.plain import exp
from nexus_core.steps.tool import Tool, record

_SECOND = 1e-9


def hawkes(decay: float, memory: float, share: float = 0.8) -> np.void:
    """Estimate the intensity of marked points in time that excite one another, in marks a second.

    `push(state, ts, mark)` takes a point at `ts` nanoseconds, or with a mark of 0 nothing but the time, and
    answers the intensity right after it, as of Hawkes (1971), *Spectra of some self-exciting and mutually
    exciting point processes*, Biometrika 58:

        (1 - share) base + share sum(mark_i exp(-(ts - ts_i) / decay)) / decay

    over the points up to `ts`. `share` in [0, 1) is the part of the points that others bring about, `decay`
    the seconds in which the excitement falls to 1/e. The `base` is the mean rate, marks a second since the
    first push, with weights that fall to 1/e in `memory` seconds; it is `state.base`, and `state.ratio` is
    intensity over base: 1 is usual. The first push begins the time, its mark is in the excitement alone.

    A mark that is negative, NaN or infinite counts as 0; a time before the newest counts as the newest.
    Until time has gone by, base, intensity and ratio are NaN; the ratio is NaN where no mark has come since.
    """
    for name, value in (("decay", decay), ("memory", memory)):
        if isinstance(value, bool) or not 0.0 < value < math.inf:
            raise PluginError(
                f"steps.hawkes: {name} was {value!r}, must be a number of seconds above 0. "
                "Give the parameter it comes from that lower bound."
            )
    if isinstance(share, bool) or not 0.0 <= share < 1.0:
        raise PluginError(
            f"steps.hawkes: the share was {share!r}, must be in [0, 1). "
            "Give the parameter it comes from those bounds."
        )
    return record(
        decay=float(decay), memory=float(memory), share=float(share), begun=0, last=0, excited=0.0,
        usual=0.0, seen=0.0, base=math.nan, intensity=math.nan, ratio=math.nan,
    )  # fmt: skip


def _push(state: Any, ts: int, mark: float) -> float:
    known = mark if 0.0 < mark < np.inf else 0.0
    if state.begun == 0:
        state.begun, state.last, state.excited = 1, ts, known
        return state.intensity
    if ts > state.last:
        gone = (ts - state.last) * _SECOND
        keep = exp(-gone / state.memory)
        state.excited *= exp(-gone / state.decay)
        state.usual *= keep
        state.seen = state.seen * keep + state.memory * (1.0 - keep)  # seconds that the base is taken over
        state.last = ts
    state.excited += known
    state.usual += known
    if state.seen > 0.0:
        state.base = state.usual / state.seen
        state.intensity = (1.0 - state.share) * state.base + state.share * state.excited / state.decay
        state.ratio = state.intensity / state.base if state.base > 0.0 else np.float64(np.nan)
    return state.intensity


intensity = Tool(hawkes, _push)
