"""Stand-ins for authors' tests: a market, a feed, a broker, a clock, a listener, and what it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from nexus_core.broker import Broker, FeeModel, FixedFee, HalfSpread, SlippageModel
from nexus_core.config import Settings
from nexus_core.errors import DataError, UsageError
from nexus_core.feed import Feed, Market
from nexus_core.hookspecs import hookimpl
from nexus_core.market.blocks import Chunk
from nexus_core.records import ROW, Records
from nexus_core.testing.market import MINUTE, START, rows
from nexus_core.types import (
    Decision,
    Fill,
    Mode,
    Order,
    OrderKind,
    OrderState,
    Outcome,
    Purpose,
    Side,
    Trade,
    Verdict,
)

_HOLED = [name for name in ROW.names or () if ROW[name] == np.float64]


def walk(symbols: int = 3, ticks: int = 700, *, seed: int = 7, holes: bool = False) -> Records:
    """Return a random walk's minute bars with volumes and quotes, symbol by symbol, across a midnight UTC.

    A symbol misses one minute in ten. With `holes` one value in ten of each field is unknown (NaN), and one
    volume in ten is 0.
    """
    return np.concatenate([_path(symbol, ticks, seed, holes) for symbol in range(symbols)])


def _path(symbol: int, ticks: int, seed: int, holes: bool) -> Records:
    draws = np.random.default_rng((seed, symbol))
    there = np.flatnonzero(draws.random(ticks) >= 0.1)
    size = there.size
    close = np.round(100.0 * (symbol + 1) * np.exp(np.cumsum(draws.normal(0.0, 0.002, size))), 2)
    half, wick = draws.integers(1, 20, size) / 200.0, draws.integers(0, 20, size) / 100.0
    volume = draws.integers(1, 100, size).astype(np.float64)
    bought = np.floor(volume * draws.random(size))
    begun = START + 18 * 60 * MINUTE
    made = rows(
        close, symbol=symbol, ts=begun + (there + 1) * MINUTE, bid=close - half, ask=close + half,
        volume=volume, buy_volume=bought, sell_volume=volume - bought,
        bid_size=draws.integers(1, 50, size), ask_size=draws.integers(1, 50, size),
        trades=draws.integers(1, 30, size),
    )  # fmt: skip
    made["high"] += wick
    made["low"] -= wick
    if holes:
        for field in _HOLED:
            made[field][draws.random(size) < 0.1] = np.nan
        made["volume"][draws.random(size) < 0.1] = 0.0
    return made


def chunked(given: Records, symbols: int) -> Chunk:
    """Return rows, which lie symbol by symbol, as one chunk."""
    return Chunk(given, np.searchsorted(given["symbol"], np.arange(symbols + 1)))


class Given(Feed):
    """Play the rows it is given, which lie symbol by symbol, `ticks` at a time.

    A market of fewer symbols has the first ones' rows; its seed changes nothing.
    """

    nexus_api = 1
    name = "given"
    offers = {"bar", "volume", "quote"}

    def __init__(self, rows: Records, ticks: int = 1000) -> None:
        super().__init__()
        self.rows, self.ticks = rows, ticks

    def recording(self, market: Market) -> dict[str, Any]:
        """Return the hash of the rows."""
        return {"feed": self.name, "rows": hashlib.sha256(self.rows.tobytes()).hexdigest()}

    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield the rows from tick number `start` on, up to the market's number of ticks."""
        symbols = len(market.instruments)
        kept = self.rows[self.rows["symbol"] < symbols]
        times = np.unique(kept["ts"])
        if (np.diff(times) % market.interval != 0).any():
            raise DataError(
                f"given: its rows are not {market.interval:,} ns apart. Ask for the interval they have."
            )
        for first in range(start, min(market.ticks, times.size), self.ticks):
            last = min(first + self.ticks, market.ticks, times.size) - 1
            yield chunked(kept[(kept["ts"] >= times[first]) & (kept["ts"] <= times[last])], symbols)


class Costless(Broker):
    """Trade on paper for nothing: no fee, no spread."""

    nexus_api = 1
    name = "costless"
    on_paper = True

    def fees(self) -> FeeModel:
        """Return a fee of 0."""
        return FixedFee(rate=0.0)

    def slippage(self) -> SlippageModel:
        """Return a spread of 0."""
        return HalfSpread(half=0.0)


