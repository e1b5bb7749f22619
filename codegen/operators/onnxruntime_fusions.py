"""Operators of onnxruntime's own set that its optimiser writes in the place of several of ONNX, which say each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from codegen.onnx_import.registry import handles
from codegen.onnx_import.steps import Steps

if TYPE_CHECKING:
    from codegen.onnx_import.builder import GraphBuilder
    from codegen.onnx_import.node import OnnxNode

DOMAIN = "com.microsoft"
ACTIVATIONS = {
    "Celu": ("alpha",),
    "Clip": ("min", "max"),
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}
"""What may be fused, with the names of its parameters in order."""


def _activated(node: OnnxNode, steps: Steps, tensor: str, given: Mapping[str, float]) -> None:
    """The node's output from what its activation is to be applied to, with those parameters that are given."""
    name = node.text("activation", "")
    if name and name not in ACTIVATIONS:
        raise node.unsupported(
            f"its activation is {name!r}", f"export the model with one of {[*ACTIVATIONS]}"
        )
    parameters = {key: given[key] for key in ACTIVATIONS.get(name, ()) if key in given}
    if name == "Clip":
        ends = [steps.constant(value, steps.type(tensor).dtype) for value in parameters.values()]
        steps(name, tensor, *ends, to=node.output)
    else:
        steps(name or "Identity", tensor, to=node.output, **parameters)


@handles("FusedConv", "all", DOMAIN)
def fused_conv(node: OnnxNode, builder: GraphBuilder) -> None:
    """A convolution, a tensor that is added to it, and an activation."""
    steps = Steps(node, builder)
    inputs = [node.input(0), node.input(1), *(node.inputs[2:3])]
    kept = [value for name, value in node.attributes.items() if not name.startswith("activation")]
    convolved = steps.copied("Conv", inputs, kept)
    if node.has_input(3):
        convolved = steps("Add", convolved, node.input(3))
    names = ACTIVATIONS.get(node.text("activation", ""), ())
    _activated(node, steps, convolved, dict(zip(names, node.reals("activation_params"), strict=False)))


@handles("FusedGemm", "all", DOMAIN)
def fused_gemm(node: OnnxNode, builder: GraphBuilder) -> None:
    """A product of matrices and an activation."""
    steps = Steps(node, builder)
    kept = [value for name, value in node.attributes.items() if not name.startswith("activation")]
    names = {key: f"activation_{key}" for key in ("alpha", "beta", "gamma")}
    given = {key: node.real(name, 0.0) for key, name in names.items() if name in node.attributes}
    _activated(node, steps, steps.copied("Gemm", node.inputs, kept), given)


def _matrices(node: OnnxNode, steps: Steps, index: int) -> str:
    """One factor as rows and columns behind its batch axes, as the node's attributes have it transposed."""
    name, letter = node.input(index), "AB"[index]
    order = list(range(len(steps.shape(name))))
    if node.flag(f"transBatch{letter}"):
        order = [*order[1:-1], order[0], order[-1]]
    if node.flag(f"trans{letter}") and len(order) > 1:
        order = [*order[:-2], order[-1], order[-2]]
    return name if order == sorted(order) else steps("Transpose", name, perm=order)


@handles("FusedMatMul", "all", DOMAIN)
def fused_mat_mul(node: OnnxNode, builder: GraphBuilder) -> None:
    """A product of matrices, of which any may be transposed, times a number."""
    steps, factor = Steps(node, builder), node.real("alpha", 1.0)
    factors = [_matrices(node, steps, index) for index in range(2)]
    if factor == 1.0:
        steps("MatMul", *factors, to=node.output)
        return
    product = steps("MatMul", *factors)
    steps("Mul", product, steps.constant(factor, steps.type(product).dtype), to=node.output)


@handles("TransposeMatMul", "all", DOMAIN)
def transpose_mat_mul(node: OnnxNode, builder: GraphBuilder) -> None:
    """The same by its older name."""
    fused_mat_mul(node, builder)


def _gelu(node: OnnxNode, builder: GraphBuilder, approximate: str) -> None:
    """A Gelu of the input, and of what is added to it where that is given."""
    steps, tensor = Steps(node, builder), node.input(0)
    if node.has_input(1):
        tensor = steps("Add", tensor, node.input(1))
    steps("Gelu", tensor, to=node.output, approximate=approximate)


@handles("Gelu", "all", DOMAIN)
def gelu(node: OnnxNode, builder: GraphBuilder) -> None:
    """By the error function."""
    _gelu(node, builder, "none")


@handles("BiasGelu", "all", DOMAIN)
def bias_gelu(node: OnnxNode, builder: GraphBuilder) -> None:
    """By the error function, of a sum."""
    _gelu(node, builder, "none")


