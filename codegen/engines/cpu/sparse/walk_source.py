"""C text that walks a pattern: for each row of outputs its weights one after another, sums of a tile in registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.engines.cpu.blocked.tile_results import Results
from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.machine import FLOAT_BYTES
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.sparse.pattern import ENTRIES_BEHIND, HEAD_WORDS, Walk
from codegen.engines.cpu.sparse.walk_assembly import (
    MOST_VECTORS,
    WalkShape,
    walk_assembly,
    walk_clobbers,
)
from codegen.expression import Expression

_LINE = "\n                "


@dataclass(frozen=True)
class WalkCode:
    """What the text depends on: `vectors` of `lanes` pixels at a time of planes of `plane` pixels.

    `channels`: of a block of the channel-blocked layout that results lie in; 1: row-major. `scheduled`: on AArch64
    rows are walked in assembly, where the epilogue is a clamp and registers suffice; `fetches`: which fetches operands
    into the first cache, of which those of several tiles may take `cache_bytes`.
    """

    walk: Walk
    vectors: int
    lanes: int
    plane: int
    epilogue: Expression
    channels: int = 1
    scheduled: bool = False
    fetches: bool = False
    cache_bytes: int = 0

    @property
    def pixels(self) -> int:
        return self.vectors * self.lanes

    @property
    def shape(self) -> WalkShape | None:
        """Of the assembly; None where there is none."""
        results = Results.of(self.epilogue, 0)
        if not self.scheduled or self.walk.rows > 1 or self.vectors > MOST_VECTORS or results is None:
            return None
        return WalkShape(self.vectors, self.fetches, self.walk.blocks, results)

    @property
    def tiles(self) -> int:
        """Of pixels whose results are stored together: as many operands as stay in the first cache."""
        if self.shape is None or self.channels == 1 or self.walk.blocks > 1:
            return 1
        tile_bytes = self.walk.block * self.walk.operand_bytes
        return max(1, min(-(-self.plane // self.pixels), self.cache_bytes // tile_bytes))

    @property
    def copied_elements(self) -> int:
        """Of results that are copied to where they belong: of a block of channels, or of a tile that is not whole."""
        if self.shape is None:
            return 0
        if self.channels > 1:
            return self.channels * self.tiles * self.pixels
        return self.walk.outputs * self.pixels if self.plane % self.pixels else 0


def walk_text(entry: str, code: WalkCode) -> str:
    """`<entry>_rows(x, s, bias, sums, results, y, count, first, last)`: the rows of a list's block, which begins at
    `s`.

    They are computed for `count` pixels of results of which `y` is the tile's first; the end of the block is returned.
    `x` is what `columns_text` copies. Between the first and the last block of operands sums are kept in `sums`;
    `results` has `copied_elements`.
    """
    walk, lanes, vectors = code.walk, code.lanes, code.vectors
    rows = range(walk.rows)
    sums = [(r, t) for r in rows for t in range(vectors)]
    loads = [
        f"const vec{lanes} v{t} = {constant_vector(lanes, f'from + {t * lanes}')};" for t in range(vectors)
    ]
    updates = [f"a{r}_{t} += v{t} * e->weights[{r}];" for r, t in sums]
    if walk.rows == 1:  # each operand is used once: loaded by the multiplication
        loads = []
        updates = [
            f"a0_{t} += {constant_vector(lanes, f'from + {t * lanes}')} * e->weights[0];" for _, t in sums
        ]
    starts = [f"a{r}_{t} = (vec{lanes}){{0}} + bias[o + {r}];" for r, t in sums]
    results = [_results(r, code) for r in rows]
    body = fill(
        _BODY,
        lanes=lanes,
        rows=walk.rows,
        head=HEAD_WORDS,
        entry=entry,
        sums=", ".join(f"a{r}_{t}" for r, t in sums),
        starts=_either(
            "first", walk, starts, [f"a{r}_{t} = {_kept(r, t, vectors, lanes)};" for r, t in sums]
        ),
        updates=_LINE.join([*loads, *updates]),
        results=_either(
            "last", walk, results, [f"{_kept(r, t, vectors, lanes)} = a{r}_{t};" for r, t in sums]
        ),
    )
    shape = code.shape
    if shape is not None and code.channels > 1:
        return _block_rows(entry, code, shape, body)
    if shape is not None:
        body = f"#if defined(__aarch64__)\n{_assembly(entry, code, shape)}#else\n{body}#endif\n"
    return fill(_ENTRY, entry=entry, rows=walk.rows) + _rows(entry, "rows", body)


def _rows(entry: str, name: str, body: str) -> str:
    return fill(_ROWS, entry=entry, name=name, head=HEAD_WORDS, behind=ENTRIES_BEHIND, body=body)


def _block_rows(entry: str, code: WalkCode, shape: WalkShape, body: str) -> str:
    """The rows of a block of channels wait for each other, over several tiles of pixels, then are stored at once: lines
    of the cache that are written whole, one behind the other, are not read before.
    """
    tile = code.walk.block * code.pixels
    names: dict[str, int | str] = {
        "pixels": code.pixels,
        "tile": tile,
        "channels": code.channels,
        "entry": entry,
    }
    assembly = fill(
        _BLOCKS,
        **names,
        walk=_statement(code, shape),
        row=code.tiles * code.pixels,
        block=code.plane * code.channels,
        head=HEAD_WORDS,
        ahead=shape.ahead,
        done="last" if code.walk.blocks > 1 else "1",
        transposed=_LINE.join(_transposed(code)),
        moved=_LINE.join(
            f"to[j * {code.channels} + {c}] = results[{c * code.tiles * code.pixels} + j];"
            for c in range(code.channels)
        ),
    )
    tiles = fill(_TILES, **names)
    return (
        fill(_ENTRY, entry=entry, rows=1)
        + f"#if defined(__aarch64__)\n{_rows(entry, 'rows', assembly)}#else\n"
        + f"{_rows(entry, 'tile', body)}{tiles}#endif\n"
    )


def _transposed(code: WalkCode) -> list[str]:
    """Statements that store four pixels of a block of channels."""
    row = code.tiles * code.pixels
    lines = [f"const vec4 a{c} = {constant_vector(4, f'results + {c * row} + j')};" for c in range(4)]
    for source, target, pairs in (("a", "b", ((0, 2), (1, 3))), ("b", "c", ((0, 2), (1, 3)))):
        for i, (one, other) in enumerate(pairs):
            for half in (1, 2):
                to = f"{target}{2 * i + half - 1}"
                operands = f'"w"({source}{one}), "w"({source}{other})'
                lines.append(
                    f'vec4 {to}; __asm__("zip{half} %0.4s, %1.4s, %2.4s" : "=w"({to}) : {operands});'
                )
    return [*lines, *(f"{vector(4, f'to + (j + {p}) * 4')} = c{p};" for p in range(4))]


def _either(flag: str, walk: Walk, usual: Sequence[str], otherwise: Sequence[str]) -> str:
    """The usual statements, or the others but in the first, or last, of several blocks."""
    if walk.blocks == 1:
        return _LINE.join(usual)
    return f"if ({flag}) {{ {_LINE.join(usual)} }} else {{ {_LINE.join(otherwise)} }}"


def _kept(row: int, number: int, vectors: int, lanes: int) -> str:
    """The place of a sum between two blocks of operands."""
    return vector(lanes, f"sums + (o + {row}) * {vectors * lanes} + {number * lanes}")


def _results(row: int, code: WalkCode) -> str:
    lanes, vectors, walk = code.lanes, code.vectors, code.walk
    values: Sequence[str] = [vector_epilogue(lanes, f"a{row}_{t}", code.epilogue) for t in range(vectors)]
    stores = " ".join(f"{vector(lanes, f'to + {t * lanes}')} = r[{t}];" for t in range(vectors))
    stored = f"if (count == {code.pixels}) {{ {stores} }} else memcpy(to, r, (size_t)count * sizeof *to);"
    if code.channels > 1:
        value = "((const float *)r)[j]"
        stored = f"for (int j = 0; j < count; ++j) to[j * {code.channels}] = {value};"
    guard = f"if (o + {row} < {walk.outputs}) " if walk.outputs % walk.rows else ""
    return (
        f"{guard}{{ const vec{lanes} r[{vectors}] = {{{', '.join(values)}}}; "
        f"float *to = y + {_place(f'(o + {row})', code, code.plane)}; {stored} }}"
    )


def _place(channel: str, code: WalkCode, plane: int) -> str:
    """Elements from a tile's first result to those of a channel, in planes of so many pixels."""
    if code.channels == 1:
        return f"(size_t){channel} * {plane}"
    return f"(size_t)({channel} / {code.channels}) * {plane * code.channels} + {channel} % {code.channels}"


