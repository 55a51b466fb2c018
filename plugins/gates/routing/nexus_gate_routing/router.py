"""From how far and how strongly strategies lean, to chances of either side and one confidence."""

from __future__ import annotations

from nexus_core import step, steps


@step
def sides(lean, trust):
    """Return the router's chances to buy and to sell.

    The side leant to has (|lean| + 1) / 2, the other the rest, both times trust. NaN stays NaN.
    """
    toward = min((abs(lean) + 1.0) / 2.0, 1.0) if lean == lean else lean
    away = 1.0 - toward
    return (toward * trust, away * trust) if lean > 0.0 else (away * trust, toward * trust)


@step
def conviction(lean, strength):
    """Return |lean| x strength, each held within [0, 1]: what the router's table ranks. NaN stays NaN."""
    return steps.clip(abs(lean), 0.0, 1.0) * steps.clip(strength, 0.0, 1.0)


@step
def worth(lean, confidence, unit):
    """Return the estimate of what acting is worth, signed: lean x confidence x unit."""
    return lean * confidence * unit
