"""What can be planted in the market of order flow, and how it is acted out.

A plant is a short programme of stages. In each the efficient price drifts, or is pinned, market orders are
sent, and an order may rest at a price: refilled when it is eaten, fleeing when the price nears, or honest.
One plant goes on at a time, so that each is alone in what it does. Of what stages each kind is made is laid
down in `compositions`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_core.market.events import LIQUIDATION
from nexus_core.records import UNIT
from nexus_synthetic.agents import excite, heavy_lots
from nexus_synthetic.compositions import (
    DRIVE,
    FLEE,
    HONEST,
    LAST_QUICK,
    LAST_SLOW,
    MEMORY,
    NOTHING,
    REFILL,
    compose,
    draw,
)
from nexus_synthetic.draws import log
from nexus_synthetic.flow_book import end_message, may_take, place_order, say_level, take_order, trade
from nexus_synthetic.flow_law import SECOND, TICKS
from nexus_synthetic.law import DAY

NEVER = 2**63 - 1
"""The time at which nothing wakes."""

PLANTED = np.dtype(
    [(name, "i8") for name in ("kind", "symbol", "side", "decoy", "start", "turn", "end")]
    + [(name, "f8") for name in ("size", "distance", "move", "price")],
    align=True,
)
"""What was planted: its kind, its side and what it was drawn with as the README says, start, turn and end in
nanoseconds, and the price of its order, NaN where it has none."""

_OWNER = 20  # of a plant's order
_QUICK = 0.75  # share of plants that are of the quick kinds
_LONGEST_QUICK, _LONGEST_SLOW = 960 * SECOND, 3_900 * SECOND
_ATTENTION = 2.0  # looks a second, besides the orders it sends


@step
def watch(state: Any, plant: Any) -> None:
    """Once a second keep the extremes of the last minutes, and let the day open with a drive."""
    if plant.rate > 0.0:
        seconds = (state.until - SECOND) // SECOND
        at = seconds // 60 % MEMORY
        highest = max(state.highest, state.ask)
        lowest = min(state.lowest, state.bid) if state.lowest > 0 else state.bid
        state.highest = state.lowest = 0
        if seconds % 60 == 0 or plant.wake < 0:
            plant.highs[at], plant.lows[at] = highest, lowest
        plant.highs[at] = max(plant.highs[at], highest)
        plant.lows[at] = min(plant.lows[at], lowest)
        if plant.wake < 0:
            _wait(state, plant)
        if seconds * SECOND % DAY == 0 and plant.kind == NOTHING and plant.opens > 0:
            _begin(state, plant, DRIVE)


@step
def live(events: Any, state: Any, plant: Any, planted: Any) -> None:
    """Let a plant that wakes begin, go on, or end."""
    if plant.kind == NOTHING:
        _choose(events, state, plant)
        return
    _drift(state, plant)
    if plant.stage_walls[plant.stage] == FLEE and _is_near(state, plant):
        plant.stage_end = state.now
    if state.now >= plant.stage_end:
        _next_stage(events, state, plant, planted)
    elif plant.stage_walls[plant.stage] == REFILL:
        _place(events, state, plant)
    if plant.kind != NOTHING:
        _push(events, state, plant)
        _sleep(state, plant)


@step
def _choose(events: Any, state: Any, plant: Any) -> None:
    u = draw(plant)
    if u < _QUICK:
        kind = 1 + math.floor(u / _QUICK * LAST_QUICK)
    else:
        kind = LAST_QUICK + 1 + math.floor((u - _QUICK) / (1.0 - _QUICK) * (LAST_SLOW - LAST_QUICK))
    kind = _chosen(plant, kind, u)
    room = _LONGEST_QUICK if kind <= LAST_QUICK else _LONGEST_SLOW
    if (
        kind == NOTHING or state.now % DAY > DAY - room
    ):  # the opening of the next day is kept free for its drive
        _wait(state, plant)
    else:
        _begin(state, plant, kind)
        _place(events, state, plant)
        _sleep(state, plant)


@step
def _chosen(plant: Any, kind: int, u: float) -> int:
    """Return the kind that was drawn, or one of those that were chosen; nothing where that is the drive."""
    count = plant.chosen[0]
    if count == 0:
        return kind
    return NOTHING if count < 0 else plant.chosen[1 + math.floor(u * count)]


@step
def _wait(state: Any, plant: Any) -> None:
    plant.kind = NOTHING
    plant.wake = state.now + 1 + math.floor(-log(draw(plant)) / plant.rate * SECOND)


@step
def _begin(state: Any, plant: Any, kind: int) -> None:
    plant.kind = kind
    plant.start = plant.turn = plant.last = state.now
    plant.stage = 0
    compose(state, plant)
    plant.stage_end = state.now + math.floor(plant.stage_seconds[0] * SECOND)
    plant.wake = state.now + 1


@step
def _sleep(state: Any, plant: Any) -> None:
    pushes = plant.stage_pushes[plant.stage] * state.activity
    wait = 1 + math.floor(-log(draw(plant)) / (_ATTENTION + pushes) * SECOND)
    plant.wake = max(min(state.now + wait, plant.stage_end), state.now + 1)


@step
def _drift(state: Any, plant: Any) -> None:
    seconds, stage = (state.now - plant.last) * 1e-9, plant.stage
    before = state.efficient
    if plant.stage_aims[stage] > 0.0:
        left = max((plant.stage_end - plant.last) * 1e-9, 1e-9)
        state.efficient += min(seconds / left, 1.0) * (plant.stage_aims[stage] - state.efficient)
    plant.last = state.now
    state.efficient += plant.stage_drifts[stage] / plant.stage_seconds[stage] * seconds
    if plant.stage_pins[stage] > 0.0:
        state.efficient += min(0.05 * seconds, 1.0) * (plant.stage_pins[stage] - state.efficient)
    order = plant.stage_walls[stage]
    if order == REFILL:  # who refills a level knows that the price is worth it
        if plant.wall_side > 0:
            state.efficient = max(state.efficient, plant.tick + 0.5)
        else:
            state.efficient = min(state.efficient, plant.tick - 0.5)
    state.efficient = max(state.efficient, 1.0)
    state.slow += state.efficient - before  # a range does not pull back what was planted


@step
def _is_near(state: Any, plant: Any) -> bool:
    away = state.bid - plant.tick if plant.wall_side > 0 else plant.tick - state.ask
    return 3 * away <= plant.offset


@step
def _next_stage(events: Any, state: Any, plant: Any, planted: Any) -> None:
    before = plant.stage_walls[plant.stage]
    plant.stage += 1
    over = plant.stage == plant.stages
    if before != 0 and (over or plant.stage_walls[plant.stage] != before):
        _leave(events, state, plant, before)
    if over:
        _tell(state, plant, planted)
        _wait(state, plant)
        return
    plant.stage_end = state.now + math.floor(plant.stage_seconds[plant.stage] * SECOND)
    if plant.stage == plant.turns:
        plant.turn = state.now
    if plant.stage_walls[plant.stage] != before:
        _place(events, state, plant)


@step
def _place(events: Any, state: Any, plant: Any) -> None:
    """Let the plant's order rest at its price, if it is not there and crosses nothing."""
    side = plant.wall_side
    if plant.stage_walls[plant.stage] == 0 or state.held[_OWNER] >= 0:
        return
    if place_order(state, side, plant.tick, plant.wall_lots, _OWNER):
        say_level(events, state, side, plant.tick)
        end_message(events, state)


