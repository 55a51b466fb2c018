"""What commands print: a table or JSON on standard output, progress on a terminal's standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, SupportsIndex, cast

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; else ./nexus.toml, else the user's.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="A setting: section.key=value. May be repeated.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of runs; else NEXUS_HOME/runs, else the user's.")
]
RunId = Annotated[str | None, typer.Option("--run", help="Id of the run; the newest without it.")]


def app(**about: Any) -> typer.Typer:
    """Return a new command with plain help."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, **about)


def show(as_json: bool, data: Any, text: Iterable[str]) -> None:
    """Print `data` as JSON, or the lines of `text`."""
    if as_json:
        sys.stdout.write(json.dumps(_finite(data), indent=1, default=str) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for line in text)


def table(rows: Sequence[Sequence[Any]], head: Sequence[str] = ()) -> list[str]:
    """Return rows as aligned lines; numbers stand to the right."""
    cells = [[str(each) for each in row] for row in ([head, *rows] if head else rows)]
    if not cells:
        return []
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    right = [all(_is_number(row[n]) for row in cells[bool(head) :]) for n in range(len(widths))]
    return [
        "  ".join(
            cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def pairs(facts: Mapping[str, Any]) -> list[str]:
    """Return facts as lines of name and value."""
    width = max((len(name) for name in facts), default=0)
    return [f"{name.ljust(width)}  {value}" for name, value in facts.items()]


def amount(units: SupportsIndex) -> str:
    """Return units of 1e-8 as a plain decimal without trailing zeros."""
    from nexus_core.types import from_units

    return f"{from_units(units):f}".rstrip("0").rstrip(".")


class Progress:
    """One line on a terminal that is written over; silent elsewhere."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._length = 0

    def __call__(self, text: str) -> None:
        """Show what is going on."""
        if self._on:
            sys.stderr.write("\r" + text.ljust(self._length))
            sys.stderr.flush()
            self._length = len(text)

    def done(self) -> None:
        """Clear the line."""
        if self._on and self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0


def _finite(data: Any) -> Any:
    # JSON has no word for NaN and infinity
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in cast("dict[str, Any]", data).items()}
    if isinstance(data, list | tuple):
        return [_finite(each) for each in cast("list[Any]", data)]
    return data


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace("%", "").replace(" ", "").lstrip("+-").replace(".", "", 1).isdigit()
