"""The engine: takes blocks of market rows through strategies, gates and ledger.

`advance` is the one path of backtest, paper and live. It is synchronous, reads no clock and no file, and
gives the same decisions for the same rows whatever the size of the blocks they come in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import Factory, define, field, frozen

from nexus_core import calibration, listeners, log, plugins
from nexus_core import ledger as books
from nexus_core.broker import Broker
from nexus_core.calibration import Table
from nexus_core.compile import closure, is_warm
from nexus_core.config import Quarantine, Run, Settings
from nexus_core.errors import ConfigError, DataError, NexusError, NotFoundError, PluginError, hint
from nexus_core.feed import ALL, Feed, Market
from nexus_core.gates import Chain, Gate, Missing
from nexus_core.layers import Layer
from nexus_core.ledger import Judged, Ledger, Written
from nexus_core.listeners import Listeners
from nexus_core.market import blocks as cutting
from nexus_core.market.blends import Blends, Opinions
from nexus_core.market.blocks import Block, Chunk
from nexus_core.market.loops import StrategyLoop, state_code
from nexus_core.market.outcomes import Outcomes
from nexus_core.quarantine import Ward
from nexus_core.records import Records
from nexus_core.strategy import OVERRUN, Strategy
from nexus_core.styles import loop
from nexus_core.types import Instrument, iso, to_units

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
DAY = 86_400 * SECOND
TICKS_OF_LONG_EPOCH = 21
"""Where a bar lasts a day or more, an epoch is this many bars."""

USUAL = 10_000
"""Ticks of a run that names no number, on a feed without an end."""

Progress = Callable[[str], None]
Known = Mapping[str, Mapping[str, Any]]


@frozen
class Inactive:
    """A strategy that the run names and does without: it cannot be fed, or is broken."""

    name: str
    reason: str
    state: str = "inactive"


@define
class Engine:
    """Everything that decides, with its whole state."""

    market: Market
    loops: list[StrategyLoop]
    chain: Chain
    ledger: Ledger
    inactive: Sequence[Inactive] = ()
    tables: Sequence[Table | None] = ()
    """What is known of each strategy's scores."""
    tick: int = 0
    """Number of the next tick."""
    opinions: Opinions = Factory(dict[str, Callable[[Records], Any]])
    """Who fills the slots that strategies name."""
    rules: Quarantine = Factory(Quarantine)
    barriers: tuple[float, float] = (0.02, 0.04)
    """How far the stop and the target of a trade lie, as shares of its price."""
    ward: Ward = field(init=False)
    blends: Blends = field(init=False)
    outcomes: Outcomes = field(init=False)
    _columns: Judged = field(init=False)
    time: int = field(default=-(2**63), init=False)
    """Of the last tick that was taken."""

    def __attrs_post_init__(self) -> None:
        self.ward = Ward(self.loops, self.rules)
        self.blends = Blends([each.strategy for each in self.loops], self.opinions)
        horizons = [each.strategy.horizon for each in self.loops]
        self.outcomes = Outcomes(horizons, len(self.market.instruments), *self.barriers)

    def blocks(self, chunk: Chunk, size: int, stops: Sequence[int] = ()) -> Iterator[Block]:
        """Cut the next chunk into blocks that end at epoch edges, and make room for its columns."""
        if chunk.ticks and chunk.times[0] <= self.time:
            raise DataError(
                f"feed: a chunk begins at {iso(chunk.times[0])}, and rows to {iso(self.time)} came before. "
                "Chunks follow each other in time, and an instant lies in one."
            )
        most = size * len(self.market.instruments)
        self._columns = self.chain.columns(len(chunk.rows), most)
        return cutting.blocks(chunk, self.tick, size, self.edge, stops)

    def advance(self, block: Block, told: Records) -> Iterator[Written]:
        """Take one block, after what was told before it; yield what is written.

        The yielded records are the engine's own buffers: copy what must last.
        """
        if block.tick != self.tick:
            raise ConfigError(f"engine: block of tick {block.tick} was given, tick {self.tick} is next.")
        told = self.hear(told)
        yield from self.ledger.advance(block.rows, block.order, self.decide(block), told)
        self.tick += len(block.times)
        self.time = int(block.times[-1])

    def hear(self, told: Records) -> Records:
        """Take what was told about strategies; return the rest, which is the ledger's."""
        if not len(told):
            return told
        ours = told["kind"] >= OVERRUN
        self.ward.tell(told[ours])
        return told[~ours]

    def decide(self, block: Block) -> Judged:
        """Run the market pass over a block: strategies and the gates that know no portfolio."""
        if block.late is not None:  # seen by all that remembers, and decided by nobody
            seen = self.chain.columns(len(block.late.rows))
            self.ward.run(block.late, seen)
            self.chain.judge(block.late, seen)
            self._columns = self.chain.columns(len(block.rows), len(block.order))
        self.ward.run(block, self._columns)
        self.blends.run(block, self._columns.signals, self._columns.scores)
        self.outcomes.run(block, self._columns.signals, self._columns.scores, self._columns.told)
        self.chain.judge(block, self._columns)
        return self._columns

    def edge(self, ts: int) -> int:
        """Return the first epoch edge at or after a time."""
        return -(-ts // self.grid) * self.grid

    @property
    def grid(self) -> int:
        """Return the length of an epoch in nanoseconds."""
        return DAY if self.market.interval < DAY else TICKS_OF_LONG_EPOCH * self.market.interval

    @property
    def known(self) -> dict[str, Table]:
        """Return what is known of the scores of those strategies that have a table, by name."""
        return {loop.name: each for loop, each in zip(self.loops, self.tables, strict=False) if each}

    def states(self) -> dict[str, tuple[Any, str]]:
        """Return every record of state by name, with the hash of the code it belongs to."""
        made = {name: (array, "") for name, array in self.ledger.records().items()}
        made |= {f"strategy:{loop.name}": (loop.states, loop.code) for loop in self.loops}
        made |= self.outcomes.records([loop.name for loop in self.loops])
        return made | self.chain.records() | {"quarantine": (self.ward.books, "")}

    @property
    def parts(self) -> list[tuple[str, Any]]:
        """Return what is compiled, with its name."""
        loops: list[tuple[str, Any]] = [(loop.name, loop) for loop in self.loops if loop.entry is not None]
        rest = [("the outcomes", self.outcomes), ("the chain", self.chain), ("the ledger", self.ledger)]
        return [*loops, *rest]

    def warm(self, progress: Progress) -> None:
        """Compile what decides, or load it from the cache; tell of what has to be compiled."""
        cutting.warm()
        self.blends.warm()
        for name, part in self.parts:
            if not is_warm(part.entry):
                progress(f"compiling {name}")
            try:
                part.warm()
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
    listeners: Listeners

    @property
    def market(self) -> Market:
        """Return what the run asks of its feed."""
        return self.engine.market

    @property
    def known(self) -> Known:
        """Return the calibration tables, by strategy, as plain values."""
        return {name: dict(table.facts) for name, table in self.engine.known.items()}

    @property
    def code(self) -> dict[str, str]:
        """Return the hashes of the code that decides, with its parameters, by name."""
        engine, chain = self.engine, self.engine.chain
        steps = {f"gate:{chain.places[each.number].name}": each for each in chain.ledger_gates}
        steps |= dict(zip(("fee", "slippage"), self.broker.costs(), strict=True))
        steps |= {"assessor": chain.assessor} if chain.assessor else {}
        made = {name: state_code(each.step, each.params.dtype, each.params) for name, each in steps.items()}
        made |= {name: code for name, (_, code) in engine.states().items() if code}
        made |= {f"calibration:{name}": table.digest for name, table in engine.known.items()}
        return made | {"ledger": closure(engine.ledger.entry), "chain": chain.code}

    def warm(self, progress: Progress) -> None:
        """Compile what will be used, or load it from the cache; tell of what has to be compiled."""
        self.feed.warm()
        self.engine.warm(progress)


def assemble(
    settings: Settings,
    trace: str | None = None,
    live: bool = False,
    known: Known | None = None,
    opinions: Opinions | None = None,
) -> Assembly:
    """Load the plugins that settings name and put an engine together.

    On paper a strategy that is broken is left out, in real trading nothing is. `known` are the calibration
    tables of a run that goes on, by strategy; a new one is given those that hold for it. `opinions` fill the
    slots of strategies that blend them in.
    """
    _warn_of_strangers(settings)
    run = settings.run
    heard = listeners.installed(run.blocked)
    feed: Feed = _create(settings, "feeds", run.feed)
    broker: Broker = _create(settings, "brokers", run.broker)
    market = _market(settings.run, feed)
    loops, inactive = _strategies(settings, feed, live)
    tables = [_table(each.strategy, feed, market, known, run.blocked) for each in loops]
    least, symbols = settings.risk.min_confidence, len(market.instruments)
    categories = [str(getattr(each.strategy, "category", "")) for each in loops]
    gates, layers = _gates(settings, heard), _layers(settings)
    chain = Chain(gates, len(loops), symbols, least, tables, layers, categories, market.interval)
    rules = books.rules(settings.risk, trace or settings.performance.trace, broker.on_paper)
    ledger = Ledger(market.instruments, chain, *broker.costs(), rules, to_units(settings.risk.capital))
    engine = Engine(
        market, loops, chain, ledger, inactive,
        tables=tables, opinions=opinions or {}, rules=settings.quarantine,
        barriers=(settings.risk.stop_loss_pct, settings.risk.take_profit_pct),
    )  # fmt: skip
    return Assembly(settings, engine, feed, broker, heard)


def _first_fault(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "ttribute" in line or "rror" in line]
    return " ".join([*telling, *lines, "no reason given"][0].split())[:200].rstrip(".")


def _warn_of_strangers(settings: Settings) -> None:
    run = settings.run
    heard = {each.name for each in plugins.offers() if each.kind == "hooks"}
    used = {*run.strategies, *settings.risk.gates, *settings.chain.layers, run.feed, run.broker, *heard}
    for name in sorted(settings.plugins.keys() - used):
        log.warning("plugins.%s: this run uses no plugin of that name.%s", name, hint(name, used))


def _create(settings: Settings, kind: str, name: str) -> Any:
    return plugins.load(kind, name, settings.run.blocked)(**settings.plugins.get(name, {}))


def _market(run: Run, feed: Feed) -> Market:
    if run.clock not in feed.clocks:
        has = " or ".join(sorted(feed.clocks))
        raise ConfigError(f"feeds:{run.feed}: has no rows for run.clock = {run.clock}. Set it to {has}.")
    interval = {"bar": run.interval * SECOND, "every": run.every * MILLISECOND, "event": 1}[run.clock]
    ticks = run.bars or (USUAL if feed.endless else ALL)
    return Market(tuple(map(Instrument, run.symbols)), interval, run.seed, ticks, run.clock)


def _strategies(settings: Settings, feed: Feed, live: bool) -> tuple[list[StrategyLoop], list[Inactive]]:
    active, inactive, broken = list[StrategyLoop](), list[Inactive](), list[PluginError]()
    for name in settings.run.strategies:
        try:
            strategy: Strategy = _create(settings, "strategies", name)
            if lacking := strategy.lacks(feed.offers, feed.clocks):
                inactive.append(Inactive(name, f"needs {', '.join(lacking)}"))
            else:
                active.append(loop(name, strategy, settings.run.symbols))
        except (ConfigError, NotFoundError):
            raise
        except (Exception, SystemExit) as error:
            text = f"strategies:{name} cannot be set up: {type(error).__name__}: {error}. Ask its author."
            broken.append(error if isinstance(error, PluginError) else PluginError(text))
            inactive.append(Inactive(name, str(broken[-1]), "broken"))
    if broken and (live or not active):
        raise broken[0]
    for error in broken:
        log.warning("%s The others trade without it.", error)
    if not active:
        reasons = "; ".join(f"{each.name} {each.reason}" for each in inactive)
        raise ConfigError(f"{settings.run.feed} feeds no strategy of this run: {reasons}. Choose others.")
    return active, inactive


def _table(strategy: Strategy, feed: Feed, market: Market, known: Known | None, blocked: Any) -> Table | None:
    if known is not None:
        return Table(known[strategy.name]) if strategy.name in known else None
    version = plugins.find("strategies", strategy.name, blocked).version
    return calibration.find(strategy, calibration.asked(strategy, version, feed.population, market.interval))


def _layers(settings: Settings) -> list[tuple[str, Layer]]:
    made = list[tuple[str, Layer]]()
    for name in settings.chain.layers:
        try:
            made.append((name, _create(settings, "layers", name)))
        except NotFoundError as error:
            log.warning("%s Until then gates that read what it writes refuse every entry.", error)
    return made


def _gates(settings: Settings, heard: Listeners) -> list[tuple[str, Gate]]:
    made = [(name, _gate(settings, name)) for name in settings.risk.gates]
    for who, answer in heard.call("nexus_gates", settings=settings):
        made += _inserted(who, answer)
    for who in heard.faults:
        advice = "This chain would not be the one that was meant: mend it, or block it."
        raise PluginError(f"{who} raised in nexus_gates. {advice}")
    names = [name for name, _ in made]
    for name, gate in made:
        beside = gate.before or gate.after
        if beside and beside not in names:
            log.warning("gate %s: stands beside %s, which is not in this chain: its layer alone places it.",
                        name, beside)  # fmt: skip
    for twice in sorted(name for name in names if names.count(name) > 1):
        raise PluginError(f"gate {twice} stands in the chain twice. Block the listener that adds it again.")
    return made


def _inserted(who: str, answer: Any) -> list[tuple[str, Gate]]:
    found: list[tuple[Any, Any]]
    try:
        found = [(name, gate) for name, gate in answer or ()]
    except Exception:  # a generator may raise whatever its author forgot
        found = [("", None)]
    if not all(isinstance(name, str) and name and isinstance(gate, Gate) for name, gate in found):
        raise PluginError(f"{who}: nexus_gates was {answer!r}, must be pairs of a name and a Gate.")
    return found


def _gate(settings: Settings, name: str) -> Gate:
    try:
        kind = plugins.load("gates", name, settings.run.blocked)
    except NotFoundError as error:
        log.warning("%s Until then every entry is refused by it.", error)
        return Missing()
    if kind.setting and not hasattr(settings.risk, kind.setting):
        raise PluginError(f"gates:{name}: follows the setting risk.{kind.setting}, which does not exist.")
    followed = {"limit": getattr(settings.risk, kind.setting)} if kind.setting else {}
    return kind(**followed | settings.plugins.get(name, {}))
