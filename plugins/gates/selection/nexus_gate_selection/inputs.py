"""The 44 numbers that a model of layer 3 is shown: 5, 5, 1, 1, 20 and 12 of six kinds."""

import math

import numpy as np

from nexus_core import step, steps

PLACES = 20
"""Strategies whose record is shown, the first of the run."""

RECORDS = 12
"""Place of the first strategy's record."""

INPUTS = (
    "away_return",  # momentum
    "return_5",
    "return_20",
    "momentum",
    "trend_strength",
    "away_volume",  # volume
    "volume_5",
    "volume_20",
    "flow_20",
    "flow_60",
    "market_state",
    "volatility",
    *(f"record_{k}" for k in range(PLACES)),
    "spread",  # microstructure
    "away_spread",
    "touch",
    "touch_20",
    "taking",
    "taking_20",
    "away_range",
    "body",
    "place",
    "liquidity",
    "imbalance",
    "noise",
)
"""What stands at each place."""


HUGE = 1e100
"""A volume from here on is none: differences of larger ones could be infinite."""


def trends():
    """Return what the inputs remember of a symbol before its first row."""
    return steps.record(
        before_5=steps.lag(5),
        before_20=steps.lag(20),
        volume_5=steps.ewm(5),
        volume_20=steps.ewm(20),
        volume_60=steps.ewm(60),
        flow_20=steps.ewm(20),
        flow_60=steps.ewm(60),
        touch=steps.ewm(20),
        taking=steps.ewm(20),
    )


@step
def show_price(inputs, state, price, sigma):
    """Write the returns of the last 5 and 20 rows, in deviations of a return times the root of the rows."""
    inputs[1] = (price - steps.lag.push(state.before_5, price)) / (sigma * math.sqrt(5.0))
    inputs[2] = (price - steps.lag.push(state.before_20, price)) / (sigma * math.sqrt(20.0))


@step
def show_volume(inputs, state, volume, change):
    """Write volume against its usual, and what came with rising less what came with falling prices."""
    side = int(change > 0.0) - int(change < 0.0)
    # both sides of a share see the same rows, and none that an average would not forget
    volume = volume if 0.0 <= volume < HUGE and change - change == 0.0 else math.nan
    usual_5 = steps.ewm.push(state.volume_5, volume)
    usual_20 = steps.ewm.push(state.volume_20, volume)
    usual_60 = steps.ewm.push(state.volume_60, volume)
    inputs[6] = steps.log(usual_5 / usual_60)
    inputs[7] = steps.log(usual_20 / usual_60)
    inputs[8] = steps.ewm.push(state.flow_20, side * volume) / usual_20
    inputs[9] = steps.ewm.push(state.flow_60, side * volume) / usual_60


@step
def balance(one, other):
    """Return one less the other over both, in [-1, 1]; NaN where a part is unknown or both are nothing."""
    if one >= 0.0 and other >= 0.0:
        return (one - other) / (one + other)
    return np.float64(math.nan)


@step
def show_row(inputs, state, row):
    """Write the microstructure that a row tells by itself."""
    touch = balance(row.bid_size, row.ask_size)
    taking = balance(row.buy_volume, row.sell_volume)
    span = row.high - row.low
    inputs[32] = (row.ask - row.bid) / (0.5 * row.bid + 0.5 * row.ask)
    inputs[34] = touch
    inputs[35] = steps.ewm.push(state.touch, touch)
    inputs[36] = taking
    inputs[37] = steps.ewm.push(state.taking, taking)
    inputs[39] = abs(row.close - row.open) / span
    inputs[40] = (2.0 * row.close - row.high - row.low) / span


@step
def show_quality(inputs, context):
    """Write what layer 1 says of the row."""
    inputs[3], inputs[4], inputs[10] = context.momentum, context.trend_strength, context.market_state
    inputs[11], inputs[41] = context.volatility, context.liquidity
    inputs[42], inputs[43] = context.imbalance, context.noise
