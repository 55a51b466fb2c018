"""Write the reference pages from the code, and run every example that the documents show.

`--check` compares the pages on disk instead of writing them. Exit 5 means that a page is stale or that
an example failed.

A fenced block is run if its language is `python` (by this interpreter), `toml` (parsed) or `console`
(lines that begin with `$ ` are given to bash and must succeed; the others show output). The blocks of
one document run in order in one scratch folder. A word may follow the language. `norun` leaves a block
alone. `file=NAME` puts its text in the scratch folder under that name instead of running it. `install=NAME`
does not run it either: the project in that folder is made importable for the blocks that follow, with the
metadata of an editable install. This environment may have no pip, and no example changes it.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import import_module
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import typer

import nexus_core
from nexus_core import cli, config, hookspecs, plugins, templates, testing
from nexus_core import types as values
from nexus_core.errors import Exit
from nexus_core.listeners import HOOKS
from nexus_core.testing.contract import CONTRACTS, Check
from nexus_core.upkeep import sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
OFFERED = {
    "commands": "a `typer.Typer` with one command or more; `nexus NAME` calls it",
    "hooks": "a module or an object with functions marked by `nexus_core.hookimpl`",
}
"""What the entry points of the groups name that are no classes."""
LAST = 30
"""Lines of a failed example's output that are shown."""
SITE = ".site"
"""The folder in the scratch folder where installed projects are found."""


class Block(NamedTuple):
    """A fenced block: the line it begins on, its language, the words after it, and its text."""

    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """Return the name the text is to be saved under, if it has one."""
        return self._word("file=")

    @property
    def project(self) -> str | None:
        """Return the folder of the project it shows how to install, if it shows that."""
        return self._word("install=")

    def _word(self, prefix: str) -> str | None:
        return next((word.removeprefix(prefix) for word in self.words if word.startswith(prefix)), None)


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
    if block.project:
        install(folder / block.project, folder / SITE)
        return ""
    if block.language == "python":
        script = folder / f"example_{block.line}.py"
        script.write_text(block.text)
        return _output([sys.executable, script.name], folder)
    if block.language == "console":
        stop = "_status=$?; [ $_status = 0 ] || exit $_status"
        return _output(["bash", "-c", "".join(f"{each}\n{stop}\n" for each in commands(block.text))], folder)
    return ""


