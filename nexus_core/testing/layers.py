"""The contract of layers: where one stands, what it writes, that it repeats itself, and bears the unknown."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from inspect import getattr_static, signature
from typing import Any, cast

import numpy as np

from nexus_core import compile
from nexus_core.errors import NexusError
from nexus_core.layers import Layer
from nexus_core.records import CONTEXT, LAYER, ROW, Records
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.fakes import walk
from nexus_core.testing.market import MINUTE
from nexus_core.testing.voices import (
    VOICES,
    Answer,
    begin,
    by_hand,
    fields_read,
    holed_rows,
    last_rows,
    where,
)

_SYMBOLS, _WHOLE, _NEVER = 3, 2**40, 2**62
_DAY = 1440 * MINUTE
_NAME = "tested"
_BUDGET = 5.0
"""Microseconds a row."""


def _fallen(of: Subject) -> str:
    try:
        _stands(of)
    except Exception:
        return "it does not stand in a chain: see NX-L01"
    return ""


def _remembers_none(of: Subject) -> str:
    return _fallen(of) or ("" if of.plugin.watch is not None else "it has no watch, and remembers nothing")


def _shares_its_state(of: Subject) -> str:
    shared = "the layer of the ledger pass has one state for all symbols"
    return _remembers_none(of) or (shared if of.plugin.layer == 6 else "")


def _no_budget(of: Subject) -> str:
    return _fallen(of) or ("" if compile.JIT else "NEXUS_JIT=0: nothing is compiled")


@check("NX-L01", Grade.BRONZE, "layers")
def _stands(of: Subject) -> None:
    """Layer, fields and work are declared, and it stands in a chain, with other layers and without."""
    _has_work(of.plugin)
    _declares(of.plugin)
    rows = walk(_SYMBOLS, 20)
    for is_fed in (False, True):
        try:
            answer = begin(of.make(), is_fed).run(rows)
        except NexusError as error:
            raise Broken(str(error)) from error
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise Broken(f"it cannot be compiled, or raised {type(error).__name__}: {said}.") from error
        _raised_nowhere(rows, answer, "Write NaN where it knows nothing yet.")


@check("NX-L02", Grade.BRONZE, "layers", needless=_fallen)
def _writes_what_it_declares(of: Subject) -> None:
    """Write its own fields alone, and only numbers that its words stand for."""
    rows, layer = walk(_SYMBOLS), of.make()
    given, changed = by_hand(layer, rows)
    kept = [name for name in fields_read(layer) if name in (given["contexts"].dtype.names or ())]
    for name in kept:
        if not _same(given["contexts"][name], changed["contexts"][name]):
            raise Broken(f"wrote the field {name}, which it only reads. Write a field of its own.")
    given["voices"]["weight"] = changed["voices"]["weight"]
    for name in (each for each in given if each not in ("contexts", "states")):
        for field in given[name].dtype.names:
            if not _same(given[name][field], changed[name][field]):
                raise Broken(f"wrote {field} of {name}, which is not its own. Write fields of its context.")
    for name, words in of.plugin.words.items():
        found = changed["contexts"][name]
        known = found[np.isfinite(found)]
        strange = known[(known != np.floor(known)) | (known < 0) | (known >= len(words))]
        if strange.size:
            raise Broken(
                f"wrote {strange[0]} to {name}, must be 0 to {len(words) - 1}: a place in its words."
            )


@check("NX-L03", Grade.BRONZE, "layers", needless=_fallen)
def _repeats(of: Subject) -> None:
    """Equal rows give equal contexts."""
    rows = walk(_SYMBOLS)
    once, again = (begin(of.make()).run(rows) for _ in range(2))
    _alike(
        rows, once, again, "was {} and, asked again, {}", "Use no clock, no chance and no memory but state."
    )


@check("NX-L04", Grade.BRONZE, "layers", needless=_fallen)
def _sees_no_future(of: Subject) -> None:
    """No value depends on a later row."""
    rows = walk(_SYMBOLS)
    whole = begin(of.make()).run(rows)
    for share in (0.1, 0.5, 0.9):
        known = rows["ts"] <= np.quantile(rows["ts"], share)
        early = begin(of.make()).run(rows[known])
        told = "was {} with the rows after it and {} without"
        _alike(rows[known], _part(whole, known), early, told, "Compute it from rows that came before.")


@check("NX-L05", Grade.SILVER, "layers", needless=_fallen)
def _keeps_parity(of: Subject) -> None:
    """Contexts and states are the same in blocks of 1, 7, 64 and all ticks."""
    rows, whole = walk(_SYMBOLS), begin(of.make())
    answer = whole.run(rows)
    advice = "Keep what it needs of earlier rows in its state."
    for size in (1, 7, 64):
        cut = begin(of.make())
        told = f"was {{}} in one block and {{}} in blocks of {size} ticks"
        _alike(rows, answer, cut.run(rows, size), told, advice)
        if not _same(whole.state, cut.state):
            raise Broken(f"its state after all rows differed in blocks of {size} ticks. {advice}")


@check("NX-L06", Grade.SILVER, "layers", needless=_remembers_none)
def _goes_on(of: Subject) -> None:
    """Restored from its state's bytes, it goes on as if nothing had been."""
    rows = walk(_SYMBOLS)
    early = rows["ts"] <= np.median(rows["ts"])
    steady, broken_off, restored = (begin(of.make()) for _ in range(3))
    if steady.state.dtype.hasobject:
        raise Broken("its state holds Python objects, which cannot be saved. Hold numbers and arrays.")
    for each in (steady, broken_off):
        each.run(rows[early], 64)
    for own, other in zip(restored.states, broken_off.states, strict=True):
        own[...] = np.frombuffer(other.tobytes(), other.dtype).reshape(other.shape)
    late = rows[~early]
    told = "was {} in a run that went on and {} in one restored before it"
    advice = "Keep all that it remembers in its state."
    _alike(late, steady.run(late, 64), restored.run(late, 64), told, advice)
    if not _same(steady.state, restored.state):
        raise Broken(f"its state differed in a run that was restored. {advice}")


