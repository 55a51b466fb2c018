"""The contract of layers: where one stands, what it writes, that it repeats itself, and bears the unknown."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from inspect import getattr_static, signature
from typing import Any, NamedTuple, cast

import numpy as np

from nexus_core import compile, plugins
from nexus_core.calibration import Table
from nexus_core.errors import NexusError
from nexus_core.gates import Chain
from nexus_core.layers import Layer
from nexus_core.ledger.judge import PROPOSAL
from nexus_core.market.blocks import blocks
from nexus_core.records import ABSENT, ACCOUNT, CONTEXT, LAYER, POSITION, ROW, UNIT, VOICE, Records, empty
from nexus_core.steps.tool import record
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.fakes import chunked, walk
from nexus_core.testing.market import MINUTE
from nexus_core.testing.trial import Trial
from nexus_core.types import Instrument, StrategyCategory, iso

_SYMBOLS, _WHOLE, _NEVER = 3, 2**40, 2**62
_DAY = 1440 * MINUTE
_NAME = "tested"
_BUDGET = 5.0
"""Microseconds a row."""

_SIGNALS = np.array([-2, -1, -1, 0, 1, 1, 2, ABSENT], np.int8)
_TOLD = np.array([0, 0, 0, 0, 0, 1, 1, 2, 4, 4 | 1, 16, 16 | 2, 20, 3, 8, 32], np.int8)
"""What becomes known with a row: nothing, or signals that were right or wrong, and trades that ended."""
_CATEGORIES = [*list(StrategyCategory)[::3], ""]
_VOICES = len(_CATEGORIES)
_TABLE = Table(
    {
        "scores": [0.1, 0.5, 0.9],
        "ranks": [0.0, 0.6, 1.0],
        "p": [0.4, 0.5, 0.6],
        "low": [0.3, 0.4, 0.5],
        "high": [0.5, 0.6, 0.7],
    }
)

_FEED = """
def work(row, context, state, params):
    known = 1.0 if row.bid_size == row.bid_size else np.nan
    mixed = row.seq * 7919 + row.symbol * 104729
    {lines}
"""
_ONE = "context.{name} = known * float((mixed + {at}) % 97) / 96.0"
_MANY = """for k in range({size}):
        context.{name}[k] = known * float((mixed + {at} + k * 13) % 97) / 96.0"""

_OF_SYMBOL = """
def entry(rows, contexts, voices, states, parameters, at):
    params = parameters[0]
    for n in range(rows.size):
        at[0] = n
        {watch}
        {step}
"""
_OF_ALL = """
def entry(rows, contexts, accounts, positions, proposals, states, parameters, at):
    params = parameters[0]
    for n in range(rows.size):
        at[0] = n
        {watch}
        step(rows[n], contexts[n], accounts[n], positions, proposals[n], states[0], params)
