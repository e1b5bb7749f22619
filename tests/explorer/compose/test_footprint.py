"""What a program keeps of GPU memory beside its buffers."""

from __future__ import annotations

from codegen.algorithm import algorithm_named
from codegen.engines.videocore4.layout import Pixel16
from codegen.expression import RELU
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.schedule import Candidate
from codegen.tensor import TensorType
from explorer.compose.footprint import Footprint, footprint_of
from microbench.profile import load_profile
from tests.codegen.layers import inferred_layer

TARGET = load_profile("pi-zero").target()


def first(algorithm: str, spec: LayerSpec) -> Candidate:
    found = algorithm_named(algorithm)
    assert found.applies(spec, TARGET)
    return Candidate(spec, found.choice(spec, TARGET, found.space(spec, TARGET).points()[0]))


def test_weights_are_kept_and_no_buffers() -> None:
    op = Conv2d((1, 1), epilogue=RELU)
    kept = []
    for side in (8, 32):
        spec = inferred_layer(op, (1, 64, side, side), weights=((256, 64, 1, 1), (256,)))
        footprint = footprint_of(first("qpu_pointwise_blocked", spec), TARGET)
        assert footprint.marks == 1
        assert footprint.kept_bytes > sum(weight.size_bytes for weight in spec.weights)
        kept.append(footprint.kept_bytes)
    assert kept[1] - kept[0] < TensorType((1, 64, 32, 32)).size_bytes


def test_memory_between_two_phases_is_kept_and_both_are_marks() -> None:
    spec = inferred_layer(ConvTranspose2d((2, 2), (2, 2)), (1, 9, 20, 20), weights=((12, 9, 2, 2), (12,)))
    footprint = footprint_of(first("qpu_conv_transpose", spec), TARGET)
    assert footprint.marks == 2
    between = Pixel16().size_bytes(TensorType((1, 4 * 12, 20, 20)))
    assert footprint.kept_bytes > between + sum(weight.size_bytes for weight in spec.weights)


def test_what_is_called_keeps_nothing() -> None:
    spec = inferred_layer(Conv2d((1, 1)), (1, 4, 8, 8), weights=((4, 4, 1, 1), (4,)))
    assert footprint_of(first("cpu_conv_direct", spec), TARGET) == Footprint(0, 0)
