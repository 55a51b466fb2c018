"""The engine: takes blocks of market rows through strategies, gates and ledger.

`advance` is the one path of backtest, paper and live. It is synchronous, reads no clock and no file, and
gives the same decisions for the same rows whatever the size of the blocks they come in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from nexus_core import ledger as books
from nexus_core import log, plugins
from nexus_core.broker import Broker
from nexus_core.compile import closure, is_warm
from nexus_core.config import Settings
from nexus_core.errors import ConfigError, DataError, NexusError, NotFoundError, PluginError, hint
from nexus_core.feed import Feed, Market
from nexus_core.gates import Chain, Gate, Missing
from nexus_core.ledger import Judged, Ledger, Written
from nexus_core.market import blocks as cutting
from nexus_core.market.blocks import Block, Chunk
from nexus_core.records import Records
from nexus_core.strategy import Strategy, StrategyLoop, state_code
from nexus_core.types import Instrument, iso, to_units

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
TICKS_OF_LONG_EPOCH = 21
"""Where a bar lasts a day or more, an epoch is this many bars."""

Progress = Callable[[str], None]


@frozen
class Inactive:
    """A strategy that the run names and cannot feed."""

    name: str
    reason: str


@define
class Engine:
    """Everything that decides, with its whole state."""

    market: Market
    loops: Sequence[StrategyLoop]
    chain: Chain
    ledger: Ledger
    inactive: Sequence[Inactive] = ()
    tick: int = 0
    """Number of the next tick."""
    _columns: Judged = field(init=False)
    _last: int = field(default=-(2**63), init=False)

    def blocks(self, chunk: Chunk, size: int, stops: Sequence[int] = ()) -> Iterator[Block]:
        """Cut the next chunk into blocks that end at epoch edges, and make room for its columns."""
        if chunk.ticks and chunk.times[0] <= self._last:
            raise DataError(
                f"feed: a chunk begins at {iso(chunk.times[0])}, and rows to {iso(self._last)} came before. "
                "Chunks follow each other in time, and an instant lies in one."
            )
        self._columns = self.chain.columns(len(chunk.rows))
        return cutting.blocks(chunk, self.tick, size, self.edge, stops)

    def advance(self, block: Block, told: Records) -> Iterator[Written]:
        """Take one block, after what was told before it; yield what is written.

        The yielded records are the engine's own buffers: copy what must last.
        """
        if block.tick != self.tick:
            raise ConfigError(f"engine: block of tick {block.tick} was given, tick {self.tick} is next.")
        columns = self.decide(block)
        yield from self.ledger.advance(block.rows, block.order, columns, told)
        self.tick += len(block.times)
        self._last = int(block.times[-1])

    def decide(self, block: Block) -> Judged:
        """Run the market pass over a block: strategies and the gates that know no portfolio."""
        columns = self._columns
        for k, loop in enumerate(self.loops):
            loop.run(block.rows, block.first, block.last, columns.signals[k], columns.scores[k])
        self.chain.judge(block, columns)
        return columns

    def edge(self, ts: int) -> int:
        """Return the first epoch edge at or after a time."""
        return -(-ts // self.grid) * self.grid

    @property
    def grid(self) -> int:
        """Return the length of an epoch in nanoseconds."""
        return DAY if self.market.interval < DAY else TICKS_OF_LONG_EPOCH * self.market.interval

    def states(self) -> dict[str, tuple[Any, str]]:
        """Return every record of state by name, with the hash of the code it belongs to."""
        made: dict[str, tuple[Any, str]] = {
            name: (array, "") for name, array in self.ledger.records().items()
        }
        made |= {f"strategy:{loop.name}": (loop.states, loop.code) for loop in self.loops}
        return made | self.chain.records()

    def warm(self, progress: Progress) -> None:
        """Compile what decides, or load it from the cache; tell of what has to be compiled."""
        jobs = [(loop.name, loop.entry, loop.warm) for loop in self.loops]
        jobs += [
            ("the chain", self.chain.entry, self.chain.warm),
            ("the ledger", self.ledger.entry, self.ledger.warm),
        ]
        cutting.warm()
        for name, entry, warm in jobs:
            if not is_warm(entry):
                progress(f"compiling {name}")
            try:
                warm()
            except NexusError:
                raise
            except Exception as error:
                raise PluginError(
                    f"{name}: its step cannot be compiled: {_first_fault(str(error))}. "
                    "Run again with -v for the compiler's words."
                ) from error


@frozen
class Assembly:
    """A run's parts, made from its settings."""

    settings: Settings
    engine: Engine
    feed: Feed
    broker: Broker

    @property
    def market(self) -> Market:
        """Return what the run asks of its feed."""
        return self.engine.market

    @property
    def code(self) -> dict[str, str]:
        """Return the hashes of the code that decides, with its parameters, by name."""
        engine, named = self.engine, {each.number: each.name for each in self.engine.chain.places}
        fee, slippage = self.broker.costs()
        steps = {f"gate:{named[each.number]}": each for each in engine.chain.ledger_gates}
        steps |= {"fee": fee, "slippage": slippage}
        made = {name: state_code(each.step, each.params.dtype, each.params) for name, each in steps.items()}
        made |= {name: code for name, (_, code) in engine.states().items() if code}
        return made | {"ledger": closure(engine.ledger.entry), "chain": closure(engine.chain.entry)}

    def warm(self, progress: Progress) -> None:
        """Compile what will be used, or load it from the cache; tell of what has to be compiled."""
        self.feed.warm()
        self.engine.warm(progress)


