"""What the virtual GPU stops at, the validator has refused: random programs on both."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.isa import (
    ADD_OPS,
    BRANCH_CONDITIONS,
    CONDITIONS,
    MUL_OPS,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
)
from codegen.engines.videocore4.validate import check
from microbench.errors import HazardError
from microbench.virtual import VirtualV3D
from tests.codegen.qpu_words import instructions
from tests.microbench.qpu_programs import END, run

# Few places, so that instructions meet; nothing that reaches memory, which the validator cannot know.
READS = st.sampled_from([0, 14, 32, 38, 39, 49, 50])
WRITES = st.sampled_from([0, 1, 14, 32, 33, 37, 38, 39, 39, 52, 55])
CONDITION = st.sampled_from([CONDITIONS[name] for name in ("never", "always", "always", "zs")])
ADDS = st.sampled_from([ADD_OPS[name] for name in ("nop", "add", "fadd", "or")])
MULS = st.sampled_from([MUL_OPS[name] for name in ("nop", "fmul", "v8min")])
FIELDS = {
    "unpack": st.just(0),
    "pm": st.just(0),
    "pack": st.just(0),
    "set_flags": st.integers(0, 1),
    "cond_add": CONDITION,
    "cond_mul": CONDITION,
    "waddr_add": WRITES,
    "waddr_mul": WRITES,
    "op_add": ADDS,
    "op_mul": MULS,
    "raddr_a": READS,
}
PLAIN = instructions(Alu, signal=st.just(SIGNALS["none"]), raddr_b=READS, **FIELDS)
SMALL = instructions(
    Alu, signal=st.just(SIGNALS["small_immediate"]), raddr_b=st.sampled_from([1, 48, 50]), **FIELDS
)
FORWARD = st.builds(
    Branch,
    condition=st.sampled_from([BRANCH_CONDITIONS[name] for name in ("always", "any_zs", "all_nc")]),
    relative=st.just(1),
    immediate=st.sampled_from([0, 8, 16]),
    waddr_add=st.sampled_from([0, 39]),
)
CODE = st.lists(st.one_of(PLAIN, PLAIN, SMALL, FORWARD), max_size=8)


def stopped(code: Sequence[Instruction]) -> str | None:
    with VirtualV3D() as gpu:
        try:
            run(code, uniforms=[0] * 32, gpu=gpu)
        except HazardError as error:
            return str(error)
    return None


def compare(code: Sequence[Instruction]) -> None:
    padded = [*code, *[Alu()] * 6]  # branches stay inside
    reason = stopped(padded)
    if reason is not None:
        assert check([*padded, *END]), reason  # the GPU has no warnings: undocumented features stop it too


def test_a_relayed_value_from_before_a_branch_is_refused() -> None:
    last = {"waddr_add": 39, "waddr_mul": 39}
    uniform = Alu(signal=SIGNALS["none"], raddr_b=32, raddr_a=39, **last)
    ahead = Branch(condition=BRANCH_CONDITIONS["always"], relative=1, immediate=0, waddr_add=39)
    relayed = Alu(signal=SIGNALS["none"], raddr_a=39, raddr_b=39, op_mul=MUL_OPS["fmul"], mul_b=7, **last)
    assert stopped([uniform, relayed, *[Alu()] * 6]) is None
    compare([uniform, ahead, Alu(), Alu(), relayed])


@settings(max_examples=40, deadline=None)
@given(CODE)
def test_what_the_gpu_stops_at_is_refused(code: list[Instruction]) -> None:
    compare(code)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(CODE)
def test_of_many_programs_what_the_gpu_stops_at_is_refused(code: list[Instruction]) -> None:
    compare(code)
