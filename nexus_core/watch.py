"""Watches over what may take too long: a live feed that falls silent, a call that does not return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_END = object()


def watched(source: Iterator[T], seconds: float, silent: Callable[[], None]) -> Iterator[T]:
    """Yield what a source yields; call `silent`, once a wait, when the next one is `seconds` late.

    `silent` is called in a thread of its own while this one waits for the source.
    """
    while True:
        timer = threading.Timer(seconds, silent)
        timer.daemon = True
        timer.start()
        try:
            item = next(source, _END)
        finally:
            timer.cancel()
        if item is _END:
            return
        yield item  # pyright: ignore[reportReturnType]


class LateError(Exception):
    """A call took too long, or was not made because an earlier one had not returned."""

    def __init__(self, made: bool) -> None:
        super().__init__(made)
        self.made = made
        """Whether the call was made."""


class Guard:
    """Makes calls that may take so long and no longer.

    A call that takes longer goes on by itself, in a thread that no exit waits for; until it returns, every
    further one is refused at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked: SimpleQueue[tuple[Callable[[Any], Any], Any]] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._late = 0
        self._thread: threading.Thread | None = None

    def __call__(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Return what the function answers; raise LateError where that takes too long."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        made = False
        try:
            if self._late:
                self._answers.get_nowait()
                self._late = 0
            self._asked.put((function, argument))
            made = True
            answer, error = self._answers.get(timeout=self._seconds)
        except Empty:
            self._late = 1
            raise LateError(made) from None
        if error is not None:
            raise error
        return answer

    def _work(self) -> None:
        while True:
            function, argument = self._asked.get()
            try:
                self._answers.put((function(argument), None))
            except BaseException as error:
                self._answers.put((None, error))
