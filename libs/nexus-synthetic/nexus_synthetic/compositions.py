"""Of what stages each kind of plant is made, and the ranges from which its numbers are drawn.

The README has them in words. Distances and moves are in volatilities of a minute where nothing else is said.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_core.compile import step
from nexus_synthetic.draws import exp, log, place, uniform

NOTHING = 0
SPOOF, ICEBERG, ABSORPTION, IMBALANCE, CASCADE, IGNITION, STOP_RUN, INFORMED, RUN = range(1, 10)
SHOCK, BREAK, FAILED_BREAK, EXCURSION, TRAVEL, DIVERGENCE, DRIVE = range(10, 17)
LAST_QUICK, LAST_SLOW = RUN, DIVERGENCE

KINDS = (
    "nothing", "spoof", "iceberg", "absorption", "imbalance", "cascade", "ignition", "stop-run", "informed",
    "run", "shock", "break", "failed-break", "excursion", "travel", "divergence", "drive",
)  # fmt: skip
"""Names of the kinds by their number."""

REFILL, FLEE, HONEST = 1, 2, 3
"""What becomes of a plant's order: refilled when eaten; cancelled as the price nears; left to its fate."""

LIMIT_LOTS = 60.0
MEMORY = 20
"""Minutes whose extremes a plant knows."""

STAGES = 4
_ROOT = math.sqrt(60.0)

# by kind: least and most of size, distance, seconds of life, move; drawn evenly in their logarithms
RANGES = np.array((
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (0.4, 20.0, 4.0, 40.0, 5.0, 90.0, 0.1, 3.0),  # spoof: mean limit orders; ticks
    (0.4, 4.0, 1.0, 6.0, 20.0, 300.0, 0.1, 3.0),  # iceberg: likewise
    (0.4, 8.0, 2.0, 12.0, 60.0, 600.0, 0.1, 3.0),  # absorption: likewise
    (0.4, 12.0, 1.0, 4.0, 10.0, 120.0, 0.1, 2.0),  # imbalance: likewise
    (0.5, 4.0, 0.5, 8.0, 10.0, 120.0, 0.1, 2.0),  # cascade: mean market orders
    (0.3, 2.0, 0.3, 5.0, 3.0, 40.0, 0.1, 3.0),  # ignition
    (0.5, 4.0, 0.1, 2.0, 30.0, 300.0, 0.2, 4.0),  # stop run
    (0.3, 3.0, 0.2, 4.0, 20.0, 300.0, 0.1, 1.0),  # informed flow
    (0.3, 3.0, 1.0, 1.0, 30.0, 600.0, 0.1, 2.0),  # run
    (0.5, 4.0, 0.8, 10.0, 600.0, 2400.0, 0.2, 6.0),  # shock
    (0.5, 3.0, 0.2, 3.0, 120.0, 900.0, 0.3, 5.0),  # break
    (0.5, 3.0, 0.2, 3.0, 120.0, 900.0, 0.3, 5.0),  # failed break
    (0.5, 1.0, 1.0, 8.0, 600.0, 1800.0, 1.0, 1.0),  # excursion
    (0.5, 2.0, 2.0, 10.0, 600.0, 1500.0, 1.0, 1.0),  # travel
    (0.3, 2.0, 1.0, 5.0, 900.0, 2400.0, 0.3, 5.0),  # divergence
    (0.3, 2.0, 1.0, 8.0, 300.0, 1800.0, 0.5, 8.0),  # drive
))  # fmt: skip
"""By kind: least and most of size, distance, life in seconds, move."""

PLANT = np.dtype(
    [
        ("key", "u8"),
        *[
            (name, "i8")
            for name in (
                "draws", "kind", "side", "decoy", "stage", "stages", "turns", "wake", "stage_end",
                "start", "turn", "last", "tick", "offset", "wall_side", "wall_lots", "opens",
            )
        ],
        *[(name, "f8") for name in ("rate", "ease", "size", "distance", "life", "move")],
        ("chosen", "i8", (len(KINDS),)),
        *[
            (f"stage_{name}", "f8", (STAGES,))
            for name in ("seconds", "drifts", "pushes", "lots", "pins", "aims")
        ],
        *[(f"stage_{name}", "i8", (STAGES,)) for name in ("sides", "walls", "forced")],
        ("highs", "f8", (MEMORY,)),
        ("lows", "f8", (MEMORY,)),
    ],
    align=True,
)  # fmt: skip
"""A place for a plant, and what goes on in it."""


@step
def draw(plant: Any) -> float:
    """Return the plant's next uniform number."""
    plant.draws += 1
    return uniform(plant.key, place(plant.draws))


