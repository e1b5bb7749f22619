"""Steps that read and write elements by places, constant or computed, and select some of a number that data decide."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from tests.random_graphs.growing import MOST_ELEMENTS, Growing, Tensor
from tests.random_graphs.steps import FLOAT, like


def _any(g: Growing, *ranks: int) -> Tensor | None:
    return g.find(lambda t: len(t.shape) > 0 and (not ranks or len(t.shape) in ranks))


def _places(g: Growing, size: int) -> Tensor | None:
    """Computed whole numbers from 0 to `size` less 1."""
    source = g.find(lambda t: t.dtype == "int64" and t.exact and t.elements < 60)
    return None if source is None else g.add("Mod", [source, g.constant(size)], like(source, True))[0]


def computed_gather(g: Growing) -> None:
    if (x := _any(g)) is None:
        return
    axis = g.whole(0, len(x.shape) - 1)
    if (places := _places(g, x.shape[axis])) is None:
        return
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    if math.prod(shape) <= MOST_ELEMENTS and len(shape) < 6:
        g.add("Gather", [x, places], (shape, x.dtype, x.exact), axis=axis)


def elements(g: Growing) -> None:
    if (x := _any(g)) is None:
        return
    axis = g.whole(0, len(x.shape) - 1)
    shape = tuple(g.whole(1, 4) if i == axis else g.whole(1, size) for i, size in enumerate(x.shape))
    places = g.random.integers(-x.shape[axis], x.shape[axis], shape)
    g.add("GatherElements", [x, g.constant(places)], (shape, x.dtype, x.exact), axis=axis)


def places_of_all_axes(g: Growing) -> None:
    if (x := _any(g, 2, 3, 4)) is None:
        return
    depth, count = g.whole(1, len(x.shape)), g.whole(1, 5)
    places = np.stack([g.random.integers(-size, size, count) for size in x.shape[:depth]], axis=-1)
    g.add("GatherND", [x, g.constant(places)], ((count, *x.shape[depth:]), x.dtype, x.exact))


def scattered(g: Growing) -> None:
    """Elements written or added; where none is added, no place is written twice."""
    if (x := g.find(lambda t: len(t.shape) > 0 and t.dtype in (FLOAT, "int64"))) is None:
        return
    axis, reduction = g.whole(0, len(x.shape) - 1), g.one_of(("none", "add", "max", "min"))
    count = g.whole(1, x.shape[axis])
    shape = tuple(count if i == axis else size for i, size in enumerate(x.shape))
    lines = g.random.permuted(np.indices(x.shape)[axis], axis=axis)
    places = np.take(lines, np.arange(count), axis=axis)
    updates = g.constant(g.random.integers(-4, 5, shape), x.dtype)
    exact = x.exact and reduction != "add"
    g.add(
        "ScatterElements",
        [x, g.constant(places), updates],
        (x.shape, x.dtype, exact or x.dtype == "int64"),
        axis=axis,
        reduction=reduction,
    )


def scattered_rows(g: Growing) -> None:
    if (x := g.find(lambda t: len(t.shape) > 1 and t.dtype in (FLOAT, "int64"))) is None:
        return
    count = g.whole(1, x.shape[0])
    places = g.random.permutation(x.shape[0])[:count, None]
    updates = g.constant(g.random.integers(-4, 5, (count, *x.shape[1:])), x.dtype)
    reduction = g.one_of(("none", "add", "mul"))
    exact = x.dtype == "int64" or (x.exact and reduction == "none")
    g.add("ScatterND", [x, g.constant(places), updates], (x.shape, x.dtype, exact), reduction=reduction)


def one_hot(g: Growing) -> None:
    depth = g.whole(2, 6)
    if (places := _places(g, depth)) is not None and places.elements * depth <= MOST_ELEMENTS:
        axis = g.whole(0, len(places.shape))
        shape = (*places.shape[:axis], depth, *places.shape[axis:])
        values = g.constant([-1.0, 2.0], FLOAT)
        g.add("OneHot", [places, g.constant(depth), values], (shape, FLOAT, True), axis=axis)


def expanded(g: Growing) -> None:
    if (x := _any(g)) is None:
        return
    wanted = tuple(g.whole(1, 3) if size == 1 else g.one_of((1, size)) for size in x.shape)
    front = (g.whole(1, 2),) if g.chance(0.3) and len(x.shape) < 5 else ()
    shape = tuple(np.broadcast_shapes((*front, *wanted), x.shape))
    if math.prod(shape) <= MOST_ELEMENTS:
        g.add("Expand", [x, g.constant((*front, *wanted))], (shape, x.dtype, x.exact))


def triangle(g: Growing) -> None:
    if (x := g.find(lambda t: len(t.shape) > 1 and t.dtype in (FLOAT, "int64"))) is not None:
        g.add("Trilu", [x, g.constant(g.whole(-2, 2))], like(x, x.exact), upper=int(g.chance()))


def diagonal(g: Growing) -> None:
    if (x := _any(g, 2)) is not None and x.dtype in (FLOAT, "int64", "int32"):
        g.add("EyeLike", [x], like(x, True), k=g.whole(-1, 1))


def reversed_lines(g: Growing) -> None:
    if (x := g.real(2, 3, 4)) is not None:
        lengths = g.constant(g.random.integers(1, x.shape[0] + 1, x.shape[1]))
        g.add("ReverseSequence", [x, lengths], like(x, x.exact), time_axis=0, batch_axis=1)


def depth_and_space(g: Growing) -> None:
    if (x := g.real(4)) is None:
        return
    batch, channels, height, width = x.shape
    if channels % 4 == 0:
        mode = g.one_of(("DCR", "CRD"))
        shape = (batch, channels // 4, 2 * height, 2 * width)
        g.add("DepthToSpace", [x], (shape, FLOAT, x.exact), blocksize=2, mode=mode)
    elif height % 2 == width % 2 == 0:
        shape = (batch, 4 * channels, height // 2, width // 2)
        g.add("SpaceToDepth", [x], (shape, FLOAT, x.exact), blocksize=2)


def selected(g: Growing) -> None:
    """Lines that data select, and their sum; or places that are not zero, and what stands there, summed."""
    x = g.find(lambda t: len(t.shape) > 1 and t.dtype in (FLOAT, "int64"))
    if x is None:
        return
    exact, kind = x.dtype == "int64", g.whole(0, 2)
    if kind == 0 and (mask := g.find(lambda t: t.dtype == "bool" and t.shape == x.shape[:1])) is not None:
        (found,) = g.add("Compress", [x, mask], (x.shape, x.dtype, x.exact), axis=0)
    elif kind == 1 and (mask := g.find(lambda t: t.dtype == "bool" and t.shape == x.shape)) is not None:
        (places,) = g.add("NonZero", [mask], ((len(x.shape), x.elements), "int64", True))
        (rows,) = g.add("Transpose", [places], ((x.elements, len(x.shape)), "int64", True))
        (found,) = g.add("GatherND", [x, rows], ((x.elements,), x.dtype, x.exact))
        g.forget(places, rows)
    elif x.exact:
        (found,) = g.add("Unique", [x], ((x.elements,), x.dtype, True), sorted=1)
    else:
        return
    g.forget(found)
    g.add("ReduceSum", [found, g.constant([0])], ((1, *found.shape[1:]), x.dtype, exact), keepdims=1)


def hard_maximum(g: Growing) -> None:
    if (x := g.real(exact=True)) and x.shape:
        g.add("Hardmax", [x], like(x, True), axis=g.whole(-len(x.shape), len(x.shape) - 1))


def found_or_not(g: Growing) -> None:
    if x := g.real():
        (found,) = g.add(g.one_of(("IsNaN", "IsInf")), [x], (x.shape, "bool", True))
        g.add("Cast", [found], (x.shape, "int64", True), to=TensorProto.INT64)
