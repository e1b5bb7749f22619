"""Which layers are of one shape: what a model has not seen should differ by more than a side of padding."""

from __future__ import annotations

from functools import cache

from codegen.graph import LayerSpec


@cache
def shape_of(spec: LayerSpec) -> str:
    """The operator's kind, shapes and sparsity: layers that differ in pads or epilogues (relu, relu6) have one."""
    tensors = ((tensor.shape for tensor in side) for side in (spec.inputs, spec.outputs, spec.weights))
    zeros = f" {spec.sparsity}" if spec.sparsity else ""
    return f"{type(spec.op).__name__} {' -> '.join(str(list(side)) for side in tensors)}{zeros}"
