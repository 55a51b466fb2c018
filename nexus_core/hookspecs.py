"""What a plugin may listen to. A listener writes functions of these names and marks them with `hookimpl`.

It takes the arguments it wants by name. What it is told is on the disk already, and nothing it does changes
a decision, `nexus_gates` aside. Whoever wants no part of a hook costs the run nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from nexus_core.config import Settings
    from nexus_core.gates import Gate
    from nexus_core.types import Decision, Fill, Mode, Order, Trade

hookimpl = HookimplMarker("nexus")


def nexus_gates(settings: Settings) -> Iterable[tuple[str, Gate]]:
    """Return gates to stand in the chain beside those of the settings, each with its name.

    Asked once, when a run is put together. A gate says itself in which layer it stands, and before or after
    which other. In a run that goes on it must return the same gates. Raise `ConfigError` where a setting is
    wrong: the run does not begin, and says so in your words.
    """
    return ()


def nexus_start(run: str, settings: Settings) -> None:
    """Take note that a run begins, or goes on."""


def nexus_stop(run: str, finished: bool) -> None:
    """Take note that a run ends: at its market's last tick, or because it was stopped before."""


def nexus_commit(run: str, tick: int, timestamp: int) -> None:
    """Take note that all before this tick is on the disk; the time is its last row's, in nanoseconds UTC."""


def nexus_decision(run: str, decision: Decision) -> None:
    """Take note of a decision, of those that the trace keeps."""


def nexus_order(run: str, order: Order) -> None:
    """Take note that an order was approved, or came into another state other than by a fill."""


def nexus_fill(run: str, fill: Fill) -> None:
    """Take note that an order filled, whole or in part."""


def nexus_trade_closed(run: str, trade: Trade) -> None:
    """Take note that a position came back to nothing, or turned to the other side."""


def nexus_mode(run: str, mode: Mode, why: str) -> None:
    """Take note that the safety mode changed."""


def nexus_quarantine(run: str, strategy: str, why: str) -> None:
    """Take note that a strategy was silenced after too many faults."""


def nexus_alert(run: str, title: str, text: str) -> None:
    """Tell a person, now: of a quarantine, a mode that is not normal, a run that broke off."""


def nexus_result(run: str, result: Mapping[str, Any]) -> None:
    """Take what came of a run, by name, as `nexus run --json` prints it."""


# every function of such a name is a hook
for _hook in [each for name, each in globals().items() if name.startswith("nexus_")]:
    HookspecMarker("nexus")(_hook)
