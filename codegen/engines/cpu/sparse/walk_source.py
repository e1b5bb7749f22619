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
    CHANNELS,
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
    into the first cache.
    """

    walk: Walk
    vectors: int
    lanes: int
    plane: int
    epilogue: Expression
    channels: int = 1
    scheduled: bool = False
    fetches: bool = False

    @property
    def pixels(self) -> int:
        return self.vectors * self.lanes

    @property
    def shape(self) -> WalkShape | None:
        """Of the assembly; None where there is none."""
        results = Results.of(self.epilogue, 0)
        if not self.scheduled or self.walk.rows > 1 or self.vectors > MOST_VECTORS or results is None:
            return None
        if self.channels > 1 and self.vectors < self.channels:
            return None
        return WalkShape(
            self.vectors,
            self.fetches,
            self.walk.blocks,
            results,
            outputs=self.walk.outputs if self.channels > 1 else 0,
        )

    @property
    def copied_elements(self) -> int:
        """Of results of a tile that is not whole, which are copied to where they belong."""
        if self.shape is None or self.plane % self.pixels == 0:
            return 0
        return -(-self.walk.outputs // self.channels) * self.channels * self.pixels


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
    if shape is not None:
        body = f"#if defined(__aarch64__)\n{_assembly(code, shape)}#else\n{body}#endif\n"
    return fill(_ROWS, entry=entry, rows=walk.rows, head=HEAD_WORDS, behind=ENTRIES_BEHIND, body=body)


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


def _assembly(code: WalkCode, shape: WalkShape) -> str:
    """Of a tile that is not whole all results are stored elsewhere, and those of its pixels copied from there."""
    several = ', [sums] "r"(sums), [first] "r"(first), [last] "r"(last)' if shape.blocks > 1 else ""
    copied = code.copied_elements > 0
    size = f"{code.channels * FLOAT_BYTES}l"
    return fill(
        _ASSEMBLY,
        whole=f"count == {code.pixels}" if copied else "1",
        plane=f"{code.plane} * {size}",
        tile=f"{code.pixels} * {size}",
        instructions="\n".join(f'"{line}\\n"' for line in walk_assembly(shape)),
        several=several + (', [block] "r"(block)' if shape.outputs else ""),
        block=f"float block[{CHANNELS * code.pixels}];" if shape.outputs else "",
        ahead=shape.ahead,
        head=HEAD_WORDS,
        clobbers=", ".join(f'"{name}"' for name in walk_clobbers()),
        copies=_copies(code) if copied else "(void)end_of_rows;",
    )


def _copies(code: WalkCode) -> str:
    return fill(
        _COPIES,
        source=_place("s[0]", code, code.pixels),
        target=_place("s[0]", code, code.plane),
        channels=code.channels,
        head=HEAD_WORDS,
    )


_ROWS = """
    typedef struct {
        int bytes;
        float weights[$rows];
    } __attribute__((may_alias)) ${entry}_entry;

    static const int *${entry}_rows(const float *restrict x, const int *restrict s, const float *restrict bias,
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

_ASSEMBLY = """
        const int whole = $whole;
        const int *heads = s + $head;
        long rows = s[0];
        const float *next;
        $block
        __asm__ volatile(
            $instructions
            : [heads] "+&r"(heads), [e] "+&r"(e), [rows] "+&r"(rows), [next] "=&r"(next)
            : [x] "r"(x), [bias] "r"(bias), [y] "r"(whole ? y : results), [plane] "r"(whole ? $plane : $tile)$several
            : $clobbers);
        e -= $ahead;
        $copies
"""

_COPIES = """
        if (!whole && last)
            for (s += $head; s != end_of_rows; s += 2) {
                const float *from = results + $source;
                float *to = y + $target;
                for (int j = 0; j < count; ++j)
                    to[j * $channels] = from[j * $channels];
            }
"""
