"""MaxPool, AveragePool and the global pools."""

from __future__ import annotations

from dataclasses import replace

from codegen.graph import Pool2d
from codegen.onnx_import.builder import GraphBuilder
from codegen.onnx_import.node import OnnxNode
from codegen.onnx_import.registry import handles
from codegen.onnx_import.windows import Window, ceil_pads, read_window, require_planes


@handles("MaxPool", "two-dimensional; dilations, ceil_mode, every auto_pad; without indices")
def max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """MaxPool to Pool2d."""
    _, window = _windows(node, builder)
    _emit(node, builder, "max", window)


@handles("AveragePool", "two-dimensional; dilations, ceil_mode, count_include_pad, every auto_pad")
def average_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """AveragePool to Pool2d.

    The elements by which `ceil_mode` reaches beyond the declared pads never count in the divisor, the
    declared ones do if asked for; Pool2d has one kind of padding, so both kinds at once are refused.
    """
    declared, window = _windows(node, builder)
    include_padding = node.flag("count_include_pad") and any(window.pads)
    if include_padding and window != declared:
        if any(declared.pads):
            raise node.unsupported(
                f"ceil_mode reaches beyond the pads {list(declared.pads)} that count_include_pad counts",
                "export the model with ceil_mode=0 or count_include_pad=0",
            )
        include_padding = False
    _emit(node, builder, "average", window, include_padding)


@handles("GlobalAveragePool", "two-dimensional")
def global_average_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """GlobalAveragePool to a Pool2d over the whole plane."""
    _emit_global(node, builder, "average")


@handles("GlobalMaxPool", "two-dimensional")
def global_max_pool(node: OnnxNode, builder: GraphBuilder) -> None:
    """GlobalMaxPool to a Pool2d over the whole plane."""
    _emit_global(node, builder, "max")


def _windows(node: OnnxNode, builder: GraphBuilder) -> tuple[Window, Window]:
    """The window as declared, and with the pads that `ceil_mode` amounts to."""
    shape = builder.shape(node)
    require_planes(node, shape)
    plane = (shape[2], shape[3])
    declared = read_window(node, plane, node.pair("kernel_shape"))
    if not node.flag("ceil_mode"):
        return declared, declared
    return declared, replace(declared, pads=ceil_pads(declared, plane))


def _emit(
    node: OnnxNode, builder: GraphBuilder, kind: str, window: Window, include_padding: bool = False
) -> None:
    op = Pool2d(kind, window.kernel, window.strides, window.pads, window.dilations, include_padding)
    builder.emit(node, op, node.input(0))


def _emit_global(node: OnnxNode, builder: GraphBuilder, kind: str) -> None:
    shape = builder.shape(node)
    require_planes(node, shape)
    builder.emit(node, Pool2d(kind, (shape[2], shape[3])), node.input(0))
