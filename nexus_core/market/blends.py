"""Models' opinions, blended into the signals of strategies that name a slot.

Only rows with a signal are asked for, all of a block in one call. Without a model in the slot, or where it
has no opinion (NaN, or beyond [-1, 1]), a signal stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from attrs import define, field

from nexus_core import compile, log
from nexus_core.market.blocks import Block
from nexus_core.records import ABSENT, ROW, Records

Opinions = Mapping[str, Callable[[Records], Any]]
"""Who fills a slot: it takes rows, and answers an opinion in [-1, 1] on each, sell to buy."""

_MIX = """
def entry(rows, told, opinions, signals, scores):
    for n in range(told.size):
        i = told[n]
        signal, score = blend(rows[i], signals[i], scores[i], opinions[n])
        if 0.0 <= score <= 1.0 and -2 <= signal <= 2:
            signals[i] = signal
            scores[i] = score
"""


@define
class Blends:
    """The strategies of a run whose slots are filled."""

    strategies: Sequence[Any]
    opinions: Opinions = field(factory=dict[str, Callable[[Records], Any]])
    _mixes: dict[int, compile.Step] = field(factory=dict[int, compile.Step], init=False)
    _told: set[str] = field(factory=set[str], init=False)

    def __attrs_post_init__(self) -> None:
        for k, each in enumerate(self.strategies):
            if each.blend is not None and each.slot in self.opinions:
                kind = cast("Any", type(each))
                self._mixes[k] = compile.entry("blend", _MIX, {"blend": kind.blend})

    def run(self, block: Block, signals: Any, scores: Any) -> None:
        """Blend opinions into the signals and scores of a block's rows."""
        for k, mix in self._mixes.items():
            own = signals[k][block.order]
            told = block.order[(own != 0) & (own != ABSENT)]
            if len(told):
                opinions = self._asked(self.strategies[k].slot, block.rows[told])
                compile.call(mix, block.rows, told, opinions, signals[k], scores[k])

    def warm(self) -> None:
        """Compile, or load from the cache."""
        for mix in self._mixes.values():
            none = np.zeros(0)
            compile.call(mix, np.zeros(0, ROW), none.astype(np.int64), none, none.astype(np.int8), none)

    def _asked(self, slot: str, rows: Records) -> Any:
        try:
            made = np.asarray(self.opinions[slot](rows), np.float64)
            if made.shape == (len(rows),):  # what one row is answered says nothing of the others
                return np.where(np.abs(made) <= 1.0, made, np.nan)
            why = f"answered {made.shape} values for {len(rows)} rows"
        except Exception as error:
            why = f"raised {type(error).__name__}: {error}"
        if slot not in self._told:
            self._told.add(slot)
            log.warning("slot %s: its model %s. Until it answers, signals stay as they are.", slot, why)
        return np.full(len(rows), np.nan)
