"""Sending by HTTP: one POST of JSON, signed where there is a secret."""

from __future__ import annotations

import hmac
from http.client import HTTPConnection

from nexus_alert.message import Message
from nexus_alert.post import FailedError, Send
from nexus_alert.settings import Webhook
from nexus_alert.sockets import connected, encryption, limit

SIGNATURE = "X-Nexus-Signature"
"""The header with the HMAC-SHA256 of the body, in hexadecimal digits."""
BUSY = {408, 425, 429}
"""Answers that ask for another try; below 500 all others are final."""


def sender(webhook: Webhook) -> Send:
    """Return what posts a message to a webhook."""

    def send(message: Message, deadline: float) -> None:
        status = _posted(webhook, message.json(), deadline)
        if 300 <= status < 400:
            raise FailedError(f"answered {status}, and no redirect is followed", final=True)
        if not 200 <= status < 300:
            raise FailedError(f"answered {status}", final=status < 500 and status not in BUSY)

    return send


def _posted(webhook: Webhook, body: bytes, deadline: float) -> int:
    headers = {"Host": webhook.netloc, "Content-Type": "application/json", "Connection": "close"}
    if webhook.secret:
        headers[SIGNATURE] = hmac.digest(webhook.secret.encode(), body, "sha256").hex()
    connection = _Connection(webhook, deadline)
    try:
        connection.request("POST", webhook.target, body, headers)
        answer = connection.getresponse()
        answer.close()
        return answer.status
    finally:
        connection.close()


class _Connection(HTTPConnection):
    def __init__(self, webhook: Webhook, deadline: float) -> None:
        super().__init__(webhook.host, webhook.port)
        self._encrypted, self._deadline = webhook.encrypted, deadline

    def connect(self) -> None:
        self.sock = connected(self.host, self.port, self._deadline)
        if self._encrypted:
            self.sock = encryption().wrap_socket(self.sock, server_hostname=self.host)
            limit(self.sock, self._deadline)
