"""What installed strategies say of themselves, and which tables there are for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from nexus_core import Strategy, calibration, plugins
from nexus_core.errors import ConfigError, DataError, NexusError, PluginError, UsageError
from nexus_core.strategy import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@frozen
class Entry:
    """An installed strategy: an instance of it, or why there is none."""

    name: str
    version: str
    strategy: Strategy | None
    error: NexusError | None = None


def every() -> list[Entry]:
    """Return all installed strategies by name."""
    names = dict.fromkeys(each.name for each in plugins.offers() if each.kind == "strategies")
    return [entry(each, {}) for each in names]


def entry(name: str, params: Mapping[str, Any]) -> Entry:
    """Set a strategy up; a broken one comes with what is wrong, one that is not installed is an error."""
    try:
        version = plugins.find("strategies", name).version
        strategy: Strategy = plugins.load("strategies", name)(**params)
        _ = int(strategy.warmup), int(strategy.horizon), strategy.needs, strategy.category
    except PluginError as error:
        return Entry(name, _versions(name), None, error)
    except NexusError:  # not installed, or a parameter outside its bounds
        raise
    except (Exception, SystemExit) as error:
        told = PluginError(
            f"strategies:{name} cannot be set up: {type(error).__name__}: {error}. Ask its author."
        )
        return Entry(name, _versions(name), None, told)
    return Entry(name, version, strategy)


def settings(sets: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of texts such as k=3, of one strategy."""
    if sets and len(names) != 1:
        raise UsageError("--set is of one strategy. Name it alone.")
    made: dict[str, Any] = {}
    for each in sets:
        name, sign, value = each.partition("=")
        if not sign or not name:
            raise UsageError(f"--set was {each}, must be NAME=VALUE.")
        try:
            made[name] = json.loads(value)
        except ValueError:
            made[name] = value
    return made


def brief(one: Entry) -> dict[str, Any]:
    """Return what stands in the list."""
    if one.strategy is None:
        return {"name": one.name, "version": one.version, "state": "broken", "reason": str(one.error)}
    own = one.strategy
    return {
        "name": one.name,
        "version": one.version,
        "state": "ready",
        "category": str(own.category),
        "needs": sorted(own.needs),
        "row_seconds": own.row_seconds,
        "horizon": int(own.horizon),
        **_tables(one, own),
    }


def full(one: Entry) -> dict[str, Any]:
    """Return all that is known of a strategy."""
    own = one.strategy
    if own is None:
        raise one.error or ConfigError(f"strategies:{one.name} is broken.")
    kind = type(own)
    return {
        **brief(one),
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "about": (kind.__doc__ or "").partition("\n")[0],
        "warmup": int(own.warmup),
        "capabilities": _capabilities(own),
        "slot": own.slot or None,
        "mirror": own.mirror,
        "targets": dict(own.targets),
        "parameters": {
            name: _parameter(each, getattr(own.params, name)) for name, each in kind.parameters().items()
        },
    }


def _capabilities(own: Strategy) -> dict[str, Any]:
    kind = type(own)
    return {
        "style": _style(kind),
        "hears_events": kind.on_event is not None,
        "reads_book": "book" in own.needs,
        "counts_levels": kind.counts_levels,
        "blends": bool(kind.slot) and kind.blend is not None,
        # a market turned upside down turns its signals: what buys in the one sells in the other
        "sells": kind.mirror in ("price", "log"),
    }


def _style(kind: Any) -> str:
    if kind.at_work is not None:
        return "execute"
    return "window" if kind.signal is not Strategy.signal else "step"


def _parameter(each: Any, value: Any) -> dict[str, Any]:
    made = {"default": each.default, "value": value, "allowed": each.allowed, "help": each.help}
    return made if isinstance(each, Text) else {**made, "low": each.low, "high": each.high}


def _tables(one: Entry, own: Strategy) -> dict[str, Any]:
    """Return the tables for a strategy: where each was fitted, and whether it holds for the one installed."""
    made: list[dict[str, Any]] = []
    for path in calibration.places(own):
        try:
            made += [_table(one, own, each.facts, path) for each in calibration.read(path)]
        except NexusError as error:
            return {"tables": made, "unreadable": str(error)}
    return {"tables": made}


def _table(one: Entry, own: Strategy, facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
    interval = facts.get("interval")
    if not isinstance(interval, (int, float)):
        raise DataError(f"{path}: a table's interval was {interval!r}, must be nanoseconds. Fit it again.")
    asked = calibration.asked(own, one.version, str(facts.get("population")), int(interval))
    names = ("population", "interval", "version", "signals", "base", "split", "source")
    holds = all(facts.get(name) == value for name, value in asked.items())
    return {**{name: facts.get(name) for name in names}, "holds": holds, "file": str(path)}


def _versions(name: str) -> str:
    found = {each.version for each in plugins.offers() if (each.kind, each.name) == ("strategies", name)}
    return " or ".join(sorted(found))
