"""Sliding windows over any number of axes, in all forms that ONNX has of their paddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.onnx_import.windows import AUTO_PADS
from codegen.tensor import Shape
from codegen.windows import window_extent

if TYPE_CHECKING:
    from codegen.onnx_import.node import OnnxNode

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial axes: `begins` and `ends` are the pads that are declared, `outputs` how many there are;
    the last ones may reach beyond the pads.
    """

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    begins: Sizes
    ends: Sizes
    outputs: Sizes


def list_attribute(node: OnnxNode, name: str, count: int, default: int, least: int) -> Sizes:
    """A list of `count` integers; raises ModelError for another length or numbers below `least`."""
    values = node.integers(name)
    if values is None or (not values and name == "pads"):
        return (default,) * count
    if len(values) != count or min(values, default=least) < least:
        raise node.malformed(f"attribute {name} is {list(values)}, not {count} integers of {least} and more")
    return values


def read_windows(node: OnnxNode, sizes: Shape, kernel: Sizes, *, ceil: bool = False) -> Windows:
    """The windows of a convolution or a pool over axes of these sizes, `auto_pad` resolved."""
    rank = len(sizes)
    strides = list_attribute(node, "strides", rank, 1, 1)
    dilations = list_attribute(node, "dilations", rank, 1, 1)
    extents = [window_extent(taps, dilation) for taps, dilation in zip(kernel, dilations, strict=True)]
    mode = auto_pad(node)
    if mode == "NOTSET":
        pads = list_attribute(node, "pads", 2 * rank, 0, 0)
        begins, ends = pads[:rank], pads[rank:]
    elif mode == "VALID":
        begins = ends = (0,) * rank
    else:
        totals = [
            max(0, (-(-size // stride) - 1) * stride + extent - size)
            for size, stride, extent in zip(sizes, strides, extents, strict=True)
        ]
        small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
        begins, ends = (small, large) if mode == "SAME_UPPER" else (large, small)
    outputs = []
    for axis in range(rank):
        room = sizes[axis] + begins[axis] + ends[axis] - extents[axis]
        count = (-(-room // strides[axis]) if ceil else room // strides[axis]) + 1
        if ceil and (count - 1) * strides[axis] >= sizes[axis] + begins[axis]:
            count -= 1  # it would begin behind the tensor
        if count < 1:
            raise node.unsupported(
                f"a window of {extents[axis]} elements does not fit an axis of {sizes[axis]} between its pads",
                "pad it more",
            )
        outputs.append(count)
    return Windows(kernel, strides, dilations, begins, ends, tuple(outputs))


def auto_pad(node: OnnxNode) -> str:
    """The attribute, "NOTSET" where it is missing."""
    mode = node.text("auto_pad", "NOTSET") or "NOTSET"
    if mode not in AUTO_PADS:
        raise node.malformed(f"attribute auto_pad is {mode!r}; it may be {', '.join(AUTO_PADS)}")
    return mode


def read_transposed(node: OnnxNode, sizes: Shape, kernel: Sizes) -> Windows:
    """The windows of a ConvTranspose over axes of these sizes; `outputs` are the sizes of its result."""
    rank = len(sizes)
    strides = list_attribute(node, "strides", rank, 1, 1)
    dilations = list_attribute(node, "dilations", rank, 1, 1)
    beyond = list_attribute(node, "output_padding", rank, 0, 0)
    whole = [
        (size - 1) * stride + window_extent(taps, dilation) + more
        for size, stride, taps, dilation, more in zip(sizes, strides, kernel, dilations, beyond, strict=True)
    ]
    mode, wanted = auto_pad(node), (node.integers("output_shape") or ())[-rank:]
    if not wanted and mode in ("NOTSET", "VALID"):
        pads = list_attribute(node, "pads", 2 * rank, 0, 0) if mode == "NOTSET" else (0,) * (2 * rank)
        begins, ends = pads[:rank], pads[rank:]
        outputs = tuple(size - b - e for size, b, e in zip(whole, begins, ends, strict=True))
    else:
        outputs = wanted or tuple(size * stride for size, stride in zip(sizes, strides, strict=True))
        totals = [max(0, size - output) for size, output in zip(whole, outputs, strict=True)]
        small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
        begins, ends = (small, large) if mode == "SAME_UPPER" else (large, small)
    if min(outputs) < 1:
        raise node.unsupported(
            f"its pads cut off all that it gives: {outputs}", "export it with smaller pads"
        )
    return Windows(kernel, strides, dilations, begins, ends, outputs)
