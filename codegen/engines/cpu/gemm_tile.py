"""The register tile of matrix products: its C text, and the packing of the weights it reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.engines.cpu.expression_text import scalar_text
from codegen.engines.cpu.partial_sums import Parts
from codegen.engines.cpu.source import fill, round_up
from codegen.expression import Expression
from codegen.tensor import FloatArray


def tile_source(entry: str, rows: int, columns: int, parts: Parts, epilogue: Expression) -> str:
    """Static functions that compute `rows` x `columns` outputs from `depth` rank-1 updates, at most those of
    `parts`.

    `<entry>_tile` adds a part to a full tile, `<entry>_sums` all parts, `<entry>_block` those of one that may be cut
    off at the right or lower edge. Weights lie as [depth][rows]. Every row of accumulators is its own array and one
    loop runs over the columns: compilers keep these in registers and vectorise the loop.
    """
    names = range(rows)
    each = "\n        ".join
    return fill(
        """
        static void ${entry}_tile(int depth, const float *restrict w, const float *restrict x, int x_pitch,
                                  const float *restrict start, int first, int last,
                                  float *restrict y, int y_pitch)
        {
            float $accumulators;
            if (first) {
                for (int j = 0; j < $columns; ++j) {
                    $set_start
                }
            } else {
                for (int j = 0; j < $columns; ++j) {
                    $set_zero
                }
            }
            for (int k = 0; k < depth; ++k) {
                const float $factors;
                for (int j = 0; j < $columns; ++j) {
                    const float v = x[j];
                    $updates
                }
                w += $rows;
                x += x_pitch;
            }
            if (!first) {
                for (int j = 0; j < $columns; ++j) {
                    $add_partial
                }
            }
            if (last) {
                for (int j = 0; j < $columns; ++j) {
                    $finals
                }
            } else {
                for (int j = 0; j < $columns; ++j) {
                    $partials
                }
            }
        }

        static void ${entry}_sums(int depth, const float *restrict w, const float *restrict x, int x_pitch,
                                  const float *restrict start, int first, int last,
                                  float *restrict y, int y_pitch)
        {
            for (; depth > $span; depth -= $span, w += $span * $rows, x += $span * x_pitch, first = 0)
                ${entry}_tile($span, w, x, x_pitch, start, first, 0, y, y_pitch);
            ${entry}_tile(depth, w, x, x_pitch, start, first, last, y, y_pitch);
        }

        static void ${entry}_block(int depth, const float *restrict w, const float *restrict x, int x_pitch,
                                   const float *restrict start, int first, int last,
                                   float *restrict y, int y_pitch, int rows, int columns)
        {
            if (rows >= $rows && columns >= $columns) {
                ${entry}_sums(depth, w, x, x_pitch, start, first, last, y, y_pitch);
                return;
            }
            float edge[$size] = {0.0f};
            rows = rows < $rows ? rows : $rows;
            columns = columns < $columns ? columns : $columns;
            for (int i = 0; !first && i < rows; ++i)
                for (int j = 0; j < columns; ++j)
                    edge[i * $columns + j] = y[i * y_pitch + j];
            ${entry}_sums(depth, w, x, x_pitch, start, first, last, edge, $columns);
            for (int i = 0; i < rows; ++i)
                for (int j = 0; j < columns; ++j)
                    y[i * y_pitch + j] = edge[i * $columns + j];
        }
        """,
        entry=entry,
        rows=rows,
        columns=columns,
        span=parts.span,
        size=rows * columns,
        accumulators=", ".join(f"c{i}[{columns}]" for i in names),
        factors=", ".join(f"w{i} = w[{i}]" for i in names),
        set_start=each(f"c{i}[j] = start[{i}];" for i in names),
        set_zero=each(f"c{i}[j] = 0.0f;" for i in names),
        add_partial=each(f"c{i}[j] += y[{i} * y_pitch + j];" for i in names),
        updates=each(f"c{i}[j] += w{i} * v;" for i in names),
        finals=each(f"y[{i} * y_pitch + j] = {scalar_text(epilogue, (f'c{i}[j]',))};" for i in names),
        partials=each(f"y[{i} * y_pitch + j] = c{i}[j];" for i in names),
    )


def pack_rows(matrix: FloatArray, bias: FloatArray, rows: int) -> FloatArray:
    """[ceil(M / rows)][K][rows] of an (M, K) matrix, then the bias; both zero-padded to whole blocks."""
    count, depth = matrix.shape
    padded = np.zeros((round_up(count, rows), depth), dtype=np.float32)
    padded[:count] = matrix
    blocks = padded.reshape(-1, rows, depth).transpose(0, 2, 1)
    tail = np.zeros(padded.shape[0], dtype=np.float32)
    tail[:count] = bias
    return np.concatenate([blocks.reshape(-1), tail])


def packed_sizes(count: int, depth: int, rows: int) -> tuple[int, int]:
    """(offset of the bias, elements in all) of what `pack_rows` gives."""
    padded = round_up(count, rows)
    return padded * depth, padded * (depth + 1)


def matrix_and_bias(weights: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Weights as (out, everything else) and the bias; zeros where a layer has none."""
    matrix = np.asarray(weights[0], dtype=np.float32)
    matrix = matrix.reshape(matrix.shape[0], -1)
    bias = weights[1] if len(weights) > 1 else np.zeros(matrix.shape[0])
    return matrix, np.asarray(bias, dtype=np.float32)
