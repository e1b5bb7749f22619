"""A pointwise convolution and the depthwise one that reads it: what lies between them stays in registers.

Lanes are 16 channels of what lies between. A task is these by a band of `rows` output rows, along which it walks from
left to right: every step takes the next input columns (as many as the stride) of all rows that the band's windows need,
expands each of their pixels, and adds the result into the sums of the outputs whose windows it lies in. So no column is
expanded twice, and a row only where bands meet.

Expansion. A TMU gathers up to 16 channels x of an input pixel. With E[i] = sum of W[i, c] x[c] over rotations of x by
4 q + s lanes and T_s = sum over q of rotate(x, 4 q) * w_{q,s},

    E = T_0 + rotate(T_1, 1) + rotate(rotate(T_3, 1) + T_2, 2):

the weights w stay in registers, and 6 multiplications of 22 rotate. Fewer channels are repeated over the lanes, so that
fewer q are needed (`Vector`). More of them are several vectors, whose sums T are the same.

Zeros around the depthwise input are no results of the expansion: every pixel has its own upper end of the clamp, 0
where it lies outside, the lower end always being 0.

Finished outputs stay in registers until `pixels` columns of them are stored: VPM columns are written, which makes lines
of one channel of them. They move on by `unrolled` columns a pass of the loop.

All QPUs use the TMUs unswapped: those of a slice that work on the same rows share the lines of each.

The kernel's block: words of its tasks, each with
    the address of the word behind it, that of the group's lines, for each vector the input's, the output's at the
    band's first block, (own) the QPU's two words of `vpm_columns`, the address of the band's stream; then 1 where a
    task follows, else 0. Where the group is that of the task before, 0 stands for its lines, and for the input's
    addresses how far they have moved.
The group's lines: of each vector the lanes' bytes, the biases of the expansion and of the window, the expansion's
weights in the order of `Form.weights`, the window's taps.
The band's stream: of the first `ahead` pixels the places in bytes; then for each store for each of its passes of the
loop, of all pixels the place of the pixel `ahead` of it and its upper end, and 1 where another pass follows, else 0;
low, high, of each row its pieces (see `row_pieces`), their addresses relative; 1 where another follows, else 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from codegen.engines.videocore4.assembler import Assembler, operation
from codegen.engines.videocore4.kernels.expand_form import (
    KEPT,
    KEPT_BY,
    LEAST_CHANNELS,
    MOST_CHANNELS,
    MOST_PIXELS,
    MOST_ROWS,
    NEXT_TASK,
    OUTPUT,
    STORES,
    SUMS,
    TAPS,
    WRITES,
    Form,
    Pixel,
)
from codegen.engines.videocore4.kernels.pieces import (
    dma_store_stride,
    lane_bytes,
    stream_from,
)
from codegen.engines.videocore4.kernels.results import Results
from codegen.engines.videocore4.kernels.row_pieces import (
    OwnColumns,
    make_room,
    store_row_in_pieces,
    store_rows_in_pieces,
)
from codegen.engines.videocore4.kernels.tile import load_lines
from codegen.engines.videocore4.layer import RegisterPool, leave
from codegen.engines.videocore4.layout import LANES
from codegen.engines.videocore4.operation import Bundle, Operation
from codegen.engines.videocore4.packing import pack
from codegen.engines.videocore4.registers import (
    DMA_STORE_ADDRESS,
    DMA_STORE_WAIT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU_NOSWAP,
    TMU_S,
    UNIFORM,
    VPM_WRITE,
    VPM_WRITE_SETUP,
    Register,
)
from codegen.errors import ScheduleError


@dataclass(frozen=True)
class _Kept:
    """Of what a row adds to the outputs above: where that of the row before is, and one output's; and the lanes of
    words that are wanted between steps.
    """

    lanes: Register
    value: Register
    words: Register

    def scalars(self, k: Assembler, *wanted: tuple[int, Register]) -> None:
        """Words of a task, by their numbers, each in lane 0."""
        k.mov(R0, self.words)
        for number, register in wanted:
            k.rotate(register, R0, LANES - number) if number else k.mov(register, R0)


@dataclass
class _Registers:
    weights: dict[tuple[int, int, int], Register]
    taps: list[Register]
    partial: list[Register]  # T_0 to T_3 until their last products
    results: list[list[Register]]  # [row][column]: the newest first
    sums: list[list[Register]]  # [row][steps until finished - 1]
    lanes: list[Register]
    expansion_bias: Register
    window_bias: Register
    output: Register
    next_task: Register
    own: OwnColumns | None
    kept: _Kept | None

    @staticmethod
    def of(form: Form) -> _Registers:
        """Raises ScheduleError where registers lack.

        A sum is read from one file while the next weight is read from the other.
        """
        pool = RegisterPool()
        taps = [pool.take("a") for _ in range(TAPS * TAPS)]
        columns = (form.pixels, 1) if form.once else (form.pixels,) * form.rows
        results = [[pool.take("b") for _ in range(count)] for count in columns]
        sums = [[pool.take("b") for _ in range(form.sums)] for _ in range(form.rows)]
        t0, t1, t2 = pool.take("a"), pool.take("b"), pool.take("b")  # T_0 is added to beside a rotation
        weights = {key: pool.take("a") for key in form.weights if key[2] < 2}
        window_bias = pool.take("b")
        lanes = [_preferred(pool, "a") for _ in form.vectors]
        bias = _preferred(pool, "a")
        # Weights of the file that what is done beside their products does not read: the clamp, the last of the window's
        # sums, the expansion's bias, requests.
        for turn in {1, form.turn_of_taps}:
            weights[*form.turns[turn], 3] = _preferred(pool, "a")
        beside = [(0, 0, 3), (0, 0, 2), *((*at, 3) for at in form.free_slots)]
        weights |= {key: _preferred(pool, "b") for key in beside if key not in weights}
        weights |= {key: pool.take() for key in form.weights if key not in weights}
        kept = _Kept(pool.take(), pool.take(), pool.take()) if form.once else None
        if kept is not None:  # their words come from a line when they are wanted
            output, next_task = t2, t0
            own: OwnColumns | None = OwnColumns(t0, t1)
        else:
            output, next_task = pool.take(), pool.take()
            own = OwnColumns(pool.take(), pool.take()) if form.own else None
        return _Registers(
            weights,
            taps,
            [t0, t1, t2, R3],
            results,
            sums,
            lanes,
            bias,
            window_bias,
            output,
            next_task,
            own,
            kept,
        )

    @property
    def all_results(self) -> list[Register]:
        return [register for row in self.results for register in row]


def _preferred(pool: RegisterPool, file: Literal["a", "b"]) -> Register:
    """Of that file, as long as it has one."""
    try:
        return pool.take(file)
    except ScheduleError:
        return pool.take()


def check(form: Form) -> None:
    """Raises ScheduleError where registers or rows of the VPM lack."""
    if not 1 <= form.rows <= MOST_ROWS or not 1 <= form.pixels <= MOST_PIXELS:
        raise ScheduleError(f"{form.rows} rows of {form.pixels} pixels: at most {MOST_ROWS} of {MOST_PIXELS}")
    if not LEAST_CHANNELS <= form.channels <= MOST_CHANNELS:
        raise ScheduleError(
            f"{form.channels} input channels: {LEAST_CHANNELS} to {MOST_CHANNELS} are computed, which have registers"
        )
    _Registers.of(form)


@cache
def expand_depthwise_kernel(form: Form) -> Assembler:
    """Code for a form; raises ScheduleError where registers or rows of the VPM lack."""
    check(form)
    r = _Registers.of(form)
    finished = r.results[0] if form.once else r.all_results
    results = Results.of(finished, None, (UNIFORM, UNIFORM), [])
    k = Assembler()
    k.mov(TMU_NOSWAP, 1)
    k.label("task")
    _start(k, r, form)
    k.label("pass")
    _Pass(k, r, form).emit()
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("pass", "any_zc")
    k.label("results")
    if form.once:
        k.mov(NULL, UNIFORM, set_flags=True)
        k.branch("keep", "all_zs")
        k.label("finished")
    results.compute_all(k)
    rows = [row[::-1] for row in r.results]
    if r.kept is not None:
        r.kept.scalars(k, (OUTPUT, r.output))
    if form.own:
        assert r.own is not None
        store_row_in_pieces(k, rows[0], results.write_high, r.own, r.output)
    else:
        store_rows_in_pieces(k, rows[: form.rows_stored], results.write_high, columns=True, base=r.output)
    if r.kept is not None:
        _keep(k, r.kept, r.own)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("pass", "any_zc")
    k.label("drain")
    for number in range(form.ahead):
        for tmu in form.gathered_by(number):
            k.load_tmu(tmu)
        if form.once and number == 0:
            k.load_tmu(KEPT_BY)
    if r.kept is not None:
        r.kept.scalars(k, (NEXT_TASK, r.next_task))
    stream_from(k, r.next_task)
    k.mov(NULL, UNIFORM, set_flags=True)
    k.branch("task", "any_zc")
    k.label("end")
    k.mov(TMU_NOSWAP, 0)
    k.mov(NULL, DMA_STORE_WAIT)
    leave(k)
    return k


def _start(k: Assembler, r: _Registers, form: Form) -> None:
    """Reads a task's words, its group's lines where they are not there yet, and asks for the first pixels."""
    lines = [*r.lanes, r.expansion_bias, r.window_bias]
    lines += [r.weights[key] for key in form.weights] + r.taps
    k.mov(NULL if form.once else r.next_task, UNIFORM)
    k.mov(R3, UNIFORM, set_flags=True)
    k.branch("loaded", "all_zs")
    k.label("lines")
    lane_bytes(k, R1)
    k.op("add", R1, R1, R3)
    load_lines(k, R1, lines)
    k.label("loaded")
    for register in r.lanes:
        k.op("add", register, register, UNIFORM)
    if r.kept is not None:
        lane_bytes(k, R1)
        k.op("add", TMU_S[0], R1, UNIFORM)
        k.op("add", r.kept.lanes, R1, UNIFORM)
        k.load_tmu(0)
        k.mov(r.kept.words, R4)
        k.mov(VPM_WRITE_SETUP, R4)
    else:
        k.mov(r.output, UNIFORM)
        if r.own is not None:
            k.mov(r.own.writes, UNIFORM)
            k.mov(r.own.stores, UNIFORM)
    for row in r.sums:
        for register in row:
            k.mov(register, r.window_bias)
    k.mov(R3, UNIFORM)
    stream_from(k, R3)
    for number in range(form.ahead):
        k.mov(R0, UNIFORM)
        for tmu, lanes in zip(form.gathered_by(number), r.lanes, strict=True):
            k.op("add", TMU_S[tmu], R0, lanes)
        if r.kept is not None and number == 0:
            k.op("add", TMU_S[KEPT_BY], r.kept.lanes, UNIFORM)


def _keep(k: Assembler, kept: _Kept, own: OwnColumns | None) -> None:
    """Stores what a row adds to the outputs above, a line of each, where it is wanted."""
    assert own is not None
    k.label("keep")
    kept.scalars(k, (WRITES, own.writes), (STORES, own.stores), (KEPT, kept.value))
    k.mov(R1, UNIFORM, set_flags=True)
    k.op("add", R2, kept.value, UNIFORM)
    k.branch("kept", "all_zs")
    k.label("keeps")
    k.op("add", VPM_WRITE_SETUP, R1, own.stores)
    k.load(VPM_WRITE_SETUP, dma_store_stride(0))
    k.mov(DMA_STORE_ADDRESS, R2)
    k.label("kept")
    k.mov(VPM_WRITE_SETUP, own.writes)


class _Pass:
    """The loop's instructions: every product goes through r0 to the addition behind it."""

    def __init__(self, k: Assembler, r: _Registers, form: Form) -> None:
        self._k, self._r, self._form = k, r, form

    def emit(self) -> None:
        """The newest of a pass lies first."""
        before: tuple[int, Pixel] | None = None
        for step in reversed(range(self._form.unrolled)):
            for number, pixel in enumerate(self._form.step):
                self._expand(number, before)
                before = (step, pixel)
        self._taps(before)
        if self._r.kept is not None:
            self._k.label("line")
            self._k.mov(NULL, DMA_STORE_WAIT)
            self._k.mov(VPM_WRITE, self._r.results[1][0])

    def _expand(self, number: int, before: tuple[int, Pixel] | None) -> None:
        """r2 becomes a pixel's expansion; until its last products it is that of the pixel before."""
        k, form = self._k, self._form
        requests = self._requests(number)
        beside: dict[tuple[int, int], Operation] = {}
        if len(form.free_slots) >= len(requests):
            beside, requests = dict(zip(form.requested_in, requests, strict=True)), []
        for turn, (v, q) in enumerate(form.turns):
            if q == 0:
                k.load_tmu(form.gathered_by(number)[v])
            if q == 1:
                k.together(Operation("mov", "add", R1, (R4,)))  # the multiplier is busy
            if q:
                k.rotate(R1, R1, SUMS)
            if turn == form.turn_of_taps:
                self._taps(before, Operation("mov", "add", R5_ALL, (UNIFORM,)))
                for request in requests:
                    k.together(request)
            line = R1 if q else R4
            if turn == len(form.turns) - 1:
                self._last(v, q, line, beside.get((v, q)))
                self._receive_kept(number)
                continue
            if turn == 0:
                self._first(line)
                continue
            for s in reversed(range(SUMS)):
                self._multiply(
                    R0, line, self._r.weights[v, q, s], beside.get((v, q)) if s == SUMS - 1 else None
                )
                k.fadd(self._r.partial[s], self._r.partial[s], R0)

    def _receive_kept(self, number: int) -> None:
        """Behind a pixel: of the step's first output, and asks for the next step's."""
        kept = self._r.kept
        if kept is not None and number == 0:
            self._k.load_tmu(KEPT_BY)
            self._k.mov(kept.value, R4)
        if kept is not None and number == self._form.asks_kept:
            self._k.op("add", TMU_S[KEPT_BY], kept.lanes, UNIFORM)

    def _first(self, line: Register) -> None:
        """The first products become sums; the bias is added to one of them."""
        r = self._r
        partial, weights = r.partial, [r.weights[0, 0, s] for s in range(SUMS)]
        self._multiply(R0, line, weights[0])
        self._multiply(partial[3], line, weights[3])
        self._multiply(partial[2], line, weights[2], operation("fadd", partial[0], r.expansion_bias, R0))
        self._multiply(partial[1], line, weights[1])

    def _multiply(
        self, result: Register, line: Register, weight: Register, beside: Operation | None = None
    ) -> None:
        """In an instruction with another operation where that fits."""
        product = operation("fmul", result, line, weight)
        if beside is None:
            self._k.together(product)
        elif pack([Bundle((beside, product))]) is not None:
            self._k.together(beside, product)
        else:
            self._k.together(beside)
            self._k.together(product)

    def _requests(self, number: int) -> list[Operation]:
        """For the pixel that is so many further."""
        tmus = self._form.gathered_by(number + self._form.ahead)
        return [
            operation("add", TMU_S[tmu], R5, lanes) for tmu, lanes in zip(tmus, self._r.lanes, strict=True)
        ]

    def _last(self, v: int, q: int, line: Register, beside: Operation | None) -> None:
        """The last products, and all sums to r2."""
        k, r = self._k, self._r
        t0, t1, t2, t3 = r.partial
        w0, w1, w2, w3 = (r.weights[v, q, s] for s in range(SUMS))
        self._multiply(R0, line, w3, beside)
        k.fadd(t3, t3, R0)
        k.fmul(R0, line, w2)
        k.fadd(t2, t2, R0)
        k.fmul(R0, line, w1)
        k.fadd(R2, t1, R0)
        k.rotate(R0, t3, 1)
        k.fadd(R3, t2, R0)
        k.fmul(R0, line, w0)
        k.fadd(R1, t0, R0)
        k.rotate(R0, R2, 1)
        k.fadd(R1, R1, R0)
        k.rotate(R0, R3, 2)
        k.fadd(R2, R1, R0)
        k.fmin(R2, R2, UNIFORM)
        k.fmax(R2, R2, 0)

    def _taps(self, before: tuple[int, Pixel] | None, beside: Operation | None = None) -> None:
        """The products of the window with the expansion in r2, the first with another operation beside it."""
        if before is None:
            if beside is not None:
                self._k.together(beside)
            return
        k, r, form = self._k, self._r, self._form
        step, pixel = before
        if pixel == form.step[0] and step == form.unrolled - 1:
            make_room(k, r.results[: form.rows_stored], form.unrolled)
        for tap in form.taps(pixel):
            sums = [r.results[tap.row][step], *r.sums[tap.row]]
            begin = r.kept.value if r.kept is not None and tap.row == 0 else r.window_bias
            old = begin if tap.begins else sums[tap.sum + tap.first]
            self._multiply(R0, R2, r.taps[tap.weight], beside)
            beside = None
            k.fadd(sums[tap.sum], old, R0)
