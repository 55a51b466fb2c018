"""`nexus run`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from nexus_core.cli import output
from nexus_core.errors import ConfigError, UsageError

app = output.app()

Option = typer.Option


@app.command()
def run(
    plugins: Annotated[str | None, Option(help="Strategies to trade: a,b.")] = None,
    symbols: Annotated[str | None, Option(help="Symbols to trade: BTC-USD,ETH-USD.")] = None,
    feed: Annotated[str | None, Option(help="Feed plugin.")] = None,
    broker: Annotated[str | None, Option(help="Broker plugin.")] = None,
    bars: Annotated[int | None, Option(help="Bars of each symbol to play.")] = None,
    seed: Annotated[int | None, Option(help="Seed of the synthetic market.")] = None,
    block: Annotated[int | None, Option(help="Ticks decided at once; changes no decision.")] = None,
    pace: Annotated[str, Option(help="fast, real, or seconds of market time in a second.")] = "fast",
    resume: Annotated[str | None, Option(help="Go on with this run.")] = None,
    live: Annotated[bool, Option("--live", help="Trade for real; needs the broker of a venue.")] = False,
    config: output.Config = None,
    sets: output.Sets = None,
    out: output.Out = None,
    as_json: output.Json = False,
) -> None:
    """Trade a market, on paper by default, and print what came of it."""
    from nexus_core import runs, session

    speed, progress = _speed(pace), output.Progress()
    if block is not None and block < 1:
        raise UsageError(f"--block was {block}, must be 1 or more.")
    if resume is not None:
        fresh = (plugins, symbols, feed, broker, bars, seed, config, sets)
        if any(each is not None for each in fresh):
            raise UsageError(
                "--resume goes on with the run's own settings. Leave out those that belong to a new run."
            )
        work = session.resume(runs.open_run(resume, out), 1 if speed else block, progress)
    else:
        chosen = {
            "strategies": plugins,
            "symbols": symbols,
            "feed": feed,
            "broker": broker,
            "bars": bars,
            "seed": seed,
        }
        given = [f"run.{key}={value}" for key, value in chosen.items() if value is not None]
        assembly = _assembled(config, [*(sets or []), *given], live)
        assembly.warm(progress)
        work = session.begin(runs.home(out), assembly, 1 if speed else block)
    try:
        _check_broker(live, work.assembly.broker)
        _play(work, progress, speed, as_json)
    finally:
        work.close()


def _assembled(config: Path | None, sets: list[str], live: bool) -> Any:
    from nexus_core.config import load
    from nexus_core.engine import assemble

    assembly = assemble(load(config, sets=sets).settings)
    _check_broker(live, assembly.broker)
    return assembly


def _check_broker(live: bool, broker: Any) -> None:
    if live and broker.on_paper:
        raise ConfigError(
            f"run: {broker.name} trades on paper, and --live trades for real. Install the broker of a venue, "
            "and name it with --broker."
        )
    if not broker.on_paper:
        raise ConfigError(
            f"run: {broker.name} is the broker of a venue; this Nexus trades on paper only. Use paper."
        )


def _speed(pace: str) -> float:
    """Return how many seconds of the market pass in one; 0 where it goes as fast as it can."""
    if pace == "fast":
        return 0.0
    try:
        speed = 1.0 if pace == "real" else float(pace)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e9:
        raise UsageError(
            f"--pace was {pace}, must be fast, real, or a number above 0: seconds of market in a second."
        )
    return speed


def _play(work: Any, progress: Any, speed: float, as_json: bool) -> None:
    from nexus_core.cli.result import result

    engine, begun, first = work.engine, time.perf_counter(), work.engine.tick

    def on_commit(batch: Any) -> None:
        seconds = time.perf_counter() - begun
        left = (engine.market.ticks - batch.tick) * seconds / max(1, batch.tick - first)
        progress(f"{work.folder.name}  {batch.tick:,} of {engine.market.ticks:,} ticks, {left:.0f} s left")

    work.play(on_commit, engine.market.interval / 1e9 / speed if speed else 0.0)
    progress.done()
    seconds = time.perf_counter() - begun
    rows = (engine.tick - first) * len(engine.market.instruments)
    data, text = result(work, seconds, rows)
    output.show(as_json, data, text)
