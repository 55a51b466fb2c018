"""Rows with the splits and dividends of a file applied as they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_core.records import Records


def adjusted(symbol: str, rows: Iterator[Records], actions: str) -> Iterator[Records]:
    """Yield a symbol's rows scaled by the splits and dividends of the file `actions`, if one is named."""
    if not actions:
        yield from rows
        return
    from nexus_catalog.actions import Adjuster, read_actions

    adjuster = Adjuster(symbol, read_actions(Path(actions), symbol))
    for each in rows:
        yield adjuster.adjust(each)


def digest(file: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"files: {file} cannot be read: {error.strerror}. Name another.") from error
