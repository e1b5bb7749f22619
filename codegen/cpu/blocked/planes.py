"""Kernels that compute each block of channels from the same block of their input: shares of threads, and the entry.

Threads share rows, each the same ones of every plane, or planes, the blocks of channels of all images one after
another. What is better depends on the neighbours: what one core wrote has a long way to another.
"""

from __future__ import annotations

from codegen.cpu.blocked.kernel import blocks_of
from codegen.cpu.blocked.window_source import WindowCode
from codegen.cpu.kernel import Point
from codegen.cpu.source import fill
from codegen.cpu.threads import PIXELS_SHARED, Share
from codegen.graph import LayerSpec
from codegen.schedule import Choice


def planes_share(spec: LayerSpec, lanes: int, splits: Point, rows: int = 1) -> Share:
    """The rows of outputs that threads share, `rows` of them a piece: of one plane, or of all."""
    batch, channels, height, _ = spec.output.shape
    planes = 1 if splits["shared"] == PIXELS_SHARED else batch * blocks_of(channels, lanes)
    return Share(planes * height, splits["threads"], rows)


def planes_source(spec: LayerSpec, code: WindowCode, choice: Choice, biases: int) -> str:
    """The entry that calls the span function for the thread's rows of each block; the bias begins at `biases`."""
    blocks = blocks_of(spec.output.shape[1], code.lanes)
    share = planes_share(spec, code.lanes, choice.splits, code.rows)
    return fill(
        _ROWS_ENTRY if choice.splits["shared"] == PIXELS_SHARED else _PLANES_ENTRY,
        entry=code.entry,
        share=share.declaration,
        first=share.first,
        end=share.end,
        blocks=blocks,
        planes=spec.output.shape[0] * blocks,
        height=code.windows.rows.outputs,
        source=code.source.block * blocks,
        result=code.result.block * blocks,
        biases=biases,
    )


_PLANES_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace, int part)
    {
        $share
        (void)workspace;
        for (int plane = $first / $height; plane * $height < $end; ++plane) {
            const int n = plane / $blocks, b = plane % $blocks, rows_before = plane * $height;
            ${entry}_span(inputs[0] + n * $source, 0, weights, weights + $biases, output + n * $result, 0, b, b + 1,
                          $first > rows_before ? $first - rows_before : 0,
                          $end - rows_before < $height ? $end - rows_before : $height);
        }
    }
"""

_ROWS_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *output, void *workspace, int part)
    {
        $share
        (void)workspace;
        for (int plane = 0; plane < $planes; ++plane) {
            const int n = plane / $blocks, b = plane % $blocks;
            ${entry}_span(inputs[0] + n * $source, 0, weights, weights + $biases, output + n * $result, 0, b, b + 1,
                          $first, $end);
        }
    }
"""
