"""Paddings of convolutions and pools, in all forms ONNX has, as explicit pads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.windows import Pads, Pair, window_extent

if TYPE_CHECKING:
    from codegen.onnx_import.node import OnnxNode

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class WindowParameters:
    """A sliding window; pads are top, left, bottom, right."""

    kernel: Pair
    strides: Pair
    pads: Pads
    dilations: Pair

    def extent(self, axis: int) -> int:
        return window_extent(self.kernel[axis], self.dilations[axis])


def read_window(node: OnnxNode, plane: Pair, kernel: Pair) -> WindowParameters:
    """The window of a Conv or pool node over a plane of (height, width), `auto_pad` resolved."""
    strides, dilations = node.pair("strides", (1, 1)), node.pair("dilations", (1, 1))
    mode = node.text("auto_pad", "NOTSET") or "NOTSET"
    if mode not in AUTO_PADS:
        raise node.malformed(f"attribute auto_pad is {mode!r}; it may be {', '.join(AUTO_PADS)}")
    if mode == "NOTSET":
        return WindowParameters(kernel, strides, _explicit_pads(node), dilations)
    if mode == "VALID":
        return WindowParameters(kernel, strides, (0, 0, 0, 0), dilations)
    pairs = [
        _same_pads(plane[axis], window_extent(kernel[axis], dilations[axis]), strides[axis], mode)
        for axis in (0, 1)
    ]
    return WindowParameters(kernel, strides, (pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]), dilations)


def transposed_window(node: OnnxNode, plane: Pair, kernel: Pair) -> tuple[WindowParameters, Pair]:
    """The window of a ConvTranspose node and its output_padding; `auto_pad` and `output_shape` resolved.

    Where the size of the output is given, the pads are what it leaves over; of an odd number the larger half goes to
    the beginning, except for SAME_UPPER (ONNX operators, ConvTranspose).
    """
    if node.pair("kernel_shape", kernel) != kernel:
        raise node.malformed(f"attribute kernel_shape is not that of its weights, {kernel}")
    strides, dilations = node.pair("strides", (1, 1)), node.pair("dilations", (1, 1))
    output_pads, mode = _output_padding(node), node.text("auto_pad", "NOTSET") or "NOTSET"
    if mode not in AUTO_PADS:
        raise node.malformed(f"attribute auto_pad is {mode!r}; it may be {', '.join(AUTO_PADS)}")
    sizes = node.integers("output_shape")
    if not sizes and mode in ("NOTSET", "VALID"):
        pads = _explicit_pads(node) if mode == "NOTSET" else (0, 0, 0, 0)
        return WindowParameters(kernel, strides, pads, dilations), output_pads
    if sizes and len(sizes) not in (2, 4):
        raise node.malformed(f"attribute output_shape is {list(sizes)}, not (height, width)")
    wanted = sizes[-2:] if sizes else (plane[0] * strides[0], plane[1] * strides[1])
    pairs = []
    for axis in (0, 1):
        whole = (plane[axis] - 1) * strides[axis] + window_extent(kernel[axis], dilations[axis])
        total = whole + output_pads[axis] - wanted[axis]
        if total < 0:
            raise node.unsupported(
                f"its output of {wanted[axis]} elements exceeds the {whole + output_pads[axis]} that there are",
                "give the rest as output_padding",
            )
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if mode == "SAME_UPPER" else (large, small))
    pads = (pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1])
    return WindowParameters(kernel, strides, pads, dilations), output_pads


def ceil_pads(window: WindowParameters, plane: Pair) -> Pads:
    """The pads that make `floor` give as many windows as `ceil_mode` does.

    The last window may reach beyond the padded plane, but one that would start behind the plane is dropped.
    """
    ends = []
    for axis in (0, 1):
        begin, end, stride = window.pads[axis], window.pads[axis + 2], window.strides[axis]
        last = -(-(plane[axis] + begin + end - window.extent(axis)) // stride)
        if last * stride >= plane[axis] + begin:
            last -= 1
        ends.append(max(end, last * stride + window.extent(axis) - plane[axis] - begin))
    return (*window.pads[:2], ends[0], ends[1])


def _explicit_pads(node: OnnxNode) -> Pads:
    pads = node.integers("pads") or (0, 0, 0, 0)
    if len(pads) != 4:
        raise node.malformed(f"attribute pads is {list(pads)}, not four integers")
    if min(pads) < 0:
        raise node.unsupported(
            f"it crops by negative pads {list(pads)}", "export the model with pads of 0 and more"
        )
    return pads[0], pads[1], pads[2], pads[3]


def _output_padding(node: OnnxNode) -> Pair:
    values = node.integers("output_padding") or (0, 0)
    if len(values) != 2 or min(values) < 0:
        raise node.malformed(f"attribute output_padding is {list(values)}, not two integers of 0 and more")
    return values[0], values[1]


def _same_pads(size: int, extent: int, stride: int, mode: str) -> Pair:
    """The padding that gives ceil(size / stride) windows; for SAME_UPPER the odd element goes to the end."""
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)