def install(project: Path, site: Path) -> None:
    """Make a project's package importable from the folder `site`, and its entry points known there."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    module = re.sub(r"[-.]", "_", about["name"])
    site.mkdir(exist_ok=True)
    if not (site / module).exists():
        (site / module).symlink_to(project / module)
    info = site / f"{module}-{about['version']}.dist-info"
    info.mkdir(exist_ok=True)
    head = [f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}"]
    head += [f"Summary: {about['description']}"] if "description" in about else []
    head += [f"Requires-Dist: {each}" for each in about.get("dependencies", ())]
    text = (project / about["readme"]).read_text() if "readme" in about else ""
    (info / "METADATA").write_text("\n".join([*head, "", text]))
    points = [
        "\n".join([f"[{group}]", *(f"{name} = {what}" for name, what in offered.items()), ""])
        for group, offered in about.get("entry-points", {}).items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))


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
        "PYTHONPATH": str(folder / SITE),
    }


def failures(document: Path) -> Iterator[str]:
    """Yield what went wrong, with its place, for each block of a document that did not run."""
    with tempfile.TemporaryDirectory() as folder:
        for block in blocks(document.read_text()):
            wrong = run(block, Path(folder))
            if wrong:
                place = f"{document.relative_to(ROOT)}:{block.line}"
                yield f"{place}: the {block.language} example failed: {wrong}"


def settings_page(descriptions: Sequence[sources.Description]) -> str:
    """Return the page of all settings, a table for each group."""
    parts = [
        WRITTEN,
        "# Settings\n",
        "A setting stands in `nexus.toml` under its group, in the environment as `NEXUS__GROUP__NAME`, or on "
        "the command line as `--set group.name=value`. A later one of these wins over an earlier one. "
        "A preset, chosen with `chain.preset`, sets some values that none of them sets. Which value comes "
        "from where is shown by `nexus config show --resolved`.\n",
    ]
    for group in dict.fromkeys(each.key.partition(".")[0] for each in descriptions):
        rows = [
            (f"`{each.key}`", f"`{json.dumps(each.default)}`", each.unit, each.bounds, _told(each))
            for each in descriptions
            if each.key.partition(".")[0] == group
        ]
        parts += [f"## {group}\n", _table(("setting", "default", "unit", "allowed", "what it does"), rows)]
    return "\n".join(parts)


def _told(setting: sources.Description) -> str:
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


def hooks_page(hooks: Sequence[str] = HOOKS) -> str:
    """Return the page of all hooks: what each is told, and what is in that."""
    parts = [
        WRITTEN,
        "# Hooks\n",
        "A listener writes functions of these names and marks them with `nexus_core.hookimpl`. How to write "
        "and install one: [listen to a run](../how-to/listen-to-a-run.md).\n",
        f"{inspect.cleandoc(hookspecs.__doc__ or '').partition(chr(10) * 2)[2]}\n",
    ]
    told: set[str] = set()
    for hook in hooks:
        function = getattr(hookspecs, hook)
        takes = inspect.signature(function).parameters.values()
        given = ", ".join(f"{each.name}: {each.annotation}" for each in takes)
        told |= {str(each.annotation) for each in takes}
        parts += [f"## {hook}\n", f"    {hook}({given})\n", f"{inspect.cleandoc(function.__doc__)}\n"]
    kinds = [each for name, each in sorted(vars(values).items()) if name in told and attrs.has(each)]
    return "\n".join([*parts, "## What is told\n", *_told_kinds([*kinds, values.Verdict])])


def _told_kinds(kinds: Sequence[Any]) -> Iterator[str]:
    yield "Times are nanoseconds UTC (`nexus_core.types.iso` writes them), amounts are `Decimal`.\n"
    for kind in kinds:
        fields = ", ".join(f"`{each.name}: {each.type}`" for each in attrs.fields(kind))
        yield f"**{kind.__name__}.** {inspect.cleandoc(kind.__doc__)}\n\n{fields}.\n"


def groups_page() -> str:
    """Return the page of entry point groups: what each names, from which template, under which contract."""
    parts = [
        WRITTEN,
        "# Entry point groups\n",
        "A package offers a plugin under one of these groups of its `pyproject.toml`. The name it has there "
        "is the plugin's; `<kind>:<name>` is its key. What the words mean: "
        "[plugins](../concepts/plugins.md).\n",
    ]
    for group, singular in plugins.SINGULAR.items():
        kind, base = templates.KINDS.get(singular), plugins.LOADED.get(group)
        what = f"a class derived from `nexus_core.{base}`" if base else OFFERED[group]
        about = getattr(nexus_core, base).__doc__ if base else ""
        point = Template(kind.offered if kind else ":$type").substitute(type="Mine")
        rows = [
            ("names", what),
            *([("begin with", f"`nexus new {singular} mine`")] if kind else []),
            (
                "tested by",
                f"`nexus_core.testing.{singular.capitalize()}Contract`: [checks](checks.md#{group})",
            ),
        ]
        parts += [f"## nexus.{group}\n"]
        parts += [f"{inspect.cleandoc(about)}\n"] if about else []
        parts += [
            f'    [project.entry-points."nexus.{group}"]',
            f'    mine = "nexus_{singular}_mine{point}"\n',
            _table(("", ""), rows),
        ]
    return "\n".join(parts)


def checks_page(contracts: Mapping[str, Sequence[Check]]) -> str:
    """Return the page of numbered checks, a table for each kind of plugin."""
    parts = [
        WRITTEN,
        "# Checks\n",
        "`nexus plugins check NAME` runs the checks of a plugin's kind, and the contract class of "
        "`nexus_core.testing` runs each as a test. A plugin has the highest grade whose checks, and those of "
        "the grades below, it all keeps; what does not apply to it is not counted. `none` stands below "
        "bronze.\n",
    ]
    for kind in [each for each in plugins.KINDS if each in contracts]:
        rows = [(each.number, each.grade.name.lower(), each.title) for each in contracts[kind]]
        parts += [f"## {kind}\n", _table(("check", "grade", "what it holds a plugin to"), rows)]
    return "\n".join(parts)


def contracts() -> dict[str, list[Check]]:
    """Return the checks of every kind, from whichever modules lay them down."""
    for module in pkgutil.iter_modules(testing.__path__):
        if module.name != "__main__":
            import_module(f"{testing.__name__}.{module.name}")
    return CONTRACTS


def features_page() -> str:
    """Return the page of the standard features, a table for each category."""
    from nexus_features import CATEGORIES

    parts = [
        WRITTEN,
        "# The standard features\n",
        "The feature set `standard` writes 65 numbers for each row. What each is worth is nobody's promise; "
        "what it is, is said here and tested against independent computations.\n",
        inspect.cleandoc(sys.modules["nexus_features.standard"].Standard.__doc__ or "").partition("\n\n")[2]
        + "\n",
        "In the formulas o, h, l, c and v are open, high, low, close and volume of a row, and t counts rows. "
        "A window is in rows that carry what the feature needs. One of a time, such as `1 h`, has as many "
        "rows as bars of the run's interval fill that time, and at least the number that stands beside it. "
        "`warm-up` is after how many such rows the first value comes; there the window's rows stand as n.\n",
        "`needs` is what a row must carry: bar is open, high, low and close above 0; volume is that and a "
        "volume of 0 or more; trade is the bar and the volume of buyers and of sellers; book is a view whose "
        "best bid and ask are known, have a size and do not cross.\n",
    ]
    for category, features in CATEGORIES.items():
        rows = [
            (f"`{each.name}`", each.formula, each.unit, *_spans(each), each.needs, each.reference)
            for each in features
        ]
        head = ("feature", "formula", "unit", "window", "warm-up", "needs", "reference")
        parts += [f"## {category}\n", _table(head, rows)]
    return "\n".join(parts)


def _spans(feature: Any) -> tuple[str, str]:
    """Return the window and the warm-up of a feature in words."""
    if not feature.horizon:
        return str(feature.window), str(feature.window - 1 + feature.lead)
    minutes = feature.horizon // 60_000_000_000
    span = next(
        f"{minutes // size} {unit}" for size, unit in ((1440, "d"), (60, "h"), (1, "min")) if minutes >= size
    )
    return f"{span}, at least {feature.window}", "n" if feature.lead else "n - 1"


STRATEGIES = ROOT / "docs" / "strategies"


def strategy_pages() -> dict[Path, str]:
    """Return a page for each strategy, which is its package's README, and the page that lists them."""
    made: dict[Path, str] = {}
    rows: list[tuple[str, ...]] = []
    for project in sorted(ROOT.glob("plugins/strategies/*/pyproject.toml")):
        name = project.parent.name
        head, _, rest = project.with_name("README.md").read_text().partition("\n\n")
        about, _, rest = rest.partition("\n\n")
        drawn = f"![Price with the signals of {name}]({name}.png)\n\n"
        picture = drawn if (STRATEGIES / f"{name}.png").exists() else ""
        made[STRATEGIES / f"{name}.md"] = f"{WRITTEN}\n{head}\n\n{about}\n\n{picture}{rest}"
        kind = plugins.load("strategies", name)
        needs, seconds = ", ".join(sorted(kind.needs)), f"{kind.row_seconds:g}"
        summary = tomllib.loads(project.read_text())["project"]["description"]
        rows.append((f"[{name}]({name}.md)", kind.category, needs, seconds, summary))
    head = ("strategy", "category", "needs", "seconds a row", "what it does")
    made[STRATEGIES / "README.md"] = "\n".join([WRITTEN, _STRATEGIES, _table(head, rows), *_measured()])
    return made


