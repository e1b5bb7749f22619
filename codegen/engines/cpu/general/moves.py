"""Elements moved: rearranged, joined, cut, read and written at computed places. Row-major, any element type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import indent

from codegen.element_type import FLOAT32
from codegen.engines.cpu.general.expressions import (
    converted,
    expression_prologue,
    expression_text,
    literal,
)
from codegen.engines.cpu.general.kernel import GeneralKernel, at, nest, strides_of
from codegen.engines.cpu.source import fill
from codegen.expression import Expression, Operand, apply
from codegen.graph import LayerSpec
from codegen.operators.concat import Concat
from codegen.operators.indexing import Gather, GatherElements, GatherND, ScatterElements, ScatterND
from codegen.operators.rearrange import Rearrange
from codegen.operators.reshape import Reshape
from codegen.operators.split import Split
from codegen.operators.transpose import Transpose
from codegen.target import Target


class CpuMoves(GeneralKernel):
    """Rearranged element by element; transpositions, reshapes, concatenations and cuts of other types than float32."""

    name = "cpu_moves"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        if isinstance(spec.op, Rearrange):
            return True
        others = isinstance(spec.op, Transpose | Reshape | Concat | Split)
        return others and spec.inputs[0].dtype != FLOAT32.name

    def reads(self, spec: LayerSpec) -> int:
        return 1  # each element is of one input

    def body(self, spec: LayerSpec) -> str:
        op = spec.op
        if isinstance(op, Reshape):
            return f"memcpy(y0, x0, {spec.output.size_bytes});"
        if isinstance(op, Rearrange):
            return _rearranged(spec, op)
        if isinstance(op, Transpose):
            own = strides_of(spec.inputs[0].shape)
            strides = [own[axis] for axis in op.permutation]
            shape = spec.output.shape
            return nest(shape, f"y0[{at(strides_of(shape))}] = x0[{at(strides)}];")
        assert isinstance(op, Concat | Split)
        whole = spec.output if isinstance(op, Concat) else spec.inputs[0]
        parts = spec.inputs if isinstance(op, Concat) else spec.outputs
        outer, inner = math.prod(whole.shape[: op.axis]), math.prod(whole.shape[op.axis + 1 :])
        row, start, copies = whole.shape[op.axis] * inner, 0, []
        size = whole.element_type.size_bytes
        for number, part in enumerate(parts):
            length = part.shape[op.axis] * inner
            in_whole, in_part = f"o * {row}L + {start}", f"o * {length}L"
            pair = (
                (f"y0 + {in_whole}", f"x{number} + {in_part}")
                if isinstance(op, Concat)
                else (f"y{number} + {in_part}", f"x0 + {in_whole}")
            )
            copies.append(f"memcpy({pair[0]}, {pair[1]}, {length * size});")
            start += length
        body = indent("\n".join(copies), "    ")
        return f"for (long o = 0; o < {outer}; ++o) {{\n{body}\n}}"


def _rearranged(spec: LayerSpec, op: Rearrange) -> str:
    tables, terms, checks = [], [], []
    for axis, stride in enumerate(op.strides):
        table = op.tables[axis] if op.tables else ()
        if table:
            tables.append(f"static const int t{axis}[] = {{{', '.join(map(str, table))}}};")
            terms.append(f"t{axis}[i{axis}]")
            if min(table) < 0:
                checks.append(f"t{axis}[i{axis}] < 0")
        elif stride:
            terms.append(f"i{axis} * {stride}L")
    element = spec.output.element_type
    value = f"x0[{' + '.join([str(op.offset), *terms])}]"
    if checks:
        filled = converted(literal(op.fill, element), element.c_value, element)
        value = f"{' || '.join(checks)} ? ({element.c_type})({filled}) : {value}"
    return "\n".join([*tables, nest(op.shape, f"y0[{at(strides_of(op.shape))}] = {value};")])


_INDEX = """
    #ifndef EXPLORE_INDEX
    #define EXPLORE_INDEX
    /* From the front; what lies outside is the nearest inside: no memory beyond the tensor is ever touched. */
    static inline long index_within(long index, long size)
    {
        index = index < 0 ? index + size : index;
        return index < 0 ? 0 : index >= size ? size - 1 : index;
    }
    #endif
