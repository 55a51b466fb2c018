"""The command `nexus`: commands are found by name and imported when called, so that help is quick."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any

import typer.core
import typer.main

from nexus_core import __version__, log
from nexus_core import plugins as installed  # a command of this package has the name
from nexus_core.cli import output
from nexus_core.errors import Exit, NexusError, PluginError, hint

KERNEL = {
    "run": "Trade a market, on paper by default, and print what came of it.",
    "parity": "Prove that decisions do not depend on the size of blocks.",
    "explain": "Show why a decision came out as it did, gate by gate.",
    "journal": "List the events of a run: approvals, fills, mode changes, quarantines.",
    "status": "Show where a run stands.",
    "halt": "Pause a run, or reduce it: no new entries, or entries at half size.",
    "resume": "Take a run back to normal trading.",
    "flatten": "Cancel every entry of a run and close every position.",
    "plugins": "List, install, check and lock plugins.",
    "new": "Write a new plugin package, whole and tested.",
    "config": "Show and check the settings.",
    "compile": "Compile what a run will use, so that the next one starts at once.",
    "doctor": "Look for what would keep a run from going well.",
}
"""The kernel's own commands with their help, in the order they are listed."""

_SHARED = {"requests": ("halt", "resume", "flatten"), "reports": ("status", "journal")}
"""The modules that hold several commands, with their names; any other command has one of its own name."""


_REMEDIES = {
    errno.EACCES: "Allow this user to use it, or name another.",
    errno.EPERM: "Allow this user to use it, or name another.",
    errno.EROFS: "Name a place that can be written.",
    errno.ENOSPC: "Make room on the disk, and try again.",
    errno.EDQUOT: "Make room on the disk, and try again.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
"""What to do about the refusals of an operating system that any command may meet."""

_COMPLETE = "_NEXUS_COMPLETE"
"""What a shell sets when it asks for completions."""

_USAGE_ERROR: Any = typer.BadParameter.__base__


def main(arguments: list[str] | None = None) -> None:
    """Run `nexus` with these arguments and exit with its code."""
    if instruction := os.environ.get(_COMPLETE):
        from typer._completion_classes import completion_init
        from typer.completion import shell_complete

        completion_init()
        sys.exit(shell_complete(group(), {}, "nexus", _COMPLETE, instruction))
    given = sys.argv[1:] if arguments is None else arguments
    verbosity = sum(given.count(flag) for flag in ("-v", "--verbose")) - given.count("-q")
    given = [each for each in given if each not in ("-v", "--verbose", "-q")]
    log.setup(verbosity)
    sys.exit(_exit_code(given, verbosity > 0))


def _exit_code(arguments: list[str], verbose: bool) -> int:
    try:
        with group().make_context("nexus", arguments) as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except _USAGE_ERROR as error:
        error.show()
        return Exit.USAGE
    except BrokenPipeError:
        _drain()  # whoever read has read enough
    except (Exception, KeyboardInterrupt) as error:
        if verbose:
            traceback.print_exception(error)
        sys.stderr.write(f"nexus: {_said(error)}\n")
        _drain()
        return error.exit if isinstance(error, NexusError) else Exit.ERROR
    return Exit.OK


def _drain() -> None:
    """Let what the output does not take go nowhere, else the end of the process fails on it once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _said(error: BaseException) -> str:
    if isinstance(error, NexusError):
        return str(error)
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return "stopped"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {_REMEDIES[error.errno]}"
    return f"an unexpected {type(error).__name__}: {error}. Run again with -v for its trace."


class _Commands(typer.core.TyperGroup):
    """Finds commands without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*KERNEL, *_added()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in KERNEL:
            try:
                return _added_command(installed.find("commands", cmd_name))
            except NexusError:
                if ctx.resilient_parsing:  # a shell asks for completions: what is broken has none
                    return None
                raise
        module = next((each for each, held in _SHARED.items() if cmd_name in held), cmd_name)
        found: Any = typer.main.get_command(import_module(f"nexus_core.cli.{module}").app)
        return found.commands[cmd_name] if module in _SHARED else found

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = self.list_commands(ctx)
        if args[0] not in known:
            ctx.fail(f"No such command '{args[0]}'.{hint(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*KERNEL.items(), *_added().items()])


def group() -> Any:
    """Return the group of the kernel's commands and those that plugins add."""
    names = {"help_option_names": ["-h", "--help"]}
    app = output.command(cls=_Commands, callback=_nexus, context_settings=names, add_completion=True)
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"nexus {__version__}\n")
        raise typer.Exit


_VERSION = typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")


def _nexus(version: Annotated[bool, _VERSION] = False) -> None:
    """Trade with strategies, gates, feeds and brokers that are packages of their own.

    Every command takes -v for detail (and the trace of an error) and -q for errors only.
    """


def _added() -> dict[str, str]:
    found = [each for each in installed.offers() if each.kind == "commands"]
    return {each.name: each.summary for each in found if each.name not in KERNEL}


def _added_command(offer: installed.Offer) -> Any:
    app = installed.imported(offer)
    if not isinstance(app, typer.Typer):
        text = f"{offer.key} of {offer.distribution} was {app!r}, must be a typer.Typer. Ask its author."
        raise PluginError(text)
    return typer.main.get_command(app)
