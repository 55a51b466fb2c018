"""What authors test their plugins with: market rows made by hand, and a small run over them."""

from __future__ import annotations

from nexus_core.testing.market import MINUTE, START, rows
from nexus_core.testing.trial import Trial

__all__ = ["MINUTE", "START", "Trial", "rows"]
