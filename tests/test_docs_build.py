from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from nexus_core import plugins
from nexus_core.listeners import HOOKS
from nexus_core.testing.contract import Check, Grade
from nexus_core.upkeep import sources

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


PROJECT = """
[project]
name = "nexus-strategy-two-words"
version = "0.2.0"
description = "Says nothing"
readme = "README.md"
dependencies = ["nexus-core>=0.1"]

[project.entry-points."nexus.strategies"]
one = "nexus_strategy_two_words:One"
other = "nexus_strategy_two_words:Other"
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "made"
    (folder / "nexus_strategy_two_words").mkdir(parents=True)
    (folder / "nexus_strategy_two_words" / "__init__.py").write_text("SAID = 1\n")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "README.md").write_text("One and other.\n")
    return folder


def test_an_installed_project_is_found_by_the_blocks_that_follow_and_follows_edits(build, tmp_path, project):
    assert build.run(block(build, "console", "$ false", "install=made"), tmp_path) == ""
    code = "import nexus_strategy_two_words as made\nassert made.SAID == {}"
    assert build.run(block(build, "python", code.format(1)), tmp_path) == ""
    (project / "nexus_strategy_two_words" / "__init__.py").write_text("SAID = 1 + 1\n")
    assert build.run(block(build, "python", code.format(2)), tmp_path) == ""


def test_an_installed_project_has_the_metadata_of_its_pyproject(build, tmp_path, project):
    for _ in range(2):
        build.install(project, tmp_path / "site")
    (found,) = importlib.metadata.distributions(path=[str(tmp_path / "site")])
    about: Any = found.metadata
    assert (about["Name"], found.version, about["Summary"]) == (
        "nexus-strategy-two-words",
        "0.2.0",
        "Says nothing",
    )
    assert found.requires == ["nexus-core>=0.1"]
    assert about.get_payload() == "One and other.\n"
    assert {each.name: each.value for each in found.entry_points.select(group="nexus.strategies")} == {
        "one": "nexus_strategy_two_words:One",
        "other": "nexus_strategy_two_words:Other",
    }


def test_a_bare_project_can_be_installed(build, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "bare"\nversion = "1"\n')
    build.install(tmp_path, tmp_path / "site")
    (found,) = importlib.metadata.distributions(path=[str(tmp_path / "site")])
    assert (found.metadata["Name"], len(found.entry_points), found.requires) == ("bare", 0, None)


@pytest.mark.parametrize(("language", "words"), [("python", ("norun",)), ("text", ()), ("", ())])
def test_other_blocks_are_left_alone(build, tmp_path, language, words):
    assert build.run(block(build, language, "1 / 0", *words), tmp_path) == ""


def test_the_settings_page_has_every_setting_with_a_default_that_toml_reads(build):
    page = build.settings_page(sources.describe())
    for each in sources.describe():
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


def test_the_hooks_page_has_every_hook_with_its_arguments_and_what_is_in_them(build):
    page = build.hooks_page()
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == [*HOOKS, "What is told"]
    assert "    nexus_fill(run: str, fill: Fill)\n\nTake note that an order filled" in page
    assert "**Fill.** A trade of ours" in page
    assert "`side: Side`" in page
    assert "**Verdict.**" in page
    assert "**Position.**" not in page  # no hook tells of one


def test_the_groups_page_has_every_group_with_base_template_and_contract(build):
    page = build.groups_page()
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    assert heads == [f"## nexus.{kind}" for kind in plugins.KINDS]
    strategies = page[page.index("## nexus.strategies") : page.index("## nexus.gates")]
    for said in (
        "`nexus_core.Strategy`",
        'mine = "nexus_strategy_mine:Mine"',
        "nexus new strategy mine",
        "StrategyContract",
    ):
        assert said in strategies
    assert 'mine = "nexus_listener_mine"\n' in page


def test_the_checks_page_has_number_grade_and_title_by_kind(build):
    def check(number, grade, title):
        return Check(number, grade, title, lambda _: "", lambda _: None)

    page = build.checks_page(
        {
            "gates": [check("NX-G77", Grade.GOLD, "Is | quick")],
            "strategies": [check("NX-S77", Grade.SILVER, "Is")],
        }
    )
    assert page.index("## strategies") < page.index("| NX-S77 | silver | Is |") < page.index("## gates")
    assert "| NX-G77 | gold | Is \\| quick |" in page
    assert "## feeds" not in page


def test_every_kind_of_plugin_has_checks(build):
    assert set(build.contracts()) == set(plugins.KINDS)


def test_a_page_is_stale_if_missing_or_different(build, tmp_path):
    (tmp_path / "same.md").write_text("a")
    (tmp_path / "old.md").write_text("a")
    texts = {tmp_path / "same.md": "a", tmp_path / "old.md": "b", tmp_path / "new.md": "c"}
    assert [line.split(" ")[0] for line in build.stale(texts)] == ["old.md", "new.md"]
