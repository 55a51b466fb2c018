"""The contract of each kind of plugin: numbered checks, a grade for whoever passes them, tests that run them.

A check is a function that takes the plugin under test and raises `Broken` with one sentence where it does
not hold. What does not apply to a plugin, by its kind or style, is not counted.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, cast

from attrs import asdict, field, frozen

from nexus_core import plugins
from nexus_core.errors import NexusError
from nexus_core.plugins import SINGULAR, Offer


class Grade(IntEnum):
    """How much of its contract a plugin keeps: each grade asks for all that the ones before it ask for."""

    NONE, BRONZE, SILVER, GOLD = range(4)


class Broken(NexusError):  # noqa: N818  (it says what the contract is)
    """A plugin does not keep a promise of its contract. The message says which, where, and what to do."""


@frozen
class Subject:
    """The plugin under test."""

    kind: str
    name: str
    plugin: Any
    """Its class; of a command its typer app, of a listener what its entry point names."""
    params: Mapping[str, Any] = field(factory=dict[str, Any])
    """Parameters other than the defaults, for plugins that need some; they come before those of `example`."""
    offer: Offer | None = None
    """How it is installed; None for a class that is not."""

    def make(self, **params: Any) -> Any:
        """Return a new instance: with these parameters, the subject's, and those of the plugin's example."""
        return self.plugin(**{**example(self.plugin), **self.params, **params})


@frozen
class Check:
    """One promise of a contract."""

    number: str
    grade: Grade
    title: str
    """What holds, as a sentence without a full stop."""
    needless: Callable[[Subject], str]
    """Why it does not apply to a plugin; empty where it does."""
    run: Callable[[Subject], None]


@frozen
class Finding:
    """What came of one check."""

    number: str
    title: str
    grade: str
    outcome: str
    """passed, failed or not applicable."""
    text: str
    """Why it failed, or does not apply."""
    seconds: float


@frozen
class Report:
    """What came of all checks of a plugin."""

    key: str
    grade: str
    findings: Sequence[Finding]

    def count(self, outcome: str) -> int:
        """Return how many checks came out so."""
        return sum(each.outcome == outcome for each in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


CONTRACTS: dict[str, list[Check]] = {}
"""The checks of each kind of plugin, in the order of their numbers."""


def check(
    number: str, grade: Grade, *kinds: str, needless: Callable[[Subject], str] = lambda _: ""
) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Make a function a check of these kinds' contracts; its docstring's first line is the title."""

    def add(run: Callable[[Subject], None]) -> Callable[[Subject], None]:
        title = (run.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        for kind in kinds:
            checks = CONTRACTS.setdefault(kind, [])
            checks.append(Check(number, grade, title, needless, run))
            checks.sort(key=lambda each: each.number)
        return run

    return add


def examine(subject: Subject) -> Report:
    """Run every check of a plugin's contract."""
    findings = [_found(each, subject) for each in CONTRACTS[subject.kind]]
    failed = [Grade[each.grade] for each in findings if each.outcome == "failed"]
    grade = Grade(min(failed, default=Grade.GOLD + 1) - 1)
    return Report(f"{subject.kind}:{subject.name}", grade.name.lower(), findings)


def _found(each: Check, subject: Subject) -> Finding:
    begun, outcome, text = time.perf_counter(), "passed", ""
    try:
        if text := each.needless(subject):
            outcome = "not applicable"
        else:
            each.run(subject)
    except Broken as broken:
        outcome, text = "failed", str(broken)
    except (Exception, SystemExit) as error:
        outcome, text = "failed", f"raised {type(error).__name__}: {' '.join(str(error).split())}"
    return Finding(each.number, each.title, each.grade.name, outcome, text, time.perf_counter() - begun)


def subject(kind: str, name: str) -> Subject:
    """Return an installed plugin as one to be examined."""
    offer = plugins.find(kind, name)
    loaded = plugins.load(kind, name) if kind in plugins.LOADED else plugins.imported(offer)
    return Subject(kind, name, loaded, {}, offer)


def example(plugin: Any) -> Mapping[str, Any]:
    """Return the parameters that a plugin is to be tried with: none but where it says so itself.

    One that cannot do without a path or a file has a class or static method `example(folder)`, which writes
    what it needs into an empty folder and returns parameters that name it. It is called once in a process;
    the folder goes when the process ends.
    """
    make = getattr(plugin, "example", None)
    if not isinstance(plugin, type) or not callable(make):
        return {}
    if plugin not in _examples:
        place = tempfile.mkdtemp(prefix="nexus-example-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        made = make(Path(place))
        if not isinstance(made, Mapping):
            raise Broken(f"example returned {made!r}, must return parameters by name.")
        _examples[plugin] = cast("Mapping[str, Any]", made)
    return _examples[plugin]


_examples: dict[type, Mapping[str, Any]] = {}


def folder(of: Subject) -> Path | None:
    """Return the folder of a plugin's package, None where it has none."""
    import sys

    module = sys.modules.get(getattr(of.plugin, "__module__", ""))
    where = getattr(module, "__file__", None)
    return Path(where).parent if where else None


class _Contract:
    """Tests of one plugin's contract: subclass the one of its kind, and name the plugin."""

    kind: ClassVar[str]

    @classmethod
    def under_test(cls) -> Subject:
        """Return the plugin that the class attribute names, by its name or as its class."""
        named: Any = getattr(cls, SINGULAR[cls.kind])
        if isinstance(named, str):
            return subject(cls.kind, named)
        name: str = getattr(named, "name", "") or getattr(named, "__name__", type(named).__name__)
        return Subject(cls.kind, name.rpartition(".")[2].lower(), named)


def contract(kind: str) -> type[_Contract]:
    """Return the class whose subclasses test the contract of a kind, one test a check."""
    tests = {_name(each): _test(each) for each in CONTRACTS[kind]}
    name = f"{SINGULAR[kind].capitalize()}Contract"
    doc = f"Tests of a {SINGULAR[kind]}: name it in the class attribute `{SINGULAR[kind]}`."
    return type(name, (_Contract,), {"kind": kind, "__doc__": doc, **tests})


def _name(each: Check) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", each.title.lower()).strip("_")
    return f"test_{each.number.lower().replace('-', '_')}_{words}"


def _test(each: Check) -> Callable[[_Contract], None]:
    def test(self: _Contract) -> None:
        found = _found(each, self.under_test())
        if found.outcome == "not applicable":
            import pytest

            pytest.skip(found.text)
        if found.outcome == "failed":
            raise Broken(f"{each.number}: {found.text}")

    test.__doc__ = each.title
    return test
