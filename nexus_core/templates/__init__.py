"""Packages to begin a plugin from: folders of texts in which what depends on the name is a placeholder.

Each text ends in `.txt`, so that nothing takes it for code. `package` holds what all kinds share; a folder
named after a kind adds to it, and one named after kind and style adds to that.
"""

from __future__ import annotations

import keyword
import re
from datetime import date
from pathlib import Path
from string import Template
from typing import NamedTuple

from nexus_core.errors import UsageError, hint


class _Kind(NamedTuple):
    group: str
    offered: str
    """What the entry point names: a class, an object, or the module itself."""
    summary: str


KINDS = {
    "strategy": _Kind(
        "strategies", ":$type", "Buys a fall from the highest close, sells a rise from the lowest"
    ),
    "gate": _Kind("gates", ":$type", "Refuses entries while the spread is wide"),
    "feed": _Kind("feeds", ":$type", "Feeds bars from CSV files, one for each symbol"),
    "broker": _Kind("brokers", ":$type", "Trades on paper, with a fee for makers and one for takers"),
    "features": _Kind(
        "features", ":$type", "Measures what a bar gives back of its range, and what the book weighs"
    ),
    "command": _Kind("commands", ":app", "Show what each symbol of a run turned over and paid in fees."),
    "listener": _Kind("hooks", "", "Appends alerts and fills to a file, each as a line of JSON"),
}
"""The kinds of packages."""

STYLES = ("step", "window", "classic")
"""The styles of a strategy, the usual one first."""

LIBRARIES = ("nexus-classic", "nexus-core")
"""What a package may need; it needs those that its code names."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_TEXTS = Path(__file__).parent


def write(kind: str, name: str, style: str | None, into: Path) -> Path:
    """Write a package below the folder `into` and return its own folder.

    Raise UsageError, with nothing written, where there is no such kind or style, the name is not fit, or the
    folder is there already. Capitals in the name become small. Without a style a strategy gets the usual one.
    """
    _check(kind, name, style)
    folder = into / f"nexus-{kind}-{name.lower()}"
    if folder.exists():
        raise UsageError(
            f"new: {folder} is there already. Choose another name, or another place with --into."
        )
    try:
        for path, text in _filled(kind, name.lower(), style or STYLES[0]).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"new: {folder} cannot be written ({error.strerror}). Choose another place with --into."
        ) from error
    return folder


def _check(kind: str, name: str, style: str | None) -> None:
    if kind not in KINDS:
        raise UsageError(f"new: kind was {kind!r}, must be one of {', '.join(KINDS)}.{hint(kind, KINDS)}")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"new: name was {name!r}, must be letters, digits and single hyphens, a letter first: my-{kind}."
        )
    if style is not None and kind != "strategy":
        raise UsageError(f"new: style was {style!r}, but a {kind} has no styles. Leave --style out.")
    if style not in (None, *STYLES):
        raise UsageError(
            f"new: style was {style!r}, must be one of {', '.join(STYLES)}.{hint(style, STYLES)}"
        )


def _filled(kind: str, name: str, style: str) -> dict[str, str]:
    """Return the texts of a package by the path they belong to."""
    texts = {
        path.relative_to(_TEXTS / part).as_posix().removesuffix(".txt"): path.read_text(encoding="utf-8")
        for part in ("package", kind, f"{kind}-{style}")
        for path in sorted((_TEXTS / part).rglob("*.txt"))
    }
    words = _words(kind, name, "\n".join(text for path, text in texts.items() if path.endswith(".py")))
    places = {path: path.replace("MODULE", words["module"]).replace("NAME", words["snake"]) for path in texts}
    return {places[path]: Template(text).substitute(words) for path, text in texts.items()}


def _words(kind: str, name: str, code: str) -> dict[str, str]:
    """Return what stands for each placeholder; `code` is what the new class must not get in the way of."""
    snake, made = name.replace("-", "_"), "".join(part.capitalize() for part in name.split("-"))
    if keyword.iskeyword(made) or re.search(rf"\b{made}\b", code):
        made += kind.capitalize()
    module = f"nexus_{kind}_{snake}"
    return {
        "name": name,
        "distribution": f"nexus-{kind}-{name}",
        "module": module,
        "snake": snake,
        "constant": snake.upper(),
        "type": made,
        "year": str(date.today().year),
        "group": KINDS[kind].group,
        "offered": module + Template(KINDS[kind].offered).substitute(type=made),
        "summary": KINDS[kind].summary,
        "needs": ", ".join(f'"{each}>=0.1,<0.2"' for each in LIBRARIES if each.replace("-", "_") in code),
    }
