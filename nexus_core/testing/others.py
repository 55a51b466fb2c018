"""The contracts of all kinds but strategies; importing this lays their checks down."""

from __future__ import annotations

from nexus_core.testing import brokers, commands, features, feeds, gates, layers, listeners

__all__ = ["brokers", "commands", "features", "feeds", "gates", "layers", "listeners"]
