"""Text syntax: what the disassembler prints assembles to the same words, and bad lines are named."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.disassembler import disassemble, instruction_text
from codegen.engines.videocore4.isa import Branch, LoadImmediate, decode
from codegen.engines.videocore4.text import assemble_text
from codegen.errors import AssemblyError
from tests.codegen.qpu_words import INSTRUCTIONS, WORDS

KNOWN = {
    "nop": 0x100009E7009E7000,
    "nop ; thread_end": 0x300009E7009E7000,
    "thread_end": 0x300009E7009E7000,
    "load_tmu0": 0xA00009E7009E7000,
    "load ra1, 1.0": 0xE0020067_3F800000 | 39 << 32,
}


@given(INSTRUCTIONS)
@settings(max_examples=300)
def test_every_instruction_survives_its_text(instruction: LoadImmediate | Branch) -> None:
    text = instruction_text(instruction)
    assert assemble_text(text) == (instruction.encode(),), text


@given(st.lists(WORDS, max_size=12))
@example([0x0, 0xFFFFFFFFFFFFFFFF])
def test_programs_survive_their_text(words: list[int]) -> None:
    assert assemble_text(disassemble(words)) == tuple(words)


@pytest.mark.slow
@given(st.lists(WORDS, max_size=40))
@settings(max_examples=20_000, deadline=None)
def test_many_programs_survive_their_text(words: list[int]) -> None:
    assert assemble_text(disassemble(words)) == tuple(words)


@pytest.mark.parametrize("text", KNOWN)
def test_known_words(text: str) -> None:
    assert f"{assemble_text(text)[0]:#x}" == f"{KNOWN[text]:#x}"


def test_a_line_says_what_it_does() -> None:
    line = "fadd.zs.sf ra1, r0, 1.0 ; mov rb2.color, r4 {cond_mul=3}"
    with pytest.raises(AssemblyError, match="same register file"):
        assemble_text("fadd ra1, r0, 1.0 ; mov ra2, r4")
    (word,) = assemble_text(line)
    assert instruction_text(decode(word)) == "fadd.zs.sf ra1, r0, 1.0 ; mov.zc rb2.color, r4"
    (word,) = assemble_text("add r0, ra3.16a, uniform ; mul24.rot_r5 r1, r2, r3".replace("uniform", "r1"))
    assert instruction_text(decode(word)) == "add r0, ra3.16a, r1 ; mul24.rot_r5 r1, r2, r3"


def test_branches_name_their_targets() -> None:
    text = (
        "loop:\n    nop\n    branch.any_zc loop\n    nop\n    nop\n    nop\n    branch ra4 + 16 ; link rb3\n"
    )
    words = assemble_text(text)
    assert disassemble(words) == text.replace("loop", "L0")
    branch = decode(words[1])
    assert isinstance(branch, Branch)
    assert branch.immediate == -5 * 8 & 0xFFFFFFFF


def test_lanes_of_an_immediate() -> None:
    (word,) = assemble_text("load.signed r0, [" + ", ".join(["0", "1", "-2", "-1"] * 4) + "]")
    load = decode(word)
    assert isinstance(load, LoadImmediate)
    assert (load.mode, load.immediate) == (1, 0xCCCCAAAA)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fadd r0, r1", "a result and 2 operands"),
        ("fadd r0, r1,", "missing between commas"),
        ("fmull r0, r1, r2", "unknown operation 'fmull'"),
        ("fmul r0, r1, r2 ; fadd r1, r2, r3 ; nop", "in this order|stands first"),
        ("nop ; fadd r0, r1, r2", "add ALU, which stands first"),
        ("add r0, ra1, ra2", "port A reads another register"),
        ("add r0, rb1, 3", "port B"),
        ("add r0, r1, 16", "no small immediate"),
        ("add r0, r1, 0.3", "no small immediate"),
        ("add r0, 1, 2", "port B is taken"),
        ("add r4, r1, r2", "cannot be written"),
        ("add r0, r6, r2", "cannot be read"),
        ("add ra32, r1, r2", "cannot be written"),
        ("add r0, r1, 1 ; load_tmu0", "takes the signal's place"),
        ("add r0, r1, r2 ; load_tmu0 ; load_tmu1", "one signal"),
        ("add.qs r0, r1, r2", "no such condition"),
        ("add.rot3 r0, r1, r2", "only the mul ALU rotates"),
        ("mov.rot16 r0, r1 ", "only the mul ALU rotates"),
        ("nop ; mov.rot16 r0, r1", "must be 1 to 15"),
        ("add r0, ra1.17a, r2", "no such unpack mode"),
        ("add r0, ra1.16a, r4.8a", "one unpack mode"),
        ("add r0.16a, r1, r2", "needs a register of file A"),
        ("add r0.color, r1, r2", "only the mul ALU packs colours"),
        ("add ra0.16a, r4.8a, r2", "either both of file A"),
        ("add r0, r1, r2 ; mul24.sf r1, r1, r1", "flags come from the add ALU"),
        ("load r0, 5000000000", "does not fit 32 bits"),
        ("load r0, 1e39", "beyond float32"),
        ("load r0, x", "no number"),
        ("load.signed r0, [1, 2]", "16 values from -2 to 1"),
        ("acquire 16", "does not fit 4 bits"),
        ("branch.sometimes -8", "known conditions"),
        ("branch nowhere", "label 'nowhere' is not defined"),
        ("jump nowhere", "branch is relative"),
        ("branch -8 ; fadd r0, r1, r2", "nothing else"),
        (".word 0x10000000000000000", "one unsigned 64-bit integer"),
        ("nop {signal=16}", "does not fit 4 bits"),
        ("nop {colour=1}", "is no field"),
        ("nop {op_add=9}", "add operation 9 is reserved"),
        ("a: a: nop", "defined twice"),
        ("load r0, \u0663", "no number"),
        ("load r0, \u0660\u0663", "no number"),
        ("load r0, 1e\u0663", "no number"),
        (f"load r0, {'1' * 5000}", "no number"),
        (f"load r0, 1e{'1' * 5000}", "no number"),
        ("branch ra\u0663", "not defined"),
        (f"branch ra{'1' * 5000}", "not defined"),
        ("branch ra4 + \u0663", "no integer"),
        ("nop ; mov.rot\u0663 r0, r1", "only the mul ALU rotates"),
        (f"nop ; mov.rot{'1' * 5000} r0, r1", "only the mul ALU rotates"),
        (".word \u0663", "one unsigned 64-bit integer"),
        ("acquire \u0663", "no integer"),
        ("nop ; ; nop", "an empty operation"),
    ],
)
def test_bad_lines_are_named(line: str, message: str) -> None:
    with pytest.raises(AssemblyError, match=message) as caught:
        assemble_text(f"# a comment\n\n{line}\n")
    assert str(caught.value).startswith("line 3: ")


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_any_text_assembles_or_is_refused(text: str) -> None:
    try:
        words = assemble_text(text)
    except AssemblyError as error:
        assert str(error).startswith("line ")
    else:
        assert all(0 <= word < 1 << 64 for word in words)
