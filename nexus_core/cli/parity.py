"""`nexus parity`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer

from nexus_core.cli import output
from nexus_core.errors import CheckFailedError, UsageError

app = output.app()

# loss limits would end trading early, and with it what is compared
_TRADING_ON = (
    "risk.max_daily_loss=1", "risk.max_weekly_loss=1", "risk.max_drawdown=1", "risk.breaker_loss=0",
)  # fmt: skip


@app.command()
def parity(
    plugins: Annotated[
        str | None, typer.Option(help="Strategies: a,b; vwap,ema-cross without it, where both are installed.")
    ] = None,
    symbols: Annotated[int, typer.Option(help="How many symbols.", min=1, max=1000)] = 20,
    bars: Annotated[int, typer.Option(help="Bars of each symbol.", min=1)] = 50_000,
    blocks: Annotated[str, typer.Option(help="Block sizes to compare, in ticks.")] = "1,64,4096",
    seed: Annotated[int, typer.Option(help="Seed of the market.")] = 7,
    config: output.Config = None,
    sets: output.Sets = None,
    as_json: output.Json = False,
) -> None:
    """Prove that decisions do not depend on the size of blocks.

    Runs the same market once for each block size and compares the run hashes, which cover every decision,
    verdict, order and fill. There is no tolerance.
    """
    from nexus_core.config import load

    sizes, plugins = _sizes(blocks), plugins or _installed()
    names = ",".join(f"S{n:02d}-USD" for n in range(1, symbols + 1))
    given = [f"run.strategies={plugins}", f"run.symbols={names}", f"run.bars={bars}", f"run.seed={seed}"]
    settings = load(config, sets=[*_TRADING_ON, *(sets or []), *given]).settings
    progress = output.Progress()
    runs = [_run(settings, size, progress) for size in sizes]
    progress.done()
    same = len({run["hash"] for run in runs}) == 1
    difference = "" if same else _difference(settings, sizes, runs, progress)
    data = {"same": same, "symbols": symbols, "bars": bars, "runs": runs, "difference": difference}
    head = ("block", "epochs", "decisions", "approved", "fills", "trades", "bars/s", "hash")
    output.show(as_json, data, output.table([_line(run) for run in runs], head))
    if not same:
        raise CheckFailedError(f"parity: {difference}")
    if not runs[0]["fills"]:
        raise CheckFailedError(
            "parity: the hashes agree, but nothing was traded. Take more bars or other strategies."
        )


def _installed() -> str:
    from nexus_core.plugins import offers

    names = {each.name for each in offers() if each.kind == "strategies"}
    return "vwap,ema-cross" if "ema-cross" in names else "vwap"


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(each) for each in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) < 2 or min(sizes) < 1:
        raise UsageError(f"--blocks was {text}, must be two or more sizes from 1 on, as in 1,64,4096.")
    return sizes


def _run(settings: Any, size: int, progress: Any) -> dict[str, Any]:
    from nexus_core.engine import assemble

    assembly = assemble(settings, trace="orders")
    engine = assembly.engine
    assembly.warm(progress)
    begun = time.perf_counter()
    epochs = {engine.edge(ts) for ts in _play(assembly, size, progress)}
    seconds = time.perf_counter() - begun
    account = engine.ledger.account[0]
    facts = {name: int(account[name]) for name in ("decisions", "approved", "fills", "trades")}
    speed = facts["decisions"] / seconds
    return {
        "block": size,
        "epochs": len(epochs),
        **facts,
        "bars_per_second": speed,
        "hash": engine.ledger.run_hash,
    }


def _play(assembly: Any, size: int, progress: Any) -> Any:
    from nexus_core.records import EVENT, empty

    engine, none = assembly.engine, empty(EVENT, 0)
    for chunk in assembly.feed.chunks(assembly.market, 0):
        for block in engine.blocks(chunk, size):
            for _ in engine.advance(block, none):
                pass
            yield int(block.times[-1])
        progress(f"block {size}: {engine.tick:,} of {engine.market.ticks:,} ticks")


def _line(run: dict[str, Any]) -> list[str]:
    numbers = [f"{run[name]:,}" for name in ("block", "epochs", "decisions", "approved", "fills", "trades")]
    return [*numbers, f"{run['bars_per_second']:,.0f}", run["hash"]]


def _difference(settings: Any, sizes: list[int], runs: list[dict[str, Any]], progress: Any) -> str:
    """Say which record of which stream is the first that differs, and in which column."""
    other = next(n for n, run in enumerate(runs) if run["hash"] != runs[0]["hash"])
    left, right = (_streams(settings, sizes[n], progress) for n in (0, other))
    progress.done()
    symbols = settings.run.symbols
    found = [each for name in left if (each := _first(name, left[name], right[name], symbols))]
    where = min(found)[1] if found else "the records kept are equal, and the folds of their verdicts differ"
    return f"blocks of {sizes[0]} and of {sizes[other]} ticks differ: {where}."


def _streams(settings: Any, size: int, progress: Any) -> dict[str, Any]:
    from nexus_core.engine import assemble
    from nexus_core.records import EVENT, empty

    assembly = assemble(settings, trace="full")
    engine, kept = assembly.engine, dict[str, list[Any]](decisions=[], events=[])
    for chunk in assembly.feed.chunks(assembly.market, 0):
        for block in engine.blocks(chunk, size):
            for written in engine.advance(block, empty(EVENT, 0)):
                kept["decisions"].append(written.decisions.copy())
                kept["events"].append(written.events.copy())
        progress(f"looking for the difference, block {size}: {engine.tick:,} ticks")
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def _first(name: str, left: Any, right: Any, symbols: Any) -> tuple[int, str] | None:
    from nexus_core.types import iso

    size = min(len(left), len(right))
    columns = {name: _differing(left[name][:size], right[name][:size]) for name in left.dtype.names}
    hits = [(int(rows[0]), column) for column, rows in columns.items() if len(rows)]
    if hits:
        row, column = min(hits)
        here = left[row]
        text = f"{name} row {row} ({symbols[here['symbol']]}, {iso(here['ts'])}), column {column}"
        return int(here["ts"]), f"{text}: {here[column]} and {right[row][column]}"
    if len(left) != len(right):
        longer = left if len(left) > len(right) else right
        return int(longer[size]["ts"]), f"{name} row {size} exists in one only"
    return None


def _differing(left: Any, right: Any) -> Any:
    return np.flatnonzero((left != right) & ((left == left) | (right == right)))
