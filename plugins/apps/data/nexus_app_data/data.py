"""`nexus data`: bring market data in, check it, show it, and serve its splits."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from nexus_core import folders
from nexus_core.cli.output import Json, command, pairs, show, table
from nexus_core.errors import CheckFailedError, NotFoundError, UsageError
from nexus_core.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_catalog.series import Series
    from nexus_catalog.store import Catalog, Facts

    from nexus_app_data.incoming import How
    from nexus_core.market.sessions import Calendar
    from nexus_core.records import Records

app = command(help="Bring market data in, check it, show it, and serve its splits.")

Paths = Annotated[
    list[Path],
    Argument(help="Files: CSV (.csv, .csv.gz, .zip), Parquet, Feather; recordings, or their folder."),
]
Source = Annotated[Path, Argument(help="File to read.")]
Target = Annotated[Path, Argument(help="File to write: .csv, .csv.gz, .parquet or .feather.")]
Name = Annotated[str, Argument(help="A series, such as BTC-USD/bars-60s.")]
Either = Annotated[str, Argument(help="A file, a recording, or a series of the catalog.")]
VenueName = Annotated[
    str, Option("--name", help="The venue's name of the symbol in a recording; else found.")
]
Symbol = Annotated[str, Option(help="The symbol the data is of, such as BTC-USD.")]
Kind = Annotated[str, Option(help="bars, trades or quotes; else found from the columns.")]
Columns = Annotated[str, Option(help="Columns of other names, as ts=Date,open=Open.")]
Zone = Annotated[str, Option(help="Time zone of times without one, such as America/New_York.")]
Unit = Annotated[str, Option(help="How times are written: s, ms, us, ns, iso or a format; else found out.")]
Stamp = Annotated[str, Option(help="Whether bars are stamped at their open or close.")]
Interval = Annotated[float, Option(help="Seconds of a bar; else found from the data.", min=0, max=31_622_400)]
Folder = Annotated[Path | None, Option("--catalog", help="Folder of the catalog; else NEXUS_HOME/catalog.")]
Refused = Annotated[Path | None, Option("--quarantine", help="File for refused lines, as JSON lines.")]
Sessions = Annotated[
    str, Option("--calendar", help="When the market is open, such as XNYS; what it lacks then is a gap.")
]
Picture = Annotated[Path | None, Option("--plot", help="Draw it into this PNG file.")]
Split = Annotated[str, Option(help="calibrate, choose, open (both), final, or all.")]
Reason = Annotated[str, Option("--why", help="Why the final split is read; it is written down.")]
Force = Annotated[bool, Option("--force", help="Replace the file if it is there.")]

COLUMNS = ("series", "rows", "from", "to", "size", "final from", "final read", "odd or refused")


@app.command("import")
def import_(
    paths: Paths,
    symbol: Symbol,
    kind: Kind = "",
    columns: Columns = "",
    zone: Zone = "UTC",
    unit: Unit = "",
    stamp: Stamp = "close",
    interval: Interval = 0.0,
    catalog: Folder = None,
    quarantine: Refused = None,
    name: VenueName = "",
    as_json: Json = False,
) -> None:
    """Bring files and recordings into the catalog; what was brought in before adds nothing."""
    from nexus_catalog.store import digest

    from nexus_app_data.incoming import opened
    from nexus_app_data.recordings import is_recording

    how = _how(kind, columns, zone, unit, stamp, interval)
    kept = _catalog(catalog)
    done: list[dict[str, Any]] = []
    for path in _there(paths):
        if is_recording(path):
            done.append(_recorded(path, symbol, name, kept, quarantine))
            continue
        sha256 = digest(path)
        refused = quarantine or kept.folder / "refused" / f"{path.name}-{sha256[:16]}.jsonl"
        refused_before = refused.stat().st_size if refused.exists() else 0
        source = opened(path, symbol, how, refused)
        with source.refusals:
            counts: dict[str, int] = {}
            chunks = _counting(source, counts)
            added = kept.add(source.series, chunks, str(path.resolve()), sha256, counts)
        if added.known:  # its refused lines are in the quarantine already
            _cut_back(refused, refused_before)
        told = {"file": str(path), "series": source.series.name, "rows": added.rows, "added": added.added}
        there = str(refused) if source.refusals.total and not added.known else None
        done.append({**told, "known": added.known, "faults": counts, "quarantine": there})
    show(as_json, done, [line for each in done for line in _imported(each)])


@app.command("list")
def list_(catalog: Folder = None, as_json: Json = False) -> None:
    """List the series of the catalog, with how often their final split was read."""
    found = _catalog(catalog).facts()
    rows = [_row(each) for each in found]
    data = [_described(each) for each in found]
    show(as_json, data, table(rows, COLUMNS) if rows else ["nothing in the catalog yet: nexus data import"])


@app.command()
def check(
    target: Either,
    kind: Kind = "",
    columns: Columns = "",
    zone: Zone = "UTC",
    unit: Unit = "",
    stamp: Stamp = "close",
    interval: Interval = 0.0,
    catalog: Folder = None,
    quarantine: Refused = None,
    name: VenueName = "",
    calendar: Sessions = "",
    as_json: Json = False,
) -> None:
    """Report the quality of a file, a recording or a series; exit code 5 if anything was refused."""
    from nexus_catalog.series import Series

    from nexus_app_data import quality
    from nexus_app_data.incoming import opened
    from nexus_app_data.recordings import is_recording

    path = Path(target)
    if is_recording(path):
        _checked(path, name, quarantine, as_json)
        return
    if path.is_file():
        how = _how(kind, columns, zone, unit, stamp, interval)
        source = opened(path, path.stem, how, quarantine)
        series, chunks, refusals = source.series, source.chunks, source.refusals
    else:
        kept = _catalog(catalog)
        _must_be_there(target, kept)
        series, chunks, refusals = Series.of(target), kept.every(target), nullcontext()
    report = quality.Quality(series, _calendar(calendar, series))
    with refusals:
        for chunk in chunks:
            report.look(chunk)
    report.unread = getattr(refusals, "seen", {})
    facts = {"source": target, "series": report.series.name, **report.facts()}
    if not path.is_file():
        facts["series"] = target
    show(as_json, facts, [target, "", *quality.lines(facts)])
    if report.lost:
        raise CheckFailedError(f"{target}: lines refused: {report.lost:,}.")


@app.command("show")
def show_(
    series: Name,
    plot: Picture = None,
    split: Split = "open",
    why: Reason = "",
    calendar: Sessions = "",
    catalog: Folder = None,
    as_json: Json = False,
) -> None:
    """Show a series: its splits, where it came from, who read its final split; with --plot, a picture."""
    kept = _catalog(catalog)
    found = kept.find(series)
    sessions = _calendar(calendar, found.series)
    chunks = _part(kept, series, split, why)
    if plot is not None:
        if plot.suffix.lower() != ".png":
            raise UsageError(f"--plot was {plot}, must end in .png.")
        _drawn(plot, found, _standing(kept, found, split, chunks), split, sessions)
        found = kept.find(series)
    counts = kept.counts(series)
    facts = {**_described(found), "split_rows": counts, "plot": str(plot) if plot else None}
    show(as_json, facts, _shown(found, counts, plot))


@app.command()
def convert(
    src: Source,
    dst: Target,
    kind: Kind = "",
    columns: Columns = "",
    zone: Zone = "UTC",
    unit: Unit = "",
    stamp: Stamp = "close",
    interval: Interval = 0.0,
    quarantine: Refused = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a file anew in another format, times in UTC; refused lines are named and left out."""
    from nexus_app_data import outgoing
    from nexus_app_data.incoming import opened

    (src,) = _files([src])
    refused = quarantine or dst.with_name(f"{dst.name}.refused.jsonl")
    source = opened(src, src.stem, _how(kind, columns, zone, unit, stamp, interval), refused)
    with source.refusals:
        rows = outgoing.write(dst, source.series.kind, source.chunks, force)
    total = source.refusals.total
    facts = {"file": str(dst), "rows": rows, "refused": dict(source.refusals.counts)}
    there = f", {total:,} refused: {source.refusals.summary()}; see {refused}" if total else ""
    show(as_json, facts, [f"{dst}: {rows:,} rows{there}"])


