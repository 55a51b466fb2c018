"""What a broker promises the engine, and the cost models that paper trading can be given.

A broker that matches on paper leaves matching to the ledger and only says what trading costs. A venue
takes orders through the order desk, and tells what became of them as events.
"""

from __future__ import annotations

from typing import Any, ClassVar

from nexus_core.ledger import CostStep
from nexus_core.strategy import Param, Plugin


class FeeModel(Plugin):
    """Says what share of a fill's notional is paid as fee; a negative share is a rebate."""

    @staticmethod
    def step(row: Any, order: Any, account: Any, params: Any) -> float:
        """Return the fee of one fill as a share of its notional, between -1 and 1."""
        return 0.0


class SlippageModel(Plugin):
    """Says how much worse than the market's price an order that takes liquidity fills."""

    @staticmethod
    def step(row: Any, order: Any, params: Any) -> float:
        """Return the worsening as a share of the price, from 0 on."""
        return 0.0


class FixedFee(FeeModel):
    """The same share of every fill, maker or taker."""

    nexus_api = 1
    rate = Param(0.001, low=-0.01, high=0.1, help="share of the notional; 0.001 is 0.1 %")

    @staticmethod
    def step(row: Any, order: Any, account: Any, params: Any) -> float:
        """Return the fixed rate."""
        return params.rate


class HalfSpread(SlippageModel):
    """Half of a fixed spread: what taking the other side of the quote costs."""

    nexus_api = 1
    half = Param(
        0.0001, low=0.0, high=0.1, help="half the spread as a share of the price; 0.0001 is 1 basis point"
    )

    @staticmethod
    def step(row: Any, order: Any, params: Any) -> float:
        """Return half the spread."""
        return params.half


class Broker(Plugin):
    """A place where orders go.

    With `on_paper` the ledger matches; otherwise a subclass also keeps the promises of
    `nexus_core.interfaces.IBroker`.
    """

    on_paper: ClassVar[bool] = False

    def fees(self) -> FeeModel:
        """Return the fee model of fills on paper."""
        return FixedFee()

    def slippage(self) -> SlippageModel:
        """Return the slippage model of fills on paper."""
        return HalfSpread()

    def costs(self) -> tuple[CostStep, CostStep]:
        """Return fee and slippage as the ledger takes them."""
        fee, slippage = (CostStep(type(m).step, m.params.record()) for m in (self.fees(), self.slippage()))
        return fee, slippage