class Clock:
    """Stand still until it is moved by hand; a call gives the time in nanoseconds UTC, as `time.time_ns`."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def move(self, nanoseconds: int) -> None:
        """Let time pass."""
        if nanoseconds < 0:
            raise UsageError(
                f"clock: moved by {nanoseconds} ns. Time does not go back: move it by 0 or more."
            )
        self.now += nanoseconds


class Heard:
    """Listen to everything and write it down."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        """The hooks called so far, each with its arguments by name."""

    def of(self, hook: str) -> list[dict[str, Any]]:
        """Return the arguments of each call of a hook."""
        return [told for name, told in self.told if name == hook]

    @hookimpl
    def nexus_gates(self, settings: Settings) -> Iterable[Any]:
        """Write it down, and insert no gate."""
        self.told.append(("nexus_gates", {"settings": settings}))
        return ()

    @hookimpl
    def nexus_start(self, run: str, settings: Settings) -> None:
        """Write it down."""
        self.told.append(("nexus_start", {"run": run, "settings": settings}))

    @hookimpl
    def nexus_stop(self, run: str, finished: bool) -> None:
        """Write it down."""
        self.told.append(("nexus_stop", {"run": run, "finished": finished}))

    @hookimpl
    def nexus_commit(self, run: str, tick: int, timestamp: int) -> None:
        """Write it down."""
        self.told.append(("nexus_commit", {"run": run, "tick": tick, "timestamp": timestamp}))

    @hookimpl
    def nexus_decision(self, run: str, decision: Decision) -> None:
        """Write it down."""
        self.told.append(("nexus_decision", {"run": run, "decision": decision}))

    @hookimpl
    def nexus_order(self, run: str, order: Order) -> None:
        """Write it down."""
        self.told.append(("nexus_order", {"run": run, "order": order}))

    @hookimpl
    def nexus_fill(self, run: str, fill: Fill) -> None:
        """Write it down."""
        self.told.append(("nexus_fill", {"run": run, "fill": fill}))

    @hookimpl
    def nexus_trade_closed(self, run: str, trade: Trade) -> None:
        """Write it down."""
        self.told.append(("nexus_trade_closed", {"run": run, "trade": trade}))

    @hookimpl
    def nexus_mode(self, run: str, mode: Mode, why: str) -> None:
        """Write it down."""
        self.told.append(("nexus_mode", {"run": run, "mode": mode, "why": why}))

    @hookimpl
    def nexus_quarantine(self, run: str, strategy: str, why: str) -> None:
        """Write it down."""
        self.told.append(("nexus_quarantine", {"run": run, "strategy": strategy, "why": why}))

    @hookimpl
    def nexus_alert(self, run: str, title: str, text: str) -> None:
        """Write it down."""
        self.told.append(("nexus_alert", {"run": run, "title": title, "text": text}))

    @hookimpl
    def nexus_result(self, run: str, result: Mapping[str, Any]) -> None:
        """Write it down."""
        self.told.append(("nexus_result", {"run": run, "result": result}))


def facts() -> list[dict[str, Any]]:
    """Return what listeners are told, by the names of the hooks' arguments: on a good day, on a bad one."""
    at, name = START + MINUTE, "NEXUS_BTC-USD_1772409660_000001"
    spread = Verdict("spread", 1, 12.0, 25.0, True, "above")
    unknown = Verdict("spread", 1, float("nan"), 25.0, False, "above")
    price, quantity = Decimal("60000.5"), Decimal("0.25")
    order = Order(
        name, "BTC-USD", Side.BUY, quantity, OrderKind.MARKET, price, Purpose.ENTRY, OrderState.FILLED, at,
        Decimal("58800.5"), Decimal("62400.5"), quantity, price, "BTC-USD@2026-03-02T00:01:00Z",
    )  # fmt: skip
    refused = Order(
        name, "BTC-USD", Side.SELL, quantity, OrderKind.STOP, price, Purpose.STOP, OrderState.REJECTED, at
    )
    good: dict[str, Any] = {
        "run": "2026-03-02-000000-abcd", "settings": Settings(), "finished": True, "tick": 1, "timestamp": at,
        "decision": Decision("BTC-USD@2026-03-02T00:01:00Z", "BTC-USD", at, Outcome.APPROVED, "", 1, 0.8,
                             float("nan"), 12.0, Decimal(100_000), (spread,), name),
        "order": order, "fill": Fill(name, "BTC-USD", Side.BUY, quantity, price, Decimal("15.0"), at),
        "trade": Trade("BTC-USD", Side.BUY, quantity, Decimal("120.5"), Decimal("30.0"), at, at + MINUTE),
        "mode": Mode.NORMAL, "why": "resumed by hand", "strategy": "dip", "title": "run ended",
        "text": "It reached its last tick.", "result": _result(True),
    }  # fmt: skip
    bad = {
        "finished": False, "mode": Mode.EMERGENCY, "why": "", "title": "Run broke off: 50 % lost <&> ü",
        "text": "",
        "decision": Decision("BTC-USD@2026-03-02T00:01:00Z", "BTC-USD", at, Outcome.SKIPPED, "spread", 0, 0.0,
                             float("nan"), float("nan"), Decimal(0), (unknown,)),
        "order": refused, "fill": Fill(name, "BTC-USD", Side.SELL, quantity, price, Decimal("-0.5"), at),
        "trade": Trade("BTC-USD", Side.SELL, quantity, Decimal("-120.5"), Decimal("-1.0"), at, at + MINUTE),
        "result": _result(False),
    }  # fmt: skip
    return [good, good | bad]


def _result(finished: bool) -> dict[str, Any]:
    counts = ("decisions", "approved", "skipped", "rejected", "orders", "fills", "trades", "wins")
    return {
        "run": "2026-03-02-000000-abcd", "hash": "0" * 32, "folder": "runs/2026-03-02-000000-abcd",
        "finished": finished, "ticks": 1, "symbols": ["BTC-USD"], "strategies": ["dip"], "inactive": {},
        "faults": {}, "quarantined": {}, "quality": {}, "mode": "NORMAL" if finished else "EMERGENCY",
        **dict.fromkeys(counts, 1 if finished else 0),
        "open_positions": 0, "capital": 100_000.0, "equity": 100_120.5 if finished else 0.0,
        "profit": 120.5 if finished else -100_000.0, "fees": 30.0, "refused_by": {"spread (layer 1)": 1},
        "seconds": 0.5, "bars_per_second": 2.0 if finished else 0.0,
    }  # fmt: skip
