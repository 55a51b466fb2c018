"""The contract of gates: where one stands, that it repeats itself, sees no future, and keeps to its limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from inspect import getattr_static, signature
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.config import Risk
from nexus_core.errors import NexusError
from nexus_core.gates import PASSES, Chain, Gate
from nexus_core.layers import Layer
from nexus_core.ledger.judge import PROPOSAL
from nexus_core.market.blocks import blocks
from nexus_core.market.columns import Columns
from nexus_core.records import ACCOUNT, POSITION, UNIT, Records, empty
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.fakes import chunked, walk
from nexus_core.testing.trial import Trial
from nexus_core.types import Instrument, iso

_SYMBOLS, _WHOLE, _NEVER = 3, 2**40, 2**62
_NAME = "tested"
_BUDGET = 5.0
"""Microseconds a row."""
_WORKS = {"market": ("values", 3), "ledger": ("step", 5)}
"""What a gate writes, and with how many arguments, by its pass."""

_FEED = """
def work(row, context, other, params):
    {lines}
"""
"""What a layer does that hands a gate its value, which stands in the row, and leaves its bound unknown."""

_STEP = """
def entry(rows, accounts, positions, proposals, parameters, values, at):
    params = parameters[0]
    for n in range(rows.size):
        at[0] = n
        values[n] = step(rows[n], accounts[n], positions[n], proposals[n], params)