_STRATEGIES = """# Strategies

Twenty strategies come with Nexus, each a package of its own: `pip install nexus-strategy-vwap`. Each is a
detector of something that practitioners and the literature describe, tested on markets in which that is
planted, on markets in which it is not, and on decoys. **That it finds its pattern says nothing of whether
money can be made with it.** What became of its signals, on synthetic markets and on real ones, stands below
and on each page, weak results included.

Those that need a book or trades are inactive on bars, and those made for rows of a second have little to say
on rows of a minute. They run on recordings, and on the synthetic market of order flow: `nexus run --plugins
spoofing-detection --set plugins.synthetic.market=flow --set plugins.synthetic.plants=true --set
run.clock=every --set run.every=1000 --bars 28800 --seed 8`.
"""


def _measured() -> Iterator[str]:
    """Yield the tables of what was measured, one for each market."""
    figures = json.loads((STRATEGIES / "measured.json").read_text())
    head = ("strategy", "rows", "signals", "right", "coin", "ECE", "skill", "mean move, net", "verdict")
    for market, facts in figures["markets"].items():
        yield f"## {_TITLES[market]}\n"
        yield _TOLD[market].format(**{**facts, "sources": ", ".join(facts["sources"])}) + "\n"
        yield _table(
            head, [_figures(n, each[market]) for n, each in figures["strategies"].items() if market in each]
        )