@step
def compose(state: Any, plant: Any) -> None:
    """Draw the side and the numbers of a plant, and lay down its stages."""
    kind = plant.kind
    plant.side = 1 if draw(plant) < 0.5 else -1
    plant.decoy = 1 if draw(plant) < 0.5 else 0
    plant.size = _within(plant, 0)
    plant.distance = _within(plant, 2)
    plant.life = _within(plant, 4)
    plant.move = _within(plant, 6)
    plant.stages = plant.wall_lots = 0
    plant.turns = 1
    minute = state.sigma * _ROOT
    if kind <= IMBALANCE:
        _compose_order(state, plant, minute)
    elif kind <= RUN:
        _compose_burst(state, plant, minute)
    elif kind <= FAILED_BREAK:
        _compose_break(state, plant, minute)
    else:
        _compose_session(state, plant, minute)


@step
def _within(plant: Any, at: int) -> float:
    low, high, u = RANGES[plant.kind, at], RANGES[plant.kind, at + 1], draw(plant)
    return low * exp((u if plant.ease < 0.0 else plant.ease) * log(high / low))


@step
def _add(plant: Any, seconds: float, drift: float, pushes: float, side: int, wall: int) -> None:
    """Add a stage: drift in ticks, market orders a second and their side, what becomes of its order."""
    i = plant.stages
    plant.stage_seconds[i], plant.stage_drifts[i] = seconds, drift
    plant.stage_pushes[i], plant.stage_sides[i] = pushes, side
    plant.stage_lots[i], plant.stage_walls[i] = plant.size, wall
    plant.stage_pins[i], plant.stage_aims[i], plant.stage_forced[i] = 0.0, 0.0, 0
    plant.stages += 1


@step
def _compose_order(state: Any, plant: Any, minute: float) -> None:
    kind, side, life, decoy = plant.kind, plant.side, plant.life, plant.decoy
    plant.offset = max(math.floor(plant.distance), 1)
    plant.wall_side = -side if kind == SPOOF else side
    plant.wall_lots = max(math.floor(plant.size * LIMIT_LOTS), 1)
    plant.tick = max(state.bid - plant.offset, 1) if plant.wall_side > 0 else state.ask + plant.offset
    move = 0.0 if decoy else side * plant.move * minute
    wall = HONEST if decoy else REFILL
    against = -side * (plant.offset + 1.0)
    if kind == SPOOF:
        _add(plant, life, side * (plant.offset + 1.0), 0.0, 0, HONEST if decoy else FLEE)
        _add(plant, 20.0 + life, move, 0.0, 0, 0)
    elif kind == ICEBERG:
        _add(plant, life, against, 0.6, -side, wall)
        _add(plant, 30.0 + 0.5 * life, move, 0.0, 0, 0)
    elif kind == ABSORPTION:
        _add(plant, life / 3.0, against, 0.8, -side, wall)
        _add(plant, life / 3.0, -against, 0.0, 0, wall)
        _add(plant, life / 3.0, against, 0.8, -side, wall)
        _add(plant, 60.0, side * plant.move * minute * (1.0 - 2.0 * decoy), 0.3, side - 2 * decoy * side, 0)
        plant.turns = 3
    else:
        _add(plant, life, 0.0, 0.0, 0, REFILL)
        _add(plant, 30.0, move, 0.0, 0, 0)
    for i in range(plant.stages):
        plant.stage_lots[i] = 1.0


@step
def _compose_burst(state: Any, plant: Any, minute: float) -> None:
    kind, side, life, decoy = plant.kind, plant.side, plant.life, plant.decoy
    distance, move = side * plant.distance * minute, side * plant.move * minute
    real = 1.0 - decoy
    if kind == CASCADE:
        # a decoy is one large print, as forced as those of a cascade
        _add(plant, 0.5 * life, 0.3 * distance * real, 1.0 * real, side, 0)
        _add(plant, 0.25 * life if decoy == 0 else 1.0, 0.7 * distance * real, 4.0 * real + decoy, side, 0)
        _add(plant, life, -move * real, 0.3 * real, -side, 0)
        plant.stage_lots[1] *= 1.0 + 7.0 * decoy
        plant.stage_forced[0] = plant.stage_forced[1] = 1
        plant.turns = 2
    elif kind == IGNITION:
        _add(plant, life, 0.6 * distance * real, 6.0, side * (1 - decoy), 0)
        _add(plant, life, 0.4 * distance * real, 1.0, side * (1 - decoy), 0)
        _add(plant, 3.0 * life, -move * real, 0.0, 0, 0)
        plant.turns = 2
    elif kind == STOP_RUN:
        aim = _approach(state, plant, -side, minute)
        _aim(plant, 8.0, aim, 4.0, -side)
        _add(plant, life, move * (1.0 - 2.0 * decoy), 0.3, side - 2 * decoy * side, 0)
        plant.turns = 2
    elif kind == INFORMED:
        _add(plant, life, distance * real, 1.0, side, 0)
        _add(plant, 0.5 * life, move * real, 0.0, 0, 0)
    else:
        _add(plant, life, 0.0, 0.7, side, 0)
        _add(plant, 0.5 * life, move * real, 0.0, 0, 0)


