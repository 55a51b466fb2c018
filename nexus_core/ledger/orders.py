"""Orders and positions as compiled steps: legal steps, booking of fills, brackets, matching, venue reports.

Matching on bars: a market order fills at the next row's open, half the spread worse. A limit order fills
at its price when the bar touches it, at the open when that is better. A stop becomes a market order when
touched, and fills at the open when the bar opens beyond it. When a bar touches stop and target, the stop
is taken to have come first. An order always fills whole, and moves no price.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import APPROVAL, FILL, MODE, MOVE, UNIT
from nexus_core.steps.exact import LARGEST, fits, product, share, units
from nexus_core.steps.words import mixed, word
from nexus_core.types import ORDER_STEPS, Mode, OrderKind, OrderState, Purpose

NONE, PENDING, SUBMITTED, OPEN = map(int, list(OrderState)[:4])
PARTIALLY_FILLED, FILLED, CANCELLED, REJECTED, EXPIRED, UNKNOWN = map(int, list(OrderState)[4:])
MARKET, LIMIT, STOP = map(int, OrderKind)
ENTRY_SLOT, EXIT_SLOT, STOP_SLOT, TARGET_SLOT = map(int, Purpose)
NORMAL, EMERGENCY = int(Mode.NORMAL), int(Mode.EMERGENCY)

EVENTS, DECISIONS, VERDICTS, OPINIONS = 0, 1, 2, 3
"""Places in the array that counts the records written so far."""

REDUCE_ONLY = -2
"""The reason of an approval that needs no gate: the order can only reduce a position."""

LEGAL = np.zeros((len(OrderState), len(OrderState)), np.bool_)
for _state, _after in ORDER_STEPS.items():
    for _to in _after:
        LEGAL[int(_state), int(_to)] = True


@step
def move(order: Any, to: int) -> bool:
    """Take an order to another state; refuse, and change nothing, where that is no legal step."""
    if not LEGAL[order.state, to]:
        return False
    order.state = to
    return True


@step
def is_working(state: int) -> bool:
    """Tell whether an order in this state may still fill."""
    return state != NONE and state != FILLED and state != CANCELLED and state != REJECTED and state != EXPIRED


@step
def content(order: Any) -> np.uint64:
    """Return the hash of what an order says; changing any part of it gives another."""
    x = np.uint64(0)
    parts = (order.id, order.ts, order.decision, order.qty, order.price, order.stop, order.target)
    for part in parts:
        x = (x ^ word(part)) * np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(32)
    small = ((order.symbol * 4 + order.side) * 8 + order.kind) * 8 + order.purpose
    x = (x ^ word(small)) * np.uint64(0xFF51AFD7ED558CCD)
    return x ^ (x >> np.uint64(33))


@step
def fold(account: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Fold four words into the run hash."""
    account.hash_low, account.hash_high = mixed(account.hash_low, account.hash_high, a, b, c, d)


def run_hash(account: Any) -> str:
    """Return the run hash so far as 32 hexadecimal digits."""
    return f"{int(account['hash_low']):016x}{int(account['hash_high']):016x}"


@step
def emit(account: Any, position: Any, order: Any, events: Any, used: Any, kind: int, ts: int,
         qty: int, price: int, fee: int, reason: int) -> None:  # fmt: skip
    """Write one event about an order, and fold it into the run hash."""
    event = events[used[EVENTS]]
    used[EVENTS] += 1
    account.events += 1
    event.seq = account.events
    event.ts = ts
    event.order = order.id
    event.decision = order.decision
    event.qty = qty
    event.price = price
    event.fee = fee
    event.cash = account.cash
    event.position = position.qty
    event.content = order.content
    event.symbol = order.symbol
    event.reason = reason
    event.kind = kind
    event.side = order.side
    event.order_kind = order.kind
    event.purpose = order.purpose
    event.state = order.state
    event.mode = account.mode
    fold(account, word(ts) ^ word(order.id), word(qty), word(price), word(fee))
    sort = np.int64(kind) * 256 + order.state
    fold(account, word(sort), order.content, word(account.cash), word(position.qty))


@step
def tell_move(account: Any, position: Any, order: Any, events: Any, used: Any, ts: int, reason: int) -> None:
    """Write a step of an order, with the quantity that is left."""
    emit(account, position, order, events, used, MOVE, ts, order.qty - order.filled, order.price, 0, reason)


@step
def place(account: Any, position: Any, orders: Any, events: Any, used: Any, slot: int, ts: int, decision: int,
          symbol: int, side: int, kind: int, qty: int, price: int, stop: int, target: int, reason: int,
          on_paper: bool) -> int:  # fmt: skip
    """Put an approved order into its slot and return its id. On paper it is open at once."""
    order = orders[symbol, slot]
    account.orders += 1
    order.id = account.orders
    order.ts = ts
    order.decision = decision
    order.qty = qty
    order.filled = order.cost = 0
    order.price = price
    order.stop = stop
    order.target = target
    order.symbol = symbol
    order.side = side
    order.kind = kind
    order.purpose = slot
    order.state = PENDING
    order.content = content(order)
    position.working |= 1 << slot
    emit(account, position, order, events, used, APPROVAL, ts, qty, price, 0, reason)
    if on_paper:
        move(order, SUBMITTED)
        move(order, OPEN)
    return order.id


