"""The limits of account, size and order, and the rule of one position a symbol."""

import math

from nexus_core import Gate, Param, step


@step
def _lost(since, equity):
    return (float(since) - float(equity)) / float(since) if since > 0 else math.nan


class Duplicate(Gate):
    """Refuse an entry while an order or a position stands on the symbol."""

    nexus_api = 1
    layer, passes = 4, "ledger"
    limit = Param(0.0, low=0.0, high=0.0, help="orders and positions that may stand on the symbol already")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return 1 where something stands on the symbol, else 0."""
        return float(proposal.occupied)


class PositionSize(Gate):
    """Refuse an entry that is too large a share of equity."""

    nexus_api = 1
    layer, passes, halves = 6, "ledger", True
    setting = "max_position_size"
    limit = Param(0.10, low=0.0001, high=100.0, help="share of equity; 0.10 is 10 %")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the entry's notional as a share of equity; NaN where there is no equity."""
        return float(proposal.notional) / float(proposal.equity) if proposal.equity > 0 else math.nan


class DailyLoss(Gate):
    """Refuse entries once too much is lost since the UTC day began."""

    nexus_api = 1
    layer, passes, refuses, halves = 6, "ledger", "from", True
    setting = "max_daily_loss"
    limit = Param(0.02, low=0.0001, high=1.0, help="share of the equity the day began with; 0.02 is 2 %")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the share lost since the day began; negative after a gain."""
        return _lost(account.day_start, proposal.equity)


class WeeklyLoss(Gate):
    """Refuse entries once too much is lost since the UTC week began, on Monday."""

    nexus_api = 1
    layer, passes, refuses, halves = 6, "ledger", "from", True
    setting = "max_weekly_loss"
    limit = Param(0.05, low=0.0001, high=1.0, help="share of the equity the week began with; 0.05 is 5 %")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the share lost since the week began; negative after a gain."""
        return _lost(account.week_start, proposal.equity)


class Drawdown(Gate):
    """Refuse entries once equity has fallen too far from its peak."""

    nexus_api = 1
    layer, passes, refuses, halves = 6, "ledger", "from", True
    setting = "max_drawdown"
    limit = Param(0.15, low=0.0001, high=1.0, help="share of the highest equity; 0.15 is 15 %")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the share lost since the highest equity."""
        return _lost(account.peak, proposal.equity)


class Margin(Gate):
    """Refuse an entry that the free margin does not cover with room to spare."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "below"
    limit = Param(1.10, low=1.0, high=100.0, help="free margin over the margin required; 1.10 is 110 %")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the free margin as a multiple of what the entry would hold."""
        free = float(proposal.equity) - float(account.margin)
        return free / float(proposal.margin) if proposal.margin > 0 else math.nan


class StopLoss(Gate):
    """Refuse an entry without a stop on its losing side."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "below"
    limit = Param(1.0, low=0.0, high=1.0, help="1 demands a stop, 0 does without")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return 1 where a stop stands on the losing side of the price, else 0."""
        return 1.0 if proposal.stop > 0 and (proposal.price - proposal.stop) * proposal.side > 0 else 0.0


class MinSize(Gate):
    """Refuse an entry smaller than the venue takes."""

    nexus_api = 1
    layer, passes, refuses = 6, "ledger", "below"
    limit = Param(1.0, low=1.0, high=1000.0, help="multiple of the venue's least notional, and of its lot")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the entry as a multiple of the least that the venue takes."""
        lots = float(proposal.qty) / float(proposal.lot)
        if proposal.min_notional <= 0:
            return lots
        return min(lots, float(proposal.notional) / float(proposal.min_notional))