@check("NX-L07", Grade.SILVER, "layers", needless=_fallen)
def _bears_the_unknown(of: Subject) -> None:
    """Rows with NaN, infinite values or no volume raise nothing, and are got over."""
    clean = walk(_SYMBOLS)
    holed, late = holed_rows(clean), last_rows(clean)
    for rows in (holed, walk(_SYMBOLS, holes=True)):
        by_hand(of.make(), rows)
        for is_fed in (False, True):
            answer = begin(of.make(), is_fed).run(rows)
            _raised_nowhere(rows, answer, "Write NaN where something is unknown.")
    known, now = (begin(of.make()).run(rows).contexts for rows in (clean, holed))
    for name in _written(of.plugin):
        for symbol in range(_SYMBOLS):
            there = late & (clean["symbol"] == symbol)
            before, after = (np.isfinite(each[name][there]).sum(0) for each in (known, now))
            if (after < before / 2.0).any():
                raise Broken(
                    f"{name} stayed unknown for hundreds of rows after a gap of 40 rows with NaN, infinite "
                    f"values and no volume (symbol {symbol}). Let no such value into its state."
                )


@check("NX-L08", Grade.SILVER, "layers", needless=_fallen)
def _keeps_in_bounds(of: Subject) -> None:
    """Direction is -1, 0 or 1; chance, confidence and weights lie in 0 to 1, whatever is unknown."""
    for rows in (walk(_SYMBOLS), walk(_SYMBOLS, holes=True)):
        answer = begin(of.make()).run(rows)
        _is_one_of(rows, "direction", answer.contexts["direction"])
        for name in ("chance", "confidence"):
            _is_within(rows, name, answer.contexts[name])
        if of.plugin.layer in (3, 4, 5):
            for k in range(VOICES):
                _is_within(rows, f"the weight of voice {k}", answer.weights[:, k])
            _, changed = by_hand(of.make(), rows)  # where the kernel cannot mend what it is given
            weights = changed["voices"]["weight"]
            if np.isnan(weights).any():
                n = int(np.argwhere(np.isnan(weights))[0][0])
                raise Broken(f"a weight was NaN at {where(rows, n)}. Leave it at 1 where nothing is known.")


