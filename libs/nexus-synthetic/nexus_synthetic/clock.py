"""The clock of a symbol: who acts next, and when."""

from __future__ import annotations

import math
from typing import Any

from nexus_core.compile import step
from nexus_synthetic.agents import (
    call,
    calm_down,
    exploit,
    fade,
    offer,
    open_book,
    parents_side,
    renew_parents,
    requote,
    withdraw,
)
from nexus_synthetic.draws import log, place, uniform
from nexus_synthetic.flow_book import follow_price, say_book
from nexus_synthetic.flow_law import (
    CALLS,
    FADING,
    INFORMED,
    LIMITS,
    ORDERS,
    REQUOTES,
    SECOND_STREAMS,
    TILT,
    WITHDRAWALS,
)
from nexus_synthetic.plants import live, watch

_WAIT, _WHO = SECOND_STREAMS, SECOND_STREAMS + 1
_EAGER = 6.0  # most volatilities of mispricing that make informed traders hurry


@step
def act(events: Any, state: Any, plant: Any, planted: Any) -> None:
    """Let time pass to the next action and do it, or to the end of the second where none comes before."""
    at = place(state.actions)
    state.actions += 1
    activity = state.activity
    limits, withdrawals = LIMITS * activity, WITHDRAWALS * activity
    fading, requotes = FADING * ORDERS * activity, REQUOTES * activity
    room = 0.5 + state.sigma
    underpriced = min(max((state.efficient - state.ask - 0.5) / room, 0.0), _EAGER)
    overpriced = min(max((state.bid - state.efficient - 0.5) / room, 0.0), _EAGER)
    informed = INFORMED * activity * (underpriced + overpriced)
    tilt = TILT * parents_side(state)
    calls = 2.0 * CALLS * activity
    before = limits + withdrawals + fading + requotes + informed
    rate = before + calls + state.buying + state.selling

    wait = -log(uniform(state.keys[_WAIT], at)) / rate
    nanoseconds = math.floor(wait * 1e9) + 1
    edge = min(state.until, plant.wake)
    if nanoseconds > edge - state.now:
        calm_down(state, (edge - state.now) * 1e-9)
        state.now = edge
        if plant.wake == edge:
            live(events, state, plant, planted)
        return
    state.now += nanoseconds
    calm_down(state, nanoseconds * 1e-9)

    who = uniform(state.keys[_WHO], at) * rate
    if who < limits:
        offer(events, state, at)
    elif who < limits + withdrawals:
        withdraw(events, state, at)
    elif who < limits + withdrawals + fading:
        fade(events, state, at)
    elif who < limits + withdrawals + fading + requotes:
        requote(events, state, at)
    elif who < before:
        exploit(events, state, at, 1 if underpriced > 0.0 else -1)
    else:
        buying = 0.5 * calls * (1.0 + tilt) + state.buying
        selling = 0.5 * calls * (1.0 - tilt) + state.selling
        if who - before < buying + selling:
            call(events, state, at, 1 if who - before < buying else -1, buying / (buying + selling))


@step
def begin_second(events: Any, state: Any, plant: Any) -> None:
    """Do what is due at the start of a second, once what is hidden has moved."""
    state.now += 1
    if state.number == 1:
        open_book(state)
        say_book(events, state)
    renew_parents(state)
    follow_price(events, state)
    watch(state, plant)
    state.now -= 1