"""


class _Answer(NamedTuple):
    """What came of each row: its context, what ended it, and the weights of its voices."""

    contexts: Records
    reasons: Any
    weights: Any


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
            answer = _begin(of.make(), is_fed).run(rows)
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
    given, changed = _by_hand(layer, rows)
    kept = [name for name in _read(layer) if name in (given["contexts"].dtype.names or ())]
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
    once, again = (_begin(of.make()).run(rows) for _ in range(2))
    _alike(
        rows, once, again, "was {} and, asked again, {}", "Use no clock, no chance and no memory but state."
    )


@check("NX-L04", Grade.BRONZE, "layers", needless=_fallen)
def _sees_no_future(of: Subject) -> None:
    """No value depends on a later row."""
    rows = walk(_SYMBOLS)
    whole = _begin(of.make()).run(rows)
    for share in (0.1, 0.5, 0.9):
        known = rows["ts"] <= np.quantile(rows["ts"], share)
        early = _begin(of.make()).run(rows[known])
        told = "was {} with the rows after it and {} without"
        _alike(rows[known], _part(whole, known), early, told, "Compute it from rows that came before.")


@check("NX-L05", Grade.SILVER, "layers", needless=_fallen)
def _keeps_parity(of: Subject) -> None:
    """Contexts and states are the same in blocks of 1, 7, 64 and all ticks."""
    rows, whole = walk(_SYMBOLS), _begin(of.make())
    answer = whole.run(rows)
    advice = "Keep what it needs of earlier rows in its state."
    for size in (1, 7, 64):
        cut = _begin(of.make())
        told = f"was {{}} in one block and {{}} in blocks of {size} ticks"
        _alike(rows, answer, cut.run(rows, size), told, advice)
        if not _same(whole.state, cut.state):
            raise Broken(f"its state after all rows differed in blocks of {size} ticks. {advice}")


@check("NX-L06", Grade.SILVER, "layers", needless=_remembers_none)
def _goes_on(of: Subject) -> None:
    """Restored from its state's bytes, it goes on as if nothing had been."""
    rows = walk(_SYMBOLS)
    early = rows["ts"] <= np.median(rows["ts"])
    steady, broken_off, restored = (_begin(of.make()) for _ in range(3))
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
    holed, late = _holed(clean), _late(clean)
    for rows in (holed, walk(_SYMBOLS, holes=True)):
        _by_hand(of.make(), rows)
        for is_fed in (False, True):
            answer = _begin(of.make(), is_fed).run(rows)
            _raised_nowhere(rows, answer, "Write NaN where something is unknown.")
    known, now = (_begin(of.make()).run(rows).contexts for rows in (clean, holed))
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
        answer = _begin(of.make()).run(rows)
        _is_one_of(rows, "direction", answer.contexts["direction"])
        for name in ("chance", "confidence"):
            _is_within(rows, name, answer.contexts[name])
        if of.plugin.layer in (3, 4, 5):
            for k in range(_VOICES):
                _is_within(rows, f"the weight of voice {k}", answer.weights[:, k])
            _, changed = _by_hand(of.make(), rows)  # where the kernel cannot mend what it is given
            weights = changed["voices"]["weight"]
            if np.isnan(weights).any():
                n = int(np.argwhere(np.isnan(weights))[0][0])
                raise Broken(f"a weight was NaN at {_where(rows, n)}. Leave it at 1 where nothing is known.")


@check("NX-L09", Grade.GOLD, "layers", needless=_no_budget)
def _is_quick(of: Subject) -> None:
    """At most 5 microseconds go into a row, in blocks of 1,000."""
    rows, at_work = walk(_SYMBOLS), _begin(of.make())
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
    together = _begin(of.make(), tells=False).run(rows)
    for symbol in range(_SYMBOLS):
        own = rows["symbol"] == symbol
        alone = _begin(of.make(), tells=False).run(rows[own])
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


def _read(layer: Layer | type[Layer]) -> list[str]:
    """Return the fields that it reads, and others are to write."""
    return [name for name in layer.reads if name not in layer.writes and name not in CONTEXT]


def _written(plugin: type[Layer]) -> list[str]:
    """Return the fields that may be its own; of layer 6 those of one number, which the trace keeps."""
    whole = plugin.layer < 6
    return [*CONTEXT, *(name for name, size in plugin.writes.items() if whole or size == 1)]


# -- a layer at work ----------------------------------------------------------------------------------


def _begin(layer: Layer, is_fed: bool = True, tells: bool = True) -> _Market | _Account:
    """Return a layer in a chain: with one that writes what it reads, and records of voices that grow."""
    layers = {**(_feeding(layer) if is_fed else {}), _NAME: layer}
    return _Account(layers) if layer.layer == 6 else _Market(layers, tells)


