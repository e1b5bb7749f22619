"""What the GEMM kernels share: a tile's registers, its start, its biases and its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.isa import small_immediate
from codegen.engines.videocore4.kernels.pieces import (
    WINDOW_ORIGIN_WORDS,
    StoredPart,
    WindowOrigin,
    advance,
    in_halves,
    lane_bytes,
    store_in_parts,
    stream_from,
    tap_address,
    window_origin,
)
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_S,
    UNIFORM,
    Register,
)
from codegen.expression import Expression

IN_FLIGHT = 8  # requests of both TMUs together


def words_before_weights(blocks: int, gather: bool, weight_lines: bool = False) -> int:
    """Words of a tile before its weights are streamed."""
    return blocks * (1 + WINDOW_ORIGIN_WORDS if gather else 1) + weight_lines + 1


def words_after_weights(blocks: int, clamped: bool, residual: bool = False) -> int:
    """Words of a tile that its store reads."""
    return blocks * (2 if residual else 1) + (2 if clamped else 0)


@dataclass
class Gather:
    """What a tile of windows keeps besides, by pixel block where lists."""

    increments: list[Register]  # bytes to the next channel, in the file opposite to the block's address
    origins: list[WindowOrigin]
    taps: Register  # taps left, in file A
    base: Register
    outside: Register


@dataclass
class TileRegisters:
    """Everything a tile keeps in registers. Without `gather`, every line is 64 bytes behind the last."""

    accumulators: list[list[Register]]  # [block][channel]
    vectors: list[dict[str, Register]]  # [block]: the current input line, by file
    addresses: list[Register]
    tile: Register
    tiles: Register
    channels: Register
    gather: Gather | None
    rest: list[Register]  # that nothing else uses
    weight_lines: Register | None = None  # address of weights that come as lines, where some do

    @property
    def free_at_store(self) -> list[Register]:
        """Registers of the files that a tile does not need from its last product on."""
        done = [*self.addresses, *(register for vector in self.vectors for register in vector.values())]
        if self.weight_lines is not None:
            done.append(self.weight_lines)
        if self.gather is not None:
            origins = [register for o in self.gather.origins for register in (o.row, o.column)]
            done += [*self.gather.increments, *origins, self.gather.taps]
        return [*self.rest, *done, *([self.channels] if self.channels.is_general else [])]


def take_gather(pool: RegisterPool, addresses: list[Register]) -> Gather:
    """Registers of a gather; raises ScheduleError where the pool has none left."""
    taps = pool.take("a")
    increments = [pool.take("b" if address.read_ports == "a" else "a") for address in addresses]
    origins = [WindowOrigin(pool.take(), pool.take()) for _ in addresses]
    return Gather(increments, origins, taps, pool.take(), pool.take())


def start_direct(k: Assembler, r: TileRegisters) -> None:
    lane_bytes(k, R0)
    for address in r.addresses:
        k.op("add", address, R0, UNIFORM)
    if r.weight_lines is not None:
        k.op("add", r.weight_lines, R0, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)


def load_biases(k: Assembler, r: TileRegisters) -> None:
    for column in zip(*r.accumulators, strict=True):
        first, rest = column[0], column[1:]
        partner = next((x for x in rest if x.write_files != first.write_files), None)
        if len(column) == 1:
            k.mov(first, UNIFORM)
        elif len(column) == 2 and partner is not None:
            k.together(move(first, UNIFORM), move(partner, UNIFORM))
        else:
            k.mov(R0, UNIFORM)
            for accumulator in column:
                k.mov(accumulator, R0)


def request_lines(k: Assembler, r: TileRegisters) -> None:
    """Asks for each block's line and moves on to the next channel's in the same instruction."""
    for p, address in enumerate(r.addresses):
        step = r.gather.increments[p] if r.gather else R5
        k.together(operation("add", address, address, step), move(TMU_S[p % 2], address))


def add_residual(k: Assembler, r: TileRegisters) -> None:
    """Adds lines of another tensor, whose addresses are uniforms, to the accumulators. Both TMUs have as many requests
    as they hold; the blocks' addresses serve for these lines too.
    """
    k.label("residual")
    lane_bytes(k, R0)
    for address in r.addresses:
        k.op("add", address, R0, UNIFORM)
    add_lines(k, r.addresses, r.accumulators)


def add_lines(
    k: Assembler, addresses: Sequence[Register], accumulators: Sequence[Sequence[Register]]
) -> None:
    """Adds lines from an address on to each row of accumulators; the addresses move."""
    k.load(R5_ALL, LINE_BYTES)
    lines = [
        (address, accumulator)
        for column in zip(*accumulators, strict=True)
        for address, accumulator in zip(addresses, column, strict=True)
    ]

    def request(number: int) -> None:
        address = lines[number][0]
        tmu = TMU_S[number % len(TMU_S)]
        k.together(operation("add", address, address, R5), move(tmu, address))

    for number in range(min(IN_FLIGHT, len(lines))):
        request(number)
    for number, (_, accumulator) in enumerate(lines):
        k.load_tmu(number % len(TMU_S))
        k.op("fadd", accumulator, accumulator, R4)
        if number + IN_FLIGHT < len(lines):
            request(number + IN_FLIGHT)


def load_lines(k: Assembler, address: Register, registers: Sequence[Register]) -> None:
    """Consecutive lines from the lanes' address on into registers; the address moves, and r2 is a line's bytes then."""
    k.load(R2, LINE_BYTES)
    for number in range(len(registers) + IN_FLIGHT):
        if number >= IN_FLIGHT:
            k.load_tmu(number % len(TMU_S))
            k.mov(registers[number - IN_FLIGHT], R4)
        if number < len(registers):
            k.mov(TMU_S[number % len(TMU_S)], address)
            k.op("add", address, address, R2)


def store_tile(k: Assembler, r: TileRegisters, results: Results, residual: bool) -> None:
    results.load_constants(k)
    k.label("store")
    stream_from(k, r.tile)
    advance(k, r.tile, words_after_weights(len(r.vectors), bool(results.bounds), residual))
    results.compute(k)
    if residual:
        add_residual(k, r)
    results.compute_low(k)
    parts = [StoredPart(tuple(row), UNIFORM) for row in r.accumulators]
    if len(parts) == 1:
        parts = in_halves(parts[0].values, UNIFORM)
    store_in_parts(k, parts, results.write_high)


def _start_gather(k: Assembler, gather: Gather, weight_lines: Register | None) -> None:
    for origin in gather.origins:
        k.mov(R3, ELEMENT)
        k.op("add", R3, R3, UNIFORM)
        window_origin(k, origin, R3)
    if weight_lines is not None:
        lane_bytes(k, R0)
        k.op("add", weight_lines, R0, UNIFORM)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)


def tiles_kernel(
    r: TileRegisters,
    accumulate: Callable[[Assembler, TileRegisters], None],
    epilogue: Expression | None,
    constant: tuple[Register, int] | None = None,
    *,
    residual: bool = False,
) -> Assembler:
    """A whole kernel around `accumulate`, which adds all input channels of one tap to the accumulators.

    `constant`: a register and what it holds throughout; `residual`: whether the tile's lines of another tensor are
    added behind the epilogue, and clamped then. Raises ScheduleError where the epilogue lacks registers.
    """
    accumulators = [x for row in r.accumulators for x in row]
    results = Results.of(accumulators, epilogue, (UNIFORM, UNIFORM), r.free_at_store, residual=residual)
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.mov(r.tiles, UNIFORM)
    k.load(R5_ALL, LINE_BYTES)
    if constant is not None:
        register, value = constant
        (k.load if small_immediate(value) is None else k.mov)(register, value)
    if r.gather is not None:
        k.mov(r.gather.base, UNIFORM)
        lane_bytes(k, r.gather.outside)
        k.op("add", r.gather.outside, r.gather.outside, UNIFORM)
    k.label("tile")
    stream_from(k, r.tile)
    if r.gather is None:
        start_direct(k, r)
    else:
        _start_gather(k, r.gather, r.weight_lines)
    words = words_before_weights(len(r.addresses), r.gather is not None, r.weight_lines is not None)
    advance(k, r.tile, words)
    load_biases(k, r)
    if r.gather is None:
        accumulate(k, r)
    else:
        _each_tap(k, r, r.gather, accumulate)
    store_tile(k, r, results, residual)
    k.op("sub", r.tiles, r.tiles, 1, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _each_tap(
    k: Assembler, r: TileRegisters, gather: Gather, accumulate: Callable[[Assembler, TileRegisters], None]
) -> None:
    k.mov(gather.taps, UNIFORM)
    k.label("tap")
    if r.weight_lines is not None:
        k.op("add", gather.base, gather.base, UNIFORM)
    for origin, address, increment in zip(gather.origins, r.addresses, gather.increments, strict=True):
        tap_address(k, origin, base=gather.base, outside=gather.outside, address=address, increment=increment)
    accumulate(k, r)
    k.label("next_tap")
    k.op("sub", gather.taps, gather.taps, 1, set_flags=True)
    k.branch("tap", "any_nc")