def assemble(settings: Settings, trace: str | None = None) -> Assembly:
    """Load the plugins that settings name and put an engine together."""
    _warn_of_strangers(settings)
    run = settings.run
    feed: Feed = _create(settings, "feeds", run.feed)
    broker: Broker = _create(settings, "brokers", run.broker)
    market = Market(tuple(Instrument(s) for s in run.symbols), run.interval * SECOND, run.seed, run.bars)
    active, inactive = _strategies(settings, feed)
    loops = [StrategyLoop(name, strategy, len(market.instruments)) for name, strategy in active]
    chain = Chain(_gates(settings), len(loops), len(market.instruments), settings.risk.min_confidence)
    fee, slippage = broker.costs()
    ledger = Ledger(
        market.instruments,
        chain.ledger_gates,
        fee,
        slippage,
        books.rules(settings.risk, trace or settings.performance.trace, broker.on_paper),
        to_units(settings.risk.capital),
        chain.market_limits,
        chain.asked,
        chain.layers,
        len(loops),
    )
    return Assembly(settings, Engine(market, loops, chain, ledger, inactive), feed, broker)


def _first_fault(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "ttribute" in line or "rror" in line]
    return " ".join([*telling, *lines, "no reason given"][0].split())[:200].rstrip(".")


def _warn_of_strangers(settings: Settings) -> None:
    run = settings.run
    used = {*run.strategies, *settings.risk.gates, run.feed, run.broker}
    for name in sorted(settings.plugins.keys() - used):
        log.warning("plugins.%s: this run uses no plugin of that name.%s", name, hint(name, used))


def _create(settings: Settings, kind: str, name: str) -> Any:
    return plugins.create(kind, name, settings.plugins.get(name, {}))


def _strategies(settings: Settings, feed: Feed) -> tuple[list[tuple[str, Strategy]], list[Inactive]]:
    active: list[tuple[str, Strategy]] = []
    inactive: list[Inactive] = []
    for name in settings.run.strategies:
        strategy: Strategy = _create(settings, "strategies", name)
        lacking = sorted(strategy.needs - feed.offers)
        if lacking:
            inactive.append(Inactive(name, f"needs {', '.join(lacking)}"))
        else:
            active.append((name, strategy))
    return active, inactive


def _gates(settings: Settings) -> list[tuple[str, Gate]]:
    made: list[tuple[str, Gate]] = []
    for name in settings.risk.gates:
        try:
            kind = plugins.load("gates", name)
        except NotFoundError as error:
            log.warning("%s Until then every entry is refused by it.", error)
            made.append((name, Missing()))
            continue
        params: Mapping[str, Any] = settings.plugins.get(name, {})
        if kind.setting and not hasattr(settings.risk, kind.setting):
            raise PluginError(f"gates:{name}: follows the setting risk.{kind.setting}, which does not exist.")
        if kind.setting and "limit" not in params:
            params = {**params, "limit": getattr(settings.risk, kind.setting)}
        made.append((name, kind(**params)))
    return made