@handles("FastGelu", "all", DOMAIN)
def fast_gelu(node: OnnxNode, builder: GraphBuilder) -> None:
    """By the hyperbolic tangent, of the input or a sum."""
    _gelu(node, builder, "tanh")


@handles("QuickGelu", "all", DOMAIN)
def quick_gelu(node: OnnxNode, builder: GraphBuilder) -> None:
    """x times the logistic function of alpha x."""
    steps, x, factor = Steps(node, builder), node.input(0), node.real("alpha", 1.702)
    scaled = x if factor == 1.0 else steps("Mul", x, steps.constant(factor, steps.type(x).dtype))
    steps("Mul", x, steps("Sigmoid", scaled), to=node.output)


def _scaled(steps: Steps, x: str, axes: Sequence[int], epsilon: float, scale: str, to: str) -> None:
    """Over the root of the mean of squares along axes, times a scale."""
    squares = steps("ReduceMean", steps("Mul", x, x), steps.integers(*axes), keepdims=1)
    root = steps("Sqrt", steps("Add", squares, steps.constant(epsilon, steps.type(x).dtype)))
    steps("Mul", steps("Div", x, root), scale, to=to)


@handles("SimplifiedLayerNormalization", "one output")
def simplified_layer_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """Over the root of the mean of squares: onnxruntime has it among ONNX's own operators."""
    if any(node.outputs[1:]):
        raise node.unsupported("its second output is read", "export the model for inference")
    steps, rank = Steps(node, builder), len(builder.type(node).shape)
    first = node.axis(node.integer("axis", -1), rank)
    epsilon = node.real("epsilon", 1e-5)
    _scaled(steps, node.input(0), range(first, rank), epsilon, node.input(1), node.output)


def _sum_of(node: OnnxNode, steps: Steps, *indices: int) -> str:
    """The sum of those inputs that are there; it is the fourth output where that is read."""
    if any(node.outputs[1:3]):
        raise node.unsupported("its mean or deviation is read", "export the model for inference")
    total, *others = [node.input(index) for index in indices if node.has_input(index)]
    wanted = node.outputs[3] if len(node.outputs) > 3 else ""
    for number, other in enumerate(others, start=1):
        total = steps("Add", total, other, to=wanted if number == len(others) else "")
    return total


@handles("SkipLayerNormalization", "without mean and deviation", DOMAIN)
def skip_layer_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """A normalised sum of two tensors and of what is added to all rows."""
    steps = Steps(node, builder)
    total = _sum_of(node, steps, 0, 1, 4)
    inputs = [total, node.input(2), *([node.input(3)] if node.has_input(3) else [])]
    steps("LayerNormalization", *inputs, to=node.output, axis=-1, epsilon=node.real("epsilon", 1e-12))


@handles("SkipSimplifiedLayerNormalization", "without mean and deviation", DOMAIN)
def skip_simplified_layer_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """The same over the root of the mean of squares."""
    steps = Steps(node, builder)
    total = _sum_of(node, steps, 0, 1, 3)
    axes = [len(steps.shape(total)) - 1]
    _scaled(steps, total, axes, node.real("epsilon", 1e-12), node.input(2), node.output)


@handles("EmbedLayerNormalization", "without a mask of lengths", DOMAIN)
def embed_layer_normalization(node: OnnxNode, builder: GraphBuilder) -> None:
    """A normalised sum of embeddings of words, positions and segments."""
    if len(node.outputs) > 1 and node.outputs[1] and node.has_input(7):
        raise node.unsupported("lengths of its mask are read", "optimise the model with raw attention masks")
    steps, words = Steps(node, builder), node.input(0)
    total = steps("Gather", node.input(2), words, axis=0)
    length = steps.shape(words)[-1]
    places = node.input(8) if node.has_input(8) else steps.integers(*range(length))
    total = steps("Add", total, steps("Gather", node.input(3), places, axis=0))
    if node.has_input(1) and node.has_input(4):
        total = steps("Add", total, steps("Gather", node.input(4), node.input(1), axis=0))
    if len(node.outputs) > 2 and node.outputs[2]:
        total = steps("Identity", total, to=node.outputs[2])
    if len(node.outputs) > 1 and node.outputs[1]:
        steps(
            "Expand", steps.constant([0], "int32"), steps.integers(steps.shape(words)[0]), to=node.outputs[1]
        )
    epsilon = node.real("epsilon", 1e-12)
    steps("LayerNormalization", total, node.input(5), node.input(6), to=node.output, axis=-1, epsilon=epsilon)
