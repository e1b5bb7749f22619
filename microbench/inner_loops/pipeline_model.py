"""Cycles of a loop by llvm-mca's model of a core, all accesses taken as hits of the first cache."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass

from microbench.errors import DisassemblyError
from microbench.inner_loops.disassembly import Instruction
from microbench.inner_loops.loops import Loop

SIMULATOR = "llvm-mca"
MODELLED_CORES = ("cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72")
ITERATIONS = 200
_LABEL = "loop"


@dataclass(frozen=True)
class PipelineEstimate:
    """Cycles of one iteration of a loop that goes on for long; kind `modelled`."""

    cycles: float


def why_no_simulator() -> str | None:
    """Why llvm-mca cannot be asked here, or None."""
    return None if shutil.which(SIMULATOR) else f"no {SIMULATOR} installed (Debian: llvm)"


def has_model(triple: str, cpu: str) -> bool:
    """Whether llvm-mca knows the core: only 64-bit ones, of 32-bit ARM it has itineraries that it cannot use."""
    return triple.startswith("aarch64") and cpu in MODELLED_CORES


def estimate(loop: Loop, cpu: str) -> PipelineEstimate:
    """Cycles of one iteration of an AArch64 loop on a core of MODELLED_CORES.

    Branches inside the body are taken as not taken. Raises DisassemblyError where llvm-mca is absent or refuses.
    """
    reason = why_no_simulator()
    if reason is not None:
        raise DisassemblyError(f"no cycles for {loop.function.name}: {reason}")
    command = (SIMULATOR, "-mtriple=aarch64-linux", f"-mcpu={cpu}", f"-iterations={ITERATIONS}", "-json")
    text = f"{_LABEL}:\n" + "".join(f"{_assembler(i)}\n" for i in loop.body)
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines()
        raise DisassemblyError(f"{SIMULATOR} refuses the loop of {loop.function.name}: {said[:1]}")
    return PipelineEstimate(_total_cycles(result.stdout) / ITERATIONS)


def _total_cycles(text: str) -> float:
    try:
        return float(json.loads(text)["CodeRegions"][0]["SummaryView"]["TotalCycles"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DisassemblyError(
            f"{SIMULATOR} wrote no summary: {error!r}; take a version from 13 on"
        ) from error


def _assembler(instruction: Instruction) -> str:
    operands = instruction.operands
    if instruction.target is not None:
        *before, _ = operands.split(",")
        operands = ", ".join((*before, _LABEL))
    return f"{instruction.mnemonic} {operands}"
