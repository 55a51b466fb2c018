"""Metrics of the last hour, alerts with a rest between them, and the health made of both."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nexus_services.monitor import MOST, PerformanceMonitor

from nexus_core.config import Monitoring

SECOND = 1_000_000_000
NOW = 1_772_373_900 * SECOND


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def monitor(clock):
    return PerformanceMonitor(Monitoring(), clock)


def record(monitor, name, *values):
    for value in values:
        monitor.record_metric(name, value, NOW)


def alerts(monitor):
    return [
        (each["condition"], each["value"], (each["timestamp"] - NOW) / SECOND)
        for each in monitor.get_system_health()["recent_alerts"]
    ]


def test_statistics_worked_by_hand(monitor):
    record(monitor, "depth", 2.0, 4, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0)
    stats = monitor.get_metric_stats("depth")
    assert stats == {"mean": 5.0, "std": 2.0, "min": 2.0, "max": 9.0, "count": 8}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_statistics_are_numpy_s(values):
    monitor = PerformanceMonitor(Monitoring(), Clock())
    record(monitor, "x", *values)
    stats = monitor.get_metric_stats("x")
    assert stats["mean"] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert stats["std"] == pytest.approx(np.std(values), rel=1e-6, abs=1e-6)
    assert (stats["min"], stats["max"], stats["count"]) == (np.min(values), np.max(values), len(values))


def test_statistics_keep_their_digits_far_from_zero(monitor):
    record(monitor, "x", 1e15, 1e15 + 1, 1e15 + 2)
    assert monitor.get_metric_stats("x")["std"] == pytest.approx(math.sqrt(2 / 3), rel=1e-12)


def test_huge_values_overflow_nothing(monitor):
    record(monitor, "x", 1.5e308, 1.5e308)
    stats = monitor.get_metric_stats("x")
    assert (stats["mean"], stats["std"]) == (1.5e308, 0.0)


def test_a_metric_without_values_is_unknown(monitor):
    stats = monitor.get_metric_stats("nothing")
    assert stats.pop("count") == 0
    assert sorted(stats) == ["max", "mean", "min", "std"]
    assert all(math.isnan(value) for value in stats.values())
    assert monitor.get_system_health()["metrics_count"] == 0  # asking makes no metric


def test_a_value_counts_for_an_hour(monitor, clock):
    monitor.record_metric("x", 1.0, NOW)
    monitor.record_metric("x", 3.0, NOW + SECOND)
    clock.now = NOW + 3600 * SECOND
    assert monitor.get_metric_stats("x")["mean"] == 2.0
    clock.now += 1
    assert monitor.get_metric_stats("x")["mean"] == 3.0
    clock.now += SECOND
    assert monitor.get_metric_stats("x")["count"] == 0


def test_a_value_that_comes_late_counts_by_its_own_time(monitor, clock):
    clock.now = NOW + 3600 * SECOND
    for second, value in ((10, 1.0), (-1, 100.0), (5, 3.0)):
        monitor.record_metric("x", value, NOW + second * SECOND)
    assert monitor.get_metric_stats("x")["mean"] == 2.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_spoils_no_statistic(monitor, value):
    record(monitor, "x", 1.0, value, 3.0)
    stats = monitor.get_metric_stats("x")
    assert (stats["mean"], stats["count"]) == (2.0, 2)


def test_memory_is_bounded_within_the_hour_too(monitor):
    for n in range(MOST + 500):
        monitor.record_metric("x", n, NOW + n)
    stats = monitor.get_metric_stats("x")
    assert (stats["min"], stats["max"], stats["count"]) == (500, MOST + 499, MOST)


@pytest.mark.parametrize(
    ("name", "quiet", "loud", "condition"),
    [
        ("latency", 1000.0, 1000.5, "high_latency"),
        ("confidence", 0.3, 0.29, "low_confidence"),
        ("risk", 0.8, 0.81, "high_risk"),
    ],
)
def test_an_alert_begins_beyond_its_limit(monitor, name, quiet, loud, condition):
    record(monitor, name, quiet, math.nan)
    assert alerts(monitor) == []
    record(monitor, name, loud)
    assert monitor.get_system_health()["recent_alerts"] == [
        {"condition": condition, "value": loud, "timestamp": NOW}
    ]


def test_only_three_metrics_raise_alerts(monitor):
    record(monitor, "speed", 1e9, -1e9, math.inf)
    assert alerts(monitor) == []


def test_endless_latency_is_an_alert(monitor):
    record(monitor, "latency", math.inf)
    assert alerts(monitor) == [("high_latency", math.inf, 0.0)]


def test_the_latency_limit_is_the_setting(clock):
    monitor = PerformanceMonitor(Monitoring(latency_alert_ms=20.0), clock)
    record(monitor, "latency", 20.0, 20.5)
    assert alerts(monitor) == [("high_latency", 20.5, 0.0)]


def test_each_condition_rests_by_itself(monitor):
    for second, name, value in (
        (0, "latency", 2000.0),
        (1, "risk", 0.9),
        (299, "latency", 3000.0),  # too soon
        (300, "latency", 4000.0),
        (300.5, "risk", 0.95),  # too soon
        (301, "risk", 1.0),
        (599, "latency", 5000.0),  # too soon: it rests from the alert, not from the value
        (600, "latency", 6000.0),
    ):
        monitor.record_metric(name, value, NOW + int(second * SECOND))
    assert alerts(monitor) == [
        ("high_latency", 2000.0, 0.0),
        ("high_risk", 0.9, 1.0),
        ("high_latency", 4000.0, 300.0),
        ("high_risk", 1.0, 301.0),
        ("high_latency", 6000.0, 600.0),
    ]


def test_without_a_rest_every_value_is_an_alert(clock):
    monitor = PerformanceMonitor(Monitoring(alert_cooldown=0), clock)
    record(monitor, "risk", 0.9, 0.9, 0.9)
    assert len(alerts(monitor)) == 3


def test_the_last_ten_alerts_are_shown_of_the_last_hundred(clock):
    monitor = PerformanceMonitor(Monitoring(alert_cooldown=0), clock)
    record(monitor, "risk", *(1.0 + n for n in range(150)))
    assert [value for _, value, _ in alerts(monitor)] == [1.0 + n for n in range(140, 150)]
    assert len(monitor._alerts) == 100


def test_an_alert_that_was_handed_out_can_be_changed_without_harm(monitor):
    record(monitor, "risk", 0.9)
    monitor.get_system_health()["recent_alerts"][0].clear()
    assert alerts(monitor) == [("high_risk", 0.9, 0.0)]


def test_a_run_that_nothing_is_known_of_is_healthy(monitor):
    health = monitor.get_system_health()
    assert math.isnan(health.pop("latency"))
    assert health == {
        "health_score": 1.0,
        "status": "healthy",
        "metrics_count": 0,
        "recent_alerts": [],
        "errors": 0,
    }


@pytest.mark.parametrize(
    ("latency", "errors", "score", "status"),
    [
        (500.0, 0, 1.0, "healthy"),
        (500.5, 0, 0.8, "healthy"),
        (1.0, 1, 0.9, "healthy"),
        (1.0, 2, 0.8, "healthy"),
        (1.0, 3, 0.7, "degraded"),
        (1.0, 5, 0.5, "degraded"),
        (1.0, 50, 0.5, "degraded"),
        (1.0, -3, 1.0, "healthy"),
        (501.0, 1, 0.7, "degraded"),
        (501.0, 2, 0.6, "degraded"),
        (501.0, 4, 0.4, "degraded"),
        (501.0, 5, 0.3, "unhealthy"),
        (501.0, 500, 0.3, "unhealthy"),
    ],
)
def test_latency_and_errors_lower_the_health(monitor, latency, errors, score, status):
    record(monitor, "latency", latency - 0.25, latency + 0.25)
    record(monitor, "errors", errors)
    record(monitor, "depth", 1.0)
    health = monitor.get_system_health()
    assert (health["health_score"], health["status"]) == (score, status)
    assert (health["latency"], health["errors"], health["metrics_count"]) == (latency, errors, 3)


def test_errors_are_summed_over_the_hour_and_forgotten_after_it(monitor, clock):
    record(monitor, "latency", 900.0)
    record(monitor, "errors", 1, 0, 3, 0, 1)
    assert monitor.get_system_health()["status"] == "unhealthy"
    assert monitor.get_system_health()["errors"] == 5
    clock.now += 3600 * SECOND + 1
    assert monitor.get_system_health()["health_score"] == 1.0


def test_metrics_that_are_off_record_and_raise_nothing(clock):
    monitor = PerformanceMonitor(Monitoring(enable_metrics=False), clock)
    record(monitor, "latency", 5000.0)
    record(monitor, "errors", 9)
    assert monitor.get_metric_stats("latency")["count"] == 0
    health = monitor.get_system_health()
    assert (health["health_score"], health["metrics_count"], health["recent_alerts"]) == (1.0, 0, [])


def test_the_clock_is_the_wall_clock_by_default():
    monitor = PerformanceMonitor(Monitoring())
    monitor.record_metric("x", 1.0, time.time_ns())
    monitor.record_metric("x", 9.0, time.time_ns() - 3601 * SECOND)
    assert monitor.get_metric_stats("x")["max"] == 1.0


def test_threads_lose_no_value_and_raise_each_alert_once(monitor):
    begin, done = threading.Barrier(7), threading.Event()

    def write(n):
        begin.wait()
        for k in range(300):
            monitor.record_metric("latency", 2000.0, NOW)
            monitor.record_metric("errors", 1, NOW)
            monitor.record_metric(f"own {n} {k % 10}", k, NOW)

    def read():
        begin.wait()
        while not done.is_set():
            health = monitor.get_system_health()
            assert len(health["recent_alerts"]) <= 1
            assert health["health_score"] in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

    with ThreadPoolExecutor(7) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for each in [pool.submit(write, n) for n in range(5)]:
                each.result()
        finally:
            done.set()
        for each in readers:
            each.result()
    health = monitor.get_system_health()
    assert (health["errors"], health["latency"], health["metrics_count"]) == (1_500, 2000.0, 52)
    assert alerts(monitor) == [("high_latency", 2000.0, 0.0)]
    assert monitor.get_metric_stats("own 0 0")["count"] == 30


def test_threads_that_see_the_same_moment_raise_one_alert(monitor):
    class Slow(float):
        def __rmul__(self, side):  # lets other threads go first while it is compared
            time.sleep(0.001)
            return side * float(self)

    begin = threading.Barrier(8)

    def tell(_):
        begin.wait()
        monitor.record_metric("risk", Slow(0.9), NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(8)))
    assert alerts(monitor) == [("high_risk", 0.9, 0.0)]
