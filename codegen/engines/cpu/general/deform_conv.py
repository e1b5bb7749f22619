"""Convolutions with moved taps in C; sums are taken in double."""

from __future__ import annotations

from codegen.engines.cpu.general.expressions import converted
from codegen.engines.cpu.general.kernel import GeneralKernel
from codegen.engines.cpu.source import fill
from codegen.graph import LayerSpec
from codegen.operators.deform_conv import DeformConv
from codegen.target import Target


class CpuDeformConv(GeneralKernel):
    """Loops over outputs, and within over channels and taps, each read between four pixels."""

    name = "cpu_deform_conv"

    def computes(self, spec: LayerSpec, target: Target) -> bool:
        return isinstance(spec.op, DeformConv)

    def steps(self, spec: LayerSpec) -> float:
        return 4.0 * spec.macs

    def body(self, spec: LayerSpec) -> str:
        op, element = spec.op, spec.output.element_type
        assert isinstance(op, DeformConv)
        (batch, channels, height, width), kernel = spec.inputs[0].shape, spec.inputs[1].shape
        _, many, rows, columns = spec.output.shape
        mask = f"x{len(spec.inputs) - 1}"
        return fill(
            _BODY,
            batch=batch,
            channels=channels,
            height=height,
            width=width,
            many=many,
            rows=rows,
            columns=columns,
            few=kernel[1],
            each=many // op.groups,
            kernel_rows=kernel[2],
            kernel_columns=kernel[3],
            shared=channels // op.offset_groups,
            offset_groups=op.offset_groups,
            stride_y=op.strides[0],
            stride_x=op.strides[1],
            top=op.pads[0],
            left=op.pads[1],
            dilation_y=op.dilations[0],
            dilation_x=op.dilations[1],
            bias="(double)x3[m]" if op.has_bias else "0",
            mask=f"(double){mask}[tap * $plane + pixel]".replace("$plane", str(rows * columns))
            if op.has_mask
            else "1",
            plane=rows * columns,
            store=converted("total", "double", element),
        )


_BODY = """
for (long n = 0; n < $batch; ++n)
    for (long m = 0; m < $many; ++m)
        for (long i = 0; i < $rows; ++i)
            for (long j = 0; j < $columns; ++j) {
                const long pixel = i * $columns + j;
                double total = $bias;
                for (long k = 0; k < $few; ++k) {
                    const long c = m / $each * $few + k;
                    for (long u = 0; u < $kernel_rows; ++u)
                        for (long v = 0; v < $kernel_columns; ++v) {
                            const long group = n * $offset_groups + c / $shared;
                            const long tap = (group * $kernel_rows + u) * $kernel_columns + v;
                            const double y = i * $stride_y - $top + u * $dilation_y
                                + (double)x2[2 * tap * $plane + pixel];
                            const double x = j * $stride_x - $left + v * $dilation_x
                                + (double)x2[(2 * tap + 1) * $plane + pixel];
                            if (!(y > -1 && y < $height && x > -1 && x < $width))
                                continue;
                            const long row = (long)floor(y), column = (long)floor(x);
                            double read = 0;
                            for (int q = 0; q < 4; ++q) {
                                const long at = row + q / 2, beside = column + q % 2;
                                if (at >= 0 && at < $height && beside >= 0 && beside < $width)
                                    read += (1 - fabs(y - at)) * (1 - fabs(x - beside))
                                        * (double)x0[((n * $channels + c) * $height + at) * $width + beside];
                            }
                            const long weight = ((m * $few + k) * $kernel_rows + u) * $kernel_columns + v;
                            total += read * (double)x1[weight] * $mask;
                        }
                }
                y0[((n * $many + m) * $rows + i) * $columns + j] = $store;
            }
"""
