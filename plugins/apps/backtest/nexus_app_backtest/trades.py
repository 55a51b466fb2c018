"""What entries would have made: each decision played on, bar by bar, by the run's own stop, target and costs.

It looks at rows after the decision, as only an analysis after the fact may. The orders are matched as the
ledger matches on paper: the entry fills at the next row's open, stop and target lie around the close of the
decision's row, a bar that touches both is a stop, a gap through either fills at the open. What is left after
the horizon is sold at that row's close. Each trade is judged alone: no other position, no limit of the
account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core import compile
from nexus_core.compile import step
from nexus_core.ledger import instrument_records
from nexus_core.records import ACCOUNT, ORDER, empty, layout
from nexus_core.steps.exact import LARGEST, fits, on_tick, product, units
from nexus_core.steps.tool import record
from nexus_core.types import UNIT, OrderKind, Purpose, to_units

if TYPE_CHECKING:
    from nexus_core.broker import Broker
    from nexus_core.config import Risk
    from nexus_core.market.blocks import Chunk
    from nexus_core.records import Records
    from nexus_core.types import Instrument

MARKET, LIMIT, STOP = map(int, OrderKind)
ENTRY_SLOT, EXIT_SLOT, STOP_SLOT, TARGET_SLOT = map(int, Purpose)
NEVER = int(LARGEST)
"""A price that no bar reaches."""

LONGEST = 100_000
"""Rows of the longest horizon."""

SLOT = layout(
    ("start end", "i8"),  # times of the decision's row and of the exit's; 0 while it is open
    ("qty", "i8"),
    ("lower upper", "i8"),  # prices below and above at which it ends
    ("raw paid", "i8"),  # price of the entry before slippage and with it; 0 while it waits for a row
    ("rate", "f8"),  # fee of the entry, as a share
    ("net cost", "f8"),  # shares of the entry's price, once it has ended
    ("gate side", "i4"),  # side 0: an empty slot
)
"""A trade from its decision until its horizon: also one that has ended waits for that, so that quick exits
near the end of the rows are not favoured over slow ones."""

TRADE = layout(("start end", "i8"), ("net cost", "f8"), ("gate symbol", "i4"))
"""A trade whose whole horizon was seen."""

RULE = layout(("stop_loss take_profit", "i8"), ("quantity", "i8"), ("money", "f8"), ("brackets", "b1"))


@step
def begin(slot: Any, row: Any, side: int, gate: int, rule: Any, instrument: Any) -> None:
    """Put a decided entry into its slot, with stop and target around the row's close."""
    price = units(row.close)
    slot.side = 0
    if side == 0 or price <= 0 or not fits(price, UNIT + max(rule.take_profit, rule.stop_loss)):
        return
    slot.side = side
    slot.gate = gate
    slot.start = row.ts
    slot.end = slot.raw = slot.paid = 0
    slot.qty = rule.quantity
    if rule.quantity == 0:
        slot.qty = max(1, np.int64(min(rule.money / float(price) * 1e16, LARGEST)))
    slot.lower = 0
    slot.upper = NEVER
    if rule.brackets:
        below = rule.stop_loss if side > 0 else rule.take_profit
        above = rule.take_profit if side > 0 else rule.stop_loss
        slot.lower = on_tick(price - product(price, below), instrument.tick)
        slot.upper = on_tick(price + product(price, above), instrument.tick)


@step
def describe(order: Any, slot: Any, symbol: int, side: int, kind: int, purpose: int, price: int) -> None:
    """Make an order out of a trade's end, for the cost models to look at."""
    order.ts = order.decision = slot.start
    order.qty = slot.qty
    order.price = price
    order.symbol = symbol
    order.side = side
    order.kind = kind
    order.purpose = purpose


@step
def met(slot: Any, opened: int, high: int, low: int) -> int:
    """Return the purpose of the order that a bar fills, or -1: the stop comes first."""
    is_low, is_high = low <= slot.lower, high >= slot.upper
    if is_low if slot.side > 0 else is_high:
        return STOP_SLOT
    if is_high if slot.side > 0 else is_low:
        return TARGET_SLOT
    return -1


@step
def costs_fit(worse: float, rate: float, price: int) -> bool:
    """Tell whether the ledger would book a fill at such costs."""
    return 0.0 <= worse < 1.0 and -1.0 < rate < 1.0 and fits(price, UNIT + units(worse))


@step
def leave(slot: Any, ts: int, raw: int, price: int, rate: float) -> None:
    """End a trade at a price, and work out what it made as a share of what the entry cost."""
    gross = float(slot.side * (raw - slot.raw)) / float(slot.raw)
    paid, got = float(slot.paid), float(price)
    slot.net = (float(slot.side) * (got - paid) - slot.rate * paid - rate * got) / paid
    slot.cost = gross - slot.net
    slot.end = ts


