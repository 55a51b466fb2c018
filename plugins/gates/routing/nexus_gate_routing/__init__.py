"""Layer 5: how far models are trusted, what the router makes of a lean, and the two gates on it."""

from typing import Any

import numpy as np

from nexus_core import Gate, Layer, Param, step, steps
from nexus_core.calibration import KNOTS
from nexus_core.records import ABSENT
from nexus_core.steps.curves import interpolate
from nexus_core.steps.tool import record
from nexus_core.strategy import Parameters
from nexus_gate_routing import governor, router
from nexus_gate_routing.governor import MODELS
from nexus_gate_routing.table import Table, find

INPUTS = 126
"""Numbers that a model of the router is asked with."""

_SIGNALS, _MARKET = 3, 7
_TRUSTS = _SIGNALS + _MARKET
_PADDING = _TRUSTS + MODELS


class _Tabled(Parameters):
    """Parameters that hand the router's table to the compiled steps; NaN where there is none."""

    def __init__(self, values: Any, table: Table | None) -> None:
        super().__init__(values)
        self._table = table

    def by_name(self) -> dict[str, Any]:
        return {name: each for name, each in super().by_name().items() if name != "_table"}

    def record(self) -> Any:
        none = np.full(KNOTS, np.nan)
        scores, ranks = (none, none) if self._table is None else (self._table.scores, self._table.ranks)
        return np.array([record(**self.by_name(), scores=scores, ranks=ranks)])


@step
def gather(context, voices, inputs):
    """Lay out what a model of the router is asked with; what is unknown stays NaN, the padding is 0.

    Nobody asks one where its slot is filled by the rule: then nothing is laid out.
    """
    speaking, lean = 0.0, steps.clip(context.lean, -1.0, 1.0)
    strength = context.strength if context.strength == context.strength else context.confidence
    for k in range(voices.size):
        signal = voices[k].signal
        speaking += 1.0 if signal != 0 and signal != ABSENT else 0.0
    inputs[0], inputs[1], inputs[2] = lean, strength, speaking
    inputs[3], inputs[4], inputs[5] = context.mqscore, context.regime, context.volatility
    inputs[6], inputs[7] = context.liquidity, context.momentum
    inputs[8], inputs[9] = context.trend_strength, context.noise
    for k in range(MODELS):
        inputs[_TRUSTS + k] = context.trust[k]
    for k in range(_PADDING, INPUTS):
        inputs[k] = 0.0


class Routing(Layer):
    """Govern the trust in models, and route a lean into a confidence.

    The confidence is the rank of |lean| x strength among past decisions, by a table; without a table
    |lean| x strength itself. `literal` takes the rule p x strength in its place.
    """

    nexus_api = 1
    layer = 5
    reads = (
        "strength",
        "mqscore",
        "regime",
        "volatility",
        "liquidity",
        "momentum",
        "trend_strength",
        "noise",
    )
    writes = {
        "p_buy": 1,
        "p_sell": 1,
        "action_probability": 1,
        "conviction": 1,
        "routed": 1,
        "routed_by": 1,
        "value": 1,
        "mean_trust": 1,
        "least_confidence": 1,
        "least_strength": 1,
        "position_scaler": 1,
        "trust_multiplier": 1,
        "retrain": 1,
        "trust": MODELS,
    }
    words = {"routed_by": ("raw", "table", "literal")}

    literal = Param(False, low=0, high=1, help="take p x strength for the confidence, as the rule is written")
    pseudo = Param(100.0, low=0.000001, high=1e6, help="outcomes that a model's card counts for")
    enough_for_confidence = Param(
        0.7, low=0.0, high=1.0, help="mean trust above which confidence may be lower"
    )
    trusted_confidence = Param(0.70, low=0.0, high=1.0, help="least confidence where models are trusted")
    doubted_confidence = Param(0.75, low=0.0, high=1.0, help="least confidence where they are not")
    enough_for_strength = Param(0.6, low=0.0, high=1.0, help="mean trust above which strength may be lower")
    trusted_strength = Param(0.5, low=0.0, high=1.0, help="least strength where models are trusted")
    doubted_strength = Param(0.6, low=0.0, high=1.0, help="least strength where they are not")
    multiplier = Param(1.2, low=0.0, high=1.2, help="the risk multiplier of full trust")
    retrain_accuracy = Param(
        0.55, low=0.0, high=1.0, help="accuracy below which a model is to be trained again"
    )
    retrain_after = Param(100.0, low=0.0, high=1e9, help="predictions that it takes more of to say so")
    days_a_year = Param(365.0, low=1.0, high=366.0, help="days in a year on which the market is open")
    unit = Param(0.01, low=0.0, high=1.0, help="what a lean of 1 at a confidence of 1 is worth, a fraction")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.table = find()
        """The router's table, if one was fitted."""
        self.params = _Tabled(self.params.by_name(), self.table)

    @staticmethod
    def state(params, interval):
        """Return the record of models before their first outcome: every slot is filled by its rule."""
        return {"models": governor.unproven(interval, params.days_a_year)}

    @staticmethod
    def watch(row, context, state, params):
        """Write what the governor says until the next epoch edge."""
        models = state.models
        trust = models.mean_trust
        context.mean_trust = trust
        context.position_scaler = trust
        context.trust_multiplier = trust * params.multiplier
        context.retrain = models.flagged
        context.least_confidence = governor.least(
            trust, params.enough_for_confidence, params.trusted_confidence, params.doubted_confidence
        )
        context.least_strength = governor.least(
            trust, params.enough_for_strength, params.trusted_strength, params.doubted_strength
        )
        for k in range(MODELS):
            context.trust[k] = models.trust[k]

    @staticmethod
    def step(row, context, voices, params):
        """Route one decision: its confidence becomes the router's, its size follows the trust in models."""
        lean = steps.clip(context.lean, -1.0, 1.0)
        # no layer 4: what the kernel's confidence says of the kept voices is the same mean
        strength = context.strength if context.strength == context.strength else context.confidence
        p_buy, p_sell = router.sides(lean, context.mean_trust)
        p = p_buy if p_buy > p_sell else p_sell
        conviction = router.conviction(lean, strength)
        routed, by = conviction, 0.0
        if params.literal:
            routed, by = p * steps.clip(strength, 0.0, 1.0), 2.0
        elif params.scores[0] == params.scores[0]:
            routed, by = interpolate(params.scores, params.ranks, conviction), 1.0
        context.p_buy, context.p_sell, context.action_probability = p_buy, p_sell, p
        context.conviction, context.routed, context.routed_by = conviction, routed, by
        context.value = router.worth(lean, routed, params.unit)
        context.confidence = routed
        context.scale *= context.position_scaler


class Action(Gate):
    """Refuse what the router gives neither side enough of a chance."""

    nexus_api = 1
    layer, passes, refuses, guard = 5, "market", "to", True
    reads = "action_probability"
    limit = Param(0.6, low=0.0, high=1.0, help="the likelier side's chance, times the trust in models")


class Confidence(Gate):
    """Refuse what the router is not confident of."""

    nexus_api = 1
    layer, passes, refuses = 5, "market", "below"
    reads, bound = "routed", "least_confidence"
    limit = Param(0.70, low=0.0, high=1.0, help="the router's confidence; the governor may ask for more")