"""


def _fallen(of: Subject) -> str:
    try:
        _stands(of)
    except Exception:
        return "it does not stand in a chain: see NX-G01"
    return ""


def _of(passes: str, why: str) -> Callable[[Subject], str]:
    return lambda of: _fallen(of) or ("" if of.plugin.passes == passes else why)


_ledger_sees_none = _of("market", "a ledger gate is asked row by row, and keeps no state")


def _only_reads(of: Subject) -> str:
    told = "it has no code of its own: the kernel compares a field with its limit"
    return _fallen(of) or (told if of.plugin.reads else "")


def _remembers_none(of: Subject) -> str:
    return _only_reads(of) or _ledger_sees_none(of)


def _touches_none(of: Subject) -> str:
    return _remembers_none(of) or ("it keeps no state" if of.plugin.state is Gate.state else "")


def _no_budget(of: Subject) -> str:
    return _only_reads(of) or ("" if compile.JIT else "NEXUS_JIT=0: nothing is compiled")


@check("NX-G01", Grade.BRONZE, "gates")
def _stands(of: Subject) -> None:
    """Layer, passes, refuses and limit are declared, and it stands in a chain."""
    try:
        gate = of.make()
        _can_read(of.plugin)
        Chain([(of.name, gate)], 1, 1, 0.0)
    except NexusError as error:
        raise Broken(str(error)) from error
    _has_work(of.plugin)
    if gate.setting and not hasattr(Risk(), gate.setting):
        raise Broken(f"follows the setting risk.{gate.setting}, which does not exist. Name another, or none.")


def _can_read(plugin: type[Gate]) -> None:
    for field in (plugin.reads, plugin.bound):
        if field and not field.isidentifier():
            raise Broken(f"reads {field!r}, which no field of the context can be called.")
    if plugin.bound and not plugin.reads:
        raise Broken(f"has the bound {plugin.bound}, which only a gate that reads a field can have.")


def _has_work(plugin: type[Gate]) -> None:
    method, arguments = _WORKS[plugin.passes]
    has_own = getattr(plugin, method) is not getattr(Gate, method)
    if plugin.reads:
        if has_own:
            raise Broken(f"reads {plugin.reads}, so that its {method} is never asked. Drop one of them.")
        return
    if not has_own or not isinstance(getattr_static(plugin, method), staticmethod):
        raise Broken(
            f"a {plugin.passes} gate has no {method} of its own, and reads no field. Write it as a static "
            "method, or name the field that is its value."
        )
    taken = len(signature(compile.plain(getattr(plugin, method))).parameters)
    if taken != arguments:
        raise Broken(f"{method} took {taken} arguments, must take {arguments}: see nexus_core.Gate.")


@check("NX-G02", Grade.BRONZE, "gates", needless=_only_reads)
def _repeats(of: Subject) -> None:
    """Equal rows give equal values."""
    rows = walk(_SYMBOLS)
    once, again = (_answers(of.make(), rows) for _ in range(2))
    _alike(
        rows, once, again, "was {} and, asked again, {}", "Use no clock, no chance and no memory but state."
    )


@check("NX-G03", Grade.BRONZE, "gates", needless=_remembers_none)
def _sees_no_future(of: Subject) -> None:
    """No value depends on a later row."""
    rows = walk(_SYMBOLS)
    whole = _answers(of.make(), rows)
    for share in (0.1, 0.5, 0.9):
        known = rows["ts"] <= np.quantile(rows["ts"], share)
        early = _answers(of.make(), rows[known])
        told = "was {} with the rows after it and {} without"
        _alike(rows[known], whole[known], early, told, "Compute it from rows that came before.")


@check("NX-G04", Grade.SILVER, "gates", needless=_remembers_none)
def _keeps_parity(of: Subject) -> None:
    """Values and states are the same in blocks of 1, 7, 64 and all ticks."""
    rows = walk(_SYMBOLS)
    whole = _chain(of.make())
    values = _run(whole, rows, _WHOLE)
    for size in (1, 7, 64):
        chain = _chain(of.make())
        told = f"was {{}} in one block and {{}} in blocks of {size} ticks"
        advice = "Keep what it needs of earlier rows in its state."
        _alike(rows, values, _run(chain, rows, size), told, advice)
        if not _same(_states(whole), _states(chain)):
            raise Broken(f"its state after all rows differed in blocks of {size} ticks. {advice}")


@check("NX-G05", Grade.SILVER, "gates", needless=_remembers_none)
def _goes_on(of: Subject) -> None:
    """Restored from its state, it goes on as if nothing had been."""
    rows = walk(_SYMBOLS)
    early = rows["ts"] <= np.median(rows["ts"])
    steady, broken_off, restored = (_chain(of.make()) for _ in range(3))
    if _states(steady).dtype.hasobject:
        raise Broken("its state holds Python objects, which cannot be saved. Hold numbers and arrays.")
    for chain in (steady, broken_off):
        _run(chain, rows[early], 64)
    saved = _states(broken_off).tobytes()
    _states(restored)[:] = np.frombuffer(saved, _states(steady).dtype)
    late = rows[~early]
    told = "was {} in a run that went on and {} in one restored before it"
    advice = "Keep all that it remembers in its state."
    _alike(late, _run(steady, late, 64), _run(restored, late, 64), told, advice)
    if not _same(_states(steady), _states(restored)):
        raise Broken(f"its state differed in a run that was restored. {advice}")


@check("NX-G06", Grade.SILVER, "gates", needless=_only_reads)
def _bears_the_unknown(of: Subject) -> None:
    """One number comes for each row, also where values are unknown or volume is 0."""
    rows, gate = walk(_SYMBOLS, holes=True), of.make()
    if gate.passes == "ledger":
        _values_of_step(gate, rows)
        return
    for size in (1, _WHOLE):
        _hand_over(gate, rows, size)


@check("NX-G07", Grade.SILVER, "gates", needless=_fallen)
def _keeps_to_its_limit(of: Subject) -> None:
    """Just under, at and just over its limit it passes what `refuses` says."""
    values, _ = _judged(of.make())
    for limit in _near(of.plugin, values):
        now, passed = _judged(of.make(limit=limit))
        due = PASSES[of.plugin.refuses](values, limit)
        wrong = np.flatnonzero((passed != due) & ~(np.isnan(values) & np.isnan(now)))
        if wrong.size:
            n = int(wrong[0])
            did = "passed" if passed[n] else "was refused"
            raise Broken(
                f"value {values[n]} {did} under the limit {limit}, where it became {now[n]} (moment {n}); it "
                f"refuses {of.plugin.refuses}. Give a value that does not hang on the limit."
            )


@check("NX-G08", Grade.SILVER, "gates", needless=_fallen)
def _loosens(of: Subject) -> None:
    """No looser limit refuses what a stricter one passed."""
    values, _ = _judged(of.make())
    limit = of.plugin.parameters()["limit"]
    limits = sorted(_allowed(of.plugin, [limit.low, limit.default, limit.high, *_picked(of.plugin, values)]))
    if of.plugin.refuses in ("below", "to"):
        limits.reverse()
    before, strict = np.zeros(len(values), bool), math.nan
    for loose in limits:
        _, passed = _judged(of.make(limit=loose))
        lost = np.flatnonzero(before & ~passed)
        if lost.size:
            raise Broken(
                f"moment {lost[0]} passed under the limit {strict} and was refused under the looser {loose}. "
                "Give a value that does not hang on the limit."
            )
        before, strict = passed, loose


@check("NX-G09", Grade.GOLD, "gates", needless=_no_budget)
def _is_quick(of: Subject) -> None:
    """At most 5 microseconds go into a row, of a market gate in blocks of 1,000."""
    rows, gate = walk(_SYMBOLS), of.make()
    if gate.passes == "ledger":
        entry, given = _step(gate, rows)

        def work() -> None:
            entry(*given)
    else:
        chain = _chain(gate)

        def work() -> None:
            _run(chain, rows, 1000 // _SYMBOLS)

    work()
    least = min(_seconds(work) for _ in range(3)) / len(rows) * 1e6
    if least > _BUDGET:
        raise Broken(f"took {least:.1f} microseconds a row, may take {_BUDGET:g}. Compute whole columns.")


@check("NX-G10", Grade.GOLD, "gates", needless=_touches_none)
def _keeps_symbols_apart(of: Subject) -> None:
    """No symbol's values depend on the rows of others."""
    rows = walk(_SYMBOLS)
    together = _answers(of.make(), rows)
    for symbol in range(_SYMBOLS):
        own = rows["symbol"] == symbol
        told = "was {} among other symbols and {} alone"
        alone = _answers(of.make(), rows[own])
        _alike(rows[own], together[own], alone, told, "Use the state record of the row's own symbol.")


