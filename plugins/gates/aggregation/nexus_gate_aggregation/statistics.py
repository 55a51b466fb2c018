"""The 20 numbers that a model of layer 4 is shown."""

import math

import numpy as np

from nexus_core import step, steps
from nexus_core.records import ABSENT

STATISTICS = (
    "signal_mean",
    "signal_std",
    "confidence_mean",
    "confidence_std",
    "weight_mean",
    "weight_std",
    "buys",
    "sells",
    "neutrals",
    "confidence_min",
    "confidence_max",
    "weight_min",
    "weight_max",
    "lean",
    "share",
    "dissent",
    "side",
    "loudest",
    "strong",
    "right",
)
"""What stands at each place."""

COUNTS = (6, 7, 8, 18)
"""Places that are known also where no strategy has a signal."""


@step
def has_signal(voice):
    """Tell whether a strategy says buy or sell, and its signal was kept."""
    return voice.signal != 0 and voice.signal != ABSENT


@step
def add_up(voices, out):
    """Write counts, extremes and sums; return the sum of the signals by their say, and the sum of the say."""
    said, say = 0.0, 0.0
    for n in range(out.size):
        out[n] = 0.0
    out[9], out[10], out[11], out[12] = math.inf, -math.inf, math.inf, -math.inf
    for k in range(voices.size):
        voice = voices[k]
        if not has_signal(voice):
            out[8] += int(voice.signal == 0)
            continue
        said += voice.signal * voice.weight * voice.confidence
        say += voice.weight * voice.confidence
        out[0] += voice.signal
        out[2] += voice.confidence
        out[4] += voice.weight
        out[6] += int(voice.signal > 0)
        out[7] += int(voice.signal < 0)
        out[9] = min(out[9], voice.confidence)
        out[10] = max(out[10], voice.confidence)
        out[11] = min(out[11], voice.weight)
        out[12] = max(out[12], voice.weight)
        out[18] += int(abs(voice.signal) == 2)
    return said, say


@step
def divide(out):
    """Turn sums into means; return how many strategies have a signal. Without any only counts are known."""
    kept = out[6] + out[7]
    if kept == 0.0:
        for n in range(out.size):
            if n not in COUNTS:
                out[n] = math.nan
        return kept
    for n in (0, 2, 4):
        out[n] /= kept
    out[14] = kept / (kept + out[8])
    return kept


@step
def spread_out(voices, out, mean, say):
    """Write deviations from the means, and who has how much of the say; `mean` is the lean, not yet held."""
    calibrated, right = 0, 0.0
    for k in range(voices.size):
        voice = voices[k]
        if not has_signal(voice):
            continue
        own, off = voice.weight * voice.confidence, voice.signal - mean
        out[1] += (voice.signal - out[0]) * (voice.signal - out[0])
        out[3] += (voice.confidence - out[2]) * (voice.confidence - out[2])
        out[5] += (voice.weight - out[4]) * (voice.weight - out[4])
        out[15] += own * off * off
        out[16] += own * int(voice.signal * mean > 0.0)
        out[17] = max(out[17], own)
        if voice.right == voice.right:
            calibrated += 1
            right += voice.right
    kept = out[6] + out[7]
    for n in (1, 3, 5):
        out[n] = steps.sqrt(out[n] / kept)
    out[15] = steps.sqrt(out[15] / say)
    out[16] /= say
    out[17] /= say
    out[19] = right / calibrated if calibrated > 0 else np.float64(math.nan)
