"""Published figures of VideoCore IV beside what the suite measures.

All at 250 MHz. `sets` names the constants of the stock profile that a figure was used to set: where it is not empty,
agreement shows that the simulator and the suite keep the figure, not that the figure is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from microbench.suite.benchmark import LINE_BYTES, Benchmark
from microbench.suite.computations import COPIED_ROWS, copy, heat, rotation
from microbench.suite.gpu import BoardShape
from microbench.suite.runner import Measurements

TOLERANCE = 0.15
POINTS, CELLS, STEPS = 192_000, 512 * 512, 2_000
_LANES = 16
_FFT_QPUS, _FFT_PASSES, _FFT_BYTES = 8, 4, 8 << 17
_FFT_ROUNDS = _FFT_PASSES * _FFT_BYTES / (_FFT_QPUS * COPIED_ROWS * LINE_BYTES)

Read = Callable[[Measurements, BoardShape], float]


@dataclass(frozen=True)
class Published:
    """A figure, how the suite's measurements give it, and what the comparison is worth."""

    what: str
    value: float
    unit: str
    source: str
    read: Read
    sets: str = ""
    worth: str = ""
    qpus: int = 1  # that a board must have

    def agrees(self, measured: float) -> bool:
        """Within TOLERANCE of the figure; a figure of 0 within as much of an instruction."""
        return abs(measured - self.value) <= TOLERANCE * (abs(self.value) or 1.0)


def computations(shape: BoardShape) -> tuple[Benchmark, ...]:
    """Kernels of the published computations that are compared below, as far as the board has QPUs for them."""
    kernels = (
        rotation(1, prefetched=False),
        rotation(1, prefetched=True),
        rotation(2, prefetched=True),
        *(heat(n) for n in (1, 2, 4)),
        copy(_FFT_QPUS),
    )
    return tuple(b for b in kernels if b.qpus <= shape.qpus)


def _bandwidth(name: str, bytes_a_round: float) -> Read:
    """MB/s; `{all}` in the name is the number of QPUs, each of which does the work."""

    def read(measured: Measurements, shape: BoardShape) -> float:
        return shape.qpus * bytes_a_round / measured[name.format(all=shape.qpus)] / 1e6

    return read


def _stream(measured: Measurements, shape: BoardShape) -> float:
    names = [n for n in measured if n.startswith("tmu.stream.stride=04.") and f"qpus={shape.qpus:02}" in n]
    return 4 * 64 * shape.qpus / measured[names[0]] / 1e6


def _instruction_s(measured: Measurements) -> float:
    return measured["issue.qpus=1"] / 64


def _share_of_full_rate(words: int, gap: int) -> Read:
    """Of one instruction an issue time: the loop has two of its own beside the reads and the pause."""

    def read(measured: Measurements, shape: BoardShape) -> float:
        instructions = words + gap + 2
        time_s = measured[f"uniform.burst.words={words:03}.gap={gap:02}.qpus=1"]
        return instructions * _instruction_s(measured) / time_s

    return read


def _extra_instructions(name: str, instructions: int) -> Read:
    """What a round takes beyond its instructions, in instructions."""
    return lambda measured, shape: measured[name] / _instruction_s(measured) - instructions


def _seconds(name: str, rounds: float, launches: int) -> Read:
    """A whole computation: rounds of a QPU, and launches."""
    return lambda measured, shape: rounds * measured[name] + launches * measured["launch.qpus=1"]


