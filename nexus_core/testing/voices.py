"""A layer at work in a chain: among made-up voices, beside one that writes what it reads, or by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nexus_core import compile, plugins
from nexus_core.calibration import Table
from nexus_core.gates import Chain
from nexus_core.layers import Layer
from nexus_core.ledger.judge import PROPOSAL
from nexus_core.market.blocks import blocks
from nexus_core.records import ABSENT, ACCOUNT, CONTEXT, POSITION, ROW, UNIT, VOICE, Records, empty
from nexus_core.steps.tool import record
from nexus_core.testing.contract import Broken
from nexus_core.testing.fakes import chunked
from nexus_core.testing.market import MINUTE
from nexus_core.testing.trial import Trial
from nexus_core.types import Instrument, StrategyCategory, iso

_SYMBOLS, _WHOLE, _NEVER = 3, 2**40, 2**62
_NAME = "tested"

_SIGNALS = np.array([-2, -1, -1, 0, 1, 1, 2, ABSENT], np.int8)
_TOLD = np.array([0, 0, 0, 0, 0, 1, 1, 2, 4, 4 | 1, 16, 16 | 2, 20, 3, 8, 32], np.int8)
"""What becomes known with a row: nothing, or signals that were right or wrong, and trades that ended."""
_CATEGORIES = [*list(StrategyCategory)[::3], ""]
VOICES = len(_CATEGORIES)
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


class Answer(NamedTuple):
    """What came of each row: its context, what ended it, and the weights of its voices."""

    contexts: Records
    reasons: Any
    weights: Any


def fields_read(layer: Layer | type[Layer]) -> list[str]:
    """Return the fields that it reads, and others are to write."""
    return [name for name in layer.reads if name not in layer.writes and name not in CONTEXT]


def begin(layer: Layer, is_fed: bool = True, tells: bool = True) -> _Market | _Account:
    """Return a layer in a chain: with one that writes what it reads, and records of voices that grow."""
    layers = {**(_feeding(layer) if is_fed else {}), _NAME: layer}
    return _Account(layers) if layer.layer == 6 else _Market(layers, tells)


class _Market:
    """A layer in the market pass, among strategies whose signals are made up."""

    def __init__(self, layers: Mapping[str, Layer], tells: bool) -> None:
        tables = [_TABLE if k % 2 else None for k in range(VOICES)]
        given = list(layers.items())
        self.chain = Chain([], VOICES, _SYMBOLS, 0.0, tables, given, _CATEGORIES, MINUTE)
        self._tells = tells

    @property
    def state(self) -> Any:
        """Return what the layer remembers."""
        return self.chain.records().get(f"layer:{_NAME}", (np.zeros(1), ""))[0]

    @property
    def states(self) -> list[Any]:
        """Return all that is remembered."""
        return [each for each, _ in self.chain.records().values()]

    def run(self, rows: Records, size: int = _WHOLE) -> Answer:
        """Take rows in blocks of so many ticks."""
        judged = self._columns(rows)
        made: Any = np.zeros(len(rows), judged.contexts.dtype)
        weights = np.full((len(rows), VOICES), np.nan)
        for block in blocks(chunked(rows, _SYMBOLS), 0, size, lambda _: _NEVER):
            self.chain.judge(block, judged)
            made[block.order] = judged.contexts[: len(block.order)]
            weights[block.order] = judged.weights[: len(block.order)]
        return Answer(made, judged.reasons[: len(rows)].copy(), weights)

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

    def run(self, rows: Records, size: int = _WHOLE) -> Answer:
        """Take rows in blocks of so many ticks; the contexts are those of the trace."""
        self._trial.written.clear()
        self.time(rows, size)
        decisions = self._trial.decisions
        order = np.lexsort((rows["symbol"], rows["ts"]))
        made: Any = np.zeros(len(rows), decisions["context"].dtype)
        reasons = np.zeros(len(rows), np.int16)
        made[order], reasons[order] = decisions["context"], decisions["reason"]
        return Answer(made, reasons, np.ones((len(rows), VOICES)))

    def time(self, rows: Records, size: int) -> None:
        """Take rows."""
        signals, scores, _ = _opinions(rows)
        self._trial.run(rows, signals[0], scores[0], block=size)


def _feeding(layer: Layer) -> dict[str, Layer]:
    """Return a layer that writes what another reads, as many numbers each as the installed layers write."""
    names = fields_read(layer)
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
    mixed = (of_row * np.uint64(64) + np.arange(VOICES, dtype=np.uint64)[:, None]) * np.uint64(2654435761)
    drawn = (mixed >> np.uint64(7)) % np.uint64(2**32)
    signals, scores = _SIGNALS[drawn % np.uint64(8)], ((drawn >> np.uint64(3)) % np.uint64(100) + 1) / 101.0
    return signals, scores, _TOLD[(drawn >> np.uint64(11)) % np.uint64(16)]


def by_hand(layer: Layer, rows: Records) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call the layer's own work for every row; return the records it was given, before and after."""
    chain = begin(layer).chain
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
        place = where(rows, int(at[0])) if at[0] >= 0 else "its first row"
        raise Broken(
            f"it raised {type(error).__name__} at {place}: {said}. Write NaN where something is unknown."
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
    voices = np.zeros((len(rows), VOICES), VOICE)
    voices["signal"], voices["score"], voices["confidence"] = signals.T, scores.T, scores.T
    voices["right"], voices["weight"] = np.where(np.arange(VOICES) % 2, 0.5, np.nan), 1.0
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


def holed_rows(clean: Records) -> Records:
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


def last_rows(rows: Records) -> Any:
    """Tell of each row whether it is among the last 200 of its symbol."""
    ends: Any = np.searchsorted(rows["symbol"], rows["symbol"], side="right")
    return ends - np.arange(len(rows)) <= 200


def where(rows: Records, n: int) -> str:
    """Return in words which row it is."""
    return f"row {n} (symbol {rows['symbol'][n]}, {iso(rows['ts'][n])})"
