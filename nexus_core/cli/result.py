"""The table at the end of a run."""

from __future__ import annotations

from typing import Any

from nexus_core.cli.output import pairs, table
from nexus_core.records import UNIT
from nexus_core.session import Session
from nexus_core.types import Mode


def result(work: Session, seconds: float, rows: int) -> tuple[dict[str, Any], list[str]]:
    """Return what came of a run, as data and as lines of text."""
    engine = work.engine
    account = {name: int(engine.ledger.account[name][0]) for name in engine.ledger.account.dtype.names or ()}
    capital = work.assembly.settings.risk.capital
    equity = (account["cash"] + account["value"]) / UNIT
    skipped = account["decisions"] - account["approved"] - account["rejected"]
    data: dict[str, Any] = {
        "run": work.folder.name,
        "hash": engine.ledger.run_hash,
        "folder": str(work.folder),
        "finished": work.finished,
        "ticks": engine.tick,
        "symbols": list(engine.market.symbols),
        "strategies": [loop.name for loop in engine.loops],
        "inactive": {each.name: each.reason for each in engine.inactive},
        "faults": {loop.name: loop.faults() for loop in engine.loops if loop.faults()},
        "mode": Mode(account["mode"]).name,
        "decisions": account["decisions"],
        "approved": account["approved"],
        "skipped": skipped,
        "rejected": account["rejected"],
        "orders": account["orders"],
        "fills": account["fills"],
        "trades": account["trades"],
        "wins": account["wins"],
        "open_positions": int((engine.ledger.positions["qty"] != 0).sum()),
        "capital": capital,
        "equity": equity,
        "profit": equity - capital,
        "fees": account["fees"] / UNIT,
        "refused_by": _refusals(work),
        "seconds": seconds,
        "bars_per_second": rows / seconds if seconds > 0 else 0.0,
    }
    return data, _text(data)


def _refusals(work: Session) -> dict[str, int]:
    places = work.engine.chain.places
    counted = work.reasons.most_common()
    return {f"{places[n].name} (layer {places[n].layer})": count for n, count in counted if n >= 0}


def _text(data: dict[str, Any]) -> list[str]:
    wins = f"{data['wins']:,} won" if data["trades"] else "none"
    lines = pairs(
        {
            "strategies": ", ".join(data["strategies"]) or "none",
            **{f"  {name}": f"inactive: {reason}" for name, reason in data["inactive"].items()},
            **{
                f"  {name}": f"{count:,} answers outside 0 to 1 were dropped"
                for name, count in data["faults"].items()
            },
            "market": f"{', '.join(data['symbols'])}; {data['ticks']:,} ticks",
            "decisions": f"{data['decisions']:,}",
            "  approved": f"{data['approved']:,}",
            "  skipped": f"{data['skipped']:,}",
            "  rejected": f"{data['rejected']:,}",
            "orders": f"{data['orders']:,}, of them {data['fills']:,} filled",
            "trades": f"{data['trades']:,} closed, {wins}; {data['open_positions']} open",
            "profit": f"{data['profit']:+,.2f} ({data['profit'] / data['capital']:+.2%})",
            "fees": f"{data['fees']:,.2f}",
            "equity": f"{data['equity']:,.2f} of {data['capital']:,.2f}",
            "mode": data["mode"],
            "speed": f"{data['bars_per_second']:,.0f} bars/s ({data['seconds']:.2f} s)",
        }
    )
    if data["refused_by"]:
        lines += [
            "",
            *table(
                [[name, f"{count:,}"] for name, count in data["refused_by"].items()],
                ("ended by", "decisions"),
            ),
        ]
    goes_on = [] if data["finished"] else [f"Not finished. Go on with: nexus run --resume {data['run']}"]
    return [*lines, "", f"run   {data['run']}", f"hash  {data['hash']}", *goes_on]
