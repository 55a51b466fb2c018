"""The contracts of gates, feeds, brokers, commands and listeners; importing this lays their checks down."""

from __future__ import annotations

from nexus_core.testing import brokers, commands, feeds, gates, listeners

__all__ = ["brokers", "commands", "feeds", "gates", "listeners"]
