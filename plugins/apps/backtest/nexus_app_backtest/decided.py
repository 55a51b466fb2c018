"""Where a run's decisions ended, as its trace tells it, and which way each would have gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import Factory, define, frozen

from nexus_core import compile
from nexus_core.calibration import Table, ranks
from nexus_core.errors import DataError
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.records import ABSENT, layout
from nexus_core.steps.curves import interpolate

if TYPE_CHECKING:
    from nexus_core.journal import Trace
    from nexus_core.market.blocks import Chunk
    from nexus_core.records import Records

KERNEL = [name for name, _ in KERNEL_GATES]

_STAGES = {
    # layer 2, then the direction, then what the ledger asks: all gates of the market pass lie between
    "layer-at-work": (0, 0),  # wherever a layer raises; so all that it did not end is counted below
    "has-signal": (2, 0), "late": (2, 1), "direction": (4, 0), "opposite": (6, 0), "entry-at-work": (6, 2),
    "safety-mode": (6, 3), "shorting": (6, 4), "amounts": (6, 5), "no-edge": (6, 6), "size": (6, 7),
}  # fmt: skip
"""Where the kernel asks its own gates."""

_LAST = (6, 8)

WANTED = layout(("ts", "i8"), ("symbol", "i4"), ("reason", "i2"), ("side", "i1"))
"""A decision, with the side that it would have taken: 0 where it had none."""

_LEANING = """
def entry(counts, opinions, known, least, leans, heard):
    at = 0
    for i in range(counts.size):
        total = 0
        end = at + counts[i]
        for j in range(at, end):
            opinion = opinions[j]
            signal = np.int64(opinion.signal)
            if signal == ABSENT:
                continue
            heard[i] = True
            own = opinion.score
            k = opinion.strategy
            if known[k, 0, 0] == known[k, 0, 0]:  # it has a table
                own = interpolate(known[k, 0], known[k, 1], own)
            if own >= least:
                total += signal
        at = end
        leans[i] = (1 if total > 0 else 0) - (1 if total < 0 else 0)
"""

_PLACING = """
def entry(rows, order, wanted, sides, reasons):
    at = 0
    for n in range(order.size):
        if at == wanted.size:
            break
        i = order[n]
        each = wanted[at]
        if each.ts == rows[i].ts and each.symbol == rows[i].symbol:
            sides[i] = each.side
            reasons[i] = each.reason
            at += 1
    return at
"""


@frozen
class Asked:
    """A gate in its place: where the manifest lists it, and what the run's trace can tell of it."""

    number: int
    name: str
    layer: int
    in_ledger: bool
    guard: bool

    @property
    def is_kernels(self) -> bool:
        """Tell whether the kernel itself answers, and nobody set it up."""
        return self.name in KERNEL


def in_order(facts: Mapping[str, Any], ledger: set[str]) -> list[Asked]:
    """Return the gates of a manifest as the chain asks them; `ledger` names the plugins' gates of that pass.

    A gate of layer 4 that needs the account is asked after layer 5, though it speaks for layer 4.
    """
    guards, made = set(facts.get("guards", ())), list[tuple[tuple[int, int], Asked]]()
    for number, (name, layer, _) in enumerate(facts["gates"]):
        early = (6, 1) if name in ledger else (layer, 1)
        stage = _STAGES.get(name, _LAST if layer >= 6 else early)
        made.append((stage, Asked(number, name, layer, stage[0] == 6, name in guards)))
    return [gate for _, gate in sorted(made, key=lambda each: (each[0], each[1].number))]


