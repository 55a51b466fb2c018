"""The contract of listeners: hooks that exist, and functions that bear what they are told, quickly."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from pluggy import HookImpl, PluginManager

from nexus_core import hookspecs
from nexus_core.errors import NexusError
from nexus_core.gates import Chain, Gate
from nexus_core.listeners import HOOKS, Listeners
from nexus_core.testing.contract import Broken, Grade, Subject, check
from nexus_core.testing.fakes import facts

_GATES = "nexus_gates"
_PATIENCE = 0.1
"""Seconds a call may take."""
_KEPT = ("PATH", "SYSTEMROOT", "LANG", "NEXUS_CACHE_DIR", "NEXUS_JIT")


def _mute(of: Subject) -> str:
    try:
        _stands(of)
    except Exception:
        return "it cannot listen: see NX-H01"
    return ""


def _inserts_none(of: Subject) -> str:
    return _mute(of) or ("" if _hooked(of, _GATES) else "it inserts no gates")


@check("NX-H01", Grade.BRONZE, "hooks")
def _stands(of: Subject) -> None:
    """Every function it marks is a hook, and takes what the hook tells."""
    try:
        Listeners([]).add(of.name, of.plugin)
    except NexusError as error:
        raise Broken(str(error)) from error


@check("NX-H02", Grade.BRONZE, "hooks", needless=_mute)
def _hears(of: Subject) -> None:
    """At least one hook is listened to."""
    if not any(_hooked(of, hook) for hook in HOOKS):
        raise Broken("listens to nothing. Mark a function with nexus_core.hookspecs.hookimpl.")


@check("NX-H03", Grade.SILVER, "hooks", needless=_mute)
def _bears(of: Subject) -> None:
    """Whatever it is told it bears without settings of its own, and returns within 100 ms."""
    with _bare():
        for hook in HOOKS:
            for each in _hooked(of, hook):
                for told in facts():
                    _called(hook, each, told)


def _called(hook: str, each: HookImpl, told: dict[str, Any]) -> None:
    # the first call may import what it needs, and any may lose the processor
    least = min(_seconds(hook, each, told) for _ in range(3))
    if least > _PATIENCE:
        raise Broken(
            f"{hook} took {least * 1e3:.0f} ms, may take {_PATIENCE * 1e3:.0f}. Leave it to a thread."
        )


def _seconds(hook: str, each: HookImpl, told: dict[str, Any]) -> float:
    begun = time.perf_counter()
    _answer(hook, each, told)
    return time.perf_counter() - begun


def _answer(hook: str, each: HookImpl, told: dict[str, Any]) -> Any:
    try:
        return each.function(*(told[name] for name in each.argnames))
    except (Exception, SystemExit) as error:
        raise Broken(
            f"{hook} raised {type(error).__name__}: {error}. Do nothing where a setting or target is missing."
        ) from error


@check("NX-H04", Grade.SILVER, "hooks", needless=_inserts_none)
def _inserts_gates(of: Subject) -> None:
    """Gates it inserts have names, and stand in a chain."""
    with _bare():
        answers = [_answer(_GATES, each, facts()[0]) for each in _hooked(of, _GATES)]
    for answer in answers:
        pairs = _pairs(answer)
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise Broken(f"inserts two gates of one name: {', '.join(names)}. Name each its own.")
        try:
            Chain(pairs, 1, 1, 0.0)
        except NexusError as error:
            raise Broken(str(error)) from error


def _pairs(answer: Any) -> list[tuple[str, Gate]]:
    try:
        pairs: list[tuple[Any, Any]] = [(name, gate) for name, gate in answer]
    except (TypeError, ValueError):
        pairs = [("", None)]
    if not all(isinstance(name, str) and name and isinstance(gate, Gate) for name, gate in pairs):
        raise Broken(f"{_GATES} answered {answer!r}, must give pairs of a name and a Gate.")
    return pairs


def _hooked(of: Subject, hook: str) -> list[HookImpl]:
    manager = PluginManager("nexus")
    manager.add_hookspecs(hookspecs)
    manager.register(of.plugin, of.name)
    return getattr(manager.hook, hook).get_hookimpls()


@contextmanager
def _bare() -> Generator[None]:
    """Take every setting from the environment away, and give it an empty home."""
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory() as home:
        os.environ.clear()
        os.environ.update({name: kept[name] for name in _KEPT if name in kept})
        os.environ.update(dict.fromkeys(("HOME", "USERPROFILE", "NEXUS_HOME", "TMPDIR"), home))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(kept)
