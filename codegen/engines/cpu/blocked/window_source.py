"""C text of windows that slide over each channel alone: depthwise convolution and pooling of blocks of channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from codegen.engines.cpu.blocked.geometry import Image, Tile
from codegen.engines.cpu.blocked.ordered import Read, chained, either, ordered_prologue, taken
from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue, vector_prologue
from codegen.engines.cpu.machine import OrderedForm
from codegen.engines.cpu.source import fill
from codegen.expression import RESULT, Expression
from codegen.windows import Window, Windows

LINE_ELEMENTS = 16  # of 64 bytes
FETCHED_TILES = 2
CHAINS = (
    8  # sums that grow at the same time, to hide the latency of an addition: two a cycle, four cycles each
)


@dataclass(frozen=True)
class Run:
    """`count` tiles of equal shape behind each other, from output `first` of a row on."""

    first: int
    count: int
    taps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class WindowCode:
    """What the text depends on. `kind`: "product" (with weights and bias), "max" or "average".

    `rows` by `pixels` outputs are in registers at once; more than one row only where the windows see no border, their
    weights all being in registers too. `multiplier`: so many blocks in turn read one of the input. `fetches`: inputs
    are fetched ahead of their use; rows of a tile are more streams than a small core's prefetcher follows.
    """

    entry: str
    kind: str
    windows: Windows
    source: Image
    result: Image
    pixels: int
    rows: int = 1
    multiplier: int = 1
    include_padding: bool = False
    epilogue: Expression = RESULT
    ordered: OrderedForm = ""
    fetches: bool = False

    @property
    def lanes(self) -> int:
        return self.result.lanes

    @property
    def has_assembly(self) -> bool:
        """Whether sums are written in assembly too: products of NEON."""
        return self.kind == "product" and self.ordered == "neon"

    @property
    def block_weights(self) -> int:
        """Elements of the weights of one block of channels."""
        return self.windows.rows.taps * self.windows.columns.taps * self.lanes

    @property
    def inside(self) -> tuple[int, int]:
        """The rows of outputs [first, end) whose windows see no border."""
        rows = self.windows.rows
        whole = [y for y in range(rows.outputs) if rows.clipped(y) == (0, rows.taps)]
        return (whole[0], whole[-1] + 1) if whole else (0, 0)


def window_text(code: WindowCode) -> str:
    """`<entry>_span(x, x_first, w, bias, y, y_first, b_first, b_end, row_first, row_end)`.

    It computes the rows of outputs [row_first, row_end) of the blocks of channels [b_first, b_end). `x` begins with
    row `x_first` of the input, `y` with row `y_first` of the output. Pooling reads neither `w` nor `bias`.
    """
    functions = [_row_text(code)]
    if code.rows > 1:
        functions.append(_rows_text(code))
    prologue = vector_prologue(code.lanes, code.epilogue)
    if code.has_assembly:
        prologue += ordered_prologue(code.ordered)
    return "".join([prologue, *functions, _span_text(code)])


def row_runs(columns: Window, most: int) -> tuple[Run, ...]:
    """A row cut into tiles of `most` pixels and a rest, like neighbours together."""
    starts = range(0, columns.outputs, most)
    tiles = [Tile.of(columns, first, min(first + most, columns.outputs)) for first in starts]
    groups = [list(group) for _, group in groupby(tiles, key=lambda tile: tile.taps)]
    return tuple(Run(group[0].first, len(group), group[0].taps) for group in groups)


def _row_text(code: WindowCode) -> str:
    """One row of outputs, of whose windows the rows [ky_first, ky_end) lie inside the input."""
    bodies = [
        _repeated(code, run, _one_row(code, run)) for run in row_runs(code.windows.columns, code.pixels)
    ]
    return fill(
        """
        static void ${entry}_row(const float *restrict x, const float *restrict w, const float *restrict bias,
                                 float *restrict y, int ky_first, int ky_end)
        {
            $start
            $bodies
        }
        """,
        entry=code.entry,
        start=_start(code),
        bodies="\n    ".join(bodies),
    )


def _rows_text(code: WindowCode) -> str:
    """`rows` rows of outputs that see no border above or below: a row of inputs is loaded once for all of them."""
    runs = row_runs(code.windows.columns, code.pixels)
    used = {kx for run in runs for first, end in run.taps for kx in range(first, end)}
    taps = [
        f"const vec{code.lanes} w{ky}_{kx} = {constant_vector(code.lanes, f'w + {place * code.lanes}')};"
        for place, (ky, kx) in enumerate(_all_taps(code.windows))
        if kx in used
    ]
    bodies = [_repeated(code, run, _many_rows(code, run)) for run in runs]
    return fill(
        """
        static void ${entry}_rows(const float *restrict x, const float *restrict w, const float *restrict bias,
                                  float *restrict y)
        {
            $start
            $taps
            $bodies
        }
        """,
        entry=code.entry,
        start=_start(code),
        taps="\n    ".join(taps),
        bodies="\n    ".join(bodies),
    )


def _start(code: WindowCode) -> str:
    lanes = code.lanes
    if code.kind == "product":
        return f"const vec{lanes} start = {constant_vector(lanes, 'bias')}; (void)w;"
    if code.kind == "max":
        return f"const vec{lanes} start = (vec{lanes}){{0}} - __builtin_inff(); (void)w; (void)bias;"
    rows = code.windows.rows.taps if code.include_padding else "(ky_end - ky_first)"
    divisor = f"const float divisor = {rows}; "
    return f"{divisor}const vec{lanes} start = {{0}}; (void)w; (void)bias;"


def _all_taps(windows: Windows) -> Iterator[tuple[int, int]]:
    return ((ky, kx) for ky in range(windows.rows.taps) for kx in range(windows.columns.taps))


def _repeated(code: WindowCode, run: Run, body: Sequence[str]) -> str:
    """A tile's code over the tiles of a run; `in` and `out` point to where the tile's first pixel is."""
    columns, lines = code.windows.columns, "\n        ".join(body)
    start = (run.first * columns.stride - columns.pad) * code.source.pixel
    step = len(run.taps) * columns.stride * code.source.pixel
    out, out_step = run.first * code.result.pixel, len(run.taps) * code.result.pixel
    return (
        f"for (int t = 0; t < {run.count}; ++t) {{\n"
        f"        const float *restrict in = x + ({start} + t * {step});\n"
        f"        float *restrict out = y + ({out} + t * {out_step}); (void)in;\n"
        f"        {lines}\n    }}"
    )


def _one_row(code: WindowCode, run: Run) -> list[str]:
    pixels = len(run.taps)
    if code.has_assembly:
        lines = [either(code.ordered, "\n".join(_ordered_row(code, run)), "\n".join(_row_sums(code, run)))]
    else:
        lines = _row_sums(code, run)
    columns = code.windows.columns
    chains = _chains(code, pixels)
    for p, (low, high) in enumerate(run.taps):
        total = _joined(code, [f"a{p}_{chain}" for chain in range(chains)])
        if code.kind == "average":
            width = columns.taps if code.include_padding else high - low
            total = f"{total} / ({width} * divisor)"
        lines.append(_stored(code, total, p * code.result.pixel))
    return lines


def _chains(code: WindowCode, pixels: int) -> int:
    """Sums of each output that grow at the same time."""
    return max(1, min(code.windows.columns.taps, CHAINS // pixels))


def _ordered_row(code: WindowCode, run: Run) -> list[str]:
    """The sums of one row in assembly: of each row of the kernel the weights, then each input and what it goes into."""
    lanes, columns, chains = code.lanes, code.windows.columns, _chains(code, len(run.taps))
    names = [f"a{p}_{chain}" for p in range(len(run.taps)) for chain in range(chains)]
    starts = ", ".join(f"{name} = {'start' if name.endswith('_0') else '{0}'}" for name in names)
    readers = _readers(columns, run.taps)
    lines = [f"vec{lanes} {starts};", "for (int ky = ky_first; ky < ky_end; ++ky) {"]
    if readers:
        first = next(iter(readers)) * code.source.pixel
        used = sorted({kx for reading in readers.values() for _, kx in reading})
        lines += [
            f"const float *from = in + ky * {code.windows.rows.dilation * code.source.row} + {first};",
            f"const float *k = w + ky * {columns.taps * lanes} + {used[0] * lanes};",
            f"vec{lanes} {', '.join(f'w{kx}' for kx in used)};",
        ]
        weights = chained("k", [(kx, kx * lanes) for kx in used], used[-1] * lanes)
        lines += [taken(f"w{read.pixel}", "k", read.advance) for read in weights]
        places = [(column, column * code.source.pixel) for column in readers]
        for read in chained("from", places, first):
            updates = [(f"a{p}_{kx % chains}", f"w{kx}") for p, kx in readers[read.pixel]]
            lines.append(_ordered_input(lanes, read, updates))
    return [*lines, "}"]


def _ordered_input(lanes: int, read: Read, updates: Sequence[tuple[str, str]]) -> str:
    """One input, and the sums that it goes into by their weights."""
    products = " ".join(f"EXPLORE_MULTIPLIED({total}, {weight}, v);" for total, weight in updates)
    return f"{{ vec{lanes} v; {taken('v', read.pointer, read.advance)} {products} }}"


def _row_sums(code: WindowCode, run: Run) -> list[str]:
    """The sums of one row in C."""
    lanes, pixels = code.lanes, len(run.taps)
    chains = _chains(code, pixels)
    names = [f"a{p}_{chain}" for p in range(pixels) for chain in range(chains)]
    first = "start" if code.kind == "max" else "{0}"
    values = (f"{name} = {'start' if name.endswith('_0') else first}" for name in names)
    lines = [f"vec{lanes} {', '.join(values)};"]
    lines.append("for (int ky = ky_first; ky < ky_end; ++ky) {")
    lines.append(f"    const float *restrict row = in + ky * {code.windows.rows.dilation * code.source.row};")
    columns = code.windows.columns
    readers = _readers(columns, run.taps)
    if code.kind == "product" and readers:
        place = f"w + ky * {columns.taps * lanes}"
        used = sorted({kx for reading in readers.values() for _, kx in reading})
        lines += [
            f"    const vec{lanes} w{kx} = {constant_vector(lanes, f'{place} + {kx * lanes}')};"
            for kx in used
        ]
    for column, reading in readers.items():
        load = f"const vec{lanes} v = {constant_vector(lanes, f'row + {column * code.source.pixel}')};"
        updates = [_update(code, f"a{p}_{kx % chains}", f"w{kx}") for p, kx in reading]
        lines.append(f"    {{ {' '.join([load, *updates])} }}")
    return [*lines, "    (void)row;" if not readers else "", "}"]


def _fetched(code: WindowCode, run: Run, row: str) -> list[str]:
    """Prefetches of what the tile after the next reads of a row."""
    if not code.fetches:
        return []
    step = len(run.taps) * code.windows.columns.stride * code.source.pixel
    return [
        f"__builtin_prefetch({row} + {FETCHED_TILES * step + line});"
        for line in range(0, step, LINE_ELEMENTS)
    ]


def _many_rows(code: WindowCode, run: Run) -> list[str]:
    lines = _rows_sums(code, run)
    down = (
        (code.rows - 1) * code.windows.rows.stride
        + (code.windows.rows.taps - 1) * code.windows.rows.dilation
        + 1
    )
    lines = [
        *(line for row in range(down) for line in _fetched(code, run, f"in + {row * code.source.row}")),
        *lines,
    ]
    if code.has_assembly:
        lines = [either(code.ordered, "\n".join(_ordered_rows(code, run)), "\n".join(lines))]
    for r in range(code.rows):
        for p in range(len(run.taps)):
            place = r * code.result.row + p * code.result.pixel
            lines.append(_stored(code, f"a{r}_{p}", place))
    return lines


def _ordered_rows(code: WindowCode, run: Run) -> list[str]:
    """The sums of several rows in assembly; they begin with the bias in memory, which leaves its register to them."""
    lanes, rows, columns = code.lanes, code.windows.rows, code.windows.columns
    across = _readers(columns, run.taps)
    down = _readers(rows, ((0, rows.taps),) * code.rows)
    names = [f"a{r}_{p}" for r in range(code.rows) for p in range(len(run.taps))]
    lines = [f"vec{lanes} {', '.join(names)};", *(f"EXPLORE_AT({name}, bias);" for name in names)]
    inputs = [
        (row * code.source.row + column * code.source.pixel, below, beside)
        for row, below in down.items()
        for column, beside in across.items()
    ]
    if not inputs:
        return lines
    first = inputs[0][0]
    lines.append(f"const float *from = in + {first};")
    reads = chained("from", [(0, place) for place, _, _ in inputs], first)
    for read, (_, below, beside) in zip(reads, inputs, strict=True):
        updates = [(f"a{r}_{p}", f"w{ky}_{kx}") for r, ky in below for p, kx in beside]
        lines.append(_ordered_input(lanes, read, updates))
    return lines


def _rows_sums(code: WindowCode, run: Run) -> list[str]:
    """The sums of several rows in C."""
    lanes, rows, columns = code.lanes, code.windows.rows, code.windows.columns
    names = [f"a{r}_{p} = start" for r in range(code.rows) for p in range(len(run.taps))]
    lines = [f"vec{lanes} {', '.join(names)};"]
    across = _readers(columns, run.taps)
    down = _readers(rows, ((0, rows.taps),) * code.rows)
    for row, below in down.items():
        for column, beside in across.items():
            place = row * code.source.row + column * code.source.pixel
            load = f"const vec{lanes} v = {constant_vector(lanes, f'in + {place}')};"
            updates = [_update(code, f"a{r}_{p}", f"w{ky}_{kx}") for r, ky in below for p, kx in beside]
            lines.append(f"{{ {' '.join([load, *updates])} }}")
    return lines


def _readers(window: Window, taps: Sequence[tuple[int, int]]) -> dict[int, list[tuple[int, int]]]:
    """The (output, tap) pairs that read an input, by its place behind the first output's first tap, in order."""
    readers: dict[int, list[tuple[int, int]]] = {}
    for output, (first, end) in enumerate(taps):
        for tap in range(first, end):
            readers.setdefault(output * window.stride + tap * window.dilation, []).append((output, tap))
    return dict(sorted(readers.items()))


