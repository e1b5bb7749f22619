"""A pointwise layer of a chain by bands of rows, whose pattern of weights is compiled for AArch64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.instructions import Count
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.sparse.compiled_neon import CHANNELS, compiled_functions, group_bounds
from codegen.engines.cpu.sparse.planes_source import LANES, Planes, planes_text
from codegen.graph import LayerSpec
from codegen.operators.conv2d import Conv2d
from codegen.tensor import FloatArray
from codegen.windows import Windows


@dataclass(frozen=True)
class SparseCode:
    """Of a layer between two pictures in blocks of four channels, a row at a time."""

    entry: str
    spec: LayerSpec
    source: Image
    result: Image

    @property
    def planes(self) -> Planes:
        channels = round_up(self.spec.inputs[0].shape[1], CHANNELS)
        return Planes(Windows.of(self.spec), 1, channels)


def can_skip(spec: LayerSpec) -> bool:
    """Whether a layer's zeros can be skipped: rows are of whole vectors."""
    op = spec.op
    if not isinstance(op, Conv2d) or op.groups != 1 or spec.sparsity is None:
        return False
    is_pointwise = Windows.of(spec).is_pointwise and spec.output.shape[3] % LANES == 0
    return is_pointwise and Results.of(op.epilogue, 0) is not None


def sparse_stage(code: SparseCode, weights: Sequence[FloatArray]) -> tuple[str, FloatArray]:
    """C text of `<entry>_span(x, x_first, stream, scratch, y, y_first, first, end)`, which computes the rows
    [first, end), and the stream; `scratch` has `planes.elements`.
    """
    op, planes = code.spec.op, code.planes
    assert isinstance(op, Conv2d)
    results = Results.of(op.epilogue, 0)
    assert results is not None
    functions = compiled_functions(
        code.entry, *matrix_and_bias(weights), planes.places, planes.channels, results
    )
    span = fill(
        _SPAN,
        entry=code.entry,
        bounds=", ".join(map(str, functions.bounds)),
        groups=len(functions.bounds) - 1,
        channels=code.spec.inputs[0].shape[1],
        vectors=planes.vector_count(1),
        pitch=planes.channels * LANES,
        row=code.result.row,
        block=code.result.block,
    )
    text = functions.text + planes_text(code.entry, planes, code.source.block // CHANNELS) + span
    return "#include <stddef.h>\n#include <string.h>\n" + text, functions.stream


def count_sparse(count: Count, code: SparseCode, rows: int) -> None:
    """Adds the instructions that computing `rows` rows takes."""
    spec, outputs = code.spec, code.spec.output.shape[1]
    assert spec.sparsity is not None
    entries, depth, groups = spec.sparsity.weights, spec.inputs[0].shape[1], len(group_bounds(outputs)) - 1
    met = depth * (1 - (1 - entries / (depth * outputs)) ** (outputs / groups))
    pixels = float(rows * spec.output.shape[3])
    count.add(pixels, alu=entries + outputs, loads=groups * met + entries / CHANNELS, stores=outputs)
    count.add_copy(pixels * depth)


_SPAN = """
    static void ${entry}_span(const float *x, int x_first, const float *stream, float *scratch, float *y, int y_first,
                              int first, int end)
    {
        static const int bounds[] = {$bounds};
        for (int row = first; row < end; ++row) {
            ${entry}_planes(x, 0, $channels, row - x_first, 1, scratch);
            for (int g = 0; g < $groups; ++g)
                for (int v = 0; v < $vectors; ++v) {
                    const float *from = scratch + v * $pitch;
                    ${entry}_call(
                        ${entry}_functions[g].code, from, from + 2, stream + ${entry}_functions[g].start, NULL,
                        y + (size_t)bounds[g] / 4 * $block + (row - y_first) * $row + v * 16, $block * 4l);
                }
        }
    }
"""
