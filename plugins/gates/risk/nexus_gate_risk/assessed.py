"""The gates that judge an assessment, and the value at risk of the entry itself."""

from __future__ import annotations

import math
from typing import Any

from nexus_core import Gate, Param
from nexus_gate_risk.assessment import metrics


class SignalConfidence(Gate):
    """Refuse an entry whose signal is not trusted enough."""

    nexus_api = 1
    layer, passes, refuses, guard = 6, "ledger", "below", True
    reads = "confidence"
    limit = Param(0.57, low=0.0, high=1.0, help="least confidence of the decision")


class RiskMultiplier(Gate):
    """Refuse an entry of which the assessment leaves too little."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "below"
    reads = "risk_multiplier"
    limit = Param(0.30, low=0.0, high=1.0, help="least risk multiplier")


class MarketClass(Gate):
    """Refuse entries into an adverse market."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "from"
    reads = "market_class"
    limit = Param(2.0, low=1.0, high=3.0, help="first class refused: 1 NEUTRAL, 2 ADVERSE, 3 none")


class AgainstMarket(Gate):
    """Refuse to buy into a falling market, and to sell into a rising one."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "from"
    reads = "against"
    limit = Param(1.0, low=1.0, high=2.0, help="1 refuses entries against the market, 2 lets them through")


class CriticalFlags(Gate):
    """Refuse entries where market quality or liquidity is low."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "above"
    reads = "critical_flags"
    limit = Param(0.0, low=0.0, high=2.0, help="how many of the two critical flags may be set")


class RiskScore(Gate):
    """Refuse an entry whose risk is too high."""

    nexus_api = 1
    layer, passes, refuses, guard = 6, "ledger", "above", True
    reads = "risk_score"
    limit = Param(0.80, low=0.0, high=1.0, help="highest risk score")


class Var(Gate):
    """Refuse an entry that could lose too much at its stop."""

    nexus_api = 1
    layer, passes, halves = 6, "ledger", True
    limit = Param(0.02, low=0.0001, high=1000.0, help="VaR95 as a share of equity; 0.02 is 2 %")

    @staticmethod
    def step(row: Any, account: Any, position: Any, proposal: Any, params: Any) -> float:
        """Return VaR95 as a share of equity; of an entry without a stop its whole notional can be lost."""
        if proposal.equity <= 0 or proposal.price <= 0:
            return math.nan
        size = float(proposal.notional) / float(proposal.equity)
        price = float(proposal.price)
        away = (price - float(proposal.stop)) / price * float(proposal.side)
        return metrics(size, price, proposal.side, away if away > 0.0 else 1.0, 0.0, 0.0)[5]


class Correlation(Gate):
    """Refuse an entry that would only repeat what is open on another symbol."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "from"
    reads = "correlation"
    limit = Param(0.70, low=-1.0, high=2.0, help="correlation with open positions; above 1 refuses none")
