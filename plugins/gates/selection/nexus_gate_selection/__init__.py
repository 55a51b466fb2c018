"""Layer 3: how much each strategy counts in the market at hand, and how unusual the row is."""

import math

from nexus_core import Gate, Layer, Param, steps
from nexus_core.records import ABSENT
from nexus_gate_selection import affinity, inputs, unusual


class Selection(Layer):
    """Weigh the strategies by the state of the market and by their record; say how unusual a row is."""

    nexus_api = 1
    layer = 3
    reads = (
        "momentum", "volatility", "liquidity", "imbalance", "trend_strength", "noise", "regime",
        "probabilities",
    )  # fmt: skip
    writes = {
        "p_trend": 1, "p_range": 1, "p_volatile": 1, "anomaly": 1, "anomaly_by": 1, "market_state": 1,
        "selection_inputs": len(inputs.INPUTS),
    }  # fmt: skip
    words = {"market_state": affinity.STATES, "anomaly_by": unusual.QUANTITIES}

    window = Param(240, low=20, high=10_000, help="rows that usual values are taken over")
    least = Param(20, low=2, high=10_000, help="returns before which no anomaly is known")
    far = Param(6.0, low=0.1, high=1000.0, help="deviations from the usual at which the anomaly is 0.8")
    halve_above = Param(1.0, low=0.0, high=1.0, help="anomaly above which the size is halved; 1 halves none")
    wild_above = Param(0.8, low=0.0, high=1.0, help="volatility above which every weight is tamed")
    tame = Param(0.7, low=0.0, high=1.0, help="what is left of every weight then")
    use_record = Param(True, low=0, high=1, help="whether a record of being wrong takes from a weight")
    pseudo_signals = Param(100, low=1, high=1_000_000, help="signals, half of them right, added to a record")

    @staticmethod
    def state(params, interval):
        """Return a symbol's state before its first row."""
        parts = {name: unusual.usual(params.window) for name in ("change", "span", "volume", "spread")}
        return {"price": math.nan, "returns": 0, "trends": inputs.trends(), **parts}

    @staticmethod
    def watch(row, context, state, params):
        """Take one row: say how unusual it is, and what a model may see of it."""
        shown, is_bar = context.selection_inputs, unusual.is_bar(row)
        price = steps.log(row.close) if is_bar else math.nan
        change = price - state.price
        if is_bar:
            state.price = price
        shown[0] = unusual.away(state.change, change, 0.0)
        shown[5] = unusual.away(state.volume, steps.log(row.volume), unusual.FLOOR)
        shown[33] = unusual.away(state.spread, unusual.spread_of(row), unusual.FLOOR)
        shown[38] = unusual.away(state.span, steps.log((row.high - row.low) / row.close), unusual.FLOOR)
        inputs.show_price(shown, state.trends, price, state.change.deviation)
        inputs.show_volume(shown, state.trends, row.volume, change)
        inputs.show_row(shown, state.trends, row)
        if state.returns >= params.least and not unusual.is_crossed(row):
            made = unusual.score(shown[0], shown[38], shown[5], shown[33], params.far)
            context.anomaly, context.anomaly_by = made
        state.returns += int(change == change)

    @staticmethod
    def step(row, context, voices, params):
        """Weigh the voices of a row that is still alive, by the regimes of layer 1 and by their record."""
        shown = context.selection_inputs
        context.p_trend = affinity.group(context.probabilities, affinity.TREND)
        context.p_range = affinity.group(context.probabilities, affinity.RANGE)
        context.p_volatile = affinity.group(context.probabilities, affinity.VOLATILE)
        context.market_state = affinity.largest(context.p_trend, context.p_range, context.p_volatile)
        inputs.show_quality(shown, context)
        shown[inputs.RECORDS : inputs.RECORDS + inputs.PLACES] = 0.5
        common = params.tame if context.volatility > params.wild_above else 1.0
        for k in range(voices.size):
            voice = voices[k]
            if voice.signal == 0 or voice.signal == ABSENT:
                continue
            right = affinity.accuracy(voice.rights, voice.wrongs, params.pseudo_signals)
            if k < inputs.PLACES:
                shown[inputs.RECORDS + k] = right
            factor = affinity.record_factor(right) if params.use_record else 1.0
            voice.weight = common * factor * affinity.affinity(voice.category, context.market_state)
        if not context.anomaly <= params.halve_above:
            context.scale *= 0.5


class Anomaly(Gate):
    """Refuse a row that is too unusual for the strategies to know anything of it."""

    nexus_api = 1
    layer, passes, refuses = 3, "market", "above"
    reads = "anomaly"
    limit = Param(0.80, low=0.0, high=1.0, help="anomaly from 0 to 1; 0.8 is a row in a thousand when quiet")
