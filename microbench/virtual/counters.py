"""What binds a program on the QPUs, read from the virtual GPU's counters: the one place where they are interpreted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ISSUE, IDLE = "issue", "idle"
SAME_SHARE = 0.01
# Where a cycle of a QPU goes, by the simulator's causes (V3D_CAUSES in v3d.h), and what that is.
CYCLES = {
    ISSUE: "issuing instructions",
    "tmu": "waiting for loads through the texture units",
    "uniform": "waiting for uniforms",
    "vpm": "waiting for the vertex pipe memory",
    "dma": "waiting for DMA transfers",
    "semaphore": "waiting for other QPUs at semaphores",
    "mutex": "waiting for the mutex",
    "icache": "waiting for the instruction cache",
    "sfu": "waiting for the special functions unit",
    IDLE: "QPUs that have ended before the last one",
}
_STALLS = tuple(name for name in CYCLES if name not in (ISSUE, IDLE))


@dataclass(frozen=True)
class Binding:
    """Where the cycles of all QPUs went in a program: `shares` of them by the names of `CYCLES`, 0 to 1, the sum is 1.

    `alu_use`: of the slots that both ALUs had in the instructions issued, the part with an operation in it.
    """

    shares: Mapping[str, float]
    alu_use: float

    @property
    def causes(self) -> tuple[str, ...]:
        """The largest share, and those that are as large within 1 % of the cycles; in the order of `CYCLES`."""
        largest = max(self.shares.values())
        return tuple(name for name, share in self.shares.items() if share > largest - SAME_SHARE)

    def text(self) -> str:
        """What binds it, in a sentence."""
        parts = (
            f"{CYCLES[name]} ({100 * self.shares[name]:.0f} % of the QPUs' cycles)" for name in self.causes
        )
        return f"bound by {' and '.join(parts)}; {100 * self.alu_use:.0f} % of the ALU slots issued hold an operation"


def what_binds(counters: Mapping[str, float], qpus: int, issue_cycles: float) -> Binding | None:
    """Where cycles went, from the counters of a launch or the sum of several; None where they are not the simulator's.

    `qpus`: of the board, `issue_cycles`: of an instruction, both in the table [v3d] of its profile.
    """
    cycles = counters.get("cycles", 0.0) * qpus
    if cycles <= 0 or not all(f"{name}_stall_cycles" in counters for name in _STALLS):
        return None
    instructions = counters["instructions"]
    spent = {ISSUE: instructions * issue_cycles}
    spent |= {name: counters[f"{name}_stall_cycles"] for name in _STALLS}
    spent[IDLE] = max(0.0, cycles - sum(spent.values()))
    total = sum(spent.values())
    operations = counters["add_operations"] + counters["mul_operations"]
    return Binding(
        {name: value / total for name, value in spent.items()},
        operations / (2 * instructions) if instructions else 0.0,
    )
