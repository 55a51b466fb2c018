"""The user's folders, where the platform's custom has them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_PLACES = {
    "win32": {"data": ("LOCALAPPDATA", "AppData/Local"), "cache": ("LOCALAPPDATA", "AppData/Local")},
    "darwin": {"data": ("", "Library/Application Support"), "cache": ("", "Library/Caches")},
}
_ELSEWHERE = {"data": ("XDG_DATA_HOME", ".local/share"), "cache": ("XDG_CACHE_HOME", ".cache")}


def of_user(kind: str) -> list[Path]:
    """Return our folder among the user's `data` or `cache`, made or not; nothing where there is no home."""
    variable, below = _PLACES.get(sys.platform, _ELSEWHERE)[kind]
    with suppress(RuntimeError):
        return [Path(os.environ.get(variable) or Path.home() / below) / "nexus"]
    return []


def homes() -> list[Path]:
    """Return where runs and what is known of plugins live: `NEXUS_HOME`, then the user's data folder."""
    named = os.environ.get("NEXUS_HOME")
    return [*([Path(named)] if named else []), *of_user("data")]


def cache() -> Path | None:
    """Return the folder of compiled code; None where none can be written."""
    named = os.environ.get("NEXUS_CACHE_DIR")
    for folder in [Path(named)] if named else of_user("cache"):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # machine code is loaded from here: a folder that somebody else owns is not believed
            is_ours = sys.platform == "win32" or folder.stat().st_uid == os.getuid()
            if is_ours and os.access(folder, os.W_OK | os.X_OK):
                return folder.resolve()
    return None
