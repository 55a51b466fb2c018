"""Rows made by hand, and strategies and gates that read their answers from them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from nexus_core import Feed, Gate, Param, Strategy
from nexus_core.layers import Layer
from nexus_core.market.blocks import Chunk
from nexus_core.records import ROW


class Hand(Feed):
    """The rows of the file that HAND names."""

    nexus_api = 1
    ticks = Param(1000, low=1, high=100_000, help="Ticks of a chunk")

    def recording(self, market):
        """Return what the rows are."""
        return {"feed": "hand", "rows": hashlib.sha256(Path(os.environ["HAND"]).read_bytes()).hexdigest()}

    def chunks(self, market, start):
        """Yield the rows, so many ticks at a time."""
        rows = np.fromfile(os.environ["HAND"], ROW)
        times = np.unique(rows["ts"])[start : market.ticks]
        for first in range(0, len(times), self.params.ticks):
            wanted = times[first : first + self.params.ticks]
            part = rows[(rows["ts"] >= wanted[0]) & (rows["ts"] <= wanted[-1])]
            yield Chunk(part, np.searchsorted(part["symbol"], np.arange(len(market.instruments) + 1)))


class Heard(Hand):
    """The same, as if they came from a venue."""

    nexus_api = 1
    live = True


class First(Strategy):
    """Signal what stands as the row's trades, scored as its bid size."""

    nexus_api = 1
    category = "momentum"
    horizon = 3

    @staticmethod
    def step(row, state, params):
        """Answer what the row says."""
        return row.trades, row.bid_size


class Second(Strategy):
    """Signal what stands as the minutes to the close, scored as the ask size."""

    nexus_api = 1
    category = "momentum"
    horizon = 2

    @staticmethod
    def step(row, state, params):
        """Answer what the row says."""
        return row.minutes_to_close, row.ask_size


class Calm(Gate):
    """Refuse at layer 1 where the bought volume is above 1."""

    nexus_api = 1
    layer, passes = 1, "market"
    limit = Param(1.0, low=0.0, high=9.0, help="Volume")

    @staticmethod
    def values(columns, state, params):
        """Return the bought volume."""
        return columns.buy_volume


class Routed(Gate):
    """Refuse at layer 5 where the sold volume is above 1."""

    nexus_api = 1
    layer, passes = 5, "market"
    limit = Param(1.0, low=0.0, high=9.0, help="Volume")

    @staticmethod
    def values(columns, state, params):
        """Return the sold volume."""
        return columns.sell_volume


class Capped(Gate):
    """Refuse at layer 6 where the minute of the session is above 1."""

    nexus_api = 1
    layer, passes = 6, "ledger"
    limit = Param(1.0, low=0.0, high=9.0, help="Minute")

    @staticmethod
    def step(row, account, position, proposal, params):
        """Return the minute."""
        return float(row.minute_of_session)


class Turned(Layer):
    """Turn every direction round; raise where nothing was traded."""

    nexus_api = 1
    layer = 4

    @staticmethod
    def step(row, context, voices, params):
        """Turn it round."""
        if row.volume == 0.0:
            raise ValueError
        context.direction = -context.direction
