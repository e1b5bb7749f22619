"""Every registered algorithm keeps the contract, on the table of layers."""

from __future__ import annotations

import pytest

from codegen.algorithm import algorithms
from codegen.graph import LayerSpec
from tests.codegen.algorithm_conformance import AlgorithmConformance
from tests.codegen.algorithm_layers import LAYERS


@pytest.fixture(scope="class", params=sorted(algorithms()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="class")
def layers() -> dict[str, LayerSpec]:
    return LAYERS


class TestRegisteredAlgorithms(AlgorithmConformance):
    pass
