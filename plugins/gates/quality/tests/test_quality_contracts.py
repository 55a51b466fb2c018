"""The contracts of the layer quality and of its gates."""

from nexus_core.testing import GateContract, LayerContract


class TestQualityLayer(LayerContract):
    layer = "quality"


class TestComposite(GateContract):
    gate = "composite"


class TestLiquidity(GateContract):
    gate = "liquidity"


class TestRegime(GateContract):
    gate = "regime"
