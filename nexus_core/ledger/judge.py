"""From a direction to an approved order: opposite signals, size, bracket prices, and what gates judge."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.records import (
    AMOUNTS,
    AT_WORK,
    NO_EDGE,
    SAFETY,
    SHORTING,
    SIZE,
    UNIT,
    layout,
)  # fmt: skip
from nexus_core.steps.exact import LARGEST, fits, on_tick, product, round_down
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
    ("no-edge", 6),
    ("layer-at-work", 5),
)
"""What the kernel itself answers, with the layer it speaks for. A plugin's gates are numbered after these."""

SIZINGS = ("kelly", "fixed-risk", "fixed-quantity", "fixed-notional")
KELLY, FIXED_RISK, FIXED_QUANTITY, FIXED_NOTIONAL = range(4)
KELLY_SHARE = 0.25
"""Share of Kelly's stake that is staked."""
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
    ("toll", "f8"),  # fee and slippage of entry and exit together, as a share of the price
    ("chance needed", "f8"),  # of the target before the stop, and what it must exceed to earn its costs
    ("scale", "f8"),  # that multiplies the size
)


@step
def stake(rules: Any, proposal: Any) -> float:
    """Return the share of equity to put into an entry, by Kelly's rule or by a fixed risk; 0 without an edge.

    Kelly (1956): with the chance p to win b for each 1 that may be lost, stake (p b - q) / b. Both are taken
    after costs, so that the stake is 0 where costs eat the edge. A chance that nobody knows is not staked on:
    then the risk is fixed.
    """
    if rules.sizing == FIXED_RISK or proposal.chance != proposal.chance:
        return rules.risk_fraction * proposal.confidence
    if not proposal.chance > proposal.needed:
        return 0.0
    loss = float(rules.stop_loss) / UNIT + proposal.toll
    odds = (float(rules.take_profit) / UNIT - proposal.toll) / loss
    return KELLY_SHARE * (proposal.chance * odds - (1.0 - proposal.chance)) / odds


@step
def size(rules: Any, account: Any, instrument: Any, proposal: Any) -> Any:
    """Return the quantity of an entry by the configured rule, in whole lots; -1 where it cannot be held."""
    equity = float(account.cash + account.value)
    per_unit = float(proposal.price) / UNIT * float(instrument.multiplier)
    if rules.sizing == FIXED_QUANTITY:
        wanted = float(rules.quantity) * proposal.scale
    elif rules.sizing == FIXED_NOTIONAL:
        wanted = float(rules.notional) * proposal.scale / per_unit
    else:
        most = min(stake(rules, proposal), rules.max_position)
        wanted = min(most * proposal.scale, rules.max_position) * equity / per_unit
    if account.mode == REDUCED:
        wanted *= 0.5
    if not 0.0 <= wanted * float(instrument.multiplier) <= LARGEST:
        return np.int64(0) if wanted < 0.0 else np.int64(-1)
    qty = round_down(np.int64(wanted), instrument.lot)
    return qty if fits(proposal.price, qty * instrument.multiplier) else np.int64(-1)


@step
def begin(rules: Any, account: Any, position: Any, instrument: Any, proposal: Any, side: int,
          context: Any, confidence: float, toll: float, reversing: bool) -> None:  # fmt: skip
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
    proposal.toll = toll
    proposal.chance = context.chance
    proposal.scale = context.scale
    loss = float(rules.stop_loss) / UNIT
    gain = float(rules.take_profit) / UNIT
    # where p·(gain - toll) is no more than (1 - p)·(loss + toll), costs eat the edge
    proposal.needed = (loss + toll) / (loss + gain)


@step
def propose(rules: Any, account: Any, position: Any, instrument: Any, proposal: Any) -> int:
    """Give an entry its size and prices; return the kernel gate that refuses it, or -1."""
    if position.working & 1 == 1:
        return AT_WORK
    if account.mode == PAUSED or account.mode == EMERGENCY:
        return SAFETY
    side = proposal.side
    if side < 0 and (rules.allow_short == 0 or instrument.shortable == 0):
        return SHORTING
    price = proposal.price
    if price <= 0 or (rules.brackets != 0 and not fits(price, UNIT + rules.take_profit)):
        return AMOUNTS
    if rules.sizing == KELLY and proposal.chance <= proposal.needed:
        return NO_EDGE
    qty = size(rules, account, instrument, proposal)
    if qty < 0:
        return AMOUNTS
    if qty == 0:
        return SIZE
    proposal.qty = qty
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
