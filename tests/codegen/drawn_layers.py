"""Layers of every kind that a C kernel computes, drawn at random: for tests of kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from codegen.expression import RELU, RESULT, Expression, Operand, apply, clamp, maximum, minimum
from codegen.graph import LayerSpec
from codegen.operator import Operator
from codegen.operators.chain import Chain
from codegen.operators.concat import Concat
from codegen.operators.conv2d import Conv2d
from codegen.operators.conv_transpose2d import ConvTranspose2d
from codegen.operators.elementwise import EXPRESSIONS as EXPRESSIONS_OF_ONNX
from codegen.operators.elementwise import Map
from codegen.operators.fully_connected import FullyConnected
from codegen.operators.interpolation import Interpolation, Places, Weights
from codegen.operators.pool2d import Pool2d
from codegen.operators.quantized_conv2d import QuantizedConv2d
from codegen.operators.quantized_pool2d import QuantizedPool2d
from codegen.operators.relayout import Relayout
from codegen.operators.reshape import Reshape
from codegen.operators.softmax import Softmax
from codegen.operators.split import Split
from codegen.operators.transpose import Transpose
from codegen.operators.typed_map import TypedMap
from codegen.requantization import requantized
from codegen.sparsity import Sparsity, sparsity_of
from codegen.tensor import TensorType
from tests.codegen.layers import inferred_layer, inferred_shape, layer_spec, sum_of_two

activations = st.sampled_from(
    [RESULT, RELU, clamp(RESULT, 0.0, 6.0), clamp(RESULT, None, 0.25), clamp(RESULT, -0.5, 0.5)]
)
small = st.integers(1, 3)


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
def halved_specs(draw: st.DrawFn) -> LayerSpec:
    """Pointwise convolutions whose channels are halved to whole blocks, of as many lanes as any target has."""
    inputs, outputs = draw(st.integers(3, 5)), draw(st.integers(3, 9))
    height, width = draw(st.integers(4, 12)), draw(st.integers(4, 14))
    op = Conv2d((1, 1), epilogue=draw(activations))
    return conv_spec(op, draw(st.integers(1, 2)), 32 * inputs, 32 * outputs, height, width)


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


def quantized_epilogue(dtype: str, residual: bool, zero: int) -> Expression:
    """What ends in integers of 8 bits, of a sum and perhaps a residual."""
    value: Expression = RESULT
    if residual:
        value = requantized(RESULT, zero, dtype) * 0.75 + (Operand(1) - 3.0) * 0.5
    if dtype == "int32":
        return RESULT
    return value if dtype == "float32" else requantized(maximum(value, -20.0), zero, dtype)


@st.composite
def quantized_specs(draw: st.DrawFn, convolutions: st.SearchStrategy[LayerSpec]) -> LayerSpec:
    """A convolution of floats as one of integers of 8 bits."""
    spec = draw(convolutions)
    op, source = spec.op, draw(st.sampled_from(["uint8", "int8"]))
    assert isinstance(op, Conv2d)
    result = draw(st.sampled_from(["uint8", "int8", "uint8", "float32", "int32"]))
    residual = result in ("uint8", "int8") and draw(st.booleans())
    zeros = {"uint8": [0, 128, 131], "int8": [-128, 0, 7], "int32": [0], "float32": [0]}
    quantized = QuantizedConv2d(
        op.kernel,
        op.strides,
        op.pads,
        op.dilations,
        op.groups,
        draw(st.sampled_from(zeros[source])),
        quantized_epilogue(result, residual, draw(st.sampled_from(zeros[result]))),
        result,
    )
    outputs = spec.weights[0].shape[0]
    weights = (
        TensorType(spec.weights[0].shape, "int8"),
        TensorType((outputs,), "int32"),
        TensorType((outputs,)),
    )
    output = TensorType(spec.output.shape, result)
    inputs = (
        TensorType(spec.inputs[0].shape, source),
        *([TensorType(output.shape, "uint8")] if residual else []),
    )
    return layer_spec(quantized, inputs, output, weights)


@st.composite
def quantized_map_specs(draw: st.DrawFn) -> LayerSpec:
    """To integers of 8 bits or back, of one tensor or two."""
    shape = draw(
        st.one_of(
            st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
            st.tuples(st.integers(1, 3), st.integers(1, 70)),
        )
    )
    sources = draw(
        st.sampled_from([("float32",), ("uint8",), ("int8",), ("uint8", "int8"), ("float32", "uint8")])
    )
    result = draw(
        st.sampled_from(["uint8", "int8"] if "float32" in sources else ["uint8", "int8", "float32"])
    )
    value: Expression = Operand(0) / 0.37
    for place in range(1, len(sources)):
        value = value + (Operand(place) - 3.0) * 0.5
    if result != "float32":
        value = requantized(maximum(value, -90.0), draw(st.sampled_from([0, 7])), result)
    inputs = tuple(TensorType(shape, dtype) for dtype in sources)
    return layer_spec(TypedMap(value, "float32", result), inputs, TensorType(shape, result))


@st.composite
def quantized_pool_specs(draw: st.DrawFn) -> LayerSpec:
    spec, source = draw(pool_specs(wide=True)), draw(st.sampled_from(["uint8", "int8"]))
    op, shape = spec.op, spec.inputs[0].shape
    assert isinstance(op, Pool2d)
    largest = Pool2d("max", op.kernel, op.strides, op.pads, op.dilations)
    result = draw(st.sampled_from(["uint8", "int8", "float32"]))
    value: Expression = RESULT * (1.0 / (op.kernel[0] * op.kernel[1]))
    ended = value if result == "float32" else requantized(value, 5, result)
    fits = all(shape[2 + axis] >= op.kernel[axis] for axis in (0, 1))
    summed = QuantizedPool2d(op.kernel, op.strides, draw(st.sampled_from([0, 9])), ended, result)
    chosen: Operator = summed if fits and draw(st.booleans()) else largest
    types = (TensorType(shape, source),)
    return LayerSpec(chosen, types, chosen.infer(types, (), ()))


@st.composite
def interpolated_specs(draw: st.DrawFn) -> LayerSpec:
    """Any places and weights, the same place twice among them."""
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 6), st.integers(1, 6)))

    def axis(size: int) -> tuple[Places, Weights]:
        taps, results = draw(st.integers(1, 3)), draw(st.integers(1, 9))
        own = st.lists(st.integers(0, size - 1), min_size=taps, max_size=taps).map(tuple)
        places = draw(st.lists(own, min_size=results, max_size=results).map(tuple))
        factor = st.sampled_from([0.0, 0.25, -0.5, 1.0])
        weights = st.lists(factor, min_size=taps, max_size=taps).map(tuple)
        return places, draw(st.lists(weights, min_size=results, max_size=results).map(tuple))

    return inferred_layer(Interpolation(*axis(shape[2]), *axis(shape[3])), shape)


SPECS: dict[str, st.SearchStrategy[LayerSpec]] = {
    "cpu_conv_direct": conv_specs(st.sampled_from([1, 1, 2, 3])),
    "cpu_conv_im2col": conv_specs(st.just(1)),
    "cpu_pointwise_gemm": pointwise_specs(),
    "cpu_sparse_conv": sparse_specs(st.one_of(conv_specs(st.just(1), wide=True), pointwise_specs())),
    "cpu_sparse_compiled_conv": sparse_specs(st.one_of(conv_specs(st.just(1), wide=True), pointwise_specs())),
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
    "cpu_int8_conv": quantized_specs(conv_specs(st.just(1), wide=True)),
    "cpu_int8_packed": quantized_specs(conv_specs(st.just(1), wide=True)),
    "cpu_int8_winograd": quantized_specs(winograd_specs()),
    "cpu_int8_dot": quantized_specs(conv_specs(st.just(1), wide=True)),
    "cpu_int8_map": quantized_map_specs(),
    "cpu_int8_pool": quantized_pool_specs(),
    "cpu_int8_depthwise": quantized_specs(
        conv_specs(st.integers(2, 40), multiplier=True, equal=True).filter(
            lambda spec: isinstance(spec.op, Conv2d) and spec.op.dilations == (1, 1)
        )
    ),
    "cpu_blocked_conv": conv_specs(st.just(1), wide=True),
    "cpu_blocked_indirect": small_plane_specs(),
    "cpu_blocked_winograd": winograd_specs(),
    "cpu_blocked_strassen": halved_specs(),
    "cpu_blocked_depthwise": st.one_of(
        conv_specs(st.integers(1, 40), multiplier=True, equal=True),
        conv_specs(st.integers(1, 5), multiplier=True),
    ),
    "cpu_blocked_conv_transpose": transposed_specs(st.just(1), wide=True),
    "cpu_blocked_pool": pool_specs(wide=True),
    "cpu_interpolation": interpolated_specs(),
    "cpu_blocked_interpolation": interpolated_specs(),
    "cpu_blocked_map": st.one_of(unary_specs("clamp"), add_specs(channels=True), map_specs(of_channels=True)),
    "cpu_blocked_concat": concat_specs(),
    "cpu_blocked_fully_connected": fully_connected_specs(),
    "cpu_blocked_chain": chain_specs(),
    "cpu_blocked_relayout": unary_specs("blocked relayout"),
}