class _Market:
    """A layer in the market pass, among strategies whose signals are made up."""

    def __init__(self, layers: Mapping[str, Layer], tells: bool) -> None:
        tables = [_TABLE if k % 2 else None for k in range(_VOICES)]
        given = list(layers.items())
        self.chain = Chain([], _VOICES, _SYMBOLS, 0.0, tables, given, _CATEGORIES, MINUTE)
        self._tells = tells

    @property
    def state(self) -> Any:
        """Return what the layer remembers."""
        return self.chain.records().get(f"layer:{_NAME}", (np.zeros(1), ""))[0]

    @property
    def states(self) -> list[Any]:
        """Return all that is remembered."""
        return [each for each, _ in self.chain.records().values()]

    def run(self, rows: Records, size: int = _WHOLE) -> _Answer:
        """Take rows in blocks of so many ticks."""
        judged = self._columns(rows)
        made: Any = np.zeros(len(rows), judged.contexts.dtype)
        weights = np.full((len(rows), _VOICES), np.nan)
        for block in blocks(chunked(rows, _SYMBOLS), 0, size, lambda _: _NEVER):
            self.chain.judge(block, judged)
            made[block.order] = judged.contexts[: len(block.order)]
            weights[block.order] = judged.weights[: len(block.order)]
        return _Answer(made, judged.reasons[: len(rows)].copy(), weights)

    def time(self, rows: Records, size: int) -> None:
        """Take rows, and keep nothing."""
        judged = self._columns(rows)
        for block in blocks(chunked(rows, _SYMBOLS), 0, size, lambda _: _NEVER):
            self.chain.judge(block, judged)

    def _columns(self, rows: Records) -> Any:
        judged, size = self.chain.columns(len(rows)), len(rows)
        signals, scores, told = _opinions(rows)
        judged.signals[:, :size], judged.scores[:, :size] = signals, scores
        judged.told[:, :size] = told if self._tells else 0
        return judged


class _Account:
    """The layer of the ledger pass, and an account that buys and sells next to nothing."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        traded = [Instrument(name, lot="0.000001") for name in ("A-USD", "B-USD", "C-USD")]
        rules: dict[str, Any] = {"sizing": "fixed-notional", "notional": 10.0, "brackets": False}
        rules |= {"on_opposite": "close", "breaker_loss": 0.0, "breaker_rejects": 0}
        self._trial = Trial({}, instruments=traded, layers=layers, **rules)
        self.chain = self._trial.chain

    @property
    def state(self) -> Any:
        """Return what the layer remembers."""
        return self._trial.ledger.records()["layer"]

    @property
    def states(self) -> list[Any]:
        """Return all that is remembered."""
        market = [each for each, _ in self.chain.records().values()]
        return [*market, *self._trial.ledger.records().values()]

    def run(self, rows: Records, size: int = _WHOLE) -> _Answer:
        """Take rows in blocks of so many ticks; the contexts are those of the trace."""
        self._trial.written.clear()
        self.time(rows, size)
        decisions = self._trial.decisions
        order = np.lexsort((rows["symbol"], rows["ts"]))
        made: Any = np.zeros(len(rows), decisions["context"].dtype)
        reasons = np.zeros(len(rows), np.int16)
        made[order], reasons[order] = decisions["context"], decisions["reason"]
        return _Answer(made, reasons, np.ones((len(rows), _VOICES)))

    def time(self, rows: Records, size: int) -> None:
        """Take rows."""
        signals, scores, _ = _opinions(rows)
        self._trial.run(rows, signals[0], scores[0], block=size)


def _feeding(layer: Layer) -> dict[str, Layer]:
    """Return a layer that writes what another reads, as many numbers each as the installed layers write."""
    names = _read(layer)
    if not names:
        return {}
    sizes = dict.fromkeys(names, 1) | {n: size for n, size in _installed().items() if n in names}
    lines = list[str]()
    for at, name in enumerate(names):
        line = _ONE if sizes[name] == 1 else _MANY
        lines.append(line.format(name=name, size=sizes[name], at=7 * at))
    space: dict[str, Any] = {"np": np, "__name__": __name__}
    exec(_FEED.format(lines="\n    ".join(lines)), space)
    facts: dict[str, Any] = {"layer": 1, "writes": sizes, "watch": staticmethod(space["work"])}
    return {"feeder": type("Feeder", (Layer,), facts)()}


def _installed() -> dict[str, int]:
    """Return the fields that installed layers write, with how many numbers each holds."""
    found: dict[str, int] = {}
    for offer in plugins.offers():
        if offer.kind == "layers" and not plugins.blocked(offer):
            try:
                found |= dict(plugins.imported(offer).writes)
            except Exception:  # another's fault is not this one's
                continue
    return found


def _opinions(rows: Records) -> tuple[Any, Any, Any]:
    """Return signals and scores of all voices on each row, and what becomes known with it."""
    of_row = rows["seq"].astype(np.uint64) * np.uint64(7919) + rows["symbol"].astype(np.uint64)
    mixed = (of_row * np.uint64(64) + np.arange(_VOICES, dtype=np.uint64)[:, None]) * np.uint64(2654435761)
    drawn = (mixed >> np.uint64(7)) % np.uint64(2**32)
    signals, scores = _SIGNALS[drawn % np.uint64(8)], ((drawn >> np.uint64(3)) % np.uint64(100) + 1) / 101.0
    return signals, scores, _TOLD[(drawn >> np.uint64(11)) % np.uint64(16)]


def _by_hand(layer: Layer, rows: Records) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call the layer's own work for every row; return the records it was given, before and after."""
    chain = _begin(layer).chain
    kind: Any = type(layer)
    given = _moments(rows, chain) if layer.layer == 6 else _voiced(rows, chain)
    for name in [each for each in layer.writes if each not in CONTEXT]:
        given["contexts"][name] = np.nan
    states = kind.state(layer.params, _SYMBOLS if layer.layer == 6 else MINUTE)
    given["states"] = np.repeat(np.array([record(**states)]), 1 if layer.layer == 6 else _SYMBOLS)
    before = {name: each.copy() for name, each in given.items()}
    at = np.full(1, -1, np.int64)
    try:
        compile.call(_loop(layer), *given.values(), layer.params.record(), at)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        where = _where(rows, int(at[0])) if at[0] >= 0 else "its first row"
        raise Broken(
            f"it raised {type(error).__name__} at {where}: {said}. Write NaN where something is unknown."
        ) from error
    before.setdefault("voices", np.zeros(0, VOICE))
    return before, {"voices": before["voices"], **given}


