"""Disassembly, loops and counts: of texts, and of small C functions compiled for three cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.engines.cpu.toolchain import KERNEL_FLAGS, compile_object
from codegen.target import Target
from microbench.errors import DisassemblyError
from microbench.inner_loops.counts import count_loop
from microbench.inner_loops.disassembly import Function, disassemble, parse_disassembly
from microbench.inner_loops.loops import Loop, busiest_loop, loops_of
from microbench.inner_loops.multiply_accumulates import multiply_accumulates
from microbench.inner_loops.pipeline_model import estimate, has_model
from microbench.profile import load_profile

VECTORS = """
typedef float vector __attribute__((vector_size(16)));
void kernel(vector *restrict y, const vector *restrict x, const float *restrict w, int n)
{
    vector a = y[0], b = y[1];
    for (int i = 0; i < n; ++i) {
        a += x[i] * w[2 * i];
        b += x[i] * w[2 * i + 1];
    }
    y[0] = a;
    y[1] = b;
}
"""
NESTED = """
void kernel(float *restrict y, const float *restrict x, int n, int m)
{
    for (int j = 0; j < n; ++j) {
        float a = y[j];
#pragma clang loop vectorize(disable) unroll(disable)
        for (int i = 0; i < m; ++i)
            a += x[i] * x[j * m + i];
        y[j] = a;
    }
}
"""
SPILLING = """
void kernel(float *restrict y, const float *restrict x, int n)
{
    volatile float held = 0;
    for (int i = 0; i < n; ++i)
        held += x[i] * y[i];
}
"""


def _target(device: str) -> Target:
    return load_profile(device).target()


def _busiest(source: str, device: str) -> Loop:
    loop = busiest_loop(disassemble(compile_object({"kernel.c": source}, _target(device), KERNEL_FLAGS)))
    assert loop is not None
    return loop


def _function(*lines: str) -> Function:
    body = "".join(f"{4 * i:8x}:      \t{line}\n" for i, line in enumerate(lines))
    (function,) = parse_disassembly(f"00000000 <kernel>:\n{body}")
    return function


def test_functions_branches_and_comments_are_told_apart() -> None:
    text = """
k.o:	file format elf32-littlearm

Disassembly of section .text:

