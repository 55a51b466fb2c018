"""The gate: how many minutes lie between a row and the announcement nearest to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nexus_core import Gate, Param
from nexus_core.records import Records
from nexus_core.strategy import Parameters, Text
from nexus_event_calendar.file import announced

MINUTE = 60e9
"""Nanoseconds."""


class Announcement(Gate):
    """Refuses entries less than `limit` minutes before or after an announcement.

    Before the first time of the file and after its last nothing is known: the value is NaN, which refuses.
    """

    nexus_api = 1
    name = "event-calendar"
    layer, passes, refuses, after = 1, "market", "below", "liquidity"
    limit = Param(30.0, low=0.0, high=10_080.0, help="Minutes before and after an announcement")
    file = Text("", help="CSV file with a column `time`")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # among the parameters the times are part of what the run knows its gates by: see state_code
        self.params = Parameters(self.params.by_name() | {"times": announced(self.params.file)})

    @classmethod
    def example(cls, folder: Path) -> Mapping[str, Any]:
        """Write a small calendar, and return the parameters that name it."""
        days = (
            "2026-03-01T00:00:00Z",
            "2026-03-02T19:00:00Z",
            "2026-03-03T02:00:00Z",
            "2026-04-01T00:00:00Z",
        )
        path = folder / "calendar.csv"
        path.write_text("\n".join(["time", *days, ""]))
        return {"file": str(path)}

    @staticmethod
    def values(columns: Any, state: Records, params: Any) -> Any:
        """Return the minutes between each row and the nearest announcement, earlier or later."""
        times, now = params.times, columns.ts
        later = np.clip(np.searchsorted(times, now), 1, len(times) - 1)
        before, after = now - times[later - 1], times[later] - now
        known = (before >= 0) & (after >= 0)
        return np.where(known, np.minimum(before, after) / MINUTE, np.nan)
