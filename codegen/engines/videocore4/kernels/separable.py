"""A depthwise convolution and the pointwise one that reads it: what lies between them stays in registers.

A tile is `rows` rows of up to 14 output pixels by `channels` outputs of the pointwise convolution, all accumulators in
registers. Of each input channel its few lines are loaded once; every weight is used for all rows of the tile. Lanes are
pixels side by side. A 3x3 window's columns come by rotating sums instead of lines: those of the left taps move by one
lane, those of the middle taps join them, all move by one lane again, and those of the right taps join in. So results
lie two lanes behind the first pixel's left tap. With stride 2 odd and even columns are lines of their own, and sums
move once.

Of each input channel's weights 16 are uniforms, one line of the stream: the depthwise bias, nine taps and the first of
the pointwise weights, all through port A, each used again for the second row as the port's last value (see `relayed`).
The others are lanes of vectors, which rotation sends to r5. Behind word 14 of a line of uniforms, where the FIFO asks
for the next one, stand the products of these, so that uniforms hardly keep a QPU waiting. Beside the first product of
each the add ALU has nothing to add: there stand requests, the counter, and copies of what the TMUs deliver.

The loop is scheduled by `modulo`: the depthwise sums of a channel, its pointwise products, in whose free slots the next
channel's vectors and the lines after next are asked for, the next lines are received, and last its bias. Lines are
asked for up to two channels behind the last: nobody reads what they hold. The lines of lanes outside the input are
zeros; a plane of them lies with the vectors.

The kernel's block: address of the first tile's words, the depthwise clamp's upper end. Words of a tile:
    first lane's input column, input columns, bytes from one block of the input to the next less those of a line,
    the input's address and that of the zeros (both `first_request`), for each input row its first pixel or `OUTSIDE`,
    for each plane of vectors its address (`first_vector`), the address of the stream;
    (in step) 1 for the QPU that gathers the others, else 0, and 1 in tiles of odd numbers, else 0;
    (residual) the last pixel's number in a row of the tile, bytes from one block of the output to the next less those
    of a line, the residual's address at the tile's first channel, for each row its first pixel;
    low, high (where no epilogue is `coded`); for each part that is stored for each of its two pieces: setup of the
    store's stride, of the store, address; 1 where a tile follows, else 0.
The stream: padding, the pointwise biases, `first_offset`, and from a line's start on 16 words of each input channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.kernels.pieces import (
    VPM_ROWS,
    advance,
    lane_bytes,
    stream_from,
    vpm_write_rows,
)
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.separable_loop import (
    FIRST_LANE,
    MOST_LINES,
    MOST_ROWS,
    MOST_VECTORS,
    PIECES,
    THROUGH_UNIFORMS,
    Channel,
    Form,
    Registers,
)
from codegen.engines.videocore4.kernels.tile import add_lines
from codegen.engines.videocore4.layer import leave
from codegen.engines.videocore4.layout import LANES, LINE_BYTES
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    MUTEX,
    MUTEX_RELEASE,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError
from codegen.expression import Expression

ARRIVE, DEPART = 0, (1, 2)  # semaphores; the linker's are others
OUTSIDE = -(1 << 26)  # a pixel number: no sum with a column reaches 0


def first_offset(input_channels: int) -> int:
    """What the counter starts with: bytes, up to 0 in the loop."""
    return -LINE_BYTES * input_channels


def first_request(input_channels: int) -> int:
    """Bytes that an address of input lines lies behind its first one: the counter and one channel before use."""
    return LINE_BYTES * (input_channels + 1)


def first_vector(input_channels: int) -> int:
    """The same of vectors."""
    return LINE_BYTES * input_channels


@cache
def separable_kernel(form: Form, epilogue: Expression | None = None, *, residual: bool = False) -> Assembler:
    """Code for a form; raises ScheduleError where registers, rows of the VPM or the TMUs' queues lack."""
    if not 1 <= form.rows <= MOST_ROWS or form.lines > MOST_LINES or form.vectors > MOST_VECTORS:
        raise ScheduleError(
            f"{form.rows} rows of {form.channels} channels: at most {MOST_ROWS} rows, whose inputs are at most "
            f"{MOST_LINES} lines of a channel, and {THROUGH_UNIFORMS + MOST_VECTORS * LANES} channels"
        )
    if form.channels <= THROUGH_UNIFORMS or form.rows * form.channels > VPM_ROWS:
        raise ScheduleError(
            f"{form.rows} rows of {form.channels} channels: a tile has more than {THROUGH_UNIFORMS} channels, and at "
            f"most {VPM_ROWS} lines"
        )
    r = Registers.of(form)
    results = Results.of(r.results, epilogue, (UNIFORM, UNIFORM), r.free_at_store, residual=residual)
    k = Assembler()
    k.mov(r.tile, UNIFORM)
    k.mov(r.high, UNIFORM)
    k.load(r.step, LINE_BYTES)
    k.label("tile")
    _start(k, r, form)
    k.pipelined_loop("channels", Channel(r, form).items(), "any_ns")
    k.label("drain")
    for number in range(form.lines + form.vectors):
        k.load_tmu(number % 2)
    results.load_constants(k)
    k.label("store")
    stream_from(k, r.tile)
    advance(k, r.tile, form.words_behind_stream(clamped=bool(results.bounds), residual=residual))
    results.compute(k)
    if residual:
        _add_residual(k, r, form)
    results.compute_low(k)
    _store(k, r, form, results)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("tile", "any_zc")
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _meet(k: Assembler, qpus: int) -> None:
    """Waits for all QPUs, as the linker's barrier does: tiles of even and of odd numbers have tokens of their own."""
    gathers, odd = R1, R2
    k.label("meet")
    k.mov(NULL, gathers, set_flags=True)
    k.branch("gathers", "any_zc")
    k.label("arrives")
    k.release(ARRIVE)
    k.mov(NULL, odd, set_flags=True)
    k.branch("odd", "any_zc")
    k.acquire(DEPART[0])
    k.branch("met")
    k.label("odd")
    k.acquire(DEPART[1])
    k.branch("met")
    k.label("gathers")
    for _ in range(qpus - 1):
        k.acquire(ARRIVE)
    k.mov(NULL, odd, set_flags=True)
    k.branch("gathers_odd", "any_zc")
    for _ in range(qpus - 1):
        k.release(DEPART[0])
    k.branch("met")
    k.label("gathers_odd")
    for _ in range(qpus - 1):
        k.release(DEPART[1])
    k.label("met")


