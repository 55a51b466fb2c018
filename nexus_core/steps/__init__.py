"""The public toolkit for authors: compiled rolling tools and functions for use inside a step."""

from nexus_core.steps.averages import mean as ewm
from nexus_core.steps.averages import smoothed as wilder
from nexus_core.steps.averages import std as ewm_std
from nexus_core.steps.delta import bar as bar_delta
from nexus_core.steps.delta import session as session_delta
from nexus_core.steps.hawkes import intensity as hawkes
from nexus_core.steps.imbalance import depth_imbalance, tilt
from nexus_core.steps.imbalance import flow as order_flow_imbalance
from nexus_core.steps.imbalance import micro as micro_price
from nexus_core.steps.impact import illiquidity as amihud
from nexus_core.steps.impact import impact as kyle_lambda
from nexus_core.steps.impact import implied as roll_spread
from nexus_core.steps.lines import slope as rolling_slope
from nexus_core.steps.lines import weighted as wma
from nexus_core.steps.moments import mean as rolling_mean
from nexus_core.steps.moments import std as rolling_std
from nexus_core.steps.oscillators import channel as cci
from nexus_core.steps.oscillators import convergence as macd
from nexus_core.steps.oscillators import direction as adx
from nexus_core.steps.oscillators import range_place as stochastic
from nexus_core.steps.oscillators import strength_index as rsi
from nexus_core.steps.plain import blend, clip, exp, log, sqrt, squash, tanh
from nexus_core.steps.profile import volume as profile
from nexus_core.steps.ranges import average as atr
from nexus_core.steps.ranges import bar as true_range
from nexus_core.steps.ranks import quantile as rolling_quantile
from nexus_core.steps.ranks import rank as rolling_rank
from nexus_core.steps.reversion import speed as half_life
from nexus_core.steps.robust import deviation as mad
from nexus_core.steps.robust import score as robust_score
from nexus_core.steps.sessions import vwap as session_vwap
from nexus_core.steps.swings import confirmed as swings
from nexus_core.steps.tool import Tool, record
from nexus_core.steps.toxicity import probability as vpin
from nexus_core.steps.windows import back as lag
from nexus_core.steps.windows import highest as rolling_max
from nexus_core.steps.windows import lowest as rolling_min
from nexus_core.steps.windows import total as rolling_sum

__all__ = [
    "Tool",
    "adx",
    "amihud",
    "atr",
    "bar_delta",
    "blend",
    "cci",
    "clip",
    "depth_imbalance",
    "ewm",
    "ewm_std",
    "exp",
    "half_life",
    "hawkes",
    "kyle_lambda",
    "lag",
    "log",
    "macd",
    "mad",
    "micro_price",
    "order_flow_imbalance",
    "profile",
    "record",
    "robust_score",
    "roll_spread",
    "rolling_max",
    "rolling_mean",
    "rolling_min",
    "rolling_quantile",
    "rolling_rank",
    "rolling_slope",
    "rolling_std",
    "rolling_sum",
    "rsi",
    "session_delta",
    "session_vwap",
    "sqrt",
    "squash",
    "stochastic",
    "swings",
    "tanh",
    "tilt",
    "true_range",
    "vpin",
    "wilder",
    "wma",
]
