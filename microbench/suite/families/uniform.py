"""Uniforms: bursts of cached and of fresh lines, prefetch, the cache of a slice, streams of many QPUs (guide p.22)."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import R1, R2, R3, UNIFORM, UNIFORM_ADDRESS, A, B
from codegen.program import WORD_BYTES
from microbench.suite.benchmark import LINE_BYTES, LINE_WORDS, Address, Benchmark, Rounds
from microbench.suite.gpu import BoardShape
from microbench.suite.loops import LOOP_INSTRUCTIONS, Emit, counted_loop, discard, wait

# (words of a burst, instructions between bursts). Bursts over the same words again, which the cache holds, begin with a
# write of the address and the two instructions after it; those over fresh words go on where the last one ended.
BURSTS = (
    *((words, gap) for words in (16, 32) for gap in (3, 7)),
    *((64, gap) for gap in range(3, 16)),
)
# What a burst may read at full rate ends at a line: bursts that begin at every second word of one tell it to two words.
# Longer bursts have more words beyond it, which tells the refill from it. The gap is longer than any pause
# that is looked for, so that all of them begin at full rate.
LONG_WORDS, LONGEST_WORDS, LONG_GAP = 145, 208, 20
FIRST_WORDS = range(0, LINE_WORDS, 2)
FRESH = ((64, 0), (64, 7))
# Instructions from word to word of lines from SDRAM. A line takes as long as its latency less what the words cover that
# are read between its prefetch and its first word: the difference of two spacings tells how many they are.
SPACINGS = (3, 6, 8, 16)
FOOTPRINTS = tuple(1 << k for k in range(7, 12))  # bytes a QPU
FAR_FOOTPRINTS = (1 << 13, 1 << 17)  # one QPU alone: from L2 or from SDRAM
WAYS = (1, 2, 4, 8, 16)
# A multiple of any way of a uniform cache; ways of L2 are larger, so that the lines spread over its sets.
CONFLICT_BYTES = 1 << 11


def benchmarks(shape: BoardShape, queue_depth: int) -> tuple[Benchmark, ...]:
    """Streams in bursts; a word of every line of growing footprints, and of lines that meet in one set."""
    everybody = shape.qpus
    return (
        *(_burst(words, gap, 1) for words, gap in BURSTS),
        *(_burst(LONG_WORDS, LONG_GAP, 1, first) for first in FIRST_WORDS),
        _burst(LONGEST_WORDS, LONG_GAP, 1),
        *(_burst(64, 7, n) for n in sorted({2, shape.qpus_per_slice, everybody})),
        *(_fresh(words, gap, 1) for words, gap in FRESH),
        *(_fresh(64, 7, n) for n in sorted({2, shape.qpus_per_slice, everybody})),
        *(_spaced(spacing) for spacing in SPACINGS),
        *(_chase(size, LINE_BYTES, 1, f"footprint={size:05}") for size in FAR_FOOTPRINTS),
        *(_chase(size, LINE_BYTES, everybody, f"footprint={size:05}") for size in FOOTPRINTS),
        *(_chase(n * CONFLICT_BYTES, CONFLICT_BYTES, everybody, f"conflicts={n:02}") for n in WAYS),
    )


def _burst(words: int, gap: int, qpus: int, first: int = 0) -> Benchmark:
    """The same words in every round, from word `first` of a line on, for all QPUs: every slice's cache holds them."""

    def before(asm: Assembler) -> None:
        asm.mov(R3, UNIFORM)

    def body(asm: Assembler) -> None:
        asm.mov(UNIFORM_ADDRESS, R3)
        wait(asm, gap - 1)
        for _ in range(words):
            discard(asm, UNIFORM)

    begin = f"first={first:02}." if first else ""
    return Benchmark(
        f"uniform.burst.words={words:03}.gap={gap:02}.{begin}qpus={qpus}",
        "uniform",
        (counted_loop(body, before),),
        (Rounds(), Address(WORD_BYTES * first)),
        qpus,
        rounds=(LINE_WORDS // 2, LINE_WORDS // 2 + LINE_WORDS),
        units=words * qpus,
        data_bytes=_lines(first + words) + LINE_BYTES,
    )


def _lines(words: int) -> int:
    """Bytes of the lines that so many words lie in."""
    return -(-words // LINE_WORDS) * LINE_BYTES


def _fresh(words: int, gap: int, qpus: int) -> Benchmark:
    """Other words in every round."""

    def body(asm: Assembler) -> None:
        wait(asm, gap)
        for _ in range(words):
            discard(asm, UNIFORM)

    return _unread(f"uniform.fresh.words={words:03}.gap={gap:02}.qpus={qpus}", body, words, qpus)


def _spaced(spacing: int) -> Benchmark:
    """A line of fresh words a round, one in `spacing` instructions; two of these are the loop's own."""

    def body(asm: Assembler) -> None:
        for word in range(LINE_WORDS):
            discard(asm, UNIFORM)
            wait(asm, spacing - 1 - (LOOP_INSTRUCTIONS if word == LINE_WORDS - 1 else 0))

    return _unread(f"uniform.fresh.spacing={spacing:02}.qpus=1", body, LINE_WORDS, 1)


def _unread(name: str, body: Emit, words: int, qpus: int) -> Benchmark:
    """A benchmark of so many words a round that no cache holds."""
    return Benchmark(
        name,
        "uniform",
        (counted_loop(body),),
        qpus=qpus,
        rounds=(LINE_WORDS // 2, LINE_WORDS // 2 + LINE_WORDS),
        units=words * qpus,
        round_words=words,
        tail_words=2 * LINE_WORDS,
    )


def _chase(footprint: int, stride: int, qpus: int, what: str) -> Benchmark:
    """One word of each line through the stream's address, at an offset that wraps at the footprint, a power of two.

    Each QPU has lines of its own: beside the others' where they are in a row, in other sets where they are apart.
    """

    def before(asm: Assembler) -> None:
        asm.mov(R3, UNIFORM)
        asm.mov(B(1), UNIFORM)
        asm.mov(A(1), UNIFORM)
        asm.load(R1, 0)

    def body(asm: Assembler) -> None:
        asm.op("add", UNIFORM_ADDRESS, R3, R1)
        asm.op("add", R1, R1, B(1))
        asm.op("and", R1, R1, A(1))
        asm.mov(R2, UNIFORM)

    steps = footprint // stride
    own = footprint if stride == LINE_BYTES else LINE_BYTES
    return Benchmark(
        f"uniform.chase.{what}.qpus={qpus}",
        "uniform",
        (counted_loop(body, before),),
        (Rounds(), Address(per_qpu_bytes=own), stride, footprint - stride),
        qpus,
        (steps + 2, 3 * max(steps, 16) + steps + 2),
        units=qpus,
        data_bytes=footprint + qpus * own + LINE_BYTES,
    )
