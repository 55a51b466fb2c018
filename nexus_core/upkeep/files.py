"""The files of installed packages, found without importing them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def files(package: str) -> dict[str, Path]:
    """Return the files of a top-level module or package, by name and in order; compiled ones aside."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    roots = [Path(each) for each in (spec.submodule_search_locations or [spec.origin or ""])] if spec else []
    paths = [(root, path) for root in roots for path in (root.rglob("*") if root.is_dir() else [root])]
    return {
        path.relative_to(root.parent).as_posix().encode(errors="backslashreplace").decode(): path
        for root, path in sorted(paths)
        if path.is_file() and path.suffix != ".pyc"
    }