def _update(code: WindowCode, total: str, weight: str) -> str:
    if code.kind == "product":
        return f"{total} += {weight} * v;"
    return f"{total} = {_larger(code, total, 'v')};" if code.kind == "max" else f"{total} += v;"


def _joined(code: WindowCode, names: Sequence[str]) -> str:
    while len(names) > 1:
        halves = list(zip(names[::2], names[1::2], strict=False))
        pairs = [_larger(code, a, b) if code.kind == "max" else f"({a} + {b})" for a, b in halves]
        names = [*pairs, *names[2 * len(pairs) :]]
    return names[0]


def _larger(code: WindowCode, a: str, b: str) -> str:
    return f"vec{code.lanes}_larger({a}, {b})"


def _stored(code: WindowCode, value: str, place: int) -> str:
    return f"{vector(code.lanes, f'out + {place}')} = {vector_epilogue(code.lanes, value, code.epilogue)};"


def _span_text(code: WindowCode) -> str:
    rows, (inside_first, inside_end) = code.windows.rows, code.inside
    return fill(
        """
        static void ${entry}_span(const float *x, int x_first, const float *w, const float *bias, float *y, int y_first,
                                  int b_first, int b_end, int row_first, int row_end)
        {
            for (int b = b_first; b < b_end; ++b) {
                const float *const k = w + b * $block_weights, *const starts = bias + b * $bias;
                for (int oy = row_first; oy < row_end;) {
                    const int iy = oy * $stride - $pad;
                    const float *const from = x + $source_block + (iy - x_first) * $source_row;
                    float *const to = y + b * $result_block + (oy - y_first) * $result_row;
                    $many
                    const int below = iy < 0 ? (-iy + $reach) / $dilation : 0;
                    const int fit = ($inputs - iy + $reach) / $dilation;
                    ${entry}_row(from, k, starts, to, below, fit < $taps ? fit : $taps);
                    ++oy;
                }
            }
        }
        """,
        entry=code.entry,
        block_weights=code.block_weights if code.kind == "product" else 0,
        bias=code.lanes if code.kind == "product" else 0,
        many=""
        if code.rows == 1
        else (
            f"if (oy >= {inside_first} && oy + {code.rows} <= {inside_end} && oy + {code.rows} <= row_end) {{\n"
            f"                {code.entry}_rows(from, k, starts, to);\n"
            f"                oy += {code.rows};\n"
            f"                continue;\n"
            f"            }}"
        ),
        stride=rows.stride,
        pad=rows.pad,
        reach=rows.dilation - 1,
        dilation=rows.dilation,
        inputs=rows.inputs,
        taps=rows.taps,
        source_block=f"{'b' if code.multiplier == 1 else f'b / {code.multiplier}'} * {code.source.block}",
        source_row=code.source.row,
        result_block=code.result.block,
        result_row=code.result.row,
    )
