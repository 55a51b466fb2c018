"""The venues' rules for keeping a book in step: which changes follow, which were lost, which came twice.

A change to the book holds the updates after `previous`, up to `final`: on Binance's spot market (U - 1, u],
on its futures (pu, u]. A snapshot holds all up to its number. A change follows a snapshot if the snapshot's
number lies in [previous, final); it follows a change if `previous` is that one's `final`. What came before
the snapshot is kept until it is there. Where an update is missing, the book is not known until the next one.

Binance, *How to manage a local order book correctly* (spot, USD-M and COIN-M).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.market.events import AGAIN, BREAK, CLEAR, LAST, LIQUIDATION, SNAPSHOT
from nexus_core.records import layout
from nexus_recording.messages import BOOK, DEPTH, FORCED, REST, TICKER, TRADES

UNSYNCED, FRESH, SYNCED = 0, 1, 2
"""States of a book: not known; a snapshot that no change has followed yet; in step."""

CHANGES, EVENTS = 2_048, 16_384
"""How many changes to a book, and levels in them, are kept for a snapshot; beyond, the older half goes."""

TRADE_MEMORY = 256
"""Of how many trades the numbers are remembered, to tell one that is late from one that came twice."""

RESTART = 100
"""So many changes in a row older than the book mean that the venue counts anew."""

NEAR = 1e-15
"""The share of itself that the quotient of a price and its tick may lie from a whole number."""

SYNC = layout(
    ("state last floor", "i8"),  # last update of the book, and of its last snapshot
    ("changes levels", "i8"),  # kept for a snapshot
    ("ticker tape trade", "i8"),  # last update of a quote; the message trades are taken from, last number
    ("behind", "i8"),  # changes in a row that were older than the book
    ("depth applied stale forgotten", "i8"),  # changes seen, applied, older than a snapshot, never applied
    ("gaps restarts duplicates late", "i8"),  # duplicates and late: changes and whole books
    ("snapshots unused", "i8"),  # applied, and those older than the book or than the changes kept
    ("quotes quote_duplicates quote_late", "i8"),
    ("trades trade_duplicates trade_late", "i8"),  # late: out of order, and applied
    ("grid", "f8"),  # the tick of prices, 0 where nobody told it
    ("trade_gaps missing trade_old off_book off_grid other_tape", "i8"),  # missing: numbers that never came
)
"""What is known of a symbol's book, and counts of what became of its messages."""

CHANGE = layout(("previous final", "i8"), ("first size", "i8"))
"""A change to the book that waits for a snapshot: its updates, and where its levels are kept."""


@step
def place(message: Any, book: Any, changes: Any, levels: Any, seen: Any, out: Any) -> int:
    """Take a message's events into the feed, or not: the number of events there are after it."""
    n = message.last
    if message.kind in (DEPTH, REST, BOOK) and not fits(message, book, out):
        book.off_grid += 1
        book.grid = 0.0
        if message.kind == DEPTH and book.state != UNSYNCED:
            book.depth += 1
            finish(message, out, message.first, n, 0)
            return broken(message, book, changes, levels, out)
    if message.kind == DEPTH:
        return change(message, book, changes, levels, out)
    if message.kind in (REST, BOOK):
        return snapshot(message, book, changes, levels, out)
    if message.kind == TICKER:
        return quote(message, book, out)
    if message.kind == FORCED:
        return finish(message, out, message.first, n, LIQUIDATION | AGAIN)
    return tape(message, book, seen, out)


@step
def finish(message: Any, out: Any, first: int, end: int, flags: int) -> int:
    """Give events `first` to `end` their message's number, and LAST to the last: `end`."""
    for k in range(first, end):
        out[k].id, out[k].flags = message.final, flags
    if end > first:
        out[end - 1].flags = flags | LAST
    return end


@step
def fits(message: Any, book: Any, out: Any) -> bool:
    """Tell whether the prices of a message's levels are multiples of the tick that was told."""
    if book.grid > 0.0:
        for k in range(message.first, message.last):
            if not on_grid(out[k].price, book.grid):
                return False
    return True


