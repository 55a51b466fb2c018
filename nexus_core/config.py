"""Settings, frozen and checked, and how layers of tables make them: defaults, a preset, what is given."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from nexus_core.errors import ConfigError, hint

COUNT = "[1, 1000000000]"
# Money and quantities are int64 in 1e-8, which ends at 9.22e10.
AMOUNT = "(0, 90000000000]"
SECONDS = "[1, 31536000]"
FRACTION = "fraction"
GATES = "duplicate,position-size,daily-loss,weekly-loss,drawdown,margin,stop-loss,min-size"

Tables = Mapping[str, Any]


class _UnfitError(ConfigError):
    def __init__(self, value: object, rule: str, *keys: str) -> None:
        super().__init__(f"{keys[0]} was {_shown(value)}, {rule}")
        self.keys = keys


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else repr(value)


def _setting(default: Any, fault: Callable[[Any], str], bounds: str, text: str, unit: str = "") -> Any:
    def checked(value: Any, group: attrs.AttrsInstance, field: attrs.Attribute[Any]) -> Any:
        if rule := fault(value):
            raise _UnfitError(value, rule, f"{type(group).__name__.lower()}.{field.name}")
        return type(default)(value)

    facts = {"bounds": bounds, "help": text, "unit": unit}
    converter = attrs.Converter(checked, takes_self=True, takes_field=True)
    return cast("Any", attrs.field(default=default, converter=converter, metadata=facts))


def number(default: float, bounds: str, help: str, unit: str = "") -> Any:
    """Make a field for a number in `bounds`, such as `(0, 1]`; an int as default asks for whole ones."""
    whole = isinstance(default, int)
    low, high = map(int, bounds[1:-1].split(","))

    def fault(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            return f"must be a {'whole ' if whole else ''}number in {bounds}."
        open_end = (value == low and bounds[0] == "(") or (value == high and bounds[-1] == ")")
        if low <= value <= high and not open_end:
            return ""
        return f"must lie in {bounds}.{_percent(value) if unit == FRACTION else ''}"

    return _setting(default, fault, bounds, help, unit)


def share(default: float, help: str, bounds: str = "(0, 1]") -> Any:
    """Make a field for a fraction of one."""
    return number(default, bounds, help, FRACTION)


def _percent(value: float) -> str:
    return f" It is a fraction: {_shown(value)} % is {value / 100:g}." if 1 < value < float("inf") else ""


def choice(default: str, *others: str, help: str, note: str = "") -> Any:
    """Make a field for one of some words; `note` ends the message when it is another."""
    words = (default, *others)
    return _plain(default, words.__contains__, " or ".join(words), help, note)


def name(default: str, help: str) -> Any:
    """Make a field for one name, without spaces around it."""
    return _plain(default, _is_name, "a name without spaces around it", help)


def flag(default: bool, help: str) -> Any:
    """Make a field that is true or false."""
    return _plain(default, lambda value: isinstance(value, bool), "true or false", help)


def names(default: str, help: str, *, least: int = 0) -> Any:
    """Make a field for a tuple of at least `least` different names; the default is a comma list."""
    bounds = f"{least} or more different names"

    def fault(value: Any) -> str:
        if not isinstance(value, list | tuple) or not all(map(_is_name, cast("Sequence[Any]", value))):
            return "must be a list of names without spaces around them."
        found = cast("Sequence[str]", value)
        if len(set(found)) < len(found):
            return "must name each once."
        return f"must be {bounds}." if len(found) < least else ""

    return _setting(tuple(default.split(",")) if default else (), fault, bounds, help)


def _plain(default: Any, fits: Callable[[Any], bool], bounds: str, help: str, note: str = "") -> Any:
    return _setting(default, lambda value: "" if fits(value) else f"must be {bounds}.{note}", bounds, help)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value == value.strip()


@attrs.frozen(kw_only=True)
class Performance:
    """How much is kept in memory, and how much is done at a time."""

    buffer_size: int = number(10_000, COUNT, "rows the data buffer keeps", "rows")
    cache_size: int = number(1_000, COUNT, "entries the data cache keeps", "entries")
    cache_ttl: int = number(300, SECONDS, "age at which a cached entry is dropped", "s")
    max_workers: int = number(4, "[1, 1024]", "threads that may work at a time", "threads")
    block: int = number(4096, COUNT, "ticks in a block at the most; changes no decision", "ticks")
    snapshot_every: int = number(16, COUNT, "blocks from one snapshot to the next", "blocks")
    trace: str = choice("full", "approved", "orders", help="decisions journalled with their verdicts")


@attrs.frozen(kw_only=True)
class Risk:
    """What may be lost, how large an entry is, and which gates judge it."""

    capital: float = number(1e5, AMOUNT, "equity at the start", "account currency")
    max_position_size: float = share(0.1, "largest position, share of equity")
    max_daily_loss: float = share(0.02, "loss of the day, share of equity, at which entries end")
    max_weekly_loss: float = share(0.05, "loss of the week, share of equity, at which entries end")
    max_drawdown: float = share(0.15, "fall from the highest equity at which entries end")
    stop_loss_pct: float = share(0.02, "distance of the stop from the entry price", "(0, 1)")
    take_profit_pct: float = share(0.04, "distance of the target from the entry price", "(0, 100]")
    sizing: str = choice(
        "kelly", "fixed-risk", "fixed-quantity", "fixed-notional", help="how an entry is sized"
    )
    risk_fraction: float = share(0.02, "share of equity per entry under fixed-risk, before confidence")
    quantity: float = number(1.0, AMOUNT, "size of an entry under fixed-quantity", "base units")
    notional: float = number(1e3, AMOUNT, "size of an entry under fixed-notional", "account currency")
    on_opposite: str = choice("close", "reverse", "ignore", help="answer to a signal against a position")
    allow_short: bool = flag(True, "whether an entry may sell what is not held")
    brackets: bool = flag(True, "whether every entry gets a stop and a target")
    min_confidence: float = share(0.57, "confidence below which a signal is not kept", "[0, 1]")
    breaker_loss: float = share(
        0.01,
        "net realised loss of the UTC hour, share of equity, that pauses the account; 0 is off",
        "[0, 1]",
    )
    breaker_rejects: int = number(
        10, "[0, 1000000000]", "rejected orders of the UTC hour that pause the account; 0 is off", "orders"
    )
    gates: tuple[str, ...] = names(GATES, "gates an entry must pass")

    def __attrs_post_init__(self) -> None:
        self._at_least("max_weekly_loss", "max_daily_loss")
        self._at_least("max_drawdown", "max_weekly_loss")
        if self.sizing in ("kelly", "fixed-risk"):
            self._at_least("max_position_size", "risk_fraction")
        target, keys = self.take_profit_pct, ("risk.take_profit_pct", "risk.allow_short", "risk.brackets")
        if target >= 1 and self.allow_short and self.brackets:
            text = f"must be below 1 while {keys[1]} and {keys[2]} are true, or a short aims below 0."
            raise _UnfitError(target, f"{text}{_percent(target)}", *keys)

    def _at_least(self, upper: str, lower: str) -> None:
        high, low, keys = getattr(self, upper), getattr(self, lower), (f"risk.{upper}", f"risk.{lower}")
        if high < low:
            rule = f"must be at least {keys[1]}, which was {_shown(low)}: raise the one or lower the other."
            raise _UnfitError(high, rule, *keys)


@attrs.frozen(kw_only=True)
class Chain:
    """What stands between the strategies' opinions and an order."""

    preset: str = choice("bare", "standard", "strict", help="strategies, layers, gates, limits if not given")
    layers: tuple[str, ...] = names("", "layers that work out what gates judge")


