"""The signal processor keeps what every engine keeps; `pytest conformance.py` where the package is installed."""

from __future__ import annotations

from engine_dsp import DspEngine, Normalise

from codegen.engine import Engine
from microbench.profile import load_profile
from tests.codegen.engine_conformance import EngineConformance
from tests.codegen.layers import inferred_layer


class TestDsp(EngineConformance):
    engine: Engine = DspEngine()
    target = load_profile("host").target()
    spec = inferred_layer(Normalise(), (3, 8))