"""


class CpuIndexing(GeneralKernel):
    """Gather and Scatter: one element, or one run of neighbours, for each index."""

    name = "cpu_indexing"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, Gather | GatherElements | GatherND | ScatterElements | ScatterND)

    def prologue(self, spec: LayerSpec) -> str:
        expression = _reduction(getattr(spec.op, "reduction", "none"))
        return fill(_INDEX) + expression_prologue(expression, spec.output.element_type)

    def steps(self, spec: LayerSpec) -> float:
        scattered = len(spec.inputs) > 2
        return float(spec.output.elements + (spec.inputs[2].elements if scattered else 0))

    def body(self, spec: LayerSpec) -> str:
        op, source, indices = spec.op, spec.inputs[0], spec.inputs[1]
        if isinstance(op, Gather):
            size = source.shape[op.axis]
            outer, inner = math.prod(source.shape[: op.axis]), math.prod(source.shape[op.axis + 1 :])
            run = f"(i0 * {size}L + index_within((long)x1[i1], {size})) * {inner}L"
            copy = (
                f"memcpy(y0 + (i0 * {indices.elements}L + i1) * {inner}L, x0 + {run}, {inner} * sizeof(*y0));"
            )
            return nest((outer, indices.elements), copy)
        if isinstance(op, GatherElements | ScatterElements):
            strides, own = list(strides_of(source.shape)), at(strides_of(indices.shape))
            found = f"index_within((long)x1[{own}], {source.shape[op.axis]}) * {strides[op.axis]}L"
            strides[op.axis] = 0
            place = f"{at(strides)} + {found}"
            if isinstance(op, GatherElements):
                return nest(indices.shape, f"y0[{own}] = x0[{place}];")
            return _copied(spec) + nest(indices.shape, _updated(spec, op.reduction, place, own))
        assert isinstance(op, GatherND | ScatterND)
        return self._tuples(spec, op)

    def _tuples(self, spec: LayerSpec, op: GatherND | ScatterND) -> str:
        source, indices = spec.inputs[0], spec.inputs[1]
        batch = op.batch if isinstance(op, GatherND) else 0
        depth = indices.shape[-1]
        common, tuples = math.prod(source.shape[:batch]), math.prod(indices.shape[batch:-1])
        run = math.prod(source.shape[batch + depth :])
        strides = strides_of(source.shape)
        terms = [f"i0 * {math.prod(source.shape[batch:])}L"]
        terms += [
            f"index_within((long)x1[t * {depth} + {axis}], {source.shape[batch + axis]}) * {strides[batch + axis]}L"
            for axis in range(depth)
        ]
        head = f"const long t = i0 * {tuples}L + i1, place = {' + '.join(terms)};\n"
        if isinstance(op, GatherND):
            inner = f"{head}memcpy(y0 + t * {run}L, x0 + place, {run} * sizeof(*y0));"
            copied = ""
        else:
            update = _updated(spec, op.reduction, "place + j", f"t * {run}L + j")
            inner = f"{head}for (long j = 0; j < {run}; ++j) {{\n{indent(update, '    ')}\n}}"
            copied = _copied(spec)
        return copied + nest((common, tuples), inner)


def _copied(spec: LayerSpec) -> str:
    return f"memcpy(y0, x0, {spec.output.size_bytes});\n"


def _reduction(name: str) -> Expression:
    return Operand(1) if name == "none" else apply(name, Operand(0), Operand(1))


def _updated(spec: LayerSpec, reduction: str, place: str, update: str) -> str:
    element = spec.output.element_type
    operands: Sequence[str] = [f"(({element.c_value})y0[{place}])", f"(({element.c_value})x2[{update}])"]
    value = expression_text(_reduction(reduction), operands, element)
    return f"y0[{place}] = {converted(value, element.c_value, element)};"
