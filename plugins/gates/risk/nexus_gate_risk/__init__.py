"""Layer 6: what a market's state and an account's losses leave of an entry, and the gates that judge it."""

from nexus_gate_risk.assessed import (
    AgainstMarket,
    Correlation,
    CriticalFlags,
    MarketClass,
    RiskMultiplier,
    RiskScore,
    SignalConfidence,
    Var,
)
from nexus_gate_risk.assessment import Assessment, metrics
from nexus_gate_risk.limits import (
    DailyLoss,
    Drawdown,
    Duplicate,
    Margin,
    MinSize,
    PositionSize,
    StopLoss,
    WeeklyLoss,
)

__all__ = [
    "AgainstMarket",
    "Assessment",
    "Correlation",
    "CriticalFlags",
    "DailyLoss",
    "Drawdown",
    "Duplicate",
    "Margin",
    "MarketClass",
    "MinSize",
    "PositionSize",
    "RiskMultiplier",
    "RiskScore",
    "SignalConfidence",
    "StopLoss",
    "Var",
    "WeeklyLoss",
    "metrics",
]