@step
def on_grid(price: float, tick: float) -> bool:
    """Tell whether a price is a multiple of the tick, but for what a float cannot hold."""
    steps = price / tick
    return abs(steps - np.floor(steps + 0.5)) <= steps * NEAR


# -- the book -------------------------------------------------------------------------------------


@step
def change(message: Any, book: Any, changes: Any, levels: Any, out: Any) -> int:
    """Apply a change that follows the book; drop one it has, keep one it has not come to."""
    book.depth += 1
    finish(message, out, message.first, message.last, 0)
    if book.state == UNSYNCED:
        keep(message, book, changes, levels, out)
        return message.first
    if message.final <= book.last:
        return behind(message, book, changes, levels, out)
    follows = message.previous <= book.last if book.state == FRESH else message.previous == book.last
    if not follows:
        return broken(message, book, changes, levels, out)
    book.state, book.last, book.behind = SYNCED, message.final, 0
    book.applied += 1
    return message.last


@step
def behind(message: Any, book: Any, changes: Any, levels: Any, out: Any) -> int:
    """Count a change older than the book; many in a row say that the venue began to count anew."""
    if message.final <= book.floor and book.state == FRESH:
        book.stale += 1
        return message.first
    book.behind += 1
    if book.behind == RESTART:
        book.restarts += 1
        book.ticker = 0
        return broken(message, book, changes, levels, out)
    if message.final == book.last:
        book.duplicates += 1
    else:
        book.late += 1
    return message.first


@step
def broken(message: Any, book: Any, changes: Any, levels: Any, out: Any) -> int:
    """Keep a change that does not follow, and say that the book is not known from here on."""
    book.gaps += 1
    book.state, book.behind = UNSYNCED, 0
    keep(message, book, changes, levels, out)
    return lost(message, out, message.first)


@step
def lost(message: Any, out: Any, at: int) -> int:
    """Write the event that says so: the number of events after it."""
    event = out[at]
    event.price, event.size, event.side, event.kind = 0.0, 0.0, 0, BREAK
    event.ts, event.local, event.symbol = message.ts, message.local, message.symbol
    return finish(message, out, at, at + 1, 0)


@step
def keep(message: Any, book: Any, changes: Any, levels: Any, out: Any) -> None:
    """Keep a change in the order of its updates, once; its levels lie in the same order."""
    size = message.last - message.first
    if size > levels.size:
        book.forgotten += 1
        return
    while book.changes == changes.size or book.levels + size > levels.size:
        count = (book.changes + 1) // 2
        book.forgotten += count
        drop(book, changes, levels, count)
    at = book.changes
    while at > 0 and changes[at - 1].final > message.final:
        at -= 1
    if at > 0 and changes[at - 1].final == message.final:
        book.duplicates += 1
        return
    first = book.levels
    if at < book.changes:
        book.late += 1
        first = changes[at].first
        for k in range(book.levels - 1, first - 1, -1):
            levels[k + size] = levels[k]
        for k in range(book.changes, at, -1):
            changes[k] = changes[k - 1]
            changes[k].first += size
    new = changes[at]
    new.previous, new.final, new.first, new.size = message.previous, message.final, first, size
    for k in range(size):
        levels[first + k] = out[message.first + k]
    book.changes += 1
    book.levels += size


@step
def drop(book: Any, changes: Any, levels: Any, count: int) -> None:
    """Drop the first changes kept, and move the others to the front."""
    gone = changes[count].first if count < book.changes else book.levels
    for k in range(gone, book.levels):
        levels[k - gone] = levels[k]
    for k in range(count, book.changes):
        changes[k - count] = changes[k]
        changes[k - count].first -= gone
    book.levels -= gone
    book.changes -= count