def _start(k: Assembler, r: Registers, form: Form) -> None:
    stream_from(k, r.tile)
    advance(k, r.tile, form.words_before_stream())
    columns = _columns(k, r, form)
    gap, base, outside = r.results[3:6]
    for register in (gap, base, outside):
        k.mov(register, UNIFORM)
    addresses = iter(r.addresses)
    for _ in range(form.input_rows):
        k.mov(R3, UNIFORM)
        for column in columns:
            address = next(addresses)
            k.op("add", R0, R3, column, set_flags=True)
            _line_address(k, R0, gap, base, address)
            k.mov(address, outside, condition="ns")
    lane_bytes(k, R0)
    for vector in r.vectors:
        k.op("add", vector, R0, UNIFORM)
    k.mov(R3, UNIFORM)
    if form.in_step:
        k.mov(R1, UNIFORM)
        k.mov(R2, UNIFORM)
    stream_from(k, R3)
    for sums in zip(*r.sums, strict=True):
        k.mov(R0, UNIFORM)
        for register in sums:
            k.mov(register, R0)
    k.mov(r.offset, UNIFORM)
    k.op("sub", R0, r.offset, r.step)
    for number, address in enumerate(r.addresses):
        k.op("add", TMU_S[number % 2], R0, address)
    for number, address in r.queued:
        if number < form.lines:
            k.load_tmu(number % 2)
            k.mov(r.lines[number], R4)
        k.op("add", TMU_S[number % 2], r.offset, address)
    k.mov(R3, UNIFORM)
    if form.in_step:
        _meet(k, form.in_step)


def _columns(k: Assembler, r: Registers, form: Form) -> list[Register]:
    """Input columns of the lanes, `OUTSIDE` where there is none: of the left taps, and with stride 2 of the middle."""
    width, *columns = r.results[: form.stride + 1]
    k.mov(R3, ELEMENT)
    if form.stride > 1:
        k.op("add", R3, R3, R3)
    k.op("add", R3, R3, UNIFORM)
    k.mov(width, UNIFORM)
    k.load(R2, OUTSIDE)
    for number, column in enumerate(columns):
        k.op("add", R0, R3, number, set_flags=True)
        k.op("sub", R1, width, R0)
        k.mov(R0, R2, condition="ns")
        k.op("sub", NULL, R1, 1, set_flags=True)
        k.mov(R0, R2, condition="ns")
        k.mov(column, R0)
    return columns


def _line_address(k: Assembler, pixel: Register, gap: Register, base: Register, address: Register) -> None:
    """Four bytes a pixel, and what lies between blocks."""
    k.op("shr", R1, pixel, 4)
    k.op("mul24", R1, R1, gap)
    k.op("shl", R2, pixel, 2)
    k.op("add", R1, R1, R2)
    k.op("add", address, R1, base)


def _add_residual(k: Assembler, r: Registers, form: Form) -> None:
    """Adds what lies at the results' places in another tensor."""
    k.label("residual")
    last, gap, base = r.lines[0], *r.vectors[:1], r.offset
    k.mov(last, UNIFORM)
    k.mov(gap, UNIFORM)
    k.mov(base, UNIFORM)
    k.mov(R3, ELEMENT)
    k.op("sub", R3, R3, FIRST_LANE)
    k.op("max", R3, R3, 0)
    k.op("min", R3, R3, last)
    addresses = r.addresses[: form.rows]
    for address in addresses:
        k.op("add", R0, R3, UNIFORM)
        _line_address(k, R0, gap, base, address)
    add_lines(k, addresses, r.sums)


def _store(k: Assembler, r: Registers, form: Form, results: Results) -> None:
    """Parts in VPM rows of their own, and the VPM given back once the last DMA has started, as `store_in_parts`."""
    k.label("vpm")
    k.mov(NULL, MUTEX)
    first = 0
    for number, (row, channels) in enumerate(form.parts):
        if number == 1:
            k.mov(NULL, DMA_STORE_WAIT)
        k.load(VPM_WRITE_SETUP, vpm_write_rows(first))
        results.write_high(k, r.sums[row][channels.start : channels.stop])
        for _ in range(PIECES):
            k.mov(NULL, DMA_STORE_WAIT)
            k.mov(VPM_WRITE_SETUP, UNIFORM)
            k.mov(VPM_WRITE_SETUP, UNIFORM)
            k.mov(DMA_STORE_ADDRESS, UNIFORM)
        first += len(channels)
    k.mov(MUTEX_RELEASE, 0)


def stored_rows(form: Form) -> Sequence[tuple[int, int]]:
    """Of each part the first VPM row, and how many."""
    first, found = 0, []
    for _, channels in form.parts:
        found.append((first, len(channels)))
        first += len(channels)
    return found
