"""GEMM on two pixel blocks whose uniforms hardly keep a QPU waiting: of each input channel's weights 16 are uniforms,
one line of the stream, and the others lanes of a vector that a TMU fetches and rotation sends to all lanes.

The FIFO of uniforms asks for the next line when word 14 of a line is read. The products of the vector's weights stand
behind that word, so that the line arrives meanwhile. 14 uniforms come through port A with accumulators in file B, the
last two through port B, each used again as the port's last value (see `relayed`); a vector's weight goes to r5. Beside
the first product of each the add ALU has nothing to add: there stand the requests of lines and the counter, and the
next lines' way out of r4 where slots are left for it.

One vector holds the weights of two input channels, 8 lanes each; the vectors of two tiles of channels alternate, so
that vectors and input lines move on alike. Lines stay in r1 and r4, the second in r2 while r4 receives the next; the
vector is in r3, products are in r0.

Words of a tile are those of `gemm_kernel` with, before the address of the stream, that of the vectors; and all
addresses of lines but a gather's are those of `first_request`. The stream: padding, biases, number of passes - 1
(gather), then for each pass TAP_WORDS per block (gather), bytes to move the input on by (gather), `first_offset`, and
from a line's start on 16 weights of each input channel. A pass is a tap with some of the input channels, as many in
each; their vectors follow each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

from codegen.engines.videocore4.assembler import Assembler, operation
from codegen.engines.videocore4.kernels.pieces import VPM_ROWS
from codegen.engines.videocore4.kernels.relayed import BLOCKS
from codegen.engines.videocore4.kernels.tile import TileRegisters, take_gather, tiles_kernel
from codegen.engines.videocore4.layer import RegisterPool
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.operation import Operation
from codegen.engines.videocore4.registers import (
    NULL,
    R0,
    R1,
    R2,
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
_WHOLE = ("", "")


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
    accumulators = take_accumulators(pool, channels)
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


def take_accumulators(pool: RegisterPool, columns: int) -> list[list[Register]]:
    """Those of each of the two lines, in the file opposite to the port that is taken where they are added to. The
    second line's sums come one instruction late.
    """
    late = THROUGH_A - 1
    first = [pool.take("b" if j < THROUGH_A else "a") for j in range(columns)]
    second = [pool.take("b" if j < late or j == columns - 1 else "a") for j in range(columns)]
    return [first, second]


class ChannelSums:
    """All input channels of a tap: two lines times 16 uniforms, and times the lanes of a vector.

    `vectors`: the address of the vectors; `step`: holds LINE_BYTES. With `alone` a vector has one channel, and may have
    more lanes of it than half.

    `parts`: how r4 unpacks the lines of the two channels of a pair. Where it does, both are parts of the same lines,
    which are asked for twice and lie PAIR_BYTES apart from pair to pair: `step` holds that. With `alone` it holds
    LINE_BYTES all the same, and the vector of a pair's second channel is asked for between two of them.
    """

    def __init__(
        self,
        r: TileRegisters,
        vectors: Register,
        step: Register,
        odd: bool,
        *,
        alone: bool = False,
        parts: tuple[str, str] = _WHOLE,
    ) -> None:
        self._r, self._step, self._odd, self._vectors, self._alone = r, step, odd, vectors, alone
        self._parts, self._by_pair = parts, parts != _WHOLE

    def add(self, k: Assembler, pause: Callable[[Assembler], None] | None = None) -> None:
        """From the counter's `first_offset` on. `pause`: what is done when the counter reaches 0; it may set it back
        and go on at "channels". r1, r3 and r4 are in use then.
        """
        offset = self._r.channels
        self._first_requests(k)
        k.label("first")
        k.load_tmu(0)
        k.mov(R3, R4)
        k.load_tmu(0)
        k.together(_Received(0, R1, self._parts[0]).moved("any"))
        k.mov(NULL, offset, set_flags=True)
        k.load_tmu(1)
        k.branch("last", "all_zs")
        k.verbatim("channels")
        late = self._channel(k, 0, None, Asked(vector=True), "line")
        self._channel(k, 1, late, Asked(), "vector")
        k.branch("channels", "any_ns")
        if pause is not None:
            pause(k)
        k.verbatim("last")
        nothing = Asked(lines=False)
        if self._odd:
            late = self._channel(k, 0, None, Asked(vector=True), "line")
            late = self._channel(k, 1, late, nothing, "vector")
            late = self._channel(k, 0, late, nothing, "")
        else:
            late = self._channel(k, 0, None, nothing, "line")
            late = self._channel(k, 1, late, nothing, "")
        assert late is not None
        k.together(late)

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
            vector_last = self._by_pair and not again
            if again or (self._alone and not vector_last):
                k.op("add", TMU_S[0], R0, self._vectors)
            for p, address in enumerate(r.addresses):
                if r.gather is None:
                    k.op("add", TMU_S[p], R0, address)
                else:
                    k.mov(TMU_S[p], address)
                    if again:
                        k.op("add", address, address, r.gather.increments[p])
            if r.gather is None and again != self._by_pair:
                k.op("add", R0, R0, self._step)
            if self._alone and vector_last:
                k.op("add", TMU_S[0], R0, self._vectors)

    def _requests(self, asked: Asked, parity: int) -> list[Operation]:
        """What the add ALU does beside products, in order: the lines two channels ahead, the next vector."""
        r = self._r
        count = operation("add", r.channels, r.channels, self._step)
        vector = operation("add", TMU_S[0], r.channels, self._vectors)
        wanted = asked.vector or (asked.lines and self._alone)
        vector_last = self._by_pair and parity == 1
        found = [vector] if wanted and not vector_last else []
        for p, address in enumerate(r.addresses if asked.lines else ()):
            if r.gather is None:
                found.append(operation("add", TMU_S[p], r.channels, address))
            else:
                found.append(operation("add", address, address, r.gather.increments[p]))
                found.append(Operation("mov", "add", TMU_S[p], (address,)))
        if wanted and vector_last:
            found += [count, vector]
        if asked.lines and (parity == 1 or not self._by_pair):
            found.append(replace(count, set_flags=parity == 1))
        return found

    def _received(self, then: str, parity: int) -> list[_Received]:
        """What r4 receives for a channel, in the order in which it was asked for."""
        if not then:
            return []
        vector = [_Received(0, R3)] if then == "vector" or self._alone else []
        first, second = _Received(0, R1, self._parts[parity]), _Received(1, R4)
        if self._by_pair and parity == 1:
            return [first, *vector, second]
        return [*vector, first, second]

    def _channel(
        self,
        k: Assembler,
        parity: int,
        late: Operation | None,
        asked: Asked,
        then: str,
    ) -> Operation | None:
        """One input channel. `then`: what the next one needs, a "line" of its own or a "vector" too. `late`: the sum
        that the channel before has left, as this one may leave its last.
        """
        first_row, second_row = self._r.accumulators
        rotated = len(first_row) - STREAMED
        second = _unpacked(self._parts[parity])
        slots = _Slots.of(rotated, self._requests(asked, parity), self._received(then, 1 - parity), second)
        first_lane = 0 if self._alone else LANES // CHANNELS_OF_VECTOR * parity
        pending: Operation | None = _streamed(k, self._r.accumulators, (R1, second), late)
        for i, (beside, signal) in enumerate(slots.beside):
            k.together(*_present(pending), _broadcast(first_lane + i))
            k.together(*_present(beside), operation("fmul", R0, R1, R5), signal=signal)
            product = operation("fmul", R0, slots.second_line, R5)
            last = slots.last if i == rotated - 1 else "none"
            k.together(_sum(first_row[STREAMED + i]), product, signal=last)
            pending = _sum(second_row[STREAMED + i])
        for request in slots.alone:
            k.together(request)
        for received, signal in slots.behind:
            k.together(*_present(pending), received.moved("mul"), signal=signal)
            pending = None
        return pending


class Asked(NamedTuple):
    """What is asked for during a channel."""

    lines: bool = True
    vector: bool = False


class _Received(NamedTuple):
    """What r4 receives from a TMU, where it goes before r4 receives the next, and which part of it."""

    tmu: int
    place: Register
    part: str = ""

    def moved(self, alu: Literal["add", "mul", "any"]) -> Operation:
        """Its move out of r4."""
        return Operation("mov", alu, self.place, (_unpacked(self.part),))


@dataclass(frozen=True)
class _Slots:
    """Where requests stand, and what takes lines out of r4 for the next to come."""

    beside: list[
        tuple[Operation | None, str]
    ]  # the first product of each weight of the vector, with its signal
    last: str  # signal of the last product
    alone: list[Operation]  # requests that are left
    second_line: Register
    behind: list[tuple[_Received, str]]  # instructions: what leaves r4, signal

    @staticmethod
    def of(count: int, requests: list[Operation], received: list[_Received], second_line: Register) -> _Slots:
        """Moves stand beside products where that is shorter: that of the line in r4 first, that to a register whose
        last use is in the last product last.
        """
        signals = [f"load_tmu{x.tmu}" for x in received]
        moves = list(zip(received, signals[1:], strict=False))
        between, behind = count - 2, moves[1:]
        apart, beside_products = _without_product(count, len(requests), len(received))
        if not received or apart <= beside_products:
            beside = [(x, "none") for x in (*requests[:count], *[None] * (count - len(requests)))]
            return _Slots(beside, signals[0] if signals else "none", requests[count:], second_line, moves)
        leaves, signal = moves[0]
        beside = [
            (Operation("mov", "add", R2, (second_line,)), signals[0]),
            *((x, "none") for x in (*requests[:between], *[None] * (between - len(requests)))),
            (leaves.moved("add"), signal),
        ]
        return _Slots(beside, "none", requests[between:], R2, behind)


def _without_product(count: int, requests: int, received: int) -> tuple[int, int]:
    """Instructions without a product: with moves of their own for all that r4 receives, and beside products."""
    return received - 1 + max(0, requests - count), received - 2 + max(0, requests - (count - 2))


def hiding_instructions(
    columns: int, *, gather: bool = False, alone: bool = False, by_pair: bool = False
) -> float:
    """Instructions of an input channel from word 14 of its uniforms on: the mean of both of a pair. `by_pair`: lines
    are of both.
    """
    count, lines = columns - STREAMED, len(_LINES)
    found = (
        lines * (STREAMED - THROUGH_A) + (lines + 1) * count + 1 / CHANNELS_OF_VECTOR
    )  # and the loop's branch
    for asks, takes, counts in ((True, alone, not by_pair), (alone, True, 1 + (by_pair and alone))):
        others = min(_without_product(count, lines * (1 + gather) + counts + asks, lines + takes))
        found += others / CHANNELS_OF_VECTOR
    return found


def _streamed(
    k: Assembler,
    accumulators: Sequence[Sequence[Register]],
    lines: Sequence[Register],
    late: Operation | None,
) -> Operation:
    """Products of the uniforms, beside the first of which a late sum is added; returns the last sum."""
    pending = late
    for j in range(STREAMED):
        weight, relay = (UNIFORM_A, RELAY_A) if j < THROUGH_A else (UNIFORM_B, RELAY_B)
        for p, line in enumerate(lines):
            product = operation("fmul", R0, line, relay if p else weight)
            k.together(*([pending] if pending else []), product)
            pending = _sum(accumulators[p][j])
    assert pending is not None
    return pending


def _unpacked(part: str) -> Register:
    """r4, or a part of each of its words as a float."""
    return R4.unpacked(part) if part else R4


def _present(operation: Operation | None) -> list[Operation]:
    return [] if operation is None else [operation]


def _sum(accumulator: Register) -> Operation:
    return operation("fadd", accumulator, accumulator, R0)


def _broadcast(lane: int) -> Operation:
    """A lane of r3 to all lanes of r5: by rotation into lane 0."""
    if lane == 0:
        return Operation("mov", "mul", R5_ALL, (R3,))
    return operation("mov", R5_ALL, R3, rotate=LANES - lane)
