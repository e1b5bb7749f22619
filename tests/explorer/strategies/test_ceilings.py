from __future__ import annotations

from dataclasses import dataclass

from codegen.graph import LayerSpec
from codegen.operators.chain import Chain
from codegen.operators.conv2d import Conv2d
from codegen.schedule import Candidate
from codegen.tensor import TensorType
from explorer.compose.timed_candidates import TimedCandidate, relayout_spec
from explorer.strategies.ceilings import Ceilings
from tests.codegen.layers import layer_spec
from tests.explorer.networks import timed

TENSOR = TensorType((1, 4, 3, 3))
LAYER = layer_spec(Conv2d((1, 1)), (TENSOR,), TENSOR, (TensorType((4, 4, 1, 1)), TensorType((4,))))
CHAIN = layer_spec(Chain((LAYER, LAYER), ((0,), (-1,))), (TENSOR,), TENSOR, LAYER.weights * 2)


@dataclass(frozen=True)
class Known:
    """What the search knows of a layer."""

    spec: LayerSpec
    timed_candidates: tuple[TimedCandidate, ...]

    @property
    def fastest(self) -> dict[int, float]:
        return {
            o.threads: min(p.time_s for p in self.timed_candidates if p.threads == o.threads)
            for o in self.timed_candidates
        }


def candidate(spec: LayerSpec, layout: str, threads: int = 1) -> Candidate:
    return timed(spec, "cpu", (layout,), layout, 1.0, tag=9, threads=threads).candidate


def known(spec: LayerSpec, *timed_candidates: TimedCandidate) -> Known:
    return Known(spec, timed_candidates)


def change(source: str, target: str, time_s: float) -> Known:
    spec = relayout_spec(TENSOR, source, target)
    return known(spec, timed(spec, "cpu", (source,), target, time_s))


def test_another_layout_bounds_what_a_candidate_may_take() -> None:
    blocked = known(LAYER, timed(LAYER, "cpu", ("channel16",), "channel16", 5.0))
    layers = (blocked, change("nchw", "channel16", 2.0), change("channel16", "nchw", 3.0))
    ceiling = Ceilings(layers).of(blocked)  # type: ignore[arg-type]
    assert ceiling(candidate(LAYER, "nchw")) == 10.0
    assert ceiling(candidate(LAYER, "channel16")) == 5.0
    assert ceiling(candidate(LAYER, "nchw", threads=2)) == float("inf")


def test_without_a_change_of_layout_nothing_is_known() -> None:
    blocked = known(LAYER, timed(LAYER, "cpu", ("channel16",), "channel16", 5.0))
    assert Ceilings((blocked,)).of(blocked)(candidate(LAYER, "nchw")) == float("inf")  # type: ignore[arg-type]


def test_a_chain_competes_with_its_layers() -> None:
    layer = known(LAYER, timed(LAYER, "cpu", ("channel16",), "channel16", 5.0))
    chain = known(CHAIN)
    ceiling = Ceilings((layer, chain)).of(chain)  # type: ignore[arg-type]
    assert ceiling(candidate(CHAIN, "channel16")) == 10.0
    assert ceiling(candidate(CHAIN, "channel16", threads=2)) == float("inf")