@define
class Ends:
    """How many decisions of a trace ended where."""

    entries: int = 0
    exits: int = 0
    """Decisions that closed a position, whichever gate ended the entry."""
    _refused: dict[int, int] = Factory(dict[int, int])
    _heard: dict[int, int] = Factory(dict[int, int])
    _inferred: dict[int, int] = Factory(dict[int, int])

    def count(self, decisions: Records, heard: Any, inferred: Any) -> None:
        """Count some decisions; tell which had a signal, and of which the direction is only inferred."""
        reasons = decisions["reason"]
        self.entries += int((reasons < 0).sum())
        self.exits += int(((reasons >= 0) & (decisions["order"] > 0)).sum())
        parts = (self._refused, reasons), (self._heard, reasons[heard]), (self._inferred, reasons[inferred])
        for kept, which in parts:
            for number in np.flatnonzero(found := np.bincount(which[which >= 0])).tolist():
                kept[number] = kept.get(number, 0) + int(found[number])

    @property
    def decisions(self) -> int:
        """Return how many were counted."""
        return self.entries + sum(self._refused.values())

    def by(self, gate: Asked) -> tuple[int, int, int]:
        """Return how many a gate ended, how many of these had a signal, or a direction only inferred."""
        refused, heard, inferred = (
            kept.get(gate.number, 0) for kept in (self._refused, self._heard, self._inferred)
        )
        return refused, heard, inferred


class Decided:
    """The decisions of a trace, in the order of time, each with the way it would have gone."""

    def __init__(self, traces: Iterator[Trace], facts: Mapping[str, Any]) -> None:
        names: list[str] = facts["strategies"]
        tables: Mapping[str, Any] = facts.get("calibration", {})
        self.ends = Ends()
        self._traces, self._least = traces, float(facts["settings"]["risk"]["min_confidence"])
        self._known = ranks([Table(tables[name]) if name in tables else None for name in names])
        self._leaning = compile.entry(
            "leaning", _LEANING, {"ABSENT": ABSENT, "interpolate": interpolate, "np": np}
        )
        self._placing = compile.entry("placing", _PLACING, {})
        early = [layer <= 3 and name != "late" for name, layer, _ in facts["gates"]]
        self._early = np.array([*early, False])  # the last is that of reason -1
        self._waiting = np.zeros(0, WANTED)
        self._ended = False

    def place(self, chunk: Chunk) -> tuple[Any, Any]:
        """Return for each row of a chunk the side of the entry decided there, 0 for none, and its reason."""
        wanted = self._until(int(chunk.times[-1]) if chunk.ticks else -(2**63))
        sides, reasons = np.zeros(len(chunk.rows), np.int8), np.zeros(len(chunk.rows), np.int16)
        placed = compile.call(self._placing, chunk.rows, chunk.order, wanted, sides, reasons)
        if placed < len(wanted):
            raise DataError(
                "the feed's rows are not those that were decided. Put back those that the run saw."
            )
        return sides, reasons

    def drain(self) -> None:
        """Count what no chunk has asked for."""
        while not self._ended:
            self._read()

    @property
    def is_over(self) -> bool:
        """Tell whether no decision is left to place."""
        if not len(self._waiting) and not self._ended:
            self._read()
        return self._ended and not len(self._waiting)

    def _until(self, ts: int) -> Records:
        while not self._ended and (not len(self._waiting) or self._waiting["ts"][-1] <= ts):
            self._read()
        wanted = self._waiting
        end = int(np.searchsorted(wanted["ts"], ts, side="right"))
        self._waiting = wanted[end:]
        return wanted[:end]

    def _read(self) -> None:
        trace = next(self._traces, None)
        if trace is None:
            self._ended = True
            return
        decisions, _, opinions = trace
        leans, heard = np.zeros(len(decisions), np.int8), np.zeros(len(decisions), np.bool_)
        counts = decisions["opinions"].astype(np.int64)
        compile.call(self._leaning, counts, opinions, self._known, self._least, leans, heard)
        leans[~self._early[decisions["reason"]]] = 0
        own = directions(decisions)
        wanted = np.zeros(len(decisions), WANTED)
        wanted["side"] = np.where(own == 0, leans, own)
        for name in ("ts", "symbol", "reason"):
            wanted[name] = decisions[name]
        self.ends.count(decisions, heard, (own == 0) & (leans != 0))
        self._waiting = np.concatenate([self._waiting, wanted])


def directions(decisions: Records) -> Any:
    """Return the direction that each decision had when it ended, 0 for none: its own, or its context's."""
    own, names = decisions["direction"], decisions.dtype.names or ()
    if "context" not in names or "direction" not in (decisions["context"].dtype.names or ()):
        return own
    return np.where(own == 0, np.sign(np.nan_to_num(decisions["context"]["direction"])), own).astype(np.int8)
