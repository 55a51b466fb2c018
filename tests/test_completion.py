"""Completions as the shells ask for them, and the scripts that make them ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from nexus_core import cli
from nexus_core.cli import plugins as commands
from nexus_core.compile import JIT

NEXUS = [sys.executable, "-c", "from nexus_core.cli import main; main()"]


def asked(instruction, **words):
    done = subprocess.run(
        NEXUS, env=os.environ | {"_NEXUS_COMPLETE": instruction} | words,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def completed(line):
    """Return what bash is offered after a line."""
    words = line.split(" ")
    code, out = asked("complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1))
    assert code == 0
    return out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_for_completions_as_it_is_understood(shell):
    code, out = asked(f"source_{shell}")
    assert code == 0
    assert "_NEXUS_COMPLETE" in out
    assert f"complete_{shell}" in out
    assert out.count("nexus") >= 1
    if found := shutil.which(shell):
        checked = subprocess.run([found, "-n"], input=out, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_every_command_is_offered():
    assert completed("nexus ") == [*cli.KERNEL, "data", "features", "funnel", "strategies"]
    assert completed("nexus do") == ["doctor"]
    assert completed("nexus r") == ["run", "resume"]
    assert completed("nexus x") == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (
            "nexus plugins ",
            {each.name or each.callback.__name__ for each in commands.app.registered_commands},
        ),
        ("nexus plugins l", {"list", "lock"}),
        ("nexus config ", {"show", "check", "schema"}),
        ("nexus run --res", {"--resume"}),
        ("nexus run --s", {"--symbols", "--seed", "--set"}),
        ("nexus plugins install --f", {"--find-links"}),
        ("nexus plugins list --l", {"--load"}),
        ("nexus --v", {"--version"}),
    ],
)
def test_commands_and_options_are_offered_at_every_level(line, offered):
    assert set(completed(line)) == offered


def test_zsh_and_fish_are_offered_the_same_with_help():
    for instruction, words in (
        ("complete_zsh", {}),
        ("complete_fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ):
        code, out = asked(instruction, _TYPER_COMPLETE_ARGS="nexus do", **words)
        assert code == 0
        assert "doctor" in out
        assert "Look for what would keep a run from going" in out
        assert "plugins" not in out


def test_the_command_of_a_plugin_is_offered(shelf):
    assert "hello" in completed("nexus ")
    assert completed("nexus hello --t") == ["--to"]


@pytest.mark.parametrize("text", ["raise RuntimeError('out of order')", "app = 3", "import nowhere_at_all"])
def test_a_broken_command_is_not_offered_and_spoils_no_other(install, text):
    install("test-bad", {"commands:bad": "test_bad:app"}, text)
    assert completed("nexus ") == [*cli.KERNEL, "data", "features", "funnel", "strategies"]
    assert completed("nexus bad --") == completed("nexus --")


def test_a_blocked_command_is_not_offered(shelf, monkeypatch):
    monkeypatch.setenv("NEXUS_PLUGINS", "")
    assert completed("nexus ") == list(cli.KERNEL)


@pytest.mark.parametrize("instruction", ["nonsense", "source_tcsh", "complete_tcsh", "drop_bash"])
def test_an_instruction_that_is_not_understood_is_one_line(instruction):
    done = subprocess.run(
        NEXUS, env=os.environ | {"_NEXUS_COMPLETE": instruction}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def test_completing_a_subcommand_imports_neither_numpy_nor_numba():
    if not JIT:
        pytest.skip("nothing is compiled")
    code = (
        "import sys\nfrom nexus_core.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'numba'} & set(sys.modules)), file=sys.stderr)"
    )
    words = {"_NEXUS_COMPLETE": "complete_bash", "COMP_WORDS": "nexus\nplugins\nl", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
