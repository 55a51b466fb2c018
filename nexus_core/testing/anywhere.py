"""What holds for plugins of every kind: they import cleanly, declare what they take, say what they are."""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from nexus_core import API
from nexus_core.errors import ConfigError
from nexus_core.strategy import Param, Text
from nexus_core.testing.contract import Broken, Grade, Subject, check

CLASSES = ("strategies", "gates", "layers", "feeds", "brokers", "features")
ALL = (*CLASSES, "commands", "hooks")
SECONDS = 1.0
"""How long importing a plugin may take, beyond what it shares with every other."""
HEAVY = ("pandas", "torch", "tensorflow", "sklearn", "matplotlib", "pyarrow", "requests")
"""What no plugin imports before it is used."""
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass"}

_PROBE = r"""
import json, os, sys, threading, time
module, sys.path[:], with_numba = json.load(sys.stdin)
out = os.dup(1)
os.dup2(2, 1)  # what a plugin prints is no answer
import pluggy, typer, nexus_core, nexus_core.compile, nexus_core.ledger, nexus_core.testing
if with_numba:
    import numba
for name in nexus_core.__all__:
    getattr(nexus_core, name)
found, watching, here = [], True, threading.active_count()
PROCESSES = {"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.exec", "os.spawn"}
PROCESSES |= {"os.posix_spawn", "os.startfile"}
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

def see(event, given):
    if not watching:
        return
    if event.startswith("socket.") and event != "socket.gethostname":
        found.append(f"opened a socket ({event})")
    elif event in PROCESSES:
        found.append(f"started a process ({event} {given[0]!r})")
    elif event == "_thread.start_new_thread":
        found.append(f"started a thread ({getattr(given[0], '__qualname__', given[0])})")
    elif event in CHANGES and "__pycache__" not in str(given[0]):
        found.append(f"changed a file ({event} {given[0]})")
    elif event == "open" and isinstance(given[0], (str, bytes)):
        path, mode, flags = os.fsdecode(given[0]), given[1] or "", given[2] or 0
        writes = any(c in mode for c in "wax+") if mode else bool(flags & WRITING)
        if writes and "__pycache__" not in path and path != os.devnull:
            found.append(f"wrote a file ({path})")

before = set(sys.modules)
sys.addaudithook(see)
begun, error = time.perf_counter(), ""
try:
    __import__(module)
except BaseException as raised:
    error = f"{type(raised).__name__}: {raised}"
seconds, watching = time.perf_counter() - begun, False
if threading.active_count() > here and not any("thread" in each for each in found):
    found.append(f"started a thread ({threading.enumerate()[-1].name})")
imported = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
answer = {"error": error, "seconds": seconds, "found": found, "imported": imported}
os.write(out, json.dumps(answer).encode())
"""


def _uninstalled(of: Subject) -> str:
    return "" if of.offer is not None else "it is a class that is not installed as a plugin"


@check("NX-P01", Grade.BRONZE, *ALL, needless=_uninstalled)
def imports_quickly(of: Subject) -> None:
    """Import within a second, and nothing heavy."""
    answer = _probed(of)
    heavy = [each for each in HEAVY if each in answer["imported"]]
    if heavy:
        raise Broken(
            f"importing {_module(of)} imports {', '.join(heavy)} too, which every run pays for. Import it in "
            "the function that uses it."
        )
    if answer["seconds"] > SECONDS:
        _probe.cache_clear()  # the machine may have been busy, or the bytecode not written yet
        answer = min(answer, _probed(of), key=lambda each: each["seconds"])
    if answer["seconds"] > SECONDS:
        raise Broken(
            f"importing {_module(of)} took {answer['seconds']:.2f} s beyond nexus_core, numpy and numba, may "
            f"take {SECONDS:g} s. Do the work where it is used, not at import."
        )


@check("NX-P02", Grade.BRONZE, *ALL, needless=_uninstalled)
def imports_quietly(of: Subject) -> None:
    """Open no socket, start no thread or process, and write no file at import."""
    found = _probed(of)["found"]
    if found:
        raise Broken(
            f"importing {_module(of)} {found[0]}. Checking plugins imports it too: do that when a run starts."
        )


@check("NX-P03", Grade.BRONZE, *CLASSES)
def declares_its_interface(of: Subject) -> None:
    """Declare a nexus_api of its own that this Nexus has."""
    api: Any = cast("Mapping[str, Any]", vars(of.plugin)).get("nexus_api")
    if isinstance(api, bool) or not isinstance(api, int):
        was = "inherited" if api is None and hasattr(of.plugin, "nexus_api") else repr(api)
        raise Broken(f"nexus_api was {was}, must be a whole number of the class itself: nexus_api = {API}.")
    if not 1 <= api <= API:
        raise Broken(f"nexus_api was {api}, this Nexus has 1 to {API}. Write nexus_api = {API}.")


