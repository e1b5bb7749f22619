"""The instruction tables: encoding and decoding are inverse, out-of-range values are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.errors import AssemblyError
from codegen.qpu.isa import (
    ADD_OPS,
    BRANCH_CONDITIONS,
    NOP,
    SIGNALS,
    Alu,
    Branch,
    Instruction,
    LoadImmediate,
    Semaphore,
    decode,
    rotation,
    small_immediate,
)


def instructions(form: type[Instruction], **fixed: st.SearchStrategy[int]) -> st.SearchStrategy[Instruction]:
    fields = {n: st.integers(0, (1 << (high - low + 1)) - 1) for n, (high, low) in form.LAYOUT.items()}
    return st.builds(form, **{**fields, **fixed})


ALU = instructions(
    Alu,
    signal=st.sampled_from(
        [code for name, code in SIGNALS.items() if name not in ("branch", "load_immediate")]
    ),
    op_add=st.sampled_from(list(ADD_OPS.values())),
)
ANY = st.one_of(
    ALU,
    instructions(LoadImmediate, mode=st.sampled_from([0, 1, 3])),
    instructions(Semaphore),
    instructions(Branch, condition=st.sampled_from(list(BRANCH_CONDITIONS.values()))),
)


@given(ANY)
def test_decode_inverts_encode(instruction: Instruction) -> None:
    assert decode(instruction.encode()) == instruction


@given(st.integers(0, 2**64 - 1))
def test_every_word_decodes_to_itself_or_is_refused_with_a_reason(word: int) -> None:
    try:
        instruction = decode(word)
    except AssemblyError as error:
        assert "reserved" in str(error)
    else:
        ignored = 0xF if isinstance(instruction, Branch) else 0
        assert instruction.encode() | ignored << 56 == word | ignored << 56


def test_known_encodings() -> None:
    # A NOP, the end of a program, and `add ra39, ra39, ra39; nop` as other assemblers print them.
    assert NOP.encode() == 0x100009E7009E7000
    assert Alu(signal=SIGNALS["thread_end"]).encode() == 0x300009E7009E7000
    assert Semaphore(decrement=1, number=3).encode() & 0xFF == 0x13


def test_field_out_of_range_is_refused() -> None:
    with pytest.raises(AssemblyError, match="raddr_a = 64 does not fit 6 bits"):
        Alu(raddr_a=64).encode()


@pytest.mark.parametrize(
    ("value", "code"),
    [(0, 0), (15, 15), (-16, 16), (-1, 31), (1.0, 32), (128.0, 39), (1 / 256, 40), (0.5, 47)],
)
def test_small_immediates(value: float, code: int) -> None:
    assert small_immediate(value) == code


@pytest.mark.parametrize("value", [16, -17, 3.0, 0.1, 256.0])
def test_what_is_no_small_immediate(value: float) -> None:
    assert small_immediate(value) is None


def test_rotation_range() -> None:
    assert rotation(1) == 49
    with pytest.raises(AssemblyError, match="rotation by 16"):
        rotation(16)
