"""The order desk: the only way from an approval to a venue.

It believes nothing but the journal. An order goes out when its id stands there approved and committed,
was not sent before, and says to the last bit what was approved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from nexus_core import compile, types
from nexus_core.errors import NexusError, RefusedError
from nexus_core.interfaces import IBroker
from nexus_core.journal import Journal
from nexus_core.ledger.orders import APPROVAL, content
from nexus_core.records import ORDER, Records, empty
from nexus_core.types import ApprovedOrder, Order, OrderKind, OrderState, Purpose, Side, from_units, to_units

_CONTENT = """
def entry(orders):
    return content(orders[0])
"""


class OrderDesk:
    """Sends approved orders to one broker, each once."""

    def __init__(self, journal: Journal, broker: IBroker, symbols: Sequence[str]) -> None:
        self._journal, self._broker, self._symbols = journal, broker, symbols

    async def send(self, approved: ApprovedOrder) -> None:
        """Send an order, or raise RefusedError; it counts as sent from before it leaves."""
        who = f"order desk: {approved.order.order_id}"
        record = _record(approved.order, self._symbols)
        if record is None:
            raise RefusedError(f"{who} is no order of the ledger's. Send orders as it approved them.")
        number = int(record["id"][0])
        known = self._journal.approval(number)
        if known is None:
            raise RefusedError(f"{who} has no committed approval. Only the ledger approves orders.")
        said = int(compile.call(_content(), record))
        same_time = approved.approved_at == approved.order.timestamp
        if said != approved.content_hash or as_bytes(said) != known[0] or not same_time:
            raise RefusedError(f"{who} is not what was approved. It was altered on the way and stays here.")
        if known[1] or not self._journal.mark_sent(number, known[0]):
            raise RefusedError(f"{who} was sent before. An order leaves once.")
        await self._broker.send(approved)


def approvals(events: Records) -> list[tuple[int, bytes]]:
    """Return what a commit with these events approves: order number and content."""
    made = events[events["kind"] == APPROVAL]
    return [(int(each["order"]), as_bytes(int(each["content"]))) for each in made]


def approved(events: Records, orders: Any, symbols: Sequence[str]) -> Iterator[ApprovedOrder]:
    """Yield the orders that these events approve and nothing has ended since, as a broker takes them."""
    for event in events[events["kind"] == APPROVAL]:
        record = orders[event["symbol"], event["purpose"]]
        if record["id"] == event["order"] and record["state"] == OrderState.PENDING:
            yield ApprovedOrder(_view(record, symbols), int(record["content"]), int(event["ts"]))


def as_bytes(content_hash: int) -> bytes:
    """Return a content hash as the journal keeps it."""
    return content_hash.to_bytes(8, "little")


def _view(record: Any, symbols: Sequence[str]) -> Order:
    symbol, ts, decision = symbols[int(record["symbol"])], int(record["ts"]), int(record["decision"])
    return Order(
        order_id=types.order_name(symbol, ts, int(record["id"])),
        symbol=symbol,
        side=Side(int(record["side"])),
        quantity=from_units(record["qty"]),
        kind=OrderKind(int(record["kind"])),
        price=from_units(record["price"]),
        purpose=Purpose(int(record["purpose"])),
        state=OrderState(int(record["state"])),
        timestamp=ts,
        stop_loss=from_units(record["stop"]) if record["stop"] else None,
        take_profit=from_units(record["target"]) if record["target"] else None,
        decision=types.decision_name(symbol, decision) if decision else None,
    )


def _record(order: Order, symbols: Sequence[str]) -> Records | None:
    # what does not come back as it was says something that the hash of its content does not cover
    record = empty(ORDER)
    try:
        record["id"], record["ts"] = types.parse_order_name(order.order_id)[2], order.timestamp
        record["decision"] = types.parse_decision_name(order.decision)[1] if order.decision else 0
        record["qty"], record["price"] = to_units(order.quantity), to_units(order.price)
        record["stop"], record["target"] = to_units(order.stop_loss or 0), to_units(order.take_profit or 0)
        record["symbol"], record["state"] = symbols.index(order.symbol), OrderState.PENDING
        record["side"], record["kind"], record["purpose"] = order.side, order.kind, order.purpose
        return record if _view(record[0], symbols) == order else None
    except (NexusError, OverflowError, ValueError):
        return None


@cache
def _content() -> compile.Step:
    return compile.entry("content", _CONTENT, {"content": content})
