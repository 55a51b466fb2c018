"""The cross in NautilusTrader 2: its own averages, a callback at every bar, market orders.

Its market orders fill at the close of the bar that gave the signal, and its averages begin at the mean of
their first values.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import nautilus_trader
import numpy as np
from measured import CASH, FAST, FEE, QUANTITY, SLOW, answer
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model import (
    AccountType,
    Bar,
    BarType,
    Currency,
    CurrencyPair,
    InstrumentId,
    Money,
    OmsType,
    OrderSide,
    Price,
    Quantity,
    Symbol,
    Venue,
)
from nautilus_trader.trading import Strategy, StrategyConfig

BTC, USDT, SIM = Currency.from_str("BTC"), Currency.from_str("USDT"), Venue("SIM")
PAIR = InstrumentId.from_str("BTCUSDT.SIM")
MINUTES = BarType.from_str("BTCUSDT.SIM-1-MINUTE-LAST-EXTERNAL")
ONE = Quantity(QUANTITY, 6)
AMPLE = Quantity(1e6, 6)  # a bar's own volume would split fills, which no other here does
DIGITS = 2


class Cross(Strategy):
    def on_start(self) -> None:
        self.fast, self.slow = ExponentialMovingAverage(FAST), ExponentialMovingAverage(SLOW)
        self.above: bool | None = None
        self.holds = False
        for average in (self.fast, self.slow):
            self.register_indicator_for_bars(MINUTES, average)
        self.subscribe_bars(MINUTES)

    def on_bar(self, bar: Bar) -> None:
        if not self.slow.initialized:
            return
        above, before = self.fast.value > self.slow.value, self.above
        self.above = above
        if before is None or above == before or above == self.holds:
            return
        self.holds = above
        side = OrderSide.BUY if above else OrderSide.SELL
        self.submit_order(self.order_factory.market(PAIR, side, ONE))


def prepare(bars: Any) -> tuple[BacktestEngine, Any]:
    silent = LoggerConfig(stdout_level=LogLevel.OFF, bypass_logging=True)
    engine = BacktestEngine(BacktestEngineConfig(bypass_logging=True, run_analysis=False, logging=silent))
    fees = MakerTakerFeeModel(Decimal(str(FEE)), Decimal(str(FEE)))
    engine.add_venue(SIM, OmsType.NETTING, AccountType.CASH, [Money(CASH, USDT)], fee_model=fees)
    steps = Price(10**-DIGITS, DIGITS), Quantity(1e-6, 6)
    engine.add_instrument(CurrencyPair(PAIR, Symbol("BTCUSDT"), BTC, USDT, DIGITS, 6, *steps, 0, 0))
    engine.add_data([_bar(row) for row in bars.tolist()])
    engine.add_strategy(Cross(StrategyConfig(log_events=False, log_commands=False)))
    return engine, bars


def _bar(row: tuple[Any, ...]) -> Bar:
    *prices, _, ts = row
    return Bar(MINUTES, *(Price(price, DIGITS) for price in prices), AMPLE, ts, ts)


def run(ready: tuple[BacktestEngine, Any]) -> tuple[BacktestEngine, Any]:
    ready[0].run()
    return ready


def read(done: tuple[BacktestEngine, Any]) -> tuple[Any, float]:
    engine, bars = done
    orders = sorted(engine.cache.orders(), key=lambda order: order.ts_last)
    rows = np.searchsorted(bars["ts"], [order.ts_last for order in orders])
    fills = [
        (row, 1 if order.is_buy else -1, float(order.avg_px), float(order.commission(USDT)))
        for row, order in zip(rows, orders, strict=True)
    ]
    balances = engine.portfolio.account(SIM).balances_total()
    held = balances[BTC].as_double() if BTC in balances else 0.0
    return fills, balances[USDT].as_double() + held * float(bars["close"][-1])


answer(nautilus_trader.__version__, prepare, run, read)