def _statement(code: WalkCode, shape: WalkShape) -> str:
    """Of `rows` from `heads` and entries from `q` on; results lie at `to`, `plane` bytes apart."""
    several = ', [sums] "r"(sums), [first] "r"(first), [last] "r"(last)' if shape.blocks > 1 else ""
    return fill(
        _STATEMENT,
        instructions="\n".join(f'"{line}\\n"' for line in walk_assembly(shape)),
        several=several,
        clobbers=", ".join(f'"{name}"' for name in walk_clobbers()),
    )


def _assembly(entry: str, code: WalkCode, shape: WalkShape) -> str:
    """Of a tile that is not whole all results are stored elsewhere, and those of its pixels copied from there."""
    copied = code.copied_elements > 0
    return fill(
        _PLANES,
        entry=entry,
        whole=f"count == {code.pixels}" if copied else "1",
        plane=code.plane * FLOAT_BYTES,
        tile=code.pixels * FLOAT_BYTES,
        walk=_statement(code, shape),
        head=HEAD_WORDS,
        ahead=shape.ahead,
        copies=_copies(code) if copied else "(void)end_of_rows;",
    )


def _copies(code: WalkCode) -> str:
    return fill(_COPIES, plane=code.plane, pixels=code.pixels, head=HEAD_WORDS)


