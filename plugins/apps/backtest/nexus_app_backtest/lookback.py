"""A run looked at again: its trace and its feed's rows, from the first to the last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from nexus_app_backtest.decided import Asked, Decided, Ends, in_order
from nexus_app_backtest.trades import LONGEST, TRADE, Player
from nexus_core.compile import is_warm
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import DataError, NotFoundError
from nexus_core.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nexus_core.engine import Assembly
    from nexus_core.records import Records


@frozen(eq=False)
class Seen:
    """All that is found of a run."""

    facts: dict[str, Any]
    settings: Settings
    gates: list[Asked]
    ends: Ends
    decisions: int
    """That the run made in all, with those its trace does not keep."""
    horizon: int
    trades: Records | None
    """What its entries would have made, refused or not; None where the feed cannot be played again."""
    other_costs: bool
    """Whether the broker takes other costs than when the run began."""


def look(folder: Path, facts: dict[str, Any], horizon: int | None, progress: Callable[[str], None]) -> Seen:
    """Read a run's trace, and play its rows again beside it; `horizon` is in rows."""
    settings = Settings.from_dict(facts["settings"])
    assembly = assemble(settings, known=facts.get("calibration", {}))
    gates = in_order(facts, _in_ledger(assembly, facts))
    longest = max((each.strategy.horizon for each in assembly.engine.loops), default=60)
    rows = horizon or min(max(int(longest), 1), LONGEST)
    with Journal(folder) as journal:
        last = journal.last()
        decided = Decided(journal.traces(fields=facts.get("context", ())), facts)
        if decided.is_over:
            text = f"no decision in the trace, which keeps {settings.performance.trace}"
            raise NotFoundError(f"{folder.name}: {text}. See performance.trace.")
        trades = _played(folder.name, facts, assembly, decided, rows, progress)
        decided.drain()
    total = max(decided.ends.decisions, last.decisions if last else 0)
    return Seen(facts, settings, gates, decided.ends, total, rows, trades, _other_costs(assembly, facts))


def _in_ledger(assembly: Assembly, facts: dict[str, Any]) -> set[str]:
    """Return the names of the plugins' gates that need the account; none that changed since the run."""
    chain, known = assembly.engine.chain, [each[:2] for each in facts["gates"]]
    places = [chain.places[each.number] for each in chain.ledger_gates]
    return {each.name for each in places if [each.name, each.layer] in known}


def _other_costs(assembly: Assembly, facts: dict[str, Any]) -> bool:
    code = assembly.code
    return any(code.get(each) != facts["code"].get(each) for each in ("fee", "slippage"))


def _played(
    name: str, facts: dict[str, Any], assembly: Assembly, decided: Decided, horizon: int, progress: Any
) -> Records | None:
    feed, market = assembly.feed, assembly.market
    if feed.live:
        return None
    if facts["recording"] != json.loads(json.dumps(feed.recording(market))):
        advice = "What it refused can only be judged on the rows that it saw: put them back."
        raise DataError(f"{name}: the feed's rows changed since the run began. {advice}")
    feed.warm()
    player = Player(market.instruments, assembly.settings.risk, assembly.broker, horizon)
    if not is_warm(player.entry):
        progress("compiling what plays trades on")
    parts: list[Records] = [np.zeros(0, TRADE)]
    seen = 0
    for chunk in feed.chunks(market, 0):
        parts.append(player.take(chunk, *decided.place(chunk)))
        seen += len(chunk.rows)
        progress(f"{name}  {seen:,} rows played again")
        if decided.is_over and not player.pending:
            break
    if not decided.is_over:
        raise DataError(f"{name}: the feed ends before the run did. Put back the rows that it saw.")
    return np.concatenate(parts)
