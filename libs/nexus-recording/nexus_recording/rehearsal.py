"""A pretended venue that speaks by Binance's rules, to rehearse with where no recording is at hand.

It has a true book. Each change of a level has an update number; changes are published some at a time, quotes
when the best price or its size changes, trades one by one, and a snapshot when it is asked for.
"""

from __future__ import annotations

import json
import random
from heapq import merge
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPOT, USD_M, COIN_M = "spot", "usdm", "coinm"
START = 1_767_225_600_000
"""Venue's time of the first message, in milliseconds: 2026-01-01 00:00 UTC."""

_MIDDLE, _DEPTH, _TICKS = 600_000, 40, 10


def recorded(symbols: Sequence[str], count: int, seed: int = 1, slow: int = 1) -> Iterator[bytes]:
    """Yield `count` messages of each of these symbols of one venue, as one recorder writes them."""
    venues = [Venue(seed + n, COIN_M, each, slow=slow) for n, each in enumerate(symbols)]
    return merge(*(each.lines(count) for each in venues), key=lambda line: int(line.partition(b" ")[0]))


class Venue:
    """A market of one symbol. `ahead` is how far the recorder's clock is from the venue's, in nanoseconds.

    Something happens every 6.5 milliseconds on the average, or every so many times `slow`.
    """

    def __init__(
        self, seed: int, market: str = SPOT, symbol: str = "BTCUSDT", ahead: int = 0, slow: int = 1
    ) -> None:
        self.market, self.symbol, self._ahead, self._slow = market, symbol, ahead, slow
        self._random = random.Random(seed)
        self.bids = {_MIDDLE - k: self._size() for k in range(1, _DEPTH)}
        self.asks = {_MIDDLE + k: self._size() for k in range(1, _DEPTH)}
        self.update, self._previous, self._first = 1_000_000, 1_000_000, 0
        self._touched: dict[tuple[str, int], None] = {}
        self._said: list[bytes] = []
        self._now, self._local, self._trade = START, 0, 5_000
        self.best: dict[int, tuple[float, float, float, float]] = {}
        """Best bid, its size, best ask, its size, after each update."""

    def lines(self, count: int, snapshots: tuple[int, ...] = (5,)) -> Iterator[bytes]:
        """Yield `count` messages as a recorder writes them, with a snapshot after those named by number."""
        for number in range(count):
            while not self._said:
                self._said = self._moment()
            yield self._said.pop(0)
            if number in snapshots:
                yield self.line(self.snapshot())

    def line(self, message: dict[str, Any]) -> bytes:
        """Return a message as a recorder writes it down now."""
        late = 500_000 + int(self._random.expovariate(1e-6))
        self._local = max(self._local + 1_000, self._now * 1_000_000 + late + self._ahead)
        return b"%d %s\n" % (self._local, json.dumps(message, separators=(",", ":")).encode())

    def snapshot(self) -> dict[str, Any]:
        """Return the whole book as it is now."""
        book: dict[str, Any] = {"lastUpdateId": self.update}
        if self.market != SPOT:
            book |= {"E": self._now, "T": self._now}
        if self.market == COIN_M:
            book |= {"symbol": self.symbol, "pair": self.symbol.partition("_")[0]}
        for name, side in (("bids", self.bids), ("asks", self.asks)):
            ranked = sorted(side, reverse=name == "bids")
            book[name] = [[self._price(each), self._quantity(side[each])] for each in ranked]
        return book

    # -- what happens ----------------------------------------------------------------------------

    def _moment(self) -> list[bytes]:
        self._now += self._random.choice((0, 1, 1, 2, 5, 30)) * self._slow
        said: list[bytes] = []
        for _ in range(self._random.randint(1, 6)):
            before = self._top()
            if self._random.random() < 0.15:
                said.append(self.line(self._trades()))
            else:
                self._order()
            if self._top() != before:
                said.append(self.line(self._quote()))
        if self._touched and self._random.random() < 0.6:
            said.append(self.line(self._change()))
        return said

    def _order(self) -> None:
        """Let an order come or go near the best prices."""
        bid, ask = max(self.bids), min(self.asks)
        if self._random.random() < 0.5:
            self._set("b", ask - self._random.randint(1, 20), self._any_size(len(self.bids)))
        else:
            self._set("a", bid + self._random.randint(1, 20), self._any_size(len(self.asks)))

    def _trades(self) -> dict[str, Any]:
        buys = self._random.random() < 0.5
        side, name = (self.asks, "a") if buys else (self.bids, "b")
        price = min(side) if buys else max(side)
        taken = (
            side[price] if len(side) > _TICKS and self._random.random() < 0.5 else max(side[price] // 2, 1)
        )
        self._set(name, price, side[price] - taken if side[price] > taken or len(side) > _TICKS else 1)
        self._trade += 1
        trade: dict[str, Any] = {"e": "trade", "E": self._now, "s": self.symbol, "t": self._trade}
        trade |= {"p": self._price(price), "q": self._quantity(taken), "T": self._now, "m": not buys}
        return self._on("trade", trade | ({"M": True} if self.market == SPOT else {"X": "MARKET"}))

    def _set(self, name: str, price: int, size: int) -> None:
        side = self.bids if name == "b" else self.asks
        if size:
            side[price] = size
        else:
            side.pop(price, None)
        self.update += 1 if self.market == SPOT else self._random.randint(1, 9)  # futures count all symbols
        self._first = self._first or self.update
        self._touched[name, price] = None
        self.best[self.update] = self._top()

    def _quote(self) -> dict[str, Any]:
        bid, ask = max(self.bids), min(self.asks)
        quote: dict[str, Any] = {} if self.market == SPOT else {"e": "bookTicker"}
        quote |= {"u": self.update, "s": self.symbol}
        quote |= {"b": self._price(bid), "B": self._quantity(self.bids[bid])}
        quote |= {"a": self._price(ask), "A": self._quantity(self.asks[ask])}
        return self._on(
            "bookTicker", quote if self.market == SPOT else quote | {"T": self._now, "E": self._now}
        )

    def _change(self) -> dict[str, Any]:
        change: dict[str, Any] = {"e": "depthUpdate", "E": self._now}
        if self.market != SPOT:
            change["T"] = self._now
        change |= {"s": self.symbol, "U": self._first, "u": self.update}
        if self.market != SPOT:
            change["pu"] = self._previous
        for name, side in (("b", self.bids), ("a", self.asks)):
            touched = [price for each, price in self._touched if each == name]
            change[name] = [[self._price(each), self._quantity(side.get(each, 0))] for each in touched]
        self._previous, self._first, self._touched = self.update, 0, {}
        return self._on("depth@100ms", change)

    # -- how it is said --------------------------------------------------------------------------

    def _on(self, stream: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"stream": f"{self.symbol.lower()}@{stream}", "data": data}

    def _top(self) -> tuple[float, float, float, float]:
        bid, ask = max(self.bids), min(self.asks)
        prices = float(self._price(bid)), float(self._price(ask))
        sizes = float(self._quantity(self.bids[bid])), float(self._quantity(self.asks[ask]))
        return prices[0], sizes[0], prices[1], sizes[1]

    def _price(self, ticks: int) -> str:
        return f"{ticks // 10}.{ticks % 10}" + "0" * (7 if self.market == SPOT else 1)

    def _quantity(self, lots: int) -> str:
        return f"{lots // 1000}.{lots % 1000:03}" + ("00000" if self.market == SPOT else "")

    def _size(self) -> int:
        return self._random.randint(1, 5_000)

    def _any_size(self, levels: int) -> int:
        return 0 if levels > _TICKS and self._random.random() < 0.4 else self._size()