@check("NX-P04", Grade.BRONZE, *CLASSES)
def checks_its_parameters(of: Subject) -> None:
    """Say what parameters mean, and refuse by name what is outside them."""
    for name, each in of.plugin.parameters().items():
        _default_is_within(name, each)
        if not any(letter.isalpha() for letter in each.help):
            raise Broken(f"parameter {name} has no help. Say what it means, and in which unit: help=...")
    of.make()
    for name, each in of.plugin.parameters().items():
        for value in _outside(each):
            _refuses(of, name, value)
    _refuses(of, "no_such_parameter", 1)


def _sources_missing(of: Subject) -> str:
    return "" if any(True for _ in _sources(of)) else "its source is not there"


@check("NX-P05", Grade.BRONZE, *ALL, needless=_sources_missing)
def compiles_by_the_kernel(of: Subject) -> None:
    """Compile with nexus_core.compile alone."""
    for path in _sources(of):
        names = compilers(path.read_text(encoding="utf-8"))
        if names:
            raise Broken(
                f"{path.name} takes {', '.join(sorted(names))} from numba, which misses edits in other files "
                "and rounds by other flags. Use nexus_core.step."
            )


@check("NX-P06", Grade.GOLD, *CLASSES, needless=_uninstalled)
def says_what_it_is(of: Subject) -> None:
    """Say what it is: in its class, its distribution and its README."""
    assert of.offer is not None
    if not str(cast("Mapping[str, Any]", vars(of.plugin)).get("__doc__") or "").strip():
        raise Broken(f"{of.plugin.__name__} has no docstring. Say in a line what it does.")
    if not of.offer.summary.strip():
        raise Broken(
            f"{of.offer.distribution} has no summary. Write description = ... in its pyproject.toml."
        )
    if of.name.lower() not in _readme(of).lower():
        raise Broken(
            f"the README of {of.offer.distribution} does not name {of.name}. Write a README.md that does, "
            'and readme = "README.md" in pyproject.toml.'
        )


def compilers(source: str) -> set[str]:
    """Return the names of Numba's compilers that a module's text takes from Numba."""
    tree = ast.parse(source)
    bound: set[str] = set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each for each in node.names if each.name.partition(".")[0] == "numba"]
            bound |= {(each.asname or each.name).partition(".")[0] for each in names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "numba":
            found |= {each.name for each in node.names} & COMPILERS
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in COMPILERS:
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in bound:
                found.add(node.attr)
    return found


def _module(of: Subject) -> str:
    return of.offer.point.module if of.offer is not None else getattr(of.plugin, "__module__", "")


def _probed(of: Subject) -> Mapping[str, Any]:
    answer = _probe(_module(of), tuple(sys.path))
    if "numba" in answer["imported"]:  # which every run imports in any case
        answer = _probe(_module(of), tuple(sys.path), True)
    if answer["error"]:
        raise Broken(f"{_module(of)} cannot be imported in a new process: {answer['error']}.")
    return answer


@lru_cache(maxsize=64)
def _probe(module: str, path: tuple[str, ...], with_numba: bool = False) -> Mapping[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        input=json.dumps([module, path, with_numba]).encode(),
        capture_output=True,
        env={**os.environ, "NEXUS_JIT": "0"},  # nothing is compiled at import, and numba takes its time
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Broken(f"importing {module} ended the process with code {done.returncode}: {last}") from None


def _default_is_within(name: str, each: Param) -> None:
    try:
        each.checked(name, each.default)
    except ConfigError:
        raise Broken(
            f"parameter {name} = {each.default!r} by default is outside its own bounds {each.allowed}. "
            "Move the one or the others."
        ) from None


def _outside(each: Param) -> Iterator[Any]:
    if isinstance(each.default, bool):
        yield "yes"
        return
    yield math.nan
    if isinstance(each, Text):
        return
    whole = isinstance(each.default, int)
    if math.isfinite(each.low):
        yield math.ceil(each.low) - 1 if whole else math.nextafter(each.low, -math.inf)
    if math.isfinite(each.high):
        yield math.floor(each.high) + 1 if whole else math.nextafter(each.high, math.inf)


def _refuses(of: Subject, name: str, value: Any) -> None:
    try:
        of.make(**{name: value})
    except ConfigError as refusal:
        if name in str(refusal):
            return
        raise Broken(f"{name} = {value!r} was refused without its name: {refusal}") from refusal
    raise Broken(
        f"{name} = {value!r} was taken, which it does not allow. Hand what __init__ is given to "
        "super().__init__ unchanged, and declare parameters with Param."
    )


def _sources(of: Subject) -> Iterator[Path]:
    name = of.offer.package if of.offer is not None else _module(of)
    loaded = sys.modules.get(name)
    where, folders = getattr(loaded, "__file__", None), getattr(loaded, "__path__", None)
    if folders is None:
        if where is not None and Path(where).is_file():
            yield Path(where)
        return
    for folder in cast("list[str]", list(folders)):
        for path in sorted(Path(folder).rglob("*.py")):
            if "tests" not in path.relative_to(folder).parts:
                yield path


def _readme(of: Subject) -> str:
    about: Any = getattr(of.offer.point.dist, "metadata", None) if of.offer is not None else None
    return "" if about is None else str(about.get_payload() or "") + str(about.get("Description") or "")
