import ast
import asyncio
import inspect
import math
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from nexus_core import interfaces
from nexus_core.errors import UsageError
from nexus_core.interfaces import IBroker, IDataProvider, IGate, IModel, IRiskManager, IStore, IStrategy
from nexus_core.journal import Batch, Journal
from nexus_core.types import (
    ApprovedOrder,
    Fill,
    MarketData,
    Order,
    OrderKind,
    OrderState,
    Position,
    Purpose,
    RiskMetrics,
    Side,
    SignalType,
    StrategyCategory,
    TradingSignal,
)

METHODS = {
    IStrategy: {"initialize", "execute", "get_category", "get_metrics"},
    IDataProvider: {"connect", "disconnect", "subscribe", "get_latest"},
    IRiskManager: {"evaluate_risk", "validate_trade", "calculate_position_size"},
    IModel: {"predict"},
    IBroker: {"connect", "disconnect", "send", "cancel", "open_orders", "events"},
    IStore: {"commit", "last", "snapshot", "inputs", "close"},
}


def name(value):
    return value.__name__


@pytest.mark.parametrize("interface", METHODS, ids=name)
def test_what_an_interface_demands(interface):
    assert interface.__abstractmethods__ == METHODS[interface]


@pytest.mark.parametrize("interface", METHODS, ids=name)
def test_half_an_implementation_is_refused_by_name(interface):
    missing, *written = sorted(METHODS[interface])
    half = type("Half", (interface,), dict.fromkeys(written, lambda self: None))
    with pytest.raises(TypeError, match=missing):
        half()


@pytest.mark.parametrize("interface", [*METHODS, IGate], ids=name)
def test_every_contract_is_written(interface):
    assert interface.__doc__
    for attribute, value in vars(interface).items():
        if inspect.isfunction(value) and not attribute.startswith("_"):
            assert len(value.__doc__ or "") > 40, attribute


def test_what_is_awaited_is_a_coroutine():
    awaited = {
        (interface.__name__, method)
        for interface in METHODS
        for method in METHODS[interface]
        if inspect.iscoroutinefunction(getattr(interface, method))
    }
    assert awaited == {("IDataProvider", method) for method in METHODS[IDataProvider]} | {
        ("IBroker", method) for method in METHODS[IBroker] - {"events"}
    }


def test_at_run_time_the_module_needs_only_errors():
    body = ast.parse(Path(interfaces.__file__).read_text()).body
    imported = {node.module for node in body if isinstance(node, ast.ImportFrom)}
    assert imported - set(sys.stdlib_module_names) == {"nexus_core.errors"}


# -- each interface can be lived up to


class AlwaysBuy(IStrategy):
    def initialize(self, config):
        self.confidence = config["confidence"]
        self.rows = 0

    def execute(self, data):
        self.rows += 1
        return {"signal": 1.0, "confidence": self.confidence} if self.rows > 1 else None

    def get_category(self):
        return StrategyCategory.MOMENTUM

    def get_metrics(self):
        return {"rows": float(self.rows)}


def test_a_strategy():
    strategy = AlwaysBuy()
    strategy.initialize({"confidence": 0.7})
    data = MarketData("BTC-USD", 1, 100.0, 1.0).to_dict()
    assert [strategy.execute(data), strategy.execute(data)] == [None, {"signal": 1.0, "confidence": 0.7}]
    assert strategy.get_category() == "momentum"
    assert strategy.get_metrics() == {"rows": 2.0}


class Quotes(IDataProvider):
    async def connect(self):
        self.latest = {}

    async def disconnect(self):
        self.latest = {}

    async def subscribe(self, symbols):
        self.latest |= {symbol: MarketData(symbol, 1, 100.0, math.nan) for symbol in symbols}

    async def get_latest(self, symbol):
        return self.latest.get(symbol)


class Recorded(Quotes):
    def blocks(self, n):
        yield from np.split(np.zeros(5, [("ts", "i8")]), range(n, 5, n))


class Live(Quotes):
    async def events(self):
        for seq in range(3):
            yield np.array([(seq,)], [("seq", "i8")])


def test_a_feed_has_the_latest_data():
    async def session():
        feed = Quotes()
        await feed.connect()
        await feed.subscribe(["BTC-USD"])
        found = await feed.get_latest("BTC-USD"), await feed.get_latest("ETH-USD")
        await feed.disconnect()
        return found

    assert asyncio.run(session()) == (MarketData("BTC-USD", 1, 100.0, math.nan), None)


