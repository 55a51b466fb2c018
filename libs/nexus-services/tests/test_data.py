"""The buffer of what came last, and the cache of what is worth having again."""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from nexus_services.data import DataBuffer, DataCache

from nexus_core.errors import ConfigError
from nexus_core.types import MarketData


@frozen
class Row:
    timestamp: int
    name: object = None


def filled(capacity, *timestamps):
    buffer = DataBuffer(capacity)
    for timestamp in timestamps:
        buffer.add(Row(timestamp))
    return buffer


def times(rows):
    return [row.timestamp for row in rows]


def test_a_full_buffer_forgets_what_came_first():
    buffer = filled(3, 1, 2, 3, 4)
    assert (buffer.size(), buffer.capacity) == (3, 3)
    assert times(buffer.get_latest(9)) == [2, 3, 4]


@pytest.mark.parametrize(("n", "last"), [(-1, []), (0, []), (1, [4]), (2, [3, 4]), (4, [1, 2, 3, 4])])
def test_the_latest_stand_in_the_order_they_came(n, last):
    assert times(filled(10, 1, 2, 3, 4).get_latest(n)) == last


def test_a_range_holds_both_its_ends():
    buffer = filled(10, 10, 20, 30, 40)
    assert times(buffer.get_range(20, 30)) == [20, 30]
    assert times(buffer.get_range(20, 20)) == [20]
    assert times(buffer.get_range(21, 29)) == []
    assert times(buffer.get_range(30, 20)) == []


def test_a_late_item_is_found_by_its_time_and_stands_where_it_came():
    buffer = filled(4, 10, 30, 20, 40)
    assert times(buffer.get_range(15, 40)) == [30, 20, 40]
    assert times(buffer.get_latest(2)) == [20, 40]
    buffer.add(Row(50))
    buffer.add(Row(60))
    assert times(buffer.get_latest(9)) == [20, 40, 50, 60]  # 30 came before 20, so it went before


def test_a_cleared_buffer_can_be_filled_again():
    buffer = filled(2, 1, 2)
    buffer.clear()
    assert (buffer.size(), buffer.capacity, buffer.get_latest(5)) == (0, 2, [])
    buffer.add(Row(3))
    assert times(buffer.get_latest(5)) == [3]


def test_a_buffer_holds_market_data():
    tick = MarketData("BTC-USD", 5, price=1.0, volume=1.0)
    buffer = DataBuffer[MarketData](1)
    buffer.add(tick)
    assert buffer.get_range(5, 5) == [tick]


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_buffer_for_nothing_is_refused(capacity):
    with pytest.raises(ConfigError) as refused:
        DataBuffer(capacity)
    assert str(refused.value) == f"data buffer: capacity was {capacity}; it must be above 0."


@given(
    st.integers(1, 8),
    st.lists(st.integers(0, 20)),
    st.integers(-2, 12),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_a_buffer_is_the_end_of_all_that_came(capacity, timestamps, n, start, end):
    buffer = filled(capacity, *timestamps)
    kept = timestamps[-capacity:]
    assert buffer.size() == len(kept)
    assert times(buffer.get_latest(n)) == (kept[-n:] if n > 0 else [])
    assert times(buffer.get_range(start, end)) == [each for each in kept if start <= each <= end]


def test_threads_lose_no_item_and_keep_their_order():
    buffer, begin, done = DataBuffer[Row](100_000), threading.Barrier(8), threading.Event()

    def write(writer):
        begin.wait()
        for n in range(2_000):
            buffer.add(Row(n, writer))

    def read(_):
        begin.wait()
        sizes = []
        while not done.is_set():
            rows = buffer.get_latest(50)
            for writer in {row.name for row in rows}:
                own = [row.timestamp for row in rows if row.name == writer]
                assert own == sorted(own)
            assert all(row.timestamp < 10 for row in buffer.get_range(0, 9))
            sizes.append(buffer.size())
        return sizes

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read, n) for n in range(3)]
        writers = [pool.submit(write, n) for n in range(5)]
        for each in writers:
            each.result()
        done.set()
        for each in readers:
            sizes = each.result()
            assert sizes == sorted(sizes)
    rows = buffer.get_latest(100_000)
    for writer in range(5):
        assert [row.timestamp for row in rows if row.name == writer] == list(range(2_000))


def test_threads_never_see_a_buffer_beyond_its_capacity():
    buffer, begin = DataBuffer[Row](10), threading.Barrier(6)

    def work(n):
        begin.wait()
        for k in range(1_000):
            buffer.add(Row(k))
            if n == 0 and k % 100 == 0:
                buffer.clear()
            assert len(buffer.get_latest(99)) <= 10
            assert len(buffer.get_range(0, 1_000)) <= 10

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert buffer.size() <= 10


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_value_is_had_again_and_what_is_not_there_is_the_default(clock):
    cache = DataCache[int](2, 10.0, clock)
    cache.put("a", 1)
    assert cache.get("a") == 1
    assert cache.get("b") is None
    assert cache.get("b", 7) == 7


def test_none_is_a_value_like_any_other(clock):
    cache = DataCache[int | None](2, 10.0, clock)
    cache.put("a", None)
    assert cache.get("a", 7) is None
    assert cache.get_stats()["hits"] == 1


def test_a_new_key_pushes_out_the_one_longest_not_used(clock):
    cache = DataCache[int](3, 10.0, clock)
    for key in "abc":
        cache.put(key, ord(key))
    assert cache.get("a") == 97  # so b is the one
    cache.put("b", 0)  # now c
    cache.put("d", 100)
    assert [cache.get(key) for key in "abcd"] == [97, 0, None, 100]


