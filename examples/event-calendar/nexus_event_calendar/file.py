"""Reading the file of announcements, or saying in one sentence what is wrong with it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from nexus_core.errors import ConfigError, DataError
from nexus_core.types import ns

OFFSET = re.compile(r".+(Z|[+-]\d\d:\d\d)")
"""How a time ends that says of which zone it is."""


def announced(path: str) -> Any:
    """Return the times of a file in nanoseconds UTC, each once and in order."""
    setting = f"plugins.event-calendar.file was {path!r}"
    if not path:
        raise ConfigError("plugins.event-calendar.file was missing. Set it to a CSV file of announcements.")
    try:
        with Path(path).expanduser().open(encoding="utf-8-sig", newline="") as stream:
            times = _times(stream)
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{setting}, which cannot be read: {reason}.") from error
    except DataError as error:
        raise ConfigError(f"{setting}: {error}") from error
    if len(times) < 2:
        raise ConfigError(f"{setting}, which has no two times: the first and the last say what it covers.")
    times.flags.writeable = False
    return times


def _times(stream: Any) -> Any:
    lines = csv.DictReader(stream, skipinitialspace=True)
    if "time" not in (lines.fieldnames or ()):
        raise DataError("its first line names no column `time`.")
    return np.unique(np.array([_time(each["time"], lines.line_num) for each in lines], np.int64))


def _time(text: str | None, line: int) -> int:
    text = (text or "").strip()
    if not OFFSET.fullmatch(text):
        # a time that was meant for another zone would protect the wrong hours
        raise DataError(
            f"line {line}: time was {text!r}, must be like 2026-03-18T14:00:00-04:00 or end in Z."
        )
    try:
        return ns(text)
    except DataError as error:
        raise DataError(f"line {line}: {error}") from error