def test_a_feed_that_replays():
    assert [len(block) for block in Recorded().blocks(2)] == [2, 2, 1]
    with pytest.raises(UsageError, match="Recorded has no live events; choose a feed that runs live"):
        Recorded().events()


def test_a_feed_that_runs_live():
    async def session():
        return [int(event["seq"][0]) async for event in Live().events()]

    assert asyncio.run(session()) == [0, 1, 2]
    with pytest.raises(UsageError, match="Live has no recorded rows; choose a feed that can be replayed"):
        Live().blocks(1)


class Kelly(IRiskManager):
    def evaluate_risk(self, signal, portfolio):
        size = 0.0 if signal.symbol in portfolio else self.calculate_position_size(signal, 1.0)
        return RiskMetrics(size, 0.02, 0.04, 0.15, math.nan, 0.0, 0.0, 0.3)

    def validate_trade(self, signal, metrics):
        return metrics.position_size > 0 and not metrics.validate()

    def calculate_position_size(self, signal, capital):
        return min(max((signal.confidence * 2 - (1 - signal.confidence)) / 2 * 0.25, 0.0), 0.1)


@pytest.mark.parametrize(
    ("confidence", "size", "traded"), [(0.3, 0.0, False), (0.4, 0.025, True), (0.9, 0.1, True)]
)
def test_a_risk_manager(confidence, size, traded):
    rules, signal = Kelly(), TradingSignal(SignalType.BUY, confidence, "BTC-USD", 1, "dip")
    metrics = rules.evaluate_risk(signal, {})
    assert metrics.position_size == pytest.approx(size)
    assert rules.validate_trade(signal, metrics) is traded
    held = Position("BTC-USD", Decimal(1), Decimal(100), Decimal(0), Decimal(0), Decimal(100))
    assert not rules.validate_trade(signal, rules.evaluate_risk(signal, {"BTC-USD": held}))


class Sums(IModel):
    slot = "regime-detection"

    def predict(self, features):
        return features.sum(axis=1, keepdims=True)


def test_a_model():
    features = np.arange(6.0).reshape(3, 2)
    assert Sums().predict(features).tolist() == [[1.0], [5.0], [9.0]]
    assert [Sums().predict(row[None]).item() for row in features] == [1.0, 5.0, 9.0]


class Instant(IBroker):
    async def connect(self):
        self.said = asyncio.Queue()

    async def disconnect(self):
        await self.said.put(None)

    async def send(self, order):
        plain = order.order
        await self.said.put(
            Fill(plain.order_id, plain.symbol, plain.side, plain.quantity, plain.price, Decimal(0), 2)
        )

    async def cancel(self, order_id):
        pass

    async def open_orders(self):
        return []

    async def events(self):
        while (event := await self.said.get()) is not None:
            yield event


def test_a_broker_answers_through_events():
    limit = Order(
        "NEXUS_BTC-USD_0_000001",
        "BTC-USD",
        Side.BUY,
        Decimal(1),
        OrderKind.LIMIT,
        Decimal(100),
        Purpose.ENTRY,
        OrderState.PENDING,
        1,
    )

    async def session():
        broker = Instant()
        await broker.connect()
        await broker.send(ApprovedOrder(limit, 1, 1))
        await broker.cancel(limit.order_id)
        await broker.disconnect()
        return [event async for event in broker.events()], await broker.open_orders()

    fill = Fill("NEXUS_BTC-USD_0_000001", "BTC-USD", Side.BUY, Decimal(1), Decimal(100), Decimal(0), 2)
    assert asyncio.run(session()) == ([fill], [])


class Spread:
    layer, passes, refuses, limit = 1, "market", "above", 25.0


@pytest.mark.parametrize("missing", ["layer", "passes", "refuses", "limit"])
def test_a_gate_is_known_by_what_it_states(missing):
    assert isinstance(Spread(), IGate)
    facts = {
        fact: value for fact, value in vars(Spread).items() if not fact.startswith("_") and fact != missing
    }
    assert not isinstance(type("Half", (), facts)(), IGate)


def test_the_journal_is_a_store(tmp_path):
    with Journal(tmp_path, write=True) as journal:
        assert isinstance(journal, IStore)
        assert journal.last() is None
        assert journal.snapshot() is None
        assert [journal.commit(Batch(n, n, "", 0)) for n in (1, 2, 3)] == [1, 2, 3]
        assert journal.last().tick == 3
        assert list(journal.inputs()) == []
