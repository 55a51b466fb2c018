"""The contract of brokers: what trading costs on paper, and what a venue must be able to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nexus_core import compile
from nexus_core.broker import Broker
from nexus_core.interfaces import IBroker
from nexus_core.ledger import CostStep
from nexus_core.records import ACCOUNT, ORDER, UNIT, Records, empty
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.fakes import walk
from nexus_core.testing.trial import Trial
from nexus_core.types import Instrument, OrderKind, OrderState, Purpose, Side, iso

_SYMBOLS = 3
_ROUNDING = 1e-12

_COSTS = """
def entry(rows, orders, accounts, fees, slips, rates, worse, at):
    for n in range(rows.size):
        at[0] = n
        rates[n] = fee(rows[n], orders[n], accounts[n], fees[0])
        worse[n] = slippage(rows[n], orders[n], slips[0])
"""


def _on_paper(of: Subject) -> bool:
    return bool(getattr(of.plugin, "on_paper", False))


def _no_matcher(of: Subject) -> str:
    return "" if _on_paper(of) else "its venue matches, and says what that costs"


@check("NX-B01", Grade.BRONZE, "brokers")
def _declares(of: Subject) -> None:
    """Fees and slippage are numbers in bounds, and on_paper is declared."""
    named = inspect.getattr_static(of.plugin, "on_paper", None)
    declared = any("on_paper" in vars(each) for each in of.plugin.__mro__ if each is not Broker)
    if not declared or not isinstance(named, bool):
        raise Broken("declares no on_paper. Add on_paper = True where the ledger matches, else False.")
    rows = walk(_SYMBOLS, 200)
    fee, slippage = of.make().costs()
    for side, kind in [(side, kind) for side in Side for kind in OrderKind]:
        rates, worse = _asked(fee, slippage, rows, side, kind)
        _within("fee", rates, (rates > -1.0) & (rates < 1.0), "above -1 and below 1", rows, side, kind)
        _within("slippage", worse, (worse >= 0.0) & (worse < 1.0), "from 0 and below 1", rows, side, kind)


def _within(
    what: str, found: Any, good: Any, bounds: str, rows: Records, side: Side, kind: OrderKind
) -> None:
    if not good.all():
        n = int(np.argmin(good))
        raise Broken(
            f"{what} was {found[n]} for a {kind.name} order to {side.name} at {_where(rows, n)}, must be "
            f"{bounds}. It is a share: 0.1 % is 0.001."
        )


@check("NX-B02", Grade.SILVER, "brokers", needless=_no_matcher)
def _keeps_parity(of: Subject) -> None:
    """Blocks of 1, 7, 64 and all ticks make the same run."""
    rows = walk(_SYMBOLS, 250)
    whole = _run_hash(of, rows, len(rows))
    for size in (1, 7, 64):
        if _run_hash(of, rows, size) != whole:
            raise Broken(
                f"a run in blocks of {size} ticks came out otherwise than one in a single block. Make fees "
                "and slippage from the parameters alone."
            )


def _run_hash(of: Subject, rows: Records, size: int) -> str:
    broker: Broker = of.make()
    traded = tuple(Instrument(each) for each in ("A-USD", "B-USD", "C-USD"))
    trial = Trial(
        fee=broker.fees(), slippage=broker.slippage(), instruments=traded, trace="orders", breaker_loss=0.0
    )
    signals = np.where(rows["seq"] % 20 < 10, 1, -1)
    trial.run(rows, signals, 0.5, block=size)
    return trial.ledger.run_hash


@check("NX-B03", Grade.SILVER, "brokers", needless=lambda of: "the ledger matches" if _on_paper(of) else "")
def _reaches_a_venue(of: Subject) -> None:
    """Every method of IBroker is there, as that declares it."""
    for name in sorted(IBroker.__abstractmethods__):
        asked = getattr(IBroker, name)
        made = getattr(of.plugin, name, None)
        if not callable(made) or made is asked:
            raise Broken(f"has no {name}. Write it as nexus_core.interfaces.IBroker says.")
        if inspect.iscoroutinefunction(made) != inspect.iscoroutinefunction(asked):
            kind = "a coroutine (async def)" if inspect.iscoroutinefunction(asked) else "an async iterator"
            raise Broken(f"{name} is not {kind}. Write it as nexus_core.interfaces.IBroker says.")
        if not inspect.iscoroutinefunction(asked) and not _iterates(made):
            raise Broken(
                f"{name} is no async iterator. Write async def with yield, or declare that it returns one."
            )
        if not _takes(made, len(inspect.signature(asked).parameters)):
            raise Broken(f"{name} takes other arguments. Write {name}{inspect.signature(asked)}.")


def _iterates(made: Callable[..., Any]) -> bool:
    returned = str(inspect.signature(made).return_annotation)
    return inspect.isasyncgenfunction(made) or "Async" in returned


def _takes(made: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(made).bind(*range(count))
    except TypeError:
        return False
    return True


@check("NX-B04", Grade.GOLD, "brokers", needless=_no_matcher)
def _never_pays(of: Subject) -> None:
    """No round trip that takes liquidity earns money by its costs."""
    rows = walk(_SYMBOLS, 200)
    fee, slippage = of.make().costs()
    takers = (OrderKind.MARKET, OrderKind.STOP)
    for kinds in [(one, other) for one in takers for other in takers]:
        sides = zip((Side.BUY, Side.SELL), kinds, strict=True)
        cost: Any = np.zeros(len(rows))
        for side, kind in sides:
            rates, worse = _asked(fee, slippage, rows, side, kind)
            cost += rates + worse
        if (cost < -_ROUNDING).any():
            n = int(np.argmax(cost < -_ROUNDING))
            raise Broken(
                f"buying and selling at {_where(rows, n)} paid the trader {-cost[n]:.6g} of the price. Let "
                "fees and slippage of the two together be 0 or more."
            )


def _asked(fee: CostStep, slippage: CostStep, rows: Records, side: Side, kind: OrderKind) -> tuple[Any, Any]:
    """Return fee and slippage of a fill on each row, both as shares."""
    orders, accounts, size = empty(ORDER, len(rows)), empty(ACCOUNT, len(rows)), len(rows)
    orders["id"], orders["ts"], orders["symbol"] = np.arange(size) + 1, rows["ts"], rows["symbol"]
    orders["decision"], orders["qty"] = rows["ts"], (np.arange(size) % 50 + 1) * UNIT // 10
    orders["price"] = np.rint(rows["close"] * UNIT)
    orders["side"], orders["kind"], orders["state"] = side, kind, OrderState.OPEN
    orders["purpose"] = Purpose.STOP if kind == OrderKind.STOP else Purpose.ENTRY
    for name in ("cash", "peak", "day_start", "week_start"):
        accounts[name] = 100_000 * UNIT
    accounts["fills"] = np.arange(size)
    rates, worse, at = np.zeros(size), np.zeros(size), np.full(1, -1, np.int64)
    entry = compile.entry("costs", _COSTS, {"fee": fee.step, "slippage": slippage.step})
    try:
        compile.call(entry, rows, orders, accounts, fee.params, slippage.params, rates, worse, at)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        if at[0] < 0:
            raise Broken(f"its fees or slippage cannot be compiled: {said}. Return one float.") from error
        raise Broken(
            f"its fees or slippage raised {type(error).__name__} at {_where(rows, int(at[0]))}: {said}. "
            "Return a share for every fill."
        ) from error
    return rates, worse


def _where(rows: Records, n: int) -> str:
    return f"row {n} (symbol {rows['symbol'][n]}, {iso(rows['ts'][n])})"
