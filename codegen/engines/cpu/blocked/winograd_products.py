"""C text of the products of a Winograd convolution: tiles by blocks of output channels, in assembly on AArch64."""

from __future__ import annotations

from collections.abc import Callable
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
from codegen.engines.cpu.blocked.winograd_code import LINE, WinogradCode
from codegen.engines.cpu.machine import FLOAT_BYTES, ORDERED_LANES
from codegen.engines.cpu.partial_sums import Parts, summed
from codegen.engines.cpu.source import fill

_FETCH = ", const float *fetch"
LIMITS = 32, 128  # of partial sums: the transform back magnifies their rounding
AHEAD = 256  # vectors from the weights in use to those fetched: large layers stream them from main memory


def product_text(code: WinogradCode, height: int, width: int) -> str:
    """`<entry>_product<height>x<width>(v, w, m, [fetch])`: one of the products of each tile, blocks side by side."""
    in_c = _product_in_c(code, height, width)
    shape = scheduled_shape(code, height, width)
    if shape is None:
        return in_c
    return f"#if defined(__aarch64__)\n{_product_in_assembly(code, shape)}#else\n{in_c}#endif\n"


def scheduled_shape(code: WinogradCode, height: int, width: int) -> TileShape | None:
    """The products as `scheduled_tile` takes them; None where the C text is all there is."""
    if not code.by_element or code.lanes != CHANNELS or code.channels % CHANNELS:
        return None
    block = code.lanes * FLOAT_BYTES
    weights = CHANNELS * width * block
    fetched = -(-weights // code.chunk_groups) if code.by_point else 0
    shape = TileShape(height, width, block, code.chunk_tiles * block, fetched)
    return shape if can_schedule(shape) else None


def _product_in_assembly(code: WinogradCode, shape: TileShape) -> str:
    parts, only_to = _parts(code), ""
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
        fetch=_FETCH if code.by_point else "",
        height=shape.pixels,
        width=shape.blocks,
        lanes=code.lanes,
        assembly=tile_statements(shape, parts, "v", "zeros", only_to),
        results="\n    ".join(results),
    )


def _parts(code: WinogradCode) -> Parts:
    """Of the loop over whole blocks of input channels."""
    return Parts.of(code.channels // code.lanes, code.lanes, code.lanes, LIMITS)


def _product_in_c(code: WinogradCode, height: int, width: int) -> str:
    """`height` tiles by `width` blocks of output channels, of one of the products of a tile."""
    vec, lanes = f"vec{code.lanes}", code.lanes
    rest = code.channels % lanes
    names = [f"a{p}_{b}" for p in range(height) for b in range(width)]
    loads = [f"const {vec} w{b} = {constant_vector(lanes, f'w + {b * lanes}')};" for b in range(width)]
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
                $prefetch
                $updates
            }
        """,
        prefetch=" ".join(
            f"__builtin_prefetch(w + {AHEAD * lanes + line});" for line in range(0, width * lanes, LINE)
        ),
        count="$count",
        channels="$channels",
        block=code.chunk_tiles * lanes,
        step=width * lanes,
        loads="\n        ".join(loads),
        updates="\n        ".join(updates),
    )

    def whole_blocks(count: str) -> str:
        return fill(loop, count=count, channels=lanes)

    parts = [summed(_parts(code), vec, names, whole_blocks)] if code.channels >= lanes else []
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
        fetch=_FETCH if code.by_point else "",
        height=height,
        width=width,
        sums=("(void)fetch;\n    " if code.by_point else "") + indent(in_c, "    ").strip(),
        results="\n    ".join(results),
    )


def _ordered_sums(code: WinogradCode, height: int, width: int) -> str:
    """The sums in assembly of 32-bit ARM."""
    rest = code.channels % ORDERED_LANES
    kind, names = ordered_sums(code.ordered, height, width)
    lines = [ordered_starts(code.ordered, height, width, ["{0}"] * width)]

    def blocks(channels: int) -> Callable[[str], str]:
        body = "\n".join(_ordered_block(code, height, width, channels))
        return lambda count: f"for (int i = 0; i < {count}; ++i) {{\n{body}\n}}"

    if code.channels >= ORDERED_LANES:
        lines.append(summed(_parts(code), kind, names, blocks(ORDERED_LANES)))
    if rest:
        lines.append(blocks(rest)("1"))
    return "\n".join([*lines, ordered_ends(code.ordered, height, width)])


def _ordered_block(code: WinogradCode, height: int, width: int, channels: int) -> list[str]:
    """The products of one block of inputs of which so many channels are read."""
    step = width * ORDERED_LANES
    lines = [ahead(code.ordered, "w", line) for line in range(0, channels * step, LINE)]
    if code.ordered == "neon":
        places = [(p, p * ORDERED_LANES) for p in range(height)]
        reads = chained("v", places, code.chunk_tiles * ORDERED_LANES)
        lines += neon_products(reads, width, channels, "w", 0, 0)
    else:
        for c in range(channels):
            inputs = [Place(p, "v", p * ORDERED_LANES + c) for p in range(height)]
            lines += ["{", *vfp_products(inputs, width, "w"), "}"]
        lines.append(f"v += {code.chunk_tiles * ORDERED_LANES};")
    return lines
