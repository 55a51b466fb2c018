"""Feed the seeded synthetic market: the same rows for the same seed, everywhere and for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_synthetic import FLOW_LAW, LAW, START, Flow, Generator, default_grid, default_price_tick

from nexus_core import Feed, Param, Text
from nexus_core.errors import UsageError
from nexus_core.market.blocks import Chunk
from nexus_core.types import to_units
from nexus_feed_synthetic.pieces import pieces, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nexus_core import Market

SECOND = 1_000_000_000
LAST = 2**63 - 1
"""The last nanosecond that a time can be."""

ROWS = 65_536
"""Rows of a chunk at the most, or one tick of all symbols if those are more."""

EVENTS = 500_000
"""Events of a chunk, about: as many intervals as usually have so many, or one."""


class Synthetic(Feed):
    """Bars, volumes and quotes of a market that was never there."""

    nexus_api = 1
    name = "synthetic"
    offers = {"bar", "volume", "quote"}
    endless = True

    market = Text("bars", among=("bars", "flow"), help="Bars by a law of their own, or trades and books")
    activity = Param(1.0, low=0.1, high=10.0, help="How much goes on in the market of order flow")
    plants = Param(False, low=0, high=1, help="Whether patterns and decoys are planted in the order flow")
    rate = Param(6.0, low=0.1, high=60.0, help="Plants an hour, but for the time they last")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if self.params.market == "flow":
            offers, clocks = {"bar", "volume", "quote", "trade", "book"}, {"bar", "every", "event"}
            self.offers, self.clocks = offers, clocks  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def population(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return which of its markets it plays."""
        if self.params.market == "bars":
            return "synthetic bars"
        busy = "" if self.params.activity == 1.0 else f" of activity {self.params.activity:g}"
        sown = f" with {self.params.rate:g} plants an hour" if self.params.plants else ""
        return f"synthetic flow{busy}{sown}"

    def warm(self) -> None:
        """Compile what makes rows, or load it from the cache."""
        if self.params.market == "flow":
            next(pieces(Flow(0, 1, SECOND), SECOND, 60, SECOND))
        else:
            Generator(0, 1, 60_000_000_000).take(1)

    def recording(self, market: Market) -> dict[str, Any]:
        """Return what the rows are a function of; the interval in nanoseconds, price ticks in 1e-8."""
        if START + market.ticks * market.interval > LAST:
            raise UsageError(
                f"synthetic: {market.ticks:,} bars reach beyond the year 2262. Take fewer or shorter ones."
            )
        made = {
            "feed": self.name,
            "law": LAW,
            "seed": market.seed,
            "interval": market.interval,
            "symbols": list(market.symbols),
            "price_ticks": _price_ticks(market, default_price_tick),
        }
        if self.params.market == "flow":
            self._flow(market)  # refuses what it has no market for before a run begins
            made |= {
                **self.params.by_name(),
                "law": FLOW_LAW,
                "clock": market.clock,
                "price_ticks": _price_ticks(market, default_grid),
            }
        return made

    def chunks(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield the market's rows from tick number `start` on, up to the market's number of ticks."""
        if self.params.market == "flow":
            yield from self._flowing(market, start)
            return
        symbols, units = len(market.instruments), _price_ticks(market, default_price_tick)
        generator = Generator(market.seed, symbols, market.interval, price_ticks=units)
        generator.skip(min(start, market.ticks))
        size = max(ROWS // symbols, 1)
        while generator.tick < market.ticks:
            yield Chunk(*generator.take(min(size, market.ticks - generator.tick)))

    def _flow(self, market: Market) -> Flow:
        units, params = _price_ticks(market, default_grid), self.params
        return Flow(
            market.seed, len(units), _step(market), price_ticks=units,
            activity=params.activity, plants=params.plants, rate=params.rate,
        )  # fmt: skip

    def _flowing(self, market: Market, start: int) -> Iterator[Chunk]:
        """Yield the ticks of the order flow with its events; where nobody trades there is no row."""
        usual = EVENTS * 60 * SECOND // (750 * len(market.instruments) * _step(market))
        passed, size = 0, max(int(usual / self.params.activity), 1)
        made = pieces(self._flow(market), _step(market), size, market.interval, market.clock != "bar")
        for rows, starts, events, event_starts, times in made:
            first, last = max(start - passed, 0), min(market.ticks - passed, len(times))
            passed += len(times)
            if first < last:
                span = int(times[first - 1]) if first else -1, int(times[last - 1])
                yield Chunk(*within(rows, starts, *span), *within(events, event_starts, *span))
            if passed >= market.ticks:
                return


def _step(market: Market) -> int:
    """Return how much of the order flow is made at a time: a bar, or a second of what is cut finer."""
    return market.interval if market.clock == "bar" else SECOND


def _price_ticks(market: Market, default: Callable[[int], int]) -> list[int]:
    units = [to_units(each.tick) for each in market.instruments]
    # 1e-8 is what an instrument without a rule of its own has: then the price says what is sensible
    return [default(s) if unit == 1 else unit for s, unit in enumerate(units)]
