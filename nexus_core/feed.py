"""What a feed promises the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from attrs import frozen

from nexus_core.market.blocks import Chunk
from nexus_core.strategy import Plugin
from nexus_core.types import Instrument

ALL = 2**62
"""Ticks of a run that takes all that its feed has."""


@frozen
class Market:
    """What a run asks of its feed: which instruments, bars and seed, and how many ticks at the most."""

    instruments: tuple[Instrument, ...]
    interval: int
    """Length of a bar in nanoseconds."""
    seed: int
    ticks: int
    clock: str = "bar"
    """Where it is not `bar`, any event makes a row of the interval it falls in, with or without a trade."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the run's order."""
        return tuple(each.symbol for each in self.instruments)


class Feed(Plugin, ABC):
    """A source of market rows that can be played again from any tick.

    The rows of tick n are the same whenever, and in whatever chunks, they are asked for.
    """

    offers: ClassVar[set[str]] = {"bar"}
    """What its rows carry: bar, volume, quote, trade, book."""
    clocks: ClassVar[set[str]] = {"bar"}
    """The decision clocks it has rows for: bar, every, event."""
    population: str = "real"
    """What market its rows are of: a calibration fitted on one says nothing of another."""
    endless: ClassVar[bool] = False
    """Whether it has rows without an end."""
    live: ClassVar[bool] = False
    correlated: ClassVar[bool] = False
    """Whether a symbol's rows depend on which others are asked for."""

    @property
    def quality(self) -> dict[str, float]:
        """Return how sound the rows so far were, 0 to 1, by symbol; nothing of one that nobody watches."""
        return {}

    def warm(self) -> None:
        """Compile, or load from the cache, what making rows needs."""

    @abstractmethod
    def recording(self, market: Market) -> dict[str, Any]:
        """Return what stands for the rows in a run's manifest: enough to have the same rows again."""

    @abstractmethod
    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield the market's rows from tick number `start` on, up to the market's number of ticks."""
