"""What commands print: a table or JSON on standard output, progress on a terminal's standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, SupportsIndex, cast

from typer import Option, Typer

Json = Annotated[bool, Option("--json", help="Print JSON instead of text.")]
Config = Annotated[Path | None, Option("--config", help="Settings file; else ./nexus.toml, else the user's.")]
Sets = Annotated[list[str] | None, Option("--set", help="A setting: section.key=value. May be repeated.")]
Out = Annotated[Path | None, Option("--out", help="Folder of runs; else NEXUS_HOME/runs, else the user's.")]
RunId = Annotated[str | None, Option("--run", help="Id of the run; the newest without it.")]
Why = Annotated[str, Option(help="The reason, for the journal.")]


def command(add_completion: bool = False, **about: Any) -> Typer:
    """Return a new command, or group of commands, with plain help."""
    return Typer(add_completion=add_completion, no_args_is_help=True, rich_markup_mode=None, **about)


def show(as_json: bool, data: Any, text: Iterable[str]) -> None:
    """Print `data` as JSON, or the lines of `text`."""
    if as_json:
        # JSON has no word for NaN and infinity
        finite = json.loads(json.dumps(data, default=str), parse_constant=lambda _: None)
        sys.stdout.write(json.dumps(finite, indent=1) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for line in text)


def table(rows: Iterable[Iterable[Any]], head: Sequence[str] = ()) -> list[str]:
    """Return rows as aligned lines; numbers stand to the right."""
    columns = zip(*([head, *rows] if head else rows), strict=True)
    aligned = [_aligned([words(each) for each in column], bool(head)) for column in columns]
    return ["  ".join(row).rstrip() for row in zip(*aligned, strict=True)]


def _aligned(cells: list[str], headed: bool) -> list[str]:
    width = max(map(len, cells))
    place = str.rjust if all(map(_is_number, cells[headed:])) else str.ljust
    return [place(cell, width) for cell in cells]


def pairs(facts: Mapping[str, Any], rows: Iterable[Any] = (), head: Sequence[str] = ()) -> list[str]:
    """Return facts as lines of name and value, and below them, where there are rows, these as a table."""
    width = max((len(name) for name in facts), default=0)
    lines = [f"{name.ljust(width)}  {words(value)}" for name, value in facts.items()]
    return [*lines, "", *table(rows, head)] if rows else lines


def words(value: Any) -> str:
    """Return a value as a text of one line; the parts of a list stand between commas."""
    return ", ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)


def amount(units: SupportsIndex) -> str:
    """Return units of 1e-8 as a plain decimal without trailing zeros."""
    from nexus_core.types import from_units

    return f"{from_units(units):f}".rstrip("0").rstrip(".")


class Progress:
    """One line on a terminal that is written over; silent elsewhere."""

    _length = 0

    def __call__(self, text: str, end: str = "") -> None:
        """Show what is going on."""
        if sys.stderr.isatty():
            print("\r" + text.ljust(self._length), end=end, file=sys.stderr, flush=True)
            self._length = len(text)

    def done(self) -> None:
        """Clear the line."""
        if self._length:
            self("", end="\r")


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace("%", "").replace(" ", "").lstrip("+-").replace(".", "", 1).isdigit()
