"""Tables in pieces: text cut at the ends of lines, Arrow tables as they are batched."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
from pyarrow import csv

from nexus_core.errors import DataError, NotFoundError

NULLS = ("", "NaN", "nan", "NA", "N/A", "null", "NULL", "None")
"""Texts of a cell that say that nothing is known."""

_LINE = 1 << 20
_SAMPLE = 1000
_BROKEN = (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error)

Types = Mapping[str, Any]
"""The Arrow type of each column that is read."""


class Piece:
    """Some lines or rows of a table that follow one another, the first with the number `first`, from 1.

    `columns` are those that are read, as Arrow arrays, and `lines` the offset from `first` of each row's
    line. `refused` are offsets of lines that are no rows, with the fault and why.
    """

    def __init__(self, first: int, raw: Callable[[int], Any]) -> None:
        self.first, self.raw = first, raw
        self.columns: dict[str, Any] = {}
        self.lines: Any = None
        self.refused: dict[int, tuple[str, str]] = {}


class Table:
    """A table that is there as Arrow batches: Parquet, Feather, or a data frame."""

    def __init__(self, names: list[str], batches: Callable[[list[str]], Iterator[Any]]) -> None:
        self.names, self._batches = names, batches

    def sample(self, column: str) -> Any:
        """Return the first values of a column, as an Arrow array."""
        batch = next((each for each in self._batches([column]) if each.num_rows), None)
        return pa.array([], pa.string()) if batch is None else _plain(batch.column(0)[:_SAMPLE])

    def pieces(self, types: Types, needed: set[str]) -> Iterator[Piece]:
        """Yield the table in pieces, columns as they are."""
        first = 1
        for batch in self._batches(list(types)):
            piece = Piece(first, lambda n, batch=batch: batch.slice(n, 1).to_pylist()[0])
            piece.columns = {name: _plain(batch.column(name)) for name in types}
            yield piece
            first += batch.num_rows


class Text:
    """A table of lines: a text file, on its own, gzipped, or alone in a zip."""

    def __init__(self, path: Path, chunk: int) -> None:
        self.path, self._chunk = path, chunk
        with self._opened() as stream:
            head = self._read(stream, 1 << 16, 0)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path}: is UTF-16. Save it as UTF-8.")
        self._skip = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        lines = head[self._skip :].decode("utf-8", "replace").splitlines()
        if not any(each.strip() for each in lines):
            raise DataError(f"{path}: is empty. Name a file with rows.")
        top = next(each for each in lines if each.strip())
        self.delimiter = max(",;\t|", key=top.count) if any(map(top.count, ",;\t|")) else ","
        cells = [each.strip().strip('"') for each in top.split(self.delimiter)]
        self.has_header = not any(_is_number(each) for each in cells)
        self.names = cells if self.has_header else [str(n + 1) for n in range(len(cells))]
        if twice := sorted({each for each in cells if self.has_header and cells.count(each) > 1}):
            raise DataError(f"{path}: has two columns {twice[0]!r}. Rename one.")
        self._ahead = lines.index(top) + self.has_header
        whole = lines[self._ahead : -1 if len(head) == 1 << 16 else None]
        self._sample = [each.split(self.delimiter) for each in whole[:_SAMPLE]]
        self._size = max(1 << 16, chunk * (sum(map(len, whole)) // max(len(whole), 1) + 1))

    def sample(self, column: str) -> Any:
        """Return the first cells of a column, as an Arrow array of text."""
        place = self.names.index(column)
        cells = (each[place].strip().strip('"') for each in self._sample if len(each) == len(self.names))
        return pa.array([None if each in NULLS else each for each in cells], pa.string())

    def pieces(self, types: Types, needed: set[str]) -> Iterator[Piece]:
        """Yield the lines in pieces, columns of the types asked for; of text where a line is in doubt.

        A piece whose every cell can be read as its type, with none of the `needed` columns empty, is parsed
        at once. In any other all cells stay text, so that each that is wrong can be named.
        """
        for first, block in self._blocks():
            lines = _Lines(block)
            piece = Piece(first, lines.text)
            piece.columns = self._parsed(block, types, needed) or self._doubted(lines, types, piece)
            yield piece

    def _parsed(self, block: bytes, types: Types, needed: set[str]) -> dict[str, Any] | None:
        if b"\0" in block or block.count(b'"') % 2 or not _is_utf8(block):
            return None
        try:
            table = self._table(block, types)
        except pa.ArrowInvalid:
            return None
        sound = table.num_rows == block.count(b"\n") and not any(table[name].null_count for name in needed)
        return {name: table[name].combine_chunks() for name in types} if sound else None

    def _doubted(self, lines: _Lines, types: Types, piece: Piece) -> dict[str, Any]:
        kept, width = list(lines.all), len(self.names)
        for n, line in enumerate(lines.all):
            if fault := _strange(line):
                piece.refused[n], kept[n] = fault, b""
        short = [n for n, line in enumerate(kept) if not line.strip()]
        piece.lines = [n for n, line in enumerate(kept) if line.strip()]
        wrong: list[int] = []

        def invalid(row: Any) -> str:
            wrong.append(row.number - 1)
            n = piece.lines[wrong[-1]]
            piece.refused[n] = "columns", f"it has {row.actual_columns} cells, not {width}"
            return "skip"

        text = b"\n".join(kept[n] for n in piece.lines) + b"\n" if len(short) < len(kept) else b""
        names = list(types)
        if not text:
            piece.lines = []
            return {name: pa.array([], pa.string()) for name in names}
        table = self._table(text, dict.fromkeys(names, pa.string()), invalid)
        gone = set(wrong)
        piece.lines = [n for place, n in enumerate(piece.lines) if place not in gone]
        return {name: table[name].combine_chunks() for name in names}

    def _table(self, block: bytes, types: Types, invalid: Any = None) -> Any:
        return csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(column_names=self.names, use_threads=False, block_size=len(block) + 1),
            csv.ParseOptions(delimiter=self.delimiter, ignore_empty_lines=False, invalid_row_handler=invalid),
            csv.ConvertOptions(
                include_columns=list(types),
                column_types=dict(types),
                null_values=list(NULLS),
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of a block's first line, and the block: whole lines with their ends."""
        with self._opened() as stream:
            stream.read(self._skip)
            first, rest, ahead = 1, b"", self._ahead
            while True:
                try:
                    read = stream.read(self._size)
                except _BROKEN as error:
                    raise DataError(self._cut(first + rest.count(b"\n"), error)) from None
                if not read:
                    break
                end = read.rfind(b"\n") + 1
                if not end:
                    rest += read
                    if len(rest) > self._size + _LINE:
                        raise DataError(f"{self.path}: line {first} has no end. Is this a file of lines?")
                    continue
                block, rest = rest + read[:end], read[end:]
                skipped = block.split(b"\n", ahead)[-1] if ahead else block
                if skipped:
                    yield first + ahead, skipped
                first, ahead = first + block.count(b"\n"), 0
        if rest and not ahead:
            yield first, rest + b"\n"

    def _cut(self, line: int, error: Exception) -> str:
        what = f"{self.path}: breaks off or is damaged after line {line - 1:,}"
        return f"{what} ({_said(error)}). Fetch it again."

    def _read(self, stream: IO[bytes], size: int, line: int) -> bytes:
        try:
            return stream.read(size)
        except _BROKEN as error:
            raise DataError(self._cut(line + 1, error)) from None

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            if self.path.suffix == ".gz":
                with gzip.open(self.path) as stream:
                    yield cast("IO[bytes]", stream)
            elif self.path.suffix == ".zip":
                with zipfile.ZipFile(self.path) as archive:
                    files = [each for each in archive.namelist() if not each.endswith("/")]
                    if len(files) != 1:
                        held = ", ".join(files) or "nothing"
                        raise DataError(f"{self.path}: holds {held}; it must hold one file. Unpack it.")
                    with archive.open(files[0]) as stream:
                        yield stream
            else:
                with self.path.open("rb") as stream:
                    yield stream
        except zipfile.BadZipFile as error:
            raise DataError(self._cut(1, error)) from None


