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
    from nexus_core.layers import Layer
    from nexus_core.strategy import Param, Strategy, Text

__version__ = "0.1.0"
API = 1
"""The number of the interface between kernel and plugins."""

_HOMES = {
    "broker": ("Broker", "FeeModel", "SlippageModel"),
    "compile": ("step",),
    "features": ("FeatureSet",),
    "feed": ("Feed", "Market"),
    "gates": ("Gate",),
    "hookspecs": ("hookimpl",),
    "layers": ("Layer",),
    "strategy": ("Param", "Strategy", "Text"),
}
"""The rooms that the names are loaded from."""

__all__ = [
    "API", "Broker", "FeatureSet", "FeeModel", "Feed", "Gate", "Layer", "Market", "Param", "SlippageModel",
    "Strategy", "Text", "hookimpl", "step", "steps",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "steps":
        return import_module("nexus_core.steps")
    for room, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"nexus_core.{room}"), name)
    raise AttributeError(f"nexus_core has no {name}")
