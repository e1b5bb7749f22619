"""Kernels that compute each block of channels from the same block of their input: shares of threads, and the entry."""

from __future__ import annotations

from codegen.cpu.blocked.kernel import blocks_of
from codegen.cpu.blocked.window_source import WindowCode
from codegen.cpu.source import fill
from codegen.cpu.threads import Share
from codegen.graph import LayerSpec


def planes_share(spec: LayerSpec, lanes: int, threads: int, rows: int = 1) -> Share:
    """The rows of outputs of all blocks of all images, `rows` of them a piece."""
    batch, channels, height, _ = spec.output.shape
    return Share(batch * blocks_of(channels, lanes) * height, threads, rows)


def planes_source(spec: LayerSpec, code: WindowCode, share: Share, biases: int) -> str:
    """The entry that calls the span function for the thread's rows of each block; the bias begins at `biases`."""
    blocks = blocks_of(spec.output.shape[1], code.lanes)
    return fill(
        _ENTRY,
        entry=code.entry,
        share=share.declaration,
        first=share.first,
        end=share.end,
        blocks=blocks,
        height=code.windows.rows.outputs,
        source=code.source.block * blocks,
        result=code.result.block * blocks,
        biases=biases,
    )


_ENTRY = """
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
