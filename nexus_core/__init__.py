"""Nexus: a small trading kernel that people build on.

What an author needs is here; it is loaded when first named, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core import steps
    from nexus_core.broker import Broker, FeeModel, SlippageModel
    from nexus_core.compile import step
    from nexus_core.features import FeatureSet
    from nexus_core.feed import Feed, Market
    from nexus_core.gates import Gate
    from nexus_core.hookspecs import hookimpl
    from nexus_core.strategy import Param, Strategy, Text

__version__ = "0.1.0"
API = 1
"""The number of the interface between kernel and plugins."""

_HOMES = {
    "Broker": "nexus_core.broker",
    "FeeModel": "nexus_core.broker",
    "SlippageModel": "nexus_core.broker",
    "step": "nexus_core.compile",
    "Gate": "nexus_core.gates",
    "FeatureSet": "nexus_core.features",
    "Feed": "nexus_core.feed",
    "Market": "nexus_core.feed",
    "Param": "nexus_core.strategy",
    "hookimpl": "nexus_core.hookspecs",
    "Strategy": "nexus_core.strategy",
    "Text": "nexus_core.strategy",
}

__all__ = [
    "API", "Broker", "FeatureSet", "FeeModel", "Feed", "Gate", "Market", "Param", "SlippageModel",
    "Strategy", "Text", "hookimpl", "step", "steps",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "steps":
        return import_module("nexus_core.steps")
    if name not in _HOMES:
        raise AttributeError(f"nexus_core has no {name}")
    return getattr(import_module(_HOMES[name]), name)
