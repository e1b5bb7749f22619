"""C text around the assembly of convolutions with several taps: its pointers, and long sums in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.cpu.blocked.geometry import Image
from codegen.engines.cpu.blocked.row_tile import VECTOR, RowShape, row_assembly, row_clobbers
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill
from codegen.windows import Windows

PRODUCTS = 256  # about, of a sum in registers; then it begins anew: long sums lose digits


@dataclass(frozen=True)
class RowCode:
    """A tile of a convolution: `taps` of each pixel that lie in the picture, `blocks` of sums of four channels."""

    windows: Windows
    source: Image
    channels: int
    taps: tuple[tuple[int, int], ...]
    blocks: int

    @property
    def is_row_major(self) -> bool:
        return self.source.channel != 1

    @property
    def shape(self) -> RowShape:
        columns = self.windows.columns
        pixel = 0 if self.is_row_major else self.source.pixel * FLOAT_BYTES
        return RowShape(self.taps, self.blocks, columns.stride, columns.dilation, pixel, columns.taps)

    @property
    def assembly(self) -> list[str] | None:
        """Instructions; None where it is not for them, or registers do not suffice."""
        rows = self.windows.rows
        whole = self.is_row_major or (self.source.lanes == VECTOR and self.channels % VECTOR == 0)
        seen = all(first < end for first, end in map(rows.clipped, range(rows.outputs)))
        if not whole or not seen or (self.windows.rows.taps, self.windows.columns.taps) == (1, 1):
            return None
        return row_assembly(self.shape)


def row_sums(code: RowCode, lines: Sequence[str]) -> str:
    """Statements that declare `sums`, a vector for each pixel and block of it, and compute them from `x`, `w`, `bias`
    and the rows [ky_first, ky_end) of the kernel.
    """
    shape, rows = code.shape, code.windows.rows
    ky_first, ky_end = ("ky_first", "ky_end") if rows.is_clipped else ("0", str(rows.taps))
    row, step = rows.dilation * code.source.row, shape.weight_bytes // FLOAT_BYTES
    if code.is_row_major:  # channels inside rows
        blocks, inner, plain = 1, str(code.channels), code.source.channel
        jump = f"{row - (code.channels - 1) * code.source.channel}l"
        steps, next_weights = f"({ky_end} - {ky_first}) * {code.channels}", str(step)
        row_weights = code.channels * step
    else:
        blocks, inner, plain = code.channels // VECTOR, f"({ky_end} - {ky_first})", row
        jump = f"{code.source.block} - ({inner} - 1) * {row}l"
        steps = "(end - first) * inner"
        next_weights, row_weights = f"({rows.taps + 1}l - inner) * {step}", step
    span = max(1, PRODUCTS // (VECTOR * rows.taps * code.windows.columns.taps))
    in_parts = blocks > span
    text = fill(
        _PART,
        blocks=blocks,
        span=span,
        end=f"{blocks} - first < {span} ? {blocks} : first + {span}" if in_parts else blocks,
        inner=inner,
        x=f"x + {ky_first} * {row}l + first * {code.source.block}l",
        w=f"w + {ky_first} * {row_weights}l + first * {rows.taps * step}l",
        steps=steps,
        row=plain * FLOAT_BYTES,
        jump=f"({jump}) * {FLOAT_BYTES}",
        wrow=step * FLOAT_BYTES,
        wjump=f"({next_weights}) * {FLOAT_BYTES}l",
        bias="first ? zeros : bias" if in_parts else "bias",
        sums="first ? part : sums" if in_parts else "sums",
        instructions="\n        ".join(f'"{line}\\n"' for line in lines),
        clobbers=", ".join(f'"{name}"' for name in row_clobbers()),
        added=f"for (int i = 0; first && i < {shape.sums}; ++i) sums[i] += part[i];" if in_parts else "",
    )
    if not in_parts:
        return f"vec{VECTOR} sums[{shape.sums}];\n{{\nconst int first = 0;\n{text}}}"
    return fill(
        """
        vec$lanes sums[$count], part[$count];
        static const float zeros[$zeros];
        for (int first = 0; first < $blocks; first += $span) {
            $text
        }
        """,
        lanes=VECTOR,
        count=shape.sums,
        zeros=VECTOR * code.blocks,
        blocks=blocks,
        span=span,
        text=text,
    )


_PART = """
    const int end = $end;
    const long inner = $inner;
    const float *in = $x, *weights = $w;
    const float *next = in, *next_weights = weights;
    long left = inner, steps = $steps - 1;
    (void)end;
    __asm__ volatile(
        $instructions
        : [x] "+&r"(in), [w] "+&r"(weights), [nx] "+&r"(next), [nw] "+&r"(next_weights), [left] "+&r"(left),
          [steps] "+&r"(steps)
        : [inner] "r"(inner), [row] "r"(${row}l), [jump] "r"($jump), [wrow] "r"(${wrow}l), [wjump] "r"($wjump),
          [bias] "r"($bias), [sums] "r"($sums)
        : $clobbers);
    $added
"""
