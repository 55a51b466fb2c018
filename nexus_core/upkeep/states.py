"""The state of a plugin, from its metadata, from what is known of it, or by importing it."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from nexus_core import plugins
from nexus_core.config import Run
from nexus_core.errors import NexusError
from nexus_core.plugins import Offer
from nexus_core.upkeep import facts


def described(offer: Offer, run: Run, anew: bool, everything: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what is known of a plugin; `anew` imports it to find out what is not."""
    by = plugins.blocked(offer, run.blocked)
    known = _loaded(offer, run) if anew and not by else facts.recall(offer, everything)
    found = {key: getattr(offer, key) for key in ("kind", "name", "distribution", "version", "summary")}
    found |= {key: known.get(key) for key in ("api", "needs", "grade")}
    found |= {"state": known.get("state", "-"), "reason": known.get("reason", "")}
    if others := [f"{each.distribution} {each.version}" for each in rivals(offer, run.blocked)]:
        found |= {"state": "broken", "reason": f"also offered by {', '.join(others)}"}
    return {**found, "state": "blocked", "reason": f"by {by}"} if by else found


def rivals(offer: Offer, names: Container[str] = ()) -> list[Offer]:
    """Return the offers of the same key by other distributions that nothing blocks."""
    free = [each for each in plugins.offers() if each.key == offer.key and not plugins.blocked(each, names)]
    return [each for each in free if each.distribution != offer.distribution]


def _loaded(offer: Offer, run: Run) -> dict[str, Any]:
    from nexus_core.listeners import Listeners

    known = facts.recall(offer)
    held = known.get("state") == "quarantined"  # that it can be imported is no pardon
    said: dict[str, Any] = {} if held else {"state": "active", "reason": ""}
    try:
        if offer.kind in plugins.LOADED:
            found = plugins.load(offer.kind, offer.name, run.blocked)
            said |= {"api": found.nexus_api, "needs": sorted(getattr(found, "needs", ())) or None}
        elif offer.kind == "hooks":
            Listeners().add(offer.key, plugins.imported(offer))
        else:
            plugins.imported(offer)
    except NexusError as error:
        return {"state": "broken", "reason": str(error)}
    facts.remember(offer, **said)
    return known | said
