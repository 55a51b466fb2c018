"""Layer 4: from what the strategies say, weighted, to one direction, its strength and its chance."""

import math

import numpy as np

from nexus_core import Gate, Layer, Param, step, steps
from nexus_gate_aggregation import statistics


@step
def _chance(voices, direction, even, pseudo):
    """Return P(target before stop) of the calibrated strategies that go this way, each by its say."""
    chance, say = 0.0, 0.0
    for k in range(voices.size):
        voice = voices[k]
        goes_along = statistics.has_signal(voice) and voice.signal * direction > 0.0
        if not goes_along or voice.right != voice.right:
            continue
        own = voice.weight * voice.confidence
        chance += own * (voice.hits + pseudo * even) / (voice.hits + voice.misses + pseudo)
        say += own
    return chance / say if say > 0.0 else np.float64(math.nan)


class Aggregation(Layer):
    """Add the strategies up, each by its weight and its confidence, to one opinion."""

    nexus_api = 1
    layer = 4
    writes = {"strength": 1, "agreement": 1, "aggregation_inputs": len(statistics.STATISTICS)}

    hold = Param(0.3, low=0.0, high=1.0, help="how far the lean must reach beyond to be a direction")
    reward = Param(2.0, low=0.01, high=100.0, help="distance of the target over that of the stop")
    pseudo_trades = Param(200, low=1, high=1_000_000, help="trades without an edge, added to a record")

    @staticmethod
    def step(row, context, voices, params):
        """Take what the strategies say of a row: lean, direction, strength, chance, and 20 statistics."""
        out = context.aggregation_inputs
        said, say = statistics.add_up(voices, out)
        kept = statistics.divide(out)
        context.hold, context.lean, context.direction = params.hold, 0.0, 0.0
        if kept > 0.0:
            statistics.spread_out(voices, out, said / say, say)
        if say > 0.0:  # else nobody has a say, or one of unknown size
            context.lean = steps.clip(said / say, -1.0, 1.0)
        out[13] = context.lean
        if abs(context.lean) > params.hold:
            context.direction = math.copysign(1.0, context.lean)
        context.agreement = abs(context.lean)
        context.strength = context.confidence = out[2] if kept > 0.0 else 0.0
        even = 1.0 / (1.0 + params.reward)
        context.chance = _chance(voices, context.direction, even, params.pseudo_trades)


class Strength(Gate):
    """Refuse an opinion whose voices are not sure enough of themselves."""

    nexus_api = 1
    layer, passes, refuses = 4, "market", "below"
    reads, bound = "strength", "least_strength"
    limit = Param(0.50, low=0.0, high=1.0, help="mean confidence of the strategies with a signal")


class Agreement(Gate):
    """Refuse an opinion that is hardly one: the voices cancel out."""

    nexus_api = 1
    layer, passes, refuses, guard = 4, "market", "below", True
    reads = "agreement"
    limit = Param(0.20, low=0.0, high=1.0, help="how far the lean must be from 0")
