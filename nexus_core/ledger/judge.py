"""From a direction to an approved order: opposite signals, size, bracket prices, and what gates judge."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import UNIT, layout
from nexus_core.steps.exact import LARGEST, fits, on_tick, product, round_down, units
from nexus_core.types import Mode

NORMAL, PAUSED, REDUCED, EMERGENCY = map(int, Mode)

KERNEL_GATES = (
    ("late", 2),
    ("has-signal", 2),
    ("direction", 4),
    ("opposite", 4),
    ("safety-mode", 6),
    ("shorting", 6),
    ("size", 6),
    ("amounts", 6),
    ("entry-at-work", 4),
)
"""What the kernel itself answers, with the layer it speaks for. A plugin's gates are numbered after these."""

LATE_ROW, NO_SIGNAL, NO_DIRECTION, OPPOSITE, SAFETY, SHORTING, SIZE, AMOUNTS, AT_WORK = range(
    len(KERNEL_GATES)
)

SIZINGS = ("fixed-risk", "fixed-quantity", "fixed-notional")
FIXED_RISK, FIXED_QUANTITY, FIXED_NOTIONAL = range(3)
OPPOSITES = ("close", "reverse", "ignore")
CLOSE, REVERSE, IGNORE = range(3)
TRACES = ("orders", "approved", "full")
TRACE_ORDERS, TRACE_APPROVED, TRACE_FULL = range(3)
"""Numbers of the settings' words, in the words' order."""

RULES = layout(
    ("quantity notional", "i8"),  # of fixed-quantity, of fixed-notional
    ("risk_fraction max_position", "f8"),
    ("stop_loss take_profit", "i8"),  # shares of the price, in 1e-8
    ("breaker_loss", "f8"),
    ("breaker_rejects sizing on_opposite allow_short brackets", "i8"),
    ("on_paper", "b1"),
    ("trace", "i8"),
)

PROPOSAL = layout(
    ("side qty price notional", "i8"),
    ("margin", "i8"),  # that the entry would hold
    ("stop target equity", "i8"),
    ("occupied", "i8"),  # orders and position that stand on the symbol
    ("lot min_notional", "i8"),
    ("confidence", "f8"),
)


@step
def size(rules: Any, account: Any, instrument: Any, price: int, confidence: float) -> Any:
    """Return the quantity of an entry by the configured rule, in whole lots; -1 where it cannot be held."""
    equity = float(account.cash + account.value)
    per_unit = float(price) / UNIT * float(instrument.multiplier)
    if rules.sizing == FIXED_QUANTITY:
        wanted = float(rules.quantity)
    elif rules.sizing == FIXED_NOTIONAL:
        wanted = float(rules.notional) / per_unit
    else:
        wanted = min(rules.risk_fraction * confidence, rules.max_position) * equity / per_unit
    if account.mode == REDUCED:
        wanted *= 0.5
    if not 0.0 <= wanted * float(instrument.multiplier) <= LARGEST:
        return np.int64(0) if wanted < 0.0 else np.int64(-1)
    qty = round_down(np.int64(wanted), instrument.lot)
    return qty if fits(price, qty * instrument.multiplier) else np.int64(-1)


@step
def begin(account: Any, position: Any, instrument: Any, proposal: Any, side: int, confidence: float,
          reversing: bool) -> None:  # fmt: skip
    """Begin a proposal with what is known of an entry before it has a size."""
    standing = position.working != 0 or position.qty != 0
    proposal.occupied = 1 if standing and not reversing else 0
    proposal.side = side
    proposal.confidence = confidence
    proposal.equity = account.cash + account.value
    proposal.lot = instrument.lot
    proposal.min_notional = instrument.min_notional
    proposal.qty = proposal.price = proposal.notional = 0
    proposal.margin = proposal.stop = proposal.target = 0


@step
def propose(
    rules: Any, account: Any, position: Any, instrument: Any, proposal: Any, row: Any, side: int,
    confidence: float,
) -> int:  # fmt: skip
    """Give an entry its size and prices; return the kernel gate that refuses it, or -1."""
    if position.working & 1 == 1:
        return AT_WORK
    if account.mode == PAUSED or account.mode == EMERGENCY:
        return SAFETY
    if side < 0 and (rules.allow_short == 0 or instrument.shortable == 0):
        return SHORTING
    price = units(row.close)
    if price <= 0 or (rules.brackets != 0 and not fits(price, UNIT + rules.take_profit)):
        return AMOUNTS
    qty = size(rules, account, instrument, price, confidence)
    if qty < 0:
        return AMOUNTS
    if qty == 0:
        return SIZE
    proposal.qty = qty
    proposal.price = price
    proposal.notional = product(price, qty * instrument.multiplier)
    proposal.margin = product(proposal.notional, instrument.margin_rate)
    if rules.brackets != 0:
        proposal.stop = on_tick(price - side * product(price, rules.stop_loss), instrument.tick)
        proposal.target = on_tick(price + side * product(price, rules.take_profit), instrument.tick)
    return -1


@step
def trips(rules: Any, account: Any) -> bool:
    """Tell whether the account's circuit breaker opens: too much lost, or too many rejects, this hour."""
    if account.mode == PAUSED or account.mode == EMERGENCY:
        return False
    if 0 < rules.breaker_rejects <= account.hour_rejects:
        return True
    most = rules.breaker_loss * float(account.cash + account.value)
    return rules.breaker_loss > 0.0 and account.hour_loss < 0 and float(-account.hour_loss) >= most
