"""The order desk: an order leaves once, and only as the ledger approved it and the journal holds it."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from operator import attrgetter

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_core.desk import OrderDesk, approvals, approved, as_bytes
from nexus_core.errors import RefusedError
from nexus_core.interfaces import IBroker
from nexus_core.journal import Batch, Journal
from nexus_core.ledger import orders as steps
from nexus_core.records import EVENT, UNIT, empty
from nexus_core.testing import Trial, rows
from nexus_core.testing.market import MINUTE, START
from nexus_core.types import ApprovedOrder, Instrument, Order, OrderKind, OrderState, Purpose, Side

SYMBOLS = ("BTC-USD", "ETH-USD")
DECIDED = START + MINUTE


class Recorder(IBroker):
    """Keeps what it is sent, and whether the journal called it sent by then."""

    def __init__(self, journal, fails=False):
        self.journal, self.fails, self.sent, self.marked = journal, fails, [], []

    async def send(self, order):
        number = int(order.order.order_id[-6:])
        self.marked.append(self.journal.approval(number)[1])
        self.sent.append(order)
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError("the line is dead")

    async def connect(self): ...
    async def disconnect(self): ...
    async def cancel(self, order_id): ...
    async def open_orders(self): ...
    def events(self): ...


def ledger_run(signals=(1, 0), **also):
    """Return a ledger at a venue that has approved an entry in BTC-USD, or what the signals ask for."""
    rules = {"sizing": "fixed-quantity", "quantity": 1.5, **also}
    trial = Trial(on_paper=False, instruments=tuple(map(Instrument, SYMBOLS)), **rules)
    trial.run(rows([100.0] * len(signals)), signals)
    return trial


def orders_of(trial):
    return list(approved(trial.events, trial.ledger.orders, SYMBOLS))


def commit(journal, trial, tick=1):
    events = trial.events
    journal.commit(
        Batch(tick, DECIDED, trial.ledger.run_hash, 1, events=[events], approvals=approvals(events))
    )


def send(desk, *orders):
    async def all_of_them():
        return await asyncio.gather(*(desk.send(each) for each in orders), return_exceptions=True)

    return asyncio.run(all_of_them())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run-1")


@pytest.fixture(scope="module")
def approval(folder):
    """Return an approved order whose approval is committed in the folder's journal, and never sent."""
    trial = ledger_run()
    with Journal(folder, write=True) as journal:
        commit(journal, trial)
    (order,) = orders_of(trial)
    return order


@pytest.fixture
def journal(folder, approval):
    with Journal(folder, write=True) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path):
    """Return a folder with a journal of one approval that the test may send."""
    with Journal(tmp_path, write=True) as opened:
        commit(opened, ledger_run())
    return tmp_path


def refused(journal, order):
    """Return why an order was refused; it must not have reached the broker, nor count as sent."""
    broker, before = Recorder(journal), journal.approval(1)
    (error,) = send(OrderDesk(journal, broker, SYMBOLS), order)
    assert isinstance(error, RefusedError)
    assert (broker.sent, journal.approval(1)) == ([], before)
    return str(error)


# -- from the ledger to the desk --------------------------------------------------------------------


def test_an_approval_says_what_the_ledger_decided(approval):
    expected = Order(
        order_id=f"NEXUS_BTC-USD_{DECIDED // 10**9}_000001",
        symbol="BTC-USD",
        side=Side.BUY,
        quantity=Decimal("1.5"),
        kind=OrderKind.MARKET,
        price=Decimal(100),
        purpose=Purpose.ENTRY,
        state=OrderState.PENDING,
        timestamp=DECIDED,
        stop_loss=Decimal(98),
        take_profit=Decimal(104),
        decision="BTC-USD@2026-03-02T00:01:00Z",
    )
    assert (approval.order, approval.approved_at) == (expected, DECIDED)


def test_a_commit_approves_the_content_that_the_order_carries(journal, approval):
    (event,) = (trial := ledger_run()).events
    assert approvals(trial.events) == [(1, as_bytes(approval.content_hash))]
    assert (event["kind"], int(event["content"])) == (steps.APPROVAL, approval.content_hash)
    assert journal.approval(1) == (as_bytes(approval.content_hash), False)


