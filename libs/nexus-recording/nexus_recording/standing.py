"""Begin in the middle of a book: what came before is folded into one snapshot.

The changes of a book mean nothing to who has not heard those before them. A part of a series that begins
long after its last snapshot would have no book at all, so the one that stood then is told first.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core import compile
from nexus_core.market.book import book, depth, price_of
from nexus_core.market.events import BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT
from nexus_core.records import empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nexus_core.records import Records

_FOLD = """
def entry(events, states):
    state = states[0]
    for i in range(events.size):
        push(state, events[i])
"""

_WRITE = """
def entry(states, out):
    state = states[0]
    n = 0
    for side in range(2):
        slots = state.sizes.shape[1]
        key = state.best[side]
        while key < state.base[side] + slots:
            size = state.sizes[side, key & (slots - 1)]
            if size > 0.0:
                out[n].side = BUY if side == 0 else SELL
                out[n].price = price_of(state, side, key * 1.0)
                out[n].size = size
                n += 1
            key += 1
        for at in range(state.far[side] - 1, -1, -1):
            out[n].side = BUY if side == 0 else SELL
            out[n].price = price_of(state, side, state.keys[side, at])
            out[n].size = state.far_sizes[side, at]
            n += 1
    return n
"""


def begun(stream: Iterable[Records], first: int) -> Iterator[Records]:
    """Yield the events of one symbol from time `first` on, before them the book that stood there, if known.

    The book is a snapshot as a venue sends it, CLEAR and its levels, with the time of the first event that
    is yielded. Quotes and trades from before are not told.
    """
    states, is_folding, heard = np.array([book()]), True, False
    for events in stream:
        cut = int(np.searchsorted(events["ts"], first)) if is_folding else 0
        if cut:
            compile.call(_fold(), np.ascontiguousarray(events[:cut]), states)
            heard = True
        if cut == len(events):
            continue
        if is_folding and heard and states[0]["known"]:
            yield _snapshot(states, events[cut])
        is_folding = False
        yield events[cut:]


def _snapshot(states: Any, at: Any) -> Records:
    state = states[0]
    made = empty(EVENT, 1 + int(state["levels"].sum()))
    made["kind"], made["flags"], made["id"] = LEVEL, SNAPSHOT, state["last_id"]
    made["ts"], made["local"], made["symbol"] = at["ts"], at["local"], at["symbol"]
    made["kind"][0] = CLEAR
    made["price"][0] = state["up"] / state["parts"] if state["indexed"] else 0.0
    compile.call(_write(), states, made[1:])
    made["flags"][-1] |= LAST
    return made


@cache
def _fold() -> compile.Step:
    return compile.entry("fold", _FOLD, {"push": depth.push})


@cache
def _write() -> compile.Step:
    return compile.entry("write_book", _WRITE, {"price_of": price_of, "BUY": BUY, "SELL": SELL})
