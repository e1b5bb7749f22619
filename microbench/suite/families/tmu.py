"""TMUs: latency by footprint, conflicts, rate, and bandwidth by stride and by QPUs (guide section 4)."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler, move
from codegen.engines.videocore4.operation import Bundle
from codegen.engines.videocore4.packing import require
from codegen.engines.videocore4.registers import NULL, R0, R1, R2, R3, TMU_S, UNIFORM, A, B
from microbench.suite.benchmark import LINE_BYTES, Address, Benchmark, Rounds
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import Emit, counted_loop, lane_addresses, nothing, wait

FOOTPRINTS = tuple(3 << k for k in range(8, 18))  # bytes: 0.75 of every power of two from 1 KB to 512 KB
CONFLICTS = (1, 2, 3, 4, 6, 8, 12, 16)
CONFLICT_BYTES = 1 << 16  # a multiple of the size of any way of any cache that is looked for
STRIDES = (4, 8, 16, 32, 64)  # bytes from lane to lane
# Bytes: more than L2 has; less and more than the system's of a BCM2835. Several of each, as queues of many QPUs may
# fall into a rhythm at one of them, where a little more throughput changes much or nothing.
AGAIN = tuple(kilobytes << 10 for kilobytes in (48, 80, 96, 112, 192, 384))
UNROLLED = 4  # requests a round, so that the loop's own instructions hide behind them
RELIABLE_IN_FLIGHT = 4  # addendum, TMU FIFO
MOST_IN_FLIGHT = 8  # what the guide's p.39 gives a TMU and QPU


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """`queue_depth`: requests of a QPU that may be in flight on a TMU; more than silicon keeps apart are not made."""
    depth = min(queue_depth, RELIABLE_IN_FLIGHT)
    everybody = shape.qpus
    return (
        *(_latency(size, LINE_BYTES, f"footprint={size:06}") for size in FOOTPRINTS),
        *(_latency(n * CONFLICT_BYTES, CONFLICT_BYTES, f"conflicts={n:02}") for n in CONFLICTS),
        *(_rate(tmus, d, n) for tmus in (1, 2) for d in sorted({1, depth}) for n in (1, everybody)),
        *(_stream(4, depth, n) for n in range(1, everybody + 1)),
        *(_stream(stride, depth, everybody) for stride in STRIDES[1:]),
        *(_stream(stride, 1, 1) for stride in STRIDES[2:]),
        *(_from_l2(stride, depth, everybody) for stride in STRIDES),
        *(_again(footprint, depth, everybody) for footprint in AGAIN),
    )


def in_flight(requests: int) -> Benchmark:
    """Requests of one QPU on one TMU before the first answer is taken: more than fit stop the launch.

    The assembler refuses more than four, so the words are put together here.
    """
    asm = Assembler()
    lane_addresses(4)(asm)
    request, answer = (
        require(bundle).encode() for bundle in (Bundle((move(TMU_S[0], R0),)), Bundle((), "load_tmu0"))
    )
    end = Assembler()
    wait(end, 2)
    end.thread_end()
    program = (*asm.assemble(), *[request] * requests, *[answer] * requests, *end.assemble())
    name = f"tmu.in_flight={requests}"
    return Benchmark(name, "tmu", (program,), (Address(),), rounds=None, units=requests)


def _latency(footprint: int, stride: int, what: str) -> Benchmark:
    """One line a request, each taken before the next is made; the offset wraps at the footprint."""

    def before(asm: Assembler) -> None:
        lane_addresses(4)(asm)
        asm.mov(B(1), UNIFORM)
        asm.mov(A(1), UNIFORM)
        asm.load(R1, 0)

    def body(asm: Assembler) -> None:
        asm.op("add", TMU_S[0], R0, R1)
        asm.together(signal="load_tmu0")
        asm.op("add", R1, R1, B(1))
        asm.op("sub", NULL, R1, A(1), set_flags=True)
        asm.mov(R1, 0, condition="zs")
        asm.op("sub", NULL, A(0), 0, set_flags=True)
        wait(asm, 3)

    steps = footprint // stride
    return Benchmark(
        f"tmu.latency.{what}",
        "tmu",
        (counted_loop(body, before),),
        (Rounds(), Address(), stride, footprint),
        rounds=(steps + 2, (3 if steps > 64 else 9) * steps + 2),
        data_bytes=footprint + LINE_BYTES,
    )


def _pipelined(tmus: int, depth: int, begin: Emit, step: Emit) -> tuple[int, ...]:
    """A loop that takes answers and makes requests on each TMU, with `depth` in flight on each.

    `begin` puts the first addresses in r0, `step` moves them on.
    """

    def request(asm: Assembler) -> None:
        for unit in range(tmus):
            asm.mov(TMU_S[unit], R0)
        step(asm)

    def before(asm: Assembler) -> None:
        begin(asm)
        for _ in range(depth):
            request(asm)

    def take(asm: Assembler) -> None:
        for unit in range(tmus):
            asm.together(signal=f"load_tmu{unit}")

    def body(asm: Assembler) -> None:
        for _ in range(UNROLLED):
            take(asm)
            request(asm)

    def after(asm: Assembler) -> None:
        for _ in range(depth):
            take(asm)

    return counted_loop(body, before, after)


def _rate(tmus: int, depth: int, qpus: int) -> Benchmark:
    """Requests for one line, which every cache holds."""
    return Benchmark(
        f"tmu.rate.tmus={tmus}.depth={depth}.qpus={qpus}",
        "tmu",
        (_pipelined(tmus, depth, lane_addresses(4), nothing),),
        (Rounds(), Address()),
        qpus,
        (4, 20),
        units=UNROLLED * tmus * qpus,
    )


def _stream(stride: int, depth: int, qpus: int) -> Benchmark:
    """Every line once: the QPUs take turns at blocks of 16 lanes."""
    block = 16 * stride

    def begin(asm: Assembler) -> None:
        lane_addresses(stride)(asm)
        asm.mov(B(1), UNIFORM)

    def step(asm: Assembler) -> None:
        asm.op("add", R0, R0, B(1))

    return Benchmark(
        f"tmu.stream.stride={stride:02}.depth={depth}.qpus={qpus:02}",
        "tmu",
        (_pipelined(1, depth, begin, step),),
        (Rounds(), Address(per_qpu_bytes=block), block * qpus),
        qpus,
        (4, 12),
        units=UNROLLED * block * qpus,
        data_bytes=(depth + 1) * block * qpus,
        round_bytes=UNROLLED * block * qpus,
    )


def _from_l2(stride: int, depth: int, qpus: int) -> Benchmark:
    """Two blocks of 16 lanes for each QPU, which drive each other out of L1 and stay in L2."""
    block = 16 * stride

    def begin(asm: Assembler) -> None:
        lane_addresses(stride)(asm)
        asm.op("add", R2, R0, R0)
        asm.op("add", R2, R2, UNIFORM)

    def step(asm: Assembler) -> None:
        asm.op("sub", R0, R2, R0)

    return Benchmark(
        f"tmu.from_l2.stride={stride:02}.qpus={qpus}",
        "tmu",
        (_pipelined(1, depth, begin, step),),
        (Rounds(), Address(per_qpu_bytes=block), CONFLICT_BYTES),
        qpus,
        (4, 12),
        units=UNROLLED * block * qpus,
        data_bytes=CONFLICT_BYTES + block * qpus,
    )


def _again(footprint: int, depth: int, qpus: int) -> Benchmark:
    """The lines of a footprint over and over, 16 a request: what moves them is the level that holds it, if one does."""
    block = 16 * LINE_BYTES
    own = footprint // qpus // block * block

    def begin(asm: Assembler) -> None:
        lane_addresses(LINE_BYTES, R3)(asm)
        asm.mov(B(1), UNIFORM)
        asm.mov(A(1), UNIFORM)
        asm.load(R1, 0)
        asm.mov(R0, R3)

    def step(asm: Assembler) -> None:
        asm.op("add", R1, R1, B(1))
        asm.op("sub", NULL, R1, A(1), set_flags=True)
        asm.mov(R1, 0, condition="zs")
        asm.op("add", R0, R3, R1)
        asm.op("sub", NULL, A(0), 0, set_flags=True)

    rounds = -(-own // (UNROLLED * block))
    return Benchmark(
        f"tmu.again.footprint={footprint:06}.qpus={qpus}",
        "tmu",
        (_pipelined(1, depth, begin, step),),
        (Rounds(), Address(per_qpu_bytes=own), block, own),
        qpus,
        (rounds + 2, 3 * rounds + 2),
        units=UNROLLED * block * qpus,
        data_bytes=own * qpus,
    )
