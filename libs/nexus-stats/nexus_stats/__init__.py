"""Statistics that say what a signal is worth, and how sure that is."""

from nexus_stats.calibration import Table, fit
from nexus_stats.intervals import Interval, bootstrap, effective, mean, wilson
from nexus_stats.labels import Outcomes, Touches, outcomes, triple_barrier
from nexus_stats.quality import (
    HitRates,
    Reliability,
    brier,
    brier_skill,
    calibration_error,
    coverage,
    ece,
    hit_rates,
    reliability,
    turnover,
)
from nexus_stats.splits import combinatorial, k_fold, paths, walk_forward

__all__ = [
    "HitRates",
    "Interval",
    "Outcomes",
    "Reliability",
    "Table",
    "Touches",
    "bootstrap",
    "brier",
    "brier_skill",
    "calibration_error",
    "combinatorial",
    "coverage",
    "ece",
    "effective",
    "fit",
    "hit_rates",
    "k_fold",
    "mean",
    "outcomes",
    "paths",
    "reliability",
    "triple_barrier",
    "turnover",
    "walk_forward",
    "wilson",
]
