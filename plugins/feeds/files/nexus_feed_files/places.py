"""Which file holds which symbol."""

from __future__ import annotations

import re
from pathlib import Path

from nexus_core.errors import ConfigError, NotFoundError

ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".txt", ".gz", ".zip", ".parquet", ".pq", ".feather", ".arrow")
"""Endings of files that a folder is searched for."""


def file_of(path: str, symbol: str, *, alone: bool) -> Path:
    """Return the file of a symbol; `alone` where the run has no other, so that one file may be named."""
    if "{symbol}" in path:
        return _there(Path(path.replace("{symbol}", symbol)))
    place = Path(path)
    if place.is_dir():
        return _in_folder(place, symbol)
    if not alone:
        told = "is one file, and the run has several symbols"
        raise ConfigError(f"files: {path} {told}. Name a folder, or a pattern like data/{{symbol}}.csv.")
    return _there(place)


def any_file(path: str) -> Path:
    """Return a file that may be read for some symbol."""
    place = Path(path)
    if "{symbol}" in path:
        # where the symbol names a folder too, the first file below tells as much
        before, _, after = path.partition("{symbol}")
        folder = Path(f"{before}x").parent
        found = sorted(folder.rglob("*")) if folder.is_dir() else []
        named = [each for each in found if str(each).startswith(str(Path(f"{before}x"))[:-1])]
        files = [each for each in named if each.is_file() and str(each).endswith(after)]
    else:
        files = _files(place) if place.is_dir() else [place] if place.is_file() else []
    if not files:
        raise NotFoundError(f"files: {path}: no such file. Set plugins.files.path to one that is there.")
    return files[0]


def _in_folder(folder: Path, symbol: str) -> Path:
    wanted = _plain(symbol)
    files = _files(folder)
    found = [each for each in files if _plain(_stem(each)) == wanted]
    found = found or [each for each in files if wanted in _plain(_stem(each))]
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in (found or files)[:5]) or "no file that can be read"
    told = f"{len(found)} files for {symbol}" if found else f"no file for {symbol}"
    raise ConfigError(f"files: {folder} has {told}: {names}. Name them like {symbol}.csv, or give a pattern.")


def _there(path: Path) -> Path:
    if not path.is_file():
        raise NotFoundError(f"files: {path}: no such file. Set plugins.files.path to one that is there.")
    return path


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_file() and each.name.lower().endswith(ENDINGS))


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
