"""The table at the end of a run."""

from __future__ import annotations

from typing import Any

from nexus_core.cli.output import pairs
from nexus_core.records import UNIT
from nexus_core.session import Session
from nexus_core.types import Mode

_COUNTS = ("decisions", "approved", "skipped", "rejected", "orders", "fills", "trades", "wins")


def result(work: Session, seconds: float, rows: int) -> tuple[dict[str, Any], list[str]]:
    """Return what came of a run, as data and as lines of text."""
    engine = work.engine
    account = {name: int(engine.ledger.account[name][0]) for name in engine.ledger.account.dtype.names or ()}
    capital = work.assembly.settings.risk.capital
    equity = (account["cash"] + account["value"]) / UNIT
    places, ended = engine.chain.places, work.reasons.most_common()
    account["skipped"] = account["decisions"] - account["approved"] - account["rejected"]
    data: dict[str, Any] = {
        "run": work.folder.name,
        "hash": engine.ledger.run_hash,
        "folder": str(work.folder),
        "finished": work.finished,
        "ticks": engine.tick,
        "symbols": list(engine.market.symbols),
        "strategies": [loop.name for loop in engine.loops],
        "inactive": {each.name: f"{each.state}: {each.reason}" for each in engine.inactive},
        "signals": {loop.name: engine.outcomes.of(k) for k, loop in enumerate(engine.loops)},
        "calibrated": sorted(engine.known),
        "faults": {loop.name: loop.faults() for loop in engine.loops if loop.faults()},
        "quarantined": engine.ward.silent(),
        "quality": work.assembly.feed.quality,
        "mode": Mode(account["mode"]).name,
        **{name: account[name] for name in _COUNTS},
        "open_positions": int((engine.ledger.positions["qty"] != 0).sum()),
        "capital": capital,
        "equity": equity,
        "profit": equity - capital,
        "fees": account["fees"] / UNIT,
        "refused_by": {f"{places[n].name} (layer {places[n].layer})": count for n, count in ended if n >= 0},
        "seconds": seconds,
        "bars_per_second": rows / seconds if seconds > 0 else 0.0,
    }
    return data, _text(data)


def _counted(each: dict[str, Any], calibrated: bool) -> str:
    known = each["right"] + each["wrong"]
    right = f", {each['right'] / known:.1%} of {known:,} right at the horizon" if known else ""
    mean = f", mean score {each['score']:.2f}" if each["signals"] else ""
    signals = f"{each['signals']:,} signal{'' if each['signals'] == 1 else 's'}"
    return f"{signals}{right}{mean}{'' if calibrated else ' (uncalibrated)'}"


def _text(data: dict[str, Any]) -> list[str]:
    wins = f"{data['wins']:,} won" if data["trades"] else "none"
    said = {name: _counted(each, name in data["calibrated"]) for name, each in data["signals"].items()}
    said |= data["inactive"] | {name: f"{count:,} faults" for name, count in data["faults"].items()}
    said |= {name: f"quarantined since {since}" for name, since in data["quarantined"].items()}
    quality = "; ".join(f"{symbol} {score:.3f}" for symbol, score in data["quality"].items())
    facts = {
        "strategies": ", ".join(data["strategies"]) or "none",
        **{f"  {name}": why for name, why in said.items()},
        "market": f"{', '.join(data['symbols'])}; {data['ticks']:,} ticks",
        **({"data quality": quality} if quality else {}),
        "decisions": f"{data['decisions']:,}",
        **{f"  {name}": f"{data[name]:,}" for name in ("approved", "skipped", "rejected")},
        "orders": f"{data['orders']:,}, of them {data['fills']:,} filled",
        "trades": f"{data['trades']:,} closed, {wins}; {data['open_positions']} open",
        "profit": f"{data['profit']:+,.2f} ({data['profit'] / data['capital']:+.2%})",
        "fees": f"{data['fees']:,.2f}",
        "equity": f"{data['equity']:,.2f} of {data['capital']:,.2f}",
        "mode": data["mode"],
        "speed": f"{data['bars_per_second']:,.0f} bars/s ({data['seconds']:.2f} s)",
    }
    refused = [(name, f"{count:,}") for name, count in data["refused_by"].items()]
    lines = pairs(facts, refused, ("ended by", "decisions"))
    goes_on = [] if data["finished"] else [f"Not finished. Go on with: nexus run --resume {data['run']}"]
    return [*lines, "", f"run   {data['run']}", f"hash  {data['hash']}", *goes_on]
