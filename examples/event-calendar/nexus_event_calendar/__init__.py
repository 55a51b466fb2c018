"""Refuse entries around scheduled announcements, by a gate that is put into every chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_core import hookimpl

if TYPE_CHECKING:
    from nexus_core import Gate
    from nexus_core.config import Settings


@hookimpl
def nexus_gates(settings: Settings) -> list[tuple[str, Gate]]:
    """Insert the gate where `[plugins.event-calendar]` names a file; a run that asks for nothing has none."""
    table = settings.plugins.get("event-calendar")
    if not table:
        return []
    # only runs that ask for the gate pay for its imports
    from nexus_event_calendar.gate import Announcement

    return [("announcement", Announcement(**table))]
