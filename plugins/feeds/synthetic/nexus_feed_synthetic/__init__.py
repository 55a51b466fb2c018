"""Feed the seeded synthetic market: the same rows for the same seed, everywhere and for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_synthetic import LAW, START, Generator, default_price_tick

from nexus_core import Feed
from nexus_core.errors import UsageError
from nexus_core.market.blocks import Chunk
from nexus_core.types import to_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_core import Market

LAST = 2**63 - 1
"""The last nanosecond that a time can be."""

ROWS = 65_536
"""Rows of a chunk at the most, or one tick of all symbols if those are more."""


class Synthetic(Feed):
    """Bars, volumes and quotes of a market that was never there."""

    nexus_api = 1
    name = "synthetic"
    offers = {"bar", "volume", "quote"}
    endless = True

    def warm(self) -> None:
        """Compile the generator, or load it from the cache."""
        Generator(0, 1, 60_000_000_000).take(1)

    def recording(self, market: Market) -> dict[str, Any]:
        """Return what the rows are a function of; the interval in nanoseconds, price ticks in 1e-8."""
        if START + market.ticks * market.interval > LAST:
            raise UsageError(
                f"synthetic: {market.ticks:,} bars reach beyond the year 2262. Take fewer or shorter ones."
            )
        return {
            "feed": self.name,
            "law": LAW,
            "seed": market.seed,
            "interval": market.interval,
            "symbols": list(market.symbols),
            "price_ticks": _price_ticks(market),
        }

    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield the market's rows from tick number `start` on, up to the market's number of ticks."""
        symbols = len(market.instruments)
        generator = Generator(market.seed, symbols, market.interval, price_ticks=_price_ticks(market))
        generator.skip(min(start, market.ticks))
        size = max(ROWS // symbols, 1)
        while generator.tick < market.ticks:
            yield Chunk(*generator.take(min(size, market.ticks - generator.tick)))


def _price_ticks(market: Market) -> list[int]:
    units = [to_units(each.tick) for each in market.instruments]
    # 1e-8 is what an instrument without a rule of its own has: then the price says what is sensible
    return [default_price_tick(s) if unit == 1 else unit for s, unit in enumerate(units)]
