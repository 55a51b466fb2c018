"""The watch over a live feed: one that falls silent pauses the account."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

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
