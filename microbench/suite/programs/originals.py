"""What one launch of each published program does, as its source has it.

Instructions are counted in the words that the programs' own compilers and assemblers make; the factors of a sum are the
parts of the program that are gone through as often.
"""

from __future__ import annotations

from microbench.suite.programs.launch import Counts

# QPULib ---------------------------------------------------------------------------------------------------------------

_ROUNDS = 12_000  # of 16 points


def rot3d_1() -> Counts:
    """A round: 2 loads of 11 instructions, 2 stores of 10, 8 of the loop."""
    return Counts(
        instructions=48 + _ROUNDS * (2 * 11 + 2 * 10 + 8),
        tmu_requests=0,
        uniform_words=7,
        uniform_addresses=0,
        loads=2 * _ROUNDS,
        load_rows=2 * _ROUNDS * 16,
        load_bytes=2 * _ROUNDS * 16 * 4,
        stores=2 * _ROUNDS,
        store_rows=2 * _ROUNDS * 16,
        store_bytes=2 * _ROUNDS * 16 * 4,
    )


def rot3d_2() -> Counts:
    return _rot3d(1, 59)


def rot3d_3(qpus: int) -> Counts:
    return _rot3d(qpus, 65 + 62 * (qpus - 1))


def _rot3d(qpus: int, beside: int) -> Counts:
    """A round: 2 requests and 2 receives of 2 instructions each, 2 stores of 8, 11 of the loop."""
    return Counts(
        instructions=beside + _ROUNDS * (2 * 2 + 2 * 2 + 2 * 8 + 11),
        tmu_requests=2 * (_ROUNDS + qpus),
        uniform_words=7 * qpus,
        uniform_addresses=0,
        loads=0,
        load_rows=0,
        load_bytes=0,
        stores=2 * _ROUNDS,
        store_rows=2 * _ROUNDS * 16,
        store_bytes=2 * _ROUNDS * 16 * 4,
    )


def heat_map(qpus: int) -> Counts:
    """504 rows of 31 vectors: 96 instructions and 3 requests a vector, 60 and 6 a row beside them."""
    rows, vectors = 504, 504 * 31
    return Counts(
        instructions=56 + 53 * (qpus - 1) + 60 * rows + 96 * vectors,
        tmu_requests=6 * rows + 3 * vectors,
        uniform_words=7 * qpus,
        uniform_addresses=0,
        loads=0,
        load_rows=0,
        load_bytes=0,
        stores=vectors,
        store_rows=16 * vectors,
        store_bytes=16 * vectors * 4,
    )


# Matrix products of 96 x 363 and 363 x 3072, on 12 QPUs ---------------------------------------------------------------

_QPUS, _ROWS, _DEPTH = 12, 3, 363  # rows of blocks of a QPU
_LAST = 11 * 15 + 64  # instructions behind the last block: QPU 0 takes a semaphore 12 times


def sgemm_rnn(depth: int) -> Counts:
    """`depth` instructions for each depth of a block."""
    return _by_tmu(80, 12, 44 + _DEPTH * depth + 172 + 274 + 6)


def sgemm_rtn(depth: int) -> Counts:
    return _by_tmu(79, 10, 45 + _DEPTH * depth + 172 + 274 + 6)


def sgemm_rnt_before_30() -> Counts:
    return _by_tmu(83, 12, 50 + _DEPTH * 166 + 172 + 274 + 6)


def _by_tmu(start: int, row: int, block: int) -> Counts:
    """8 blocks of 16 x 64 in a row. A block asks for 4 lines of B and one of A a depth, and for the next ones' once."""
    blocks = _QPUS * _ROWS * 8
    return _product(
        instructions=_QPUS * (start + _ROWS * (row + 8 * block + 6)) + _LAST,
        tmu_requests=blocks * (5 * (_DEPTH + 1) + 1),
        uniform_words=14 * _QPUS + 4 * 2 * blocks,
        uniform_addresses=_QPUS + 4 * blocks,
    )


def sgemm_rnt_after_30() -> Counts:
    """16 blocks of 16 x 32 in a row. 23 chunks of 16 depths: 32 lines of B and 16 of A, one more of A at the end."""
    blocks = _QPUS * _ROWS * 16
    block = 26 + 23 * 2136 + 98 + 136 + 6
    return _product(
        instructions=_QPUS * (83 + _ROWS * (12 + 16 * block + 6)) + _LAST,
        tmu_requests=blocks * (23 * (32 + 16) + 1),
        uniform_words=14 * _QPUS + 2 * 2 * blocks,
        uniform_addresses=_QPUS + 2 * blocks,
    )


def sgemm_py_videocore() -> Counts:
    return _by_uniforms(last=11 * 15 + 65, words=12 * 16 + 1)


def sgemm_py_videocore_2016() -> Counts:
    return _by_uniforms(last=11 * 15 + 28, words=12 * 16, finish=184)


def sgemm_qmkl_1() -> Counts:
    return _by_uniforms(last=11 * 15 + 28, words=12 * 16)


def sgemm_py_videocore_alone() -> Counts:
    """One QPU has 6 rows of 48 blocks."""
    blocks = 6 * 48
    block = 37 + (_DEPTH - 1) * 67 + 66 + 172 + 6
    return _product(
        instructions=81 + 6 * (10 + 48 * block + 6) + 5,
        tmu_requests=blocks * (_DEPTH + 1),
        uniform_words=10 + blocks * (64 * _DEPTH + 2),
        uniform_addresses=blocks * (_DEPTH + 1),
    )


def _by_uniforms(last: int, words: int, finish: int = 190) -> Counts:
    """A depth: 64 uniforms at an address of their own, one request of A; its last one before the block's end."""
    blocks = _QPUS * _ROWS * 8
    block = 36 + (_DEPTH - 1) * 67 + 63 + finish + 6
    return _product(
        instructions=_QPUS * (86 + _ROWS * (10 + 8 * block + 6)) + last,
        tmu_requests=blocks * (_DEPTH + 1),
        uniform_words=words + blocks * (64 * _DEPTH + 2),
        uniform_addresses=2 * _QPUS + blocks * (_DEPTH + 1),
    )


def _product(instructions: int, tmu_requests: int, uniform_words: int, uniform_addresses: int) -> Counts:
    """C comes and goes in squares of 16 x 16 words."""
    squares = 96 * 3072 // 256
    return Counts(
        instructions,
        tmu_requests,
        uniform_words,
        uniform_addresses,
        loads=squares,
        load_rows=16 * squares,
        load_bytes=1024 * squares,
        stores=squares,
        store_rows=16 * squares,
        store_bytes=1024 * squares,
    )
