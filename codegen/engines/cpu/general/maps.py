"""Elementwise layers over any element types, and constants as activations."""

from __future__ import annotations

from codegen.element_type import element_type
from codegen.engines.cpu.general.expressions import (
    converted,
    expression_prologue,
    expression_text,
    is_printable,
)
from codegen.engines.cpu.general.kernel import GeneralKernel, at, broadcast_strides, nest, strides_of
from codegen.graph import LayerSpec
from codegen.operators.bit_cast import BitCast
from codegen.operators.literal import Literal
from codegen.operators.typed_map import TypedMap
from codegen.target import Target


class CpuTypedMap(GeneralKernel):
    """One pass over all tensors, a loop for each axis of the result."""

    name = "cpu_typed_map"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, TypedMap) and is_printable(
            spec.op.expression, element_type(spec.op.computed)
        )

    def prologue(self, spec: LayerSpec) -> str:
        assert isinstance(spec.op, TypedMap)
        return expression_prologue(spec.op.expression, element_type(spec.op.computed))

    def body(self, spec: LayerSpec) -> str:
        assert isinstance(spec.op, TypedMap)
        computed, shape = element_type(spec.op.computed), spec.output.shape
        operands = [
            f"(({computed.c_value})x{i}[{at(broadcast_strides(tensor.shape, shape))}])"
            for i, tensor in enumerate(spec.inputs)
        ]
        value = expression_text(spec.op.expression, operands, computed)
        result = converted(value, computed.c_value, spec.output.element_type)
        return nest(shape, f"y0[{at(strides_of(shape))}] = {result};")


class CpuBitCast(GeneralKernel):
    """A copy of the bytes."""

    name = "cpu_bit_cast"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, BitCast)

    def body(self, spec: LayerSpec) -> str:
        return f"memcpy(y0, x0, {spec.output.size_bytes});"


class CpuLiteral(GeneralKernel):
    """A copy of the constant."""

    name = "cpu_literal"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Literal)

    def body(self, spec: LayerSpec) -> str:
        return f"memcpy(y0, w0, {spec.output.size_bytes});"
