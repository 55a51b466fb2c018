"""Plugins that tests install: a market that is cheap to make, and what trades and judges it."""

from __future__ import annotations

import math
import threading

import numpy as np
import typer
from nexus_classic import ClassicStrategy

from nexus_core import Broker, Feed, Gate, Param, Strategy, steps
from nexus_core.market.blocks import Chunk
from nexus_core.records import LATE, ROW, empty

MINUTE = 60_000_000_000
START = 1_772_409_600_000_000_000 + 23 * 60 * MINUTE
"""An hour before an epoch ends: 2026-03-02 23:00 UTC."""

wake = threading.Event()
"""Ends the sleep of strategies that doze; set, they do not even begin."""
wake.set()

hello = typer.Typer()


@hello.command("hello")
def say_hello(to: str = "you") -> None:
    """Say hello."""
    print(f"hello {to}")


class Walk(Feed):
    """Prices on a zigzag with noise. Symbols miss minutes, and some rows come late."""

    nexus_api = 1
    offers = {"bar", "volume"}
    correlated = True  # which rows are missing hangs on how many symbols there are
    ends = Param(0, low=0, high=1_000_000_000, help="Ticks after which there is nothing more; 0 never")
    gaps = Param(True, low=0, high=1, help="Whether rows are missing and late")
    salt = Param(0, low=0, high=1000, help="Another number makes other rows")

    def recording(self, market):
        """Return what the rows are a function of."""
        return {"feed": "walk", "seed": market.seed, "salt": self.params.salt}

    def chunks(self, market, start):
        """Yield 97 ticks at a time, or what is left of them."""
        end = min(market.ticks, self.params.ends or market.ticks)
        for first in range(start, end, 97):
            yield self._chunk(market, np.arange(first, min(first + 97, end)))

    def _chunk(self, market, ticks):
        parts = [self._rows(market, ticks, s) for s in range(len(market.instruments))]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        return Chunk(np.concatenate(parts), starts)

    def _rows(self, market, ticks, symbol):
        symbols, seed = len(market.instruments), market.seed + 1000 * self.params.salt
        draws = scrambled(ticks, symbol, seed)
        # every tick has a row at least of the symbol whose turn it is
        there = (ticks % symbols == symbol) | (draws % 11 != 0) | (not self.params.gaps)
        ticks, draws = ticks[there], draws[there]
        rows = empty(ROW, len(ticks))
        rows["ts"], rows["seq"], rows["symbol"] = START + (ticks + 1) * market.interval, ticks, symbol
        rows["flags"] = np.where((draws % 53 == 0) & self.params.gaps, LATE, 0)
        rows["open"], rows["close"] = price(ticks - 1, symbol, seed), price(ticks, symbol, seed)
        rows["high"] = np.maximum(rows["open"], rows["close"]) + 0.25
        rows["low"] = np.minimum(rows["open"], rows["close"]) - 0.25
        rows["volume"] = 1 + draws % 50
        rows["session_id"] = rows["ts"] // (24 * 60 * MINUTE)
        return rows


def scrambled(ticks, symbol, seed):
    """Return an integer from 0 to 65535 for each tick, the same whatever stands beside it."""
    x = (ticks.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x ^= np.uint64(symbol * 7919 + seed * 104729 + 13)
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(48)).astype(np.int64)


def price(ticks, symbol, seed):
    """Return prices in quarters, exact in any order of computing."""
    zigzag = np.abs((ticks * 7 + 131 * symbol) % 400 - 200) // 5
    return (400 + zigzag + scrambled(ticks, symbol, seed) % 9) / 4.0


class Swing(Strategy):
    """Sell above the average, buy below it."""

    nexus_api = 1
    category = "mean_reversion"
    needs = {"bar"}
    warmup = 5
    span = Param(12, low=2, high=500, help="Span of the average")
    width = Param(0.01, low=0.0, high=1.0, help="Distance from the average, as a share of it")

    @staticmethod
    def state(params):
        """Return the average and how many rows were seen."""
        return {"average": steps.ewm(params.span), "seen": 0}

    @staticmethod
    def step(row, state, params):
        """Answer against the distance from the average."""
        average = steps.ewm.push(state.average, row.close)
        state.seen += 1
        away = row.close / average - 1.0
        if away > params.width:
            return -1, 0.9
        if away < -params.width:
            return 1, 0.8
        return 0, 0.0


