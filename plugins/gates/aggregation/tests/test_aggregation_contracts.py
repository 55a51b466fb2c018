"""The contracts of the layer aggregation and of its gates."""

from nexus_core.testing import GateContract, LayerContract


class TestAggregationLayer(LayerContract):
    layer = "aggregation"


class TestStrength(GateContract):
    gate = "strength"


class TestAgreement(GateContract):
    gate = "agreement"
