"""The contracts of the layer selection and of its gates."""

from nexus_core.testing import GateContract, LayerContract


class TestSelectionLayer(LayerContract):
    layer = "selection"


class TestAnomaly(GateContract):
    gate = "anomaly"