# -- market gates -------------------------------------------------------------------------------------


def _chain(gate: Gate) -> Chain:
    return Chain([(_NAME, gate)], 1, _SYMBOLS, 0.0, layers=list(_feeding(gate).items()))


def _states(chain: Chain) -> Any:
    return chain.records()[f"gate:{_NAME}"][0]


def _run(chain: Chain, rows: Records, size: int) -> Any:
    """Return the market gate's value of each row, in blocks of so many ticks."""
    return _market_pass(chain, rows, size)[0]


def _market_pass(chain: Chain, rows: Records, size: int) -> tuple[Any, Any]:
    """Return the market gate's value of each row, and what ended its decision."""
    chunk, judged = chunked(rows, _SYMBOLS), chain.columns(len(rows))
    judged.signals[0, : len(rows)], judged.scores[0, : len(rows)] = _opinions(rows)
    for block in blocks(chunk, 0, size, lambda _: _NEVER):
        chain.judge(block, judged)
    # the chain hands out the same columns at its next call
    return judged.market[0, : len(rows)].copy(), judged.reasons[: len(rows)].copy()


def _opinions(rows: Records) -> tuple[Any, Any]:
    return np.where(rows["close"] < rows["open"], -1, 1), (rows["seq"] % 10 + 1) / 10.0


def _hand_over(gate: Gate, rows: Records, size: int) -> None:
    """Ask a market gate itself: the chain would turn what is wrong into NaN."""
    chain = _chain(gate)
    judged, states = chain.columns(len(rows)), _states(chain)
    judged.directions[:], judged.confidences[:] = _opinions(rows)
    for block in blocks(chunked(rows, _SYMBOLS), 0, size, lambda _: _NEVER):
        where = _where(rows, int(block.order[0]))
        try:
            with np.errstate(all="ignore"):
                values: Any = gate.values(Columns(rows, block.order, judged), states, gate.params)
            found = np.asarray(values, np.float64)
        except Exception as error:
            raise Broken(
                f"values raised {type(error).__name__} from {where}: {error}. Answer NaN, which refuses."
            ) from error
        if found.shape != block.order.shape:
            raise Broken(
                f"values had shape {found.shape} from {where}, must be {block.order.shape}: one for each row."
            )


