"""Trading on paper: the ledger's own matcher, with a fee and half the spread."""

from nexus_core import Broker, Param
from nexus_core.broker import FeeModel, FixedFee, HalfSpread, SlippageModel


class Paper(Broker):
    """Fill market orders at the next row's open, limits and stops when touched; no order moves the price."""

    nexus_api = 1
    name = "paper"
    on_paper = True
    fee = Param(0.001, low=-0.01, high=0.1, help="share of every fill's notional; 0.001 is 0.1 %")
    half_spread = Param(0.0001, low=0.0, high=0.1, help="share of the price that a market order or stop pays")

    def fees(self) -> FeeModel:
        """Return the fixed fee."""
        return FixedFee(rate=self.params.fee)

    def slippage(self) -> SlippageModel:
        """Return half the spread."""
        return HalfSpread(half=self.params.half_spread)
