"""The contracts of the layer assessment and of its gates."""

from nexus_core.testing import GateContract, LayerContract


class TestAssessmentLayer(LayerContract):
    layer = "assessment"


class TestDuplicate(GateContract):
    gate = "duplicate"


class TestPositionSize(GateContract):
    gate = "position-size"


class TestDailyLoss(GateContract):
    gate = "daily-loss"


class TestWeeklyLoss(GateContract):
    gate = "weekly-loss"


class TestDrawdown(GateContract):
    gate = "drawdown"


class TestSignalConfidence(GateContract):
    gate = "signal-confidence"


class TestRiskMultiplier(GateContract):
    gate = "risk-multiplier"


class TestMarketClass(GateContract):
    gate = "market-class"


class TestAgainstMarket(GateContract):
    gate = "against-market"


class TestCriticalFlags(GateContract):
    gate = "critical-flags"


class TestRiskScore(GateContract):
    gate = "risk-score"


class TestMargin(GateContract):
    gate = "margin"


class TestVar(GateContract):
    gate = "var"


class TestCorrelation(GateContract):
    gate = "correlation"


class TestStopLoss(GateContract):
    gate = "stop-loss"


class TestMinSize(GateContract):
    gate = "min-size"
