"""Gates in plain Python, which are asked for whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define

from nexus_core import log
from nexus_core.errors import PluginError
from nexus_core.records import ROW, Records


class Columns:
    """The rows a market gate sees, in the order of time: each field of row and context is an array."""

    def __init__(self, rows: Records, order: Any, judged: Any) -> None:
        self._rows, self._order, self._judged = rows, order, judged

    def __len__(self) -> int:
        return len(self._order)

    def __getattr__(self, name: str) -> Any:
        if name in (self._judged.contexts.dtype.names or ()):
            column = self._judged.contexts[name][: len(self._order)]
        elif name in (ROW.names or ()):
            column = self._rows[name][self._order]
        else:
            raise AttributeError(f"a market row has no {name}")
        self.__dict__[name] = column
        return column

    @property
    def mid(self) -> Any:
        """Return the middle of bid and ask."""
        return (self.bid + self.ask) / 2.0


@define
class ColumnGate:
    """A gate of the market pass in plain Python, with its state for each symbol."""

    name: str
    gate: Any
    states: Records
    code: str
    told: bool = False

    def ask(self, rows: Records, order: Any, judged: Any) -> Any:
        """Return its value of each row; NaN where it raises, which refuses."""
        name, before = self.name, self.states.copy()
        try:
            with np.errstate(all="ignore"):  # what a division gives must not depend on how warnings are set
                values = self.gate.values(Columns(rows, order, judged), self.states, self.gate.params)
            found = np.asarray(values, np.float64)
            if found.shape == (len(order),):  # one value for many rows would depend on the size of the block
                return found
            raise PluginError(f"gate {name}: its values had shape {found.shape}, not one for each row.")
        except Exception as error:
            self.states[:] = before
            if not self.told:
                what = f"{type(error).__name__}: {error}"
                log.warning("gate %s raised %s. Rows it raises on are refused.", name, what)
            self.told = True
        if len(order) < 2:
            return np.full(len(order), np.nan)
        # what raises on a row must refuse that row whatever the size of the block it came in
        return np.concatenate([self.ask(rows, order[n : n + 1], judged) for n in range(len(order))])