@attrs.frozen(kw_only=True)
class Execution:
    """How orders are worked."""

    max_slippage: float = share(0.001, "slippage from the decided price that is borne", "[0, 1]")
    order_timeout: int = number(30, SECONDS, "age at which an order is cancelled", "s")
    min_fill_percentage: float = share(0.8, "filled share from which an order is a fill", "[0, 1]")
    stale_after: float = number(10.0, "(0, 31536000]", "time without a tick until a live feed is stale", "s")
    allocation: str = choice("configured", "ranked", help="order of the symbols at equal time")


@attrs.frozen(kw_only=True)
class Monitoring:
    """What is measured, and when someone is told."""

    enable_metrics: bool = flag(True, "whether metrics are collected")
    metrics_interval: int = number(30, SECONDS, "time from one reading to the next", "s")
    alert_cooldown: int = number(300, "[0, 31536000]", "time before the same alert is raised again", "s")
    latency_alert_ms: float = number(1000.0, "(0, 86400000]", "latency above which an alert is raised", "ms")


@attrs.frozen(kw_only=True)
class Quarantine:
    """When a strategy that fails is silenced."""

    faults: int = number(3, "[1, 1000]", "faults of a strategy that silence it", "faults")
    rows: int = number(100, COUNT, "rows of all symbols within which they fall", "rows")
    budget: float = number(0.05, "(0, 3600]", "time a row may take a strategy in plain Python", "s")


