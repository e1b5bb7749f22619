"""Matrix products with the accesses of qmkl's: B by TMU, each line of it used at once."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.engines.videocore4.assembler import move, operation
from codegen.engines.videocore4.registers import (
    ELEMENT,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU0_S,
    TMU1_S,
    Register,
)
from microbench.suite.benchmark import LINE_BYTES
from microbench.suite.loops import wait
from microbench.suite.programs.launch import Program
from microbench.suite.programs.matrices import (
    Lane,
    advance,
    begin,
    blocks_left,
    broadcast,
    end,
    go_back,
    next_block,
    place_result,
    product,
    put,
    select,
    sum_of,
)
from microbench.suite.programs.paced import PacedAssembler
from microbench.suite.programs.result import finish_in_turn


@dataclass(frozen=True)
class _Pace:
    """Instructions of parts of the published program."""

    start: int
    row: int
    before_lines: int  # from a block's first to where B is asked for
    lines: int
    second_column: int
    multiply: int


def rotated(a_transposed: bool, b_transposed: bool, paired: bool) -> Program:
    """Blocks of 16 x 64: a line is 16 columns of B, and is multiplied by each of 16 elements of a column of A.

    `paired`: an element is broadcast once for two lines, not for each.
    """
    multiply = 97 if paired else 135 if b_transposed else 129
    if b_transposed:
        pace = _Pace(83, 12, 21, 12, 3, multiply)
    elif a_transposed:
        pace = _Pace(79, 10, 17, 10, 4, multiply)
    else:
        pace = _Pace(80, 12, 17, 10, 3, multiply)
    k = PacedAssembler()
    begin(k, pace.start)
    k.mark("row")
    with k.section(pace.row):
        broadcast(k, Lane.COLUMN_BLOCKS)
        put(k, Lane.COLUMNS_LEFT, R5)
    k.mark("block")
    _place_operands(k, pace, a_transposed, b_transposed)
    _request_lines(k, pace, b_transposed)
    _request_column(k, a_transposed, b_transposed)
    advance(k, Lane.A, R5 if a_transposed else 4)
    k.load_tmu(0)
    with k.section(pace.second_column, at_end=2):
        k.mov(R3, R4)
    k.add(R0, R0, R5 if a_transposed else 4)
    k.mov(TMU0_S, R0)
    k.mark("depth")
    with k.section(pace.multiply):
        (_multiply_pairs if paired else _multiply_lines)(k)
    _request_lines(k, pace, b_transposed)
    k.load_tmu(0)
    k.mov(R3, R4)
    _request_column(k, a_transposed, b_transposed)
    with k.section(6, at_end=1):
        select(k, Lane.DEPTH_LEFT)
        k.sub(R2, R2, 1, condition="zs", set_flags=True)
    k.loop("depth", "all_zc", "block's end")
    with k.section(172):
        for tmu in (0, 1, 1, 1, 1):
            k.load_tmu(tmu)
        place_result(k, 8)
    finish_in_turn(k, 4, vertical=False)
    next_block(k)
    return product(end(k), 64, a_transposed, b_transposed)


def _place_operands(k: PacedAssembler, pace: _Pace, a_transposed: bool, b_transposed: bool) -> None:
    """Lanes of what is left of the depth, and of the block's first elements of A and of B."""
    with k.section(pace.before_lines):
        broadcast(k, Lane.DEPTH)
        put(k, Lane.DEPTH_LEFT, R5)
        wait(k, 1)
        if a_transposed:
            blocks_left(k, Lane.ROWS_LEFT, 6)
        else:
            blocks_left(k, Lane.ROWS_LEFT, 4, Lane.A_STRIDE)
        go_back(k, Lane.A, Lane.A_END)
        wait(k, 1)
        if b_transposed:
            blocks_left(k, Lane.COLUMNS_LEFT, 6, Lane.B_STRIDE)
        else:
            blocks_left(k, Lane.COLUMNS_LEFT, 8)
        go_back(k, Lane.B, Lane.B_END)


def _request_lines(k: PacedAssembler, pace: _Pace, b_transposed: bool) -> None:
    """Four lines of B for one depth: 64 columns."""
    with k.section(pace.lines):
        if b_transposed:
            broadcast(k, Lane.B_STRIDE)
            k.mul24(R0, ELEMENT, R5)
            k.shl(R1, R5, 4)
        else:
            k.shl(R0, ELEMENT, 2)
            k.load(R1, LINE_BYTES)
        broadcast(k, Lane.B)
        k.add(R0, R0, R5)
        for line in range(3):
            if b_transposed:
                k.mov(TMU1_S, R0)
                k.add(R0, R0, R1)
            else:
                k.add(R0, R0, R1).mov(TMU1_S, R0)
                wait(k, line < 2)
        k.mov(TMU1_S, R0)


def _request_column(k: PacedAssembler, a_transposed: bool, b_transposed: bool) -> None:
    """The next 16 elements of A; A and B are a depth further on. r5 ends as A's stride where A is transposed."""
    with k.section(11, at_end=1):
        if a_transposed:
            k.shl(R0, ELEMENT, 2)
        else:
            broadcast(k, Lane.A_STRIDE)
            k.mul24(R0, ELEMENT, R5)
        if not b_transposed:
            broadcast(k, Lane.B_STRIDE)
        advance(k, Lane.B, 4 if b_transposed else R5)
        wait(k, 1)
        broadcast(k, Lane.A)
        k.add(R0, R0, R5)
        if a_transposed:
            broadcast(k, Lane.A_STRIDE)
        advance(k, Lane.A, R5 if a_transposed else 4)
    k.mov(TMU0_S, R0)


def _multiply_lines(k: PacedAssembler) -> None:
    """r3 is the column of A. A product is added while the next one is made."""
    unadded: Register | None = None
    for line in range(4):
        for row in range(16):
            add = [operation("fadd", unadded, unadded, R0)] if unadded else []
            if row == 0:
                k.together(*add, move(R5_ALL, R3), signal="load_tmu1")
                add = []
            else:
                k.rotate(R5_ALL, R3, 16 - row)
            k.together(*add, operation("fmul", R0, R4, R5))
            unadded = sum_of(16 * line + row)
    assert unadded is not None
    k.fadd(unadded, unadded, R0)


def _multiply_pairs(k: PacedAssembler) -> None:
    """The same with two lines at a time, the first of them in r1."""
    unadded: Register | None = None
    for pair in range(2):
        first, second = ([sum_of(32 * pair + 16 * line + row) for row in range(16)] for line in range(2))
        add = [operation("fadd", unadded, unadded, R0)] if unadded else []
        k.together(*add, move(R5_ALL, R3), signal="load_tmu1")
        k.together(move(R1, R4), operation("fmul", R0, R4, R5), signal="load_tmu1")
        for row in range(16):
            if row:
                k.rotate(R5_ALL, R3, 16 - row)
                k.fadd(second[row - 1], second[row - 1], R0).fmul(R0, R1, R5)
            k.fadd(first[row], first[row], R0).fmul(R0, R4, R5)
        unadded = second[15]
    assert unadded is not None
    k.fadd(unadded, unadded, R0)