00000000 <first>:
       0:      	vldr	s0, [pc, #4]            @ 0xc <$d.1>
       4:      	bxlt	lr
       8:      	bne	0x0 <first>             @ imm = #-16

0000000c <$d.1>:
       c:	00 00 80 3f	.word	0x3f800000

00000010 <second>:
      10:      	tbnz	w0, #3, 0x10 <second>
"""
    first, second = parse_disassembly(text)
    assert (first.name, second.name) == ("first", "second")
    assert [i.operands for i in first.instructions] == ["s0, [pc, #4]", "lr", "0x0"]
    assert [i.target for i in first.instructions] == [None, None, 0]
    assert second.instructions[0].target == 0x10


def test_a_loop_around_another_has_only_its_own_instructions() -> None:
    function = _function("mov r0, #0", "add r1, r1, #1", "cmp r1, r2", "bne 0x4", "add r0, r0, #1", "bne 0x0")
    outer, inner = loops_of(function)
    assert [len(loop.body) for loop in (outer, inner)] == [3, 3]
    assert (outer.is_innermost, inner.is_innermost) == (False, True)


def test_two_branches_back_to_one_address_are_one_loop() -> None:
    function = _function("subs r0, r0, #1", "beq 0x0", "add r1, r1, #1", "b 0x0")
    assert [len(loop.body) for loop in loops_of(function)] == [4]


def test_a_call_backwards_is_no_loop() -> None:
    assert loops_of(_function("nop", "bl 0x0")) == ()


@pytest.mark.parametrize(
    ("line", "macs"),
    [
        ("fmla v0.4s, v1.4s, v2.s[1]", 4),
        ("fmls v0.2s, v1.2s, v2.2s", 2),
        ("fmla s0, s1, v2.s[3]", 1),
        ("fmadd s0, s1, s2, s0", 1),
        ("vmla.f32 q8, q9, d0[1]", 4),
        ("vfma.f32 q8, q9, q10", 4),
        ("vmla.f32 d16, d17, d0[0]", 2),
        ("vmla.f32 s0, s1, s2", 1),
        ("vnmlsne.f32 s0, s1, s2", 1),
        ("vmul.f32 q8, q9, q10", 0),
        ("fadd v0.4s, v0.4s, v1.4s", 0),
        ("mla r0, r1, r2, r3", 0),
    ],
)
def test_lanes_of_an_instruction_count(line: str, macs: int) -> None:
    assert multiply_accumulates(_function(line).instructions) == macs


def test_a_product_counts_with_the_sum_that_reads_it() -> None:
    pair = _function("vmul.f32 q8, q9, q10", "vadd.f32 q0, q0, q8")
    assert multiply_accumulates(pair.instructions) == 4
    other = _function("vmul.f32 q8, q9, q10", "vmov.i32 q8, #0x0", "vadd.f32 q0, q0, q8")
    assert multiply_accumulates(other.instructions) == 0


def test_a_product_may_be_added_in_the_next_iteration_or_come_back_from_the_stack() -> None:
    late = _function("fadd v0.4s, v0.4s, v8.4s", "fmul v8.4s, v9.4s, v10.4s")
    assert multiply_accumulates(late.instructions) == 4
    spilled = _function(
        "vmul.f32 s1, s2, s3", "vstr s1, [sp, #8]", "vldr s4, [sp, #8]", "vadd.f32 s0, s0, s4"
    )
    assert multiply_accumulates(spilled.instructions) == 1


def test_accesses_through_copies_of_the_stack_pointer_are_stack_accesses() -> None:
    function = _function(
        "add r11, sp, #28",
        "add r2, sp, #64",
        "vld1.64 {d16, d17}, [r2]",
        "vstr s0, [r11, #-40]",
        "ldr r3, [r4], #4",
        "ldr r2, [r3]",
        "str r2, [r2]",
        "vmla.f32 s0, s1, s2",
        "bne 0x8",
    )
    loop = busiest_loop([function])
    assert loop is not None
    counts = count_loop(loop)
    assert (counts.loads, counts.stores, counts.stack_accesses, counts.branches) == (3, 2, 2, 1)


@pytest.mark.needs("llvm")
@pytest.mark.parametrize(("device", "branches"), [("pi-3-64", 1), ("pi-4", 1), ("pi-2", 1), ("pi-3", 1)])
def test_vector_code_of_neon_cores(device: str, branches: int) -> None:
    counts = count_loop(_busiest(VECTORS, device))
    assert counts.macs % 8 == 0 and counts.macs > 0
    assert counts.branches == branches
    assert counts.loads >= 2 and counts.stores == counts.stack_accesses == 0


@pytest.mark.needs("llvm")
def test_scalar_code_of_a_core_without_vectors() -> None:
    loop = _busiest(NESTED, "pi-zero")
    assert loop.is_innermost
    counts = count_loop(loop)
    assert (counts.macs, counts.loads, counts.stores) == (1, 2, 0)


@pytest.mark.needs("llvm")
@pytest.mark.parametrize("device", ["pi-zero", "pi-3-64"])
def test_a_variable_in_memory_is_seen_as_stack_traffic(device: str) -> None:
    counts = count_loop(_busiest(SPILLING, device))
    assert counts.stack_accesses == 2 * counts.macs


@pytest.mark.needs("llvm")
def test_what_is_no_object_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kernel.o").write_bytes(b"no code")
    with pytest.raises(DisassemblyError, match=r"kernel\.o"):
        disassemble(tmp_path / "kernel.o")


@pytest.mark.needs("llvm")
def test_a_pipeline_model_orders_cores_and_loops() -> None:
    loop = _busiest(VECTORS, "pi-3-64")
    short, wide = estimate(loop, "cortex-a53").cycles, estimate(loop, "cortex-a72").cycles
    assert short >= wide > 0
    # A core issues at most three instructions a cycle.
    assert wide >= len(loop.body) / 3


@pytest.mark.needs("llvm")
def test_an_unknown_core_is_refused() -> None:
    function = _function("fmla v0.4s, v1.4s, v2.4s", "b.ne 0x0")
    (loop,) = loops_of(function)
    with pytest.raises(DisassemblyError, match="kernel"):
        estimate(loop, "no-such-core")


def test_models_are_of_64_bit_cores_only() -> None:
    assert has_model("aarch64-linux-musl", "cortex-a72")
    assert not has_model("arm-linux-musleabihf", "cortex-a53")
    assert not has_model("arm-linux-musleabihf", "arm1176jzf-s")
