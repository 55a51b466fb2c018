"""The ledger pass: one compiled loop over rows in the order of time.

For each row: match the symbol's orders, mark its position, then judge what the market pass left alive.
The loop is generated for a run, because its gates, fee and slippage are chosen when it is built.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from nexus_core import compile, layers, records
from nexus_core.compile import step
from nexus_core.ledger import judge, orders
from nexus_core.ledger.orders import fold
from nexus_core.market.passes import SIGNS
from nexus_core.records import Records
from nexus_core.steps import words
from nexus_core.steps.tool import record
from nexus_core.steps.words import bits, word
from nexus_core.types import Outcome

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
MONDAY = 3 * DAY
"""From the Monday before it to the first day of 1970."""

ROOM = 32
"""Events one row can write at the most, with room to spare; an emergency needs four more a symbol."""


@dataclass(frozen=True, slots=True)
class GateStep:
    """A gate of the ledger pass: its number in the trace, its layer, and its step with parameters."""

    number: int
    layer: int
    step: compile.Step
    params: Records
    refuses: str
    halves: bool
    reads: str = ""
    bound: str = ""


@dataclass(frozen=True, slots=True)
class LayerStep:
    """The layer of the ledger pass: its step with parameters, and what takes every row, with its state."""

    step: compile.Step
    watch: compile.Step | None
    params: Records
    state: Records


@dataclass(frozen=True, slots=True)
class CostStep:
    """A fee or slippage model: its step with parameters."""

    step: compile.Step
    params: Records


@step
def roll(account: Any, ts: int) -> None:
    """Start the hour, day and week that a time lies in. A time on an edge belongs to what ends there."""
    equity = account.cash + account.value
    account.next_hour = -(-ts // HOUR) * HOUR
    account.hour_loss = account.hour_rejects = 0
    if ts > account.next_day:
        account.next_day = -(-ts // DAY) * DAY
        account.day_start = equity
    if ts > account.next_week:
        account.next_week = -(-(ts + MONDAY) // WEEK) * WEEK - MONDAY
        account.week_start = equity


@step
def write(verdicts: Any, used: Any, gate: int, value: float, limit: float, passed: bool) -> None:
    """Write one gate's verdict."""
    verdict = verdicts[used[orders.VERDICTS]]
    used[orders.VERDICTS] += 1
    verdict.value = value
    verdict.limit = limit
    verdict.gate = gate
    verdict.passed = passed


@step
def note(account: Any, verdicts: Any, used: Any, gate: int, value: float, limit: float, passed: bool) -> None:
    """Write one gate's verdict, and fold it into the run hash."""
    write(verdicts, used, gate, value, limit, passed)
    fold(account, word(gate), bits(value), bits(limit), word(1 if passed else 0))


@step
def recall(verdicts: Any, used: Any, first: int, count: int, column: Any, limits: Any, refused: int) -> None:
    """Write the verdicts of the first `count` market gates on one row; `refused` is the gate that failed."""
    for g in range(count):
        write(verdicts, used, first + g, column[g], limits[g], first + g != refused)


@step
def fold_market(account: Any, first: int, count: int, column: Any) -> None:
    """Fold the market gates' values on a row that reached the ledger's gates into the run hash."""
    for g in range(count):
        fold(account, word(first + g), bits(column[g]), word(0), word(1))


@step
def opine(opinions: Any, used: Any, signals: Any, scores: Any, weights: Any) -> int:
    """Write each strategy's signal on one row that is not neutral; return how many there were."""
    count = 0
    for k in range(signals.size):
        if signals[k] != 0:
            opinion = opinions[used[orders.OPINIONS]]
            used[orders.OPINIONS] += 1
            opinion.score = scores[k]
            opinion.weight = weights[k]
            opinion.strategy = k
            opinion.signal = signals[k]
            count += 1
    return count


@cache
def guarded(gate: compile.Step) -> compile.Step:
    """Return a gate's step that answers NaN where the gate raises."""
    asked = step(gate)

    # in a function of its own: from Python 3.13 on, Numba catches nothing inside a loop
    def answer(row: Any, account: Any, position: Any, proposal: Any, params: Any) -> float:
        try:
            return asked(row, account, position, proposal, params)
        except Exception:
            return np.nan

    # machine code in the cache goes by name: two gates' steps must not bear the same
    answer.__qualname__ = f"answer_{compile.closure(gate)}"
    return answer


_GATE = """
                value = {value}
                limit = gates.g{k}.limit{half}{bound}
                passed = value {sign} limit
                note(account, verdicts, used, {number}, value, limit, passed)
                if not passed:
                    reason = {number}
                    break"""

_BOUND = """
                if context.{field} {more} limit:
                    limit = context.{field}"""

_LAYER = """
                if broken or layer(row, context, account, positions, proposal, layer_states[0], given.layer):
                    reason = LAYER
                    value = np.nan
                    break
                proposal.scale = context.scale"""

_WATCH = """
        broken = watch(row, layer_states[0], given.layer)"""

