"""The contracts of the layer routing and of its gates."""

from nexus_core.testing import GateContract, LayerContract


class TestRoutingLayer(LayerContract):
    layer = "routing"


class TestAction(GateContract):
    gate = "action"


class TestConfidence(GateContract):
    gate = "confidence"
