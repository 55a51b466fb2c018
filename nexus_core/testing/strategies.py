"""What holds for every strategy, tried through the loops that a run uses."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.journal import pack
from nexus_core.market.blocks import Chunk
from nexus_core.market.loops import FAULT, StrategyLoop
from nexus_core.records import ABSENT
from nexus_core.strategy import Strategy
from nexus_core.styles import loop
from nexus_core.testing import markets
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.market import MINUTE
from nexus_core.testing.play import (
    Answers,
    asked_at,
    at_work,
    cut,
    elsewhere,
    first_difference,
    homeless,
    play,
    run,
    said,
    told,
)
from nexus_core.types import StrategyCategory

NEEDS = ("bar", "volume", "quote", "trade", "book")
BUDGETS = {"step": 5e-6, "signal": 1e-3, "execute": 5e-3}
"""Seconds a row may take, by style."""
RECOVERY = 500
"""Rows, besides the warm-up, after which a strategy has got over whatever befell its market."""

_TAIL = 200
_MIRRORS = ("price", "log")


_Key = tuple[type[Strategy], str, str]


def _key(of: Subject) -> _Key:
    return of.plugin, of.name, json.dumps(dict(of.params))


def _keyed(key: _Key) -> Subject:
    kind, name, params = key
    return Subject("strategies", name, kind, json.loads(params))


@lru_cache(maxsize=64)
def _played(key: _Key, long: bool, seed: int) -> Answers:
    of = _keyed(key)
    return play(at_work(of), _market(of, long, seed))


def plain(of: Subject, long: bool = False, seed: int = 1) -> Answers:
    """Return what it answers to a market that nothing befalls; played once."""
    return _played(_key(of), long, seed)


def _market(of: Subject, long: bool = False, seed: int = 1) -> Chunk:
    warmup = _warmup(of)
    size = 2 * warmup + 2 * markets.STRETCH + RECOVERY + _TAIL if long else warmup + 300
    return markets.market(size, seed)


def _warmup(of: Subject) -> int:
    return int(of.make().warmup)


def _style(of: Subject) -> str:
    if of.plugin.at_work is not None:
        return "execute"
    return "signal" if of.plugin.signal is not Strategy.signal else "step"


# -- what makes a check needless ---------------------------------------------------------------------


def _unfit(of: Subject) -> str:
    styles = _styles(of.plugin)
    if len(styles) != 1:
        return "it has not exactly one style (NX-S01)"
    try:
        at_work(of)
    except Exception as error:
        return f"it cannot be put to work: {type(error).__name__}: {error}"
    return ""


def _changeable(of: Subject) -> str:
    if unfit := _unfit(of):
        return unfit
    return "it answers the same rows in different ways (NX-S02)" if _breaks(is_deterministic, of) else ""


def _foresighted(of: Subject) -> str:
    if changeable := _changeable(of):
        return changeable
    return "it sees rows before they come (NX-S03)" if _breaks(sees_no_later_row, of) else ""


def _remembering(of: Subject) -> str:
    if changeable := _changeable(of):
        return changeable
    opaque = _style(of) == "execute"
    return "it remembers by itself; the host plays its rows again" if opaque else ""


def _faulty(of: Subject) -> str:
    if unfit := _unfit(of):
        return unfit
    return "it faults where nothing befalls the market (NX-S12)" if _breaks(keeps_its_bounds, of) else ""


def _breaks(promise: Callable[[Subject], None], of: Subject) -> bool:
    return _is_broken(promise, _key(of))


@lru_cache(maxsize=64)
def _is_broken(promise: Callable[[Subject], None], key: _Key) -> bool:
    try:
        promise(_keyed(key))
    except Broken:
        return True
    return False


# -- bronze ------------------------------------------------------------------------------------------


def _styles(kind: type[Strategy]) -> list[str]:
    written = [each for each in ("step", "signal") if getattr(kind, each) is not getattr(Strategy, each)]
    return written if kind.at_work is None else [*written, "execute"]


@check("NX-S01", Grade.BRONZE, "strategies")
def declares_its_facts(of: Subject) -> None:
    """Declare category, needs, horizon and warm-up, and be written in one style."""
    styles = _styles(of.plugin)
    if len(styles) != 1:
        was = " and ".join(styles) or "none"
        raise Broken(f"its style was {was}, must be exactly one. Write step, signal or execute.")
    category, known = getattr(of.plugin, "category", None), [str(each) for each in StrategyCategory]
    if category not in known:
        raise Broken(f"category was {category!r}, must be one of {', '.join(known)}.")
    needs: Any = of.plugin.needs
    if isinstance(needs, str) or not needs or not set(needs) <= set(NEEDS):
        raise Broken(f"needs was {needs!r}, must be a set of some of {', '.join(NEEDS)}.")
    made = of.make()
    for name, least in (("horizon", 1), ("warmup", 0)):
        value = getattr(made, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Broken(f"{name} was {value!r}, must be a whole number of rows from {least} on.")


class _Other(Strategy):
    """Draws from the generators that all share, as others may."""

    def signal(self, window: Any) -> tuple[float, float]:
        """Answer nothing."""
        random.random()
        np.random.random()
        return 0, 0.0


@check("NX-S02", Grade.BRONZE, "strategies", needless=_unfit)
def is_deterministic(of: Subject) -> None:
    """Give the same bits for the same rows, in any instance, whoever ran before."""
    market = _market(of)
    first = play(at_work(of), market)
    play(loop("other", _Other(), markets.SYMBOLS), markets.until(market, 5))
    _same(play(at_work(of), market), first, "to the same rows a second time")
    pair = [at_work(of), at_work(of)]
    made = [(np.zeros(len(market.rows), np.int8), np.zeros(len(market.rows))) for _ in pair]
    for block in cut(told(pair[0], market), 50):
        for each, (signals, scores) in zip(pair, made, strict=True):
            run(each, block, signals, scores)
    alone = play(at_work(of), market, 50)
    for each, (signals, scores) in zip(pair, made, strict=True):
        together = Answers(market, signals, scores, each.states.tobytes())
        _same(together, alone, "beside another instance of it")


@check("NX-S03", Grade.BRONZE, "strategies", needless=_changeable)
def sees_no_later_row(of: Subject) -> None:
    """Depend on no row that comes later."""
    market, warmup = _market(of), _warmup(of)
    whole = plain(of)
    for row in (warmup + 1, warmup + 40, warmup + 149, warmup + 257):
        for other, what in (
            (markets.until(market, row), f"where rows end at row {row}"),
            (markets.changed(market, row), f"where rows from {row} on are others"),
        ):
            answers = play(at_work(of), other)
            for s in range(len(markets.SYMBOLS)):
                _same_start(answers, whole, s, row, what)


def _same_start(answers: Answers, whole: Answers, symbol: int, row: int, what: str) -> None:
    mine, its = answers.of(symbol), whole.of(symbol)
    at = first_difference([each[:row] for each in mine], [each[:row] for each in its])
    if at is not None:
        raise Broken(
            f"row {at} of {markets.SYMBOLS[symbol]} was answered {said(mine, at)} {what}, and "
            f"{said(its, at)} with the rows that follow. Answer from this row and those before it."
        )


# -- silver: the same however it is run --------------------------------------------------------------


@check("NX-S04", Grade.SILVER, "strategies", needless=_foresighted)
def knows_no_blocks(of: Subject) -> None:
    """Give the same bits in blocks of 1, 7 and 64 ticks and of all."""
    market, whole = _market(of), plain(of)
    for size in (1, 7, 64):
        made = at_work(of)
        answers = play(made, market, size)
        _same(answers, whole, f"in blocks of {size} ticks", "in one block", with_states=not made.opaque)


@check("NX-S05", Grade.SILVER, "strategies", needless=lambda of: _remembering(of) or homeless(of))
def goes_on_after_a_restart(of: Subject) -> None:
    """Go on with the same bits from its states, copied as bytes into a new process."""
    made = at_work(of)
    market = told(made, _market(of))
    half = [*cut(market, market.ticks - 150)]
    signals, scores = np.zeros(len(market.rows), np.int8), np.zeros(len(market.rows))
    run(made, half[0], signals, scores)
    packed = pack({of.name: (made.states, "")})
    for block in half[1:]:
        run(made, block, signals, scores)
    firsts, lasts = half[0].last, half[-1].last
    later = replace(half[-1].between, first=half[0].between.last)
    foreign, *answers = elsewhere(of, packed, market.rows, firsts, lasts, later)
    if foreign:
        raise Broken(
            "the layout of its state was another in a new process. Let state(params) depend on params alone."
        )
    for low, high in zip(firsts, lasts, strict=True):
        mine, its = ([each[low:high] for each in pair] for pair in (answers[:2], (signals, scores)))
        at = first_difference(mine, its)
        if at is not None:
            raise Broken(
                f"after a restart row {int(market.rows['seq'][low]) + at} was answered {said(mine, at)}, "
                f"and {said(its, at)} without one. Keep all it remembers in state(params), nothing on the "
                "object, the class or the module."
            )
    if answers[2] != made.states.tobytes():
        raise Broken("after a restart it ended in another state than without. Keep all in state(params).")


@check("NX-S06", Grade.SILVER, "strategies", needless=_remembering)
def keeps_symbols_apart(of: Subject) -> None:
    """Answer for a symbol the same alone and beside others."""
    market, together = _market(of), plain(of)
    for s, name in enumerate(markets.SYMBOLS):
        mine, its = play(at_work(of), markets.only(market, s)).of(s), together.of(s)
        at = first_difference(mine, its)
        if at is not None:
            raise Broken(
                f"row {at} of {name} was answered {said(mine, at)} alone, and {said(its, at)} beside other "
                "symbols. Keep what it remembers for each symbol, in its state."
            )


# -- silver: whatever befalls the market -------------------------------------------------------------


@check("NX-S07", Grade.SILVER, "strategies", needless=_faulty)
def bears_the_unknown(of: Subject) -> None:
    """Bear values that are NaN, and get over them."""
    _bears(of, markets.unknown, "where values are NaN")


@check("NX-S08", Grade.SILVER, "strategies", needless=_faulty)
def bears_gaps(of: Subject) -> None:
    """Bear missing bars and doubled distances in time, and get over them."""
    _bears(of, markets.gapped, "where bars are missing")


@check("NX-S09", Grade.SILVER, "strategies", needless=_faulty)
def bears_stillness(of: Subject) -> None:
    """Bear rows without volume and prices that stand still, and get over them."""
    _bears(of, markets.still, "where volume is zero or prices stand still")


@check("NX-S10", Grade.SILVER, "strategies", needless=_faulty)
def bears_one_row(of: Subject) -> None:
    """Bear one row, and none at all."""
    for rows in (0, 1):
        market = markets.only(markets.until(_market(of), rows), 0)
        _legal(of, play(at_work(of), market), "where there is one row and no other")


@check("NX-S11", Grade.SILVER, "strategies", needless=_faulty)
def bears_clock_changes(of: Subject) -> None:
    """Bear days of 23 and 25 hours."""
    size = max(2 * _warmup(of), 1400)
    answers = play(_for_one(of), markets.daylight(size))
    _legal(of, answers, "on a calendar with days of 23 and 25 hours", first=1)


@check("NX-S12", Grade.SILVER, "strategies", needless=_unfit)
def keeps_its_bounds(of: Subject) -> None:
    """Keep signals in -2 to 2 and scores in [0, 1], after exactly its warm-up."""
    warmup = _warmup(of)
    for seed in (1, 2):
        answers = plain(of, long=True, seed=seed)
        _legal(of, answers, f"of market {seed}", first=1)
        for s, name in enumerate(markets.SYMBOLS):
            absent = np.flatnonzero(answers.of(s)[0] == ABSENT)
            if len(absent) != warmup or (absent >= warmup).any():
                raise Broken(
                    f"{name} was absent for {len(absent)} rows, its warmup is {warmup}. Let warmup depend on "
                    "params alone."
                )


@check("NX-S16", Grade.SILVER, "strategies", needless=_faulty)
def bears_any_scale(of: Subject) -> None:
    """Bear prices of 0.00001 and of 100000, and bars of seconds and days."""
    market = _market(of)
    for price, amount, interval, what in (
        (1e-8, 1e9, MINUTE // 60, "where prices are about 0.00001, in bars of a second"),
        (1e2, 1e-6, 1440 * MINUTE, "where prices are about 100000, in bars of a day"),
    ):
        _legal(of, play(at_work(of), markets.scaled(market, price, amount, interval)), what, first=1)


def _bears(of: Subject, befall: Callable[[Chunk, int], Chunk], where: str) -> None:
    usual = plain(of, long=True)
    answers = play(at_work(of), befall(usual.market, _warmup(of) + markets.STRETCH))
    _legal(of, answers, where, first=1)
    for s, name in enumerate(markets.SYMBOLS):
        before, after = (np.count_nonzero(each.of(s)[0][-_TAIL:]) for each in (usual, answers))
        if before >= 10 and after == 0:
            raise Broken(
                f"{name} had no signal any more {where}, not in the last {_TAIL} rows, {RECOVERY} rows and a "
                f"warm-up later; without that it has {before}. Let no NaN into the state: x - x == 0.0 tells "
                "a number."
            )


def _legal(of: Subject, answers: Answers, where: str, first: int = 0) -> None:
    for s, name in enumerate(markets.SYMBOLS[: len(answers.market.starts) - 1]):
        faults = np.flatnonzero(answers.of(s)[0][first:] == FAULT)
        if len(faults):
            at = first + int(faults[0])
            answer = asked_at(of, answers.market, s, at)
            raise Broken(
                f"row {at} of {name}, {where}, {answer}, must be a signal of -2, -1, 0, 1, 2 and a score in "
                f"[0, 1]; so it is on {len(faults)} rows. Answer (0, 0.0) where there is nothing to say."
            )


def _for_one(of: Subject) -> StrategyLoop:
    return loop(of.name, of.make(), markets.SYMBOLS[:1])


# -- silver and gold: turned over, in time, without a compiler ---------------------------------------


def _unmirrored(of: Subject) -> str:
    if changeable := _changeable(of):
        return changeable
    reason = str(of.plugin.mirror)
    return reason if reason not in _MIRRORS and len(reason.strip()) >= 20 else ""


@check("NX-S13", Grade.GOLD, "strategies", needless=_unmirrored)
def turns_with_the_market(of: Subject) -> None:
    """Give the opposite signals with the same scores where the market is upside down."""
    how = of.plugin.mirror
    if how not in _MIRRORS:
        raise Broken(f"mirror was {how!r}, must be price, log, or a sentence that says why nothing turns it.")
    usual = plain(of, long=True)
    turned = play(at_work(of), markets.mirrored(usual.market, how))
    for s, name in enumerate(markets.SYMBOLS):
        (signals, scores), (others, same) = usual.of(s), turned.of(s)
        heard = (signals != ABSENT) & (signals != FAULT)
        far = scores != same if how == "price" else np.abs(scores - same) > 1e-9
        wrong = heard & ((others != -signals) | far)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise Broken(
                f"row {at} of {name} was answered {said((signals, scores), at)}, "
                f"and {said((others, same), at)} with the market upside down (mirror = {how!r}), must be the "
                "opposite signal with the same score. Treat rise and fall alike, or say in mirror why not."
            )


@check("NX-S14", Grade.GOLD, "strategies", needless=lambda of: _unfit(of) or _interpreted(of))
def keeps_its_time(of: Subject) -> None:
    """Take no longer over a row than its style allows."""
    style = _style(of)
    market = markets.only(_market(of), 0)
    rows = len(market.rows) if style == "step" else min(_warmup(of) + 100, len(market.rows))
    counted = rows if style != "signal" else max(rows - _warmup(of), 1)
    market = markets.until(market, rows)
    made, taken = at_work(of), list[float]()
    market = told(made, market)
    made.warm()
    signals, scores = np.zeros(len(market.rows), np.int8), np.zeros(len(market.rows))
    (whole,) = cut(market, market.ticks)
    for _ in range(5):
        made.reset()
        begun = time.perf_counter()
        run(made, whole, signals, scores)
        taken.append((time.perf_counter() - begun) / counted)
        if min(taken) > 4 * BUDGETS[style]:
            break
    median = statistics.median(taken)
    if median > BUDGETS[style]:
        raise Broken(
            f"a row took {median * 1e6:,.1f} us (median of {len(taken)} runs over {counted} rows), a {style} "
            f"may take {BUDGETS[style] * 1e6:,.0f} us. Keep sums going in the state instead of walking over "
            "the past."
        )


def _interpreted(of: Subject) -> str:
    return "nothing is compiled here (NEXUS_JIT=0)" if _style(of) == "step" and not compile.JIT else ""


def _unstepped(of: Subject) -> str:
    if changeable := _changeable(of):
        return changeable
    return "it is plain Python in any case" if _style(of) != "step" else homeless(of)


@check("NX-S15", Grade.SILVER, "strategies", needless=_unstepped)
def needs_no_compiler(of: Subject) -> None:
    """Give the same bits compiled and as plain Python."""
    usual = plain(of)
    starts = usual.market.starts
    jit = "0" if compile.JIT else "1"
    *_, all_of_it = cut(told(at_work(of), usual.market), usual.market.ticks)
    _, *answers = elsewhere(
        of, b"", usual.market.rows, starts[:-1], starts[1:], all_of_it.between, NEXUS_JIT=jit
    )
    here, there = ("compiled", "as plain Python")[:: 1 if compile.JIT else -1]
    for s, name in enumerate(markets.SYMBOLS):
        span = slice(starts[s], starts[s + 1])
        mine, its = usual.of(s), [each[span] for each in answers[:2]]
        at = first_difference(mine, its)
        if at is not None:
            raise Broken(
                f"row {at} of {name} was answered {said(mine, at)} {here}, and {said(its, at)} {there}. "
                "Use steps.exp, steps.log, steps.sqrt and x * x in steps, no np.exp and no x ** 2."
            )
    if answers[2] != usual.states:
        raise Broken(
            f"its states {here} end in other bits than {there}. Use steps.exp, steps.log, steps.sqrt and "
            "x * x in steps, no np.exp and no x ** 2."
        )


# -- what is the same --------------------------------------------------------------------------------


def _same(
    answers: Answers, others: Answers, how: str, else_how: str = "before", with_states: bool = True
) -> None:
    for s, name in enumerate(markets.SYMBOLS):
        mine, its = answers.of(s), others.of(s)
        at = first_difference(mine, its)
        if at is not None:
            raise Broken(
                f"row {at} of {name} was answered {said(mine, at)} {how}, and {said(its, at)} {else_how}. "
                "Let the answer depend on the rows and the state alone."
            )
    if with_states and answers.states != others.states:
        raise Broken(f"its states {how} end in other bits than {else_how}. Change them by the rows alone.")