def test_an_order_that_ended_before_it_was_sent_is_not_handed_out():
    trial, told = ledger_run(), empty(EVENT)
    assert len(orders_of(trial)) == 1
    told["kind"], told["order"], told["state"], told["ts"] = steps.MOVE, 1, OrderState.CANCELLED, DECIDED + 1
    trial.run(rows([100.0], start=START + 3 * MINUTE), 0, told=told)
    assert len(trial.events) == 2
    assert orders_of(trial) == []


def test_what_is_no_approval_approves_nothing():
    trial = ledger_run()
    events = trial.events
    events["kind"] = steps.MOVE
    assert approvals(events) == []
    assert list(approved(events, trial.ledger.orders, SYMBOLS)) == []


# -- what leaves ------------------------------------------------------------------------------------


def test_an_approved_order_leaves_once_also_after_the_journal_is_opened_again(fresh, approval):
    for expected in (1, 0, 0):
        with Journal(fresh, write=True) as journal:
            broker = Recorder(journal)
            (error,) = send(OrderDesk(journal, broker, SYMBOLS), approval)
            assert len(broker.sent) == expected
            if expected:
                assert (error, broker.sent, broker.marked) == (None, [approval], [True])
            else:
                assert (
                    str(error)
                    == f"order desk: {approval.order.order_id} was sent before. An order leaves once."
                )


def test_a_copy_is_the_same_order(fresh, approval):
    with Journal(fresh, write=True) as journal:
        broker = Recorder(journal)
        copy = ApprovedOrder(attrs.evolve(approval.order), approval.content_hash, approval.approved_at)
        desks = [OrderDesk(journal, broker, SYMBOLS) for _ in range(2)]
        answers = send(desks[0], copy, approval, approval) + send(desks[1], approval)
        assert [str(each).rpartition(" was ")[2][:11] for each in answers] == ["None"] + ["sent before"] * 3
        assert broker.sent == [approval]


def test_an_order_whose_sending_failed_counts_as_sent(fresh, approval):
    with Journal(fresh, write=True) as journal:
        broker = Recorder(journal, fails=True)
        desk = OrderDesk(journal, broker, SYMBOLS)
        first, second = send(desk, approval) + send(desk, approval)
        assert isinstance(first, ConnectionError)
        assert isinstance(second, RefusedError)
        assert len(broker.sent) == 1
    with Journal(fresh, write=True) as journal:
        assert "was sent before" in refused(journal, approval)


def test_every_order_of_a_run_leaves_by_its_own_approval(tmp_path):
    trial = Trial(on_paper=False, instruments=tuple(map(Instrument, SYMBOLS)), brackets=False)
    both = np.concatenate([rows([100.0], symbol=0), rows([50.0], symbol=1)])
    trial.run(both, [1, -1])
    with Journal(tmp_path, write=True) as journal:
        commit(journal, trial)
        broker = Recorder(journal)
        first, second = orders_of(trial)
        assert (first.order.stop_loss, first.order.take_profit) == (None, None)
        assert send(OrderDesk(journal, broker, SYMBOLS), second, first) == [None, None]
        assert [(each.order.symbol, each.order.side) for each in broker.sent] == [
            ("ETH-USD", Side.SELL),
            ("BTC-USD", Side.BUY),
        ]


# -- what stays -------------------------------------------------------------------------------------


def test_an_order_without_a_committed_approval_stays(tmp_path, approval):
    with Journal(tmp_path, write=True) as journal:
        assert refused(journal, approval) == (
            f"order desk: {approval.order.order_id} has no committed approval. "
            "Only the ledger approves orders."
        )


