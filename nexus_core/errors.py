"""Errors that reach a user: each says who, what was wrong and what to do, and carries an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command; they never change their meaning."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFIG = 4
    CHECK_FAILED = 5
    REFUSED = 6


class NexusError(Exception):
    """Something the user can act on. The message is one sentence or two, without a traceback."""

    exit = Exit.ERROR


class UsageError(NexusError):
    """The command line asks for something that cannot be."""

    exit = Exit.USAGE


class NotFoundError(NexusError):
    """A run, an order, a decision or a plugin of that name does not exist."""

    exit = Exit.NOT_FOUND


class ConfigError(NexusError):
    """A setting or a parameter is unknown, of the wrong kind, or outside its bounds."""

    exit = Exit.CONFIG


class PluginError(NexusError):
    """A plugin is missing, broken, of another API, or in conflict with another."""

    exit = Exit.CONFIG


class CheckFailedError(NexusError):
    """A check ran to its end and found what it was looking for."""

    exit = Exit.CHECK_FAILED


class RefusedError(NexusError):
    """Risk rules or the order desk refused."""

    exit = Exit.REFUSED


class JournalError(NexusError):
    """The journal cannot be opened, written or believed."""


class DataError(NexusError):
    """Market rows are malformed."""


def hint(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean x?` for the known name nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
