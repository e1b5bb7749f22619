"""Numbers as the words that kernels read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codegen.engines.videocore4.assembler import word_of
from codegen.engines.videocore4.layer import Address, Uniform


def float_words(values: ArrayLike) -> NDArray[np.uint32]:
    """The bits of float32 numbers, row by row."""
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)


def plain_words(words: Iterable[Uniform]) -> NDArray[np.uint32]:
    """The bits of uniforms that are no addresses."""
    return np.array([_plain(word) for word in words], np.uint32)


def from_base(words: Iterable[Uniform]) -> list[Uniform]:
    """Uniforms whose addresses are given as bytes from their buffer's begin, which the kernel adds."""
    return [word.offset_bytes if isinstance(word, Address) else word for word in words]


def _plain(word: Uniform) -> int:
    assert not isinstance(word, Address)
    return word_of(word)
