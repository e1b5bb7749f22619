"""Published computations with kernels of this project: the same arithmetic and the same memory accesses.

QPULib's README gives times of two programs on a Raspberry Pi: rotating 192,000 points about an axis, and 2,000 steps
of heat flow on a 512 x 512 grid. Its compiler's code is longer than these kernels' (it neither pairs operations nor
fills delay slots), so a time that memory does not bound is a lower bound only.

GPU_FFT's text gives times of Fourier transforms, which pass over the data several times; a pass moves at least what a
copy moves.
"""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler, word_of
from codegen.engines.videocore4.registers import (
    DMA_LOAD_ADDRESS,
    DMA_LOAD_WAIT,
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    TMU_S,
    UNIFORM,
    VPM_READ,
    VPM_READ_SETUP,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    A,
    B,
    Register,
)
from microbench.suite.benchmark import LINE_BYTES, Address, Benchmark, Numbered, Rounds, Uniform
from microbench.suite.loops import (
    discard,
    dma_load_rows,
    dma_store_rows,
    dma_store_stride,
    lane_addresses,
    scheduled_loop,
    vpm_read_rows,
    vpm_write_rows,
)

COSINE, SINE = 0.8, 0.6
HEAT_K = 0.25
ROW_BYTES = 4 * 512
PLANE_BYTES = 1 << 16

_COS, _SIN = A(1), B(1)
_STEP = A(3)
_WRITE_SETUP, _STORE_SETUP = A(4), A(5)
_X_STORE, _Y_STORE = B(2), B(3)


def rotation(qpus: int, prefetched: bool) -> Benchmark:
    """16 points a round and QPU. Prefetched: by TMU, a round ahead, with stores that are waited for by the next.

    Otherwise rows come and go by DMA, one at a time.
    """
    program = _rotate_prefetched() if prefetched else _rotate_blocking()
    uniforms: tuple[Uniform, ...] = (
        *(Rounds(), word_of(COSINE), word_of(SINE), LINE_BYTES * qpus),
        *_store_setups(),
        *(Address(0, LINE_BYTES), Address(PLANE_BYTES, LINE_BYTES)),
    )
    if prefetched:
        uniforms = (*uniforms, Address(0, LINE_BYTES), Address(PLANE_BYTES, LINE_BYTES))
    else:
        load, read = dma_load_rows(1, 16), vpm_read_rows(0, 1)
        uniforms = (*uniforms, Numbered(load, 1 << 4), Numbered(read, 1))
    name = f"rotation.{'prefetched' if prefetched else 'blocking'}.qpus={qpus}"
    return Benchmark(
        name, "computation", (program,), uniforms, qpus, (8, 40), 16 * qpus, data_bytes=2 * PLANE_BYTES
    )


def _store_setups() -> tuple[Uniform, ...]:
    """For one row of the VPM a QPU."""
    return (
        dma_store_stride(0),
        Numbered(vpm_write_rows(0), 1),
        Numbered(dma_store_rows(1, 16), 1 << 7),
    )


def _begin_store(asm: Assembler) -> None:
    asm.mov(VPM_WRITE_SETUP, UNIFORM)
    asm.mov(_WRITE_SETUP, UNIFORM)
    asm.mov(_STORE_SETUP, UNIFORM)


def _begin_rotation(asm: Assembler) -> None:
    asm.mov(_COS, UNIFORM)
    asm.mov(_SIN, UNIFORM)
    asm.mov(_STEP, UNIFORM)
    _begin_store(asm)
    asm.mov(_X_STORE, UNIFORM)
    asm.mov(_Y_STORE, UNIFORM)


def _put(asm: Assembler, value: Register, address: Register) -> None:
    """A row by way of the VPM, once the one before has left."""
    discard(asm, DMA_STORE_WAIT)
    asm.mov(VPM_WRITE_SETUP, _WRITE_SETUP)
    asm.mov(VPM_WRITE, value)
    asm.mov(VPM_WRITE_SETUP, _STORE_SETUP)
    asm.mov(DMA_STORE_ADDRESS, address)


