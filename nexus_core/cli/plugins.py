"""`nexus plugins`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from nexus_core import plugins, runs
from nexus_core.cli.output import Config, Json, Out, RunId, Why, command, pairs, show, table
from nexus_core.config import Run
from nexus_core.errors import CheckFailedError, NotFoundError, PluginError, UsageError, hint
from nexus_core.types import Mode
from nexus_core.upkeep import facts, homes, lock, sources
from nexus_core.upkeep.environment import change
from nexus_core.upkeep.states import described

app = command(help="List, install, check and lock plugins.")

Name = Annotated[str, Argument(help="Name of a plugin, or kind:name.")]
Kind = Annotated[str | None, Option(help="Plugins of one kind only.")]
Load = Annotated[bool, Option("--load", help="Import each, and find out what is unknown.")]
Least = Annotated[str, Option(help="Fail below this grade: none, bronze, silver or gold.")]
Strategy = Annotated[str, Argument(help="Name of a strategy.")]
What = Annotated[list[str], Argument(help="Distributions, wheels or folders.")]
Links = Annotated[Path | None, Option("--find-links", help="Folder of wheels to look in as well.")]
Alone = Annotated[bool, Option("--no-index", help="Look in that folder alone.")]

GRADES = ("none", "bronze", "silver", "gold")
COLUMNS = ("kind", "name", "distribution", "version", "api", "needs", "state", "grade")


@app.command("list")
def list_(kind: Kind = None, anew: Load = False, config: Config = None, as_json: Json = False) -> None:
    """List installed plugins; imports none of them unless told to."""
    _must_be_among(plugins.KINDS, "--kind", kind)
    run = sources.load(config).settings.run
    found, known = [each for each in plugins.offers() if kind in (None, each.kind)], facts.kept()
    data = [described(each, run, anew, known) for each in found]
    rows = [[_cell(each, column) for column in COLUMNS] for each in data]
    show(as_json, data, table(rows, COLUMNS) if rows else ["nothing installed"])


@app.command()
def info(name: Name, as_json: Json = False) -> None:
    """Show all of one plugin: what it is, its parameters, where it lies."""
    offer = _meant(name)
    data = described(offer, Run(), anew=True)
    if offer.kind in plugins.LOADED and data["state"] != "broken":
        plugin = plugins.load(offer.kind, offer.name)
        data["about"] = (plugin.__doc__ or "").partition("\n")[0]
        data["file"] = sys.modules[plugin.__module__].__file__
        data["parameters"] = {
            key: {"default": each.default, "allowed": each.allowed, "help": each.help}
            for key, each in plugin.parameters().items()
        }
    told = {key: _cell(data, key) for key in data if key != "parameters"}
    rows = [
        (f"plugins.{offer.name}.{key}", each["default"], each["allowed"], each["help"])
        for key, each in data.get("parameters", {}).items()
    ]
    show(as_json, data, pairs(told, rows, ("parameter", "default", "allowed", "what it is")))


@app.command()
def install(what: What, find_links: Links = None, no_index: Alone = False) -> None:
    """Install plugins into this environment, from an index, a folder of wheels or a path; renew the lock."""
    change(["install", *_paths(what)], find_links, no_index)


@app.command()
def upgrade(what: What, find_links: Links = None, no_index: Alone = False) -> None:
    """Upgrade plugins in this environment; renew the lock."""
    change(["install", "--upgrade", *_paths(what)], find_links, no_index)


@app.command()
def remove(what: What) -> None:
    """Remove plugins from this environment; renew the lock."""
    known = [each.distribution for each in plugins.offers()]
    for each in what:
        if each not in known:
            raise NotFoundError(f"{each} is no installed distribution of plugins.{hint(each, known)}")
    change(["uninstall", *what])


@app.command()
def check(name: Name, as_json: Json = False, least: Least = "none") -> None:
    """Test one plugin against the contract of its kind, and grade it."""
    _must_be_among(GRADES, "--least", least)
    offer = _meant(name)
    if offer.kind in plugins.LOADED:
        plugins.load(offer.kind, offer.name)
    described(offer, Run(), anew=True)
    line = [sys.executable, "-m", "nexus_core.testing", offer.key, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        words = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise PluginError(f"{offer.key}: the checks broke off: {words[0]}") from error
    grade, findings = report["grade"], report["findings"]
    facts.remember(offer, state="active", reason="", grade=grade)
    count = Counter(each["outcome"] for each in findings)
    counted = f"{count['passed'] + count['failed']} checks, {count['failed']} failed"
    head = f"{offer.name} {offer.version}  {grade}   {counted}, {count['not applicable']} not applicable"
    failed = [each for each in findings if each["outcome"] == "failed"]
    lines = [f"  {each['number']} ({each['grade'].lower()}) {each['text']}" for each in failed]
    show(as_json, report, [head, *lines])
    if GRADES.index(grade) < GRADES.index(least):
        raise CheckFailedError(f"{offer.key} is {grade}, must be {least} at least.")


@app.command("lock")
def lock_(config: Config = None, as_json: Json = False) -> None:
    """Write nexus.lock: version and file hashes of every plugin, beside the settings."""
    path = lock.beside(sources.load(config).path)
    standing = lock.write(path)
    files = sum(len(each["files"]) for each in standing.values())
    text = f"{path}: {len(standing)} distributions, {files} files"
    show(as_json, {"path": str(path), "distributions": standing}, [text])


@app.command()
def verify(config: Config = None, as_json: Json = False) -> None:
    """Compare what is installed with nexus.lock."""
    path = lock.beside(sources.load(config).path)
    found = lock.differences(path)
    show(as_json, {"path": str(path), "differences": found}, found or [f"{path}: all is as locked"])
    if found:
        raise CheckFailedError(f"{path}: differences: {len(found)}. Accept them with nexus plugins lock.")


@app.command()
def release(
    name: Strategy, run: RunId = None, why: Why = "by hand", out: Out = None, as_json: Json = False
) -> None:
    """Let a strategy in quarantine speak again; it warms up anew."""
    from nexus_core.cli import requests

    strategies = runs.manifest(homes.open_run(run, out))["strategies"]
    if name not in strategies:
        raise NotFoundError(f"{name} trades in no such run.{hint(name, strategies)}")
    requests.ask(run, Mode.NORMAL, why, out, as_json, name)


def _cell(each: dict[str, Any], column: str) -> Any:
    if column == "state" and each["reason"]:
        return f"{each['state']}: {each['reason']}"
    return "-" if each[column] in (None, "") else each[column]


def _must_be_among(known: tuple[str, ...], option: str, given: str | None) -> None:
    if given is not None and given not in known:
        raise UsageError(f"{option} was {given}, must be one of {', '.join(known)}.{hint(given, known)}")


def _meant(name: str) -> plugins.Offer:
    kind, colon, short = name.rpartition(":")
    if colon and kind not in plugins.KINDS:
        raise UsageError(f"{name}: {kind} is no kind of plugin.{hint(kind, plugins.KINDS)}")
    kinds = [kind] if colon else sorted({each.kind for each in plugins.offers() if each.name == name})
    if len(kinds) > 1:
        raise UsageError(f"{name} is one of {', '.join(kinds)}. Say which: {kinds[0]}:{name}.")
    if not kinds:
        raise NotFoundError(f"{name} is not installed.{hint(name, [each.name for each in plugins.offers()])}")
    return plugins.find(kinds[0], short)


def _paths(what: list[str]) -> list[str]:
    # what names a folder or a file here is that; pip would look for a distribution of the name
    return [str(Path(each).resolve()) if Path(each).exists() else each for each in what]
