from __future__ import annotations

import importlib.util
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from nexus_core import config

SOURCE = Path(__file__).parent.parent / "docs" / "build.py"


@pytest.fixture(scope="module")
def build() -> Any:
    spec = importlib.util.spec_from_file_location("docs_build", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def block(build: Any, language: str, text: str, *words: str) -> Any:
    return build.Block(1, language, words, text)


def test_blocks_carry_line_language_words_and_text(build):
    text = textwrap.dedent(
        """\
        Text with `code`.

        ```python norun
        a = 1

        ```
        - in a list:

          ```toml file=nexus.toml
          [run]
            x = 1
          ```

        ````
        ```
        ````
        """
    )
    assert build.blocks(text) == [
        (3, "python", ("norun",), "a = 1\n\n"),
        (9, "toml", ("file=nexus.toml",), "[run]\n  x = 1\n"),
        (14, "", (), "```\n"),
    ]


def test_a_block_never_closed_ends_with_the_document(build):
    assert build.blocks("```python\n1 / 0") == [(1, "python", (), "1 / 0\n")]


def test_only_the_lines_after_the_prompt_are_commands(build):
    assert build.commands("$ one\noutput\n  $ no\n$ two \\\n    more\nend\n") == ["one", "two \\\n    more"]


def test_a_python_block_runs_with_this_interpreter_in_the_folder(build, tmp_path):
    code = "import pathlib, sys\npathlib.Path('seen').write_text(sys.executable)"
    assert build.run(block(build, "python", code), tmp_path) == ""
    assert (tmp_path / "seen").read_text() == sys.executable


def test_a_python_block_that_raises_shows_its_last_lines(build, tmp_path):
    wrong = build.run(block(build, "python", "print('first')\nraise ValueError('odd')"), tmp_path)
    assert wrong.startswith("exit 1\nfirst\n")
    assert wrong.endswith("ValueError: odd")


@pytest.mark.parametrize(
    "console", ["$ false\n$ true", "$ cd nowhere && true\n$ true", "$ (exit 3)", "$ true\n$ false"]
)
def test_a_console_block_fails_with_any_of_its_commands(build, tmp_path, console):
    assert build.run(block(build, "console", console), tmp_path).startswith("exit ")


def test_a_console_block_keeps_its_shell_between_commands(build, tmp_path):
    assert build.run(block(build, "console", "$ mkdir a && cd a\nignored\n$ echo x > y"), tmp_path) == ""
    assert (tmp_path / "a" / "y").read_text() == "x\n"


def test_commands_of_this_environment_come_first_and_homes_are_scratch(build, tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS__RISK__CAPITAL", "1")
    console = '$ echo "${PATH%%:*} $NEXUS_HOME ${NEXUS__RISK__CAPITAL-none}" > seen'
    assert build.run(block(build, "console", console), tmp_path) == ""
    assert (tmp_path / "seen").read_text() == f"{Path(sys.executable).parent} {tmp_path}/.nexus none\n"


def test_toml_is_parsed(build, tmp_path):
    assert build.run(block(build, "toml", "a = 1"), tmp_path) == ""
    assert build.run(block(build, "toml", "a = "), tmp_path) != ""


def test_a_named_block_is_saved_and_not_run(build, tmp_path):
    assert build.run(block(build, "python", "1 / 0", "file=a/b.py"), tmp_path) == ""
    assert (tmp_path / "a" / "b.py").read_text() == "1 / 0"


@pytest.mark.parametrize(("language", "words"), [("python", ("norun",)), ("text", ()), ("", ())])
def test_other_blocks_are_left_alone(build, tmp_path, language, words):
    assert build.run(block(build, language, "1 / 0", *words), tmp_path) == ""


def test_the_settings_page_has_every_setting_with_a_default_that_toml_reads(build):
    page = build.settings_page(config.describe())
    for each in config.describe():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{each.key}` |"))
        shown = row.split(" | ")[1].strip("`")
        read = tomllib.loads(f"value = {shown}")["value"]
        assert read == (list(each.default) if isinstance(each.default, tuple) else each.default)


def test_a_bar_in_a_cell_does_not_end_it(build):
    assert build._table(("a",), [("x | y",)]) == "| a |\n| --- |\n| x \\| y |\n"


def test_the_commands_page_walks_the_tree_and_leaves_out_what_is_hidden(build):
    app, below = typer.Typer(), typer.Typer()
    app.add_typer(below, name="plugins", help="Plugins on this machine.")

    @app.command()
    def run(
        name: Annotated[str, typer.Argument(help="Which one.")],
        bars: Annotated[int, typer.Option(help="How many.")] = 5,
    ) -> None:
        """Run one.

        It ends with a table.
        """

    @app.command(hidden=True)
    def secret() -> None:
        """Do not show."""

    @below.command("list")
    def listed() -> None:
        """List them."""

    page = build.commands_page(typer.main.get_command(app))
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    assert heads == ["## Exit codes", "## nexus", "## nexus run", "## nexus plugins", "## nexus plugins list"]
    assert "It ends with a table." in page
    assert "How many." in page
    assert "default: 5" in page
    assert "Do not show" not in page


def test_a_page_is_stale_if_missing_or_different(build, tmp_path):
    (tmp_path / "same.md").write_text("a")
    (tmp_path / "old.md").write_text("a")
    texts = {tmp_path / "same.md": "a", tmp_path / "old.md": "b", tmp_path / "new.md": "c"}
    assert [line.split(" ")[0] for line in build.stale(texts)] == ["old.md", "new.md"]
