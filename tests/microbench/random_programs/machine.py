"""A virtual GPU on which random programs run, and what its answers mean."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from microbench.errors import HazardError
from microbench.virtual import VirtualV3D
from tests.microbench.random_programs.words import END, Words

QPUS = 12
CONTROL, UNIFORMS, UNIFORM_BYTES, SIZE = 0x4000, 0x8000, 256, 0x10000
TIMEOUT_S = 1e-4

Verdict = Literal["ended", "watchdog", "refused", "unclear"]

_ENDED = re.compile(r"\d+ \d+")
_WATCHDOG = re.compile(r"virtual GPU: time limit of")
_REFUSED = re.compile(
    r"virtual GPU: (.*?)( \(QPU \d+, instruction -?\d+ at 0x|: QPU \d+ waits for| at the end of the launch)"
)


class RandomMachine:
    """A virtual GPU that runs random code on random uniforms, all from one seed."""

    def __init__(self, seed: int, strict: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.gpu = VirtualV3D(strict=strict)
        self._memory = self.gpu.alloc(SIZE)

    def run(self, code: Words) -> str:
        """Cycles and instructions of the launch, or the first line of what it was stopped with."""
        bus, words = self._memory.bus, self._memory.view.view(np.uint32)
        image = np.concatenate([code, np.array(END, np.uint64)])
        words[: 2 * len(image)] = image.view(np.uint32)
        uniforms = self.random.integers(0, 1 << 32, (SIZE - UNIFORMS) // 4, np.uint32)
        inside = np.uint32(bus) + (uniforms & np.uint32(SIZE - 64))
        words[UNIFORMS // 4 :] = np.where(uniforms % 3 == 0, uniforms, inside)
        pairs = [(bus + UNIFORMS + UNIFORM_BYTES * qpu, bus) for qpu in range(QPUS)]
        words[CONTROL // 4 : CONTROL // 4 + 2 * QPUS] = np.array(pairs).ravel()
        try:
            execution = self.gpu.execute(QPUS, bus + CONTROL, timeout_s=TIMEOUT_S)
        except HazardError as error:
            return str(error).splitlines()[0]
        return f"{execution.cycles} {execution.counters['instructions']:.0f}"


def verdict(outcome: str) -> Verdict:
    """What an outcome of `RandomMachine.run` says; unclear where it names neither QPU nor instruction."""
    if _ENDED.fullmatch(outcome):
        return "ended"
    if _WATCHDOG.match(outcome):
        return "watchdog"
    return "refused" if _REFUSED.match(outcome) else "unclear"


def reason(outcome: str) -> str:
    """Why a program was refused, without the numbers that differ from one program to the next."""
    found = _REFUSED.match(outcome)
    return re.sub(r"0x[0-9a-f]+|\d+", "#", found[1]) if found else outcome
