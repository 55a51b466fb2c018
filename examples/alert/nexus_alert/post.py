"""A bounded queue and one thread that sends what is in it: whoever puts a message in never waits."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from nexus_alert.message import Message
from nexus_alert.repeats import Repeats
from nexus_core import log

ROOM = 100
"""Messages that may wait; one more, and the oldest is dropped."""
PATIENCE = 5.0
"""Seconds that one sending may take, and that a run's end waits for all that is left."""
PAUSES = (0.5, 1.0)
"""Seconds before each further try of a sending that failed."""


class FailedError(Exception):
    """A message was not delivered. The text says why, and holds nothing that anybody else wrote."""

    def __init__(self, why: str, final: bool = False) -> None:
        super().__init__(why)
        self.final = final
        """Whether another try is of no use."""


Send = Callable[[Message, float], None]
"""Sends a message before a moment of the monotonic clock, or raises FailedError."""


def reason(error: Exception) -> str:
    """Return what kind of error it was, in words that can hold no secret."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


class Post:
    """Sends messages through all channels, in their order."""

    def __init__(self, channels: Mapping[str, Send], repeats: Repeats, room: int = ROOM) -> None:
        self._channels, self._repeats, self._room = channels, repeats, room
        self._waiting: deque[Message] = deque()
        self._change = threading.Condition()
        self._busy = self._closing = self._abandoned = False
        self._dropped = self._told = 0
        self._failed: Counter[tuple[str, str]] = Counter()
        self._thread = threading.Thread(target=self._work, name="nexus-alert", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Queue a message, unless it is an alert that was sent a short while ago."""
        admitted = self._repeats.admit(message) if message.event == "nexus_alert" else message
        if admitted is None:
            return
        with self._change:
            if len(self._waiting) == self._room:
                self._dropped += 1
                self._forget(self._waiting.popleft())
            self._waiting.append(admitted)
            self._change.notify_all()

    def close(self) -> None:
        """Wait a few seconds until all is sent; then give up what is left, and say what was not delivered."""
        with self._change:
            self._closing = True
            self._change.notify_all()
            self._change.wait_for(lambda: not (self._busy or self._waiting), PATIENCE)
            counts = {f"{channel}: {why}": count for (channel, why), count in self._failed.items()}
            counts["too many waited"] = self._dropped
            counts["the run ended first"] = len(self._waiting) + self._busy
            self._abandoned = True
            self._waiting.clear()
            self._change.notify_all()
        if told := "; ".join(f"{count} ({why})" for why, count in counts.items() if count):
            log.warning("alert: messages not delivered: %s.", told)
        if held := self._repeats.held():
            log.warning("alert: repeats of alerts that no message told of: %d.", held)

    def _work(self) -> None:
        while (message := self._next()) is not None:
            delivered = [self._delivered(name, send, message) for name, send in self._channels.items()]
            with self._change:
                if any(delivered):
                    self._told += message.dropped
                else:
                    self._forget(message)
                self._busy = False
                self._change.notify_all()

    def _next(self) -> Message | None:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            self._busy = True
            return replace(self._waiting.popleft(), dropped=self._dropped - self._told)

    def _delivered(self, channel: str, send: Send, message: Message) -> bool:
        failure = FailedError("")
        for pause in (0.0, *PAUSES):
            if failure.final or self._abandoned_within(pause):
                break
            try:
                send(message, time.monotonic() + PATIENCE)
                return True
            except FailedError as error:
                failure = error
            except Exception as error:
                failure = FailedError(reason(error))
        self._note(channel, str(failure))
        return False

    def _abandoned_within(self, seconds: float) -> bool:
        with self._change:
            return self._change.wait_for(lambda: self._abandoned, seconds)

    def _note(self, channel: str, why: str) -> None:
        with self._change:
            if self._abandoned:
                return  # counted as left over already
            self._failed[channel, why] += 1
            first = self._failed[channel, why] == 1
        if first:
            log.warning("alert: %s: %s. The run goes on; more of the kind are only counted.", channel, why)

    def _forget(self, message: Message) -> None:
        if message.event == "nexus_alert":
            self._repeats.lost(message)
