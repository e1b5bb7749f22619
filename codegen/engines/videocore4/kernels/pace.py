"""QPUs in step: each begins its next tile only when all have come near the end of their last one.

One QPU gathers the others: it waits for a word of each, then gives each a token. Tokens of tiles of even and of odd
numbers are of two semaphores, so that no QPU takes what is meant for one that is a tile behind. The linker's
semaphores are others.
"""

from __future__ import annotations

from enum import IntEnum

from codegen.engines.videocore4.assembler import Assembler
from codegen.engines.videocore4.registers import NULL, Register

MOST_QPUS = 16  # a semaphore counts to 15
_ARRIVE = 0


class Token(IntEnum):
    """What a register says of a token: none, or which. The value's sign is what code looks at."""

    NONE = 0
    EVEN = 1
    ODD = -1

    @staticmethod
    def of_tile(number: int) -> Token:
        return Token.ODD if number % 2 else Token.EVEN

    @property
    def semaphore(self) -> int:
        return 1 if self == Token.EVEN else 2


def take_token(k: Assembler, token: Register) -> None:
    """Waits for the token that a register names, if it names one."""
    k.label("token")
    k.mov(NULL, token, set_flags=True)
    k.branch("begin", "all_zs")
    k.label("token_odd")
    k.branch("token_even", "all_nc")
    k.label("take_odd")
    k.acquire(Token.ODD.semaphore)
    k.branch("begin")
    k.label("token_even")
    k.acquire(Token.EVEN.semaphore)
    k.label("begin")


def give_tokens(k: Assembler, token: Register, qpus: int) -> None:
    """Tells the QPU that gathers the others, or, where a register names a token, is that QPU."""
    k.mov(NULL, token, set_flags=True)
    k.branch("gathers", "any_zc")
    k.label("arrives")
    k.release(_ARRIVE)
    k.branch("met")
    k.label("gathers")
    for _ in range(qpus - 1):
        k.acquire(_ARRIVE)
    k.mov(NULL, token, set_flags=True)
    k.branch("gives_even", "all_nc")
    k.label("gives_odd")
    for _ in range(qpus - 1):
        k.release(Token.ODD.semaphore)
    k.branch("met")
    k.label("gives_even")
    for _ in range(qpus - 1):
        k.release(Token.EVEN.semaphore)
    k.label("met")
