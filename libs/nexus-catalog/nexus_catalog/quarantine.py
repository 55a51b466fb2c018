"""Where refused input goes: a file of JSON lines that says of each row where it stood and why."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_core.errors import DataError

if TYPE_CHECKING:
    from types import TracebackType


class Quarantine:
    """A file that refused rows are appended to, one JSON object a line, made when the first one comes.

    With `fresh` a file that is there already is written anew. The fields of a line are `source`, `line` (the
    number of the line in its file, or of the row in its table, from 1; 0 where none is meant), `time`
    (nanoseconds UTC, or null), `fault`, `reason` and `raw`, the text or values that were refused. Without a
    path it only counts.
    """

    def __init__(self, path: Path | str | None = None, *, fresh: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.counts: Counter[str] = Counter()
        """How many rows were refused for each fault."""
        self._mode, self._stream = "w" if fresh else "a", None

    def add(self, source: str, line: int, fault: str, reason: str, raw: Any, time: int | None = None) -> None:
        """Append a refused row."""
        self.counts[fault] += 1
        if self.path is None:
            return
        told = {"source": source, "line": line, "time": time, "fault": fault, "reason": reason, "raw": raw}
        try:
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self.path.open(self._mode, encoding="utf-8")
                self._mode = "a"
            self._stream.write(json.dumps(told, default=str) + "\n")
        except OSError as error:
            raise DataError(f"quarantine {self.path} cannot be written: {error}. Name another.") from None

    def flush(self) -> None:
        """Bring what was added to the disk."""
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Bring what was added to the disk and close the file; more may be added afterwards."""
        if self._stream is not None:
            self.flush()
            self._stream.close()
            self._stream = None

    @property
    def total(self) -> int:
        """Return how many rows were refused."""
        return self.counts.total()

    def summary(self) -> str:
        """Return the counts by fault in words, the most frequent first."""
        return ", ".join(f"{count:,} {fault}" for fault, count in self.counts.most_common()) or "none"

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
