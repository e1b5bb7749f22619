"""What a convolution by Strassen's products depends on, where its parts lie in memory, and its packed weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from codegen.engines.cpu.blocked.tile_products import ProductCode
from codegen.engines.cpu.gemm_tile import matrix_and_bias
from codegen.engines.cpu.machine import FLOAT_BYTES, OrderedForm
from codegen.engines.cpu.partial_sums import LIMITS
from codegen.engines.cpu.threads import LINE
from codegen.expression import RESULT, Expression
from codegen.tensor import FloatArray

PRODUCTS = 7
QUARTERS = 3  # the first products, whose inputs lie in the picture; the others take sums


@dataclass(frozen=True)
class StrassenCode:
    """What the text depends on. `pixels` pairs of pixels by `blocks` pairs of blocks of output channels are in a
    register tile of each product; of `chunk` tiles of pixels sums of inputs are made at a time.

    A tile of pixels is neighbours, of which the first half and the second one are paired. Where their number is odd
    both halves have the pixel in the middle. Channels are paired with those half of all channels further on.
    """

    entry: str
    batch: int
    channels: int
    outputs: int
    plane: int  # pixels of a picture
    lanes: int
    pixels: int
    blocks: int
    chunk: int
    epilogue: Expression = RESULT
    by_element: bool = False
    ordered: OrderedForm = ""

    @property
    def half_channels(self) -> int:
        """Input channels of a quarter."""
        return self.channels // 2

    @property
    def in_blocks(self) -> int:
        """Blocks of input channels of a quarter."""
        return self.half_channels // self.lanes

    @property
    def out_blocks(self) -> int:
        """Blocks of output channels of a quarter."""
        return self.outputs // 2 // self.lanes

    @property
    def pairs(self) -> int:
        """Pairs of pixels of a picture."""
        return -(-self.plane // 2)

    @property
    def tile_count(self) -> int:
        """Tiles that pairs are divided into, as evenly as it goes."""
        return -(-self.pairs // self.pixels)

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """The first pair of every tile, and the end."""
        return tuple(self.pairs * tile // self.tile_count for tile in range(self.tile_count + 1))

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Pairs of the tiles: one number, or two that are neighbours."""
        return tuple(sorted({end - first for first, end in pairwise(self.edges)}))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Blocks of output channels of the register tiles: `blocks`, and what is left of all."""
        whole = (self.blocks,) if self.out_blocks >= self.blocks else ()
        rest = self.out_blocks % self.blocks
        return (*whole, rest) if rest else whole

    @property
    def chunk_pairs(self) -> int:
        """Pairs of pixels of the largest chunk."""
        tiles = min(self.chunk, self.tile_count)
        return max(end - first for first, end in zip(self.edges, self.edges[tiles:], strict=False))

    @property
    def sum_stride(self) -> int:
        """Elements from the sums that one product takes to those of the next."""
        return self._spread(self.in_blocks * self.chunk_pairs * self.lanes)

    @property
    def product_stride(self) -> int:
        """Elements from a tile of one product to that of the next."""
        return self._spread(self.blocks * max(self.heights) * self.lanes)

    def _spread(self, elements: int) -> int:
        """An odd number of cache lines: what is read together lies in different sets."""
        return (-(-elements // LINE) | 1) * LINE

    @property
    def sums_size(self) -> int:
        """Elements of the sums of a chunk."""
        return (PRODUCTS - QUARTERS) * self.sum_stride

    @property
    def workspace_bytes(self) -> int:
        """Of one thread."""
        return FLOAT_BYTES * (self.sums_size + PRODUCTS * self.product_stride)

    @property
    def block_weights(self) -> int:
        """Elements of the weights of all products of one block of output channels."""
        return PRODUCTS * self.half_channels * self.lanes

    @property
    def weights_size(self) -> int:
        """Elements of packed weights; the bias lies behind them."""
        return self.out_blocks * self.block_weights

    def products(self, *, of_sums: bool) -> ProductCode:
        """Those whose inputs are sums in the workspace, or quarters of the picture."""
        return ProductCode(
            entry=f"{self.entry}_{'sum' if of_sums else 'quarter'}",
            channels=self.half_channels,
            lanes=self.lanes,
            block=(self.chunk_pairs if of_sums else self.plane) * self.lanes,
            limits=LIMITS,
            by_element=self.by_element,
            ordered=self.ordered,
            fetches_in_c=False,
        )


def pack_strassen(weights: Sequence[FloatArray], code: StrassenCode) -> FloatArray:
    """The seven sums of quarters of the weights (out, in, 1, 1) as [tile of blocks][product][input channel][blocks]
    [lanes], then the bias.
    """
    matrix, bias = matrix_and_bias(weights)
    lanes, shape = code.lanes, (2, code.outputs // 2, 2, code.half_channels)
    (b11, b21), (b12, b22) = matrix.astype(np.float64).reshape(shape).transpose(0, 2, 1, 3)
    t1 = b12 - b11
    t2 = b22 - t1
    values = np.stack([b11, b21, b21 - t2, t1, t2, b22 - b12, b22]).astype(np.float32)
    parts = [
        values[:, first * lanes : (first + code.blocks) * lanes].transpose(0, 2, 1).reshape(-1)
        for first in range(0, code.out_blocks, code.blocks)
    ]
    return np.concatenate([*parts, bias])