def _rotated(asm: Assembler, wait_for_store: bool) -> None:
    """r0 and r1 are x and y; stores both of the results and moves on."""
    for first, second, operation, address in (
        (R0, R1, "fsub", _X_STORE),
        (R1, R0, "fadd", _Y_STORE),
    ):
        asm.op("fmul", R2, first, _COS)
        asm.op("fmul", R3, second, _SIN)
        asm.op(operation, R2, R2, R3)
        _put(asm, R2, address)
        if wait_for_store:
            discard(asm, DMA_STORE_WAIT)
        asm.op("add", address, address, _STEP)


def _rotate_prefetched() -> tuple[int, ...]:
    x, y = B(8), B(9)

    def before(asm: Assembler) -> None:
        _begin_rotation(asm)
        for address in (x, y):
            lane_addresses(4, address)(asm)
            asm.mov(TMU_S[0], address)

    def body(asm: Assembler) -> None:
        for address in (x, y):
            asm.op("add", address, address, _STEP)
            asm.mov(TMU_S[0], address)
        for value in (R0, R1):
            asm.together(signal="load_tmu0")
            asm.mov(value, R4)
        _rotated(asm, wait_for_store=False)

    def after(asm: Assembler) -> None:
        for _ in (x, y):
            asm.together(signal="load_tmu0")
        discard(asm, DMA_STORE_WAIT)

    return scheduled_loop(body, before, after)


def _rotate_blocking() -> tuple[int, ...]:
    load_setup, read_setup = A(6), A(7)

    def before(asm: Assembler) -> None:
        _begin_rotation(asm)
        asm.mov(load_setup, UNIFORM)
        asm.mov(read_setup, UNIFORM)

    def body(asm: Assembler) -> None:
        for value, address in ((R0, _X_STORE), (R1, _Y_STORE)):
            asm.mov(VPM_READ_SETUP, load_setup)
            asm.mov(DMA_LOAD_ADDRESS, address)
            discard(asm, DMA_LOAD_WAIT)
            asm.mov(VPM_READ_SETUP, read_setup)
            asm.mov(value, VPM_READ)
        _rotated(asm, wait_for_store=True)

    return scheduled_loop(body, before)


# A copy -------------------------------------------------------------------------------------------------------------

COPIED_ROWS = 8  # of the VPM, a QPU


def copy(qpus: int) -> Benchmark:
    """COPIED_ROWS lines a round and QPU, in by TMU, four in flight, and out by one DMA store."""
    block = COPIED_ROWS * LINE_BYTES
    uniforms: tuple[Uniform, ...] = (
        *(Rounds(), block * qpus, dma_store_stride(0), Numbered(vpm_write_rows(0), COPIED_ROWS)),
        Numbered(dma_store_rows(COPIED_ROWS, 16), COPIED_ROWS << 7),
        *(Address(PLANE_BYTES * 2, block), Address(0, block)),
    )
    return Benchmark(
        f"copy.qpus={qpus}",
        "computation",
        (scheduled_loop(_copy_body, _begin_copy, _end_copy),),
        uniforms,
        qpus,
        (4, 16),
        COPIED_ROWS * LINE_BYTES * qpus,
        data_bytes=4 * PLANE_BYTES,
    )


_TO, _FROM, _NEAR = B(2), B(3), 4  # how many lines ahead the TMU is asked


def _begin_copy(asm: Assembler) -> None:
    asm.mov(_STEP, UNIFORM)
    _begin_store(asm)
    asm.mov(_TO, UNIFORM)
    lane_addresses(4, _FROM)(asm)
    asm.load(R2, LINE_BYTES)
    asm.mov(R0, _FROM)
    for _ in range(_NEAR):
        asm.mov(TMU_S[0], R0)
        asm.op("add", R0, R0, R2)


def _copy_body(asm: Assembler) -> None:
    """r0 is the next line to ask for; the last lines of a round are the first of the next one's block."""
    discard(asm, DMA_STORE_WAIT)
    asm.mov(VPM_WRITE_SETUP, _WRITE_SETUP)
    for line in range(COPIED_ROWS):
        if line == COPIED_ROWS - _NEAR:
            asm.op("add", _FROM, _FROM, _STEP)
            asm.mov(R0, _FROM)
        asm.together(signal="load_tmu0")
        asm.mov(VPM_WRITE, R4)
        asm.mov(TMU_S[0], R0)
        asm.op("add", R0, R0, R2)
    asm.mov(VPM_WRITE_SETUP, _STORE_SETUP)
    asm.mov(DMA_STORE_ADDRESS, _TO)
    asm.op("add", _TO, _TO, _STEP)


