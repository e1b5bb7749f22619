"""The instruction tables: encoding and decoding are inverse, out-of-range values are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.isa import (
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
    small_immediate_value,
)
from codegen.engines.videocore4.tables import ADD, CONDITION_TABLE, IO_TABLE, MUL, PACK_A, SIGNAL_TABLE
from codegen.errors import AssemblyError
from tests.codegen.qpu_words import INSTRUCTIONS


@given(INSTRUCTIONS)
def test_decode_inverts_encode(instruction: Instruction) -> None:
    assert decode(instruction.encode()) == instruction


def check_word(word: int) -> None:
    try:
        instruction = decode(word)
    except AssemblyError as error:
        assert "is reserved" in str(error)
    else:
        assert instruction.encode() == word


@given(st.integers(0, 2**64 - 1))
def test_every_word_decodes_to_itself_or_is_refused_with_a_reason(word: int) -> None:
    check_word(word)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_many_words_decode_to_themselves_or_are_refused(word: int) -> None:
    check_word(word)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Alu(op_add=9), "add operation 9"),
        (Alu(signal=SIGNALS["branch"]), "belongs to another format"),
        (Alu(pm=1, pack=8), "pack mode 8 of the mul ALU"),
        (LoadImmediate(mode=2), "load-immediate mode 2"),
        (LoadImmediate(mode=4), "load-immediate mode 4"),
        (Branch(condition=12), "branch condition 12"),
    ],
)
def test_what_is_reserved_is_not_encoded(instruction: Instruction, message: str) -> None:
    with pytest.raises(AssemblyError, match=message):
        instruction.encode()


@pytest.mark.parametrize("word", [-1, 1 << 64])
def test_what_is_no_word_is_refused(word: int) -> None:
    with pytest.raises(AssemblyError, match="no 64-bit word"):
        decode(word)


def test_tables_have_every_code_once() -> None:
    for table, size in ((ADD, 32), (MUL, 8), (SIGNAL_TABLE, 16), (CONDITION_TABLE, 8), (PACK_A, 16)):
        codes = [entry.code for entry in table]
        assert len(set(codes)) == len(codes) == len({entry.name for entry in table})
        assert set(codes) <= set(range(size))
    assert [io.address for io in IO_TABLE] == list(range(32, 64))


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


@pytest.mark.parametrize("code", range(48))
def test_codes_of_small_immediates_are_inverse(code: int) -> None:
    assert small_immediate(small_immediate_value(code)) == code


@pytest.mark.parametrize("value", [16, -17, 3.0, 0.1, 256.0])
def test_what_is_no_small_immediate(value: float) -> None:
    assert small_immediate(value) is None


def test_rotation_range() -> None:
    assert rotation(1) == 49
    with pytest.raises(AssemblyError, match="rotation by 16"):
        rotation(16)