def _loop(layer: Layer) -> compile.Step:
    kind: Any = type(layer)
    work = {name: getattr(kind, name) for name in ("watch", "step") if getattr(kind, name) is not None}
    if layer.layer == 6:
        text = _OF_ALL.format(watch="watch(rows[n], states[0], params)" if "watch" in work else "")
    else:
        watch = "watch(rows[n], contexts[n], states[rows[n].symbol], params)" if "watch" in work else ""
        step = "step(rows[n], contexts[n], voices[n], params)" if "step" in work else ""
        text = _OF_SYMBOL.format(watch=watch, step=step)
    return compile.entry("layer", text, work)


def _context(rows: Records, chain: Chain) -> Any:
    """Return a context for each row, as the kernel leaves it, with what others write known but for holes."""
    draws = np.random.default_rng(13)
    made: Any = np.zeros(len(rows), chain.columns(1).contexts.dtype)
    for name in made.dtype.names:
        made[name] = draws.random(made[name].shape)
        made[name][np.isnan(rows["bid_size"])] = np.nan
    signals, _, _ = _opinions(rows)
    lean = np.where(signals == ABSENT, 0, signals).sum(0)
    made["lean"], made["direction"], made["hold"] = lean, np.sign(lean), 0.0
    made["confidence"], made["scale"] = draws.random(len(rows)), 1.0
    return made


def _voiced(rows: Records, chain: Chain) -> dict[str, Any]:
    signals, scores, _ = _opinions(rows)
    voices = np.zeros((len(rows), _VOICES), VOICE)
    voices["signal"], voices["score"], voices["confidence"] = signals.T, scores.T, scores.T
    voices["right"], voices["weight"] = np.where(np.arange(_VOICES) % 2, 0.5, np.nan), 1.0
    known: list[str] = list(StrategyCategory)
    voices["category"] = [known.index(each) if each in known else -1 for each in _CATEGORIES]
    grown = np.arange(len(rows))[:, None] // 5
    for k, name in enumerate(("hits", "misses", "rights", "wrongs")):
        voices[name] = grown * (k + 1) // 3
    return {"rows": rows.copy(), "contexts": _context(rows, chain), "voices": voices}


