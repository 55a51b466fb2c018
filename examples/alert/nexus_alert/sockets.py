"""Connections that end by a moment, however slowly the other side answers."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any


class _Plain(socket.socket):
    deadline = float("inf")

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        # a timeout alone begins anew with every byte that arrives
        self.settimeout(left(self.deadline))
        return super().recv_into(buffer, nbytes, flags)


class _Encrypted(ssl.SSLSocket):
    deadline = float("inf")

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(left(self.deadline))
        return super().recv_into(buffer, nbytes, flags)


def left(deadline: float) -> float:
    """Return the seconds to a moment of the monotonic clock; raise TimeoutError where it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0.0:
        raise TimeoutError
    return seconds


def connected(host: str, port: int, deadline: float) -> socket.socket:
    """Return a connection whose answers come before the deadline or not at all."""
    found = socket.create_connection((host, port), left(deadline))
    plain = _Plain(fileno=found.detach())
    plain.deadline = deadline
    plain.settimeout(left(deadline))
    return plain


def encryption(verified: bool = True) -> ssl.SSLContext:
    """Return how a connection is encrypted; the other side's certificate is verified unless told not to."""
    context = ssl.create_default_context()
    context.sslsocket_class = _Encrypted
    if not verified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def limit(sock: Any, deadline: float) -> None:
    """Give a connection that was encrypted just now the deadline of the one it was made from."""
    sock.deadline = deadline