class _Lines:
    """The lines of a block, cut when one is asked for."""

    def __init__(self, block: bytes) -> None:
        self._block = block

    @cached_property
    def all(self) -> list[bytes]:
        return self._block.split(b"\n")[:-1]

    def text(self, n: int) -> str:
        return self.all[n].decode("utf-8", "backslashreplace").rstrip("\r")


def opened(source: Any, chunk: int) -> Table | Text:
    """Open a path, an Arrow table, or a frame of pandas or polars."""
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file. Name one that is there.")
        kind = {".parquet": _parquet, ".pq": _parquet, ".feather": _feather, ".arrow": _feather}
        if path.suffix.lower() in kind:
            try:
                return kind[path.suffix.lower()](path, chunk)
            except (pa.ArrowInvalid, OSError) as error:
                raise DataError(f"{path}: cannot be read: {_said(error)}. Fetch it again.") from None
        return Text(path, chunk)
    return _frame(source, chunk)


def _parquet(path: Path, chunk: int) -> Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow

    def batches(columns: list[str]) -> Iterator[Any]:
        # without the two, Arrow keeps all that it has read of a file until the end
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from _unbroken(path, file.iter_batches(chunk, columns=columns, use_threads=False))

    return Table(schema.names, batches)


def _feather(path: Path, chunk: int) -> Table:
    from pyarrow import ipc

    with pa.memory_map(str(path)) as file:
        schema = ipc.open_file(file).schema

    def batches(columns: list[str]) -> Iterator[Any]:
        with pa.memory_map(str(path)) as file:
            reader = ipc.open_file(file)
            for n in range(reader.num_record_batches):
                (batch,) = _unbroken(path, iter([reader.get_batch(n).select(columns)]))
                yield from (batch.slice(at, chunk) for at in range(0, batch.num_rows, chunk))

    return Table(schema.names, batches)


