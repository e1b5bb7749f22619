"""Steps that append what networks are made of: convolutions, pools, norms, products, attention, recurrent layers."""

from __future__ import annotations

import math

from tests.random_graphs.growing import MOST_ELEMENTS, Growing, Shape, Tensor
from tests.random_graphs.steps import FLOAT, like


def convolution(g: Growing) -> None:
    if not (x := g.real(3, 4)):
        return
    rank, channels = len(x.shape) - 2, x.shape[1]
    groups = g.one_of([n for n in range(1, channels + 1) if channels % n == 0])
    out = groups * g.whole(1, max(1, 8 // groups))
    kernel, strides = [g.one_of((1, 2, 3, 5)) for _ in range(rank)], [g.whole(1, 2) for _ in range(rank)]
    dilations = [g.whole(1, 2) for _ in range(rank)]
    pads = [g.whole(0, 2) for _ in range(2 * rank)]
    shape = [
        (size + pads[i] + pads[i + rank] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i, size in enumerate(x.shape[2:])
    ]
    if min(shape) < 1 or math.prod(shape) * out > MOST_ELEMENTS:
        return
    depth = channels // groups
    weight = g.normal(out, depth, *kernel, scale=(depth * math.prod(kernel)) ** -0.5)
    inputs: list[Tensor | str] = [x, weight, *([g.normal(out)] if g.chance() else [])]
    g.add(
        "Conv",
        inputs,
        ((x.shape[0], out, *shape), FLOAT, False),
        group=groups,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )


def transposed(g: Growing) -> None:
    if not (x := g.real(4)):
        return
    channels, out, kernel, stride = x.shape[1], g.whole(1, 4), g.whole(1, 4), g.whole(1, 2)
    pad = g.whole(0, (kernel - 1) // 2)
    shape = [(size - 1) * stride + kernel - 2 * pad for size in x.shape[2:]]
    if min(shape) < 1 or math.prod(shape) * out > MOST_ELEMENTS:
        return
    weight = g.normal(channels, out, kernel, kernel, scale=(channels * kernel) ** -0.5)
    g.add(
        "ConvTranspose",
        [x, weight],
        ((x.shape[0], out, *shape), FLOAT, False),
        strides=[stride] * 2,
        pads=[pad] * 4,
    )


def pool(g: Growing) -> None:
    if not (x := g.real(3, 4)):
        return
    kernels = [g.whole(1, 3) for _ in x.shape[2:]]
    strides = [g.whole(1, 2) for _ in kernels]
    pads = [g.whole(0, kernel - 1) // 2 for kernel in (*kernels, *kernels)]
    rank, ceil = len(kernels), g.chance(0.3)
    shape = []
    for i, size in enumerate(x.shape[2:]):
        room = size + pads[i] + pads[i + rank] - kernels[i]
        if room < 0:
            return
        count = (-(-room // strides[i]) if ceil else room // strides[i]) + 1
        shape.append(count - (ceil and (count - 1) * strides[i] >= size + pads[i]))
    is_max = g.chance()
    attributes = {"kernel_shape": kernels, "strides": strides, "pads": pads, "ceil_mode": int(ceil)}
    if not is_max and not ceil:
        attributes["count_include_pad"] = int(g.chance())
    result = ((*x.shape[:2], *shape), FLOAT, x.exact and is_max)
    g.add("MaxPool" if is_max else "AveragePool", [x], result, **attributes)


def whole_plane(g: Growing) -> None:
    if x := g.real(3, 4):
        op = g.one_of(("GlobalAveragePool", "GlobalMaxPool"))
        g.add(op, [x], ((*x.shape[:2], *[1] * (len(x.shape) - 2)), FLOAT, x.exact and op == "GlobalMaxPool"))


def normalisation(g: Growing) -> None:
    if not (x := g.real(3, 4)):
        return
    channels = x.shape[1]
    if g.chance():
        positive = g.constant(g.random.uniform(0.5, 2.0, channels), FLOAT)
        inputs: list[Tensor | str] = [x, *(g.normal(channels) for _ in range(3)), positive]
        g.add("BatchNormalization", inputs, like(x), epsilon=1e-3)
    elif math.prod(x.shape[2:]) > 3:
        g.add("InstanceNormalization", [x, g.normal(channels), g.normal(channels)], like(x), epsilon=1e-2)


def layer_normalisation(g: Growing) -> None:
    if (x := g.real(2, 3)) and x.shape[-1] > 3:
        g.add("LayerNormalization", [x, g.normal(x.shape[-1]), g.normal(x.shape[-1])], like(x), epsilon=1e-2)


def softmax(g: Growing) -> None:
    if (x := g.real()) and x.shape:
        g.add(
            g.one_of(("Softmax", "LogSoftmax")), [x], like(x), axis=g.whole(-len(x.shape), len(x.shape) - 1)
        )


def matrix(g: Growing) -> None:
    """By a constant from either side, by itself transposed, or as a Gemm."""
    if not (x := g.real(2, 3, 4)):
        return
    rows, columns = x.shape[-2:]
    kind, size = g.whole(0, 3), g.whole(1, 8)
    if kind == 0:
        weight = g.normal(columns, size, scale=columns**-0.5)
        g.add("MatMul", [x, weight], ((*x.shape[:-1], size), FLOAT, False))
    elif kind == 1:
        weight = g.normal(size, rows, scale=rows**-0.5)
        g.add("MatMul", [weight, x], ((*x.shape[:-2], size, columns), FLOAT, False))
    elif kind == 2 and x.elements // columns * rows <= MOST_ELEMENTS:
        perm = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
        (turned,) = g.add("Transpose", [x], ((*x.shape[:-2], columns, rows), FLOAT, x.exact), perm=perm)
        (scores,) = g.add("MatMul", [x, turned], ((*x.shape[:-2], rows, rows), FLOAT, False))
        g.add("Mul", [scores, g.constant(columns**-0.5, FLOAT)], like(scores))
    elif len(x.shape) == 2:
        weight = g.normal(size, columns, scale=columns**-0.5)
        g.add("Gemm", [x, weight, g.normal(size)], ((rows, size), FLOAT, False), transB=1, alpha=0.5)


def attention(g: Growing) -> None:
    """Heads of a tensor (batch, length, width) attend to each other."""
    if not (x := g.real(3)):
        return
    batch, length, width = x.shape
    heads = g.one_of([n for n in (1, 2, 4) if width % n == 0])
    split = (batch, length, heads, width // heads)
    if batch * heads * length**2 > MOST_ELEMENTS:
        return
    parts = []
    for _ in range(3):
        weight = g.normal(width, width, scale=width**-0.5)
        (part,) = g.add("MatMul", [x, weight], (x.shape, FLOAT, False))
        (view,) = g.add("Reshape", [part, g.constant([0, 0, heads, -1])], (split, FLOAT, False))
        turned = (batch, heads, length, width // heads)
        parts += g.add("Transpose", [view], (turned, FLOAT, False), perm=[0, 2, 1, 3])
    (keys,) = g.add(
        "Transpose", [parts[1]], ((batch, heads, width // heads, length), FLOAT, False), perm=[0, 1, 3, 2]
    )
    scores: Shape = (batch, heads, length, length)
    (found,) = g.add("MatMul", [parts[0], keys], (scores, FLOAT, False))
    (weights,) = g.add("Softmax", [found], (scores, FLOAT, False), axis=-1)
    (mixed,) = g.add("MatMul", [weights, parts[2]], (parts[2].shape, FLOAT, False))
    (back,) = g.add("Transpose", [mixed], (split, FLOAT, False), perm=[0, 2, 1, 3])
    (joined,) = g.add("Reshape", [back, g.constant([batch, length, width])], (x.shape, FLOAT, False))
    g.add("Add", [x, joined], (x.shape, FLOAT, False))


def recurrent(g: Growing) -> None:
    """A layer over the first axis of a tensor of three."""
    if not (x := g.real(3)):
        return
    kind = g.one_of(("LSTM", "GRU", "RNN"))
    gates, hidden = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], g.whole(1, 5)
    direction = g.one_of(("forward", "reverse", "bidirectional"))
    count, (length, batch, size) = 2 if direction == "bidirectional" else 1, x.shape
    inputs: list[Tensor | str] = [
        x,
        g.normal(count, gates * hidden, size, scale=size**-0.5),
        g.normal(count, gates * hidden, hidden, scale=hidden**-0.5),
    ]
    if g.chance():
        inputs.append(g.normal(count, 2 * gates * hidden))
    attributes = {"linear_before_reset": int(g.chance())} if kind == "GRU" else {}
    g.add(
        kind,
        inputs,
        ((length, count, batch, hidden), FLOAT, False),
        ((count, batch, hidden), FLOAT, False),
        hidden_size=hidden,
        direction=direction,
        **attributes,
    )
