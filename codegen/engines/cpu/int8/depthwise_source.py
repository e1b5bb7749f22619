"""C text of a depthwise convolution of integers of 8 bits: four neighbouring pixels of each channel at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.engines.cpu.int8.conv_source import c_type
from codegen.engines.cpu.int8.epilogue import Total, finished
from codegen.engines.cpu.int8.products import QUAD, Products
from codegen.engines.cpu.source import fill, round_up
from codegen.expression import Expression
from codegen.tensor import Array, FloatArray
from codegen.windows import Windows

HELD = 12  # vectors of weights that stay in registers over a row


@dataclass(frozen=True)
class DepthwiseCode:
    """What the text depends on. `further`: the type of what the epilogue reads; `is_large`: see `Total`."""

    entry: str
    channels: int
    windows: Windows
    products: Products
    zero: int
    epilogue: Expression
    dtype: str
    further: str | None
    is_large: bool = False

    @property
    def lanes(self) -> int:
        return self.products.lanes

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.lanes)

    @property
    def quads(self) -> int:
        """Quads of pixels of a row that hold a window."""
        return -(-self.windows.columns.taps // QUAD)

    @property
    def together(self) -> int:
        """Neighbouring outputs whose windows lie in the same quads."""
        columns = self.windows.columns
        return min(columns.outputs, (QUAD * self.quads - columns.taps) // columns.stride + 1)

    @property
    def row_pixels(self) -> int:
        """Pixels of a row in the workspace: those of the input, what lies beside them, and what quads reach beyond."""
        columns = self.windows.columns
        last = (columns.outputs - 1) * columns.stride + QUAD * self.quads
        return max(columns.pad + columns.inputs, last)

    @property
    def workspace_bytes(self) -> int:
        """Of one thread: a row of the input for each row of the window, and one of zero points."""
        return round_up((self.windows.rows.taps + 1) * self.row_pixels * self.lanes, 64)

    @property
    def block_weights(self) -> int:
        """Bytes of the weights of one block of channels."""
        return self.windows.rows.taps * self.together * self.quads * QUAD * self.lanes


def pack_depthwise(weights: Sequence[Array], code: DepthwiseCode) -> FloatArray:
    """Weights (channels, 1, kh, kw) as [block][kh][output of those together][quad of pixels][lanes][quad], zeros around
    each output's own; then for whole blocks the int32 bias, less what the zero point adds to every sum, and the factor.
    """
    rows, columns = code.windows.rows.taps, code.windows.columns
    size = code.blocks * code.lanes
    values = np.asarray(weights[0], dtype=np.int8).reshape(code.channels, rows, columns.taps)
    spread = np.zeros((size, rows, code.together, code.quads * QUAD), dtype=np.int8)
    for output in range(code.together):
        first = output * columns.stride
        spread[: code.channels, :, output, first : first + columns.taps] = values
    by_lanes = spread.reshape(code.blocks, code.lanes, rows, code.together, code.quads, QUAD)
    packed = code.products.packed(np.ascontiguousarray(by_lanes.transpose(0, 2, 3, 4, 1, 5)))
    starts, factors = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.float32)
    sums = values.astype(np.int64).sum(axis=(1, 2))
    whole = np.asarray(weights[1], dtype=np.int64) - (code.zero + code.products.offset) * sums
    starts[: code.channels], factors[: code.channels] = whole.astype(np.int32), weights[2]
    return np.concatenate([packed.reshape(-1).view(np.float32), starts.view(np.float32), factors])


def depthwise_text(code: DepthwiseCode) -> str:
    """`<entry>_span(x, w, bias, factor, [z,] y, row_first, row_end, ring)` computes the rows of outputs [row_first,
    row_end) of one block of channels; `ring` is the thread's workspace.
    """
    return code.products.prologue + _row_text(code) + _span_text(code)


def _row_text(code: DepthwiseCode) -> str:
    lanes, tag = code.lanes, code.products.tag
    rows, columns = code.windows.rows.taps, code.windows.columns
    whole, rest = divmod(columns.outputs, code.together)
    count = rows * code.together * code.quads
    weights = [
        f"const w_{tag} w{i} = weights_{tag}(w + {i * QUAD * lanes});" for i in range(count) if count <= HELD
    ]
    return fill(
        """
        static void ${entry}_row(const uint8_t *const *rows, const int8_t *restrict w, const int32_t *restrict bias,
                                 const float *restrict factor, $further $result *restrict y)
        {
            const sum$lanes start = *(const sum$lanes *)bias;
            $factor
            $weights
            for (int g = 0; g < $whole; ++g) {
                $body
            }
            $rest
        }
        """,
        entry=code.entry,
        further=f"const {c_type(code.further)} *restrict z," if code.further else "",
        result=c_type(code.dtype),
        lanes=lanes,
        factor="(void)factor;"
        if code.dtype == "int32"
        else f"const real{lanes} f = *(const real{lanes} *)factor;",
        weights="\n    ".join(weights),
        whole=whole,
        body="\n        ".join(_group(code, "g", code.together)),
        rest="{ " + "\n        ".join(_group(code, str(whole), rest)) + " }" if rest else "",
    )


def _group(code: DepthwiseCode, index: str, outputs: int) -> list[str]:
    """The outputs of a group, of which not all may be there."""
    lanes, tag = code.lanes, code.products.tag
    rows, columns = code.windows.rows.taps, code.windows.columns
    held = rows * code.together * code.quads <= HELD
    step = code.together * columns.stride * lanes
    lines = [f"sum{lanes} {', '.join(f'a{o} = start' for o in range(outputs))};"]
    for ky in range(rows):
        for quad in range(code.quads):
            place = f"rows[{ky}] + {index} * {step} + {quad * QUAD * lanes}"
            updates = []
            for o in range(outputs):
                first = o * columns.stride
                if first + columns.taps <= QUAD * quad or first >= QUAD * (quad + 1):
                    continue
                number = (ky * code.together + o) * code.quads + quad
                weight = f"w{number}" if held else f"weights_{tag}(w + {number * QUAD * lanes})"
                updates.append(f"a{o} = dot_taps_{tag}(a{o}, t, {weight});")
            if updates:
                lines.append(f"{{ const t_{tag} t = taps_{tag}({place}); {' '.join(updates)} }}")
    for o in range(outputs):
        place = f"{index} * {code.together * lanes} + {o * lanes}"
        total = Total(f"a{o}", "f", code.is_large)
        lines.append(finished(lanes, total, place, code.epilogue, code.dtype, code.further))
    return lines


def _span_text(code: DepthwiseCode) -> str:
    rows, columns, lanes = code.windows.rows, code.windows.columns, code.lanes
    row = columns.outputs * lanes
    return fill(
        """
        static void ${entry}_span(const uint8_t *x, const int8_t *w, const int32_t *bias, const float *factor,
                                  $further $result *y, int row_first, int row_end, uint8_t *ring)
        {
            const uint8_t *rows[$taps];
            memset(ring, $zero, ($taps + 1) * $length);
            int have = row_first * $stride - $pad;
            have = have < 0 ? 0 : have;
            for (int oy = row_first; oy < row_end; ++oy) {
                const int iy = oy * $stride - $pad;
                for (; have < iy + $taps && have < $inputs; ++have)
                    memcpy(ring + have % $taps * $length + $left, x + have * $source_row, $source_row);
                for (int ky = 0; ky < $taps; ++ky)
                    rows[ky] = ring + ((unsigned)(iy + ky) < ${inputs}u ? (iy + ky) % $taps : $taps) * $length;
                ${entry}_row(rows, w, bias, factor, $argument y + oy * $row);
            }
        }
        """,
        entry=code.entry,
        further=f"const {c_type(code.further)} *z," if code.further else "",
        argument=f"z + oy * {row}," if code.further else "",
        result=c_type(code.dtype),
        taps=rows.taps,
        zero=code.zero & 255,
        length=code.row_pixels * lanes,
        stride=rows.stride,
        pad=rows.pad,
        inputs=rows.inputs,
        left=columns.pad * lanes,
        source_row=columns.inputs * lanes,
        row=row,
    )
