"""Steps by which a random graph grows: each appends a node or a few where tensors for them are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.random_graphs.growing import MOST_ELEMENTS, Growing, Shape, Tensor

Step = Callable[[Growing], object]
FLOAT = "float32"


def like(tensor: Tensor, exact: bool = False) -> tuple[Shape, str, bool]:
    return tensor.shape, tensor.dtype, exact


def unary(g: Growing) -> None:
    if x := g.real():
        op = g.one_of(
            ("Sigmoid", "Tanh", "Erf", "HardSwish", "Elu", "Softplus", "Softsign", "Gelu", "Mish", "Sin")
        )
        g.add(op, [x], like(x))


def exact_unary(g: Growing) -> None:
    if x := g.real():
        op = g.one_of(("Relu", "Abs", "Neg", "Identity"))
        g.add(op, [x], like(x, x.exact))


def rounded(g: Growing) -> None:
    if x := g.real(exact=True):
        g.add(g.one_of(("Floor", "Ceil", "Round", "Sign")), [x], like(x, True))


def binary(g: Growing) -> None:
    """With another tensor, a scalar, or a constant of fewer axes or with axes of 1."""
    if not (x := g.real()):
        return
    op = g.one_of(("Add", "Sub", "Mul", "Max", "Min"))
    other = g.find(lambda t: t.dtype == FLOAT and _joint(x.shape, t.shape) is not None)
    if other is not None and g.chance(0.7):
        shape = _joint(x.shape, other.shape)
        assert shape is not None
        g.add(op, [x, other], (shape, FLOAT, False))
    else:
        axes = x.shape[g.whole(0, len(x.shape)) :]
        constant = g.normal(*(1 if g.chance(0.3) else size for size in axes))
        g.add(op, [x, constant] if g.chance() else [constant, x], like(x))


def _joint(first: Shape, second: Shape) -> Shape | None:
    try:
        shape = tuple(np.broadcast_shapes(first, second))
    except ValueError:
        return None
    return shape if math.prod(shape) <= MOST_ELEMENTS else None


def clip(g: Growing) -> None:
    if x := g.real():
        ends = [g.constant(-0.5 if g.chance() else -2.0, FLOAT), g.constant(1.0, FLOAT)]
        g.add("Clip", [x, ends[0] if g.chance(0.8) else "", ends[1]], like(x, x.exact))


def transpose(g: Growing) -> None:
    if (x := g.find(lambda t: len(t.shape) > 1)) is not None:
        perm = [int(axis) for axis in g.random.permutation(len(x.shape))]
        g.add("Transpose", [x], (tuple(x.shape[axis] for axis in perm), x.dtype, x.exact), perm=perm)


def reshape(g: Growing) -> None:
    """Two axes as one, one as two, or all as another number of them."""
    if (x := g.find(lambda t: len(t.shape) > 0)) is None:
        return
    left, shape = x.elements, []
    for _ in range(g.whole(1, 3)):
        size = g.one_of([n for n in range(1, left + 1) if left % n == 0])
        shape.append(size)
        left //= size
    shape.append(left)
    wanted = list(shape)
    if g.chance():
        wanted[g.whole(0, len(wanted) - 1)] = -1
    g.add("Reshape", [x, g.constant(wanted)], (tuple(shape), x.dtype, x.exact))


def axes_of_one(g: Growing) -> None:
    if (x := g.find(lambda t: 0 < len(t.shape) < 5)) is None:
        return
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    if ones and g.chance():
        axis = g.one_of(ones)
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        g.add("Squeeze", [x, g.constant([axis])], (shape, x.dtype, x.exact))
    else:
        axis = g.whole(0, len(x.shape))
        g.add("Unsqueeze", [x, g.constant([axis])], ((*x.shape[:axis], 1, *x.shape[axis:]), x.dtype, x.exact))


def part(g: Growing) -> None:
    """A slice with any step, from either end."""
    if (x := g.find(lambda t: len(t.shape) > 0)) is None:
        return
    axis, step = g.whole(0, len(x.shape) - 1), g.one_of((1, 1, 2, -1, -2))
    size = x.shape[axis]
    start, end = g.whole(-size - 1, size), g.whole(-size - 1, size)
    count = len(range(size)[start:end:step])
    if count:
        inputs: list[Tensor | str] = [x, *(g.constant([value]) for value in (start, end, axis, step))]
        g.add("Slice", inputs, ((*x.shape[:axis], count, *x.shape[axis + 1 :]), x.dtype, x.exact))


def split(g: Growing) -> None:
    if (x := g.find(lambda t: max(t.shape, default=0) > 1)) is None:
        return
    axis = g.one_of([axis for axis, size in enumerate(x.shape) if size > 1])
    first = g.whole(1, x.shape[axis] - 1)
    sizes = [first, x.shape[axis] - first]
    results = [((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype, x.exact) for size in sizes]
    g.add("Split", [x, g.constant(sizes)], *results, axis=axis)


def concat(g: Growing) -> None:
    if (x := g.find(lambda t: len(t.shape) > 0)) is None:
        return
    axis = g.whole(0, len(x.shape) - 1)

    def fits(other: Tensor) -> bool:
        rest = [(a, b) for i, (a, b) in enumerate(zip(x.shape, other.shape, strict=False)) if i != axis]
        return len(other.shape) == len(x.shape) and other.dtype == x.dtype and all(a == b for a, b in rest)

    parts = [other for _ in range(g.whole(1, 3)) if (other := g.find(fits)) is not None]
    total = sum(one.shape[axis] for one in parts)
    if total * x.elements // x.shape[axis] <= MOST_ELEMENTS:
        exact = all(one.exact for one in parts)
        g.add("Concat", parts, ((*x.shape[:axis], total, *x.shape[axis + 1 :]), x.dtype, exact), axis=axis)


def pad(g: Growing) -> None:
    if not (x := g.real()) or not x.shape or x.elements > MOST_ELEMENTS // 8:
        return
    mode = g.one_of(("constant", "reflect", "edge"))
    most = 2 if mode != "reflect" else min(2, min(x.shape) - 1)
    pads = [g.whole(0, most) if g.chance() else 0 for _ in range(2 * len(x.shape))]
    shape = tuple(size + pads[i] + pads[i + len(x.shape)] for i, size in enumerate(x.shape))
    if math.prod(shape) <= MOST_ELEMENTS:
        g.add("Pad", [x, g.constant(pads)], (shape, FLOAT, x.exact), mode=mode)


def repeated(g: Growing) -> None:
    if (x := g.find(lambda t: len(t.shape) > 0 and t.elements < MOST_ELEMENTS // 8)) is None:
        return
    times = [g.whole(1, 2) for _ in x.shape]
    shape = tuple(size * count for size, count in zip(x.shape, times, strict=True))
    if math.prod(shape) <= MOST_ELEMENTS:
        g.add("Tile", [x, g.constant(times)], (shape, x.dtype, x.exact))


def gather(g: Growing) -> None:
    if (x := g.find(lambda t: len(t.shape) > 0)) is None:
        return
    axis = g.whole(0, len(x.shape) - 1)
    size = x.shape[axis]
    chosen = [g.whole(-size, size - 1) for _ in range(g.whole(1, 4))]
    value, middle = (chosen[0], ()) if g.chance(0.2) else (chosen, (len(chosen),))
    shape = (*x.shape[:axis], *middle, *x.shape[axis + 1 :])
    if math.prod(shape) <= MOST_ELEMENTS:
        g.add("Gather", [x, g.constant(value)], (shape, x.dtype, x.exact), axis=axis)


def resize(g: Growing) -> None:
    if (x := g.real(4)) and x.elements * 4 <= MOST_ELEMENTS:
        sizes = (*x.shape[:2], *(size * g.whole(1, 2) for size in x.shape[2:]))
        mode = g.one_of(("nearest", "linear", "cubic"))
        way = g.one_of(("half_pixel", "asymmetric", "align_corners"))
        more = {"nearest_mode": "floor"} if mode == "nearest" else {}
        way = "asymmetric" if mode == "nearest" else way
        g.add(
            "Resize",
            [x, "", "", g.constant(sizes)],
            (sizes, FLOAT, False),
            mode=mode,
            coordinate_transformation_mode=way,
            **more,
        )


def reduction(g: Growing) -> None:
    if not (x := g.real()) or not x.shape:
        return
    op = g.one_of(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceSumSquare"))
    axes = sorted({g.whole(0, len(x.shape) - 1) for _ in range(g.whole(1, 2))})
    keeps = g.chance()
    shape = tuple(1 if i in axes else s for i, s in enumerate(x.shape) if keeps or i not in axes)
    exact = x.exact and op in ("ReduceMax", "ReduceMin")
    g.add(op, [x, g.constant(axes)], (shape, FLOAT, exact), keepdims=int(keeps))


def running_sum(g: Growing) -> None:
    if (x := g.real()) and x.shape:
        axis = g.constant(g.whole(0, len(x.shape) - 1))
        g.add("CumSum", [x, axis], like(x), exclusive=int(g.chance()), reverse=int(g.chance()))


def ranked(g: Growing) -> None:
    """Places of the largest elements; of equal ones the first is the one that is meant."""
    if not (x := g.real(exact=True)) or not x.shape:
        return
    axis = g.whole(0, len(x.shape) - 1)
    if g.chance():
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        op = g.one_of(("ArgMax", "ArgMin"))
        g.add(op, [x], (shape, "int64", True), axis=axis, keepdims=0)
    else:
        count = g.whole(1, x.shape[axis])
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        g.add("TopK", [x, g.constant([count])], (shape, FLOAT, True), (shape, "int64", True), axis=axis)


def whole_numbers(g: Growing) -> None:
    """Arithmetic of integers that cannot overflow by much; what wraps around wraps for everybody."""
    if (x := g.find(lambda t: t.dtype in ("int32", "int64"))) is None:
        return
    op = g.one_of(("Add", "Sub", "Mul", "Max", "Min"))
    other = g.find(lambda t: t.dtype == x.dtype and _joint(x.shape, t.shape) is not None)
    if other is not None and g.chance():
        shape = _joint(x.shape, other.shape)
        assert shape is not None
        g.add(op, [x, other], (shape, x.dtype, True))
    else:
        g.add(op, [x, g.constant(g.whole(-3, 3), x.dtype)], like(x, True))


def remainder(g: Growing) -> None:
    if (x := g.find(lambda t: t.dtype in ("int32", "int64"))) is not None:
        g.add("Mod", [x, g.constant(g.whole(2, 7), x.dtype)], like(x, True))


def bits(g: Growing) -> None:
    if (x := g.find(lambda t: t.dtype in ("uint8", "uint32"))) is not None:
        amount = g.constant(g.whole(0, 5), x.dtype)
        if g.chance():
            g.add("BitShift", [x, amount], like(x, True), direction=g.one_of(("LEFT", "RIGHT")))
        else:
            g.add(g.one_of(("BitwiseAnd", "BitwiseOr", "BitwiseXor")), [x, amount], like(x, True))


def comparison(g: Growing) -> None:
    if (x := g.find(lambda t: t.exact and t.dtype in (FLOAT, "int32", "int64"))) is not None:
        op = g.one_of(("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"))
        g.add(op, [x, g.constant(0.25 if x.dtype == FLOAT else 3, x.dtype)], (x.shape, "bool", True))


def logic(g: Growing) -> None:
    if (x := g.find(lambda t: t.dtype == "bool")) is None:
        return
    other = g.find(lambda t: t.dtype == "bool" and _joint(x.shape, t.shape) is not None)
    assert other is not None
    shape = _joint(x.shape, other.shape)
    assert shape is not None
    if g.chance(0.3):
        g.add("Not", [x], like(x, True))
    else:
        g.add(g.one_of(("And", "Or", "Xor")), [x, other], (shape, "bool", True))


def choice(g: Growing) -> None:
    """Where of a mask, a tensor and a constant."""
    if (mask := g.find(lambda t: t.dtype == "bool")) is None:
        return
    x = g.find(lambda t: t.dtype in (FLOAT, "int64") and _joint(mask.shape, t.shape) is not None)
    if x is not None:
        shape = _joint(mask.shape, x.shape)
        assert shape is not None
        g.add("Where", [mask, x, g.constant(1, x.dtype)], (shape, x.dtype, x.exact))


def cast(g: Growing) -> None:
    if (x := g.find(lambda t: t.exact)) is None:
        return
    from onnx import helper

    targets = {"bool": (FLOAT, "int64"), FLOAT: ("int32", "int64"), "uint8": (FLOAT, "uint32", "int32")}
    dtype = g.one_of(targets.get(x.dtype, (FLOAT,)))
    if dtype == FLOAT and x.dtype in (
        "int32",
        "int64",
        "uint32",
    ):  # large ones are rounded: not exact any more
        g.add("Cast", [x], (x.shape, dtype, False), to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    else:
        g.add("Cast", [x], (x.shape, dtype, True), to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def quantised(g: Growing) -> None:
    """A tensor as bytes by a power of two, and multiplied as such or taken back."""
    if not (x := g.real(2, exact=True)):
        return
    scale, zero = g.constant(0.125, FLOAT), g.constant(128, "uint8")
    (small,) = g.add("QuantizeLinear", [x, scale, zero], (x.shape, "uint8", True))
    if g.chance():
        g.add("DequantizeLinear", [small, scale, zero], (x.shape, FLOAT, True))
    else:
        size = g.whole(1, 4)
        weight = g.constant(g.random.integers(0, 255, (x.shape[1], size)), "uint8")
        g.add("MatMulInteger", [small, weight, zero], ((x.shape[0], size), "int32", True))


MOVES: Sequence[Step] = (transpose, reshape, axes_of_one, part, split, concat, repeated, gather)