@step
def snapshot(message: Any, book: Any, changes: Any, levels: Any, out: Any) -> int:
    """Begin the book anew, and apply what was kept and follows."""
    if message.kind == BOOK:
        return whole(message, book, out)
    past = 0
    while past < book.changes and changes[past].final <= message.final:
        past += 1
    too_old = past < book.changes and changes[past].previous > message.final
    if too_old or (book.state != UNSYNCED and message.final <= book.last):
        book.unused += 1
        return message.first
    n = cleared(message, book, out)
    book.state, book.last, book.floor = FRESH, message.final, message.final
    book.stale += past
    at = past
    while at < book.changes and follows_on(book, changes[at]):
        n = caught_up(book, changes[at], levels, out, n)
        at += 1
    if at == book.changes:
        book.changes, book.levels = 0, 0
        return n
    drop(book, changes, levels, at)
    book.gaps += 1
    book.state = UNSYNCED
    message.final = changes[0].final
    return lost(message, out, n)


@step
def whole(message: Any, book: Any, out: Any) -> int:
    """Take a book that is sent whole each time, if it is newer than the last."""
    book.depth += 1
    if message.final <= book.last:
        book.duplicates += 1 if message.final == book.last else 0
        book.late += 1 if message.final < book.last else 0
        return message.first
    book.state, book.last = SYNCED, message.final
    book.applied += 1
    return cleared(message, book, out)


@step
def cleared(message: Any, book: Any, out: Any) -> int:
    """Put the emptying of the book before the levels of a snapshot: the number of events after them."""
    for k in range(message.last, message.first, -1):
        out[k] = out[k - 1]
    event = out[message.first]
    event.price, event.size, event.side, event.kind = book.grid, 0.0, 0, CLEAR
    event.ts, event.local, event.symbol = message.ts, message.local, message.symbol
    book.snapshots += 1
    return finish(message, out, message.first, message.last + 1, SNAPSHOT)


@step
def follows_on(book: Any, kept: Any) -> bool:
    """Tell whether a change that was kept follows the book."""
    return kept.previous <= book.last if book.state == FRESH else kept.previous == book.last


@step
def caught_up(book: Any, kept: Any, levels: Any, out: Any, n: int) -> int:
    """Write a change that was kept: the number of events after it."""
    for k in range(kept.size):
        out[n + k] = levels[kept.first + k]
    book.state, book.last = SYNCED, kept.final
    book.applied += 1
    return n + kept.size


# -- quotes and trades ----------------------------------------------------------------------------


@step
def quote(message: Any, book: Any, out: Any) -> int:
    """Take a quote that is newer than the last."""
    if message.final <= book.ticker:
        if message.final == book.ticker:
            book.quote_duplicates += 1
        else:
            book.quote_late += 1
        return message.first
    book.ticker = message.final
    book.quotes += 1
    return finish(message, out, message.first, message.last, 0)


@step
def tape(message: Any, book: Any, seen: Any, out: Any) -> int:
    """Take trades that did not come before, from the first of the streams of trades that spoke."""
    if book.tape == 0:
        book.tape = message.kind
    if book.tape != message.kind:
        book.other_tape += 1
        return message.first
    if message.kind == TRADES:
        return listed(message, book, seen, out)
    if not is_new(book, seen, message.final + 1):
        return message.first
    if message.last == message.first:
        book.off_book += 1
    else:
        book.trades += 1
    return finish(message, out, message.first, message.last, 0)


@step
def is_new(book: Any, seen: Any, number: int) -> bool:
    """Tell whether a trade's number plus 1, as a rule the last one's plus 1, is new; count what is not so."""
    if number > book.trade:
        if 0 < book.trade < number - 1:
            book.trade_gaps += 1
            book.missing += number - book.trade - 1
        book.trade = number
    elif number <= book.trade - seen.size:
        book.trade_old += 1
        return False
    elif seen[number % seen.size] == number:
        book.trade_duplicates += 1
        return False
    else:
        book.trade_late += 1
        book.missing -= 1
    seen[number % seen.size] = number
    return True


@step
def listed(message: Any, book: Any, seen: Any, out: Any) -> int:
    """Take the trades of a list whose numbers, in no order, are new."""
    n = message.first
    for k in range(message.first, message.last):
        number = out[k].id + 1
        if seen[number % seen.size] == number:
            book.trade_duplicates += 1
            continue
        seen[number % seen.size] = number
        out[n] = out[k]
        out[n].flags = 0
        n += 1
    book.trades += n - message.first
    if n > message.first:
        out[n - 1].flags = LAST
    return n
