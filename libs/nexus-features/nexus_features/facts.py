"""What is known of a feature before it is computed: its formula, and how many rows it takes."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_core.errors import ConfigError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature. Times are in nanoseconds, lengths in rows that carry what it needs."""

    name: str
    formula: str
    unit: str
    reference: str
    needs: str = "bar"
    """What a row must carry for it: bar; volume, beside the bar; trade, the same with sides; book."""
    window: int = 1
    horizon: int = 0
    """A time that the window is to span; the window is then the least number of rows."""
    lead: int = 0
    """Rows before the window's first that it takes besides."""

    def rows(self, interval: int) -> int:
        """Return the window, in rows, of bars of `interval` nanoseconds."""
        return max(self.window, self.horizon // checked(interval))

    def warmup(self, interval: int) -> int:
        """Return after how many rows that carry what it needs its first value comes."""
        return self.rows(interval) - 1 + self.lead


def checked(interval: int) -> int:
    """Return the length of a bar in nanoseconds if it is at least a second, else raise."""
    if interval < SECOND:
        raise ConfigError(
            f"features: the interval was {interval} ns, must be at least one second ({SECOND} ns). "
            "Make longer bars."
        )
    return interval