# -- ledger gates -------------------------------------------------------------------------------------


def _values_of_step(gate: Gate, rows: Records) -> Any:
    entry, given = _step(gate, rows)
    *_, values, at = given
    try:
        compile.call(entry, *given)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        if at[0] < 0:
            raise Broken(f"its step cannot be compiled: {said}. Return one float.") from error
        where = _where(rows, int(at[0]))
        raise Broken(
            f"its step raised {type(error).__name__} at {where}: {said}. Answer NaN, which refuses."
        ) from error
    return values


def _step(gate: Gate, rows: Records) -> tuple[Any, list[Any]]:
    """Return a loop over a ledger gate's step, and what it takes: a moment for each row."""
    size, draws = len(rows), np.random.default_rng(11)
    accounts, positions, proposals = (empty(each, size) for each in (ACCOUNT, POSITION, PROPOSAL))
    for name in ("cash", "peak", "day_start", "week_start"):
        accounts[name] = draws.integers(0, 100_000, size) * UNIT
    positions["qty"] = draws.integers(-2, 3, size) * UNIT
    proposals["side"], proposals["lot"] = np.where(draws.random(size) < 0.5, -1, 1), 1
    proposals["confidence"], proposals["occupied"] = draws.random(size), positions["qty"] != 0
    proposals["equity"] = accounts["cash"]
    sized = draws.random(size) < 0.8  # a gate of layer 4 is asked before there is a size
    for name in ("qty", "price", "notional", "margin", "stop", "target", "min_notional"):
        proposals[name] = np.where(sized, draws.integers(1, 10_000, size) * UNIT, 0)
    entry = compile.entry("gate", _STEP, {"step": type(gate).step})
    at = np.full(1, -1, np.int64)
    return entry, [rows, accounts, positions, proposals, gate.params.record(), np.full(size, np.nan), at]


_SETTINGS: tuple[dict[str, Any], ...] = (
    {"notional": 5.0, "brackets": True},
    {"notional": 1000.0, "brackets": True},
    {"notional": 1000.0, "brackets": False},
    {"notional": 30_000.0, "brackets": True},
)
_CASH = (100_000, 99_500, 97_000, 90_000, 60_000, 120_000)
"""What is left of an account of 100,000."""


def _verdicts(gate: Gate) -> tuple[Any, Any]:
    """Return a ledger gate's value at many moments, and whether it passed, as a run writes them."""
    values, passed = list[float](), list[bool]()
    for settings in _SETTINGS:
        rules: dict[str, Any] = {
            "sizing": "fixed-notional",
            "breaker_loss": 0.0,
            "breaker_rejects": 0,
            **settings,
        }
        traded = Instrument("BTC-USD", lot="0.001", min_notional="10")
        trial = Trial({_NAME: gate}, layers=_feeding(gate), instruments=(traded,), **rules)
        number = trial.chain.places[-1].number
        rows = _fed(gate, walk(1, 60))
        for n, cash in enumerate(_CASH * 2):
            _set(trial, cash, rows[n], n >= len(_CASH))
            trial.written.clear()
            trial.run(rows[n : n + 1], 1, 0.1 + 0.07 * n)
            own = trial.verdicts[trial.verdicts["gate"] == number]
            values.append(float(own["value"][0]) if len(own) else math.nan)
            passed.append(bool(own["passed"][0]) if len(own) else False)
    return np.array(values), np.array(passed)


