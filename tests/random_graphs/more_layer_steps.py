"""Steps that append the rarer layers: other norms and pools, sampling, sums of products by name, control flow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper

from tests.random_graphs.growing import Growing, Shape, Tensor
from tests.random_graphs.steps import FLOAT, like

BOUNDED = ("Log", "Sqrt", "Reciprocal", "Exp", "Atanh", "Acos", "Asin", "Tan", "Sinh", "Cosh")
ANYWHERE = ("Selu", "Celu", "LeakyRelu", "HardSigmoid", "Cos", "Atan", "Asinh", "Shrink", "ThresholdedRelu")
EQUATIONS = ("bij,bkj->bik", "bij,bij->bi", "bij->bji", "bij,bij->", "bij,kj->bki")


def bounded_unary(g: Growing) -> None:
    """What is not defined everywhere, between 1 and 7 eighths."""
    if x := g.real():
        ends = [g.constant(value, FLOAT) for value in (0.125, 0.875)]
        (within,) = g.add("Clip", [x, *ends], like(x, x.exact))
        g.add(g.one_of(BOUNDED), [within], like(x))


def other_unary(g: Growing) -> None:
    op = g.one_of(ANYWHERE)
    if x := g.real(exact=op in ("Shrink", "ThresholdedRelu")):
        g.add(op, [x], like(x))


def quotient(g: Growing) -> None:
    """By a number that is at least 1; or a power."""
    if not (x := g.real()):
        return
    if g.chance(0.3):
        g.add("Pow", [x, g.constant(g.whole(2, 3), FLOAT)], like(x))
    else:
        (size,) = g.add("Abs", [x], like(x, x.exact))
        (whole,) = g.add("Add", [size, g.constant(1.0, FLOAT)], like(x))
        other = g.find(lambda t: t.dtype == FLOAT and t.shape == x.shape)
        assert other is not None
        g.add("Div", [other, whole], like(x))


def several(g: Growing) -> None:
    if not (x := g.real()):
        return
    same = [g.find(lambda t: t.dtype == FLOAT and t.shape == x.shape) for _ in range(2)]
    op = g.one_of(("Sum", "Mean", "Max", "Min"))
    constant = g.normal(*x.shape[-1:])
    g.add(op, [x, *(one for one in same if one is not None), constant], like(x))


def slopes(g: Growing) -> None:
    if (x := g.real(2, 3, 4)) is not None:
        g.add("PRelu", [x, g.normal(*x.shape[1:2], *(1 for _ in x.shape[2:]))], like(x))


def other_reduction(g: Growing) -> None:
    if not (x := g.real()) or not x.shape or x.elements > 400:
        return
    (small,) = g.add("Tanh", [x], like(x))
    axis = g.whole(-len(x.shape), len(x.shape) - 1)
    op = g.one_of(("ReduceL2", "ReduceLogSumExp", "ReduceProd"))
    shape = tuple(1 if i == axis % len(x.shape) else size for i, size in enumerate(x.shape))
    g.add(op, [small, g.constant([axis])], (shape, FLOAT, False), keepdims=1)


def other_norm(g: Growing) -> None:
    if not (x := g.real(4)) or math.prod(x.shape[2:]) < 4:
        return
    kind = g.whole(0, 2)
    if kind == 0:
        g.add("LRN", [x], like(x), size=g.one_of((1, 3, 5)), alpha=0.1, beta=0.75, bias=1.0)
    elif kind == 1:
        (shifted,) = g.add("Add", [x, g.normal(1, x.shape[1], 1, 1)], like(x))
        g.add("LpNormalization", [shifted], like(x), axis=g.one_of((1, -1)), p=g.whole(1, 2))
    else:
        g.add("GlobalLpPool", [x], ((*x.shape[:2], 1, 1), FLOAT, False), p=2)


def norm_pool(g: Growing) -> None:
    if not (x := g.real(4)) or min(x.shape[2:]) < 2:
        return
    shape = (*x.shape[:2], *(size - 1 for size in x.shape[2:]))
    g.add("LpPool", [x], (shape, FLOAT, False), kernel_shape=[2, 2], p=2)


def sampled(g: Growing) -> None:
    """At computed places, all of them within the image and beyond."""
    if not (x := g.real(4)):
        return
    height, width = g.whole(1, 5), g.whole(1, 5)
    shape = (x.shape[0], height, width, 2)
    grid = g.constant(np.round(g.random.uniform(-1.3, 1.3, shape) * 1024) / 1024, FLOAT)
    g.add(
        "GridSample",
        [x, grid],
        ((*x.shape[:2], height, width), FLOAT, False),
        mode=g.one_of(("linear", "cubic")),
        padding_mode=g.one_of(("zeros", "border")),
        align_corners=int(g.chance()),
    )


def regions(g: Growing) -> None:
    if not (x := g.real(4)):
        return
    count = g.whole(1, 3)
    corners = np.sort(g.random.integers(0, 32, (count, 2, 2)) / 4 + 1 / 16, axis=1).reshape(count, 4)
    which = g.constant(g.random.integers(0, x.shape[0], count))
    g.add(
        "RoiAlign",
        [x, g.constant(corners, FLOAT), which],
        ((count, x.shape[1], 2, 3), FLOAT, False),
        output_height=2,
        output_width=3,
        sampling_ratio=g.whole(1, 2),
        coordinate_transformation_mode="half_pixel",
    )


def named_axes(g: Growing) -> None:
    if not (x := g.real(3)):
        return
    b, i, j = x.shape
    k = g.whole(1, 4)
    equation = g.one_of(EQUATIONS)
    inputs: list[Tensor | str] = [x] if "," not in equation else [x, x]
    if "kj->" in equation and equation.startswith("bij,kj"):
        inputs = [x, g.normal(k, j)]
    if equation.startswith("bij,bkj"):
        inputs = [x, g.normal(b, k, j)]
    sizes = {"b": b, "i": i, "j": j, "k": k}
    shape = tuple(sizes[letter] for letter in equation.split("->")[1])
    g.add("Einsum", inputs, (shape, FLOAT, False), equation=equation)


def spectrum(g: Growing) -> None:
    if not (x := g.real(2, 3)) or x.elements > 600:
        return
    (wide,) = g.add("Unsqueeze", [x, g.constant([-1])], ((*x.shape, 1), FLOAT, x.exact))
    axis, onesided = g.whole(0, len(x.shape) - 1), g.chance()
    size = x.shape[axis] // 2 + 1 if onesided else x.shape[axis]
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :], 2)
    g.add("DFT", [wide, "", g.constant(axis)], (shape, FLOAT, False), onesided=int(onesided))


def _graph(
    nodes: Sequence[NodeProto], inputs: Sequence[tuple[str, int, Shape]], outputs: Sequence[str]
) -> GraphProto:
    """A body, whose outputs are of floats."""
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    results = [
        helper.make_tensor_value_info(
            name, TensorProto.BOOL if name.endswith("on") else TensorProto.FLOAT, None
        )
        for name in outputs
    ]
    return helper.make_graph(list(nodes), "body", infos, results)


def branches(g: Growing) -> None:
    """One or another of two tensors of a shape, by a truth value of the run."""
    mask, x = g.find(lambda t: t.dtype == "bool" and t.exact), g.real()
    if mask is None or x is None:
        return
    (flat,) = g.add("Reshape", [mask, g.constant([-1])], ((mask.elements,), "bool", True))
    (is_so,) = g.add("Gather", [flat, g.constant(0)], ((), "bool", True), axis=0)
    name = g.free("branch")
    first = _graph([helper.make_node("Neg", [x.name], [f"{name}_a"])], [], [f"{name}_a"])
    second = _graph([helper.make_node("Tanh", [x.name], [f"{name}_b"])], [], [f"{name}_b"])
    g.add("If", [is_so], like(x), then_branch=first, else_branch=second)
    g.read(x)


def turns(g: Growing) -> None:
    """A state that a loop changes a few times, and what it was at each turn."""
    if not (x := g.real()) or not x.shape or x.elements > 300:
        return
    name, count = g.free("loop"), g.whole(1, 4)
    nodes = [
        helper.make_node("Tanh", [f"{name}_state"], [f"{name}_t"]),
        helper.make_node("Add", [f"{name}_t", x.name], [f"{name}_next"]),
        helper.make_node("Identity", [f"{name}_is_on"], [f"{name}_goes_on"]),
        helper.make_node("Mul", [f"{name}_next", f"{name}_t"], [f"{name}_row"]),
    ]
    inputs: list[tuple[str, int, Shape]] = [
        (f"{name}_turn", TensorProto.INT64, ()),
        (f"{name}_is_on", TensorProto.BOOL, ()),
        (f"{name}_state", TensorProto.FLOAT, x.shape),
    ]
    body = _graph(nodes, inputs, [f"{name}_goes_on", f"{name}_next", f"{name}_row"])
    results = (x.shape, FLOAT, False), ((count, *x.shape), FLOAT, False)
    g.add("Loop", [g.constant(count), "", x], *results, body=body)


def scanned(g: Growing) -> None:
    """A running state over the first axis."""
    if not (x := g.real(2, 3)) or x.elements > 300:
        return
    name, row = g.free("scan"), x.shape[1:]
    nodes = [
        helper.make_node("Add", [f"{name}_state", f"{name}_row"], [f"{name}_sum"]),
        helper.make_node("Sigmoid", [f"{name}_sum"], [f"{name}_next"]),
        helper.make_node("Sub", [f"{name}_row", f"{name}_next"], [f"{name}_given"]),
    ]
    inputs = [(f"{name}_{one}", int(TensorProto.FLOAT), row) for one in ("state", "row")]
    body = _graph(nodes, inputs, [f"{name}_next", f"{name}_given"])
    start = g.normal(*row)
    ways = {"scan_input_directions": [int(g.chance())], "scan_output_directions": [int(g.chance())]}
    g.add("Scan", [start, x], (row, FLOAT, False), like(x), body=body, num_scan_inputs=1, **ways)


def exact_integers(g: Growing) -> None:
    """Products and convolutions of bytes by scales that are powers of two."""
    x = g.find(lambda t: t.dtype == "uint8" and len(t.shape) == 2)
    if x is None:
        return
    size = g.whole(1, 5)
    weight = g.constant(g.random.integers(0, 255, (x.shape[1], size)), "uint8")
    scale, wide = g.constant(0.125, FLOAT), g.constant(2.0 ** g.whole(1, 4), FLOAT)
    zeros = [g.constant(value, "uint8") for value in (3, 120, 128)]
    inputs: list[Tensor | str] = [x, scale, zeros[0], weight, scale, zeros[1], wide, zeros[2]]
    g.add("QLinearMatMul", inputs, ((x.shape[0], size), "uint8", True))


def convolved_integers(g: Growing) -> None:
    x = g.find(lambda t: t.dtype == "uint8" and len(t.shape) == 2 and min(t.shape) > 1)
    if x is None:
        return
    rows, columns = x.shape
    (image,) = g.add(
        "Reshape", [x, g.constant([1, 1, rows, columns])], ((1, 1, rows, columns), "uint8", True)
    )
    weight = g.constant(g.random.integers(0, 255, (2, 1, 2, 2)), "uint8")
    zeros = [g.constant(value, "uint8") for value in (5, 130)]
    shape = (1, 2, rows - 1, columns - 1)
    g.add("ConvInteger", [image, weight, *zeros], (shape, "int32", True))
