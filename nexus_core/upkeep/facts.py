"""What is known of plugins beside their metadata, from when they were last loaded, checked or run.

It lies beside the runs, and counts for exactly the files that were loaded.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from nexus_core import folders
from nexus_core.plugins import Offer
from nexus_core.upkeep.files import files

FILE = "plugins.json"


def recall(offer: Offer, everything: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what is known of a plugin: api, needs, state, reason, grade; look it up in `everything` kept."""
    known = (kept() if everything is None else everything).get(f"{offer.key} {offer.distribution}", {})
    return known["facts"] if known.get("mark") == _mark(offer) else {}


def remember(offer: Offer, **facts: Any) -> None:
    """Keep facts of a plugin, beside those known."""
    everything = kept()
    before = recall(offer, everything)
    if before | facts == before:
        return
    everything[f"{offer.key} {offer.distribution}"] = {"mark": _mark(offer), "facts": before | facts}
    for folder in folders.homes()[:1]:
        temporary = folder / f"{FILE}.{os.getpid()}"
        with suppress(OSError):  # what is not kept is found out again
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(everything), encoding="utf-8")
            temporary.replace(folder / FILE)


def kept() -> dict[str, Any]:
    """Return all that is known, by key and distribution."""
    for folder in folders.homes()[:1]:
        with suppress(OSError, ValueError, AttributeError, KeyError, TypeError):  # whatever lies there
            read: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return {key: each for key, each in read.items() if isinstance(each["facts"], dict)}
    return {}


def _mark(offer: Offer) -> list[Any]:
    stats = ((name, path.stat()) for name, path in files(offer.package).items())
    return [offer.version, *([name, each.st_size, each.st_mtime_ns] for name, each in stats)]
