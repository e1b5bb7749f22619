"""GEMM on two pixel blocks whose uniforms hardly keep a QPU waiting: of each input channel's weights 16 are uniforms,
one line of the stream, and the others lanes of a vector that a TMU fetches and rotation sends to all lanes.

The FIFO of uniforms asks for the next line when word 14 of a line is read. The products of the vector's weights stand
behind that word, so that the line arrives meanwhile. 14 uniforms come through port A with accumulators in file B, the
last two through port B, each used again as the port's last value (see `relayed`); a vector's weight goes to r5. Beside
the first product of each the add ALU has nothing to add: there stand the requests of lines and the counter.

One vector holds the weights of two input channels, 8 lanes each; the vectors of two tiles of channels alternate, so
that vectors and input lines move on alike. Lines stay in r1 and r4, the vector in r3, products in r0.

Words of a tile are those of `gemm_kernel` with, before the address of the stream, that of the vectors; and all
addresses of lines but a gather's are those of `first_request`. The stream: padding, biases, number of passes - 1
(gather), then for each pass TAP_WORDS per block (gather), bytes to move the input on by (gather), `first_offset`, and
from a line's start on 16 weights of each input channel. A pass is a tap with some of the input channels, as many in
each; their vectors follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.kernels.pieces import VPM_ROWS
from codegen.engines.videocore4.kernels.relayed import BLOCKS
from codegen.engines.videocore4.kernels.tile import TileRegisters, take_gather, tiles_kernel
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    R0,
    R1,
    R3,
    R4,
    R5,
    R5_ALL,
    RELAY_A,
    RELAY_B,
    TMU_S,
    UNIFORM,
    UNIFORM_A,
    UNIFORM_B,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

STREAMED = LANES  # weights of an input channel that are uniforms: one line
THROUGH_A = 14
ROTATED = range(4, 9)  # weights besides: as many as the add slots that requests need, and half a vector
CHANNELS_OF_VECTOR = 2
PAIR_BYTES = CHANNELS_OF_VECTOR * LINE_BYTES  # from one pair of channels to the next, of lines and of vectors
VECTORS_IN_PAIR = PAIR_BYTES // LINE_BYTES  # tiles of channels whose vectors alternate
_LINES = (R1, R4)


def channels_behind_loop(input_channels: int) -> int:
    """Of an even number the last pair, of an odd one the channel before too: they ask for no line beyond the tensor."""
    return CHANNELS_OF_VECTOR + input_channels % CHANNELS_OF_VECTOR


def pass_bytes(input_channels: int) -> int:
    """Bytes of a pass's vectors, and of those that alternate with them."""
    return PAIR_BYTES * -(-input_channels // CHANNELS_OF_VECTOR)


def first_offset(input_channels: int) -> int:
    """What the counter starts with: bytes, up to 0 in the loop."""
    return -LINE_BYTES * (input_channels - channels_behind_loop(input_channels))


def first_request(input_channels: int) -> int:
    """Bytes that an address of lines or vectors lies behind its first one: the counter and two channels before use."""
    return PAIR_BYTES - first_offset(input_channels)


@cache
def rotated_kernel(
    channels: int, gather: bool, odd: bool, epilogue: Expression | None = None, *, residual: bool = False
) -> Assembler:
    """Code for tiles of 2 pixel vectors by `channels` outputs, of an odd or even number of input channels.

    Raises ScheduleError where registers or rows lack.
    """
    rotated = channels - STREAMED
    if rotated not in ROTATED or BLOCKS * channels > VPM_ROWS:
        least, most = STREAMED + ROTATED[0], STREAMED + ROTATED[-1]
        raise ScheduleError(f"{channels} channels: a tile has {least} to {most}")
    pool = RegisterPool()
    accumulators: list[list[Register]] = [[], []]
    for j in range(channels):
        for row in accumulators:
            row.append(pool.take("b" if j < THROUGH_A else "a"))
    addresses = [pool.take("a" if gather else "b") for _ in range(BLOCKS)]
    offset, vectors, step = pool.take("a"), pool.take("b"), pool.take("b")
    r = TileRegisters(
        accumulators,
        vectors=[{}, {}],
        addresses=addresses,
        tile=pool.take(),
        tiles=pool.take("a"),
        channels=offset,
        gather=take_gather(pool, addresses) if gather else None,
        rest=pool.rest(),
        weight_lines=vectors,
    )
    sums = ChannelSums(r, vectors, step, odd)

    def accumulate(k: Assembler, r: TileRegisters) -> None:
        k.mov(r.channels, UNIFORM)
        sums.add(k)

    return tiles_kernel(r, accumulate, epilogue, (step, LINE_BYTES), residual=residual)


class ChannelSums:
    """All input channels of a tap: two lines times 16 uniforms, and times the lanes of a vector.

    `vectors`: the address of the vectors; `step`: holds LINE_BYTES. With `alone` a vector has one channel, and may have
    more lanes of it than half.
    """

    def __init__(
        self, r: TileRegisters, vectors: Register, step: Register, odd: bool, *, alone: bool = False
    ) -> None:
        self._r, self._step, self._odd, self._vectors, self._alone = r, step, odd, vectors, alone

    def add(self, k: Assembler) -> None:
        """From the counter's `first_offset` on."""
        offset = self._r.channels
        self._first_requests(k)
        k.label("first")
        k.load_tmu(0)
        k.mov(R3, R4)
        k.load_tmu(0)
        k.mov(R1, R4)
        k.op("sub", offset, offset, 0, set_flags=True)
        k.load_tmu(1)
        k.branch("last", "all_zs")
        k.verbatim("channels")
        self._channel(k, 0, lines=True, vector=True, then="line")
        self._channel(k, 1, lines=True, vector=False, then="vector")
        k.branch("channels", "any_ns")
        k.verbatim("last")
        if self._odd:
            self._channel(k, 0, lines=True, vector=True, then="line")
            self._channel(k, 1, lines=False, vector=False, then="vector")
            self._channel(k, 0, lines=False, vector=False, then="")
        else:
            self._channel(k, 0, lines=False, vector=False, then="line")
            self._channel(k, 1, lines=False, vector=False, then="")

    def _first_requests(self, k: Assembler) -> None:
        """Of the first vector and the lines of two channels."""
        r = self._r
        k.load(R0, -PAIR_BYTES)
        k.op("add", R0, R0, r.channels)
        if r.gather is not None:  # the vectors of this pass lie behind those of the one before
            if self._odd:
                k.load(R1, PAIR_BYTES)
                k.op("add", self._vectors, self._vectors, R1)
            k.op("sub", self._vectors, self._vectors, R0)
        for again in (True, False):
            if again or self._alone:
                k.op("add", TMU_S[0], R0, self._vectors)
            for p, address in enumerate(r.addresses):
                if r.gather is None:
                    k.op("add", TMU_S[p], R0, address)
                else:
                    k.mov(TMU_S[p], address)
                    if again:
                        k.op("add", address, address, r.gather.increments[p])
            if again and r.gather is None:
                k.op("add", R0, R0, self._step)

    def _requests(self, lines: bool, vector: bool, count: bool) -> list[Operation]:
        """What the add ALU does in the slots without a sum, in order: the lines two channels ahead, the next vector."""
        r = self._r
        found = [operation("add", TMU_S[0], r.channels, self._vectors)] if vector else []
        for p, address in enumerate(r.addresses if lines else ()):
            if r.gather is None:
                found.append(operation("add", TMU_S[p], r.channels, address))
            else:
                found.append(operation("add", address, address, r.gather.increments[p]))
                found.append(Operation("mov", "add", TMU_S[p], (address,)))
        if lines:
            found.append(operation("add", r.channels, r.channels, self._step, set_flags=count))
        return found

    def _channel(self, k: Assembler, parity: int, *, lines: bool, vector: bool, then: str) -> None:
        """One input channel. `then`: what the next one needs, a "line" of its own or a "vector" too."""
        accumulators = self._r.accumulators
        if self._alone:
            vector, then = lines, then and "vector"
        requests = self._requests(lines, vector, count=parity == 1)
        pending = _streamed(k, accumulators)
        first_lane = 0 if self._alone else LANES // CHANNELS_OF_VECTOR * parity
        for i in range(len(accumulators[0]) - STREAMED):
            lane = first_lane + i
            k.together(pending, _broadcast(lane))
            free = requests[:1]
            del requests[:1]
            k.together(*free, operation("fmul", R0, R1, R5))
            last = then != "" and i == len(accumulators[0]) - STREAMED - 1
            first, second = (row[STREAMED + i] for row in accumulators)
            k.together(_sum(first), operation("fmul", R0, R4, R5), signal="load_tmu0" if last else "none")
            pending = _sum(second)
        if requests:
            raise ScheduleError(
                f"{len(accumulators[0])} channels: too few sums' slots are free for a tile's requests"
            )
        if then == "vector":
            k.together(pending, Operation("mov", "mul", R3, (R4,)), signal="load_tmu0")
            k.together(move(R1, R4), signal="load_tmu1")
        elif then == "line":
            k.together(pending, Operation("mov", "mul", R1, (R4,)), signal="load_tmu1")
        else:
            k.together(pending)


def _streamed(k: Assembler, accumulators: Sequence[Sequence[Register]]) -> Operation:
    """Products of the uniforms; returns the last sum."""
    pending: Operation | None = None
    for j in range(STREAMED):
        if j == THROUGH_A and pending is not None:
            k.together(pending)  # its accumulator needs the port that the next weight comes through
            pending = None
        weight, relay = (UNIFORM_A, RELAY_A) if j < THROUGH_A else (UNIFORM_B, RELAY_B)
        for p, line in enumerate(_LINES):
            product = operation("fmul", R0, line, relay if p else weight)
            k.together(*([pending] if pending else []), product)
            pending = _sum(accumulators[p][j])
    assert pending is not None
    return pending


def _sum(accumulator: Register) -> Operation:
    return operation("fadd", accumulator, accumulator, R0)


def _broadcast(lane: int) -> Operation:
    """A lane of r3 to all lanes of r5: by rotation into lane 0."""
    if lane == 0:
        return Operation("mov", "mul", R5_ALL, (R3,))
    return operation("mov", R5_ALL, R3, rotate=LANES - lane)
