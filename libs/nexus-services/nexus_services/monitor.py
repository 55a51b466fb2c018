"""How a run is doing: the metrics of its last hour, alerts, and a health score."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from nexus_core.config import Monitoring

HOUR_NS, MOST = 3600 * 10**9, 36_000
"""How long a value counts, and how many are kept of a metric: ten a second."""

_MEASURES = {"mean": statistics.mean, "std": statistics.pstdev, "min": min, "max": max}
# By metric: the condition, the side of the limit on which it holds, and the limit.
_ALARMS = {"confidence": ("low_confidence", -1, 0.3), "risk": ("high_risk", 1, 0.8)}


class PerformanceMonitor:
    """Keeps metrics for an hour, raises alerts, and sums up both as the health of a run.

    Of each metric the latest 36,000 values are kept: where more come within the hour, its statistics are
    theirs. A value that is not finite is not kept, so that it spoils no statistic.

    The metric `latency` (in ms) above its setting raises `high_latency`, `confidence` below 0.3 raises
    `low_confidence`, `risk` above 0.8 `high_risk`; each again only `alert_cooldown` seconds later, as the
    timestamps have it. The last 100 alerts are kept.

    Timestamps and the clock are in nanoseconds UTC; a replay gives its own clock. Threads may share
    a monitor.
    """

    def __init__(self, settings: Monitoring, clock: Callable[[], int] = time.time_ns) -> None:
        self._settings, self._clock, self._lock = settings, clock, threading.RLock()
        self._metrics: dict[str, deque[tuple[int, float]]] = defaultdict(lambda: deque(maxlen=MOST))
        self._alerts: deque[dict[str, Any]] = deque(maxlen=100)
        self._alerted: dict[str, int] = {}
        self._alarms = {**_ALARMS, "latency": ("high_latency", 1, settings.latency_alert_ms)}

    def record_metric(self, name: str, value: float, timestamp: int) -> None:
        """Keep a value of a metric, and raise the alert that it gives cause for."""
        if not self._settings.enable_metrics:
            return
        condition, side, limit = self._alarms.get(name, ("", 1, math.inf))
        with self._lock:
            if math.isfinite(value):
                self._metrics[name].append((timestamp, float(value)))
            rested = timestamp - self._alerted.get(condition, -math.inf)
            if side * value > side * limit and rested >= self._settings.alert_cooldown * 1e9:
                self._alerted[condition] = timestamp
                self._alerts.append({"condition": condition, "value": value, "timestamp": timestamp})

    def get_metric_stats(self, name: str) -> dict[str, float]:
        """Return `mean`, `std` (of these values, not of a sample), `min`, `max` and `count` of the last hour.

        Without a value the count is 0 and the others are NaN.
        """
        values = self._recent(name)
        figures = {each: measure(values) if values else math.nan for each, measure in _MEASURES.items()}
        return {**figures, "count": len(values)}

    def get_system_health(self) -> dict[str, Any]:
        """Return `health_score`, `status`, `metrics_count`, `recent_alerts`, `latency` and `errors`.

        The score begins at 1 and loses 0.2 while the mean `latency` is above 500 ms, and 0.1 for each of the
        `errors` (the sum of that metric over the hour), 0.5 at the most. Above 0.7 the status is `healthy`,
        above 0.3 `degraded`, else `unhealthy`: slow, and five errors or more. The alerts are the last 10.
        """
        latency, errors = self.get_metric_stats("latency")["mean"], sum(self._recent("errors"))
        # Unrounded, the lowest score would be 0.30000000000000004, and no run ever unhealthy.
        score = round(1.0 - 0.2 * (latency > 500.0) - min(0.5, 0.1 * max(errors, 0.0)), 9)
        status = "healthy" if score > 0.7 else "degraded" if score > 0.3 else "unhealthy"
        with self._lock:
            kept = {"metrics_count": len(self._metrics), "recent_alerts": [*map(dict, self._alerts)][-10:]}
        return {"health_score": score, "status": status, "latency": latency, "errors": errors, **kept}

    def _recent(self, name: str) -> list[float]:
        with self._lock:
            first = self._clock() - HOUR_NS
            return [value for timestamp, value in self._metrics.get(name, ()) if timestamp >= first]
