"""x + c for a whole number c, row-major, of elements of every type that no built-in kernel takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.element_type import ELEMENT_TYPES, FLOAT32, element_type
from codegen.engines.cpu.instructions import Count
from codegen.engines.cpu.kernel import CpuKernel
from codegen.engines.cpu.source import fill
from codegen.expression import Apply, Constant, Operand
from codegen.graph import LayerSpec
from codegen.operators.elementwise import Map
from codegen.program import CpuProgram
from codegen.schedule import Axis, Choice, Work
from codegen.target import Target
from codegen.tensor import FloatArray


class CpuElementOffset(CpuKernel):
    """One pass over the elements; what they are in memory and how they are read and written, their type says."""

    name = "cpu_element_offset"
    element_types = frozenset(element.name for element in ELEMENT_TYPES) - {FLOAT32.name, "bool"}

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Map) and _offset(spec.op) is not None

    def axes(self, spec: LayerSpec, target: Target) -> tuple[Axis, ...]:
        return ()

    def work(self, spec: LayerSpec, target: Target, choice: Choice) -> Work:
        count = Count()
        count.add(float(spec.output.elements), alu=1.0, loads=1, stores=1)
        return count.work(spec, 0.0, 0.0, 0.0)

    def emit(
        self, spec: LayerSpec, target: Target, choice: Choice, weights: Sequence[FloatArray], entry: str
    ) -> CpuProgram:
        assert isinstance(spec.op, Map)
        element, elements = element_type(spec.output.dtype), spec.output.elements
        source = "#include <stdint.h>\n" + fill(
            _SOURCE,
            entry=entry,
            type=element.c_type,
            elements=elements,
            statement=element.store("y[i]", f"{element.load('x[i]')} + {_offset(spec.op)}"),
        )
        return CpuProgram(source, entry, np.zeros(0, np.float32), (elements,), (elements,), 0)


def _offset(op: Map) -> int | None:
    """The c of an expression x + c; None for other expressions."""
    expression = op.expression
    if not isinstance(expression, Apply) or expression.primitive != "add":
        return None
    x, c = expression.arguments
    return int(c.value) if x == Operand(0) and isinstance(c, Constant) and c.value.is_integer() else None


_SOURCE = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        const $type *x = (const $type *)(const void *)inputs[0];
        $type *y = ($type *)(void *)outputs[0];
        (void)weights;
        (void)workspace;
        (void)part;
        for (int i = 0; i < $elements; ++i) {
            $statement
        }
    }
"""
