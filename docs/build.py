"""Write the reference pages from the code, and run every example that the documents show.

`--check` compares the pages on disk instead of writing them. Exit 5 means that a page is stale or that
an example failed.

A fenced block is run if its language is `python` (by this interpreter), `toml` (parsed) or `console`
(lines that begin with `$ ` are given to bash and must succeed; the others show output). The blocks of
one document run in order in one scratch folder. Two words may follow the language: `norun` leaves a
block alone, and `file=NAME` puts its text in the scratch folder under that name instead of running it.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from nexus_core import cli, config
from nexus_core.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = "<!-- docs/build.py writes this page from the code. -->\n"
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
MEANINGS = {
    Exit.OK: "done",
    Exit.ERROR: "an error of another kind",
    Exit.USAGE: "the command line asks for something that cannot be",
    Exit.NOT_FOUND: "no run, decision or plugin of that name",
    Exit.CONFIG: "a setting, a parameter or a plugin is not right",
    Exit.CHECK_FAILED: "a check found what it looks for",
    Exit.REFUSED: "risk rules or the order desk refused",
}
UNREAD = " (nothing in this version reads it)"
LAST = 30
"""Lines of a failed example's output that are shown."""


class Block(NamedTuple):
    """A fenced block: the line it begins on, its language, the words after it, and its text."""

    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """Return the name the text is to be saved under, if it has one."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def blocks(document: str) -> list[Block]:
    """Return the fenced blocks of a Markdown document; one that is never closed ends with the document."""
    found: list[Block] = []
    lines = enumerate(document.splitlines(), 1)
    for number, line in lines:
        opened = FENCE.match(line)
        if opened is None:
            continue
        inside: list[str] = []
        for _, text in lines:
            if re.fullmatch(rf" *{opened['ticks']}`* *", text):
                break
            inside.append(text.removeprefix(opened["indent"]))
        language, *words = opened["info"].split() or [""]
        found.append(Block(number, language, tuple(words), "".join(f"{text}\n" for text in inside)))
    return found


def commands(console: str) -> list[str]:
    """Return the commands of a console block: what follows `$ `, with the lines a backslash adds."""
    found: list[str] = []
    for line in console.splitlines():
        if found and found[-1].endswith("\\"):
            found[-1] += f"\n{line}"
        elif line.startswith("$ "):
            found.append(line.removeprefix("$ "))
    return found


def run(block: Block, folder: Path) -> str:
    """Run a block in a folder; return what went wrong, or an empty string."""
    if "norun" in block.words:
        return ""
    if block.language == "toml":
        try:
            tomllib.loads(block.text)
        except tomllib.TOMLDecodeError as wrong:
            return str(wrong)
    if block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return ""
    if block.language == "python":
        script = folder / f"example_{block.line}.py"
        script.write_text(block.text)
        return _output([sys.executable, script.name], folder)
    if block.language == "console":
        stop = "_status=$?; [ $_status = 0 ] || exit $_status"
        return _output(["bash", "-c", "".join(f"{each}\n{stop}\n" for each in commands(block.text))], folder)
    return ""


def _output(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return "\n".join([f"exit {done.returncode}", *done.stdout.splitlines()[-LAST:]])


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS__")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NEXUS_HOME": str(folder / ".nexus"),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_DATA_HOME": str(folder / ".data"),
    }


def failures(document: Path) -> Iterator[str]:
    """Yield what went wrong, with its place, for each block of a document that did not run."""
    with tempfile.TemporaryDirectory() as folder:
        for block in blocks(document.read_text()):
            wrong = run(block, Path(folder))
            if wrong:
                place = f"{document.relative_to(ROOT)}:{block.line}"
                yield f"{place}: the {block.language} example failed: {wrong}"


def settings_page(descriptions: Sequence[config.Description]) -> str:
    """Return the page of all settings, a table for each group."""
    parts = [
        WRITTEN,
        "# Settings\n",
        "A setting stands in `nexus.toml` under its group, in the environment as `NEXUS__GROUP__NAME`, or on "
        "the command line as `--set group.name=value`. A later one of these wins over an earlier one.\n",
    ]
    for group in dict.fromkeys(each.key.partition(".")[0] for each in descriptions):
        rows = [
            (f"`{each.key}`", f"`{json.dumps(each.default)}`", each.unit, each.bounds, _told(each))
            for each in descriptions
            if each.key.partition(".")[0] == group
        ]
        parts += [f"## {group}\n", _table(("setting", "default", "unit", "allowed", "what it does"), rows)]
    return "\n".join(parts)


def _told(setting: config.Description) -> str:
    return setting.help + (UNREAD if setting.key in config.UNREAD else "")


def commands_page(root: Any, name: str = "nexus") -> str:
    """Return the page of all commands of a command tree, each with its usage, arguments and options."""
    codes = [(str(int(code)), MEANINGS[code]) for code in Exit]
    head = [WRITTEN, "# Commands\n", "## Exit codes\n", _table(("code", "meaning"), codes)]
    return "\n".join([*head, *_sections(typer.Context(root, info_name=name))])


def _sections(context: Any) -> Iterator[str]:
    command = context.command
    yield f"## {context.command_path}\n"
    yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n"
    if command.help:
        yield f"{inspect.cleandoc(command.help)}\n"
    records = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    records = [(names, text) for names, text in records if names != "--help"]
    if records:
        yield _table(("argument", "what it does"), [(f"`{names}`", text) for names, text in records])
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        below = command.get_command(context, name)
        if not below.hidden:
            yield from _sections(typer.Context(below, info_name=name, parent=context))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def pages() -> dict[Path, str]:
    """Return the text of each reference page by its path."""
    folder = ROOT / "docs" / "reference"
    return {
        folder / "settings.md": settings_page(config.describe()),
        folder / "commands.md": commands_page(cli.group()),
    }


def stale(texts: dict[Path, str]) -> Iterator[str]:
    """Yield a line for each page that is missing on disk or differs from its text."""
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            yield f"{path.name} was not what the code says: run `make docs` and commit it"


def main() -> int:
    """Write or compare the pages, run the examples, and return the exit code."""
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare the reference pages, write nothing")
    wrong: list[str] = []
    if parser.parse_args().check:
        wrong += stale(pages())
    else:
        for path, text in pages().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for document in documents:
        wrong += failures(document)
    for each in wrong:
        print(each, file=sys.stderr)
    print(f"{len(documents)} documents, {len(wrong)} failures")
    return Exit.CHECK_FAILED if wrong else Exit.OK


if __name__ == "__main__":
    sys.exit(main())
