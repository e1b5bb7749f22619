"""C text of products of matrices: tiles of rows by blocks of output channels, in assembly on AArch64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import indent

from codegen.engines.cpu.blocked.ordered import (
    Place,
    ahead,
    chained,
    either,
    neon_products,
    ordered_ends,
    ordered_starts,
    ordered_sums,
    vfp_products,
)
from codegen.engines.cpu.blocked.scheduled_tile import (
    CHANNELS,
    TileShape,
    can_schedule,
    part_sums,
    tile_statements,
)
from codegen.engines.cpu.blocked.vectors import constant_vector, vector
from codegen.engines.cpu.machine import FLOAT_BYTES, ORDERED_LANES, OrderedForm
from codegen.engines.cpu.partial_sums import Limits, Parts, summed
from codegen.engines.cpu.source import fill
from codegen.engines.cpu.threads import LINE

_FETCH = ", const float *fetch"
AHEAD = 256  # vectors from the weights in use to those fetched: large layers stream them from main memory


@dataclass(frozen=True)
class ProductCode:
    """What the text depends on: sums of `channels` products, of inputs whose rows are neighbours in a block of them,
    `block` elements from one block to the next. Sums are in parts of about `limits`. `by_element`: on AArch64
    products are in assembly (`scheduled_tile`); with `ordered` they are on 32-bit ARM. `fetching`: as many register
    tiles share out the fetching of the weights behind; 0: each fetches its own. `fetches_in_c`: so does C, which else
    leaves it to the core.
    """

    entry: str
    channels: int
    lanes: int
    block: int
    limits: Limits
    by_element: bool = False
    ordered: OrderedForm = ""
    fetching: int = 0
    fetches_in_c: bool = True

    @property
    def parts(self) -> Parts:
        """Of the loop over whole blocks of input channels."""
        return Parts.of(self.channels // self.lanes, self.lanes, self.lanes, self.limits)


def product_text(code: ProductCode, height: int, width: int) -> str:
    """`<entry>_product<height>x<width>(v, w, m, [fetch])`: one of the products of each tile, blocks side by side."""
    in_c = _product_in_c(code, height, width)
    shape = scheduled_shape(code, height, width)
    if shape is None:
        return in_c
    return f"#if defined(__aarch64__)\n{_product_in_assembly(code, shape)}#else\n{in_c}#endif\n"


def scheduled_shape(code: ProductCode, height: int, width: int) -> TileShape | None:
    """The products as `scheduled_tile` takes them; None where the C text is all there is."""
    if not code.by_element or code.lanes != CHANNELS or code.channels % CHANNELS:
        return None
    vector_bytes = code.lanes * FLOAT_BYTES
    weights = CHANNELS * width * vector_bytes
    fetched = -(-weights // code.fetching) if code.fetching else 0
    shape = TileShape(height, width, vector_bytes, code.block * FLOAT_BYTES, fetched)
    return shape if can_schedule(shape) else None


def _product_in_assembly(code: ProductCode, shape: TileShape) -> str:
    parts, only_to = code.parts, ""
    results = [
        f"{vector(CHANNELS, f'm + {total * CHANNELS}')} = {part_sums(shape, parts, total)};"
        for total in range(shape.pixels * shape.blocks)
    ]
    if parts.count == 1:
        only_to, results = "m", []
    return fill(
        """
        static void ${entry}_product${height}x$width(const float *restrict v, const float *restrict w,
                                                     float *restrict m$fetch)
        {
            static const vec$lanes zeros[$width];
            $assembly
            $results
        }
        """,
        entry=code.entry,
        fetch=_FETCH if code.fetching else "",
        height=shape.pixels,
        width=shape.blocks,
        lanes=code.lanes,
        assembly=tile_statements(shape, parts, "v", "zeros", only_to),
        results="\n    ".join(results),
    )


def _product_in_c(code: ProductCode, height: int, width: int) -> str:
    """`height` tiles by `width` blocks of output channels, of one of the products of a tile."""
    vec, lanes = f"vec{code.lanes}", code.lanes
    rest = code.channels % lanes
    names = [f"a{p}_{b}" for p in range(height) for b in range(width)]
    loads = [f"const {vec} w{b} = {constant_vector(lanes, f'w + {b * lanes}')};" for b in range(width)]
    fetches = [f"__builtin_prefetch(w + {AHEAD * lanes + line});" for line in range(0, width * lanes, LINE)]
    fetches = [" ".join(fetches)] if code.fetches_in_c else []
    updates = [
        f"{{ const float s = v[c + {p * lanes}]; "
        + " ".join(f"a{p}_{b} += w{b} * s;" for b in range(width))
        + " }"
        for p in range(height)
    ]
    loop = fill(
        """
        for (int i = 0; i < $count; ++i, v += $block)
            for (int c = 0; c < $channels; ++c, w += $step) {
                $loads
                $updates
            }
        """,
        count="$count",
        channels="$channels",
        block=code.block,
        step=width * lanes,
        loads="\n        ".join([*loads, *fetches]),
        updates="\n        ".join(updates),
    )

    def whole_blocks(count: str) -> str:
        return fill(loop, count=count, channels=lanes)

    parts = [summed(code.parts, vec, names, whole_blocks)] if code.channels >= lanes else []
    if rest:
        parts.append(fill(loop, count="1", channels=rest))
    in_c = f"{vec} {', '.join(f'{name} = {{0}}' for name in names)};\n" + "\n".join(parts).strip()
    if code.ordered:
        in_c = either(code.ordered, _ordered_sums(code, height, width), in_c)
    results = [
        f"{vector(lanes, f'm + {(p * width + b) * lanes}')} = a{p}_{b};"
        for p in range(height)
        for b in range(width)
    ]
    return fill(
        """
        static void ${entry}_product${height}x$width(const float *restrict v, const float *restrict w,
                                                     float *restrict m$fetch)
        {
            $sums
            $results
        }
        """,
        entry=code.entry,
        fetch=_FETCH if code.fetching else "",
        height=height,
        width=width,
        sums=("(void)fetch;\n    " if code.fetching else "") + indent(in_c, "    ").strip(),
        results="\n    ".join(results),
    )


def _ordered_sums(code: ProductCode, height: int, width: int) -> str:
    """The sums in assembly of 32-bit ARM."""
    rest = code.channels % ORDERED_LANES
    kind, names = ordered_sums(code.ordered, height, width)
    lines = [ordered_starts(code.ordered, height, width, ["{0}"] * width)]

    def blocks(channels: int) -> Callable[[str], str]:
        body = "\n".join(_ordered_block(code, height, width, channels))
        return lambda count: f"for (int i = 0; i < {count}; ++i) {{\n{body}\n}}"

    if code.channels >= ORDERED_LANES:
        lines.append(summed(code.parts, kind, names, blocks(ORDERED_LANES)))
    if rest:
        lines.append(blocks(rest)("1"))
    return "\n".join([*lines, ordered_ends(code.ordered, height, width)])


def _ordered_block(code: ProductCode, height: int, width: int, channels: int) -> list[str]:
    """The products of one block of inputs of which so many channels are read."""
    step = width * ORDERED_LANES
    lines = [ahead(code.ordered, "w", line) for line in range(0, channels * step, LINE)]
    if code.ordered == "neon":
        places = [(p, p * ORDERED_LANES) for p in range(height)]
        reads = chained("v", places, code.block)
        lines += neon_products(reads, width, channels, "w", 0, 0)
    else:
        for c in range(channels):
            inputs = [Place(p, "v", p * ORDERED_LANES + c) for p in range(height)]
            lines += ["{", *vfp_products(inputs, width, "w"), "}"]
        lines.append(f"v += {code.block};")
    return lines
