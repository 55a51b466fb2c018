"""Where settings come from: defaults and preset, then nexus.toml, then the environment, then --set."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from nexus_core import log
from nexus_core.config import FIELDS, UNREAD, Settings, Tables, leaves, resolve
from nexus_core.errors import ConfigError


@attrs.frozen
class Resolved:
    """Settings with the origin of each dotted key, and the file that was read, if any."""

    settings: Settings
    origin: dict[str, str]
    path: Path | None


@attrs.frozen
class Description:
    """What one setting is: dotted key, default, unit, bounds as text, and what it does."""

    key: str
    default: Any
    unit: str
    bounds: str
    help: str


def describe() -> list[Description]:
    """Describe every setting, group by group."""
    return [Description(key, field.default, **field.metadata) for key, field in FIELDS.items()]


def load(
    path: Path | None = None, environ: Mapping[str, str] | None = None, sets: Sequence[str] = ()
) -> Resolved:
    """Resolve the settings: defaults, preset, the file, then NEXUS__SECTION__KEY, then section.key=value.

    Without a path the file is ./nexus.toml, else nexus/nexus.toml in the user's config folder, else none.
    Raises ConfigError, which names where the fault stands.
    """
    environ = os.environ if environ is None else environ
    found = _nearest(environ) if path is None else path
    file, tables = (found.name, _read(found)) if found else ("", {})
    settings, origin = resolve([(file, tables), *_from_environment(environ, tables), *map(_from_set, sets)])
    for key in sorted(UNREAD & {key for key, source in origin.items() if source != "default"}):
        log.warning("%s: %s is checked, but nothing in this version reads it.", origin[key], key)
    return Resolved(settings, origin, found)


@attrs.define
class ConfigManager:
    """Settings that change as one: an update is taken whole, or refused and nothing changes."""

    settings: Settings = attrs.field(factory=Settings)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what `export` has at a dotted key, or the default where there is nothing."""
        found: Any = self.export()
        for part in key.split(".", 2):
            if not isinstance(found, dict) or part not in found:
                return default
            found = cast("Tables", found)[part]
        return found

    def update(self, changes: Tables) -> None:
        """Change several settings at once, by dotted keys or tables; refuse all if one does not fit.

        The preset stays: every setting has its value by now, and a preset only fills gaps.
        """
        settings, _ = resolve([("default", self.export()), ("update", changes)])
        was, given = self.settings.chain.preset, settings.chain.preset
        if given != was:
            rule = f"must stay {was!r}. Choose it where settings are first read."
            raise ConfigError(f"update: chain.preset was {given!r}, {rule}")
        self.settings = settings

    def export(self) -> dict[str, dict[str, Any]]:
        """Return the settings as tables of plain values."""
        return self.settings.to_dict()


def _nearest(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME", "")
    known = {"win32": environ.get("APPDATA", ""), "darwin": home and f"{home}/Library/Application Support"}
    folder = known.get(sys.platform, environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"))
    places = [Path("nexus.toml"), *([Path(folder, "nexus", "nexus.toml")] if folder else [])]
    # os.path.isfile answers False where a folder may not be entered; Path.is_file raises.
    return next((place for place in places if os.path.isfile(place)), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as wrong:
        raise ConfigError(f"{path}: was not readable: {wrong.strerror}. Check the path.") from None
    except ValueError as wrong:
        what = str(wrong).replace("at end of document", "at its last line")
        raise ConfigError(f"{path}: was not valid TOML: {what}.") from None


def _from_environment(environ: Mapping[str, str], file: Tables) -> Iterator[tuple[str, Tables]]:
    plugins = {_folded(path[1]): path[1] for path, _ in leaves(file) if len(path) == 3}
    for variable in sorted(each for each in environ if each.startswith("NEXUS__")):
        path = variable.removeprefix("NEXUS__").lower().split("__", 2)
        if path[0] == "plugins" and len(path) > 1:
            # A variable cannot spell `-`: the name as the file has it, else with `-`.
            path[1] = plugins.get(_folded(path[1]), _folded(path[1]))
        key = ".".join(path)
        yield f"environment {variable}", {key: _parsed(key, environ[variable])}


def _folded(plugin: str) -> str:
    return plugin.lower().replace("_", "-")


def _from_set(text: str) -> tuple[str, Tables]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"--set: was {text!r}, must be section.key=value, such as risk.capital=5000.")
    return "--set", {key: _parsed(key, value)}


def _parsed(key: str, text: str) -> Any:
    default: Any = FIELDS[key].default if key in FIELDS else None
    try:
        tables = tomllib.loads(f"value = {text}")
    except ValueError:
        tables = {}
    value: Any = tables["value"] if len(tables) == 1 else text
    if type(default) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(default, str | tuple) and type(value) not in (str, list):
        value = text
    if isinstance(default, tuple) and isinstance(value, str):
        return [part.strip() for part in value.split(",")] if value else []
    return value
