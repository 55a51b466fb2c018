"""How far each model is trusted, from its record, and what mean trust asks of a decision.

A slot that no model fills is filled by the rule of the chain. A rule is trusted wholly, and does not count in
the mean, where it would hide a bad model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core import step, steps

MODELS = 15
"""Slots whose models are governed."""

TRUST = np.dtype(
    [
        (
            "card",
            "f8",
            (MODELS,),
        ),  # accuracy out of sample by the model's card; NaN where a rule fills the slot
        ("predictions", "f8", (MODELS,)),  # counted so far
        ("rights", "f8", (MODELS,)),  # of those, how many came right
        ("returns", "f8", (MODELS,)),  # epochs whose return is known
        ("total", "f8", (MODELS,)),  # sum of those returns, fractions
        ("squares", "f8", (MODELS,)),  # sum of their squares
        ("trust", "f8", (MODELS,)),  # from here on: worked out of the above by `govern`
        ("retrain", "f8", (MODELS,)),  # 1 where the model is to be trained again, else 0
        ("mean_trust", "f8"),
        ("flagged", "f8"),  # models to be trained again
        ("year", "f8"),  # epochs in a year
    ],
    align=True,
)
"""The record of all models, and what follows from it until the next epoch edge."""

HIGHEST_SHARPE = 2.0
"""Where the formula of trust stops counting a Sharpe ratio, and how far below zero one is believed."""

_DAY = 86_400_000_000_000
_LONG_EPOCH = 21
"""Rows of an epoch where rows last a day or longer; others have epochs of a day."""


def unproven(interval: int, days_a_year: float) -> np.void:
    """Return the record of slots that rules fill, for rows `interval` nanoseconds apart."""
    made: Any = np.zeros((), TRUST)
    made["card"], made["trust"], made["mean_trust"] = np.nan, 1.0, 1.0
    epoch = _LONG_EPOCH * interval if interval >= _DAY else _DAY
    made["year"] = days_a_year * _DAY / epoch
    return made[()]


@step
def weigh(accuracy, sharpe):
    """Return trust in [0, 1]: 0.6 accuracy + 0.4 min(sharpe / 2, 1); 0 where something is unknown."""
    if not (accuracy == accuracy and sharpe == sharpe):
        return 0.0
    return steps.clip(0.6 * accuracy + 0.4 * min(sharpe / HIGHEST_SHARPE, 1.0), 0.0, 1.0)


@step
def drawn(mean, count, start, pseudo):
    """Return the mean of `count` values, drawn to `start` as if `pseudo` more had that value."""
    return (count * mean + pseudo * start) / (count + pseudo)


@step
def sharpe_of(returns, total, squares, year):
    """Return mean over standard deviation of the epochs' returns, a year's, held within [-2, 2].

    It takes two returns at least. Returns that are all the same have no deviation: the sign of what they made
    stands for a ratio beyond the bounds.
    """
    mean = total / returns
    variance = (squares - total * mean) / (returns - 1.0)
    if variance > 0.0:
        return steps.clip(mean / steps.sqrt(variance) * steps.sqrt(year), -HIGHEST_SHARPE, HIGHEST_SHARPE)
    return HIGHEST_SHARPE * ((1.0 if mean > 0.0 else 0.0) - (1.0 if mean < 0.0 else 0.0))


@step
def trust_of(models, k, pseudo):
    """Return how far the model of slot `k` is trusted: 1 for a rule, the card's accuracy for a new model."""
    card = models.card[k]
    if card != card:
        return 1.0
    predictions, returns = models.predictions[k], models.returns[k]
    share = models.rights[k] / predictions if predictions > 0.0 else 0.0
    accuracy = drawn(share, predictions, card, pseudo)
    sharpe, known = 0.0, 0.0
    if returns >= 2.0:
        sharpe = sharpe_of(returns, models.total[k], models.squares[k], models.year)
        known = returns
    return weigh(accuracy, drawn(sharpe, known, HIGHEST_SHARPE * card, pseudo))


@step
def is_stale(models, k, least, after):
    """Tell whether a model's own accuracy is below `least` over more than `after` predictions."""
    card, predictions = models.card[k], models.predictions[k]
    return card == card and predictions > after and models.rights[k] / predictions < least


@step
def settle(models, k, predictions, rights, gained):
    """Count what became of one epoch's predictions of the model of slot `k`; impossible counts are left out.

    `gained` is the epoch's net return of going the model's way, a fraction; NaN for a model that says no way.
    """
    if predictions > 0.0 and 0.0 <= rights <= predictions:
        models.predictions[k] += predictions
        models.rights[k] += rights
        if gained - gained == 0.0:
            models.returns[k] += 1.0
            models.total[k] += gained
            models.squares[k] += gained * gained


@step
def govern(models, params):
    """Work out trust, mean trust and retrain flags anew, at an epoch edge."""
    total, asked, flagged = 0.0, 0.0, 0.0
    for k in range(MODELS):
        trust = trust_of(models, k, params.pseudo)
        stale = 1.0 if is_stale(models, k, params.retrain_accuracy, params.retrain_after) else 0.0
        models.trust[k], models.retrain[k] = trust, stale
        if models.card[k] == models.card[k]:
            total += trust
            asked += 1.0
        flagged += stale
    models.mean_trust = total / asked if asked > 0.0 else 1.0
    models.flagged = flagged


@step
def least(mean_trust, enough, trusted, doubted):
    """Return the threshold `trusted` where mean trust is above `enough`, else `doubted`."""
    return trusted if mean_trust > enough else doubted
