"""C text that walks a pattern: for each row of outputs its weights one after another, sums of a tile in registers."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.cpu.blocked.vectors import constant_vector, vector, vector_epilogue
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.sparse.pattern import Walk
from codegen.expression import Expression

_LINE = "\n                "


def walk_text(entry: str, walk: Walk, vectors: int, lanes: int, plane: int, epilogue: Expression) -> str:
    """`<entry>_rows(x, s, bias, sums, y, count, first, last)`: the rows of a list's block, which begins at `s`.

    They are computed for `count` pixels of outputs `plane` elements apart; the end of the block is returned.
    `x` is what `columns_text` copies. Between the first and the last block of operands sums are kept in `sums`.
    """
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
    results = [_results(r, walk, vectors, lanes, plane, epilogue) for r in rows]
    return fill(
        _ROWS,
        entry=entry,
        lanes=lanes,
        rows=walk.rows,
        sums=", ".join(f"a{r}_{t}" for r, t in sums),
        starts=_either(
            "first", walk, starts, [f"a{r}_{t} = {_kept(r, t, vectors, lanes)};" for r, t in sums]
        ),
        updates=_LINE.join([*loads, *updates]),
        results=_either(
            "last", walk, results, [f"{_kept(r, t, vectors, lanes)} = a{r}_{t};" for r, t in sums]
        ),
    )


def _either(flag: str, walk: Walk, usual: Sequence[str], otherwise: Sequence[str]) -> str:
    """The usual statements, or the others but in the first, or last, of several blocks."""
    if walk.blocks == 1:
        return _LINE.join(usual)
    return f"if ({flag}) {{ {_LINE.join(usual)} }} else {{ {_LINE.join(otherwise)} }}"


def _kept(row: int, number: int, vectors: int, lanes: int) -> str:
    """The place of a sum between two blocks of operands."""
    return vector(lanes, f"sums + (o + {row}) * {vectors * lanes} + {number * lanes}")


def _results(row: int, walk: Walk, vectors: int, lanes: int, plane: int, epilogue: Expression) -> str:
    values: Sequence[str] = [vector_epilogue(lanes, f"a{row}_{t}", epilogue) for t in range(vectors)]
    stores = " ".join(f"{vector(lanes, f'to + {t * lanes}')} = r[{t}];" for t in range(vectors))
    guard = f"if (o + {row} < {walk.outputs}) " if walk.outputs % walk.rows else ""
    return (
        f"{guard}{{ const vec{lanes} r[{vectors}] = {{{', '.join(values)}}}; "
        f"float *to = y + (size_t)(o + {row}) * {plane}; "
        f"if (count == {vectors * lanes}) {{ {stores} }} else memcpy(to, r, (size_t)count * sizeof *to); }}"
    )


_ROWS = """
    typedef struct {
        int bytes;
        float weights[$rows];
    } __attribute__((may_alias)) ${entry}_entry;

    static const int *${entry}_rows(const float *restrict x, const int *restrict s, const float *restrict bias,
                                    float *restrict sums, float *restrict y, int count, int first, int last)
    {
        const int *end_of_rows = s + 1 + 2 * s[0];
        const ${entry}_entry *restrict e = (const void *)end_of_rows;
        (void)sums, (void)first, (void)last;
        for (++s; s != end_of_rows; s += 2) {
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
        return (const void *)e;
    }
"""
