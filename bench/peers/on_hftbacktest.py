"""The same recording in hftbacktest: its own converter, then a replay of what that gives, in steps of 100 ms.

It is called with a recording of Binance futures, compressed by gzip, and the step of prices; or with a NumPy
file of its own events, which is replayed as it is. The converter leaves out quotes of the best prices, unless
it is asked for them; it is not asked here. The first conversion is not counted: it compiles.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from hftbacktest import BacktestAsset, ROIVectorMarketDepthBacktest
from hftbacktest.data.utils import binancefutures
from numba import njit

RUNS, STEP = 3, 100_000_000


@njit
def replay(market: Any) -> int:
    steps = 0
    while market.elapse(STEP) == 0:
        steps += 1
    return steps


def convert(path: str) -> Any:
    if path.endswith(".npy"):
        return np.load(path)
    with contextlib.redirect_stdout(io.StringIO()):
        return binancefutures.convert(path, combined_stream=True)


def opened(events: Any, tick: float) -> Any:
    prices = events["px"][events["px"] > 0]
    asset = (
        BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(10_000_000, 10_000_000)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(tick)
        .lot_size(0.001)
        .roi_lb(float(np.quantile(prices, 0.01)))
        .roi_ub(float(np.quantile(prices, 0.99)))
    )
    return ROIVectorMarketDepthBacktest([asset])


def main() -> None:
    path, tick = sys.argv[1], float(sys.argv[2])
    events = convert(path)
    market = opened(events, tick)
    replay(market)
    market.close()
    converting, replaying = [], []
    for _ in range(RUNS):
        begun = time.process_time()
        events = convert(path)
        converting.append(time.process_time() - begun)
        market = opened(events, tick)
        begun = time.process_time()
        replay(market)
        replaying.append(time.process_time() - begun)
        market.close()
    said = {"version": version("hftbacktest"), "events": len(events)}
    print(json.dumps(said | {"convert": min(converting), "replay": min(replaying)}))


main()