def _set(trial: Trial, cash: int, row: Any, standing: bool) -> None:
    ledger, held = trial.ledger, UNIT if standing else 0
    worth = round(float(row["close"])) * held
    for records in ledger.records().values():
        records[:] = np.zeros((), records.dtype)
    for edge in ("next_hour", "next_day", "next_week"):
        ledger.account[edge] = _NEVER  # no day or week begins
    for start in ("peak", "day_start", "week_start"):
        ledger.account[start] = 100_000 * UNIT
    ledger.account["cash"], ledger.account["value"] = cash * UNIT - worth, worth
    ledger.account["margin"] = ledger.positions["margin"] = worth
    ledger.positions["qty"], ledger.positions["mark"] = held, worth
    ledger.positions["cost"] = ledger.positions["value"] = worth


# -- both ---------------------------------------------------------------------------------------------


def _answers(gate: Gate, rows: Records) -> Any:
    """Return the value of each row."""
    return _run(_chain(gate), rows, _WHOLE) if gate.passes == "market" else _values_of_step(gate, rows)


def _judged(gate: Gate) -> tuple[Any, Any]:
    """Return the value of each row or moment, and whether it passed."""
    if gate.passes == "ledger":
        return _verdicts(gate)
    chain = _chain(gate)
    values, reasons = _market_pass(chain, _fed(gate, walk(_SYMBOLS)), _WHOLE)
    return values, reasons != chain.places[-1].number


def _feeding(gate: Gate) -> dict[str, Layer]:
    """Return the layer that writes the field that a gate reads, out of the row; none for other gates."""
    if not gate.reads:
        return {}
    lines = [f"context.{gate.reads} = row.bid_size"]
    lines += [f"context.{gate.bound} = np.nan"] if gate.bound else []
    space: dict[str, Any] = {"np": np, "__name__": __name__}
    exec(_FEED.format(lines="\n    ".join(lines)), space)
    # right before the gate: the kernel has by then written what it writes itself
    level = gate.layer if gate.passes == "market" else 5
    work = {"watch" if level == 1 else "step": staticmethod(space["work"])}
    return {"feeder": type("Feeder", (Layer,), {"layer": level, "writes": {gate.reads: 1}, **work})()}


def _fed(gate: Gate, rows: Records) -> Records:
    """Return rows in which values to feed a gate with stand: near its default limit, at its ends, unknown."""
    if gate.reads:
        limit = type(gate).parameters()["limit"]
        limits = [each for each in (limit.low, limit.default, limit.high) if math.isfinite(each)]
        near = [math.nextafter(each, to) for each in limits for to in (-math.inf, each, math.inf)]
        rows["bid_size"] = np.resize([*near, math.nan, math.inf, -math.inf], len(rows))
    return rows


def _picked(plugin: type[Gate], values: Any) -> list[float]:
    """Return some of the values that its limit can be set to."""
    found = _allowed(plugin, np.unique(values[np.isfinite(values)]).tolist())
    return [found[n] for n in sorted({0, len(found) // 2, len(found) - 1})] if found else []


def _near(plugin: type[Gate], values: Any) -> list[float]:
    each = _picked(plugin, values)
    return _allowed(plugin, [math.nextafter(v, to) for v in each for to in (-math.inf, v, math.inf)])


def _allowed(plugin: type[Gate], limits: list[float]) -> list[float]:
    limit = plugin.parameters()["limit"]
    whole = isinstance(limit.default, int)
    return [
        each
        for each in dict.fromkeys(limits)
        if math.isfinite(each) and limit.low <= each <= limit.high and not (whole and each != int(each))
    ]


def _alike(rows: Records, one: Any, other: Any, told: str, advice: str) -> None:
    apart = np.flatnonzero((one != other) & ~(np.isnan(one) & np.isnan(other)))
    if apart.size:
        n = int(apart[0])
        raise Broken(f"the value of {_where(rows, n)} {told.format(one[n], other[n])}. {advice}")


def _same(one: Any, other: Any) -> bool:
    if one.dtype.names:
        return all(_same(one[name], other[name]) for name in one.dtype.names)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _where(rows: Records, n: int) -> str:
    return f"row {n} (symbol {rows['symbol'][n]}, {iso(rows['ts'][n])})"


def _seconds(work: Callable[[], None]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun
