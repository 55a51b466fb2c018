"""The 65 features of a market row: price, volume, book, momentum and volatility, one compiled step."""

from nexus_features.facts import Feature
from nexus_features.standard import CATEGORIES, FEATURES, NAMES, Standard

__all__ = ["CATEGORIES", "FEATURES", "NAMES", "Feature", "Standard"]
