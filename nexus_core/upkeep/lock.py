"""`nexus.lock`: which plugins stand beside some settings, by version and by the hash of every file.

It covers each distribution that offers a plugin, the kernel, and the libraries of Nexus they need. A model
lies in its package and is covered with it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Any

from nexus_core.errors import ConfigError, NotFoundError
from nexus_core.plugins import offers
from nexus_core.upkeep.files import files

FILE = "nexus.lock"
SCHEMA = 1


def beside(settings: Path | None) -> Path:
    """Return where the lock of a settings file lies; without one, of the folder one stands in."""
    return (settings.parent if settings else Path()) / FILE


def write(path: Path) -> dict[str, Any]:
    """Write down what is installed, and return it."""
    standing = {name: _standing(name) for name in _names()}
    lines = ["# Written by nexus plugins lock.", f"schema = {SCHEMA}"]
    for name, facts in standing.items():
        lines += ["", f"[distributions.{name}]", f"version = {_quoted(facts['version'])}"]
        lines += [f"offers = [{', '.join(map(_quoted, facts['offers']))}]", f"[distributions.{name}.files]"]
        lines += [f"{_quoted(file)} = {_quoted(digest)}" for file, digest in facts["files"].items()]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        advice = "Make it so, or lock elsewhere."
        raise ConfigError(f"{path}: was not writable: {error.strerror}. {advice}") from None
    return standing


def _quoted(text: str) -> str:
    # what JSON escapes, TOML reads; but a pair of surrogates is no character to it, and DEL must be escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def differences(path: Path, names: Iterable[str] | None = None) -> list[str]:
    """Return, one sentence each, how what is installed differs from a lock.

    Of some distributions only, if named: these, and the libraries of Nexus they need.
    """
    locked = _read(path)
    meant = {*locked, *_names()} if names is None else _with_libraries(map(_normal, names))
    return [each for name in sorted(meant) for each in _differences(name, locked.get(name))]


def _differences(name: str, locked: dict[str, Any] | None) -> Iterator[str]:
    if locked is None:
        yield f"{name} is not in the lock."
        return
    try:
        standing = _standing(name)
    except PackageNotFoundError:
        yield f"{name} {locked['version']} is in the lock and not installed."
        return
    if standing["version"] != locked["version"]:
        yield f"{name} was {locked['version']} when it was locked, and is {standing['version']} now."
        return
    before, now = locked["files"], standing["files"]
    changed = sorted(file for file in {**before, **now} if before.get(file) != now.get(file))
    if locked["offers"] != standing["offers"]:
        changed.insert(0, "what it offers")
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        yield f"{name} {locked['version']} was changed after it was locked: {changed[0]}{more}."


def _read(path: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
        if read["schema"] != SCHEMA:
            raise ConfigError(f"{path}: has schema {read['schema']}, this Nexus reads {SCHEMA}. Lock anew.")
        return {name: _checked(facts) for name, facts in read["distributions"].items()}
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no lock. Make one with nexus plugins lock.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        advice = "Make it anew: nexus plugins lock."
        raise ConfigError(f"{path}: is no lock that can be read ({error}). {advice}") from error


def _checked(facts: Any) -> dict[str, Any]:
    offered, named = list[str](facts["offers"]), dict[str, str](facts["files"])
    return {"version": str(facts["version"]), "offers": offered, "files": named}


def _names() -> list[str]:
    return sorted(_with_libraries({"nexus-core", *(_normal(each.distribution) for each in offers())}))


def _with_libraries(names: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(names))
    for name in found:  # it grows as it is gone through: a library may need another
        wanted = (distribution(name).requires or ()) if _is_installed(name) else ()
        for each in (_normal(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in wanted):
            if each.startswith("nexus-") and each not in found and _is_installed(each):
                found.append(each)
    return found


def _standing(name: str) -> dict[str, Any]:
    own = [each for each in offers() if _normal(each.distribution) == name]
    packages = {name.replace("-", "_"), *(each.package for each in own)}
    paths = {file: path for package in sorted(packages) for file, path in files(package).items()}
    digests = {file: hashlib.sha256(path.read_bytes()).hexdigest() for file, path in paths.items()}
    offered = [f"{each.key} = {each.point.value}" for each in own]
    return {"version": distribution(name).version, "offers": offered, "files": digests}


def _is_installed(name: str) -> bool:
    return any(True for _ in distributions(name=name))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
