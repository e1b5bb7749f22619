"""Kernels that compute each block of channels from the same block of their input: shares of threads, and the entry.

Threads share rows, each the same ones of every plane, or planes, the blocks of channels of all images one after
another. What is better depends on the neighbours: what one core wrote has a long way to another.
"""

from __future__ import annotations

from codegen.engines.cpu.blocked.kernel import blocks_of
from codegen.engines.cpu.blocked.window_source import WindowCode
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import PIXELS_SHARED, Share
from codegen.graph import LayerSpec
from codegen.schedule import Choice, Point


def planes_share(spec: LayerSpec, lanes: int, splits: Point, rows: int = 1) -> Share:
    """The rows of outputs that threads share, `rows` of them a piece: of one plane, or of all."""
    batch, channels, height, _ = spec.output.shape
    planes = 1 if splits["shared"] == PIXELS_SHARED else batch * blocks_of(channels, lanes)
    return Share(planes * height, splits["threads"], rows)


def planes_source(spec: LayerSpec, code: WindowCode, choice: Choice, biases: int) -> str:
    """The entry that calls the span function for the thread's rows of each block; the bias begins at `biases`."""
    blocks = blocks_of(spec.output.shape[1], code.lanes)
    share = planes_share(spec, code.lanes, choice.splits, code.rows)
    height, first, end = code.windows.rows.outputs, share.first, share.end
    if choice.splits["shared"] == PIXELS_SHARED:
        planes, rows = ("0", str(spec.output.shape[0] * blocks)), (first, end)
    else:
        planes = f"{first} / {height}", f"({end} + {height - 1}) / {height}"
        before = f"plane * {height}"
        rows = (
            f"{first} > {before} ? {first} - {before} : 0",
            f"{end} - {before} < {height} ? {end} - {before} : {height}",
        )
    return fill(
        _ENTRY,
        entry=code.entry,
        share=share.declaration,
        first_plane=planes[0],
        end_plane=planes[1],
        rows=", ".join(rows),
        blocks=blocks,
        source=code.source.block * (blocks // code.multiplier),
        result=code.result.block * blocks,
        biases=biases,
    )


_ENTRY = """
    void $entry(const float *const *inputs, const float *weights, float *const *outputs, void *workspace, int part)
    {
        float *const output = outputs[0];
        $share
        (void)workspace;
        for (int plane = $first_plane; plane < $end_plane; ++plane) {
            const int n = plane / $blocks, b = plane % $blocks;
            ${entry}_span(inputs[0] + n * $source, 0, weights, weights + $biases, output + n * $result, 0, b, b + 1,
                          $rows);
        }
    }
"""
