"""The files of a recording: append-only compressed segments of lines, `<local ns> <json>`, and their index.

A segment is one or more gzip members, one after another, so that any tool reads it and damage costs a member
at the most. Beside the segments lies `index.jsonl`, a line for each that was closed: its name, lines, bytes,
first and last stamp, and the SHA-256 of the file. A segment without such a line was never closed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nexus_core.errors import DataError, NotFoundError
from nexus_recording.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

INDEX = "index.jsonl"
MAGIC = b"\x1f\x8b\x08"
MEMBER = 4 * 2**20
"""Bytes of text in a gzip member: as much as one damaged byte can cost."""

_GZIP = 31  # zlib's word for a window of 32 KB with gzip's head and tail
_READ = 2**14
_SUFFIXES = (".gz", ".jsonl", ".txt")


class Writer:
    """Appends lines to the segments of a folder; what was flushed survives the death of the process.

    A segment is closed when it has `size` bytes of text or spans `seconds` by the stamps. Segments are named
    by `name` and their first stamp, so that the names of one recorder sort by time. The recorder flushes as
    often as it can bear to lose: a flush goes through to the disk.
    """

    def __init__(
        self, folder: Path, name: str, *, size: int = 256 * 2**20, seconds: float = 3600.0, level: int = 6
    ) -> None:
        self.folder, self.name = folder, name
        self._size, self._span, self._level = size, int(seconds * 1e9), level
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] | None = None

    def write(self, local: int, message: bytes) -> None:
        """Append a message received at `local`, in nanoseconds UTC; it holds no newline."""
        if b"\n" in message:
            raise DataError(f"recording {self.name}: a message with a newline in it cannot be a line.")
        if self._file is not None and (self._bytes >= self._size or local - self._first >= self._span):
            self.close()
        file = self._file or self._open(local)
        text = b"%d %s\n" % (local, message)
        file.write(self._packer.compress(text))
        self._lines, self._bytes, self._last = self._lines + 1, self._bytes + len(text), local
        self._member += len(text)
        if self._member >= MEMBER:
            file.write(self._packer.flush())
            self._begin_member()

    def flush(self) -> None:
        """Bring every line so far to the disk."""
        if self._file is not None:
            self._file.write(self._packer.flush(zlib.Z_SYNC_FLUSH))
            self._sync(self._file)

    def close(self) -> None:
        """Close the segment, and write its line into the index."""
        if self._file is None:
            return
        self._file.write(self._packer.flush())
        self._sync(self._file)
        self._file.close()
        facts = {
            "file": self._path.name,
            "lines": self._lines,
            "bytes": self._bytes,
            "first": self._first,
            "last": self._last,
            "sha256": _digest(self._path),
        }
        with (self.folder / INDEX).open("ab") as index:
            index.write(json.dumps(facts).encode() + b"\n")
            self._sync(index)
        self._file = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, local: int) -> IO[bytes]:
        self._path = self.folder / f"{self.name}-{local:019d}.jsonl.gz"
        try:
            file = self._path.open("xb")
        except FileExistsError:
            raise DataError(
                f"recording {self.name}: {self._path} is there already. A second recorder needs another name."
            ) from None
        self._file, self._first = file, local
        self._lines = self._bytes = 0
        self._begin_member()
        return file

    def _begin_member(self) -> None:
        self._packer = zlib.compressobj(self._level, zlib.DEFLATED, _GZIP)
        self._member = 0

    @staticmethod
    def _sync(file: IO[bytes]) -> None:
        file.flush()
        os.fsync(file.fileno())


def found(path: str) -> list[Path]:
    """Return the files of a recording: a file, those of a folder, or those a pattern fits."""
    place = Path(path)
    if place.is_dir():
        files = [each for each in place.iterdir() if each.suffix in _SUFFIXES and each.name != INDEX]
    elif place.exists():
        files = [place]
    else:
        parent = next(each for each in (place, *place.parents) if not set("*?[") & set(str(each)))
        pattern = str(place.relative_to(parent)) if parent != place else ""
        files = [each for each in parent.glob(pattern) if each.is_file()] if pattern else []
    if not files:
        raise NotFoundError(f"recording: no file was found at {path!r}. Name a file, a folder, or a pattern.")
    return sorted(files)


def pieces(path: Path, faults: list[Fault], size: int = 2**18) -> Iterator[bytes]:
    """Yield the text of a segment in pieces of about `size` bytes; b"" where bytes between were lost.

    What cannot be read is a fault: a torn end, a damaged member (the next one found is read on), a file that
    is another than its index says.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        yield from _unpacked(_hashed(file, digest), path, faults, size)
    said = _indexed(path)
    if said is not None and said.get("sha256") != digest.hexdigest():
        faults.append(Fault("damaged", str(path), 0, "it is another file than its index says"))


def first_stamp(path: Path) -> int:
    """Return the stamp of the first line that has one, in nanoseconds; 0 where none has."""
    faults: list[Fault] = []
    rest = b""
    for piece in pieces(path, faults, 2**14):
        *lines, rest = (rest + piece).split(b"\n")
        for each in lines or [rest]:
            stamp = each.partition(b" ")[0]
            if stamp.isdigit() and len(stamp) < 20:
                return int(stamp)
    return 0


def _hashed(file: IO[bytes], digest: Any) -> Iterator[bytes]:
    while raw := file.read(_READ):
        digest.update(raw)
        yield raw


def _unpacked(raws: Iterator[bytes], path: Path, faults: list[Fault], size: int) -> Iterator[bytes]:
    first = next(raws, b"")
    if not first.startswith(MAGIC[: len(first)]) or not first:
        yield from _joined(first, raws)
        return
    raw, unpacker = first, zlib.decompressobj(_GZIP)
    while raw:
        before = unpacker.copy()
        try:
            text = unpacker.decompress(raw, size)
        except zlib.error as error:
            yield _to_the_damage(before, raw)
            faults.append(Fault("damaged", str(path), 0, f"a part of it cannot be unpacked ({error})"))
            yield b""
            raw, unpacker = _next_member(raw[1:], raws), zlib.decompressobj(_GZIP)
            continue
        if text:
            yield text
        if unpacker.eof:
            raw = unpacker.unused_data.lstrip(b"\0") or next(raws, b"").lstrip(b"\0")
            if raw:
                unpacker = zlib.decompressobj(_GZIP)
        else:
            raw = unpacker.unconsumed_tail or next(raws, b"")
    if not unpacker.eof:
        with suppress(zlib.error):
            if text := unpacker.flush():
                yield text
        if not unpacker.eof:
            faults.append(Fault("torn", str(path), 0, "it ends in the middle; all up to there is read"))


def _to_the_damage(unpacker: Any, raw: bytes) -> bytes:
    """Return the text before the byte that cannot be unpacked."""
    text = b""
    with suppress(zlib.error):
        for each in raw:
            text += unpacker.decompress(bytes((each,)))
    return text


def _joined(first: bytes, raws: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from raws


def _next_member(raw: bytes, raws: Iterator[bytes]) -> bytes:
    """Return the bytes from the next head of a gzip member on."""
    while True:
        at = raw.find(MAGIC)
        if at >= 0:
            return raw[at:]
        more = next(raws, b"")
        if not more:
            return b""
        raw = raw[-len(MAGIC) + 1 :] + more


def _indexed(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        for line in (path.parent / INDEX).read_bytes().splitlines():
            facts = json.loads(line)
            if facts.get("file") == path.name:
                return facts
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