class Bookish(Strategy):
    """Needs what the feed has not."""

    nexus_api = 1
    category = "market_microstructure"
    needs = {"bar", "book", "trade"}


class Wild(Strategy):
    """Answers outside the contract on every second row."""

    nexus_api = 1
    category = "trend_following"

    @staticmethod
    def state(params):
        """Return the count of rows."""
        return {"seen": 0}

    @staticmethod
    def step(row, state, params):
        """Answer with a score of 2, which counts as no answer."""
        state.seen += 1
        return 0, (2.0 if state.seen % 2 == 0 else 0.0)


class Tripping(Swing):
    """Trade like Swing; on some rows raise, on some answer NaN."""

    nexus_api = 1
    every = Param(40, low=1, high=1_000_000, help="rows of a symbol between two errors")

    @staticmethod
    def step(row, state, params):
        """Answer against the distance from the average, unless it is time for an error."""
        average = steps.ewm.push(state.average, row.close)
        state.seen += 1
        if (row.seq + 7 * row.symbol) % params.every == 0:
            raise ValueError
        if (row.seq + 7 * row.symbol) % params.every == 9:
            return 0, math.nan
        away = row.close / average - 1.0
        if away > params.width:
            return -1, 0.9
        if away < -params.width:
            return 1, 0.8
        return 0, 0.0


class Dozing(Strategy):
    """Buy below the average of what it sees, sell above; on some rows sleep until woken."""

    nexus_api = 1
    category = "mean_reversion"
    warmup = 6
    nap = Param(1_000_000, low=1, high=1_000_000, help="rows of the feed between two naps")

    def signal(self, window):
        """Answer against the average."""
        if window.seq[-1] % self.params.nap == 0:
            wake.wait(1e6)
        return (1 if window.close[-1] < window.close.mean() else -1), 0.85


class Remembering(ClassicStrategy):
    """Turn with the parity of all it was ever told, of all symbols; on some rows sleep until woken."""

    nexus_api = 1
    category = "statistical_arbitrage"
    nap = Param(1_000_000, low=1, high=1_000_000, help="rows of the feed between two naps")

    def initialize(self, config):
        """Begin to remember."""
        self.figure = 1

    def execute(self, data):
        """Answer from the memory, with the row in it."""
        self.figure = (self.figure * 31 + data["sequence_num"] + ord(data["symbol"][0])) % 1009
        if data["sequence_num"] % self.params.nap == 0:
            wake.wait(1e6)
        return {"signal": self.figure % 5 - 2, "confidence": 0.6 + self.figure / 5000}


class Calm(Gate):
    """Refuse each ninth row of a symbol; it counts them."""

    nexus_api = 1
    layer, passes = 3, "market"
    limit = Param(7.0, low=0.0, high=8.0, help="place of the row among nine")

    @staticmethod
    def state(params):
        """Return the count of rows."""
        return {"seen": 0}

    @staticmethod
    def values(columns, state, params):
        """Return each row's place among nine of its symbol."""
        made = np.empty(len(columns))
        for n, symbol in enumerate(columns.symbol):
            state["seen"][symbol] += 1
            made[n] = state["seen"][symbol] % 9
        return made


class Crowd(Gate):
    """Look at how many rows come together: what no gate may do, and parity finds out."""

    nexus_api = 1
    layer, passes = 3, "market"
    limit = Param(30.0, low=0.0, high=1e9, help="rows that come together")

    @staticmethod
    def values(columns, state, params):
        """Return the number of rows."""
        return np.full(len(columns), float(len(columns)))


class Mute(Gate):
    """Answer NaN, which refuses."""

    nexus_api = 1
    layer, passes = 6, "ledger"
    limit = Param(1.0, low=0.0, high=1.0, help="nothing is let through")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return no number."""
        return math.nan


class Venue(Broker):
    """The broker of a venue, as far as a run that refuses it can tell."""

    nexus_api = 1
    name = "venue"
    on_paper = False
