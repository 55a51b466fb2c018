"""Plugins by entry point: found without importing anything, loaded one at a time when asked for.

A named thing is `<kind>:<name>`, offered by one distribution. Two that offer the same are an error naming
both: neither the metadata nor the loader would say a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

from attrs import field, frozen

from nexus_core import API
from nexus_core.errors import NotFoundError, PluginError, hint

KINDS = ("strategies", "gates", "feeds", "brokers", "commands")

_BASES = {"strategies": "Strategy", "gates": "Gate", "feeds": "Feed", "brokers": "Broker"}


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


@cache
def offers() -> tuple[Offer, ...]:
    """Return everything installed, by kind and name; imports nothing."""
    found: dict[tuple[str, str, str], Offer] = {}
    for distribution in distributions():
        for point in distribution.entry_points:
            kind = point.group.removeprefix("nexus.")
            if point.group.startswith("nexus.") and kind in KINDS:
                name, summary = (_fact(distribution, each) for each in ("Name", "Summary"))
                # a distribution may lie twice on the path; the first one found is the one that is imported
                offer = Offer(kind, point.name, name, distribution.version, summary, point)
                found.setdefault((kind, point.name, name), offer)
    return tuple(found[key] for key in sorted(found))


def find(kind: str, name: str) -> Offer:
    """Return the one offer of a name, or say what is installed, or who clashes."""
    same_kind = [offer for offer in offers() if offer.kind == kind]
    matches = [offer for offer in same_kind if offer.name == name]
    if not matches:
        names = [offer.name for offer in same_kind]
        listed = ", ".join(names) or "none"
        raise NotFoundError(f"{kind}:{name} is not installed.{hint(name, names)} Installed {kind}: {listed}.")
    if len(matches) > 1:
        both = " and by ".join(f"{offer.distribution} {offer.version}" for offer in matches)
        raise PluginError(f"{kind}:{name} is offered by {both}. Remove one of them.")
    return matches[0]


def load(kind: str, name: str) -> type[Any]:
    """Import one plugin and check that it says which interface it was written for."""
    import nexus_core

    offer, base = find(kind, name), _BASES[kind]
    loaded = imported(offer)
    if not (isinstance(loaded, type) and issubclass(loaded, getattr(nexus_core, base))):
        raise PluginError(
            f"{offer.key} of {offer.distribution} was {loaded!r}, must be a class. Its author derives it "
            f"from nexus_core.{base}."
        )
    api = vars(loaded).get("nexus_api")
    if not isinstance(api, int):
        raise PluginError(
            f"{offer.key} of {offer.distribution} declares no nexus_api. Its author adds nexus_api = {API}."
        )
    if api > API:
        raise PluginError(f"{offer.key} needs interface {api}, this Nexus has {API}. Upgrade nexus-core.")
    loaded.name = name
    return loaded


def create(kind: str, name: str, params: Mapping[str, Any]) -> Any:
    """Load one plugin and make it with these parameters."""
    return load(kind, name)(**params)


def _fact(distribution: Distribution, name: str) -> str:
    return distribution.metadata[name] if name in distribution.metadata else ""  # noqa: SIM401  (it has no get)


def imported(offer: Offer) -> Any:
    """Import what a distribution offers."""
    from stevedore.driver import DriverManager

    group = f"nexus.{offer.kind}"
    # told what was found here, it keeps no list of its own on the disk, which would miss a reinstall
    DriverManager.ENTRY_POINT_CACHE[group] = [offer.point]
    try:
        manager: Any = DriverManager(group, offer.name, invoke_on_load=False)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{offer.key} of {offer.distribution} {offer.version} cannot be imported: "
            f"{type(error).__name__}: {error}. Install it anew, or ask its author."
        ) from error
    return manager.driver
