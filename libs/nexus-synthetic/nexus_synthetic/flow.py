"""The market of order flow as an object: events of any number of symbols, one interval after another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_core import compile
from nexus_core.errors import ConfigError, UsageError, hint
from nexus_core.market.events import EVENT
from nexus_core.records import UNIT, Records, empty
from nexus_synthetic import clock, flow_book, flow_law, law
from nexus_synthetic.compositions import DRIVE, KINDS, PLANT
from nexus_synthetic.flow_law import (
    BOOK,
    FIRST_STREAM,
    MARKET,
    MARKET_STREAMS,
    ORDERS,
    PLANT_STREAM,
    SECOND,
    SECOND_STREAMS,
    STREAMS,
    TICK,
)
from nexus_synthetic.generator import START
from nexus_synthetic.law import DAY, FOLLOW, MINUTE, RANGE
from nexus_synthetic.plants import NEVER, PLANTED
from nexus_synthetic.symbols import anchor, keys, traits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HIDDEN = np.dtype(
    [("ts", "i8"), ("regime", "i8")]
    + [(name, "f8") for name in ("volatility", "activity", "efficient", "public")],
    align=True,
)
"""What no event shows, at the start of each second: regime, volatility of the second (a fraction of the
price), activity, and as prices what the informed and what the makers hold to be right."""

_PIECE = 900  # seconds for which numbers are drawn at a time
_SPAN = 86_400  # seconds that a symbol lives through before the next has its turn
_END = 2**63 - 1
_FINEST = 20_000  # grid steps of the anchor at the most

_PREPARE = """
def entry(market, ticks, places, draws, count):
    draw_market(market[0], places, draws, count)
    for i in range(count):
        move_market(market[0], ticks[i], draws, i)
"""

_DRAW = """
def entry(states, ticks, places, draws, count):
    draw_symbol(states[0], ticks, places, draws, count)
"""

_RUN = """
def entry(states, ticks, draws, count, events, hidden, offset, plants, planted):
    state = states[0]
    plant = plants[0]
    while events.size == 0 or events.size - state.written >= ROOM:
        if state.now == state.until:
            i = state.number - ticks[0].number
            if i >= count:
                return 1
            move_symbol(state, ticks[i], draws, i)
            begin_second(events, state, plant)
            if hidden.size > 0:
                reveal(hidden[offset + i], state)
        else:
            act(events, state, plant, planted)
    return 0
"""

_TELL = """
def entry(states, events):
    say_book(events, states[0])
