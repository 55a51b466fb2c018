"""What in a recording could not be used."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """Something in a recording that could not be used: what, where, and why."""

    kind: str
    file: str
    line: int
    reason: str
    text: bytes = b""

    def __str__(self) -> str:
        """Say it in a line."""
        where = f"{self.file}, line {self.line:,}" if self.line else self.file
        return f"{where}: {self.reason}" + (f": {self.text[:80]!r}" if self.text else "")
