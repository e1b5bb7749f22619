"""C text of sliding windows: the template names of their geometry, and what bounds a window."""

from __future__ import annotations

from codegen.graph import LayerSpec
from codegen.windows import windowed


def window_constants(spec: LayerSpec) -> dict[str, int]:
    """The template names of a window's geometry: planes, kernel, strides, dilations, upper left pads."""
    op = windowed(spec)
    batch, channels, in_height, in_width = spec.inputs[0].shape
    _, out, height, width = spec.output.shape
    return {
        "batch": batch,
        "channels": channels,
        "out": out,
        "in_height": in_height,
        "in_width": in_width,
        "in_plane": in_height * in_width,
        "height": height,
        "width": width,
        "plane": height * width,
        "kernel_h": op.kernel[0],
        "kernel_w": op.kernel[1],
        "taps": op.kernel[0] * op.kernel[1],
        "stride_h": op.strides[0],
        "stride_w": op.strides[1],
        "dilation_h": op.dilations[0],
        "dilation_w": op.dilations[1],
        "top": op.pads[0],
        "left": op.pads[1],
    }


CLIP_FUNCTION = """
    static void ${entry}_clip(int origin, int size, int taps, int dilation, int *first, int *end)
    {
        const int below = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
        const int fit = size > origin ? (size - origin + dilation - 1) / dilation : 0;
        *first = below < taps ? below : taps;
        *end = fit < taps ? fit : taps;
    }

"""  # the taps [first, end) of a window that starts at `origin` and lie in [0, size)
