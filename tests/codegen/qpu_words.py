"""Strategies for QPU instructions and words."""

from __future__ import annotations

from hypothesis import strategies as st

from codegen.engines.videocore4.isa import (
    ADD_OPS,
    BRANCH_CONDITIONS,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
)
from codegen.engines.videocore4.tables import PACK_MUL

_PACKS = [mode.code for mode in PACK_MUL]


def _possible(instruction: Instruction) -> bool:
    return isinstance(instruction, Branch) or not instruction.pm or instruction.pack in _PACKS


def instructions(form: type[Instruction], **fixed: st.SearchStrategy[int]) -> st.SearchStrategy[Instruction]:
    """Instructions of a format, every field of any value but for `fixed`; reserved pack modes are left out."""
    fields = {n: st.integers(0, (1 << (high - low + 1)) - 1) for n, (high, low) in form.LAYOUT.items()}
    built: st.SearchStrategy[Instruction] = st.builds(form, **{**fields, **fixed})
    return built.filter(_possible)


ALU = instructions(
    Alu,
    signal=st.sampled_from(
        [code for name, code in SIGNALS.items() if name not in ("branch", "load_immediate")]
    ),
    op_add=st.sampled_from(list(ADD_OPS.values())),
)
INSTRUCTIONS = st.one_of(
    ALU,
    instructions(LoadImmediate, mode=st.sampled_from([0, 1, 3])),
    instructions(Semaphore),
    instructions(Branch, condition=st.sampled_from(list(BRANCH_CONDITIONS.values()))),
)
WORDS = st.one_of(st.integers(0, (1 << 64) - 1), INSTRUCTIONS.map(lambda i: i.encode()))
