"""What is kept in memory of the data that came: the latest rows, and values worth having again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Generic, Protocol, TypeVar

from nexus_core.errors import ConfigError


class _Stamped(Protocol):
    @property
    def timestamp(self) -> int: ...  # nanoseconds UTC


Item = TypeVar("Item", bound=_Stamped)
Value = TypeVar("Value")


def _above_zero(value: float, what: str) -> None:
    if not value > 0:
        raise ConfigError(f"{what} was {value}; it must be above 0.")


class DataBuffer(Generic[Item]):
    """The items that came last, in the order they came; a new one pushes out the first of a full buffer.

    An item has a `timestamp`, in nanoseconds UTC; a late one stands where it came, after items of a later
    time. Threads may share a buffer.
    """

    def __init__(self, capacity: int) -> None:
        _above_zero(capacity, "data buffer: capacity")
        self._capacity, self._lock = capacity, threading.RLock()
        self._items: deque[Item] = deque(maxlen=capacity)

    @property
    def capacity(self) -> int:
        """The items it holds at the most."""
        return self._capacity

    def add(self, item: Item) -> None:
        """Take an item in, in constant time."""
        with self._lock:
            self._items.append(item)

    def get_latest(self, n: int) -> list[Item]:
        """Return the `n` items that came last, or all if there are fewer; the newest stands last."""
        with self._lock:
            return list(islice(reversed(self._items), max(n, 0)))[::-1]

    def get_range(self, start_ns: int, end_ns: int) -> list[Item]:
        """Return the items whose own timestamp lies from `start_ns` to `end_ns`, both included.

        Every item is looked at, so a late one is found too; they stay in the order they came.
        """
        with self._lock:
            return [item for item in self._items if start_ns <= item.timestamp <= end_ns]

    def clear(self) -> None:
        """Forget every item."""
        with self._lock:
            self._items.clear()

    def size(self) -> int:
        """Return how many items it holds."""
        return len(self._items)  # one step, which no other thread can come into


class DataCache(Generic[Value]):
    """Values by key, at most `size` of them: a new key pushes out the one that was longest not used.

    A value counts for less than `ttl` seconds from its `put`, and is dropped when it is asked for later;
    asking makes it the one used last, but no younger. The clock is in seconds. Threads may share a cache.
    """

    def __init__(self, size: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        _above_zero(size, "data cache: size")
        _above_zero(ttl, "data cache: ttl")
        self._size, self._ttl, self._clock, self._lock = size, ttl, clock, threading.RLock()
        self._entries: OrderedDict[Hashable, tuple[Value, float]] = OrderedDict()
        self._hits = self._misses = 0

    def get(self, key: Hashable, default: Value | None = None) -> Value | None:
        """Return the value of a key, or the default where there is none, or none any more."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None or self._clock() - entry[1] >= self._ttl:
                self._misses += 1
                return default
            self._hits += 1
            self._entries[key] = entry  # back in, as the last: the one used last
            return entry[0]

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value under a key, as new, in place of what stood there."""
        with self._lock:
            self._entries[key] = value, self._clock()
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def get_stats(self) -> dict[str, float]:
        """Return the statistics by name.

        They are `size`, the entries held (expired ones until they are asked for), `max_size`, `ttl` in
        seconds, `hits`, `misses` and `hit_rate`, the share of hits in all questions, 0 before the first.
        """
        with self._lock:
            rate = self._hits / max(self._hits + self._misses, 1)
            asked = {"hits": self._hits, "misses": self._misses, "hit_rate": rate}
            return {"size": len(self._entries), "max_size": self._size, "ttl": self._ttl, **asked}
