"""What one run asked to be told of, put into messages for its post."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nexus_alert import mail, webhook
from nexus_alert.message import Message
from nexus_alert.post import Post, Send
from nexus_alert.repeats import Repeats
from nexus_alert.settings import Choice, chosen
from nexus_core.types import iso

if TYPE_CHECKING:
    from nexus_core.types import Trade


class Desk:
    """Takes the news of one run, and posts what was asked for."""

    def __init__(self, run: str, choice: Choice) -> None:
        self._run, self._events = run, choice.events
        self._post = Post(_channels(choice), Repeats(choice.cooldown))

    def tell(self, event: str, title: str, text: str) -> None:
        """Post a piece of news if its hook was asked for."""
        if event in self._events:
            self._post.put(Message(self._run, event, title, text, iso(time.time_ns())))

    def tell_of_trade(self, trade: Trade) -> None:
        """Post the result of a trade if trades were asked for."""
        if "nexus_trade_closed" in self._events:
            self.tell("nexus_trade_closed", "trade closed", _result(trade))

    def close(self) -> None:
        """Give what waits a few seconds to leave."""
        self._post.close()


def opened(run: str, table: Mapping[str, Any], environ: Mapping[str, str]) -> Desk:
    """Return a desk by a run's settings, or raise ConfigError at their first fault."""
    return Desk(run, chosen(table, environ))


def _channels(choice: Choice) -> dict[str, Send]:
    channels: dict[str, Send] = {}
    if choice.webhook is not None:
        channels[f"webhook {choice.webhook.host}"] = webhook.sender(choice.webhook)
    if choice.mail is not None:
        channels[f"mail by {choice.mail.host}"] = mail.sender(choice.mail)
    return channels


def _result(trade: Trade) -> str:
    return (
        f"{trade.symbol} {trade.side.name} {trade.quantity:f}, from {iso(trade.opened)} to "
        f"{iso(trade.closed)}: {trade.profit:+f} after {trade.fees:f} of fees."
    )
