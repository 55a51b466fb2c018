"""The cross in backtesting.py: averages as arrays, then a method called at every bar."""

from __future__ import annotations

from typing import Any

import backtesting
import pandas as pd
from backtesting import Backtest, Strategy
from measured import CASH, FAST, FEE, QUANTITY, SLOW, answer


class Cross(Strategy):
    def init(self) -> None:
        close = pd.Series(self.data.Close)
        fast, slow = (close.ewm(span=span, adjust=False).mean() for span in (FAST, SLOW))
        self.above = self.I(lambda: fast > slow, plot=False)

    def next(self) -> None:
        before, now = self.above[-2:]
        if before == now or len(self.above) < 3:  # the first side known is no cross
            return
        if now:
            self.buy(size=QUANTITY)
        elif self.position:
            self.position.close()


def prepare(bars: Any) -> Backtest:
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name.title(): bars[name] for name in names}, index=pd.to_datetime(bars["ts"]))
    return Backtest(frame, Cross, cash=CASH, commission=FEE)


def run(ready: Backtest) -> Any:
    return ready.run()


def read(stats: Any) -> tuple[Any, float]:
    fills = []
    for trade in stats["_trades"].itertuples():
        share = trade.Commission / (trade.EntryPrice + trade.ExitPrice)  # both fees are one sum here
        fills.append((trade.EntryBar, 1, trade.EntryPrice, trade.EntryPrice * share))
        fills.append((trade.ExitBar, -1, trade.ExitPrice, trade.ExitPrice * share))
    left = stats["_strategy"].trades
    fills += [(trade.entry_bar, 1, trade.entry_price, trade.entry_price * FEE) for trade in left]
    return fills, stats["Equity Final [$]"]


answer(backtesting.__version__, prepare, run, read)
