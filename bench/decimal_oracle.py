"""Book random fills with the compiled ledger and with a slow one: `python bench/decimal_oracle.py`.

The slow one works in decimals, and is written from the rules, not from the compiled code: it splits each
fill into what it closes and what it opens. Both must agree to the last unit after every fill.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.ledger import instrument_records
from nexus_core.ledger.orders import book, can_book
from nexus_core.records import ACCOUNT, POSITION, UNIT, Records, empty
from nexus_core.types import Instrument

BOOK = """
def entry(accounts, positions, instruments, fills, states):
    account = accounts[0]
    for n in range(fills.size):
        fill = fills[n]
        position = positions[fill.symbol]
        instrument = instruments[fill.symbol]
        state = states[n]
        state.booked = can_book(account, position, instrument, fill.side, fill.qty, fill.price, fill.fee)
        if state.booked:
            book(account, position, instrument, fill.side, fill.qty, fill.price, fill.fee, fill.ts)
        state.cash = account.cash
        state.value = account.value
        state.realised = account.realised
        state.fees = account.fees
        state.margin = account.margin
        state.trades = account.trades
        state.wins = account.wins
        state.qty = position.qty
        state.cost = position.cost
        state.opened = position.opened
"""
FILL = np.dtype([(name, "i8") for name in ("symbol", "side", "qty", "price", "fee", "ts")])
STATE = np.dtype(
    [(name, "i8") for name in ("cash", "value", "realised", "fees", "margin", "trades", "wins")]
    + [(name, "i8") for name in ("qty", "cost", "opened", "booked")]
)

INSTRUMENTS = tuple(
    Instrument(f"{name}-USD", multiplier=multiplier, margin_rate=Decimal(rate))
    for name, multiplier, rate in (
        ("SPOT", 1, "1"),
        ("HALF", 1, "0.5"),
        ("ODD", 1, "0.33333333"),
        ("FUTURE", 50, "0.07"),
        ("TEN", 10, "0.00000001"),
        ("LOTS", 100_000, "0.02"),
    )
)

CAPITAL, MOST, WIDE = 10**16, 10**15, 10**17
"""Cash at the start, the most that a position is worth, and the most of it: quantity times multiplier."""

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UNIT = Decimal("1e-8")


class SlowLedger:
    """Cash and positions in decimals."""

    def __init__(self, instruments: Sequence[Instrument] = INSTRUMENTS, cash: int = CAPITAL) -> None:
        self.instruments, none = instruments, [Decimal(0)] * len(instruments)
        self.cash, self.realised, self.fees = _whole(cash), Decimal(0), Decimal(0)
        self.trades = self.wins = 0
        self.held, self.cost, self.value = list(none), list(none), list(none)
        self.margin, self.result, self.opened = list(none), list(none), [0] * len(instruments)

    def fill(self, symbol: int, side: int, qty: int, price: int, fee: int, ts: int) -> tuple[int, ...]:
        """Book a fill, given in units, and return the state after it in units, by the fields of `STATE`."""
        amount, paid, at = _whole(qty), _whole(fee), _whole(price)
        size = Decimal(self.instruments[symbol].multiplier)
        notional = _rounded(_EXACT.multiply(_EXACT.multiply(at, amount), size))
        held = self.held[symbol]
        closing = min(amount, abs(held)) if held * side < 0 else Decimal(0)
        closed = _part(notional, closing, amount)
        if closing:
            profit = self._close(symbol, side, closing, closed)
            self.realised += profit
            self.result[symbol] += profit
        if amount > closing:
            self.cost[symbol] += side * (notional - closed)
            if held == 0 or closing:
                self.opened[symbol] = ts
        self.cash += -side * notional - paid
        self.fees += paid
        self.result[symbol] -= paid
        self.held[symbol] = held + side * amount
        if closing and closing == abs(held):
            self.trades += 1
            self.wins += self.result[symbol] > 0
            self.result[symbol] = Decimal(0)
        rate = self.instruments[symbol].margin_rate
        self.margin[symbol] = _rounded(_EXACT.multiply(abs(self.cost[symbol]), rate))
        worth = _EXACT.multiply(_EXACT.multiply(at, self.held[symbol]), size)
        self.value[symbol] = _rounded(worth)
        return self._state(symbol)

    def _close(self, symbol: int, side: int, closing: Decimal, closed: Decimal) -> Decimal:
        paid = _part(self.cost[symbol], closing, abs(self.held[symbol]))
        self.cost[symbol] -= paid
        return -side * closed - paid

    def _state(self, symbol: int) -> tuple[int, ...]:
        money = (self.cash, sum(self.value), self.realised, self.fees, sum(self.margin))
        of_symbol = (self.held[symbol], self.cost[symbol])
        return (
            *(as_units(each) for each in money),
            self.trades,
            self.wins,
            *(as_units(each) for each in of_symbol),
            self.opened[symbol],
            1,
        )


def _whole(units: int) -> Decimal:
    return _EXACT.scaleb(Decimal(units), -8)


def as_units(whole: Any) -> int:
    """Return a whole amount in units."""
    return int(_EXACT.scaleb(Decimal(whole), 8))


def _rounded(exact: Decimal) -> Decimal:
    return exact.quantize(_UNIT, context=_EXACT)


def _part(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return _rounded(_EXACT.divide(_EXACT.multiply(amount, part), whole))


def random_fill(rng: random.Random, slow: SlowLedger, ts: int) -> tuple[int, ...]:
    """Return a fill that can be held: one that adds, closes in part or in whole, or turns the position."""
    symbol = rng.randrange(len(INSTRUMENTS))
    held, size = as_units(slow.held[symbol]), INSTRUMENTS[symbol].multiplier
    notional = int(10 ** rng.uniform(1, 14)) + rng.randrange(10)
    price = int(10 ** rng.uniform(0, 15)) + rng.randrange(10)
    qty = min(notional * UNIT // (price * size), WIDE // size) or 1
    side = rng.choice((-1, 1))
    if held and rng.random() < 0.6:
        side, whole = (-1 if held > 0 else 1), abs(held)
        turned = whole + qty if whole * size < WIDE else whole
        qty = rng.choice((whole, max(1, whole // 2), rng.randint(1, whole), turned))
    # what is held after it is worth at most MOST, and so is the fill
    price = min(price, MOST * UNIT // (max(qty, abs(held + side * qty)) * size)) or 1
    fee = int(notional * rng.uniform(-0.0003, 0.001)) + rng.randrange(-2, 3)
    return symbol, side, qty, price, fee, ts


def compare(count: int, seed: int = 1, piece: int = 10_000) -> tuple[int, int]:
    """Book random fills twice; return how many the compiled ledger took, and how many states differ."""
    rng, slow = random.Random(seed), SlowLedger()
    account, positions = empty(ACCOUNT), empty(POSITION, len(INSTRUMENTS))
    account["cash"] = CAPITAL
    entry, instruments = booking(), instrument_records(INSTRUMENTS)
    booked = different = 0
    for first in range(0, count, piece):
        size = min(piece, count - first)
        fills, expected, states = np.zeros(size, FILL), np.zeros(size, STATE), np.zeros(size, STATE)
        for n in range(size):
            fill = random_fill(rng, slow, first + n + 1)
            fills[n], expected[n] = fill, slow.fill(*fill)
        compile.call(entry, account, positions, instruments, fills, states)
        booked += int(states["booked"].sum())
        different += int((states != expected).sum())
    return booked, different


def booking() -> compile.Step:
    """Return the entry that books fills one after another and writes the state after each."""
    return compile.entry("booking", BOOK, {"book": book, "can_book": can_book})


def book_all(fills: Records, instruments: Records, cash: int) -> tuple[Records, Records, Records]:
    """Book fills on an empty account; return account, positions and the state after each fill."""
    account, positions = empty(ACCOUNT), empty(POSITION, len(instruments))
    account["cash"] = cash
    states = np.zeros(len(fills), STATE)
    compile.call(booking(), account, positions, instruments, fills, states)
    return account, positions, states


def main() -> None:
    parser = argparse.ArgumentParser(description="Book random fills twice and compare to the last unit.")
    parser.add_argument("--fills", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.perf_counter()
    booked, different = compare(given.fills, given.seed)
    seconds = time.perf_counter() - begun
    print(f"{booked:,} fills booked, {different:,} mismatches, {seconds:.1f} s")
    sys.exit(1 if different or booked < given.fills else 0)


if __name__ == "__main__":
    main()