@app.command()
def export(
    series: Name,
    dst: Target,
    split: Split = "open",
    why: Reason = "",
    catalog: Folder = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a series to a file; the final split only when asked for, and with its reason."""
    from nexus_app_data import outgoing

    kept = _catalog(catalog)
    found = kept.find(series)
    rows = outgoing.write(dst, found.series.kind, _part(kept, series, split, why), force)
    left = found.rows - rows if split == "open" else 0
    facts = {"file": str(dst), "series": series, "split": split, "rows": rows}
    note = " (the final split is not in it: --split all --why REASON)" if left else ""
    show(as_json, facts, [f"{dst}: {rows:,} rows{note}"])


def _standing(kept: Catalog, found: Facts, split: str, chunks: Iterator[Records]) -> Iterator[Records]:
    """Put the book that stood at the begin of a split before its events."""
    if found.series.kind != "book" or found.splits is None or split not in ("choose", "final"):
        return chunks
    from nexus_recording.standing import begun

    after, _ = found.splits.span(split)
    return begun(_both(kept.read(found.series.name, last=after), chunks), after + 1)


def _drawn(
    plot: Path, found: Facts, chunks: Iterator[Records], split: str, sessions: Calendar | None
) -> None:
    from nexus_app_data import depth, picture

    if found.series.kind == "book":
        depth.draw(plot, found, chunks, split)
    else:
        picture.draw(plot, found, chunks, split, sessions)


def _how(kind: str, columns: str, zone: str, unit: str, stamp: str, interval: float) -> How:
    from nexus_app_data.incoming import How

    return How(kind, columns, zone, unit, stamp, interval)


def _catalog(folder: Path | None) -> Catalog:
    from nexus_catalog.store import Catalog

    homes = folders.homes()
    if folder is None and not homes:
        raise UsageError("there is no home folder to keep a catalog in. Name one with --catalog.")
    return Catalog(folder or homes[0] / "catalog")


def _calendar(name: str, series: Series) -> Calendar | None:
    from nexus_core.market.sessions import Calendar

    if name and series.kind != "bars":
        raise UsageError(f"--calendar is of bars, and {series.name} has events. Leave it out.")
    return Calendar(name) if name else None


def _files(paths: list[Path]) -> list[Path]:
    for each in paths:
        if each.is_dir():
            raise UsageError(f"{each}: is a folder, and no recording. Name the files in it.")
        if not each.is_file():
            raise NotFoundError(f"{each}: there is no such file.")
    return paths


def _there(paths: list[Path]) -> list[Path]:
    for each in paths:
        if not each.exists():
            raise NotFoundError(f"{each}: there is no such file.")
    return paths


def _recorded(path: Path, symbol: str, name: str, kept: Catalog, quarantine: Path | None) -> dict[str, Any]:
    """Bring a recording in, as all the events of one symbol."""
    from nexus_catalog.series import Series

    from nexus_app_data.recordings import Incoming, digest, names_in

    names = [name] if name else names_in(path)
    if len(names) > 1:
        raise UsageError(f"{path}: speaks of {', '.join(names)}. Say which is {symbol} with --name.")
    sha256, series = digest(path), Series(symbol, "book")
    refused = quarantine or kept.folder / "refused" / f"{path.name}-{sha256[:16]}.txt"
    source, counts = Incoming.of(path, names, refused), dict[str, int]()

    def chunks() -> Iterator[Records]:
        yield from source.events()
        counts.update(source.counts())

    added = kept.add(series, chunks(), str(path.resolve()), sha256, counts)
    told = {"file": str(path), "series": series.name, "rows": added.rows, "added": added.added}
    there = str(refused) if any(each.text for each in source.recording.faults) else None
    return {**told, "known": added.known, "faults": counts, "quarantine": there}


def _checked(path: Path, name: str, quarantine: Path | None, as_json: bool) -> None:
    """Report the quality of a recording."""
    from nexus_app_data import recordings

    source = recordings.Incoming.of(path, [name] if name else [], quarantine)
    for _ in source.events():
        pass
    facts = {"source": str(path), **source.facts()}
    show(as_json, facts, [str(path), "", *recordings.lines(facts)])
    if facts["refused"]:
        raise CheckFailedError(f"{path}: refused: {facts['refused']:,}.")


def _must_be_there(name: str, kept: Catalog) -> None:
    if "/" not in name or Path(name).suffix:
        raise NotFoundError(f"{name}: there is no such file, and it is no name of a series.")
    kept.find(name)


def _counting(source: Any, counts: dict[str, int]) -> Iterator[Records]:
    yield from source.chunks
    counts.update(source.counts())


def _cut_back(path: Path, size: int) -> None:
    if path.exists():
        with open(path, "r+b") as stream:
            stream.truncate(size)
        if not size:
            path.unlink()


def _part(kept: Catalog, name: str, split: str, why: str) -> Iterator[Records]:
    if split not in ("final", "all"):
        return kept.read(name, split)
    if not why.strip():
        raise UsageError(f"{name}: the final split is sealed. To read it, say why: --why REASON.")
    final = kept.final(name, why)
    return final if split == "final" else _both(kept.read(name), final)


def _both(one: Iterator[Records], other: Iterator[Records]) -> Iterator[Records]:
    yield from one
    yield from other


def _imported(each: dict[str, Any]) -> list[str]:
    if each["known"]:
        return [f"{each['series']}: {each['file']} was brought in before, nothing to add"]
    same = each["rows"] - each["added"]
    known = f", {same:,} were there already" if same else ""
    text = [f"{each['series']}: {each['added']:,} rows added{known}"]
    if each["faults"]:
        text.append("  " + ", ".join(f"{count:,} {name}" for name, count in each["faults"].items()))
    return [*text, f"  refused lines: {each['quarantine']}"] if each["quarantine"] else text


def _faults(found: Facts) -> int:
    return sum(sum(each["faults"].values()) for each in found.sources)


def _row(found: Facts) -> list[Any]:
    final = iso(found.splits.choose_to) if found.splits else "-"
    span = [iso(each) if each is not None else "-" for each in (found.first, found.last)]
    size = _size(found.bytes)
    return [found.series.name, f"{found.rows:,}", *span, size, final, len(found.readings), _faults(found)]


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _described(found: Facts) -> dict[str, Any]:
    splits = found.splits
    return {
        "series": found.series.name,
        "symbol": found.series.symbol,
        "kind": found.series.kind,
        "interval_s": found.series.interval / 1e9 if found.series.interval else None,
        "rows": found.rows,
        "first": iso(found.first) if found.first is not None else None,
        "last": iso(found.last) if found.last is not None else None,
        "files": found.files,
        "bytes": found.bytes,
        "calibrate_to": iso(splits.calibrate_to) if splits else None,
        "choose_to": iso(splits.choose_to) if splits else None,
        "sources": found.sources,
        "readings": [
            {**each, "first": iso(each["first"]), "last": iso(each["last"])} for each in found.readings
        ],
    }


def _shown(found: Facts, counts: dict[str, int], plot: Path | None) -> list[str]:
    facts = _described(found)
    head = {
        "series": facts["series"],
        "rows": f"{found.rows:,} in {found.files} files, {_size(found.bytes)}",
        "period": f"{facts['first']} to {facts['last']}",
        "calibrate": f"{counts['calibrate']:,} rows, to {facts['calibrate_to']}",
        "choose": f"{counts['choose']:,} rows, to {facts['choose_to']}",
        "final": f"{counts['final']:,} rows after that, read {len(found.readings)} times",
    }
    if plot:
        head["picture"] = str(plot)
    text = pairs(head)
    text += [f"note: {each} has no record; the cuts are by time" for each, rows in counts.items() if not rows]
    sources = [
        (each["at"], each["source"], f"{each['rows']:,}", f"{each['added']:,}", sum(each["faults"].values()))
        for each in found.sources
    ]
    text += ["", *table(sources, ("imported", "source", "rows", "added", "odd or refused"))]
    if found.readings:
        readings = [(each["at"], each["who"], each["why"]) for each in found.readings]
        text += ["", *table(readings, ("final split read", "by", "why"))]
    return text