ALTERED = {
    "order_id": [
        f"NEXUS_BTC-USD_{DECIDED // 10**9}_000002",
        f"NEXUS_BTC-USD_{DECIDED // 10**9 + 1}_000001",
        f"NEXUS_ETH-USD_{DECIDED // 10**9}_000001",
        f"NEXUS_BTC-USD_{DECIDED // 10**9}_0000001",
        "NEXUS_BTC-USD_0_99999999999999999999",
        "1",
    ],
    "symbol": ["ETH-USD", "btc-usd", ""],
    "side": [Side.SELL, 0, 2],
    "quantity": [
        Decimal(text)
        for text in ("1.50000001", "1.499999999", "1.500000001", "-1.5", "15", "9e99", "NaN", "sNaN")
    ],
    "kind": [OrderKind.LIMIT, OrderKind.STOP, 300],
    "price": [Decimal(text) for text in ("100.00000001", "99", "0", "Infinity")],
    "purpose": [Purpose.EXIT, Purpose.STOP, -1],
    "state": [OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.NONE],
    "timestamp": [DECIDED + 1, DECIDED - 1, 0, 2**64 + DECIDED],
    "stop_loss": [None, Decimal(0), Decimal("98.00000001"), Decimal(104)],
    "take_profit": [None, Decimal("103.99999999"), Decimal(98)],
    "filled": [Decimal("0.5"), Decimal(1)],
    "average_price": [Decimal(100), Decimal(0)],
    "decision": [None, "BTC-USD@2026-03-02T00:02:00Z", "ETH-USD@2026-03-02T00:01:00Z", "BTC-USD@1772409660"],
}  # fmt: skip


def test_every_field_of_an_order_is_altered_below():
    assert list(ALTERED) == [field.name for field in attrs.fields(Order)]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ALTERED.items() for value in values], ids=repr
)
def test_an_altered_order_stays(journal, approval, name, value):
    altered = attrs.evolve(approval, order=attrs.evolve(approval.order, **{name: value}))
    assert refused(journal, altered).startswith(f"order desk: {altered.order.order_id} ")


@pytest.mark.parametrize(
    "change", [{"content_hash": 0}, {"content_hash": -1}, {"approved_at": DECIDED + 1}, {"approved_at": 0}]
)
def test_an_altered_approval_stays(journal, approval, change):
    assert "is not what was approved" in refused(journal, attrs.evolve(approval, **change))


amounts = st.decimals(0, 10**6, places=8, allow_nan=False)
DRAWN: dict = dict.fromkeys(("quantity", "price", "stop_loss", "take_profit"), amounts)
DRAWN |= {"timestamp": st.integers(-(2**63), 2**63 - 1), "order_id": st.text(max_size=40)}


@given(field=st.sampled_from(sorted(DRAWN)), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_no_other_value_of_a_field_gets_out(journal, approval, field, data):
    value = data.draw(DRAWN[field].filter(lambda value: value != attrgetter(field)(approval.order)))
    refused(journal, attrs.evolve(approval, order=attrs.evolve(approval.order, **{field: value})))


@pytest.mark.parametrize(
    "other", [{"quantity": 1.50000001}, {"signals": (-1, 0)}, {"stop_loss_pct": 0.03}, {"signals": (0, 1)}]
)
def test_an_order_that_another_run_approved_under_the_same_number_stays(journal, other):
    # its hash is right for what it says: only the journal tells
    (foreign,) = orders_of(ledger_run(**other))
    assert foreign.order.order_id.endswith("_000001")
    assert "is not what was approved" in refused(journal, foreign)


def test_two_approved_orders_cannot_change_places(tmp_path):
    trial, told = ledger_run(), empty(EVENT, 2)
    told["kind"], told["order"], told["ts"] = (steps.MOVE, steps.FILL), 1, DECIDED + 1
    told["state"], told["qty"], told["price"] = OrderState.SUBMITTED, 1.5 * UNIT, 100 * UNIT
    trial.run(rows([100.0], start=START + 3 * MINUTE), 0, told=told)
    stop, target = orders_of(trial)
    assert (stop.order.purpose, target.order.purpose) == (Purpose.STOP, Purpose.TARGET)
    with Journal(tmp_path, write=True) as journal:
        commit(journal, trial)
        for one, other in itertools.permutations((stop, target)):
            swapped = attrs.evolve(one, order=attrs.evolve(one.order, order_id=other.order.order_id))
            assert "is not what was approved" in refused(journal, swapped)
            assert "is not what was approved" in refused(
                journal, attrs.evolve(swapped, content_hash=other.content_hash)
            )


def test_a_desk_that_knows_other_symbols_sends_nothing(journal, approval):
    for symbols in ((), ("ETH-USD", "BTC-USD"), ("ETH-USD",)):
        broker = Recorder(journal)
        (error,) = send(OrderDesk(journal, broker, symbols), approval)
        assert isinstance(error, RefusedError)
        assert broker.sent == []
