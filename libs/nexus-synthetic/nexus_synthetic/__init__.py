"""Seeded, endless markets to develop and test against: one of bars, one of order flow."""

from nexus_synthetic.compositions import KINDS, RANGES
from nexus_synthetic.flow import HIDDEN, Flow, default_grid
from nexus_synthetic.flow_law import FLOW_LAW
from nexus_synthetic.generator import START, TRUTH, Generator
from nexus_synthetic.law import DOWN, LAW, RANGE, TURBULENT, UP
from nexus_synthetic.plants import PLANTED
from nexus_synthetic.symbols import anchor, default_price_tick

__all__ = [
    "DOWN", "FLOW_LAW", "HIDDEN", "KINDS", "LAW", "PLANTED", "RANGE", "RANGES", "START", "TRUTH", "TURBULENT",
    "UP", "Flow", "Generator", "anchor", "default_grid", "default_price_tick",
]  # fmt: skip