@step
def _compose_break(state: Any, plant: Any, minute: float) -> None:
    kind, side, life, decoy = plant.kind, plant.side, plant.life, plant.decoy
    distance, move = side * plant.distance * minute, side * plant.move * minute
    if kind == SHOCK:
        # the shock goes to the side of what follows, or against it: then its distance is below zero
        if draw(plant) < 0.5:
            plant.distance = -plant.distance
        way = side if plant.distance > 0.0 else -side
        _add(plant, 12.0, side * plant.distance * minute, 3.0, way, 0)
        _add(plant, life, move * (1.0 - decoy), 0.3 * (1.0 - decoy), side, 0)
    elif kind == BREAK:
        aim = _approach(state, plant, side, minute)
        _aim(plant, 45.0, aim, 2.0, side)
        _add(plant, life, move * (1.0 - 2.0 * decoy), 0.3, side - 2 * decoy * side, 0)
        plant.turns = 2
    else:
        aim = _approach(state, plant, -side, minute)
        _aim(plant, 60.0, aim, 0.5, -side)
        back = (distance + move) if decoy == 0 else -move
        _add(plant, 0.5 * life, back, 0.8, side - 2 * decoy * side, 0)
        plant.turns = 2


@step
def _compose_session(state: Any, plant: Any, minute: float) -> None:
    kind, side, life, decoy = plant.kind, plant.side, plant.life, plant.decoy
    distance, move = side * plant.distance * minute, side * plant.move * minute
    real = 1.0 - decoy
    if kind == EXCURSION:
        plant.move = plant.distance
        _add(plant, life, -distance, 0.0, 0, 0)
        _add(plant, life, distance * real, 0.0, 0, 0)
    elif kind == TRAVEL:
        plant.move = plant.distance
        _add(plant, life, 0.0, 0.5, 0, 0)
        _add(plant, 60.0, -distance, 0.5, -side, 0)
        _add(plant, life, 0.0, 0.5, 0, 0)
        _add(plant, 90.0, distance * (1.0 - 0.6 * decoy), 0.5, side, 0)
        plant.stage_pins[0] = state.efficient
        plant.stage_pins[2] = max(state.efficient - distance, 1.0)
        plant.turns = 3
    elif kind == DIVERGENCE:
        _add(plant, 0.3 * life, -distance, 0.4, -side, 0)
        _add(plant, 0.2 * life, 0.5 * distance, 0.0, 0, 0)
        _add(plant, 0.3 * life, -0.8 * distance, 0.4, side, 0)
        _add(plant, 0.2 * life, move * real, 0.0, 0, 0)
        plant.turns = 3
    else:
        # the opening goes to the side of what follows, a drive, or against it, a fade: then below zero
        if draw(plant) < 0.5:
            plant.distance = -plant.distance
        way = side if plant.distance > 0.0 else -side
        _add(plant, 0.5 * life, side * plant.distance * minute, 0.5, way, 0)
        _add(plant, life, move * real, 0.2 * real, side, 0)


@step
def _approach(state: Any, plant: Any, way: int, minute: float) -> float:
    """Add the stage that goes to the extreme of the last minutes; return the price to aim at beyond it."""
    far = state.efficient
    for i in range(MEMORY):
        if plant.highs[i] > 0.0:
            far = max(far, plant.highs[i]) if way > 0 else min(far, plant.lows[i])
    far = max(min(far, state.efficient + 8.0 * minute), state.efficient - 8.0 * minute)
    _aim(plant, plant.life, far, 0.0, 0)
    return far + way * plant.distance * minute


@step
def _aim(plant: Any, seconds: float, price: float, pushes: float, side: int) -> None:
    """Add a stage at whose end the efficient price is at a price, in ticks."""
    _add(plant, seconds, 0.0, pushes, side, 0)
    plant.stage_aims[plant.stages - 1] = max(price, 1.0)
