"""The folder of compiled code, swept."""

from __future__ import annotations

import shutil
import time

from nexus_core.compile import cache_root


def prune(days: float = 30.0) -> int:
    """Delete generated code not loaded for `days`; return how many folders went."""
    edge = time.time() - days * 86_400
    old = [folder for folder in cache_root().iterdir() if folder.is_dir() and folder.stat().st_mtime < edge]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)