@check("NX-L09", Grade.GOLD, "layers", needless=_no_budget)
def _is_quick(of: Subject) -> None:
    """At most 5 microseconds go into a row, in blocks of 1,000."""
    rows, at_work = walk(_SYMBOLS), begin(of.make())
    found = list[float]()
    for _ in range(4):
        begun = time.thread_time()
        at_work.time(rows, 1000 // _SYMBOLS)
        found.append(time.thread_time() - begun)
        rows["ts"] += _DAY  # time does not go back
    least = min(found[1:]) / len(rows) * 1e6
    if least > _BUDGET:
        raise Broken(f"took {least:.1f} microseconds a row, may take {_BUDGET:g}. Do less for each row.")


@check("NX-L10", Grade.GOLD, "layers", needless=_shares_its_state)
def _keeps_symbols_apart(of: Subject) -> None:
    """No symbol's values depend on the rows of others."""
    rows = walk(_SYMBOLS)
    together = begin(of.make(), tells=False).run(rows)
    for symbol in range(_SYMBOLS):
        own = rows["symbol"] == symbol
        alone = begin(of.make(), tells=False).run(rows[own])
        told = "was {} among other symbols and {} alone"
        _alike(rows[own], _part(together, own), alone, told, "Use the state record it is given, no other.")


# -- what is declared ---------------------------------------------------------------------------------


def _has_work(plugin: type[Layer]) -> None:
    layer = getattr(plugin, "layer", None)
    if layer not in (1, 3, 4, 5, 6):
        raise Broken(f"layer was {layer}, must be 1, 3, 4, 5 or 6; layer 2 is the strategies.")
    _takes(plugin, "state", 2)
    if plugin.watch is not None:
        _takes(plugin, "watch", 3 if layer == 6 else 4)
    if plugin.step is not None:
        _takes(plugin, "step", 7 if layer == 6 else 4)
    if layer == 1 and (plugin.watch is None or plugin.step is not None):
        raise Broken("layer 1 comes before the strategies: give it a watch and no step.")
    if layer == 6 and plugin.step is None:
        raise Broken("layer 6 has no step of its own. Write it as a static method.")
    if plugin.watch is None and plugin.step is None:
        raise Broken("it has neither watch nor step. Write one as a static method.")


def _takes(plugin: type[Layer], method: str, arguments: int) -> None:
    if not isinstance(getattr_static(plugin, method), staticmethod):
        raise Broken(f"its {method} is no static method. Write it as one.")
    taken = len(signature(compile.plain(getattr(plugin, method))).parameters)
    if taken != arguments:
        raise Broken(f"{method} took {taken} arguments, must take {arguments}: see nexus_core.Layer.")


def _declares(plugin: type[Layer]) -> None:
    writes, reads = cast("Mapping[Any, Any]", plugin.writes), cast("Any", plugin.reads)
    for name, size in writes.items():
        if not _is_name(name) or name in (ROW.names or ()):
            raise Broken(
                f"writes {name!r}, which no field of the context can be called. Choose another name."
            )
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise Broken(f"writes {name} with {size!r} numbers, must be 1 or more.")
    if isinstance(reads, str) or not all(_is_name(each) for each in reads):
        raise Broken(f"reads was {reads!r}, must be the names of fields.")
    for name, words in cast("Mapping[Any, Any]", plugin.words).items():
        if writes.get(name) != 1:
            raise Broken(f"has words for {name}, which is no field of one number that it writes.")
        if not words or _is_text(words) or not all(_is_text(each) for each in words):
            raise Broken(f"the words of {name} were {words!r}, must be texts, the first for 0.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _written(plugin: type[Layer]) -> list[str]:
    """Return the fields that may be its own; of layer 6 those of one number, which the trace keeps."""
    whole = plugin.layer < 6
    return [*CONTEXT, *(name for name, size in plugin.writes.items() if whole or size == 1)]


# -- how answers compare ------------------------------------------------------------------------------


def _raised_nowhere(rows: Records, answer: Answer, advice: str) -> None:
    broken = np.flatnonzero(answer.reasons == LAYER)
    if broken.size:
        raise Broken(f"its watch or step raised at {where(rows, int(broken[0]))}. {advice}")


def _is_one_of(rows: Records, name: str, values: Any) -> None:
    wrong = np.flatnonzero(~np.isin(values, (-1.0, 0.0, 1.0)))
    if wrong.size:
        n = int(wrong[0])
        raise Broken(f"{name} was {values[n]} at {where(rows, n)}, must be -1, 0 or 1; 0 refuses.")


def _is_within(rows: Records, name: str, values: Any) -> None:
    wrong = np.flatnonzero((values < 0.0) | (values > 1.0))
    if wrong.size:
        n = int(wrong[0])
        raise Broken(f"{name} was {values[n]} at {where(rows, n)}, must lie in 0 to 1.")


def _part(answer: Answer, which: Any) -> Answer:
    return Answer(*(each[which] for each in answer))


def _alike(rows: Records, one: Answer, other: Answer, told: str, advice: str) -> None:
    columns: Sequence[tuple[str, Any, Any]] = [
        ("the weights", one.weights, other.weights),
        *((name, one.contexts[name], other.contexts[name]) for name in one.contexts.dtype.names or ()),
    ]
    for name, first, second in columns:
        apart = (first != second) & ~(np.isnan(first) & np.isnan(second))
        if apart.any():
            at = np.argwhere(apart)[0]
            was = told.format(first[tuple(at)], second[tuple(at)])
            raise Broken(f"{name} of {where(rows, int(at[0]))} {was}. {advice}")


def _same(one: Any, other: Any) -> bool:
    if one.dtype.names:
        return all(_same(one[name], other[name]) for name in one.dtype.names)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
