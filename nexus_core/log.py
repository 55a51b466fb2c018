"""Messages to the person at the terminal: standard error, one line each."""

from __future__ import annotations

import logging
import sys

_logger = logging.getLogger("nexus")


def setup(verbosity: int = 0) -> None:
    """Send messages to standard error; -1 shows errors only, 1 and more shows debugging detail."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("nexus: %(message)s"))
    _logger.handlers = [handler]
    _logger.propagate = False
    _logger.setLevel({-1: logging.ERROR, 0: logging.INFO}.get(verbosity, logging.DEBUG))


def info(message: str, *values: object) -> None:
    """Say what is going on."""
    _logger.info(message, *values)


def warning(message: str, *values: object) -> None:
    """Say what the user should look at although the work goes on."""
    _logger.warning(message, *values)


def debug(message: str, *values: object) -> None:
    """Say what only somebody looking for a fault wants to know."""
    _logger.debug(message, *values)
