"""The quality of a market: the layer that works it out, and the three gates that judge by it."""

from nexus_core import Gate, Param
from nexus_gate_quality.quality import Quality

__all__ = ["Composite", "Liquidity", "Quality", "Regime"]


class Composite(Gate):
    """Refuse a market whose quality as a whole is too low."""

    nexus_api = 1
    layer, passes, refuses = 1, "market", "below"
    reads = "mqscore"
    limit = Param(0.45, low=0.0, high=1.0, help="least mqscore, from 0 to 1; strict is 0.50")


class Liquidity(Gate):
    """Refuse a market in which too little can be traded, or at too much cost."""

    nexus_api = 1
    layer, passes, refuses = 1, "market", "below"
    reads = "liquidity"
    limit = Param(0.30, low=0.0, high=1.0, help="least liquidity, from 0 to 1")


class Regime(Gate):
    """Refuse a market whose regime is dangerous."""

    nexus_api = 1
    layer, passes, refuses = 1, "market", "from"
    reads = "danger"
    limit = Param(
        2,
        low=1,
        high=4,
        help="danger that is refused: 1 high noise (strict), 2 high volatility with low liquidity, 3 crisis, "
        "4 none",
    )
