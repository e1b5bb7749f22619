"""Tasks of a QPU that a kernel goes through one behind the other, each at its own pace."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.engines.videocore4.layer import Address, Uniform
from codegen.program import WORD_BYTES


def block_of_tasks(tasks: Sequence[Sequence[Uniform]]) -> tuple[Uniform, ...] | None:
    """A QPU's block: before each task's words the address of the word behind them, which is 1 where another follows.
    None for a QPU without work.
    """
    words: list[Uniform] = []
    for number, task in enumerate(tasks):
        words.append(Address("block", WORD_BYTES * (len(words) + 1 + len(task))))
        words += task
        words.append(int(number < len(tasks) - 1))
    return tuple(words) if words else None