"""


class Flow:
    """A market of `symbols` symbols whose trades, quotes and books come from the orders of its agents.

    `interval` is what `take` counts in, whole seconds in nanoseconds; `start` the time of its first open.
    `price_ticks` are the symbols' price grids in 1e-8, if given, else `default_grid`; a finer one than
    1/20,000 of the anchor is used in steps of several ticks. `activity` makes everything but volatility
    rarer or more frequent, from 0.1 to 10. With `plants`, `rate` of them come an hour, of these `kinds`
    alone if some are named; `ease` from 0 to 1 puts their numbers at one place in their ranges, from the
    weakest to the clearest, instead of drawing them. The events are a function of these, the seed, the time
    and the symbol's index: not of how much is asked for at a time and, but for `seq`, not of how many
    symbols there are.
    """

    def __init__(
        self,
        seed: int,
        symbols: int,
        interval: int = MINUTE,
        start: int = START,
        price_ticks: Sequence[int] | None = None,
        activity: float = 1.0,
        plants: bool = False,
        rate: float = 6.0,
        kinds: Sequence[str] = (),
        ease: float | None = None,
    ) -> None:
        units = [default_grid(s) for s in range(symbols)] if price_ticks is None else list(price_ticks)
        _check(seed, symbols, interval, start, units, activity, rate)
        self.symbols, self.interval = symbols, interval
        self._states = _found(seed, start, units, activity)
        self._plants = _soil(seed, symbols, rate if plants else 0.0, kinds, ease)
        self._planted = [np.zeros(0, PLANTED)]
        self._market = np.zeros(1, MARKET)
        self._market["keys"] = keys(seed, 0, FIRST_STREAM, MARKET_STREAMS)
        self._market["start"], self._market["regime"] = start, RANGE
        self._ticks, self._places = np.zeros(_PIECE, TICK), np.zeros(_PIECE, np.uint64)
        self._draws = np.zeros((SECOND_STREAMS, _PIECE))
        self._prepare, self._draw, self._run, self._tell = _entries()

    @property
    def tick(self) -> int:
        """Return the number of the next interval, from 0."""
        return int(self._market["number"][0]) * SECOND // self.interval

    @property
    def planted(self) -> Records:
        """Return what was planted and has ended, as `PLANTED`, in the order of time and symbol."""
        planted = np.concatenate(self._planted)
        return planted[np.lexsort((planted["symbol"], planted["end"]))]

    def take(self, n: int) -> tuple[Records, NDArray[np.int64]]:
        """Return the events of the next `n` intervals, symbol by symbol.

        Symbol `s` owns `events[starts[s]:starts[s + 1]]`. What happens at the very end
        of an interval belongs to it.
        """
        return self._advance(n, True, np.zeros(0, HIDDEN))

    def take_with_truth(self, n: int) -> tuple[Records, NDArray[np.int64], Records]:
        """Return what `take` returns, and what lies behind it: each symbol's seconds, symbol by symbol."""
        hidden = np.zeros(max(n, 0) * self.symbols * (self.interval // SECOND), HIDDEN)
        return *self._advance(n, True, hidden), hidden

    def skip(self, n: int) -> None:
        """Move on by `n` intervals, as if their events had been taken."""
        self._advance(n, False, np.zeros(0, HIDDEN))

    def snapshot(self) -> tuple[Records, NDArray[np.int64]]:
        """Return each symbol's book as it is now, as who joins now would be told it. Changes nothing.

        Before the first interval there is no book, and a symbol has no event.
        """
        states, parts = self._states.copy(), []
        for s in range(self.symbols):
            mine, begun = states[s : s + 1], int(states["number"][s]) > 0
            events = empty(EVENT, flow_book.ROOM if begun else 0)
            mine["written"] = 0
            if begun:
                compile.call(self._tell, mine, events)
                events["seq"] = int(self._states["said"][s]) * self.symbols + s  # that of the event to come
            parts.append(events[: int(mine["written"][0])])
        return _joined(parts), np.concatenate([[0], np.cumsum([*map(len, parts)])]).astype(np.int64)

    def _advance(self, n: int, wanted: bool, hidden: Records) -> tuple[Records, NDArray[np.int64]]:
        self._check_time(n)
        total = n * self.interval // SECOND
        parts: list[list[Records]] = [[] for _ in range(self.symbols)]
        for first in range(0, total, _SPAN):
            ticks = self._seconds(min(_SPAN, total - first))
            for s in range(self.symbols):
                parts[s].append(self._live(s, ticks, wanted, hidden, s * total + first))
        sizes = [sum(map(len, own)) for own in parts]
        events = [each for own in parts for each in own]
        joined = events[0] if len(events) == 1 else _joined(events)
        return joined, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def _seconds(self, count: int) -> Records:
        """Return the market's next seconds."""
        ticks = np.zeros(count, TICK)
        for first in range(0, count, _PIECE):
            part = ticks[first : first + _PIECE]
            compile.call(self._prepare, self._market, part, self._places, self._draws, len(part))
        return ticks

    def _live(self, s: int, ticks: Records, wanted: bool, hidden: Records, offset: int) -> Records:
        """Let a symbol live through seconds of the market, and return its events if they are wanted."""
        mine, room = self._states[s : s + 1], flow_book.ROOM
        expected = int(len(ticks) * min(20.0 * float(mine["thickness"][0]), 60.0))
        events = empty(EVENT, expected + 2 * room if wanted else 0)
        plants, planted = self._plants[s : s + 1], np.zeros(len(ticks) + 8, PLANTED)
        mine["written"] = mine["planted"] = 0
        for first in range(0, len(ticks), _PIECE):
            part = ticks[first : first + _PIECE]
            count = len(part)
            compile.call(self._draw, mine, part, self._places, self._draws, count)
            truths = hidden, offset + first, plants, planted
            while not compile.call(self._run, mine, part, self._draws, count, events, *truths):
                events = _grown(events, int(mine["written"][0]))
        self._planted.append(planted[: int(mine["planted"][0])])
        return events[: int(mine["written"][0])]

    def _check_time(self, n: int) -> None:
        if n < 0:
            raise UsageError(f"synthetic flow: {n} intervals were asked for. Ask for none or more.")
        if int(self._market["start"][0]) + (self.tick + n) * self.interval > _END - DAY:
            raise UsageError(
                "synthetic flow: its time went beyond the year 2262. Take fewer or shorter intervals."
            )


def default_grid(symbol: int) -> int:
    """Return the price tick that suits a symbol's book, in 1e-8: at least 1/20,000 of its anchor.

    It is 1, 2 or 5 times a power of ten, the least of those.
    """
    price = anchor(symbol) * UNIT / _FINEST
    power = 10 ** math.floor(math.log10(price))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= price)


def _joined(parts: Sequence[Records]) -> Records:
    events = empty(EVENT, sum(map(len, parts)))
    at = 0
    for part in parts:
        events[at : at + len(part)] = part
        at += len(part)
    return events


def _grown(events: Records, written: int) -> Records:
    more = empty(EVENT, 2 * len(events))
    more[:written] = events[:written]
    return more


def _entries() -> tuple[compile.Step, ...]:
    bindings = {"draw_market": law.draw_market, "move_market": flow_law.move_market}
    running = {
        "ROOM": flow_book.ROOM,
        "move_symbol": flow_law.move_symbol,
        "begin_second": clock.begin_second,
        "act": clock.act,
        "reveal": _reveal,
    }
    return (
        compile.entry("flow_market", _PREPARE, bindings),
        compile.entry("flow_draw", _DRAW, {"draw_symbol": flow_law.draw_symbol}),
        compile.entry("flow_run", _RUN, running),
        compile.entry("flow_tell", _TELL, {"say_book": flow_book.say_book}),
    )


@compile.step
def _reveal(hidden: Any, state: Any) -> None:
    hidden.ts = state.now
    hidden.regime = state.current
    hidden.volatility = state.volatility
    hidden.activity = state.activity
    hidden.efficient = state.efficient * state.unit / UNIT
    hidden.public = state.public * state.unit / UNIT


def _found(seed: int, start: int, units: Sequence[int], activity: float) -> Records:
    states = empty(BOOK, len(units))
    for symbol, unit in enumerate(units):
        _, agitation, bond, turnover = traits(symbol)
        price = max(anchor(symbol), 1000 * unit / UNIT)
        grid = unit * math.ceil(price * UNIT / _FINEST / unit) if price * UNIT > unit * _FINEST else unit
        level = round(price * UNIT / grid)
        loading = 0.5 + 0.3 * bond
        fields = {
            "keys": keys(seed, symbol + 1, FIRST_STREAM, STREAMS),
            "symbol": symbol,
            "symbols": len(units),
            "now": start,
            "until": start,
            "regime": FOLLOW,
            "bid": 0,
            "ask": 2**40,
            "centre": level,
            "free": ORDERS,
            "unit": grid,
            "lot": _lot((200_000.0 + 1_800_000.0 * turnover) / price),
            "anchor": level,
            "base": 0.0005 * (0.8 + 0.4 * agitation),
            "loading": loading,
            "rest": math.sqrt(1.0 - loading * loading),
            "thickness": activity,
            "efficient": level,
            "public": level,
            "slow": level,
            "held": -1,
            "places": np.arange(ORDERS - 1, -1, -1),
            "level_first": -1,
            "level_last": -1,
        }
        for name, value in fields.items():
            states[name][symbol] = value
    return states


def _soil(seed: int, symbols: int, rate: float, kinds: Sequence[str], ease: float | None) -> Records:
    """Return the places for plants, one for each symbol, at this rate an hour."""
    plants = empty(PLANT, symbols)
    for kind in kinds:
        if kind not in KINDS[1:]:
            raise ConfigError(f"synthetic flow: {kind} is no kind of plant.{hint(kind, KINDS[1:])}")
    if ease is not None and not 0.0 <= ease <= 1.0:
        raise ConfigError(f"synthetic flow: ease was {ease}; it is from 0 to 1.")
    quick = [KINDS.index(each) for each in kinds if each != KINDS[DRIVE]]
    plants["chosen"][:, : 1 + len(quick)] = len(quick) if quick or not kinds else -1, *quick
    plants["opens"] = not kinds or KINDS[DRIVE] in kinds
    plants["ease"] = -1.0 if ease is None else ease
    for symbol in range(symbols):
        plants["key"][symbol] = keys(seed, symbol + 1, PLANT_STREAM, 1)[0]
    plants["rate"] = rate / 3600.0
    plants["wake"] = -1 if rate > 0.0 else NEVER
    return plants


def _lot(turnover: float) -> int:
    """Return the lot in 1e-8 of a symbol with this turnover a minute: a power of ten, a thousandth of it."""
    return 10 ** max(math.floor(math.log10(turnover / 1000.0 * UNIT)), 0)


def _check(
    seed: int,
    symbols: int,
    interval: int,
    start: int,
    units: Sequence[int],
    activity: float,
    rate: float,
) -> None:
    rules = (
        (0 <= seed < 2**64, f"seed was {seed}; it is a whole number from 0 to 2**64 - 1"),
        (symbols > 0, f"symbols was {symbols}; it takes at least one"),
        (
            SECOND <= interval <= 7 * DAY and interval % SECOND == 0,
            f"interval was {interval} ns; it is whole seconds, up to 7 days",
        ),
        (start >= 0, f"start was {start}; it is in nanoseconds from 1970 on"),
        (len(units) == symbols, f"price_ticks were {len(units)}; each of {symbols} symbols needs one"),
        (
            all(0 < unit <= 10**13 for unit in units),
            f"price_ticks were {units}; each is from 1 to 10**13, in 1e-8",
        ),
        (0.1 <= activity <= 10.0, f"activity was {activity}; it is from 0.1 to 10"),
        (0.0 < rate <= 60.0, f"rate was {rate}; it is above 0, up to 60 an hour"),
    )
    for holds, why in rules:
        if not holds:
            raise ConfigError(f"synthetic flow: {why}.")