@attrs.frozen(kw_only=True)
class Security:
    """Who is believed, and for how long."""

    enable_authentication: bool = flag(True, "whether sessions and signatures are checked")
    session_timeout: int = number(3600, SECONDS, "life of a session", "s")
    max_failed_attempts: int = number(5, COUNT, "failed attempts that lock a session", "attempts")
    clock_drift: float = number(60.0, "[0, 31536000]", "how far a timestamp may lie from the clock", "s")


@attrs.frozen(kw_only=True)
class Run:
    """What runs, on which market."""

    strategies: tuple[str, ...] = names("vwap", "strategies that give signals", least=1)
    symbols: tuple[str, ...] = names("BTC-USD,ETH-USD,SOL-USD", "symbols, in their order", least=1)
    feed: str = name("synthetic", "feed the rows come from")
    broker: str = name("paper", "broker the orders go to")
    seed: int = number(7, "[0, 9223372036854775807]", "seed of every random number of the run")
    bars: int = number(0, "[0, 1000000000]", "bars of each symbol; 0: all, 10,000 of an endless feed", "bars")
    interval: int = number(60, SECONDS, "length of a bar", "s")
    every: int = number(100, "[1, 60000]", "length of a bar where the clock is `every`", "ms")
    blocked: tuple[str, ...] = names("", "plugins not to be loaded, by name, kind:name or distribution")
    clock: str = choice("bar", "every", "event", help="what is decided at: a bar's end, a time, an event")


_KINDS = (Performance, Risk, Chain, Execution, Quarantine, Monitoring, Security, Run)
_GROUPS = {kind.__name__.lower(): kind for kind in _KINDS}
_DEPTH = {**dict.fromkeys(_GROUPS, 2), "plugins": 3}
FIELDS = {f"{group}.{each.name}": each for group, kind in _GROUPS.items() for each in attrs.fields(kind)}
"""The field of each setting by its dotted key."""


def _filled(plugins: Mapping[str, Tables]) -> dict[str, dict[str, Any]]:
    # An empty table says nothing; without it, settings that say the same are equal.
    return {plugin: copy.deepcopy(dict(table)) for plugin, table in plugins.items() if table}


def _listed(_group: Any, _field: Any, value: Any) -> Any:
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