@step
def end(
    account: Any, position: Any, order: Any, events: Any, used: Any, to: int, ts: int, reason: int
) -> bool:
    """Take an order to a state in which it can fill no more; tell whether that was a legal step."""
    if not move(order, to):
        return False
    position.working &= ~(1 << order.purpose)
    if to == REJECTED:
        account.hour_rejects += 1
    tell_move(account, position, order, events, used, ts, reason)
    return True


@step
def turn_down(account: Any, position: Any, order: Any, events: Any, used: Any, ts: int, reason: int) -> None:
    """Pass over an order on paper that cannot be booked; it counts as a reject.

    An entry is cancelled. What reduces a position stays at work, for the next row to try again.
    """
    account.hour_rejects += 1
    if order.purpose == ENTRY_SLOT:
        end(account, position, order, events, used, CANCELLED, ts, reason)
    else:
        tell_move(account, position, order, events, used, ts, reason)


@step
def value_at(account: Any, position: Any, instrument: Any, price: int) -> None:
    """Mark a position at a price that fits."""
    value = product(price, position.qty * instrument.multiplier)
    account.value += value - position.value
    position.value = value
    position.mark = price


@step
def mark(account: Any, position: Any, instrument: Any, close: float) -> None:
    """Mark an open position at a row's close and keep the highest equity; pass an unusable price over."""
    price = units(close)
    if price > 0 and fits(price, position.qty * instrument.multiplier):
        value_at(account, position, instrument, price)
    account.peak = max(account.peak, account.cash + account.value)


@step
def can_book(account: Any, position: Any, instrument: Any, side: int, qty: int, price: int, fee: int) -> bool:
    """Tell whether a fill can be held: its amounts, the position and the cash after it.

    A fee of up to the fill's notional is counted in; give 0 where it is not known to be larger.
    """
    per_price = float(instrument.multiplier) / UNIT
    notional = float(price) * float(qty) * per_price
    after = abs(float(position.qty) + float(side) * float(qty))
    if max(float(qty), after) * float(instrument.multiplier) > LARGEST:
        return False
    if abs(float(position.cost)) + notional > LARGEST or float(price) * after * per_price > LARGEST:
        return False
    paid = notional + max(notional, abs(float(fee)))
    return abs(float(account.cash)) + abs(float(account.value)) + paid < LARGEST


@step
def book(
    account: Any, position: Any, instrument: Any, side: int, qty: int, price: int, fee: int, ts: int
) -> None:
    """Book a fill of `qty` above zero at `price`: cash, cost, realised result, margin."""
    notional = product(price, qty * instrument.multiplier)
    account.cash -= side * notional + fee
    realised = np.int64(0)
    held = abs(position.qty)
    reduces = held > 0 and (position.qty > 0) != (side > 0)
    if reduces:
        closing = min(qty, held)
        cost = position.cost if closing == held else share(position.cost, closing, held)
        proceeds = notional if closing == qty else share(notional, closing, qty)
        realised = -side * proceeds - cost
        position.cost += side * (notional - proceeds) - cost
    else:
        position.cost += side * notional
    if held == 0 or (reduces and qty > held):
        position.opened = ts
    position.qty += side * qty
    position.realised += realised
    position.fees += fee
    position.trade += realised - fee
    account.realised += realised
    account.fees += fee
    account.hour_loss += realised - fee
    account.fills += 1
    margin = product(abs(position.cost), instrument.margin_rate)
    account.margin += margin - position.margin
    position.margin = margin
    value_at(account, position, instrument, price)
    if reduces and qty >= held:
        account.trades += 1
        if position.trade > 0:
            account.wins += 1
        position.trade = 0


@step
def settle(account: Any, position: Any, orders: Any, instrument: Any, events: Any, used: Any, order: Any,
           qty: int, price: int, fee: int, ts: int, on_paper: bool) -> None:  # fmt: skip
    """Book a fill of an order, write it, and keep the orders that reduce in step with the position."""
    before = position.qty
    order.filled += qty
    order.cost += product(price, qty)
    book(account, position, instrument, order.side, qty, price, fee, ts)
    move(order, FILLED if order.filled >= order.qty else PARTIALLY_FILLED)
    if order.state == FILLED:
        position.working &= ~(1 << order.purpose)
    emit(account, position, order, events, used, FILL, ts, qty, price, fee, REDUCE_ONLY)
    if position.qty == 0:
        account.peak = max(account.peak, account.cash + account.value)
    if position.qty == 0 or (before != 0 and (position.qty > 0) != (before > 0)):
        withdraw(account, position, orders, events, used, order.symbol, EXIT_SLOT, ts)
    if order.purpose == ENTRY_SLOT and order.state == FILLED:
        bracket(account, position, orders, events, used, order, ts, on_paper)


