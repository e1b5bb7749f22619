"""C text of the products of a Winograd convolution: tiles by blocks of output channels, in assembly on AArch64."""

from __future__ import annotations

from textwrap import indent

from codegen.engines.cpu.blocked.ordered import (
    Place,
    ahead,
    chained,
    either,
    neon_products,
    ordered_ends,
    ordered_starts,
    vfp_products,
)
from codegen.engines.cpu.blocked.scheduled_tile import (
    CHANNELS,
    TileShape,
    can_schedule,
    clobbers,
    tile_assembly,
)
from codegen.engines.cpu.blocked.vectors import constant_vector, vector
from codegen.engines.cpu.blocked.winograd_code import LINE, WinogradCode
from codegen.engines.cpu.machine import FLOAT_BYTES, ORDERED_LANES
from codegen.engines.cpu.source import fill

AHEAD = 256  # vectors from the weights in use to those fetched: large layers stream them from main memory


def product_text(code: WinogradCode, height: int, width: int) -> str:
    """`<entry>_product<height>x<width>(v, w, m)`: one of the products of each tile, whose blocks lie side by side."""
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
    shape = TileShape(height, width, block, code.chunk_tiles * block)
    return shape if can_schedule(shape) else None


def _product_in_assembly(code: WinogradCode, shape: TileShape) -> str:
    return fill(
        """
        static void ${entry}_product${height}x$width(const float *restrict v, const float *restrict w,
                                                     float *restrict m)
        {
            static const vec$lanes zeros[$width];
            const float *next = v + $block;
            long steps = $steps;
            __asm__ volatile(
                $instructions
                : [x] "+&r"(v), [next] "+&r"(next), [w] "+&r"(w), [steps] "+&r"(steps)
                : [step] "r"(${step}l), [bias] "r"(zeros), [sums] "r"(m)
                : $clobbers);
        }
        """,
        entry=code.entry,
        height=shape.pixels,
        width=shape.blocks,
        lanes=code.lanes,
        block=code.chunk_tiles * code.lanes,
        steps=code.channels // code.lanes - 1,
        instructions="\n        ".join(f'"{line}\\n"' for line in tile_assembly(shape)),
        step=shape.step,
        clobbers=", ".join(f'"{name}"' for name in clobbers(shape)),
    )


def _product_in_c(code: WinogradCode, height: int, width: int) -> str:
    """`height` tiles by `width` blocks of output channels, of one of the products of a tile."""
    vec, lanes = f"vec{code.lanes}", code.lanes
    whole, rest = divmod(code.channels, lanes)
    sums = [f"a{p}_{b} = {{0}}" for p in range(height) for b in range(width)]
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
    parts = [fill(loop, count=whole, channels=lanes)] if whole else []
    if rest:
        parts.append(fill(loop, count=1, channels=rest))
    in_c = f"{vec} {', '.join(sums)};\n" + "".join(parts).strip()
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
                                                     float *restrict m)
        {
            $sums
            $results
        }
        """,
        entry=code.entry,
        height=height,
        width=width,
        sums=indent(in_c, "    ").strip(),
        results="\n    ".join(results),
    )


def _ordered_sums(code: WinogradCode, height: int, width: int) -> str:
    """The sums in assembly of 32-bit ARM."""
    step = width * ORDERED_LANES
    whole, rest = divmod(code.channels, ORDERED_LANES)
    lines = [ordered_starts(code.ordered, height, width, ["{0}"] * width)]
    for count, channels in ((whole, ORDERED_LANES), (1, rest)):
        if not count or not channels:
            continue
        lines.append(f"for (int i = 0; i < {count}; ++i) {{")
        lines += [ahead(code.ordered, "w", line) for line in range(0, channels * step, LINE)]
        if code.ordered == "neon":
            places = [(p, p * ORDERED_LANES) for p in range(height)]
            reads = chained("v", places, code.chunk_tiles * ORDERED_LANES)
            lines += neon_products(reads, width, channels, "w", 0, 0)
        else:
            for c in range(channels):
                inputs = [Place(p, "v", p * ORDERED_LANES + c) for p in range(height)]
                lines += ["{", *vfp_products(inputs, width, "w"), "}"]
            lines.append(f"v += {code.chunk_tiles * ORDERED_LANES};")
        lines.append("}")
    return "\n".join([*lines, ordered_ends(code.ordered, height, width)])
