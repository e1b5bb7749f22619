"""A pattern as functions of AArch64: what is not zero is in the code, weights are one stream, sums stay in registers.

A function computes some outputs of four pixels from a block of operands. Which halves of a vector of pixels lie where
is told by two pointers, so that four pixels may be of two rows. Elsewhere the same functions are C that reads the
pattern as data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill, round_up
from codegen.engines.cpu.sparse.compiled_schedule import Product, Vector, scheduled
from codegen.tensor import FloatArray

CHANNELS = 4  # of a block of the layout of results
MOST_OUTPUTS = 24  # whose sums are in registers; the others hold operands and weights
REGISTERS = 32
VECTOR_BYTES = 16
HALF_BYTES = 8
REACH = 32752  # bytes that the offset of a load of 64 bits reaches, the upper half's too
BEHIND = 2048  # bytes before an operand at which a new base points: taps of a channel do not lie in order
LOWER, UPPER, STREAM, SUMS, RESULTS, STRIDE = "x0", "x1", "x2", "x3", "x4", "x5"
ODD_LOWER, ODD_UPPER = "x6", "x7"  # four bytes behind the others: offsets are multiples of eight


@dataclass(frozen=True, eq=False)
class Functions:
    """Of a pattern.

    `text`: C text of them, of `<entry>_call(code, lower, upper, stream, sums, results, stride)`, which calls one (by
    what they change, which is not what C's functions may: a loop of calls saves registers once), and of
    `<entry>_functions`, for each block of operands and in it each group of outputs one, with where its part of the
    stream begins. `stream`: of the first block biases, then weights. `bounds`: outputs where groups begin, and where
    the last ends.
    """

    text: str
    stream: FloatArray
    bounds: tuple[int, ...]


def group_bounds(outputs: int) -> tuple[int, ...]:
    """Whole blocks of channels, dealt out evenly to as few groups as registers allow."""
    blocks = -(-outputs // CHANNELS)
    groups = -(-blocks * CHANNELS // MOST_OUTPUTS)
    return tuple(number * blocks // groups * CHANNELS for number in range(groups + 1))


def compiled_functions(
    entry: str, matrix: FloatArray, bias: FloatArray, places: Sequence[int], block: int, results: Results
) -> Functions:
    """Of weights (outputs, operands), operand number i of a block lying `places[i]` bytes from the first pixel's."""
    bounds = group_bounds(matrix.shape[0])
    whole = np.zeros((bounds[-1], matrix.shape[1]), dtype=np.float32)
    whole[: matrix.shape[0]] = matrix
    biases = np.zeros(bounds[-1], dtype=np.float32)
    biases[: bias.size] = bias
    functions: list[_Function] = []
    starts = range(0, matrix.shape[1], block)
    for number, first in enumerate(starts):
        for group, (low, high) in enumerate(pairwise(bounds)):
            functions.append(
                _Function(
                    f"{entry}_block{number}_group{group}",
                    whole[low:high, first : first + block],
                    biases[low:high] if number == 0 else None,
                    results if number + 1 == len(starts) else None,
                    places,
                )
            )
    streams = [one.stream for one in functions]
    offsets = np.cumsum([0, *(one.size for one in streams)]).tolist()
    rows = ", ".join(f"{{{one.name}, {at}}}" for one, at in zip(functions, offsets[:-1], strict=True))
    text = fill(
        _TEXT,
        entry=entry,
        rows=rows,
        assembly="\n".join(f'"{line}\\n"' for one in functions for line in one.assembly),
        clobbers=", ".join(f'"{name}"' for name in _CHANGED),
        declared="\n".join(f"{_HIDDEN}void {one.name}({_TYPES});" for one in functions),
        low=_limit(results.low, "-INFINITY"),
        high=_limit(results.high, "INFINITY"),
        portable="\n".join(one.portable(entry) for one in functions),
    )
    return Functions(text, np.concatenate(streams), bounds)


def _limit(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value!r}f"


@dataclass(frozen=True, eq=False)
class _Function:
    """Of some outputs and a block of operands. Sums begin with `bias`, or come from memory; they are stored as
    `results`, or go to memory.
    """

    name: str
    matrix: FloatArray
    bias: FloatArray | None
    results: Results | None
    places: Sequence[int]

    @property
    def entries(self) -> tuple[list[int], list[int]]:
        """Operands and outputs of what is not zero."""
        operands, rows = np.nonzero(self.matrix.T)
        return operands.tolist(), rows.tolist()

    @property
    def stream(self) -> FloatArray:
        """The biases, and the weights up to a whole vector behind the last."""
        values = self.matrix.T[np.nonzero(self.matrix.T)]
        padded = np.zeros(round_up(values.size, CHANNELS) + CHANNELS, dtype=np.float32)
        padded[: values.size] = values
        return padded if self.bias is None else np.concatenate([self.bias, padded])

    @property
    def assembly(self) -> list[str]:
        outputs = self.matrix.shape[0]
        lines = [".p2align 4", f"{self.name}:"]
        if self.bias is not None:
            lines += _biases(outputs)
        else:
            lines += [f"ldr q{i}, [{SUMS}, #{i * VECTOR_BYTES}]" for i in range(outputs)]
        lines += _products(*self.entries, self.places, range(outputs, REGISTERS))
        if self.results is None:
            lines += [f"str q{i}, [{SUMS}, #{i * VECTOR_BYTES}]" for i in range(outputs)]
        else:
            lines += _results(outputs, self.results)
        return [*lines, "ret"]

    def portable(self, entry: str) -> str:
        """The C function, whose pattern is pairs of an output and where its operand lies."""
        pairs = [f"{{{row}, {self.places[k]}}}" for k, row in zip(*self.entries, strict=True)]
        return fill(
            _PORTABLE,
            entry=entry,
            name=self.name,
            pairs=", ".join(pairs) or "{0, 0}",
            count=len(pairs),
            outputs=self.matrix.shape[0],
            first=int(self.bias is not None),
            last=int(self.results is not None),
        )


def _biases(outputs: int) -> list[str]:
    return [f"ld1r {{v{i}.4s}}, [{STREAM}], #{FLOAT_BYTES}" for i in range(outputs)]


def _products(
    operands: Sequence[int], rows: Sequence[int], places: Sequence[int], registers: range
) -> list[str]:
    """In stretches whose operands and weights offsets reach; each reads whole vectors of weights from its first on."""
    lines: list[str] = [f"add {ODD_LOWER}, {LOWER}, #4", f"add {ODD_UPPER}, {UPPER}, #4"]
    bases, base, streamed, first = (LOWER, UPPER, ODD_LOWER, ODD_UPPER), 0, 0, 0
    while first < len(operands):
        end = first
        while end < len(operands) and (end - first) * FLOAT_BYTES < REACH - VECTOR_BYTES:
            if not 0 <= places[operands[end]] - base <= REACH:
                break
            end += 1
        if end == first:
            before, base = base, max(0, places[operands[first]] - BEHIND) // HALF_BYTES * HALF_BYTES
            lines += [line for name in bases for line in _moved(name, base - before)]
            continue
        lines += _moved(STREAM, (first - streamed) * FLOAT_BYTES)
        streamed = first
        lines += _stretch(operands[first:end], rows[first:end], [p - base for p in places], registers)
        first = end
    return lines


def _moved(name: str, distance: int) -> list[str]:
    if not distance:
        return []
    instruction, size = ("add", distance) if distance > 0 else ("sub", -distance)
    parts = ((size & 0xFFF, ""), (size >> 12, ", lsl #12"))
    return [f"{instruction} {name}, {name}, #{part}{shift}" for part, shift in parts if part]


def _stretch(
    operands: Sequence[int], rows: Sequence[int], places: Sequence[int], registers: range
) -> list[str]:
    vectors: list[Vector] = []
    products: list[Product] = []
    loaded = operand = weights = -1
    for number, (k, row) in enumerate(zip(operands, rows, strict=True)):
        if k != loaded:
            loaded, operand = k, len(vectors)
            odd = places[k] % HALF_BYTES
            low, high = (ODD_LOWER, ODD_UPPER) if odd else (LOWER, UPPER)
            vectors.append(Vector(f"[{low}, #{places[k] - odd}]", f"[{high}, #{places[k] - odd}]"))
        if number % CHANNELS == 0:
            weights, at = len(vectors), number * FLOAT_BYTES
            vectors.append(Vector(f"[{STREAM}, #{at}]", f"[{STREAM}, #{at + HALF_BYTES}]"))
        products.append(Product(row, operand, weights, number % CHANNELS))
    return scheduled(products, vectors, registers)


def _results(outputs: int, results: Results) -> list[str]:
    """Clamped sums, transposed to pixels of a block of channels each."""
    lines = []
    limits = ((results.low, 30, "fmax"), (results.high, 31, "fmin"))
    for value, register, instruction in limits:
        if value is not None:
            (bits,) = struct.unpack("<I", struct.pack("<f", value))
            lines += [f"mov w9, #{bits & 0xFFFF}", f"movk w9, #{bits >> 16}, lsl #16"]
            lines.append(f"dup v{register}.4s, w9")
            lines += [f"{instruction} v{i}.4s, v{i}.4s, v{register}.4s" for i in range(outputs)]
    for first in range(0, outputs, CHANNELS):
        a, b, c, d = range(first, first + CHANNELS)
        apart = [(24, 1, a, c), (26, 1, b, d), (25, 2, a, c), (27, 2, b, d)]
        together = [(a, 1, 24, 26), (b, 2, 24, 26), (c, 1, 25, 27), (d, 2, 25, 27)]
        for to, half, one, other in (*apart, *together):
            lines.append(f"zip{half} v{to}.4s, v{one}.4s, v{other}.4s")
        lines += [f"str q{first + i}, [{RESULTS}, #{i * VECTOR_BYTES}]" for i in range(CHANNELS)]
        lines.append(f"add {RESULTS}, {RESULTS}, {STRIDE}")
    return lines


_TYPES = "const float *, const float *, const float *, float *, float *, long"
_CHANGED = (*(f"x{i}" for i in range(6, 18)), "x30", *(f"v{i}" for i in range(REGISTERS)), "cc", "memory")
_HIDDEN = '__attribute__((visibility("hidden"))) '

_TEXT = """
    #if defined(__aarch64__)
    __asm__(".pushsection .text\\n"
    $assembly
    ".popsection\\n");
    $declared
    static inline __attribute__((always_inline)) void ${entry}_call(
        void (*code)(const float *, const float *, const float *, float *, float *, long), const float *lower,
        const float *upper, const float *stream, float *sums, float *results, long stride)
    {
        register const float *x0 __asm__("x0") = lower, *x1 __asm__("x1") = upper, *x2 __asm__("x2") = stream;
        register float *x3 __asm__("x3") = sums, *x4 __asm__("x4") = results;
        register long x5 __asm__("x5") = stride;
        __asm__ volatile("blr %[code]"
                         : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5)
                         : [code] "r"(code)
                         : $clobbers);
    }
    #else
    #include <math.h>
    static void ${entry}_sums(const int (*pattern)[2], int entries, int outputs, int first, int last,
                              const float *lower, const float *upper, const float *stream, float *sums,
                              float *results, long stride)
    {
        float kept[24 * 4];
        for (int i = 0; i < outputs * 4; ++i)
            kept[i] = first ? stream[i / 4] : sums[i];
        stream += first ? outputs : 0;
        for (int e = 0; e < entries; ++e)
            for (int i = 0; i < 4; ++i)
                kept[pattern[e][0] * 4 + i] += stream[e] * (i < 2 ? lower : upper)[pattern[e][1] / 4 + i % 2];
        for (int i = 0; i < outputs * 4 && !last; ++i)
            sums[i] = kept[i];
        for (int i = 0; i < outputs * 4 && last; ++i)
            results[i / 16 * (stride / 4) + i % 4 * 4 + i / 4 % 4] = fminf(fmaxf(kept[i], $low), $high);
    }
    $portable
    static void ${entry}_call(void (*code)(const float *, const float *, const float *, float *, float *, long),
                              const float *lower, const float *upper, const float *stream, float *sums,
                              float *results, long stride)
    {
        code(lower, upper, stream, sums, results, stride);
    }
    #endif
    static const struct {
        void (*code)(const float *, const float *, const float *, float *, float *, long);
        int start;
    } ${entry}_functions[] = {$rows};
"""

_PORTABLE = """
    static void $name(const float *lower, const float *upper, const float *stream, float *sums, float *results,
                      long stride)
    {
        static const int pattern[][2] = {$pairs};
        ${entry}_sums(pattern, $count, $outputs, $first, $last, lower, upper, stream, sums, results, stride);
    }
"""
