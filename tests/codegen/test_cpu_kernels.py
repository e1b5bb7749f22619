"""Every C kernel is compiled, run and compared with the float64 reference."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codegen.algorithm import algorithms
from codegen.engine_registry import layout_named
from codegen.engines.cpu.algorithm import CpuAlgorithm
from codegen.engines.cpu.blocked.kernel import BlockedKernel
from codegen.engines.cpu.toolchain import compile_shared
from codegen.errors import ScheduleError
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.operators.quantized_conv2d import BYTES, QuantizedConv2d
from codegen.operators.reshape import Reshape
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.target import Target
from codegen.tensor import AnyArray, TensorType
from codegen.trial_zeros import with_zeros
from tests.codegen.cpu_run import AVX2, HOST, NEON, ON_AARCH64, SCALAR, call
from tests.codegen.drawn_layers import SPECS, conv_spec
from tests.codegen.layers import layer_spec

TARGETS = (HOST, SCALAR, NEON, AVX2)
ROUNDING = {
    "cpu_blocked_winograd": 3e-5
}  # where it is more than that of sums: largest error over largest output


@dataclass(frozen=True)
class Case:
    """A layer, one way to compute it, and the seed of its values."""

    algorithm: CpuAlgorithm
    spec: LayerSpec
    target: Target
    choice: Choice
    seed: int


# Elementwise kernels and chains are for vectors alone, and a fully connected layer is row-major whatever its lanes.
ONE_LANE = (
    "cpu_blocked_concat",
    "cpu_blocked_conv",
    "cpu_blocked_conv_transpose",
    "cpu_blocked_depthwise",
    "cpu_blocked_indirect",
    "cpu_blocked_pool",
    "cpu_blocked_strassen",
    "cpu_blocked_winograd",
)


@st.composite
def cases(draw: st.DrawFn, name: str, lanes: int | None = None) -> Case:
    """`lanes`: of a blocked kernel's blocks, where not as many as the target's registers hold."""
    spec, algorithm = draw(SPECS[name]), algorithms()[name]
    if lanes is not None:
        assert isinstance(algorithm, BlockedKernel)
        algorithm = type(algorithm)(lanes)
    assert isinstance(algorithm, CpuAlgorithm)
    targets = (ON_AARCH64[name],) if name in ON_AARCH64 else TARGETS
    target = draw(st.sampled_from([target for target in targets if algorithm.applies(spec, target)]))
    points = algorithm.space(spec, target).points()
    start = draw(st.integers(0, len(points) - 1))
    for point in (*points[start:], *points[:start]):
        with suppress(ScheduleError):  # no kernel there: too few pieces for so many threads
            choice = algorithm.choice(spec, target, point)
            return Case(algorithm, spec, target, choice, draw(st.integers(0, 2**32 - 1)))
    raise AssertionError(f"{name} has no kernel for {spec}")


def draw_values(case: Case) -> tuple[list[AnyArray], list[AnyArray]]:
    generator = np.random.default_rng(case.seed)
    if isinstance(case.spec.op, QuantizedConv2d):
        return quantized_values(case.spec, generator)
    if any(tensor.dtype in BYTES for tensor in (*case.spec.inputs, *case.spec.outputs)):
        return [byte_values(tensor, generator) for tensor in case.spec.inputs], []
    inputs = [generator.normal(size=t.shape).astype(np.float32) for t in case.spec.inputs]
    weights = [  # results near 1
        (generator.normal(size=t.shape) / np.sqrt(np.prod(t.shape[1:]))).astype(np.float32)
        for t in case.spec.weights
    ]
    return inputs, list(with_zeros(case.spec, weights, generator))


def quantized_values(
    spec: LayerSpec, generator: np.random.Generator
) -> tuple[list[AnyArray], list[AnyArray]]:
    """Of all integers that there are; factors with which the results fill their range."""
    inputs = [whole_numbers(tensor, generator) for tensor in spec.inputs]
    kernel = whole_numbers(spec.weights[0], generator)
    outputs = kernel.shape[0]
    factor = generator.uniform(0.5, 1.0, outputs) / (150.0 * np.sqrt(kernel[0].size))
    bias = generator.integers(-1000, 1000, outputs).astype(np.int32)
    return inputs, [kernel, bias, factor.astype(np.float32)]


def byte_values(tensor: TensorType, generator: np.random.Generator) -> AnyArray:
    """Whole numbers, or floats of their size."""
    if tensor.dtype == "float32":
        return generator.normal(0.0, 40.0, tensor.shape).astype(np.float32)
    return whole_numbers(tensor, generator)


def whole_numbers(tensor: TensorType, generator: np.random.Generator) -> AnyArray:
    limits = np.iinfo(tensor.dtype)
    return generator.integers(limits.min, limits.max, tensor.shape, dtype=tensor.dtype, endpoint=True)


def check_all(drawn: list[Case]) -> None:
    values = [draw_values(case) for case in drawn]
    programs = [
        case.algorithm.emit(case.spec, case.target, case.choice, weights, f"kernel_{i}")
        for i, (case, (_, weights)) in enumerate(zip(drawn, values, strict=True))
    ]
    sources = {f"kernel_{i}.c": program.source for i, program in enumerate(programs)}
    library = ctypes.CDLL(str(compile_shared(sources, HOST, ("-Wall", "-Wextra", "-Werror"))))
    for case, program, (inputs, weights) in zip(drawn, programs, values, strict=True):
        images = [
            layout_named(name).pack(value)
            for name, value in zip(case.choice.input_layouts, inputs, strict=True)
        ]
        results = call(library, program, images, dtypes=[tensor.dtype for tensor in case.spec.outputs])
        references = evaluate_layer(case.spec, inputs, weights)
        for name, image, type_, expected in zip(
            case.choice.output_layouts, results, case.spec.outputs, references, strict=True
        ):
            result = layout_named(name).unpack(image, type_)
            largest = max(float(np.abs(expected).max()), 1e-3)
            allowed = ROUNDING.get(case.algorithm.name, 1e-5)
            assert np.abs(result - expected).max() <= allowed * largest, case


@pytest.fixture(scope="module", autouse=True)
def scratch_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random kernels are built once each: keep them out of the user's cache."""
    place = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("codegen.engines.cpu.toolchain.cache_directory", lambda: Path(place))
        yield