_PASS = """
def entry(rows, order, at, directions, confidences, reasons, values, limits, market, bounds, asked,
          signals, scores, weights, contexts, layer_states, accounts, positions, orders, instruments,
          all_given, told, layers, events, decisions, verdicts, opinions, used):
    account = accounts[0]
    given = all_given[0]
    rules = given.rules
    proposal = given.proposal
    gates = given.gates
    costs = given.costs
    on_paper = rules.on_paper
    trace = rules.trace
    for j in range(told.size):
        said = told[j]
        if said.kind == MODE:
            switch(account, positions, orders, events, used, said.mode, said.ts, said.reason, on_paper)
            continue
        if said.ts > account.next_hour:
            roll(account, said.ts)
        if report(account, positions, orders, instruments, events, used, said) and trips(rules, account):
            switch(account, positions, orders, events, used, PAUSED, said.ts, SAFETY, on_paper)
    # the lanes of the run hash stay in registers; only what folds into the account itself sees them there
    low_lane = account.hash_low
    high_lane = account.hash_high
    broken = False
    for n in range(at, order.size):
        i = np.uint64(order[n])  # an index that cannot be negative needs no wrapping around
        row = rows[i]
        s = np.int64(row.symbol)
        ts = row.ts
        position = positions[np.uint64(s)]
        instrument = instruments[np.uint64(s)]
        before = used[EVENTS]
        direction = directions[i]
        urgent = account.mode == EMERGENCY and position.qty != 0
        busy = direction != 0 or urgent or (position.working != 0 and on_paper)
        if busy or trace == TRACE_FULL:
            account.hash_low = low_lane
            account.hash_high = high_lane
            if (
                used[EVENTS] + ROOM > events.size
                or used[DECISIONS] + 1 > decisions.size
                or used[VERDICTS] + layers.size > verdicts.size
                or used[OPINIONS] + signals.shape[0] > opinions.size
            ):
                account.decisions += n - at
                return n
        if ts > account.next_hour:
            roll(account, ts){watch}
        if position.working != 0 and on_paper:
            opened = units(row.open)
            high = units(row.high)
            low = units(row.low)
            if opened > 0 and high > 0 and low > 0:
                for turn in range(TURNS.size):
                    slot = TURNS[turn]
                    if (position.working >> slot) & 1 == 0:
                        continue
                    work = orders[s, slot]
                    price = touched(work, opened, high, low)
                    if price <= 0:
                        continue
                    worse = slippage(row, work, costs.slippage) if work.kind != LIMIT else 0.0
                    rate = fee(row, work, account, costs.fee)
                    qty = work.qty - work.filled
                    if slot != ENTRY_SLOT:
                        qty = min(qty, abs(position.qty))
                    good = 0.0 <= worse < 1.0 and -1.0 < rate < 1.0 and fits(price, UNIT + units(worse))
                    if good:
                        price += work.side * product(price, units(worse))
                        good = price > 0 and can_book(account, position, instrument, work.side, qty, price, 0)
                    if not good:
                        turn_down(account, position, work, events, used, ts, AMOUNTS)
                        continue
                    notional = product(price, qty * instrument.multiplier)
                    charge = product(notional, np.int64(np.rint(rate * 1e8)))
                    settle(account, position, orders, instrument, events, used, work,
                           qty, price, charge, ts, True)
        if position.qty != 0:
            mark(account, position, instrument, row.close)
        if urgent:
            close_out(account, position, orders, events, used, ts, 0, s, on_paper)
        if used[EVENTS] != before and trips(rules, account):
            switch(account, positions, orders, events, used, PAUSED, ts, SAFETY, on_paper)
        number = np.int64(0)
        outcome = SKIPPED
        reason = -1
        value = 0.0
        limit = 0.0
        wrote = used[VERDICTS]
        if direction == 0:
            reason = reasons[i]
            value = values[i]
            limit = limits[i]
        else:
            wants = True
            reversing = False
            if position.qty != 0 and (position.qty > 0) != (direction > 0) and rules.on_opposite != IGNORE:
                number = close_out(account, position, orders, events, used, ts, ts, s, on_paper)
                reversing = rules.on_opposite == REVERSE and number > 0
                reason = OPPOSITE
                wants = reversing
            fold_market(account, FIRST, market.shape[0], market[:, i])
            if trace > TRACE_ORDERS:
                recall(verdicts, used, FIRST, market.shape[0], market[:, i], bounds[:, i], -1)
            context = contexts[n]
            while wants:
                reason = -1
                toll = 0.0
                if rules.sizing == KELLY and position.working & 1 == 0:
                    work = orders[s, ENTRY_SLOT]
                    work.symbol = s
                    work.side = direction
                    work.kind = MARKET
                    toll = 2.0 * (slippage(row, work, costs.slippage) + fee(row, work, account, costs.fee))
                begin(rules, account, position, instrument, proposal, direction, context, confidences[i],
                      toll, reversing)
{early}
                proposal.price = units(row.close){layer}
                # where nothing is left of the size the gates say why: they judge the whole, which is refused
                is_empty = proposal.scale == 0.0
                proposal.scale = 1.0 if is_empty else proposal.scale
                reason = propose(rules, account, position, instrument, proposal)
                if reason >= 0:
                    if reason == NO_EDGE:
                        value = proposal.chance
                        limit = proposal.needed
                    break
{late}
                if is_empty:
                    reason, value, limit = SIZE, 0.0, 0.0
                    break
                number = place(account, position, orders, events, used, ENTRY_SLOT, ts, ts, s, direction,
                               MARKET, proposal.qty, proposal.price, proposal.stop, proposal.target, -1,
                               on_paper)
                break
            if number > 0:
                outcome = APPROVED
                account.approved += 1
            elif layers[reason] >= 6:
                outcome = REJECTED
                account.rejected += 1
        if busy:
            low_lane = account.hash_low
            high_lane = account.hash_high
        equity = account.cash + account.value
        key = word((s * 4 + outcome) * 65536 + reason + 1)
        low_lane, high_lane = mixed(low_lane, high_lane, word(ts), key, bits(value), word(equity))
        if trace == TRACE_FULL or number > 0 or (trace == TRACE_APPROVED and direction != 0):
            if direction == 0 and trace == TRACE_FULL:
                recall(verdicts, used, FIRST, asked[reason], market[:, i], bounds[:, i], reason)
            decision = decisions[used[DECISIONS]]
            used[DECISIONS] += 1
            decision.ts = ts
            decision.value = value
            decision.limit = limit
            decision.confidence = confidences[i]
            decision.equity = equity
            decision.order = number
            decision.symbol = s
            decision.reason = reason
            decision.verdicts = used[VERDICTS] - wrote
            decision.opinions = opine(opinions, used, signals[:, i], scores[:, i], weights[n]){noted}
            decision.outcome = outcome
            decision.direction = direction
            decision.mode = account.mode
        else:
            used[VERDICTS] = wrote
    account.hash_low = low_lane
    account.hash_high = high_lane
    account.decisions += order.size - at
    return order.size
"""

