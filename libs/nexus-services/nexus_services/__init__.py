"""What feeds, servers and brokers share, and the kernel does without: signatures, buffers, figures."""

from nexus_services.data import DataBuffer, DataCache
from nexus_services.monitor import PerformanceMonitor
from nexus_services.security import AuthenticatedMarketData, FeedSecurity, SecurityManager, sanitise

__all__ = [
    "AuthenticatedMarketData",
    "DataBuffer",
    "DataCache",
    "FeedSecurity",
    "PerformanceMonitor",
    "SecurityManager",
    "sanitise",
]
