"""Published figures of single mechanisms of VideoCore IV, beside what the suite measures.

All at 250 MHz. `sets` names the constants of the stock profile that a figure was used to set: where it is not empty,
agreement shows that the simulator and the suite keep the figure, not that the figure is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from microbench.suite.gpu import BoardShape
from microbench.suite.runner import Measurements

TOLERANCE = 0.15

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


_MICRO = "published microbenchmarks (docs/hardware.md)"
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
        *(0.6, "1", _MICRO, _share_of_full_rate(64, 3)),
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
)