TURNS = np.array([orders.EXIT_SLOT, orders.ENTRY_SLOT, orders.STOP_SLOT, orders.TARGET_SLOT])


def build(
    gates: Sequence[GateStep], fee: CostStep, slippage: CostStep, rules: Records, fields: Sequence[str],
    layer: LayerStep | None,
) -> tuple[compile.Step, Records]:  # fmt: skip
    """Return the pass for these gates, costs and layer, with one record of all it is given.

    `fields` are those of the context that the trace keeps.
    """
    text = _PASS.format(
        early="".join(_gate(k, gate) for k, gate in enumerate(gates) if gate.layer < 6),
        late="".join(_gate(k, gate) for k, gate in enumerate(gates) if gate.layer >= 6),
        layer=_LAYER if layer else "",
        watch=_WATCH if layer and layer.watch else "",
        noted="".join(f"\n            decision.context.{name} = contexts[n].{name}" for name in fields),
    )
    named = set(re.findall(r"\w+", text))
    bindings: dict[str, Any] = {f"gate_{k}": guarded(gate.step) for k, gate in enumerate(gates)}
    for room in (records, orders, judge, words):
        bindings |= {name: value for name, value in vars(room).items() if name in named}
    # after the rooms: REJECTED is an order's state there, and an outcome in the pass
    bindings |= {"fee": fee.step, "slippage": slippage.step, "np": np, "TURNS": TURNS, "ROOM": ROOM}
    bindings |= {"roll": roll, "note": note, "recall": recall, "fold_market": fold_market, "opine": opine}
    bindings |= {outcome.name: int(outcome) for outcome in Outcome} | {"FIRST": len(judge.KERNEL_GATES)}
    params = {f"g{k}": gate.params[0] for k, gate in enumerate(gates)} or {"none": 0}
    costs = record(fee=fee.params[0], slippage=slippage.params[0])
    parts: dict[str, Any] = {"gates": record(**params), "costs": costs}
    if layer:
        parts["layer"] = layer.params[0]
        bindings |= {"layer": layers.guarded(layer.step)}
        bindings |= {"watch": layers.guarded(layer.watch)} if layer.watch else {}
    given = record(rules=rules[0], proposal=np.zeros((), judge.PROPOSAL)[()], **parts)
    return compile.entry("ledger", text, bindings), np.array([given])


def _gate(k: int, gate: GateStep) -> str:
    half = " * (0.5 if account.mode == REDUCED else 1.0)" if gate.halves else ""
    asked = f"gate_{k}(row, account, position, proposal, gates.g{k})"
    value = f"context.{gate.reads}" if gate.reads else asked
    more = ">" if gate.refuses in ("below", "to") else "<"
    bound = _BOUND.format(field=gate.bound, more=more) if gate.bound else ""
    sign = SIGNS[gate.refuses]
    return _GATE.format(k=k, number=gate.number, half=half, sign=sign, value=value, bound=bound)
