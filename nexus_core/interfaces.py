"""What the kernel asks of strategies, feeds, risk rules, models, brokers, gates and stores, as contracts.

Times are int nanoseconds UTC. Async methods run on the engine's event loop and must not block it; the others
say whether they may block. Unless a contract says otherwise, an exception counts as the plugin's failure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from nexus_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from numpy import float64, void
    from numpy.typing import NDArray

    from nexus_core import types
    from nexus_core.types import ApprovedOrder, Fill, MarketData, Order, Position, RiskMetrics, TradingSignal

    Records: TypeAlias = NDArray[void]


class IStrategy(ABC):
    """A strategy that is handed data and answers with an opinion; one object serves a whole run."""

    @abstractmethod
    def initialize(self, config: Mapping[str, Any]) -> None:
        """Take the settings of this strategy. Called once, before the first data; may block."""

    @abstractmethod
    def execute(self, data: Any) -> Mapping[str, Any] | None:
        """Return `signal` (-2 to 2) and `confidence` (0 to 1), perhaps `metadata`; None means no opinion.

        Called for each row of each symbol in the order of time, with a dict of the fields of `MarketData` or
        a table of the latest rows, as the strategy asked. It sees nothing later than the row. Must not block.
        """

    @abstractmethod
    def get_category(self) -> types.StrategyCategory:
        """Return what it lives on. Called at any time; the answer never changes."""

    @abstractmethod
    def get_metrics(self) -> Mapping[str, float]:
        """Return figures about its own work, by name. Called for reports, between two rows."""


class IDataProvider(ABC):
    """A feed: it replays with `blocks`, or runs live with `events`, or both."""

    @abstractmethod
    async def connect(self) -> None:
        """Open the source. Called before anything else, and again after a lost connection."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close the source. Called once at the end, also after a failure; a second call does nothing."""

    @abstractmethod
    async def subscribe(self, symbols: Sequence[str]) -> None:
        """Ask for these symbols from now on, besides those asked for before; an unknown one is an error."""

    @abstractmethod
    async def get_latest(self, symbol: str) -> MarketData | None:
        """Return the newest data known of a symbol, None before the first. Does not wait for more."""

    def blocks(self, n: int) -> Iterator[Records]:
        """Yield the recorded rows of all symbols subscribed to, at most `n` ticks at a time; may block.

        A block holds whole ticks: every row of an instant is in the same block, and time never goes back.
        """
        raise UsageError(f"{type(self).__name__} has no recorded rows; choose a feed that can be replayed.")

    def events(self) -> AsyncIterator[Records]:
        """Yield event records as they arrive, one or more at a time, until `disconnect`.

        Sequence numbers rise by one; a gap means that events were lost, and a feed never fills it.
        """
        raise UsageError(f"{type(self).__name__} has no live events; choose a feed that runs live.")


class IRiskManager(ABC):
    """Risk rules for one trade at a time. Called in the ledger pass, so none of it may block."""

    @abstractmethod
    def evaluate_risk(self, signal: TradingSignal, portfolio: Mapping[str, Position]) -> RiskMetrics:
        """Return what acting on the signal would risk, given the positions by symbol."""

    @abstractmethod
    def validate_trade(self, signal: TradingSignal, metrics: RiskMetrics) -> bool:
        """Return whether the trade may go on. Called with what `evaluate_risk` returned for the signal."""

    @abstractmethod
    def calculate_position_size(self, signal: TradingSignal, capital: float) -> float:
        """Return the size as a fraction of `capital`, which is money; 0 for no trade, never negative."""


class IModel(ABC):
    """A model that can fill a slot of the chain."""

    slot: ClassVar[str]
    """Name of the slot it fills."""

    @abstractmethod
    def predict(self, features: NDArray[float64]) -> NDArray[float64]:
        """Return one row of outputs for each row of features, whose order is that of the model's card.

        Called for one row as for thousands, and a row's answer must not depend on its neighbours. May compute
        for as long as the slot's time budget; must not wait for anything. If it raises or answers NaN, the
        slot's next model is asked.
        """


class IBroker(ABC):
    """The way to a venue; built with the id of its run.

    It names an order to the venue by `venue_id(run_id, order_id)` and translates back; what it cannot
    translate (an order sent before a restart, or somebody else's) keeps the venue's name, for the engine to
    recognise.
    """

    @abstractmethod
    async def connect(self) -> None:
        """Open the venue. Called before anything else, and again after a lost connection."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close the venue. Called once at the end, also after a failure. Orders there stay as they are."""

    @abstractmethod
    async def send(self, order: ApprovedOrder) -> None:
        """Send an order whose approval is committed; called once an order, never again after a failure.

        Returning says only that it was sent; what became of it comes through `events`. If this raises or
        takes too long, the order is UNKNOWN, not failed: the broker never sends it a second time by itself.
        """

    @abstractmethod
    async def cancel(self, order_id: str) -> None:
        """Ask the venue to cancel. The order may still fill: only `events` says how it ended."""

    @abstractmethod
    async def open_orders(self) -> Sequence[Order]:
        """Return what the venue holds open for this account now. Called after `connect` and to reconcile."""

    @abstractmethod
    def events(self) -> AsyncIterator[Order | Fill]:
        """Yield what the venue says, in its order: an order in its new state, or a fill; until `disconnect`.

        After `connect` it begins with whatever happened since the connection was lost, as far as the venue
        tells. Saying a fill twice is allowed only with the same values.
        """


@runtime_checkable
class IGate(Protocol):
    """A gate of the chain: it states a value for each opportunity and refuses beyond a limit.

    The chain asks it only for opportunities that every earlier gate passed. NaN refuses, and so does a gate
    that raises. It must not block.
    """

    layer: int
    """The layer it belongs to, 1 to 6."""
    passes: Literal["market", "ledger"]
    """The pass it judges in; in the market pass it sees no portfolio."""
    refuses: Literal["above", "from", "below"]
    """Which values it refuses: above the limit, from the limit on, or below the limit."""
    limit: Any
    """The limit, in the unit of its values: a number, or the declared parameter that holds it."""


class IStore(ABC):
    """Where the journal is kept. One writer at a time; a second one is refused when it opens the store."""

    @abstractmethod
    def commit(self, batch: Any) -> int:
        """Write a `nexus_core.journal.Batch`, all or nothing, and return its sequence number.

        Called at tick edges, before any order of the batch is sent; blocks until the batch would survive a
        loss of power. Numbers begin at 1 and rise by one.
        """

    @abstractmethod
    def last(self) -> Any:
        """Return the newest `nexus_core.journal.Commit`, None where there is none. May block."""

    @abstractmethod
    def snapshot(self) -> tuple[int, bytes] | None:
        """Return the newest snapshot with the number of the first tick after it. May block."""

    @abstractmethod
    def inputs(self) -> Sequence[Any]:
        """Return, in order, every `nexus_core.journal.Input`: all that reached the engine from outside.

        That is venue's answers, timers, verdicts on stale data, quarantines and requests of the operator.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the store. Called once at the end; what was committed stays."""
