"""Plugins by entry point: found without importing anything, loaded one at a time when asked for.

A named thing is `<kind>:<name>`, offered by one distribution. Two that offer the same are an error naming
both: neither the metadata nor the loader would say a word. `NEXUS_PLUGINS` names the only ones that may be
loaded, by name, by key or by distribution; empty, it lets none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from functools import cache
from importlib.metadata import EntryPoint, distributions, requires
from typing import Any

from attrs import field, frozen

from nexus_core import API
from nexus_core.errors import NotFoundError, PluginError, hint

KINDS = ("strategies", "gates", "layers", "feeds", "brokers", "features", "commands", "hooks")
ONLY = "NEXUS_PLUGINS"

SINGULAR: dict[str, str] = dict(
    zip(
        KINDS, ("strategy", "gate", "layer", "feed", "broker", "features", "command", "listener"), strict=True
    )
)
"""One of each kind, as distributions and commands name it."""

LOADED: dict[str, str] = dict(
    zip(KINDS, ("Strategy", "Gate", "Layer", "Feed", "Broker", "FeatureSet"), strict=False)
)
"""The kinds whose plugins are classes, each with the class they derive from."""


@frozen
class Offer:
    """A named thing that an installed distribution offers."""

    kind: str
    name: str
    distribution: str
    version: str
    summary: str
    point: EntryPoint = field(repr=False, eq=False)

    @property
    def key(self) -> str:
        """Return `<kind>:<name>`."""
        return f"{self.kind}:{self.name}"

    @property
    def package(self) -> str:
        """Return the top-level module it lives in."""
        return self.point.module.partition(".")[0]

    def is_among(self, names: Container[str]) -> bool:
        """Tell whether it is named, by its name, its key or its distribution."""
        return any(each in names for each in (self.name, self.key, self.distribution))


@cache
def offers() -> tuple[Offer, ...]:
    """Return everything installed, by kind and name; imports nothing."""
    found: dict[tuple[str, str, str], Offer] = {}
    for distribution in distributions():
        for point in distribution.entry_points:
            kind = point.group.removeprefix("nexus.")
            if point.group.startswith("nexus.") and kind in KINDS:
                facts = distribution.metadata  # it has no get
                name, summary = (facts[each] if each in facts else "" for each in ("Name", "Summary"))  # noqa: SIM401
                # a distribution may lie twice on the path; the first one found is the one that is imported
                offer = Offer(kind, point.name, name, distribution.version, summary, point)
                found.setdefault((kind, point.name, name), offer)
    return tuple(found[key] for key in sorted(found))


def blocked(offer: Offer, names: Container[str] = ()) -> str:
    """Return what blocks a plugin, the settings' names or the environment; empty where nothing does."""
    if offer.is_among(names):
        return "run.blocked"
    only = os.environ.get(ONLY)
    free = only is None or offer.is_among([each.strip() for each in only.split(",")])
    return "" if free else ONLY


def find(kind: str, name: str, names: Container[str] = ()) -> Offer:
    """Return the one offer of a name that is not blocked, or say what is installed, or who clashes."""
    same_kind = [offer for offer in offers() if offer.kind == kind]
    matches = [offer for offer in same_kind if offer.name == name]
    if not matches:
        known = dict.fromkeys(offer.name for offer in same_kind)
        listed = ", ".join(known) or "none"
        text = f"{kind}:{name} is not installed.{hint(name, known)} Installed {kind}: {listed}."
        raise NotFoundError(text + _advice(kind, name))
    free = [offer for offer in matches if not blocked(offer, names)]
    if not free:
        what = blocked(matches[0], names)
        raise PluginError(f"{kind}:{name} is blocked by {what}. Take it out of there, or do without it.")
    if len(free) > 1:
        both = " and by ".join(f"{offer.distribution} {offer.version}" for offer in free)
        advice = f"Remove one of them, or block one: --set run.blocked={free[-1].distribution}"
        raise PluginError(f"{kind}:{name} is offered by {both}. {advice}")
    return free[0]


def _advice(kind: str, name: str) -> str:
    """Return how to install a plugin of the official set; nothing of any other."""
    standard = [each for each in requires("nexus-core") or () if "standard" in each]
    own = f"nexus-{SINGULAR[kind]}-{name}"
    if any(re.match(rf"{own}\b(?!-)", each) for each in standard):
        return f" Install it: nexus plugins install {own}, or the whole set: 'nexus-core[standard]'."
    return ""


def load(kind: str, name: str, names: Container[str] = ()) -> type[Any]:
    """Import one plugin and check that it says which interface it was written for."""
    import nexus_core

    offer, base = find(kind, name, names), LOADED[kind]
    loaded, who = imported(offer), f"{offer.key} of {offer.distribution}"
    if not (isinstance(loaded, type) and issubclass(loaded, getattr(nexus_core, base))):
        advice = f"Its author derives it from nexus_core.{base}."
        raise PluginError(f"{who} was {loaded!r}, must be a class. {advice}")
    api = vars(loaded).get("nexus_api")
    if not isinstance(api, int):
        raise PluginError(f"{who} declares no nexus_api. Its author adds nexus_api = {API}.")
    if api > API:
        raise PluginError(f"{who} needs interface {api}, this Nexus has {API}. Upgrade nexus-core.")
    loaded.name = name
    return loaded


def imported(offer: Offer) -> Any:
    """Import what a distribution offers."""
    from stevedore.driver import DriverManager

    group = f"nexus.{offer.kind}"
    # told what was found here, it keeps no list of its own on the disk, which would miss a reinstall
    DriverManager.ENTRY_POINT_CACHE[group] = [offer.point]
    try:
        manager: Any = DriverManager(group, offer.name, invoke_on_load=False)
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        advice = f"Install what offers {missing}." if missing else "Install it anew, or ask its author."
        who, why = f"{offer.key} of {offer.distribution} {offer.version}", f"{type(error).__name__}: {error}"
        raise PluginError(f"{who} cannot be imported: {why}. {advice}") from error
    return manager.driver
