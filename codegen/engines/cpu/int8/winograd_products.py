"""Products of a Winograd convolution of integers of 8 bits: 16-bit tiles by blocks of output channels, sums in 32 bits.

In assembly for AArch64 `smlal` takes an element of a tile's four input channels by four outputs. A Cortex-A53 issues
one a cycle, whose sums may follow each other at once; what the next products need is brought beside them (`moves`).
Products of the first two channels go by channels, so that their weights are free early, those of the last two by
tiles, so that inputs are: everything is brought in the block before its use, the weights of the last two channels in
their own.
"""

from __future__ import annotations

from codegen.engines.cpu.int8.moves import TEMPORARIES, Move, with_moves
from codegen.engines.cpu.int8.products import QUAD
from codegen.engines.cpu.int8.winograd_code import LINE_BYTES, Int8WinogradCode
from codegen.engines.cpu.source import fill

HALF_BYTES = 8  # four elements of 16 bits
FETCHED_BYTES = 512  # from the weights in use to those fetched: longer than memory takes


def product_text(code: Int8WinogradCode, tiles: int, blocks: int) -> str:
    """`<entry>_product<tiles>x<blocks>(v, w, m)`: one of the products of each tile, blocks side by side."""
    lines = _assembly(tiles, blocks, code.chunk_tiles * HALF_BYTES)
    registers = ", ".join(f'"v{number}"' for number in range(_sum(tiles, blocks, tiles, 0)))
    return fill(
        """
        static void ${entry}_product${tiles}x$blocks(const int16_t *restrict v, const int16_t *restrict w,
                                                     int32_t *restrict m)
        {
        #if defined(__aarch64__)
            long steps = $steps;
            __asm__ volatile(
                $lines
                : [v] "+r"(v), [w] "+r"(w), [steps] "+r"(steps)
                : [m] "r"(m)
                : $registers, $temporaries, "cc", "memory");
        #else
            word4 sums[$tiles][$blocks] = {0};
            for (int i = 0; i < $steps; ++i, v += $step)
                for (int c = 0; c < $quad; ++c, w += $width)
                    for (int t = 0; t < $tiles; ++t)
                        for (int b = 0; b < $blocks; ++b)
                            for (int l = 0; l < $quad; ++l)
                                sums[t][b][l] += (uint32_t)(v[$quad * t + c] * w[$quad * b + l]);
            memcpy(m, sums, sizeof sums);
        #endif
        }
        """,
        entry=code.entry,
        tiles=tiles,
        blocks=blocks,
        steps=code.in_blocks,
        lines="\n                ".join(f'"{line}\\n"' for line in lines),
        registers=registers,
        temporaries=", ".join(f'"{name}"' for name in TEMPORARIES),
        step=code.chunk_tiles * QUAD,
        quad=QUAD,
        width=blocks * QUAD,
    )


def _weight(tiles: int, blocks: int, channel: int, block: int) -> int:
    return tiles + channel * blocks + block


def _sum(tiles: int, blocks: int, tile: int, block: int) -> int:
    return tiles + QUAD * blocks + tile * blocks + block


def _assembly(tiles: int, blocks: int, step: int) -> list[str]:
    """Inputs of the next block of channels lie `step` bytes further. The last block reads as far beyond."""
    early = [(c, b) for c in range(QUAD // 2) for b in range(blocks)]
    lines = [f"movi v{_sum(tiles, blocks, t, b)}.4s, #0" for t in range(tiles) for b in range(blocks)]
    lines += [f"ldr d{t}, [%[v], #{t * HALF_BYTES}]" for t in range(tiles)]
    lines += [
        f"ldr d{_weight(tiles, blocks, c, b)}, [%[w], #{(c * blocks + b) * HALF_BYTES}]" for c, b in early
    ]
    lines += ["1:", *_block(tiles, blocks, step), "b.ne 1b"]
    for t in range(tiles):
        for b in range(blocks):
            lines.append(f"str q{_sum(tiles, blocks, t, b)}, [%[m], #{(t * blocks + b) * 2 * HALF_BYTES}]")
    return lines


def _block(tiles: int, blocks: int, step: int) -> list[str]:
    """The products of four channels, and between them what comes next."""
    products = [(t, c, b) for c in range(QUAD // 2) for t in range(tiles) for b in range(blocks)]
    half = len(products)
    products += [(t, c, b) for t in range(tiles) for c in range(QUAD // 2, QUAD) for b in range(blocks)]
    lines = [
        f"smlal v{_sum(tiles, blocks, t, b)}.4s, v{_weight(tiles, blocks, c, b)}.4h, v{t}.h[{c}]"
        for t, c, b in products
    ]
    weights = blocks * QUAD * HALF_BYTES
    others = {1: [f"add %[v], %[v], #{step}"], 2: ["subs %[steps], %[steps], #1"]}
    for place, line in enumerate(range(0, weights, LINE_BYTES), 3):
        others[place] = [f"prfm pldl1keep, [%[w], #{FETCHED_BYTES + line}]"]
    return [*with_moves(lines, _moves(tiles, blocks, half), others), f"add %[w], %[w], #{weights}"]


def _moves(tiles: int, blocks: int, half: int) -> list[Move]:
    """Weights of the last two channels, then of the first two of the next block, then its inputs."""
    moves = []
    for c in (2, 3, 0, 1):
        for b in range(blocks):
            offset = (c * blocks + b + (QUAD * blocks if c < QUAD // 2 else 0)) * HALF_BYTES
            earliest = 0 if c >= QUAD // 2 else (c + 1) * half // 2
            moves.append(Move(_weight(tiles, blocks, c, b), f"[%[w], #{offset}]", earliest))
    for t in range(tiles):
        moves.append(Move(t, f"[%[v], #{t * HALF_BYTES}]", half + (t + 1) * 2 * blocks))
    return moves
