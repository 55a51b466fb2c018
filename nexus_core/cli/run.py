"""`nexus run`."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Annotated, Any

from typer import Option

from nexus_core import log, plugins
from nexus_core.cli import output
from nexus_core.errors import ConfigError, RefusedError, UsageError
from nexus_core.upkeep import facts, homes, lock
from nexus_core.upkeep.sources import load

app = output.command()


@app.command()
def run(
    strategies: Annotated[str | None, Option("--plugins", help="Strategies to trade: a,b.")] = None,
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
    from nexus_core import engine, session
    from nexus_core.upkeep import recovery
    from nexus_core.upkeep.ahead import compile_ahead

    speed, progress = _speed(pace), output.Progress()
    if block is not None and block < 1:
        raise UsageError(f"--block was {block}, must be 1 or more.")
    keys = ("strategies", "symbols", "feed", "broker", "bars", "seed")
    chosen = zip(keys, (strategies, symbols, feed, broker, bars, seed), strict=True)
    given = [f"run.{key}={value}" for key, value in chosen if value is not None]
    if resume is None:
        found = load(config, sets=[*(sets or []), *given])
        _check_lock(found, live)
        assembly = engine.assemble(found.settings, live=live)
        _check_broker(live, assembly.broker)
        compile_ahead(assembly, progress)
        assembly.warm(progress)
        work = session.begin(homes.home(out), assembly, 1 if speed else block)
    elif given or config or sets:
        text = "--resume goes on with the run's own settings. Leave out those that belong to a new run."
        raise UsageError(text)
    else:
        work = recovery.resume(homes.open_run(resume, out), 1 if speed else block, progress)
    try:
        _check_broker(live, work.assembly.broker)
        _play(work, progress, speed, as_json)
    finally:
        work.close()


def _check_lock(found: Any, live: bool) -> None:
    path, run = lock.beside(found.path), found.settings.run
    if not path.exists():
        return
    named = {"strategies": run.strategies, "feeds": [run.feed], "brokers": [run.broker]}
    named |= {"gates": found.settings.risk.gates, "layers": found.settings.chain.layers}
    used = {
        each.distribution
        for each in plugins.offers()
        if (each.kind == "hooks" or each.name in named.get(each.kind, ()))
        and not plugins.blocked(each, run.blocked)
    }
    differing = lock.differences(path, {"nexus-core", *used})
    for each in differing:
        log.warning("%s: %s", path, each)
    if differing and live:
        advice = "Install that, or accept it with nexus plugins lock."
        raise RefusedError(f"{path}: what would trade is not what was locked. {advice}")


def _check_broker(live: bool, broker: Any) -> None:
    if live and broker.on_paper:
        advice = "Install the broker of a venue, and name it with --broker."
        raise ConfigError(f"run: {broker.name} trades on paper, and --live trades for real. {advice}")
    if not broker.on_paper:
        text = "is the broker of a venue; this Nexus trades on paper only. Use paper."
        raise ConfigError(f"run: {broker.name} {text}")


def _speed(pace: str) -> float:
    """Return how many seconds of the market pass in one; 0 where it goes as fast as it can."""
    if pace == "fast":
        return 0.0
    try:
        speed = 1.0 if pace == "real" else float(pace)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e9:
        allowed = "fast, real, or a number above 0: seconds of market in a second"
        raise UsageError(f"--pace was {pace}, must be {allowed}.")
    return speed


def _play(work: Any, progress: Any, speed: float, as_json: bool) -> None:
    from nexus_core.cli.result import result

    engine, begun, first = work.engine, time.perf_counter(), work.engine.tick

    def on_commit(batch: Any) -> None:
        progress(f"{work.folder.name}  {_reached(batch.tick, first, engine.market.ticks, begun)}")

    work.play(on_commit, speed)
    progress.done()
    seconds = time.perf_counter() - begun
    _remember(work)
    data, text = result(work, seconds, rows=(engine.tick - first) * len(engine.market.instruments))
    work.assembly.listeners.call("nexus_result", run=work.folder.name, result=deepcopy(data))
    output.show(as_json, data, text)


def _reached(tick: int, first: int, ticks: int, begun: float) -> str:
    from nexus_core.feed import ALL

    if ticks >= ALL:  # the feed has as many as it has
        return f"{tick:,} ticks"
    left = (ticks - tick) * (time.perf_counter() - begun) / max(1, tick - first)
    return f"{tick:,} of {ticks:,} ticks, {left:.0f} s left"


def _remember(work: Any) -> None:
    """Keep for nexus plugins list what became of the plugins."""
    engine, said = work.engine, dict[str, dict[str, Any]]()
    for each in engine.loops:
        needs = sorted(each.strategy.needs)
        said[f"strategies:{each.name}"] = {"api": each.strategy.nexus_api, "needs": needs, "state": "active"}
    for each in engine.inactive:
        said[f"strategies:{each.name}"] = {"state": each.state, "reason": each.reason}
    for name, since in engine.ward.silent().items():
        why = f"in run {work.folder.name} since {since}"
        said[f"strategies:{name}"] |= {"state": "quarantined", "reason": why}
    for each in plugins.offers():
        if each.kind == "hooks":
            said[each.key] = {"state": "active"}
    for key, reason in work.assembly.listeners.broken.items():
        said[key] = {"state": "broken", "reason": reason}
    for each in plugins.offers():
        if each.key in said and not plugins.blocked(each, work.assembly.settings.run.blocked):
            facts.remember(each, **{"reason": "", **said[each.key]})
