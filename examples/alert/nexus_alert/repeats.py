"""Alerts that come again and again: which of them to send, and how many were not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from nexus_alert.message import Message

KNOWN = 1_000
"""Different alerts that are remembered, the newest."""


class Repeats:
    """Lets the same alert through once in a number of seconds, with the count of those held back."""

    def __init__(self, cooldown: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cooldown, self._clock = cooldown, clock
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, str], tuple[float, int]] = {}

    def admit(self, message: Message) -> Message | None:
        """Return the message with its count of repeats, or None if it is to be held back."""
        with self._lock:
            last, held = self._sent.pop(message.key, (-math.inf, 0))
            now = self._clock()
            passed = now - last >= self._cooldown
            self._sent[message.key] = (now, 0) if passed else (last, held + 1)
            if len(self._sent) > KNOWN:
                del self._sent[next(iter(self._sent))]
        return replace(message, repeats=held) if passed else None

    def lost(self, message: Message) -> None:
        """Let the same alert through at once when it comes again: nobody has heard of it."""
        with self._lock:
            _, held = self._sent.get(message.key, (0.0, 0))
            self._sent[message.key] = -math.inf, held + message.repeats

    def held(self) -> int:
        """Return how many repeats nobody was told of."""
        with self._lock:
            return sum(held for _, held in self._sent.values())
