"""The loops of the market pass, made for the layers and gates of a run.

A loop takes rows in the order of time: every one through what the layers remember, then through layers and
gates until one refuses. Before a gate in plain Python, which is asked for whole columns, one loop ends and
another begins; without such gates there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.records import ABSENT, LATE, LATE_ROW, LAYER, NO_DIRECTION, NO_SIGNAL
from nexus_core.steps.curves import interpolate

_NAMES: dict[str, Any] = {
    "LATE": LATE, "LATE_ROW": LATE_ROW, "LAYER": LAYER, "NO_DIRECTION": NO_DIRECTION, "NO_SIGNAL": NO_SIGNAL,
    "ABSENT": ABSENT, "interpolate": interpolate, "np": np,
}  # fmt: skip

SIGNS = {"above": "<=", "from": "<", "below": ">=", "to": ">"}
"""How a value must stand to the limit to pass, by what the gate refuses."""

_WATCH = """
        if watch_{k}(row, context, states_{k}[symbol], params.l{k}):
            broken = True"""

_JUDGE = """
def entry(rows, order, signals, scores, told, known, least, records, all_voices, contexts,
          directions, confidences, reasons, values, limits, market, bounds, weights, given{states}):
    params = given[0]
    own = 1 if all_voices.shape[0] > 1 else 0
    for n in range(order.size):
        i = np.uint64(order[n])  # an index that cannot be negative needs no wrapping around
        row = rows[i]
        symbol = row.symbol
        context = contexts[n]
        voices = all_voices[n * own]
        broken = False{begin}
        reason = -1
        value = 0.0
        limit = 0.0
        while True:
            if broken:
                reason = LAYER
                value = np.nan
                break{turns}
            break
        if reason >= 0:
            reasons[i] = reason
            values[i] = value
            limits[i] = limit
            directions[i] = 0
        else:
            directions[i] = 1 if context.direction > 0.0 else -1
        confidences[i] = context.confidence
"""

_LEARN = """
        for k in range(voices.size):  # what became known with this row
            code = told[k, i]
            if code != 0:
                records[k].rights += code & 1
                records[k].wrongs += (code >> 1) & 1
                records[k].hits += (code >> 2) & 3
                records[k].misses += (code >> 4) & 3"""

_SIGNALS = """
            lean = 0.0
            total = 0.0
            kept = 0
            for k in range(voices.size):
                signal = signals[k, i]
                voice = voices[k]
                voice.signal = signal
                if signal == 0 or signal == ABSENT:
                    continue
                own_score = scores[k, i]
                confidence = own_score
                voice.right = np.nan
                if known[k, 0, 0] == known[k, 0, 0]:  # it has a table
                    confidence = interpolate(known[k, 0], known[k, 1], own_score)
                    voice.right = interpolate(known[k, 0], known[k, 2], own_score)
                value = max(value, confidence)
                if not confidence >= least:
                    voice.signal = 0
                    continue
                voice.score = own_score
                voice.confidence = confidence
                voice.weight = 1.0
                record = records[k]
                voice.category = record.category
                voice.rights = record.rights
                voice.wrongs = record.wrongs
                voice.hits = record.hits
                voice.misses = record.misses
                lean += signal
                total += confidence
                kept += 1
            if kept == 0:
                reason = NO_SIGNAL
                limit = least
                break
            if row.flags & LATE != 0:
                reason = LATE_ROW
                value = 0.0
                break
            context.lean = lean
            context.direction = 1.0 if lean > 0.0 else -1.0 if lean < 0.0 else 0.0
            context.confidence = total / kept"""

_WEIGH = """
            for k in range(voices.size):
                if voices[k].signal != 0 and voices[k].signal != ABSENT:
                    weights[n, k] = voices[k].weight"""

_DIRECTION = """
            if not (context.direction > 0.0 or context.direction < 0.0):
                reason = NO_DIRECTION
                value = abs(context.lean)
                limit = context.hold
                break"""

_STEP = """
            if step_{k}(row, context, voices, params.l{k}):
                reason = LAYER
                value = np.nan
                break"""

_GATE = """
            value = {value}
            limit = params.g{g}.limit{bound}
            market[{g}, i] = value
            bounds[{g}, i] = limit
            if not value {sign} limit:
                reason = {number}
                break"""

_BOUND = """
            if context.{field} {more} limit:
                limit = context.{field}"""

_AGAIN = """
        if reasons[i] >= 0:
            continue"""


def cleared(fields: Mapping[str, int]) -> str:
    """Return the lines that make a context's fields unknown, and the kernel's own as they begin."""
    begin = {"direction": "0.0", "lean": "0.0", "hold": "0.0", "confidence": "0.0", "scale": "1.0"}
    names = [name if size == 1 else f"{name}[:]" for name, size in fields.items()]
    lines = [f"\n        context.{name} = {begin.get(name, 'np.nan')}" for name in names]
    return "".join([*lines, "\n        weights[n, :] = np.nan"])


def gate(g: int, number: int, refuses: str, reads: str, bound: str) -> str:
    """Return the lines that ask a gate of the market pass; one in plain Python has been asked before."""
    more = ">" if refuses in ("below", "to") else "<"
    return _GATE.format(
        g=g,
        number=number,
        sign=SIGNS[refuses],
        value=f"context.{reads}" if reads else f"market[{g}, i]",
        bound=_BOUND.format(field=bound, more=more) if bound else "",
    )


def judging(
    turns: Sequence[str | int],
    steps: Mapping[int, compile.Step],
    watches: Mapping[int, compile.Step],
    clear: str,
) -> compile.Step:
    """Return a loop over rows in the order of time; a number among the `turns` is a layer's place.

    The first loop of a chain is given the lines that `clear` a row's context, and the `watches` of layers, by
    their places: it takes every row.
    """
    lines = [_STEP.format(k=each) if isinstance(each, int) else each for each in turns]
    # a record is read in the loop that learns: in a later one it would know of rows to come
    begin = clear + (_LEARN if _SIGNALS in turns else "") + "".join(_WATCH.format(k=k) for k in watches)
    begin += "" if clear else _AGAIN
    states = "".join(f", states_{k}" for k in watches)
    used = {f"step_{k}": steps[k] for k in turns if isinstance(k, int)}
    used |= {f"watch_{k}": each for k, each in watches.items()}
    text = _JUDGE.format(begin=begin, turns="".join(lines), states=states)
    return compile.entry("judge", text, {**_NAMES, **used})


def stretches(
    layers: Mapping[int, int], gates: Sequence[tuple[int, bool]], asking: Sequence[str], watched: bool
) -> tuple[list[list[str | int]], list[list[int]]]:
    """Return what each loop does in turn, and which gates in plain Python are asked before it.

    `layers` are those at work, by place; of each gate its layer, and whether it is in plain Python. The first
    loop watches, where rows are `watched`.
    """
    turns: list[list[str | int]] = [[]]
    asked: list[list[int]] = [[]]
    for level, own in enumerate(("", _SIGNALS, _WEIGH, _DIRECTION, ""), 1):
        turns[-1] += [*(k for k, layer in layers.items() if layer == level), own]
        for g in (g for g, (layer, _) in enumerate(gates) if layer == level):
            if gates[g][1] and (level > 1 or watched):  # it may look at what came before it
                turns.append([])
                asked.append([])
            asked[-1] += [g] if gates[g][1] else []
            turns[-1].append(asking[g])
    return turns, asked
