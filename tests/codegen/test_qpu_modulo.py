"""Loops by modulo scheduling: rounds of them compute what the iterations do one after another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.assembler import Assembler, move, operation
from codegen.engines.videocore4.isa import Alu
from codegen.engines.videocore4.modulo import fewest_instructions, pipelined
from codegen.engines.videocore4.operation import Bundle, Operation
from codegen.engines.videocore4.packing import require
from codegen.engines.videocore4.registers import (
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    RELAY_A,
    TMU_S,
    UNIFORM,
    UNIFORM_A,
    A,
    B,
)
from codegen.errors import AssemblyError
from tests.codegen.qpu_machine import Machine, run_sequentially
from tests.codegen.test_qpu_scheduler import operations

ROUNDS = 3
NOTHING = (0, 0)


def of(*steps: Operation) -> list[Bundle]:
    return [Bundle((step,)) for step in steps]


@settings(max_examples=200, deadline=None)
@given(st.lists(operations(), min_size=4, max_size=25))
def test_rounds_compute_what_iterations_compute(program: list[Operation]) -> None:
    uniforms = [1000 + i for i in range(ROUNDS * sum(UNIFORM in o.sources for o in program))]
    expected = run_sequentially(program * ROUNDS, uniforms)
    try:
        loop = pipelined(of(*program), NOTHING)
    except AssemblyError:
        return  # the heuristic may give up: it says so
    assert len(loop) >= fewest_instructions(of(*program))
    machine = Machine(uniforms)
    for row in loop * ROUNDS:
        machine.step(require(row) if row.operations else Alu())
    machine.state |= machine.arriving
    assert machine.state == expected


def test_an_operation_is_filled_in_before_those_that_wait() -> None:
    chain = [operation("fmul", R0, R1, R2), operation("fadd", A(1), A(1), R0)]
    late = [operation("add", B(n), B(n), R3) for n in range(3)]
    assert len(pipelined(of(*chain * 2, *late), NOTHING)) == 5


def test_nothing_is_read_between_a_uniform_and_the_same_once_more() -> None:
    products = [operation("fmul", R0, R1, UNIFORM_A), move(A(2), R0), operation("fmul", R0, R2, RELAY_A)]
    reader = operation("add", R3, R3, A(1))
    found = pipelined(of(*products, move(B(2), R0), reader), NOTHING)
    places = {o: number for number, row in enumerate(found) for o in row.operations}
    assert not places[products[0]] <= places[reader] <= places[products[2]]


def test_a_queue_has_no_more_requests_than_it_takes() -> None:
    """Four are under way: the oldest is received before another is asked for, which program order leaves open."""
    asks = of(operation("add", TMU_S[0], R1, R2))
    items = [*asks, Bundle(signal="load_tmu0"), *of(move(A(1), R4))]
    found = pipelined(items, (4, 0))
    requested = next(n for n, row in enumerate(found) if asks[0].operations[0] in row.operations)
    assert next(n for n, row in enumerate(found) if row.signal == "load_tmu0") < requested


def test_requests_and_loads_must_balance() -> None:
    with pytest.raises(AssemblyError, match="1 requests of TMU 1 and 0 loads"):
        pipelined(of(operation("add", TMU_S[1], R1, R2)), NOTHING)


def test_no_loop_is_said_to_be_none() -> None:
    """A sum's register is read by the same sum in the next iteration, twenty steps of which take longer."""
    slow = [operation("add", A(1), A(1), R1) for _ in range(30)]
    with pytest.raises(AssemblyError, match="no loop of"):
        pipelined(of(*slow), NOTHING)


def test_the_assembler_counts_what_is_under_way() -> None:
    k = Assembler()
    k.op("add", TMU_S[0], R1, R2)
    step = [operation("sub", A(0), A(0), 1, set_flags=True), operation("add", TMU_S[0], R1, R2)]
    k.pipelined_loop("loop", [*of(*step), Bundle(signal="load_tmu0"), *of(move(B(1), R4))], "any_zc")
    k.load_tmu(0)
    k.mov(NULL, R4)
    k.thread_end()
    assert k.words


def test_what_a_load_of_the_iteration_before_gave_is_read() -> None:
    product, kept = operation("fmul", R0, R4, UNIFORM_A), move(A(1), R0)
    request = operation("add", TMU_S[0], R1, R2)
    found = pipelined([*of(product, kept, request), Bundle(signal="load_tmu0")], (0, 0))
    places = {o: number for number, row in enumerate(found) for o in row.operations}
    load = next(number for number, row in enumerate(found) if row.signal == "load_tmu0")
    assert places[product] <= load
    assert load - places[request] >= 9