@step
def _leave(events: Any, state: Any, plant: Any, wall: int) -> None:
    """Cancel the plant's order; an honest one stays, as nobody's."""
    order = state.held[_OWNER]
    if order < 0:
        return
    if wall == HONEST or not may_take(state, order):
        state.order_owners[order] = 0
        state.held[_OWNER] = -1
    else:
        take_order(state, order)
        say_level(events, state, plant.wall_side, plant.tick)
        end_message(events, state)


@step
def _push(events: Any, state: Any, plant: Any) -> None:
    stage = plant.stage
    pushes = plant.stage_pushes[stage] * state.activity
    if draw(plant) * (_ATTENTION + pushes) < pushes:
        side = plant.stage_sides[stage]
        if side == 0:
            side = 1 if draw(plant) < 0.5 else -1
        lots = max(math.floor(plant.stage_lots[stage] * heavy_lots(draw(plant))), 1)
        flags = LIQUIDATION if plant.stage_forced[stage] > 0 else 0
        trade(events, state, side, lots, state.centre + side * TICKS, flags)
        excite(state, side)


@step
def _tell(state: Any, plant: Any, planted: Any) -> None:
    record = planted[state.planted]
    state.planted += 1
    record.kind, record.symbol = plant.kind, state.symbol
    record.side, record.decoy = plant.side, plant.decoy
    record.start, record.turn, record.end = plant.start, plant.turn, state.now
    record.size, record.distance, record.move = plant.size, plant.distance, plant.move
    has_order = plant.wall_lots > 0
    record.price = plant.tick * state.unit / UNIT if has_order else np.nan
