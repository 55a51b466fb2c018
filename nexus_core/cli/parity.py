"""`nexus parity`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
from typer import Option

from nexus_core.cli import output
from nexus_core.errors import CheckFailedError, UsageError
from nexus_core.plugins import offers
from nexus_core.records import EVENT, empty
from nexus_core.types import iso
from nexus_core.upkeep.sources import load

app = output.command()

# loss limits would end trading early, and with it what is compared
_UNLIMITED = ("risk.max_daily_loss=1", "risk.max_weekly_loss=1", "risk.max_drawdown=1", "risk.breaker_loss=0")


@app.command()
def parity(
    plugins: Annotated[
        str | None, Option(help="Strategies: a,b; vwap,ema-cross without it, where both are installed.")
    ] = None,
    symbols: Annotated[str, Option(help="How many symbols, or their names: A-USD,B-USD.")] = "20",
    feed: Annotated[str | None, Option(help="Feed plugin.")] = None,
    bars: Annotated[int, Option(help="Bars of each symbol.", min=1)] = 50_000,
    blocks: Annotated[str, Option(help="Block sizes to compare, in ticks.")] = "1,64,4096",
    seed: Annotated[int, Option(help="Seed of the market.")] = 7,
    config: output.Config = None,
    sets: output.Sets = None,
    as_json: output.Json = False,
) -> None:
    """Prove that decisions do not depend on the size of blocks.

    Runs the same market once for each block size and compares the run hashes, which cover every decision,
    verdict, order and fill. There is no tolerance.
    """
    sizes, installed = _sizes(blocks), {each.key for each in offers()}
    plugins = plugins or ("vwap,ema-cross" if "strategies:ema-cross" in installed else "vwap")
    given = [f"run.strategies={plugins}", f"run.symbols={_names(symbols)}", f"run.bars={bars}"]
    given += [f"run.seed={seed}", *([f"run.feed={feed}"] if feed else [])]
    settings = load(config, sets=[*_UNLIMITED, *(sets or []), *given]).settings
    progress = output.Progress()
    runs = [_run(settings, size, progress) for size in sizes]
    progress.done()
    difference = _difference(settings, runs, progress) if len({run["hash"] for run in runs}) > 1 else ""
    data = {"same": not difference, "symbols": len(settings.run.symbols), "bars": bars, "runs": runs,
            "difference": difference}  # fmt: skip
    head = ("block", "epochs", "decisions", "approved", "fills", "trades", "bars/s", "hash")
    rows = [[value if name == "hash" else f"{value:,.0f}" for name, value in run.items()] for run in runs]
    output.show(as_json, data, output.table(rows, head))
    untraded = "the hashes agree, but nothing was traded. Take more bars or other strategies."
    if difference or not runs[0]["fills"]:
        raise CheckFailedError(f"parity: {difference or untraded}")


def _names(symbols: str) -> str:
    if not symbols.isdigit():
        return symbols
    if not 1 <= int(symbols) <= 1000:
        raise UsageError(f"--symbols was {symbols}, must be 1 to 1000, or names.")
    return ",".join(f"S{n:02d}-USD" for n in range(1, int(symbols) + 1))


def _sizes(text: str) -> list[int]:
    with suppress(ValueError):
        sizes = [int(each) for each in text.split(",")]
        if len(sizes) > 1 and min(sizes) > 0:
            return sizes
    raise UsageError(f"--blocks was {text}, must be two or more sizes from 1 on, as in 1,64,4096.")


def _run(settings: Any, size: int, progress: Any) -> dict[str, Any]:
    from nexus_core.engine import assemble

    assembly = assemble(settings, trace="orders")
    assembly.warm(progress)
    begun = time.perf_counter()
    epochs = _play(assembly, size, progress, "block {}: {:,} of {:,} ticks", {})
    seconds = time.perf_counter() - begun
    account = assembly.engine.ledger.account[0]
    facts = {name: int(account[name]) for name in ("decisions", "approved", "fills", "trades")}
    speed, run_hash = facts["decisions"] / seconds, assembly.engine.ledger.run_hash
    return {"block": size, "epochs": epochs, **facts, "bars_per_second": speed, "hash": run_hash}


def _play(assembly: Any, size: int, progress: Any, telling: str, kept: dict[str, list[Any]]) -> int:
    """Play the market in blocks of `size` ticks, keep the streams asked for, and count the epochs."""
    engine, none, epochs = assembly.engine, empty(EVENT, 0), set[int]()
    for chunk in assembly.feed.chunks(assembly.market, 0):
        for block in engine.blocks(chunk, size):
            for written in engine.advance(block, none):
                for name, parts in kept.items():
                    parts.append(getattr(written, name).copy())
            epochs.add(engine.edge(int(block.times[-1])))
        progress(telling.format(size, engine.tick, engine.market.ticks))
    return len(epochs)


def _difference(settings: Any, runs: list[dict[str, Any]], progress: Any) -> str:
    """Say which record of which stream is the first that differs, and in which column."""
    first, other = runs[0], next(run for run in runs if run["hash"] != runs[0]["hash"])
    left, right = (_streams(settings, run["block"], progress) for run in (first, other))
    progress.done()
    found = [each for name in left for each in _differences(settings, name, left[name], right[name])]
    where = min(found)[1] if found else "the records kept are equal, and the folds of their verdicts differ"
    return f"blocks of {first['block']} and of {other['block']} ticks differ: {where}."


def _streams(settings: Any, size: int, progress: Any) -> dict[str, Any]:
    from nexus_core.engine import assemble

    assembly, kept = assemble(settings, trace="full"), dict[str, list[Any]](decisions=[], events=[])
    _play(assembly, size, progress, "looking for the difference, block {}: {:,} ticks", kept)
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def _differences(settings: Any, name: str, left: Any, right: Any) -> Iterator[tuple[int, str]]:
    """Yield when the first difference of two streams was, and where it is, if there is one."""
    size = min(len(left), len(right))
    columns = {name: _differing(left[name][:size], right[name][:size]) for name in left.dtype.names}
    hits = [(int(rows[0]), column) for column, rows in columns.items() if len(rows)]
    if hits:
        row, column = min(hits)
        here = left[row]
        symbol = settings.run.symbols[here["symbol"]]
        text = f"{name} row {row} ({symbol}, {iso(here['ts'])}), column {column}"
        yield int(here["ts"]), f"{text}: {here[column]} and {right[row][column]}"
    elif len(left) != len(right):
        yield int(max(left, right, key=len)[size]["ts"]), f"{name} row {size} exists in one only"


def _differing(left: Any, right: Any) -> Any:
    return np.flatnonzero((left != right) & ((left == left) | (right == right)))