def _figures(name: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    if each["state"] != "played":
        return (name, *[""] * 7, f"{each['state']}: {each['reason']}")
    chances = (_between(each["brier_skill"], 1.0, ".3f"), _between(each["move"]["net"], 100.0, ".3f"))
    ece, coin = each["ece"], each["coin"]
    return (
        name, f"{each['rows']:,}", f"{each['signals']:,}", _between(each["hit"], 100.0, ".1f"),
        "" if coin is None else f"{100 * coin:.1f}", "" if ece is None else f"{ece:.3f}", *chances,
        each["verdict"],
    )  # fmt: skip


def _between(interval: Any, times: float, form: str) -> str:
    if interval is None:
        return ""
    value, low, high = (times * interval[name] for name in ("value", "low", "high"))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


_TITLES = {
    "synthetic": "On synthetic seeds kept back",
    "choose": "On real data, split *choose*",
    "final": "On real data, split *final*",
}
_TOLD = {
    "synthetic": """Order flow sown with all kinds of patterns and their decoys, {split}; calibrated on other
seeds. Shares and moves are in percent, with 95 % intervals. *Right* is a signal whose way price had gone at
the strategy's horizon, *coin* what a coin would have had on the same rows. *ECE* is the mean error of the
chances that the calibration foretold; *skill* (Brier) what they say beyond the base rate of the calibration.
A strategy is called informative if ECE is at most 0.05 and the skill's interval lies above 0: its score tells
good signals from bad ones. Where it does not, but ECE is as small and the chances foretold were surely
better than a coin's, it is called better than a coin.""",
    "choose": """Bars of a minute: {sources}. Calibrated on the first 60 % of each series, judged on the next
20 %. The net move is less 0.05 % a side and half the spread. Strategies that need a book or trades are
inactive on bars; no recording of a real book at hand is longer than six minutes, which judges nothing.""",
    "final": "The same series, the last 20 %, looked at for these figures only.",
}


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def pages() -> dict[Path, str]:
    """Return the text of each reference page by its path."""
    folder = ROOT / "docs" / "reference"
    return {
        folder / "settings.md": settings_page(sources.describe()),
        folder / "commands.md": commands_page(cli.group()),
        folder / "hooks.md": hooks_page(),
        folder / "groups.md": groups_page(),
        folder / "checks.md": checks_page(contracts()),
        ROOT / "docs" / "features.md": features_page(),
        **strategy_pages(),
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
