"""A seeded, endless market with regimes and jumps, to develop and test against."""

from nexus_synthetic.generator import START, TRUTH, Generator
from nexus_synthetic.law import DOWN, LAW, RANGE, TURBULENT, UP
from nexus_synthetic.symbols import anchor, default_price_tick

__all__ = [
    "DOWN", "LAW", "RANGE", "START", "TRUTH", "TURBULENT", "UP", "Generator", "anchor", "default_price_tick",
]  # fmt: skip