_ENTRY = """
    typedef struct {
        int bytes;
        float weights[$rows];
    } __attribute__((may_alias)) ${entry}_entry;

"""

_ROWS = """
    static const int *${entry}_$name(const float *restrict x, const int *restrict s, const float *restrict bias,
                                    float *restrict sums, float *restrict results, float *restrict y, int count,
                                    int first, int last)
    {
        const int *end_of_rows = s + $head + 2 * s[0];
        const ${entry}_entry *restrict e = (const void *)end_of_rows;
        (void)sums, (void)results, (void)count, (void)first, (void)last;
        $body
        return (const void *)(e + $behind);
    }
"""

_BODY = """
        for (s += $head; s != end_of_rows; s += 2) {
            const int o = s[0] * $rows;
            const ${entry}_entry *end = e + s[1];
            vec$lanes $sums;
            $starts
            for (; e != end; ++e) {
                const float *restrict from = (const void *)((const char *)x + e->bytes);
                $updates
            }
            $results
        }
"""

_STATEMENT = """
        const float *next;
        __asm__ volatile(
            $instructions
            : [heads] "+&r"(heads), [e] "+&r"(q), [rows] "+&r"(rows), [next] "=&r"(next)
            : [x] "r"(from), [bias] "r"(bias), [y] "r"(to), [plane] "r"(plane)$several
            : $clobbers);
"""

_PLANES = """
        const int whole = $whole;
        const int *heads = s + $head;
        const ${entry}_entry *q = e;
        const float *from = x, *to = whole ? y : results;
        long rows = s[0], plane = whole ? ${plane}l : ${tile}l;
        $walk
        e = q - $ahead;
        $copies
"""

_COPIES = """
        if (!whole && last)
            for (s += $head; s != end_of_rows; s += 2)
                memcpy(y + (size_t)s[0] * $plane, results + s[0] * $pixels, (size_t)count * sizeof *y);
"""

_BLOCKS = """
        long left = s[0];
        const long plane = $row * sizeof(float);
        for (s += $head; s != end_of_rows;) {
            const int of_block = left < $channels ? (int)left : $channels, o = s[0];
            const ${entry}_entry *q = e;
            for (int t = 0; t * $pixels < count; ++t) {
                const float *from = x + t * $tile;
                const char *to = (const char *)(results + t * $pixels) - o * plane;
                const int *heads = s;
                long rows = of_block;
                q = e;
                $walk
            }
            e = q - $ahead;
            s += 2 * of_block;
            left -= of_block;
            if ($done) {
                float *restrict to = y + (size_t)(o / $channels) * $block;
                int j = 0;
                for (; j + $channels <= count; j += $channels) {
                    $transposed
                }
                for (; j < count; ++j) {
                    $moved
                }
            }
        }
"""

_TILES = """
    static const int *${entry}_rows(const float *restrict x, const int *restrict s, const float *restrict bias,
                                    float *restrict sums, float *restrict results, float *restrict y, int count,
                                    int first, int last)
    {
        const int *end = s;
        for (int j = 0; j < count; j += $pixels, x += $tile, y += $pixels * $channels)
            end = ${entry}_tile(x, s, bias, sums, results, y, count - j < $pixels ? count - j : $pixels, first, last);
        return end;
    }
"""
