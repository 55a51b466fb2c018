"""`nexus compile`."""

from __future__ import annotations

import shutil
import time
from typing import Annotated

from typer import Option

from nexus_core import log, plugins
from nexus_core.cli.output import Config, Json, Sets, command, show
from nexus_core.upkeep.sources import load

app = command()

All = Annotated[bool, Option("--all", help="Every installed strategy, not only the settings'.")]


@app.command()
def compile(everything: All = False, config: Config = None, sets: Sets = None, as_json: Json = False) -> None:
    """Compile what a run will use, so that the next one starts at once."""
    from nexus_core.compile import cache_root
    from nexus_core.engine import assemble
    from nexus_core.upkeep.ahead import compile_ahead

    given = list(sets or [])
    if everything:
        names = [each.name for each in plugins.offers() if each.kind == "strategies"]
        given.append(f"run.strategies={','.join(names)}")
    begun = time.perf_counter()
    assembly = assemble(load(config, sets=given).settings)
    done = compile_ahead(assembly, log.info)

    def progress(text: str) -> None:
        log.info("%s", text)
        done.append(text.removeprefix("compiling "))

    assembly.warm(progress)
    pruned, seconds = prune(), time.perf_counter() - begun
    data = {"compiled": done, "pruned": pruned, "seconds": seconds, "cache": str(cache_root())}
    what = f"compiled {', '.join(done)}" if done else "everything was compiled already"
    show(as_json, data, [f"{what} ({seconds:.1f} s, {cache_root()})"])


def prune(days: float = 30.0) -> int:
    """Delete generated code not loaded for `days`; return how many folders went."""
    from nexus_core.compile import cache_root

    edge = time.time() - days * 86_400
    old = [folder for folder in cache_root().iterdir() if folder.is_dir() and folder.stat().st_mtime < edge]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)
