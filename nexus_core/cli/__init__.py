"""The command `nexus`: commands are found by name and imported when called, so that help is quick."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

KERNEL = {
    "run": "Trade a market, on paper by default, and print what came of it.",
    "parity": "Prove that decisions do not depend on the size of blocks.",
    "explain": "Show why a decision came out as it did, gate by gate.",
    "journal": "List the events of a run: approvals, fills, mode changes.",
    "status": "Show where a run stands.",
    "halt": "Pause a run, or reduce it: no new entries, or entries at half size.",
    "resume": "Take a run back to normal trading.",
    "flatten": "Cancel every entry of a run and close every position.",
    "plugins": "List what is installed.",
    "config": "Show the settings and where each comes from.",
    "compile": "Compile what a run will use, so that the next one starts at once.",
}
"""The kernel's own commands with their help, in the order they are listed."""


def main(arguments: list[str] | None = None) -> None:
    """Run `nexus` with these arguments and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    verbosity = sum(given.count(flag) for flag in ("-v", "--verbose")) - given.count("-q")
    given = [each for each in given if each not in ("-v", "--verbose", "-q")]
    from nexus_core import log

    log.setup(verbosity)
    sys.exit(_exit_code(given, verbosity > 0))


def _exit_code(arguments: list[str], verbose: bool) -> int:
    import click

    from nexus_core.errors import Exit, NexusError

    try:
        done = group().main(arguments, "nexus", standalone_mode=False)
        return done if isinstance(done, int) else int(Exit.OK)
    except NexusError as error:
        return _failed(error, str(error), error.exit, verbose)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        error.show()
        return int(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt) as error:
        return _failed(error, "stopped", Exit.ERROR, verbose)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except Exception as error:
        text = f"an unexpected {type(error).__name__}: {error}. Run again with -v for its trace."
        return _failed(error, text, Exit.ERROR, verbose)


def _failed(error: BaseException, text: str, code: int, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error)
    sys.stderr.write(f"nexus: {text}\n")
    return int(code)


def group() -> Any:
    """Return the click group with the kernel's commands and those that plugins add."""
    import click
    import typer.main

    class Commands(click.Group):
        """Finds commands without importing them."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            return [*KERNEL, *_added()]

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            if cmd_name in KERNEL:
                module = import_module(f"nexus_core.cli.{cmd_name}")
                return typer.main.get_command(module.app)
            if cmd_name in _added():
                from nexus_core import plugins

                return typer.main.get_command(plugins.find("commands", cmd_name).point.load())
            return None

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            from nexus_core.errors import hint

            name = args[0]
            if name not in self.list_commands(ctx):
                ctx.fail(f"No such command {name!r}.{hint(name, self.list_commands(ctx))}")
            return super().resolve_command(ctx, args)

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([*KERNEL.items(), *_added().items()])

    from nexus_core import __version__

    made = Commands(
        "nexus", help=_HELP, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True
    )
    return click.version_option(__version__, prog_name="nexus", message="%(prog)s %(version)s")(made)


_HELP = """Trade with strategies, gates, feeds and brokers that are packages of their own.

Every command takes -v for detail (and the trace of an error) and -q for errors only.
"""


def _added() -> dict[str, str]:
    from nexus_core import plugins

    return {
        each.name: each.summary
        for each in plugins.offers()
        if each.kind == "commands" and each.name not in KERNEL
    }
