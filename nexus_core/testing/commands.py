"""The contract of commands: a name of its own, help that comes at once, and refusals without a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import typer
import typer.main
from typer.testing import CliRunner

from nexus_core.cli import KERNEL
from nexus_core.errors import Exit
from nexus_core.testing.contract import Broken, Grade, Subject, check

_STRANGE = "--no-such-option"
_HEAVY = ("numba", "pandas")
_HELP = """
import sys
from nexus_core.cli import main
try:
    main([{name!r}, "--help"])
finally:
    print("imported:", *[each for each in {heavy!r} if each in sys.modules])
"""


def _command(of: Subject) -> Any:
    if not isinstance(of.plugin, typer.Typer):
        raise Broken(f"was {of.plugin!r}, must be a typer.Typer with a command.")
    try:
        return typer.main.get_command(of.plugin)
    except RuntimeError as error:
        raise Broken("was a typer.Typer without a command. Add one: @app.command().") from error


def _no_command(of: Subject) -> str:
    try:
        _command(of)
    except Broken:
        return "it is no typer app with a command: see NX-C01"
    return ""


@check("NX-C01", Grade.BRONZE, "commands")
def _helps(of: Subject) -> None:
    """Its help works, and says what it does."""
    command = _command(of)
    shown = CliRunner().invoke(of.plugin, ["--help"])
    if shown.exit_code != 0:
        why = f": {shown.exception}" if shown.exception else ""
        raise Broken(
            f"--help ended with exit code {shown.exit_code}{why}. Let it print help and do nothing else."
        )
    if not (command.help or "").strip():
        raise Broken("its help has no first line. Write a docstring: what the command does, in one sentence.")


@check("NX-C02", Grade.BRONZE, "commands")
def _has_its_own_name(of: Subject) -> None:
    """No command of the kernel has its name."""
    if of.name in KERNEL:
        raise Broken(f"nexus {of.name} is a command of the kernel, and this one is never called. Rename it.")


@check("NX-C03", Grade.SILVER, "commands", needless=_no_command)
def _refuses_strangers(of: Subject) -> None:
    """Unknown options are usage errors, exit code 2."""
    for path, command in _commands(of.name, _command(of)):
        try:
            command.make_context(path, [_STRANGE])
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if code != Exit.USAGE:
                raise Broken(
                    f"{path} {_STRANGE} raised {type(error).__name__}: {error}. Leave the options to typer."
                ) from error
        else:
            raise Broken(f"{path} took {_STRANGE}, which it does not know. Do not ignore unknown options.")


@check("NX-C04", Grade.SILVER, "commands", needless=lambda of: "" if of.offer else "it is not installed")
def _helps_at_once(of: Subject) -> None:
    """Its help imports neither numba nor pandas."""
    text = _HELP.format(name=of.name, heavy=_HEAVY)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    _, found, heavy = done.stdout.rpartition("imported:")
    if done.returncode or not found:
        said = " ".join(done.stderr.split())[-200:]
        raise Broken(f"nexus {of.name} --help ended with exit code {done.returncode}: {said}.")
    if heavy.strip():
        raise Broken(f"its help imports {', '.join(heavy.split())}. Import that in the command's body.")


@check("NX-C05", Grade.GOLD, "commands", needless=_no_command)
def _explains_options(of: Subject) -> None:
    """Every option has help."""
    for path, command in _commands(of.name, _command(of)):
        for each in command.params:
            if each.param_type_name == "option" and not (each.help or "").strip():
                raise Broken(f"{path}: {each.opts[0]} has no help. Give it one: typer.Option(help=…).")


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command and all below it, each with how it is called."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(f"{path} {name}", each)
