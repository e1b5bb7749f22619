"""Every C kernel is compiled, run and compared with the float64 reference."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
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
from codegen.expression import RELU, RESULT, Operand, apply, clamp, maximum, minimum
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.elementwise import EXPRESSIONS as EXPRESSIONS_OF_ONNX
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.pool2d import Pool2d
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.split import Split
from codegen.operators.transpose import Transpose
from codegen.reference import evaluate_layer
from codegen.schedule import Choice
from codegen.sparsity import Sparsity, sparsity_of
from codegen.target import Target
from codegen.tensor import FloatArray, TensorType
from codegen.trial_zeros import with_zeros
from tests.codegen.cpu_run import AVX2, HOST, NEON, SCALAR, call
from tests.codegen.layers import inferred_shape, layer_spec, sum_of_two

TARGETS = (HOST, SCALAR, NEON, AVX2)
ROUNDING = {
    "cpu_blocked_winograd": 3e-5
}  # where it is more than that of sums: largest error over largest output

activations = st.sampled_from(
    [RESULT, RELU, clamp(RESULT, 0.0, 6.0), clamp(RESULT, None, 0.25), clamp(RESULT, -0.5, 0.5)]
)
small = st.integers(1, 3)


@dataclass(frozen=True)
class Case:
    """A layer, one way to compute it, and the seed of its values."""

    algorithm: CpuAlgorithm
    spec: LayerSpec
    target: Target
    choice: Choice
    seed: int


def conv_spec(op: Conv2d, batch: int, inputs: int, outputs: int, height: int, width: int) -> LayerSpec:
    out_h = window_outputs(height, op, 0)
    out_w = window_outputs(width, op, 1)
    weights = TensorType((outputs, inputs // op.groups, *op.kernel)), TensorType((outputs,))
    source = TensorType((batch, inputs, height, width))
    return layer_spec(op, (source,), TensorType((batch, outputs, out_h, out_w)), weights)


def window_outputs(size: int, op: Conv2d | Pool2d, axis: int) -> int:
    extent = (op.kernel[axis] - 1) * op.dilations[axis] + 1
    return (size + op.pads[axis] + op.pads[axis + 2] - extent) // op.strides[axis] + 1


@st.composite
def conv_specs(
    draw: st.DrawFn,
    groups: st.SearchStrategy[int],
    multiplier: bool = False,
    wide: bool = False,
    equal: bool = False,
) -> LayerSpec:
    """`multiplier`: one input channel per group; `wide`: more channels than a block of them has; `equal`: as many
    outputs as groups, and larger kernels.
    """
    group_count = draw(groups)
    per_group = 1 if multiplier else draw(st.integers(1, 40 if wide else 5))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)) if equal else st.tuples(small, small))
    dilations = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    op = Conv2d(kernel, draw(st.tuples(small, small)), pads, dilations, group_count, draw(activations))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    height, width = (max(1, reach[i] - pads[i] - pads[i + 2]) + draw(st.integers(0, 20)) for i in (0, 1))
    most = 50 if wide else 9 if group_count == 1 else 3
    outputs = group_count * (1 if equal else draw(st.integers(1, most)))
    return conv_spec(op, draw(st.integers(1, 2)), group_count * per_group, outputs, height, width)


@st.composite
def small_plane_specs(draw: st.DrawFn) -> LayerSpec:
    """Planes of outputs whose rows fill no register tile, on every target with vectors."""
    kernel = draw(st.tuples(small, small).filter(lambda taps: taps != (1, 1)))
    strides, dilations = draw(st.tuples(small, small)), draw(st.tuples(*[st.integers(1, 2)] * 2))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    op = Conv2d(kernel, strides, pads, dilations, epilogue=draw(activations))
    size = []
    for axis, outputs in enumerate((draw(st.integers(4, 10)), draw(st.integers(2, 5)))):
        reach = (outputs - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        size.append(max(1, reach - pads[axis] - pads[axis + 2]) + draw(st.integers(0, strides[axis] - 1)))
    return conv_spec(op, draw(st.integers(1, 2)), draw(st.integers(1, 40)), draw(st.integers(1, 50)), *size)


@st.composite
def winograd_specs(draw: st.DrawFn) -> LayerSpec:
    op = Conv2d((3, 3), pads=draw(st.tuples(*[st.integers(0, 2)] * 4)), epilogue=draw(activations))
    inputs, outputs = draw(st.integers(16, 40)), draw(st.integers(16, 70))
    height, width = draw(st.integers(3, 16)), draw(st.integers(3, 30))
    return conv_spec(op, draw(st.integers(1, 2)), inputs, outputs, height, width)


@st.composite
def transposed_specs(draw: st.DrawFn, groups: st.SearchStrategy[int], wide: bool = False) -> LayerSpec:
    """Kernels smaller than the strides, dilations that share divisors with them, and pads of all four sides."""
    group_count, pair = draw(groups), st.tuples(small, small)
    inputs, outputs = (group_count * draw(st.integers(1, 40 if wide else 5)) for _ in range(2))
    op = ConvTranspose2d(
        draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        draw(pair),
        draw(st.tuples(*[st.integers(0, 2)] * 4)),
        draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        draw(pair),
        group_count,
        draw(activations),
    )
    source = (draw(st.integers(1, 2)), inputs, draw(st.integers(5, 9)), draw(st.integers(5, 20)))
    weights = (outputs, inputs // group_count, *op.kernel), (outputs,)
    result = inferred_shape(op, [source], weights, ())
    tensors = tuple(TensorType(shape) for shape in weights)
    return layer_spec(op, (TensorType(source),), TensorType(result), tensors)


@st.composite
def pointwise_specs(draw: st.DrawFn) -> LayerSpec:
    op = Conv2d((1, 1), epilogue=draw(activations))
    inputs = draw(st.sampled_from([1, 3, 17, 70, 300]))
    sizes = st.integers(1, 11)
    return conv_spec(op, draw(st.integers(1, 2)), inputs, draw(st.integers(1, 20)), draw(sizes), draw(sizes))


@st.composite
def pool_specs(draw: st.DrawFn, wide: bool = False) -> LayerSpec:
    kind = draw(st.sampled_from(["max", "average"]))
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 40 if wide else 4))
    if draw(st.booleans()):
        kernel = draw(st.tuples(st.integers(1, 9), st.integers(1, 40 if wide else 9)))
        op = Pool2d(kind, kernel, epilogue=draw(activations))
        source = TensorType((batch, channels, *kernel))
        return layer_spec(op, (source,), TensorType((batch, channels, 1, 1)))
    kernel = draw(st.tuples(st.integers(2, 3), st.integers(2, 3)))
    pads = draw(st.tuples(*[st.integers(0, 1)] * 4))
    op = Pool2d(
        kind, kernel, draw(st.tuples(small, small)), pads, (1, 1), draw(st.booleans()), draw(activations)
    )
    height, width = draw(st.integers(3, 20)), draw(st.integers(3, 40))
    result = TensorType((batch, channels, window_outputs(height, op, 0), window_outputs(width, op, 1)))
    return layer_spec(op, (TensorType((batch, channels, height, width)),), result)


@st.composite
def fully_connected_specs(draw: st.DrawFn) -> LayerSpec:
    batch, depth, out = draw(small), draw(st.integers(1, 40)), draw(st.integers(1, 70))
    weights = TensorType((out, depth)), TensorType((out,))
    op = FullyConnected(draw(activations))
    return layer_spec(op, (TensorType((batch, depth)),), TensorType((batch, out)), weights)


shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4).map(tuple)
planes = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))


@st.composite
def unary_specs(draw: st.DrawFn, kind: str) -> LayerSpec:
    shape = draw(planes if kind == "relayout" else shapes)
    result = shape
    op: Operator = Map(draw(activations))
    if kind == "blocked relayout":
        shape = result = draw(st.tuples(small, st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)))
        layouts = ["nchw", draw(st.sampled_from(["channel4", "channel8", "channel16"]))]
        op = Relayout(*draw(st.permutations(layouts)))
    if kind == "softmax":
        op = Softmax(draw(st.integers(0, len(shape) - 1)))
    elif kind == "transpose":
        permutation = draw(st.permutations(range(len(shape))))
        op, result = Transpose(tuple(permutation)), tuple(shape[axis] for axis in permutation)
    elif kind == "relayout":
        op = draw(st.sampled_from([Relayout("nchw", "pixel16"), Relayout("pixel16", "nchw")]))
    elif kind == "reshape":
        op = Reshape()
        flat = (shape[0], int(np.prod(shape[1:])))
        result = draw(st.sampled_from([flat, (*shape[:2], 1, int(np.prod(shape[2:])))]))
    return layer_spec(op, (TensorType(shape),), TensorType(result))


@st.composite
def add_specs(draw: st.DrawFn, channels: bool = False) -> LayerSpec:
    vectors = st.tuples(
        st.integers(1, 2) if channels else st.integers(1, 40), *[st.integers(1, 40)] * channels
    )
    tensor = TensorType(draw(st.one_of(planes, shapes, vectors)))
    return layer_spec(sum_of_two(draw(activations)), (tensor, tensor), tensor)


EXPRESSIONS = {
    1: [EXPRESSIONS_OF_ONNX[name](Operand(0)) for name in ("Sigmoid", "HardSwish", "Tanh", "Gelu", "Abs")],
    2: [
        Operand(0) * Operand(1),
        minimum(Operand(1), Operand(0)),
        EXPRESSIONS_OF_ONNX["PRelu"](Operand(0), Operand(1)),
    ],
    3: [maximum(Operand(0) * Operand(1) - apply("exp", Operand(2)), 0.0)],
}


@st.composite
def map_specs(draw: st.DrawFn, of_channels: bool = False) -> LayerSpec:
    """Any expression of tensors and constants that broadcast, among them planes times one number a channel."""
    shape = draw(planes if of_channels else st.one_of(planes, shapes))
    operands = draw(st.integers(1, 3))
    inputs = draw(st.integers(1, operands))
    tensors = [TensorType(shape)]
    for number in range(1, operands):
        kept = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
        if of_channels:
            whole = number < inputs and draw(st.booleans())
            kept = [whole or (axis == 1) or (axis == 0 and number < inputs) for axis in range(len(shape))]
        narrow = tuple(size if keep else 1 for size, keep in zip(shape, kept, strict=True))
        tensors.append(TensorType(narrow if of_channels else narrow[draw(st.integers(0, 1)) :] or (1,)))
    op = Map(draw(st.sampled_from(EXPRESSIONS[operands])))
    return layer_spec(op, tuple(tensors[:inputs]), TensorType(shape), tuple(tensors[inputs:]))


@st.composite
def concat_specs(draw: st.DrawFn) -> LayerSpec:
    batch, _, *rest = draw(st.one_of(planes, shapes))
    channels = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    inputs = tuple(TensorType((batch, count, *rest)) for count in channels)
    return layer_spec(Concat(1), inputs, TensorType((batch, sum(channels), *rest)))


@st.composite
def split_specs(draw: st.DrawFn) -> LayerSpec:
    before, behind = draw(st.lists(small, max_size=2)), draw(st.lists(small, max_size=2))
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    outputs = tuple(TensorType((*before, size, *behind)) for size in sizes)
    op = Split(len(before), tuple(sizes))
    return LayerSpec(op, (TensorType((*before, sum(sizes), *behind)),), outputs)


@st.composite
def chain_specs(draw: st.DrawFn) -> LayerSpec:
    """Two or three windows behind each other, an addition behind the last where that is a dense convolution."""
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 40))
    height, width = draw(st.integers(9, 24)), draw(st.integers(9, 24))
    inputs = [TensorType((batch, channels, height, width))]
    members: list[LayerSpec] = []
    sources: list[tuple[int, ...]] = []
    for index in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["dense", "depthwise", "pool"] if index else ["dense", "depthwise"]))
        kernel = draw(st.sampled_from([(1, 1), (3, 3), (3, 2)]))
        pads = draw(st.tuples(*[st.integers(0, min(kernel) // 2)] * 4))
        strides = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        if kind == "pool":
            op: Conv2d | Pool2d = Pool2d(draw(st.sampled_from(["max", "average"])), (3, 3), strides, pads)
            pads = op.pads
        else:
            groups = channels if kind == "depthwise" else 1
            op = Conv2d(kernel, strides, pads, (1, 1), groups, draw(activations))
        outputs = draw(st.integers(1, 40)) if kind == "dense" else channels
        size = window_outputs(height, op, 0), window_outputs(width, op, 1)
        if min(size) < 2:
            break
        weights = (
            ()
            if isinstance(op, Pool2d)
            else (TensorType((outputs, channels // op.groups, *op.kernel)), TensorType((outputs,)))
        )
        source = TensorType((batch, channels, height, width))
        members.append(layer_spec(op, (source,), TensorType((batch, outputs, *size)), weights))
        sources.append((-1,) if index else (0,))
        channels, height, width = outputs, *size
    last = members[-1]
    dense = isinstance(last.op, Conv2d) and last.op.groups == 1
    if dense and (len(members) == 1 or draw(st.booleans())):
        add = sum_of_two(draw(activations))
        members.append(layer_spec(add, (last.output, last.output), last.output))
        sources.append(draw(st.sampled_from([(-1, 1), (1, -1)])))
        inputs.append(last.output)
    constants = tuple(tensor for member in members for tensor in member.weights)
    return layer_spec(Chain(tuple(members), tuple(sources)), tuple(inputs), last.output, constants)


@st.composite
def sparse_specs(draw: st.DrawFn, dense: st.SearchStrategy[LayerSpec]) -> LayerSpec:
    """Weights of any sparsity, all zero too, in blocks of outputs that are zero together."""
    spec = draw(dense)
    outputs, *others = spec.weights[0].shape
    block, share = draw(st.sampled_from([1, 4, 16])), draw(st.floats(0.0, 0.9))
    kept = np.random.default_rng(draw(st.integers(0, 99))).random((-(-outputs // block), *others)) < share
    found = sparsity_of(kept.repeat(block, axis=0)[:outputs].astype(np.float32))
    return replace(spec, sparsity=found or Sparsity(0, 0, 0))


@st.composite
def sparse_chain_specs(draw: st.DrawFn) -> LayerSpec:
    first = draw(conv_specs(st.integers(2, 40), multiplier=True, equal=True))
    batch, channels, height, width = first.output.shape
    pointwise = conv_spec(
        Conv2d((1, 1), epilogue=draw(activations)), batch, channels, draw(st.integers(1, 50)), height, width
    )
    kept = np.random.default_rng(draw(st.integers(0, 99))).random(pointwise.weights[0].shape)
    found = sparsity_of((kept < draw(st.floats(0.0, 0.9))).astype(np.float32))
    second = replace(pointwise, sparsity=found or Sparsity(0, 0, 0))
    chained = Chain((first, second), ((0,), (-1,)))
    return LayerSpec(chained, first.inputs, second.outputs, (*first.weights, *second.weights))


SPECS: dict[str, st.SearchStrategy[LayerSpec]] = {
    "cpu_conv_direct": conv_specs(st.sampled_from([1, 1, 2, 3])),
    "cpu_conv_im2col": conv_specs(st.just(1)),
    "cpu_pointwise_gemm": pointwise_specs(),
    "cpu_sparse_conv": sparse_specs(st.one_of(conv_specs(st.just(1), wide=True), pointwise_specs())),
    "cpu_sparse_fully_connected": sparse_specs(fully_connected_specs()),
    "cpu_sparse_chain": sparse_chain_specs(),
    "cpu_conv_transpose": transposed_specs(st.sampled_from([1, 1, 2, 3])),
    "cpu_pool": pool_specs(),
    "cpu_split": split_specs(),
    "cpu_softmax": unary_specs("softmax"),
    "cpu_reshape": unary_specs("reshape"),
    "cpu_relayout": unary_specs("relayout"),
    "cpu_map": st.one_of(unary_specs("clamp"), add_specs(), map_specs()),
    "cpu_concat": concat_specs(),
    "cpu_transpose": unary_specs("transpose"),
    "cpu_blocked_conv": conv_specs(st.just(1), wide=True),
    "cpu_blocked_indirect": small_plane_specs(),
    "cpu_blocked_winograd": winograd_specs(),
    "cpu_blocked_depthwise": st.one_of(
        conv_specs(st.integers(1, 40), multiplier=True, equal=True),
        conv_specs(st.integers(1, 5), multiplier=True),
    ),
    "cpu_blocked_conv_transpose": transposed_specs(st.just(1), wide=True),
    "cpu_blocked_pool": pool_specs(wide=True),
    "cpu_blocked_map": st.one_of(unary_specs("clamp"), add_specs(channels=True), map_specs(of_channels=True)),
    "cpu_blocked_concat": concat_specs(),
    "cpu_blocked_fully_connected": fully_connected_specs(),
    "cpu_blocked_chain": chain_specs(),
    "cpu_blocked_relayout": unary_specs("blocked relayout"),
}


# Elementwise kernels and chains are for vectors alone, and a fully connected layer is row-major whatever its lanes.
ONE_LANE = (
    "cpu_blocked_concat",
    "cpu_blocked_conv",
    "cpu_blocked_conv_transpose",
    "cpu_blocked_depthwise",
    "cpu_blocked_indirect",
    "cpu_blocked_pool",
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
    target = draw(st.sampled_from([target for target in TARGETS if algorithm.applies(spec, target)]))
    points = algorithm.space(spec, target).points()
    start = draw(st.integers(0, len(points) - 1))
    for point in (*points[start:], *points[:start]):
        with suppress(ScheduleError):  # no kernel there: too few pieces for so many threads
            choice = algorithm.choice(spec, target, point)
            return Case(algorithm, spec, target, choice, draw(st.integers(0, 2**32 - 1)))
    raise AssertionError(f"{name} has no kernel for {spec}")


def draw_values(case: Case) -> tuple[list[FloatArray], list[FloatArray]]:
    generator = np.random.default_rng(case.seed)
    inputs = [generator.normal(size=t.shape).astype(np.float32) for t in case.spec.inputs]
    weights = [  # results near 1
        (generator.normal(size=t.shape) / np.sqrt(np.prod(t.shape[1:]))).astype(np.float32)
        for t in case.spec.weights
    ]
    return inputs, list(with_zeros(case.spec, weights, generator))


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
        results = call(library, program, images)
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
    assert "$" not in first.source
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