def test_a_key_put_again_pushes_out_nothing(clock):
    cache = DataCache[int](2, 10.0, clock)
    for value in range(5):
        cache.put("a", value)
        cache.put("b", value)
    assert (cache.get("a"), cache.get("b")) == (4, 4)


def test_asking_makes_a_value_no_younger_and_putting_does(clock):
    cache = DataCache[int](2, 10.0, clock)
    cache.put("a", 1)
    cache.put("b", 1)
    clock.now = 9.5
    assert cache.get("a") == 1
    cache.put("b", 2)
    clock.now = 10.0
    assert cache.get("a") is None
    assert cache.get("b") == 2
    clock.now = 19.5
    assert cache.get("b") is None


def test_an_expired_value_is_dropped_when_it_is_asked_for(clock):
    cache = DataCache[int](5, 10.0, clock)
    for key in "abc":
        cache.put(key, 1)
    clock.now = 10.0
    assert cache.get_stats()["size"] == 3
    cache.get("b")
    assert cache.get_stats()["size"] == 2


def test_statistics_count_hits_and_misses(clock):
    cache = DataCache[int](3, 10.0, clock)
    start = {"size": 0, "max_size": 3, "ttl": 10.0, "hits": 0, "misses": 0, "hit_rate": 0.0}
    assert cache.get_stats() == start
    cache.put("a", 1)
    for key in "aaab":
        cache.get(key)
    clock.now = 10.0
    assert cache.get("a") is None
    assert cache.get_stats() == start | {"hits": 3, "misses": 2, "hit_rate": 0.6}


@pytest.mark.parametrize(("size", "ttl"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0), (1, float("nan"))])
def test_a_cache_for_nothing_is_refused(size, ttl):
    with pytest.raises(ConfigError, match=r"^data cache: (size|ttl) was .+; it must be above 0\.$"):
        DataCache(size, ttl)


def test_the_clock_is_one_that_is_never_set_back():
    assert inspect.signature(DataCache).parameters["clock"].default is time.monotonic


KEYS = st.integers(0, 6)


class CacheAgainstModel(RuleBasedStateMachine):
    """A plain dict of values with the time they were put, and the order of use as a list."""

    @initialize(size=st.integers(1, 4), ttl=st.integers(1, 8))
    def begin(self, size, ttl):
        self.clock, self.size, self.ttl = Clock(), size, ttl
        self.cache = DataCache(size, ttl, self.clock)
        self.model, self.used, self.hits, self.misses = {}, deque(), 0, 0

    @rule(seconds=st.integers(0, 5))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(key=KEYS, value=st.integers())
    def put(self, key, value):
        self.cache.put(key, value)
        if key in self.model:
            self.used.remove(key)
        elif len(self.model) == self.size:
            del self.model[self.used.popleft()]
        self.used.append(key)
        self.model[key] = (value, self.clock.now)

    @rule(key=KEYS)
    def get(self, key):
        found = self.cache.get(key, "none")
        if key in self.model and self.clock.now < self.model[key][1] + self.ttl:
            self.used.remove(key)
            self.used.append(key)
            self.hits += 1
            assert found == self.model[key][0]
            return
        self.misses += 1
        assert found == "none"
        if key in self.model:
            self.used.remove(key)
            del self.model[key]

    @invariant()
    def counts_are_the_model_s(self):
        stats = self.cache.get_stats()
        asked = self.hits + self.misses
        assert stats["size"] == len(self.model) <= self.size
        assert (stats["hits"], stats["misses"]) == (self.hits, self.misses)
        assert stats["hit_rate"] == (self.hits / asked if asked else 0.0)


TestCacheAgainstModel = CacheAgainstModel.TestCase


def test_threads_share_a_cache_and_each_value_is_its_key_s():
    cache, begin = DataCache[tuple[int, int]](20, 60.0), threading.Barrier(8)

    def work(n):
        begin.wait()
        for k in range(2_000):
            key = (k * 7 + n) % 40
            if k % 3:
                value = cache.get(key)
                assert value is None or value[0] == key
            else:
                cache.put(key, (key, n))
            if k % 50 == 0:
                assert cache.get_stats()["size"] <= 20

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    stats = cache.get_stats()
    assert stats["size"] == 20
    assert stats["hits"] + stats["misses"] == 8 * sum(1 for k in range(2_000) if k % 3)
    assert sum(cache.get(key) is not None for key in range(40)) == 20


class Slow:
    """A key that lets other threads go first whenever it is looked up."""

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        time.sleep(0.0001)
        return self.number

    def __eq__(self, other):
        return self.number == other.number


def test_a_thread_that_asks_hides_nothing_from_the_others():
    def slow_clock():
        time.sleep(0)
        return 0.0

    cache, begin = DataCache[int](5, 60.0, slow_clock), threading.Barrier(8)
    for key in range(5):
        cache.put(key, key)

    def ask(_):
        begin.wait()
        return all(cache.get(k % 5) == k % 5 for k in range(500))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert cache.get_stats()["hits"] == 4_000


def test_threads_that_push_each_other_out_leave_a_full_cache():
    cache, begin = DataCache[int](2, 60.0), threading.Barrier(8)

    def push(n):
        begin.wait()
        for k in range(40):
            cache.put(Slow((k + n) % 4), n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(push, range(8)))
    assert cache.get_stats()["size"] == 2
