"""Send what a person wants to hear of a run to a webhook and by mail, and never hold the run up for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nexus_core import hookimpl, log
from nexus_core.errors import ConfigError

if TYPE_CHECKING:
    from nexus_alert.desk import Desk
    from nexus_core.config import Settings
    from nexus_core.types import Trade


class Alerts:
    """Listens to runs, and posts what their settings ask for; one that asks for nothing imports nothing."""

    def __init__(self) -> None:
        self._desks: dict[str, Desk] = {}

    @hookimpl
    def nexus_start(self, run: str, settings: Settings) -> None:
        """Read `[plugins.alert]`; where it is wrong, say so and let the run go on without alerts."""
        self._close(run)
        table = settings.plugins.get("alert")
        if not table:
            return
        from nexus_alert import desk

        try:
            self._desks[run] = desk.opened(run, table, os.environ)
        except ConfigError as error:
            log.warning("%s The run goes on without alerts.", error)
            return
        self._desks[run].tell("nexus_start", "started", "The run began, or goes on.")

    @hookimpl
    def nexus_alert(self, run: str, title: str, text: str) -> None:
        """Post an alert, unless the same one was posted a short while ago."""
        if run in self._desks:
            self._desks[run].tell("nexus_alert", title, text)

    @hookimpl
    def nexus_trade_closed(self, run: str, trade: Trade) -> None:
        """Post the result of a trade."""
        if run in self._desks:
            self._desks[run].tell_of_trade(trade)

    @hookimpl
    def nexus_stop(self, run: str, finished: bool) -> None:
        """Post that the run ends, and give what waits a few seconds to leave."""
        if run in self._desks:
            text = (
                "The run reached its market's last tick." if finished else "The run stopped before its end."
            )
            self._desks[run].tell("nexus_stop", "finished" if finished else "stopped", text)
        self._close(run)

    def _close(self, run: str) -> None:
        if run in self._desks:
            self._desks.pop(run).close()


listener = Alerts()
"""What the entry point names."""