@attrs.frozen(kw_only=True)
class Settings:
    """Every setting of a run, checked; `plugins` holds each plugin's parameters, which the plugin checks."""

    performance: Performance = attrs.field(factory=Performance)
    risk: Risk = attrs.field(factory=Risk)
    chain: Chain = attrs.field(factory=Chain)
    execution: Execution = attrs.field(factory=Execution)
    quarantine: Quarantine = attrs.field(factory=Quarantine)
    monitoring: Monitoring = attrs.field(factory=Monitoring)
    security: Security = attrs.field(factory=Security)
    run: Run = attrs.field(factory=Run)
    plugins: dict[str, dict[str, Any]] = attrs.field(factory=dict[str, dict[str, Any]], converter=_filled)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the settings as tables of plain values, tuples as lists; `from_dict` reads them back."""
        return {**attrs.asdict(self, value_serializer=_listed), "plugins": copy.deepcopy(self.plugins)}

    @classmethod
    def from_dict(cls, tables: Tables) -> Settings:
        """Build settings from tables or dotted keys; the preset they name, then defaults, fill the gaps.

        Raises ConfigError for an unknown key and for a value that does not fit.
        """
        return resolve([("from_dict", tables)])[0]


# how the keys begin of those that are read
_READ = "risk,chain,run,quarantine,performance.block,performance.snapshot,performance.trace,execution.stale"
UNREAD = frozenset(key for key in FIELDS if not key.startswith(tuple(_READ.split(","))))
"""Settings that are checked, and that nothing in this version reads: whoever sets one is told."""


def resolve(layers: Sequence[tuple[str, Tables]]) -> tuple[Settings, dict[str, str]]:
    """Return the settings that named layers of tables make, a later one over an earlier, and their origins.

    Beneath all of them lies the preset that they choose, as far as it speaks of gates of theirs.
    """
    settings, origin = _merged(layers)
    if (preset := settings.chain.preset) == "bare":
        return settings, origin
    presets = tomllib.loads(Path(__file__).with_name("presets.toml").read_text("utf-8"))
    beneath = presets["standard"] | presets[preset]
    gates = _merged([(preset, beneath), *layers])[0].risk.gates
    # Of a gate that is not in the chain it says nothing: no plugin of the run would read that.
    meant = {k: v for k, v in beneath.items() if k[:8] != "plugins." or k.split(".")[1] in gates}
    return _merged([(f"preset {preset}", meant), *layers])


def _merged(layers: Iterable[tuple[str, Tables]]) -> tuple[Settings, dict[str, str]]:
    tables: dict[str, dict[str, Any]] = {group: {} for group in _DEPTH}
    origin = dict.fromkeys(FIELDS, "default")
    for source, layer in layers:
        for path, value in leaves(layer):
            key = ".".join(path)
            if key not in FIELDS and (path[0] != "plugins" or len(path) < 3):
                raise ConfigError(f"{source}: {_unknown(path, value)}")
            table = tables[path[0]]
            for part in path[1:-1]:
                table = table.setdefault(part, {})
            table[path[-1]] = value
            origin[key] = source
    try:
        groups: dict[str, Any] = {group: kind(**tables[group]) for group, kind in _GROUPS.items()}
    except _UnfitError as unfit:
        sources = dict.fromkeys(origin[key] for key in unfit.keys if origin[key] != "default")
        raise ConfigError(f"{', '.join(sources)}: {unfit}") from None
    return Settings(**groups, plugins=tables["plugins"]), origin


def leaves(tables: Tables, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each setting of some tables as the parts of its dotted key and its value."""
    for key, value in tables.items():
        path = (*above, key) if above else tuple(key.split(".", 2))
        if len(path) < _DEPTH.get(path[0], 0) and isinstance(value, Mapping):
            yield from leaves(cast("Tables", value), path)
        else:
            yield path, value


def _unknown(path: tuple[str, ...], value: object) -> str:
    key = ".".join(path)
    if len(path) < _DEPTH.get(path[0], 0):
        return f"{key} was {_shown(value)}, must be a table."
    return f"unknown setting {key}.{hint(key, FIELDS if len(path) > 1 else [*FIELDS, *_DEPTH])}"
