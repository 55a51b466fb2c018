"""Trade runs of volume bars whose buying or selling is beyond what is expected.

Rows are cut into bars of equal volume, on which order flow is steadier than on bars of equal time (López de
Prado 2018, *Advances in financial machine learning*, chapter 2). A bar's imbalance is its net share of
aggressive volume; it is an imbalance bar where that is beyond its expected value, an exponentially weighted
mean of the bars before, as that chapter expects it, by more deviations than usual. A run of them on one side
is what an order that was cut into pieces leaves behind (Lillo and Farmer 2004, *The long memory of the
efficient market*, Studies in Nonlinear Dynamics and Econometrics 8). Prices turned over, p -> 2 p0 - p, with
bought and sold changed, give the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

MOST = 64
"""Volume bars that a row can end; what it traded beyond that many is dropped."""


class VolumeImbalance(Strategy):
    """Buy a run of bars of more buying than expected, sell one of more selling."""

    nexus_api = 1
    category = "order_flow"
    needs = {"volume"}
    horizon = 15
    row_seconds = 60.0
    slot = "pattern-recognition"
    targets = {"within": 15, "hits": 0.95, "false": 4.0, "precision": 0.85, "recall": 0.4}

    bucket = Param(2.0, low=0.05, high=20.0, help="Volume of a bar, in usual volumes of a row")
    usual = Param(240, low=10, high=10_000, help="Rows over which volume is usual, and bars expected")
    beyond = Param(0.8, low=0.1, high=10.0, help="Deviations from the expected imbalance that count")
    run = Param(6, low=1, high=100, help="Imbalance bars of one side, one after another, that signal")

    @property
    def warmup(self) -> int:
        """Return the rows over which volume is usual."""
        return self.params.usual

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "volumes": steps.ewm(params.usual),
            "signed": steps.bar_delta(),
            "expected": steps.ewm(params.usual),
            "spread": steps.ewm_std(params.usual),
            "mean": math.nan,  # imbalance that is expected of a bar
            "deviation": math.nan,
            "size": math.nan,  # volume of the forming bar when it is full
            "volume": 0.0,  # of the forming bar
            "delta": 0.0,
            "run": 0,  # imbalance bars one after another, by their side
            "excess": 0.0,  # deviations beyond the expected, summed over the run
        }

    @staticmethod
    def step(row, state, params):
        """Take one row, cut into volume bars; answer the side of a run that is long enough and goes on."""
        delta = steps.bar_delta.push(state.signed, row)
        if not (0.0 < row.volume < math.inf and delta - delta == 0.0):
            return 0, 0.0
        left, share = row.volume, steps.clip(delta / row.volume, -1.0, 1.0)
        ended = 0
        while state.size == state.size and state.volume + left >= state.size and ended < MOST:
            part = state.size - state.volume
            left -= part
            _close(state, params, (state.delta + share * part) / state.size)
            ended += 1
        usual = steps.ewm.push(state.volumes, row.volume)
        if state.size != state.size or ended > 0:
            state.size = params.bucket * usual
            state.volume, state.delta = 0.0, 0.0
        if ended < MOST:
            state.volume += left
            state.delta += share * left
        if ended == 0 or abs(state.run) < params.run:
            return 0, 0.0
        side = 1 if state.run > 0 else -1
        return side, steps.squash(abs(state.excess) / (params.run * params.beyond))

    @staticmethod
    def blend(row, signal, score, opinion):
        """Blend a model's opinion in."""
        return steps.blend(signal, score, opinion, 0.3)


@compile.step
def _close(state, params, imbalance):
    """End a volume bar: lengthen the run, or begin another, and learn what to expect."""
    away = (imbalance - state.mean) / state.deviation
    state.mean = steps.ewm.push(state.expected, imbalance)
    state.deviation = steps.ewm_std.push(state.spread, imbalance)
    state.volume, state.delta = 0.0, 0.0
    if not abs(away) > params.beyond or abs(away) == math.inf:
        state.run, state.excess = 0, 0.0
        return
    side = 1 if away > 0.0 else -1
    if state.run * side < 0:
        state.run, state.excess = 0, 0.0
    state.run += side
    state.excess += away
