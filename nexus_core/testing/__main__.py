"""Examine an installed plugin: `python -m nexus_core.testing KIND:NAME [--json]`.

The exit code is 0 whatever the grade: what was found is the answer. 3 says that there is no such plugin, 4
that it cannot be loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Generator, Sequence

from nexus_core import log
from nexus_core.errors import NexusError, UsageError, hint
from nexus_core.plugins import KINDS
from nexus_core.testing import check_modules
from nexus_core.testing.contract import Report, examine, subject


def main(arguments: Sequence[str]) -> int:
    """Examine the plugin that the arguments name, print what was found, and return the exit code."""
    log.setup(-1)  # what a plugin warns of is in the report, where it matters
    as_json = "--json" in arguments
    try:
        kind, name = _named([each for each in arguments if each != "--json"])
        report = _examined(kind, name)
    except NexusError as error:
        sys.stderr.write(f"nexus: {error}\n")
        return error.exit
    sys.stdout.write(json.dumps(report.to_dict(), indent=1) + "\n" if as_json else lines(report))
    return 0


def lines(report: Report) -> str:
    """Return a report as text: the grade, and a line for each check that failed or does not apply."""
    counts = (len(report.findings), report.count("failed"), report.count("not applicable"))
    text = "{}  {}  {} checks, {} failed, {} not applicable\n".format(report.key, report.grade, *counts)
    for each in report.findings:
        if each.outcome != "passed":
            text += f"  {each.number}  {each.outcome}: {each.title}. {each.text}\n"
    return text


def _named(given: Sequence[str]) -> tuple[str, str]:
    if len(given) != 1 or ":" not in given[0]:
        raise UsageError("name one plugin as KIND:NAME, such as strategies:vwap. Kinds: " + ", ".join(KINDS))
    kind, _, name = given[0].partition(":")
    if kind not in KINDS:
        raise UsageError(f"the kind was {kind}, must be one of {', '.join(KINDS)}.{hint(kind, KINDS)}")
    return kind, name


def _examined(kind: str, name: str) -> Report:
    with _only_the_report():
        under_test = subject(kind, name)
        check_modules()
        return examine(under_test)


@contextlib.contextmanager
def _only_the_report() -> Generator[None]:
    """Send what a plugin prints to standard error: standard output is for the report."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # for what does not write by sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
