"""What a layer of the chain works out before its gates judge.

A layer writes fields of the context, a record of float64 that every row has; gates and later layers read
them. A field that nobody wrote is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from nexus_core.compile import Step, closure, step
from nexus_core.strategy import Plugin


class Layer(Plugin):
    """A layer's own work: static methods `state`, `watch` and `step`, the last two compiled.

    `watch(row, context, state, params)` takes every row of a symbol, whatever becomes of it, and is the only
    one that remembers. `step` takes only rows that are still alive, in the order of time: of layers 3 to 5
    `step(row, context, voices, params)`; of layer 6 `step(row, context, account, positions, proposal, state,
    params)`, in the ledger pass. There `watch(row, state, params)` takes every row of all symbols.
    """

    layer: ClassVar[int]
    writes: ClassVar[Mapping[str, int]] = {}
    """Fields of the context that it writes, each with how many numbers it holds: 1, or an array of more."""
    reads: ClassVar[Sequence[str]] = ()
    """Fields of the context that it reads, and that another layer writes, or nobody."""
    words: ClassVar[Mapping[str, Sequence[str]]] = {}
    """What the numbers of a field stand for: 0 for the first word."""
    watch: Any = None
    step: Any = None

    @staticmethod
    def state(params: Any, interval: int) -> Mapping[str, Any]:
        """Return the first state of one symbol, whose rows are `interval` nanoseconds apart.

        Of layer 6 it is `state(params, symbols)`, one state for all symbols together.
        """
        return {"none": 0}


@cache
def guarded(work: Step) -> Step:
    """Return a layer's work that tells whether it raised."""
    asked = step(work)

    # in a function of its own: from Python 3.13 on, Numba catches nothing inside a loop
    def raised(*given: Any) -> bool:
        try:
            asked(*given)
            return False
        except Exception:
            return True

    # machine code in the cache goes by name: two layers' work must not bear the same
    raised.__qualname__ = f"raised_{closure(work)}"
    return raised