_MICRO = "published microbenchmarks (docs/hardware.md)"
_QPULIB = 'QPULib, README, "Performance"'
_ROTATION = "own kernel of the same accesses"
FIGURES = (
    Published(
        "DMA load, 16 rows of 16 words, engine kept busy",
        *(690, "MB/s", _MICRO, _bandwidth("dma.load.rows=16.words=16.qpus={all}", 1024)),
        sets="vdr_setup_s, vdr_byte_cycles",
    ),
    Published(
        "DMA load, single rows, engine kept busy",
        *(200, "MB/s", _MICRO, _bandwidth("dma.load.rows=01.words=16.qpus={all}", 64)),
        sets="vdr_setup_s, vdr_byte_cycles",
    ),
    Published(
        "DMA store, 128 rows, engine kept busy",
        *(1120, "MB/s", _MICRO, _bandwidth("dma.store.rows=128.words=16.qpus={all}", 8192)),
        sets="vdw_setup_s, vdw_byte_cycles",
    ),
    Published(
        "DMA store, single rows, engine kept busy",
        *(300, "MB/s", _MICRO, _bandwidth("dma.store.rows=001.words=16.qpus={all}", 64)),
        sets="vdw_setup_s, vdw_byte_cycles",
    ),
    Published(
        "TMU reads from SDRAM, all QPUs",
        *(1220, "MB/s", "VC4C commit 91917ec (docs/hardware.md)", _stream),
        worth="the profile's 5.2 bytes a cycle are an assumption made knowing this figure",
    ),
    Published(
        "uniforms, 64 reads and no pause, share of full rate",
        *(0.6, "1", _MICRO, _share_of_full_rate(64, 0)),
        sets="uniform_refill_cycles",
    ),
    Published(
        "uniforms, bursts of 64 and 7 instructions between, share of full rate",
        *(1.0, "1", _MICRO, _share_of_full_rate(64, 7)),
        sets="uniform_burst_words, uniform_pause_instructions",
    ),
    Published(
        "uniforms, bursts of 16 and 7 instructions between, share of full rate",
        *(1.0, "1", _MICRO, _share_of_full_rate(16, 7)),
        sets="uniform_burst_words, uniform_pause_instructions",
    ),
    Published(
        "semaphore, a QPU alone, beyond its instruction",
        *(0.0, "instructions", _MICRO, _extra_instructions("semaphore.alone", 32)),
        sets="(the simulator's rule)",
    ),
    Published(
        "semaphores from QPU to QPU and back, beyond their instructions",
        *(0.0, "instructions", _MICRO, _extra_instructions("semaphore.ping_pong", 5)),
        qpus=2,
        sets="(the simulator's rule)",
    ),
    Published(
        "192,000 points rotated, DMA row by row, 1 QPU",
        *(0.040, "s", _QPULIB, _seconds("rotation.blocking.qpus=1", POINTS / _LANES, 1)),
        worth=f"{_ROTATION}; the published code also issues more instructions, and a launch is included",
    ),
    Published(
        "192,000 points rotated, TMU a round ahead, 1 QPU",
        *(0.018, "s", _QPULIB, _seconds("rotation.prefetched.qpus=1", POINTS / _LANES, 1)),
        worth=f"{_ROTATION}; instructions matter here too",
    ),
    Published(
        "192,000 points rotated, TMU a round ahead, 2 QPUs",
        *(0.016, "s", _QPULIB, _seconds("rotation.prefetched.qpus=2", POINTS / _LANES / 2, 1)),
        qpus=2,
        worth="the store engine bounds both: the published time is 670 ns a stored row",
    ),
    Published(
        "heat flow, 512 x 512, 2,000 steps, 1 QPU",
        *(49.34, "s", _QPULIB, _seconds("heat.qpus=1", CELLS / _LANES * STEPS, STEPS)),
        worth="bound by instructions: the published code is not scheduled, so this compares compilers",
    ),
    Published(
        "heat flow, 512 x 512, 2,000 steps, 2 QPUs",
        *(24.91, "s", _QPULIB, _seconds("heat.qpus=2", CELLS / _LANES * STEPS / 2, STEPS)),
        qpus=2,
        worth="the same; that two QPUs halve the time agrees",
    ),
    Published(
        "heat flow, 512 x 512, 2,000 steps, 4 QPUs",
        *(20.36, "s", _QPULIB, _seconds("heat.qpus=4", CELLS / _LANES * STEPS / 4, STEPS)),
        qpus=4,
        worth="the store engine bounds both: the published time is 620 ns a stored row",
    ),
    Published(
        "Fourier transform of 2^17 points, one of a batch of 50, 8 QPUs",
        *(0.016171, "s", "GPU_FFT, gpu_fft.txt", _seconds(f"copy.qpus={_FFT_QPUS}", _FFT_ROUNDS, 0)),
        worth="a floor: the four passes' bytes moved in rows; the transform reads and writes them scattered",
        qpus=_FFT_QPUS,
    ),
)
