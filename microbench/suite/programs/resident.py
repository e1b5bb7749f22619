"""A matrix product with the accesses of qmkl's for B transposed: lines of B stay in registers for 16 columns of A."""

from __future__ import annotations

from codegen.engines.videocore4.assembler import move, operation
from codegen.engines.videocore4.registers import (
    ELEMENT,
    NULL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5_ALL,
    TMU0_S,
    TMU1_S,
    A,
    B,
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

_RESIDENT_COLUMNS, _CHUNK = 32, 16


def resident() -> Program:
    """Blocks of 16 x 32, B transposed: a line is 16 elements of one column of B.

    All of a chunk's code stands in a row, which is four times what the instruction cache holds.
    """
    k = PacedAssembler()
    begin(k, 83)
    k.mark("row")
    with k.section(12):
        blocks_left(k, Lane.ROWS_LEFT, 4, Lane.A_STRIDE)
        go_back(k, Lane.A_ROW, Lane.A_END)
        wait(k, 1)
        broadcast(k, Lane.COLUMN_BLOCKS)
        put(k, Lane.COLUMNS_LEFT, R5)
    k.mark("block")
    with k.section(26):
        blocks_left(k, Lane.COLUMNS_LEFT, 5, Lane.B_STRIDE)
        go_back(k, Lane.B, Lane.B_END)
        wait(k, 1)
        broadcast(k, Lane.A_ROW)
        put(k, Lane.A, R5)
        wait(k, 1)
        broadcast(k, Lane.DEPTH)
        put(k, Lane.DEPTH_LEFT, R5)
        wait(k, 1)
        _request_next_column(k, 10)
    k.mark("chunk")
    _first_depth(k)
    for depth in range(1, _CHUNK):
        _take_and_request_column(k, 14)
        _multiply_resident(k, depth)
    with k.section(11, at_end=1):
        k.load(R1, _CHUNK)
        select(k, Lane.DEPTH_LEFT)
        k.sub(R2, R2, R1, condition="zs")
        wait(k, 1)
        broadcast(k, Lane.DEPTH_LEFT)
        k.max(NULL, R5, 0, set_flags=True)
    k.loop("chunk", "any_zc", "block's end")
    with k.section(98):
        k.load_tmu(0)
        place_result(k, 7)
    finish_in_turn(k, 2, vertical=True)
    next_block(k)
    return product(end(k), _RESIDENT_COLUMNS, b_transposed=True)


def _line(column: int) -> Register:
    """Where a column's 16 elements of B are kept."""
    return (B, A)[column % 2](16 + column // 2)


def _take_and_request_column(k: PacedAssembler, instructions: int) -> None:
    k.load_tmu(0)
    k.mov(R3, R4)
    _request_next_column(k, instructions - 2)


def _request_next_column(k: PacedAssembler, instructions: int) -> None:
    with k.section(instructions, at_end=1):
        broadcast(k, Lane.A_STRIDE)
        k.mul24(R0, ELEMENT, R5)
        broadcast(k, Lane.A)
        k.add(R0, R0, R5)
        advance(k, Lane.A, 4)
    k.mov(TMU0_S, R0)


def _first_depth(k: PacedAssembler) -> None:
    """The lines come four at a time; the part that lies past the matrix is made 0. B is a chunk further on."""
    for first in range(0, _RESIDENT_COLUMNS, 4):
        with k.section(12 + first):
            k.shl(R0, ELEMENT, 2)
            broadcast(k, Lane.B)
            k.add(R0, R0, R5)
            broadcast(k, Lane.B_STRIDE)
            if first:
                k.load(R1, first)
                k.mul24(R1, R1, R5)
                k.add(R0, R0, R1)
            for column in range(4):
                k.mov(TMU1_S, R0)
                if column < 3:
                    k.add(R0, R0, R5)
            if first == _RESIDENT_COLUMNS - 4:
                k.load(R0, LINE_BYTES)
                advance(k, Lane.B, R0)
        if first == 0:
            _take_and_request_column(k, 13)
        for column in range(first, first + 4):
            k.xor(_line(column), R0, R0).signal("load_tmu1")
            broadcast(k, Lane.DEPTH_LEFT)
            k.sub(NULL, ELEMENT, R5, set_flags=True)
            k.mov(_line(column), R4, condition="ns")
            k.mov(R5_ALL, R4)
            k.fmul(R0, R3, R5)
            k.fadd(sum_of(column), sum_of(column), R0)


def _multiply_resident(k: PacedAssembler, depth: int) -> None:
    """r3, 16 rows of A, times one element of each line."""
    k.mov(R1, _line(0))
    wait(k, 1)
    for column in range(_RESIDENT_COLUMNS):
        k.rotate(R5_ALL, R1, 16 - depth)
        following = [move(R1, _line(column + 1))] if column + 1 < _RESIDENT_COLUMNS else []
        k.together(*following, operation("fmul", R0, R3, R5))
        k.fadd(sum_of(column), sum_of(column), R0)