def _frame(frame: Any, chunk: int) -> Table:
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if hasattr(frame, "iloc"):  # pandas
        if frame.index.name or not hasattr(frame.index, "step"):
            frame = frame.reset_index(names=frame.index.name or "ts")
        arrow = partial(pa.Table.from_pandas, preserve_index=False)
        cut: Callable[[int, int], Any] = lambda at, size: arrow(frame.iloc[at : at + size])  # noqa: E731
    elif hasattr(frame, "to_arrow"):  # polars
        cut = lambda at, size: frame.slice(at, size).to_arrow()  # noqa: E731
    elif isinstance(frame, pa.Table):
        cut = frame.slice
    else:
        told = "a path, an Arrow table, or a frame of pandas or polars"
        raise DataError(f"tables: source was a {type(frame).__name__}, must be {told}.")
    schema = cut(0, 0).schema

    def batches(columns: list[str]) -> Iterator[Any]:
        for at in range(0, len(frame), chunk):
            yield from cut(at, chunk).select(columns).combine_chunks().to_batches()

    return Table(schema.names, batches)


def _unbroken(path: Path, batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: is damaged: {_said(error)}. Fetch it again.") from None


def _plain(cells: Any) -> Any:
    """Return text, however it is kept, as plain text."""
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_string(kind)
    return cells.cast(pa.string()) if is_text and cells.type != pa.string() else cells


def _strange(line: bytes) -> tuple[str, str] | None:
    if b"\0" in line:
        return "nul", "it holds a NUL byte"
    if not _is_utf8(line):
        return "encoding", "it is not UTF-8"
    if line.count(b'"') % 2:
        return "quote", "a quotation mark is not closed"
    return None


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell[:4].isdigit()
    return cell.lower() not in ("nan", "inf", "infinity")


def _said(error: Exception) -> str:
    return str(error).rstrip(". ")