def _moments(rows: Records, chain: Chain) -> dict[str, Any]:
    size, draws = len(rows), np.random.default_rng(11)
    accounts, positions, proposals = empty(ACCOUNT, size), empty(POSITION, _SYMBOLS), empty(PROPOSAL, size)
    for name in ("cash", "peak", "day_start", "week_start"):
        accounts[name] = draws.integers(0, 100_000, size) * UNIT
    positions["qty"] = np.arange(_SYMBOLS) * UNIT - UNIT
    positions["working"] = np.arange(_SYMBOLS) % 2
    proposals["side"], proposals["lot"] = np.where(draws.random(size) < 0.5, -1, 1), 1
    proposals["confidence"], proposals["equity"] = draws.random(size), accounts["cash"]
    proposals["scale"] = 1.0
    price = np.where(np.isfinite(rows["close"]), rows["close"], 0.0)
    proposals["price"] = (price * UNIT).astype(np.int64)
    return {
        "rows": rows.copy(), "contexts": _context(rows, chain), "accounts": accounts,
        "positions": positions, "proposals": proposals,
    }  # fmt: skip


def _holed(clean: Records) -> Records:
    """Return rows of which 40 of each symbol are worth nothing, in many ways."""
    rows, draws = clean.copy(), np.random.default_rng(5)
    numbers = [name for name in ROW.names or () if ROW[name] == np.float64]
    for symbol in range(_SYMBOLS):
        gap = np.flatnonzero(rows["symbol"] == symbol)[150:190]
        for name in numbers:
            bad = (np.nan, np.inf, 0.0) if "volume" in name else (np.nan, np.inf)
            told = draws.choice([*bad, 1.0], gap.size)
            rows[name][gap] = np.where(told == 1.0, rows[name][gap], told)
            rows[name][gap[:2]] = [np.nan, np.inf]
    return rows


def _late(rows: Records) -> Any:
    """Tell of each row whether it is among the last 200 of its symbol."""
    ends: Any = np.searchsorted(rows["symbol"], rows["symbol"], side="right")
    return ends - np.arange(len(rows)) <= 200


# -- how answers compare ------------------------------------------------------------------------------


def _raised_nowhere(rows: Records, answer: _Answer, advice: str) -> None:
    broken = np.flatnonzero(answer.reasons == LAYER)
    if broken.size:
        raise Broken(f"its watch or step raised at {_where(rows, int(broken[0]))}. {advice}")


def _is_one_of(rows: Records, name: str, values: Any) -> None:
    wrong = np.flatnonzero(~np.isin(values, (-1.0, 0.0, 1.0)))
    if wrong.size:
        n = int(wrong[0])
        raise Broken(f"{name} was {values[n]} at {_where(rows, n)}, must be -1, 0 or 1; 0 refuses.")


def _is_within(rows: Records, name: str, values: Any) -> None:
    wrong = np.flatnonzero((values < 0.0) | (values > 1.0))
    if wrong.size:
        n = int(wrong[0])
        raise Broken(f"{name} was {values[n]} at {_where(rows, n)}, must lie in 0 to 1.")


def _part(answer: _Answer, which: Any) -> _Answer:
    return _Answer(*(each[which] for each in answer))


def _alike(rows: Records, one: _Answer, other: _Answer, told: str, advice: str) -> None:
    columns: Sequence[tuple[str, Any, Any]] = [
        ("the weights", one.weights, other.weights),
        *((name, one.contexts[name], other.contexts[name]) for name in one.contexts.dtype.names or ()),
    ]
    for name, first, second in columns:
        apart = (first != second) & ~(np.isnan(first) & np.isnan(second))
        if apart.any():
            at = np.argwhere(apart)[0]
            was = told.format(first[tuple(at)], second[tuple(at)])
            raise Broken(f"{name} of {_where(rows, int(at[0]))} {was}. {advice}")


def _same(one: Any, other: Any) -> bool:
    if one.dtype.names:
        return all(_same(one[name], other[name]) for name in one.dtype.names)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _where(rows: Records, n: int) -> str:
    return f"row {n} (symbol {rows['symbol'][n]}, {iso(rows['ts'][n])})"
