"""Follow the cross of two exponential averages: an example to read, not to trade."""

from nexus_core import steps
from nexus_core.strategy import Param, Strategy


class EmaCross(Strategy):
    """Buy where the fast average crosses above the slow one, sell where it crosses below; once each."""

    nexus_api = 1
    category = "trend_following"
    needs = {"bar"}
    horizon = 60

    fast = Param(10, low=1, high=10_000, help="Span of the fast average, in rows")
    slow = Param(30, low=1, high=10_000, help="Span of the slow average, in rows")

    @staticmethod
    def state(params):
        """Return two averages, and the side on which the fast one was last: 1 above, -1 below."""
        return {"fast": steps.ewm(params.fast), "slow": steps.ewm(params.slow), "side": 0}

    @staticmethod
    def step(row, state, params):
        """Answer with the new side where it changed; the first side known is no change."""
        fast = steps.ewm.push(state.fast, row.close)
        slow = steps.ewm.push(state.slow, row.close)
        before = state.side
        if fast > slow:
            state.side = 1
        elif fast < slow:
            state.side = -1
        if before == 0 or state.side == before:
            return 0, 0.0
        return state.side, 1.0