_PLAY = """
def entry(rows, starts, sides, gates, slots, seen, waiting, floors, roofs, instruments, orders, accounts,
          all_given, out):
    given = all_given[0]
    rule = given.rule
    order = orders[0]
    account = accounts[0]
    room = slots.shape[1]
    horizon = room - 1
    made = 0
    for s in range(starts.size - 1):
        for i in range(starts[s], starts[s + 1]):
            row = rows[i]
            n = seen[s]
            seen[s] = n + 1
            oldest = max(n - horizon, 0)
            opened = units(row.open)
            high = units(row.high)
            low = units(row.low)
            whole = opened > 0 and high > 0 and low > 0
            if whole:
                for m in range(max(waiting[s], oldest), n):
                    slot = slots[s, m % room]
                    if slot.side == 0:
                        continue
                    describe(order, slot, s, slot.side, MARKET, ENTRY_SLOT, opened)
                    worse = slippage(row, order, given.slippage)
                    rate = fee(row, order, account, given.fee)
                    if not costs_fit(worse, rate, opened):
                        slot.side = 0  # the ledger would have cancelled it
                        continue
                    slot.raw = opened
                    slot.paid = opened + slot.side * product(opened, units(worse))
                    slot.rate = rate
                    floors[s] = max(floors[s], slot.lower)
                    roofs[s] = min(roofs[s], slot.upper)
                waiting[s] = n
            near = whole and (low <= floors[s] or high >= roofs[s])
            if near:
                floors[s] = 0
                roofs[s] = NEVER
            # where no open trade can meet its stop or target, only the one whose time is up is looked at
            for m in range(oldest, n if near else oldest + (1 if n >= horizon else 0)):
                slot = slots[s, m % room]
                if slot.side == 0 or slot.paid == 0 or slot.end != 0:
                    continue
                purpose = met(slot, opened, high, low) if near else -1
                level = opened
                kind = MARKET
                if purpose == STOP_SLOT:
                    kind = STOP
                elif purpose == TARGET_SLOT:
                    kind = LIMIT
                if purpose >= 0:
                    # a gap through the level fills at the open
                    is_low = (slot.side > 0) == (purpose == STOP_SLOT)
                    level = min(opened, slot.lower) if is_low else max(opened, slot.upper)
                elif m == n - horizon:
                    purpose = EXIT_SLOT
                    level = units(row.close)
                if purpose >= 0 and level > 0:
                    describe(order, slot, s, -slot.side, kind, purpose, level)
                    worse = slippage(row, order, given.slippage) if kind != LIMIT else 0.0
                    rate = fee(row, order, account, given.fee)
                    if costs_fit(worse, rate, level):
                        leave(slot, row.ts, level, level - slot.side * product(level, units(worse)), rate)
                if near and slot.end == 0:
                    floors[s] = max(floors[s], slot.lower)
                    roofs[s] = min(roofs[s], slot.upper)
            if n >= horizon:
                slot = slots[s, oldest % room]
                if slot.side != 0 and slot.end != 0:
                    trade = out[made]
                    made += 1
                    trade.start = slot.start
                    trade.end = slot.end
                    trade.net = slot.net
                    trade.cost = slot.cost
                    trade.gate = slot.gate
                    trade.symbol = s
                slot.side = 0
            begin(slots[s, n % room], row, sides[i], gates[i], rule, instruments[s])
    return made
"""

_NAMES = (begin, describe, met, costs_fit, leave, units, product)
_NUMBERS = ("MARKET", "LIMIT", "STOP", "ENTRY_SLOT", "EXIT_SLOT", "STOP_SLOT", "TARGET_SLOT", "NEVER")


class Player:
    """Plays entries on over the rows of a run, a chunk at a time; remembers one horizon of rows."""

    def __init__(self, instruments: Sequence[Instrument], risk: Risk, broker: Broker, horizon: int) -> None:
        symbols = len(instruments)
        fee, slippage = broker.costs()
        bindings: dict[str, Any] = {each.__name__: each for each in _NAMES}
        bindings |= {name: globals()[name] for name in _NUMBERS}
        bindings |= {"fee": fee.step, "slippage": slippage.step}
        self.entry = compile.entry("funnel", _PLAY, bindings)
        rule = _rule(risk)[0]
        self._given = np.array([record(rule=rule, fee=fee.params[0], slippage=slippage.params[0])])
        self._instruments = instrument_records(instruments)
        self._slots = np.zeros((symbols, horizon + 1), SLOT)
        self._seen, self._waiting, self._floors = (np.zeros(symbols, np.int64) for _ in range(3))
        self._roofs = np.full(symbols, NEVER)
        self._order, self._account = empty(ORDER), empty(ACCOUNT)
        self._account["cash"] = self._account["peak"] = to_units(risk.capital)

    def take(self, chunk: Chunk, sides: Any, gates: Any) -> Records:
        """Take a chunk whose row i begins an entry of `sides[i]`, 0 for none; return the trades now whole.

        `gates` are numbers that come back with the trades.
        """
        out = np.zeros(len(chunk.rows), TRADE)
        made = compile.call(
            self.entry, chunk.rows, chunk.starts, sides, gates, self._slots, self._seen, self._waiting,
            self._floors, self._roofs, self._instruments, self._order, self._account, self._given, out,
        )  # fmt: skip
        return out[:made]

    @property
    def pending(self) -> int:
        """Return how many trades still wait for the end of their horizon."""
        return int((self._slots["side"] != 0).sum())


def _rule(risk: Risk) -> Records:
    made = empty(RULE)
    made["brackets"] = risk.brackets
    made["stop_loss"], made["take_profit"] = to_units(risk.stop_loss_pct), to_units(risk.take_profit_pct)
    if risk.sizing == "fixed-quantity":
        made["quantity"] = to_units(risk.quantity)
    made["money"] = money(risk)
    return made


def money(risk: Risk) -> float:
    """Return what an entry is worth to the cost models where its quantity is not fixed."""
    return risk.notional if risk.sizing == "fixed-notional" else risk.risk_fraction * risk.capital
