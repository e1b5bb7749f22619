"""Functions in assembly that run a row of instructions many times, in 64-bit and in 32-bit state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.target import Target

_PAIRS = [("x19", "x20"), ("x21", "x22"), ("x23", "x24"), ("x29", "x30")]
_PAIRS += [(f"d{i}", f"d{i + 1}") for i in range(8, 16, 2)]


@dataclass(frozen=True)
class Assembly:
    """What stands before a loop's body (its registers as callers left them are kept, memory's addresses are set) and
    after it (another round follows while there are any).
    """

    target: Target
    before: tuple[str, ...]
    after: tuple[str, ...]

    def function(self, name: str, body: Sequence[str]) -> str:
        """C text of `void name(void *memory, long rounds)`, which runs the body so many times."""
        lines = (f".global {name}", f"{name}:", *self.before, "1:", *body, *self.after)
        return "__asm__(\n" + "\n".join(f'    "{line}\\n"' for line in lines) + ");"


# In the body x1, x8 point to memory, x2 to a word that holds its own address; x0, x20 are not its.
AARCH64 = Assembly(
    Target(
        name="core-loops",
        qpus=0,
        cpu="generic",
        compiler=("aarch64-linux-musl", "-static", "-O1"),
        cores=1,
    ),
    (
        *(f"stp {a}, {b}, [sp, #-16]!" for a, b in _PAIRS),
        "mov x20, x1",
        "mov x1, x0",
        "add x8, x0, #64",
        "add x2, x0, #2048",
        "str x2, [x2]",
        "mov x3, #0",
        "mov x0, x20",
    ),
    (
        "sub x0, x0, #1",
        "cbnz x0, 1b",
        *(f"ldp {a}, {b}, [sp], #16" for a, b in reversed(_PAIRS)),
        "ret",
    ),
)


def aarch32(core: str) -> Assembly:
    """That of a core by its compiler's name: in the body r1, r8 point to memory, r2 to a word that holds its own
    address; r0 and sp are not its.
    """
    cpu = core.replace("-", "_")
    compiler = ("arm-linux-musleabihf", "-static", "-O1", f"-mcpu={cpu}")
    return Assembly(
        Target(name="core-loops", qpus=0, cpu=core, compiler=compiler, cores=1),
        (
            ".arm",
            "push {r4-r11, lr}",
            "vpush {d8-d15}",
            "mov r12, r1",
            "mov r1, r0",
            "add r8, r0, #64",
            "add r2, r0, #2048",
            "str r2, [r2]",
            "mov r0, r12",
            *(f"mov r{i}, #1" for i in (3, 4, 5, 6, 7, 9, 10, 11, 12, 14)),
        ),
        ("subs r0, r0, #1", "bne 1b", "vpop {d8-d15}", "pop {r4-r11, pc}"),
    )
