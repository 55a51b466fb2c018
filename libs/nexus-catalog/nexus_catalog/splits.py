"""How a series is cut by time into the parts for calibrating, choosing and the final judgement.

The cuts are made once, when a series is first imported, and never move. What is older than the first cut
calibrates, also where it is added later; what is younger than the second is final, so all that the market
brings from now on is. A record stamped exactly at a cut is the last of the earlier part: a bar is stamped at
its close and tells of the time before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from nexus_core.errors import UsageError, hint

PARTS = ("calibrate", "choose", "final")
"""The parts, oldest first."""

OPEN = "open"
"""Calibrate and choose together: all that may be read without being counted."""

DAY = 86_400_000_000_000
_WHOLE_DAYS = 10 * DAY
BEGIN, END = -(2**63), 2**63 - 1
"""Before and after every time, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The two cuts, in nanoseconds UTC: the last times of the first part and of the second."""

    calibrate_to: int
    choose_to: int

    def span(self, part: str) -> tuple[int, int]:
        """Return the times between which a part lies: after the first, up to and with the second."""
        spans = {
            "calibrate": (BEGIN, self.calibrate_to),
            "choose": (self.calibrate_to, self.choose_to),
            "final": (self.choose_to, END),
            OPEN: (BEGIN, self.choose_to),
        }
        if part not in spans:
            raise UsageError(f"split was {part!r}, must be one of {', '.join(spans)}.{hint(part, spans)}")
        return spans[part]


def cut(first: int, last: int) -> Splits:
    """Return the cuts of a series at 60 % and 80 % of the time from its first record to its last.

    Over ten days or more the cuts are put back to midnight UTC, so that no day belongs to two parts.
    """
    span = last - first
    cuts = [first + span * share // 10 for share in (6, 8)]
    if span >= _WHOLE_DAYS:
        cuts = [at - at % DAY for at in cuts]
    return Splits(*cuts)