@pytest.mark.parametrize("name", sorted(SPECS))
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each step of shrinking would compile again
)
@given(data=st.data())
def test_kernels_agree_with_the_reference(name: str, data: st.DataObject) -> None:
    check_all(data.draw(st.lists(cases(name), min_size=6, max_size=12)))


@pytest.mark.parametrize("name", ONE_LANE)
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data())
def test_blocks_of_one_channel_are_row_major(name: str, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(cases(name, lanes=1), min_size=6, max_size=8))
    for case in drawn:
        assert {*case.choice.input_layouts, case.choice.output_layout} == {"nchw"}
    check_all(drawn)


def test_every_fast_cpu_algorithm_is_tested() -> None:
    """General ones have one point and no tiles: the conformance class and ONNX's own node tests judge them."""
    fast = {
        name
        for name, algorithm in algorithms().items()
        if name.startswith("cpu_") and ".cpu.general." not in type(algorithm).__module__
    }
    assert fast == set(SPECS)


@pytest.mark.parametrize("name", sorted(SPECS))
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_work_and_text_are_complete(name: str, data: st.DataObject) -> None:
    case = data.draw(cases(name))
    _, weights = draw_values(case)
    work = case.algorithm.work(case.spec, case.target, case.choice)
    first = case.algorithm.emit(case.spec, case.target, case.choice, weights, "entry")
    second = case.algorithm.emit(case.spec, case.target, case.choice, weights, "entry")
    assert first.source == second.source
    assert first.weights.dtype == np.float32
    assert not re.search(r"\$[a-zA-Z_{]", first.source)  # "$8" is an operand of an x86 instruction
    assert first.threads == case.choice.threads
    assert work.workspace_bytes == first.workspace_bytes
    assert 1.0 <= work.balance <= case.choice.threads
    assert work.load_instructions >= 1
    assert work.store_instructions >= sum(output.elements for output in case.spec.outputs)
    assert work.streamed_bytes_read >= work.unique_bytes_read >= case.spec.inputs[0].size_bytes
    assert work.bytes_written == sum(output.size_bytes for output in case.spec.outputs)
    if work.macs:
        assert work.alu_instructions >= work.macs


def test_source_does_not_depend_on_the_values_of_weights() -> None:
    spec = conv_spec(Conv2d((3, 3)), 1, 2, 4, 8, 8)
    for name in ("cpu_conv_direct", "cpu_conv_im2col"):
        algorithm = algorithms()[name]
        assert isinstance(algorithm, CpuAlgorithm)
        choice = algorithm.choice(spec, HOST, algorithm.space(spec, HOST).points()[0])
        zeros = [np.zeros(t.shape, dtype=np.float32) for t in spec.weights]
        ones = [np.ones(t.shape, dtype=np.float32) for t in spec.weights]
        emitted = [algorithm.emit(spec, HOST, choice, weights, "entry").source for weights in (zeros, ones)]
        assert emitted[0] == emitted[1]


def test_points_outside_the_space_are_refused() -> None:
    spec = conv_spec(Conv2d((1, 1)), 1, 8, 8, 4, 4)
    algorithm = algorithms()["cpu_pointwise_gemm"]
    point = algorithm.space(spec, HOST).points()[0]
    with pytest.raises(ScheduleError, match="rows is one of"):
        algorithm.choice(spec, HOST, {**point, "rows": 7})
    with pytest.raises(ScheduleError, match="a point has the axes rows, columns, k_block, outer, threads"):
        algorithm.choice(spec, HOST, {"rows": 4})


def test_a_workspace_beyond_the_limit_is_refused() -> None:
    spec = conv_spec(Conv2d((7, 7), pads=(3, 3, 3, 3)), 1, 256, 8, 128, 128)
    algorithm = algorithms()["cpu_conv_im2col"]
    with pytest.raises(ScheduleError, match="workspace"):
        algorithm.choice(spec, HOST, {"rows": 4, "columns": 8, "block": 16, "threads": 1})


def test_only_float32_layers_apply() -> None:
    spec = layer_spec(Reshape(), (TensorType((1, 4), "int64"),), TensorType((1, 4), "int64"))
    assert not algorithms()["cpu_reshape"].applies(spec, HOST)
