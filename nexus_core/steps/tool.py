"""What a rolling tool is: a state to start from, and a `push` that takes the next value."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from nexus_core.compile import Step, step
from nexus_core.errors import PluginError


class Tool(ModuleType):
    """A rolling tool: `tool(…)` makes its first state, `tool.push(state, value)` moves it on.

    It is a module because compiled steps can look up functions in modules.
    """

    push: Step

    def __init__(self, start: Step, push: Step) -> None:
        super().__init__(start.__name__, start.__doc__)
        self.start = start
        self.push = step(push)

    def __call__(self, *args: Any, **kwargs: Any) -> np.void:
        """Return the first state."""
        return self.start(*args, **kwargs)


def record(**fields: Any) -> np.void:
    """Return one record whose fields hold these values: bool, int, float, arrays, or other records."""
    parts = {name: as_part(value) for name, value in fields.items()}
    dtype = np.dtype([(name, part.dtype, part.shape) for name, part in parts.items()], align=True)
    made: Any = np.zeros((), dtype)
    for name, part in parts.items():
        made[name] = part
    return made[()]


def as_part(value: Any) -> np.ndarray[Any, Any]:
    """Return a field's value as an array of the type that steps use for it."""
    if isinstance(value, bool | np.bool_):
        return np.asarray(value, np.bool_)
    if isinstance(value, int | np.integer):
        return np.asarray(value, np.int64)
    if isinstance(value, float | np.floating):
        return np.asarray(value, np.float64)
    return np.asarray(value)


def capacity(window: int) -> int:
    """Return the smallest power of two that holds `window` values, so that few sizes are ever compiled."""
    return 1 << max(int(window) - 1, 0).bit_length()


def checked(tool: str, rows: Any, least: int = 1) -> int:
    """Return `rows` if it is a whole number of at least `least`; else raise with the tool's name."""
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < least:
        raise PluginError(
            f"steps.{tool}: the number of rows was {rows!r}, must be a whole number of at least {least}. "
            "Give the parameter it comes from that lower bound."
        )
    return rows