@step
def withdraw(
    account: Any, position: Any, orders: Any, events: Any, used: Any, symbol: int, first: int, ts: int
) -> None:
    """Cancel the orders at work on a symbol, from slot `first` on."""
    for slot in range(first, TARGET_SLOT + 1):
        if (position.working >> slot) & 1 == 1:
            end(account, position, orders[symbol, slot], events, used, CANCELLED, ts, REDUCE_ONLY)


@step
def bracket(account: Any, position: Any, orders: Any, events: Any, used: Any, entry: Any, ts: int,
            on_paper: bool) -> None:  # fmt: skip
    """Set the stop and the target that an entry was approved with, over all that is held on its side."""
    if position.qty == 0 or (position.qty > 0) != (entry.side > 0):
        return
    withdraw(account, position, orders, events, used, entry.symbol, STOP_SLOT, ts)
    qty = abs(position.qty)
    if entry.stop > 0:
        place(account, position, orders, events, used, STOP_SLOT, ts, entry.decision, entry.symbol,
              -entry.side, STOP, qty, entry.stop, 0, 0, REDUCE_ONLY, on_paper)  # fmt: skip
    if entry.target > 0:
        place(account, position, orders, events, used, TARGET_SLOT, ts, entry.decision, entry.symbol,
              -entry.side, LIMIT, qty, entry.target, 0, 0, REDUCE_ONLY, on_paper)  # fmt: skip


@step
def close_out(account: Any, position: Any, orders: Any, events: Any, used: Any, ts: int, decision: int,
              symbol: int, on_paper: bool) -> Any:  # fmt: skip
    """Send a market order over the whole position, unless one is at work; return its id, or 0."""
    if position.qty == 0 or (position.working >> EXIT_SLOT) & 1 == 1:
        return np.int64(0)
    side = -1 if position.qty > 0 else 1
    return place(account, position, orders, events, used, EXIT_SLOT, ts, decision, symbol, side,
                 MARKET, abs(position.qty), position.mark, 0, 0, REDUCE_ONLY, on_paper)  # fmt: skip


@step
def touched(order: Any, opened: int, high: int, low: int) -> Any:
    """Return the price at which a bar fills an order before costs, or -1 where it does not."""
    if order.kind == MARKET:
        return opened
    if (order.side > 0) == (order.kind == LIMIT):  # it waits for the price to come down
        return min(opened, order.price) if low <= order.price else np.int64(-1)
    return max(opened, order.price) if high >= order.price else np.int64(-1)


@step
def report(
    account: Any, positions: Any, orders: Any, instruments: Any, events: Any, used: Any, told: Any
) -> bool:
    """Apply what a venue says of an order: a fill, or a step. Tell whether it could be true.

    A fill of more than is left, of an order that is not at work, or of an unknown order is not booked. Only
    a fill fills: a venue's word that an order has filled books nothing.
    """
    symbol = told.symbol
    position = positions[symbol]
    order = orders[symbol, told.purpose]
    if order.id != told.order or not is_working(order.state):
        return False
    if told.kind == FILL:
        if not 0 < told.qty <= order.qty - order.filled or told.price <= 0 or not LEGAL[order.state, FILLED]:
            return False
        instrument = instruments[symbol]
        if not can_book(account, position, instrument, order.side, told.qty, told.price, told.fee):
            return False
        settle(account, position, orders, instrument, events, used, order,
               told.qty, told.price, told.fee, told.ts, False)  # fmt: skip
        return True
    if told.state == FILLED or told.state == PARTIALLY_FILLED:
        return False
    if is_working(told.state):
        if not move(order, told.state):
            return False
        tell_move(account, position, order, events, used, told.ts, -1)
        return True
    if not end(account, position, order, events, used, told.state, told.ts, told.reason):
        return False
    if order.purpose == ENTRY_SLOT and order.filled > 0:
        bracket(account, position, orders, events, used, order, told.ts, False)
    return True


@step
def switch(account: Any, positions: Any, orders: Any, events: Any, used: Any, mode: int, ts: int,
           reason: int, on_paper: bool) -> None:  # fmt: skip
    """Change the safety mode; in an emergency cancel every entry and close every position.

    Back to NORMAL, the circuit breaker counts the hour anew: whoever lifted it has seen what it saw.
    """
    account.mode = mode
    if mode == NORMAL:
        account.hour_loss = account.hour_rejects = 0
    event = events[used[EVENTS]]
    used[EVENTS] += 1
    account.events += 1
    event.seq = account.events
    event.ts = ts
    event.order = event.decision = event.qty = event.price = event.fee = event.position = 0
    event.content = np.uint64(0)
    event.side = event.order_kind = event.purpose = event.state = 0
    event.cash = account.cash
    event.symbol = -1
    event.reason = reason
    event.kind = MODE
    event.mode = mode
    fold(account, word(ts), word(mode), word(reason), word(account.cash))
    if mode == EMERGENCY:
        for s in range(positions.size):
            if positions[s].working & 1 == 1:
                end(account, positions[s], orders[s, ENTRY_SLOT], events, used, CANCELLED, ts, reason)
            close_out(account, positions[s], orders, events, used, ts, 0, s, on_paper)
