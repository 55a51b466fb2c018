"""Calls of hooks: every listener by itself, so that one that fails takes nobody's answer with it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Container, Iterable
from typing import Any

from pluggy import HookImpl, PluginManager, PluginValidationError

from nexus_core import hookspecs, log, plugins
from nexus_core.errors import ConfigError, NexusError, PluginError, hint
from nexus_core.plugins import Offer

PATIENCE = 3
"""Faults after which a listener is heard no more."""


class Listeners:
    """Those who listen to a run."""

    def __init__(self, offers: Iterable[Offer] = (), blocked: Container[str] = ()) -> None:
        self._manager = PluginManager("nexus")
        self._manager.add_hookspecs(hookspecs)
        self.faults: Counter[str] = Counter()
        """How often each raised."""
        self._trace = os.environ.get("NEXUS_TRACE", "") not in ("", "0")
        self.broken: dict[str, str] = {}
        """Why each that cannot be heard cannot, by its key."""
        for offer in {each.key: each for each in offers}.values():
            try:
                self.add(offer.key, plugins.imported(plugins.find(offer.kind, offer.name, blocked)))
            except NexusError as error:
                self.broken[offer.key] = str(error)
                log.warning("%s", error)

    def add(self, name: str, listener: object) -> None:
        """Let a module or an object listen; refuse one with a hook that does not exist."""
        for part in dir(listener):
            marks: Any = self._manager.parse_hookimpl_opts(listener, part)
            if marks and not hasattr(hookspecs, part):
                raise PluginError(f"{name} listens to {part}, which is no hook.{hint(part, HOOKS)}")
            if marks and (marks["wrapper"] or marks["hookwrapper"]):
                raise PluginError(f"{name} wraps {part}. A listener answers by itself: drop the wrapping.")
        try:
            self._manager.register(listener, name)
            self._manager.check_pending()
        except (PluginValidationError, ValueError) as error:
            if self._manager.get_plugin(name) is listener:
                self._manager.unregister(name=name)
            raise PluginError(f"{name} cannot listen: {' '.join(str(error).split())}.") from error

    def __len__(self) -> int:
        return len(self._manager.get_plugins())

    def heard(self, hook: str) -> bool:
        """Tell whether anybody listens to a hook."""
        return bool(self._of(hook))

    def call(self, hook: str, **told: Any) -> list[tuple[str, Any]]:
        """Tell everybody who listens to a hook; return who answered what, the earliest called first."""
        answers: list[tuple[str, Any]] = []
        for each in self._of(hook):
            begun = time.perf_counter()
            try:
                answer = each.function(*(told[name] for name in each.argnames))
            except (Exception, SystemExit) as error:
                if hook == "nexus_gates" and isinstance(error, ConfigError):
                    raise  # nothing runs yet, and it says itself which setting to mend
                self._failed(each, hook, error)
                continue
            if self._trace:
                took = (time.perf_counter() - begun) * 1e3
                log.info("trace: %s by %s: %r (%.2f ms)", hook, each.plugin_name, answer, took)
            answers.append((each.plugin_name, answer))
        if self._trace and not answers:
            log.info("trace: %s: nobody answered", hook)
        return answers

    def _of(self, hook: str) -> list[HookImpl]:
        return getattr(self._manager.hook, hook).get_hookimpls()[::-1]

    def _failed(self, each: HookImpl, hook: str, error: BaseException) -> None:
        name = each.plugin_name
        self.faults[name] += 1
        if self.faults[name] == 1:
            log.warning("%s: raised in %s: %s: %s.", name, hook, type(error).__name__, error)
        if self.faults[name] == PATIENCE:
            self._manager.unregister(name=name)
            self.broken[name] = f"raised {PATIENCE} times, last in {hook}: {type(error).__name__}: {error}"
            log.warning("%s: raised %d times and is heard no more in this run.", name, PATIENCE)


HOOKS = [name for name in vars(hookspecs) if name.startswith("nexus_")]
"""The names of all hooks."""


def installed(names: Container[str] = ()) -> Listeners:
    """Return all installed listeners that nothing blocks."""
    offers = [each for each in plugins.offers() if each.kind == "hooks" and not plugins.blocked(each, names)]
    return Listeners(offers, names)