def _end_copy(asm: Assembler) -> None:
    for _ in range(_NEAR):
        asm.together(signal="load_tmu0")
    discard(asm, DMA_STORE_WAIT)


# Heat flow ----------------------------------------------------------------------------------------------------------

_PREVIOUS, _CURRENT, _NEXT, _CURSOR = (
    [A(8 + i) for i in range(3)],
    [B(8 + i) for i in range(3)],
    [A(12 + i) for i in range(3)],
    [B(12 + i) for i in range(3)],
)
_OUT, _K = B(2), A(1)


def heat(qpus: int) -> Benchmark:
    """16 cells of the next grid a round and QPU, from three rows that are read a vector ahead; row i for QPU i."""
    uniforms: tuple[Uniform, ...] = (
        *(Rounds(), word_of(HEAT_K), LINE_BYTES, *_store_setups()),
        Address(PLANE_BYTES + ROW_BYTES, ROW_BYTES),
        *(Address(i * ROW_BYTES, ROW_BYTES) for i in range(3)),
    )
    program = scheduled_loop(_heat_body, _begin_heat, _end_heat)
    return Benchmark(
        f"heat.qpus={qpus}",
        "computation",
        (program,),
        uniforms,
        qpus,
        (4, 24),
        16 * qpus,
        data_bytes=2 * PLANE_BYTES,
    )


def _begin_heat(asm: Assembler) -> None:
    asm.mov(_K, UNIFORM)
    asm.mov(_STEP, UNIFORM)
    _begin_store(asm)
    asm.mov(_OUT, UNIFORM)
    for row in range(3):
        lane_addresses(4, _CURSOR[row])(asm)
        asm.mov(TMU_S[0], _CURSOR[row])
        asm.load(_CURRENT[row], 0)
    for row in range(3):
        asm.op("add", _CURSOR[row], _CURSOR[row], _STEP)
        asm.together(signal="load_tmu0")
        asm.mov(_NEXT[row], R4)
        asm.mov(TMU_S[0], _CURSOR[row])


def _heat_body(asm: Assembler) -> None:
    for row in range(3):
        asm.op("add", _CURSOR[row], _CURSOR[row], _STEP)
        asm.mov(TMU_S[0], _CURSOR[row])
        asm.mov(_PREVIOUS[row], _CURRENT[row])
        asm.mov(_CURRENT[row], _NEXT[row])
        asm.together(signal="load_tmu0")
        asm.mov(_NEXT[row], R4)
    asm.load(R3, 0.0)
    for row in range(3):
        if row != 1:
            asm.op("fadd", R3, R3, _CURRENT[row])
        _add_shifted(asm, _CURRENT[row], _NEXT[row], 15, 15)
        _add_shifted(asm, _CURRENT[row], _PREVIOUS[row], 1, 0)
    asm.op("fmul", R0, R3, 0.125)
    asm.mov(R1, _CURRENT[1])
    asm.op("fsub", R0, R1, R0)
    asm.op("fmul", R0, R0, _K)
    asm.op("fsub", R0, R1, R0)
    _put(asm, R0, _OUT)
    asm.op("add", _OUT, _OUT, _STEP)


def _add_shifted(asm: Assembler, vector: Register, beside: Register, lanes: int, seam: int) -> None:
    """Adds to r3 the vector rotated, with the neighbouring vector's element at the seam."""
    asm.mov(R0, vector)
    asm.mov(R1, beside)
    asm.op("sub", NULL, ELEMENT, seam, set_flags=True)
    asm.rotate(R2, R0, lanes)
    asm.rotate(R0, R1, lanes)
    asm.mov(R2, R0, condition="zs")
    asm.op("fadd", R3, R3, R2)


def _end_heat(asm: Assembler) -> None:
    for _ in range(3):
        asm.together(signal="load_tmu0")
    discard(asm, DMA_STORE_WAIT)
