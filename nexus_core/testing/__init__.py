"""What authors test their plugins with: market rows made by hand, a small run over them, and contracts.

It is loaded when first named: importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.testing.contract import Broken, Grade, Report, Subject, examine, subject
    from nexus_core.testing.market import MINUTE, START, rows
    from nexus_core.testing.trial import Trial

_HOMES = {
    "MINUTE": "market",
    "START": "market",
    "rows": "market",
    "Trial": "trial",
    "Broken": "contract",
    "Grade": "contract",
    "Report": "contract",
    "Subject": "contract",
    "examine": "contract",
    "subject": "contract",
}

CONTRACTS = {
    "StrategyContract": "strategies",
    "GateContract": "gates",
    "LayerContract": "layers",
    "FeedContract": "feeds",
    "BrokerContract": "brokers",
    "FeaturesContract": "features",
    "CommandContract": "commands",
    "ListenerContract": "hooks",
}
"""The class to subclass for a test of each kind of plugin."""

__all__ = [
    "CONTRACTS",
    "MINUTE",
    "START",
    "Broken",
    "Grade",
    "Report",
    "Subject",
    "Trial",
    "check_modules",
    "examine",
    "rows",
    "subject",
]


def check_modules() -> None:
    """Import the modules whose checks make the contracts."""
    for name in ("anywhere", "strategies", "others"):
        if find_spec(f"{__name__}.{name}") is not None:
            import_module(f"{__name__}.{name}")


def __getattr__(name: str) -> Any:
    if name in CONTRACTS:
        check_modules()
        # a subclass finds its kind by it, whoever asks first
        globals()[name] = made = import_module(f"{__name__}.contract").contract(CONTRACTS[name])
        return made
    if name not in _HOMES:
        raise AttributeError(f"nexus_core.testing has no {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
